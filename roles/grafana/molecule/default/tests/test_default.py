def test_without_a_repository_nothing_is_installed(host):
    assert not host.package("grafana").is_installed
    assert not host.file("/etc/grafana").exists
