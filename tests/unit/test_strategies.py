"""Strategies: what they may ask for, and that one failure never stops the others."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from holdfast._native import (
    Fill,
    IntentAction,
    OrderEvent,
    OrderEventKind,
    OrderIntent,
    OrderStatus,
    Quote,
    Side,
    Signal,
)
from holdfast.errors import ConfigError
from holdfast.settings import load_settings
from holdfast.strategies import Parameters, SessionEvent, Strategy
from holdfast.strategies.api import OrderRequest
from holdfast.strategies.host import SlotContext, StrategyHost
from holdfast.strategies.imbalance import Imbalance, ImbalanceParameters
from holdfast.strategies.indicators import bollinger_bands, relative_strength_index
from holdfast.strategies.load import add_strategies

E9 = 10**9
SESSIONS = [(0, 10**18)]
STRANGE = OrderRequest(symbol="MSFT", side=Side.BUY, quantity_e9=E9)


def quote(symbol: str = "IBM", *, bid: int = 100, ask: int = 101, bid_size: int = 1, ask_size: int = 1) -> Quote:
    return Quote(
        symbol=symbol,
        ts_event_ns=1,
        bid_price_e9=bid * E9,
        ask_price_e9=ask * E9,
        bid_size_e9=bid_size * E9,
        ask_size_e9=ask_size * E9,
    )


def fill(strategy: str, side: Side, quantity: int, symbol: str = "IBM") -> Fill:
    return Fill(strategy=strategy, symbol=symbol, side=side, quantity_e9=quantity * E9, price_e9=100 * E9)


class Recorder(Strategy[Parameters]):
    """Remembers what it saw and aims at one share."""

    def prepare(self) -> None:
        self.seen: list[object] = []

    def on_quote(self, quote: Quote) -> None:
        self.seen.append(quote)
        self.target(quote.symbol, 1 * E9)

    def on_session(self, event: SessionEvent) -> None:
        self.seen.append(event)


class Broken(Recorder):
    """Raises at the second quote."""

    def on_quote(self, quote: Quote) -> None:
        super().on_quote(quote)
        if sum(isinstance(item, Quote) for item in self.seen) > 1:
            raise ZeroDivisionError("broken on purpose")


def host_with(*kinds: type[Strategy[Parameters]]) -> tuple[StrategyHost, list[str], dict[str, Strategy[Parameters]]]:
    failed: list[str] = []
    made: dict[str, Strategy[Parameters]] = {}
    host = StrategyHost(SESSIONS, on_failure=failed.append)
    for kind in kinds:
        name = kind.__name__.lower()

        def make(
            context: SlotContext,
            kind: type[Strategy[Parameters]] = kind,
            name: str = name,
        ) -> Strategy[Parameters]:
            made[name] = kind(name=name, symbols=("IBM",), parameters=Parameters(), context=context)
            return made[name]

        host.add(make)
    host.start()
    return host, failed, made


def intents(host: StrategyHost) -> list[OrderIntent]:
    return [output for output in host.outputs if isinstance(output, OrderIntent)]


def test_a_target_asks_once_for_what_is_missing() -> None:
    host, _, _ = host_with(Recorder)
    host.on_market(quote())
    host.on_market(quote())
    (intent,) = intents(host)
    assert isinstance(host.outputs[0], Signal)
    assert (intent.side, intent.quantity_e9, intent.limit_price_e9) == (Side.BUY, E9, 101 * E9)
    assert intent.action is IntentAction.NEW


def test_a_filled_target_is_left_alone() -> None:
    host, _, made = host_with(Recorder)
    host.on_market(quote())
    host.outputs.clear()
    host.on_execution(
        OrderEvent(
            strategy="recorder",
            client_order_id="a",
            symbol="IBM",
            side=Side.BUY,
            quantity_e9=E9,
            kind=OrderEventKind.SUBMITTING,
            status=OrderStatus.SUBMITTING,
        ),
    )
    assert made["recorder"].context.working_e9("IBM") == E9
    host.on_execution(
        OrderEvent(
            strategy="recorder",
            client_order_id="a",
            symbol="IBM",
            side=Side.BUY,
            quantity_e9=E9,
            filled_quantity_e9=E9,
            kind=OrderEventKind.UPDATED,
            status=OrderStatus.FILLED,
        ),
    )
    host.on_execution(fill("recorder", Side.BUY, 1))
    host.on_market(quote())
    assert intents(host) == []


def test_a_target_of_the_other_sign_goes_to_zero_first() -> None:
    host, _, made = host_with(Recorder)
    host.on_execution(fill("recorder", Side.BUY, 5))
    host.on_market(quote())
    host.outputs.clear()
    made["recorder"].target("IBM", -3 * E9)
    assert [(intent.side, intent.quantity_e9) for intent in intents(host)] == [(Side.SELL, E9)], (
        "5 held, 4 being sold for the target of 1, so 1 is left to sell on the way to zero"
    )


def test_one_failing_strategy_never_stops_the_others() -> None:
    host, failed, made = host_with(Broken, Recorder)
    for _ in range(4):
        host.on_market(quote())
    recorder, broken = made["recorder"], made["broken"]
    assert isinstance(recorder, Recorder)
    assert isinstance(broken, Recorder)
    assert failed == ["broken"]
    assert "broken on purpose" in host.failures["broken"]
    assert sum(isinstance(item, Quote) for item in recorder.seen) == 4
    assert sum(isinstance(item, Quote) for item in broken.seen) == 2


@pytest.mark.parametrize(
    "act", [lambda strategy: strategy.cancel("not mine"), lambda strategy: strategy.order(STRANGE)]
)
def test_a_strategy_acts_only_on_its_own_symbols_and_orders(act: Callable[[Strategy[Parameters]], None]) -> None:
    class Stranger(Strategy[Parameters]):
        def on_quote(self, quote: Quote) -> None:
            act(self)

    host, failed, _ = host_with(Stranger)
    host.on_market(quote())
    assert failed == ["stranger"]
    assert host.outputs == []


def test_requests_that_no_order_answers_are_forgotten_once_they_expire() -> None:
    host, _, made = host_with(Recorder)
    context = made["recorder"].context
    for _ in range(100):
        context.submit(OrderRequest(symbol="IBM", side=Side.BUY, quantity_e9=E9))
        host.outputs.clear()
        host.now_ns += E9
    assert isinstance(context, SlotContext)
    assert len(context.slot.pending["IBM"]) == 1


def test_the_warm_up_asks_for_nothing() -> None:
    host, _, made = host_with(Recorder)
    host.warm_up([quote(), quote()])
    recorder = made["recorder"]
    assert isinstance(recorder, Recorder)
    assert sum(isinstance(item, Quote) for item in recorder.seen) == 2
    assert host.outputs == []


def test_strategies_hear_of_the_session_once() -> None:
    events: list[SessionEvent] = []

    class Listener(Strategy[Parameters]):
        def on_session(self, event: SessionEvent) -> None:
            events.append(event)

    host = StrategyHost([(100, 200), (300, 400)], on_failure=lambda _: None)
    host.add(lambda context: Listener(name="listener", symbols=("IBM",), parameters=Parameters(), context=context))
    for ts_event_ns in (50, 60, 100, 150, 200, 250, 300, 399, 400, 500):
        host.on_market(Quote(symbol="IBM", ts_event_ns=ts_event_ns))
    opened, closed = SessionEvent.OPENED, SessionEvent.CLOSED
    assert events == [closed, opened, closed, opened, closed]


def test_the_imbalance_example_enters_and_leaves() -> None:
    host = StrategyHost(SESSIONS, on_failure=pytest.fail)
    host.add(
        lambda context: Imbalance(
            name="imbalance",
            symbols=("IBM",),
            parameters=ImbalanceParameters(spread_bps_max=200, hold_s=0.000_001),
            context=context,
        ),
    )
    host.start()
    host.on_market(quote(bid_size=1, ask_size=1))
    assert intents(host) == []
    host.on_market(quote(bid_size=9, ask_size=1))
    assert [intent.side for intent in intents(host)] == [Side.BUY]
    host.outputs.clear()
    host.on_execution(fill("imbalance", Side.BUY, 10))
    host.on_market(quote(bid_size=9, ask_size=1))
    host.now_ns += E9
    host.on_market(quote(bid_size=9, ask_size=1))
    assert {intent.side for intent in intents(host)} <= {Side.SELL}


def write_config(directory: Path, strategies: list[dict[str, object]]) -> Path:
    venue = {
        "trading_url": "https://localhost:1",
        "trading_stream_url": "wss://localhost:1/stream",
        "data_url": "https://localhost:1",
        "data_stream_url": "wss://localhost:1",
    }
    raw = {"state_dir": str(directory), "symbols": ["IBM"], "venue": venue, "strategies": strategies}
    (directory / "system.json").write_text(json.dumps(raw))
    return directory


def test_a_strategy_is_loaded_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from holdfast.strategies import Strategy\nclass Mine(Strategy):\n    def on_quote(self, quote):\n"
        "        self.target('IBM', 10**9)\n",
    )
    settings = load_settings(
        write_config(tmp_path, [{"name": "mine", "path": "mine.py:Mine", "symbols": ["IBM"]}]),
        environment={},
    )
    host = StrategyHost(SESSIONS, on_failure=pytest.fail)
    add_strategies(host, settings)
    host.start()
    host.on_market(quote())
    assert [intent.strategy for intent in intents(host)] == ["mine"]


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ({"entry_point": "missing"}, "strategies.0.entry_point"),
        ({"path": "missing.py:Mine"}, "strategies.0.path"),
        ({"entry_point": "imbalance", "parameters": {"quantity": 0}}, "strategies.0.parameters.quantity"),
        ({"entry_point": "imbalance", "parameters": {"quantty": 1}}, "strategies.0.parameters.quantty"),
        ({}, "strategies.0"),
    ],
)
def test_a_strategy_that_cannot_run_is_a_configuration_error(
    tmp_path: Path,
    entry: dict[str, object],
    key: str,
) -> None:
    settings = load_settings(write_config(tmp_path, [{"name": "mine", "symbols": ["IBM"], **entry}]), environment={})
    with pytest.raises(ConfigError) as caught:
        add_strategies(StrategyHost(SESSIONS, on_failure=pytest.fail), settings)
    assert caught.value.key == key


def independent_rsi(closes: list[float], period: int) -> float:
    """Wilder's RSI by his book: first averages plain, then smoothed."""
    changes = [after - before for before, after in itertools.pairwise(closes)]
    gain = sum(max(change, 0) for change in changes[:period]) / period
    loss = sum(max(-change, 0) for change in changes[:period]) / period
    for change in changes[period:]:
        gain = (gain * (period - 1) + max(change, 0)) / period
        loss = (loss * (period - 1) + max(-change, 0)) / period
    return 100.0 if loss == 0 else 100 - 100 / (1 + gain / loss)


def walk(count: int, step: Callable[[int], float]) -> list[float]:
    closes = [100.0]
    for index in range(count):
        closes.append(closes[-1] + step(index))
    return closes


def test_indicators_agree_with_their_definitions() -> None:
    closes = walk(80, lambda index: math.sin(index * 1.7) + 0.1)
    series = np.array(closes)
    assert relative_strength_index(series, 14) == pytest.approx(independent_rsi(closes, 14), abs=1e-9)
    window = closes[-20:]
    mean = sum(window) / 20
    deviation = math.sqrt(sum((close - mean) ** 2 for close in window) / 20)
    expected = (mean + 2 * deviation, mean, mean - 2 * deviation)
    assert bollinger_bands(series, 20, 2.0) == pytest.approx(expected, abs=1e-9)
