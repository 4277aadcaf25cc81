"""The protocol of Alpaca's market-data stream, without I/O: events and control messages in, actions out.

Data messages never come here: they go from the socket's buffer into the journal in one native call. The caller
performs every action in order and calls `on_timer` at least ten times a second.

Source: Alpaca, "Real-time Stock Data" and "Websocket Stream" documents.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from holdfast._native import GapReason
from holdfast.errors import ConfigError, HoldfastError

WHERE = "venue data stream"


class FeedState(StrEnum):
    """Where a connection to the stream stands."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"
    STREAMING = "streaming"
    FAILED = "failed"


class ErrorCode(IntEnum):
    """Codes of the stream's error messages."""

    INVALID_SYNTAX = 400
    NOT_AUTHENTICATED = 401
    AUTH_FAILED = 402
    ALREADY_AUTHENTICATED = 403
    AUTH_TIMEOUT = 404
    SYMBOL_LIMIT = 405
    CONNECTION_LIMIT = 406
    SLOW_CLIENT = 407
    INSUFFICIENT_SUBSCRIPTION = 409
    INVALID_SUBSCRIBE_ACTION = 410
    INTERNAL = 500


@dataclass(frozen=True, slots=True)
class Send:
    """Send one message, in the stream's encoding."""

    message: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection; `on_disconnected` is to follow."""

    cause: str


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Connect again after `after_s` seconds."""

    after_s: float
    cause: str


@dataclass(frozen=True, slots=True)
class Lose:
    """Market data is missing from the last event on."""

    reason: GapReason


@dataclass(frozen=True, slots=True)
class Resume:
    """The subscription stands: data flows from here on."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up: nothing that the service can do makes this work."""

    error: HoldfastError


@dataclass(frozen=True, slots=True)
class Note:
    """Something to count and to log: `code` 0 when no error message of the venue is behind it."""

    event: str
    code: int = 0
    detail: str = ""
    count: int = 1


