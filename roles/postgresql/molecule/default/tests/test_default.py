from pathlib import Path

import pytest

MIGRATIONS = Path(__file__).resolve().parents[5] / "app/holdfast/store/migrations"


def query(host, sql, role="postgres", database="postgres", address=""):
    where = f"host={address} sslmode=require" if address else "host=/run/postgresql"
    command = f"psql --no-psqlrc --tuples-only --no-align 'user={role} dbname={database} {where}' --command=\"{sql}\""
    return host.run(f"PGPASSWORD=of-the-recorder {command}")


def value(host, sql, **where):
    done = query(host, sql, **where)
    assert done.rc == 0, done.stderr
    return done.stdout.strip()


def address_of(host):
    return host.interface("host0").addresses[0]


def unit_of(host):
    return f"postgresql@{value(host, 'SHOW server_version').split('.')[0]}-main"


def test_it_runs_and_its_data_has_checksums(host):
    assert host.service(unit_of(host)).is_running
    assert value(host, "SHOW data_checksums") == "on"
    assert int(value(host, "SHOW server_version_num")) >= 150000
    assert value(host, "SHOW password_encryption") == "scram-sha-256"


def test_its_unit_is_confined(host):
    done = host.run(f"systemd-analyze security --threshold=20 --no-pager {unit_of(host)}")
    assert done.rc == 0, done.stdout
    pid = host.file(f"/run/postgresql/{unit_of(host).partition('@')[2]}.pid").content_string.split()[0]
    assert "CapEff:\t0000000000000000" in host.file(f"/proc/{pid}/status").content_string


def test_its_rules_have_no_mistake_and_every_setting_is_in_force(host):
    assert value(host, "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == "0"
    assert value(host, "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == "0"
    assert value(host, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"


def test_root_comes_in_as_owner_and_administrator_by_the_socket(host):
    assert value(host, "SELECT current_user", role="holdfast_owner", database="holdfast") == "holdfast_owner"
    assert value(host, "SELECT current_user") == "postgres"


@pytest.mark.parametrize("role", ["holdfast_backup", "holdfast_exporter", "holdfast_reader", "stranger"])
def test_root_is_not_let_in_as_another(host, role):
    database = "postgres" if role == "holdfast_exporter" else "holdfast"
    assert query(host, "SELECT 1", role=role, database=database).rc != 0


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_a_service_sees_no_other_database(host, database):
    assert "no pg_hba.conf entry" in query(host, "SELECT 1", role="holdfast_recorder", database=database).stderr


def test_tables_belong_to_the_owner_and_a_service_comes_in_over_tls_only(host):
    value(host, "GRANT CONNECT ON DATABASE holdfast TO holdfast_recorder", role="holdfast_owner", database="holdfast")
    where = {"role": "holdfast_recorder", "database": "holdfast", "address": address_of(host)}
    version = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert value(host, version, **where) == "TLSv1.3"
    plain = f"PGPASSWORD=of-the-recorder psql 'user=holdfast_recorder dbname=holdfast host={address_of(host)} sslmode=disable'"
    assert "no encryption" in host.run(f"{plain} --command='SELECT 1'").stderr
    wrong = f"PGPASSWORD=wrong psql 'user=holdfast_recorder dbname=holdfast host={address_of(host)}'"
    assert "password authentication failed" in host.run(f"{wrong} --command='SELECT 1'").stderr


def test_password_is_kept_as_scram_and_in_no_log(host):
    kept = value(host, "SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'holdfast_recorder'")
    assert kept == "SCRAM-SHA-256$"
    assert host.run("grep -rqs of-the-recorder /var/log /etc/postgresql").rc != 0
    assert host.run("journalctl --no-pager | grep -v COMMAND= | grep -q 'password.*of-the-recorder'").rc != 0


def test_every_migration_runs_as_owner(host):
    for file in sorted(MIGRATIONS.glob("*.sql")):
        sql = file.read_text().replace("'", "'\\''")
        done = host.run(f"psql --no-psqlrc -v ON_ERROR_STOP=1 -q -1 -c '{sql}' 'user=holdfast_owner dbname=holdfast'")
        already = "already exists" in done.stderr
        assert done.rc == 0 or already, done.stderr
