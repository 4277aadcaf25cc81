"""L2 book updates from Python, in batches and one by one, beside nautilus_trader's `apply_delta`."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable

from holdfast import clock
from holdfast._native import BookAction, BookDelta, OrderBook, Side
from holdfast.bench import BenchResult

NAME = "book"
BATCH_BUDGET_NS = 80.0
SINGLE_BUDGET_NS = 81.0
LEVELS = 50
E9 = 10**9

Update = tuple[bool, int, int]


def _updates(count: int) -> list[Update]:
    """Return changes near the best of both sides: (is bid, price in cents, size; 0 removes)."""
    draw = random.Random(7)  # noqa: S311 - the same book in every run
    updates = []
    for _ in range(count):
        is_bid = draw.random() < 0.5
        distance = min(int(draw.expovariate(0.2)), LEVELS - 1)
        price = 10_000 - distance if is_bid else 10_001 + distance
        updates.append((is_bid, price, 0 if draw.random() < 0.2 else draw.randint(1, 500)))
    return updates


def _deltas(updates: list[Update]) -> list[BookDelta]:
    return [
        BookDelta(
            symbol="BTC/USD",
            side=Side.BUY if is_bid else Side.SELL,
            action=BookAction.SET if size else BookAction.REMOVE,
            price_e9=price * E9 // 100,
            size_e9=size * E9,
        )
        for is_bid, price, size in updates
    ]


def _best_ns(measure: Callable[[], None], count: int) -> float:
    """Return the least processor time of five runs, ns an update."""
    taken = []
    for _ in range(5):
        started_ns = clock.thread_ns()
        measure()
        taken.append((clock.thread_ns() - started_ns) / count)
    return min(taken)


def _peer_ns(updates: list[Update]) -> float | None:
    if importlib.util.find_spec("nautilus_trader") is None:
        return None
    from nautilus_trader.model.book import OrderBook as PeerBook  # noqa: PLC0415 - only where the peer is installed
    from nautilus_trader.model.data import BookOrder, OrderBookDelta  # noqa: PLC0415
    from nautilus_trader.model.enums import BookAction as PeerAction  # noqa: PLC0415
    from nautilus_trader.model.enums import BookType, OrderSide  # noqa: PLC0415
    from nautilus_trader.model.identifiers import InstrumentId  # noqa: PLC0415
    from nautilus_trader.model.objects import Price, Quantity  # noqa: PLC0415

    instrument = InstrumentId.from_str("BTC/USD.ALPACA")
    deltas = [
        OrderBookDelta(
            instrument,
            PeerAction.UPDATE if size else PeerAction.DELETE,
            BookOrder(
                OrderSide.BUY if is_bid else OrderSide.SELL,
                Price(price / 100, 2),
                Quantity(size, 0),
                price,
            ),
            0,
            0,
            0,
            0,
        )
        for is_bid, price, size in updates
    ]
    book = PeerBook(instrument, BookType.L2_MBP)

    def apply() -> None:
        apply_delta = book.apply_delta
        for delta in deltas:
            apply_delta(delta)

    return _best_ns(apply, len(deltas))


def run(*, quick: bool) -> list[BenchResult]:
    """Measure updates in a batch and one by one."""
    updates = _updates(20_000 if quick else 100_000)
    deltas = _deltas(updates)
    book = OrderBook("BTC/USD")

    def apply() -> None:
        apply_one = book.apply
        for delta in deltas:
            apply_one(delta)

    batch_ns = _best_ns(lambda: book.apply_batch(deltas), len(deltas))
    single_ns = _best_ns(apply, len(deltas))
    peer_ns = _peer_ns(updates)
    single_budget_ns = SINGLE_BUDGET_NS if peer_ns is None else peer_ns / 2
    figures = (("update_in_batch", batch_ns, BATCH_BUDGET_NS), ("update_one_by_one", single_ns, single_budget_ns))
    return [
        BenchResult(
            bench=NAME,
            metric=metric,
            unit="ns",
            ours=ours_ns,
            budget=budget_ns,
            peer=peer_ns,
            peer_name="nautilus_trader",
            met=ours_ns <= budget_ns,
        )
        for metric, ours_ns, budget_ns in figures
    ]
