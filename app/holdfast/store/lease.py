"""The table of account leases in PostgreSQL: read, take, renew, release. Blocking; for one thread."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from holdfast.errors import RetryLater
from holdfast.store.single import SingleConnection

TIMEOUT_S = 2

_READ = """
SELECT token, holder, renewals, lease_ns, margin_ns, is_released,
    (extract(epoch FROM clock_timestamp() - changed_at) * 1e9)::bigint
FROM account_leases WHERE account = %s
"""
# Taken only from the very state that was seen: whoever renewed or took it since then is not pushed aside.
_TAKE = """
INSERT INTO account_leases (account, token, holder, renewals, lease_ns, margin_ns, is_released, changed_at)
VALUES (%(account)s, %(token)s, %(holder)s, 0, %(lease_ns)s, %(margin_ns)s, FALSE, clock_timestamp())
ON CONFLICT (account) DO UPDATE SET token = GREATEST(account_leases.token + 1, EXCLUDED.token),
    holder = EXCLUDED.holder, renewals = 0, lease_ns = EXCLUDED.lease_ns, margin_ns = EXCLUDED.margin_ns,
    is_released = FALSE, changed_at = clock_timestamp()
WHERE (account_leases.token, account_leases.renewals, account_leases.is_released)
    = (%(seen_token)s, %(seen_renewals)s, %(seen_is_released)s)
RETURNING token
"""
_CHANGE = """
UPDATE account_leases SET renewals = renewals + 1, is_released = %s, changed_at = clock_timestamp()
WHERE account = %s AND token = %s AND holder = %s AND NOT is_released
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """A lease as the table has it; `age_ns` since its last change by the server's clock, which may step."""

    token: int
    holder: str
    renewals: int
    lease_ns: int
    margin_ns: int
    is_released: bool
    age_ns: int

    @property
    def state(self) -> tuple[int, int, bool]:
        """Return what differs after each renewal, release and change of the holder."""
        return (self.token, self.renewals, self.is_released)


class LeaseTable(SingleConnection):
    """One account's row, by a connection that is opened when needed.

    Raises, each call: RetryLater when it is not proven to have happened; the row says what did.
    """

    def __init__(self, dsn: str, *, account: str, holder: str) -> None:
        super().__init__(dsn)
        self.account = account
        self.holder = holder

    def read(self) -> LeaseRow | None:
        """Return the row, or None before anybody held the account."""
        with self._connected() as connection:
            row = connection.execute(_READ, [self.account]).fetchone()
        if row is None:
            return None
        token, holder, renewals, lease_ns, margin_ns, is_released, age_ns = row
        return LeaseRow(
            token=token,
            holder=holder,
            renewals=renewals,
            lease_ns=lease_ns,
            margin_ns=margin_ns,
            is_released=is_released,
            age_ns=age_ns,
        )

    def take(self, seen: LeaseRow | None, *, token_min: int, lease_ns: int, margin_ns: int) -> int | None:
        """Become the holder if the row is still as seen; returns the token, above every earlier one."""
        token, renewals, is_released = seen.state if seen is not None else (-1, -1, False)
        values = {
            "account": self.account,
            "holder": self.holder,
            "token": token_min,
            "lease_ns": lease_ns,
            "margin_ns": margin_ns,
            "seen_token": token,
            "seen_renewals": renewals,
            "seen_is_released": is_released,
        }
        with self._connected() as connection:
            row = connection.execute(_TAKE, values).fetchone()
        return None if row is None else int(row[0])

    def renew(self, token: int) -> bool:
        """Say that the holder lives; False when the lease is not this holder's any more."""
        return self._change(token, is_released=False)

    def release(self, token: int) -> bool:
        """Give the lease back: the next holder need not wait."""
        return self._change(token, is_released=True)

    def _change(self, token: int, *, is_released: bool) -> bool:
        with self._connected() as connection:
            cursor = connection.execute(_CHANGE, [is_released, self.account, token, self.holder])
        return cursor.rowcount == 1

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._dsn,
                    autocommit=True,
                    connect_timeout=TIMEOUT_S,
                    tcp_user_timeout=TIMEOUT_S * 1000,
                    application_name="holdfast-execution-engine",
                )
                # A lease that a crash of the server forgets would have two holders.
                self._connection.execute("SET synchronous_commit = on")
            yield self._connection
        except psycopg.errors.UndefinedTable:
            self.close()
            raise RetryLater("no table account_leases: the recorder's migration has not run") from None
        except psycopg.Error as error:
            self.close()
            raise RetryLater(f"PostgreSQL: {str(error).strip() or type(error).__name__}") from None
