import re

import pytest

FIGURES = "/var/lib/prometheus/node-exporter"
ADMINISTRATOR = "user=postgres dbname=holdfast"
VERSION = "$(ls /etc/postgresql)"


def value(host, sql):
    return host.check_output(f"psql --no-psqlrc -v ON_ERROR_STOP=1 -qtA --command=\"{sql}\" '{ADMINISTRATOR}'")


def told(host, name):
    text = host.file(f"{FIGURES}/{name}.prom").content_string
    return int(re.search(r"^holdfast_\w+_timestamp_seconds (\d+)$", text, re.MULTILINE)[1])


@pytest.mark.parametrize("unit", ["trading-archive", "trading-backup", "trading-base-backup", "trading-restore-drill"])
def test_timers_run_and_their_units_are_confined(host, unit):
    assert host.service(f"{unit}.timer").is_running
    assert host.service(f"{unit}.timer").is_enabled
    done = host.run(f"systemd-analyze security --threshold=6 --no-pager {unit}.service")
    assert done.rc == 0, done.stdout


def test_server_is_still_confined_and_archives(host):
    done = host.run(f"systemd-analyze security --threshold=20 --no-pager postgresql@{VERSION}-main.service")
    assert done.rc == 0, done.stdout
    assert value(host, "SHOW archive_mode") == "on"
    host.check_output("runuser -u postgres -- pgbackrest --config=/etc/pgbackrest/holdfast.conf --stanza=holdfast check")
    assert value(host, "SELECT failed_count FROM pg_stat_archiver") == "0"


@pytest.mark.parametrize("name", ["holdfast-backup", "holdfast-base-backup", "holdfast-restore-drill"])
def test_a_fresh_host_was_backed_up_without_waiting_for_its_timers(host, name):
    assert told(host, name) > 0


def test_a_backup_is_verified_told_and_restored_by_the_drill(host):
    before = int(host.check_output("date +%s"))
    for unit, figure in (
        ("trading-backup", "holdfast-backup"),
        ("trading-base-backup", "holdfast-base-backup"),
        ("trading-restore-drill", "holdfast-restore-drill"),
    ):
        done = host.run(f"systemctl start {unit}.service || journalctl --no-pager -o cat -u {unit} -n 20")
        assert "\n" not in done.stdout, done.stdout
        assert told(host, figure) >= before
    assert host.run("stat --format=%U:%a /var/backups/holdfast/*.dump | sort -u").stdout == "holdfast-backup:600\n"


def test_the_state_of_trading_is_archived_and_put_back(host):
    state = "/var/lib/holdfast"
    host.check_output(f"useradd --system --gid holdfast holdfast || true; mkdir -p {state}/journals/orders {state}/audit && chmod 2770 {state}/audit")
    host.check_output(f"for part in journals/orders/header journals/orders/1.segment audit/head latch; do echo first >{state}/$part; done")
    host.check_output(f"chgrp -R holdfast {state} && chmod -R g+rX {state}")
    before = int(host.check_output("date +%s"))
    done = host.run("systemctl start trading-archive || journalctl --no-pager -o cat -u trading-archive -n 20")
    assert "\n" not in done.stdout, done.stdout
    assert told(host, "holdfast-archive") >= before
    host.check_output(f"echo second >{state}/journals/orders/1.segment")
    host.check_output(f"/usr/local/lib/holdfast/restore-state.sh /var/backups/holdfast/state {state}")
    segment = host.file(f"{state}/journals/orders/1.segment")
    assert (segment.content_string, segment.user, segment.mode) == ("first\n", "holdfast", 0o660)
    assert host.check_output(f"cat {state}/replaced-*/journals/orders/1.segment") == "second"


def test_the_database_goes_back_to_a_second_of_the_past(host):
    value(host, "TRUNCATE drilled")
    value(host, "INSERT INTO drilled DEFAULT VALUES")
    host.check_output("sleep 2")
    target = host.check_output("date --utc '+%Y-%m-%d %H:%M:%S+00'")
    host.check_output("sleep 2")
    value(host, "INSERT INTO drilled DEFAULT VALUES")
    value(host, "SELECT pg_switch_wal()")
    assert host.run(f"/usr/local/lib/holdfast/restore-to.sh holdfast {VERSION} '{target}'").rc == 1, "it runs"
    host.check_output(f"systemctl stop postgresql@{VERSION}-main")
    done = host.run(f"/usr/local/lib/holdfast/restore-to.sh holdfast {VERSION} '{target}'")
    assert done.rc == 0, done.stdout + done.stderr
    assert value(host, "SELECT count(*) FROM drilled") == "1"
    value(host, "INSERT INTO drilled DEFAULT VALUES")
