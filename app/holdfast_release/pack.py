"""Writes a release's archive, the same bytes from the same store paths; used where releases are built."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from holdfast_release import archive as names
from holdfast_release.archive import DatabaseRange
from holdfast_release.layer import READ_ONLY, STORE, write_layer
from holdfast_release.signature import Statement

CREATED = "1970-01-01T00:00:01Z"
COMPRESSION_LEVEL = 6
DISK_BLOCK_BYTES = 4096
# The image's own part: mount points and two users. Hosts that run services from the store have theirs.
USERS = "root:x:0:0:root:/:/noshell\nholdfast:x:10001:10001:Holdfast:/:/noshell\n"
GROUPS = "root:x:0:\nholdfast:x:10001:\n"
MOUNT_POINTS = ("dev", "etc", "nix", STORE, "proc", "run", "sys")


@dataclass(frozen=True)
class PackedLayer:
    """One layer, compressed."""

    tar_digest: str
    zipped: bytes
    annotations: dict[str, str]

    def save(self, directory: Path) -> None:
        """Write the layer to a new directory, so that a release whose tree is the same need not pack it again."""
        directory.mkdir()
        (directory / "layer.tar.gz").write_bytes(self.zipped)
        described = {"tar_digest": self.tar_digest, "annotations": self.annotations}
        (directory / "layer.json").write_text(json.dumps(described, sort_keys=True))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` has written."""
        described = json.loads((directory / "layer.json").read_text())
        return cls(zipped=(directory / "layer.tar.gz").read_bytes(), **described)


@dataclass(frozen=True)
class Contents:
    """What goes into an archive; `root` is the store path that has the commands."""

    version: str
    root: str
    database: DatabaseRange
    image: dict[str, Any] = field(default_factory=dict)


def pack_tree(tree: Path) -> PackedLayer:
    """Return the layer of a store path. Raises: AssertionError when it could be written to."""
    unpacked_bytes = 0
    for path in (tree, *tree.rglob("*")):
        status = path.lstat()
        mode = status.st_mode & 0o7777
        assert path.is_symlink() or mode & ~READ_ONLY == 0, f"{path} has mode {mode:o}: a store path is read-only"
        unpacked_bytes += DISK_BLOCK_BYTES * (1 + -(-status.st_size // DISK_BLOCK_BYTES))
    raw = io.BytesIO()
    write_layer(tree, raw)
    return _pack(
        raw.getvalue(),
        {names.STORE_PATH: f"/{STORE}/{tree.name}", names.UNPACKED_BYTES: str(unpacked_bytes)},
    )


def write_archive(contents: Contents, layers: Sequence[PackedLayer], output: Path) -> str:
    """Write the archive and return its digest. The layers come dependencies first."""
    layers = [_pack(_base_tar(), {}), *layers]
    blobs: dict[str, bytes] = {}
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": contents.image,
        "rootfs": {"type": "layers", "diff_ids": [layer.tar_digest for layer in layers]},
        "history": [
            {"created": CREATED, "created_by": layer.annotations.get(names.STORE_PATH, "base")} for layer in layers
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": names.MANIFEST_TYPE,
        "config": _blob(blobs, _json(config), names.CONFIG_TYPE),
        "layers": [
            _blob(blobs, layer.zipped, names.LAYER_TYPE) | {"annotations": layer.annotations} for layer in layers
        ],
        "annotations": {
            names.ROOT: f"/{STORE}/{contents.root}",
            names.VERSION: contents.version,
            names.DATABASE: json.dumps(asdict(contents.database), sort_keys=True),
        },
    }
    entry = _blob(blobs, _json(manifest), names.MANIFEST_TYPE)
    entry["annotations"] = {"org.opencontainers.image.ref.name": contents.version}
    index = {"schemaVersion": 2, "mediaType": names.INDEX_TYPE, "manifests": [entry]}
    with tarfile.open(output, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("blobs", "blobs/sha256"):
            _add(tar, name)
        for digest in sorted(blobs):
            _add(tar, f"blobs/sha256/{digest}", blobs[digest])
        _add(tar, "index.json", _json(index))
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    return str(entry["digest"])


def describe_archive(path: Path, *, digest: str, name: str, version: str) -> Statement:
    """Return the statement that is to be signed for an archive."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Statement(
        archive_bytes=path.stat().st_size, archive_sha256=sha256, digest=digest, name=name, version=version
    )


def _pack(tar: bytes, annotations: dict[str, str]) -> PackedLayer:
    digest = hashlib.sha256(tar).hexdigest()
    return PackedLayer(f"sha256:{digest}", gzip.compress(tar, COMPRESSION_LEVEL, mtime=0), annotations)


def _base_tar() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in MOUNT_POINTS:
            _add(tar, name)
        _add(tar, "tmp", mode=0o1777)
        _add(tar, "etc/group", GROUPS.encode())
        _add(tar, "etc/passwd", USERS.encode())
    return raw.getvalue()


def _blob(blobs: dict[str, bytes], content: bytes, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    blobs[digest] = content
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes | None = None, mode: int | None = None) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.uname, entry.gname = 1, "root", "root"
    if content is None:
        entry.type, entry.mode = tarfile.DIRTYPE, mode or 0o755
        tar.addfile(entry)
    else:
        entry.size, entry.mode = len(content), mode or 0o644
        tar.addfile(entry, io.BytesIO(content))
