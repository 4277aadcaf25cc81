"""One store path as one tar: written always in the same way, so that a tree on the disk can be compared with a hash.

Only directories, regular files and symbolic links; owner root, time 1, names sorted. Nothing else is unpacked.
"""

import hashlib
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Protocol

from holdfast_release.refusal import Reason, Refused

STORE = "nix/store"
STORE_NAME = re.compile(r"[0-9a-z]{32}-[A-Za-z0-9+._?=-]{1,211}")
BLOCK_BYTES = 1 << 20
# What a store holds is never written again.
READ_ONLY = 0o555


class Sink(Protocol):
    """What takes bytes: a file, a hash."""

    def write(self, chunk: bytes, /) -> object:
        """Take the next bytes."""


class HashingSink:
    """Takes bytes, keeps their SHA-256."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> int:
        """Take the next bytes."""
        self._hash.update(chunk)
        return len(chunk)

    def digest(self) -> str:
        """Return the hash of all bytes so far, with its kind."""
        return f"sha256:{self._hash.hexdigest()}"


def write_layer(tree: Path, sink: Sink) -> None:
    """Write the tar of a store path."""
    name = f"{STORE}/{tree.name}"
    for path, relative in _walk(tree):
        header = _header(path, f"{name}/{relative}" if relative else name)
        sink.write(header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        if header.isreg():
            with path.open("rb") as file:
                _copy(file, sink)
            sink.write(bytes(-header.size % tarfile.BLOCKSIZE))
    sink.write(bytes(2 * tarfile.BLOCKSIZE))


def tree_digest(tree: Path) -> str:
    """Return the hash of the tar that a tree would make."""
    sink = HashingSink()
    write_layer(tree, sink)
    return sink.digest()


def unpack_layer(source: IO[bytes], store_name: str, tree: Path) -> dict[str, str]:
    """Unpack a store path's tar as the new directory or file `tree`; return each regular file's SHA-256 by its path.

    Raises: Refused for any entry outside of the store path or of another kind; OSError from the file system.
    """
    files: dict[str, str] = {}
    modes: dict[str, int] = {}
    top = f"{STORE}/{store_name}"
    with tarfile.open(fileobj=source, mode="r|", errorlevel=2) as tar:
        for member in tar:
            inside = _inside(member.name, top)
            if inside and inside.rpartition("/")[0] not in modes:
                raise Refused(Reason.MALFORMED, f"{member.name} comes before its directory: the archive is not ours")
            path = tree / inside if inside else tree
            if member.isdir():
                path.mkdir(mode=0o700)
                modes[inside] = member.mode
            elif member.issym():
                path.symlink_to(member.linkname)
            elif member.isreg():
                content = tar.extractfile(member)
                assert content is not None
                files[inside] = _write_new_file(path, content, member.mode)
            else:
                raise Refused(Reason.MALFORMED, f"{member.name} is neither file, directory nor symbolic link")
    for inside, mode in reversed(modes.items()):
        (tree / inside).chmod(mode & READ_ONLY)
    return files


def damaged_files(tree: Path, files: dict[str, str]) -> list[str]:
    """Return which files of a tree are not as they were unpacked, and which there should not be."""
    found = {relative: path for path, relative in _walk(tree) if path.is_file() and not path.is_symlink()}
    differing = [name for name, digest in files.items() if name in found and _file_digest(found[name]) != digest]
    return sorted({*differing, *(found.keys() ^ files.keys())})


def _walk(tree: Path) -> Iterator[tuple[Path, str]]:
    """Give a tree's entries, parents first, siblings by name, each with its path within the tree."""
    pending = [(tree, "")]
    while pending:
        path, relative = pending.pop()
        yield path, relative
        if path.is_dir() and not path.is_symlink():
            names = sorted((entry.name for entry in path.iterdir()), reverse=True)
            pending += [(path / name, f"{relative}/{name}" if relative else name) for name in names]


def _header(path: Path, name: str) -> tarfile.TarInfo:
    status = path.lstat()
    header = tarfile.TarInfo(name)
    header.mode = stat.S_IMODE(status.st_mode)
    header.mtime = 1
    header.uname = header.gname = "root"
    if stat.S_ISLNK(status.st_mode):
        header.type, header.linkname, header.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
    elif stat.S_ISDIR(status.st_mode):
        header.type = tarfile.DIRTYPE
    elif stat.S_ISREG(status.st_mode):
        header.size = status.st_size
    else:
        raise Refused(
            Reason.MALFORMED, f"{path} is neither file, directory nor symbolic link; a release holds no other"
        )
    return header


def _inside(name: str, top: str) -> str:
    """Return a member's path below the store path, empty for the store path itself."""
    relative = name.removeprefix(top)
    is_below = name == top or (name.startswith(f"{top}/") and ".." not in PurePosixPath(relative).parts)
    if not is_below or name != name.rstrip("/"):
        raise Refused(Reason.MALFORMED, f"{name} lies outside of {top}: the archive is not ours")
    return relative.lstrip("/")


def _write_new_file(path: Path, content: IO[bytes], mode: int) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(BLOCK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        os.fchmod(file.fileno(), mode & READ_ONLY)
    return digest.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(file: BinaryIO | IO[bytes], sink: Sink) -> None:
    while chunk := file.read(BLOCK_BYTES):
        sink.write(chunk)
