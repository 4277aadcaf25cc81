"""Alpaca's trading REST: what is sent, and what each answer proves."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from holdfast import clock, crash_points
from holdfast._native import AccountSnapshot, OrderClass, PositionSnapshot
from holdfast.errors import BadInput, RetryLater
from holdfast.venues.alpaca.connection import Connection, Line, NotSent, Outcome, Response, Unproven
from holdfast.venues.alpaca.orders import (
    RawAccount,
    RawActivity,
    RawClock,
    RawError,
    RawOrder,
    RawPosition,
    VenueFill,
    VenueOrder,
)
from holdfast.venues.alpaca.wire import e9, pair, rfc3339, time_ns

MICROSECOND_NS = 1_000
DUPLICATE_CLIENT_ORDER_ID = 40_010_001
DUPLICATE_MESSAGE = "client_order_id must be unique"
_T = TypeVar("_T")
ORDERS_PER_PAGE = 500
ACTIVITIES_PER_PAGE = 100
PAGES_MAX = 200

_ORDER = msgspec.json.Decoder(RawOrder)
_ORDERS = msgspec.json.Decoder(list[RawOrder])
_POSITIONS = msgspec.json.Decoder(list[RawPosition])
_ACCOUNT = msgspec.json.Decoder(RawAccount)
_ACTIVITIES = msgspec.json.Decoder(list[RawActivity])
_CLOCK = msgspec.json.Decoder(RawClock)
_ASSET = msgspec.json.Decoder(dict[str, object])
_ERROR = msgspec.json.Decoder(RawError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The venue refused: nothing was done. `retry_after_s` is set when it refused for the rate of requests."""

    status: int
    code: int
    message: str
    retry_after_s: float = 0.0

    @property
    def is_rate(self) -> bool:
        """Whether too many requests were the reason."""
        return self.status == 429

    @property
    def is_duplicate(self) -> bool:
        """Whether an order of this client order id exists already: adopt it."""
        return self.status == 422 and (self.code == DUPLICATE_CLIENT_ORDER_ID or DUPLICATE_MESSAGE in self.message)


@dataclass(frozen=True, slots=True)
class Done:
    """The venue accepted a cancel: it will tell of its end by an order update."""


Submitted = VenueOrder | Refusal | NotSent | Unproven
Canceled = Done | Refusal | NotSent | Unproven


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueClock:
    """Whether the venue trades, by its own word."""

    ts_event_ns: int
    is_open: bool
    next_open_ns: int
    next_close_ns: int


def refusal(response: Response, *, now_s: float) -> Refusal | Unproven:
    """Read an answer that is not a success: only a 4xx with the venue's own error body proves that nothing was done."""
    if not 400 <= response.status < 500:
        return Unproven(f"status {response.status}")
    try:
        error = _ERROR.decode(response.body)
    except msgspec.DecodeError:
        if response.status != 429:
            return Unproven(f"status {response.status} without the venue's error body")
        error = RawError(message="too many requests")
    return Refusal(
        status=response.status,
        code=error.code,
        message=error.message,
        retry_after_s=_retry_after_s(response, now_s) if response.status == 429 else 0.0,
    )


def submitted(outcome: Outcome, *, now_s: float) -> Submitted:
    """Read the outcome of a POST or PATCH of an order."""
    if not isinstance(outcome, Response):
        return outcome
    if outcome.status not in {200, 201}:
        return refusal(outcome, now_s=now_s)
    try:
        return VenueOrder.of(_ORDER.decode(outcome.body))
    except (msgspec.DecodeError, BadInput) as error:
        return Unproven(f"status {outcome.status} with an unreadable order: {error}")


def canceled(outcome: Outcome, *, now_s: float) -> Canceled:
    """Read the outcome of a DELETE of an order."""
    if not isinstance(outcome, Response):
        return outcome
    return Done() if outcome.status in {200, 204, 207} else refusal(outcome, now_s=now_s)


def _retry_after_s(response: Response, now_s: float) -> float:
    """Seconds until the rate limit resets, within a minute; 1 s where the venue does not say."""
    try:
        return min(max(float(response.headers.get("x-ratelimit-reset", "")) - now_s, 0.1), 60.0)
    except ValueError:
        return 1.0


class Pace(Protocol):
    """Who says when the next query may leave."""

    async def permit(self) -> None:
        """Return when a query may leave."""

    def refused(self, retry_after_s: float) -> None:
        """The venue refused a query for the rate of requests."""


