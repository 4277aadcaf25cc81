def test_the_clock_is_compared_with_a_server(host):
    assert host.service("chrony").is_running
    assert "10.0.0.1" in host.check_output("chronyc -n sources")


def test_nothing_waits_in_vain_for_the_time(host):
    assert host.service("chrony-wait").is_enabled
    assert host.run("systemctl is-active chrony-wait time-sync.target").rc == 0


def test_nobody_else_sets_the_clock(host):
    assert not host.service("systemd-timesyncd").is_running


def test_it_answers_on_loopback_only(host):
    listening = [line.split()[3] for line in host.check_output("ss -Hlnup").splitlines() if "chronyd" in line]
    assert listening
    assert [address for address in listening if not address.startswith(("127.0.0.1:", "[::1]:"))] == []
