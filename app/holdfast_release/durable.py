"""File operations whose outcome a power cut cannot halve."""

import ctypes
import os
import shutil
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def sync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(directory: Path) -> None:
    """Wait until everything written to a directory's file system is on the disk.

    One call for thousands of files: an fsync of each would commit the file system's log as many times.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _LIBC.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(directory))
    finally:
        os.close(descriptor)


def write_file(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    staged = path.with_name(f".new-{path.name}")
    with staged.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staged.rename(path)
    sync_directory(path.parent)


def point_link(link: Path, target: str) -> None:
    """Let a symbolic link lead elsewhere, by one rename."""
    staged = link.with_name(f".new-{link.name}")
    staged.unlink(missing_ok=True)
    staged.symlink_to(target)
    sync_directory(link.parent)
    staged.replace(link)
    sync_directory(link.parent)


def make_directory(directory: Path) -> None:
    """Make a directory and its parents, and wait until their names are on the disk."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(mode=0o755, exist_ok=True)
    sync_directory(directory.parent)


def remove_tree(tree: Path) -> None:
    """Remove a tree, read-only directories included."""
    if tree.is_symlink() or not tree.is_dir():
        tree.unlink(missing_ok=True)
        return
    for folder, _, _ in os.walk(tree):
        Path(folder).chmod(0o700)
    shutil.rmtree(tree)


def exchange(a: Path, b: Path) -> None:
    """Let two paths change places, by one rename."""
    if _LIBC.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(a))
