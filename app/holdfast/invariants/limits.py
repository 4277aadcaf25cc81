"""Risk limits in the worst case, counted a second time from the journals: everything open may fill."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast._native import (
    LOOSENED_NS_MAX,
    Consumed,
    Decision,
    IntentAction,
    LimitBook,
    LimitChange,
    Order,
    OrderClass,
    OrderTable,
    PositionBook,
    RiskLimits,
    Side,
    Verdict,
)
from holdfast.invariants.evidence import Evidence

if TYPE_CHECKING:
    from holdfast._native import Record

SECOND_NS = 1_000_000_000
E9 = 1_000_000_000


@dataclass(slots=True)
class Desk:
    """What the risk gate had read and approved, order by order; approved orders count from their approval on."""

    orders: OrderTable = field(default_factory=OrderTable)
    positions: PositionBook = field(default_factory=PositionBook)
    pending: dict[str, Decision] = field(default_factory=dict)

    def apply(self, record: object) -> None:
        """Take one record of the journal `executions`."""
        order = self.orders.apply(record)  # type: ignore[arg-type]
        self.positions.apply(record)  # type: ignore[arg-type]
        if order is not None:
            self.pending.pop(order.client_order_id, None)

    def position_e9(self, symbol: str) -> int:
        """Return the signed quantity held."""
        position = self.positions.get(symbol)
        return position.quantity_e9 if position is not None else 0

    def worst_e9(self, symbol: str, side: Side, *, price_e9: int) -> tuple[int, int]:
        """Return the least quantity and notional that the position can come to on one side if all of that side fills.

        Both are positive on that side. An order and its replacement never both fill in full: of such a pair the larger
        counts. Each order counts at its own price, the position at `price_e9`.
        """
        sign = 1 if side is Side.BUY else -1
        quantities_e9: dict[str, int] = {}
        notionals_e9: dict[str, int] = {}
        for root, quantity_e9, own_price_e9 in self._open(symbol, side):
            quantities_e9[root] = max(quantities_e9.get(root, 0), quantity_e9)
            notionals_e9[root] = max(notionals_e9.get(root, 0), quantity_e9 * (own_price_e9 or price_e9) // E9)
        held_e9 = sign * self.position_e9(symbol)
        return held_e9 + sum(quantities_e9.values()), held_e9 * price_e9 // E9 + sum(notionals_e9.values())

    def _open(self, symbol: str, side: Side) -> Iterator[tuple[str, int, int]]:
        """Yield root, open quantity and price of everything that may fill on one side; legs end one another."""
        for order in self.orders.open_orders():
            if order.symbol == symbol and order.side is side and not order.parent_order_id:
                yield self._root(order), order.open_quantity_e9, order.limit_price_e9
        for client_order_id, decision in self.pending.items():
            if decision.symbol == symbol and decision.side is side:
                target = self.orders.get(decision.target_client_order_id)
                root = self._root(target) if target is not None else client_order_id
                yield root, decision.quantity_e9, decision.limit_price_e9

    def _root(self, order: Order) -> str:
        return order.replaces_order_id or order.venue_order_id or order.client_order_id


class Active:
    """The limits in force, as they follow from the configured ones and what operators changed."""

    def __init__(self, configured: RiskLimits, control: "Iterable[Record]") -> None:
        self._book = LimitBook(configured)
        self._control = iter(control)
        self._reached = 0
        self._take()

    def _take(self) -> None:
        self.hash = self._book.in_force.hash
        self.limits = self._book.in_force.as_dict()

    def follow(self, record: "Record") -> None:
        """Take the next record of `orders`: how far operators were heard, and how late it is.

        What a step heard may end in it: by a clock that stepped ahead.
        """
        is_changed = False
        if isinstance(record, Consumed):
            while self._reached < record.control_seq and (step := next(self._control, None)) is not None:
                self._reached = step.seq
                is_changed |= isinstance(step, LimitChange) and self._book.apply(step) is None
        if self._book.expire(record.ts_ns) or is_changed:
            self._take()


def limits_hold_in_the_worst_case(evidence: Evidence) -> Iterator[str]:
    """After each approved entry the position stays within its limit though everything open fills."""
    if evidence.limits is None:
        return
    active = Active(evidence.limits, evidence.journals["control"])
    desk = Desk()
    executed = iter(evidence.executed)
    reached, consumed = 0, Consumed()
    for record in evidence.decided:
        active.follow(record)
        if isinstance(record, Consumed):
            consumed = record
        if not isinstance(record, Decision) or not _is_approved_order(record):
            continue
        while reached < consumed.executions_seq and (step := next(executed, None)) is not None:
            desk.apply(step)
            reached = step.seq
        desk.pending[record.client_order_id] = record
        if not record.is_reduction and record.order_class in (OrderClass.NONE, OrderClass.SIMPLE):
            yield from _beyond(record, desk, active.limits)


def _beyond(decision: Decision, desk: Desk, limits: dict[str, int]) -> Iterator[str]:
    price_e9 = decision.limit_price_e9 or decision.reference_price_e9
    worst_e9, worst_notional_e9 = desk.worst_e9(decision.symbol, decision.side, price_e9=price_e9)
    amounts = {
        "order_quantity_max_e9": decision.quantity_e9,
        "order_notional_max_e9": price_e9 * decision.quantity_e9 // E9,
        "position_quantity_max_e9": worst_e9,
        # The gate counts each part at its own price: a percent between the two counts is no violation.
        "position_notional_max_e9": worst_notional_e9 * 99 // 100,
    }
    for name, value in amounts.items():
        if value > limits[name]:
            yield f"orders {decision.seq}: {decision.symbol} {name}={limits[name]}, worst case {value}"


def rates_hold(evidence: Evidence) -> Iterator[str]:
    """Approved entries stay within the rate of orders and the repetitions of one symbol."""
    if evidence.limits is None:
        return
    active = Active(evidence.limits, evidence.journals["control"])
    times: list[int] = []
    by_symbol: dict[tuple[str, str], list[int]] = defaultdict(list)
    for record in evidence.decided:
        active.follow(record)
        if not isinstance(record, Decision) or not _is_approved_order(record) or record.is_reduction:
            continue
        limits = active.limits
        at_ns = evidence.true_ns(record.ts_ns)
        times.append(at_ns)
        in_second = len(times) - bisect_left(times, at_ns - SECOND_NS + 1)
        if in_second > limits["order_burst_max"] + limits["order_rate_per_s_max"]:
            yield f"orders {record.seq}: {in_second} entries within a second"
        if record.action is IntentAction.NEW:
            own = by_symbol[record.strategy, record.symbol]
            own.append(at_ns)
            in_window = len(own) - bisect_left(own, at_ns - limits["repeat_window_ns"] + 1)
            if in_window > limits["repeat_entries_max"]:
                yield f"orders {record.seq}: {in_window} entries of {record.symbol} within the repeat window"


def every_limit_change_heard(evidence: Evidence) -> Iterator[str]:
    """Whoever approves an entry has read what operators changed a second or more before."""
    late_ns = {
        record.seq: evidence.true_ns(record.ts_ns) + SECOND_NS
        for record in evidence.journals["control"]
        if isinstance(record, LimitChange)
    }
    heard_seq = 0
    for record in evidence.decided if late_ns else ():
        if isinstance(record, Consumed):
            heard_seq = record.control_seq
        elif isinstance(record, Decision) and _is_approved_order(record) and not record.is_reduction:
            decided_ns = evidence.true_ns(record.ts_ns)
            for seq, from_ns in late_ns.items():
                if heard_seq < seq and from_ns <= decided_ns:
                    yield f"orders {record.seq}: approved though control {seq} was not read"


def no_limit_loosened_by_one_person(evidence: Evidence) -> Iterator[str]:
    """What takes effect and loosens has a second person's name; what is looser than configured ends within a day.

    The direction is asked of the values, not of the product's book.
    """
    if evidence.limits is None:
        return
    book, loosest = LimitBook(evidence.limits), RiskLimits.loosest()
    least = {name: bounds[0] for name, bounds in RiskLimits.bounds().items()}
    configured = evidence.limits.as_dict()

    def is_looser(name: str, value: int, than: int) -> bool:
        return value < than if loosest[name] == least[name] else value > than

    for record in evidence.journals["control"]:
        book.expire(record.ts_ns)
        before = book.in_force.as_dict()
        if not isinstance(record, LimitChange) or book.apply(record) is not None:
            continue
        name, value = record.key, book.in_force.as_dict()[record.key]
        if is_looser(name, value, before[name]) and record.approver in ("", record.operator):
            yield f"control {record.seq}: {name} loosened to {value} by {record.operator} alone"
        if is_looser(name, value, configured[name]) and not 0 < record.expires_ns - record.ts_ns <= LOOSENED_NS_MAX:
            yield f"control {record.seq}: {name} is looser than configured until {record.expires_ns}"


def every_decision_under_the_active_limits(evidence: Evidence) -> Iterator[str]:
    """Approvals carry the hash of the limits that are active."""
    if evidence.limits is None:
        return
    active = Active(evidence.limits, evidence.journals["control"])
    for record in evidence.decided:
        active.follow(record)
        if isinstance(record, Decision) and _is_approved_order(record) and record.limits_hash != active.hash:
            yield f"orders {record.seq}: limits {record.limits_hash:x}, active {active.hash:x}"


def _is_approved_order(decision: Decision) -> bool:
    is_order = decision.action in (IntentAction.NEW, IntentAction.REPLACE)
    return decision.verdict is Verdict.APPROVED and is_order
