"""The execution-engine in the test's own loop, with the test as the writer of the journals it follows."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast import clock
from holdfast._native import (
    Decision,
    Fill,
    IntentAction,
    JournalWriter,
    OrderEvent,
    OrderTable,
    OrderType,
    Reconciled,
    ReconcileScope,
    Side,
    TimeInForce,
    TradingState,
    TradingStateCode,
    Verdict,
)
from holdfast.journals import open_reader, open_writer
from holdfast.service import Frame
from holdfast.services import execution_engine
from holdfast.settings import Settings
from holdfast.settings.defaults import default_config_dir
from holdfast.settings.risk_limits import FILE as RISK_LIMITS
from patience import PATIENCE_S

E9 = 1_000_000_000
LIMITS_HASH = 77
# 2099-01-01 21:00 UTC, the close that the scripted venue tells.
SCRIPTED_SESSIONS = ((0, 4_070_984_400 * E9),)


def settings_for(tmp_path: Path, *, url: str, stream_url: str) -> Settings:
    """Settings of a development host whose venue is at `url`; certificate in tmp_path/cert.pem."""
    raw = {
        "state_dir": tmp_path / "state",
        "config_dir": default_config_dir(),
        "symbols": ["IBM"],
        "venue": {
            "trading_url": url,
            "trading_stream_url": stream_url,
            "data_url": url,
            "data_stream_url": "wss://127.0.0.1",
            "ca_file": tmp_path / "cert.pem",
            "requests_per_minute": 10_000,
            "entries_per_minute": 5_000,
        },
        "journal": {"segment_mib": 1},
        "alpaca_api_key": "key",
        "alpaca_api_secret": "secret",
    }
    intervals = {"in_flight_interval_s": 0.3, "open_orders_interval_s": 0.5, "positions_interval_s": 0.5}
    raw["services"] = {"execution_engine": {"metrics_port": 0, **intervals}}
    return Settings.model_validate(raw)


def write_configuration(folder: Path, system: dict[str, Any]) -> None:
    """Write the files that a process of the service reads: a system.json, and the shipped limits."""
    (folder / "system.json").write_text(json.dumps(system))
    shutil.copy(default_config_dir() / RISK_LIMITS, folder)


@dataclass
class Desk:
    """What a test does in the place of the other services."""

    settings: Settings
    writers: dict[str, JournalWriter]
    are_others_alive: bool = True
    _beat: asyncio.Task[None] | None = field(default=None)

    @classmethod
    def open(cls, settings: Settings) -> "Desk":
        desk = cls(settings, {name: open_writer(settings, name) for name in ("market_data", "signals", "orders")})
        desk.beat()
        desk._beat = asyncio.create_task(desk._keep_alive())
        desk.set_state(TradingStateCode.ACTIVE)
        return desk

    async def close(self) -> None:
        assert self._beat is not None
        self._beat.cancel()
        with suppress(asyncio.CancelledError):
            await self._beat
        for writer in self.writers.values():
            writer.close()

    def beat(self) -> None:
        for writer in self.writers.values():
            writer.heartbeat(clock.now_ns())

    async def _keep_alive(self) -> None:
        while True:
            if self.are_others_alive:
                self.beat()
            await asyncio.sleep(0.1)

    def set_state(self, state: TradingStateCode) -> None:
        self.writers["orders"].append(TradingState(state=state, limits_hash=LIMITS_HASH), ts_ns=clock.now_ns())

    def decide(self, *, age_ns: int = 0, quote_age_ns: int = 0, **fields: Any) -> str:  # noqa: ANN401 - any field
        """Approve one order as risk-manager does; returns its client order id."""
        writer = self.writers["orders"]
        client_order_id = f"hf-{writer.epoch:x}-{writer.next_seq:x}"
        whole: dict[str, Any] = {
            "strategy": "test",
            "symbol": "IBM",
            "client_order_id": client_order_id,
            "verdict": Verdict.APPROVED,
            "action": IntentAction.NEW,
            "side": Side.BUY,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.DAY,
            "quantity_e9": 10 * E9,
            "limit_price_e9": 100 * E9,
            "reference_price_e9": 100 * E9,
            "limits_hash": LIMITS_HASH,
        }
        now_ns = clock.now_ns()
        writer.append(Decision(**(whole | fields)), ts_ns=now_ns - age_ns, origin_ns=now_ns - age_ns - quote_age_ns)
        return client_order_id

    def protect(self, quantity: int, **fields: Any) -> str:  # noqa: ANN401 - any field
        """Decide on a protective stop as risk-manager does; returns its client order id."""
        writer = self.writers["orders"]
        stop = f"hf-{writer.epoch:x}-{writer.next_seq:x}-stop"
        whole: dict[str, Any] = {
            "client_order_id": stop,
            "quantity_e9": quantity * E9,
            "side": Side.SELL,
            "is_reduction": 1,
            "order_type": OrderType.TRAILING_STOP,
            "time_in_force": TimeInForce.GTC,
            "trail_percent_e9": 2 * E9,
            "limit_price_e9": 0,
        }
        self.decide(**(whole | fields))
        return stop

    def cancel(self, target: str) -> None:
        self.decide(action=IntentAction.CANCEL, target_client_order_id=target)

    def written(self) -> list[Any]:
        """Every record of `executions`."""
        with open_reader(self.settings, "executions", wait_s=5) as reader:
            found: list[Any] = []
            while records := reader.read(1000):
                found += records
            return found

    def events(self, client_order_id: str) -> list[OrderEvent]:
        return [
            record
            for record in self.written()
            if isinstance(record, OrderEvent) and record.client_order_id == client_order_id
        ]

    def kinds(self, client_order_id: str) -> list[str]:
        return [event.kind.label for event in self.events(client_order_id)]

    def status(self, client_order_id: str) -> str:
        table = OrderTable()
        for record in self.written():
            table.apply(record)
        order = table.get(client_order_id)
        return order.status.label if order is not None else ""

    def comparisons(self) -> int:
        """How often the open orders were compared with the venue."""
        found = [record for record in self.written() if isinstance(record, Reconciled)]
        return sum(record.scope is ReconcileScope.OPEN_ORDERS for record in found)

    def fills(self) -> list[Fill]:
        return [record for record in self.written() if isinstance(record, Fill)]

    async def until(self, is_true: Callable[[], object]) -> None:
        """Wait until something holds."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_true():  # noqa: ASYNC110 - what is waited for is on disk
                    await asyncio.sleep(0.005)
        except TimeoutError:
            lines = "\n".join(str(record) for record in self.written()[-12:])
            raise AssertionError(f"not within {PATIENCE_S} s; the journal ends with\n{lines}") from None


