"""What is asked for at the end of a run, and the counters: each checker is shown evidence that it must refuse."""

import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast import _native as native
from holdfast.campaign.mutation import LINES, mutated, mutations, write_mutation
from holdfast.errors import ConfigError
from holdfast.invariants import BadStart, Ending, Evidence, StoredJournals, check
from holdfast.invariants.secrets import files_with, texts_of_process, texts_with
from holdfast.settings.risk_limits import FILE, parse_risk_limits
from holdfast.venues.simulated.ledger import Ledger
from trading_day import Day, make_settings

SHIPPED = Path(__file__).resolve().parents[2] / "config"
MONDAY, SATURDAY, TUESDAY = 20_416, 20_421, 20_417
"""Days since 1970: of the trading day's Monday, 2025-11-24, the Saturday and the Tuesday after it."""
DAY_NS = 86_400 * 10**9
SECRET = "word-that-nobody-else-writes"
COUNTERS = "counters_reset_by_session_or_operator"


@pytest.fixture
def day(tmp_path: Path) -> Day:
    return Day(make_settings(tmp_path))


def venue_started(day: Day, ahead_ns: int) -> dict[str, Any]:
    return {"kind": "venue_started", "cash_e9": 0, "host_ns": day.ts_ns, "start_ns": day.ts_ns + ahead_ns}


def names(day: Day, ending: Ending | None = None, *, ahead_ns: int = DAY_NS) -> set[str]:
    """Return what finds fault with a day at a venue whose time is so far ahead of the host's."""
    ledger = Ledger([venue_started(day, ahead_ns)])
    evidence = Evidence(ledger=ledger, journals=StoredJournals(day.settings), ending=ending or Ending())
    return {violation.name for violation in check(evidence)}


def state(day: Day, number: int, generation: int = 0, *, is_active: bool = True) -> None:
    code = native.TradingStateCode.ACTIVE if is_active else native.TradingStateCode.HALTED
    detail = f"latch=clear generation={generation} reconciled=yes day={number}"
    day.write("orders", native.TradingState(state=code, detail=detail))


@pytest.mark.parametrize(
    ("days", "is_found"),
    [([MONDAY, TUESDAY], False), ([TUESDAY, MONDAY], True), ([MONDAY, SATURDAY], True), ([MONDAY, MONDAY], False)],
)
def test_a_session_day_that_falls_or_has_no_session_is_seen(day: Day, days: list[int], *, is_found: bool) -> None:
    for number in days:
        state(day, number)
    assert (COUNTERS in names(day)) == is_found


@pytest.mark.parametrize(("number", "is_found"), [(MONDAY, False), (TUESDAY, True)])
@pytest.mark.parametrize("ahead_ns", [0, DAY_NS])
def test_a_session_day_before_it_began_is_seen_where_the_venue_lives_today(
    day: Day, number: int, ahead_ns: int, *, is_found: bool
) -> None:
    state(day, number)
    assert (COUNTERS in names(day, ahead_ns=ahead_ns)) == (is_found and not ahead_ns)


@pytest.mark.parametrize(
    ("later", "clears_ns", "is_found"),
    [((MONDAY, 0), 0, True), ((MONDAY, 2), 0, False), ((TUESDAY, 0), 0, False), ((MONDAY, 0), 1, False)],
)
def test_a_breaker_that_a_restart_forgets_is_seen(
    day: Day, later: tuple[int, int], clears_ns: int, *, is_found: bool
) -> None:
    state(day, MONDAY)
    day.write("orders", native.BreakerTripped(rule=native.Reason.DAILY_LOSS, clears_ns=clears_ns))
    state(day, MONDAY, is_active=False)
    assert COUNTERS not in names(day)
    state(day, *later)
    assert (COUNTERS in names(day)) == is_found


@pytest.mark.parametrize(("operator", "is_found"), [("ann", False), ("", True), (None, True)])
def test_a_strategy_that_enters_again_unasked_is_seen(day: Day, operator: str | None, *, is_found: bool) -> None:
    day.write("orders", native.BreakerTripped(rule=native.Reason.REPEAT_EXECUTION, strategy="steady"))
    assert COUNTERS not in names(day)
    if operator is not None:
        switch: dict[str, Any] = {"operator": operator, "reason": "looked into", "strategy": "steady"}
        day.write("control", native.StrategySwitch(is_enabled=1, **switch))
    day.order(native.Side.BUY, 100_000_000_000)
    assert (COUNTERS in names(day)) == is_found


@pytest.mark.parametrize(
    ("exit_code", "is_ready", "is_found"), [(78, False, False), (None, True, True), (1, False, True), (0, False, True)]
)
def test_a_start_on_a_bad_configuration_is_seen(
    day: Day, exit_code: int | None, *, is_ready: bool, is_found: bool
) -> None:
    start = BadStart(service="risk-manager", change="quantity_max zero", is_ready=is_ready, exit_code=exit_code)
    assert ("no_start_on_a_bad_configuration" in names(day, Ending(bad_start=start))) == is_found


def test_every_spoiled_limit_is_refused_by_its_name() -> None:
    text = (SHIPPED / FILE).read_text()
    all_of_them = mutations(text)
    assert len(all_of_them) == len(LINES) * sum(
        " = " in line and line.split()[-1][0].isdigit() for line in text.splitlines()
    )
    for name, place in all_of_them:
        raw = tomllib.loads(mutated(text, name, place), parse_float=Decimal)
        with pytest.raises(ConfigError):
            parse_risk_limits(raw, file=Path(FILE), environment="development", overrides={})


def test_a_mutation_is_its_seeds_and_changes_one_line(tmp_path: Path) -> None:
    changes = {write_mutation(SHIPPED, tmp_path / str(number), seed=number) for number in range(8)}
    assert len(changes) > 1
    assert write_mutation(SHIPPED, tmp_path / "again", seed=3) in changes
    before, after = (SHIPPED / FILE).read_text(), (tmp_path / "3" / FILE).read_text()
    assert (tmp_path / "again" / FILE).read_text() == after
    assert sum(a != b for a, b in zip(before.splitlines(), after.splitlines(), strict=True)) == 1


def test_a_secret_outside_of_the_credential_directory_is_seen(day: Day, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "alpaca_api_secret").write_text(SECRET)
    assert files_with([SECRET], tmp_path, except_for=[credentials]) == []
    day.write("control", native.Trip(operator="ann", reason=f"key {SECRET}"))
    found = files_with([SECRET], tmp_path, except_for=[credentials])
    assert len(found) == 1
    assert found[0].startswith("journals/control/")
    assert "secrets_stay_in_the_credential_directory" in names(day, Ending(secrets_found=tuple(found)))
    assert "secrets_stay_in_the_credential_directory" not in names(day, Ending(secrets_found=()))


def test_a_secret_in_arguments_or_environment_of_a_process_is_seen() -> None:
    program = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, SECRET],
        env={"ALPACA_API_SECRET": SECRET},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        texts = texts_of_process("one", process.pid)
        process.communicate()
    assert texts_with([SECRET], texts) == ["cmdline of one", "environ of one"]
    assert texts_with(["another"], texts) == []
