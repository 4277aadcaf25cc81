"""The store paths on a host: put in whole, checked, removed.

A path that has its own name is whole: it is unpacked under another, brought to the disk, then renamed. Which paths
are ours says `records/NAME.json`, written before the path appears; what a Nix of the host put beside them is kept.
"""

import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path

from holdfast_release import durable
from holdfast_release.archive import Archive, Layer
from holdfast_release.layer import STORE, damaged_files, tree_digest, unpack_layer
from holdfast_release.refusal import Reason, Refused

INCOMING = ".holdfast-incoming-"
OUTGOING = ".holdfast-outgoing-"
# What stays free on the disk: a journal needs room more than a release does.
RESERVE_BYTES = 64 << 20


class Store:
    """The store below a root. Only one process at a time may change it."""

    def __init__(self, root: Path, records: Path) -> None:
        self.directory = root / STORE
        self._records = records

    def prepare(self) -> None:
        """Make the directories and remove what an interrupted run left behind."""
        durable.make_directory(self.directory)
        durable.make_directory(self._records)
        for entry in self.directory.iterdir():
            if entry.name.startswith((INCOMING, OUTGOING)):
                durable.remove_tree(entry)
        for record in self._records.glob(".new-*"):
            record.unlink()

    def path(self, store_name: str) -> Path:
        """Return where a store path is."""
        return self.directory / store_name

    def missing(self, layers: Iterable[Layer]) -> list[Layer]:
        """Return the layers whose store path is not here."""
        return [layer for layer in layers if not os.path.lexists(self.path(layer.store_name))]

    def add(self, archive: Archive, layers: list[Layer], *, reserve_bytes: int = RESERVE_BYTES) -> None:
        """Put the store paths of layers in, in place of what has their names; all are on the disk afterwards.

        Raises: Refused when the disk has too little room, or an archive's layer is not what it should be.
        """
        if not layers:
            return
        self._check_room(layers, reserve_bytes)
        try:
            for layer in layers:
                self._stage(archive, layer)
            durable.sync_filesystem(self.directory)
        except OSError as error:
            self._unstage(layers)
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise Refused(
                Reason.DISK_FULL, f"the disk of {self.directory} became full ({error}): make room, then install again"
            ) from error
        except Refused:
            self._unstage(layers)
            raise
        for layer in layers:
            self._place(layer)
        durable.sync_directory(self.directory)
        self._unstage(layers)

    def damage(self, layer: Layer) -> str | None:
        """Say what of a store path is not as the release has it, None when all of it is."""
        path = self.path(layer.store_name)
        if not os.path.lexists(path):
            return f"/{STORE}/{layer.store_name} is missing"
        if tree_digest(path) == layer.tar_digest:
            return None
        files = self._recorded_files(layer.store_name)
        names = damaged_files(path, files) if files is not None else []
        what = ", ".join(names) or "its links, modes or directories"
        return f"/{STORE}/{layer.store_name} was changed: {what}"

    def owned(self) -> set[str]:
        """Return the names of the store paths that the installer put here."""
        return {record.stem for record in self._records.glob("*.json")}

    def remove(self, store_names: Iterable[str]) -> None:
        """Remove store paths of ours; each disappears by one rename."""
        for name in store_names:
            outgoing = self.directory / f"{OUTGOING}{name}"
            if os.path.lexists(self.path(name)):
                self.path(name).rename(outgoing)
                durable.sync_directory(self.directory)
                durable.remove_tree(outgoing)
            (self._records / f"{name}.json").unlink(missing_ok=True)

    def _check_room(self, layers: list[Layer], reserve_bytes: int) -> None:
        wanted = sum(layer.unpacked_bytes for layer in layers)
        status = os.statvfs(self.directory)
        free = status.f_bavail * status.f_frsize
        if free < wanted + reserve_bytes:
            raise Refused(
                Reason.DISK_FULL,
                f"{self.directory} has {free >> 20} MiB free, expected {wanted + reserve_bytes >> 20}: {wanted >> 20} "
                f"for the release, and {reserve_bytes >> 20} that stay free; run `holdfast-release gc` or make room",
            )

    def _stage(self, archive: Archive, layer: Layer) -> None:
        with archive.open_layer(layer) as source:
            files = unpack_layer(source, layer.store_name, self._incoming(layer))
        durable.write_file(self._records / f"{layer.store_name}.json", json.dumps(files, sort_keys=True))

    def _place(self, layer: Layer) -> None:
        path = self.path(layer.store_name)
        if os.path.lexists(path):
            durable.exchange(self._incoming(layer), path)
        else:
            self._incoming(layer).rename(path)

    def _unstage(self, layers: list[Layer]) -> None:
        for layer in layers:
            durable.remove_tree(self._incoming(layer))

    def _incoming(self, layer: Layer) -> Path:
        return self.directory / f"{INCOMING}{layer.store_name}"

    def _recorded_files(self, store_name: str) -> dict[str, str] | None:
        try:
            files: dict[str, str] = json.loads((self._records / f"{store_name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return files
