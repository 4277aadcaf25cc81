//! A venue with one share and one pair, and short words for what the tests do with it.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use holdfast_matching::{Engine, Event, Order, Refusal, Settings};
use holdfast_records::{E9, OrderClass, OrderIntent, OrderStatus, OrderType, Quote, Side, Symbol, TimeInForce, Uuid};

pub const OPEN_NS: i64 = 1_000 * 60 * E9;
pub const CLOSE_NS: i64 = OPEN_NS + 390 * 60 * E9;
pub const CENT: i64 = E9 / 100;

pub fn settings() -> Settings {
    Settings {
        seed: 1,
        cash_e9: 100_000 * E9,
        partial_fill_ppm: 0,
        latency_ns_min: 0,
        latency_ns_max: 0,
        margin_multiplier: 2,
        fees: Vec::new(),
    }
}

pub fn engine_with(settings: Settings) -> Engine {
    let mut engine = Engine::new(settings);
    engine.add_asset(Symbol::truncated("AAA"), Uuid::from_bytes([1; 16]), false);
    engine.add_asset(Symbol::truncated("BTC/USD"), Uuid::from_bytes([2; 16]), true);
    engine.set_session(OPEN_NS, CLOSE_NS);
    engine
}

/// The session is open and AAA is quoted 10.00 x 10.01, 500 shares on each side.
pub fn engine() -> Engine {
    let mut engine = engine_with(settings());
    quote(&mut engine, 0, 1_000, 1_001, 500);
    engine
}

/// Quotes AAA, `second` after the open; prices in cents, sizes in shares.
pub fn quote(engine: &mut Engine, second: i64, bid: i64, ask: i64, size: i64) {
    engine.on_quote(&Quote {
        symbol: Symbol::truncated("AAA"),
        ts_event_ns: OPEN_NS + second * E9,
        bid_price_e9: bid * CENT,
        bid_size_e9: size * E9,
        ask_price_e9: ask * CENT,
        ask_size_e9: size * E9,
        ..Quote::default()
    });
}

pub fn market(side: Side, shares: i64) -> OrderIntent {
    OrderIntent {
        symbol: Symbol::truncated("AAA"),
        side,
        order_type: OrderType::MARKET,
        time_in_force: TimeInForce::DAY,
        quantity_e9: shares * E9,
        ..OrderIntent::default()
    }
}

pub fn limit(side: Side, shares: i64, cents: i64) -> OrderIntent {
    OrderIntent {
        order_type: OrderType::LIMIT,
        limit_price_e9: cents * CENT,
        ..market(side, shares)
    }
}

pub fn stop(side: Side, shares: i64, cents: i64) -> OrderIntent {
    OrderIntent {
        order_type: OrderType::STOP,
        stop_price_e9: cents * CENT,
        ..market(side, shares)
    }
}

pub fn bracket(shares: i64, entry: i64, profit: i64, loss: i64) -> OrderIntent {
    OrderIntent {
        order_class: OrderClass::BRACKET,
        take_profit_price_e9: profit * CENT,
        stop_loss_price_e9: loss * CENT,
        ..limit(Side::BUY, shares, entry)
    }
}

/// Takes the order and lets it take effect.
pub fn submit(engine: &mut Engine, request: &OrderIntent) -> Result<Order, Refusal> {
    let now_ns = engine.now_ns();
    let index = engine.submit(now_ns, request, "")?;
    engine.advance(now_ns);
    Ok(engine.orders()[index].clone())
}

pub fn shown(engine: &Engine, order: &Order) -> Order {
    engine.find(order.id).cloned().unwrap()
}

pub fn status(engine: &Engine, order: &Order) -> OrderStatus {
    shown(engine, order).status
}

pub fn shares(engine: &Engine) -> i64 {
    engine.books()[0].position.quantity_e9 / E9
}

pub fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.name).collect()
}

pub fn cancel(engine: &mut Engine, order: &Order) -> Result<(), Refusal> {
    let now_ns = engine.now_ns();
    engine.cancel(now_ns, order.id)?;
    engine.advance(now_ns);
    Ok(())
}
