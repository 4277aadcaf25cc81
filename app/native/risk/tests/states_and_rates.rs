//! What stops entries whatever their size: quotes, sessions, states, rates, breakers; and what nothing stops.

mod desk;
use desk::*;
use holdfast_records::{
    AccountSnapshot, Channel, E9, Gap, IntentAction, OrderIntent, Quote, Reason, Reset, StatusCode, StrategySwitch,
    Symbol, Text, TimeInForce, TradingStateCode, TradingStatus, Trip, Verdict,
};
use holdfast_risk::{Clock, Gate, RiskLimits};

#[test]
fn the_age_of_the_quote() {
    let gate = gate(RiskLimits {
        quote_age_max_ns: E9,
        ..limits()
    });
    passes_at(&gate, &buy(1, 100), after_ns(E9));
    denies_at(&gate, &buy(1, 100), after_ns(E9 + 1), Reason::QUOTE_STALE);
}

#[test]
fn crossed_locked_wide_and_missing_quotes() {
    let mut gate = gate(RiskLimits {
        quote_locked_max_ns: E9,
        quote_spread_max_e9: E9 / 100,
        ..limits()
    });
    gate.apply_market(any(&quote(100_000, 99_990)), NOW_NS);
    denies(&gate, &buy(1, 100), Reason::QUOTE_CROSSED, 99_990_000_000, 100 * E9);

    gate.apply_market(any(&quote(100_000, 100_000)), NOW_NS);
    gate.apply_market(any(&quote(100_000, 100_000)), NOW_NS + E9);
    passes_at(&gate, &buy(1, 100), after_ns(E9));
    denies_at(&gate, &buy(1, 100), after_ns(E9 + 1), Reason::QUOTE_LOCKED);

    gate.apply_market(any(&quote(99_500, 100_500)), NOW_NS);
    passes(&gate, &buy(1, 100));
    gate.apply_market(any(&quote(99_500, 100_502)), NOW_NS);
    denies_at(&gate, &buy(1, 100), clock(), Reason::QUOTE_WIDE);

    for (bid, ask) in [(0, 100_000), (100_000, 0), (-1, 100_000), (0, 0)] {
        gate.apply_market(any(&quote(bid, ask)), NOW_NS);
        denies_at(&gate, &buy(1, 100), clock(), Reason::QUOTE_MISSING);
    }
}

#[test]
fn a_jump_of_the_quote_stops_entries_for_its_hold() {
    let mut gate = gate(RiskLimits {
        quote_jump_max_e9: E9 / 10,
        quote_jump_hold_ns: E9,
        price_drift_window_ns: 1,
        ..limits()
    });
    gate.apply_market(any(&quote(100_000, 100_000)), NOW_NS);
    gate.apply_market(any(&quote(110_000, 110_000)), NOW_NS);
    passes(&gate, &buy(1, 110));
    gate.apply_market(any(&quote(121_001, 121_001)), NOW_NS);
    denies_at(&gate, &buy(1, 121), after_ns(E9 - 1), Reason::QUOTE_JUMPED);
    passes_at(&gate, &buy(1, 121), after_ns(E9));
}

#[test]
fn a_gap_lasts_until_the_next_quote_or_its_repair() {
    let mut gate = gate(limits());
    let gap = Gap {
        channel: Channel::QUOTES,
        ..Gap::default()
    };
    let repair = Gap { is_repaired: 1, ..gap };
    for end in [any(&quote(100_000, 100_020)), any(&repair)] {
        gate.apply_market(any(&gap), NOW_NS);
        denies_at(&gate, &buy(1, 100), clock(), Reason::GAP_UNREPAIRED);
        gate.apply_market(end, NOW_NS);
        passes(&gate, &buy(1, 100));
    }
}

#[test]
fn sessions_and_blackouts_bind_stocks_only() {
    let gate = gate(limits());
    let (closed, blackout) = (Some(Reason::SESSION_CLOSED), Some(Reason::BLACKOUT));
    let close_s = 86_400 / 4;
    let moments = [
        (-2, closed),
        (-1, None),
        (899, None),
        (900, blackout),
        (959, blackout),
        (960, None),
    ];
    for (at_s, rule) in moments.into_iter().chain([(close_s - 1, None), (close_s, closed)]) {
        let at = Clock {
            now_ns: NOW_NS,
            session_ns: NOW_NS + at_s * E9,
        };
        assert_eq!(gate.broken_rule(&buy(1, 100), at).map(|(rule, _)| rule), rule, "{at_s}");
        passes_at(&gate, &of("BTC/USD", buy(1, 100)), at);
    }
}

