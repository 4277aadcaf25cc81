"""Gaps and staleness: when market data counts as missing, and until when."""

from holdfast._native import Channel, GapReason
from holdfast.venues.alpaca.gaps import GapLedger, Loss, Staleness


def lose(ledger: GapLedger, channel: Channel = Channel.ALL, *, from_ns: int = 100) -> Loss | None:
    return ledger.lose(GapReason.DISCONNECTED, channel=channel, from_ns=from_ns, from_seq=7)


def bound(ledger: GapLedger, *, at_ns: int, channel: Channel = Channel.QUOTES) -> list[Loss]:
    return ledger.bound(ts_event_ns=at_ns, seq=9, channel=channel)


def test_a_gap_ends_with_the_first_event_after_it() -> None:
    ledger = GapLedger()
    loss = lose(ledger)
    assert loss is not None
    assert ledger.is_open
    assert ledger.waiting() is None
    assert [(gap.symbol, gap.from_ns, gap.to_ns, gap.is_repaired) for gap in loss.records(())] == [("", 100, 0, 0)]
    assert bound(ledger, at_ns=250, channel=Channel.TRADES) == [loss]
    assert not ledger.is_open
    assert ledger.waiting() is loss
    assert ledger.fill(loss, end_ns=250, end_seq=9, count=3)
    assert len(ledger) == 0
    (gap,) = loss.records(("IBM",), is_repaired=True)
    assert (gap.symbol, gap.to_ns, gap.missed_count, gap.is_repaired) == ("IBM", 250, 3, 1)


def test_a_loss_inside_an_open_gap_is_part_of_it() -> None:
    ledger = GapLedger()
    assert lose(ledger) is not None
    assert lose(ledger, Channel.QUOTES) is None
    assert lose(ledger) is None
    assert len(ledger) == 1


def test_a_loss_during_the_repair_makes_the_gap_longer() -> None:
    ledger = GapLedger()
    loss = lose(ledger)
    assert loss is not None
    assert not loss.is_longer
    bound(ledger, at_ns=250)
    assert lose(ledger, from_ns=300) is loss
    assert loss.is_longer
    assert lose(ledger, from_ns=300) is None
    assert [(gap.from_ns, gap.to_ns, gap.is_repaired) for gap in loss.records(())] == [(100, 0, 0)]
    assert ledger.is_open
    assert not ledger.fill(loss, end_ns=250, end_seq=9, count=3)
    assert ledger.waiting() is None
    bound(ledger, at_ns=400)
    assert (loss.from_ns, loss.filled_ns, loss.to_ns) == (100, 250, 400)
    assert ledger.fill(loss, end_ns=400, end_seq=9, count=2)
    assert loss.missed_count == 5


def test_nothing_is_missing_before_the_first_event() -> None:
    ledger = GapLedger()
    assert lose(ledger, from_ns=0) is None
    assert not ledger.is_open


def test_a_stale_channel_resumes_only_with_its_own_events() -> None:
    ledger = GapLedger()
    loss = lose(ledger, Channel.QUOTES)
    assert bound(ledger, at_ns=200, channel=Channel.TRADES) == []
    assert ledger.is_open
    assert bound(ledger, at_ns=300) == [loss]


def test_a_gap_never_ends_before_it_begins() -> None:
    ledger = GapLedger()
    lose(ledger, from_ns=500)
    (loss,) = bound(ledger, at_ns=400)
    assert loss.to_ns == 500


def quiet(*, now_s: float = 0.0) -> Staleness:
    staleness = Staleness(channels=(Channel.QUOTES, Channel.TRADES), stale_after_s=10.0)
    staleness.start(now_s)
    return staleness


def test_a_channel_is_stale_once_it_has_been_quiet_for_the_bound() -> None:
    staleness = quiet()
    counts = {Channel.QUOTES: 1, Channel.TRADES: 1}
    assert staleness.measure(counts, is_open=True, now_s=1.0) == []
    assert staleness.measure(counts, is_open=True, now_s=10.9) == []
    assert staleness.measure(counts, is_open=True, now_s=11.0) == [Channel.QUOTES]
    assert staleness.measure(counts, is_open=True, now_s=12.0) == []
    assert staleness.measure(counts, is_open=True, now_s=51.0) == [Channel.TRADES]


def test_a_message_ends_staleness() -> None:
    staleness = quiet()
    assert staleness.measure({}, is_open=True, now_s=10.0) == [Channel.QUOTES]
    assert staleness.measure({Channel.QUOTES: 1}, is_open=True, now_s=11.0) == []
    assert not staleness.stale
    assert staleness.measure({Channel.QUOTES: 1}, is_open=True, now_s=21.0) == [Channel.QUOTES]


def test_a_closed_session_does_not_age_a_channel() -> None:
    staleness = quiet()
    assert staleness.measure({}, is_open=True, now_s=6.0) == []
    assert staleness.measure({}, is_open=False, now_s=60_000.0) == []
    assert staleness.measure({}, is_open=True, now_s=60_003.0) == []
    assert staleness.measure({}, is_open=True, now_s=60_004.0) == [Channel.QUOTES]


def test_a_stream_is_mute_when_every_channel_is_quiet() -> None:
    staleness = quiet()
    staleness.measure({Channel.TRADES: 1}, is_open=True, now_s=5.0)
    staleness.measure({Channel.TRADES: 1}, is_open=True, now_s=12.0)
    assert not staleness.is_mute(12.0)
    assert staleness.is_mute(15.0)
    assert not Staleness(channels=(), stale_after_s=1.0).is_mute(100.0)
