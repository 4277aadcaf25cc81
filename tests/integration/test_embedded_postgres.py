"""The demo's and the tests' own PostgreSQL comes back after its death, as soon as what it left is gone."""

import os
import select
import signal

import psycopg
import pytest

from holdfast.errors import OperatingError
from holdfast.store.embedded import EmbeddedPostgres
from patience import PATIENCE_S


def test_a_process_that_outlives_its_server_is_told_as_the_reason_and_then_in_nobodys_way() -> None:
    with EmbeddedPostgres(is_durable=False) as server:
        connection = psycopg.connect(server.dsn())
        left = connection.info.backend_pid
        ended = os.pidfd_open(left)
        os.kill(left, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGKILL)
        try:
            while server.is_running:
                os.sched_yield()
            with pytest.raises(OperatingError, match="did not start"):
                server.start()
        finally:
            os.kill(left, signal.SIGKILL)
            connection.close()
            # Readable once it ended.
            select.select([ended], [], [], PATIENCE_S)
            os.close(ended)
        server.start()
        with psycopg.connect(server.dsn()) as again:
            assert again.execute("SELECT 1").fetchone() == (1,)
