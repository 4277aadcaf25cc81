"""The backup that a timer makes is one that the restore drill brings back."""

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from holdfast.store.embedded import EmbeddedPostgres

SCRIPTS = Path(__file__).resolve().parents[2] / "systemd/lib"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script as who may run a PostgreSQL server: root may not."""
    user = "postgres" if os.geteuid() == 0 else None
    copy = Path(str(arguments[-1])).with_name(script)
    shutil.copy(SCRIPTS / script, copy)
    command = ["bash", str(copy), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, user=user, group=user, cwd="/")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the server's user may write, below others that it may enter."""
    path = tmp_path_factory.mktemp("backup")
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(path, owner.pw_uid, owner.pw_gid)
        for parent in [path, *path.parents]:
            if parent.stat().st_uid == 0 and parent != Path("/tmp"):  # noqa: S108 - where pytest keeps its folders
                parent.chmod(parent.stat().st_mode | 0o011)
    return path


def told(file: Path) -> int:
    found = re.fullmatch(r"# TYPE (\w+) gauge\n\1 (\d+)\n", file.read_text())
    assert found is not None
    return int(found[2])


def test_backup_is_restored_by_the_drill(migrated_database: str, folder: Path) -> None:
    made = run("backup.sh", migrated_database, folder, folder / "backup.prom")
    assert made.returncode == 0, made.stderr
    assert told(folder / "backup.prom") > 0
    restored = run("restore-drill.sh", folder, folder / "drill.prom")
    assert restored.returncode == 0, restored.stderr
    assert told(folder / "drill.prom") > 0
    for table in ("orders", "trades", "positions", "daily_pnl", "risk_events"):
        assert re.search(rf"restore-drill: \w+\.{table} 0 rows", restored.stdout)


def test_old_backups_go_and_a_failed_one_leaves_nothing(postgres: EmbeddedPostgres, folder: Path) -> None:
    old, recent = folder / "holdfast-20200101T000000Z.dump", folder / "holdfast-20200102T000000Z.dump"
    for file in (old, recent):
        file.write_bytes(b"")
    os.utime(old, (0, 0))
    made = run("backup.sh", postgres.dsn("postgres"), folder, folder / "backup.prom")
    assert made.returncode == 0, made.stderr
    assert not old.exists()
    assert recent.exists()
    before = sorted(path.name for path in folder.iterdir())
    failed = run("backup.sh", postgres.dsn("not_there"), folder, folder / "backup.prom")
    assert failed.returncode != 0
    assert sorted(path.name for path in folder.iterdir()) == before


def test_drill_fails_on_a_damaged_backup(migrated_database: str, folder: Path) -> None:
    assert run("backup.sh", migrated_database, folder, folder / "backup.prom").returncode == 0
    (backup,) = folder.glob("*.dump")
    backup.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    drilled = run("restore-drill.sh", folder, folder / "drill.prom")
    assert drilled.returncode != 0
    assert not (folder / "drill.prom").exists()
