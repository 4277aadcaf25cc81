//! Orders of every type and time in force against a quoted market.

mod common;

use common::*;
use holdfast_matching::{Replacement, Settings};
use holdfast_records::{E9, OrderIntent, OrderStatus, OrderType, Quote, Side, Symbol, TimeInForce};

#[test]
fn a_market_order_takes_the_quote_and_waits_for_more_when_it_is_too_small() {
    let mut engine = engine();
    let order = submit(&mut engine, &market(Side::BUY, 800)).unwrap();
    assert_eq!(order.status, OrderStatus::PARTIALLY_FILLED);
    assert_eq!((shares(&engine), order.average_price_e9()), (500, 1_001 * CENT));
    quote(&mut engine, 1, 1_002, 1_003, 500);
    assert_eq!(status(&engine, &order), OrderStatus::FILLED);
    assert_eq!(engine.cash_e9(), 100_000 * E9 - 500 * 1_001 * CENT - 300 * 1_003 * CENT);
    assert_eq!(names(&engine.take_events()), ["new", "partial_fill", "fill"]);
}

#[test]
fn orders_at_one_price_fill_by_time_and_a_better_price_goes_first() {
    let mut engine = engine();
    let first = submit(&mut engine, &limit(Side::BUY, 100, 990)).unwrap();
    let second = submit(&mut engine, &limit(Side::BUY, 100, 990)).unwrap();
    let better = submit(&mut engine, &limit(Side::BUY, 100, 991)).unwrap();
    quote(&mut engine, 1, 980, 989, 150);
    assert_eq!(status(&engine, &better), OrderStatus::FILLED);
    assert_eq!(shown(&engine, &first).filled_quantity_e9, 50 * E9);
    assert_eq!(shown(&engine, &second).filled_quantity_e9, 0);
}

#[test]
fn immediate_orders_leave_nothing_behind() {
    let mut engine = engine();
    let ioc = OrderIntent {
        time_in_force: TimeInForce::IOC,
        ..limit(Side::BUY, 800, 1_001)
    };
    let order = submit(&mut engine, &ioc).unwrap();
    assert_eq!(
        (order.status, order.filled_quantity_e9),
        (OrderStatus::CANCELED, 500 * E9)
    );
    quote(&mut engine, 1, 1_000, 1_001, 500);
    let fok = OrderIntent {
        time_in_force: TimeInForce::FOK,
        ..limit(Side::BUY, 501, 1_001)
    };
    let order = submit(&mut engine, &fok).unwrap();
    assert_eq!((order.status, order.filled_quantity_e9), (OrderStatus::CANCELED, 0));
    let order = submit(
        &mut engine,
        &OrderIntent {
            quantity_e9: 500 * E9,
            ..fok
        },
    )
    .unwrap();
    assert_eq!(order.status, OrderStatus::FILLED);
}

#[test]
fn a_stop_waits_for_its_price_and_a_stop_limit_keeps_its_limit() {
    let mut engine = engine();
    submit(&mut engine, &market(Side::BUY, 200)).unwrap();
    let plain = submit(&mut engine, &stop(Side::SELL, 100, 990)).unwrap();
    let limited = OrderIntent {
        order_type: OrderType::STOP_LIMIT,
        limit_price_e9: 989 * CENT,
        ..stop(Side::SELL, 100, 990)
    };
    let limited = submit(&mut engine, &limited).unwrap();
    quote(&mut engine, 1, 991, 992, 500);
    assert_eq!(shares(&engine), 200);
    quote(&mut engine, 2, 985, 986, 500);
    assert_eq!(status(&engine, &plain), OrderStatus::FILLED);
    assert_eq!(status(&engine, &limited), OrderStatus::NEW);
    quote(&mut engine, 3, 989, 990, 500);
    assert_eq!(shown(&engine, &limited).average_price_e9(), 989 * CENT);
}

