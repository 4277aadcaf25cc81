"""A journal whose writer dies, and a journal without room."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast._native import JournalFull, JournalName, JournalReader, JournalWriter, KillLatch, Quote, journal_verify

ROUNDS = 12
RECORDS_PER_ROUND_MAX = 4_000

# Prints the number of each record after it is appended, so that the parent knows what must survive.
WRITER = """
import sys
from holdfast._native import JournalName, JournalWriter, Quote
writer = JournalWriter(sys.argv[1], JournalName.SIGNALS, now_ns=1, segment_bytes=16384)
while True:
    seq = writer.append(Quote(bid_price_e9=writer.next_seq), ts_ns=writer.next_seq)
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
"""


def test_whatever_the_writer_had_appended_survives_its_death(tmp_path: Path) -> None:
    seed = int(os.environ.get("HOLDFAST_SEED", "20"))
    choice = random.Random(seed)
    directory = tmp_path / "signals"
    epoch = 0
    for number in range(ROUNDS):
        acknowledged = _write_until_killed(directory, choice.randrange(1, RECORDS_PER_ROUND_MAX))
        with JournalWriter(str(directory), JournalName.SIGNALS, now_ns=1) as writer:
            assert writer.next_seq > acknowledged, f"round {number} of seed {seed} lost a record"
            assert writer.epoch > epoch
            epoch = writer.epoch
    found = journal_verify(str(directory))
    assert (found.error, found.torn_bytes, found.first_seq) == (None, 0, 1)
    records = JournalReader(str(directory)).read(sys.maxsize)
    assert len(records) == found.records
    assert all(isinstance(record, Quote) and record.bid_price_e9 == record.seq == record.ts_ns for record in records)


def _write_until_killed(directory: Path, count: int) -> int:
    """Let a child append, kill it some time after its first `count` records; return the last number it reported."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(count):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        reported = [line for line in child.stdout if line.endswith("\n")]
    return int(reported[-1]) if reported else 0


def _append_forever(writer: JournalWriter) -> None:
    while True:
        writer.append(Quote(), ts_ns=1)


FULL = """
import resource, sys
from holdfast._native import JournalFull, JournalName, JournalWriter, KillLatch, Quote
directory, limit = sys.argv[1], int(sys.argv[2])
latch = KillLatch(directory + "-latch")
writer = JournalWriter(directory, JournalName.SIGNALS, now_ns=1, segment_bytes=65536)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    while True:
        writer.append(Quote(bid_price_e9=1), ts_ns=1)
except JournalFull as error:
    print(error)
latch.trip("ann", "disk full", 1)
assert latch.is_set
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(writer.append(Quote(bid_price_e9=1), ts_ns=1))
writer.close()
"""


def test_without_room_the_writer_stops_with_a_name_and_the_latch_works(tmp_path: Path) -> None:
    directory = tmp_path / "signals"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(directory), "8192"], capture_output=True, text=True, check=True, timeout=60
    )
    message, seq = done.stdout.splitlines()
    assert "no room for" in message
    found = journal_verify(str(directory))
    assert (found.error, found.torn_bytes, found.last_seq) == (None, 0, int(seq))
    assert KillLatch(str(directory) + "-latch").reason == "disk full"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mounted)], check=True)
    try:
        latch = KillLatch(str(mounted / "latch"))
        with JournalWriter(str(mounted / "j"), JournalName.SIGNALS, now_ns=1, segment_bytes=65536) as writer:
            with pytest.raises(JournalFull, match="free disk space"):
                _append_forever(writer)
            last_seq = writer.next_seq - 1
            latch.trip("ann", "disk full", 1)
        assert JournalReader(str(mounted / "j")).last_seq == last_seq
        assert KillLatch(str(mounted / "latch")).is_set
        del latch
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)
