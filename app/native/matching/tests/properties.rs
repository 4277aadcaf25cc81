//! What holds whatever clients and markets do.

mod common;

use common::*;
use holdfast_matching::{Engine, Event, Order, Replacement, Settings};
use holdfast_records::{E9, OrderClass, OrderIntent, OrderStatus, OrderType, Side, TimeInForce, notional_e9};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

#[derive(Clone, Debug)]
enum Step {
    Quote { bid: i64, spread: i64, size: i64 },
    Submit { request: OrderIntent },
    Cancel { place: usize },
    Replace { place: usize, cents: i64, shares: i64 },
    Wait { millis: i64 },
}

fn requests() -> impl Strategy<Value = OrderIntent> {
    let kinds = prop::sample::select(vec![
        OrderType::MARKET,
        OrderType::LIMIT,
        OrderType::STOP,
        OrderType::STOP_LIMIT,
        OrderType::TRAILING_STOP,
    ]);
    let times = prop::sample::select(vec![
        TimeInForce::DAY,
        TimeInForce::GTC,
        TimeInForce::IOC,
        TimeInForce::FOK,
    ]);
    let classes = prop::sample::select(vec![
        OrderClass::SIMPLE,
        OrderClass::SIMPLE,
        OrderClass::BRACKET,
        OrderClass::OCO,
    ]);
    (
        any::<bool>(),
        1_i64..300,
        980_i64..1_020,
        980_i64..1_020,
        kinds,
        times,
        classes,
    )
        .prop_map(
            |(is_buy, shares, price, stop_price, order_type, time_in_force, order_class)| {
                let side = if is_buy { Side::BUY } else { Side::SELL };
                let mut request = OrderIntent {
                    order_type,
                    time_in_force,
                    order_class,
                    ..market(side, shares)
                };
                match order_type {
                    OrderType::LIMIT => request.limit_price_e9 = price * CENT,
                    OrderType::STOP => request.stop_price_e9 = stop_price * CENT,
                    OrderType::STOP_LIMIT => {
                        request.limit_price_e9 = price * CENT;
                        request.stop_price_e9 = stop_price * CENT;
                    }
                    OrderType::TRAILING_STOP => request.trail_price_e9 = 5 * CENT,
                    _ => {}
                }
                if order_class != OrderClass::SIMPLE {
                    let exit_is_sale = is_buy != (order_class == OrderClass::OCO);
                    let away = if exit_is_sale { 10 } else { -10 };
                    request.take_profit_price_e9 = (price + away) * CENT;
                    request.stop_loss_price_e9 = (price - away) * CENT;
                }
                request
            },
        )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (980_i64..1_020, 0_i64..4, 0_i64..400).prop_map(|(bid, spread, size)| Step::Quote { bid, spread, size }),
        4 => requests().prop_map(|request| Step::Submit { request }),
        1 => (0_usize..40).prop_map(|place| Step::Cancel { place }),
        1 => (0_usize..40, 980_i64..1_020, 0_i64..300)
            .prop_map(|(place, cents, shares)| Step::Replace { place, cents, shares }),
        1 => (0_i64..2_000).prop_map(|millis| Step::Wait { millis }),
    ];
    prop::collection::vec(step, 1..80)
}