Action = Send | Disconnect | Reconnect | Lose | Resume | Fail | Note


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPolicy:
    """Bounds of waiting and trying, in seconds unless the name says otherwise."""

    handshake_timeout_s: float = 10.0
    backoff_base_s: float = 0.25
    backoff_s_max: float = 20.0
    ghost_base_s: float = 5.0
    # After the ghost has gone, trading must resume within a minute: no single wait may outlast that.
    ghost_s_max: float = 30.0
    healthy_after_s: float = 30.0
    auth_attempts_max: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What to ask for: the same channels for every symbol."""

    channels: tuple[str, ...]
    symbols: tuple[str, ...]

    def message(self) -> dict[str, object]:
        """Return the subscribe message."""
        return {"action": "subscribe", **{channel: list(self.symbols) for channel in self.channels}}

    def halves(self) -> tuple["Subscription", "Subscription"]:
        """Split the symbols in two; only with two or more."""
        middle = len(self.symbols) // 2
        return (
            Subscription(channels=self.channels, symbols=self.symbols[:middle]),
            Subscription(channels=self.channels, symbols=self.symbols[middle:]),
        )


@dataclass(slots=True, kw_only=True)
class FeedProtocol:
    """One stream's state; times are monotonic seconds that the caller gives.

    `random` returns a number in [0, 1): the jitter of the backoff comes from it, so a test can fix it.
    Invariant: exactly one Lose precedes each Reconnect that follows a Resume.
    """

    key: str
    secret: str
    subscription: Subscription
    random: Callable[[], float]
    policy: FeedPolicy = field(default_factory=FeedPolicy)
    state: FeedState = FeedState.WAITING
    symbols_refused: tuple[str, ...] = ()
    _asked: deque[Subscription] = field(default_factory=deque)
    _accepted: bool = False
    _deadline_s: float = 0.0
    _streaming_since_s: float = 0.0
    _attempts: int = 0
    _auth_failures: int = 0
    _was_authenticated: bool = False
    _is_ghost: bool = False
    _cause: str = ""

    def on_connecting(self, now_s: float) -> None:
        """Note that the caller opens the connection."""
        self._enter(FeedState.CONNECTING, now_s)

    def on_control(self, kind: str, code: int, text: str, *, now_s: float) -> list[Action]:
        """Take one control message: its `T`, and its `code` and `msg` where it has them."""
        if kind == "error":
            return self._on_error(code, text, now_s)
        if kind == "subscription":
            return self._on_subscription(now_s)
        if kind == "success" and text == "connected":
            return self._on_welcome(now_s)
        if kind == "success" and text == "authenticated":
            return self._on_authenticated(now_s)
        return [Note("feed_message_unexpected", detail=f"{kind} {text}"[:200])]

    def on_timer(self, now_s: float) -> list[Action]:
        """End a handshake that takes too long; forget the failures of a connection that has proved healthy."""
        if self.state is FeedState.STREAMING:
            if self._attempts and now_s - self._streaming_since_s >= self.policy.healthy_after_s:
                self._attempts = 0
            return []
        if self.state in {FeedState.WAITING, FeedState.FAILED} or now_s < self._deadline_s:
            return []
        self._deadline_s = now_s + self.policy.handshake_timeout_s
        return self._drop(f"{self.state}_timeout")

    def on_refused(self, status: int, now_s: float) -> list[Action]:
        """Take an HTTP status in place of the upgrade to a WebSocket, then as `on_disconnected`."""
        actions: list[Action] = []
        if status in {401, 403}:
            actions = self._on_auth_failure(status, f"HTTP {status}")
            if self.state is FeedState.FAILED:
                return actions
        self._is_ghost = status == 429
        return actions + self.on_disconnected(f"http_{status}", now_s)

    def on_disconnected(self, cause: str, now_s: float) -> list[Action]:
        """Take the end of a connection, or the failure to make one."""
        actions: list[Action] = []
        if self.state is FeedState.FAILED:
            return actions
        if self.state is FeedState.STREAMING:
            actions.append(Lose(GapReason.DISCONNECTED))
        cause, self._cause = self._cause or cause, ""
        after_s = self._backoff_s()
        self._attempts += 1
        self._is_ghost = False
        self._enter(FeedState.WAITING, now_s)
        actions.append(Reconnect(after_s, cause))
        return actions

    def _on_welcome(self, now_s: float) -> list[Action]:
        if self.state is not FeedState.CONNECTING:
            return [Note("feed_message_unexpected", detail="connected")]
        self._enter(FeedState.AUTHENTICATING, now_s)
        return [self._authentication()]

    def _on_authenticated(self, now_s: float) -> list[Action]:
        """Subscribe; the venue says this unasked when the upgrade's headers carried the credentials."""
        if self.state not in {FeedState.CONNECTING, FeedState.AUTHENTICATING}:
            return []
        self._was_authenticated = True
        self._auth_failures = 0
        self._enter(FeedState.SUBSCRIBING, now_s)
        self._asked = deque([self.subscription])
        self._accepted = False
        self.symbols_refused = ()
        return [Send(self.subscription.message())]

    def _on_subscription(self, now_s: float) -> list[Action]:
        if self.state is not FeedState.SUBSCRIBING:
            return []
        self._asked.popleft()
        self._accepted = True
        return self._ask_next(now_s)

    def _ask_next(self, now_s: float) -> list[Action]:
        if self._asked:
            return [Send(self._asked[0].message())]
        self._enter(FeedState.STREAMING, now_s)
        self._streaming_since_s = now_s
        return [Resume()]

    def _on_error(self, code: int, text: str, now_s: float) -> list[Action]:
        note = Note("feed_error_received", code, text[:200])
        match code:
            case ErrorCode.NOT_AUTHENTICATED | ErrorCode.AUTH_FAILED | ErrorCode.AUTH_TIMEOUT:
                return [note, *self._on_auth_failure(code, text)]
            case ErrorCode.ALREADY_AUTHENTICATED:
                return [note]
            case ErrorCode.SYMBOL_LIMIT:
                return [note, *self._on_symbol_limit(now_s)]
            case ErrorCode.CONNECTION_LIMIT:
                self._is_ghost = True
                return [note, *self._drop("connection_limit")]
            case ErrorCode.SLOW_CLIENT:
                return [note, Lose(GapReason.SLOW_CLIENT)] if self.state is FeedState.STREAMING else [note]
            case ErrorCode.INSUFFICIENT_SUBSCRIPTION:
                expected = "a feed that the account's data subscription includes"
                return [note, self._fail("venue.feed", expected, f"409 {text}")]
            case ErrorCode.INVALID_SUBSCRIBE_ACTION:
                expected = f"a stream that offers {', '.join(self.subscription.channels)}"
                return [note, self._fail("venue.data_stream_url", expected, f"410 {text}")]
            case _:
                return [note, *self._drop(f"error_{code}")]

    def _on_auth_failure(self, code: int, text: str) -> list[Action]:
        """Fail at once with credentials that never worked; allow the venue a few errors with those that did."""
        self._auth_failures += 1
        is_hopeless = code != ErrorCode.AUTH_TIMEOUT and not self._was_authenticated
        if is_hopeless or self._auth_failures >= self.policy.auth_attempts_max:
            return [self._fail("alpaca_api_key", "credentials that the venue accepts", f"{code} {text}")]
        return self._drop(f"error_{code}")

    def _on_symbol_limit(self, now_s: float) -> list[Action]:
        """Keep what is subscribed; find by halves which symbols still fit."""
        if self.state is not FeedState.SUBSCRIBING or not self._asked:
            return []
        refused = self._asked.popleft()
        if len(refused.symbols) > 1:
            self._asked.extendleft(reversed(refused.halves()))
        else:
            self.symbols_refused += refused.symbols
            if not self._asked and not self._accepted:
                return [self._fail("symbols", "symbols within the account's data subscription", "405 symbol limit")]
        return self._ask_next(now_s)

    def _authentication(self) -> Send:
        return Send({"action": "auth", "key": self.key, "secret": self.secret})

    def _enter(self, state: FeedState, now_s: float) -> None:
        self.state = state
        self._deadline_s = now_s + self.policy.handshake_timeout_s

    def _drop(self, cause: str) -> list[Action]:
        self._cause = cause
        return [Disconnect(cause)]

    def _fail(self, key: str, expected: str, found: str) -> Fail:
        self.state = FeedState.FAILED
        return Fail(ConfigError(file=WHERE, key=key, expected=expected, found=found[:200]))

    def _backoff_s(self) -> float:
        """Full jitter, bounded; a ghost session of ours is waited out for at least its base time."""
        policy = self.policy
        exponent = min(self._attempts, 16)
        if self._is_ghost:
            ceiling_s = min(policy.ghost_s_max, policy.ghost_base_s * (1 << exponent))
            return policy.ghost_base_s + self.random() * (ceiling_s - policy.ghost_base_s)
        return self.random() * min(policy.backoff_s_max, policy.backoff_base_s * (1 << exponent))
