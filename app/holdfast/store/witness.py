"""PostgreSQL as the witness of the operators' audit trail: it remembers the hash of each line that it has seen."""

from pathlib import Path

import psycopg

from holdfast import audit, clock, metrics
from holdfast.logs import get_logger
from holdfast.store.connection import StoreConnection

INTERVAL_S = 1.0

log = get_logger()


class AuditWitness:
    """Brings new lines of the trail into the database; a trail that is not the remembered one is told, never copied."""

    def __init__(self, state_dir: Path, connection: StoreConnection) -> None:
        self._state_dir = state_dir
        self._connection = connection
        self._due_s = 0.0
        self._seen: audit.Head | None = None
        self._damage: audit.Damage | None = None

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at the trail's head again."""
        return clock.monotonic_s() >= self._due_s

    def forget(self) -> None:
        """Look at everything again: the database may be another one now."""
        self._seen, self._due_s = None, 0.0

    def look(self) -> None:
        """Store what is new. Raises: RetryLater."""
        self._due_s = clock.monotonic_s() + INTERVAL_S
        head = audit.read_head(self._state_dir)
        if head == self._seen:
            return
        known = self._connection.audit_lines()
        lines = audit.lines(self._state_dir)
        damage = audit.compare(lines, known)
        if damage is None:
            last = max(known, default=0)
            self._connection.add_audit_lines([line for line in lines if line.seq > last])
        if damage is not None and damage != self._damage:
            log.error("audit_trail_differs", detail=str(damage), remembered=len(known))
        self._damage = damage
        metrics.RECORDER_AUDIT_DIFFERS.set(damage is not None)
        self._seen = head


def remembered(dsn: str, *, timeout_s: int) -> dict[int, str]:
    """Return the hash of every line that a database remembers. Raises: psycopg.Error."""
    with psycopg.connect(dsn, connect_timeout=timeout_s, application_name="holdfast-audit") as connection:
        return dict(connection.execute("SELECT seq, hash FROM audit_lines ORDER BY seq").fetchall())
