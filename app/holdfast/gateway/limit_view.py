"""What is in force of the risk limits and what is proposed, as it follows from the journal `control`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast import clock
from holdfast._native import (
    LOOSENED_NS_MAX,
    LimitBook,
    LimitChange,
    LimitProposal,
    LimitWithdrawal,
    RiskLimits,
)
from holdfast.gateway import schemas
from holdfast.journals import open_reader
from holdfast.settings.risk_limits import E9, Native, limit_keys

if TYPE_CHECKING:
    from holdfast._native import Record
    from holdfast.settings import Settings

READ_RECORDS_MAX = 1000


@dataclass(slots=True)
class LimitView:
    """The book of the limits, and the proposals that wait for a second person; used by one thread."""

    configured: RiskLimits
    book: LimitBook = field(init=False)
    _proposals: dict[int, LimitProposal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with what is configured."""
        self.book = LimitBook(self.configured)

    def read(self, settings: Settings) -> None:
        """Take what `control` says. Raises: JournalMissing."""
        with open_reader(settings, "control", from_seq=0, wait_s=0) as reader:
            while records := reader.read(READ_RECORDS_MAX):
                for record in records:
                    self.apply(record, seq=record.seq, ts_ns=record.ts_ns, cause_seq=record.cause_seq)

    def apply(self, record: Record, *, seq: int, ts_ns: int, cause_seq: int) -> None:
        """Take one record with what its header says."""
        if isinstance(record, LimitProposal):
            self._proposals[seq] = record
        elif isinstance(record, LimitWithdrawal):
            self._proposals.pop(cause_seq, None)
        elif isinstance(record, LimitChange):
            self._proposals.pop(cause_seq, None)
            # What had expired by then had ended: as in the gate, which steps at the end of each change.
            self.book.expire(ts_ns)
            self.book.apply(record)

    def in_force(self) -> RiskLimits:
        """Return the limits in force now."""
        self.book.expire(clock.now_ns())
        return self.book.in_force

    def proposals(self) -> dict[int, LimitProposal]:
        """Return what waits for a second person by number, the oldest first."""
        now_ns = clock.now_ns()
        self._proposals = {seq: found for seq, found in self._proposals.items() if lapses_ns(found) > now_ns}
        return self._proposals

    def body(self) -> schemas.LimitsBody:
        """Describe every limit by its key in risk_limits.toml, and what is proposed."""
        in_force = self.in_force()
        now, configured, bounds = in_force.as_dict(), self.configured.as_dict(), RiskLimits.bounds()
        ends_ns = {name: expires_ns for name, _, expires_ns in self.book.changes()}
        rows = [
            schemas.LimitBody(
                key=key,
                value=_text(native, now[native.name]),
                configured=_text(native, configured[native.name]),
                least=_text(native, bounds[native.name][0]),
                greatest=_text(native, bounds[native.name][1]),
                expires_at=schemas.stamp(ends_ns.get(native.name, 0)),
            )
            for key, native in limit_keys().items()
        ]
        proposals = [self._proposal_body(seq, proposal) for seq, proposal in self.proposals().items()]
        return schemas.LimitsBody(limits_hash=f"{in_force.hash:016x}", limits=rows, proposals=proposals)

    def _proposal_body(self, seq: int, proposal: LimitProposal) -> schemas.ProposalBody:
        key = key_of(proposal.key)
        native = limit_keys()[key]
        return schemas.ProposalBody(
            seq=seq,
            key=key,
            value=_text(native, proposal.new_e9 // to_e9(native.name, 1)),
            in_force=_text(native, self.book.in_force.as_dict()[native.name]),
            operator=proposal.operator,
            reason=proposal.reason,
            proposed_at=schemas.stamp(proposal.ts_event_ns),
            expires_at=schemas.stamp(proposal.expires_ns),
            lapses_at=schemas.stamp(lapses_ns(proposal)),
        )


def lapses_ns(proposal: LimitProposal) -> int:
    """Return when a proposal can no longer be approved, ns UTC."""
    return proposal.expires_ns or proposal.ts_event_ns + LOOSENED_NS_MAX


def key_of(name: str) -> str:
    """Return the key of risk_limits.toml that sets a native limit."""
    return next(key for key, native in limit_keys().items() if native.name == name)


def to_e9(name: str, value: int) -> int:
    """Return a limit's value as records have it: counts times 1e9, the rest as it is."""
    return value if name.endswith(("_e9", "_ns")) else value * E9


def _text(native: Native, value: int) -> str:
    """Return a native value in the unit of its key in risk_limits.toml, cut at 1e-9."""
    return schemas.decimal_text(value * E9 // native.scale)
