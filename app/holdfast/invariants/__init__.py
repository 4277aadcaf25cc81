"""The safety contract's invariants, each a checker of evidence: the one home of every judge.

`check` compares what the venue wrote down with what our journals say. The demo, the simulation and the campaign
gather the evidence and judge by it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from holdfast.invariants import fills, market, orders
from holdfast.invariants.evidence import Ending, Evidence, StoredJournals

__all__ = ("CHECKERS", "Checker", "Ending", "Evidence", "StoredJournals", "Violation", "check", "verdict")

DETAILS_SHOWN_MAX = 5


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
    find: Callable[[Evidence], Iterable[str]]

    @property
    def name(self) -> str:
        """Return the words for what must hold."""
        return self.find.__name__


CHECKERS = (
    Checker(1, orders.one_order_per_intent),
    Checker(1, orders.no_order_beyond_the_approved),
    Checker(2, orders.no_order_without_approval),
    Checker(4, orders.id_remembered_before_the_order),
    Checker(5, orders.no_order_unknown),
    Checker(6, fills.every_fill_exactly_once),
    Checker(6, fills.positions_match),
    Checker(6, fills.cash_matches),
    Checker(6, fills.database_has_every_fill),
    Checker(12, market.every_gap_repaired),
    Checker(16, market.every_quote_journaled),
    Checker(16, market.every_trade_journaled),
    Checker(17, orders.no_order_queued_by_accident),
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


def verdict(evidence: Evidence) -> dict[str, bool]:
    """Return for each checker whether its invariant held."""
    broken = {violation.name for violation in check(evidence)}
    return {checker.name: checker.name not in broken for checker in CHECKERS}
