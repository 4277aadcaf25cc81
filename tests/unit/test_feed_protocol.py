"""The data stream's protocol: what each message of the venue makes the client do."""

from collections.abc import Iterator

import pytest

from holdfast._native import GapReason
from holdfast.errors import ConfigError
from holdfast.venues.alpaca.feed_protocol import (
    Action,
    Disconnect,
    ErrorCode,
    Fail,
    FeedPolicy,
    FeedProtocol,
    FeedState,
    Lose,
    Note,
    Reconnect,
    Resume,
    Send,
    Subscription,
)

SUBSCRIPTION = Subscription(channels=("trades", "quotes"), symbols=("IBM", "BAC", "SPY"))


def make(*, jitter: float = 1.0, symbols: tuple[str, ...] = SUBSCRIPTION.symbols) -> FeedProtocol:
    subscription = Subscription(channels=SUBSCRIPTION.channels, symbols=symbols)
    return FeedProtocol(key="K", secret="S", subscription=subscription, random=lambda: jitter)


def control(protocol: FeedProtocol, kind: str, *, code: int = 0, text: str = "", now_s: float = 0.0) -> list[Action]:
    return protocol.on_control(kind, code, text, now_s=now_s)


def authenticated(protocol: FeedProtocol, now_s: float = 0.0) -> FeedProtocol:
    protocol.on_connecting(now_s)
    control(protocol, "success", text="connected", now_s=now_s)
    control(protocol, "success", text="authenticated", now_s=now_s)
    return protocol


def streaming(protocol: FeedProtocol, now_s: float = 0.0) -> FeedProtocol:
    control(authenticated(protocol, now_s), "subscription", now_s=now_s)
    return protocol


def reconnect_s(actions: list[Action]) -> float:
    return next(action.after_s for action in actions if isinstance(action, Reconnect))


def sent_symbols(actions: list[Action]) -> Iterator[tuple[str, ...]]:
    for action in actions:
        if isinstance(action, Send):
            symbols = action.message["quotes"]
            assert isinstance(symbols, list)
            yield tuple(symbols)


def test_a_welcome_is_answered_with_credentials_and_those_with_the_subscription() -> None:
    protocol = make()
    protocol.on_connecting(0.0)
    assert control(protocol, "success", text="connected") == [Send({"action": "auth", "key": "K", "secret": "S"})]
    everything = ["IBM", "BAC", "SPY"]
    assert control(protocol, "success", text="authenticated") == [
        Send({"action": "subscribe", "trades": everything, "quotes": everything})
    ]
    assert control(protocol, "subscription") == [Resume()]
    assert protocol.state is FeedState.STREAMING


def test_authentication_by_headers_skips_the_message() -> None:
    protocol = make()
    protocol.on_connecting(0.0)
    assert isinstance(control(protocol, "success", text="authenticated")[0], Send)
    assert protocol.state is FeedState.SUBSCRIBING


@pytest.mark.parametrize("code", [ErrorCode.NOT_AUTHENTICATED, ErrorCode.AUTH_FAILED])
def test_credentials_that_never_worked_are_a_configuration_error(code: int) -> None:
    protocol = make()
    protocol.on_connecting(0.0)
    control(protocol, "success", text="connected")
    note, fail = control(protocol, "error", code=code, text="auth failed")
    assert note == Note("feed_error_received", code, "auth failed")
    assert isinstance(fail, Fail)
    assert isinstance(fail.error, ConfigError)
    assert fail.error.key == "alpaca_api_key"
    assert protocol.on_disconnected("closed", 0.0) == []


def test_credentials_that_worked_before_are_tried_again_a_bounded_number_of_times() -> None:
    protocol = streaming(make())
    protocol.on_disconnected("closed", 1.0)
    for _ in range(FeedPolicy().auth_attempts_max - 1):
        protocol.on_connecting(2.0)
        control(protocol, "success", text="connected")
        assert control(protocol, "error", code=402)[-1] == Disconnect("error_402")
        protocol.on_disconnected("closed", 2.0)
    protocol.on_connecting(3.0)
    assert isinstance(control(protocol, "error", code=402)[-1], Fail)


def test_a_late_authentication_is_tried_again() -> None:
    protocol = make()
    protocol.on_connecting(0.0)
    assert control(protocol, "error", code=404)[-1] == Disconnect("error_404")
    assert protocol.on_disconnected("closed", 0.0)[-1] == Reconnect(0.25, "error_404")


def test_already_authenticated_is_harmless() -> None:
    protocol = authenticated(make())
    assert control(protocol, "error", code=403, text="already") == [Note("feed_error_received", 403, "already")]
    assert control(protocol, "subscription") == [Resume()]