#[test]
fn a_reduction_that_could_only_queue_for_the_next_session_is_denied() {
    let mut gate = gate(limits());
    bought(&mut gate, 10);
    let close_s = 86_400 / 4;
    let at = |at_s: i64| Clock {
        now_ns: NOW_NS,
        session_ns: NOW_NS + at_s * E9,
    };
    passes_at(&gate, &sell(10, 99), at(close_s - 1));
    for closed_s in [-2, close_s] {
        denies_at(&gate, &sell(10, 99), at(closed_s), Reason::SESSION_CLOSED);
        denies_at(&gate, &market(sell(10, 0)), at(closed_s), Reason::SESSION_CLOSED);
    }
    let extended = OrderIntent {
        is_extended_hours: 1,
        ..sell(10, 99)
    };
    passes_at(&gate, &extended, at(close_s + 4 * 3_600 - 1));
    denies_at(&gate, &extended, at(close_s + 4 * 3_600), Reason::SESSION_CLOSED);
    for time_in_force in [TimeInForce::GTC, TimeInForce::OPG, TimeInForce::CLS] {
        let meant = OrderIntent {
            time_in_force,
            ..sell(10, 99)
        };
        passes_at(&gate, &meant, at(close_s));
    }
    let target_client_order_id = Text::truncated("hf-1-0");
    let cancel = OrderIntent {
        action: IntentAction::CANCEL,
        target_client_order_id,
        ..OrderIntent::default()
    };
    assert_eq!(judge(&mut gate, &cancel, at(close_s)).verdict, Verdict::APPROVED);
}

#[test]
fn a_halted_symbol() {
    let mut gate = gate(limits());
    let status = |status| TradingStatus {
        symbol: Symbol::truncated("IBM"),
        status,
        ..TradingStatus::default()
    };
    gate.apply_market(any(&status(StatusCode::HALTED)), NOW_NS);
    denies_at(&gate, &buy(1, 100), clock(), Reason::SYMBOL_HALTED);
    passes(&gate, &of("SPY", buy(1, 100)));
    gate.apply_market(any(&status(StatusCode::TRADING)), NOW_NS);
    passes(&gate, &buy(1, 100));
}

#[test]
fn rate_and_burst() {
    let mut gate = gate(RiskLimits {
        order_rate_per_s_max: 5,
        order_burst_max: 3,
        ..limits()
    });
    for quantity in 1..=3 {
        approve(&mut gate, &buy(quantity, 100));
    }
    denies(&gate, &buy(4, 100), Reason::ORDER_RATE, 3 * E9, 4 * E9);
    denies_at(&gate, &buy(4, 100), after_ns(E9 / 5 - 1), Reason::ORDER_RATE);
    passes_at(&gate, &buy(4, 100), after_ns(E9 / 5));
}

#[test]
fn duplicates_and_repeats() {
    let mut once = gate(RiskLimits {
        duplicate_window_ns: E9,
        ..limits()
    });
    approve(&mut once, &buy(1, 100));
    passes(&once, &buy(2, 100));
    denies_at(&once, &buy(1, 100), after_ns(E9 - 1), Reason::DUPLICATE_INTENT);
    passes_at(&once, &buy(1, 100), after_ns(E9));

    let mut twice = gate(RiskLimits {
        repeat_entries_max: 2,
        repeat_window_ns: 60 * E9,
        ..limits()
    });
    approve(&mut twice, &buy(1, 100));
    passes(&twice, &buy(2, 100));
    approve(&mut twice, &buy(2, 100));
    denies(&twice, &buy(3, 100), Reason::REPEAT_EXECUTION, 2 * E9, 3 * E9);
    passes(&twice, &of("SPY", buy(3, 100)));
    passes_at(&twice, &buy(3, 100), after_ns(60 * E9));
}

#[test]
fn an_order_never_meets_our_own() {
    let mut gate = gate(limits());
    approve(&mut gate, &buy(1, 100));
    passes(&gate, &sell(1, 101));
    denies(&gate, &sell(1, 100), Reason::SELF_TRADE, 100 * E9, 100 * E9);
    denies_at(&gate, &market(sell(1, 0)), clock(), Reason::SELF_TRADE);
}

