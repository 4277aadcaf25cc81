"""One connection to PostgreSQL that its thread uses and another thread may abort."""

import contextlib
import os
import socket

import psycopg


class SingleConnection:
    """Holds at most one connection, used by one thread; `abort` may be called from another."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection | None = None

    def close(self) -> None:
        """Close the connection; nothing happens without one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abort(self) -> None:
        """Make a call under way in another thread fail now: the server does not answer."""
        connection = self._connection
        if connection is None:
            return
        with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
