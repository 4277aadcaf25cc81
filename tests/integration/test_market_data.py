"""market-data against a scripted venue over TLS: all that is sent is journaled, every loss is marked and repaired."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fix_feed_venue import FeedVenue, Session, quote, serve_feed, trade
from fix_tls import make_certificate
from holdfast._native import Gap, GapReason, JournalReader, Quote, Trade
from holdfast.errors import ConfigError
from holdfast.journals import journal_directory
from holdfast.service import Frame
from holdfast.services import market_data
from holdfast.settings import Settings
from holdfast.venues.alpaca import feed as feed_module
from patience import PATIENCE_S

if TYPE_CHECKING:
    from holdfast._native import Record


def make_settings(
    tmp_path: Path, venue: FeedVenue, *, symbols: Iterable[str] = ("IBM",), **section: object
) -> Settings:
    return Settings.model_validate(
        {
            "state_dir": tmp_path / "state",
            "config_dir": tmp_path,
            "symbols": list(symbols),
            "alpaca_api_key": "key",
            "alpaca_api_secret": "secret",
            "venue": {
                "trading_url": venue.rest_url,
                "trading_stream_url": venue.url + "/stream",
                "data_url": venue.rest_url,
                "data_stream_url": venue.url,
                "ca_file": tmp_path / "cert.pem",
                "encoding": section.pop("encoding", "json"),
            },
            "clock": {"session_time": "venue"},
            "services": {"market_data": section},
        }
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator["asyncio.Task[None]"]:
    """Run the service; at the end it must stop cleanly unless it has failed already."""
    frame = Frame(name="market-data", settings=settings)
    task = asyncio.create_task(market_data.run(frame))
    try:
        yield task
    finally:
        frame.stopping.set()
        if not task.done():
            await asyncio.wait_for(task, PATIENCE_S)


class Journal:
    """Reads the journal as it grows."""

    def __init__(self, settings: Settings) -> None:
        self._directory = str(journal_directory(settings, "market_data"))
        self.records: list[Record] = []
        self._reader: JournalReader | None = None

    async def until(self, count: int) -> "list[Record]":
        """Return all records once there are `count`."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.records) < count:
                if self._reader is None:
                    self._reader = JournalReader(self._directory, wait_s=PATIENCE_S)
                self.records += self._reader.read(count)
                await asyncio.sleep(0.002)
        return self.records

    async def gap(self, *, is_repaired: bool) -> Gap:
        """Return the first gap record that is or is not a repair."""
        count = 1
        while True:
            for record in await self.until(count):
                if isinstance(record, Gap) and bool(record.is_repaired) is is_repaired:
                    return record
            count = len(self.records) + 1

    def of(self, kind: "type[Record]") -> "list[Record]":
        return [record for record in self.records if isinstance(record, kind)]


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[FeedVenue]:
    async with serve_feed(make_certificate(tmp_path)) as served:
        yield served


async def subscribed(venue: FeedVenue) -> Session:
    async with asyncio.timeout(PATIENCE_S):
        session = await venue.session()
        await session.subscribe()
    return session


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_every_message_is_journaled_once_in_order(tmp_path: Path, venue: FeedVenue, encoding: str) -> None:
    settings = make_settings(tmp_path, venue, encoding=encoding)
    async with running(settings):
        session = await subscribed(venue)
        assert session.encoding == encoding
        journal = Journal(settings)
        for number in range(0, 200, 4):
            session.send(quote(number), trade(number + 1), quote(number + 2), quote(number + 3))
        records = await journal.until(200)
        assert len(records) == 200
        assert [record.trade_id for record in journal.of(Trade) if isinstance(record, Trade)] == list(range(1, 200, 4))
        assert all(record.origin_ns == record.ts_ns > 0 for record in records)


