"""What happened at the venue, line by line: the judge of every safety test.

`LedgerWriter` appends JSON lines; `Ledger` reads them back into orders, fills, positions and cash. Each line has
`kind`, `host_ns` (wall clock) and `session_ns` (the venue's time). Kinds: venue_started, request, answer, order,
fill, fill_sent, stream_opened, stream_listening, stream_closed, market, session_end, faults_loaded, fault,
faults_healed.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from holdfast import clock
from holdfast._native import VenueEvent

E9 = 1_000_000_000
BODY_BYTES_SHOWN_MAX = 4096


class LedgerWriter:
    """Appends lines; those of one turn of the event loop, or up to a `flush`, are written together."""

    def __init__(
        self, file: Path, session_ns: Callable[[], int], call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("ab", buffering=0)
        self._session_ns = session_ns
        self._call_soon = call_soon
        self._lines: list[bytes] = []
        self._encoder = msgspec.json.Encoder()
        self._request_count = 0
        self._is_closed = False

    def write(self, kind: str, **facts: object) -> None:
        """Append one line."""
        if self._is_closed:
            return
        line = {"kind": kind, "host_ns": clock.now_ns(), "session_ns": self._session_ns(), **facts}
        if not self._lines:
            self._call_soon(self.flush)
        self._lines.append(self._encoder.encode(line))

    def write_request(self, method: str, path: str, query: str, body: bytes, *, client: str = "") -> int:
        """Append an arriving request of a client, by its User-Agent; returns its number, for its answer."""
        self._request_count += 1
        shown: object = None
        if body and len(body) <= BODY_BYTES_SHOWN_MAX:
            try:
                shown = msgspec.json.decode(body)
            except msgspec.DecodeError:
                shown = None
        self.write(
            "request",
            number=self._request_count,
            client=client,
            method=method,
            path=path,
            query=query,
            body_sha256=hashlib.sha256(body).hexdigest(),
            body=shown,
        )
        return self._request_count

    def write_event(self, event: VenueEvent) -> None:
        """Append an order's step, and the fill if it is one."""
        self.write("order", event=event.name, data=msgspec.Raw(event.json))
        if event.execution_id:
            self.write(
                "fill",
                execution_id=event.execution_id,
                client_order_id=event.client_order_id,
                venue_order_id=event.venue_order_id,
                symbol=event.symbol,
                side=event.side,
                price_e9=event.price_e9,
                quantity_e9=event.quantity_e9,
                fee_e9=event.fee_e9,
                position_quantity_e9=event.position_quantity_e9,
                ts_event_ns=event.at_ns,
            )

    def flush(self) -> None:
        """Hand everything to the operating system; a turn that was under way at the close has nothing left."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._file.write(b"\n".join(lines) + b"\n")

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()
        self._is_closed = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFill:
    """One execution, as the venue made it."""

    execution_id: str
    client_order_id: str
    venue_order_id: str
    symbol: str
    side: str
    price_e9: int
    quantity_e9: int
    fee_e9: int
    position_quantity_e9: int
    ts_event_ns: int
    host_ns: int

    @property
    def signed_quantity_e9(self) -> int:
        """Positive for a purchase."""
        return self.quantity_e9 if self.side == "buy" else -self.quantity_e9


@dataclass(slots=True)
class Ledger:
    """Everything a ledger file proves. Read it again to see what was added."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> "Ledger":
        """Read a file; a last line that is not yet complete is left out."""
        return LedgerReader(file).read()

    def of_kind(self, kind: str) -> Iterator[dict[str, Any]]:
        """Return the lines of one kind, oldest first."""
        return (line for line in self.lines if line["kind"] == kind)

    def fills(self) -> dict[str, LedgerFill]:
        """Return every execution by execution_id."""
        names = LedgerFill.__slots__
        found = {}
        for line in self.of_kind("fill"):
            fill = LedgerFill(**{name: line[name] for name in names})
            assert fill.execution_id not in found, fill.execution_id
            found[fill.execution_id] = fill
        return found

    def fills_sent(self) -> dict[str, int]:
        """Return how many clients each execution was sent to."""
        return {line["execution_id"]: line["clients"] for line in self.of_kind("fill_sent")}

    def orders(self) -> dict[str, dict[str, Any]]:
        """Return the last state of every order that had an event, by client_order_id."""
        return {line["data"]["order"]["client_order_id"]: line["data"]["order"] for line in self.of_kind("order")}

    def positions_e9(self) -> dict[str, int]:
        """Return the signed quantity of every position that is not flat."""
        positions: dict[str, int] = {}
        for fill in self.fills().values():
            positions[fill.symbol] = positions.get(fill.symbol, 0) + fill.signed_quantity_e9
        return {symbol: quantity_e9 for symbol, quantity_e9 in positions.items() if quantity_e9}

    def cash_e9(self) -> int:
        """Return the account's cash: the start, less purchases, plus sales, less fees."""
        cash_e9 = sum(int(line["cash_e9"]) for line in self.of_kind("venue_started"))
        for fill in self.fills().values():
            # Rounded toward zero, as the account book does.
            value_e9 = fill.price_e9 * fill.quantity_e9 // E9
            cash_e9 += (-value_e9 if fill.side == "buy" else value_e9) - fill.fee_e9
        return cash_e9

    def entry_requests(self) -> list[dict[str, Any]]:
        """Return the requests that ask for a new order or a change, with the time of their arrival."""
        return [
            line
            for line in self.of_kind("request")
            if (line["method"], line["path"]) == ("POST", "/v2/orders")
            or (line["method"] == "PATCH" and line["path"].startswith("/v2/orders/"))
        ]

    def session_end(self) -> dict[str, Any] | None:
        """Return the counts at the end of the session; nothing while it runs."""
        return next(self.of_kind("session_end"), None)


class LedgerReader:
    """Reads a ledger that grows: each look decodes only what is new."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: list[dict[str, Any]] = []
        self._bytes_read = 0
        self._decoder = msgspec.json.Decoder(dict[str, Any])

    def read(self) -> Ledger:
        """Return everything until now; a last line that is not yet complete is left out."""
        with self._file.open("rb") as ledger:
            ledger.seek(self._bytes_read)
            whole, end, _ = ledger.read().rpartition(b"\n")
        self._bytes_read += len(whole) + len(end)
        self._lines += [self._decoder.decode(line) for line in whole.split(b"\n") if line]
        return Ledger(list(self._lines))
