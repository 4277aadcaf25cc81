"""Every role of roles/ has the same skeleton, and its defaults are what its argument specs say."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from repository.tree import ROOT, tracked_files

ROLES = ROOT / "roles"
COMMON = "_common"
NAMES = sorted({path.split("/")[1] for path in tracked_files() if path.startswith("roles/")} - {COMMON})
SKELETON = {
    "defaults/main.yml",
    "handlers/main.yml",
    "meta/argument_specs.yml",
    "meta/main.yml",
    "molecule/default/converge.yml",
    "molecule/default/molecule.yml",
    "molecule/default/tests/test_default.py",
    "tasks/main.yml",
}
BESIDE = {"defaults", "files", "handlers", "meta", "molecule", "tasks", "templates", "vars"}


def read(path: Path) -> Any:  # noqa: ANN401
    return yaml.safe_load(path.read_text())


def options(role: str, entry_point: str = "main") -> dict[str, dict[str, Any]]:
    specs = read(ROLES / role / "meta/argument_specs.yml")["argument_specs"]
    found: dict[str, dict[str, Any]] = specs[entry_point].get("options", {})
    return found


def is_told(option: dict[str, Any]) -> bool:
    """Say whether an option and all below it have a type and a description."""
    return {"type", "description"} <= option.keys() and all(map(is_told, option.get("options", {}).values()))


@pytest.mark.parametrize("role", NAMES)
def test_role_has_the_skeleton_of_all(role: str) -> None:
    files = {path.removeprefix(f"roles/{role}/") for path in tracked_files() if path.startswith(f"roles/{role}/")}
    assert files >= SKELETON
    assert {file.partition("/")[0] for file in files} <= BESIDE


@pytest.mark.parametrize("role", NAMES)
def test_defaults_are_those_of_the_argument_specs(role: str) -> None:
    told = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert (read(ROLES / role / "defaults/main.yml") or {}) == told


@pytest.mark.parametrize("role", NAMES)
def test_every_input_is_told_and_named_after_its_role(role: str) -> None:
    found = options(role)
    assert [name for name in found if not name.startswith(f"{role}_")] == []
    assert [name for name, option in found.items() if not is_told(option)] == []
    assert [name for name, option in found.items() if option.get("required") and "default" in option] == []


def test_common_entry_points_are_told_and_used() -> None:
    entry_points = {path.stem for path in (ROLES / COMMON / "tasks").glob("*.yml")}
    specs = read(ROLES / COMMON / "meta/argument_specs.yml")["argument_specs"]
    assert set(specs) == entry_points
    tasks = "".join(path.read_text() for role in NAMES for path in (ROLES / role / "tasks").glob("*.yml"))
    assert [name for name in entry_points if f"tasks_from: {name}\n" not in tasks] == []


@pytest.mark.parametrize("role", NAMES)
def test_role_gives_common_tasks_what_they_are_told_to_get(role: str) -> None:
    """Checked here, so that no host waits for it each time: hence `rolespec_validate: false`."""
    tasks = [task for path in (ROLES / role / "tasks").glob("*.yml") for task in read(path) or []]
    for task in (task for task in tasks if task.get("ansible.builtin.include_role", {}).get("name") == COMMON):
        used = task["ansible.builtin.include_role"]
        expected = options(COMMON, used["tasks_from"])
        given = {name for name in task["vars"] if not name.startswith("__")}
        assert used.get("rolespec_validate") is False, task["name"]
        assert given <= set(expected), task["name"]
        assert given >= {name for name, option in expected.items() if option.get("required")}, task["name"]


@pytest.mark.parametrize("role", [*NAMES, COMMON])
def test_what_a_role_keeps_for_itself_is_named_so(role: str) -> None:
    text = "".join(path.read_text() for path in (ROLES / role / "tasks").glob("*.yml"))
    kept = re.findall(r"^ *register: (\S+)$", text, re.MULTILINE)
    kept += read(ROLES / role / "vars/main.yml") if (ROLES / role / "vars/main.yml").exists() else []
    assert [name for name in kept if not name.startswith(f"__{role.lstrip('_')}_")] == []


@pytest.mark.parametrize("role", NAMES)
def test_no_role_knows_the_groups_of_an_inventory(role: str) -> None:
    """A host gets a role by a playbook and its inputs by the inventory: then any layout of hosts will do."""
    texts = {
        path: (ROOT / path).read_text(errors="replace")
        for path in tracked_files()
        if path.startswith(f"roles/{role}/") and "/molecule/" not in path
    }
    assert [path for path, text in texts.items() if "groups[" in text or "group_names" in text] == []


@pytest.mark.parametrize("role", NAMES)
def test_scenario_leaves_to_the_shared_configuration_what_is_shared(role: str) -> None:
    """A scenario may ask for more of its hosts; how they are made, and the order of steps, are the same for all."""
    assert set(read(ROLES / role / "molecule/default/molecule.yml")) <= {"platforms"}


@pytest.mark.parametrize(
    "inventory", sorted(path.name for path in (ROOT / "ansible/inventories").iterdir() if path.is_dir())
)
def test_inventory_sets_only_inputs_of_roles_a_file_each(inventory: str) -> None:
    for file in sorted((ROOT / "ansible/inventories" / inventory / "group_vars").glob("*/*.yml")):
        if file.name == "vault.yml":
            continue
        variables = read(file) or {}
        assert file.stem in NAMES, f"{file}: expected a file named after a role"
        assert set(variables) <= set(options(file.stem)), f"{file}: not an input of {file.stem}"
