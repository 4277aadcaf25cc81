"""What the documents say is so: links lead somewhere, every command and every make target is there."""

import importlib
import pkgutil
import re
from pathlib import PurePosixPath

import pytest
import typer

import holdfast.cli
from repository.tree import ROOT, text_of, tracked_files

DOCUMENTS = [path for path in tracked_files() if path.endswith(".md")]
README = (ROOT / "README.md").read_text()


def commands() -> set[str]:
    app = typer.Typer()
    for module in pkgutil.iter_modules(holdfast.cli.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"holdfast.cli.{module.name}").register(app)
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    return set(command.commands)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document: str) -> None:
    folder = PurePosixPath(document).parent
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text_of(document) or "")
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (ROOT / folder / target).exists()] == []


def test_readme_tells_of_every_command() -> None:
    told = set(re.findall(r"^\| `holdfast ([a-z-]+)", README, flags=re.MULTILINE))
    assert told == commands()


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in DOCUMENTS:
        told = set(re.findall(r"(?:^|`)make ([a-z-]+)", text_of(document) or "", flags=re.MULTILINE))
        assert told - targets == set(), document