#[test]
fn a_trailing_stop_follows_the_best_price_and_never_steps_back() {
    let mut engine = engine();
    submit(&mut engine, &market(Side::BUY, 100)).unwrap();
    let trailing = OrderIntent {
        order_type: OrderType::TRAILING_STOP,
        trail_price_e9: 10 * CENT,
        ..market(Side::SELL, 100)
    };
    let order = submit(&mut engine, &trailing).unwrap();
    for (second, bid) in [(1, 1_020), (2, 1_015)] {
        quote(&mut engine, second, bid, bid + 1, 500);
        assert_eq!(shown(&engine, &order).stop_price_e9, 1_010 * CENT);
    }
    quote(&mut engine, 3, 1_009, 1_010, 500);
    assert_eq!(shown(&engine, &order).average_price_e9(), 1_009 * CENT);
}

#[test]
fn day_orders_end_with_the_session_and_others_wait_for_the_next() {
    let mut engine = engine();
    let day = submit(&mut engine, &limit(Side::BUY, 100, 900)).unwrap();
    let gtc = submit(
        &mut engine,
        &OrderIntent {
            time_in_force: TimeInForce::GTC,
            ..limit(Side::BUY, 100, 900)
        },
    )
    .unwrap();
    engine.advance(CLOSE_NS);
    assert_eq!(status(&engine, &day), OrderStatus::EXPIRED);
    assert_eq!(status(&engine, &gtc), OrderStatus::NEW);
    let late = submit(&mut engine, &market(Side::BUY, 10)).unwrap();
    assert_eq!(late.status, OrderStatus::ACCEPTED);
    let next_ns = OPEN_NS + 86_400 * E9;
    engine.set_session(next_ns, next_ns + 60 * E9);
    engine.advance(next_ns);
    assert_eq!(status(&engine, &late), OrderStatus::NEW);
    quote(&mut engine, 86_400, 899, 900, 500);
    assert_eq!(status(&engine, &late), OrderStatus::FILLED);
    assert_eq!(status(&engine, &gtc), OrderStatus::FILLED);
}

#[test]
fn auction_orders_fill_at_the_open_and_at_the_close_only() {
    let mut engine = engine_with(settings());
    let opening = OrderIntent {
        time_in_force: TimeInForce::OPG,
        ..market(Side::BUY, 300)
    };
    let order = submit(&mut engine, &opening).unwrap();
    quote(&mut engine, 1, 1_000, 1_001, 200);
    let shown_order = shown(&engine, &order);
    assert_eq!(
        (shown_order.status, shown_order.filled_quantity_e9),
        (OrderStatus::CANCELED, 200 * E9)
    );
    assert_eq!(submit(&mut engine, &opening).unwrap_err().status, 422);

    let closing = OrderIntent {
        time_in_force: TimeInForce::CLS,
        ..market(Side::SELL, 100)
    };
    let order = submit(&mut engine, &closing).unwrap();
    quote(&mut engine, 60, 1_002, 1_003, 500);
    assert_eq!(status(&engine, &order), OrderStatus::ACCEPTED);
    engine.advance(CLOSE_NS - E9);
    assert_eq!(submit(&mut engine, &closing).unwrap_err().status, 422);
    engine.advance(CLOSE_NS);
    assert_eq!(shown(&engine, &order).average_price_e9(), 1_002 * CENT);
}

#[test]
fn latency_delays_orders_and_a_fill_may_beat_a_cancel() {
    let mut engine = engine_with(Settings {
        latency_ns_min: E9,
        latency_ns_max: E9,
        ..settings()
    });
    quote(&mut engine, 0, 1_000, 1_001, 500);
    let order = submit(&mut engine, &limit(Side::BUY, 100, 990)).unwrap();
    assert_eq!(order.status, OrderStatus::PENDING_NEW);
    assert_eq!(engine.next_due_ns(), Some(OPEN_NS + E9));
    engine.advance(OPEN_NS + E9);
    assert_eq!(status(&engine, &order), OrderStatus::NEW);
    cancel(&mut engine, &order).unwrap();
    assert_eq!(status(&engine, &order), OrderStatus::PENDING_CANCEL);
    quote(&mut engine, 1, 980, 985, 500);
    engine.advance(OPEN_NS + 3 * E9);
    assert_eq!(status(&engine, &order), OrderStatus::FILLED);
    assert_eq!(names(&engine.take_events()), ["new", "fill", "order_cancel_rejected"]);
    assert_eq!(cancel(&mut engine, &order).unwrap_err().status, 422);
}