#[test]
fn states_and_switches() {
    let mut gate = gate(limits());
    gate.apply_control(any(&Trip::default()));
    assert_eq!(gate.trading_state(), (TradingStateCode::HALTED, Reason::OPERATOR));
    denies_at(&gate, &buy(1, 100), clock(), Reason::STATE_HALTED);
    gate.apply_control(any(&Reset::default()));
    passes(&gate, &buy(1, 100));
    gate.set_latch(true);
    denies_at(&gate, &buy(1, 100), clock(), Reason::KILL_LATCH);
    gate.set_latch(false);
    gate.set_reconciled(false);
    denies_at(&gate, &buy(1, 100), clock(), Reason::NOT_RECONCILED);
    gate.set_reconciled(true);
    let switch = StrategySwitch {
        strategy: Text::truncated("test"),
        ..StrategySwitch::default()
    };
    gate.apply_control(any(&switch));
    denies_at(&gate, &buy(1, 100), clock(), Reason::STRATEGY_DISABLED);
    gate.apply_control(any(&StrategySwitch {
        is_enabled: 1,
        ..switch
    }));
    passes(&gate, &buy(1, 100));
    gate.apply_execution(
        any(&AccountSnapshot {
            is_trading_blocked: 1,
            ..account()
        }),
        NOW_NS,
    );
    denies_at(&gate, &buy(1, 100), clock(), Reason::ACCOUNT_BLOCKED);
}

#[test]
fn nothing_stops_reductions_and_cancels() {
    let mut gate = gate(RiskLimits {
        order_burst_max: 1,
        ..limits()
    });
    bought(&mut gate, 10);
    gate.set_latch(true);
    gate.set_reconciled(false);
    gate.apply_control(any(&Trip::default()));
    gate.apply_market(any(&quote(0, 0)), NOW_NS);
    let at = after_ns(10 * E9);
    denies_at(&gate, &buy(1, 100), at, Reason::KILL_LATCH);
    passes_at(&gate, &market(sell(10, 0)), at);
    let target_client_order_id = Text::truncated("hf-1-0");
    let cancel = OrderIntent {
        action: IntentAction::CANCEL,
        target_client_order_id,
        ..OrderIntent::default()
    };
    let decision = judge(&mut gate, &cancel, at);
    assert_eq!((decision.verdict, decision.is_reduction), (Verdict::APPROVED, 1));
    assert_eq!(gate.orders().orders().len(), 1);
}

/// Buys at 100 and sells at `price`, one share; the orders are new each time.
fn round_trip(gate: &mut Gate, price: i64) {
    for (intent, fill_price) in [(buy(1, 100), 100), (sell(1, 99), price)] {
        let number = gate.orders().orders().len() as i64;
        let decision = judge(gate, &intent, after_ns(number));
        assert_eq!(decision.verdict, Verdict::APPROVED, "{:?}", decision.rule);
        fill(gate, &decision, 1, fill_price);
        gate.apply_execution(any(&event(&decision, holdfast_records::OrderStatus::FILLED)), NOW_NS);
    }
}

fn trips(gate: &mut Gate, at: Clock) -> Vec<Reason> {
    let mut tripped = Vec::new();
    gate.advance(at, |record| tripped.push(record.rule));
    tripped
}

#[test]
fn losses_in_a_row_trip_until_an_operator_resets() {
    let limits = RiskLimits {
        consecutive_losses_max: 2,
        is_resumed_by_operator: true,
        ..limits()
    };
    let mut gate = gate(limits);
    round_trip(&mut gate, 99);
    round_trip(&mut gate, 101);
    round_trip(&mut gate, 99);
    assert_eq!(trips(&mut gate, clock()), []);
    round_trip(&mut gate, 99);
    assert!(gate.is_due(clock()));
    assert_eq!(trips(&mut gate, clock()), [Reason::CONSECUTIVE_LOSSES]);
    assert_eq!(
        gate.trading_state(),
        (TradingStateCode::REDUCING, Reason::CONSECUTIVE_LOSSES)
    );
    denies(&gate, &buy(1, 100), Reason::CONSECUTIVE_LOSSES, 2 * E9, 3 * E9);
    let tomorrow = Clock {
        now_ns: NOW_NS + DAY_NS,
        session_ns: NOW_NS + DAY_NS,
    };
    assert_eq!(trips(&mut gate, tomorrow), []);
    assert_eq!(gate.state(), TradingStateCode::REDUCING);
    gate.apply_control(any(&Reset::default()));
    assert_eq!(gate.state(), TradingStateCode::ACTIVE);
}

#[test]
fn a_breaker_may_clear_itself_after_its_cool_down() {
    let limits = RiskLimits {
        consecutive_losses_max: 1,
        cool_down_ns: 60 * E9,
        ..limits()
    };
    let mut gate = gate(limits);
    round_trip(&mut gate, 99);
    assert_eq!(trips(&mut gate, clock()), [Reason::CONSECUTIVE_LOSSES]);
    assert!(!gate.is_due(after_ns(60 * E9 - 1)));
    assert_eq!(trips(&mut gate, after_ns(60 * E9)), []);
    assert_eq!(gate.state(), TradingStateCode::ACTIVE);
}

