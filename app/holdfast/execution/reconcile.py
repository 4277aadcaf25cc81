"""Comparing our journal with the venue: the venue wins, every difference becomes a record, none is traded on."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast import clock
from holdfast._native import (
    Order,
    OrderEventKind,
    OrderStatus,
    PositionSnapshot,
    Reconciled,
    ReconcileScope,
)
from holdfast.errors import RetryLater
from holdfast.execution.ledger import Ledger
from holdfast.execution.proof import UNPROVEN, Absences, record_absence
from holdfast.logs import get_logger
from holdfast.venues.alpaca.orders import VenueOrder
from holdfast.venues.alpaca.trading import TradingGateway

# The stream may be a moment behind REST: only what is still missing after this is taken to be lost.
STREAM_GRACE_S = 0.5
OVERLAP_NS = 120 * 1_000_000_000
OVERLAP_GROWTH = 8
OVERLAP_NS_MAX = 30 * 86_400 * 1_000_000_000
STABLE_READS_MAX = 5
# A held leg does not show as open; asking for each one every time would eat the rate budget.
HELD_LEG_EVERY = 6

log = get_logger()


@dataclass(slots=True)
class Findings:
    """What one reconciliation found."""

    orders_open: int = 0
    orders_adopted: int = 0
    orders_resolved: int = 0
    fills_recovered: int = 0
    positions_mismatched: int = 0


@dataclass(slots=True)
class Reconciler:
    """Compares orders, fills and positions; one call runs at a time."""

    ledger: Ledger
    gateway: TradingGateway
    # While the answer to a bracket is awaited, an order of an unknown id may be one of its legs.
    is_leg_expected: Callable[[], bool] = lambda: False
    passes: int = 0
    _absences: Absences = field(default_factory=Absences)
    _complete_ns: int = 0
    _overlap_ns: int = OVERLAP_NS
    _matched_ns: int = 0
    _mismatches: dict[str, int] = field(default_factory=dict)
    _mismatches_known: dict[str, int] = field(default_factory=dict)

    async def start_up(self) -> Findings:
        """Adopt what the venue has, fetch what we missed, and journal account, positions and the result.

        Raises: RetryLater, BadInput.
        """
        found = Findings()
        self._complete_ns = self.ledger.latest_event_ns
        is_first = not self.ledger.is_started_before
        await self._orders(found)
        if not is_first:
            await self._recover_fills(found, is_forced=True)
        positions = await self._positions(found, is_first=is_first)
        account = await self.gateway.account(now_ns=clock.now_ns())
        for record in (account, *positions):
            self.ledger.write(record)
        self._record(ReconcileScope.START_UP, found)
        return found

    async def open_orders(self, *, is_after_silence: bool = False) -> Findings:
        """Compare the open orders and recover fills that the stream lost. Raises: RetryLater, BadInput.

        After a silence every fill is asked for: an order that nobody told us of may have filled and ended meanwhile.
        """
        found = Findings()
        await self._orders(found)
        await self._recover_fills(found, is_forced=is_after_silence)
        self._record(ReconcileScope.OPEN_ORDERS, found)
        return found

    async def positions(self) -> Findings:
        """Compare the positions and journal them. Raises: RetryLater, BadInput."""
        found = Findings()
        snapshots = await self._positions(found, is_first=False)
        if not self._mismatches:
            self._matched_ns = self.ledger.latest_event_ns
        elif self._mismatches != self._mismatches_known:
            self._complete_ns = min(self._complete_ns, self._matched_ns)
            await self._recover_fills(found, is_forced=True)
        self._mismatches_known = self._mismatches
        for snapshot in snapshots:
            self.ledger.write(snapshot)
        self._record(ReconcileScope.POSITIONS, found)
        return found

    async def in_flight(self) -> Findings:
        """Recover fills of orders that are filled further than the stream told. Raises: RetryLater, BadInput."""
        found = Findings()
        await self._recover_fills(found)
        self._record(ReconcileScope.IN_FLIGHT, found)
        return found

    async def _orders(self, found: Findings) -> None:
        self.passes += 1
        before = [order for order in self.ledger.orders.open_orders() if order.venue_order_id]
        await self._ask_for_unproven(found)
        listed: set[str] = set()
        for shown in await self.gateway.open_orders():
            listed.add(shown.venue_order_id)
            if shown.is_own or not self.is_leg_expected():
                self._take(shown, found)
        found.orders_open = len(listed)
        missing = [order for order in before if order.venue_order_id not in listed and self._is_worth_asking(order)]
        recent = await self.gateway.recent_orders({order.venue_order_id for order in missing})
        for order in missing:
            if self._is_worth_asking(order):
                await self._ask_for(order, recent.get(order.venue_order_id), found)

    async def _ask_for_unproven(self, found: Findings) -> None:
        """Ask once for each order that may have reached the venue: its legs must not be taken for strangers."""
        unproven = [order.client_order_id for order in self.ledger.orders.open_orders() if order.status in UNPROVEN]
        recent = await self.gateway.recent_orders(set(unproven))
        for client_order_id in unproven:
            known = recent.get(client_order_id) or await self.gateway.order_by_client_id(client_order_id)
            if known is not None:
                self._take(known, found)

    def _is_worth_asking(self, order: Order) -> bool:
        now = self.ledger.orders.get(order.client_order_id)
        if now is None or not now.is_open:
            return False
        return now.status is not OrderStatus.HELD or self.passes % HELD_LEG_EVERY == 1

    async def _ask_for(self, order: Order, known: VenueOrder | None, found: Findings) -> None:
        known = known or await self.gateway.order(order.venue_order_id)
        is_own = not (order.is_external or order.parent_order_id)
        if known is None and is_own:
            # The answer may have named another order's id.
            known = await self.gateway.order_by_client_id(order.client_order_id)
        if known is not None:
            self._absences.forget(order.client_order_id)
            self._take(known, found)
            return
        log.error("order_unknown_to_venue", client_order_id=order.client_order_id, status=order.status.label)
        answers = self._absences.note(order.client_order_id, clock.monotonic_s())
        if answers and is_own and not order.filled_quantity_e9:
            self._absences.forget(order.client_order_id)
            record_absence(self.ledger, order.client_order_id, answers)
            found.orders_resolved += 1

    def _take(self, order: VenueOrder, found: Findings) -> None:
        known = self.ledger.orders.get(order.client_order_id)
        is_unproven = known is not None and known.status in UNPROVEN
        kind = OrderEventKind.RESOLVED if is_unproven else OrderEventKind.UPDATED
        if not self.ledger.venue_order(order, kind):
            return
        if is_unproven:
            found.orders_resolved += 1
        if known is None:
            found.orders_adopted += 1
            log.warning(
                "order_adopted", client_order_id=order.client_order_id, symbol=order.symbol, is_own=order.is_own
            )

    async def _recover_fills(self, found: Findings, *, is_forced: bool = False) -> None:
        """Fetch executions that the venue counts and we do not have, each once by its execution id."""
        if not is_forced:
            if not self.ledger.unexplained_fills():
                self._complete_ns = self.ledger.latest_event_ns
                return
            await asyncio.sleep(STREAM_GRACE_S)
            if not self.ledger.unexplained_fills():
                return
        after_ns = max(self._complete_ns - self._overlap_ns, 0)
        fills = await self.gateway.fills(after_ns=after_ns)
        missing = [fill for fill in fills if not self.ledger.has_execution(fill.execution_id)]
        strange = {each.venue_order_id for each in missing if not self.ledger.client_order_id(each.venue_order_id)}
        recent = await self.gateway.recent_orders(strange, after_ns=after_ns)
        for fill in missing:
            # The stream may have told of it meanwhile.
            if self.ledger.has_execution(fill.execution_id):
                continue
            if not self.ledger.client_order_id(fill.venue_order_id):
                order = recent.get(fill.venue_order_id) or await self.gateway.order(fill.venue_order_id)
                if order is None:
                    raise RetryLater(f"fill {fill.execution_id} of an order that the venue does not show")
                self._take(order, found)
            missing_e9 = self.ledger.unexplained_fills().get(fill.venue_order_id, 0)
            if fill.quantity_e9 > missing_e9:
                # An order's filled quantity is the upper bound of its executions: none is invented.
                continue
            if self.ledger.fill(fill, is_recovered=True):
                found.fills_recovered += 1
                log.warning("fill_recovered", execution_id=fill.execution_id, symbol=fill.symbol)
        if not self.ledger.unexplained_fills():
            self._complete_ns = self.ledger.latest_event_ns
            self._overlap_ns = OVERLAP_NS
        else:
            # It happened before what was taken to be complete: look further back the next time.
            self._overlap_ns = min(self._overlap_ns * OVERLAP_GROWTH, OVERLAP_NS_MAX)
            log.error("fills_unexplained", orders=list(self.ledger.unexplained_fills())[:10])

    async def _positions(self, found: Findings, *, is_first: bool) -> list[PositionSnapshot]:
        """Read the positions while no fill arrives in between, and compare them with our own sums.

        REST may tell of a fill before the stream does: only a difference that a second reading shows again is one.
        """
        seen: dict[str, int] = {}
        for _ in range(STABLE_READS_MAX):
            fills_before = self.ledger.fills_count
            snapshots = await self.gateway.positions(now_ns=clock.now_ns())
            if self.ledger.fills_count == fills_before and not self.ledger.unexplained_fills():
                mismatches = {} if is_first else self._mismatches_of(snapshots)
                if not mismatches or mismatches == seen:
                    break
                seen = mismatches
            await asyncio.sleep(STREAM_GRACE_S)
        else:
            log.info("positions_not_compared", reason="fills arrive faster than positions are read")
            return []
        self._mismatches = mismatches
        found.positions_mismatched += len(mismatches)
        for symbol, quantity_e9 in mismatches.items():
            log.error(
                "position_mismatched",
                symbol=symbol,
                venue_quantity_e9=self.ledger.position_e9(symbol) + quantity_e9,
                own_quantity_e9=self.ledger.position_e9(symbol),
            )
        listed = {snapshot.symbol for snapshot in snapshots}
        flat = [
            PositionSnapshot(symbol=position.symbol, ts_event_ns=clock.now_ns())
            for position in self.ledger.positions.positions()
            if position.symbol not in listed and position.quantity_e9
        ]
        return [*snapshots, *flat]

    def _mismatches_of(self, snapshots: list[PositionSnapshot]) -> dict[str, int]:
        """Return by symbol what the venue has more than we count."""
        venue_e9 = {snapshot.symbol: snapshot.quantity_e9 for snapshot in snapshots}
        own_e9 = {position.symbol: position.quantity_e9 for position in self.ledger.positions.positions()}
        symbols = sorted(venue_e9.keys() | own_e9.keys())
        more_e9 = {symbol: venue_e9.get(symbol, 0) - own_e9.get(symbol, 0) for symbol in symbols}
        return {symbol: quantity_e9 for symbol, quantity_e9 in more_e9.items() if quantity_e9}

    def _record(self, scope: ReconcileScope, found: Findings) -> None:
        unknown = sum(order.status in UNPROVEN for order in self.ledger.orders.open_orders())
        self.ledger.write(
            Reconciled(
                ts_event_ns=clock.now_ns(),
                orders_open=found.orders_open,
                orders_adopted=found.orders_adopted,
                orders_resolved=found.orders_resolved,
                fills_recovered=found.fills_recovered,
                positions_mismatched=found.positions_mismatched,
                orders_unknown=unknown,
                scope=scope,
                is_complete=1,
            )
        )
