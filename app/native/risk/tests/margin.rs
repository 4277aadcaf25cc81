//! Margin rules by date.

mod desk;
use desk::*;
use holdfast_records::{AccountSnapshot, E9, Reason, Symbol};
use holdfast_risk::{Calendar, Gate, MarginRegime};

const DAY: i64 = NOW_NS / DAY_NS;

fn gate_under(regimes: Vec<MarginRegime>, snapshot: &AccountSnapshot) -> Gate {
    let calendar = Calendar::new(&[(NOW_NS - E9, NOW_NS + DAY_NS / 4)], &[]).unwrap();
    let calendar = calendar.with_regimes(regimes).unwrap();
    let mut gate = Gate::new(limits(), &[Symbol::truncated("IBM")], calendar);
    gate.apply_execution(any(snapshot), NOW_NS);
    gate.set_reconciled(true);
    gate.apply_market(any(&quote(100_000, 100_020)), NOW_NS);
    gate.apply_market(any(&average_volume("IBM", 10_000_000)), NOW_NS);
    gate
}

fn regime(from_day: i64, initial_percent: i64) -> MarginRegime {
    MarginRegime {
        from_day,
        initial_e9: initial_percent * E9 / 100,
        maintenance_long_e9: E9 / 4,
        maintenance_short_e9: 3 * E9 / 10,
        equity_min_e9: 25_000 * E9,
    }
}

fn of_equity(equity: i64) -> AccountSnapshot {
    AccountSnapshot {
        equity_e9: equity * E9,
        ..account()
    }
}

#[test]
fn the_equity_covers_the_initial_margin_of_all_positions_by_the_rules_of_the_date() {
    for (regimes, most) in [
        (vec![regime(DAY - 1, 150)], 200),
        (vec![regime(DAY - 9, 150), regime(DAY, 200)], 150),
        (vec![regime(DAY - 9, 150), regime(DAY + 1, 200)], 200),
    ] {
        let gate = gate_under(regimes, &of_equity(30_000));
        passes(&gate, &buy(most, 100));
        denies_at(&gate, &buy(most + 1, 100), clock(), Reason::MARGIN_REGIME);
    }
}

#[test]
fn below_the_least_equity_and_in_a_margin_call_nothing_enters() {
    let under = |snapshot: &AccountSnapshot| gate_under(vec![regime(0, 50)], snapshot);
    passes(&under(&of_equity(25_000)), &buy(1, 100));
    let poor = AccountSnapshot {
        equity_e9: 25_000 * E9 - 1,
        ..account()
    };
    denies(
        &under(&poor),
        &buy(1, 100),
        Reason::MARGIN_REGIME,
        25_000 * E9 - 1,
        25_000 * E9,
    );
    let held = |long: i64, short: i64| AccountSnapshot {
        long_market_value_e9: long * E9,
        short_market_value_e9: -short * E9,
        ..of_equity(40_000)
    };
    passes(&under(&held(160_000, 0)), &buy(1, 100));
    denies(
        &under(&held(160_004, 0)),
        &buy(1, 100),
        Reason::MARGIN_REGIME,
        40_000 * E9,
        40_001 * E9,
    );
    passes(&under(&held(40_000, 100_000)), &buy(1, 100));
    denies(
        &under(&held(40_000, 100_010)),
        &buy(1, 100),
        Reason::MARGIN_REGIME,
        40_000 * E9,
        40_003 * E9,
    );
}

#[test]
fn a_date_without_rules_allows_nothing_and_rules_out_of_order_are_refused() {
    for regimes in [vec![], vec![regime(DAY + 1, 50)]] {
        let gate = gate_under(regimes, &account());
        denies(&gate, &buy(1, 100), Reason::MARGIN_REGIME, 0, 0);
    }
    let calendar = Calendar::new(&[(1, 2)], &[]).unwrap();
    assert!(
        calendar
            .clone()
            .with_regimes(vec![regime(2, 50), regime(2, 50)])
            .is_none()
    );
    assert!(calendar.clone().with_regimes(vec![regime(2, 0)]).is_none());
    assert!(calendar.with_regimes(vec![regime(2, 201)]).is_none());
}
