"""watchdog: a dead man's switch. Cancels entry orders at the venue when nobody can be trusted to watch them.

It looks at the heartbeats of execution-engine and risk-manager in the header pages of their journals, and at the order
stream and the reconciliation as execution-engine's metrics tell; it writes nothing, so a full disk does not matter. It
has credentials of its own, starts nothing, and never cancels what only reduces a position or is not ours.
"""

import asyncio
import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast import __version__, clock, metrics
from holdfast._native import JournalError, JournalReader, PositionSnapshot, Side
from holdfast.errors import BadInput, RetryLater
from holdfast.execution.access import trading_origin, watchdog_credentials
from holdfast.journals import open_reader
from holdfast.logs import get_logger
from holdfast.service import Frame
from holdfast.settings import Settings
from holdfast.venues.alpaca.connection import Connection, tls_context
from holdfast.venues.alpaca.orders import VenueOrder
from holdfast.venues.alpaca.trading import Refusal, TradingGateway, canceled

# Who asks, in the venue's records: they tell its cancels from execution-engine's.
CLIENT = f"holdfast-watchdog/{__version__}"
CHECK_INTERVAL_S = 0.1
METRICS_INTERVAL_S = 1.0
METRICS_TIMEOUT_S = 1.0
LOOK_TIMEOUT_S = 10.0
CANCEL_TIMEOUT_S = 2.0
# While there are entry orders look often; while there are none, an order on its way may still appear for half a minute.
LOOK_AGAIN_S, LOOK_SOON_S, LOOK_LATER_S = 0.5, 1.0, 15.0
SOON_FOR_S = 60.0
PAUSE_S_MAX = 10.0
NS_PER_S = 1_000_000_000
HEARTBEATS = {"executions_heartbeat": "executions", "orders_heartbeat": "orders"}
STREAM, RECONCILIATION = "order_stream", "reconciliation"

log = get_logger()


@dataclass(slots=True)
class Patience:
    """Waits as long as the venue asks for."""

    _until_s: float = 0.0

    async def permit(self) -> None:
        """Return when a query may leave."""
        await asyncio.sleep(max(self._until_s - clock.monotonic_s(), 0.0))

    def refused(self, retry_after_s: float) -> None:
        """The venue refused for the rate of requests."""
        self._until_s = clock.monotonic_s() + min(retry_after_s, PAUSE_S_MAX)


def entries_among(orders: Sequence[VenueOrder], positions: Sequence[PositionSnapshot]) -> list[VenueOrder]:
    """Return the open orders of ours, oldest first, that do not surely only reduce what the venue says is held."""
    held_e9 = {position.symbol: position.quantity_e9 for position in positions}
    entries = []
    for order in orders:
        quantity_e9 = held_e9.get(order.symbol, 0)
        open_e9 = max(order.quantity_e9 - order.filled_quantity_e9, 0)
        is_closing = quantity_e9 > 0 if order.side == Side.SELL else quantity_e9 < 0
        if is_closing and open_e9 <= abs(quantity_e9):
            held_e9[order.symbol] = quantity_e9 + (open_e9 if order.side == Side.BUY else -open_e9)
        elif order.is_own:
            entries.append(order)
    return entries


def opposes(order: VenueOrder, positions: Sequence[PositionSnapshot]) -> bool:
    """Say whether an order is on the side that closes what is held of its symbol."""
    held_e9 = sum(position.quantity_e9 for position in positions if position.symbol == order.symbol)
    return held_e9 > 0 if order.side == Side.SELL else held_e9 < 0


@dataclass(slots=True)
class Sight:
    """What is watched, and when each was last seen well; times on the monotonic clock."""

    settings: Settings
    started_s: float = field(default_factory=clock.monotonic_s)
    stream_live_s: float = field(default_factory=clock.monotonic_s)
    reconciled_s: float = field(default_factory=clock.monotonic_s)
    _readers: dict[str, JournalReader] = field(default_factory=dict)

    def ages_s(self) -> dict[str, float]:
        """Return by cause how old it is; what was never seen is as old as this watch."""
        now_s = clock.monotonic_s()
        ages = {cause: self._heartbeat_age_s(journal, now_s) for cause, journal in HEARTBEATS.items()}
        return ages | {STREAM: now_s - self.stream_live_s, RECONCILIATION: now_s - self.reconciled_s}

    def overdue(self) -> dict[str, float]:
        """Return the causes that are older than their limits."""
        own = self.settings.services.watchdog
        limits_s = dict.fromkeys(HEARTBEATS, own.heartbeat_age_s_max)
        limits_s |= {STREAM: own.stream_age_s_max, RECONCILIATION: own.reconcile_age_s_max}
        found = {}
        for cause, age_s in self.ages_s().items():
            metrics.WATCHDOG_AGE_SECONDS.labels(cause=cause).set(age_s)
            # A heartbeat from the future says as little as an old one.
            is_overdue = not -limits_s[cause] <= age_s <= limits_s[cause]
            metrics.WATCHDOG_ALARM.labels(cause=cause).set(is_overdue)
            if is_overdue:
                found[cause] = age_s
        return found

    async def follow_metrics(self) -> None:
        """Read execution-engine's metrics for ever."""
        port = self.settings.services.execution_engine.metrics_port
        url = f"http://{self.settings.metrics_address}:{port}/metrics"
        while True:
            try:
                self.take_metrics(await asyncio.to_thread(_read, url))
            except (OSError, ValueError) as error:
                log.debug("metrics_not_read", url=url, detail=str(error))
            await asyncio.sleep(METRICS_INTERVAL_S)

    def take_metrics(self, text: str) -> None:
        """Note what the metrics say of the stream and the reconciliation."""
        now_s = clock.monotonic_s()
        if _value(text, "holdfast_order_stream_live") == 1.0:
            self.stream_live_s = now_s
        age_s = clock.now_ns() / NS_PER_S - _value(text, "holdfast_reconciled_timestamp_seconds")
        if 0 <= age_s < now_s - self.reconciled_s:
            self.reconciled_s = now_s - age_s

    def _heartbeat_age_s(self, journal: str, now_s: float) -> float:
        try:
            reader = self._readers.get(journal) or open_reader(self.settings, journal, from_seq=0, wait_s=0)
        except (JournalError, OSError):
            return now_s - self.started_s
        self._readers[journal] = reader
        age_s = (clock.now_ns() - reader.heartbeat_ns) / NS_PER_S
        if age_s > self.settings.services.watchdog.heartbeat_age_s_max:
            # Its files may have been replaced: map them anew next time.
            self._readers.pop(journal).close()
        return age_s


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=METRICS_TIMEOUT_S) as answer:  # noqa: S310 - loopback, from the settings
        text: str = answer.read().decode()
        return text


