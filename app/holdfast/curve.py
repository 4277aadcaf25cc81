"""CURVE keys, the clients that may connect, and sockets that fail closed.

CURVE alone encrypts and lets any key in. A bound socket of ours has a ZAP domain of its own and enforces it, so that
without a handler, or with a frozen one, nobody gets through.
"""

import fcntl
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import structlog
import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.utils import z85

from holdfast._native import JournalName
from holdfast.errors import ConfigError

ALLOWED_FILE = "allowed.json"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,30}")
JOURNALS = tuple(name.label for name in JournalName.values() if name)
KEY_CHARACTERS = 40
MESSAGE_BYTES_MAX = 1024 * 1024
HEARTBEAT_INTERVAL_MS = 1_000
HEARTBEAT_TIMEOUT_MS = 3_000
HANDSHAKE_TIMEOUT_MS = 5_000
RECONNECT_MS = 50
RECONNECT_MS_MAX = 2_000
QUEUED_MESSAGES_MAX = 64

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair, Z85 text; the secret half is never shown."""

    public: bytes
    secret: bytes = field(repr=False)


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client that may connect: its key and the journals its role lets it read."""

    public_key: str
    journals: list[str]


def generate(directory: Path, name: str) -> KeyPair:
    """Make the pair NAME.secret (mode 0600) and NAME.public.

    Raises: ConfigError when the name is unfit or the pair exists already.
    """
    _check_name(directory, name)
    public, secret = _pair()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for suffix, mode, key in (("secret", 0o600, secret), ("public", 0o644, public)):
        path = directory / f"{name}.{suffix}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise ConfigError(file=path, key="", expected="no key yet (remove it first to replace it)") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(key + b"\n")
    return KeyPair(public, secret)


def _pair() -> tuple[bytes, bytes]:
    """Make a pair whose public key a command line takes: one in 85 begins with a dash, as options do."""
    while True:
        public, secret = zmq.curve_keypair()
        if not public.startswith(b"-"):
            return public, secret


