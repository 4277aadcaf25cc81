"""From the view of the journals to what the API says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import clock
from holdfast.gateway import schemas
from holdfast.gateway.schemas import E9, decimal_or_none, decimal_text, stamp
from holdfast.lease import Lease
from holdfast.settings.sessions import load_sessions
from holdfast.symbols import is_crypto_pair

if TYPE_CHECKING:
    from holdfast._native import BreakerTripped, Decision, Fill, KillLatch, Order, Position
    from holdfast.gateway.view import JournalHead, JournalView
    from holdfast.settings import Settings


def latch_body(latch: KillLatch) -> schemas.LatchBody:
    """Describe the kill latch; a page that was replaced counts as set."""
    return schemas.LatchBody(
        is_set=latch.is_set or not latch.is_linked,
        generation=latch.generation,
        operator=latch.operator,
        reason=latch.reason,
        changed_at=stamp(latch.ts_ns),
    )


def lease_body(settings: Settings) -> schemas.LeaseBody | None:
    """Describe the right to send; None before an execution-engine said anything."""
    lease = Lease.read(settings)
    if lease is None:
        return None
    return schemas.LeaseBody(
        is_held=lease.is_held,
        mode=lease.mode,
        account=lease.account,
        state=lease.state,
        token=str(lease.token),
        until=stamp(lease.until_ns),
        detail=lease.detail,
    )


def trading_state_body(view: JournalView) -> schemas.TradingStateBody:
    """Describe the trading state."""
    state = view.trading_state
    if state is None:
        return schemas.TradingStateBody(state="unknown", rule="", detail="", since=None)
    return schemas.TradingStateBody(
        state=state.state.label, rule=state.rule.label, detail=state.detail, since=stamp(state.ts_ns)
    )


def session_body(settings: Settings, now_ns: int) -> schemas.SessionBody | None:
    """Describe the session, the present or the next one; None where nothing that keeps sessions is configured."""
    if all(is_crypto_pair(symbol) for symbol in settings.symbols):
        return None
    opens_ns, closes_ns = next((each for each in load_sessions() if each[1] > now_ns), (0, 0))
    return schemas.SessionBody(is_open=0 < opens_ns <= now_ns, opens_at=stamp(opens_ns), closes_at=stamp(closes_ns))


def account_body(view: JournalView) -> schemas.AccountBody | None:
    """Describe the account; None before the venue reported it."""
    account = view.account
    if account is None:
        return None
    return schemas.AccountBody(
        account_number=account.account_number,
        equity=decimal_text(account.equity_e9),
        last_equity=decimal_text(account.last_equity_e9),
        cash=decimal_text(account.cash_e9),
        buying_power=decimal_text(account.buying_power_e9),
        is_trading_blocked=bool(account.is_trading_blocked),
        reported_at=stamp(account.ts_event_ns or account.ts_ns),
    )


def journal_body(head: JournalHead) -> schemas.JournalBody:
    """Describe a journal and its writer."""
    return schemas.JournalBody(
        name=head.name,
        service=head.service,
        is_alive=head.is_alive,
        heartbeat_age_s=round(head.heartbeat_age_s, 3),
        last_seq=head.last_seq,
        lag_records=head.lag_records,
        epoch=head.epoch,
        build_hash=f"{head.build_hash:016x}",
        config_hash=f"{head.config_hash:016x}",
    )


def status_body(settings: Settings, view: JournalView, latch: KillLatch) -> schemas.StatusBody:
    """Describe the system at a glance."""
    realized_e9, unrealized_e9 = view.pnl_e9()
    open_orders = view.orders(is_open_only=True)
    reasons = view.unready()
    return schemas.StatusBody(
        environment=settings.environment,
        trading_mode=settings.trading_mode,
        is_ready=not reasons,
        unready_reasons=reasons,
        trading_state=trading_state_body(view),
        session=session_body(settings, clock.now_ns()),
        kill_latch=latch_body(latch),
        lease=lease_body(settings),
        account=account_body(view),
        pnl=schemas.PnlBody(
            realized=decimal_text(realized_e9),
            unrealized=decimal_text(unrealized_e9),
            total=decimal_text(realized_e9 + unrealized_e9),
        ),
        positions_open=sum(position.quantity_e9 != 0 for position in view.positions()),
        orders_open=len(open_orders),
        orders_working=sum(not order.is_protective and not order.is_external for order in open_orders),
        orders_unknown=sum(order.is_unknown for order in open_orders),
        fills=view.totals.fills,
        approved=view.totals.approved,
        denied=sum(view.totals.denied_by_reason.values()),
        services=[journal_body(head) for head in view.heads()],
    )


def market_value_e9(position: Position) -> int:
    """Return the value of a position at its mark, USD scaled by 1e-9, rounded toward minus infinity."""
    return position.quantity_e9 * position.mark_price_e9 // E9


def position_body(position: Position) -> schemas.PositionBody:
    """Describe a position."""
    venue_e9 = position.venue_quantity_e9
    return schemas.PositionBody(
        symbol=position.symbol,
        quantity=decimal_text(position.quantity_e9),
        average_price=decimal_text(position.average_price_e9),
        mark_price=decimal_text(position.mark_price_e9),
        market_value=decimal_text(market_value_e9(position)),
        realized_pnl=decimal_text(position.realized_pnl_e9),
        unrealized_pnl=decimal_text(position.unrealized_pnl_e9),
        fees=decimal_text(position.fees_e9),
        fills=position.fills_count,
        venue_quantity=None if venue_e9 is None else decimal_text(venue_e9),
    )


def order_body(order: Order) -> schemas.OrderBody:
    """Describe an order."""
    return schemas.OrderBody(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side.label,
        order_type=order.order_type.label,
        time_in_force=order.time_in_force.label,
        order_class=order.order_class.label,
        status=order.status.label,
        is_open=order.is_open,
        is_external=order.is_external,
        quantity=decimal_text(order.quantity_e9),
        notional=decimal_or_none(order.notional_e9),
        limit_price=decimal_or_none(order.limit_price_e9),
        stop_price=decimal_or_none(order.stop_price_e9),
        filled_quantity=decimal_text(order.filled_quantity_e9),
        average_price=decimal_or_none(order.average_price_e9),
        rule=order.rule.label,
    )


def fill_body(fill: Fill) -> schemas.FillBody:
    """Describe an execution."""
    return schemas.FillBody(
        execution_id=fill.execution_id,
        client_order_id=fill.client_order_id,
        strategy=fill.strategy,
        symbol=fill.symbol,
        side=fill.side.label,
        quantity=decimal_text(fill.quantity_e9),
        price=decimal_text(fill.price_e9),
        fee=decimal_text(fill.fee_e9),
        executed_at=stamp(fill.ts_event_ns),
        seq=fill.seq,
    )


def denial_body(denial: Decision) -> schemas.DenialBody:
    """Describe a denial."""
    return schemas.DenialBody(
        seq=denial.seq,
        strategy=denial.strategy,
        symbol=denial.symbol,
        side=denial.side.label,
        rule=denial.rule.label,
        risk_limit=decimal_text(denial.limit_e9),
        value=decimal_text(denial.value_e9),
        denied_at=stamp(denial.ts_ns),
    )


def breaker_body(breaker: BreakerTripped) -> schemas.BreakerBody:
    """Describe a circuit breaker that tripped."""
    return schemas.BreakerBody(
        seq=breaker.seq,
        rule=breaker.rule.label,
        strategy=breaker.strategy,
        symbol=breaker.symbol,
        risk_limit=decimal_text(breaker.limit_e9),
        value=decimal_text(breaker.value_e9),
        tripped_at=stamp(breaker.ts_ns),
        clears_at=stamp(breaker.clears_ns),
    )


def usage(view: JournalView) -> dict[str, str]:
    """Return what of the risk limits is used now, by the name of the quantity."""
    held = [position for position in view.positions() if position.quantity_e9]
    values_e9 = [market_value_e9(position) for position in held]
    realized_e9, unrealized_e9 = view.pnl_e9()
    return {
        "gross_exposure": decimal_text(sum(map(abs, values_e9))),
        "net_exposure": decimal_text(sum(values_e9)),
        "largest_position": decimal_text(max(map(abs, values_e9), default=0)),
        "open_positions": str(len(held)),
        "open_orders": str(len(view.orders(is_open_only=True))),
        "profit_and_loss": decimal_text(realized_e9 + unrealized_e9),
    }


def strategy_bodies(settings: Settings, view: JournalView) -> list[schemas.StrategyBody]:
    """Describe every strategy that is configured or was seen."""
    configured = {strategy.name for strategy in settings.strategies}
    return [
        schemas.StrategyBody(
            name=name,
            is_configured=name in configured,
            is_enabled=counts.is_enabled,
            signals=counts.signals,
            intents=counts.intents,
            approved=counts.approved,
            denied=counts.denied,
            fills=counts.fills,
        )
        for name, counts in sorted(view.strategies().items())
    ]
