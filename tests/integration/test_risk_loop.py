"""The native risk loop on real journals: what it writes, how it starts again, that a replay gives the same bytes."""

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from fix_risk import DAY_NS, E9, Follower, RiskBench, intent, limits, quote
from holdfast._native import (
    AccountSnapshot,
    Channel,
    Consumed,
    Decision,
    Fill,
    Gap,
    IntentAction,
    JournalName,
    LimitChange,
    OrderEvent,
    OrderEventKind,
    OrderIntent,
    OrderStatus,
    Reason,
    Reset,
    Side,
    StrategySwitch,
    TradingState,
    TradingStateCode,
    Trip,
    Verdict,
)

if TYPE_CHECKING:
    from holdfast._native import Record


def is_state(state: TradingStateCode) -> Callable[[object], bool]:
    return lambda record: isinstance(record, TradingState) and record.state == state


def test_an_intent_becomes_a_decision_that_names_its_cause_and_its_origin(risk_bench: RiskBench) -> None:
    risk_bench.reconcile()
    with risk_bench.running() as loop:
        orders = Follower(risk_bench.reader("orders"))
        orders.until(is_state(TradingStateCode.ACTIVE))
        risk_bench.write("market_data", quote())
        seq = risk_bench.write("signals", intent(7), origin_ns=12345)
        decision = orders.decision(seq)
        mark = orders.seen[-2]
    assert (decision.verdict, decision.rule, decision.quantity_e9) == (Verdict.APPROVED, Reason.NONE, 7 * E9)
    assert (decision.cause_journal, decision.cause_seq, decision.origin_ns) == (JournalName.SIGNALS, seq, 12345)
    assert decision.limits_hash == risk_bench.limits.hash
    assert decision.client_order_id.startswith("hf-")
    assert decision.client_order_id.endswith(f"-{decision.seq:x}")
    assert isinstance(mark, Consumed)
    assert (mark.market_data_seq, mark.signals_seq) == (len(risk_bench.symbols) + 1, seq)
    assert loop.approved == 1
    assert sum(count for _, count in loop.check_ns()[0]) == 1


def test_nothing_enters_before_the_running_execution_engine_has_reconciled(risk_bench: RiskBench) -> None:
    with risk_bench.running() as loop:
        orders = Follower(risk_bench.reader("orders"))
        risk_bench.write("market_data", quote())
        denied = orders.decision(risk_bench.write("signals", intent()))
        risk_bench.reconcile()
        orders.until(is_state(TradingStateCode.ACTIVE))
        risk_bench.write("market_data", quote())
        approved = orders.decision(risk_bench.write("signals", intent(2)))
    assert (denied.verdict, denied.rule) == (Verdict.DENIED, Reason.NOT_RECONCILED)
    assert approved.verdict == Verdict.APPROVED
    assert dict(loop.denied()) == {Reason.NOT_RECONCILED: 1}


def test_a_reconciliation_of_an_earlier_execution_engine_does_not_count(risk_bench: RiskBench) -> None:
    risk_bench.reconcile()
    with risk_bench.running():
        orders = Follower(risk_bench.reader("orders"))
        orders.until(is_state(TradingStateCode.ACTIVE))
        risk_bench.restart_writer("executions")
        state = orders.until(is_state(TradingStateCode.REDUCING))
        assert isinstance(state, TradingState)
        assert state.rule == Reason.NOT_RECONCILED
        risk_bench.reconcile()
        orders.until(is_state(TradingStateCode.ACTIVE))


def test_a_reconciliation_counts_though_the_clock_stepped_back_since_its_writer_began(risk_bench: RiskBench) -> None:
    risk_bench.step_ns = -DAY_NS
    risk_bench.reconcile()
    with risk_bench.running():
        orders = Follower(risk_bench.reader("orders"))
        orders.until(is_state(TradingStateCode.ACTIVE))


def test_a_reconciliation_of_the_former_writer_does_not_count_though_the_clock_stepped_back(
    risk_bench: RiskBench,
) -> None:
    risk_bench.step_ns = DAY_NS
    risk_bench.reconcile()
    risk_bench.restart_writer("executions")
    with risk_bench.running():
        orders = Follower(risk_bench.reader("orders"))
        denied = orders.decision(risk_bench.write("signals", intent()))
    assert (denied.verdict, denied.rule) == (Verdict.DENIED, Reason.NOT_RECONCILED)


def test_a_quote_that_history_brings_neither_ends_a_gap_nor_counts_as_fresh(risk_bench: RiskBench) -> None:
    risk_bench.reconcile()
    with risk_bench.running():
        orders = Follower(risk_bench.reader("orders"))
        orders.until(is_state(TradingStateCode.ACTIVE))

        def rule_after(*market: "tuple[Record, int | None]", quantity: int) -> Reason:
            for record, origin_ns in market:
                risk_bench.write("market_data", record, origin_ns=origin_ns)
            return orders.decision(risk_bench.write("signals", intent(quantity))).rule

        gap = Gap(channel=Channel.ALL, from_ns=1)
        assert rule_after((quote(), 0), quantity=1) is Reason.QUOTE_MISSING
        assert rule_after((quote(), None), quantity=2) is Reason.NONE
        assert rule_after((gap, None), (quote(), 0), quantity=3) is Reason.GAP_UNREPAIRED
        assert rule_after((quote(), None), quantity=4) is Reason.NONE
    assert risk_bench.replay().difference == ""


