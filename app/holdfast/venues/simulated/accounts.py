"""Who may speak to the venue, how often, and in which encoding."""

import hmac
from dataclasses import dataclass, field

from holdfast import clock
from holdfast.venues.simulated.wire import Request

MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Credentials:
    """The one key pair that is accepted; streams that are open stay so when it is another."""

    key_id: str
    secret_key: str = field(repr=False)

    def match(self, key_id: object, secret_key: object) -> bool:
        """Return whether both are right."""
        if not isinstance(key_id, str) or not isinstance(secret_key, str):
            return False
        is_key = hmac.compare_digest(key_id.encode(), self.key_id.encode())
        return hmac.compare_digest(secret_key.encode(), self.secret_key.encode()) and is_key

    def replace(self, key_id: str, secret_key: str) -> None:
        """Accept another pair from now on, and the one before no more."""
        self.key_id, self.secret_key = key_id, secret_key

    def admit(self, request: Request) -> bool:
        """Return whether the request's headers carry both."""
        headers = request.headers
        return self.match(headers.get("apca-api-key-id"), headers.get("apca-api-secret-key"))


@dataclass(slots=True)
class RateLimit:
    """Requests of one key in one minute of the host's clock."""

    per_minute: int
    _minute: int = 0
    _used: int = 0

    def take(self) -> tuple[bool, dict[str, str]]:
        """Count a request; returns whether it is within the limit, and the headers that say so."""
        now_ns = clock.now_ns()
        minute = now_ns // MINUTE_NS
        if minute != self._minute:
            self._minute, self._used = minute, 0
        is_within = self._used < self.per_minute
        self._used += is_within
        return is_within, {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(self.per_minute - self._used),
            "X-RateLimit-Reset": str((minute + 1) * MINUTE_NS // SECOND_NS),
        }


def wants_msgpack(request: Request) -> bool:
    """Return whether a stream's client asked for msgpack."""
    return "msgpack" in request.headers.get("content-type", "")
