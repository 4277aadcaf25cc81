"""The end of execution-engine: what its orders opened gets its protective stops while somebody can still send them,
and what it sent gets its answer.
"""

import asyncio
from collections.abc import Iterable

from holdfast import clock
from holdfast._native import OrderStatus, Side
from holdfast.execution.gate import Gate
from holdfast.execution.ledger import Ledger
from holdfast.execution.sender import is_entry
from holdfast.logs import get_logger
from holdfast.symbols import is_crypto_pair

WITHIN_S = 2.0
LOOK_S = 0.02
# Of a fill that came earlier the stop has long been placed, or never will be.
RECENT_NS = 5_000_000_000
E9 = 1_000_000_000

log = get_logger()


def symbols_opened(ledger: Ledger, now_ns: int) -> set[str]:
    """Return the symbols with an entry that the stop cancels, or with a fill so recent that its stop may be missing."""
    return {order.symbol for order in ledger.orders.open_orders() if is_entry(order)} | ledger.filled_since(
        now_ns - RECENT_NS
    )


def unprotected(ledger: Ledger, symbols: Iterable[str]) -> list[str]:
    """Return the symbols with a position that no order of ours closes, or with a stop that the venue has not shown.

    Whole shares only, as risk-manager protects them.
    """
    return [symbol for symbol in sorted(symbols) if _lacks_fill(ledger, symbol) or _lacks_stop(ledger, symbol)]


async def protected(ledger: Ledger, gate: Gate, symbols: Iterable[str]) -> None:
    """Wait until what is held of the symbols is protected, for a short time and only while there is hope."""
    deadline_s = clock.monotonic_s() + WITHIN_S
    while lacking := unprotected(ledger, symbols):
        if clock.monotonic_s() >= deadline_s or not gate.are_stops_placed(clock.now_ns()):
            log.warning("stopped_with_unprotected_positions", symbols=lacking)
            return
        await asyncio.sleep(LOOK_S)


async def answered(ledger: Ledger) -> None:
    """Wait a short time for the answers to what was sent: what has none is asked for by the next start."""
    deadline_s = clock.monotonic_s() + WITHIN_S
    while sent := [order for order in ledger.orders.open_orders() if order.status is OrderStatus.SUBMITTING]:
        if clock.monotonic_s() >= deadline_s:
            client_order_ids = [order.client_order_id for order in sent]
            log.warning("stopped_with_unanswered_requests", client_order_ids=client_order_ids)
            return
        await asyncio.sleep(LOOK_S)


def _lacks_fill(ledger: Ledger, symbol: str) -> bool:
    """Whether the venue told of a fill whose execution is not known yet."""
    orders = (ledger.orders.get(ledger.client_order_id(venue_id)) for venue_id in ledger.unexplained_fills())
    return any(order is not None and order.symbol == symbol for order in orders)


def _lacks_stop(ledger: Ledger, symbol: str) -> bool:
    position_e9 = ledger.position_e9(symbol)
    side = Side.SELL if position_e9 > 0 else Side.BUY
    lacking_e9 = abs(position_e9) - ledger.open_quantity_e9(symbol, side)
    return lacking_e9 >= (1 if is_crypto_pair(symbol) else E9) or any(
        not stop.is_at_venue for stop in ledger.protective(symbol, side)
    )
