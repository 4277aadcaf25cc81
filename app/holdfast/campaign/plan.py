"""What goes wrong in one run of the campaign, by its seed alone: the same seed is the same plan."""

import random
from dataclasses import dataclass

from holdfast import crash_points
from holdfast.campaign import outages
from holdfast.campaign.outages import Outage
from holdfast.simulation.wishes import LimitWish, draw_wishes
from holdfast.venues.simulated.faults import FaultScript, draw_script

STOPS = 0.25
LONG_STOPS = 0.1
LONG_STOP_S = 30.0
EXTRA_KILLS = 0.3
OUTAGES = 0.4
SERVICES = (
    "market-data",
    "signal-bridge",
    "risk-manager",
    "execution-engine",
    "recorder",
    "api-gateway",
    "watchdog",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A signal to a service from outside, `at_s` after trading began; a stopped one goes on after `stop_s`."""

    service: str
    at_s: float
    is_stop: bool
    stop_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    duration_s: float
    point: str
    skip: int
    is_stop: bool
    stop_s: float
    strikes: tuple[Strike, ...]
    script: FaultScript
    outage: Outage | None
    wishes: tuple[LimitWish, ...]

    @property
    def service(self) -> str:
        """Return the service whose crash point is armed."""
        return crash_points.STEPS[self.point.partition(":")[2]]


def plan_of(seed: int, *, duration_s: float) -> Plan:
    """Return the plan of a seed: points and faults take turns over the seeds, the rest is drawn."""
    dice = random.Random(f"campaign {seed}")  # noqa: S311 - replayable
    point = crash_points.POINTS[seed % len(crash_points.POINTS)]
    step = point.partition(":")[2]
    most = {"market_event": 150, "decision": 10, "intent": 8}.get(step, 1)
    is_long = dice.random() < LONG_STOPS
    strikes = tuple(_strike(dice, duration_s) for _ in range(dice.random() < EXTRA_KILLS))
    return Plan(
        seed=seed,
        duration_s=duration_s,
        point=point,
        skip=dice.randint(0, most),
        is_stop=dice.random() < STOPS,
        stop_s=LONG_STOP_S if is_long else dice.uniform(0.5, 4.0),
        strikes=strikes,
        script=draw_script(seed, dice, duration_s),
        outage=_outage(seed, dice, duration_s) if dice.random() < OUTAGES else None,
        wishes=draw_wishes(seed, duration_s),
    )


def _outage(seed: int, dice: random.Random, duration_s: float) -> Outage:
    # One further each round of the crash points, so that every kind meets every point.
    kind = outages.KINDS[(seed + seed // len(crash_points.POINTS)) % len(outages.KINDS)]
    return Outage(kind=kind, at_s=dice.uniform(0.2, duration_s / 2), for_s=dice.uniform(0.5, duration_s))


def _strike(dice: random.Random, duration_s: float) -> Strike:
    return Strike(
        service=dice.choice(SERVICES),
        at_s=dice.uniform(0.2, duration_s),
        is_stop=dice.random() < STOPS,
        stop_s=dice.uniform(0.5, 4.0),
    )