#[test]
fn the_loss_of_a_day_counts_open_losses_to_the_last_unit() {
    let mut gate = gate(RiskLimits {
        daily_loss_max_e9: 10 * E9,
        ..limits()
    });
    for _ in 0..10 {
        round_trip(&mut gate, 99);
    }
    assert_eq!(trips(&mut gate, clock()), []);
    bought(&mut gate, 2);
    passes(&gate, &buy(1, 99));
    gate.apply_market(
        any(&Quote {
            bid_price_e9: 100 * E9 - 1,
            ..quote(0, 100_020)
        }),
        NOW_NS,
    );
    denies(&gate, &buy(1, 99), Reason::DAILY_LOSS, 10 * E9, 10 * E9 + 2);
    assert_eq!(trips(&mut gate, clock()), [Reason::DAILY_LOSS]);
}

#[test]
fn the_loss_of_a_week_outlives_the_change_of_session() {
    let limits = RiskLimits {
        daily_loss_max_e9: 10 * E9,
        weekly_loss_max_e9: 14 * E9,
        ..limits()
    };
    let mut gate = gate(limits);
    let tomorrow = Clock {
        now_ns: NOW_NS,
        session_ns: NOW_NS + DAY_NS,
    };
    for at in [clock(), tomorrow] {
        assert_eq!(trips(&mut gate, at), []);
        for _ in 0..7 {
            round_trip(&mut gate, 99);
        }
        assert_eq!(trips(&mut gate, at), []);
    }
    round_trip(&mut gate, 99);
    assert_eq!(trips(&mut gate, tomorrow), [Reason::WEEKLY_LOSS]);
}

#[test]
fn the_worse_of_the_venue_and_our_own_books_counts_for_the_day() {
    let mut gate = gate(RiskLimits {
        daily_loss_max_e9: 100 * E9,
        ..limits()
    });
    let lost = |loss_e9| AccountSnapshot {
        last_equity_e9: 1_000_000 * E9,
        equity_e9: 1_000_000 * E9 - loss_e9,
        ..account()
    };
    gate.apply_execution(any(&lost(100 * E9)), NOW_NS);
    passes(&gate, &buy(1, 100));
    gate.apply_execution(any(&lost(100 * E9 + 1)), NOW_NS);
    denies(&gate, &buy(1, 100), Reason::DAILY_LOSS, 100 * E9, 100 * E9 + 1);
}

#[test]
fn a_clock_that_steps_back_resets_nothing() {
    let mut gate = gate(RiskLimits {
        trades_per_day_max: 1,
        ..limits()
    });
    bought(&mut gate, 1);
    let before = gate.state_hash();
    for at_ns in [-DAY_NS, -3_600 * E9, 0] {
        let at = Clock {
            now_ns: NOW_NS,
            session_ns: NOW_NS + at_ns,
        };
        gate.advance(at, |_| {});
    }
    denies(&gate, &buy(1, 99), Reason::TRADES_PER_DAY, E9, 2 * E9);
    assert_ne!(before, 0);
    let tomorrow = Clock {
        now_ns: NOW_NS,
        session_ns: NOW_NS + DAY_NS,
    };
    gate.apply_control(any(&Reset::default()));
    gate.advance(tomorrow, |_| {});
    passes_at(&gate, &buy(1, 99), tomorrow);
}

#[test]
fn trades_of_a_day_count_open_entries() {
    let mut gate = gate(RiskLimits {
        trades_per_day_max: 3,
        ..limits()
    });
    bought(&mut gate, 1);
    passes(&gate, &buy(2, 100));
    approve(&mut gate, &buy(2, 100));
    passes(&gate, &buy(3, 100));
    approve(&mut gate, &buy(3, 100));
    denies(&gate, &buy(4, 100), Reason::TRADES_PER_DAY, 3 * E9, 4 * E9);
}

#[test]
fn drawdown_from_the_greatest_equity() {
    let mut gate = gate(RiskLimits {
        drawdown_max_e9: E9 / 10,
        ..limits()
    });
    gate.apply_execution(
        any(&AccountSnapshot {
            equity_e9: 900_000 * E9,
            ..account()
        }),
        NOW_NS,
    );
    passes(&gate, &buy(1, 100));
    gate.apply_execution(
        any(&AccountSnapshot {
            equity_e9: 900_000 * E9 - 1,
            ..account()
        }),
        NOW_NS,
    );
    denies(&gate, &buy(1, 100), Reason::DRAWDOWN, E9 / 10, E9 / 10 + 1);
}
