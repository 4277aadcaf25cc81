"""`python -m lab upgrades`: upgrade, failing upgrade, rollback, new secrets under load; the venue judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab import alert_sinks, network, releases
from lab.appliance import Play, fills_of_database, fills_of_ledger, on, play, start_venue
from lab.drill import do
from lab.host import hosts
from lab.place import LABS, LabError, say

ENGINE = "trading-execution-engine.service"
# Of systemd's journal: a unit has stopped, a unit has started.
STOPPED, STARTED = "9d1aaa27d60140bd96365438aad20286", "39f53479d3a045ac8e11786248231fbf"
FILLS_MEANWHILE = 5
TRADING_WITHIN_S = 180
AT_REST_WITHIN_S = 120
ROLLBACK_S_MAX, ENGINE_GAP_S_MAX = 60, 5
OPERATOR = "lab"
PULSE = {"hold_s": 0.5, "pause_s": 1.0}
LIMIT = "trades_per_day_max"
LIMIT_BEFORE, LIMIT_AFTER = 100_000, 99_999
HOLDFAST_VARIABLES = "ansible/inventories/local/group_vars/all/holdfast.yml"
SECRETS_BEFORE = ("simulated-secret", "lab-recorder", "lab-engine")
ASK_VENUE = """
import ssl, sys, urllib.request
pair, url = open(sys.argv[2], "rb").read(), "https://10.0.0.1:8443/venue/credentials"
request = urllib.request.Request(url, pair, method="POST")
urllib.request.urlopen(request, context=ssl.create_default_context(cafile=sys.argv[1]), timeout=10).read()
"""


@dataclass(kw_only=True)
class Phase:
    """What became of one step: the venue's ledger before and after, times, and what the checkers found."""

    name: str
    seconds: float = 0.0
    engine_gaps_s: list[float] = field(default_factory=list)
    halted_s: float = 0.0
    orders: tuple[int, int] = (0, 0)
    fills: tuple[int, int] = (0, 0)
    fills_equal: bool = False
    violations: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost or doubled and everything was as it had to be."""
        return self.fills_equal and not self.violations and not self.wrong


class Rehearsal:
    """The course: every step is done to a system that trades, then it is brought to rest and judged."""

    def __init__(self, lab: str) -> None:
        self.lab = lab
        self.folder = LABS / lab
        self.host = hosts(lab)[-1]
        self.root = self.folder / "hosts" / self.host.name / "root"
        self.secrets = self._secrets("new")
        self.phases: list[Phase] = []

    def provision(self) -> Play:
        """Make the host an appliance whose strategies trade without pause."""
        start_venue(self.lab)
        alert_sinks.start(self.lab)
        return self.play("site.yml", "provision")

    def play(self, playbook: str, log: str, *options: str, fails: str = "") -> Play:
        """Run a playbook with the rehearsal's strategies; a playbook that must fail has to say why."""
        file = self.folder / f"{log}.log"
        words = (*self._variables(), "-e", f"operator={OPERATOR}", *options)
        started_s = time.monotonic()
        try:
            done = play(self.lab, "local", playbook, file, *words)
        except LabError:
            if not fails or fails not in file.read_text():
                raise
            done = Play(round(time.monotonic() - started_s, 1), 0)
        else:
            if fails:
                raise LabError(f"{playbook} went through, expected it to fail with {fails!r}, see {file}")
        self._tells_no_secret(file)
        return done

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Do something to the trading system, let it trade on, bring it to rest and judge."""
        say(name)
        self.trade_on()
        phase = Phase(name=name)
        before = self._ledger()
        since = on(self.host, "date +%s.%N").stdout.strip()
        yield phase
        phase.engine_gaps_s = self._engine_gaps_s(float(since))
        phase.halted_s = self._halted_s(float(since))
        try:
            self.trade_on()
        except LabError as error:
            phase.wrong.append(str(error))
        with self._at_rest():
            after = self._ledger()
            phase.orders, phase.fills = (before[0], after[0]), (before[1], after[1])
            phase.fills_equal = fills_of_database(self.host) == fills_of_ledger(self.lab)
            phase.violations = self._violations()
        self.phases.append(phase)

    def generation(self) -> int:
        """Return the current generation of the host."""
        return int((self.root / "nix/var/holdfast/current").readlink().name)

    def limits(self) -> str:
        """Return the risk limits on the host."""
        return (self.root / "etc/holdfast/risk_limits.toml").read_text()

    def trade_on(self) -> None:
        """Wait until fills come in."""
        wanted = len(fills_of_ledger(self.lab)) + FILLS_MEANWHILE
        self._until(lambda: len(fills_of_ledger(self.lab)) >= wanted, "no fills come in", TRADING_WITHIN_S)

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Let no new intents come, and wait until every order has ended and every fill is in PostgreSQL."""
        do(self.host, "systemctl stop trading-signal-bridge.service")
        try:
            self._until(
                self._is_at_rest, "orders are not at rest, or fills are missing in PostgreSQL", AT_REST_WITHIN_S
            )
            yield
        finally:
            do(self.host, "systemctl start trading-signal-bridge.service")

    def _is_at_rest(self) -> bool:
        status = json.loads(on(self.host, "holdfast status --json").stdout or "{}")
        is_quiet = status.get("orders_working") == 0 and status.get("orders_unknown") == 0
        return is_quiet and fills_of_database(self.host) == fills_of_ledger(self.lab)

    def _until(self, is_so: Callable[[], bool], what: str, within_s: float) -> None:
        deadline_s = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > deadline_s:
                raise LabError(f"{what} after {within_s:.0f} s; see `holdfast status` on {self.host.name}")
            time.sleep(0.5)

    def _ledger(self) -> tuple[int, int]:
        lines = (self.folder / "venue/ledger.jsonl").read_text().splitlines()
        orders = {json.loads(line)["data"]["order"]["client_order_id"] for line in lines if '"kind":"order",' in line}
        return len(orders), len(fills_of_ledger(self.lab))

    def _violations(self) -> list[str]:
        """Let the project's own checkers judge, in a process that has the package."""
        command = [
            *(f"{releases.ROOT}/app/setup/within.sh", "python", "-m", "lab.judge"),
            *(str(self.root), str(self.folder / "venue/ledger.jsonl"), self.host.name),
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=network.environment(), check=False)
        if done.returncode != 0:
            raise LabError(f"the judge failed: {done.stderr[-2000:]}")
        found: list[str] = json.loads(done.stdout)
        return found

    def _engine_gaps_s(self, since_s: float) -> list[float]:
        """Return for how long execution-engine was away, each time since then, as systemd's journal tells."""
        told = on(self.host, f"journalctl --unit={ENGINE} --since=@{since_s:.0f} --output=json --no-pager").stdout
        gaps, stopped_us = [], None
        for line in map(json.loads, told.splitlines()):
            now_us = int(line["__REALTIME_TIMESTAMP"])
            match line.get("MESSAGE_ID"):
                case str(kind) if kind == STOPPED:
                    stopped_us = stopped_us or now_us
                case str(kind) if kind == STARTED and stopped_us is not None:
                    gaps.append(round((now_us - stopped_us) / 1e6, 2))
                    stopped_us = None
        return gaps + ([float("inf")] if stopped_us is not None else [])

    def _halted_s(self, since_s: float) -> float:
        """Return for how long our own halts kept trading stopped, as the audit trail tells."""
        lines = (self.root / "var/lib/holdfast/audit/trail.jsonl").read_text().splitlines()
        halted_s, tripped_ns = 0.0, None
        for line in map(json.loads, lines):
            if line["ts_ns"] < since_s * 1e9 or line["operator"] != OPERATOR:
                continue
            if line["action"] in {"trip", "emergency_stop"}:
                tripped_ns = tripped_ns or line["ts_ns"]
            elif line["action"] == "reset" and tripped_ns is not None:
                halted_s += (line["ts_ns"] - tripped_ns) / 1e9
                tripped_ns = None
        return round(halted_s, 1)

    def _variables(self) -> list[str]:
        """Return the options that make the strategies trade all the time, and the secrets once they were changed."""
        inventory = yaml.safe_load((releases.ROOT / HOLDFAST_VARIABLES).read_text())
        system = inventory["holdfast_system"]
        for strategy in system["strategies"]:
            strategy["parameters"] = PULSE
        (self.folder / "load.json").write_text(json.dumps({"holdfast_system": system}))
        files = [self.folder / "load.json", self.folder / "secrets.json"]
        return [word for file in files if file.exists() for word in ("-e", f"@{file}")]

    def write_secrets(self) -> tuple[str, ...]:
        """Let the inventory have new secrets; return the option that tells the venue, which ends the old key."""
        inventory = yaml.safe_load((releases.ROOT / HOLDFAST_VARIABLES).read_text())
        new = self.secrets
        credentials = inventory["holdfast_credentials"]
        credentials |= {"alpaca_api_key": new["key"], "alpaca_api_secret": new["secret"]}
        credentials |= {"watchdog_api_key": new["key"], "watchdog_api_secret": new["secret"]}
        passwords = {"holdfast_recorder": new["recorder"], "holdfast_execution_engine": new["engine"]}
        file = self.folder / "secrets.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"holdfast_credentials": credentials, "postgresql_passwords": passwords}))
        pair = self.folder / "venue-key.json"
        pair.touch(mode=0o600)
        pair.write_text(json.dumps({"key_id": new["key"], "secret_key": new["secret"]}))
        ask = [*network.enter(self.lab), sys.executable, "-c", ASK_VENUE, f"{self.folder}/venue/ca.pem", str(pair)]
        return ("-e", json.dumps({"rotate_venue_command": ask}))

    @staticmethod
    def _secrets(word: str) -> dict[str, str]:
        return {
            "key": f"PK{word.upper()}{os.urandom(6).hex().upper()}",
            "secret": f"{word}-{os.urandom(12).hex()}",
            "recorder": f"{word}-{os.urandom(12).hex()}",
            "engine": f"{word}-{os.urandom(12).hex()}",
        }

    def _tells_no_secret(self, file: Path) -> None:
        told = file.read_text()
        known = [*self.secrets.values(), *SECRETS_BEFORE]
        if any(secret in told for secret in known):
            raise LabError(f"{file} holds a secret")


