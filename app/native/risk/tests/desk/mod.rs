//! A gate at a desk: reconciled, an account of a million, IBM, SPY and BTC/USD quoted at 100.00 / 100.02.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use holdfast_records::{
    AccountSnapshot, AnyRecord, AverageVolume, Decision, E9, Fill, IntentAction, OrderEvent, OrderEventKind,
    OrderIntent, OrderStatus, OrderType, Quote, Reason, ReconcileScope, Reconciled, Record, Shortability, Side, Symbol,
    Text, TimeInForce, Uuid, Verdict,
};
use holdfast_risk::{Calendar, Clock, Gate, MarginRegime, RiskLimits, Usage};

pub const NOW_NS: i64 = 1_720_013_400 * E9;
pub const DAY_NS: i64 = 86_400 * E9;

pub fn any<R: Record>(record: &R) -> AnyRecord<'_> {
    AnyRecord::parse(R::KIND, R::VERSION, bytemuck::bytes_of(record)).unwrap()
}

pub fn limits() -> RiskLimits {
    RiskLimits {
        price_min_e9: 1,
        stop_loss_min_e9: 1,
        stop_loss_default_e9: 1,
        duplicate_window_ns: 1,
        notional_mismatch_max_e9: E9 / 100,
        ..RiskLimits::loosest()
    }
}

pub fn account() -> AccountSnapshot {
    AccountSnapshot {
        equity_e9: 1_000_000 * E9,
        buying_power_e9: 1_000_000 * E9,
        is_shorting_enabled: 1,
        ..AccountSnapshot::default()
    }
}

/// Margin rules that bind nothing.
pub fn loose_regime() -> MarginRegime {
    MarginRegime {
        from_day: 0,
        initial_e9: 1,
        maintenance_long_e9: 1,
        maintenance_short_e9: 1,
        equity_min_e9: 0,
    }
}

/// Two sessions a day apart; the first has a blackout from minute 15 to minute 16.
pub fn calendar() -> Calendar {
    let session = |day: i64| (NOW_NS + day * DAY_NS - E9, NOW_NS + day * DAY_NS + DAY_NS / 4);
    let calendar = Calendar::new(&[session(0), session(1)], &[(NOW_NS + 900 * E9, NOW_NS + 960 * E9)]).unwrap();
    calendar.with_regimes(vec![loose_regime()]).unwrap()
}

#[allow(clippy::large_types_passed_by_value, reason = "reads better in a test")]
pub fn gate(limits: RiskLimits) -> Gate {
    let symbols = ["IBM", "SPY", "BTC/USD"].map(Symbol::truncated);
    let mut gate = Gate::new(limits, &symbols, calendar());
    gate.apply_execution(any(&account()), NOW_NS);
    let reconciled = Reconciled {
        scope: ReconcileScope::START_UP,
        is_complete: 1,
        ..Reconciled::default()
    };
    gate.apply_execution(any(&reconciled), NOW_NS);
    gate.set_reconciled(true);
    for symbol in symbols {
        gate.apply_market(
            any(&Quote {
                symbol,
                ..quote(100_000, 100_020)
            }),
            NOW_NS,
        );
        gate.apply_market(any(&average_volume(symbol.as_str(), 10_000_000)), NOW_NS);
        gate.apply_execution(any(&shortability(symbol.as_str(), true)), NOW_NS);
    }
    gate.advance(clock(), |_| panic!("nothing trips at rest"));
    gate
}

pub fn clock() -> Clock {
    after_ns(0)
}

pub fn after_ns(ns: i64) -> Clock {
    Clock {
        now_ns: NOW_NS + ns,
        session_ns: NOW_NS,
    }
}

/// Shares of an average session; the newest was the day before.
pub fn average_volume(symbol: &str, shares: i64) -> AverageVolume {
    AverageVolume {
        symbol: Symbol::truncated(symbol),
        ts_event_ns: NOW_NS - DAY_NS,
        volume_e9: shares * E9,
        session_count: 20,
        ..AverageVolume::default()
    }
}

/// The venue's word on a short of a symbol.
pub fn shortability(symbol: &str, is_shortable: bool) -> Shortability {
    Shortability {
        symbol: Symbol::truncated(symbol),
        ts_event_ns: NOW_NS,
        is_shortable: u8::from(is_shortable),
        ..Shortability::default()
    }
}

