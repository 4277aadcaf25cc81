"""An account with everything that an emergency stop must end, and the stop as an operator runs it."""

import json
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fix_venue import RunningVenue
from holdfast import emergency_stop
from patience import PATIENCE_S

ENDED = {"filled", "canceled", "expired", "replaced", "rejected"}
STORM = """
seed = 4
[[http]]
name = "429 to everything"
route = "* *"
effect = "drop"
answer = "status"
status = 429
probability = 0.6
"""


class Account:
    """Speaks to a venue as any client, and reads its ledger."""

    def __init__(self, venue: RunningVenue) -> None:
        self.venue = venue
        self._tls = ssl.create_default_context(cafile=str(venue.ca_file))

    def ask(self, method: str, target: str, body: object = None, *, content: bytes | None = None) -> Any:  # noqa: ANN401
        headers = {"APCA-API-KEY-ID": self.venue.key_id, "APCA-API-SECRET-KEY": self.venue.secret_key}
        content = json.dumps(body).encode() if body is not None else content
        request = urllib.request.Request(self.venue.url + target, content, headers, method=method)  # noqa: S310 - https only
        with urllib.request.urlopen(request, context=self._tls, timeout=10) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def order(self, **fields: object) -> dict[str, Any]:
        whole = {"symbol": "IBM", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "10"} | fields
        made: dict[str, Any] = self.ask("POST", "/v2/orders", whole)
        return made

    def fill(self) -> None:
        """Entries that rest, a bracket whose legs are held, a position with a live and a held exit."""
        for price in range(1, 4):
            self.order(limit_price=str(price))
        legs = {"take_profit": {"limit_price": "9000"}, "stop_loss": {"stop_price": "1"}}
        self.order(order_class="bracket", limit_price="5", time_in_force="gtc", **legs)
        self.order(symbol="BAC", order_class="bracket", type="market", **legs)
        self.order(symbol="BTC/USD", type="market", time_in_force="gtc", qty="0.1")
        self.until(lambda: len(self.ask("GET", "/v2/positions")) == 2)
        self.until(lambda: self.statuses().count("held") >= 1)

    def statuses(self) -> list[str]:
        """The status of every order and leg, by the venue's word."""
        orders = self.ask("GET", "/v2/orders?status=all&nested=true&limit=500")
        return [each["status"] for order in orders for each in (order, *(order["legs"] or ()))]

    def fault(self, script: str) -> None:
        self.ask("POST", "/venue/faults", content=script.encode())

    def heal(self) -> None:
        self.ask("POST", "/venue/heal")

    def until(self, is_true: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_true():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)


def lonely_script(directory: Path) -> Path:
    """The stop as one file in a directory of its own."""
    alone = directory / "alone"
    alone.mkdir(exist_ok=True)
    return Path(shutil.copy(emergency_stop.__file__, alone))


def write_credentials(directory: Path, venue: RunningVenue) -> Path:
    credentials = directory / "credentials"
    credentials.mkdir(exist_ok=True)
    (credentials / "alpaca_api_key").write_text(venue.key_id + "\n")
    (credentials / "alpaca_api_secret").write_text(venue.secret_key + "\n")
    return credentials


def arguments_of(directory: Path, venue: RunningVenue) -> list[str]:
    """The options that lead a stop to a venue and to `directory`/state."""
    credentials = write_credentials(directory, venue)
    state = ["--state", str(directory / "state"), "--credentials", str(credentials)]
    return ["--url", venue.url, "--ca-file", str(venue.ca_file), "--operator", "ann", "--json", *state]


def run_script(script: Path, *arguments: str, prefix: Sequence[str] = ()) -> tuple[int, dict[str, Any], str]:
    """Run it with an interpreter that sees no installed package; returns exit code, report and all that was printed."""
    command = [*prefix, sys.executable, "-I", "-S", str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={})
    printed = done.stdout + done.stderr
    assert done.stdout, printed
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), printed
