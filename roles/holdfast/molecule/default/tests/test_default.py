import json

SERVICES = ("relay", "api-gateway")


def test_services_run_after_a_reboot(host):
    for name in SERVICES:
        assert host.service(f"trading-{name}").is_running


def test_units_are_those_of_the_release(host):
    for name in SERVICES:
        unit = host.file(f"/etc/systemd/system/trading-{name}.service")
        assert unit.linked_to.startswith("/nix/store/")


def test_secrets_are_readable_by_root_only(host):
    for path in ("/etc/holdfast/credentials", "/etc/holdfast/certificates", "/etc/holdfast/issued"):
        assert host.file(path).user == "root"
        assert host.file(path).mode == 0o700


def test_the_api_knows_the_token_that_was_issued_and_no_other(host):
    host.check_output("install -m 600 /dev/null /tmp/header")
    host.check_output("printf 'Authorization: Bearer %s' \"$(cat /etc/holdfast/issued/someone)\" >/tmp/header")
    script = "; ".join([
        "import ssl, sys, urllib.request",
        "trust = ssl.create_default_context(cafile='/etc/holdfast/certificates/ca.pem')",
        "name, value = open('/tmp/header').read().split(': ', 1)",
        "request = urllib.request.Request('https://localhost:8080/api/v1/status', headers={name: value + sys.argv[1]})",
        "print(urllib.request.urlopen(request, context=trust).status)",
    ])
    assert host.check_output(f'python3 -c "{script}" ""') == "200"
    assert host.run(f'python3 -c "{script}" x').rc != 0


def test_the_relay_has_keys_of_its_own(host):
    secret = host.file("/var/lib/holdfast-relay/keys/relay.secret")
    assert (secret.user, secret.mode) == ("holdfast-relay", 0o600)


def test_every_unit_is_confined(host):
    for name in SERVICES:
        told = host.check_output(f"systemd-analyze security --no-pager --json=short trading-{name}.service")
        exposure = sum(float(row["exposure"] or 0) for row in json.loads(told))
        assert exposure < 20
