//! Amounts at their boundary: the limit passes, one more is denied with the rule, the limit and the value.

mod desk;
use desk::*;
use holdfast_records::{
    AccountSnapshot, E9, IntentAction, OrderEvent, OrderIntent, OrderStatus, Reason, Reset, Side, StatusCode, Symbol,
    Text, TimeInForce, TradingStatus,
};
use holdfast_risk::RiskLimits;

#[test]
fn an_order_is_at_most_a_share_of_the_average_volume_and_nothing_without_one() {
    let mut gate = gate(RiskLimits {
        average_volume_share_max_e9: E9 / 100,
        ..limits()
    });
    gate.apply_market(any(&average_volume("IBM", 1_050)), NOW_NS);
    passes(
        &gate,
        &OrderIntent {
            quantity_e9: 10_500_000_000,
            ..buy(1, 100)
        },
    );
    let beyond = OrderIntent {
        quantity_e9: 10_500_000_001,
        ..buy(1, 100)
    };
    denies(&gate, &beyond, Reason::AVERAGE_VOLUME, 10_500_000_000, 10_500_000_001);
    gate.apply_market(any(&average_volume("IBM", 0)), NOW_NS);
    denies(&gate, &buy(1, 100), Reason::AVERAGE_VOLUME, 0, E9);
    let week_old = holdfast_records::AverageVolume {
        ts_event_ns: NOW_NS - 7 * DAY_NS,
        ..average_volume("IBM", 1_000)
    };
    gate.apply_market(any(&week_old), NOW_NS);
    passes(&gate, &buy(10, 100));
    gate.apply_market(
        any(&holdfast_records::AverageVolume {
            ts_event_ns: week_old.ts_event_ns - 1,
            ..week_old
        }),
        NOW_NS,
    );
    denies(&gate, &buy(1, 100), Reason::AVERAGE_VOLUME, 0, E9);
    passes(&gate, &of("BTC/USD", buy(1, 100)));
    gate.apply_market(any(&average_volume("IBM", 1_000)), NOW_NS);
    bought(&mut gate, 10);
    gate.apply_market(any(&average_volume("IBM", 0)), NOW_NS);
    passes(&gate, &sell(10, 100));
}

#[test]
fn order_quantity() {
    let gate = gate(RiskLimits {
        order_quantity_max_e9: 10 * E9,
        ..limits()
    });
    passes(&gate, &buy(10, 100));
    let more = OrderIntent {
        quantity_e9: 10 * E9 + 1,
        ..buy(10, 100)
    };
    denies(&gate, &more, Reason::ORDER_QUANTITY, 10 * E9, 10 * E9 + 1);
}

#[test]
fn order_notional_of_a_quantity_and_of_an_amount() {
    let gate = gate(RiskLimits {
        order_notional_max_e9: 1_000 * E9,
        ..limits()
    });
    passes(&gate, &buy(10, 100));
    denies(&gate, &buy(11, 100), Reason::ORDER_NOTIONAL, 1_000 * E9, 1_100 * E9);
    let amount = |notional_e9| OrderIntent {
        notional_e9,
        ..market(buy(0, 0))
    };
    passes(&gate, &amount(1_000 * E9));
    denies(
        &gate,
        &amount(1_000 * E9 + 1),
        Reason::ORDER_NOTIONAL,
        1_000 * E9,
        1_000 * E9 + 1,
    );
}

#[test]
fn a_market_order_counts_at_the_collar_that_it_is_approved_at() {
    let collar = |notional_e9| RiskLimits {
        order_notional_max_e9: notional_e9,
        price_collar_e9: E9 / 10,
        ..limits()
    };
    passes(&gate(collar(110_010 * E9 / 1000)), &market(buy(1, 0)));
    denies_at(
        &gate(collar(110_010 * E9 / 1000 - 1)),
        &market(buy(1, 0)),
        clock(),
        Reason::ORDER_NOTIONAL,
    );
}