def test_how_long_a_position_is_unprotected_is_counted_anew_when_the_clock_went_back(risk_bench: RiskBench) -> None:
    loop = risk_bench.loop()
    risk_bench.reconcile()
    fill = Fill(
        execution_id=str(uuid.uuid4()),
        client_order_id="hf-1-1",
        strategy="test",
        symbol="IBM",
        side=Side.BUY,
        quantity_e9=E9,
        price_e9=E9,
        position_quantity_e9=E9,
    )
    risk_bench.write("executions", fill)
    now_ns = time.time_ns()
    ages_ns = []
    for at_ns in (now_ns + DAY_NS, now_ns, now_ns + 2 * E9):
        loop.turn(at_ns)
        ages_ns.append(loop.unprotected[1])
    assert ages_ns == [0, 0, 2 * E9]
    loop.stop()
    loop.turn(now_ns)


def test_the_latch_halts_entries_and_only_its_reset_lets_them_go_on(risk_bench: RiskBench) -> None:
    risk_bench.reconcile()
    latch = risk_bench.latch()
    with risk_bench.running():
        orders = Follower(risk_bench.reader("orders"))
        orders.until(is_state(TradingStateCode.ACTIVE))
        latch.trip("desk", "test", time.time_ns())
        halted = orders.until(is_state(TradingStateCode.HALTED))
        risk_bench.write("market_data", quote())
        denied = orders.decision(risk_bench.write("signals", intent()))
        cancel = OrderIntent(strategy="test", symbol="IBM", action=IntentAction.CANCEL, target_client_order_id="hf-1-1")
        cancelled = orders.decision(risk_bench.write("signals", cancel))
    assert isinstance(halted, TradingState)
    assert halted.rule == Reason.KILL_LATCH
    assert halted.detail.endswith("by desk: test")
    assert denied.rule == Reason.KILL_LATCH
    assert cancelled.verdict == Verdict.APPROVED
    with risk_bench.running():
        orders = Follower(risk_bench.reader("orders"))
        assert latch.is_set
        latch.reset("desk", "over", time.time_ns())
        orders.until(lambda record: isinstance(record, TradingState) and record.detail.endswith("by desk: over"))


def test_a_restart_still_counts_what_was_approved_and_denies_left_over_intents(risk_bench: RiskBench) -> None:
    risk_bench.limits = limits(position_quantity_max_e9=10 * E9)
    risk_bench.reconcile()
    with risk_bench.running():
        orders = Follower(risk_bench.reader("orders"))
        orders.until(is_state(TradingStateCode.ACTIVE))
        risk_bench.write("market_data", quote())
        assert orders.decision(risk_bench.write("signals", intent(7))).verdict == Verdict.APPROVED
    left_over = risk_bench.write("signals", intent(1))
    with risk_bench.running():
        assert orders.decision(left_over).rule == Reason.STALE_START
        risk_bench.write("market_data", quote())
        fourth = orders.decision(risk_bench.write("signals", intent(4)))
        third = orders.decision(risk_bench.write("signals", intent(3)))
    assert (fourth.rule, fourth.limit_e9, fourth.value_e9) == (Reason.POSITION_QUANTITY, 10 * E9, 11 * E9)
    assert third.verdict == Verdict.APPROVED
    ids = [record.client_order_id for record in orders.seen if isinstance(record, Decision) and record.client_order_id]
    assert len(set(ids)) == len(ids) == 2


def test_a_replay_of_three_lives_gives_the_same_bytes_and_finds_a_change(risk_bench: RiskBench) -> None:
    risk_bench.reconcile()
    orders = None
    for life in range(3):
        with risk_bench.running():
            orders = orders or Follower(risk_bench.reader("orders"))
            orders.until(is_state(TradingStateCode.ACTIVE))
            for step in range(20):
                _trade(risk_bench, orders, step + 20 * life)
    replayed = risk_bench.replay()
    assert (replayed.difference, replayed.difference_seq) == ("", None)
    assert replayed.decisions == 60
    risk_bench.limits = limits(order_quantity_max_e9=3 * E9)
    assert risk_bench.replay().difference_seq is not None


