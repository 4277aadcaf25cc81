"""holdfast-generation: what a host keeps beside each of its releases, and how it comes back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "roles/release/files/generation.py"


class Host:
    """A root directory with a release and a configuration."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.etc = root / "etc/holdfast"
        self.units = root / "etc/systemd/system"
        for folder in (self.etc / "strategies", self.etc / "credentials", self.units):
            folder.mkdir(parents=True)
        self.write("system.json", "{}")
        self.write("risk_limits.toml", "order = 1\n")
        self.write("strategies/pulse.py", "pass\n")
        self.write("credentials/alpaca_api_secret", "first")
        (self.units / "trading-relay.service").symlink_to("/opt/holdfast/current/relay")
        (root / "var/lib").mkdir(parents=True)
        self.switch(1)

    def write(self, name: str, text: str) -> None:
        (self.etc / name).write_text(text)

    def switch(self, number: int) -> None:
        generations = self.root / "nix/var/holdfast/generations"
        (generations / str(number)).mkdir(parents=True, exist_ok=True)
        current = generations.parent / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(f"generations/{number}")

    def run(self, command: str) -> dict[str, Any]:
        words = [sys.executable, str(SCRIPT), "--root", str(self.root), command]
        path = {"PATH": f"{self.root}/programs:{os.environ['PATH']}"}
        done = subprocess.run(words, env=os.environ | path, capture_output=True, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def systemd_says(self, cases: str) -> None:
        """Let systemctl name one running unit, and say of it what a shell's cases say."""
        program = self.root / "programs/systemctl"
        program.parent.mkdir()
        listed = "list-units) echo trading-relay.service loaded active running;;"
        program.write_text(f"#!/bin/sh\ncase $1 in {listed} {cases} esac\n")
        program.chmod(0o755)

    def tree(self) -> dict[str, tuple[int, str]]:
        """Everything below /etc, with modes and contents."""
        paths = sorted((self.root / "etc").rglob("*"))
        return {
            str(path.relative_to(self.root)): (
                path.lstat().st_mode,
                os.fspath(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else "",
            )
            for path in paths
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "root")


def test_configuration_and_units_come_back_with_their_generation_and_secrets_stay(host: Host) -> None:
    assert host.run("save")["changed"] is True
    assert host.run("save")["changed"] is False
    before = host.tree()
    host.switch(2)
    host.write("risk_limits.toml", "order = 2\n")
    host.write("system.production.json", "{}")
    host.write("credentials/alpaca_api_secret", "second")
    (host.etc / "strategies/pulse.py").unlink()
    (host.etc / "strategies/other").mkdir()
    host.write("strategies/other/deep.py", "pass\n")
    (host.etc / "system.json").chmod(0o600)
    (host.units / "trading-new.service").symlink_to("/opt/holdfast/current/new")
    (host.units / "trading-new.service.d").mkdir()
    assert host.run("save")["changed"] is True
    newer = host.tree()

    host.switch(1)
    assert host.run("restore")["changed"] is True
    secret = before.pop("etc/holdfast/credentials/alpaca_api_secret")
    now = host.tree()
    assert (secret[1], now.pop("etc/holdfast/credentials/alpaca_api_secret")[1]) == ("first", "second")
    assert now == before
    assert host.run("restore")["changed"] is False

    host.switch(2)
    host.run("restore")
    assert host.tree() == newer


def test_a_generation_of_which_nothing_was_kept_leaves_all_as_it_is(host: Host) -> None:
    before = host.tree()
    assert host.run("restore") == {"changed": False, "kept": False, "restored": []}
    assert host.tree() == before


def test_what_somebody_changed_by_hand_is_named(host: Host) -> None:
    host.run("save")
    assert host.run("drift")["differs"] == []
    host.write("risk_limits.toml", "order = 3\n")
    host.write("strategies/mine.py", "pass\n")
    names = [Path(name).relative_to(host.etc).as_posix() for name in host.run("drift")["differs"]]
    assert names == ["risk_limits.toml", "strategies/mine.py"]


def test_what_was_kept_goes_with_its_generation_and_holds_no_secret(host: Host) -> None:
    host.run("save")
    host.switch(2)
    host.run("save")
    kept = host.root / "var/lib/holdfast-generations"
    assert kept.stat().st_mode & 0o077 == 0
    assert not [path for path in kept.rglob("*") if "credential" in path.name or "secret" in path.name]
    (host.root / "nix/var/holdfast/generations/1").rmdir()
    host.run("save")
    assert [path.name for path in kept.iterdir()] == ["2"]


def test_a_snapshot_holds_what_says_how_trading_stood(host: Host) -> None:
    state = host.root / "var/lib/holdfast"
    for name in ("latch", "audit/trail.jsonl", "journals/orders/header", "journals/orders/1.segment"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(name)
    host.run("snapshot")
    host.run("snapshot")
    kept = host.root / "var/lib/holdfast-generations/1/state"
    names = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    assert names == {"latch", "audit/trail.jsonl", "journals/orders/header"}


def test_a_service_older_than_a_secret_of_its_unit_is_named(host: Host) -> None:
    release = host.root / "opt/holdfast/1"
    (release / "bin").mkdir(parents=True)
    (release / "bin/sleep").symlink_to("/bin/sleep")
    (host.root / "opt/holdfast/current").symlink_to(release)
    secret = host.etc / "credentials/alpaca_api_secret"
    with subprocess.Popen([release / "bin/sleep", "600"]) as service:
        try:
            # What systemd 252 says: of a unit's credentials only its text tells.
            host.systemd_says(
                f'show) echo "MainPID={service.pid}"; echo "ExecMainStartTimestamp=Thu 2026-01-01 00:00:00.500000 UTC";'
                f' echo "LoadCredential=[unprintable]";; cat) echo "LoadCredential=alpaca_api_secret:{secret}";;'
            )
            start_s = 1767225600
            for path in filter(Path.is_file, host.etc.rglob("*")):
                os.utime(path, (start_s, start_s))
            assert host.run("stale")["stale"] == {}
            os.utime(secret, (start_s + 1, start_s + 1))
            assert host.run("stale")["stale"] == {"trading-relay.service": "secret"}
        finally:
            service.kill()