#[test]
fn position_quantity_counts_what_is_pending_and_unknown() {
    let mut gate = gate(RiskLimits {
        position_quantity_max_e9: 100 * E9,
        ..limits()
    });
    bought(&mut gate, 30);
    let pending = approve(&mut gate, &buy(40, 100));
    for status in [OrderStatus::SUBMITTING, OrderStatus::UNKNOWN, OrderStatus::NEW] {
        gate.apply_execution(any(&event(&pending, status)), NOW_NS);
        passes(&gate, &buy(30, 99));
        denies(&gate, &buy(31, 99), Reason::POSITION_QUANTITY, 100 * E9, 101 * E9);
    }
    gate.apply_execution(any(&event(&pending, OrderStatus::CANCELED)), NOW_NS);
    passes(&gate, &buy(70, 99));
    denies(&gate, &buy(71, 99), Reason::POSITION_QUANTITY, 100 * E9, 101 * E9);
}

#[test]
fn position_quantity_of_a_short() {
    let mut gate = gate(RiskLimits {
        position_quantity_max_e9: 100 * E9,
        ..limits()
    });
    approve(&mut gate, &sell(60, 101));
    passes(&gate, &sell(40, 102));
    denies(&gate, &sell(41, 102), Reason::POSITION_QUANTITY, 100 * E9, 101 * E9);
}

#[test]
fn an_amount_in_usd_counts_the_shares_that_it_is_approved_for() {
    let mut gate = gate(RiskLimits {
        position_quantity_max_e9: 100 * E9,
        price_collar_e9: E9 / 10,
        ..limits()
    });
    approve(
        &mut gate,
        &OrderIntent {
            notional_e9: 4_500_900_000_000,
            ..market(buy(0, 0))
        },
    );
    passes(&gate, &buy(59, 99));
    denies_at(&gate, &buy(60, 99), clock(), Reason::POSITION_QUANTITY);
}

#[test]
fn position_notional() {
    let mut gate = gate(RiskLimits {
        position_notional_max_e9: 10_000 * E9,
        ..limits()
    });
    approve(&mut gate, &buy(60, 100));
    passes(&gate, &buy(40, 100));
    denies(
        &gate,
        &buy(41, 100),
        Reason::POSITION_NOTIONAL,
        10_000 * E9,
        10_100 * E9,
    );
}

#[test]
fn gross_and_net_exposure() {
    let mut gross = gate(RiskLimits {
        gross_exposure_max_e9: 10_000 * E9,
        ..limits()
    });
    approve(&mut gross, &buy(60, 100));
    passes(&gross, &of("SPY", sell(40, 100)));
    denies(
        &gross,
        &of("SPY", sell(41, 100)),
        Reason::GROSS_EXPOSURE,
        10_000 * E9,
        10_100 * E9,
    );

    let mut net = gate(RiskLimits {
        net_exposure_max_e9: 10_000 * E9,
        ..limits()
    });
    approve(&mut net, &buy(60, 100));
    passes(&net, &of("SPY", buy(40, 100)));
    passes(&net, &of("SPY", sell(41, 100)));
    denies(
        &net,
        &of("SPY", buy(41, 100)),
        Reason::NET_EXPOSURE,
        10_000 * E9,
        10_100 * E9,
    );
}

#[test]
fn exposure_follows_the_quotes() {
    let mut gate = gate(RiskLimits {
        gross_exposure_max_e9: 10_000 * E9,
        ..limits()
    });
    bought(&mut gate, 50);
    passes(&gate, &of("SPY", buy(49, 100)));
    gate.apply_market(any(&quote(119_000, 120_000)), NOW_NS);
    passes(&gate, &of("SPY", buy(40, 100)));
    denies(
        &gate,
        &of("SPY", buy(41, 100)),
        Reason::GROSS_EXPOSURE,
        10_000 * E9,
        10_100 * E9,
    );
}

#[test]
fn concentration_and_leverage_are_shares_of_the_equity() {
    let concentrated = gate(RiskLimits {
        concentration_max_e9: E9 / 4,
        ..limits()
    });
    passes(&concentrated, &buy(2_500, 100));
    denies(
        &concentrated,
        &buy(2_501, 100),
        Reason::CONCENTRATION,
        E9 / 4,
        250_100_000,
    );
    let leveraged = gate(RiskLimits {
        leverage_max_e9: E9 / 2,
        ..limits()
    });
    passes(&leveraged, &buy(5_000, 100));
    denies(&leveraged, &buy(5_001, 100), Reason::LEVERAGE, E9 / 2, 500_100_000);
    let mut poor = gate(limits());
    poor.apply_execution(
        any(&AccountSnapshot {
            equity_e9: 0,
            ..account()
        }),
        NOW_NS,
    );
    poor.apply_control(any(&Reset::default()));
    denies(&poor, &buy(1, 100), Reason::CONCENTRATION, E9, i64::MAX);
}

