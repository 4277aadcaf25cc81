"""What a seed decides about a run before it begins."""

import random
from dataclasses import dataclass, field
from typing import Literal, Self

from holdfast.simulation.crashes import POINTS, SPENT
from holdfast.simulation.network import Weather
from holdfast.simulation.wall_clock import STEPS_S
from holdfast.simulation.wishes import LimitWish, draw_wishes
from holdfast.venues.simulated.faults import FaultScript, draw_script

# New York, 24 November 2025: shortly after the opening, or so late that the session ends under the trading.
MORNING = ("2025-11-24T14:31:05Z", 1_763_994_665_000_000_000)
EVENING = ("2025-11-24T20:59:53Z", 1_764_017_993_000_000_000)
EVENINGS = 12
CRASH_SKIPS = 6
SERVICES = ("market-data", "signal-bridge", "risk-manager", "execution-engine")
# The services whose death the orders notice are chosen more often.
TARGETS = (*SERVICES, "risk-manager", "execution-engine", "execution-engine")
FIRST_FAULT_S = 2.0
PPM = 1_000_000

# An ambush sets the latch while the execution-engine stands still and approvals wait for it.
ActKind = Literal["kill", "freeze", "outage", "trip", "ambush", "stranger", "clock_step"]
ACT_KINDS: tuple[ActKind, ...] = (
    "kill",
    "kill",
    "freeze",
    "freeze",
    "outage",
    "trip",
    "ambush",
    "ambush",
    "stranger",
    "clock_step",
    "clock_step",
)
DURATIONS_S = {"clock_step": (0.2, 4.0, 8.0)}
# Greatest chance of each fault for one write to a connection.
WEATHER_PPM_MAX = {
    "late_ppm": PPM // 10,
    "reset_before_ppm": PPM // 50,
    "reset_after_ppm": PPM // 50,
    "mute_ppm": PPM // 200,
    "refuse_ppm": PPM // 3,
    "split_ppm": PPM // 5,
    "drop_update_ppm": PPM // 10,
    "double_update_ppm": PPM // 5,
    "swap_update_ppm": PPM // 5,
    "refuse_request_ppm": PPM // 20,
    "garble_answer_ppm": PPM // 20,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that happens at a time after the start."""

    at_s: float
    kind: ActKind
    target: str = ""
    duration_s: float = 0.0
    step: int = 0
    """Which of `STEPS_S` the wall clock is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The course of one run; times are seconds after its start."""

    seed: int
    start: str
    start_ns: int
    trading_s: float
    encoding: Literal["json", "msgpack"]
    quotes_per_s: float
    act_percent: int
    latency_ms_min: float
    latency_ms_max: float
    partial_fill_ppm: int
    weather: Weather = field(default_factory=Weather)
    script: FaultScript | None = None
    crash_point: str = SPENT
    crash_skip: int = 0
    acts: tuple[Act, ...] = ()
    wishes: tuple[LimitWish, ...] = ()

    @property
    def is_undisturbed(self) -> bool:
        """Whether nothing goes wrong in this run."""
        is_fine = self.weather == Weather(latency_s_max=self.weather.latency_s_max, late_s_max=self.weather.late_s_max)
        return is_fine and self.script is None and self.crash_point == SPENT and not self.acts

    @classmethod
    def of(cls, seed: int) -> Self:
        """Draw the plan of a seed."""
        draw = random.Random(f"{seed} plan")  # noqa: S311 - repeatable on purpose
        latency_ms = draw.choice((0.0, 5.0, 300.0))
        trading_s = draw.uniform(6.0, 12.0)
        start, start_ns = MORNING if draw.randrange(EVENINGS) else EVENING
        return cls(
            seed=seed,
            start=start,
            start_ns=start_ns,
            trading_s=trading_s,
            encoding=draw.choice(("json", "msgpack")),
            quotes_per_s=draw.choice((2.0, 5.0, 10.0)),
            act_percent=draw.choice((10, 25, 50)),
            latency_ms_min=latency_ms / 5,
            latency_ms_max=latency_ms,
            partial_fill_ppm=draw.choice((0, 100_000, 500_000)),
            weather=_weather(draw),
            script=draw_script(seed, draw, trading_s - FIRST_FAULT_S) if draw.randrange(2) else None,
            acts=_acts(draw, trading_s),
            wishes=draw_wishes(seed, trading_s),
            crash_point=draw.choice(POINTS) if draw.randrange(2) else SPENT,
            crash_skip=draw.randrange(CRASH_SKIPS),
        )


def _weather(draw: random.Random) -> Weather:
    """Draw a few kinds of network faults; every fourth run has fine weather."""
    weather = Weather(latency_s_max=draw.choice((200e-6, 2e-3, 40e-3)), late_s_max=draw.choice((0.05, 1.0, 8.0)))
    if draw.randrange(4):
        for name in draw.sample(sorted(WEATHER_PPM_MAX), draw.randint(1, 4)):
            setattr(weather, name, draw.randint(1, WEATHER_PPM_MAX[name]))
    return weather


def _acts(draw: random.Random, trading_s: float) -> tuple[Act, ...]:
    """Draw what happens to processes, the network and the latch; every fourth run is left alone."""
    acts = []
    for _ in range(draw.randint(1, 4) if draw.randrange(4) else 0):
        kind = draw.choice(ACT_KINDS)
        target = draw.choice(TARGETS) if kind in {"kill", "freeze"} else ""
        at_s = draw.uniform(FIRST_FAULT_S, trading_s)
        duration_s = draw.uniform(0.6, 1.0) if kind == "ambush" else draw.choice(DURATIONS_S.get(kind, (0.2, 1.5, 4.0)))
        step = draw.randrange(1, len(STEPS_S)) if kind == "clock_step" else 0
        acts.append(Act(at_s=at_s, kind=kind, target=target, duration_s=duration_s, step=step))
    return tuple(sorted(acts, key=lambda act: act.at_s))
