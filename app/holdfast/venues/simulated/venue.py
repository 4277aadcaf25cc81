"""The simulated venue: one TLS port that speaks Alpaca, one account, one market, one ledger."""

import asyncio
from pathlib import Path

from holdfast import clock
from holdfast._native import Bar, MarketHistory, MatchingEngine, Quote, TradingStatus
from holdfast.symbols import is_crypto_pair
from holdfast.venues.simulated import market_days
from holdfast.venues.simulated.accounts import Credentials, RateLimit
from holdfast.venues.simulated.answers import Refused, refuse
from holdfast.venues.simulated.books import Books
from holdfast.venues.simulated.data_rest import DataRest
from holdfast.venues.simulated.data_stream import CRYPTO_PATH, STOCK_PATHS, DataHub
from holdfast.venues.simulated.faults import Faults, FaultScript
from holdfast.venues.simulated.ledger import LedgerWriter
from holdfast.venues.simulated.operator_rest import OperatorRest
from holdfast.venues.simulated.partial_fill import PartialFills, latest_quote
from holdfast.venues.simulated.session_clock import SessionClock
from holdfast.venues.simulated.settings import E9, SimulatedVenueSettings
from holdfast.venues.simulated.sources import MarketRecord, SyntheticSource, open_source
from holdfast.venues.simulated.tls import ensure_certificate, server_context
from holdfast.venues.simulated.trade_stream import TradeUpdateHub
from holdfast.venues.simulated.trading_rest import TradingRest, asset_id_of
from holdfast.venues.simulated.wire import Connection, Request, Response, Socket, Stream

HISTORY_RECORDS_MAX = 1_000_000
BATCH_RECORDS = 256
PUMP_INTERVAL_S = 0.002
LEDGER_MARKET_INTERVAL_NS = 1_000_000_000
TRADE_STREAM_PATH = "/stream"
DATA_PREFIXES = ("/v2/stocks/", "/v1beta3/")


