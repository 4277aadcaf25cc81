"""Running strategies over records: a pure function of what it is fed, so that live and replay are the same code."""

from __future__ import annotations

import bisect
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

import structlog

from holdfast._native import (
    Bar,
    Fill,
    IntentAction,
    JournalReader,
    MarketDispatch,
    Order,
    OrderEvent,
    OrderEventKind,
    OrderIntent,
    OrderTable,
    OrderType,
    Quote,
    Side,
    Signal,
    Trade,
    is_protective,
)
from holdfast.strategies.api import OrderRequest, Parameters, SessionEvent, Strategy

if TYPE_CHECKING:
    from holdfast._native import Record

INTENT_LIFE_NS = 1_000_000_000
OUTPUTS_PER_RECORD_MAX = 64
log = structlog.get_logger()


@dataclass(slots=True)
class Pending:
    """A request that no order answers yet: it counts as working until its intent expires."""

    quantity_e9: int
    expires_ns: int


@dataclass(slots=True, kw_only=True)
class Slot:
    """One strategy and what it holds. `failure` is set once a handler raised: it is never called again."""

    strategy: Strategy[Parameters]
    positions_e9: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    orders: dict[str, Order] = field(default_factory=dict)
    pending: defaultdict[str, list[Pending]] = field(default_factory=lambda: defaultdict(list))
    failure: str = ""


