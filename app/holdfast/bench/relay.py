"""The relay over loopback with CURVE: how fast a mirror catches up, and how far it trails."""

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median

from holdfast import clock, curve
from holdfast._native import JournalName, JournalReader, JournalWriter, Quote
from holdfast.bench import BenchResult
from holdfast.services.relay import Mirror, RelayServer

NAME = "relay"
RECORDS = 400_000
RECORDS_QUICK = 50_000
TRIPS = 300
TRIPS_QUICK = 50
TIMEOUT_S = 60.0
JOURNAL = "market_data"


def run(*, quick: bool) -> list[BenchResult]:
    """Measure catching up in records a second and the median delay of a single record, us."""
    with tempfile.TemporaryDirectory() as folder:
        rate, delay_us = asyncio.run(_measure(Path(folder), quick=quick))
    return [
        _result("mirror_catch_up", "records/s", rate),
        _result("mirror_delay_p50", "us", delay_us),
    ]


def _result(metric: str, unit: str, ours: float) -> BenchResult:
    return BenchResult(bench=NAME, metric=metric, unit=unit, ours=ours, budget=None, peer=None, peer_name="", met=None)


async def _measure(root: Path, *, quick: bool) -> tuple[float, float]:
    keys = root / "keys"
    server_key = curve.generate(keys, "relay").public.decode()
    pair = curve.generate(keys, "mirror")
    curve.allow(keys, "mirror", curve.Client(pair.public.decode(), [JOURNAL]))
    source, copy = root / "source", root / "copy"
    records = RECORDS_QUICK if quick else RECORDS
    with JournalWriter(str(source), JournalName.MARKET_DATA, now_ns=clock.now_ns()) as writer:
        record = Quote(symbol="IBM")
        for _ in range(records):
            writer.append(record, ts_ns=1)
        server = RelayServer(journals={JOURNAL: source}, ports={JOURNAL: 0}, bind_address="127.0.0.1", keys_dir=keys)
        mirror = Mirror(
            name=JOURNAL, directory=copy, endpoint=server.endpoints[JOURNAL], pair=pair, server_key=server_key
        )
        tasks = [asyncio.create_task(server.run()), asyncio.create_task(mirror.run())]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await mirror.opened.wait()
                started_ns = clock.monotonic_ns()
                first_seq = mirror.next_seq
                await _until(mirror, records)
                rate = (records + 1 - first_seq) / ((clock.monotonic_ns() - started_ns) / 1e9)
                trips_ns = []
                for number in range(TRIPS_QUICK if quick else TRIPS):
                    started_ns = clock.monotonic_ns()
                    writer.append(record, ts_ns=1)
                    await _until(mirror, records + number + 1)
                    trips_ns.append(clock.monotonic_ns() - started_ns)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
    with JournalReader(str(copy), from_seq=0) as reader:
        assert reader.last_seq == records + len(trips_ns)
    return round(rate), round(median(trips_ns) / 1_000, 1)


async def _until(mirror: Mirror, seq: int) -> None:
    while mirror.next_seq <= seq:  # noqa: ASYNC110 - the delay of an event would be part of the figure
        await asyncio.sleep(0)
