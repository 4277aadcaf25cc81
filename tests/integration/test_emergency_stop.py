"""The emergency stop against the simulated venue, with nothing else running; the venue's ledger is the judge."""

import json
import shutil
import subprocess
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fix_tell import Tell
from fix_venue import RunningVenue, StartVenue
from holdfast import clock
from holdfast._native import KillLatch
from holdfast.cli import emergency_stop, flatten, reset
from holdfast.emergency_stop import UNSAID, set_latch
from stopping import ENDED, STORM, Account, arguments_of, lonely_script, run_script, write_credentials
from trading_day import make_settings

app = typer.Typer()
for command in (emergency_stop, flatten, reset):
    command.register(app)


@pytest.fixture
def account(start_venue: StartVenue) -> Account:
    account = Account(start_venue(speed=1, partial_fills=0))
    account.fill()
    return account


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    KillLatch(str(tmp_path / "state" / "latch"))
    return tmp_path / "state"


def open_orders(venue: RunningVenue) -> list[dict[str, Any]]:
    """Orders that the ledger does not see ended."""
    return [order for order in venue.ledger().orders().values() if order["status"] not in ENDED]


def test_everything_is_canceled_proven_and_suspended_by_one_file_alone(
    tmp_path: Path, state: Path, account: Account
) -> None:
    code, report, printed = run_script(lonely_script(tmp_path), *arguments_of(tmp_path, account.venue))
    latch = KillLatch(str(state / "latch"))
    assert (code, report["ok"], report["notes"]) == (0, True, [])
    assert (latch.is_set, latch.operator, latch.reason) == (True, "ann", UNSAID)
    assert 0 <= clock.now_ns() - latch.ts_ns < 60 * 10**9
    assert open_orders(account.venue) == []
    assert set(account.statuses()) <= ENDED
    assert len(report["positions"]) == 0
    assert max(report["times_s"].values()) < 10
    assert account.venue.secret_key not in printed
    assert account.venue.key_id not in printed
    with pytest.raises(urllib.error.HTTPError, match="403"):
        account.order(limit_price="1")


def test_flatten_closes_every_position_in_session(tmp_path: Path, state: Path, account: Account) -> None:
    script, arguments = lonely_script(tmp_path), arguments_of(tmp_path, account.venue)
    code, report, _ = run_script(script, *arguments, "--flatten")
    assert (code, report["is_flat"], report["is_suspended"]) == (0, True, True), report
    assert account.venue.ledger().positions_e9() == {}
    assert open_orders(account.venue) == []
    assert run_script(script, *arguments, "--flatten")[0] == 0
    assert KillLatch(str(state / "latch")).is_set


@pytest.fixture
def closed_account(start_venue: StartVenue) -> Account:
    """A position, and a venue whose session is over."""
    account = Account(start_venue(speed=20, partial_fills=0, start="2025-11-24T15:59:00-05:00"))
    account.fill()
    account.until(lambda: not account.ask("GET", "/v2/clock")["is_open"])
    return account


@pytest.mark.usefixtures("state")
def test_nothing_is_queued_for_the_next_session_unless_asked(tmp_path: Path, closed_account: Account) -> None:
    venue, script = closed_account.venue, lonely_script(tmp_path)
    arguments = [*arguments_of(tmp_path, venue), "--flatten", "--no-suspend"]
    code, report, _ = run_script(script, *arguments)
    assert (code, report["is_flat"], report["has_no_orders"]) == (1, False, True)
    assert list(report["positions"]) == ["BAC"]
    assert any("session closed until" in note for note in report["notes"])
    assert open_orders(venue) == []
    code, report, _ = run_script(script, *arguments, "--queue")
    assert (code, report["is_flat"]) == (1, False)
    assert [(order["symbol"], order["status"]) for order in open_orders(venue)] == [("BAC", "accepted")]


def test_a_storm_of_429_is_outlasted(tmp_path: Path, state: Path, account: Account) -> None:
    account.fault(STORM)
    code, report, _ = run_script(lonely_script(tmp_path), *arguments_of(tmp_path, account.venue))
    assert code == 0, report
    assert report["rate_limited"] > 0
    assert open_orders(account.venue) == []
    assert KillLatch(str(state / "latch")).is_set


@pytest.mark.usefixtures("state")
def test_errors_resets_silence_and_garbage_are_outlasted(tmp_path: Path, account: Account) -> None:
    answers = ["answer = 'status'\nstatus = 503", "answer = 'reset'", "answer = 'garbage'", "answer = 'slow'"]
    tables = [f"[[http]]\nroute = '* *'\n{answer}\nprobability = 0.12\n" for answer in answers]
    lies = "[[http]]\nroute = '* *'\neffect = 'drop'\nanswer = 'status'\nstatus = 200\nprobability = 0.3\n"
    account.fault("seed = 2\n" + "".join([*tables, lies]))
    code, report, printed = run_script(lonely_script(tmp_path), *arguments_of(tmp_path, account.venue))
    assert code == 0, printed
    assert sum(report["failures"].values()) > 0
    assert open_orders(account.venue) == []


