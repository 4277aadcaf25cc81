//! No family of orders fills beyond what was approved of it, by either of two counters.

mod desk;
use desk::*;
use holdfast_records::{
    BreakerTripped, Decision, E9, Fill, IntentAction, OrderClass, OrderEvent, OrderIntent, OrderStatus, Reason, Side,
    Text, Uuid,
};
use holdfast_risk::Gate;

/// Which of the two counters hears of what filled.
#[derive(Clone, Copy, Debug)]
enum Heard {
    Reports,
    Executions,
}

const EITHER: [Heard; 2] = [Heard::Reports, Heard::Executions];

fn id(number: u8) -> Uuid {
    Uuid::from_bytes([number; 16])
}

/// Tells that the order with this venue id has filled so much in all.
fn filled(gate: &mut Gate, order: &OrderEvent, quantity: i64, heard: Heard) {
    match heard {
        Heard::Reports => gate.apply_execution(
            any(&OrderEvent {
                filled_quantity_e9: quantity * E9,
                status: OrderStatus::PARTIALLY_FILLED,
                ..*order
            }),
            NOW_NS,
        ),
        Heard::Executions => {
            let number = gate.orders().executions_count() as u8 + 1;
            let fill = Fill {
                execution_id: Uuid::from_bytes([number; 16]),
                client_order_id: order.client_order_id,
                venue_order_id: order.venue_order_id,
                symbol: order.symbol,
                quantity_e9: quantity * E9,
                price_e9: 100 * E9,
                side: order.side,
                ..Fill::default()
            };
            gate.apply_execution(any(&fill), NOW_NS);
        }
    }
}

fn at_venue(gate: &mut Gate, decision: &Decision, number: u8, replaces: u8) -> OrderEvent {
    let shown = OrderEvent {
        venue_order_id: id(number),
        replaces_order_id: if replaces == 0 { Uuid::default() } else { id(replaces) },
        strategy: decision.strategy,
        order_class: decision.order_class,
        ..event(decision, OrderStatus::NEW)
    };
    gate.apply_execution(any(&shown), NOW_NS);
    shown
}

/// A bracket of ten with its exits at the venue.
fn bracket(gate: &mut Gate) -> [OrderEvent; 3] {
    let entry = OrderIntent {
        order_class: OrderClass::BRACKET,
        take_profit_price_e9: 110 * E9,
        stop_loss_price_e9: 95 * E9,
        ..buy(10, 100)
    };
    let decision = approve(gate, &entry);
    let parent = at_venue(gate, &decision, 1, 0);
    let exits = [2, 3].map(|number| OrderEvent {
        client_order_id: Text::truncated(&format!("leg-{number}")),
        venue_order_id: id(number),
        parent_order_id: id(1),
        side: Side::SELL,
        ..parent
    });
    for exit in &exits {
        gate.apply_execution(any(exit), NOW_NS);
    }
    [parent, exits[0], exits[1]]
}

fn tripped(gate: &mut Gate) -> Option<BreakerTripped> {
    gate.take_runaway()
}

#[test]
fn the_exits_of_an_entry_fill_at_most_its_quantity_in_all() {
    for heard in EITHER {
        let mut gate = gate(limits());
        let [parent, profit, stop] = bracket(&mut gate);
        filled(&mut gate, &parent, 10, heard);
        filled(&mut gate, &profit, 6, heard);
        filled(&mut gate, &stop, 4, heard);
        assert_eq!(tripped(&mut gate), None, "{heard:?}");
        filled(
            &mut gate,
            &stop,
            if matches!(heard, Heard::Reports) { 5 } else { 1 },
            heard,
        );
        let told = tripped(&mut gate).expect("eleven of ten");
        assert_eq!(
            (told.rule, told.limit_e9, told.value_e9),
            (Reason::PARENT_EXCEEDED, 10 * E9, 11 * E9)
        );
        assert_eq!(told.strategy.as_str(), "test");
        denies_at(&gate, &of("SPY", buy(1, 100)), clock(), Reason::STRATEGY_DISABLED);
    }
}

#[test]
fn exits_that_are_heard_of_before_their_entry_filled_exceed_nothing() {
    let mut gate = gate(limits());
    let [_, profit, _] = bracket(&mut gate);
    filled(&mut gate, &profit, 10, Heard::Reports);
    assert_eq!(tripped(&mut gate), None);
}

#[test]
fn an_order_and_its_replacement_fill_at_most_what_was_approved_of_both() {
    for heard in EITHER {
        let mut gate = gate(limits());
        let decision = approve(&mut gate, &buy(10, 100));
        let first = at_venue(&mut gate, &decision, 1, 0);
        filled(&mut gate, &first, 4, heard);
        let change = OrderIntent {
            action: IntentAction::REPLACE,
            target_client_order_id: decision.client_order_id,
            ..buy(10, 101)
        };
        let replaced = approve(&mut gate, &change);
        let second = at_venue(&mut gate, &replaced, 2, 1);
        filled(&mut gate, &second, 10, heard);
        assert_eq!(tripped(&mut gate), None, "{heard:?}");
        filled(
            &mut gate,
            &first,
            if matches!(heard, Heard::Reports) { 5 } else { 1 },
            heard,
        );
        let told = tripped(&mut gate).expect("fifteen of fourteen");
        assert_eq!(
            (told.rule, told.limit_e9, told.value_e9),
            (Reason::PARENT_EXCEEDED, 14 * E9, 15 * E9)
        );
    }
}
