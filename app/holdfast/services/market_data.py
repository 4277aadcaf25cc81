"""market-data: the venue's data streams into the journal `market_data`, with every loss marked and repaired.

One stream for equities, one for crypto, in one event loop with one writer. Frames go from the socket into the journal
in one native call; everything else here happens at most ten times a second or when something is wrong.
"""

import asyncio
import bisect
import contextlib
import random
from dataclasses import dataclass
from functools import partial
from itertools import chain

from holdfast import clock, metrics
from holdfast._native import (
    Bar,
    BookDelta,
    Channel,
    FrameDecoder,
    Gap,
    GapReason,
    JournalReader,
    JournalWriter,
    Quote,
    Trade,
    TradingStatus,
)
from holdfast.errors import BadInput, ConfigError, RetryLater
from holdfast.journals import journal_directory, open_halts, open_tail, open_writer
from holdfast.logs import get_logger
from holdfast.service import Frame
from holdfast.settings import Settings
from holdfast.settings.sessions import load_sessions
from holdfast.symbols import is_crypto_pair
from holdfast.venues.alpaca.connection import Connection, Origin, tls_context
from holdfast.venues.alpaca.daily_volume import VolumeKeeper
from holdfast.venues.alpaca.feed import Feed, FeedEndpoint
from holdfast.venues.alpaca.feed_protocol import FeedProtocol, FeedState, Note, Subscription
from holdfast.venues.alpaca.gaps import GapLedger, Loss, Staleness
from holdfast.venues.alpaca.repair import GapRepair, RepairJob
from holdfast.venues.alpaca.repeated import Repeated, RepeatedHalts

BEAT_INTERVAL_S = 0.1
PUBLISH_INTERVAL_S = 0.5
LOG_INTERVAL_S = 60.0
TAIL_RECORDS_MAX = 65_536
TAIL_CHUNK = 1024
LOG_REASONS_MAX = 1000
FAR_NS = 2**63
REPAIR_RETRY_S_MIN = 0.25
# A venue that is down is asked again soon, one that refuses less often.
REPAIR_RETRY_S_MAX = 5.0
REPAIR_REFUSED_S_MAX = 60.0
EQUITY_CHANNELS = ("trades", "quotes", "bars", "updatedBars", "statuses", "lulds")
CRYPTO_CHANNELS = ("trades", "quotes", "bars", "updatedBars", "orderbooks")
EVENTS = (Quote, Trade, Bar, BookDelta, TradingStatus)
CHANNEL_OF = {Quote: Channel.QUOTES, Trade: Channel.TRADES, Bar: Channel.BARS, BookDelta: Channel.ORDERBOOKS}

log = get_logger()


@dataclass(frozen=True, slots=True)
class Tail:
    """What the journal's end says about the time before this start, one stream's symbols only."""

    last_event_ns: int = 0
    unrepaired_from_ns: int = 0

    @property
    def from_ns(self) -> int:
        """Since when data is missing; 0 when the journal holds none."""
        return self.unrepaired_from_ns or self.last_event_ns


class LogThrottle:
    """Lets one line a minute through for each reason, and counts the others."""

    def __init__(self) -> None:
        self._next_s: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def admit(self, reason: str, now_s: float) -> int | None:
        """Return how many lines were held back since the last one, or None when this one is held back too."""
        if now_s < self._next_s.get(reason, 0.0):
            self._held[reason] = self._held.get(reason, 0) + 1
            return None
        if len(self._next_s) >= LOG_REASONS_MAX:
            self._next_s.clear()
            self._held.clear()
        self._next_s[reason] = now_s + LOG_INTERVAL_S
        return self._held.pop(reason, 0)


def read_tail(settings: Settings, *, is_crypto: bool) -> Tail:
    """Read the end of the journal for the symbols of one stream."""
    last_event_ns = 0
    unrepaired: dict[str, int] = {}
    with open_tail(settings, "market_data", TAIL_RECORDS_MAX) as reader:
        for record in chain.from_iterable(iter(partial(reader.read, TAIL_CHUNK), [])):
            symbol = str(getattr(record, "symbol", ""))
            if symbol and is_crypto_pair(symbol) != is_crypto:
                continue
            if isinstance(record, EVENTS):
                last_event_ns = max(last_event_ns, record.ts_event_ns)
            elif isinstance(record, Gap) and record.is_repaired:
                unrepaired.pop(symbol, None)
            elif isinstance(record, Gap):
                unrepaired.setdefault(symbol, record.from_ns)
    return Tail(last_event_ns, min(unrepaired.values(), default=0))


