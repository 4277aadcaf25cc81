"""The peer of the risk benchmark: nautilus_trader's risk engine, which checks a submitted order and passes it on."""

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.config import RiskEngineConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import AccountId, ClientOrderId, StrategyId, TraderId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.model.orders import LimitOrder
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.risk.engine import RiskEngine
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.events import TestEventStubs

from holdfast.clock import monotonic_ns

TRADER = TraderId("BENCH-001")
STRATEGY = StrategyId("S-001")


def measure_risk_engine_ns(count: int) -> float:
    """Return the nanoseconds of one limit order through the peer's checks; each must have passed."""
    clock, cache = TestClock(), Cache(database=None)
    bus = MessageBus(trader_id=TRADER, clock=clock)
    portfolio = Portfolio(msgbus=bus, cache=cache, clock=clock)
    config = RiskEngineConfig(max_order_submit_rate="1000000000/00:00:01")
    engine = RiskEngine(portfolio=portfolio, msgbus=bus, cache=cache, clock=clock, config=config)
    instrument = TestInstrumentProvider.equity("AAPL", "XNAS")
    cache.add_instrument(instrument)
    portfolio.update_account(TestEventStubs.margin_account_state(account_id=AccountId("XNAS-001")))
    passed: list[object] = []
    bus.register(endpoint="ExecEngine.execute", handler=passed.append)
    commands = [_submit(instrument.id, index) for index in range(count)]
    begin_ns = monotonic_ns()
    for command in commands:
        engine.execute(command)
    duration_ns = monotonic_ns() - begin_ns
    assert len(passed) == count
    return duration_ns / count


def _submit(instrument_id: object, index: int) -> SubmitOrder:
    order = LimitOrder(
        TRADER,
        STRATEGY,
        instrument_id,
        ClientOrderId(f"O-{index}"),
        OrderSide.BUY,
        Quantity.from_int(10),
        Price(100.0, 2),
        UUID4(),
        0,
        time_in_force=TimeInForce.DAY,
    )
    return SubmitOrder(TRADER, STRATEGY, order, UUID4(), 0)
