//! No naked market orders: what a market or a stop order is approved as.

mod desk;
use desk::*;
use holdfast_records::{
    Decision, E9, OrderIntent, OrderType, Quote, Reason, Side, StatusCode, Symbol, Text, TradingStatus, Verdict,
};
use holdfast_risk::{Gate, RiskLimits};
use proptest::{prop_assert, prop_assert_eq, proptest};

fn collared() -> RiskLimits {
    RiskLimits {
        price_collar_e9: 3 * E9 / 100,
        reduction_collar_e9: 5 * E9 / 100,
        ..limits()
    }
}

fn judged(gate: &mut Gate, intent: &OrderIntent) -> Decision {
    let decision = gate.judge(intent, 1, Text::truncated("hf-1-1"), clock());
    assert_eq!(decision.verdict, Verdict::APPROVED, "{:?}", decision.rule);
    decision
}

#[test]
fn a_market_entry_becomes_a_limit_order_at_the_collar_on_the_increment_toward_the_mid() {
    // Mid 100.01: 3 % above is 103.0103, below 97.0097.
    let bought = judged(&mut gate(collared()), &market(buy(1, 0)));
    assert_eq!(
        (bought.order_type, bought.limit_price_e9, bought.is_converted),
        (OrderType::LIMIT, 103_010_000_000, 1)
    );
    let sold = judged(&mut gate(collared()), &market(sell(1, 0)));
    assert_eq!(
        (sold.order_type, sold.limit_price_e9),
        (OrderType::LIMIT, 97_010_000_000)
    );
}

#[test]
fn the_band_of_the_venue_is_closer_than_the_collar() {
    let mut gate = gate(collared());
    let band = TradingStatus {
        symbol: Symbol::truncated("IBM"),
        status: StatusCode::LULD_BAND,
        luld_up_e9: 102 * E9,
        luld_down_e9: 98 * E9,
        ..TradingStatus::default()
    };
    gate.apply_market(any(&band), NOW_NS);
    assert_eq!(judged(&mut gate.clone(), &market(buy(1, 0))).limit_price_e9, 102 * E9);
    assert_eq!(judged(&mut gate, &market(sell(1, 0))).limit_price_e9, 98 * E9);
}

#[test]
fn an_amount_becomes_the_quantity_that_it_pays_at_the_collar() {
    let amount = OrderIntent {
        notional_e9: 1_030_100_000_000,
        ..market(buy(0, 0))
    };
    let decision = judged(&mut gate(collared()), &amount);
    assert_eq!(
        (decision.quantity_e9, decision.notional_e9),
        (10 * E9, 1_030_100_000_000)
    );
}

#[test]
fn a_market_reduction_is_converted_at_its_own_collar_and_passes_unconverted_without_a_fresh_quote() {
    let mut gate = gate(RiskLimits {
        quote_age_max_ns: E9,
        ..collared()
    });
    bought(&mut gate, 10);
    let close = market(sell(10, 0));
    assert_eq!(judged(&mut gate.clone(), &close).limit_price_e9, 95_010_000_000);
    gate.apply_market(any(&quote(100_000, 99_000)), NOW_NS);
    let decision = judged(&mut gate, &close);
    assert_eq!(
        (decision.order_type, decision.limit_price_e9, decision.is_converted),
        (OrderType::MARKET, 0, 0)
    );
}

#[test]
fn a_stop_entry_gets_a_limit_and_a_protecting_stop_does_not() {
    let stop = |intent| OrderIntent {
        order_type: OrderType::STOP,
        stop_price_e9: 101 * E9,
        limit_price_e9: 0,
        ..intent
    };
    let entry = judged(&mut gate(collared()), &stop(buy(1, 0)));
    assert_eq!(
        (entry.order_type, entry.limit_price_e9),
        (OrderType::STOP_LIMIT, 104_030_000_000)
    );
    let mut gate = gate(collared());
    bought(&mut gate, 10);
    let protection = judged(
        &mut gate,
        &OrderIntent {
            stop_price_e9: 99 * E9,
            ..stop(sell(10, 0))
        },
    );
    assert_eq!((protection.order_type, protection.limit_price_e9), (OrderType::STOP, 0));
}

#[test]
fn a_trailing_entry_has_no_price_that_it_cannot_exceed() {
    let trailing = OrderIntent {
        order_type: OrderType::TRAILING_STOP,
        trail_price_e9: E9,
        ..buy(1, 0)
    };
    denies_at(&gate(collared()), &trailing, clock(), Reason::MARKET_UNPRICED);
}

#[test]
fn a_converted_request_is_found_again_after_a_restart() {
    let limits = RiskLimits {
        duplicate_window_ns: E9,
        ..collared()
    };
    let amount = OrderIntent {
        notional_e9: 500 * E9,
        ..market(buy(0, 0))
    };
    for intent in [market(buy(1, 0)), amount] {
        let mut first = gate(limits);
        let decision = judged(&mut first, &intent);
        let mut second = gate(limits);
        second.restore(&decision, NOW_NS);
        assert_eq!(first.state_hash(), second.state_hash());
        denies_at(&second, &intent, clock(), Reason::DUPLICATE_INTENT);
    }
}

proptest! {
    #[test]
    fn no_converted_price_leaves_the_collar_or_the_increment(
        bid_e9 in 1_000_000..1_000_000_000_000_i64,
        spread_e9 in 0..10_000_000_i64,
        is_buy: bool,
    ) {
        let mut gate = gate(RiskLimits { price_min_e9: 1, order_notional_max_e9: i64::MAX, ..collared() });
        let ask_e9 = bid_e9 + spread_e9.min(bid_e9 / 50);
        let quote = Quote { bid_price_e9: bid_e9, ask_price_e9: ask_e9, ..quote(0, 0) };
        for at_ns in [1, 2] {
            // Twice, an hour and more apart: neither jump nor drift is this test's.
            gate.apply_market(any(&quote), NOW_NS + at_ns * 7_200 * E9);
        }
        let intent = OrderIntent { side: if is_buy { Side::BUY } else { Side::SELL }, ..market(buy(1, 0)) };
        let decision = gate.judge(&intent, 1, Text::truncated("hf-1-1"), after_ns(14_400 * E9));
        prop_assert_eq!(decision.verdict, Verdict::APPROVED, "{:?}", decision.rule);
        let (price_e9, mid_e9) = (i128::from(decision.limit_price_e9), i128::from(i64::midpoint(bid_e9, ask_e9)));
        prop_assert!((price_e9 - mid_e9).abs() * 100 <= mid_e9 * 3);
        let increment_e9 = if price_e9 >= i128::from(E9) { 10_000_000 } else { 100_000 };
        prop_assert_eq!(price_e9 % increment_e9, 0);
    }
}
