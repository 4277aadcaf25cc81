"""The last-instant gate: what must hold in the moment an exposure-increasing byte leaves."""

from dataclasses import dataclass, field
from typing import Protocol

from holdfast import clock
from holdfast._native import Decision, Order, OrderType, Reason, Side, TimeInForce, TradingStateCode
from holdfast.execution.clock_health import ClockHealth
from holdfast.symbols import is_crypto_pair

SECOND_NS = 1_000_000_000
E9 = 1_000_000_000
APPROVAL_AGE_NS_MAX = SECOND_NS
HEARTBEAT_AGE_NS_MAX = SECOND_NS
QUOTE_AGE_NS_MAX = SECOND_NS
# What is looked at now and then may be that old, five beats: a process that stood still looks again first.
LOOK_AGE_NS_MAX = SECOND_NS // 2
ENDS_WITH_SESSION = (TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK)
NEEDED_JOURNALS = ("market_data", "signals", "orders")


class HeaderPage(Protocol):
    """What the gate reads of a journal: its writer's page in shared memory."""

    @property
    def heartbeat_ns(self) -> int:
        """When the writer last said that it is alive."""

    @property
    def build_hash(self) -> int:
        """Hash of the writer's code."""

    @property
    def config_hash(self) -> int:
        """Hash of the writer's configuration."""


class Latch(Protocol):
    """What the gate reads of the kill latch."""

    @property
    def is_set(self) -> bool:
        """Whether entries are stopped."""

    @property
    def is_linked(self) -> bool:
        """Whether the mapped page is still the file at its path."""


class Stream(Protocol):
    """What the gate reads of the order-update stream."""

    @property
    def is_live(self) -> bool:
        """Whether updates would arrive now."""

    @property
    def session(self) -> int:
        """Rises with each subscription: what happened between two is known only after a reconciliation."""


class Lease(Protocol):
    """What the gate reads of the right to send for the account."""

    @property
    def is_winding_down(self) -> bool:
        """Whether it ends so soon that no entry may leave."""


class Halts(Protocol):
    """What the gate reads of the journal `market_data`."""

    def catch_up(self) -> None:
        """Read everything that is there."""

    def is_halted(self, symbol: str, /) -> bool:
        """Whether a symbol is halted, as far as was read."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The rule that closes the gate, and its value."""

    rule: Reason
    detail: str