def load_pair(directory: Path, name: str) -> KeyPair:
    """Read a key pair; a systemd credential `NAME.secret` comes first.

    Raises: ConfigError when the secret is missing, malformed or readable by others.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    path = directory / f"{name}.secret"
    if credentials and (Path(credentials) / path.name).exists():
        path = Path(credentials) / path.name
    elif path.exists() and path.stat().st_mode & 0o077:
        raise ConfigError(file=path, key="", expected="mode 0600", found=f"{path.stat().st_mode & 0o777:04o}")
    secret = _read_key(path, f"a secret key (make it with `holdfast keys generate {name}`)")
    return KeyPair(zmq.curve_public(secret), secret)


def load_public(directory: Path, name: str) -> str:
    """Read the public key of a pair."""
    return _read_key(directory / f"{name}.public", f"a public key (`holdfast keys generate {name}`)").decode()


def load_allowed(directory: Path) -> dict[str, Client]:
    """Read the allowed clients by name; without the file there are none."""
    path = directory / ALLOWED_FILE
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Client])
    except msgspec.MsgspecError as error:
        raise ConfigError(file=path, key="", expected="clients by name", found=str(error)) from None


def allow(directory: Path, name: str, client: Client) -> None:
    """Add a client to the allowed ones, or change its key and journals.

    Raises: ConfigError for an unfit name, key or a key that another client has.
    """
    _check_name(directory, name)
    check_key(client.public_key, directory / ALLOWED_FILE, name)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / ALLOWED_FILE
    with (directory / "allowed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        allowed = load_allowed(directory)
        holder = next((other for other, one in allowed.items() if one.public_key == client.public_key), name)
        if holder != name:
            raise ConfigError(file=path, key=name, expected="a key of its own", found=f"the key of {holder}")
        allowed[name] = client
        staging = path.with_suffix(".new")
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(msgspec.to_builtins(allowed), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        staging.rename(path)


def check_key(key: str, file: Path, where: str) -> None:
    """Refuse what is no Z85 key: ConfigError naming `file` and `where`."""
    try:
        is_fit = len(key) == KEY_CHARACTERS and len(z85.decode(key)) == 32
    except Exception:  # noqa: BLE001 - the decoder raises whatever its arithmetic raises
        is_fit = False
    if not is_fit:
        raise ConfigError(file=file, key=where, expected="a CURVE public key of 40 Z85 characters")


def _read_key(path: Path, expected: str) -> bytes:
    try:
        key = path.read_bytes().strip()
    except FileNotFoundError:
        raise ConfigError(file=path, key="", expected=expected, found="no such file") from None
    if len(key) != KEY_CHARACTERS:
        raise ConfigError(file=path, key="", expected=expected, found=f"{len(key)} characters")
    return key


def _check_name(directory: Path, name: str) -> None:
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(file=directory, key=name, expected="lower-case letters, digits and hyphens")


class Gatekeeper(AsyncioAuthenticator):
    """The ZAP handler: lets in the allowed keys and binds each to its name, which messages then carry as User-Id."""

    def __init__(self, context: zmq.asyncio.Context, directory: Path) -> None:
        super().__init__(context)
        self._directory = directory
        self._names: dict[bytes, str] = {}
        self.refused_count = 0

    def callback(self, _domain: str, key: bytes) -> bool:
        """Say whether a client key (Z85) may connect; reads the file anew, so that a removed key is out at once."""
        try:
            self._names = {one.public_key.encode(): name for name, one in load_allowed(self._directory).items()}
        except ConfigError as error:
            self._names = {}
            log.error("allowed_clients_unreadable", reason=str(error))  # noqa: TRY400 - the reason says it all
        is_allowed = key in self._names
        self.refused_count += not is_allowed
        return is_allowed

    def curve_user_id(self, client_public_key: bytes) -> str:
        """Return the name of an allowed client."""
        return self._names.get(z85.encode(client_public_key), "")

    def serve(self, domain: str) -> None:
        """Answer for sockets of this ZAP domain."""
        self.configure_curve_callback(domain, credentials_provider=self)


def _harden(socket: zmq.asyncio.Socket) -> None:
    options: dict[int, int] = {
        zmq.MAXMSGSIZE: MESSAGE_BYTES_MAX,
        zmq.HEARTBEAT_IVL: HEARTBEAT_INTERVAL_MS,
        zmq.HEARTBEAT_TIMEOUT: HEARTBEAT_TIMEOUT_MS,
        zmq.HEARTBEAT_TTL: HEARTBEAT_TIMEOUT_MS,
        zmq.HANDSHAKE_IVL: HANDSHAKE_TIMEOUT_MS,
        zmq.RECONNECT_IVL: RECONNECT_MS,
        zmq.RECONNECT_IVL_MAX: RECONNECT_MS_MAX,
        zmq.LINGER: 0,
        zmq.IMMEDIATE: 1,
        zmq.SNDHWM: QUEUED_MESSAGES_MAX,
        zmq.RCVHWM: QUEUED_MESSAGES_MAX,
    }
    for option, value in options.items():
        socket.setsockopt(option, value)


def server_socket(context: zmq.asyncio.Context, pair: KeyPair, domain: str) -> zmq.asyncio.Socket:
    """Return a ROUTER that is ready to bind: CURVE, and closed unless a handler answers for `domain`."""
    socket: zmq.asyncio.Socket = context.socket(zmq.ROUTER)
    _harden(socket)
    socket.curve_server = True
    socket.curve_publickey = pair.public
    socket.curve_secretkey = pair.secret
    socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    # A send to a client that is gone, or whose queue is full, fails instead of dropping the message.
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    return socket


def client_socket(context: zmq.asyncio.Context, pair: KeyPair, server_key: str) -> zmq.asyncio.Socket:
    """Return a DEALER that speaks only to the holder of `server_key`."""
    socket: zmq.asyncio.Socket = context.socket(zmq.DEALER)
    _harden(socket)
    socket.curve_publickey = pair.public
    socket.curve_secretkey = pair.secret
    socket.curve_serverkey = server_key.encode()
    return socket


def user_of(frame: Any) -> str:  # noqa: ANN401 - pyzmq's frames have no public type
    """Return the name that the gatekeeper bound to the sender of a message."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
