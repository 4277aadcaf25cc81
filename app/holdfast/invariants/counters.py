"""Counters of losses and repetitions: the session's change or a named operator resets them, nothing else does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from holdfast._native import BreakerTripped, Decision, Reason, StrategySwitch, TradingState, TradingStateCode, Verdict
from holdfast.invariants.evidence import Evidence
from holdfast.settings.sessions import load_sessions, open_of_day

DAY_NS = 86_400_000_000_000


@dataclass(slots=True)
class Counters:
    """What the risk gate said of its counters, read from its journal's start.

    `tripped` holds for each breaker that only an operator clears the day and the latch's generation at its trip, `off`
    for each strategy that was switched off when.
    """

    evidence: Evidence
    day: int = 0
    generation: int = 0
    tripped: dict[Reason, tuple[int, int]] = field(default_factory=dict)
    off: dict[str, int] = field(default_factory=dict)

    def take_state(self, record: TradingState) -> Iterator[str]:
        """Take a trading state; yield what it resets without a right to."""
        words = dict(word.partition("=")[::2] for word in record.detail.split(" "))
        day, generation = int(words.get("day") or self.day), int(words.get("generation") or self.generation)
        if day < self.day:
            yield f"orders {record.seq}: session day {day} after {self.day}"
        elif day > self.day and day not in _session_days():
            yield f"orders {record.seq}: session day {day} has no session in New York"
        elif self.evidence.is_venue_of_today and day > self._day_at(record):
            yield f"orders {record.seq}: session day {day} before it began"
        self.day, self.generation = max(day, self.day), generation
        if record.state is TradingStateCode.ACTIVE:
            for rule, at in self.tripped.items():
                if at == (self.day, self.generation):
                    yield f"orders {record.seq}: active again after {rule.label}, and no operator reset it"
            self.tripped.clear()

    def _day_at(self, record: TradingState) -> int:
        return open_of_day(load_sessions(), self.evidence.true_ns(record.ts_ns)) // DAY_NS

    def take_trip(self, record: BreakerTripped) -> None:
        """Take a breaker's trip; one with a time ends by itself."""
        if record.strategy:
            self.off[record.strategy] = record.ts_ns
        elif not record.clears_ns:
            self.tripped[record.rule] = (self.day, self.generation)


def counters_reset_by_session_or_operator(evidence: Evidence) -> Iterator[str]:
    """Neither a restart nor a clock takes back a session's counters, a tripped breaker or a strategy's switch."""
    counters = Counters(evidence)
    switches = [record for record in evidence.journals["control"] if isinstance(record, StrategySwitch)]
    for record in evidence.decided:
        if isinstance(record, TradingState):
            yield from counters.take_state(record)
        elif isinstance(record, BreakerTripped):
            counters.take_trip(record)
        elif isinstance(record, Decision) and record.strategy in counters.off and _is_approved_entry(record):
            off_ns = counters.off.pop(record.strategy)
            if not any(_is_on(switch, record.strategy, off_ns, record.ts_ns) for switch in switches):
                yield f"orders {record.seq}: {record.strategy} enters again, and no operator switched it on"


def _is_on(switch: StrategySwitch, strategy: str, from_ns: int, to_ns: int) -> bool:
    is_meant = switch.strategy == strategy and bool(switch.is_enabled) and bool(switch.operator)
    return is_meant and from_ns <= switch.ts_ns <= to_ns


def _is_approved_entry(decision: Decision) -> bool:
    is_order = decision.action.label in {"new", "replace"}
    return decision.verdict is Verdict.APPROVED and is_order and not decision.is_reduction


@cache
def _session_days() -> frozenset[int]:
    return frozenset(open_ns // DAY_NS for open_ns, _ in load_sessions())
