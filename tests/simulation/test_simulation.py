"""The simulation is deterministic, takes no time of its own, and its checkers hold over a first few seeds."""

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.simulation import fleet
from holdfast.simulation.crashes import POINTS, SPENT, Killed, SimulatedCrash
from holdfast.simulation.network import Weather
from holdfast.simulation.plan import Plan
from holdfast.simulation.run import Outcome, run_seed
from patience import PATIENCE_S

COMMAND = [sys.executable, "-m", "holdfast", "simulate", "--json", "--jobs", "1"]


def simulate(seed: int, seeds: int = 1) -> dict[str, object]:
    arguments = [*COMMAND, "--seed", str(seed), "--seeds", str(seeds)]
    found = subprocess.run(arguments, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    summary: dict[str, object] = json.loads(found.stdout)
    assert found.returncode == (0 if summary["ok"] else 1), found.stderr[-2000:]
    return summary


def test_the_same_seed_gives_the_same_events_in_another_process_and_another_seed_others() -> None:
    first, again, other = simulate(9), simulate(9), simulate(10)
    assert first["event_hashes"] == again["event_hashes"]
    assert first["orders"] == again["orders"] != 0
    assert set(first["event_hashes"].values()) != set(other["event_hashes"].values())  # type: ignore[attr-defined]


def test_what_ran_before_does_not_move_a_seed() -> None:
    hashes = [simulate(seed)["event_hashes"] for seed in (11, 12)]
    assert simulate(11, 2)["event_hashes"] == hashes[0] | hashes[1]  # type: ignore[operator]


def test_a_few_seeds_hold_every_invariant_and_meet_faults() -> None:
    summary = simulate(100, 12)
    assert summary["violations"] == []
    assert summary["seeds"] == 12
    assert summary["faults"]


def test_seeds_differ_in_what_they_plan() -> None:
    plans = [Plan.of(seed) for seed in range(200)]
    assert {plan.encoding for plan in plans} == {"json", "msgpack"}
    kinds = {act.kind for plan in plans for act in plan.acts}
    assert {"kill", "freeze", "outage", "trip", "stranger"} <= kinds
    assert any(not plan.acts for plan in plans)


def test_a_crash_point_kills_once_and_nothing_follows_it() -> None:
    killed: list[str] = []
    crash = SimulatedCrash("after:fill", 1, lambda: killed.append("execution-engine"))
    for side, step in (("before", "fill"), ("after", "fill"), ("after", "intent")):
        crash.reach(side, step)
    assert killed == []
    with pytest.raises(Killed):
        crash.reach("after", "fill")
    crash.reach("after", "fill")
    assert killed == ["execution-engine"]


def _run_healed_before_its_crash_point(directory: Path) -> Outcome:
    fine = replace(Plan.of(1), weather=Weather(), script=None, acts=(), wishes=(), act_percent=50)
    plan = replace(fine, trading_s=0.1, crash_point="before:submission", crash_skip=0)
    # In a process of its own, which ends with the run.
    Plan.of = lambda _seed: plan  # type: ignore[method-assign,assignment]
    return run_seed(1, directory)


def test_a_crash_point_that_was_not_reached_while_trading_kills_nothing_any_more(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        outcome = pool.submit(_run_healed_before_its_crash_point, tmp_path).result(PATIENCE_S)
    assert outcome.orders > 0
    assert outcome.faults == {}
    assert outcome.violations == []


def test_every_crash_point_of_the_simulated_services_is_planned() -> None:
    assert {plan.crash_point for plan in map(Plan.of, range(600))} == {*POINTS, SPENT}


def test_a_seed_that_breaks_off_is_a_violation_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(seed: int, _directory: Path) -> Outcome:
        raise AssertionError(f"seed {seed}")

    monkeypatch.setattr(fleet, "run_seed", break_off)
    outcomes = fleet.run_batch(range(3, 5), tmp_path)
    summary = fleet.summarise(outcomes, first_seed=3, duration_s=1.0)
    assert [violation["seed"] for violation in summary["violations"]] == [3, 4]
    assert "AssertionError: seed 4 at test_simulation.py" in summary["violations"][1]["detail"]
