"""A release's archive: an OCI image whose layers are store paths, one each, as `oci-archive` tar.

Container engines take it as any image. The installer reads the store paths from the layers' annotations and ignores
the one layer without (the image's /etc and mount points).
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, cast

from holdfast_release.layer import STORE, STORE_NAME, HashingSink
from holdfast_release.refusal import Reason, Refused
from holdfast_release.signature import Statement

STORE_PATH = "holdfast.store-path"
UNPACKED_BYTES = "holdfast.unpacked-bytes"
ROOT = "holdfast.root"
VERSION = "holdfast.version"
DATABASE = "holdfast.database"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class DatabaseRange:
    """Which schemas a release works on: a schema is the number of the newest migration applied, 0 for none.

    `works_since` is the oldest `last` of releases that still work on this release's schema: migrations that only add
    leave it where it is.
    """

    first: int
    last: int
    works_since: int


@dataclass(frozen=True)
class Layer:
    """One store path of a release."""

    store_name: str
    blob_digest: str
    tar_digest: str
    unpacked_bytes: int


@dataclass(frozen=True)
class Release:
    """What an archive's manifest says. Invariant: the digest covers all of it."""

    digest: str
    version: str
    root: str
    database: DatabaseRange
    layers: tuple[Layer, ...]

    @classmethod
    def parse(cls, digest: str, manifest: bytes, config: bytes) -> Self:
        """Return the release that a manifest and its config describe.

        Raises: Refused when the digest is not theirs or a part is missing.
        """
        _expect(digest, manifest, "the manifest")
        try:
            fields = json.loads(manifest)
            _expect(fields["config"]["digest"], config, "the image's config")
            tar_digests = json.loads(config)["rootfs"]["diff_ids"]
            described = zip(fields["layers"], tar_digests, strict=True)
            annotations = fields["annotations"]
            release = cls(
                digest=digest,
                version=annotations[VERSION],
                root=_store_name(annotations[ROOT]),
                database=DatabaseRange(**json.loads(annotations[DATABASE])),
                layers=tuple(_layer(layer, tar_digest) for layer, tar_digest in described if _is_store_path(layer)),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(
                Reason.MALFORMED, f"{digest} is not a Holdfast release ({error!r}): take the archive of `make release`"
            ) from error
        if release.root not in {layer.store_name for layer in release.layers}:
            raise Refused(Reason.MALFORMED, f"{digest} lacks its own root {release.root}: build the release again")
        return release


class Archive:
    """An open archive. A context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def check(self, statement: Statement) -> Release:
        """Return the release, once every byte of the file is what the statement says.

        Raises: Refused naming what differs.
        """
        size = self._file.seek(0, io.SEEK_END)
        if size < statement.archive_bytes:
            raise Refused(
                Reason.TRUNCATED,
                f"{self.path} has {size} bytes, expected {statement.archive_bytes}: it is not whole; copy it again",
            )
        self._file.seek(0)
        if hashlib.file_digest(self._file, "sha256").hexdigest() != statement.archive_sha256:
            raise Refused(
                Reason.TAMPERED,
                f"{self.path} differs from what was signed: {self._what_differs(statement)}; copy it again and find "
                "out who changed it",
            )
        return self._release(statement.digest)

    @contextmanager
    def open_layer(self, layer: Layer) -> Iterator[IO[bytes]]:
        """Give a layer's tar to read; when it was read, its hash is compared.

        Raises: Refused naming the store path when the bytes are not those of the manifest.
        """
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(self.blob(layer.blob_digest))) as unzipped:
                source = _HashingReader(cast("IO[bytes]", unzipped))
                yield cast("IO[bytes]", source)
                while source.read(_READ_BYTES):
                    pass
        except (zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise Refused(Reason.TAMPERED, f"layer /{STORE}/{layer.store_name}: {error}") from error
        if source.digest() != layer.tar_digest:
            raise Refused(Reason.TAMPERED, f"layer /{STORE}/{layer.store_name} holds {source.digest()}")

    def blob(self, digest: str) -> bytes:
        """Return the bytes that a digest names.

        Raises: Refused when they are missing or others.
        """
        member = self._members().get(f"blobs/{digest.replace(':', '/')}")
        if member is None:
            raise Refused(Reason.MALFORMED, f"{self.path} lacks the blob {digest}: copy it again")
        self._file.seek(member.offset_data)
        content = self._file.read(member.size)
        _expect(digest, content, f"a blob of {self.path}")
        return content

    def manifest_and_config(self, digest: str) -> tuple[bytes, bytes]:
        """Return the bytes of a manifest and of the config that it names."""
        manifest = self.blob(digest)
        try:
            config = str(json.loads(manifest)["config"]["digest"])
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(Reason.MALFORMED, f"{digest} is not an image's manifest: {error!r}") from error
        return manifest, self.blob(config)

    def _release(self, digest: str) -> Release:
        return Release.parse(digest, *self.manifest_and_config(digest))

    def _members(self) -> dict[str, tarfile.TarInfo]:
        self._file.seek(0)
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                return {member.name: member for member in tar}
        except (tarfile.TarError, EOFError) as error:
            raise Refused(Reason.MALFORMED, f"{self.path} is not an archive: {error}; copy it again") from error

    def _what_differs(self, statement: Statement) -> str:
        """Name the parts that are not as they were signed, as far as the rest can still be read."""
        try:
            members = self._members()
            wrong = [name for name, member in members.items() if not self._is_as_named(name, member)]
        except Refused as error:
            return str(error)
        names = {f"blobs/{statement.digest.replace(':', '/')}": "the manifest"}
        try:
            for layer in self._release(statement.digest).layers:
                names[f"blobs/{layer.blob_digest.replace(':', '/')}"] = f"layer /{STORE}/{layer.store_name}"
        except Refused:
            pass
        named = [names.get(name, name) for name in wrong]
        return ", ".join(named) or "the bytes between its parts (headers or padding)"

    def _is_as_named(self, name: str, member: tarfile.TarInfo) -> bool:
        if not name.startswith("blobs/sha256/"):
            return True
        self._file.seek(member.offset_data)
        return hashlib.sha256(self._file.read(member.size)).hexdigest() == name.rpartition("/")[2]


class _HashingReader(io.RawIOBase):
    """Hashes what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source = source
        self._sink = HashingSink()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self._sink.write(chunk)
        return chunk

    def digest(self) -> str:
        return self._sink.digest()


def _expect(digest: str, content: bytes, what: str) -> None:
    if _DIGEST.fullmatch(digest) is None or f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise Refused(Reason.TAMPERED, f"{what} is not {digest}: it was changed")


def _is_store_path(layer: dict[str, Any]) -> bool:
    return STORE_PATH in layer.get("annotations", {})


def _layer(described: dict[str, Any], tar_digest: str) -> Layer:
    annotations = described["annotations"]
    return Layer(
        store_name=_store_name(annotations[STORE_PATH]),
        blob_digest=described["digest"],
        tar_digest=tar_digest,
        unpacked_bytes=int(annotations[UNPACKED_BYTES]),
    )


def _store_name(store_path: str) -> str:
    name = store_path.removeprefix(f"/{STORE}/")
    if STORE_NAME.fullmatch(name) is None:
        raise ValueError(f"{store_path} is not a store path")
    return name
