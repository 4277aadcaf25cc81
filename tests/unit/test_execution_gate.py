"""Every fact closes the last-instant gate by itself, and its boundary passes."""

from dataclasses import dataclass
from typing import Any

import pytest

from holdfast import clock
from holdfast._native import (
    Decision,
    IntentAction,
    OrderTable,
    OrderType,
    Reason,
    Side,
    TimeInForce,
    TradingStateCode,
    Verdict,
)
from holdfast.execution.clock_health import DIFFERENCE_NS_MAX, STEP_NS_MAX, ClockHealth
from holdfast.execution.gate import E9, LOOK_AGE_NS_MAX, Gate, flips
from holdfast.execution.sender import expired

NOW_NS = 1_700_000_000 * 10**9
SECOND_NS = 10**9


@dataclass
class Facts:
    """Stands for a journal's page, the latch, the stream and the halts."""

    heartbeat_ns: int = NOW_NS
    build_hash: int = 1
    config_hash: int = 2
    is_set: bool = False
    is_linked: bool = True
    is_live: bool = True
    is_winding_down: bool = False
    session: int = 3
    halted: tuple[str, ...] = ()

    def catch_up(self) -> None:
        """Everything is read."""

    def is_halted(self, symbol: str, /) -> bool:
        return symbol in self.halted


def gate_with(**facts: Any) -> Gate:  # noqa: ANN401 - any fact
    page = {key: value for key, value in facts.items() if key in Facts.__dataclass_fields__}
    own = {key: value for key, value in facts.items() if key not in page}
    whole: dict[str, Any] = {
        "latch": Facts(**page),
        "stream": Facts(**page),
        "lease": Facts(**page),
        "halts": Facts(**page),
        "build_hash": 1,
        "config_hash": 2,
        "pages": {"market_data": Facts(), "signals": Facts(**page), "orders": Facts(**page)},
        "state": TradingStateCode.ACTIVE,
        "limits_hash": 9,
        "reconciled_session": 3,
        "is_reconcile_fresh": True,
        "is_venue_open": True,
    }
    gate = Gate(**(whole | own))
    gate.look()
    return gate


class Journaled:
    """A decision as read from its journal: with a time and an origin."""

    def __init__(self, *, ts_ns: int = NOW_NS, origin_ns: int = NOW_NS, **fields: Any) -> None:  # noqa: ANN401
        whole: dict[str, Any] = {"symbol": "IBM", "limits_hash": 9, "time_in_force": TimeInForce.DAY}
        self._decision = Decision(**(whole | fields))
        self.ts_ns = ts_ns
        self.origin_ns = origin_ns

    def __getattr__(self, name: str) -> object:
        return getattr(self._decision, name)


def rule_of(gate: Gate, **fields: Any) -> Reason | None:  # noqa: ANN401
    closed = gate.closed(Journaled(**fields), NOW_NS)  # type: ignore[arg-type]
    return closed.rule if closed else None


