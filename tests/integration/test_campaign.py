"""The process campaign: plans by seed, evenly spread; a run that ends with a verdict in the shape that is promised."""

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast import clock
from holdfast.campaign import outages
from holdfast.campaign.operators import Operators
from holdfast.campaign.plan import plan_of
from holdfast.crash_points import POINTS
from holdfast.invariants import StoredJournals
from holdfast.settings import Settings, load_settings
from holdfast.settings.defaults import default_config_dir
from holdfast.simulation.wishes import LimitWish
from holdfast.venues.simulated.faults import CATALOGUE, KINDS_PER_RUN, FaultScript
from holdfast.venues.simulated.ledger import Ledger
from patience import PATIENCE_S
from running_gateway import Gateway

KEYS = ["runs", "orders", "fills", "faults", "crash_points", "violations", "ok"]


def test_a_seed_is_a_plan() -> None:
    assert plan_of(7, duration_s=4) == plan_of(7, duration_s=4) != plan_of(8, duration_s=4)
    script = plan_of(7, duration_s=4).script
    assert FaultScript.parse(script.to_toml(), file="written") == script


def test_points_and_kinds_of_faults_take_turns() -> None:
    runs = len(CATALOGUE)
    plans = [plan_of(seed, duration_s=4) for seed in range(1, runs + 1)]
    points = Counter(plan.point for plan in plans)
    assert set(points) == set(POINTS)
    assert max(points.values()) - min(points.values()) <= 1
    faults = Counter(
        (key.partition("[")[0], fault.model_dump_json(exclude={"from_s", "probability"}))
        for plan in plans
        for key, fault in plan.script.entries()
    )
    assert set(faults.values()) == {KINDS_PER_RUN}


def test_outages_take_turns() -> None:
    found = Counter(plan.outage.kind for seed in range(1, 301) if (plan := plan_of(seed, duration_s=4)).outage)
    assert set(found) == set(outages.KINDS)
    assert min(found.values()) > 20


