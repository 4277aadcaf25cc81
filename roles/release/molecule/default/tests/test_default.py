import json


def test_the_release_is_current_and_runs(host):
    assert host.run("/opt/holdfast/current/bin/holdfast --help").rc == 0
    listed = json.loads(host.check_output("holdfast-release --json list"))
    assert listed["current"] == 1


def test_every_installed_byte_is_the_signed_one(host):
    assert host.run("holdfast-release verify").rc == 0


def test_a_changed_archive_is_refused_and_changes_nothing(host):
    host.check_output("cp /var/cache/holdfast/*.oci.tar /tmp/other.tar && printf x >>/tmp/other.tar")
    host.check_output("cp /var/cache/holdfast/*.oci.tar.sig /tmp/other.tar.sig")
    refused = host.run("holdfast-release --json install /tmp/other.tar --schema 0")
    assert refused.rc == 1
    assert json.loads(refused.stdout)["changed"] is False
