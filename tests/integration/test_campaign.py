"""The process campaign: plans by seed, evenly spread; a run that ends with a verdict in the shape that is promised."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from holdfast.campaign.plan import plan_of
from holdfast.crash_points import POINTS
from holdfast.venues.simulated.faults import CATALOGUE, KINDS_PER_RUN, FaultScript

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
