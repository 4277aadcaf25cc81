"""What the execution-engine last said about its right to send, `STATE/run/lease.json`: to be read, never decided by."""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from holdfast import clock
from holdfast.settings import Settings

SAID_S_MAX = 5.0
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """State is held, waiting or over. `until_ns` 0: for as long as the process lives."""

    mode: str
    account: str
    state: str
    token: int = 0
    until_ns: int = 0
    detail: str = ""
    said_ns: int = 0

    @property
    def is_held(self) -> bool:
        """Whether somebody who spoke a moment ago may send."""
        now_ns = clock.now_ns()
        is_said = abs(now_ns - self.said_ns) <= SAID_S_MAX * NS_PER_S
        return self.state == "held" and is_said and (self.until_ns == 0 or now_ns < self.until_ns)

    def write(self, settings: Settings) -> None:
        """Replace what was said before. A full disk keeps the old word, soon stale."""
        file = str(_file(settings))
        said = {name: getattr(self, name) for name in self.__slots__} | {"said_ns": clock.now_ns()}
        with contextlib.suppress(OSError):
            if not os.path.exists(file):  # noqa: PTH110 - every second
                _file(settings).parent.mkdir(parents=True, exist_ok=True)
            with open(f"{file}.new", "wb", buffering=0) as whole:  # noqa: PTH123
                whole.write(json.dumps(said).encode())
            os.replace(f"{file}.new", file)  # noqa: PTH105 - atomic by its documentation

    @classmethod
    def read(cls, settings: Settings) -> Self | None:
        """Return what was said last, or None before anything was."""
        try:
            return cls(**json.loads(_file(settings).read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _file(settings: Settings) -> Path:
    return settings.state_dir / "run" / "lease.json"
