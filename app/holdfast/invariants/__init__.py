"""The safety contract's invariants, each a checker of evidence: the one home of every judge.

`check` compares what the venue wrote down with what our journals say. The demo, the simulation and the campaign
gather the evidence and judge by it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from holdfast.invariants import (
    cancels,
    counters,
    fills,
    gate,
    journals,
    limits,
    market,
    orders,
    protection,
    quotes,
    secrets,
    senders,
    starts,
)
from holdfast.invariants.evidence import BadStart, Closure, Ending, Evidence, GrowingJournals, StoredJournals

__all__ = (
    "CHECKERS",
    "BadStart",
    "Checker",
    "Closure",
    "Ending",
    "Evidence",
    "Finder",
    "GrowingJournals",
    "StoredJournals",
    "Violation",
    "check",
    "holds",
    "verdict",
)

DETAILS_SHOWN_MAX = 5
Finder = Callable[[Evidence], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which an invariant does not hold; `invariant` is its number in the safety contract."""

    invariant: int
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Checker:
    """Looks at evidence for violations of one invariant: yields a detail for each."""

    invariant: int
    find: Finder

    @property
    def name(self) -> str:
        """Return the words for what must hold."""
        return self.find.__name__


CHECKERS = (
    Checker(1, orders.one_order_per_intent),
    Checker(1, orders.no_order_beyond_the_submitted),
    Checker(1, orders.orders_are_as_approved),
    Checker(2, orders.no_order_without_approval),
    Checker(2, limits.every_decision_under_the_active_limits),
    Checker(2, limits.every_limit_change_heard),
    Checker(2, limits.no_limit_loosened_by_one_person),
    Checker(3, gate.no_entry_while_closed),
    Checker(3, gate.no_entry_on_an_old_approval),
    Checker(3, gate.no_entry_arrives_late),
    Checker(3, gate.no_approval_unless_active),
    Checker(3, gate.no_entry_before_reconciled),
    Checker(4, orders.id_remembered_before_the_order),
    Checker(4, orders.no_id_used_twice),
    Checker(5, orders.no_order_unknown),
    Checker(5, orders.nothing_sent_again_unasked),
    Checker(5, orders.every_order_ends_as_at_the_venue),
    Checker(6, fills.every_fill_exactly_once),
    Checker(6, fills.positions_match),
    Checker(6, fills.cash_matches),
    Checker(6, fills.average_prices_match),
    Checker(6, fills.database_has_every_fill),
    Checker(7, fills.events_commute),
    Checker(7, fills.filled_quantity_never_falls),
    Checker(8, limits.limits_hold_in_the_worst_case),
    Checker(8, limits.rates_hold),
    Checker(10, cancels.no_cancel_or_reduction_blocked),
    Checker(10, cancels.no_reduction_flips),
    Checker(10, cancels.every_cancel_reaches_the_venue),
    Checker(10, cancels.no_cancel_of_another_order),
    Checker(10, protection.no_stop_for_more_than_the_position),
    Checker(10, protection.every_position_protected),
    Checker(11, counters.counters_reset_by_session_or_operator),
    Checker(12, quotes.no_entry_on_a_bad_quote),
    Checker(12, market.every_gap_repaired),
    Checker(13, senders.one_sender_at_a_time),
    Checker(14, gate.no_entry_unless_active),
    Checker(15, starts.no_start_on_a_bad_configuration),
    Checker(16, gate.no_order_after_it_expired),
    Checker(16, journals.no_record_missing),
    Checker(16, journals.every_intent_decided_once),
    Checker(16, journals.every_approval_acted_on),
    Checker(16, market.every_quote_journaled),
    Checker(16, market.every_trade_journaled),
    Checker(17, gate.nothing_waits_for_the_next_session),
    Checker(17, orders.no_order_queued_by_accident),
    Checker(17, cancels.strangers_are_left_alone),
    Checker(17, cancels.strangers_are_reported),
    Checker(18, journals.every_operator_named),
    Checker(19, secrets.secrets_stay_in_the_credential_directory),
    Checker(20, gate.active_after_healing),
    Checker(20, journals.replay_gives_the_same_bytes),
)


def check(evidence: Evidence) -> list[Violation]:
    """Return every violation that the evidence shows, at most a few of one kind."""
    found = []
    for checker in CHECKERS:
        for number, detail in enumerate(checker.find(evidence)):
            if number == DETAILS_SHOWN_MAX:
                break
            found.append(Violation(checker.invariant, checker.name, detail))
    return found


def holds(evidence: Evidence) -> bool:
    """Whether `check` would find nothing; ends at the first thing that it would."""
    return not any(True for checker in CHECKERS for _ in checker.find(evidence))


def verdict(evidence: Evidence) -> dict[str, bool]:
    """Return for each checker whether its invariant held."""
    broken = {violation.name for violation in check(evidence)}
    return {checker.name: checker.name not in broken for checker in CHECKERS}
