"""The right to be an account's only sender, held for a time by one execution-engine.

Everything that goes to the venue passes the fence's edge: the deadline is read right before the bytes are written, and
the kernel cuts the connections at it. On one host the right lasts as long as the process; in PostgreSQL it is a lease.

A lease ends, for its holder, so long after its latest renewal was sent, by the holder's own boot clock. Whoever else
wants it must have seen the row unchanged for that time and a margin, by a clock of its own: neither a step of a clock,
nor a server that was restored or lost its data makes two senders. Only a change that is fresh by the server's clock
spares the wait: a release, or a death of this journal's own earlier process, which the journal's lock proves.
"""

import asyncio
import hashlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar, TypeVarTuple

from holdfast import clock, metrics
from holdfast._native import Edge
from holdfast.errors import ConfigError, OperatingError, RetryLater
from holdfast.execution.access import credentials
from holdfast.lease import Lease
from holdfast.logs import get_logger
from holdfast.service import Claim, Host, SendingEdge
from holdfast.settings import Settings

if TYPE_CHECKING:
    from holdfast.store.lease import LeaseRow, LeaseTable

NS_PER_S = 1_000_000_000
FOREVER_NS = 2**62
ENDLESS_S = 1e8
RENEWALS_PER_LEASE = 10
POLL_S_MAX = 1.0
RELEASE_TIMEOUT_S = 1.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")
OnWaiting = Callable[[str], None]

log = get_logger()


class LeaseOver(OperatingError):
    """The right to send is over: the process ends, and starts again as one that waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a lease lasts, how long others wait besides, and how long before its end entries stop."""

    lease_ns: int
    margin_ns: int
    wind_down_ns: int


class Fence(ABC):
    """The right to send, and the edge that ends it. Made and used by the thread that writes to the venue."""

    mode: ClassVar[str]

    def __init__(self, account: str, terms: Terms, edge: SendingEdge) -> None:
        self.account = account
        self.terms = terms
        self.edge = edge
        self.token = 0

    @property
    def left_s(self) -> float:
        """How long the right lasts, seconds; not above 0 without it."""
        return (self.edge.deadline_ns - Edge.now_ns()) / NS_PER_S

    @property
    def is_winding_down(self) -> bool:
        """Whether the end is so near that no entry may leave, and open ones are canceled."""
        return self.edge.deadline_ns - Edge.now_ns() <= self.terms.wind_down_ns

    def lease(self, waiting: str = "") -> Lease:
        """Describe the right for readers; `waiting`: for what."""
        left_s = self.left_s
        state = "waiting" if waiting else "held" if left_s > 0 else "over"
        is_endless = left_s > ENDLESS_S
        until_ns = 0 if is_endless or left_s <= 0 else clock.now_ns() + int(left_s * NS_PER_S)
        return Lease(
            mode=self.mode, account=self.account, state=state, token=self.token, until_ns=until_ns, detail=waiting
        )

    @abstractmethod
    async def acquire(self, on_waiting: OnWaiting) -> None:
        """Return once the right is ours; tell again and again what is waited for."""

    @abstractmethod
    async def keep(self) -> None:
        """Keep the right until cancelled. Raises: LeaseOver."""

    @abstractmethod
    async def release(self) -> None:
        """Cut what is left of the connections, then let the next holder in."""


class HostFence(Fence):
    """One sender on this host: a socket name that the kernel gives to one process and takes back at its death."""

    mode = "host"

    def __init__(self, account: str, terms: Terms, host: Host, *, token: int) -> None:
        super().__init__(account, terms, host.edge())
        self._host = host
        self._token = token
        self._claim: Claim | None = None

    async def acquire(self, on_waiting: OnWaiting) -> None:
        """Wait until no other process of this host holds the account."""
        while (claim := self._host.claim(f"account-{self.account}")) is None:
            on_waiting(f"another execution-engine of this host holds account {self.account}")
            await asyncio.sleep(POLL_S_MAX / 5)
        self._claim = claim
        self.token = self._token
        self.edge.arm(FOREVER_NS)

    async def keep(self) -> None:
        """Wait for ever: the right ends with the process."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Cut the connections and give the name back."""
        self.edge.close()
        if self._claim is not None:
            self._claim.close()


