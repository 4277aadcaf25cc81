"""The venue's own paths, under `/venue/`: what an operator of the simulation asks and orders. Alpaca has no such paths.

`GET /venue/status`, `POST /venue/pause`, `GET /venue/faults`, `POST /venue/faults` (a fault script, TOML),
`POST /venue/heal`, `POST /venue/credentials` (a new key pair; the old one ends at once, as at Alpaca). None of them is
in the ledger as a request, counts against a rate or is disturbed by a fault.
"""

from typing import Protocol

import msgspec

from holdfast.errors import ConfigError
from holdfast.venues.simulated.accounts import Credentials
from holdfast.venues.simulated.answers import refuse, reply
from holdfast.venues.simulated.faults import Faults, FaultScript
from holdfast.venues.simulated.wire import Request, Response

PREFIX = "/venue/"


class KeyPair(msgspec.Struct, forbid_unknown_fields=True):
    """A new key pair of the account."""

    key_id: str
    secret_key: str


class Operated(Protocol):
    """What an operator can do with the venue."""

    faults: Faults
    credentials: Credentials

    def status(self) -> dict[str, object]:
        """Return the venue's counters."""

    def pause(self) -> None:
        """Publish nothing more."""


class OperatorRest:
    """Answers the operator."""

    def __init__(self, venue: Operated) -> None:
        self._venue = venue

    def answer(self, request: Request) -> Response | None:
        """Answer a request under `/venue/`; nothing for any other."""
        if not request.path.startswith(PREFIX):
            return None
        match request.method, request.path.removeprefix(PREFIX):
            case "GET", "status":
                return reply(self._venue.status())
            case "POST", "pause":
                self._venue.pause()
                return reply(self._venue.status())
            case "GET", "faults":
                return reply(self._venue.faults.status())
            case "POST", "faults":
                return self._load(request)
            case "POST", "heal":
                self._venue.faults.heal()
                return reply(self._venue.faults.status())
            case "POST", "credentials":
                return self._change_keys(request)
        return refuse(404, 40410000, f"no such path: {request.method} {request.path}")

    def _change_keys(self, request: Request) -> Response:
        try:
            pair = msgspec.json.decode(request.body, type=KeyPair)
        except msgspec.MsgspecError as error:
            return reply({"message": f"expected key_id and secret_key: {error}"}, 422)
        self._venue.credentials.replace(pair.key_id, pair.secret_key)
        return reply({"key_id": pair.key_id})

    def _load(self, request: Request) -> Response:
        try:
            script = FaultScript.parse(request.body.decode(errors="replace"), file="fault script")
        except ConfigError as error:
            shown = {"file": error.file, "key": error.key, "expected": error.expected, "message": str(error)}
            return reply(shown, 422)
        self._venue.faults.load(script)
        return reply(self._venue.faults.status())
