"""Every kind of fault once, and scripts drawn from it: for runs by the hundred."""

import random
from typing import Any

from holdfast.venues.simulated.faults.script import FaultScript

KINDS_PER_RUN = 3
STRIDE = 17
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


def draw_script(seed: int, dice: random.Random, duration_s: float) -> FaultScript:
    """Draw a few faults for a run of `duration_s`: kinds take turns over the seeds, times and chances are drawn."""
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
