"""Makes small releases for tests of the installer: real archives by the real packer, signed with a key of the test."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast_release.archive import DatabaseRange
from holdfast_release.layer import STORE
from holdfast_release.pack import Contents, describe_archive, pack_tree, write_archive
from holdfast_release.signature import signature_document, signature_path

BASE_32 = "0123456789abcdfghijklmnpqrsvwxyz"
ANY_DATABASE = DatabaseRange(first=0, last=4, works_since=1)
# What both releases of a test share, and what makes an upgrade take a while.
BASE_FILES = {f"lib/module_{number:03}.py": f"VALUE = {number}\n" * 40 for number in range(120)}


@dataclass
class ReleaseBuilder:
    """Builds archives in a directory."""

    directory: Path
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def public_key(self, name: str = "release.pub", key: Ed25519PrivateKey | None = None) -> Path:
        path = self.directory / name
        public = (key or self.key).public_key()
        path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return path

    def build(
        self, version: str, *, database: DatabaseRange = ANY_DATABASE, base: dict[str, str] | None = None
    ) -> Path:
        """Build and sign a release of two store paths: a base, and the application that refers to it."""
        base_tree = self.tree("base", BASE_FILES if base is None else base)
        files = {"bin/holdfast": f"#!/bin/sh\necho {version}\n", "share/version": version, "share/empty": ""}
        root = self.tree(f"holdfast-{version}", files, links={"lib": f"/{STORE}/{base_tree.name}/lib", "sh": "bin"})
        archive = self.directory / f"holdfast-{version}.oci.tar"
        contents = Contents(version=version, root=root.name, database=database)
        digest = write_archive(contents, [pack_tree(base_tree), pack_tree(root)], archive)
        self.sign(archive, digest, version)
        return archive

    def sign(self, archive: Path, digest: str, version: str) -> None:
        statement = describe_archive(archive, digest=digest, name="holdfast", version=version)
        signature = self.key.sign(statement.text().encode())
        signature_path(archive).write_text(signature_document(statement, signature))

    def tree(self, name: str, files: dict[str, str], links: dict[str, str] | None = None) -> Path:
        """Make a store path as Nix leaves it: named by what is in it, read-only."""
        number = int.from_bytes(hashlib.sha256(repr((name, sorted(files.items()), links)).encode()).digest())
        prefix = "".join(BASE_32[number >> 5 * place & 31] for place in range(32))
        tree = self.directory / STORE / f"{prefix}-{name}"
        if tree.exists():
            return tree
        for relative, text in files.items():
            path = tree / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o555 if relative.startswith("bin/") else 0o444)
        for relative, target in (links or {}).items():
            (tree / relative).symlink_to(target)
        for path in (tree, *tree.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o555)
        return tree
