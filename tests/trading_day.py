"""A small trading day, written into real journals as the services would."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path
from typing import Any

from holdfast import _native as native
from holdfast.journals import WRITERS, open_writer
from holdfast.settings import Settings

START_NS = 1_763_994_600_000_000_000  # 2025-11-24 09:30 in New York
# The venue has not named the order yet.
ABSENT_ID = str(uuid.UUID(int=0))


def make_settings(state_dir: Path, **over: object) -> Settings:
    """The settings of a host that trades with a simulated venue nobody calls here."""
    return Settings.model_validate(
        {
            "state_dir": state_dir,
            "config_dir": state_dir,
            "symbols": ["AAPL", "MSFT"],
            "venue": {
                "trading_url": "https://127.0.0.1:1",
                "trading_stream_url": "wss://127.0.0.1:1/stream",
                "data_url": "https://127.0.0.1:1",
                "data_stream_url": "wss://127.0.0.1:1",
            },
            "journal": {"segment_mib": 1},
            "strategies": [{"name": "steady", "entry_point": "steady", "symbols": ["AAPL"]}],
            **over,
        }
    )


class Day:
    """Writes records of a trading day as the services would; one intent, decision, order and fill at a time."""

    def __init__(self, settings: Settings, *journals: str) -> None:
        self.settings = settings
        self.writers = {name: open_writer(settings, name) for name in journals or WRITERS}
        self.ts_ns = START_NS
        self._numbers = itertools.count(1)

    def write(self, journal: str, record: native.Record, ts_ns: int = 0, origin_ns: int = 0) -> int:
        """Append a record one millisecond after the one before."""
        self.ts_ns += 1_000_000
        return self.writers[journal].append(record, ts_ns=ts_ns or self.ts_ns, origin_ns=origin_ns)

    def quote(
        self,
        symbol: str = "AAPL",
        bid_e9: int = 99_990_000_000,
        ask_e9: int = 100_010_000_000,
        *,
        is_recovered: bool = False,
    ) -> int:
        """Append a quote, from the stream or from history."""
        sizes: dict[str, Any] = {"bid_size_e9": 100_000_000_000, "ask_size_e9": 100_000_000_000}
        quote = native.Quote(symbol=symbol, ts_event_ns=self.ts_ns, bid_price_e9=bid_e9, ask_price_e9=ask_e9, **sizes)
        return self.write("market_data", quote, origin_ns=0 if is_recovered else self.ts_ns)

    def wish(self, side: native.Side, symbol: str = "AAPL") -> int:
        """Append a signal and its intent; returns the intent's seq."""
        common: dict[str, Any] = {"strategy": "steady", "symbol": symbol, "ts_event_ns": self.ts_ns, "side": side}
        signal_seq = self.write("signals", native.Signal(strength_e9=500_000_000, **common))
        intent = native.OrderIntent(
            signal_seq=signal_seq, quantity_e9=10_000_000_000, action=native.IntentAction.NEW, **common
        )
        return self.write("signals", intent)

    def deny(self, rule: native.Reason = native.Reason.QUOTE_STALE, symbol: str = "AAPL") -> int:
        """Append an intent and its denial."""
        intent_seq = self.wish(native.Side.BUY, symbol)
        denial = native.Decision(
            strategy="steady",
            symbol=symbol,
            intent_seq=intent_seq,
            side=native.Side.BUY,
            verdict=native.Verdict.DENIED,
            rule=rule,
            limit_e9=1_000_000_000,
            value_e9=2_000_000_000,
        )
        return self.write("orders", denial)

    def order(
        self,
        side: native.Side,
        price_e9: int,
        *,
        quantity_e9: int = 10_000_000_000,
        symbol: str = "AAPL",
        is_reduction: bool = False,
    ) -> str:
        """Append everything from a signal to a filled order; returns the client order id."""
        number = next(self._numbers)
        intent_seq = self.wish(side, symbol)
        client_order_id = f"hf-{self.writers['orders'].epoch:x}-{self.writers['orders'].next_seq:x}"
        common: dict[str, Any] = {"strategy": "steady", "symbol": symbol, "side": side}
        common["client_order_id"] = client_order_id
        kinds: dict[str, Any] = {
            "order_type": native.OrderType.LIMIT,
            "time_in_force": native.TimeInForce.DAY,
            "order_class": native.OrderClass.SIMPLE,
        }
        decision_seq = self.write(
            "orders",
            native.Decision(
                intent_seq=intent_seq,
                verdict=native.Verdict.APPROVED,
                action=native.IntentAction.NEW,
                quantity_e9=quantity_e9,
                limit_price_e9=price_e9,
                is_reduction=int(is_reduction),
                **common,
                **kinds,
            ),
        )
        venue_order_id = str(uuid.UUID(int=number))
        event: dict[str, Any] = {
            **common,
            **kinds,
            "venue_order_id": venue_order_id,
            "decision_seq": decision_seq,
            "quantity_e9": quantity_e9,
            "limit_price_e9": price_e9,
        }
        steps: tuple[tuple[native.OrderEventKind, native.OrderStatus, dict[str, Any]], ...] = (
            (native.OrderEventKind.SUBMITTING, native.OrderStatus.SUBMITTING, {"venue_order_id": ABSENT_ID}),
            (native.OrderEventKind.ACCEPTED, native.OrderStatus.NEW, {}),
        )
        for kind, status, over in steps:
            fields = {**event, **over, "ts_event_ns": self.ts_ns}
            self.write("executions", native.OrderEvent(kind=kind, status=status, **fields))
        self.write(
            "executions",
            native.Fill(
                execution_id=str(uuid.UUID(int=1_000_000 + number)),
                venue_order_id=venue_order_id,
                ts_event_ns=self.ts_ns,
                quantity_e9=quantity_e9,
                price_e9=price_e9,
                fee_e9=10_000_000,
                **common,
            ),
            origin_ns=self.ts_ns - 50_000,
        )
        event |= {"filled_quantity_e9": quantity_e9, "average_price_e9": price_e9, "ts_event_ns": self.ts_ns}
        kind, status = native.OrderEventKind.UPDATED, native.OrderStatus.FILLED
        self.write("executions", native.OrderEvent(kind=kind, status=status, **event))
        return client_order_id

    def close(self) -> None:
        """Close the writers."""
        for writer in self.writers.values():
            writer.close()