@pytest.mark.timeout(300)
def test_a_run_trades_heals_and_is_judged(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "holdfast", "campaign", "--runs", "1", "--seed", "5", "--duration", "2", "--json"]
    ended = subprocess.run(
        [*command, "--state-dir", str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    summary = json.loads(ended.stdout)
    assert list(summary) == KEYS
    assert (summary["runs"], summary["ok"], summary["violations"]) == (1, True, [])
    assert summary["orders"] > 0
    assert list(summary["crash_points"]) == list(POINTS)
    assert sum(summary["crash_points"].values()) == 1
    assert sum(summary["faults"].values()) > 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["tls"], "nothing is left of a run without a violation"


def processes_of(state_dir: Path) -> list[str]:
    """Return the command lines that name the directory."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(state_dir) in line:
                found.append(line)
    return found


@pytest.mark.timeout(300)
def test_an_interrupted_campaign_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "holdfast", "campaign", "--runs", "4", "--json", "--state-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline_s = clock.monotonic_s() + 60
        while not list(tmp_path.glob("seed-*/logs/execution-engine.log")) and clock.monotonic_s() < deadline_s:
            time.sleep(0.05)
        process.terminate()
        output, errors = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 130, errors[-2000:]
    assert errors.endswith("interrupted: 0 of 4 runs were judged\n")
    assert json.loads(output)["runs"] == 0
    assert processes_of(tmp_path) == []


@pytest.mark.timeout(300)
def test_what_the_template_forks_is_our_child_with_its_own_arguments_environment_and_output(tmp_path: Path) -> None:
    script = tmp_path / "campaign.py"
    script.write_text(
        """
import json, os, sys
from pathlib import Path
from holdfast.campaign.template import Template
from holdfast.demo.supervisor import become_subreaper

become_subreaper()
template = Template()
ended = []
for name, arguments in (("good", ["--version"]), ("bad", ["run", "nobody"])):
    with Path(name).open("wb") as log_file:
        child = template.spawn(arguments, {"HOLDFAST_CONFIG": str(Path.cwd())}, log_file)
    ended.append(child.wait())
with Path("venue").open("wb") as log_file:
    child = template.spawn(["venue", "--port", "0"], {}, log_file)
is_ours = f"PPid:\\t{os.getpid()}" in Path(f"/proc/{child.pid}/status").read_text()
assert child.poll() is None
child.kill()
print(json.dumps({"ended": ended, "is_ours": is_ours, "killed": child.wait()}))
template.close()
"""
    )
    answer = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=120, cwd=tmp_path
    )
    assert json.loads(answer.stdout) == {"ended": [0, 78], "is_ours": True, "killed": -9}
    assert (tmp_path / "good").read_text().startswith("holdfast ")
    assert "SERVICE" in (tmp_path / "bad").read_text()


@pytest.mark.timeout(300)
def test_a_failed_run_is_kept(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(
        """
import sys
from holdfast.campaign import run
from holdfast.cli import main
from holdfast.invariants import Violation

run.check = lambda evidence: [Violation(6, "every_fill_exactly_once", "made up")]
sys.exit(main())
"""
    )
    arguments = ["campaign", "--runs", "1", "--seed", "5", "--duration", "2", "--json"]
    ended = subprocess.run(
        [sys.executable, script, *arguments, "--state-dir", str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.stdout, ended.stderr[-3000:]
    assert ended.returncode == 1
    summary = json.loads(ended.stdout)
    assert [each["seed"] for each in summary["violations"]] == [5]
    left = tmp_path / "seed-5"
    facts = json.loads((left / "failure.json").read_text())
    plan = plan_of(5, duration_s=2)
    assert FaultScript.parse((left / "faults.toml").read_text(), file="faults.toml") == plan.script
    assert facts["violations"] == [{"invariant": 6, "name": "every_fill_exactly_once", "detail": "made up"}]
    assert facts["crash_point"].startswith(plan.point)
    assert facts["replay"] == "holdfast campaign --runs 1 --seed 5 --duration 2"
    settings = load_settings(left / "config", environment={})
    assert settings.state_dir == left
    assert any(True for _ in StoredJournals(settings)["market_data"])
    assert Ledger.read(left / "venue" / "ledger.jsonl").orders()
    assert {file.stem for file in (left / "logs").iterdir()} >= {
        "venue",
        "execution-engine",
        "risk-manager",
        "recorder",
    }


async def test_two_people_change_limits_through_the_api_and_one_alone_does_not(gateway: Gateway) -> None:
    own = gateway.settings.services.api_gateway.model_copy(update={"port": gateway.port})
    services = gateway.settings.services.model_copy(update={"api_gateway": own})
    settings = gateway.settings.model_copy(update={"config_dir": default_config_dir(), "services": services})
    told: Counter[str] = Counter()
    operators = Operators(settings, told)
    wish = LimitWish(at_s=0.0, key="order.quantity_max", percent=40, duration_s=1, approved_after_s=0.0)
    await operators.wish(wish)
    assert told == {"limit tightened": 1}
    await operators.wish(replace(wish, percent=70, is_alone=True))
    assert told == {"limit tightened": 1, "limit proposed": 1, "limit refused": 1}
    await operators.wish(replace(wish, percent=70))
    assert told == {"limit tightened": 1, "limit proposed": 2, "limit refused": 1, "limit approved": 1}


async def test_a_gateway_that_does_not_answer_is_told(gateway_settings: Settings) -> None:
    told: Counter[str] = Counter()
    operators = Operators(gateway_settings.model_copy(update={"config_dir": default_config_dir()}), told)
    await operators.wish(LimitWish(at_s=0.0, key="order.quantity_max", percent=40, duration_s=1, approved_after_s=0.0))
    assert told == {"limit unanswered": 1}


def test_every_fourth_run_or_so_has_wishes() -> None:
    plans = [plan_of(seed, duration_s=4) for seed in range(1, 301)]
    assert 50 < sum(bool(plan.wishes) for plan in plans) < 100
    assert all(0 < wish.at_s < plan.duration_s for plan in plans for wish in plan.wishes)
