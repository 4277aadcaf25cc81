"""What is in monitoring/, as tests look at it."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Counter, Gauge, Histogram

import holdfast.metrics
from repository.tree import ROOT

MONITORING = ROOT / "monitoring"
EXPORTERS = MONITORING / "exporters.yml"
RULES = sorted((MONITORING / "prometheus/rules").glob("*.yml"))
RULE_TESTS = sorted((MONITORING / "prometheus/tests").glob("*.yml"))
# What PromQL itself says, and the labels after `by`, `on` and the like, which are taken out with their parentheses.
LABEL_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
NOT_NAMES = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|'[^']*'|\b\d[\w.+-]*|\boffset\s+\w+")
WORDS = frozenset({"and", "or", "unless", "bool", "on", "by", "offset"})
NAME = re.compile(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()")


@cache
def read(path: Path) -> Any:  # noqa: ANN401 - YAML is whatever it is
    """Return a YAML file's content."""
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


@cache
def rules() -> tuple[dict[str, Any], ...]:
    """Return every rule, with the name of its group."""
    groups = [group for file in RULES for group in read(file)["groups"]]
    return tuple({**rule, "group": group["name"]} for group in groups for rule in group["rules"])


def alerts() -> list[dict[str, Any]]:
    """Return every alert rule."""
    return [rule for rule in rules() if "alert" in rule]


def metrics_of(expression: str) -> Iterator[str]:
    """Yield the metrics that a PromQL expression uses."""
    stripped = NOT_NAMES.sub(" ", LABEL_LISTS.sub(" ", expression))
    yield from (name for name in NAME.findall(stripped) if name not in WORDS)


@cache
def known_metrics() -> frozenset[str]:
    """Return every metric that a rule or a panel may use: our own, the exporters' and the recorded."""
    own = {
        name
        for family in vars(holdfast.metrics).values()
        if isinstance(family, Counter | Gauge | Histogram)
        for description in family.describe()
        for name in _series_of(description.name, description.type)
    }
    exporters = {name for names in read(EXPORTERS).values() for name in names}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    return frozenset(own | exporters | recorded)


def _series_of(name: str, kind: str) -> list[str]:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return [name + suffix for suffix in suffixes.get(kind, [""])]


def means_one_service(expression: str) -> bool:
    """Say whether every metric of ours names its job: each service tells all of them, unset ones as zero."""
    told_by_all = {
        "holdfast_service_up",
        "holdfast_release",
        "holdfast_venue_answers_total",
        *read(EXPORTERS)["textfile"],
    }
    uses = re.findall(r"\b(holdfast_\w+)(\{[^}]*\})?", expression)
    return all(name in told_by_all or "job=" in labels for name, labels in uses)