class SimulatedVenue:
    """Serve from `start` to `stop`; or `await run()` until cancelled.

    Invariant: everything that changes the engine is followed by `settle`, which publishes what the engine did.
    """

    def __init__(self, settings: SimulatedVenueSettings) -> None:
        self.settings = settings
        self._script = FaultScript.load(settings.faults) if settings.faults is not None else None
        self._source = open_source(settings, clock.now_ns())
        source = self._source
        speed = None if settings.is_as_fast_as_read else settings.speed
        self._clock = SessionClock(source.start_ns, source.end_ns, speed)
        self.engine = MatchingEngine(
            seed=settings.seed,
            cash_e9=settings.cash_usd * E9,
            partial_fill_ppm=settings.partial_fill_ppm,
            latency_ns_min=int(settings.latency_ms_min * 1_000_000),
            latency_ns_max=int(settings.latency_ms_max * 1_000_000),
            margin_multiplier=settings.margin_multiplier,
            fees=list(settings.fees),
        )
        for symbol in source.symbols:
            self.engine.add_asset(symbol, asset_id_of(symbol), is_crypto_pair(symbol))
        self.engine.set_session(*market_days.session_at_or_after(source.start_ns))
        self.engine.advance(source.start_ns)
        self._ledger = LedgerWriter(
            settings.ledger, self.now_ns, lambda call: asyncio.get_running_loop().call_soon(call)
        )
        credentials = Credentials(settings.key_id, settings.secret_key)
        self.credentials = credentials
        self.history = MarketHistory(HISTORY_RECORDS_MAX)
        self._books = Books()
        self.fills = PartialFills(self.engine, self.history, self.now_ns, self.settle)
        self.faults = Faults(self._ledger, fills=self.fills, market=self)
        self._operator = OperatorRest(self)
        self._trading = TradingRest(self, source.symbols)
        self._data = DataRest(self.history, self._books, self.now_ns, source.symbols)
        self._trade_updates = TradeUpdateHub(credentials, self._ledger, self.faults.order_stream)
        self._hub = DataHub(
            credentials,
            self._ledger,
            self.faults.data_stream,
            symbols=source.symbols,
            symbols_max=settings.symbols_max,
            snapshot=self._books.snapshot,
        )
        self._limits = {"trading": RateLimit(settings.rate_limit), "data": RateLimit(settings.rate_limit)}
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._market: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._market_logged_ns = 0
        self._going = asyncio.Event()
        self._going.set()
        self.is_done = False

    @property
    def port(self) -> int:
        """Where the venue listens."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Base of every path."""
        return f"https://{self.settings.host}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The authority that clients must trust."""
        return self.settings.tls_dir / "ca.pem"

    def now_ns(self) -> int:
        """Return the venue's time, ns UTC."""
        return self._clock.now_ns()

    async def start(self) -> None:
        """Listen, and let the session run."""
        settings = self.settings
        ensure_certificate(settings.tls_dir, settings.host)
        self._ledger.write(
            "venue_started",
            cash_e9=settings.cash_usd * E9,
            session=settings.session,
            seed=settings.seed,
            speed="max" if settings.is_as_fast_as_read else settings.speed,
            symbols=self._source.symbols,
            start_ns=self._source.start_ns,
            end_ns=self._source.end_ns,
        )
        if isinstance(self._source, SyntheticSource):
            self._absorb(self._source.history())
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), settings.host, settings.port, ssl=server_context(settings.tls_dir)
        )
        self._clock.start(at_ns=clock.now_ns() if settings.is_by_host_clock else None)
        if self._script is not None:
            self.faults.load(self._script)
        pump = self._run_as_read() if settings.is_as_fast_as_read else self._run_timed()
        self._market = asyncio.create_task(pump)

    async def stop(self) -> None:
        """Close every connection and the ledger."""
        self.faults.heal()
        if self._timer is not None:
            self._timer.cancel()
        if self._market is not None:
            self._market.cancel()
            await asyncio.wait({self._market})
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()
        self._ledger.close()
        if self._market is not None and not self._market.cancelled():
            self._market.result()

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve a started venue until asked to stop; a failure of the market ends it.

        Raises: whatever the market raises.
        """
        assert self._market is not None, "not started"
        waiting = asyncio.create_task(stopping.wait())
        market = self._market
        done, _ = await asyncio.wait({waiting, market}, return_when=asyncio.FIRST_COMPLETED)
        if market in done:
            market.result()
            await stopping.wait()
        waiting.cancel()

    def on_connect(self, connection: Connection) -> None:
        """Remember a connection, to close it at the end."""
        self._connections.add(connection)

    def on_disconnect(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def answer(self, request: Request) -> Response:
        """Answer a request, counted in the ledger when it arrives."""
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        if (answered := self._operator.answer(request)) is not None:
            return answered
        client = request.headers.get("user-agent", "")
        number = self._ledger.write_request(request.method, request.path, query, request.body, client=client)
        response = self.faults.http.answer(request, number, self._judge)
        self._ledger.write("answer", number=number, status=response.status)
        self._ledger.flush()
        return response

    def open_stream(self, request: Request, socket: Socket) -> Stream | Response:
        """Open the stream that the path names."""
        if request.path == TRADE_STREAM_PATH:
            return self._trade_updates.join(request, socket)
        if request.path in STOCK_PATHS or request.path == CRYPTO_PATH:
            return self._hub.join(request, socket)
        return refuse(404, 40410000, f"no stream at {request.path}")

    def _judge(self, request: Request) -> Response:
        if not self.credentials.admit(request):
            return refuse(401, 40110000, "request is not authorized")
        is_data = request.path.startswith(DATA_PREFIXES)
        is_within, headers = self._limits["data" if is_data else "trading"].take()
        if not is_within:
            response = refuse(429, 42910000, "too many requests.")
            return Response(response.status, response.body, headers)
        self.engine.advance(self.now_ns())
        self.settle()
        try:
            answered = self._data.answer(request) if is_data else self._trading.answer(request)
        except Refused as refused:
            answered = refused.response
        if answered is None:
            answered = refuse(404, 40410000, f"no such path: {request.method} {request.path}")
        return Response(answered.status, answered.body, headers)

    def settle(self) -> None:
        """Publish what the engine did, and wake again when something is due."""
        events = self.engine.take_events()
        for event in events:
            self._ledger.write_event(event)
        # What a client has seen is in the ledger's file, whoever reads it.
        self._ledger.flush()
        for event in events:
            self._trading.on_event(event)
            self._trade_updates.publish(event)
        due_ns = self.engine.next_due_ns
        if due_ns is not None and self._timer is None:
            delay_s = self._clock.host_delay_s(due_ns)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer, due_ns)

    def _on_timer(self, due_ns: int) -> None:
        self._timer = None
        self.engine.advance(max(due_ns, self.now_ns()))
        self.settle()

    def symbols(self) -> tuple[str, ...]:
        """Return every symbol."""
        return self._source.symbols

    def latest_quote(self, symbol: str) -> Quote | None:
        """Return the last quote published."""
        return latest_quote(self.history, symbol)

    def announce(self, statuses: list[TradingStatus]) -> None:
        """Publish trading statuses."""
        self._hub.publish(statuses)

    def match(self, quotes: list[Quote]) -> None:
        """Show quotes to the engine alone."""
        self.engine.advance(self.now_ns())
        self.engine.on_records(quotes)
        self.settle()

    def pause(self) -> None:
        """Publish nothing more: what was sent until now can be compared. Orders go on."""
        self._going.clear()

    def status(self) -> dict[str, object]:
        """Return the venue's counters, positions and cash (scaled by 1e-9), and how much of the session is over."""
        source = self._source
        length_ns = max(1, source.end_ns - source.start_ns)
        progress = 1.0 if self.is_done else min(1.0, (self.now_ns() - source.start_ns) / length_ns)
        return {
            "lines_read": source.lines_read,
            "quotes_sent": self._hub.sent["quotes"],
            "trades_sent": self._hub.sent["trades"],
            "bars_sent": self._hub.sent["bars"],
            "is_done": self.is_done,
            "positions_e9": {symbol: quantity_e9 for symbol, quantity_e9, _ in self.engine.quantities()},
            "cash_e9": self.engine.cash_e9,
            "progress": progress,
        }

    async def _run_timed(self) -> None:
        """Publish each record at its time."""
        ahead: list[MarketRecord] = []
        while await self._going.wait():
            if not ahead:
                ahead = list(self._source.next_records(BATCH_RECORDS))
                if not ahead:
                    break
            now_ns = self.now_ns()
            count = 0
            while count < len(ahead) and ahead[count].ts_event_ns <= now_ns:
                count += 1
            if count:
                self._publish(ahead[:count])
                del ahead[:count]
                self._hub.cut_slow_clients()
            if ahead:
                await asyncio.sleep(max(PUMP_INTERVAL_S, self._clock.host_delay_s(ahead[0].ts_event_ns)))
            else:
                await asyncio.sleep(0)
        self._end_session()

    async def _run_as_read(self) -> None:
        """Publish as fast as clients read; while nobody takes both quotes and trades, time stands still."""
        while await self._going.wait():
            while not self._hub.has_reader:
                self._hub.changed.clear()
                await self._hub.changed.wait()
            records = self._source.next_records(BATCH_RECORDS)
            if not records:
                break
            self._publish(records)
            await self._hub.drained()
            await asyncio.sleep(0)
        self._end_session()

    def _publish(self, records: list[MarketRecord]) -> None:
        self._clock.reach(records[-1].ts_event_ns)
        records = self.faults.market.source(records)
        self.engine.on_records(records)
        self._hub.publish(self.faults.market.wire([*records, *self._absorb(records)]))
        self.settle()
        now_ns = clock.monotonic_ns()
        if now_ns - self._market_logged_ns > LEDGER_MARKET_INTERVAL_NS:
            self._market_logged_ns = now_ns
            self._ledger.write("market", lines_read=self._source.lines_read, **self._sent())

    def _absorb(self, records: list[MarketRecord]) -> list[Bar]:
        self._books.on_records(records)
        return self.history.on_records(records)

    def _sent(self) -> dict[str, int]:
        return {f"{channel}_sent": count for channel, count in self._hub.sent.items()}

    def _end_session(self) -> None:
        """Close the market: the last bars go out, day orders end, the venue stays up."""
        end_ns = self._source.end_ns
        bars = self.history.advance(end_ns)
        if bars:
            self._hub.publish(bars)
        self.is_done = True
        self._clock.reach(end_ns)
        self.engine.advance(end_ns)
        self.settle()
        self._ledger.write("session_end", lines_read=self._source.lines_read, **self._sent())