def rehearse(lab: str) -> dict[str, Any]:
    """Go through all of it; what went wrong is in the answer, with all that was seen until then."""
    course = Rehearsal(lab)
    newer, failing = releases.build(lab, "newer"), releases.build(lab, "failing")
    provisioned = course.provision()
    error = ""
    try:
        go_through(course, newer, failing)
    except LabError as found:
        error = str(found)
    return {
        "host": {course.host.name: course.host.address},
        "provision_s": provisioned.seconds,
        "phases": [asdict(phase) | {"ok": phase.is_well} for phase in course.phases],
        "error": error,
        "ok": not error and all(phase.is_well for phase in course.phases),
    }


def go_through(course: Rehearsal, newer: Path, failing: Path) -> None:
    """Upgrade, fail to, take back, change secrets, halt, look."""
    first = course.generation()
    limits = _with_limit(LIMIT_AFTER)

    with course.phase("upgrade") as phase:
        phase.seconds = course.play("deploy.yml", "upgrade", *_release(newer), *limits).seconds
        second = course.generation()
        _expect(phase, second > first, f"generation {second} runs, expected one after {first}")
        _expect(phase, f"{LIMIT} = {LIMIT_AFTER}" in course.limits(), "the release's configuration is not there")
    with course.phase("upgrade again: nothing to do") as phase:
        again = course.play("deploy.yml", "upgrade-again", *_release(newer), *limits)
        phase.seconds = again.seconds
        _expect(phase, again.changed == 0, f"changed={again.changed}, expected 0")
    with course.phase("failing upgrade") as phase:
        done = course.play("deploy.yml", "failing", *_release(failing), *limits, fails="the release was taken back")
        phase.seconds = done.seconds
        _expect(phase, course.generation() == second, f"generation {course.generation()} runs, expected {second}")
    with course.phase("rollback") as phase:
        phase.seconds = course.play("rollback.yml", "rollback", "-e", "reason=rehearsal").seconds
        _expect(phase, course.generation() == first, f"generation {course.generation()} runs, expected {first}")
        _expect(phase, f"{LIMIT} = {LIMIT_BEFORE}" in course.limits(), "the configuration did not go back")
        _expect(phase, phase.seconds <= ROLLBACK_S_MAX, f"took {phase.seconds} s, {ROLLBACK_S_MAX} s are allowed")
    _expect(
        phase, max(phase.engine_gaps_s) <= ENGINE_GAP_S_MAX, f"execution-engine was away for {phase.engine_gaps_s} s"
    )
    with course.phase("new secrets") as phase:
        phase.seconds = course.play("rotate_secrets.yml", "rotate", *course.write_secrets()).seconds
    with course.phase("new secrets again: nothing to do") as phase:
        again = course.play("rotate_secrets.yml", "rotate-again")
        phase.seconds = again.seconds
        _expect(phase, again.changed == 0, f"changed={again.changed}, expected 0")
    with course.phase("halt") as phase:
        phase.seconds = course.play("halt.yml", "halt", "-e", "reason=rehearsal").seconds
        again = course.play("halt.yml", "halt-again", "-e", "reason=rehearsal")
        _expect(phase, again.changed == 0, f"a second halt: changed={again.changed}, expected 0")
        do(course.host, f"holdfast reset --operator {OPERATOR} --reason rehearsal --resume-venue")
    look(course, newer)