@dataclass(slots=True, kw_only=True)
class Gate:
    """The facts the gate looks at; the engine keeps them, the journals' pages keep themselves.

    Cancels do not pass through here, reductions only through `queues`. `venue_close_ns` is that of the running
    session, `venue_open_ns` that of the next one while none runs; 0: not known by our clock.
    `latched_seq` is the record by which risk-manager told that it knows of the kill latch, 0 unless the latest trading
    state does. `reconciled_session` is the stream session since which the venue was compared, `is_reconcile_fresh`
    whether the comparison still succeeds. `session_trouble` says how calendar and venue differ on the session.
    `is_stopping`: this process ends, whatever the trading state says until then.
    """

    latch: Latch
    stream: Stream
    lease: Lease
    build_hash: int
    config_hash: int
    pages: dict[str, HeaderPage] = field(default_factory=dict)
    state: TradingStateCode = TradingStateCode.NONE
    limits_hash: int = 0
    latched_seq: int = 0
    reconciled_session: int = 0
    is_reconcile_fresh: bool = False
    is_venue_open: bool = False
    venue_close_ns: int = 0
    venue_open_ns: int = 0
    session_trouble: str = ""
    is_stopping: bool = False
    halts: Halts | None = None
    clock_health: ClockHealth = field(default_factory=ClockHealth)
    _closed_by_page: Closed | None = Closed(Reason.NOT_RECONCILED, "not looked at yet")
    _looked_ns: int = 0

    def look(self) -> None:
        """Look at what changes rarely and is slow to read: peers' releases, clock. Call it often."""
        self._looked_ns = clock.monotonic_ns()
        self.clock_health.look(wall_ns=clock.now_ns(), steady_ns=self._looked_ns)
        if self.halts is not None:
            self.halts.catch_up()
        self._closed_by_page = self._closed_by_file() or self._closed_by_release() or self._closed_by_clock()

    def closed(self, decision: Decision, now_ns: int) -> Closed | None:
        """Return why an entry must not leave now, or None."""
        if clock.monotonic_ns() - self._looked_ns > LOOK_AGE_NS_MAX:
            self.look()
        return (
            self.closed_by_operator()
            or self._closed_by_lease()
            or self._closed_by_page
            or self._closed_by_peers(now_ns)
            or self.closed_by_age(decision, now_ns)
            or self._closed_by_session(decision, now_ns)
            or self._closed_by_halt(decision)
        )

    def closed_by_operator(self) -> Closed | None:
        """Return whether the kill latch or the trading state stops all entries."""
        if self.latch.is_set:
            return Closed(Reason.KILL_LATCH, "set")
        if self.is_stopping:
            return Closed(Reason.STATE_HALTED, "execution-engine stops")
        if self.state is TradingStateCode.REDUCING:
            return Closed(Reason.STATE_REDUCING, "")
        if self.state is not TradingStateCode.ACTIVE:
            return Closed(Reason.STATE_HALTED, self.state.label or "no trading state yet")
        return None

    def closed_by_age(self, decision: Decision, now_ns: int) -> Closed | None:
        """Return whether the approval, or the market event behind it, is too old at a time."""
        age_ns = now_ns - decision.ts_ns
        if not -APPROVAL_AGE_NS_MAX <= age_ns <= APPROVAL_AGE_NS_MAX:
            return Closed(Reason.APPROVAL_STALE, f"age_ms={age_ns // 1_000_000}")
        if 0 < decision.expires_ns <= now_ns:
            return Closed(Reason.INTENT_EXPIRED, f"expired_ms={(now_ns - decision.expires_ns) // 1_000_000}")
        if decision.limits_hash != self.limits_hash:
            return Closed(Reason.LIMITS_CHANGED, f"approved={decision.limits_hash:x} active={self.limits_hash:x}")
        if decision.origin_ns == 0:
            return Closed(Reason.QUOTE_MISSING, "no market event")
        quote_age_ns = now_ns - decision.origin_ns
        if not -QUOTE_AGE_NS_MAX <= quote_age_ns <= QUOTE_AGE_NS_MAX:
            return Closed(Reason.QUOTE_STALE, f"age_ms={quote_age_ns // 1_000_000}")
        return None

    def is_session_over(self, now_ns: int) -> bool:
        """Whether the venue trades no session now, by its own word and our clock since then, as it was last right."""
        if self.clock_health.trouble:
            now_ns = self.clock_health.agreed_ns(clock.monotonic_ns())
        if self.is_venue_open:
            return 0 < self.venue_close_ns <= now_ns
        return not 0 < self.venue_open_ns <= now_ns

    def queues(self, decision: Decision, now_ns: int, replaced: Order | None = None) -> Closed | None:
        """Return whether an order could only wait for the next session: then even a reduction does not leave.

        A replacement that names no time in force has that of the order it replaces.
        """
        time_in_force = decision.time_in_force
        if time_in_force is TimeInForce.NONE and replaced is not None:
            time_in_force = replaced.time_in_force
        if is_crypto_pair(decision.symbol) or decision.is_extended_hours or time_in_force not in ENDS_WITH_SESSION:
            return None
        return Closed(Reason.SESSION_CLOSED, "it could only queue") if self.is_session_over(now_ns) else None

    def halted_since(self, decision: Decision) -> Closed | None:
        """Return whether a protective stop was decided before the kill latch was set: it may come after the proof."""
        if not self.latch.is_set or 0 < self.latched_seq < decision.seq:
            return None
        return Closed(Reason.APPROVAL_STALE, "decided before the kill latch was set")

    def are_stops_placed(self, now_ns: int) -> bool:
        """Whether risk-manager lives and places protective stops: while trading is halted it places none."""
        is_halted = self.latch.is_set or self.state is TradingStateCode.HALTED
        is_heard = "orders" in self.pages and self._closed_by_heartbeat("orders", Reason.RISK_HEARTBEAT, now_ns) is None
        return is_heard and not is_halted

    def _closed_by_lease(self) -> Closed | None:
        return Closed(Reason.LEASE_OVER, "not renewed") if self.lease.is_winding_down else None

    def _closed_by_file(self) -> Closed | None:
        return None if self.latch.is_linked else Closed(Reason.KILL_LATCH, "its file was replaced or removed")

    def _closed_by_release(self) -> Closed | None:
        for name in NEEDED_JOURNALS:
            page = self.pages.get(name)
            if page is None:
                return Closed(Reason.RISK_HEARTBEAT if name == "orders" else Reason.STREAM_DOWN, f"no journal {name}")
            if page.build_hash != self.build_hash or page.config_hash != self.config_hash:
                return Closed(Reason.RELEASE_MIXED, name)
        return None

    def _closed_by_clock(self) -> Closed | None:
        trouble = self.clock_health.trouble
        return Closed(Reason.CLOCK_UNHEALTHY, trouble) if trouble else None

    def _closed_by_peers(self, now_ns: int) -> Closed | None:
        if not self.stream.is_live:
            return Closed(Reason.STREAM_DOWN, "order updates")
        if not self.is_reconcile_fresh or self.reconciled_session != self.stream.session:
            return Closed(Reason.NOT_RECONCILED, f"stream session {self.stream.session}")
        return self._closed_by_heartbeat("orders", Reason.RISK_HEARTBEAT, now_ns) or self._closed_by_heartbeat(
            "market_data", Reason.QUOTE_STALE, now_ns
        )

    def _closed_by_heartbeat(self, name: str, rule: Reason, now_ns: int) -> Closed | None:
        age_ns = now_ns - self.pages[name].heartbeat_ns
        if -HEARTBEAT_AGE_NS_MAX <= age_ns <= HEARTBEAT_AGE_NS_MAX:
            return None
        return Closed(rule, f"heartbeat of {name} age_ms={age_ns // 1_000_000}")

    def _closed_by_session(self, decision: Decision, now_ns: int) -> Closed | None:
        """Nothing may queue for the next session by accident; crypto always trades."""
        if is_crypto_pair(decision.symbol) or decision.is_extended_hours:
            return None
        if decision.time_in_force in (TimeInForce.OPG, TimeInForce.CLS):
            return None
        if self.session_trouble:
            return Closed(Reason.SESSION_CLOSED, self.session_trouble)
        if not self.is_venue_open:
            return Closed(Reason.SESSION_CLOSED, "by the venue's clock")
        if 0 < self.venue_close_ns <= now_ns:
            return Closed(Reason.SESSION_CLOSED, "past the venue's close")
        return None

    def _closed_by_halt(self, decision: Decision) -> Closed | None:
        """A halt that came after the approval is in the journal before anything else knows it."""
        if self.halts is None:
            return Closed(Reason.QUOTE_MISSING, "market data are not followed yet")
        self.halts.catch_up()
        return Closed(Reason.SYMBOL_HALTED, "") if self.halts.is_halted(decision.symbol) else None


def flips(decision: Decision, *, position_e9: int, open_same_side_e9: int) -> Closed | None:
    """Return why a reduction would not only reduce: it must fit into what is held and not yet being closed."""
    is_closing = position_e9 > 0 if decision.side is Side.SELL else position_e9 < 0
    available_e9 = abs(position_e9) - open_same_side_e9 if is_closing else 0
    quantity_e9 = decision.quantity_e9
    if quantity_e9 == 0 and decision.notional_e9 > 0 and decision.order_type is OrderType.MARKET:
        price_e9 = decision.reference_price_e9
        quantity_e9 = decision.notional_e9 * E9 // price_e9 if price_e9 > 0 else abs(position_e9) + 1
    if quantity_e9 > available_e9:
        return Closed(Reason.FLIP_THROUGH_ZERO, f"quantity_e9={quantity_e9} available_e9={available_e9}")
    return None
