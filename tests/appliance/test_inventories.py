"""Each inventory parses, its secrets come out of a vault as the example says, and every role takes what it is given."""

import json
import re

import pytest

from fix_ansible import EXAMPLE, INVENTORIES, PROGRAMS, ROOT, Controller

pytestmark = [
    pytest.mark.skipif(
        not PROGRAMS.is_dir(), reason="needs Ansible, which app/setup/setup.sh installs with Python 3.12"
    ),
    pytest.mark.timeout(300),
]

NAMES = sorted(path.name for path in INVENTORIES.iterdir() if path.is_dir())
# What the lab adds to its own.
OF_THE_LAB = {"lab_folder": "lab", "ansible_host": "10.0.0.11"}


@pytest.fixture(scope="module")
def vault(controller: Controller) -> list[str]:
    """Return the options with which a playbook reads the example, encrypted as it says."""
    password, secrets = controller.folder / "password", controller.folder / "vault.yml"
    password.write_text("correct horse battery staple\n")
    secrets.write_text(EXAMPLE.read_text())
    done = controller.run("ansible-vault", "encrypt", "--vault-password-file", password, secrets)
    assert done.returncode == 0, done.stderr
    assert "example" not in secrets.read_text()
    return ["--vault-password-file", str(password), f"-e@{secrets}"]


def options(controller: Controller, inventory: str) -> list[str]:
    lab = controller.folder / "lab.json"
    hosts = json.loads(controller.run("ansible-inventory", "-i", f"inventories/{inventory}", "--list").stdout)["_meta"]
    lab.write_text(json.dumps({"all": {"hosts": dict.fromkeys(hosts["hostvars"], OF_THE_LAB)}}))
    return ["-i", f"inventories/{inventory}", *(["-i", str(lab)] if inventory.startswith("local") else [])]


@pytest.mark.parametrize("inventory", NAMES)
def test_inventory_satisfies_every_role(inventory: str, controller: Controller, vault: list[str]) -> None:
    words = [*options(controller, inventory), *controller.release, *vault]
    done = controller.run("ansible-playbook", *words, controller.knowledge, "preflight.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"^\[(?:ERROR|WARNING|DEPRECATION)", done.stdout + done.stderr, re.MULTILINE), done.stderr


def test_inventory_without_its_vault_is_refused(controller: Controller) -> None:
    words = ["-i", "inventories/production", *controller.release]
    done = controller.run("ansible-playbook", *words, controller.knowledge, "preflight.yml")
    assert done.returncode == 2
    assert "postgresql_passwords has none for" in done.stdout
    assert "put it into the vault of this inventory" in done.stdout.replace("\n        ", " ")


def test_example_names_each_secret_that_inventories_use_and_no_other() -> None:
    used = {
        name
        for path in INVENTORIES.glob("*/group_vars/*/*.yml")
        if path.name != "vault.yml"
        for name in re.findall(r"vault_\w+", path.read_text())
    }
    assert set(re.findall(r"^(vault_\w+):", EXAMPLE.read_text(), re.MULTILINE)) == used


def test_every_playbook_and_role_parses(controller: Controller) -> None:
    playbooks = sorted(path.name for path in (ROOT / "ansible").glob("*.yml"))
    done = controller.run("ansible-playbook", "--syntax-check", "-i", "inventories/production", *playbooks)
    assert done.returncode == 0, done.stdout + done.stderr