def test_the_symbol_limit_leaves_out_only_the_symbols_that_do_not_fit() -> None:
    protocol = authenticated(make(symbols=("A", "B", "C", "D")))
    room, refused = {"A", "B", "D"}, 0
    outstanding: list[tuple[str, ...]] = [("A", "B", "C", "D")]
    while outstanding:
        symbols = outstanding.pop()
        if set(symbols) <= room:
            actions = control(protocol, "subscription")
        else:
            refused += 1
            actions = control(protocol, "error", code=405, text="symbol limit exceeded")
        outstanding.extend(sent_symbols(actions))
    assert protocol.state is FeedState.STREAMING
    assert protocol.symbols_refused == ("C",)
    assert refused == 3


def test_no_symbol_within_the_limit_is_a_configuration_error() -> None:
    protocol = authenticated(make(symbols=("A",)))
    fail = control(protocol, "error", code=405)[-1]
    assert isinstance(fail, Fail)
    assert isinstance(fail.error, ConfigError)
    assert fail.error.key == "symbols"


def test_the_symbol_limit_while_streaming_changes_nothing() -> None:
    protocol = streaming(make())
    assert control(protocol, "error", code=405) == [Note("feed_error_received", 405)]
    assert protocol.state is FeedState.STREAMING


def test_a_ghost_session_is_waited_out_with_pauses_of_at_most_thirty_seconds() -> None:
    protocol = make()
    waits = []
    for _ in range(8):
        protocol.on_connecting(0.0)
        assert control(protocol, "error", code=406)[-1] == Disconnect("connection_limit")
        waits.append(reconnect_s(protocol.on_disconnected("closed", 0.0)))
    assert waits == [5.0, 10.0, 20.0, 30.0, 30.0, 30.0, 30.0, 30.0]


def test_the_backoff_has_full_jitter_and_a_bound() -> None:
    longest, shortest = make(jitter=1.0), make(jitter=0.0)
    waits = [reconnect_s(longest.on_disconnected("refused", 0.0)) for _ in range(12)]
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert waits[-1] == FeedPolicy().backoff_s_max
    assert [reconnect_s(shortest.on_disconnected("refused", 0.0)) for _ in range(12)] == [0.0] * 12


def test_a_connection_that_proves_healthy_ends_the_backoff() -> None:
    protocol = make()
    for _ in range(6):
        protocol.on_disconnected("refused", 0.0)
    streaming(protocol, now_s=10.0)
    protocol.on_timer(10.0 + FeedPolicy().healthy_after_s - 1)
    assert protocol.on_disconnected("closed", 40.0)[-1] == Reconnect(16.0, "closed")
    streaming(protocol, now_s=100.0)
    assert protocol.on_timer(100.0 + FeedPolicy().healthy_after_s) == []
    assert protocol.on_disconnected("closed", 140.0) == [Lose(GapReason.DISCONNECTED), Reconnect(0.25, "closed")]


def test_a_slow_client_has_lost_data_and_keeps_the_connection() -> None:
    protocol = streaming(make())
    assert control(protocol, "error", code=407) == [Note("feed_error_received", 407), Lose(GapReason.SLOW_CLIENT)]
    assert protocol.state is FeedState.STREAMING


@pytest.mark.parametrize(("code", "key"), [(409, "venue.feed"), (410, "venue.data_stream_url")])
def test_a_feed_that_the_account_lacks_is_a_configuration_error(code: int, key: str) -> None:
    fail = control(authenticated(make()), "error", code=code)[-1]
    assert isinstance(fail, Fail)
    assert isinstance(fail.error, ConfigError)
    assert fail.error.key == key


@pytest.mark.parametrize("code", [400, 500, 599])
def test_other_errors_reconnect(code: int) -> None:
    protocol = streaming(make())
    assert control(protocol, "error", code=code)[-1] == Disconnect(f"error_{code}")
    assert protocol.on_disconnected("closed", 1.0) == [
        Lose(GapReason.DISCONNECTED),
        Reconnect(0.25, f"error_{code}"),
    ]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_handshake_that_hangs_is_ended(steps: int) -> None:
    protocol = make()
    protocol.on_connecting(0.0)
    for text in ("connected", "authenticated")[:steps]:
        control(protocol, "success", text=text)
    assert protocol.on_timer(9.9) == []
    (action,) = protocol.on_timer(10.0)
    assert isinstance(action, Disconnect)
    assert action.cause.endswith("_timeout")


def test_a_refused_upgrade_with_credentials_that_never_worked_fails() -> None:
    protocol = make()
    protocol.on_connecting(0.0)
    assert isinstance(protocol.on_refused(401, 0.0)[-1], Fail)


def test_too_many_requests_at_the_upgrade_wait_like_a_ghost_session() -> None:
    protocol = make()
    protocol.on_connecting(0.0)
    assert protocol.on_refused(429, 0.0) == [Reconnect(5.0, "http_429")]


def test_unknown_control_messages_are_counted_and_change_nothing() -> None:
    protocol = streaming(make())
    (note,) = control(protocol, "surprise", text="x" * 500)
    assert isinstance(note, Note)
    assert len(note.detail) <= 200
    assert protocol.state is FeedState.STREAMING
