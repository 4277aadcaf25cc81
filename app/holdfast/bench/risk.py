"""Full pre-trade check: native, from Python, with its reservation, and the peer's in the same run."""

import importlib.util
from collections.abc import Callable

from holdfast import clock
from holdfast._native import (
    AccountSnapshot,
    AverageVolume,
    Calendar,
    IntentAction,
    OrderIntent,
    OrderType,
    Quote,
    RiskGate,
    RiskLimits,
    Side,
    TimeInForce,
    Verdict,
)
from holdfast.bench import BenchResult
from holdfast.settings.margin_rules import load_margin_rules

NAME = "risk"
E9 = 1_000_000_000
NOW_NS = 1_700_000_000 * E9
DAY_NS = 86_400 * E9
SYMBOLS = [f"S{index:03}" for index in range(50)]
ROUNDS = 7
NATIVE_BUDGET_NS = 300
PYTHON_BUDGET_NS = 1_000
JUDGEMENTS = 50
PEER = "nautilus_trader RiskEngine"


def make_gate() -> RiskGate:
    """Return a gate for 50 symbols with quotes, ten open orders and limits that the benchmark's orders pass."""
    limits = RiskLimits.loosest()
    loose = RiskLimits(is_short_allowed=True, is_resumed_by_operator=True, **limits)
    gate = RiskGate(loose, SYMBOLS, Calendar([(NOW_NS - DAY_NS, NOW_NS + DAY_NS)], [], load_margin_rules()))
    account = AccountSnapshot(equity_e9=10**6 * E9, buying_power_e9=10**6 * E9, is_shorting_enabled=1)
    gate.apply_execution(account, NOW_NS)
    gate.set_reconciled(is_reconciled=True)
    for symbol in SYMBOLS:
        quote = Quote(symbol=symbol, bid_price_e9=100 * E9, ask_price_e9=100 * E9 + E9 // 100)
        gate.apply_market(quote, NOW_NS)
        day_ns = NOW_NS - DAY_NS
        volume = AverageVolume(symbol=symbol, volume_e9=10**7 * E9, session_count=20, ts_event_ns=day_ns)
        gate.apply_market(volume, NOW_NS)
    for index in range(10):
        opening = make_intent(SYMBOLS[index])
        decision = gate.judge(
            opening,
            intent_seq=index,
            client_order_id=f"hf-0-{index}",
            now_ns=NOW_NS,
            session_ns=NOW_NS,
        )
        assert decision.verdict == Verdict.APPROVED, decision.rule
    return gate


def make_intent(symbol: str) -> OrderIntent:
    """Return a day limit order for ten shares."""
    return OrderIntent(
        strategy="bench",
        symbol=symbol,
        action=IntentAction.NEW,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        quantity_e9=10 * E9,
        limit_price_e9=100 * E9,
        stop_loss_price_e9=98 * E9,
    )


def least_ns(measure: Callable[[], int], count: int) -> float:
    """Return the least of the rounds for one of `count`: what it takes when the machine does nothing else."""
    return min(measure() / count for _ in range(ROUNDS))


def measure_native(count: int) -> float:
    """Return the nanoseconds of a full check in native code."""
    gate, intent = make_gate(), make_intent(SYMBOLS[20])
    assert gate.broken_rule(intent, now_ns=NOW_NS, session_ns=NOW_NS) is None
    return least_ns(lambda: gate.measure_check_ns(intent, now_ns=NOW_NS, session_ns=NOW_NS, count=count), count)


def measure_judge() -> float:
    """Return the nanoseconds of a judgement that is approved and reserved, native."""
    intent = make_intent(SYMBOLS[20])

    def once() -> int:
        gate = make_gate()
        return gate.measure_judge_ns(intent, now_ns=NOW_NS + 1, session_ns=NOW_NS, count=JUDGEMENTS)

    return least_ns(once, JUDGEMENTS)


def measure_python(count: int) -> float:
    """Return the nanoseconds of a full check called from Python."""
    gate, intent = make_gate(), make_intent(SYMBOLS[20])
    check = gate.broken_rule

    def once() -> int:
        begin_ns = clock.monotonic_ns()
        for _ in range(count):
            check(intent, now_ns=NOW_NS, session_ns=NOW_NS)
        return clock.monotonic_ns() - begin_ns

    return least_ns(once, count)


def result(metric: str, ours: float, budget: float | None, peer: float | None) -> BenchResult:
    """Return a line of the table; lower is better."""
    return BenchResult(
        bench=NAME,
        metric=metric,
        unit="ns",
        ours=ours,
        budget=budget,
        peer=peer,
        peer_name=PEER if peer is not None else "",
        met=None if budget is None else ours <= budget,
    )


def run(*, quick: bool) -> list[BenchResult]:
    """Measure the check and, where it is installed, the peer."""
    count = 20_000 if quick else 200_000
    peer_ns = measure_peer(count // 20)
    return [
        result("full check, native", measure_native(count), NATIVE_BUDGET_NS, peer_ns),
        result("full check, from Python", measure_python(count // 4), PYTHON_BUDGET_NS, peer_ns),
        result("judged, approved and reserved, native", measure_judge(), None, None),
    ]


def measure_peer(count: int) -> float | None:
    """Return the nanoseconds of the peer's check of an order, None without the peer."""
    if importlib.util.find_spec("nautilus_trader") is None:
        return None
    from holdfast.bench._nautilus import measure_risk_engine_ns  # noqa: PLC0415 - the peer takes seconds to import

    return min(measure_risk_engine_ns(count) for _ in range(ROUNDS))
