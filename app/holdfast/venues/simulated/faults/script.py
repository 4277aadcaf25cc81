"""What a fault script may say: TOML in, a validated script out. Unknown keys are refused.

A script is a seed and tables of faults: `[[http]]`, `[[order_stream]]`, `[[data_stream]]`, `[[market]]`. Times are
seconds of the host's clock since the script was loaded.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from holdfast.errors import ConfigError
from holdfast.settings.schema import Section, Symbol

DAY_S = 86_400.0
SCRIPT_BYTES_MAX = 256 * 1024
FAULTS_MAX = 200
EXPECTED = {"missing": "a value (the key is missing)", "extra_forbidden": "no such key (unknown keys are refused)"}

Seconds = Annotated[float, Field(ge=0, le=DAY_S, allow_inf_nan=False)]
Range = tuple[Seconds, Seconds]
Route = Annotated[str, Field(pattern=r"^(\*|GET|POST|PATCH|DELETE) (\*|/[A-Za-z0-9_/:.*-]*)$")]
Table = Literal["http", "order_stream", "data_stream", "market"]


class Trigger(Section):
    """When a fault may happen: within a window, with a probability, at most `count` times."""

    name: str = Field(default="", max_length=80)
    probability: float = Field(default=1.0, gt=0, le=1)
    count: int | None = Field(default=None, ge=1)
    from_s: Seconds = 0.0
    until_s: Seconds = DAY_S

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        if self.until_s <= self.from_s:
            message = "until_s after from_s"
            raise ValueError(message)
        return self


class Chance(Trigger):
    """A fault that may happen at each request, message or record it matches; the first `skip` of them pass."""

    skip: int = Field(default=0, ge=0)


class Timed(Trigger):
    """A fault that begins at `from_s`, lasts `for_s` or until healed, and comes again each `every_s`."""

    for_s: Seconds | None = Field(default=None, gt=0)
    every_s: Seconds | None = Field(default=None, gt=0)


class HttpFault(Chance):
    """A fault of one answer.

    `effect`: accept carries the request out, drop does not, fill_first lets a part of the order fill just before.
    `answer`: as_is; status with `status`; duplicate (422, the client order id exists); timeout (no answer); late
    (whole, after `delay_s`); reset; garbage; slow (one byte a second). An order that a request makes stays invisible
    to GET for `visible_after_s`.
    """

    route: Route
    effect: Literal["accept", "drop", "fill_first"] = "accept"
    answer: Literal["as_is", "status", "duplicate", "timeout", "late", "reset", "garbage", "slow"] = "as_is"
    status: int | None = Field(default=None, ge=200, le=599)
    delay_s: Range = (0.5, 0.5)
    visible_after_s: Range = (0.0, 0.0)

    @model_validator(mode="after")
    def _check_answer(self) -> Self:
        if (self.status is not None) != (self.answer == "status"):
            message = "status exactly when answer is status"
            raise ValueError(message)
        if self.effect == "drop" and self.answer in {"as_is", "late"}:
            message = "another answer: what was dropped has none of its own"
            raise ValueError(message)
        _check_ranges(self.delay_s, self.visible_after_s)
        return self

    @property
    def label(self) -> str:
        """Return the kind, closed set: effect and answer."""
        answer = f"{self.status}" if self.answer == "status" else self.answer
        is_hidden = self.visible_after_s[1] > 0
        return f"http.{self.effect}.{answer}" + (".invisible" if is_hidden else "")

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request is one of the route's; `*` in the path stands for one of its parts."""
        wanted_method, _, wanted_path = self.route.partition(" ")
        if wanted_method not in {"*", method}:
            return False
        if wanted_path == "*":
            return True
        pattern = "[^/]+".join(re.escape(part) for part in wanted_path.split("*"))
        return re.fullmatch(pattern, path) is not None


class MessageFault(Chance):
    """A fault of one message of a stream.

    `events` names the order updates it may hit, none means all. `delay_s` is how late a delayed message and the copy of
    a duplicated one come; how long at most messages are held for permuting, and a fill for its order's cancel.
    """

    effect: Literal["drop", "duplicate", "delay", "permute", "fill_after_cancel", "other_frame", "garbage"]
    events: tuple[Annotated[str, Field(pattern=r"^[a-z_]+$")], ...] = ()
    delay_s: Range = (0.5, 0.5)
    batch: int = Field(default=4, ge=2, le=100)

    @model_validator(mode="after")
    def _check_delay(self) -> Self:
        _check_ranges(self.delay_s)
        return self


class StreamFault(Timed):
    """A fault of every connection of a stream.

    mute: nothing is sent, pings are answered; half_open: no byte either way; kick: closed by error 406; cut: without a
    word; ghost: new connections are refused by 406 while it lasts.
    """

    effect: Literal["mute", "half_open", "kick", "cut", "ghost"]