class TradingGateway:
    """The venue's orders through three sets of warm lines, so that neither entries nor queries delay a cancel."""

    def __init__(self, *, entries: Connection, cancels: Connection, queries: Connection, pace: Pace) -> None:
        self._pace = pace
        self.entries = entries
        self.cancels = cancels
        self.queries = queries
        self.head = entries.origin.head().encode()

    def take_entry_line(self) -> Line | None:
        """Take an idle line for an entry, or nothing."""
        return self.entries.take()

    async def cancel(self, venue_order_id: str, *, timeout_s: float) -> Outcome:
        """Send one DELETE of an order."""
        request = self.cancels.origin.encode("DELETE", f"/v2/orders/{quote(venue_order_id)}")
        line = await self.cancels.acquire(timeout_s=timeout_s)
        if line is None:
            return NotSent(f"no connection to {self.cancels.origin.authority}: {self.cancels.last_error}")
        crash_points.before("cancel_request")
        answer = line.send(request, timeout_s=timeout_s)
        crash_points.after("cancel_request")
        return await answer

    async def order(self, venue_order_id: str) -> VenueOrder | None:
        """Return an order by the venue's id, or None when the venue does not know it.

        Raises: RetryLater, BadInput.
        """
        return await self._order(f"/v2/orders/{quote(venue_order_id)}?nested=true")

    async def order_by_client_id(self, client_order_id: str) -> VenueOrder | None:
        """Return an order by our id, or None when the venue does not (yet) know it.

        Raises: RetryLater, BadInput.
        """
        found = await self._order(f"/v2/orders:by_client_order_id?client_order_id={quote(client_order_id, safe='')}")
        if found is None or found.legs or found.order_class in (OrderClass.NONE, OrderClass.SIMPLE):
            return found
        # Only the query by the venue's id shows legs for sure.
        return await self.order(found.venue_order_id) or found

    async def open_orders(self) -> list[VenueOrder]:
        """Return every open order, oldest first, legs each by itself: nested, those of a filled parent would not show.

        Raises: RetryLater, BadInput.
        """
        found: dict[str, VenueOrder] = {}
        after = ""
        for _ in range(PAGES_MAX):
            target = f"/v2/orders?status=open&direction=asc&limit={ORDERS_PER_PAGE}{after}"
            response = await self._read(target)
            raws = _decode(_ORDERS, response, target)
            for raw in raws:
                found[raw.id] = VenueOrder.of(raw)
            if len(raws) < ORDERS_PER_PAGE:
                break
            # No page token exists: continue at the last order's time, which repeats it and those of that instant.
            last = raws[-1].submitted_at or raws[-1].created_at or ""
            following = f"&after={quote(_just_before(last), safe='')}"
            assert following != after, "more than 500 orders of one instant"
            after = following
        return list(found.values())

    async def recent_orders(self, wanted: AbstractSet[str], *, after_ns: int = 0) -> dict[str, VenueOrder]:
        """Return by each wanted id, ours or the venue's, the order that has it; a leg's id leads to its parent.

        Read are the newest pages of what was submitted after a time, at most one for two wanted orders: what they do
        not hold is asked for singly, and the venue's rate is better spent so. Raises: RetryLater, BadInput.
        """
        found: dict[str, VenueOrder] = {}
        base = f"/v2/orders?status=all&direction=desc&nested=true&limit={ORDERS_PER_PAGE}"
        if after_ns:
            base += f"&after={quote(rfc3339(after_ns), safe='')}"
        until = ""
        for _ in range(min(len(wanted) // 2, PAGES_MAX)):
            orders = [VenueOrder.of(raw) for raw in _decode(_ORDERS, await self._read(base + until), base)]
            for order in orders:
                ids = (order.client_order_id, order.venue_order_id, *(leg.venue_order_id for leg in order.legs))
                found |= {each: order for each in ids if each in wanted}
            if len(found) == len(wanted) or sum(1 + len(order.legs) for order in orders) < ORDERS_PER_PAGE:
                break
            # No page token exists: the next page begins with the last order's instant, of which there may be more.
            last_ns = orders[-1].submitted_ns // MICROSECOND_NS * MICROSECOND_NS
            following = f"&until={quote(rfc3339(last_ns + MICROSECOND_NS), safe='')}"
            until = following if following != until else f"&until={quote(rfc3339(last_ns), safe='')}"
        return found

    async def fills(self, *, after_ns: int) -> list[VenueFill]:
        """Return the account's executions since `after_ns`, oldest first. Raises: RetryLater, BadInput."""
        after = datetime.fromtimestamp(after_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        base = (
            f"/v2/account/activities/FILL?direction=asc&page_size={ACTIVITIES_PER_PAGE}&after={quote(after, safe='')}"
        )
        found: list[VenueFill] = []
        page = ""
        for _ in range(PAGES_MAX):
            raws = _decode(_ACTIVITIES, await self._read(base + page), base)
            found += [raw.fill() for raw in raws]
            if len(raws) < ACTIVITIES_PER_PAGE:
                break
            page = f"&page_token={quote(raws[-1].id, safe='')}"
        return found

    async def positions(self, *, now_ns: int) -> list[PositionSnapshot]:
        """Return the positions, stamped `now_ns`. Raises: RetryLater, BadInput."""
        raws = _decode(_POSITIONS, await self._read("/v2/positions"), "/v2/positions")
        return [
            PositionSnapshot(
                symbol=pair(raw.symbol) if raw.asset_class == "crypto" else raw.symbol,
                ts_event_ns=now_ns,
                quantity_e9=e9(raw.qty),
                available_e9=e9(raw.qty_available),
                average_price_e9=e9(raw.avg_entry_price),
                market_price_e9=e9(raw.current_price),
            )
            for raw in raws
        ]

    async def account(self, *, now_ns: int) -> AccountSnapshot:
        """Return the account, stamped `now_ns`. Raises: RetryLater, BadInput."""
        raw = _decode(_ACCOUNT, await self._read("/v2/account"), "/v2/account")
        return AccountSnapshot(
            account_number=raw.account_number[:32],
            ts_event_ns=now_ns,
            equity_e9=e9(raw.equity),
            last_equity_e9=e9(raw.last_equity),
            cash_e9=e9(raw.cash),
            buying_power_e9=e9(raw.buying_power),
            long_market_value_e9=e9(raw.long_market_value),
            short_market_value_e9=e9(raw.short_market_value),
            is_trading_blocked=int(raw.trading_blocked or raw.account_blocked or raw.trade_suspended_by_user),
            is_shorting_enabled=int(raw.shorting_enabled),
        )

    async def asset(self, symbol: str) -> dict[str, object] | None:
        """Return what the venue says of a symbol, or None when it does not know it. Raises: RetryLater, BadInput."""
        target = f"/v2/assets/{quote(symbol, safe='')}"
        response = await self._ask(target)
        if response.status == 404:
            return None
        _require_success(response, target)
        return _decode(_ASSET, response, target)

    async def clock(self) -> VenueClock:
        """Return the venue's clock. Raises: RetryLater, BadInput."""
        raw = _decode(_CLOCK, await self._read("/v2/clock"), "/v2/clock")
        return VenueClock(
            ts_event_ns=time_ns(raw.timestamp),
            is_open=raw.is_open,
            next_open_ns=time_ns(raw.next_open),
            next_close_ns=time_ns(raw.next_close),
        )

    async def _order(self, target: str) -> VenueOrder | None:
        response = await self._ask(target)
        if response.status == 404:
            return None
        _require_success(response, target)
        return VenueOrder.of(_decode(_ORDER, response, target))

    async def _read(self, target: str) -> Response:
        response = await self._ask(target)
        _require_success(response, target)
        return response

    async def _ask(self, target: str) -> Response:
        await self._pace.permit()
        response = await self.queries.get(target)
        if response.status == 429:
            self._pace.refused(_retry_after_s(response, clock.now_ns() / 1e9))
        return response


def _require_success(response: Response, target: str) -> None:
    if response.status != 200:
        raise RetryLater(f"GET {target.partition('?')[0]}: status {response.status}")


def _decode(decoder: msgspec.json.Decoder[_T], response: Response, target: str) -> _T:
    try:
        return decoder.decode(response.body)
    except msgspec.DecodeError as error:
        raise BadInput(f"GET {target.partition('?')[0]}: {error}") from None


def _just_before(text: str) -> str:
    """The instant a microsecond before an RFC 3339 time: `after` excludes the time it names."""
    return rfc3339((time_ns(text) // MICROSECOND_NS - 1) * MICROSECOND_NS)