#[test]
fn a_replacement_is_a_new_order_and_asks_for_its_whole_quantity() {
    let mut engine = engine();
    let old = submit(&mut engine, &limit(Side::BUY, 800, 1_001)).unwrap();
    assert_eq!(old.filled_quantity_e9, 500 * E9);
    let now_ns = engine.now_ns();
    let change = Replacement {
        limit_price_e9: 900 * CENT,
        ..Replacement::default()
    };
    let index = engine.replace(now_ns, old.id, &change).unwrap();
    engine.advance(now_ns);
    let new = engine.orders()[index].clone();
    let old = shown(&engine, &old);
    assert_eq!(
        (old.status, old.replaced_by, new.replaces),
        (OrderStatus::REPLACED, new.id, old.id)
    );
    assert_eq!(
        (new.status, new.quantity_e9, new.filled_quantity_e9),
        (OrderStatus::NEW, 800 * E9, 0)
    );
    assert_ne!(new.client_order_id, old.client_order_id);
    assert_eq!(engine.replace(now_ns, old.id, &change).unwrap_err().status, 422);
    quote(&mut engine, 1, 899, 900, 1_000);
    assert_eq!(shares(&engine), 1_300);
}

#[test]
fn what_the_account_holds_is_reserved_once_and_never_flipped() {
    let mut engine = engine();
    submit(&mut engine, &market(Side::BUY, 100)).unwrap();
    submit(&mut engine, &limit(Side::SELL, 60, 1_100)).unwrap();
    let refused = submit(&mut engine, &limit(Side::SELL, 41, 1_100)).unwrap_err();
    assert_eq!((refused.status, refused.code), (403, 40_310_000));
    assert!(
        refused.message.contains("requested: 41, available: 40"),
        "{}",
        refused.message
    );
    submit(&mut engine, &limit(Side::SELL, 40, 1_100)).unwrap();
    assert_eq!(engine.available_e9(0), 0);
}

#[test]
fn an_order_that_would_meet_our_own_is_refused() {
    let mut engine = engine();
    submit(&mut engine, &limit(Side::BUY, 100, 999)).unwrap();
    let wash = "potential wash trade detected. use complex orders";
    assert_eq!(
        submit(&mut engine, &limit(Side::SELL, 10, 999)).unwrap_err().message,
        wash
    );
    assert_eq!(submit(&mut engine, &market(Side::SELL, 10)).unwrap_err().message, wash);
    submit(&mut engine, &limit(Side::SELL, 10, 1_050)).unwrap();
}

#[test]
fn buying_power_counts_positions_and_open_orders() {
    let mut engine = engine();
    assert_eq!(engine.buying_power_e9(), 200_000 * E9);
    submit(&mut engine, &limit(Side::BUY, 10_000, 900)).unwrap();
    assert_eq!(engine.buying_power_e9(), 110_000 * E9);
    let refused = submit(&mut engine, &limit(Side::BUY, 12_223, 900)).unwrap_err();
    assert_eq!(
        (refused.status, refused.message.as_str()),
        (403, "insufficient buying power")
    );
    submit(&mut engine, &limit(Side::BUY, 12_222, 900)).unwrap();
}

#[test]
fn a_client_order_id_is_used_once_for_ever() {
    let mut engine = engine();
    let now_ns = engine.now_ns();
    let index = engine.submit(now_ns, &limit(Side::BUY, 1, 900), "mine").unwrap();
    engine.cancel(now_ns, engine.orders()[index].id).unwrap();
    engine.advance(now_ns);
    let refused = engine.submit(now_ns, &limit(Side::BUY, 1, 900), "mine").unwrap_err();
    assert_eq!((refused.status, refused.code), (422, 40_010_001));
    assert_eq!(
        refused.to_json(),
        r#"{"code":40010001,"message":"client_order_id must be unique"}"#
    );
    assert_eq!(
        engine
            .submit(now_ns, &limit(Side::BUY, 1, 900), &"x".repeat(129))
            .unwrap_err()
            .status,
        422
    );
}

