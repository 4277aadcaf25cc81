"""One word end to end: a service's file, its settings, its metrics port, its place in the documents."""

import re

from holdfast.settings.schema import SERVICES, ServicesSettings
from repository.tree import ROOT, tracked_files

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def service_files() -> set[str]:
    found = (re.fullmatch(r"app/holdfast/services/(\w+)\.py", path) for path in tracked_files())
    return {match[1] for match in found if match} - {"__init__"}


def test_every_service_has_its_file_and_its_settings() -> None:
    names = {service.replace("-", "_") for service in SERVICES}
    assert service_files() == names
    assert set(ServicesSettings.model_fields) == names


def test_settings_classes_are_named_like_their_services() -> None:
    for name in ServicesSettings.model_fields:
        expected = "".join(word.capitalize() for word in name.split("_")) + "Settings"
        assert type(ServicesSettings().of(name)).__name__ == expected


def test_metrics_ports_are_those_of_the_architecture() -> None:
    ports_line = next(line for line in ARCHITECTURE.splitlines() if line.startswith("market-data 91"))
    documented = {name: int(port) for name, port in re.findall(r"([a-z-]+) (91\d\d)", ports_line)}
    configured = {service: ServicesSettings().of(service).metrics_port for service in SERVICES}
    assert configured == documented
    assert len(set(configured.values())) == len(configured)
