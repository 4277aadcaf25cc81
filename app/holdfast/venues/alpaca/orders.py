"""Alpaca's order, position, account and fill, parsed once into integers and codes."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import msgspec

from holdfast._native import OWN_PREFIX, OrderClass, OrderStatus, OrderType, Side, TimeInForce
from holdfast.errors import BadInput
from holdfast.venues.alpaca.wire import e9, time_ns


class RawOrder(msgspec.Struct, frozen=True):
    """An order as the venue writes it."""

    id: str
    symbol: str
    status: str
    client_order_id: str = ""
    side: str | None = None
    type: str | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    order_class: str | None = None
    qty: Decimal | None = None
    notional: Decimal | None = None
    filled_qty: Decimal | None = None
    filled_avg_price: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    created_at: str | None = None
    updated_at: str | None = None
    submitted_at: str | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    parent_order_id: str | None = None
    legs: list["RawOrder"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue has it. `client_order_id` is the venue's own for legs."""

    venue_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    order_class: OrderClass
    status: OrderStatus
    quantity_e9: int
    notional_e9: int
    filled_quantity_e9: int
    average_price_e9: int
    limit_price_e9: int
    stop_price_e9: int
    submitted_ns: int
    updated_ns: int
    replaces_order_id: str
    parent_order_id: str
    legs: tuple["VenueOrder", ...]

    @property
    def is_own(self) -> bool:
        """Whether the client order id is one of ours."""
        return self.client_order_id.startswith(OWN_PREFIX)

    @classmethod
    def of(cls, raw: RawOrder, *, parent_order_id: str = "") -> Self:
        """Parse an order and its legs.

        Raises: BadInput for a status, side or type that does not exist, or a number that is none.
        """
        try:
            return cls(
                venue_order_id=raw.id,
                client_order_id=raw.client_order_id or raw.id,
                symbol=raw.symbol,
                side=Side(raw.side or ""),
                order_type=OrderType(raw.type or raw.order_type or ""),
                time_in_force=TimeInForce(raw.time_in_force or ""),
                order_class=OrderClass(raw.order_class or "simple"),
                status=OrderStatus(raw.status),
                quantity_e9=e9(raw.qty),
                notional_e9=e9(raw.notional),
                filled_quantity_e9=e9(raw.filled_qty),
                average_price_e9=e9(raw.filled_avg_price),
                limit_price_e9=e9(raw.limit_price),
                stop_price_e9=e9(raw.stop_price),
                submitted_ns=time_ns(raw.submitted_at or raw.created_at),
                updated_ns=time_ns(raw.updated_at or raw.submitted_at or raw.created_at),
                replaces_order_id=raw.replaces or "",
                parent_order_id=raw.parent_order_id or parent_order_id,
                legs=tuple(VenueOrder.of(leg, parent_order_id=raw.id) for leg in raw.legs or ()),
            )
        except ValueError as error:
            raise BadInput(f"order {raw.id}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueFill:
    """One execution of an order; the position is None where the venue does not say it."""

    execution_id: str
    venue_order_id: str
    symbol: str
    side: Side
    quantity_e9: int
    price_e9: int
    position_quantity_e9: int | None
    ts_event_ns: int


class RawActivity(msgspec.Struct, frozen=True):
    """A FILL activity as the venue writes it; `id` is a time, two colons and the execution id."""

    id: str
    order_id: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    transaction_time: str

    def fill(self) -> VenueFill:
        """Parse it. Raises: BadInput."""
        try:
            # A short sale's side is `sell_short` in activities.
            side = Side("sell" if self.side.startswith("sell") else self.side)
        except ValueError as error:
            raise BadInput(f"activity {self.id}: {error}") from None
        return VenueFill(
            execution_id=self.id.rpartition("::")[2],
            venue_order_id=self.order_id,
            symbol=self.symbol,
            side=side,
            quantity_e9=e9(self.qty),
            price_e9=e9(self.price),
            position_quantity_e9=None,
            ts_event_ns=time_ns(self.transaction_time),
        )


class RawPosition(msgspec.Struct, frozen=True):
    """A position as the venue writes it: `qty` is negative for shorts."""

    symbol: str
    qty: Decimal
    asset_class: str = ""
    avg_entry_price: Decimal | None = None
    qty_available: Decimal | None = None
    current_price: Decimal | None = None


class RawAccount(msgspec.Struct, frozen=True):
    """The account as the venue writes it."""

    account_number: str
    equity: Decimal | None = None
    last_equity: Decimal | None = None
    cash: Decimal | None = None
    buying_power: Decimal | None = None
    long_market_value: Decimal | None = None
    short_market_value: Decimal | None = None
    trading_blocked: bool = False
    account_blocked: bool = False
    trade_suspended_by_user: bool = False
    shorting_enabled: bool = False


class RawClock(msgspec.Struct, frozen=True):
    """The venue's clock."""

    timestamp: str
    is_open: bool
    next_open: str
    next_close: str


class RawError(msgspec.Struct, frozen=True):
    """The body of every refusal."""

    message: str = ""
    code: int = 0
