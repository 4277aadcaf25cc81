import pytest

from repository import rules_python, rules_rust, rules_text
from repository.tree import Rule, findings

RULES = (*rules_text.RULES, *rules_python.RULES, *rules_rust.RULES)
BAD_SAMPLES = [
    pytest.param(rule, sample, id=f"{rule.name}-{at}") for rule in RULES for at, sample in enumerate(rule.bad)
]
GOOD_SAMPLES = [
    pytest.param(rule, sample, id=f"{rule.name}-{at}") for rule in RULES for at, sample in enumerate(rule.good)
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_holds_everywhere(rule: Rule) -> None:
    assert findings(rule) == []


@pytest.mark.parametrize(("rule", "sample"), BAD_SAMPLES)
def test_rule_finds_what_breaks_it(rule: Rule, sample: str) -> None:
    assert rule.concerns(rule.sample_path)
    assert list(rule.find(rule.sample_path, sample))


@pytest.mark.parametrize(("rule", "sample"), GOOD_SAMPLES)
def test_rule_leaves_alone_what_keeps_it(rule: Rule, sample: str) -> None:
    assert list(rule.find(rule.sample_path, sample)) == []
