"""Releases of a test and a bare host to install them on."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast_release import cli
from holdfast_release.durable import remove_tree
from holdfast_release.layer import STORE
from release_builder import ReleaseBuilder


@dataclass
class BareHost:
    """A root directory and the installer's command on it."""

    root: Path
    key: Path
    read: Callable[[], str]

    def run(self, *words: str | Path, schema: int | None = 4, exit_code: int = 0) -> dict[str, Any]:
        """Run the command and return what it printed as JSON."""
        options = [] if schema is None or words[0] in {"list", "verify", "gc"} else ["--schema", str(schema)]
        if words[0] in {"install", "verify"} and "--key" not in words:
            options += ["--key", str(self.key)]
        if words[0] == "install" and "--reserve-mib" not in words:
            options += ["--reserve-mib", "0"]
        assert cli.main(["--root", str(self.root), "--json", *map(str, words), *options]) == exit_code
        answer: dict[str, Any] = json.loads(self.read())
        return answer

    def refusal(self, *words: str | Path, schema: int | None = 4) -> tuple[str, str]:
        """Run a command that is refused and return the reason and the message."""
        answer = self.run(*words, schema=schema, exit_code=1)
        assert answer["changed"] is False
        return answer["refused"], answer["message"]

    @property
    def store(self) -> Path:
        """Where the store paths are."""
        return self.root / STORE

    def version(self) -> str | None:
        """Return which release is current, as a program that starts now would find it."""
        root = self.root / "nix/var/holdfast/current/root"
        return (self.store / root.readlink().name / "share/version").read_text() if root.is_symlink() else None


@pytest.fixture(scope="session")
def release_builder(tmp_path_factory: pytest.TempPathFactory) -> ReleaseBuilder:
    return ReleaseBuilder(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def bare_host(tmp_path: Path, release_builder: ReleaseBuilder, capsys: pytest.CaptureFixture[str]) -> BareHost:
    root = tmp_path / "host"
    root.mkdir()
    return BareHost(root, release_builder.public_key(), lambda: capsys.readouterr().out)


@pytest.fixture(autouse=True, scope="session")
def _writable_again(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    for tree in tmp_path_factory.getbasetemp().glob("*/nix/store/*"):
        remove_tree(tree)
