CONNECT = "timeout 3 bash -c '</dev/tcp/{}/{}'"


def test_both_directions_are_closed_but_for_what_the_matrix_says(host):
    rules = host.check_output("nft list table inet holdfast")
    assert rules.count("policy drop") == 3
    assert 'ip saddr 10.0.0.1 tcp dport 22 accept comment "ssh"' in rules
    assert "8080" not in rules


def test_rules_precede_every_network_after_a_reboot(host):
    assert host.service("nftables").is_enabled
    assert "network-pre.target" in host.check_output("systemctl show nftables --property=Before")
    times = host.check_output(
        "systemctl show nftables.service systemd-networkd.service ssh.service --property=ActiveEnterTimestampMonotonic --value"
    )
    firewall_us, *others_us = (int(line) for line in times.split())
    assert all(firewall_us < other_us for other_us in others_us)


def test_packages_are_reached_and_nothing_else(host):
    assert host.run(CONNECT.format("10.0.0.1", 80)).rc == 0
    refused = host.run(CONNECT.format("10.0.0.1", 123))
    assert refused.rc != 0


def test_a_user_that_the_matrix_does_not_name_gets_no_packet_out(host):
    command = CONNECT.format("10.0.0.1", 80)
    assert host.run(f"runuser -u nobody -- {command}").rc != 0


def test_what_has_a_port_starts_with_the_rules_in_force_only(host):
    host.check_output("printf '[Service]\\nExecStart=sleep infinity\\n' >/run/systemd/system/trading-probe.service && systemctl daemon-reload")
    host.check_output("systemctl start trading-probe")
    host.check_output("systemctl restart nftables")
    assert host.service("trading-probe").is_running, "new rules disturb nobody"
    try:
        host.check_output("systemctl stop trading-probe holdfast-firewall && nft delete table inet holdfast")
        assert host.run("systemctl start trading-probe").rc != 0
        assert not host.service("trading-probe").is_running
    finally:
        host.check_output("systemctl restart nftables")
    host.check_output("systemctl start trading-probe")
    assert host.service("trading-probe").is_running
    host.check_output("systemctl stop trading-probe")
