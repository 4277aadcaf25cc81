"""Halts and averages are said again, so that a reader that starts late knows them."""

from pathlib import Path

import pytest

from holdfast import clock
from holdfast._native import Halts, JournalName, JournalReader, JournalWriter, Quote, StatusCode, TradingStatus
from holdfast.venues.alpaca.repeated import REPEAT_RECORDS, REPEAT_S, Repeated, RepeatedHalts


def status(symbol: str, code: StatusCode) -> TradingStatus:
    return TradingStatus(symbol=symbol, status=code, reason="T1", ts_event_ns=7)


@pytest.fixture
def writer(tmp_path: Path) -> JournalWriter:
    return JournalWriter(str(tmp_path), JournalName.MARKET_DATA, now_ns=5, segment_bytes=1 << 24)


def test_only_halts_in_force_are_known_whatever_else_is_in_the_journal(writer: JournalWriter, tmp_path: Path) -> None:
    halts = Halts(JournalReader(str(tmp_path), from_seq=1))
    for record in (status("IBM", StatusCode.HALTED), Quote(symbol="IBM"), status("SPY", StatusCode.HALTED)):
        writer.append(record, ts_ns=1)
    assert not halts.is_halted("IBM")
    halts.catch_up()
    assert halts.is_halted("IBM")
    assert halts.is_halted("SPY")
    assert not halts.is_halted("QQQ")
    writer.append(status("IBM", StatusCode.LULD_BAND), ts_ns=1)
    writer.append(status("SPY", StatusCode.TRADING), ts_ns=1)
    halts.catch_up()
    assert [known.symbol for known in halts.statuses()] == ["IBM"]


def test_a_halt_is_repeated_by_time_and_by_records_until_it_ends(
    writer: JournalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    repeated = RepeatedHalts(Halts(JournalReader(str(tmp_path), from_seq=1)), Repeated(writer))
    repeated.beat()
    writer.append(status("IBM", StatusCode.HALTED), ts_ns=1)
    repeated.beat()
    assert writer.next_seq == 2
    now_s += REPEAT_S
    repeated.beat()
    assert writer.next_seq == 3
    for _ in range(REPEAT_RECORDS):
        writer.append(Quote(symbol="SPY"), ts_ns=1)
    repeated.beat()
    assert writer.next_seq == REPEAT_RECORDS + 4
    with JournalReader(str(tmp_path), from_seq=writer.next_seq - 1) as reader:
        (last,) = reader.read(10)
    assert isinstance(last, TradingStatus)
    assert (last.symbol, last.status, last.reason, last.ts_event_ns) == ("IBM", StatusCode.HALTED, "T1", 7)
    writer.append(status("IBM", StatusCode.TRADING), ts_ns=1)
    before = writer.next_seq
    now_s += REPEAT_S
    repeated.beat()
    assert writer.next_seq == before