class Stream:
    """One stream of the venue and what is known to be missing of it."""

    def __init__(
        self,
        name: str,
        subscription: Subscription,
        *,
        settings: Settings,
        writer: JournalWriter,
        gap_symbols: tuple[str, ...],
        repair: GapRepair | None,
    ) -> None:
        self.name = name
        self._symbols = subscription.symbols
        self._gap_symbols = gap_symbols
        self._settings = settings
        self._writer = writer
        self._repair = repair
        self._ledger = GapLedger()
        self._publish_s = 0.0
        self._reader: JournalReader | None = None
        self._throttle = LogThrottle()
        self._repair_wanted = asyncio.Event()
        self._staleness = Staleness(
            channels=_channels(subscription.channels), stale_after_s=settings.services.market_data.stale_after_s
        )
        self._sampled_ns = 0
        self._sessions = load_sessions()
        self.feed = Feed(
            _endpoint(settings, is_crypto=name == "crypto"),
            _protocol(settings, subscription),
            decoder=FrameDecoder(settings.venue.encoding),
            writer=writer,
            observer=self,
        )
        self._published = dict(self.feed.counts)

    def start(self, tail: Tail) -> None:
        """Mark what this process was not there to see."""
        if tail.from_ns:
            self._lose(GapReason.RESTARTED, Channel.ALL, from_ns=tail.from_ns)

    def on_lost(self, reason: GapReason) -> None:
        """Mark everything as missing from the last event on."""
        self._lose(reason, Channel.ALL, from_ns=self.feed.last_event_ns)

    def on_resumed(self) -> None:
        """Begin to measure how quiet the channels are."""
        self._staleness.start(clock.monotonic_s())
        refused = self.feed.protocol.symbols_refused
        metrics.FEED_SYMBOLS_REFUSED.labels(self.name).set(len(refused))
        log.info("feed_subscribed", stream=self.name, symbols=len(self._symbols), symbols_refused=list(refused))

    def on_noted(self, note: Note) -> None:
        """Count it; log it once a minute."""
        if note.code:
            metrics.FEED_ERRORS.labels(self.name, str(note.code)).inc()
        elif note.event == "feed_message_dropped":
            metrics.FEED_DROPPED.labels(self.name, note.detail).inc(note.count)
        held = self._throttle.admit(f"{note.event} {note.code} {note.detail}", clock.monotonic_s())
        if held is not None:
            log.warning(note.event, stream=self.name, code=note.code, detail=note.detail, held_back=held)

    def on_reconnecting(self, cause: str, after_s: float) -> None:
        """Count it; log it once a minute and cause."""
        metrics.FEED_RECONNECTS.labels(self.name).inc()
        held = self._throttle.admit(f"reconnect {cause}", clock.monotonic_s())
        if held is not None:
            log.warning("feed_disconnected", stream=self.name, cause=cause, after_s=round(after_s, 3), held_back=held)

    def on_watched(self, record_count: int) -> None:
        """End the gaps that the events of this frame end."""
        if self._reader is None:
            self._reader = JournalReader(str(journal_directory(self._settings, "market_data")), from_seq=0)
        self._reader.seek(self._writer.next_seq - record_count)
        for record in self._reader.read(record_count):
            assert isinstance(record, EVENTS), record
            channel = CHANNEL_OF.get(type(record), Channel.STATUSES)
            ended = self._ledger.bound(ts_event_ns=record.ts_event_ns, seq=record.seq, channel=channel)
            if ended:
                self._repair_wanted.set()
        self.feed.is_watched = self._ledger.is_open

    def beat(self) -> None:
        """Look at the time: handshakes, staleness, metrics."""
        now_s = clock.monotonic_s()
        self.feed.beat()
        if self.feed.protocol.state is FeedState.STREAMING:
            is_open = self._is_session_open()
            for channel in self._staleness.measure(self.feed.counts, is_open=is_open, now_s=now_s):
                self._lose(GapReason.STALE, channel, from_ns=self.feed.last_event_ns)
            if is_open and self._staleness.is_mute(now_s):
                log.warning("feed_went_mute", stream=self.name)
                self.feed.disconnect()
        if now_s >= self._publish_s:
            self._publish_s = now_s + PUBLISH_INTERVAL_S
            self._publish(now_s)

    async def repair_gaps(self) -> None:
        """Fill every gap that has both ends, oldest first; a gap stays open until it is filled."""
        while True:
            await self._repair_wanted.wait()
            self._repair_wanted.clear()
            while (loss := self._ledger.waiting()) is not None:
                await self._repair_one(loss)

    async def _repair_one(self, loss: Loss) -> None:
        end_ns, end_seq = loss.to_ns, loss.to_seq
        # Without history an operator has said that what is lost stays lost: the gap ends with the next event.
        recovered = await self._recover(loss) if self._repair is not None else 0
        metrics.FEED_RECOVERED.labels(self.name).inc(recovered)
        if self._ledger.fill(loss, end_ns=end_ns, end_seq=end_seq, count=recovered):
            self._journal_gap(loss, is_repaired=True)
            log.info("feed_gap_repaired", stream=self.name, channel=loss.channel.label, recovered=loss.missed_count)

    async def _recover(self, loss: Loss) -> int:
        """Read history until it has answered everything; returns how many records were missing."""
        assert self._repair is not None
        job: RepairJob = self._repair.job(loss, self._symbols)
        pause_s = REPAIR_RETRY_S_MIN
        while True:
            try:
                await self._repair.fill(job)
            except RetryLater as error:
                cause, pause_s_max = str(error), REPAIR_RETRY_S_MAX
            except (BadInput, ConfigError) as error:
                cause, pause_s_max = str(error), REPAIR_REFUSED_S_MAX
            else:
                return job.recovered_count
            pause_s = min(pause_s, pause_s_max)
            wait_s = pause_s * random.random()  # noqa: S311 - jitter
            pause_s *= 2
            if self._throttle.admit(f"repair {cause}", clock.monotonic_s()) is not None:
                log.warning("feed_gap_not_repaired", stream=self.name, cause=cause, retry_after_s=round(wait_s, 3))
            await asyncio.sleep(wait_s)

    def _lose(self, reason: GapReason, channel: Channel, *, from_ns: int) -> None:
        loss = self._ledger.lose(reason, channel=channel, from_ns=from_ns, from_seq=self._writer.next_seq - 1)
        self.feed.is_watched = self._ledger.is_open
        if loss is None:
            return
        self._journal_gap(loss, is_repaired=False)
        if loss.is_longer:
            return
        metrics.FEED_GAPS.labels(self.name, reason.label).inc()
        log.warning("feed_gap_opened", stream=self.name, channel=channel.label, reason=reason.label, from_ns=from_ns)

    def _journal_gap(self, loss: Loss, *, is_repaired: bool) -> None:
        now_ns = clock.now_ns()
        for record in loss.records(self._gap_symbols, is_repaired=is_repaired):
            self._writer.append(record, ts_ns=now_ns)

    def _is_session_open(self) -> bool:
        """Return whether the venue trades now; crypto always does."""
        if self.name == "crypto":
            return True
        is_venue_time = self._settings.clock.session_time == "venue"
        now_ns = self.feed.last_event_ns if is_venue_time else clock.now_ns()
        index = bisect.bisect_right(self._sessions, (now_ns, FAR_NS)) - 1
        return index >= 0 and now_ns < self._sessions[index][1]

    def _publish(self, now_s: float) -> None:
        metrics.SESSION_OPEN.labels(self.name).set(self._is_session_open())
        state = self.feed.protocol.state
        for each in FeedState:
            metrics.FEED_STATE.labels(self.name, each).set(each is state)
        for channel in self._staleness.channels:
            label = channel.label
            metrics.FEED_QUIET_SECONDS.labels(self.name, label).set(self._staleness.age_s(channel, now_s))
            metrics.FEED_STALE.labels(self.name, label).set(channel in self._staleness.stale)
        for channel, count in self.feed.counts.items():
            metrics.FEED_MESSAGES.labels(self.name, channel.label).inc(count - self._published[channel])
            self._published[channel] = count
        metrics.FEED_GAPS_UNREPAIRED.labels(self.name).set(len(self._ledger))
        feed = self.feed
        if feed.last_recv_ns != self._sampled_ns and self._settings.clock.session_time == "host":
            metrics.FEED_LATENCY.labels(self.name).observe((feed.last_recv_ns - feed.last_event_ns) / 1e9)
        self._sampled_ns = feed.last_recv_ns


