"""Filling a gap of the market-data journal from history.

Recovered records are appended after the live ones that came meanwhile, with `origin_ns` 0: no order may call them
fresh. What the journal holds already at the gap's two ends is not written again.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast import clock
from holdfast._native import (
    Bar,
    Channel,
    FrameDecoder,
    JournalPruned,
    JournalReader,
    JournalWriter,
    Quote,
    Trade,
)
from holdfast.venues.alpaca.gaps import Loss
from holdfast.venues.alpaca.history import Getter, HistoryRequest, fetch

if TYPE_CHECKING:
    from holdfast._native import Record

EDGE_RECORDS_MAX = 512
SECOND_NS = 1_000_000_000
RECOVERABLE = (Channel.TRADES, Channel.QUOTES, Channel.BARS)


@dataclass(slots=True, kw_only=True)
class RepairJob:
    """How far the repair of one interval has come; `GapRepair.fill` goes on where an error stopped it."""

    channel: Channel
    symbols: tuple[str, ...]
    start_ns: int
    end_ns: int
    known: Counter[str] = field(default_factory=Counter)
    known_times_ns: set[int] = field(default_factory=set)
    next_tokens: dict[Channel, str] = field(default_factory=dict)
    done: set[Channel] = field(default_factory=set)
    recovered_count: int = 0

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that history can refill; books and statuses have none."""
        if self.channel is Channel.ALL:
            return RECOVERABLE
        return (self.channel,) if self.channel in RECOVERABLE else ()


@dataclass(slots=True, kw_only=True)
class GapRepair:
    """Fetches what gaps lost and appends it.

    `window_s_max` bounds how far before a gap's end it looks: nothing trades on older data, and the record that ends
    the gap says from when on it is filled.
    """

    connection: Getter
    writer: JournalWriter
    decoder: FrameDecoder
    journal_dir: Path
    feed: str
    window_s_max: int = 3600

    def job(self, loss: Loss, symbols: tuple[str, ...]) -> RepairJob:
        """Prepare the repair of a gap whose both ends are known."""
        job = RepairJob(
            channel=loss.channel,
            symbols=symbols,
            start_ns=max(loss.from_ns, loss.filled_ns, loss.to_ns - self.window_s_max * SECOND_NS),
            end_ns=loss.to_ns,
        )
        before = self._read(max(1, loss.from_seq - EDGE_RECORDS_MAX), loss.from_seq)
        after = self._read(loss.to_seq, loss.to_seq + EDGE_RECORDS_MAX)
        for record in [*before, *after]:
            if isinstance(record, Quote | Trade | Bar) and job.start_ns <= record.ts_event_ns <= job.end_ns:
                job.known[repr(record)] += 1
                job.known_times_ns.add(record.ts_event_ns)
        return job

    async def fill(self, job: RepairJob) -> None:
        """Append what history has and the journal has not. After an error, call it again with the same job.

        Raises: as `history.fetch`.
        """
        for channel in job.channels:
            if channel in job.done:
                continue
            request = HistoryRequest(
                channel=channel, symbols=job.symbols, start_ns=job.start_ns, end_ns=job.end_ns, feed=self.feed
            )
            async for frames, token in fetch(self.connection, request, page_token=job.next_tokens.get(channel, "")):
                for frame in frames:
                    self._append(frame, job)
                    await asyncio.sleep(0)
                job.next_tokens[channel] = token
            job.done.add(channel)

    def _append(self, frame: bytes, job: RepairJob) -> None:
        for record in self.decoder.decode(frame):
            if record.ts_event_ns in job.known_times_ns:
                key = repr(record)
                if job.known[key] > 0:
                    job.known[key] -= 1
                    continue
            self.writer.append(record, ts_ns=clock.now_ns())
            job.recovered_count += 1

    def _read(self, first_seq: int, last_seq: int) -> "Iterable[Record]":
        if last_seq < 1:
            return ()
        try:
            with JournalReader(str(self.journal_dir), from_seq=first_seq) as reader:
                return reader.read(last_seq - first_seq + 1)
        except JournalPruned:
            return ()