class StrategyHost:
    """Hands records to strategies and collects what they ask for.

    `next_output_seq` tells which number the next output will have in its journal.
    Invariant: the outputs depend on nothing but the records, their headers and their order.
    """

    def __init__(self, sessions: Sequence[tuple[int, int]], *, on_failure: Callable[[str], None]) -> None:
        self._sessions = sessions
        self._session_index = -1
        self._on_failure = on_failure
        self._slots: list[Slot] = []
        self._by_name: dict[str, Slot] = {}
        self._market = MarketDispatch(on_session=self._cross_session, on_failure=self._stop)
        # Events and fills of an order arrive in any order; only their join says what is still open.
        self._orders = OrderTable()
        # Protective stops and their legs, by the venue's id.
        self._protective: set[str] = set()
        self._is_warming = False
        self.next_output_seq: Callable[[], int] = int
        self.outputs: list[Signal | OrderIntent] = []

    @property
    def now_ns(self) -> int:
        """Return the stamp of the record that is handled, ns UTC."""
        return self._market.now_ns

    @now_ns.setter
    def now_ns(self, now_ns: int) -> None:
        self._market.now_ns = now_ns

    @property
    def failures(self) -> dict[str, str]:
        """Return the stopped strategies with the last line of their error."""
        return {slot.strategy.name: slot.failure for slot in self._slots if slot.failure}

    def add(self, make: Callable[[SlotContext], Strategy[Parameters]]) -> None:
        """Add a strategy; `make` is given its context."""
        context = SlotContext(self)
        strategy = make(context)
        slot = Slot(strategy=strategy)
        context.slot = slot
        self._slots.append(slot)
        self._by_name[strategy.name] = slot
        kind = type(strategy)
        for symbol in strategy.symbols:
            if kind.on_quote is not Strategy.on_quote:
                self._market.listen(Quote, symbol, strategy.on_quote, slot=slot)
            if kind.on_trade is not Strategy.on_trade:
                self._market.listen(Trade, symbol, strategy.on_trade, slot=slot)
            if kind.on_bar is not Strategy.on_bar:
                self._market.listen(Bar, symbol, strategy.on_bar, slot=slot)
        self._call(slot, strategy.prepare)

    def warm_up(self, records: Sequence[Record]) -> None:
        """Let the strategies see earlier market data; what they ask for meanwhile is dropped."""
        self._is_warming = True
        for record in records:
            self.on_market(record)
        self._is_warming = False
        self.outputs.clear()

    def start(self) -> None:
        """Call every strategy's `on_start`."""
        for slot in self._slots:
            self._call(slot, slot.strategy.on_start)

    def on_market(self, record: Record) -> None:
        """Hand one record of the journal `market_data` to whoever wants it."""
        self._market.give(record)

    def read_market(self, reader: JournalReader, count_max: int) -> int:
        """Hand over at most `count_max` records of the journal `market_data` and return how many.

        Ends early at a record that was answered: `market_seq` and `market_origin_ns` are its number and its origin.
        """
        return self._market.read(reader, count_max, self.outputs)

    @property
    def market_seq(self) -> int:
        """Return the number of the record that `read_market` ended at, with outputs."""
        return self._market.seq

    @property
    def market_origin_ns(self) -> int:
        """Return the origin of the record that `read_market` ended at, ns UTC."""
        return self._market.origin_ns

    def on_execution(self, record: object, *, is_rebuilding: bool = False) -> None:
        """Hand one record of the journal `executions` to the strategy it belongs to."""
        if isinstance(record, Fill):
            slot = self._by_name.get(record.strategy)
            if slot is not None:
                self.now_ns = record.ts_ns
                if record.venue_order_id not in self._protective:
                    self._follow_order(slot, record)
                signed_e9 = record.quantity_e9 if record.side is Side.BUY else -record.quantity_e9
                slot.positions_e9[record.symbol] += signed_e9
                if not is_rebuilding:
                    self._call(slot, slot.strategy.on_fill, record)
        elif isinstance(record, OrderEvent):
            slot = self._by_name.get(record.strategy)
            if slot is not None:
                self.now_ns = record.ts_ns
                if self._protects(record):
                    return
                self._follow_order(slot, record)
                if not is_rebuilding:
                    self._call(slot, slot.strategy.on_order, record)

    def _protects(self, event: OrderEvent) -> bool:
        """Whether an event is of a protective stop or its leg: not a strategy's to follow, its fills are."""
        protects = is_protective(event.client_order_id) or event.parent_order_id in self._protective
        if protects and event.venue_order_id:
            self._protective.add(event.venue_order_id)
        return protects

    def _follow_order(self, slot: Slot, record: OrderEvent | Fill) -> None:
        if isinstance(record, OrderEvent) and record.kind in {OrderEventKind.SUBMITTING, OrderEventKind.WITHHELD}:
            signed_e9 = record.quantity_e9 if record.side is Side.BUY else -record.quantity_e9
            pending = slot.pending[record.symbol]
            for index, request in enumerate(pending):
                if request.quantity_e9 == signed_e9:
                    del pending[index]
                    break
        order = self._orders.apply(record)
        if order is not None and order.is_open:
            slot.orders[record.client_order_id] = order
        else:
            slot.orders.pop(record.client_order_id, None)

    def _cross_session(self, ts_event_ns: int) -> None:
        """Move to the session that `ts_event_ns` is in or before, and tell the strategies."""
        following_index = bisect.bisect_right(self._sessions, ts_event_ns, key=itemgetter(0))
        self._session_index = max(self._session_index, following_index - 1)
        is_open = self._session_index >= 0 and ts_event_ns < self._sessions[self._session_index][1]
        following_index = self._session_index + 1
        if is_open:
            self._market.session_edge_ns = self._sessions[self._session_index][1]
        elif following_index < len(self._sessions):
            self._market.session_edge_ns = self._sessions[following_index][0]
        else:
            self._market.session_edge_ns = 2**63 - 1
        event = SessionEvent.OPENED if is_open else SessionEvent.CLOSED
        for slot in self._slots:
            self._call(slot, slot.strategy.on_session, event)

    def _call(self, slot: Slot, handler: Callable[..., None], *arguments: object) -> None:
        if slot.failure:
            return
        try:
            handler(*arguments)
        except Exception as error:  # noqa: BLE001 - a strategy may raise anything and must not stop the others
            self._stop(slot, error)

    def _stop(self, slot: Slot, error: Exception) -> None:
        """Take a failed strategy out of every table; its orders stay, an operator decides about them."""
        name = slot.strategy.name
        slot.failure = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        self._market.remove(slot)
        log.error("strategy_stopped", strategy=name, error="".join(traceback.format_exception(error, limit=-6)))
        self._on_failure(name)

    def emit(self, slot: Slot, outputs: tuple[Signal | OrderIntent, ...]) -> None:
        """Collect what a strategy asked for."""
        if self._is_warming:
            return
        if len(self.outputs) + len(outputs) > OUTPUTS_PER_RECORD_MAX:
            raise RuntimeError(f"{slot.strategy.name} asked for over {OUTPUTS_PER_RECORD_MAX} things at one record")
        self.outputs.extend(outputs)

    def quote(self, symbol: str) -> Quote | None:
        """Return the latest quote of a symbol."""
        return self._market.quote(symbol)


