"""PostgreSQL as the witness of the operators' audit trail: it remembers the hash of each line that it has seen."""

from pathlib import Path

import psycopg

from holdfast import audit, clock, metrics
from holdfast.logs import get_logger
from holdfast.store.connection import StoreConnection

INTERVAL_S = 1.0
# In between only what is new is read; it must follow what was seen by number and hash.
WHOLE_INTERVAL_S = 3600.0

log = get_logger()


class AuditWitness:
    """Brings new lines of the trail into the database; a trail that is not the remembered one is told, never copied."""

    def __init__(self, state_dir: Path, connection: StoreConnection) -> None:
        self._state_dir = state_dir
        self._connection = connection
        self._due_s = 0.0
        self._whole_due_s = 0.0
        self._seen: audit.Head | None = None
        self._end: audit.Head | None = None
        self._damage: audit.Damage | None = None

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at the trail's head again."""
        return clock.monotonic_s() >= self._due_s

    def forget(self) -> None:
        """Look at everything again: the database may be another one now."""
        self._seen, self._end, self._due_s = None, None, 0.0

    def look(self) -> None:
        """Store what is new. Raises: RetryLater."""
        now_s = clock.monotonic_s()
        self._due_s = now_s + INTERVAL_S
        head = audit.read_head(self._state_dir)
        is_whole_due = now_s >= self._whole_due_s
        if head == self._seen and not is_whole_due:
            return
        if is_whole_due or not self._take_new():
            self._whole_due_s = now_s + WHOLE_INTERVAL_S
            self._compare_all()
        self._seen = head

    def _take_new(self) -> bool:
        """Store the lines that follow those seen; False when they do not, or nothing whole was seen yet."""
        fresh = audit.lines_after(self._state_dir, self._end) if self._end is not None else None
        if fresh is None:
            return False
        self._store(fresh)
        return True

    def _compare_all(self) -> None:
        """Hold the whole trail against everything that is remembered."""
        known = self._connection.audit_lines()
        lines = audit.lines(self._state_dir)
        damage = audit.compare(lines, known)
        self._end = None
        if damage is None:
            last = max(known, default=0)
            self._store([line for line in lines if line.seq > last])
            self._end = audit.Head(lines[-1].seq, lines[-1].end, lines[-1].hash) if lines else audit.Head()
        elif damage != self._damage:
            log.error("audit_trail_differs", detail=str(damage), remembered=len(known))
        self._damage = damage
        metrics.RECORDER_AUDIT_DIFFERS.set(damage is not None)

    def _store(self, lines: list[audit.Line]) -> None:
        if lines:
            self._connection.add_audit_lines(lines)
            self._end = audit.Head(lines[-1].seq, lines[-1].end, lines[-1].hash)


def remembered(dsn: str, *, timeout_s: int) -> dict[int, str]:
    """Return the hash of every line that a database remembers. Raises: psycopg.Error."""
    with psycopg.connect(dsn, connect_timeout=timeout_s, application_name="holdfast-audit") as connection:
        return dict(connection.execute("SELECT seq, hash FROM audit_lines ORDER BY seq").fetchall())
