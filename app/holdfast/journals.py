"""Opening the journals of a state directory."""

import hashlib
import importlib.resources
from functools import cache
from pathlib import Path

from holdfast import clock, crash_points
from holdfast._native import Halts, JournalName, JournalReader, JournalWriter, KillLatch
from holdfast.settings import Settings

WRITERS = {
    "market_data": JournalName.MARKET_DATA,
    "signals": JournalName.SIGNALS,
    "orders": JournalName.ORDERS,
    "executions": JournalName.EXECUTIONS,
    "control": JournalName.CONTROL,
}
# market-data says four times as often which symbols are halted.
HALTS_WITHIN_RECORDS = 200_000


@cache
def build_hash() -> int:
    """Return the hash of the running code: equal on services of one release, 63 bits."""
    digest = hashlib.sha256()
    root = importlib.resources.files("holdfast")
    with importlib.resources.as_file(root) as folder:
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".so", ".sql", ".toml"}:
                digest.update(path.relative_to(folder).as_posix().encode())
                digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:8], "little") >> 1


def journal_directory(settings: Settings, name: str) -> Path:
    """Return where the journal `name` lives."""
    return settings.state_dir / "journals" / name


def open_writer(settings: Settings, name: str) -> JournalWriter:
    """Open a journal for its only writer.

    Raises: JournalLocked when another process writes it, JournalFull without disk space.
    """
    directory = journal_directory(settings, name)
    directory.mkdir(parents=True, exist_ok=True)
    writer = JournalWriter(
        str(directory),
        WRITERS[name],
        now_ns=clock.now_ns(),
        segment_bytes=settings.journal.segment_mib * 1024 * 1024,
        is_power_durable=settings.journal.durability == "power",
        segments_retained_max=settings.journal.segments_retained_max,
        build_hash=build_hash(),
        config_hash=settings.config_hash,
    )
    crash_points.arm_writer(name, writer)
    return writer


def open_reader(settings: Settings, name: str, *, from_seq: int = 1, wait_s: float = 30.0) -> JournalReader:
    """Open a journal for reading from `from_seq`; waits `wait_s` for its writer to have created it."""
    return JournalReader(
        str(journal_directory(settings, name)),
        from_seq=from_seq,
        spin_us=settings.journal.spin_us,
        wait_s=wait_s,
    )


def open_tail(settings: Settings, name: str, records_max: int) -> JournalReader:
    """Open a journal that exists for reading its latest records. Raises: JournalMissing."""
    reader = open_reader(settings, name, from_seq=0, wait_s=0.0)
    reader.seek(max(reader.first_seq, reader.last_seq - records_max + 1))
    return reader


def open_halts(settings: Settings) -> Halts:
    """Follow which symbols are halted, as the latest records of `market_data` tell. Raises: JournalMissing."""
    return Halts(open_tail(settings, "market_data", HALTS_WITHIN_RECORDS))


def open_latch(settings: Settings) -> KillLatch:
    """Map the kill latch of the state directory, creating it clear when absent."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    return KillLatch(str(settings.state_dir / "latch"))
