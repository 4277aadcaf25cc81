"""Letting a part of one open order fill, whatever the market does: the race that a PATCH or DELETE can lose."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from holdfast._native import MarketHistory, MatchingEngine, Quote

E9 = 1_000_000_000
OPEN = frozenset({"new", "accepted", "partially_filled"})


def latest_quote(history: MarketHistory, symbol: str) -> Quote | None:
    """Return the last quote published of a symbol."""
    page, _ = history.page("quotes", symbol, start_ns=0, end_ns=2**62, from_seq=None, count_max=1, is_descending=True)
    return next((record for record in page if isinstance(record, Quote)), None)


class PartialFills:
    """Shows the engine, and nobody else, a quote that takes half of what is open of an order."""

    def __init__(
        self, engine: MatchingEngine, history: MarketHistory, now_ns: Callable[[], int], settle: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._history = history
        self._now_ns = now_ns
        self._settle = settle

    def can_fill_part(self, venue_order_id: str) -> bool:
        """Return whether the order is there, open, priced and has two shares or more to go."""
        return self._quote(venue_order_id) is not None

    def fill_part(self, venue_order_id: str) -> None:
        """Fill a half of what is open of it."""
        quote = self._quote(venue_order_id)
        assert quote is not None, venue_order_id
        self._engine.on_records([quote])
        self._settle()
        latest = latest_quote(self._history, quote.symbol)
        self._engine.on_records([] if latest is None else [latest])

    def _quote(self, venue_order_id: str) -> Quote | None:
        found = self._engine.order(venue_order_id, is_nested=False)
        if found is None:
            return None
        order = msgspec.json.decode(found)
        if order["status"] not in OPEN or not order.get("limit_price") or not order.get("qty"):
            return None
        open_quantity = int(Decimal(order["qty"]) - Decimal(order["filled_qty"]))
        price_e9 = int(Decimal(order["limit_price"]) * E9)
        part_e9 = open_quantity // 2 * E9
        if part_e9 == 0:
            return None
        is_buy = order["side"] == "buy"
        return Quote(
            symbol=order["symbol"],
            ts_event_ns=self._now_ns(),
            bid_price_e9=0 if is_buy else price_e9,
            bid_size_e9=0 if is_buy else part_e9,
            ask_price_e9=price_e9 if is_buy else 0,
            ask_size_e9=part_e9 if is_buy else 0,
        )
