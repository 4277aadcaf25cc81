"""Access tokens: 256 random bits, kept as SHA-256 in a file that only the gateway's user may read."""

import datetime as dt
import hashlib
import json
import os
import re
import secrets
import tempfile
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path

from holdfast.errors import BadInput, ConfigError
from holdfast.settings import Settings

PREFIX = "hft_"
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,30}")
TOKENS_MAX = 1000


class Role(IntEnum):
    """What a token may do; a higher role includes the lower."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Token:
    """A known token: never the token itself."""

    name: str
    role: str
    sha256: str
    created: str

    @property
    def level(self) -> Role:
        """The role as a comparable value."""
        return Role[self.role.upper()]


def tokens_file(settings: Settings) -> Path:
    """Return where the tokens are kept."""
    return settings.services.api_gateway.tokens_file or settings.state_dir / "keys" / "tokens.json"


def hash_of(token: str) -> str:
    """Return what is stored of a token: high entropy needs no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


class TokenFile:
    """The file of tokens; `find` sees changes of the file at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature: tuple[int, int, int] | None = None
        self._by_hash: dict[str, Token] = {}

    def tokens(self) -> list[Token]:
        """Return all tokens by name. Raises: ConfigError when the file is damaged."""
        self._refresh()
        return sorted(self._by_hash.values(), key=lambda token: token.name)

    def find(self, token: str) -> Token | None:
        """Return the entry of a presented token, None when it is unknown or revoked."""
        self._refresh()
        return self._by_hash.get(hash_of(token))

    def create(self, name: str, role: Role, now: dt.datetime) -> str:
        """Add a token and return it: it is shown this once and never stored.

        Raises: BadInput for a name that is malformed or taken.
        """
        if not NAME_PATTERN.fullmatch(name):
            raise BadInput(f"token name {name!r}: expected 1 to 31 of a-z 0-9 . _ -, a letter or digit first")
        known = self.tokens()
        if any(token.name == name for token in known):
            raise BadInput(f"token name {name!r} is taken: revoke it first or choose another")
        if len(known) >= TOKENS_MAX:
            raise BadInput(f"there are {TOKENS_MAX} tokens already: revoke some")
        secret = PREFIX + secrets.token_urlsafe(32)
        self._store([*known, Token(name, role.name.lower(), hash_of(secret), now.isoformat(timespec="seconds"))])
        return secret

    def revoke(self, name: str) -> None:
        """Remove a token. Raises: BadInput when there is none of that name."""
        known = self.tokens()
        kept = [token for token in known if token.name != name]
        if len(kept) == len(known):
            raise BadInput(f"no token is named {name!r}")
        self._store(kept)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._by_hash, self._signature = {}, None
            return
        signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        if signature == self._signature:
            return
        try:
            found = [Token(**entry) for entry in json.loads(self._path.read_text())["tokens"]]
            by_hash = {token.sha256: token for token in found if token.level}
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                file=self._path, key="tokens", expected="a list of {name, role, sha256, created}", found=repr(error)
            ) from None
        self._by_hash, self._signature = by_hash, signature

    def _store(self, tokens: list[Token]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=2) + "\n"
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".tokens-")
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if self._path.exists():
            status = self._path.stat()
            os.chown(name, status.st_uid, status.st_gid)
        Path(name).replace(self._path)