#[test]
fn open_positions_and_open_orders() {
    let mut positions = gate(RiskLimits {
        open_positions_max: 2,
        ..limits()
    });
    bought(&mut positions, 1);
    approve(&mut positions, &of("SPY", buy(1, 100)));
    passes(&positions, &buy(2, 100));
    denies(
        &positions,
        &of("BTC/USD", buy(1, 100)),
        Reason::OPEN_POSITIONS,
        2 * E9,
        3 * E9,
    );

    let mut orders = gate(RiskLimits {
        open_orders_max: 2,
        ..limits()
    });
    approve(&mut orders, &buy(1, 100));
    passes(&orders, &buy(2, 100));
    approve(&mut orders, &buy(2, 100));
    denies(&orders, &buy(3, 100), Reason::OPEN_ORDERS, 2 * E9, 3 * E9);
}

#[test]
fn daily_notional_counts_fills_and_open_orders() {
    let mut gate = gate(RiskLimits {
        daily_notional_max_e9: 10_000 * E9,
        ..limits()
    });
    let first = bought(&mut gate, 30);
    gate.apply_execution(any(&event(&first, OrderStatus::FILLED)), NOW_NS);
    approve(&mut gate, &buy(30, 99));
    passes(&gate, &buy(40, 100));
    denies(&gate, &buy(41, 100), Reason::DAILY_NOTIONAL, 10_000 * E9, 10_070 * E9);
}

#[test]
fn buying_power_less_what_was_approved_since_its_report() {
    let mut gate = gate(limits());
    approve(&mut gate, &buy(4_000, 100));
    passes(&gate, &of("SPY", buy(6_000, 100)));
    denies(
        &gate,
        &of("SPY", buy(6_001, 100)),
        Reason::BUYING_POWER,
        600_000 * E9,
        600_100 * E9,
    );
    gate.apply_execution(any(&account()), NOW_NS);
    passes(&gate, &of("SPY", buy(6_001, 100)));
}

#[test]
fn price_range_and_collar() {
    let range = gate(RiskLimits {
        price_min_e9: 99 * E9,
        price_max_e9: 101 * E9,
        ..limits()
    });
    passes(&range, &buy(1, 99));
    passes(&range, &buy(1, 101));
    denies(&range, &buy(1, 98), Reason::PRICE_RANGE, 99 * E9, 98 * E9);
    denies(&range, &buy(1, 102), Reason::PRICE_RANGE, 101 * E9, 102 * E9);

    let mut collar = gate(RiskLimits {
        price_collar_e9: E9 / 100,
        ..limits()
    });
    collar.apply_market(any(&quote(99_990, 100_010)), NOW_NS);
    passes(&collar, &buy(1, 101));
    passes(&collar, &sell(1, 99));
    denies(&collar, &buy(1, 102), Reason::PRICE_COLLAR, E9 / 100, E9 / 50);
    let further = OrderIntent {
        limit_price_e9: 101 * E9 + 1,
        ..buy(1, 101)
    };
    denies_at(&collar, &further, clock(), Reason::PRICE_COLLAR);
}

#[test]
fn the_band_of_the_venue() {
    let mut gate = gate(limits());
    let band = TradingStatus {
        symbol: Symbol::truncated("IBM"),
        luld_up_e9: 101 * E9,
        luld_down_e9: 99 * E9,
        status: StatusCode::LULD_BAND,
        ..TradingStatus::default()
    };
    gate.apply_market(any(&band), NOW_NS);
    passes(&gate, &buy(1, 101));
    denies(&gate, &buy(1, 102), Reason::PRICE_COLLAR, 101 * E9, 102 * E9);
    denies(&gate, &buy(1, 98), Reason::PRICE_COLLAR, 99 * E9, 98 * E9);
}