async def test_a_cut_line_is_a_gap_and_history_fills_it(tmp_path: Path, venue: FeedVenue) -> None:
    settings = make_settings(tmp_path, venue)
    sent = [trade(number) for number in range(20)]
    venue.history = sent
    async with running(settings):
        session = await subscribed(venue)
        journal = Journal(settings)
        session.send(*sent[:5])
        await journal.until(5)
        session.transport.disconnect(graceful=False)
        gap = await journal.gap(is_repaired=False)
        assert (gap.symbol, gap.reason, gap.to_ns) == ("", GapReason.DISCONNECTED, 0)
        session = await subscribed(venue)
        session.send(*sent[15:])
        repaired = await journal.gap(is_repaired=True)
    assert (repaired.from_ns, repaired.missed_count) == (gap.from_ns, 10)
    trades = [record for record in journal.of(Trade) if isinstance(record, Trade)]
    assert sorted(record.trade_id for record in trades) == list(range(20))
    recovered = [record.trade_id for record in trades if record.origin_ns == 0]
    assert recovered == list(range(5, 15))
    assert repaired.seq > max(record.seq for record in trades if record.origin_ns == 0)


async def test_a_restart_is_a_gap_from_the_last_journaled_event(tmp_path: Path, venue: FeedVenue) -> None:
    settings = make_settings(tmp_path, venue)
    sent = [trade(number) for number in range(12)]
    venue.history, venue.page_items = sent, 2
    journal = Journal(settings)
    async with running(settings):
        (await subscribed(venue)).send(*sent[:4])
        await journal.until(4)
    async with running(settings):
        session = await subscribed(venue)
        gap = await journal.gap(is_repaired=False)
        assert gap.reason is GapReason.RESTARTED
        session.send(*sent[10:])
        repaired = await journal.gap(is_repaired=True)
    assert repaired.missed_count == 6
    assert sorted(record.trade_id for record in journal.of(Trade) if isinstance(record, Trade)) == list(range(12))


async def test_the_first_start_is_no_gap(tmp_path: Path, venue: FeedVenue) -> None:
    settings = make_settings(tmp_path, venue)
    async with running(settings):
        (await subscribed(venue)).send(quote(1))
        records = await Journal(settings).until(1)
    assert [type(record) for record in records] == [Quote]


async def test_a_gap_stays_open_until_history_answers(
    tmp_path: Path, venue: FeedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_data, "REPAIR_RETRY_S_MIN", 0.001)
    settings = make_settings(tmp_path, venue)
    venue.history_status = 503
    async with running(settings):
        session = await subscribed(venue)
        journal = Journal(settings)
        session.send(quote(1))
        await journal.until(1)
        session.error(407, "slow client")
        await journal.gap(is_repaired=False)
        session.send(quote(9))
        for _ in range(3):
            await asyncio.wait_for(venue.history_asked.get(), PATIENCE_S)
        assert not any(isinstance(record, Gap) and record.is_repaired for record in journal.records)
        venue.history_status = 200
        repaired = await journal.gap(is_repaired=True)
    assert repaired.reason is GapReason.SLOW_CLIENT
    assert repaired.missed_count == 0


