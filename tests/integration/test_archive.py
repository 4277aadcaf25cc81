"""The copy that a timer makes of a trading host's state is one that can be traded on from."""

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from holdfast import audit
from holdfast._native import JournalName, JournalReader, JournalWriter, KillLatch, Quote, journal_verify

SCRIPT = Path(__file__).resolve().parents[2] / "systemd/lib/archive.sh"
SEGMENT_BYTES = 16_384


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a latch that is set and a trail."""
    found = tmp_path / "state"
    (found / "journals").mkdir(parents=True)
    KillLatch(str(found / "latch")).trip("ann", "a rehearsal", 1)
    audit.append(found, action="trip", operator="ann", reason="a rehearsal", ts_ns=1)
    return found


def open_writer(state: Path) -> JournalWriter:
    return JournalWriter(
        str(state / "journals/market_data"),
        JournalName.MARKET_DATA,
        now_ns=1_000,
        segment_bytes=SEGMENT_BYTES,
        segments_retained_max=0,
        build_hash=1,
        config_hash=1,
    )


def append(writer: JournalWriter, first: int, count: int) -> None:
    for number in range(first, first + count):
        quote = Quote(symbol="AAPL", bid_price_e9=number, ask_price_e9=number + 1, bid_size_e9=1, ask_size_e9=1)
        writer.append(quote, ts_ns=number)


def archive(state: Path, folder: Path) -> None:
    command = ["bash", str(SCRIPT), str(state), str(folder), str(folder.parent / "archive.prom")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def numbers(state: Path) -> list[int]:
    """Return what a journal holds after its next writer has opened it, as it would on another host."""
    with open_writer(state):
        pass
    directory = state / "journals/market_data"
    assert journal_verify(str(directory)).error is None
    with JournalReader(str(directory)) as reader:
        return [record.ts_ns for record in reader.read(1_000_000)]


def test_a_copy_holds_all_before_it_and_is_renewed_by_what_came_since(state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with open_writer(state) as writer:
        append(writer, 1, 500)
        archive(state, folder)
        append(writer, 501, 700)
        archive(state, folder)
    assert numbers(folder) == list(range(1, 1201))
    assert KillLatch(str(folder / "latch")).is_set
    assert audit.verify(folder).records == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00\n", (folder / "archived").read_text())


def test_a_copy_made_while_the_writer_writes_holds_a_beginning_without_holes(state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    has_ended = threading.Event()
    written = 0

    def write(writer: JournalWriter) -> None:
        nonlocal written
        while not has_ended.is_set():
            append(writer, written + 1, 50)
            written += 50

    with open_writer(state) as writer:
        append(writer, 1, 50)
        written = 50
        thread = threading.Thread(target=write, args=(writer,))
        thread.start()
        try:
            for _ in range(3):
                before = written
                archive(state, folder)
        finally:
            has_ended.set()
            thread.join()
    found = numbers(folder)
    assert found == list(range(1, len(found) + 1))
    assert before <= len(found) <= written


def test_a_page_that_was_dirty_at_the_last_copy_is_copied_again(state: Path, tmp_path: Path) -> None:
    """The kernel may not renew the time of a file whose page was changed already."""
    folder = tmp_path / "archive"
    with open_writer(state) as writer:
        append(writer, 1, 10)
        archive(state, folder)
        (segment,) = (state / "journals/market_data").glob("*.segment")
        dirty_since_s = segment.stat().st_mtime - 30
        append(writer, 11, 10)
    os.utime(segment, (dirty_since_s, dirty_since_s))
    archive(state, folder)
    assert numbers(folder) == list(range(1, 21))
