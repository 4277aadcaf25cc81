"""What the API says and takes. Money, prices and quantities are decimal text, times are RFC 3339 in UTC."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

E9 = 1_000_000_000

Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
        description="Why; kept for ever. The first 128 bytes of it are recorded.",
    ),
]
DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]{1,9})?$", examples=["190.25"])]
Stamp = Annotated[str, Field(examples=["2026-03-02T14:30:00.123456789Z"])]


def _whole(value: object) -> object:
    """JSON has one kind of number: 5.0 is the integer 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WholeNumber = Annotated[int, Field(strict=True), BeforeValidator(_whole)]


def decimal_text(value_e9: int) -> str:
    """Return an integer scaled by 1e-9 as decimal text without trailing zeros."""
    whole, part = divmod(abs(value_e9), E9)
    fraction = f"{part:09d}".rstrip("0")
    return f"{'-' if value_e9 < 0 else ''}{whole}{'.' + fraction if fraction else ''}"


def decimal_or_none(value_e9: int) -> str | None:
    """Return decimal text; None for zero, which means absent."""
    return decimal_text(value_e9) if value_e9 else None


def stamp(ts_ns: int) -> str | None:
    """Return a stamp as RFC 3339 with nanoseconds; None for zero, which means never."""
    if ts_ns <= 0:
        return None
    seconds, part_ns = divmod(ts_ns, E9)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{part_ns:09d}Z"