async def run(frame: Frame) -> None:
    """Run the service until it is asked to stop.

    Raises: ConfigError when the venue refuses for good; the journal's error when it cannot be written.
    """
    settings = frame.settings
    async with contextlib.AsyncExitStack() as stack:
        writer = stack.enter_context(open_writer(settings, "market_data"))
        connection = await stack.enter_async_context(_connection(settings))
        has_backfill = settings.services.market_data.has_backfill
        streams = _streams(settings, writer, connection if has_backfill else None)
        try:
            await _work(frame, streams, writer, _volumes(settings, streams, writer, connection))
        except ExceptionGroup as group:
            # The first failure is the cause; the tasks that it ended have nothing to add.
            raise group.exceptions[0] from None


async def _work(frame: Frame, streams: list[Stream], writer: JournalWriter, volumes: VolumeKeeper) -> None:
    async with asyncio.TaskGroup() as tasks:
        halts = RepeatedHalts(open_halts(frame.settings), Repeated(writer))
        work = [tasks.create_task(_beat(streams, writer, (volumes, halts)))]
        if volumes.symbols:
            work.append(tasks.create_task(volumes.run(), name="average-volumes"))
        for stream in streams:
            work.append(tasks.create_task(stream.feed.run(), name=f"feed-{stream.name}"))
            work.append(tasks.create_task(stream.repair_gaps(), name=f"repair-{stream.name}"))
        frame.ready()
        await frame.stopping.wait()
        for task in work:
            task.cancel()