def test_the_gate_is_open_when_every_fact_holds_up_to_its_boundary() -> None:
    assert rule_of(gate_with()) is None
    assert rule_of(gate_with(heartbeat_ns=NOW_NS - SECOND_NS)) is None
    assert rule_of(gate_with(), ts_ns=NOW_NS - SECOND_NS, origin_ns=NOW_NS - SECOND_NS) is None
    assert rule_of(gate_with(), expires_ns=NOW_NS + 1) is None


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"is_set": True}, Reason.KILL_LATCH),
        ({"is_linked": False}, Reason.KILL_LATCH),
        ({"state": TradingStateCode.REDUCING}, Reason.STATE_REDUCING),
        ({"state": TradingStateCode.HALTED}, Reason.STATE_HALTED),
        ({"state": TradingStateCode.NONE}, Reason.STATE_HALTED),
        ({"is_live": False}, Reason.STREAM_DOWN),
        ({"is_winding_down": True}, Reason.LEASE_OVER),
        ({"session": 4}, Reason.NOT_RECONCILED),
        ({"is_reconcile_fresh": False}, Reason.NOT_RECONCILED),
        ({"pages": {}}, Reason.STREAM_DOWN),
        ({"halted": ("IBM",)}, Reason.SYMBOL_HALTED),
        ({"halted": ("SPY",)}, None),
        ({"halts": None}, Reason.QUOTE_MISSING),
        ({"session_trouble": "closed by the calendar"}, Reason.SESSION_CLOSED),
        ({"build_hash": 8}, None),
        ({"heartbeat_ns": NOW_NS - SECOND_NS - 1}, Reason.RISK_HEARTBEAT),
        ({"heartbeat_ns": NOW_NS + SECOND_NS + 1}, Reason.RISK_HEARTBEAT),
        ({"limits_hash": 8}, Reason.LIMITS_CHANGED),
        ({"is_venue_open": False}, Reason.SESSION_CLOSED),
        ({"venue_close_ns": NOW_NS}, Reason.SESSION_CLOSED),
    ],
)
def test_one_fact_closes_the_gate(facts: dict[str, Any], rule: Reason | None) -> None:
    if "build_hash" in facts:
        gate = gate_with()
        gate.pages["signals"] = Facts(build_hash=8)
        gate.look()
        assert rule_of(gate) is Reason.RELEASE_MIXED
        return
    assert rule_of(gate_with(**facts)) is rule


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"ts_ns": NOW_NS - SECOND_NS - 1}, Reason.APPROVAL_STALE),
        ({"ts_ns": NOW_NS + SECOND_NS + 1}, Reason.APPROVAL_STALE),
        ({"expires_ns": NOW_NS}, Reason.INTENT_EXPIRED),
        ({"origin_ns": 0}, Reason.QUOTE_MISSING),
        ({"origin_ns": NOW_NS - SECOND_NS - 1}, Reason.QUOTE_STALE),
    ],
)
def test_an_old_decision_closes_the_gate(fields: dict[str, Any], rule: Reason) -> None:
    assert rule_of(gate_with(), **fields) is rule


@pytest.mark.parametrize(
    "fields",
    [
        {"symbol": "BTC/USD"},
        {"is_extended_hours": 1},
        {"time_in_force": TimeInForce.OPG},
        {"time_in_force": TimeInForce.CLS},
    ],
)
def test_what_is_meant_for_another_time_may_leave_while_closed(fields: dict[str, Any]) -> None:
    assert rule_of(gate_with(is_venue_open=False), **fields) is None


@pytest.mark.parametrize(
    ("facts", "is_closed"),
    [
        ({}, False),
        ({"venue_close_ns": NOW_NS + 1}, False),
        ({"venue_close_ns": NOW_NS}, True),
        ({"is_venue_open": False}, True),
        ({"is_venue_open": False, "venue_open_ns": NOW_NS + 1}, True),
        ({"is_venue_open": False, "venue_open_ns": NOW_NS}, False),
    ],
)
def test_a_reduction_leaves_only_while_it_cannot_queue(*, facts: dict[str, Any], is_closed: bool) -> None:
    gate = gate_with(**facts)
    reduction: dict[str, Any] = {"symbol": "IBM", "time_in_force": TimeInForce.DAY, "action": IntentAction.NEW}
    closed = gate.queues(Decision(**reduction), NOW_NS)
    assert (closed is not None and closed.rule is Reason.SESSION_CLOSED) == is_closed
    for meant in (
        {"symbol": "BTC/USD"},
        {"is_extended_hours": 1},
        {"time_in_force": TimeInForce.GTC},
    ):
        assert gate.queues(Decision(**(reduction | meant)), NOW_NS) is None


