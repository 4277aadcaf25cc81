"""A private PostgreSQL made of the system's own server binaries: for the demo and the tests."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

import psycopg

from holdfast import clock
from holdfast.errors import OperatingError

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
CONNECT_INTERVAL_S = 0.02
CONNECTIONS_MAX = 20
ROLE = "holdfast"
DATABASE = "holdfast"
DEBIAN_ROOT = Path("/usr/lib/postgresql")

SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "10s",
    "jit": "off",
    "log_min_messages": "warning",
}
UNSAFE_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


def find_binaries() -> Path:
    """Return the directory of the PostgreSQL server's programs: what PATH leads to, else Debian's newest.

    Raises: OperatingError naming the package to install.
    """
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(DEBIAN_ROOT.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    if found:
        return found[0].parent
    raise OperatingError(
        f"no PostgreSQL server in {DEBIAN_ROOT}/*/bin or PATH: install the Debian package postgresql "
        "(apt-get install postgresql)"
    )


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: tuple[int, ...]


class EmbeddedPostgres:
    """One server on a Unix socket in a directory of its own, run by an unprivileged user.

    A context manager. `kill` is SIGKILL to every process of it; `start` recovers on the same files.
    `is_durable=False` turns fsync off: for tests only.
    """

    def __init__(
        self, directory: Path | None = None, *, is_durable: bool = True, connections_max: int = CONNECTIONS_MAX
    ) -> None:
        self._is_own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="holdfast-postgres-"))
        self._binaries = find_binaries()
        self._is_durable = is_durable
        self._connections_max = connections_max
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = self._unprivileged_user()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._owner is not None:
            os.chown(self.directory, self._owner.pw_uid, self._owner.pw_gid)

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server's first process lives."""
        return self._process is not None and self._process.poll() is None

    def dsn(self, database: str = DATABASE) -> str:
        """Return the connection string of a database."""
        return f"postgresql://{ROLE}@/{database}?host={self.directory}"

    def start(self) -> None:
        """Start the server, creating its files the first time, and wait until it answers; also after its death.

        Raises: OperatingError with the server's own words when it does not come up.
        """
        assert not self.is_running, "already started"
        if not (self.directory / "data" / "PG_VERSION").exists():
            self._initialise()
        settings = SERVER_SETTINGS | ({} if self._is_durable else UNSAFE_SETTINGS)
        settings |= {"max_connections": str(self._connections_max)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command: list[str | Path] = [
            self._binaries / "postgres",
            "-D",
            self.directory / "data",
            "-k",
            self.directory,
            *options,
        ]
        with (self.directory / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, cwd=self.directory, **self._identity()
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server as a host's shutdown does; nothing happens when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process = process
            self.kill()

    def kill(self) -> None:
        """End every process of the server by SIGKILL, as a power cut of the database would."""
        process, self._process = self._process, None
        if process is None:
            return
        children: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        process.wait(STOP_TIMEOUT_S)

    def remove(self) -> None:
        """Stop the server and delete its files, if the directory was made by this object."""
        self.stop()
        if self._is_own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    @staticmethod
    def _unprivileged_user() -> pwd.struct_passwd | None:
        """Return who runs the server when we are root, which it refuses."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise OperatingError("PostgreSQL refuses to run as root and there is no user postgres: create one")

    def _identity(self) -> _Identity:
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": ()}

    def _initialise(self) -> None:
        command = [
            self._binaries / "initdb",
            *("-D", self.directory / "data", "-U", ROLE, "--auth=trust", "--encoding=UTF8", "--no-locale"),
            *(() if self._is_durable else ("--no-sync",)),
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
            cwd=self.directory,
            **self._identity(),
        )
        if done.returncode != 0:
            raise OperatingError(f"initdb failed in {self.directory}: {done.stderr.strip()}")

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline_s = clock.monotonic_s() + START_TIMEOUT_S
        while clock.monotonic_s() < deadline_s:
            with contextlib.suppress(psycopg.OperationalError):
                self._create_database()
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CONNECT_INTERVAL_S)
                break
        log = (self.directory / "server.log").read_text(errors="replace")[-2000:]
        self.kill()
        raise OperatingError(f"PostgreSQL did not start in {self.directory}: {log}")

    def _create_database(self) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True, connect_timeout=5) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