class Body(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorBody(Body):
    """Any answer that is not a success."""

    code: str = Field(examples=["unauthorized"])
    message: str


class HealthBody(Body):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadyBody(Body):
    """Whether the system can trade."""

    is_ready: bool
    reasons: list[str]


class LatchBody(Body):
    """The kill latch."""

    is_set: bool
    generation: int
    operator: str
    reason: str
    changed_at: Stamp | None


class LeaseBody(Body):
    """The right to send for the account; `until` None: for as long as its holder's process lives."""

    is_held: bool
    mode: str
    account: str
    state: str
    token: str
    until: Stamp | None
    detail: str


class TradingStateBody(Body):
    """The trading state that risk-manager set last; `unknown` before it did."""

    state: str
    rule: str
    detail: str
    since: Stamp | None


class AccountBody(Body):
    """The account as the venue reported it last."""

    account_number: str
    equity: DecimalText
    last_equity: DecimalText
    cash: DecimalText
    buying_power: DecimalText
    is_trading_blocked: bool
    reported_at: Stamp | None


class PnlBody(Body):
    """Profit and loss of our own books, USD, net of fees."""

    realized: DecimalText
    unrealized: DecimalText
    total: DecimalText


class JournalBody(Body):
    """A journal, its writer and how far the gateway has read it."""

    name: str
    service: str
    is_alive: bool
    heartbeat_age_s: float
    last_seq: int
    lag_records: int
    epoch: int
    build_hash: str
    config_hash: str


class SessionBody(Body):
    """The session of US equities by the calendar, the present or the next one."""

    is_open: bool
    opens_at: Stamp | None
    closes_at: Stamp | None


class StatusBody(Body):
    """The system at a glance."""

    environment: str
    trading_mode: str
    is_ready: bool
    unready_reasons: list[str]
    trading_state: TradingStateBody
    session: Annotated[SessionBody | None, Field(description="None where nothing configured keeps sessions: crypto.")]
    kill_latch: LatchBody
    lease: LeaseBody | None
    account: AccountBody | None
    pnl: PnlBody
    positions_open: int
    orders_open: int
    orders_working: Annotated[int, Field(description="Open orders of ours that are no protective stops.")]
    orders_unknown: int
    fills: int
    approved: int
    denied: int
    services: list[JournalBody]


class PositionBody(Body):
    """A position; quantity signed."""

    symbol: str
    quantity: DecimalText
    average_price: DecimalText
    mark_price: DecimalText
    market_value: DecimalText
    realized_pnl: DecimalText
    unrealized_pnl: DecimalText
    fees: DecimalText
    fills: int
    venue_quantity: DecimalText | None


class OrderBody(Body):
    """An order as the journals know it."""

    client_order_id: str
    venue_order_id: str
    strategy: str
    symbol: str
    side: str
    order_type: str
    time_in_force: str
    order_class: str
    status: str
    is_open: bool
    is_external: bool
    quantity: DecimalText
    notional: DecimalText | None
    limit_price: DecimalText | None
    stop_price: DecimalText | None
    filled_quantity: DecimalText
    average_price: DecimalText | None
    rule: str


class FillBody(Body):
    """An execution."""

    execution_id: str
    client_order_id: str
    strategy: str
    symbol: str
    side: str
    quantity: DecimalText
    price: DecimalText
    fee: DecimalText
    executed_at: Stamp | None
    seq: int


class DenialBody(Body):
    """An intent that the risk gate denied: the rule, the risk limit and the value."""

    seq: int
    strategy: str
    symbol: str
    side: str
    rule: str
    risk_limit: DecimalText
    value: DecimalText
    denied_at: Stamp | None


class RiskBody(Body):
    """Risk limits, how much of them is used, and what was denied."""

    limits_hash: str
    limits: dict[str, object]
    usage: dict[str, DecimalText]
    denied_by_rule: dict[str, int]
    denials: list[DenialBody]


class BreakerBody(Body):
    """A circuit breaker that tripped."""

    seq: int
    rule: str
    strategy: str
    symbol: str
    risk_limit: DecimalText
    value: DecimalText
    tripped_at: Stamp | None
    clears_at: Stamp | None


class CircuitBreakerBody(Body):
    """The manual kill latch, the trading state, and the automatic breakers that tripped."""

    kill_latch: LatchBody
    trading_state: TradingStateBody
    breakers: list[BreakerBody]


class StrategyBody(Body):
    """A strategy and what it did."""

    name: str
    is_configured: bool
    is_enabled: bool
    signals: int
    intents: int
    approved: int
    denied: int
    fills: int


class OperatorRequest(Body):
    """What an operator must say."""

    reason: Reason


class SwitchRequest(OperatorRequest):
    """Switch a strategy on or off."""

    is_enabled: bool = Field(strict=True)


class OperatorAnswer(Body):
    """What came of it. `is_journaled` is false when the disk is full: the latch works all the same."""

    operator: str
    has_changed: bool
    is_journaled: bool
    kill_latch: LatchBody


class LimitBody(Body):
    """A risk limit by its key in risk_limits.toml, in its unit; `configured` is scaled for the environment."""

    key: str
    value: DecimalText
    configured: DecimalText
    least: DecimalText
    greatest: DecimalText
    expires_at: Stamp | None


class ProposalBody(Body):
    """A loosening that waits for a second person until `lapses_at`; in force it would end at `expires_at`."""

    seq: int
    key: str
    value: DecimalText
    in_force: DecimalText
    operator: str
    reason: str
    proposed_at: Stamp | None
    expires_at: Stamp | None
    lapses_at: Stamp | None


class LimitsBody(Body):
    """The risk limits in force, and what is proposed."""

    limits_hash: str
    limits: list[LimitBody]
    proposals: list[ProposalBody]


class LimitRequest(OperatorRequest):
    """The value that a limit shall have. What is looser than configured ends after `duration_s`; else it is 0."""

    key: str = Field(pattern=r"^[a-z_]{1,40}\.[a-z0-9_]{1,60}$", examples=["order.quantity_max"])
    value: str = Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,9})?$", examples=["1500"])
    duration_s: WholeNumber = Field(default=0, ge=0, le=86_400)


class LimitAnswer(Body):
    """The limit is in force as asked, or `proposal` waits for a second person."""

    operator: str
    key: str
    proposal: int | None
    is_in_force: bool


class SwitchAnswer(Body):
    """The strategy after the switch."""

    operator: str
    name: str
    is_enabled: bool
