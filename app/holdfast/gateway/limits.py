"""Operators' changes of risk limits: tightening at once, loosening by two people and for at most a day.

A proposal, its approval (a LimitChange) and its withdrawal are records of `control`, each caused by the proposal; what
is in force follows from them by the same native book that the risk gate has, so that both agree after any restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast import clock
from holdfast._native import LimitChange, LimitProposal, LimitWithdrawal
from holdfast.gateway.control import OPERATOR_BYTES_MAX, REASON_BYTES_MAX, Control, cut
from holdfast.gateway.limit_view import LimitView, to_e9
from holdfast.gateway.refusal import Refusal
from holdfast.settings.risk_limits import E9, Native, limit_keys

if TYPE_CHECKING:
    from decimal import Decimal

    from holdfast._native import Record

PROPOSALS_MAX = 32
SECOND = "second person"


@dataclass(slots=True)
class Limits:
    """Changes limits in the name of operators; used by one thread."""

    view: LimitView
    control: Control

    def propose(self, operator: str, reason: str, key: str, value: Decimal, duration_s: int) -> int:
        """Tighten a limit at once, or propose to loosen it; returns the proposal's number, 0 when it is in force.

        Raises: Refusal.
        """
        native = native_of(key)
        new_e9 = _new_e9(native, key, value)
        now_ns = clock.now_ns()
        is_loosening = self._is_loosening(native, new_e9)
        change = LimitChange(
            operator=cut(operator, OPERATOR_BYTES_MAX),
            approver=SECOND if is_loosening else "",
            reason=cut(reason, REASON_BYTES_MAX),
            key=native.name,
            old_e9=to_e9(native.name, self.view.book.in_force.as_dict()[native.name]),
            new_e9=new_e9,
            expires_ns=self._expires_ns(native, new_e9, now_ns, duration_s),
            ts_event_ns=now_ns,
        )
        self._refuse(change)
        if not is_loosening:
            self._append(change, now_ns)
            self.control.audit("limit_tighten", operator, reason, subject=key, detail=described(change))
            return 0
        if len(self.view.proposals()) >= PROPOSALS_MAX:
            raise Refusal(409, "too_many_proposals", f"{PROPOSALS_MAX} proposals wait: approve or withdraw some")
        facts = {name: getattr(change, name) for name in LimitProposal.FIELDS}
        seq = self._append(LimitProposal(**facts), now_ns)
        self.control.audit("limit_propose", operator, reason, subject=key, detail=described(change))
        return seq

    def approve(self, seq: int, approver: str, reason: str) -> LimitChange:
        """Put a proposal in force as the second person. Raises: Refusal."""
        proposal = self._find(seq)
        if approver == proposal.operator:
            raise Refusal(403, "same_person", f"{approver} proposed it: another person must approve")
        now_ns = clock.now_ns()
        old_e9 = to_e9(proposal.key, self.view.in_force().as_dict()[proposal.key])
        facts = {name: getattr(proposal, name) for name in LimitProposal.FIELDS} | {"old_e9": old_e9}
        change = LimitChange(**(facts | {"approver": cut(approver, OPERATOR_BYTES_MAX), "ts_event_ns": now_ns}))
        self._refuse(change)
        # What loosens needs its record first.
        if not self.control.audit(
            "limit_approve", proposal.operator, reason, subject=change.key, approver=approver, detail=described(change)
        ):
            raise Refusal(503, "not_audited", "the audit trail cannot be written: free disk space")
        self._append(change, now_ns, cause_seq=seq)
        return change

    def withdraw(self, seq: int, operator: str, reason: str) -> str:
        """Take a proposal off the table; returns the limit's native name. Raises: Refusal."""
        proposal = self._find(seq)
        now_ns = clock.now_ns()
        record = LimitWithdrawal(
            operator=cut(operator, OPERATOR_BYTES_MAX),
            reason=cut(reason, REASON_BYTES_MAX),
            key=proposal.key,
            ts_event_ns=now_ns,
        )
        self._append(record, now_ns, cause_seq=seq)
        self.control.audit("limit_withdraw", operator, reason, subject=proposal.key, detail=f"proposal {seq}")
        return proposal.key

    def _is_loosening(self, native: Native, new_e9: int) -> bool:
        self.view.book.expire(clock.now_ns())
        return bool(self.view.book.is_loosening(native.name, new_e9))

    def _expires_ns(self, native: Native, new_e9: int, now_ns: int, duration_s: int) -> int:
        if duration_s:
            return now_ns + duration_s * E9
        if not self.view.book.is_beyond_configured(native.name, new_e9) or self.view.book.is_loosening(
            native.name, new_e9
        ):
            return 0
        # A part of a loosening taken back ends when all of it would.
        return next((expires_ns for name, _, expires_ns in self.view.book.changes() if name == native.name), 0)

    def _refuse(self, change: LimitChange) -> None:
        refusal = self.view.book.refusal(change)
        if refusal is not None:
            raise Refusal(422, "invalid", f"{change.key}: {refusal}")

    def _find(self, seq: int) -> LimitProposal:
        proposal = self.view.proposals().get(seq)
        if proposal is None:
            raise Refusal(404, "not_found", f"no proposal {seq} waits: approved, withdrawn or lapsed")
        return proposal

    def _append(self, record: Record, ts_ns: int, *, cause_seq: int = 0) -> int:
        seq = self.control.append(record, ts_ns, cause_seq=cause_seq)
        if not seq:
            raise Refusal(503, "journal_full", "no room in the journal control: free disk space")
        self.view.apply(record, seq=seq, ts_ns=ts_ns, cause_seq=cause_seq)
        return seq


def native_of(key: str) -> Native:
    """Return the native limit of a key of risk_limits.toml. Raises: Refusal."""
    native = limit_keys().get(key)
    if native is None:
        raise Refusal(404, "not_found", f"no limit {key}: see the keys of risk_limits.toml")
    return native


def described(record: LimitProposal | LimitChange) -> str:
    """Return what a change does, for the audit trail."""
    return f"old_e9={record.old_e9} new_e9={record.new_e9} expires_ns={record.expires_ns}"


def _new_e9(native: Native, key: str, value: Decimal) -> int:
    scaled = value * native.scale
    if not value.is_finite() or scaled != int(scaled) or not 0 < scaled < 2**63:
        raise Refusal(422, "invalid", f"{key}: expected a number above 0 in whole units of {native.name}, not {value}")
    new_e9 = to_e9(native.name, int(scaled))
    if new_e9 >= 2**63:
        raise Refusal(422, "invalid", f"{key}: {value} is out of every bound")
    return new_e9
