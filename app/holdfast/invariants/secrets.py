"""Secrets stay in the credential directory: where else they are found."""

import mmap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from holdfast.invariants.evidence import Evidence


def secrets_stay_in_the_credential_directory(evidence: Evidence) -> Iterator[str]:
    """No file, database table, environment or command line holds a secret; judged when they were searched."""
    yield from (f"a secret is in {place}" for place in evidence.ending.secrets_found or ())


def files_with(secrets: Iterable[str], directory: Path, *, except_for: Iterable[Path]) -> list[str]:
    """Return the files below a directory that hold a secret, but for those below some others."""
    words = [secret.encode() for secret in secrets]
    allowed = tuple(except_for)
    files = (file for file in sorted(directory.rglob("*")) if file.is_file() and not file.is_symlink())
    return [
        str(file.relative_to(directory))
        for file in files
        if not any(file.is_relative_to(other) for other in allowed) and _holds(file, words)
    ]


def texts_with(secrets: Iterable[str], texts: Mapping[str, bytes]) -> list[str]:
    """Return the names of the texts that hold a secret."""
    words = [secret.encode() for secret in secrets]
    return [name for name, text in texts.items() if any(word in text for word in words)]


def texts_of_process(name: str, pid: int) -> dict[str, bytes]:
    """Return arguments and environment of a process as anyone with its rights sees them; nothing when it is gone."""
    found = {}
    for what in ("cmdline", "environ"):
        try:
            found[f"{what} of {name}"] = Path(f"/proc/{pid}/{what}").read_bytes()
        except OSError:
            continue
    return found


def _holds(file: Path, words: Iterable[bytes]) -> bool:
    if not file.stat().st_size:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return any(whole.find(word) >= 0 for word in words)