def _trade(bench: RiskBench, orders: Follower, step: int) -> None:
    """One step of a busy day: quotes, intents, fills, operators."""
    bench.write("market_data", quote(100 + step % 3, ts_event_ns=step))
    side = Side.SELL if step % 4 == 3 else Side.BUY
    decision = orders.decision(bench.write("signals", intent(1 + step % 5, side=side, limit=100 + step % 3)))
    if decision.verdict == Verdict.APPROVED:
        filled = OrderEvent(
            client_order_id=decision.client_order_id,
            venue_order_id=f"{step + 1:032x}",
            symbol="IBM",
            kind=OrderEventKind.UPDATED,
            status=OrderStatus.FILLED,
            side=side,
            quantity_e9=decision.quantity_e9,
            filled_quantity_e9=decision.quantity_e9,
        )
        fill = Fill(
            execution_id=f"{step + 1:032x}",
            client_order_id=decision.client_order_id,
            symbol="IBM",
            side=side,
            quantity_e9=decision.quantity_e9,
            price_e9=decision.limit_price_e9,
            ts_event_ns=step,
        )
        bench.write("executions", filled)
        bench.write("executions", fill)
    if step % 7 == 0:
        bench.write("control", Trip(operator="desk", reason="test"))
    if step % 7 == 1:
        bench.write("control", Reset(operator="desk", reason="over"))
    if step % 11 == 0:
        bench.write("control", StrategySwitch(operator="desk", reason="test", strategy="other", is_enabled=0))


def test_the_second_loss_level_sets_the_kill_latch_itself(risk_bench: RiskBench) -> None:
    with risk_bench.running():
        risk_bench.reconcile()
        orders = Follower(risk_bench.reader("orders"))
        lost = AccountSnapshot(equity_e9=790_000 * E9, last_equity_e9=10**6 * E9, buying_power_e9=10**6 * E9)
        risk_bench.write("executions", lost)
        orders.until(lambda record: isinstance(record, TradingState) and record.rule is Reason.KILL_LATCH)
        latch = risk_bench.latch()
        assert (latch.is_set, latch.operator) == (True, "risk-manager")
        assert "daily loss" in latch.reason
    assert risk_bench.replay().difference == ""


# A restart on a busy machine and a decision after it happen within it.
LOOSENED_S = 6.0


def _change(bench: RiskBench, quantity: int, *, approver: str, seconds: float) -> LimitChange:
    now_ns = time.time_ns()
    expires_ns = now_ns + int(seconds * E9) if seconds else 0
    change = LimitChange(
        operator="ann",
        approver=approver,
        reason="test",
        key="order_quantity_max_e9",
        new_e9=quantity * E9,
        expires_ns=expires_ns,
        ts_event_ns=now_ns,
    )
    bench.write("control", change)
    return change


def _has_hash(limits_hash: int) -> Callable[[object], bool]:
    return lambda record: isinstance(record, TradingState) and record.limits_hash == limits_hash


def test_a_changed_limit_holds_across_a_restart_ends_by_itself_and_is_replayed(risk_bench: RiskBench) -> None:
    risk_bench.limits = configured = limits(order_quantity_max_e9=10 * E9)
    loosened = limits(order_quantity_max_e9=20 * E9)
    risk_bench.reconcile()

    def judged(quantity: int) -> Decision:
        risk_bench.write("market_data", quote())
        return orders.decision(risk_bench.write("signals", intent(quantity)))

    with risk_bench.running() as loop:
        orders = Follower(risk_bench.reader("orders"))
        orders.until(is_state(TradingStateCode.ACTIVE))
        assert judged(11).rule is Reason.ORDER_QUANTITY
        _change(risk_bench, 30, approver="ann", seconds=LOOSENED_S)
        _change(risk_bench, 20, approver="bob", seconds=LOOSENED_S)
        orders.until(_has_hash(loosened.hash))
        approved = judged(20)
        assert (approved.verdict, approved.limits_hash) == (Verdict.APPROVED, loosened.hash)
        assert judged(21).rule is Reason.ORDER_QUANTITY
        assert loop.limits() == loosened.as_dict()
    with risk_bench.running():
        assert judged(19).verdict is Verdict.APPROVED
        ended = orders.until(_has_hash(configured.hash))
        assert ended.ts_ns >= approved.ts_ns
        assert judged(11).rule is Reason.ORDER_QUANTITY
        _change(risk_bench, 5, approver="", seconds=0)
        orders.until(_has_hash(limits(order_quantity_max_e9=5 * E9).hash))
    _change(risk_bench, 15, approver="bob", seconds=1e-9)
    with risk_bench.running():
        orders.until(_has_hash(configured.hash))
        assert judged(11).rule is Reason.ORDER_QUANTITY
        assert judged(10).verdict is Verdict.APPROVED
    assert risk_bench.replay().difference == ""


def test_a_loosening_that_ended_while_the_clock_was_ahead_stays_ended_after_a_restart(risk_bench: RiskBench) -> None:
    risk_bench.limits = configured = limits(order_quantity_max_e9=10 * E9)
    loop = risk_bench.loop()
    _change(risk_bench, 20, approver="bob", seconds=60)
    for at_ns in (time.time_ns() + DAY_NS, time.time_ns()):
        loop.turn(at_ns)
        assert loop.limits() == configured.as_dict()
    loop.stop()
    loop.turn(time.time_ns())
    again = risk_bench.loop()
    assert again.limits() == configured.as_dict()
    again.stop()
    again.turn(time.time_ns())
    assert risk_bench.replay().difference == ""