#[test]
fn wrong_parameters_are_refused() {
    let sale = limit(Side::SELL, 1, 1_000);
    let wrong = [
        OrderIntent {
            symbol: Symbol::truncated("NONE"),
            ..sale
        },
        OrderIntent { quantity_e9: 0, ..sale },
        OrderIntent {
            notional_e9: E9,
            ..sale
        },
        OrderIntent {
            limit_price_e9: 0,
            ..sale
        },
        OrderIntent {
            limit_price_e9: 1_000 * CENT + 1,
            ..sale
        },
        OrderIntent {
            stop_price_e9: 5 * E9,
            ..sale
        },
        OrderIntent {
            order_type: OrderType::NONE,
            ..sale
        },
        OrderIntent {
            is_extended_hours: 1,
            ..market(Side::BUY, 1)
        },
        OrderIntent {
            quantity_e9: E9 / 2,
            time_in_force: TimeInForce::GTC,
            ..sale
        },
        OrderIntent {
            order_type: OrderType::TRAILING_STOP,
            ..market(Side::SELL, 1)
        },
        OrderIntent {
            take_profit_price_e9: 11 * E9,
            ..sale
        },
        bracket(1, 1_000, 900, 1_100),
        OrderIntent {
            stop_loss_price_e9: 0,
            ..bracket(1, 1_000, 1_100, 900)
        },
        OrderIntent {
            symbol: Symbol::truncated("BTC/USD"),
            ..sale
        },
    ];
    for request in wrong {
        let refused = submit(&mut engine(), &request);
        assert_eq!(refused.map_err(|refused| refused.status), Err(422), "{request:?}");
    }
}

#[test]
fn a_pair_trades_around_the_clock_in_fractions_and_is_never_sold_short() {
    let mut engine = engine_with(settings());
    let pair = OrderIntent {
        symbol: Symbol::truncated("BTC/USD"),
        quantity_e9: 123_456_789,
        time_in_force: TimeInForce::GTC,
        ..market(Side::BUY, 0)
    };
    let order = submit(&mut engine, &pair).unwrap();
    engine.on_quote(&Quote {
        symbol: pair.symbol,
        ts_event_ns: 1,
        bid_price_e9: 60_000 * E9,
        bid_size_e9: E9,
        ask_price_e9: 60_001 * E9,
        ask_size_e9: E9,
        ..Quote::default()
    });
    assert_eq!(status(&engine, &order), OrderStatus::FILLED);
    let too_much = OrderIntent {
        side: Side::SELL,
        quantity_e9: E9,
        ..pair
    };
    assert_eq!(submit(&mut engine, &too_much).unwrap_err().status, 403);
    submit(
        &mut engine,
        &OrderIntent {
            side: Side::SELL,
            ..pair
        },
    )
    .unwrap();
    assert_eq!(
        submit(
            &mut engine,
            &OrderIntent {
                side: Side::SELL,
                ..pair
            }
        )
        .unwrap_err()
        .status,
        403
    );
}

#[test]
fn an_order_by_notional_buys_what_the_money_is_worth() {
    let mut engine = engine();
    let order = submit(
        &mut engine,
        &OrderIntent {
            notional_e9: 1_001 * E9,
            ..market(Side::BUY, 0)
        },
    )
    .unwrap();
    assert_eq!(
        (order.status, order.filled_quantity_e9),
        (OrderStatus::FILLED, 100 * E9)
    );
}

#[test]
fn a_suspended_account_takes_no_orders_and_still_cancels() {
    let mut engine = engine();
    let order = submit(&mut engine, &limit(Side::BUY, 1, 900)).unwrap();
    engine.is_suspended = true;
    assert_eq!(submit(&mut engine, &limit(Side::BUY, 1, 900)).unwrap_err().status, 403);
    cancel(&mut engine, &order).unwrap();
    assert_eq!(status(&engine, &order), OrderStatus::CANCELED);
}
