"""What the installer does to a host: install, switch, roll back, verify, collect garbage. One run at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast_release import durable, store
from holdfast_release.archive import Archive, Release
from holdfast_release.generations import Generation, Generations
from holdfast_release.layer import STORE
from holdfast_release.refusal import Reason, Refused
from holdfast_release.signature import check_signature, read_public_keys
from holdfast_release.store import Store

STATE = "nix/var/holdfast"
# Where units, scripts and people find the current release: a link through the one that is switched.
ENTRANCE = "opt/holdfast/current"
KEEP_DEFAULT = 3

Answer = dict[str, Any]


class Host:
    """A host's root directory. Every method answers with a dictionary whose `changed` says whether it did anything."""

    def __init__(self, root: Path) -> None:
        self._state = root / STATE
        self._entrance = root / ENTRANCE
        self.generations = Generations(self._state)
        self.store = Store(root, self._state / "records")

    def install(
        self,
        archive_path: Path,
        *,
        signature: Path,
        key: Path,
        schema: int,
        is_repairing: bool = False,
        is_staging: bool = False,
        reserve_bytes: int = store.RESERVE_BYTES,
    ) -> Answer:
        """Install an archive and make it current; staging leaves out the latter.

        Raises: Refused; the current generation is then what it was.
        """
        statement = check_signature(signature, read_public_keys(key))
        with self._changing(), self._open(archive_path) as archive:
            self._check_entrance()
            release = archive.check(statement)
            self._check_database(release, schema)
            if is_repairing:
                wanted = [layer for layer in release.layers if self.store.damage(layer) is not None]
            else:
                wanted = self.store.missing(release.layers)
            self.store.add(archive, wanted, reserve_bytes=reserve_bytes)
            newest = self.generations.all()[-1:]
            if newest and newest[0].release.digest == release.digest:
                number = newest[0].number
            else:
                manifest, config = archive.manifest_and_config(release.digest)
                text = signature.read_text(encoding="ascii")
                number = self.generations.make(release, manifest=manifest, config=config, signature=text)
            added = [f"/{STORE}/{layer.store_name}" for layer in wanted]
            if is_staging:
                is_made = not newest or newest[0].number != number
                return {
                    "added": added,
                    "changed": bool(added) or is_made,
                    "current": self.generations.current_number(),
                    **_told(self.generations.get(number)),
                }
            return {"added": added} | self._switch(number, is_changed=bool(wanted))

    def switch(self, number: int, *, schema: int) -> Answer:
        """Make an installed generation current.

        Raises: Refused when there is no such, or the database is beyond it.
        """
        with self._changing():
            self._check_database(self.generations.get(number).release, schema)
            return self._switch(number, is_changed=False)

    def roll_back(self, *, schema: int) -> Answer:
        """Make the generation that ran before the current one current.

        Raises: Refused when there is none, or the database is beyond it.
        """
        with self._changing():
            current = self.generations.current_number()
            before = None if current is None else self.generations.before(current)
            if before is None:
                raise Refused(
                    Reason.NO_GENERATION, "there is no older generation to go back to: install the release wanted"
                )
            self._check_database(before.release, schema)
            return self._switch(before.number, is_changed=False)

    def list(self) -> Answer:
        """Tell of every generation."""
        return {
            "changed": False,
            "current": self.generations.current_number(),
            "generations": [_told(generation) for generation in self.generations.all()],
        }

    def verify(self, *, key: Path, is_all: bool = False) -> Answer:
        """Compare every installed byte of the current generation, or of all, with what was signed.

        Raises: Refused naming each file that differs.
        """
        keys = read_public_keys(key)
        with self._changing():
            current = self.generations.current_number()
            chosen = [each for each in self.generations.all() if is_all or each.number == current]
            if not chosen:
                raise Refused(Reason.NO_GENERATION, "nothing is installed: run `holdfast-release install`")
            layers = {}
            for generation in chosen:
                self.generations.check_signature(generation, keys)
                layers.update({layer.store_name: layer for layer in generation.release.layers})
            damages = [damage for layer in layers.values() if (damage := self.store.damage(layer)) is not None]
            if damages:
                raise Refused(
                    Reason.DAMAGED,
                    f"{'; '.join(damages)}: find out who changed it, then run `holdfast-release install --repair` with "
                    "the release's archive",
                )
            return {
                "changed": False,
                "generations": [generation.number for generation in chosen],
                "paths": len(layers),
            }

    def collect_garbage(self, *, keep: int = KEEP_DEFAULT) -> Answer:
        """Remove all but the newest generations and the current one, and the store paths that only they had.

        Who keeps more than one wants to be able to go back: then the one before the current stays too.
        """
        with self._changing():
            known = self.generations.all()
            current = self.generations.current_number()
            before = self.generations.before(current) if current is not None and keep > 1 else None
            kept = {generation.number for generation in known[-keep:]} | {current, before and before.number}
            gone = [generation for generation in known if generation.number not in kept]
            for generation in gone:
                self.generations.remove(generation.number)
            live = {layer.store_name for each in known if each.number in kept for layer in each.release.layers}
            unused = sorted(self.store.owned() - live)
            self.store.remove(unused)
            return {
                "changed": bool(gone or unused),
                "removed_generations": [generation.number for generation in gone],
                "removed_paths": [f"/{STORE}/{name}" for name in unused],
            }

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock, and start from a state without leftovers."""
        durable.make_directory(self._state)
        descriptor = os.open(self._state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.store.prepare()
            self.generations.prepare()
            yield
        finally:
            os.close(descriptor)

    @staticmethod
    def _open(path: Path) -> Archive:
        try:
            return Archive(path)
        except OSError as error:
            raise Refused(Reason.MALFORMED, f"cannot read the archive {path}: {error}") from error

    def _switch(self, number: int, *, is_changed: bool) -> Answer:
        self._check_entrance()
        previous = self.generations.current_number()
        if previous != number:
            self.generations.switch(number)
        is_opened = self._open_entrance()
        return {
            "changed": is_changed or is_opened or previous != number,
            "previous": previous,
            **_told(self.generations.get(number)),
        }

    def _check_entrance(self) -> None:
        if os.path.lexists(self._entrance) and not self._entrance.is_symlink():
            raise Refused(
                Reason.OCCUPIED,
                f"{self._entrance} is not a symbolic link, and units start what is in it: move it away, then run again",
            )

    def _open_entrance(self) -> bool:
        """Let the entrance lead to whatever generation is current; say whether it did not yet."""
        target = f"/{STATE}/current/root"
        if self._entrance.is_symlink() and os.fspath(self._entrance.readlink()) == target:
            return False
        durable.make_directory(self._entrance.parent)
        durable.point_link(self._entrance, target)
        return True

    def _check_database(self, release: Release, schema: int) -> None:
        """Refuse a release that does not work on the database's schema.

        A release works on schemas of its range, and on later ones while a release installed here, which knows them,
        says that they only added to what this one knows.
        """
        database = release.database
        is_known_to_fit = any(
            known.release.database.last >= schema and known.release.database.works_since <= database.last
            for known in self.generations.all()
        )
        if schema < database.first or (schema > database.last and not is_known_to_fit):
            raise Refused(
                Reason.DATABASE,
                f"release {release.version} works on database schemas {database.first} to {database.last}, and the "
                f"database has {schema}: install a release that includes it",
            )


def _told(generation: Generation) -> Answer:
    return {
        "generation": generation.number,
        "version": generation.release.version,
        "digest": generation.release.digest,
        "root": f"/{STORE}/{generation.release.root}",
    }
