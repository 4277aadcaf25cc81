"""What goes wrong in one run of the campaign, by its seed alone: the same seed is the same plan."""

import random
from dataclasses import dataclass
from typing import Any

from holdfast import crash_points
from holdfast.venues.simulated.faults import FaultScript

KINDS_PER_RUN = 3
STRIDE = 17
STOPS = 0.25
LONG_STOPS = 0.1
LONG_STOP_S = 30.0
EXTRA_KILLS = 0.3
SERVICES = ("market-data", "signal-bridge", "risk-manager", "execution-engine", "recorder")
POST, PATCH, DELETE, ANY = "POST /v2/orders", "PATCH /v2/orders/*", "DELETE /v2/orders/*", "* *"
Fault = tuple[str, dict[str, Any]]


def _http(route: str, effect: str, **keys: object) -> Fault:
    return "http", {"route": route, "effect": effect, **keys}


def _answers(route: str, effect: str) -> list[Fault]:
    unproven = [_http(route, effect, answer=answer) for answer in ("timeout", "reset", "garbage", "slow")]
    statuses = [_http(route, effect, answer="status", status=status) for status in (422, 500, 504)]
    return unproven + statuses


CATALOGUE: tuple[Fault, ...] = (
    *_answers(POST, "accept"),
    *_answers(POST, "drop"),
    _http(POST, "accept", answer="duplicate"),
    _http(POST, "accept", answer="status", status=403),
    _http(POST, "drop", answer="status", status=200),
    _http(POST, "accept", answer="late", delay_s=(0.1, 1.0)),
    _http(POST, "accept", visible_after_s=(0.5, 30.0)),
    _http(POST, "accept", answer="timeout", visible_after_s=(0.5, 30.0)),
    *_answers(PATCH, "accept"),
    *_answers(PATCH, "drop"),
    _http(PATCH, "fill_first"),
    *_answers(DELETE, "accept"),
    *_answers(DELETE, "drop"),
    _http(DELETE, "drop", answer="status", status=204),
    _http(DELETE, "fill_first"),
    _http(ANY, "drop", answer="status", status=429),
    _http(ANY, "drop", answer="status", status=401),
    _http("GET *", "drop", answer="status", status=503),
    _http("GET *", "accept", answer="timeout"),
    ("order_stream", {"effect": "drop", "events": ("fill", "partial_fill"), "count": 1}),
    ("order_stream", {"effect": "drop"}),
    ("order_stream", {"effect": "duplicate", "delay_s": (0.0, 1.0)}),
    ("order_stream", {"effect": "permute", "delay_s": (0.2, 1.0)}),
    ("order_stream", {"effect": "delay", "delay_s": (0.1, 2.0)}),
    ("order_stream", {"effect": "fill_after_cancel", "delay_s": (0.5, 2.0)}),
    ("order_stream", {"effect": "other_frame"}),
    ("order_stream", {"effect": "garbage"}),
    ("order_stream", {"effect": "mute", "for_s": 2.0}),
    ("order_stream", {"effect": "half_open", "for_s": 1.0}),
    ("order_stream", {"effect": "kick"}),
    ("order_stream", {"effect": "cut"}),
    ("order_stream", {"effect": "ghost", "for_s": 2.0}),
    ("data_stream", {"effect": "cut"}),
    ("data_stream", {"effect": "kick"}),
    ("data_stream", {"effect": "mute", "for_s": 1.5}),
    ("data_stream", {"effect": "half_open", "for_s": 1.0}),
    ("data_stream", {"effect": "duplicate"}),
    ("data_stream", {"effect": "permute"}),
    *(
        ("market", {"effect": effect, "channels": ("quotes", "trades")})
        for effect in ("stale", "future", "zero", "negative", "crossed", "jump", "nan", "infinite", "huge", "malformed")
    ),
    ("market", {"effect": "gap", "for_s": 1.5}),
    ("market", {"effect": "halt", "for_s": 1.5}),
    ("market", {"effect": "luld"}),
    ("market", {"effect": "split", "for_s": 2.0}),
    ("market", {"effect": "burst", "for_s": 2.0}),
)
TIMED = frozenset({"mute", "half_open", "kick", "cut", "ghost", "gap", "halt", "luld", "split", "burst"})


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
        script=_script(seed, dice, duration_s),
    )


def _strike(dice: random.Random, duration_s: float) -> Strike:
    return Strike(
        service=dice.choice(SERVICES),
        at_s=dice.uniform(0.2, duration_s),
        is_stop=dice.random() < STOPS,
        stop_s=dice.uniform(0.5, 4.0),
    )


def _script(seed: int, dice: random.Random, duration_s: float) -> FaultScript:
    tables: dict[str, list[dict[str, Any]]] = {}
    for turn in range(KINDS_PER_RUN):
        # A stride without a common factor: each kind comes equally often, and neighbours do not come together.
        table, keys = CATALOGUE[(seed * KINDS_PER_RUN + turn) * STRIDE % len(CATALOGUE)]
        chosen = dict(keys)
        if chosen.get("effect") in TIMED:
            chosen["from_s"] = round(dice.uniform(0.2, duration_s / 2), 2)
        elif chosen.get("route") in {ANY, "GET *"}:
            chosen |= {"from_s": round(dice.uniform(0.2, duration_s / 2), 2), "probability": 0.5}
        else:
            chosen["probability"] = 0.05 if table == "market" else round(dice.uniform(0.2, 0.6), 2)
        tables.setdefault(table, []).append(chosen)
    return FaultScript.model_validate({"seed": seed, **tables})