def look(course: Rehearsal, newer: Path) -> None:
    """Let check.yml find the host as it was made, then what is changed by hand; try every playbook without effect."""
    with course.phase("check") as phase:
        phase.seconds = course.play("check.yml", "check").seconds
        file = course.root / "etc/holdfast/risk_limits.toml"
        text, times = file.read_text(), file.stat()
        file.write_text(f"{text}# by hand\n")
        course.play("check.yml", "check-drift", fails="risk_limits.toml")
        file.write_text(text)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        for playbook in ("deploy.yml", "rollback.yml", "halt.yml", "check.yml", "rotate_secrets.yml", "site.yml"):
            words = _release(newer) if playbook == "deploy.yml" else ()
            course.play(playbook, f"dry-{playbook}", "--check", "--diff", "-e", "reason=rehearsal", *words)


def _release(archive: Path) -> tuple[str, ...]:
    return ("-e", f"release_archive={archive}", "-e", f"release_public_key={archive.with_name('release.pub')}")


def _with_limit(value: int) -> tuple[str, ...]:
    inventory = yaml.safe_load((releases.ROOT / HOLDFAST_VARIABLES).read_text())
    return ("-e", json.dumps({"holdfast_limits": inventory["holdfast_limits"] | {LIMIT: value}}))


def _expect(phase: Phase, is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - a claim and what its failure means
    if not is_so:
        phase.wrong.append(otherwise)


def tell(answer: dict[str, Any], *, is_json: bool) -> int:
    """Print the answer and return the exit code."""
    if is_json:
        sys.stdout.write(json.dumps(answer) + "\n")
        return 0 if answer["ok"] else 1
    row = "{:34} {:>7} {:>9} {:>8} {:>13} {:>13} {:>6}  {}\n".format
    sys.stdout.write(row("", "seconds", "halted s", "gaps s", "orders", "fills", "equal", ""))
    for phase in answer["phases"]:
        gaps = " ".join(map(str, phase["engine_gaps_s"])) or "none"
        counts = [f"{before} > {after}" for before, after in (phase["orders"], phase["fills"])]
        trouble = "; ".join(phase["violations"] + phase["wrong"]) or "well"
        equal = "yes" if phase["fills_equal"] else "NO"
        sys.stdout.write(row(phase["name"], phase["seconds"], phase["halted_s"], gaps, *counts, equal, trouble))
    if answer["error"]:
        sys.stdout.write(f"it ended early: {answer['error']}\n")
    sys.stdout.write(f"{'all is well' if answer['ok'] else 'NOT ALL IS WELL'}\n")
    return 0 if answer["ok"] else 1