def _value(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, flags=re.MULTILINE)
    return float(found[1]) if found else 0.0


@dataclass(slots=True)
class Watchdog:
    """Watches, and cancels entry orders for as long as a cause lasts."""

    sight: Sight
    gateway: TradingGateway
    _since_s: float = 0.0
    _look_s: float = 0.0
    _causes: frozenset[str] = frozenset()

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch until asked to stop."""
        following = asyncio.create_task(self.sight.follow_metrics())
        try:
            while not stopping.is_set():
                await self.check()
                await asyncio.sleep(CHECK_INTERVAL_S)
        finally:
            following.cancel()

    async def check(self) -> None:
        """Look once at what is watched; while anything is overdue, see to the entry orders."""
        overdue = self.sight.overdue()
        self._tell(overdue)
        now_s = clock.monotonic_s()
        if not overdue or now_s < self._look_s:
            return
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                count = await self._cancel_entries()
        except (RetryLater, BadInput, TimeoutError) as error:
            metrics.WATCHDOG_LOOKS.labels(outcome="failed").inc()
            log.warning("watchdog_look_failed", detail=str(error) or type(error).__name__)
            self._look_s = clock.monotonic_s() + LOOK_AGAIN_S
            return
        metrics.WATCHDOG_LOOKS.labels(outcome="done").inc()
        is_early = clock.monotonic_s() - self._since_s < SOON_FOR_S
        pause_s = LOOK_AGAIN_S if count else LOOK_SOON_S if is_early else LOOK_LATER_S
        self._look_s = clock.monotonic_s() + pause_s

    def _tell(self, overdue: dict[str, float]) -> None:
        causes = frozenset(overdue)
        if causes == self._causes:
            return
        if causes - self._causes:
            self._since_s, self._look_s = clock.monotonic_s(), 0.0
            log.error("watchdog_alarmed", **{f"{cause}_age_s": round(age_s, 3) for cause, age_s in overdue.items()})
        elif not causes:
            log.warning("watchdog_calmed")
        self._causes = causes

    async def _cancel_entries(self) -> int:
        orders = await self._open_orders()
        positions = await self.gateway.positions(now_ns=clock.now_ns()) if orders else []
        entries = entries_among(orders, positions)
        doubtful = [order for order in entries if opposes(order, positions)]
        await asyncio.gather(*(self._cancel(order) for order in entries if order not in doubtful))
        if doubtful:
            # What filled between the two answers makes a reduction look larger than what is held.
            still = {order.venue_order_id for order in entries_among(await self._open_orders(), positions)}
            doubtful = [order for order in doubtful if order.venue_order_id in still]
            await asyncio.gather(*(self._cancel(order) for order in doubtful))
        return len(entries)

    async def _open_orders(self) -> list[VenueOrder]:
        return sorted(await self.gateway.open_orders(), key=lambda order: order.submitted_ns)

    async def _cancel(self, order: VenueOrder) -> None:
        outcome = await self.gateway.cancel(order.venue_order_id, timeout_s=CANCEL_TIMEOUT_S)
        result = canceled(outcome, now_s=clock.now_ns() / NS_PER_S)
        word = type(result).__name__.lower()
        metrics.WATCHDOG_CANCELS.labels(outcome=word).inc()
        log.warning("watchdog_canceled", client_order_id=order.client_order_id, symbol=order.symbol, outcome=word)
        if isinstance(result, Refusal) and result.is_rate:
            await asyncio.sleep(min(result.retry_after_s, PAUSE_S_MAX))


async def run(frame: Frame) -> None:
    """Run the service until the frame asks it to stop. Raises: ConfigError without credentials of its own."""
    settings = frame.settings
    origin = trading_origin(settings, keys=watchdog_credentials(settings), client=CLIENT)
    async with Connection(origin, tls_context(settings.venue.ca_file), lines=2) as connection:
        gateway = TradingGateway(entries=connection, cancels=connection, queries=connection, pace=Patience())
        watchdog = Watchdog(Sight(settings), gateway)
        frame.ready()
        await watchdog.run(frame.stopping)
