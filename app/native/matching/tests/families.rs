//! Brackets, one-cancels-other and one-triggers-other.

mod common;

use common::*;
use holdfast_matching::{Engine, Order, Replacement};
use holdfast_records::{OrderClass, OrderIntent, OrderStatus, Side};

fn leg(engine: &Engine, order: &Order, place: usize) -> Order {
    engine.orders()[shown(engine, order).legs[place]].clone()
}

fn filled_bracket() -> (Engine, Order) {
    let mut engine = engine();
    let entry = submit(&mut engine, &bracket(100, 1_001, 1_050, 950)).unwrap();
    assert_eq!(entry.status, OrderStatus::FILLED);
    (engine, entry)
}

#[test]
fn exits_are_held_until_the_entry_has_filled() {
    let mut engine = engine();
    let entry = submit(&mut engine, &bracket(100, 990, 1_050, 950)).unwrap();
    assert_eq!(
        [0, 1].map(|place| leg(&engine, &entry, place).status),
        [OrderStatus::HELD; 2]
    );
    quote(&mut engine, 1, 989, 990, 60);
    assert_eq!(leg(&engine, &entry, 0).status, OrderStatus::HELD);
    quote(&mut engine, 2, 989, 990, 60);
    assert_eq!(leg(&engine, &entry, 0).status, OrderStatus::NEW);
    assert_eq!(leg(&engine, &entry, 1).status, OrderStatus::HELD);
    assert_eq!(engine.available_e9(0), 0);
}

#[test]
fn a_taken_profit_cancels_the_stop() {
    let (mut engine, entry) = filled_bracket();
    quote(&mut engine, 1, 1_050, 1_051, 500);
    assert_eq!(leg(&engine, &entry, 0).status, OrderStatus::FILLED);
    assert_eq!(leg(&engine, &entry, 1).status, OrderStatus::CANCELED);
    assert_eq!(shares(&engine), 0);
}

#[test]
fn a_reached_stop_cancels_the_profit_order_first() {
    let (mut engine, entry) = filled_bracket();
    engine.take_events();
    quote(&mut engine, 1, 949, 951, 500);
    assert_eq!(leg(&engine, &entry, 0).status, OrderStatus::CANCELED);
    assert_eq!(leg(&engine, &entry, 1).status, OrderStatus::FILLED);
    assert_eq!(names(&engine.take_events()), ["canceled", "new", "fill"]);
    assert_eq!(shares(&engine), 0);
}

#[test]
fn a_partly_taken_profit_shrinks_the_stop() {
    let (mut engine, entry) = filled_bracket();
    quote(&mut engine, 1, 1_050, 1_051, 30);
    assert_eq!(
        leg(&engine, &entry, 1).open_quantity_e9(),
        leg(&engine, &entry, 0).open_quantity_e9()
    );
    quote(&mut engine, 2, 940, 941, 500);
    assert_eq!(shares(&engine), 0);
}

#[test]
fn canceling_one_order_of_a_family_ends_it() {
    let (mut engine, entry) = filled_bracket();
    let profit = leg(&engine, &entry, 0);
    cancel(&mut engine, &profit).unwrap();
    assert_eq!(
        [0, 1].map(|place| leg(&engine, &entry, place).status),
        [OrderStatus::CANCELED; 2]
    );
    let mut engine = common::engine();
    let entry = submit(&mut engine, &bracket(100, 900, 1_050, 850)).unwrap();
    cancel(&mut engine, &entry).unwrap();
    assert_eq!(
        [0, 1].map(|place| leg(&engine, &entry, place).status),
        [OrderStatus::CANCELED; 2]
    );
}

#[test]
fn one_cancels_other_exits_a_position_either_way() {
    for (bid, filled, canceled) in [(1_060, 0, 1), (940, 1, 0)] {
        let mut engine = engine();
        submit(&mut engine, &market(Side::BUY, 100)).unwrap();
        let exits = OrderIntent {
            order_class: OrderClass::OCO,
            take_profit_price_e9: 1_050 * CENT,
            stop_loss_price_e9: 950 * CENT,
            ..limit(Side::SELL, 100, 1_050)
        };
        let profit = submit(&mut engine, &exits).unwrap();
        assert_eq!(leg(&engine, &profit, 0).status, OrderStatus::HELD);
        quote(&mut engine, 1, bid, bid + 1, 500);
        let statuses = [status(&engine, &profit), leg(&engine, &profit, 0).status];
        assert_eq!(
            (statuses[filled], statuses[canceled]),
            (OrderStatus::FILLED, OrderStatus::CANCELED)
        );
        assert_eq!(shares(&engine), 0);
    }
}

#[test]
fn one_triggers_other_has_a_single_exit() {
    let mut engine = engine();
    let entry = OrderIntent {
        order_class: OrderClass::OTO,
        stop_loss_price_e9: 950 * CENT,
        ..market(Side::BUY, 100)
    };
    let entry = submit(&mut engine, &entry).unwrap();
    assert_eq!(leg(&engine, &entry, 0).status, OrderStatus::NEW);
    quote(&mut engine, 1, 945, 946, 500);
    assert_eq!(leg(&engine, &entry, 0).status, OrderStatus::FILLED);
    assert_eq!(shares(&engine), 0);
}

#[test]
fn a_replaced_leg_keeps_its_place_in_the_family() {
    let (mut engine, entry) = filled_bracket();
    for (place, change) in [
        (
            0,
            Replacement {
                limit_price_e9: 1_040 * CENT,
                ..Replacement::default()
            },
        ),
        (
            1,
            Replacement {
                stop_price_e9: 960 * CENT,
                ..Replacement::default()
            },
        ),
    ] {
        let now_ns = engine.now_ns();
        engine.replace(now_ns, leg(&engine, &entry, place).id, &change).unwrap();
        engine.advance(now_ns);
    }
    assert_eq!(leg(&engine, &entry, 0).limit_price_e9, 1_040 * CENT);
    assert_eq!(leg(&engine, &entry, 1).status, OrderStatus::HELD);
    quote(&mut engine, 1, 959, 961, 500);
    assert_eq!(leg(&engine, &entry, 1).status, OrderStatus::FILLED);
    assert_eq!(leg(&engine, &entry, 0).status, OrderStatus::CANCELED);
    assert_eq!(shares(&engine), 0);
}