async def test_a_loss_while_a_gap_is_being_filled_is_told_and_filled_too(
    tmp_path: Path, venue: FeedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_data, "REPAIR_RETRY_S_MIN", 0.001)
    settings = make_settings(tmp_path, venue)
    sent = [quote(number) for number in range(12)]
    venue.history, venue.history_status = sent, 503
    async with running(settings):
        journal = Journal(settings)
        for number in (0, 4):
            session = await subscribed(venue)
            session.send(sent[number])
            await journal.until(1 + number // 2)
            session.transport.disconnect(graceful=False)
            first, *_, last = await journal.until(2 + number // 2)
            assert isinstance(first, Quote)
            assert isinstance(last, Gap)
            assert (last.to_ns, last.is_repaired, last.from_ns) == (0, 0, first.ts_event_ns)
        (await subscribed(venue)).send(sent[11])
        venue.history_status = 200
        repaired = await journal.gap(is_repaired=True)
    assert repaired.missed_count == 9
    assert isinstance(first, Quote)
    assert repaired.from_ns == first.ts_event_ns
    found = [record.ts_event_ns for record in journal.of(Quote) if isinstance(record, Quote)]
    assert len(found) == len(set(found)) == len(sent)


async def test_a_malformed_message_is_dropped_and_the_others_kept(tmp_path: Path, venue: FeedVenue) -> None:
    settings = make_settings(tmp_path, venue)
    async with running(settings):
        session = await subscribed(venue)
        journal = Journal(settings)
        session.send(quote(1))
        await journal.until(1)
        session.send(quote(2), {**quote(3), "bp": "NaN"}, quote(4))
        gap = await journal.gap(is_repaired=False)
        session.send(quote(5))
        await journal.gap(is_repaired=True)
    assert gap.reason is GapReason.MALFORMED
    assert len(journal.of(Quote)) == 4


async def test_refused_credentials_end_the_service_with_a_configuration_error(tmp_path: Path, venue: FeedVenue) -> None:
    settings = make_settings(tmp_path, venue)
    async with running(settings) as task:
        session = await venue.session()
        session.send({"T": "success", "msg": "connected"})
        await session.expect("auth")
        session.error(402, "auth failed")
        with pytest.raises(ConfigError) as caught:
            await asyncio.wait_for(task, PATIENCE_S)
    assert caught.value.key == "alpaca_api_key"


async def test_a_refused_upgrade_is_tried_again(tmp_path: Path, venue: FeedVenue) -> None:
    venue.refuse_status = 503
    settings = make_settings(tmp_path, venue)
    async with running(settings):
        for _ in range(2):
            assert await asyncio.wait_for(venue.attempts.get(), PATIENCE_S) == 503
        venue.refuse_status = 0
        (await subscribed(venue)).send(quote(1))
        await Journal(settings).until(1)


async def test_a_half_open_connection_is_noticed(
    tmp_path: Path, venue: FeedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PING_IDLE_S", 0.05)
    monkeypatch.setattr(feed_module, "PONG_TIMEOUT_S", 0.05)
    settings = make_settings(tmp_path, venue)
    async with running(settings):
        session = await subscribed(venue)
        journal = Journal(settings)
        session.send(quote(1))
        await journal.until(1)
        session.transport.underlying_transport.pause_reading()
        gap = await journal.gap(is_repaired=False)
        assert gap.reason is GapReason.DISCONNECTED
        await subscribed(venue)
        session.transport.underlying_transport.abort()


async def test_a_mute_stream_is_stale_and_connected_anew(tmp_path: Path, venue: FeedVenue) -> None:
    settings = make_settings(tmp_path, venue, stale_after_s=0.3)
    async with running(settings):
        session = await subscribed(venue)
        journal = Journal(settings)
        session.send(quote(1))
        await journal.until(1)
        gap = await journal.gap(is_repaired=False)
        assert (gap.reason, gap.channel.label) == (GapReason.STALE, "quotes")
        await subscribed(venue)
        assert session.ended.is_set()


async def test_a_clean_stop_closes_the_session_at_the_venue(tmp_path: Path, venue: FeedVenue) -> None:
    settings = make_settings(tmp_path, venue)
    async with running(settings):
        session = await subscribed(venue)
    await asyncio.wait_for(session.ended.wait(), PATIENCE_S)
    assert session.transport.close_handshake.recv is not None


async def test_two_streams_mark_their_gaps_by_symbol(tmp_path: Path, venue: FeedVenue) -> None:
    settings = make_settings(tmp_path, venue, symbols=("IBM", "BTC/USD"))
    async with running(settings):
        sessions = {}
        for _ in range(2):
            session = await venue.session()
            asked = await session.welcome()
            session.send({"T": "subscription"})
            symbols = asked["quotes"]
            assert isinstance(symbols, list)
            sessions[symbols[0]] = session
        journal = Journal(settings)
        sessions["IBM"].send(quote(1))
        await journal.until(1)
        sessions["IBM"].transport.disconnect(graceful=False)
        gap = await journal.gap(is_repaired=False)
    assert gap.symbol == "IBM"
