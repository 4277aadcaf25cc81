"""What a release depends on is what its code imports: nothing more is shipped, nothing comes along by chance."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
# The benchmarks also import their peers, where those are installed.
PEERS = {"alpaca-py", "msgpack", "nautilus-trader"}
HEAVY = ("alpaca-py", "exchange-calendars", "pandas")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_by(folder: Path) -> dict[str, set[str]]:
    """Return the distributions that a folder's modules import, each with who does."""
    distributions = importlib.metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
                modules = [node.module]
            else:
                continue
            for module in {each.partition(".")[0] for each in modules} - sys.stdlib_module_names - {"holdfast"}:
                name = normal(distributions.get(module, [module])[0])
                found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {normal(Requirement(each).name) for each in project["dependencies"]}


def test_every_import_is_a_declared_dependency_and_every_dependency_is_imported() -> None:
    imported = imported_by(ROOT / "app/holdfast")
    in_benchmarks = {
        name for name, users in imported.items() if all(user.startswith("app/holdfast/bench/") for user in users)
    }
    undeclared = {name: sorted(users) for name, users in imported.items() if name not in declared() | PEERS}
    assert undeclared == {}, "add them to pyproject.toml, then run make lock"
    assert PEERS & imported.keys() <= in_benchmarks, "a release does not hold the peers of the benchmarks"
    assert declared() - imported.keys() == set(), "nothing imports these: take them out"


def test_release_holds_no_data_frames() -> None:
    shipped = (ROOT / "requirements/runtime.txt").read_text()
    assert [name for name in HEAVY if re.search(rf"^{name}==", shipped, re.MULTILINE)] == []