class RecordFault(Chance):
    """A fault of one published record: its prices or its time are not what they should be, or it never comes."""

    effect: Literal[
        "stale", "future", "zero", "negative", "crossed", "jump", "nan", "infinite", "huge", "malformed", "drop"
    ]
    symbols: tuple[Symbol, ...] = ()
    channels: tuple[Literal["quotes", "trades", "bars"], ...] = ("quotes",)
    shift_s: Seconds = 60.0
    jump_percent: float = Field(default=20.0, gt=-100, le=10_000)


class MarketFault(Timed):
    """A fault of the market: gap (nothing is published), halt, luld (bands of `band_percent`), split, burst."""

    effect: Literal["gap", "halt", "luld", "split", "burst"]
    symbols: tuple[Symbol, ...] = ()
    band_percent: float = Field(default=5.0, gt=0, lt=100)
    split_ratio: float = Field(default=0.5, gt=0, le=100)
    burst_factor: int = Field(default=2, ge=2, le=20)


StreamEntry = Annotated[MessageFault | StreamFault, Field(discriminator="effect")]
MarketEntry = Annotated[RecordFault | MarketFault, Field(discriminator="effect")]
Fault = HttpFault | MessageFault | StreamFault | RecordFault | MarketFault


class FaultScript(Section):
    """Everything that is to go wrong at the venue. The same seed and requests give the same faults."""

    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    http: tuple[HttpFault, ...] = Field(default=(), max_length=FAULTS_MAX)
    order_stream: tuple[StreamEntry, ...] = Field(default=(), max_length=FAULTS_MAX)
    data_stream: tuple[StreamEntry, ...] = Field(default=(), max_length=FAULTS_MAX)
    market: tuple[MarketEntry, ...] = Field(default=(), max_length=FAULTS_MAX)

    @classmethod
    def parse(cls, text: str, *, file: Path | str) -> Self:
        """Read a script.

        Raises: ConfigError with file, key and what was expected.
        """
        try:
            raw = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(file=file, key="", expected="TOML", found=str(error)) from None
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            key, expected = _key(first["type"], first["loc"]), _expected(first["type"], first["msg"])
            raise ConfigError(file=file, key=key, expected=expected) from None

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a script's file. Raises: ConfigError."""
        try:
            data = file.read_bytes()
            if len(data) > SCRIPT_BYTES_MAX:
                expected = f"a fault script of at most {SCRIPT_BYTES_MAX} bytes"
                raise ConfigError(file=file, key="", expected=expected, found=f"{len(data)}")
            text = data.decode()
        except FileNotFoundError:
            raise ConfigError(file=file, key="", expected="a fault script", found="no such file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(file=file, key="", expected="a readable fault script", found=str(error)) from None
        return cls.parse(text, file=file)

    def to_toml(self) -> str:
        """Return the script as its file says it, defaults left out."""
        lines = [f"seed = {self.seed}"]
        for key, fault in self.entries():
            values = fault.model_dump(mode="json", exclude_defaults=True)
            lines += ["", f"[[{key.partition('[')[0]}]]"]
            # JSON's texts, numbers and lists are TOML's too.
            lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        return "\n".join(lines) + "\n"

    def entries(self) -> Iterator[tuple[str, Fault]]:
        """Yield each fault with its key, such as `http[0]`."""
        tables: dict[Table, tuple[Fault, ...]] = {
            "http": self.http,
            "order_stream": self.order_stream,
            "data_stream": self.data_stream,
            "market": self.market,
        }
        for table, faults in tables.items():
            for place, fault in enumerate(faults):
                yield f"{table}[{place}]", fault


def _check_ranges(*ranges: Range) -> None:
    for least, most in ranges:
        if most < least:
            message = f"[least, most], found [{least:g}, {most:g}]"
            raise ValueError(message)


def _key(error_type: str, location: tuple[int | str, ...]) -> str:
    """Write a place as an operator would: `http[0].probability`; the effect that chose a form is no part of it."""
    table, *rest = location
    if len(rest) > 1 and table in {"order_stream", "data_stream", "market"}:
        del rest[1]
    if error_type.startswith("union_tag"):
        rest.append("effect")
    return f"{table}" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)


def _expected(error_type: str, message: str) -> str:
    if error_type == "union_tag_invalid":
        message = "one of " + message.rpartition("expected tags: ")[2]
    if error_type == "union_tag_not_found":
        message = "a value (the key is missing)"
    return EXPECTED.get(error_type, message.removeprefix("Value error, ").removeprefix("Input should be "))
