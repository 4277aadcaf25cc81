"""The trading API, version 2: account, assets, calendar, clock, orders, positions, activities.

Source: Alpaca, OpenAPI document of the trading API.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from holdfast._native import MatchingEngine, VenueEvent
from holdfast.symbols import is_crypto_pair
from holdfast.venues.simulated import market_days
from holdfast.venues.simulated.answers import (
    Refused,
    invalid,
    is_true,
    read_count,
    read_object,
    refuse,
    reply,
    scaled_e9,
)
from holdfast.venues.simulated.order_requests import read_intent
from holdfast.venues.simulated.wire import Request, Response

NAMESPACE = uuid.UUID("5a0c7f0e-6a55-4b2b-9d41-1d3c0a4f7a10")
ACCOUNT_ID = str(uuid.uuid5(NAMESPACE, "account"))
ACCOUNT_NUMBER = "PA3SIMULATED"
ORDERS_MAX = 500
ACTIVITIES_MAX = 100
TIME_MAX_NS = 2**62
E9 = 1_000_000_000


def asset_id_of(symbol: str) -> str:
    """Return the venue's id of an asset: the same for ever."""
    return str(uuid.uuid5(NAMESPACE, symbol))


class Market(Protocol):
    """What the trading API needs of the venue."""

    @property
    def engine(self) -> MatchingEngine:
        """The matching engine."""

    def now_ns(self) -> int:
        """Return the venue's time."""

    def settle(self) -> None:
        """Publish what the engine did."""