@asynccontextmanager
async def desk_of(settings: Settings) -> AsyncIterator[Desk]:
    """Open the other services' journals."""
    desk = Desk.open(settings)
    try:
        yield desk
    finally:
        await desk.close()


@contextmanager
def sessions_as_scripted() -> Iterator[None]:
    """Let the calendar agree with the scripted venue, which is open until 2099 at whatever hour a test runs."""
    known = vars(execution_engine)["load_sessions"]
    setattr(execution_engine, "load_sessions", lambda: SCRIPTED_SESSIONS)  # noqa: B010 - the module has a function there
    try:
        yield
    finally:
        setattr(execution_engine, "load_sessions", known)  # noqa: B010 - as above


@asynccontextmanager
async def engine_of(settings: Settings, *, is_killed: bool = False) -> AsyncIterator[None]:
    """Run the service until the block ends: stopped cleanly, or with `is_killed` torn down as it stands."""
    ready = asyncio.Event()

    class Ready(Frame):
        def ready(self) -> None:
            ready.set()

    frame = Ready(name="execution-engine", settings=settings)
    with sessions_as_scripted():
        async with _served(frame, ready, is_killed=is_killed):
            yield


@asynccontextmanager
async def _served(frame: Frame, ready: asyncio.Event, *, is_killed: bool) -> AsyncIterator[None]:
    service = asyncio.create_task(execution_engine.run(frame))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({service, waiting}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if service.done():
        service.result()
    assert ready.is_set(), "the service did not become ready"
    try:
        yield
    finally:
        if is_killed:
            service.cancel()
        frame.stopping.set()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(service, PATIENCE_S)