fn run(seed: u64, steps: &[Step], mut check: impl FnMut(&Engine, &[Event], Option<(i64, i64)>)) -> Engine {
    let mut engine = engine_with(Settings {
        seed,
        partial_fill_ppm: 200_000,
        latency_ns_max: 300_000_000,
        ..settings()
    });
    engine.advance(OPEN_NS);
    let mut quoted = None;
    for (number, step) in steps.iter().enumerate() {
        let now_ns = engine.now_ns();
        match step {
            Step::Quote { bid, spread, size } => {
                // What was due before the quote still meets the old one.
                engine.advance(OPEN_NS + number as i64 * E9);
                let events = engine.take_events();
                check(&engine, &events, quoted);
                quoted = Some((*bid * CENT, (bid + spread) * CENT));
                quote(&mut engine, number as i64, *bid, bid + spread, *size);
            }
            Step::Submit { request } => drop(engine.submit(now_ns, request, "")),
            Step::Cancel { place } | Step::Replace { place, .. } if engine.orders().get(*place).is_none() => {}
            Step::Cancel { place } => drop(engine.cancel(now_ns, engine.orders()[*place].id)),
            Step::Replace { place, cents, shares } => {
                let order = &engine.orders()[*place];
                let change = Replacement {
                    quantity_e9: shares * E9,
                    limit_price_e9: if order.limit_price_e9 > 0 { cents * CENT } else { 0 },
                    ..Replacement::default()
                };
                drop(engine.replace(now_ns, order.id, &change));
            }
            Step::Wait { millis } => engine.advance(now_ns + millis * 1_000_000),
        }
        let events = engine.take_events();
        check(&engine, &events, quoted);
    }
    engine.advance(CLOSE_NS);
    let events = engine.take_events();
    check(&engine, &events, quoted);
    engine
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn cash_and_shares_are_conserved_and_no_order_overfills(seed: u64, steps in steps()) {
        let (mut cash_e9, mut position_e9) = (100_000 * E9, 0);
        let mut filled: HashMap<_, i64> = HashMap::new();
        let mut executions = HashSet::new();
        let engine = run(seed, &steps, |engine, events, _| {
            for event in events {
                let Some(execution) = event.execution else { continue };
                assert!(executions.insert(execution.id), "an execution id is used once");
                let is_buy = event.order.side == Side::BUY;
                let value_e9 = notional_e9(execution.price_e9, execution.quantity_e9);
                cash_e9 += if is_buy { -value_e9 } else { value_e9 } - execution.fee_e9;
                position_e9 += if is_buy { execution.quantity_e9 } else { -execution.quantity_e9 };
                assert_eq!(execution.position_quantity_e9, position_e9);
                let total_e9 = filled.entry(event.order.id).or_default();
                *total_e9 += execution.quantity_e9;
                assert_eq!(*total_e9, event.order.filled_quantity_e9);
                assert!(*total_e9 <= event.order.quantity_e9, "overfilled");
                assert_eq!(event.name == "fill", *total_e9 == event.order.quantity_e9);
            }
            assert_eq!(engine.cash_e9(), cash_e9);
        });
        prop_assert_eq!(engine.books()[0].position.quantity_e9, position_e9);
        prop_assert_eq!(engine.cash_e9(), cash_e9);
    }

    #[test]
    fn nothing_trades_through_its_limit_or_away_from_the_quote(seed: u64, steps in steps()) {
        run(seed, &steps, |_, events, quoted| {
            for event in events {
                let Some(execution) = event.execution else { continue };
                let (bid_e9, ask_e9) = quoted.unwrap();
                let is_buy = event.order.side == Side::BUY;
                assert_eq!(execution.price_e9, if is_buy { ask_e9 } else { bid_e9 });
                let limit_e9 = event.order.limit_price_e9;
                if limit_e9 > 0 {
                    assert!(if is_buy { execution.price_e9 <= limit_e9 } else { execution.price_e9 >= limit_e9 });
                }
            }
        });
    }

    #[test]
    fn an_order_that_ended_stays_ended_and_every_day_order_ends(seed: u64, steps in steps()) {
        let mut ended = HashSet::new();
        let engine = run(seed, &steps, |_, events, _| {
            for event in events.iter().filter(|event| !event.name.starts_with("order_")) {
                assert!(!ended.contains(&event.order.id), "{} after the end", event.name);
                if !event.order.is_open() {
                    ended.insert(event.order.id);
                }
            }
        });
        for order in engine.orders() {
            let is_over = order.time_in_force != TimeInForce::DAY || !order.is_open();
            prop_assert!(is_over || order.status == OrderStatus::ACCEPTED, "{:?}", order);
        }
    }

    #[test]
    fn the_same_seed_and_requests_give_the_same_events(seed: u64, steps in steps()) {
        let events_of = || {
            let mut all = Vec::new();
            run(seed, &steps, |_, events, _| all.extend_from_slice(events));
            all
        };
        prop_assert_eq!(events_of(), events_of());
    }

    #[test]
    fn a_better_price_or_an_earlier_time_is_never_passed_over(
        is_buy: bool,
        orders in prop::collection::vec((1_i64..10, 1_i64..100), 2..20),
        quotes in prop::collection::vec((1_i64..15, 1_i64..200), 1..10),
    ) {
        let mut engine = engine_with(Settings { partial_fill_ppm: 200_000, ..settings() });
        quote(&mut engine, 0, 1_000, 1_001, 500);
        // Distances from the market in cents: the orders rest behind it, then the quotes come to them.
        for (away, shares) in orders {
            let request = if is_buy { limit(Side::BUY, shares, 1_000 - away) } else { limit(Side::SELL, shares, 1_001 + away) };
            submit(&mut engine, &request).unwrap();
        }
        let goodness = |order: &Order| if is_buy { order.limit_price_e9 } else { -order.limit_price_e9 };
        for (second, (away, size)) in quotes.into_iter().enumerate() {
            let bid = if is_buy { 999 - away } else { 1_001 + away };
            quote(&mut engine, second as i64 + 1, bid, bid + 1, size);
            for (place, order) in engine.orders().iter().enumerate() {
                for (other_place, other) in engine.orders().iter().enumerate() {
                    let goes_first = (-goodness(order), place) < (-goodness(other), other_place);
                    let is_passed_over = goes_first && order.open_quantity_e9() > 0 && other.filled_quantity_e9 > 0;
                    prop_assert!(!is_passed_over);
                }
            }
        }
    }
}
