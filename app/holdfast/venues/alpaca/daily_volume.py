"""The average volume of a symbol's last twenty sessions, from the venue's daily bars.

Source: Alpaca, "Historical bars" (`/v2/stocks/bars`, timeframe 1Day); a bar begins at midnight in New York. With the
feed iex the volumes are that exchange's alone: the risk limit that is a share of them is then stricter, never looser.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import msgspec

from holdfast import metrics
from holdfast._native import AverageVolume, Channel, JournalWriter
from holdfast.errors import BadInput, ConfigError, RetryLater
from holdfast.logs import get_logger
from holdfast.settings.sessions import open_of_day
from holdfast.venues.alpaca.history import Getter, HistoryRequest, page_of
from holdfast.venues.alpaca.repeated import Repeated
from holdfast.venues.alpaca.wire import SECOND_NS

SESSIONS = 20
# Twenty sessions and the holidays between them.
LOOK_BACK_NS = 40 * 86_400 * SECOND_NS
PAGES_MAX = 20
E9 = 1_000_000_000
VOLUME_MAX = Decimal(9 * 10**9)
MIDNIGHT_TO_OPEN_NS = (9 * 3600 + 1800) * SECOND_NS
LOOK_INTERVAL_S = 0.25
LOOK_LATER_S = 5.0
RETRY_S_MIN = 0.25
RETRY_S_MAX = 5.0

log = get_logger()


class DailyBar(msgspec.Struct):
    """What counts of a daily bar."""

    t: datetime
    v: Decimal


@dataclass(slots=True, kw_only=True)
class VolumeKeeper:
    """Fetches the averages at the start and once a session, and repeats them in the journal.

    `sessions` are opens and closes; `session_ns` gives the time of the session's clock, 0 while it is not known.
    """

    connection: Getter
    writer: JournalWriter
    symbols: tuple[str, ...]
    feed: str
    sessions: Sequence[tuple[int, int]]
    session_ns: Callable[[], int]
    _repeated: Repeated = field(init=False)
    _day_ns: int = 0

    def __post_init__(self) -> None:
        """Know nothing yet."""
        metrics.AVERAGE_VOLUMES_MISSING.set(len(self.symbols))
        self._repeated = Repeated(self.writer)

    async def run(self) -> None:
        """Fetch whenever a session day begins, until it is fetched."""
        retry_s = RETRY_S_MIN
        while True:
            day_ns = self._midnight_ns(self.session_ns())
            if day_ns in (0, self._day_ns):
                await asyncio.sleep(LOOK_LATER_S if self._day_ns else LOOK_INTERVAL_S)
                continue
            try:
                found = await average_volumes(self.connection, self.symbols, before_ns=day_ns, feed=self.feed)
            except (RetryLater, BadInput, ConfigError) as error:
                log.warning("average_volumes_not_fetched", detail=str(error), retry_after_s=retry_s)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_S_MAX)
                continue
            retry_s, self._day_ns = RETRY_S_MIN, day_ns
            self._take(found)

    def beat(self) -> None:
        """Say again what is in force, if it is time."""
        self._repeated.beat()

    def _take(self, found: list[AverageVolume]) -> None:
        missing = sorted(set(self.symbols) - {record.symbol for record in found})
        metrics.AVERAGE_VOLUMES_MISSING.set(len(missing))
        log.info("average_volumes_fetched", symbols=len(found), missing=missing)
        self._repeated.records = found
        self._repeated.write()

    def _midnight_ns(self, now_ns: int) -> int:
        """Return when the date of the running session day began in New York; 0 before the first known one."""
        open_ns = open_of_day(self.sessions, now_ns)
        return open_ns - MIDNIGHT_TO_OPEN_NS if open_ns and now_ns else 0


async def average_volumes(
    connection: Getter, symbols: Sequence[str], *, before_ns: int, feed: str
) -> list[AverageVolume]:
    """Return the average volume of each symbol that has bars in the sessions before a moment.

    Sessions without a bar count as none traded, so that a young or halted symbol's average is small.
    Raises: RetryLater, ConfigError, BadInput.
    """
    request = HistoryRequest(
        channel=Channel.BARS,
        symbols=tuple(symbols),
        start_ns=before_ns - LOOK_BACK_NS,
        end_ns=before_ns - 1,
        feed=feed,
        timeframe="1Day",
    )
    bars: dict[str, list[DailyBar]] = {}
    token = ""
    for _ in range(PAGES_MAX):
        page = page_of(await connection.get(request.target(token)))
        for symbol, items in (page.bars or {}).items():
            bars.setdefault(symbol, []).extend(_daily_bar(item) for item in items)
        token = page.next_page_token or ""
        if not token:
            return [_average(symbol, bars[symbol]) for symbol in symbols if bars.get(symbol)]
    raise BadInput(f"daily bars have more than {PAGES_MAX} pages")


def _daily_bar(item: msgspec.Raw) -> DailyBar:
    try:
        bar = msgspec.json.decode(item, type=DailyBar)
    except msgspec.DecodeError as error:
        raise BadInput(f"no daily bar: {error}: {bytes(item)[:80]!r}") from None
    if bar.t.tzinfo is None or not bar.v.is_finite() or bar.v < 0:
        raise BadInput(f"no daily bar: {bytes(item)[:80]!r}")
    return bar


def _average(symbol: str, bars: Sequence[DailyBar]) -> AverageVolume:
    latest = sorted(bars, key=lambda bar: bar.t)[-SESSIONS:]
    total_e9 = sum(int(min(bar.v, VOLUME_MAX) * E9) for bar in latest)
    return AverageVolume(
        symbol=symbol,
        ts_event_ns=int(latest[-1].t.timestamp()) * SECOND_NS,
        volume_e9=total_e9 // SESSIONS,
        session_count=len(latest),
    )
