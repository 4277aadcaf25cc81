"""Journals and the kill latch as Python sees them."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast._native import (
    JournalAhead,
    JournalCorrupt,
    JournalLocked,
    JournalMissing,
    JournalName,
    JournalNotifier,
    JournalPruned,
    JournalReader,
    JournalWriter,
    KillLatch,
    Quote,
    Trade,
    journal_verify,
    wait_any,
)
from patience import PATIENCE_S

SEGMENT_BYTES = 4096


def open_writer(directory: Path, *, segments_retained_max: int = 0) -> JournalWriter:
    """Open the market_data journal with tiny segments."""
    return JournalWriter(
        str(directory),
        JournalName.MARKET_DATA,
        now_ns=1_000,
        segment_bytes=SEGMENT_BYTES,
        segments_retained_max=segments_retained_max,
        build_hash=2**63 - 1,
        config_hash=7,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the journal of a test lives."""
    return tmp_path / "market_data"


@pytest.fixture
def writer(directory: Path) -> Iterator[JournalWriter]:
    """A writer that is closed after the test."""
    with open_writer(directory) as opened:
        yield opened


def test_records_come_back_with_their_headers(writer: JournalWriter, directory: Path) -> None:
    quote = Quote(symbol="IBM", bid_price_e9=99, ask_price_e9=101)
    trade = Trade(symbol="BTC/USD", price_e9=100)
    assert writer.append(quote, ts_ns=5, cause_journal=JournalName.CONTROL, cause_seq=3, origin_ns=4) == 1
    assert writer.append(trade, ts_ns=6) == 2
    reader = JournalReader(str(directory))
    records = reader.read(10)
    assert records == [quote, trade]
    first = records[0]
    assert (first.seq, first.ts_ns, first.cause_journal, first.cause_seq, first.origin_ns) == (
        1,
        5,
        JournalName.CONTROL,
        3,
        4,
    )
    assert reader.read(10) == []
    assert reader.read_one() is None
    assert (reader.next_seq, reader.last_seq, reader.name) == (3, 2, JournalName.MARKET_DATA)


def test_a_reader_sees_who_writes(writer: JournalWriter, directory: Path) -> None:
    writer.heartbeat(1_234)
    reader = JournalReader(str(directory))
    assert reader.heartbeat_ns == 1_234
    assert (reader.epoch, reader.build_hash, reader.config_hash) == (writer.epoch, 2**63 - 1, 7)


def test_errors_have_names(directory: Path) -> None:
    with pytest.raises(JournalMissing, match="no journal"):
        JournalReader(str(directory))
    with open_writer(directory, segments_retained_max=2) as writer:
        with pytest.raises(JournalLocked, match="has a writer already"):
            open_writer(directory)
        with pytest.raises(JournalAhead, match="ends at record 0"):
            JournalReader(str(directory), from_seq=2)
        for _ in range(200):
            writer.append(Quote(), ts_ns=1)
        reader = JournalReader(str(directory), from_seq=0)
        while reader.first_seq == 1:
            wait_any([], 0.001)
        with pytest.raises(JournalPruned, match="oldest retained"):
            JournalReader(str(directory), from_seq=1)
        with pytest.raises(TypeError, match="not a record"):
            writer.append("text", ts_ns=1)  # type: ignore[arg-type]


def test_opening_waits_for_the_writer(directory: Path) -> None:
    opened: list[JournalWriter] = []
    thread = threading.Thread(target=lambda: opened.append(open_writer(directory)))
    thread.start()
    assert JournalReader(str(directory), wait_s=10.0).last_seq == 0
    thread.join()
    opened[0].close()


def test_wait_any_wakes_for_a_record_and_ends_with_the_time(writer: JournalWriter, directory: Path) -> None:
    reader = JournalReader(str(directory))
    assert not wait_any([reader], 0.001)
    thread = threading.Thread(target=lambda: writer.append(Quote(), ts_ns=1))
    thread.start()
    assert wait_any([reader], 10.0)
    thread.join()
    assert len(reader.read(10)) == 1


def test_the_notifier_wakes_an_event_loop_for_every_batch(writer: JournalWriter, directory: Path) -> None:
    count = 300
    reader = JournalReader(str(directory))

    async def follow() -> list[int]:
        loop = asyncio.get_running_loop()
        eventfd = os.eventfd(0, os.EFD_NONBLOCK)
        notifier = JournalNotifier([reader], eventfd)
        seen: list[int] = []
        done = asyncio.Event()

        def drain() -> None:
            os.eventfd_read(eventfd)
            seen.extend(record.seq for record in reader.read(7))
            if len(seen) == count:
                done.set()
            notifier.arm()

        loop.add_reader(eventfd, drain)
        notifier.arm()
        writing = loop.run_in_executor(None, write)
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        await writing
        loop.remove_reader(eventfd)
        notifier.close()
        os.close(eventfd)
        return seen

    def write() -> None:
        for _ in range(count):
            writer.append(Quote(), ts_ns=1)

    assert asyncio.run(follow()) == list(range(1, count + 1))


def test_raw_records_rebuild_the_same_bytes(writer: JournalWriter, directory: Path, tmp_path: Path) -> None:
    for number in range(100):
        writer.append(Quote(bid_price_e9=number), ts_ns=number)
    writer.heartbeat(55)
    source = JournalReader(str(directory))
    with JournalWriter.mirror(str(tmp_path / "mirror"), source.identity) as mirror:
        while chunk := source.read_raw(500):
            mirror.append_raw(chunk)
        mirror.follow(source.identity, source.heartbeat_ns)
        with pytest.raises(ValueError, match="came instead of 101"):
            mirror.append_raw(JournalReader(str(directory)).read_raw(1))
    copy = JournalReader(str(tmp_path / "mirror"))
    assert copy.identity == source.identity
    assert copy.heartbeat_ns == 55
    segments = sorted(path.name for path in directory.glob("*.segment"))
    assert len(segments) == 3
    for name in segments:
        assert (tmp_path / "mirror" / name).read_bytes() == (directory / name).read_bytes()


def test_verification_names_the_damage(directory: Path) -> None:
    with open_writer(directory) as writer:
        for _ in range(5):
            writer.append(Quote(), ts_ns=1)
    assert journal_verify(str(directory)).error is None
    segment = directory / f"{1:020}.segment"
    content = bytearray(segment.read_bytes())
    record_bytes = int.from_bytes(content[:4], "little")
    content[record_bytes * 2 + 60] ^= 1
    segment.write_bytes(content)
    found = journal_verify(str(directory))
    assert (found.records, found.error, found.path, found.offset) == (
        2,
        "checksum differs",
        str(segment),
        record_bytes * 2,
    )
    with pytest.raises(JournalCorrupt, match="record 3"):
        open_writer(directory)


def test_the_latch_stays_set_until_an_operator_gives_a_reason(tmp_path: Path) -> None:
    latch = KillLatch(str(tmp_path / "latch"))
    assert not latch.is_set
    assert latch.trip("ann", "drill", 5)
    assert (latch.is_set, latch.operator, latch.reason, latch.ts_ns, latch.generation) == (True, "ann", "drill", 5, 1)
    with pytest.raises(ValueError, match="needs an operator and a reason"):
        latch.reset("ann", "", 6)
    assert KillLatch(str(tmp_path / "latch")).is_set
    assert latch.reset("bob", "checked", 7)
    assert (latch.is_set, latch.operator, latch.generation) == (False, "bob", 2)
