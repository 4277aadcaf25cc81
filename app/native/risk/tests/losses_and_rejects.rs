//! Losses by two levels, rejections in a row and by rate, and a market that drifts.

mod desk;
use desk::*;
use holdfast_records::{AccountSnapshot, E9, OrderEvent, OrderStatus, Reason, Reset, TradingStateCode, Uuid};
use holdfast_risk::{Gate, RiskLimits};

const EQUITY_E9: i64 = 1_000_000 * E9;

/// A gate whose venue reports a loss since its last close, with limits of 1 % and 2 %.
fn after_a_loss(loss_e9: i64) -> Gate {
    let mut gate = gate(RiskLimits {
        daily_loss_share_max_e9: E9 / 100,
        daily_loss_kill_max_e9: E9 / 50,
        ..limits()
    });
    let snapshot = AccountSnapshot {
        equity_e9: EQUITY_E9 - loss_e9,
        last_equity_e9: EQUITY_E9,
        ..account()
    };
    gate.apply_execution(any(&snapshot), NOW_NS);
    gate.advance(clock(), |_| ());
    gate
}

#[test]
fn one_percent_of_the_equity_reduces_and_two_percent_halt() {
    let level = |loss_e9| after_a_loss(loss_e9).trading_state();
    assert_eq!(level(10_000 * E9), (TradingStateCode::ACTIVE, Reason::NONE));
    assert_eq!(level(10_000 * E9 + 1), (TradingStateCode::REDUCING, Reason::DAILY_LOSS));
    assert_eq!(level(20_000 * E9), (TradingStateCode::REDUCING, Reason::DAILY_LOSS));
    assert_eq!(
        level(20_000 * E9 + 1),
        (TradingStateCode::HALTED, Reason::DAILY_LOSS_KILL)
    );
}

#[test]
fn a_kill_by_loss_outlasts_recovery_cool_down_and_day_and_ends_by_an_operator() {
    let mut gate = after_a_loss(20_001 * E9);
    gate.apply_execution(any(&account()), NOW_NS);
    let mut at = after_ns(30 * DAY_NS);
    at.session_ns += DAY_NS;
    gate.advance(at, |_| ());
    assert_eq!(
        gate.trading_state(),
        (TradingStateCode::HALTED, Reason::DAILY_LOSS_KILL)
    );
    gate.apply_control(any(&Reset::default()));
    assert_eq!(gate.trading_state(), (TradingStateCode::ACTIVE, Reason::NONE));
}

#[test]
fn our_own_books_count_when_the_venue_reports_no_loss() {
    let mut gate = after_a_loss(0);
    bought(&mut gate, 1_000);
    gate.apply_market(any(&quote(89_990, 90_000)), NOW_NS);
    gate.advance(clock(), |_| ());
    assert_eq!(gate.trading_state(), (TradingStateCode::REDUCING, Reason::DAILY_LOSS));
}

/// Approves and answers an order; the venue's id shows that it was taken.
fn answered(gate: &mut Gate, quantity: i64, is_rejected: bool, ts_ns: i64) {
    let decision = approve(gate, &buy(quantity, 95));
    let taken = OrderEvent {
        venue_order_id: Uuid::from_bytes([1; 16]),
        ..event(&decision, OrderStatus::NEW)
    };
    let rejected = event(&decision, OrderStatus::REJECTED);
    for _ in 0..2 {
        gate.apply_execution(any(if is_rejected { &rejected } else { &taken }), ts_ns);
    }
}

