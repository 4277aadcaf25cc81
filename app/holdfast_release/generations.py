"""Generations: which releases were installed, in order, and which one is current.

```
nix/var/holdfast/generations/7/   root -> /nix/store/HASH-holdfast-1.2.0, manifest.json, config.json, signature.json,
                                  before: the generation that was current when this one was made
nix/var/holdfast/current          -> generations/7
```
A generation appears whole, by one rename, and is never changed; `current` is switched by one rename.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from holdfast_release import durable
from holdfast_release.archive import Release
from holdfast_release.layer import STORE
from holdfast_release.refusal import Reason, Refused
from holdfast_release.signature import check_signature_text

MANIFEST = "manifest.json"
CONFIG = "config.json"
SIGNATURE = "signature.json"
BEFORE = "before"


@dataclass(frozen=True)
class Generation:
    """One installed release."""

    number: int
    directory: Path
    release: Release
    before: int | None


class Generations:
    """The generations below a directory. Only one process at a time may change them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "generations"
        self._current = directory / "current"

    def prepare(self) -> None:
        """Make the directory and remove what an interrupted run left behind."""
        durable.make_directory(self._directory)
        for entry in self._directory.glob(".*"):
            durable.remove_tree(entry)

    def all(self) -> list[Generation]:
        """Return every generation, oldest first."""
        if not self._directory.is_dir():
            return []
        numbers = sorted(int(entry.name) for entry in self._directory.iterdir() if entry.name.isdigit())
        return [self._read(number) for number in numbers]

    def current_number(self) -> int | None:
        """Return the number of the current generation, None before the first."""
        try:
            return int(self._current.readlink().name)
        except FileNotFoundError:
            return None

    def get(self, number: int) -> Generation:
        """Return one generation.

        Raises: Refused when there is no such.
        """
        for generation in self.all():
            if generation.number == number:
                return generation
        known = ", ".join(str(generation.number) for generation in self.all()) or "none"
        raise Refused(Reason.NO_GENERATION, f"there is no generation {number}; expected one of: {known}")

    def before(self, number: int) -> Generation | None:
        """Return the generation to go back to from another: what ran before it, not merely what was installed before.

        A release that failed and was taken back lies between the two. Where what ran before is gone: the next older.
        """
        older = [generation for generation in self.all() if generation.number < number]
        wanted = self.get(number).before
        return next((each for each in older if each.number == wanted), older[-1] if older else None)

    def make(self, release: Release, *, manifest: bytes, config: bytes, signature: str) -> int:
        """Make a generation after the newest and return its number. It is on the disk, and not yet current."""
        number = max((generation.number for generation in self.all()), default=0) + 1
        staged = self._directory / f".new-{number}"
        staged.mkdir(mode=0o755)
        (staged / "root").symlink_to(f"/{STORE}/{release.root}")
        before = str(self.current_number() or "").encode()
        contents = ((MANIFEST, manifest), (CONFIG, config), (SIGNATURE, signature.encode()), (BEFORE, before))
        for name, content in contents:
            durable.write_file(staged / name, content.decode())
        durable.sync_directory(staged)
        staged.rename(self._directory / str(number))
        durable.sync_directory(self._directory)
        return number

    def switch(self, number: int) -> None:
        """Make a generation current: one rename."""
        durable.point_link(self._current, f"generations/{number}")

    def remove(self, number: int) -> None:
        """Remove a generation: it disappears by one rename."""
        outgoing = self._directory / f".old-{number}"
        (self._directory / str(number)).rename(outgoing)
        durable.sync_directory(self._directory)
        shutil.rmtree(outgoing)

    def check_signature(self, generation: Generation, keys: list[bytes]) -> None:
        """Compare what a generation says of itself with its signature.

        Raises: Refused when it is not what was signed.
        """
        path = generation.directory / SIGNATURE
        statement = check_signature_text(path.read_text(encoding="ascii"), str(path), keys)
        if statement.digest != generation.release.digest:
            raise Refused(Reason.TAMPERED, f"{path} is the signature of {statement.digest}, another release")

    def _read(self, number: int) -> Generation:
        directory = self._directory / str(number)
        manifest, config = (directory / MANIFEST).read_bytes(), (directory / CONFIG).read_bytes()
        try:
            signed = json.loads((directory / SIGNATURE).read_text(encoding="ascii"))
            digest = json.loads(signed["statement"])["digest"]
            return Generation(number, directory, Release.parse(digest, manifest, config), _before(directory))
        except (ValueError, KeyError, TypeError, Refused) as refusal:
            raise Refused(
                Reason.TAMPERED, f"{directory}: {refusal}; move the directory away, then install again"
            ) from None


def _before(directory: Path) -> int | None:
    """Return which generation was current when one was made; None for the first, and where nobody wrote it down."""
    try:
        return int((directory / BEFORE).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