class DatabaseFence(Fence):
    """A lease in PostgreSQL: one sender among all hosts that share the database."""

    mode = "database"

    def __init__(self, table: "LeaseTable", terms: Terms, edge: SendingEdge, *, token_min: int) -> None:
        super().__init__(table.account, terms, edge)
        self._table = table
        self._token_min = token_min
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lease")
        self._renew_s = terms.lease_ns / NS_PER_S / RENEWALS_PER_LEASE
        self._seen: LeaseRow | None = None
        self._seen_since_ns: int | None = None

    async def acquire(self, on_waiting: OnWaiting) -> None:
        """Wait until the lease is free and take it."""
        while True:
            try:
                if await self._try_to_take(on_waiting):
                    return
            except RetryLater as error:
                # What happened meanwhile was not seen: watch anew.
                self._seen_since_ns = None
                on_waiting(str(error))
            await asyncio.sleep(min(self._renew_s, POLL_S_MAX))

    async def keep(self) -> None:
        """Renew until the lease ends. Raises: LeaseOver."""
        while True:
            await asyncio.sleep(max(min(self._renew_s, self.left_s), 0))
            sent_ns = Edge.now_ns()
            if not self.edge.is_open:
                raise LeaseOver(f"the lease of account {self.account} ended: PostgreSQL did not renew it in time")
            try:
                is_ours = await self._call(self._table.renew, self.token)
            except RetryLater as error:
                metrics.LEASE_RENEWALS.labels(outcome="failed").inc()
                log.warning("lease_renewal_failed", detail=str(error), left_s=round(self.left_s, 1))
                continue
            metrics.LEASE_RENEWALS.labels(outcome="renewed" if is_ours else "lost").inc()
            if not is_ours:
                self.edge.close()
                raise LeaseOver(f"the lease of account {self.account} is not ours any more")
            if self.edge.is_open:
                self.edge.arm(sent_ns + self.terms.lease_ns)

    async def release(self) -> None:
        """Cut the connections, then say so in the table; without the table the next holder waits."""
        self.edge.close()
        try:
            if self.token:
                async with asyncio.timeout(RELEASE_TIMEOUT_S):
                    await self._call(self._table.release, self.token)
        except (RetryLater, TimeoutError) as error:
            log.warning("lease_not_released", detail=str(error) or "no answer")
        self._thread.submit(self._table.close)
        self._thread.shutdown(wait=False)

    async def _try_to_take(self, on_waiting: OnWaiting) -> bool:
        row = await self._call(self._table.read)
        now_ns = Edge.now_ns()
        is_same = (row and row.state) == (self._seen and self._seen.state)
        if self._seen_since_ns is None or not is_same:
            self._seen, self._seen_since_ns = row, now_ns
        if not is_free(row, holder=self._table.holder, terms=self.terms, watched_ns=now_ns - self._seen_since_ns):
            who = f"held by {row.holder}" if row and not row.is_released else "not known to be free"
            on_waiting(f"lease of account {self.account}: {who}")
            return False
        sent_ns = Edge.now_ns()
        token = await self._call(
            lambda: self._table.take(
                row, token_min=self._token_min, lease_ns=self.terms.lease_ns, margin_ns=self.terms.margin_ns
            )
        )
        self._seen_since_ns = None
        if token is None:
            return False
        self.token = token
        self.edge.arm(sent_ns + self.terms.lease_ns)
        return self.edge.is_open

    async def _call(self, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Run one statement in the thread; one that does not end within two renewals is aborted."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        timeout_s = max(2 * self._renew_s, 0.5)
        done, _ = await asyncio.wait({running}, timeout=timeout_s)
        if not done:
            self._table.abort()
            running.add_done_callback(_forget)
            raise RetryLater(f"PostgreSQL did not answer within {timeout_s:g} s")
        return running.result()


def is_free(row: "LeaseRow | None", *, holder: str, terms: Terms, watched_ns: int) -> bool:
    """Say whether nobody else can hold a lease whose row was seen unchanged for `watched_ns`.

    `holder` names our journal, whose lock we hold: its earlier process is dead.
    """
    own_ns = terms.lease_ns + terms.margin_ns
    wait_ns = own_ns if row is None else max(own_ns, row.lease_ns + row.margin_ns)
    if row is not None and 0 <= row.age_ns < row.lease_ns + row.margin_ns and (row.is_released or row.holder == holder):
        return True
    return watched_ns >= wait_ns


def account_name(settings: Settings) -> str:
    """Return what stands for the account: as configured, or made of the venue's address and the key."""
    if settings.fencing.account:
        return settings.fencing.account
    key, _ = credentials(settings)
    return hashlib.sha256(f"{settings.venue.trading_url}\n{key}".encode()).hexdigest()[:16]


def holder_name(journal: Path) -> str:
    """Return what one process at a time can call itself: this boot of this host, and the journal it has locked."""
    found = journal.stat()
    return f"{socket.gethostname()}/{BOOT_ID.read_text().strip()}/{found.st_dev:x}:{found.st_ino:x}"


def open_fence(settings: Settings, host: Host, journal: Path, *, epoch: int) -> Fence:
    """Make the fence that the settings ask for; `epoch` is that of our journal and rises with each start.

    Raises: ConfigError without a database.
    """
    own = settings.fencing
    terms = Terms(
        lease_ns=int(own.lease_s * NS_PER_S),
        margin_ns=int(own.margin_s * NS_PER_S),
        wind_down_ns=int(own.wind_down_s * NS_PER_S),
    )
    account = account_name(settings)
    if own.mode == "host":
        return HostFence(account, terms, host, token=epoch)
    if settings.database_url is None:
        raise ConfigError(file="credentials", key="database_url", expected="a database, since fencing.mode is database")
    from holdfast.store.lease import LeaseTable  # noqa: PLC0415 - importing psycopg takes memory

    table = LeaseTable(settings.database_url.get_secret_value(), account=account, holder=holder_name(journal))
    return DatabaseFence(table, terms, host.edge(), token_min=epoch)


def _forget(running: "asyncio.Future[T]") -> None:
    """Take what a call that was given up ended with."""
    if not running.cancelled():
        running.exception()