@pytest.mark.usefixtures("state")
def test_what_is_not_proven_is_not_claimed(tmp_path: Path, account: Account) -> None:
    account.fault(STORM.replace("probability = 0.6", ""))
    code, report, _ = run_script(
        lonely_script(tmp_path), *arguments_of(tmp_path, account.venue), "--deadline-s", "4", "--flatten"
    )
    assert (code, report["ok"], report["has_no_orders"], report["is_flat"]) == (1, False, False, False)
    assert report["is_latched"]
    account.heal()
    account.fault("[[http]]\nroute = 'DELETE *'\neffect = 'drop'\nanswer = 'status'\nstatus = 204\n")
    code, report, _ = run_script(
        lonely_script(tmp_path), *arguments_of(tmp_path, account.venue), "--deadline-s", "5", "--no-suspend"
    )
    assert (code, report["has_no_orders"]) == (1, False)
    listed = {line.split()[0] for line in report["orders_open"]}
    assert set() < listed <= {order["id"] for order in open_orders(account.venue)}


def test_it_works_while_the_disk_is_full(tmp_path: Path, account: Account, tell: Tell) -> None:
    unshare = shutil.which("unshare")
    probe = [str(unshare), "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /tmp && echo yes"]
    if not unshare or subprocess.run(probe, capture_output=True, check=False).stdout != b"yes\n":
        pytest.skip("this host lets nobody mount a small file system")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    KillLatch(str(fresh / "latch"))
    state = tmp_path / "state"
    state.mkdir()
    steps = [
        f"mount -t tmpfs -o size=64k tmpfs {state}",
        f"cp {fresh}/latch {state}/latch",
        f"dd if=/dev/zero of={state}/fill bs=1k 2>/dev/null",
        f"! sh -c 'echo x > {state}/more' 2>/dev/null",
        'if "$@"; then echo x | dd of=/dev/null 2>/dev/null; else exit 9; fi',
        f"cat {state}/latch > {fresh}/after",
    ]
    shell = [unshare, "-rm", "sh", "-c", " && ".join(steps[:3]) + f"; {steps[3]} && {steps[4]} && {steps[5]}", "sh"]
    code, report, printed = run_script(
        lonely_script(tmp_path), *arguments_of(tmp_path, account.venue), "--flatten", prefix=shell
    )
    assert code == 0, printed
    assert (report["latch"], report["is_flat"], report["is_suspended"]) == ("set", True, True)
    shutil.copy(fresh / "after", fresh / "latch")
    latch = KillLatch(str(fresh / "latch"))
    assert (latch.is_set, latch.operator) == (True, "ann")
    assert open_orders(account.venue) == []
    tell(f"disk full: {report}")


def test_the_latch_is_set_even_when_the_venue_cannot_be_asked(tmp_path: Path, state: Path) -> None:
    script = lonely_script(tmp_path)
    code, report, _ = run_script(script, "--state", str(state), "--url", "https://127.0.0.1:1", "--json")
    assert (code, report["is_latched"]) == (78, True)
    assert KillLatch(str(state / "latch")).is_set
    (state / "latch").unlink()
    assert run_script(script, "--state", str(state), "--json")[0] == 78
    assert KillLatch(str(state / "latch")).is_set


@pytest.mark.parametrize("generation", [0, 2, 254, 255, 256, 65_534])
def test_the_scripts_latch_is_the_services_latch(state: Path, generation: int) -> None:
    file = state / "latch"
    page = bytearray(file.read_bytes())
    page[8:16] = generation.to_bytes(8, "little")
    file.write_bytes(page)
    latch = KillLatch(str(file))
    assert set_latch(file, "ann", "a reason") == ("set" if generation % 2 == 0 else "was set")
    assert latch.is_set
    assert latch.generation >= generation
    assert latch.reason == ("a reason" if generation % 2 == 0 else "")
    assert latch.reset("bob", "over", clock.now_ns())
    assert not latch.is_set


@pytest.fixture
def config(tmp_path: Path, state: Path, account: Account) -> Path:
    venue = account.venue
    settings = make_settings(state).model_dump(mode="json", include={"symbols", "venue"})
    raw = settings | {"state_dir": str(state)}
    raw["venue"] |= {"trading_url": venue.url, "ca_file": str(venue.ca_file)}
    (tmp_path / "system.json").write_text(json.dumps(raw))
    return tmp_path


def test_the_commands_are_the_script(
    tmp_path: Path, config: Path, state: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = write_credentials(tmp_path, account.venue)
    common = ["--config", str(config), "--credentials", str(credentials), "--operator", "ann"]
    done = CliRunner().invoke(app, ["flatten", *common, "--reason", "too long", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["is_flat"] is True
    assert KillLatch(str(state / "latch")).reason == "too long"
    assert account.order(limit_price="1")["status"]
    nameless = [each for each in common if each not in {"--operator", "ann"}]
    for name in ("USER", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(app, ["emergency-stop", *nameless])
    assert done.exit_code == 0, done.output
    assert UNSAID in (state / "audit" / "trail.jsonl").read_text()
    assert "PROVEN" in done.stdout
    assert open_orders(account.venue) == []
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    lift = ["reset", "--config", str(config), "--operator", "bob", "--reason", "drill over", "--resume-venue"]
    done = CliRunner().invoke(app, lift, env=environment)
    assert done.exit_code == 0, done.output
    assert account.order(limit_price="1")["status"]
    assert not KillLatch(str(state / "latch")).is_set
