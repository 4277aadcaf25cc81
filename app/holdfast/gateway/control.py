"""What operators do: the kill latch first, then the journal `control`, of which this is the only writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import audit, clock
from holdfast._native import JournalFull, JournalName, JournalWriter, KillLatch, Reset, StrategySwitch, Trip
from holdfast.journals import open_latch, open_reader, open_writer
from holdfast.logs import get_logger

if TYPE_CHECKING:
    from holdfast._native import Record
    from holdfast.settings import Settings

REASON_BYTES_MAX = 128
OPERATOR_BYTES_MAX = 32
READ_RECORDS_MAX = 1000

log = get_logger()


def cut(text: str, bytes_max: int) -> str:
    """Return as much of a text as fits, cut at a character: a trip is not refused for a long reason."""
    return text.encode()[:bytes_max].decode(errors="ignore")


class Control:
    """Trips, resets and switches; used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self.latch: KillLatch = open_latch(settings)
        self._state_dir = settings.state_dir
        self._writer: JournalWriter = open_writer(settings, "control")
        self._seen_generation = self._generation_at_start(settings)

    def close(self) -> None:
        """Close the journal."""
        self._writer.close()

    def heartbeat(self) -> None:
        """Say that the writer of `control` lives, and journal what others did to the latch."""
        self._writer.heartbeat(clock.now_ns())
        self.journal_latch()

    def trip(self, operator: str, reason: str) -> tuple[bool, bool]:
        """Stop entries now. Returns whether the latch changed and whether it is journaled: the latch never waits."""
        self.journal_latch()
        now_ns = clock.now_ns()
        has_changed = self.latch.trip(operator, reason, now_ns)
        self._note_change(has_changed=has_changed)
        log.warning("trading_tripped", operator=operator, reason=reason, has_changed=has_changed)
        is_audited = self.audit("trip", operator, reason)
        return has_changed, self._journal(Trip, operator, reason, now_ns) and is_audited

    def reset(self, operator: str, reason: str) -> tuple[bool, bool]:
        """Clear the latch and the circuit breakers. Returns whether the latch changed and whether it is journaled."""
        self.journal_latch()
        now_ns = clock.now_ns()
        has_changed = self.latch.reset(operator, reason, now_ns)
        self._note_change(has_changed=has_changed)
        log.warning("trading_reset", operator=operator, reason=reason, has_changed=has_changed)
        is_audited = self.audit("reset", operator, reason)
        return has_changed, self._journal(Reset, operator, reason, now_ns) and is_audited

    def switch(self, operator: str, reason: str, strategy: str, *, is_enabled: bool) -> bool:
        """Switch a strategy on or off. Returns whether it is journaled: without that it has no effect."""
        now_ns = clock.now_ns()
        log.warning("strategy_switched", operator=operator, strategy=strategy, is_enabled=is_enabled, reason=reason)
        self.audit("strategy_on" if is_enabled else "strategy_off", operator, reason, subject=strategy)
        record = StrategySwitch(
            operator=cut(operator, OPERATOR_BYTES_MAX),
            reason=cut(reason, REASON_BYTES_MAX),
            strategy=strategy,
            ts_event_ns=now_ns,
            is_enabled=int(is_enabled),
        )
        return self.append(record, now_ns) > 0

    def journal_latch(self) -> None:
        """Journal a trip or reset that another process did; nothing happens when there was none."""
        generation = self.latch.generation
        if generation == self._seen_generation:
            return
        kind = Trip if self.latch.is_set else Reset
        operator = self.latch.operator or "unknown"
        reason = self.latch.reason or "the latch page was changed by a script"
        log.warning("latch_changed_elsewhere", is_set=self.latch.is_set, operator=operator, generation=generation)
        if self._journal(kind, operator, reason, self.latch.ts_ns):
            self._seen_generation = generation
            if not self.latch.operator:
                # A command records what it does; a script that only stores a byte does not.
                self.audit(kind.__name__.lower(), operator, reason)

    def audit(
        self,
        action: str,
        operator: str,
        reason: str,
        *,
        subject: str = "",
        approver: str = "",
        detail: str = "",
    ) -> bool:
        """Record an action in the audit trail; False, and said, when it cannot be written."""
        try:
            audit.append(
                self._state_dir,
                action=action,
                operator=operator,
                reason=reason,
                ts_ns=clock.now_ns(),
                subject=subject,
                approver=approver,
                detail=detail or "through the gateway",
            )
        except OSError as error:
            log.exception("audit_trail_not_written", error=str(error))
            return False
        return True

    def _note_change(self, *, has_changed: bool) -> None:
        """Our own change is journaled by its caller; one that came between is journaled here."""
        if has_changed:
            self._seen_generation = self.latch.generation
        else:
            self.journal_latch()

    def _journal(self, kind: type[Trip | Reset], operator: str, reason: str, ts_event_ns: int) -> bool:
        record = kind(
            operator=cut(operator, OPERATOR_BYTES_MAX), reason=cut(reason, REASON_BYTES_MAX), ts_event_ns=ts_event_ns
        )
        return self.append(record, clock.now_ns()) > 0

    def append(self, record: Record, ts_ns: int, *, cause_seq: int = 0) -> int:
        """Journal a record, caused by another of this journal; returns its number, 0 when there is no room."""
        cause = JournalName.CONTROL if cause_seq else JournalName.NONE
        try:
            return self._writer.append(record, ts_ns=ts_ns, cause_journal=cause, cause_seq=cause_seq)
        except JournalFull as error:
            log.exception("control_journal_full", error=str(error))
            return 0

    def _generation_at_start(self, settings: Settings) -> int:
        """Return the latch's generation if its latest change is journaled, else one that never was."""
        if self.latch.generation == 0:
            return 0
        with open_reader(settings, "control", from_seq=0, wait_s=0.0) as reader:
            while records := reader.read(READ_RECORDS_MAX):
                for record in records:
                    if isinstance(record, (Trip, Reset)) and record.ts_event_ns == self.latch.ts_ns:
                        return self.latch.generation
        return -1