#[test]
fn what_a_trade_may_lose() {
    let stops = RiskLimits {
        stop_loss_default_e9: E9 / 50,
        stop_loss_max_e9: E9 / 10,
        ..limits()
    };
    let gate = gate(RiskLimits {
        trade_loss_max_e9: 500 * E9,
        ..stops
    });
    passes(&gate, &buy(250, 100));
    denies(&gate, &buy(251, 100), Reason::TRADE_LOSS, 500 * E9, 502 * E9);
    let with_stop = |quantity| OrderIntent {
        stop_loss_price_e9: 95 * E9,
        ..buy(quantity, 100)
    };
    passes(&gate, &with_stop(100));
    denies(&gate, &with_stop(101), Reason::TRADE_LOSS, 500 * E9, 505 * E9);
}

#[test]
fn a_stop_is_neither_too_near_nor_too_far_nor_on_the_wrong_side() {
    let stops = RiskLimits {
        stop_loss_default_e9: E9 / 50,
        stop_loss_max_e9: E9 / 10,
        ..limits()
    };
    let gate = gate(RiskLimits {
        stop_loss_min_e9: E9 / 100,
        ..stops
    });
    let stop = |stop_loss_price_e9, intent| OrderIntent {
        stop_loss_price_e9,
        ..intent
    };
    for right in [
        stop(90 * E9, buy(1, 100)),
        stop(99 * E9, buy(1, 100)),
        stop(101 * E9, sell(1, 100)),
    ] {
        passes(&gate, &right);
    }
    let (far, near) = (stop(90 * E9 - 1, buy(1, 100)), stop(99 * E9 + 1, buy(1, 100)));
    for wrong in [far, near, stop(102 * E9, buy(1, 100)), stop(98 * E9, sell(1, 100))] {
        denies_at(&gate, &wrong, clock(), Reason::INTENT_INVALID);
    }
}

#[test]
fn a_declared_notional_is_within_one_percent() {
    let gate = gate(limits());
    let declared = |notional_e9| OrderIntent {
        notional_e9,
        ..buy(10, 100)
    };
    passes(&gate, &declared(1_010 * E9));
    passes(&gate, &declared(990 * E9));
    denies_at(&gate, &declared(1_010 * E9 + 1), clock(), Reason::NOTIONAL_MISMATCH);
}

#[test]
fn what_is_no_request_is_denied_even_as_a_reduction() {
    let mut gate = gate(limits());
    bought(&mut gate, 10);
    let good = sell(1, 101);
    passes(&gate, &good);
    let wrong = [
        OrderIntent {
            quantity_e9: -1,
            ..good
        },
        OrderIntent {
            limit_price_e9: 0,
            ..good
        },
        OrderIntent {
            side: Side::NONE,
            ..good
        },
        OrderIntent { quantity_e9: 0, ..good },
        OrderIntent {
            limit_price_e9: E9,
            ..market(good)
        },
        OrderIntent {
            strategy: Text::default(),
            ..good
        },
        OrderIntent {
            time_in_force: TimeInForce::NONE,
            ..good
        },
        OrderIntent {
            action: IntentAction::NONE,
            ..good
        },
    ];
    for intent in wrong {
        denies_at(&gate, &intent, clock(), Reason::INTENT_INVALID);
    }
    let expiring = OrderIntent {
        expires_ns: NOW_NS,
        ..good
    };
    passes(&gate, &expiring);
    denies_at(&gate, &expiring, after_ns(1), Reason::INTENT_EXPIRED);
    denies_at(&gate, &of("XYZ", buy(1, 100)), clock(), Reason::SYMBOL_UNKNOWN);
}

#[test]
fn a_short_needs_a_word_of_the_venue_that_is_at_most_a_day_old() {
    let loose = RiskLimits {
        quote_age_max_ns: i64::MAX,
        ..limits()
    };
    let mut gate = gate(loose);
    passes(&gate, &sell(1, 100));
    assert_eq!(gate.broken_rule(&sell(1, 100), after_ns(DAY_NS)), None);
    denies_at(&gate, &sell(1, 100), after_ns(DAY_NS + 1), Reason::SHORT_DISALLOWED);
    passes(&gate, &buy(1, 100));
    gate.apply_execution(any(&shortability("IBM", false)), NOW_NS);
    denies_at(&gate, &sell(1, 100), clock(), Reason::SHORT_DISALLOWED);
    passes(&gate, &of("SPY", sell(1, 100)));
    bought(&mut gate, 5);
    passes(&gate, &sell(5, 100));
}

