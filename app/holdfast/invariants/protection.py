"""Protective stops against the venue's ledger: never more than the position, and none of our positions without one."""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from holdfast._native import BreakerTripped, Reason, is_protective
from holdfast.invariants.evidence import Evidence
from holdfast.invariants.gate import is_killed_by_loss
from holdfast.invariants.orders import OPEN_STATUSES
from holdfast.symbols import is_crypto_pair

SECOND_NS = 1_000_000_000
E9 = 1_000_000_000
WITHIN_NS = 5 * SECOND_NS
# What was decided on a position that has shrunk since may still arrive.
ARRIVES_WITHIN_NS = 10 * SECOND_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue last told it; amounts scaled by 1e-9."""

    side: str
    left_e9: int
    filled_e9: int
    status: str
    is_protective: bool

    @classmethod
    def of(cls, order: dict[str, Any]) -> "VenueOrder":
        """Read an order of the ledger."""
        quantity_e9, filled_e9 = (int(Decimal(order.get(name) or 0) * E9) for name in ("qty", "filled_qty"))
        return cls(
            side=order["side"],
            left_e9=quantity_e9 - filled_e9,
            filled_e9=filled_e9,
            status=order["status"],
            is_protective=is_protective(order["client_order_id"]),
        )

    @property
    def is_open(self) -> bool:
        """Whether it can still fill."""
        return self.status in OPEN_STATUSES

    @property
    def is_held(self) -> bool:
        """Whether the venue holds it until another order fills or its stop is reached."""
        return self.status == "held"


@dataclass(slots=True)
class SymbolBoard:
    """A symbol's position and orders as the venue's ledger goes on; `own_e9` is what our orders made of it."""

    position_e9: int = 0
    own_e9: int = 0
    orders: dict[str, VenueOrder] = field(default_factory=dict)

    def closing_e9(self, parents: dict[str, str]) -> tuple[int, int]:
        """Return what may make the position smaller, and what of it are protective stops.

        Orders of one family end one another: its largest working one counts, and a held leg only for what it covers.
        """
        side = "sell" if self.position_e9 > 0 else "buy"
        families: dict[str, list[str]] = defaultdict(list)
        for order_id, order in self.orders.items():
            if order.is_open and order.side == side:
                families[parents.get(order_id, order_id)].append(order_id)
        total_e9 = protective_e9 = 0
        for root, members in families.items():
            closing_e9 = self._family_e9(root, members)
            total_e9 += closing_e9
            protective_e9 += closing_e9 if (head := self.orders.get(root)) is not None and head.is_protective else 0
        return total_e9, protective_e9

    def _family_e9(self, root: str, members: list[str]) -> int:
        working = [self.orders[name].left_e9 for name in members if not self.orders[name].is_held]
        if working:
            return max(working)
        held_e9 = max(self.orders[name].left_e9 for name in members)
        parent = self.orders.get(root)
        if parent is None or parent.side == self.orders[members[0]].side:
            return held_e9
        # The legs of an entry sleep until it has filled whole.
        return 0 if parent.is_open else min(held_e9, parent.filled_e9)


@dataclass(slots=True)
class Board:
    """Every symbol of the ledger, line by line."""

    external_order_ids: frozenset[str]
    symbols: defaultdict[str, SymbolBoard] = field(default_factory=lambda: defaultdict(SymbolBoard))
    parents: dict[str, str] = field(default_factory=dict)

    def take(self, line: dict[str, Any]) -> str:
        """Take a line; return the symbol that it changes, or nothing."""
        if line["kind"] == "order":
            order = line["data"]["order"]
            orders = self.symbols[order["symbol"]].orders
            # The legs of an entry get lines of their own only once it has filled whole.
            for leg in order.get("legs") or ():
                self.parents[leg["id"]] = order["id"]
                orders[leg["id"]] = VenueOrder.of(leg)
            orders[order["id"]] = VenueOrder.of(order)
            return str(order["symbol"])
        if line["kind"] == "fill":
            symbol = self.symbols[line["symbol"]]
            symbol.position_e9 = line["position_quantity_e9"]
            if line["client_order_id"] not in self.external_order_ids:
                symbol.own_e9 += line["quantity_e9"] if line["side"] == "buy" else -line["quantity_e9"]
            return str(line["symbol"])
        return ""

    def lacking_e9(self, name: str) -> int:
        """Return how much of our position of a symbol, in whole shares, nothing would close."""
        symbol = self.symbols[name]
        if symbol.own_e9 * symbol.position_e9 <= 0:
            return 0
        held_e9 = min(abs(symbol.own_e9), abs(symbol.position_e9))
        lacking_e9 = max(held_e9 - symbol.closing_e9(self.parents)[0], 0)
        return lacking_e9 if is_crypto_pair(name) else lacking_e9 - lacking_e9 % E9


def no_stop_for_more_than_the_position(evidence: Evidence) -> Iterator[str]:
    """The protective stops of a symbol never add up to more than its position, nor is one asked for."""
    board = Board(evidence.external_order_ids)
    seen: defaultdict[str, deque[tuple[int, int]]] = defaultdict(deque)
    changed: dict[str, int] = {}
    for line in evidence.ledger.lines:
        # What happens to a family in one moment is told in several lines.
        for name, session_ns in list(changed.items()):
            if session_ns != line.get("session_ns", 0):
                del changed[name]
                position_e9 = board.symbols[name].position_e9
                stops_e9 = board.symbols[name].closing_e9(board.parents)[1]
                if stops_e9 > abs(position_e9):
                    yield f"{name}: protective stops of {stops_e9} e9 for a position of {position_e9} e9"
        if name := board.take(line):
            changed[name] = line.get("session_ns", 0)
            seen[name].append((line.get("host_ns", 0), abs(board.symbols[name].position_e9)))
        elif line["kind"] == "request" and line["method"] == "POST":
            yield from _asked_for_too_much(line, seen)


def _asked_for_too_much(line: dict[str, Any], seen: "defaultdict[str, deque[tuple[int, int]]]") -> Iterator[str]:
    body = line["body"] or {}
    client_order_id = str(body.get("client_order_id", ""))
    if not is_protective(client_order_id):
        return
    recent = seen[body["symbol"]]
    while len(recent) > 1 and recent[1][0] < line["host_ns"] - ARRIVES_WITHIN_NS:
        recent.popleft()
    asked_e9 = int(Decimal(body.get("qty") or 0) * E9)
    most_e9 = max((position_e9 for _, position_e9 in recent), default=0)
    if asked_e9 > most_e9:
        yield f"client_order_id {client_order_id}: a stop of {asked_e9} e9 for a position of {most_e9} e9"


def every_position_protected(evidence: Evidence) -> Iterator[str]:
    """A position that our orders made has its stop within the limit, or is being closed.

    While faults disturb the run only its end is judged: by then every position has its stop again, unless a day's loss
    set the kill latch: while that is set none is placed.
    """
    if not (evidence.is_undisturbed or evidence.ending.is_healed):
        return
    limits = evidence.limits
    within_ns = limits.as_dict()["protection_within_ns"] if limits is not None else WITHIN_NS
    excused = _excused(evidence)
    board = Board(evidence.external_order_ids)
    lacking_since: dict[str, int] = {}
    last_ns = 0
    for line in evidence.ledger.lines:
        last_ns = line.get("host_ns", 0)
        name = board.take(line)
        if not name or name in excused:
            continue
        if board.lacking_e9(name):
            lacking_since.setdefault(name, last_ns)
            continue
        since_ns = lacking_since.pop(name, last_ns)
        if evidence.is_undisturbed and last_ns - since_ns > within_ns:
            yield f"{name}: without its stop for {(last_ns - since_ns) / 1e9:.3f} s"
    if is_killed_by_loss(evidence):
        return
    for name, since_ns in lacking_since.items():
        if evidence.ending.is_healed or last_ns - since_ns > within_ns:
            lacking_e9, since_s = board.lacking_e9(name), (last_ns - since_ns) / 1e9
            yield f"{name}: {lacking_e9} e9 without a stop at the end, for {since_s:.3f} s"


def _excused(evidence: Evidence) -> set[str]:
    """Return the symbols with waivers, and those whose entries stopped since the venue refused their stops."""
    waivers = evidence.limits.waivers if evidence.limits is not None else []
    waived_names = {strategy for strategy, symbol in waivers if strategy and not symbol}
    excused = {symbol for _, symbol in waivers if symbol}
    excused |= {fill.symbol for fill in evidence.account.fills.values() if fill.strategy in waived_names}
    told = {
        record.symbol
        for record in evidence.decided
        if isinstance(record, BreakerTripped) and record.rule is Reason.PROTECTION_MISSING
    }
    return excused | told