@pytest.mark.parametrize("step_ns", [-86_400 * SECOND_NS, 86_400 * SECOND_NS])
def test_a_reduction_leaves_though_the_clock_stepped_past_the_close(
    step_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduction = Decision(symbol="IBM", time_in_force=TimeInForce.DAY, action=IntentAction.NEW)
    real = clock.now_ns
    gate = gate_with(venue_close_ns=real() + 60 * SECOND_NS)
    monkeypatch.setattr(clock, "now_ns", lambda: real() + step_ns)
    gate.look()
    assert gate.queues(reduction, clock.now_ns()) is None
    gate.venue_close_ns = real()
    assert gate.queues(reduction, clock.now_ns()) is not None


class Numbered:
    """A decision with its number in the journal."""

    def __init__(self, seq: int) -> None:
        self.seq = seq


@pytest.mark.parametrize(
    ("is_set", "latched_seq", "is_withheld"), [(False, 0, False), (True, 0, True), (True, 6, False), (True, 8, True)]
)
def test_a_stop_leaves_only_if_it_was_decided_after_risk_manager_knew_of_the_latch(
    *, is_set: bool, latched_seq: int, is_withheld: bool
) -> None:
    gate = gate_with(is_set=is_set, latched_seq=latched_seq)
    assert (gate.halted_since(Numbered(7)) is not None) == is_withheld  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ts_ns", "expires_ns", "is_late"),
    [
        (NOW_NS, NOW_NS + 1, False),
        (NOW_NS, NOW_NS, True),
        (NOW_NS, 0, False),
        (NOW_NS + SECOND_NS, NOW_NS + 2 * SECOND_NS, False),
        (NOW_NS + SECOND_NS + 1, NOW_NS + 2 * SECOND_NS, True),
        (NOW_NS + SECOND_NS + 1, 0, False),
    ],
)
def test_a_reduction_expires_also_by_a_clock_that_stepped_back(*, ts_ns: int, expires_ns: int, is_late: bool) -> None:
    decision = Journaled(ts_ns=ts_ns, expires_ns=expires_ns)
    assert (expired(decision, NOW_NS) is not None) == is_late  # type: ignore[arg-type]


@pytest.mark.parametrize("time_in_force", [TimeInForce.DAY, TimeInForce.GTC])
def test_a_replacement_queues_as_the_order_that_it_replaces(time_in_force: TimeInForce) -> None:
    gate = gate_with(is_venue_open=False)
    table = OrderTable()
    entry = Decision(symbol="IBM", client_order_id="old", time_in_force=time_in_force, verdict=Verdict.APPROVED)
    table.apply(entry)
    replacement = Decision(symbol="IBM", action=IntentAction.REPLACE, is_reduction=1)
    closed = gate.queues(replacement, NOW_NS, table.get("old"))
    assert (closed is not None) == (time_in_force is TimeInForce.DAY)


@pytest.mark.parametrize(
    ("position", "open_same_side", "side", "quantity", "is_refused"),
    [
        (10, 0, Side.SELL, 10, False),
        (10, 0, Side.SELL, 11, True),
        (10, 4, Side.SELL, 7, True),
        (10, 4, Side.SELL, 6, False),
        (-10, 0, Side.BUY, 10, False),
        (-10, 0, Side.BUY, 11, True),
        (10, 0, Side.BUY, 1, True),
        (0, 0, Side.SELL, 1, True),
    ],
)
def test_a_reduction_never_flips(
    *, position: int, open_same_side: int, side: Side, quantity: int, is_refused: bool
) -> None:
    decision = Decision(side=side, quantity_e9=quantity * E9, order_type=OrderType.LIMIT)
    closed = flips(decision, position_e9=position * E9, open_same_side_e9=open_same_side * E9)
    assert (closed is not None) == is_refused


def test_a_reduction_by_amount_is_valued_at_its_reference() -> None:
    fields: dict[str, Any] = {"side": Side.SELL, "order_type": OrderType.MARKET, "reference_price_e9": 100 * E9}
    fits = Decision(notional_e9=1000 * E9, **fields)
    assert flips(fits, position_e9=10 * E9, open_same_side_e9=0) is None
    beyond = Decision(notional_e9=1001 * E9, **fields)
    assert flips(beyond, position_e9=10 * E9, open_same_side_e9=0) is not None