async def _beat(streams: list[Stream], writer: JournalWriter, repeaters: tuple[VolumeKeeper, RepeatedHalts]) -> None:
    while True:
        writer.heartbeat(clock.now_ns())
        for stream in streams:
            stream.beat()
        for repeater in repeaters:
            repeater.beat()
        await asyncio.sleep(BEAT_INTERVAL_S)


def _volumes(settings: Settings, streams: list[Stream], writer: JournalWriter, connection: Connection) -> VolumeKeeper:
    """Return who keeps the average volumes of the shares; for crypto the venue has no volume of the whole market."""
    is_venue_time = settings.clock.session_time == "venue"

    def session_ns() -> int:
        return max(stream.feed.last_event_ns for stream in streams) if is_venue_time else clock.now_ns()

    return VolumeKeeper(
        connection=connection,
        writer=writer,
        symbols=tuple(symbol for symbol in settings.symbols if not is_crypto_pair(symbol)),
        feed=settings.venue.feed,
        sessions=load_sessions(),
        session_ns=session_ns,
    )


def _streams(settings: Settings, writer: JournalWriter, connection: Connection | None) -> list[Stream]:
    by_name = {
        "equities": (EQUITY_CHANNELS, tuple(symbol for symbol in settings.symbols if not is_crypto_pair(symbol))),
        "crypto": (CRYPTO_CHANNELS, tuple(symbol for symbol in settings.symbols if is_crypto_pair(symbol))),
    }
    used = {name: entry for name, entry in by_name.items() if entry[1]}
    repair = None
    if connection is not None:
        repair = GapRepair(
            connection=connection,
            writer=writer,
            decoder=FrameDecoder("json"),
            journal_dir=journal_directory(settings, "market_data"),
            feed=settings.venue.feed,
        )
    streams = []
    for name, (channels, symbols) in used.items():
        stream = Stream(
            name,
            Subscription(channels=channels, symbols=symbols),
            settings=settings,
            writer=writer,
            gap_symbols=() if len(used) == 1 else symbols,
            repair=repair,
        )
        stream.start(read_tail(settings, is_crypto=name == "crypto"))
        streams.append(stream)
    return streams


def _endpoint(settings: Settings, *, is_crypto: bool) -> FeedEndpoint:
    venue = settings.venue
    path = "/v1beta3/crypto/us" if is_crypto else f"/v2/{venue.feed}"
    return FeedEndpoint(url=venue.data_stream_url + path, encoding=venue.encoding, ca_file=venue.ca_file)


def _credentials(settings: Settings) -> tuple[str, str]:
    key, secret = settings.alpaca_api_key, settings.alpaca_api_secret
    if key is None or secret is None:
        missing = "alpaca_api_key" if key is None else "alpaca_api_secret"
        raise ConfigError(file=settings.config_dir, key=missing, expected="a credential or environment variable")
    return key.get_secret_value(), secret.get_secret_value()


def _protocol(settings: Settings, subscription: Subscription) -> FeedProtocol:
    key, secret = _credentials(settings)
    return FeedProtocol(key=key, secret=secret, subscription=subscription, random=random.random)


def _connection(settings: Settings) -> Connection:
    key, secret = _credentials(settings)
    headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    origin = Origin.parse(settings.venue.data_url, headers=headers)
    return Connection(origin, tls_context(settings.venue.ca_file), lines=1)


def _channels(names: tuple[str, ...]) -> tuple[Channel, ...]:
    """Return the channels whose silence is measured."""
    known = {"quotes": Channel.QUOTES, "trades": Channel.TRADES, "bars": Channel.BARS, "orderbooks": Channel.ORDERBOOKS}
    return tuple(known[name] for name in names if name in known)