class TradingRest:
    """Answers the requests of the one account."""

    def __init__(self, market: Market, symbols: Sequence[str]) -> None:
        self._market = market
        self._assets = {symbol: _asset(symbol) for symbol in symbols}
        self._names = {
            name: symbol for symbol in symbols for name in (symbol, symbol.replace("/", ""), asset_id_of(symbol))
        }
        self._activities: list[dict[str, Any]] = []
        self._equities: list[tuple[int, int]] = []
        self._configuration: dict[str, Any] = {
            "dtbp_check": "entry",
            "fractional_trading": True,
            "max_margin_multiplier": "4",
            "no_shorting": False,
            "pdt_check": "entry",
            "ptp_no_exception_entry": False,
            "suspend_trade": False,
            "trade_confirm_email": "all",
            "max_options_trading_level": 0,
        }
        self._routes: dict[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", "account"): self._get_account,
            ("GET", "account/configurations"): lambda _: reply(self._configuration),
            ("PATCH", "account/configurations"): self._patch_configuration,
            ("GET", "account/activities"): self._get_activities,
            ("GET", "account/portfolio/history"): self._get_portfolio_history,
            ("GET", "assets"): self._get_assets,
            ("GET", "calendar"): self._get_calendar,
            ("GET", "clock"): self._get_clock,
            ("GET", "orders"): self._get_orders,
            ("POST", "orders"): self._post_order,
            ("DELETE", "orders"): self._delete_orders,
            ("GET", "orders:by_client_order_id"): self._get_order_of_client,
            ("GET", "positions"): lambda _: Response(200, self._market.engine.positions()),
            ("DELETE", "positions"): self._delete_positions,
        }
        self._item_routes: dict[tuple[str, str], Callable[[Request, str], Response]] = {
            ("GET", "assets"): self._get_asset,
            ("GET", "orders"): self._get_order,
            ("PATCH", "orders"): self._patch_order,
            ("DELETE", "orders"): self._delete_order,
            ("GET", "positions"): self._get_position,
            ("DELETE", "positions"): self._delete_position,
            ("GET", "account/activities"): lambda request, kind: self._list_activities(request, (kind,)),
        }

    def answer(self, request: Request) -> Response | None:
        """Answer a request under `/v2/`; nothing when there is no such path."""
        path = request.path.removeprefix("/v2/").rstrip("/")
        route = self._routes.get((request.method, path))
        if route is not None:
            return route(request)
        folder, _, item = path.rpartition("/")
        if folder == "assets/BTC" or path.startswith(("assets/", "positions/")):
            folder, _, item = path.partition("/")
        item_route = self._item_routes.get((request.method, folder))
        return item_route(request, item) if item_route is not None and item else None

    def on_event(self, event: VenueEvent) -> None:
        """Remember what the account's activities show."""
        if not event.execution_id:
            return
        time = market_days.rfc3339(event.at_ns)
        stamp = f"{market_days.new_york(event.at_ns):%Y%m%d%H%M%S}{event.at_ns // 1_000_000 % 1000:03}"
        self._activities.append(
            {
                "id": f"{stamp}::{event.execution_id}",
                "account_id": ACCOUNT_ID,
                "activity_type": "FILL",
                "transaction_time": time,
                "type": "fill" if event.name == "fill" else "partial_fill",
                "price": _text(event.price_e9),
                "qty": _text(event.quantity_e9),
                "side": event.side,
                "symbol": event.symbol,
                "leaves_qty": _text(event.open_quantity_e9),
                "order_id": event.venue_order_id,
                "cum_qty": _text(event.filled_quantity_e9),
                "order_status": event.status,
            }
        )
        if event.fee_e9:
            self._activities.append(
                {
                    "id": f"{stamp}::{uuid.uuid5(NAMESPACE, event.execution_id)}",
                    "account_id": ACCOUNT_ID,
                    "activity_type": "FEE",
                    "date": f"{market_days.new_york(event.at_ns):%Y-%m-%d}",
                    "net_amount": _text(-event.fee_e9),
                    "description": f"fee of execution {event.execution_id}",
                    "status": "executed",
                }
            )
        self._equities.append((event.at_ns, self._market.engine.equity_e9))

    def _symbol(self, name: object) -> str:
        symbol = self._names.get(name) if isinstance(name, str) else None
        if symbol is None:
            raise Refused(422, 42210000, f'asset "{name}" not found')
        return symbol

    def _get_account(self, _: Request) -> Response:
        blocked = {"trading_blocked": False, "transfers_blocked": False, "account_blocked": False}
        fixed: dict[str, Any] = {
            "id": ACCOUNT_ID,
            "account_number": ACCOUNT_NUMBER,
            "status": "ACTIVE",
            "crypto_status": "ACTIVE",
            "currency": "USD",
            "pending_transfer_in": "0",
            "pending_transfer_out": "0",
            "created_at": "2020-01-02T14:30:00.000000000Z",
            "options_approved_level": 0,
            "options_trading_level": 0,
            "balance_asof": f"{market_days.new_york(self._market.now_ns()):%Y-%m-%d}",
            "intraday_adjustments": "0",
            "admin_configurations": {},
            "user_configurations": None,
            **blocked,
        }
        return reply({**fixed, **msgspec.json.decode(self._market.engine.account())})

    def _patch_configuration(self, request: Request) -> Response:
        changes = read_object(request.body)
        for name, value in changes.items():
            if name not in self._configuration:
                raise invalid(f"{name}: unknown configuration")
            if isinstance(self._configuration[name], bool) and not isinstance(value, bool):
                raise invalid(f"{name}: expected true or false")
        self._configuration |= changes
        self._market.engine.is_suspended = self._configuration["suspend_trade"]
        self._market.engine.is_shorting_enabled = not self._configuration["no_shorting"]
        return reply(self._configuration)

    def _get_activities(self, request: Request) -> Response:
        kinds = request.query.get("activity_types", "")
        return self._list_activities(request, tuple(kind for kind in kinds.split(",") if kind))

    def _list_activities(self, request: Request, kinds: tuple[str, ...]) -> Response:
        limit = read_count(request.query, "page_size", default=ACTIVITIES_MAX, largest=ACTIVITIES_MAX)
        shown = [activity for activity in self._activities if not kinds or activity["activity_type"] in kinds]
        day = request.query.get("date")
        after, until = request.query.get("after"), request.query.get("until")
        shown = [activity for activity in shown if _is_within(activity, day, after, until)]
        if request.query.get("direction", "desc") == "desc":
            shown.reverse()
        token = request.query.get("page_token")
        if token:
            places = [place for place, activity in enumerate(shown) if activity["id"] == token]
            shown = shown[places[0] + 1 :] if places else []
        return reply(shown[:limit])

    def _get_portfolio_history(self, _: Request) -> Response:
        engine = self._market.engine
        base = msgspec.json.decode(engine.account())["last_equity"]
        points = [*self._equities, (self._market.now_ns(), engine.equity_e9)]
        equity = [value_e9 / E9 for _, value_e9 in points]
        base_value = float(base)
        profit = [value - base_value for value in equity]
        return reply(
            {
                "timestamp": [time_ns // E9 for time_ns, _ in points],
                "equity": equity,
                "profit_loss": profit,
                "profit_loss_pct": [value / base_value if base_value else 0.0 for value in profit],
                "base_value": base_value,
                "timeframe": "1Min",
                "cashflow": {},
            }
        )

    def _get_assets(self, request: Request) -> Response:
        query = request.query
        wanted = {"class": query.get("asset_class"), "status": query.get("status"), "exchange": query.get("exchange")}
        matches = [
            asset
            for asset in self._assets.values()
            if all(value in {None, "", asset[name]} for name, value in wanted.items())
        ]
        return reply(matches)

    def _get_asset(self, _: Request, name: str) -> Response:
        symbol = self._names.get(name)
        if symbol is None:
            return refuse(404, 40410000, f"asset not found for {name}")
        return reply(self._assets[symbol])

    def _get_calendar(self, request: Request) -> Response:
        today = market_days.new_york(self._market.now_ns()).date()
        try:
            first = dt.date.fromisoformat(request.query.get("start", f"{today.replace(day=1)}")[:10])
            last = dt.date.fromisoformat(request.query.get("end", f"{today.replace(month=12, day=31)}")[:10])
        except ValueError:
            raise invalid("start and end: expected YYYY-MM-DD") from None
        days = []
        for opens_ns, closes_ns in market_days.sessions_between(first, last):
            opens, closes = market_days.new_york(opens_ns), market_days.new_york(closes_ns)
            days.append(
                {
                    "date": f"{opens:%Y-%m-%d}",
                    "open": f"{opens:%H:%M}",
                    "close": f"{closes:%H:%M}",
                    "session_open": "0400",
                    "session_close": "2000",
                    "settlement_date": f"{opens + dt.timedelta(days=1):%Y-%m-%d}",
                }
            )
        return reply(days)

    def _get_clock(self, _: Request) -> Response:
        now_ns = self._market.now_ns()
        is_open, next_open_ns, next_close_ns = market_days.clock_at(now_ns)
        times = {"timestamp": now_ns, "next_open": next_open_ns, "next_close": next_close_ns}
        shown = {name: market_days.new_york(time_ns).isoformat() for name, time_ns in times.items()}
        return reply({**shown, "is_open": is_open})

    def _get_orders(self, request: Request) -> Response:
        query = request.query
        status, side = query.get("status", "open"), query.get("side", "")
        if status not in {"open", "closed", "all"} or side not in {"", "buy", "sell"}:
            raise invalid("status: open, closed or all; side: buy or sell")
        names = [name for name in query.get("symbols", "").split(",") if name]
        return Response(
            200,
            self._market.engine.orders(
                status=status,
                limit=read_count(query, "limit", default=50, largest=ORDERS_MAX),
                after_ns=_time_ns(query.get("after", ""), 0),
                until_ns=_time_ns(query.get("until", ""), TIME_MAX_NS),
                symbols=[self._names.get(name, name) for name in names],
                side=side,
                is_ascending=query.get("direction", "desc") == "asc",
                is_nested=is_true(query, "nested"),
            ),
        )

    def _post_order(self, request: Request) -> Response:
        body = read_object(request.body)
        client_order_id = body.get("client_order_id") or ""
        if not isinstance(client_order_id, str) or "\0" in client_order_id:
            raise invalid("client_order_id: expected text")
        intent = read_intent(body, self._symbol(body.get("symbol")))
        status, answer = self._market.engine.submit(self._market.now_ns(), intent, client_order_id)
        self._market.settle()
        return Response(status, answer)

    def _get_order(self, request: Request, venue_order_id: str) -> Response:
        found = self._market.engine.order(venue_order_id, is_true(request.query, "nested"))
        return _found(found, f"order not found for {venue_order_id}")

    def _get_order_of_client(self, request: Request) -> Response:
        client_order_id = request.query.get("client_order_id", "")
        found = self._market.engine.order_of_client(client_order_id)
        return _found(found, f"order not found for {client_order_id}")

    def _patch_order(self, request: Request, venue_order_id: str) -> Response:
        body = read_object(request.body)
        client_order_id = body.get("client_order_id") or ""
        if not isinstance(client_order_id, str) or len(client_order_id.encode()) > 128:
            raise invalid("client_order_id: expected text of at most 128 characters")
        try:
            status, answer = self._market.engine.replace(
                self._market.now_ns(),
                venue_order_id,
                quantity_e9=scaled_e9(body.get("qty"), "qty"),
                limit_price_e9=scaled_e9(body.get("limit_price"), "limit_price"),
                stop_price_e9=scaled_e9(body.get("stop_price"), "stop_price"),
                trail_e9=scaled_e9(body.get("trail"), "trail"),
                time_in_force=str(body.get("time_in_force") or ""),
                client_order_id=client_order_id,
            )
        except ValueError as error:
            raise invalid(str(error)) from None
        self._market.settle()
        return Response(status, answer)

    def _delete_order(self, _: Request, venue_order_id: str) -> Response:
        status, answer = self._market.engine.cancel(self._market.now_ns(), venue_order_id)
        self._market.settle()
        return Response(status, answer)

    def _delete_orders(self, _: Request) -> Response:
        return Response(207, msgspec.json.encode(self._cancel_all()))

    def _cancel_all(self) -> list[dict[str, Any]]:
        engine = self._market.engine
        results = []
        for venue_order_id in engine.open_order_ids():
            status, answer = engine.cancel(self._market.now_ns(), venue_order_id)
            # An order that ended with its family is gone already: that is what was asked.
            is_done = status in {204, 422}
            body = None if is_done else msgspec.json.decode(answer)
            results.append({"id": venue_order_id, "status": 200 if is_done else status, "body": body})
        self._market.settle()
        return results

    def _get_position(self, _: Request, name: str) -> Response:
        symbol = self._names.get(name)
        found = self._market.engine.position(symbol) if symbol else None
        return _found(found, "position does not exist")

    def _delete_positions(self, request: Request) -> Response:
        if is_true(request.query, "cancel_orders"):
            self._cancel_all()
        results = []
        for symbol, quantity_e9, available_e9 in self._market.engine.quantities():
            status, answer = self._close(symbol, quantity_e9, available_e9)
            body = msgspec.json.decode(answer)
            results.append(
                {"symbol": symbol.replace("/", ""), "status": status, "body": body, "order_id": body.get("id")}
            )
        return reply(results, 207)

    def _delete_position(self, request: Request, name: str) -> Response:
        symbol = self._names.get(name)
        held = {
            found: (quantity_e9, available_e9) for found, quantity_e9, available_e9 in self._market.engine.quantities()
        }
        if symbol is None or symbol not in held:
            return refuse(404, 40410000, "position does not exist")
        quantity_e9, _ = held[symbol]
        wanted_e9 = abs(quantity_e9)
        if "qty" in request.query:
            wanted_e9 = scaled_e9(request.query["qty"], "qty")
        elif "percentage" in request.query:
            wanted_e9 = wanted_e9 * scaled_e9(request.query["percentage"], "percentage") // (100 * E9)
            if "/" not in symbol and quantity_e9 % E9 == 0:
                wanted_e9 -= wanted_e9 % E9
        status, answer = self._close(symbol, quantity_e9, wanted_e9)
        return Response(status, answer)

    def _close(self, symbol: str, quantity_e9: int, wanted_e9: int) -> tuple[int, bytes]:
        body = {
            "side": "sell" if quantity_e9 > 0 else "buy",
            "type": "market",
            "time_in_force": "gtc" if is_crypto_pair(symbol) else "day",
            "qty": _text(wanted_e9),
        }
        result = self._market.engine.submit(self._market.now_ns(), read_intent(body, symbol), "")
        self._market.settle()
        return result


def _found(answer: bytes | None, message: str) -> Response:
    return Response(200, answer) if answer is not None else refuse(404, 40410000, message)


def _time_ns(text: str, absent: int) -> int:
    try:
        return market_days.parse_time_ns(text) if text else absent
    except ValueError:
        raise invalid(f"{text!r}: expected a time as RFC 3339") from None


def _is_within(activity: dict[str, Any], day: str | None, after: str | None, until: str | None) -> bool:
    time = activity.get("transaction_time") or activity["date"]
    if day and market_days.new_york(_time_ns(time, 0)).date().isoformat() != day[:10]:
        return False
    return (not after or _time_ns(time, 0) > _time_ns(after, 0)) and (
        not until or _time_ns(time, 0) < _time_ns(until, 0)
    )


def _text(value_e9: int) -> str:
    sign, (whole, fraction) = "-" if value_e9 < 0 else "", divmod(abs(value_e9), E9)
    return f"{sign}{whole}.{fraction:09}".rstrip("0").rstrip(".")


def _asset(symbol: str) -> dict[str, Any]:
    is_crypto = is_crypto_pair(symbol)
    asset: dict[str, Any] = {
        "id": asset_id_of(symbol),
        "class": "crypto" if is_crypto else "us_equity",
        "exchange": "CRYPTO" if is_crypto else "NYSE",
        "symbol": symbol,
        "name": f"{symbol} (simulated)",
        "status": "active",
        "tradable": True,
        "marginable": not is_crypto,
        "shortable": not is_crypto,
        "easy_to_borrow": not is_crypto,
        "borrow_status": "not_available" if is_crypto else "easy_to_borrow",
        "fractionable": True,
        "maintenance_margin_requirement": 100 if is_crypto else 30,
        "margin_requirement_long": "100" if is_crypto else "30",
        "margin_requirement_short": "100" if is_crypto else "30",
        "attributes": [],
    }
    if is_crypto:
        asset |= {"min_order_size": "0.00001", "min_trade_increment": "0.000000001", "price_increment": "0.01"}
    return asset