#[test]
fn rejections_in_a_row_trip_and_one_order_taken_begins_anew() {
    let mut gate = gate(RiskLimits {
        rejects_in_a_row_max: 3,
        reject_sample_min: 100,
        ..limits()
    });
    for quantity in [1, 2] {
        answered(&mut gate, quantity, true, NOW_NS);
    }
    answered(&mut gate, 3, false, NOW_NS);
    for quantity in [4, 5] {
        answered(&mut gate, quantity, true, NOW_NS);
    }
    passes(&gate, &buy(6, 95));
    answered(&mut gate, 6, true, NOW_NS);
    denies(&gate, &buy(7, 95), Reason::REJECTS_IN_A_ROW, 3 * E9, 4 * E9);
    gate.advance(clock(), |_| ());
    assert_eq!(
        gate.trading_state(),
        (TradingStateCode::REDUCING, Reason::REJECTS_IN_A_ROW)
    );
}

#[test]
fn an_order_that_the_venue_proved_not_to_have_is_no_rejection() {
    let mut gate = gate(RiskLimits {
        rejects_in_a_row_max: 2,
        reject_sample_min: 100,
        ..limits()
    });
    for quantity in 1..=5 {
        let absent = OrderEvent {
            rule: Reason::ORDER_UNKNOWN,
            ..event(&approve(&mut gate, &buy(quantity, 95)), OrderStatus::REJECTED)
        };
        gate.apply_execution(any(&absent), NOW_NS);
    }
    passes(&gate, &buy(6, 95));
    answered(&mut gate, 6, true, NOW_NS);
    passes(&gate, &buy(7, 95));
    answered(&mut gate, 7, true, NOW_NS);
    denies(&gate, &buy(8, 95), Reason::REJECTS_IN_A_ROW, 2 * E9, 3 * E9);
}

#[test]
fn thirty_percent_rejected_within_a_minute_pass_and_more_do_not() {
    let limits = RiskLimits {
        reject_rate_max_e9: 3 * E9 / 10,
        reject_sample_min: 10,
        ..limits()
    };
    let mut gate = gate(limits);
    for quantity in 1..=10 {
        answered(&mut gate, quantity, quantity % 3 == 1 && quantity < 10, NOW_NS);
    }
    passes(&gate, &buy(20, 95));
    let mut worse = gate.clone();
    answered(&mut worse, 11, true, NOW_NS);
    denies(&worse, &buy(20, 95), Reason::REJECT_RATE, 3 * E9 / 10, 363_636_364);
    // A minute later the old answers do not count, and one is too few for a rate.
    answered(&mut gate, 11, true, NOW_NS + 60 * E9);
    passes(&gate, &buy(20, 95));
}

#[test]
fn a_mid_that_moved_too_far_within_the_window_stops_entries_either_way() {
    for end in [102_000, 98_000] {
        let mut gate = gate(RiskLimits {
            price_drift_max_e9: E9 / 50,
            price_drift_window_ns: 60 * E9,
            ..limits()
        });
        let step = (end - 100_000) / 10;
        for second in 0..=10_i64 {
            let price = 100_000 + step * second;
            gate.apply_market(any(&quote(price, price + 20)), NOW_NS + second * E9);
        }
        passes_at(&gate, &buy(1, 99), after_ns(10 * E9));
        let beyond = end + step / 10;
        gate.apply_market(any(&quote(beyond, beyond + 20)), NOW_NS + 11 * E9);
        denies_at(&gate, &buy(1, 99), after_ns(11 * E9), Reason::PRICE_DRIFT);
        gate.apply_market(any(&quote(beyond, beyond + 20)), NOW_NS + 90 * E9);
        passes_at(&gate, &buy(1, 99), after_ns(90 * E9));
    }
}

#[test]
fn prices_lie_on_the_venues_increments_but_for_crypto() {
    let gate = gate(limits());
    let between = |price_e9| holdfast_records::OrderIntent {
        limit_price_e9: price_e9,
        ..buy(1, 0)
    };
    passes(&gate, &between(99_990_000_000));
    denies(
        &gate,
        &between(99_995_000_000),
        Reason::PRICE_INCREMENT,
        E9 / 100,
        99_995_000_000,
    );
    passes(&gate, &of("BTC/USD", between(99_995_000_001)));
}