/// A quote of IBM, prices in thousandths of a dollar.
pub fn quote(bid_milli: i64, ask_milli: i64) -> Quote {
    Quote {
        symbol: Symbol::truncated("IBM"),
        bid_price_e9: bid_milli * E9 / 1000,
        ask_price_e9: ask_milli * E9 / 1000,
        ..Quote::default()
    }
}

pub fn buy(quantity: i64, price: i64) -> OrderIntent {
    OrderIntent {
        strategy: Text::truncated("test"),
        symbol: Symbol::truncated("IBM"),
        quantity_e9: quantity * E9,
        limit_price_e9: price * E9,
        action: IntentAction::NEW,
        side: Side::BUY,
        order_type: OrderType::LIMIT,
        time_in_force: TimeInForce::DAY,
        ..OrderIntent::default()
    }
}

pub fn sell(quantity: i64, price: i64) -> OrderIntent {
    OrderIntent {
        side: Side::SELL,
        ..buy(quantity, price)
    }
}

pub fn market(intent: OrderIntent) -> OrderIntent {
    OrderIntent {
        limit_price_e9: 0,
        order_type: OrderType::MARKET,
        ..intent
    }
}

pub fn of(symbol: &str, intent: OrderIntent) -> OrderIntent {
    OrderIntent {
        symbol: Symbol::truncated(symbol),
        ..intent
    }
}

pub fn judge(gate: &mut Gate, intent: &OrderIntent, at: Clock) -> Decision {
    let number = gate.orders().orders().len();
    gate.judge(intent, 1, Text::truncated(&format!("hf-1-{number}")), at)
}

#[track_caller]
pub fn approve(gate: &mut Gate, intent: &OrderIntent) -> Decision {
    approve_at(gate, intent, clock())
}

#[track_caller]
pub fn approve_at(gate: &mut Gate, intent: &OrderIntent, at: Clock) -> Decision {
    let decision = judge(gate, intent, at);
    assert_eq!((decision.verdict, decision.rule), (Verdict::APPROVED, Reason::NONE));
    decision
}

pub fn fill(gate: &mut Gate, decision: &Decision, quantity: i64, price: i64) {
    let number = gate.orders().executions_count() as u8 + 1;
    let fill = Fill {
        execution_id: Uuid::from_bytes([number; 16]),
        client_order_id: Text::truncated(decision.client_order_id.as_str()),
        symbol: decision.symbol,
        ts_event_ns: i64::from(number),
        quantity_e9: quantity * E9,
        price_e9: price * E9,
        side: decision.side,
        ..Fill::default()
    };
    gate.apply_execution(any(&fill), NOW_NS);
}

#[track_caller]
pub fn bought(gate: &mut Gate, quantity: i64) -> Decision {
    let decision = approve(gate, &buy(quantity, 100));
    fill(gate, &decision, quantity, 100);
    decision
}

pub fn event(decision: &Decision, status: OrderStatus) -> OrderEvent {
    OrderEvent {
        client_order_id: Text::truncated(decision.client_order_id.as_str()),
        symbol: decision.symbol,
        side: decision.side,
        quantity_e9: decision.quantity_e9,
        kind: OrderEventKind::UPDATED,
        status,
        ..OrderEvent::default()
    }
}

#[track_caller]
pub fn passes(gate: &Gate, intent: &OrderIntent) {
    passes_at(gate, intent, clock());
}

#[track_caller]
pub fn passes_at(gate: &Gate, intent: &OrderIntent, at: Clock) {
    assert_eq!(gate.broken_rule(intent, at), None);
}

#[track_caller]
pub fn denies(gate: &Gate, intent: &OrderIntent, rule: Reason, limit_e9: i64, value_e9: i64) {
    assert_eq!(
        gate.broken_rule(intent, clock()),
        Some((rule, Usage { limit_e9, value_e9 }))
    );
}

#[track_caller]
pub fn denies_at(gate: &Gate, intent: &OrderIntent, at: Clock, rule: Reason) {
    assert_eq!(gate.broken_rule(intent, at).map(|(rule, _)| rule), Some(rule));
}