class SlotContext:
    """The context of one strategy: see `strategies.api.Context`."""

    slot: Slot

    def __init__(self, host: StrategyHost) -> None:
        self._host = host

    @property
    def now_ns(self) -> int:
        """Return the receive time of the record being handled, ns UTC."""
        return self._host.now_ns

    def quote(self, symbol: str) -> Quote | None:
        """Return the latest quote of a symbol."""
        return self._host.quote(symbol)

    def position_e9(self, symbol: str) -> int:
        """Return this strategy's own signed quantity."""
        return self.slot.positions_e9[symbol]

    def working_e9(self, symbol: str) -> int:
        """Return the signed quantity that is asked for or open and not filled yet."""
        working_e9 = sum(request.quantity_e9 for request in self._pending(symbol))
        for order in self.slot.orders.values():
            if order.symbol == symbol:
                left_e9 = order.open_quantity_e9
                working_e9 += left_e9 if order.side is Side.BUY else -left_e9
        return working_e9

    def open_orders(self, symbol: str) -> list[Order]:
        """Return this strategy's open orders."""
        return [order for order in self.slot.orders.values() if order.symbol == symbol]

    def submit(self, request: OrderRequest) -> None:
        """Ask for an order: one Signal, one OrderIntent."""
        host = self._host
        strategy = self.slot.strategy
        if request.symbol not in strategy.symbols:
            raise ValueError(f"{strategy.name} may not trade {request.symbol}: not one of its symbols")
        quote = host.quote(request.symbol)
        middle_e9 = (quote.bid_price_e9 + quote.ask_price_e9) // 2 if quote else 0
        quote_seq = quote.seq if quote else 0
        ts_event_ns = quote.ts_event_ns if quote else 0
        signal = Signal(
            strategy=strategy.name,
            symbol=request.symbol,
            ts_event_ns=ts_event_ns,
            strength_e9=request.strength_e9,
            reference_price_e9=middle_e9,
            quote_seq=quote_seq,
            side=request.side,
        )
        expires_ns = host.now_ns + INTENT_LIFE_NS
        intent = OrderIntent(
            strategy=strategy.name,
            symbol=request.symbol,
            ts_event_ns=ts_event_ns,
            expires_ns=expires_ns,
            signal_seq=host.next_output_seq(),
            quote_seq=quote_seq,
            quantity_e9=request.quantity_e9,
            limit_price_e9=request.limit_price_e9,
            stop_price_e9=request.stop_price_e9,
            trail_price_e9=request.trail_price_e9,
            trail_percent_e9=request.trail_percent_e9,
            take_profit_price_e9=request.take_profit_price_e9,
            stop_loss_price_e9=request.stop_loss_price_e9,
            stop_loss_limit_price_e9=request.stop_loss_limit_price_e9,
            reference_price_e9=middle_e9,
            action=IntentAction.NEW,
            side=request.side,
            order_type=request.order_type,
            time_in_force=request.time_in_force,
            order_class=request.order_class,
            is_extended_hours=int(request.is_extended_hours),
        )
        signed_e9 = request.quantity_e9 if request.side is Side.BUY else -request.quantity_e9
        self._pending(request.symbol).append(Pending(signed_e9, expires_ns))
        host.emit(self.slot, (signal, intent))

    def cancel(self, client_order_id: str) -> None:
        """Ask to cancel an order of this strategy."""
        self._change(client_order_id, IntentAction.CANCEL, quantity_e9=0, limit_price_e9=0)

    def replace(self, client_order_id: str, *, quantity_e9: int, limit_price_e9: int) -> None:
        """Ask to replace quantity and limit price of an open order."""
        self._change(client_order_id, IntentAction.REPLACE, quantity_e9=quantity_e9, limit_price_e9=limit_price_e9)

    def log(self, event: str, **facts: object) -> None:
        """Write one line to the service's log."""
        log.info(event, strategy=self.slot.strategy.name, **facts)

    def _pending(self, symbol: str) -> list[Pending]:
        """Return the requests that no order answers yet, without those whose intent has expired."""
        pending = self.slot.pending[symbol]
        if pending:
            pending[:] = [request for request in pending if request.expires_ns > self._host.now_ns]
        return pending

    def _change(
        self,
        client_order_id: str,
        action: IntentAction,
        *,
        quantity_e9: int,
        limit_price_e9: int,
    ) -> None:
        order = self.slot.orders.get(client_order_id)
        if order is None:
            raise ValueError(f"{self.slot.strategy.name} has no open order {client_order_id}")
        intent = OrderIntent(
            strategy=self.slot.strategy.name,
            symbol=order.symbol,
            target_client_order_id=client_order_id,
            expires_ns=self._host.now_ns + INTENT_LIFE_NS,
            quantity_e9=quantity_e9,
            limit_price_e9=limit_price_e9,
            action=action,
            side=order.side,
            order_type=order.order_type or OrderType.LIMIT,
            time_in_force=order.time_in_force,
            order_class=order.order_class,
        )
        self._host.emit(self.slot, (intent,))
