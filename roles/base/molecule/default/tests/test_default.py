def test_passwords_do_not_open_the_door(host):
    told = host.check_output("sshd -T")
    assert "passwordauthentication no" in told
    assert "x11forwarding no" in told


def test_services_that_face_others_have_users_of_their_own_without_a_shell(host):
    for name in ("holdfast", "holdfast-relay", "holdfast-gateway", "holdfast-watchdog", "holdfast-backup"):
        user = host.user(name)
        assert user.group == "holdfast"
        assert user.shell == "/usr/sbin/nologin"


def test_kernel_settings_hold_after_a_reboot(host):
    assert host.sysctl("net.core.somaxconn") == 4096
    assert host.sysctl("net.ipv4.tcp_slow_start_after_idle") == 0


def test_upgrades_wait_for_the_end_of_the_session(host):
    told = host.check_output("systemctl show apt-daily-upgrade.timer --property=TimersCalendar")
    assert "05:00:00 America/New_York" in told
    assert told.count("OnCalendar") == 1


def test_the_journal_is_bounded_and_kept(host):
    assert host.file("/var/log/journal").is_directory
    assert "SystemMaxUse=1G" in host.check_output("systemd-analyze cat-config systemd/journald.conf")
