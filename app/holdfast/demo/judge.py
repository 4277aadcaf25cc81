"""The verdict on a demo: our journals against the venue's own ledger."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from holdfast.demo.account import Account
from holdfast.venues.simulated.ledger import Ledger

CASH_TOLERANCE_E9 = 10**7
"""0.01 USD: SAFETY's invariant 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether each invariant held; `ok` when all did."""

    invariants: dict[str, bool]

    @property
    def ok(self) -> bool:
        """Return whether every invariant held."""
        return all(self.invariants.values())


def judge(account: Account, ledger: Ledger, *, rows: dict[str, int], venue: dict[str, Any]) -> Verdict:
    """Compare what we believe with what the venue wrote down.

    `rows` counts PostgreSQL's rows by table; `venue` holds the venue's counters.
    """
    ours = {order for order in ledger.orders() if order.startswith("hf-")}
    intents = Counter(account.approved[order] for order in ours if order in account.approved)
    market = account.market_data
    return Verdict(
        invariants={
            "one_order_per_intent": all(count == 1 for count in intents.values()),
            "no_order_without_approval": ours <= account.approved.keys(),
            "id_remembered_before_the_order": ours <= account.submissions.keys(),
            "every_fill_exactly_once": ledger.fills().keys() == account.fills.keys() and account.fills_repeated == 0,
            "positions_match": ledger.positions_e9() == account.positions_e9(),
            "cash_matches": abs(ledger.cash_e9() - account.cash_e9()) <= CASH_TOLERANCE_E9,
            "no_order_unknown": account.unknown == 0,
            "every_gap_repaired": market["gaps"] == account.gaps_repaired,
            # A market without an end goes on while the services stop; only a session that is over can be compared.
            "every_quote_journaled": not venue.get("is_done") or market["quotes"] == venue.get("quotes_sent"),
            "every_trade_journaled": not venue.get("is_done") or market["trades"] == venue.get("trades_sent"),
            "database_has_every_fill": rows.get("fills") == len(account.fills),
        },
    )
