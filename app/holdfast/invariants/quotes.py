"""The quote behind each approved entry, as the risk gate had read the market when it decided."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from holdfast._native import Channel, Consumed, Decision, Gap, IntentAction, Quote, StatusCode, TradingStatus, Verdict
from holdfast.invariants.evidence import Evidence

SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Market:
    """What is known of the market after some records; a gap in quotes lasts until the next quote.

    A quote without an origin was brought by history, to fill a gap: it tells nothing of how things stand now.
    """

    quotes: dict[str, Quote] = field(default_factory=dict)
    halted: set[str] = field(default_factory=set)
    gaps: set[str] = field(default_factory=set)
    is_all_missing: bool = False

    def apply(self, record: object) -> None:
        """Take one record."""
        if isinstance(record, Quote):
            if not record.origin_ns:
                return
            self.quotes[record.symbol] = record
            self.gaps.discard(record.symbol)
        elif isinstance(record, TradingStatus):
            if record.status is StatusCode.HALTED:
                self.halted.add(record.symbol)
            elif record.status is StatusCode.TRADING:
                self.halted.discard(record.symbol)
        elif isinstance(record, Gap) and record.channel in (Channel.QUOTES, Channel.ALL):
            names = [record.symbol] if record.symbol else list(self.quotes)
            for name in names:
                (self.gaps.discard if record.is_repaired else self.gaps.add)(name)

    def fault(self, decision: Decision, age_ns_max: int, true_ns: Callable[[int], int]) -> str:
        """Return why an entry must not rely on the symbol's quote; empty if it may."""
        quote = self.quotes.get(decision.symbol)
        if quote is None:
            return "no quote"
        if decision.symbol in self.halted:
            return "the symbol is halted"
        if decision.symbol in self.gaps:
            return "quotes are missing"
        if quote.bid_price_e9 <= 0 or quote.ask_price_e9 <= 0:
            return f"bid {quote.bid_price_e9}, ask {quote.ask_price_e9}"
        if quote.bid_price_e9 > quote.ask_price_e9:
            return f"crossed: bid {quote.bid_price_e9} above ask {quote.ask_price_e9}"
        age_ns = true_ns(decision.ts_ns) - true_ns(quote.ts_ns)
        return f"the quote is {age_ns / 1e6:.3f} ms old" if age_ns > age_ns_max else ""


def no_entry_on_a_bad_quote(evidence: Evidence) -> Iterator[str]:
    """Every approved entry relies on a fresh, sound quote of a symbol that trades."""
    age_ns_max = min(evidence.limits.as_dict()["quote_age_max_ns"], SECOND_NS) if evidence.limits else SECOND_NS
    market = Market()
    records = iter(evidence.journals["market_data"])
    reached = 0
    consumed = Consumed()
    for decision in evidence.decided:
        if isinstance(decision, Consumed):
            consumed = decision
        if not isinstance(decision, Decision) or not _is_entry(decision):
            continue
        while reached < consumed.market_data_seq and (record := next(records, None)) is not None:
            market.apply(record)
            reached = record.seq
        if fault := market.fault(decision, age_ns_max, evidence.true_ns):
            yield f"orders {decision.seq}: {decision.symbol} approved although {fault}"


def _is_entry(decision: Decision) -> bool:
    is_order = decision.action in (IntentAction.NEW, IntentAction.REPLACE)
    return decision.verdict is Verdict.APPROVED and is_order and not decision.is_reduction
