"""The dashboards that are checked in are those that are generated, and show what exists."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from holdfast.settings.schema import SERVICES
from repository.monitoring import MONITORING, known_metrics, means_one_service, metrics_of, read
from repository.tree import ROOT

FILES = sorted((MONITORING / "grafana/dashboards").iterdir())


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", ROOT / "app/setup/dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def queries(name: str) -> Iterator[str]:
    for panel in json.loads((MONITORING / f"grafana/dashboards/{name}.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_checked_in_dashboards_are_the_generated_ones(generator: ModuleType) -> None:
    assert {file.stem for file in FILES} == set(generator.DASHBOARDS) == {"trading", "execution", "host"}
    for file in FILES:
        assert file.read_text() == generator.dashboard(file.stem), f"{file.name}: run make dashboards"


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_panel_shows_metrics_that_exist(name: str) -> None:
    found = list(queries(name))
    assert found
    for query in found:
        used = set(metrics_of(query))
        assert used
        assert used - known_metrics() == set()
        assert means_one_service(query), query


def test_every_service_that_tells_something_has_a_row(generator: ModuleType) -> None:
    rows = {row for rows in generator.DASHBOARDS.values() for row in rows}
    assert set(SERVICES) <= rows


def test_panels_ask_the_data_source_that_is_provisioned(generator: ModuleType) -> None:
    (source,) = read(MONITORING / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert (generator.DATASOURCE.uid, generator.DATASOURCE.type_val) == (source["uid"], source["type"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_do_not_overlap(file: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(file.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