#[test]
fn shorts_need_the_limits_and_the_account() {
    let mut long_only = gate(RiskLimits {
        is_short_allowed: false,
        ..limits()
    });
    denies(&long_only, &sell(1, 100), Reason::SHORT_DISALLOWED, 0, E9);
    bought(&mut long_only, 5);
    passes(&long_only, &sell(5, 100));
    let mut both = gate(limits());
    passes(&both, &sell(1, 100));
    denies_at(&both, &of("BTC/USD", sell(1, 100)), clock(), Reason::SHORT_DISALLOWED);
    both.apply_execution(
        any(&AccountSnapshot {
            is_shorting_enabled: 0,
            ..account()
        }),
        NOW_NS,
    );
    denies_at(&both, &sell(1, 100), clock(), Reason::SHORT_DISALLOWED);
}

#[test]
fn what_the_venue_filled_counts_before_its_fill_arrives() {
    let mut gate = gate(limits());
    bought(&mut gate, 10);
    let sale = approve(&mut gate, &sell(6, 101));
    let filled = OrderEvent {
        filled_quantity_e9: 6 * E9,
        ..event(&sale, OrderStatus::FILLED)
    };
    gate.apply_execution(any(&filled), NOW_NS);
    passes(&gate, &sell(4, 101));
    denies(&gate, &sell(5, 101), Reason::QUANTITY_AVAILABLE, 4 * E9, 5 * E9);
    fill(&mut gate, &sale, 6, 101);
    passes(&gate, &sell(4, 101));
    denies(&gate, &sell(5, 101), Reason::FLIP_THROUGH_ZERO, 4 * E9, 5 * E9);
}

#[test]
fn a_reduction_never_flips_whatever_is_open() {
    let mut gate = gate(limits());
    bought(&mut gate, 10);
    passes(&gate, &sell(10, 100));
    denies(&gate, &sell(11, 100), Reason::FLIP_THROUGH_ZERO, 10 * E9, 11 * E9);
    approve(&mut gate, &sell(6, 101));
    passes(&gate, &sell(4, 101));
    denies(&gate, &sell(5, 101), Reason::QUANTITY_AVAILABLE, 4 * E9, 5 * E9);
    let reduce_only = OrderIntent {
        is_reduce_only: 1,
        ..of("SPY", sell(1, 100))
    };
    denies(&gate, &reduce_only, Reason::FLIP_THROUGH_ZERO, 0, E9);
}

#[test]
fn a_replacement_of_a_reduction_never_flips_whatever_fills_of_its_target_on_the_way() {
    let mut gate = gate(limits());
    bought(&mut gate, 10);
    let target = approve(&mut gate, &sell(6, 101));
    let replace = |quantity| OrderIntent {
        action: IntentAction::REPLACE,
        target_client_order_id: target.client_order_id,
        ..sell(quantity, 100)
    };
    denies(&gate, &replace(5), Reason::QUANTITY_AVAILABLE, 4 * E9, 5 * E9);
    assert_eq!(approve(&mut gate, &replace(4)).is_reduction, 1);
}

#[test]
fn a_replace_counts_beside_its_target_and_needs_one() {
    let mut gate = gate(RiskLimits {
        position_quantity_max_e9: 100 * E9,
        ..limits()
    });
    let first = approve(&mut gate, &buy(60, 100));
    let target_client_order_id = first.client_order_id;
    let replace = |quantity| OrderIntent {
        action: IntentAction::REPLACE,
        target_client_order_id,
        ..buy(quantity, 101)
    };
    passes(&gate, &replace(40));
    denies(&gate, &replace(41), Reason::POSITION_QUANTITY, 100 * E9, 101 * E9);
    let unknown = OrderIntent {
        target_client_order_id: Text::truncated("hf-9-9"),
        ..replace(1)
    };
    denies_at(&gate, &unknown, clock(), Reason::ORDER_UNKNOWN);
    gate.apply_execution(any(&event(&first, OrderStatus::FILLED)), NOW_NS);
    denies_at(&gate, &replace(1), clock(), Reason::ORDER_UNKNOWN);
}
