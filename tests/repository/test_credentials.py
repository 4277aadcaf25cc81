"""Who makes, hands out and uses a secret means the same ones."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from repository.tree import ROOT

ANSIBLE = ROOT / "ansible"
INVENTORIES = sorted(path for path in (ANSIBLE / "inventories").iterdir() if path.is_dir())
OWN = {"gateway_tls_cert", "gateway_tls_key"}
URL = re.compile(r"postgresql://(?P<role>\w+):(?P<password>[^@]+)@(?P<host>[^/]*)/(?P<database>\w+)")


def read(path: Path) -> Any:  # noqa: ANN401
    return yaml.safe_load(path.read_text())


def given() -> dict[str, set[str]]:
    """Return the files of secrets that each unit is given, without those that the host makes itself."""
    found = {}
    for unit in (ROOT / "systemd").glob("trading-*.service"):
        names = re.findall(r"^LoadCredential=\w+:/etc/holdfast/credentials/(\w+)$", unit.read_text(), re.MULTILINE)
        if set(names) - OWN:
            found[unit.stem.removeprefix("trading-")] = set(names) - OWN
    return found


def variables(inventory: Path) -> dict[str, Any]:
    """Return what an inventory says to all hosts. What is encrypted is not read."""
    found: dict[str, Any] = dict(read(inventory / "hosts.yml")["all"]["vars"])
    for file in sorted((inventory / "group_vars").rglob("*.yml")):
        if not file.read_text().startswith("$ANSIBLE_VAULT"):
            found |= read(file) or {}
    return found


def rendered(text: str, known: dict[str, Any]) -> str:
    """Return a text with its variables replaced by their values, filters aside; those of a vault by their names."""

    def value(match: re.Match[str]) -> str:
        found: Any = known
        for name in match[1].split("."):
            if name not in found:
                return f"<{match[1]}>"
            found = found[name]
        return str(found)

    while (replaced := re.sub(r"\{\{ ([\w.]+)(?: \|[^}]*)? \}\}", value, text)) != text:
        text = replaced
    return text


def test_the_role_wants_for_each_service_what_its_unit_is_given() -> None:
    wanted = read(ROOT / "roles/holdfast/vars/main.yml")["__holdfast_credentials_of"]
    assert {service: set(names) for service, names in wanted.items()} == given()


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_each_service_comes_to_the_database_with_the_password_of_its_role(inventory: Path) -> None:
    known = variables(inventory)
    urls = {name: url for name, url in known["holdfast_credentials"].items() if name.endswith("_database_url")}
    assert urls
    roles = set()
    for name, url in urls.items():
        found = URL.match(rendered(url, known))
        assert found is not None, f"{inventory.name}: {name}: expected postgresql://ROLE:PASSWORD@HOST/DATABASE"
        assert found["role"] == f"holdfast_{name.removesuffix('_database_url')}"
        assert found["password"] == rendered(known["postgresql_passwords"][found["role"]], known)
        assert found["database"] == known.get("postgresql_database", "holdfast")
        roles.add(found["role"])
    assert set(known["postgresql_passwords"]) == roles
    known_roles = read(ROOT / "roles/postgresql/vars/main.yml")["__postgresql_roles"]
    assert roles <= {role["name"] for role in known_roles}


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_an_inventory_has_the_secrets_that_units_are_given(inventory: Path) -> None:
    assert set(variables(inventory)["holdfast_credentials"]) == set().union(*given().values())