@pytest.mark.parametrize(
    ("step_ns", "is_trouble"), [(STEP_NS_MAX, False), (STEP_NS_MAX + 1, True), (-STEP_NS_MAX - 1, True)]
)
def test_a_step_of_the_clock_is_trouble_beyond_its_boundary(*, step_ns: int, is_trouble: bool) -> None:
    health = ClockHealth()
    health.look(wall_ns=NOW_NS, steady_ns=1)
    health.look(wall_ns=NOW_NS + SECOND_NS + step_ns, steady_ns=1 + SECOND_NS)
    assert bool(health.trouble) is is_trouble


def test_a_step_of_the_clock_closes_the_gate_until_the_venue_agrees() -> None:
    gate = gate_with()
    gate.clock_health.agree(wall_ns=clock.now_ns() + 3600 * SECOND_NS, steady_ns=clock.monotonic_ns())
    gate.look()
    assert rule_of(gate) is Reason.CLOCK_UNHEALTHY
    gate.clock_health.agree(wall_ns=clock.now_ns(), steady_ns=clock.monotonic_ns(), venue_ns=clock.now_ns())
    gate.look()
    assert rule_of(gate) is None


@pytest.mark.parametrize(
    ("page", "step_ns", "rule"),
    [
        (Facts(), 0, None),
        (Facts(), 3600 * SECOND_NS, Reason.CLOCK_UNHEALTHY),
        (Facts(), -3600 * SECOND_NS, Reason.CLOCK_UNHEALTHY),
        (Facts(build_hash=8), 0, Reason.RELEASE_MIXED),
    ],
)
def test_who_stood_still_sees_what_changed_meanwhile_before_an_entry_leaves(
    *, page: Facts, step_ns: int, rule: Reason | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady_ns = SECOND_NS
    monkeypatch.setattr(clock, "now_ns", lambda: NOW_NS + steady_ns)
    monkeypatch.setattr(clock, "monotonic_ns", lambda: steady_ns)
    gate = gate_with()
    gate.pages["signals"] = page
    steady_ns += LOOK_AGE_NS_MAX
    assert rule_of(gate) is None
    steady_ns += 1
    monkeypatch.setattr(clock, "now_ns", lambda: NOW_NS + steady_ns + step_ns)
    assert rule_of(gate) is rule


@pytest.mark.parametrize("difference_ns", [-DIFFERENCE_NS_MAX - 1, DIFFERENCE_NS_MAX + 1])
def test_a_venue_of_another_time_is_trouble_and_a_slow_answer_is_not(difference_ns: int) -> None:
    health = ClockHealth()
    health.agree(wall_ns=NOW_NS, steady_ns=1, venue_ns=NOW_NS + difference_ns)
    assert "venue_differs" in health.trouble
    health.agree(wall_ns=NOW_NS, steady_ns=1, venue_ns=NOW_NS - 30 * SECOND_NS, took_ns=31 * SECOND_NS)
    assert not health.trouble
    for within_ns in (-DIFFERENCE_NS_MAX, DIFFERENCE_NS_MAX):
        health.agree(wall_ns=NOW_NS, steady_ns=1, venue_ns=NOW_NS + within_ns)
        assert not health.trouble


@pytest.mark.parametrize("step_ns", [-3600 * SECOND_NS, 3600 * SECOND_NS])
def test_a_step_while_the_answer_of_the_venue_is_on_its_way_is_no_slow_answer(step_ns: int) -> None:
    health = ClockHealth()
    health.look(wall_ns=NOW_NS, steady_ns=1)
    stepped = {"wall_ns": NOW_NS + SECOND_NS + step_ns, "steady_ns": 1 + SECOND_NS}
    health.agree(**stepped, venue_ns=NOW_NS, took_ns=SECOND_NS)
    assert "venue_differs" in health.trouble
