"""Alpaca's quote frames to journaled records, beside alpaca-py's path from the same frame to its handler."""

from __future__ import annotations

import asyncio
import importlib.util
import tempfile

from holdfast import clock
from holdfast._native import FrameDecoder, JournalName, JournalWriter, Quote, encode_frame
from holdfast.bench import BenchResult

NAME = "decode"
BUDGET_NS = 500.0
RATIO_MIN = 10.0
FRAME_QUOTES = 64
E9 = 10**9


def _quotes(count: int) -> list[Quote]:
    return [
        Quote(
            symbol=("AAPL", "MSFT", "IBM", "BAC")[index % 4],
            ts_event_ns=1_704_207_845 * E9 + index * 1_000_003,
            bid_price_e9=182 * E9 + index % 97 * E9 // 100,
            bid_size_e9=(1 + index % 9) * E9,
            ask_price_e9=183 * E9 + index % 89 * E9 // 100,
            ask_size_e9=(1 + index % 7) * E9,
            conditions="R",
            bid_exchange=ord("N"),
            ask_exchange=ord("Q"),
            tape=ord("A"),
        )
        for index in range(count)
    ]


def _ours_ns(encoding: str, frames: list[bytes], count: int) -> float:
    """Return the processor time a quote, ns."""
    decoder = FrameDecoder(encoding)
    with (
        tempfile.TemporaryDirectory() as directory,
        JournalWriter(directory, JournalName.MARKET_DATA, now_ns=1) as writer,
    ):
        started_ns = clock.thread_ns()
        for frame in frames:
            decoder.decode_into(frame, writer, ts_ns=1)
        return (clock.thread_ns() - started_ns) / count


def _peer_ns(frames: list[bytes], count: int) -> float | None:
    """Return alpaca-py's time a quote: unpack, cast to its model, await the handler; ns. None where it is missing."""
    if importlib.util.find_spec("alpaca") is None:
        return None
    import msgpack  # noqa: PLC0415 - alpaca-py costs half a second that only this measurement needs
    from alpaca.data.live.stock import StockDataStream  # noqa: PLC0415

    stream = StockDataStream("key", "secret")
    handled = 0

    async def handle(_quote: object) -> None:
        nonlocal handled
        handled += 1

    stream.subscribe_quotes(handle, "*")

    async def dispatch() -> float:
        started_ns = clock.thread_ns()
        for frame in frames:
            for message in msgpack.unpackb(frame):
                await stream._dispatch(message)  # noqa: SLF001 - what its receive loop calls for each message
        return (clock.thread_ns() - started_ns) / count

    taken_ns = asyncio.run(dispatch())
    if handled != count:
        raise RuntimeError(f"alpaca-py handled {handled} of {count} quotes")
    return taken_ns


def run(*, quick: bool) -> list[BenchResult]:
    """Measure both encodings."""
    count = 20_000 if quick else 200_000
    peer_count = 2_000 if quick else 10_000
    quotes = _quotes(count)
    batches = [quotes[first : first + FRAME_QUOTES] for first in range(0, count, FRAME_QUOTES)]
    frames = {encoding: [encode_frame(batch, encoding) for batch in batches] for encoding in ("json", "msgpack")}
    peer_frames = [encode_frame(quotes[first : first + 50], "msgpack") for first in range(0, peer_count, 50)]
    peer_ns = _peer_ns(peer_frames, peer_count)
    results = []
    for encoding in ("json", "msgpack"):
        ours_ns = min(_ours_ns(encoding, frames[encoding], count) for _ in range(3))
        results.append(
            BenchResult(
                bench=NAME,
                metric=f"{encoding}_quote_to_journal",
                unit="ns",
                ours=ours_ns,
                budget=BUDGET_NS,
                peer=peer_ns,
                peer_name="alpaca-py" if peer_ns is not None else "",
                met=ours_ns <= BUDGET_NS and (peer_ns is None or peer_ns >= RATIO_MIN * ours_ns),
            )
        )
    return results
