"""The demo in the terminal: quotes, positions, profit, decisions, latency, state, progress."""

from collections import Counter, deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from holdfast._native import (
    Decision,
    Fill,
    JournalReader,
    OrderEvent,
    OrderEventKind,
    PositionBook,
    Quote,
    TradingState,
    TradingStateCode,
    Verdict,
)
from holdfast.demo.run import Progress
from holdfast.demo.summary import percentiles
from holdfast.journals import open_reader
from holdfast.settings import Settings

QUOTES_SHOWN_MAX = 2_000
FILLS_SHOWN_MAX = 8
LATENCIES_MAX = 2_000
E9 = 10**9


class View:
    """What the screen shows, followed from the journals; amounts scaled by 1e-9."""

    def __init__(self, settings: Settings) -> None:
        self.quotes: dict[str, Quote] = {}
        self.positions = PositionBook()
        self.decisions: Counter[str] = Counter()
        self.fills: deque[Fill] = deque(maxlen=FILLS_SHOWN_MAX)
        self.fill_count = 0
        self.tick_to_wire_ns: deque[int] = deque(maxlen=LATENCIES_MAX)
        self.state = TradingStateCode.NONE
        self._readers: dict[str, JournalReader] = {
            name: open_reader(settings, name, wait_s=0) for name in ("market_data", "orders", "executions")
        }

    def follow(self) -> None:
        """Read what was journaled since the last call; of the market only the newest records."""
        market = self._readers["market_data"]
        market.seek(max(market.next_seq, market.last_seq - QUOTES_SHOWN_MAX))
        for record in market.read(QUOTES_SHOWN_MAX):
            if isinstance(record, Quote):
                self.quotes[record.symbol] = record
                self.positions.apply(record)
        for name in ("orders", "executions"):
            for record in self._readers[name].read(QUOTES_SHOWN_MAX):
                self._apply(record)

    def profit_e9(self) -> int:
        """Return realized and unrealized profit, net of fees."""
        return self.positions.realized_pnl_e9 + self.positions.unrealized_pnl_e9

    def quantity_e9(self, symbol: str) -> int:
        """Return the signed quantity of a symbol."""
        position = self.positions.get(symbol)
        return position.quantity_e9 if position else 0

    def _apply(self, record: object) -> None:
        if isinstance(record, Decision):
            is_approved = record.verdict is Verdict.APPROVED
            self.decisions["approved" if is_approved else record.rule.label] += 1
        elif isinstance(record, TradingState):
            self.state = record.state
        elif isinstance(record, OrderEvent):
            if record.kind is OrderEventKind.SUBMITTING and record.origin_ns:
                self.tick_to_wire_ns.append(record.ts_ns - record.origin_ns)
        elif isinstance(record, Fill):
            self.positions.apply(record)
            self.fills.appendleft(record)
            self.fill_count += 1


class Display:
    """A live screen; on a terminal that cannot, a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._view: View | None = None
        self._line_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Draw the present state."""
        self._view = self._view or View(progress.host.settings)
        self._view.follow()
        if self._console.is_terminal:
            self._live.update(draw(self._view, progress), refresh=True)
        elif progress.elapsed_s - self._line_s >= 1:
            self._line_s = progress.elapsed_s
            done = "" if progress.fraction is None else f" {progress.fraction:4.0%}"
            self._console.print(
                f"{progress.elapsed_s:6.1f} s {progress.phase}{done}: fills {self._view.fill_count},"
                f" profit {money(self._view.profit_e9())} USD, state {self._view.state.label or 'starting'}",
            )


def draw(view: View, progress: Progress) -> Group:
    """Lay the view out."""
    quotes = Table(title="Market", expand=True)
    for heading in ("symbol", "bid", "ask", "position"):
        quotes.add_column(heading, justify="left" if heading == "symbol" else "right")
    for symbol, quote in sorted(view.quotes.items()):
        bid, ask = money(quote.bid_price_e9), money(quote.ask_price_e9)
        quotes.add_row(symbol, bid, ask, f"{view.quantity_e9(symbol) / E9:g}")
    fills = Table(title="Fills", expand=True)
    for heading in ("symbol", "side", "quantity", "price", "strategy"):
        fills.add_column(heading, justify="right" if heading in {"quantity", "price"} else "left")
    for fill in view.fills:
        quantity = f"{fill.quantity_e9 / E9:g}"
        fills.add_row(fill.symbol, fill.side.label, quantity, money(fill.price_e9), fill.strategy)
    top = Table.grid(expand=True)
    top.add_column(ratio=1)
    top.add_column(ratio=1)
    top.add_row(quotes, fills)
    return Group(top, Panel(_facts(view, progress), title=f"Holdfast: {progress.phase}"), _bar(progress))


def money(amount_e9: int) -> str:
    """Return an amount with two decimals, rounded half away from zero."""
    cents = (abs(amount_e9) + 5_000_000) // 10_000_000
    return f"{'-' if amount_e9 < 0 else ''}{cents // 100:,}.{cents % 100:02d}"


def _facts(view: View, progress: Progress) -> Text:
    latency = percentiles(view.tick_to_wire_ns)
    decided = ", ".join(f"{reason} {count}" for reason, count in view.decisions.most_common(6))
    return Text(
        f"state {view.state.label or 'starting'}   profit {money(view.profit_e9())} USD   fills {view.fill_count}\n"
        f"decisions: {decided or 'none yet'}\n"
        f"tick to wire: p50 {latency['p50'] / 1000:.0f} us, p99 {latency['p99'] / 1000:.0f} us, n {latency['n']}\n"
        f"configuration: {progress.host.config_dir}",
    )


def _bar(progress: Progress) -> ProgressBar | Text:
    if progress.fraction is None:
        return Text(f"{progress.elapsed_s:.0f} s, Ctrl-C ends it")
    return ProgressBar(total=1.0, completed=min(progress.fraction, 1.0))
