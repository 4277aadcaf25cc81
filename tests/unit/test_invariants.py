"""The judge sees what is missing, doubled or unanswered: each checker is shown evidence that it must refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast import _native as native
from holdfast.invariants import CHECKERS, Closure, Ending, Evidence, StoredJournals, check
from holdfast.invariants.gate import no_entry_before_reconciled
from holdfast.invariants.senders import one_sender_at_a_time
from holdfast.venues.simulated.ledger import Ledger
from trading_day import Day, make_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def names(evidence: Evidence) -> set[str]:
    return {violation.name for violation in check(evidence)}


@pytest.fixture
def day(tmp_path: Path) -> Day:
    return Day(make_settings(tmp_path))


def evidence_of(day: Day, *lines: dict[str, object], venue: Mapping[str, object] | None = None) -> Evidence:
    return Evidence(ledger=Ledger(list(lines)), journals=StoredJournals(day.settings), ending=Ending(venue=venue))


@pytest.mark.parametrize(
    ("venue", "broken"),
    [
        ({"quotes_sent": 2, "trades_sent": 0}, set()),
        ({"quotes_sent": 3, "trades_sent": 0}, {"every_quote_journaled"}),
        ({"quotes_sent": 2, "trades_sent": 1, "is_done": False}, {"every_trade_journaled"}),
        ({}, {"every_quote_journaled", "every_trade_journaled"}),
        (None, set()),
    ],
)
def test_a_recorded_session_is_compared_always_and_no_answer_is_a_failure(
    day: Day, venue: Mapping[str, object] | None, broken: set[str]
) -> None:
    day.quote()
    day.quote()
    assert names(evidence_of(day, venue=venue)) == broken


@pytest.mark.parametrize(
    ("words", "is_over", "is_found"),
    [
        ("live gap live repair", True, False),
        ("live gap live", True, True),
        ("live gap", True, False),
        ("live gap", False, True),
        ("live gap history", True, False),
        ("live gap live gap history", True, False),
        ("live gap live gap history live", True, True),
    ],
)
def test_a_gap_that_was_not_repaired_is_seen_unless_the_session_ended_in_it(
    *, day: Day, words: str, is_over: bool, is_found: bool
) -> None:
    for word in words.split():
        if word in {"gap", "repair"}:
            day.write("market_data", native.Gap(channel=native.Channel.ALL, is_repaired=int(word == "repair")))
        else:
            day.quote(is_recovered=word == "history")
    lines: list[dict[str, object]] = [{"kind": "session_end"}] if is_over else []
    assert ("every_gap_repaired" in names(evidence_of(day, *lines))) == is_found


def test_a_fill_that_the_venue_never_made_is_invented(day: Day) -> None:
    day.order(native.Side.BUY, 100_000_000_000)
    found = names(evidence_of(day))
    assert {"every_fill_exactly_once", "positions_match", "cash_matches"} <= found


@pytest.mark.parametrize(
    ("status", "time_in_force", "is_over", "is_found"),
    [
        ("accepted", "day", True, True),
        ("accepted", "gtc", True, False),
        ("expired", "day", True, False),
        ("accepted", "day", False, False),
    ],
)
def test_an_order_that_waits_for_the_next_session_is_seen(
    *, day: Day, status: str, time_in_force: str, is_over: bool, is_found: bool
) -> None:
    order = {"id": "1", "client_order_id": "hf-1-1", "symbol": "IBM", "side": "sell", "status": status}
    lines: list[dict[str, object]] = [
        {"kind": "order", "data": {"event": "accepted", "order": order | {"time_in_force": time_in_force}}}
    ]
    if is_over:
        lines.append({"kind": "session_end"})
    assert ("no_order_queued_by_accident" in names(evidence_of(day, *lines))) == is_found


@pytest.mark.parametrize(
    ("client", "is_reduction", "is_announced", "is_found"),
    [
        ("holdfast-execution-engine/7", False, True, False),
        ("holdfast-execution-engine/7", False, False, True),
        ("holdfast-watchdog/0.1.0", False, False, False),
        ("holdfast-watchdog/0.1.0", True, False, True),
        ("", False, False, True),
    ],
)
def test_a_cancel_is_announced_or_the_watchdogs_of_an_entry(
    *, day: Day, client: str, is_reduction: bool, is_announced: bool, is_found: bool
) -> None:
    client_order_id = day.order(native.Side.BUY, 100_000_000_000, is_reduction=is_reduction)
    if is_announced:
        kind = native.OrderEventKind.CANCEL_REQUESTED
        day.write("executions", native.OrderEvent(kind=kind, client_order_id=client_order_id))
    order = {
        "id": "1",
        "client_order_id": client_order_id,
        "symbol": "AAPL",
        "side": "buy",
        "status": "canceled",
        "filled_qty": "0",
    }
    lines: list[dict[str, object]] = [
        {
            "kind": "order",
            "data": {"event": "new", "order": order | {"time_in_force": "day", "qty": "10", "filled_avg_price": None}},
        },
        {"kind": "request", "method": "DELETE", "path": "/v2/orders/1", "body": None, "client": client}
        | {"number": 1, "host_ns": day.ts_ns + 1},
    ]
    assert ("no_cancel_of_another_order" in names(evidence_of(day, *lines))) == is_found


@pytest.mark.parametrize(
    ("late_ns", "is_reduction", "is_found"),
    [(2_900_000_000, False, False), (3_100_000_000, False, True), (30_000_000_000, True, False)],
)
def test_an_entry_that_arrives_long_after_its_approval_is_seen(
    *, day: Day, late_ns: int, is_reduction: bool, is_found: bool
) -> None:
    client_order_id = day.order(native.Side.BUY, 100_000_000_000, is_reduction=is_reduction)
    approved_ns = next(record.ts_ns for record in evidence_of(day).decided if isinstance(record, native.Decision))
    body = {"client_order_id": client_order_id, "symbol": "AAPL", "side": "buy", "qty": "10"}
    line = {"kind": "request", "method": "POST", "path": "/v2/orders", "body": body, "number": 1, "client": ""}
    found = names(evidence_of(day, line | {"host_ns": approved_ns + late_ns}))
    assert ("no_entry_arrives_late" in found) == is_found


def test_every_checker_has_a_name_of_its_own_and_a_number_of_the_contract() -> None:
    assert len({checker.name for checker in CHECKERS}) == len(CHECKERS)
    assert all(1 <= checker.invariant <= 20 for checker in CHECKERS)


@pytest.mark.parametrize(("is_reset_before", "is_found"), [(False, True), (True, False)])
def test_an_entry_under_the_kill_latch_is_seen(*, day: Day, is_reset_before: bool, is_found: bool) -> None:
    words = {"operator": "ann", "reason": "drill"}
    day.write("control", native.Trip(ts_event_ns=day.ts_ns - 2_000_000_000, **words))
    if is_reset_before:
        day.write("control", native.Reset(ts_event_ns=day.ts_ns - 1_000_000_000, **words))
    day.order(native.Side.BUY, 100_000_000_000)
    assert ("no_entry_while_closed" in names(evidence_of(day))) == is_found


def test_an_entry_while_a_needed_service_was_frozen_is_seen(day: Day) -> None:
    closure = Closure(day.ts_ns, day.ts_ns + 1_000_000_000, "risk-manager was silent for a second")
    evidence = Evidence(ledger=Ledger([]), journals=StoredJournals(day.settings), closures=(closure,))
    assert "no_entry_while_closed" not in names(evidence)
    day.order(native.Side.BUY, 100_000_000_000)
    assert "no_entry_while_closed" in names(
        Evidence(ledger=Ledger([]), journals=StoredJournals(day.settings), closures=(closure,))
    )


@pytest.mark.parametrize(("late_s", "in_flight_s", "is_found"), [(0.5, 0.0, True), (2.5, 3.0, False), (3.5, 3.0, True)])
def test_an_earlier_sender_is_seen_unless_its_bytes_were_on_the_way(
    *, day: Day, late_s: float, in_flight_s: float, is_found: bool
) -> None:
    def request(token: int, at_s: float) -> dict[str, object]:
        client = f"holdfast-execution-engine/{token}"
        return {"kind": "request", "number": 1, "client": client, "host_ns": int(at_s * 1e9), "method": "GET"}

    lines = [request(1, 1.0), request(2, 2.0), request(2, 2.0 + late_s / 2), request(1, 2.0 + late_s)]
    evidence = replace(evidence_of(day, *lines), in_flight_s=in_flight_s)
    assert bool(list(one_sender_at_a_time(evidence))) == is_found


@pytest.mark.parametrize(
    ("sessions", "is_found"),
    [
        ([(1, -30.0, 60.0)], False),
        ([(1, -30.0, 60.0), (2, -0.5, 60.0)], True),
        ([(1, -30.0, 60.0), (2, -0.5, -0.4)], False),
    ],
)
def test_an_entry_before_a_session_was_compared_is_seen_unless_that_session_was_over(
    *, day: Day, sessions: list[tuple[int, float, float]], is_found: bool
) -> None:
    scope = native.ReconcileScope.OPEN_ORDERS
    day.write("executions", native.Reconciled(scope=scope, is_complete=1))
    compared_ns = day.ts_ns
    day.ts_ns += 2 * 10**9
    day.order(native.Side.BUY, 100_000_000_000)
    lines: list[dict[str, object]] = [
        {"kind": kind, "stream": "trade_updates", "session": session, "host_ns": compared_ns + int(at_s * 1e9)}
        for session, begun_s, over_s in sessions
        for kind, at_s in (("stream_listening", begun_s), ("stream_closed", over_s))
    ]
    late = [line | {"host_ns": int(str(line["host_ns"])) + 10**9} for line in lines if line["session"] == 2]
    whole = [line for line in lines if line["session"] == 1] + late
    assert bool(list(no_entry_before_reconciled(evidence_of(day, *whole)))) == is_found
