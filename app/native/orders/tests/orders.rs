//! Properties of the order table: permutation, repetition, monotone fills, overfills.

use holdfast_orders::OrderTable;
use holdfast_records::{
    AnyRecord, Decision, Fill, OrderEvent, OrderEventKind, OrderStatus, Record, Side, Symbol, Text, Uuid, Verdict,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Event(OrderEvent),
    Fill(Fill),
    Decision(Decision),
}

fn apply(table: &mut OrderTable, step: &Step) {
    fn any<R: Record>(record: &R) -> AnyRecord<'_> {
        AnyRecord::parse(R::KIND, R::VERSION, bytemuck::bytes_of(record)).unwrap()
    }
    match step {
        Step::Event(event) => table.apply(any(event)),
        Step::Fill(fill) => table.apply(any(fill)),
        Step::Decision(decision) => table.apply(any(decision)),
    };
}

fn table_of(steps: &[Step]) -> OrderTable {
    let mut table = OrderTable::default();
    for step in steps {
        apply(&mut table, step);
    }
    table
}

fn uuid(number: u8) -> Uuid {
    Uuid::from_bytes([number; 16])
}

fn event(order: u8, status: OrderStatus, filled_e9: i64, ts_event_ns: i64) -> OrderEvent {
    OrderEvent {
        client_order_id: Text::truncated(&format!("hf-1-{order}")),
        venue_order_id: if status.0 > 2 { uuid(order) } else { Uuid::default() },
        symbol: Symbol::truncated("IBM"),
        quantity_e9: 100,
        filled_quantity_e9: filled_e9,
        average_price_e9: filled_e9 * 3,
        limit_price_e9: 50 + ts_event_ns,
        ts_event_ns,
        kind: OrderEventKind::UPDATED,
        status,
        side: Side::BUY,
        ..OrderEvent::default()
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let events = (1..4_u8, 1..21_u8, 0..150_i64, 0..20_i64, 1..13_u8).prop_map(|(order, status, filled, ts, kind)| {
        let mut event = event(order, OrderStatus(status), filled, ts);
        event.kind = OrderEventKind(kind);
        Step::Event(event)
    });
    let fills = (1..4_u8, 1..30_u8, 1..80_i64, 1..9_i64).prop_map(|(order, execution, quantity, price)| {
        Step::Fill(Fill {
            // An execution is of one order: the venue gives its id to no other.
            execution_id: uuid(order * 32 + execution),
            client_order_id: Text::truncated(&format!("hf-1-{order}")),
            venue_order_id: uuid(order),
            quantity_e9: quantity,
            price_e9: price,
            side: Side::BUY,
            ..Fill::default()
        })
    });
    let decisions = (1..4_u8, 1..3_u8, 1..9_i64).prop_map(|(order, verdict, price)| {
        Step::Decision(Decision {
            client_order_id: Text::truncated(&format!("hf-1-{order}")),
            quantity_e9: 100,
            limit_price_e9: price,
            verdict: Verdict(verdict),
            ..Decision::default()
        })
    });
    proptest::collection::vec(prop_oneof![events, fills, decisions], 1..40)
}

fn shuffled_with_repeats() -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> {
    steps().prop_flat_map(|steps| {
        let repeats = proptest::collection::vec(0..steps.len(), 0..20);
        (Just(steps.clone()), repeats).prop_flat_map(|(steps, repeats)| {
            let mut longer = steps.clone();
            longer.extend(repeats.into_iter().map(|index| steps[index].clone()));
            (Just(steps), Just(longer).prop_shuffle())
        })
    })
}

proptest! {
    #[test]
    fn any_permutation_and_repetition_gives_the_same_state((steps, shuffled) in shuffled_with_repeats()) {
        let (plain, other) = (table_of(&steps), table_of(&shuffled));
        for order in plain.orders() {
            prop_assert_eq!(Some(order), other.get(order.client_order_id.as_str()));
        }
        prop_assert_eq!(plain.state_hash(), other.state_hash());
    }

    #[test]
    fn filled_quantity_never_falls_and_an_end_stays_an_end(steps in steps()) {
        let mut table = OrderTable::default();
        for step in &steps {
            let before: Vec<_> = table.orders().to_vec();
            apply(&mut table, step);
            for old in before {
                let new = table.get(old.client_order_id.as_str()).unwrap();
                let has_conflicting_execution = matches!(step, Step::Fill(_));
                prop_assert!(has_conflicting_execution || new.filled_quantity_e9() >= old.filled_quantity_e9());
                prop_assert!(!new.is_open() || old.is_open() || new.is_at_venue());
            }
        }
    }
}

#[test]
fn a_fill_after_the_cancel_still_counts() {
    let steps = [
        Step::Event(event(1, OrderStatus::NEW, 0, 1)),
        Step::Event(event(1, OrderStatus::CANCELED, 0, 5)),
        Step::Event(event(1, OrderStatus::PARTIALLY_FILLED, 40, 4)),
    ];
    let table = table_of(&steps);
    let order = table.get("hf-1-1").unwrap();
    assert_eq!(
        (order.status(), order.filled_quantity_e9(), order.open_quantity_e9()),
        (OrderStatus::CANCELED, 40, 0)
    );
}

#[test]
fn an_order_is_open_in_full_until_its_end_is_proven() {
    let mut decided = Decision {
        client_order_id: Text::truncated("hf-1-1"),
        quantity_e9: 100,
        ..Decision::default()
    };
    decided.verdict = Verdict::APPROVED;
    let mut table = table_of(&[Step::Decision(decided)]);
    for status in [
        OrderStatus::SUBMITTING,
        OrderStatus::UNKNOWN,
        OrderStatus::NEW,
        OrderStatus::DONE_FOR_DAY,
    ] {
        apply(&mut table, &Step::Event(event(1, status, 0, 2)));
        assert_eq!(table.get("hf-1-1").unwrap().open_quantity_e9(), 100, "{status:?}");
    }
    apply(&mut table, &Step::Event(event(1, OrderStatus::EXPIRED, 30, 3)));
    assert_eq!(table.get("hf-1-1").unwrap().open_quantity_e9(), 0);
}

#[test]
fn the_venue_outranks_our_own_rejection() {
    let mut rejected = event(1, OrderStatus::REJECTED, 0, 9);
    rejected.venue_order_id = Uuid::default();
    let table = table_of(&[Step::Event(rejected), Step::Event(event(1, OrderStatus::NEW, 0, 2))]);
    assert!(table.get("hf-1-1").unwrap().is_open());
}

#[test]
fn an_overfill_and_a_second_venue_order_are_recorded() {
    let mut second = event(1, OrderStatus::PARTIALLY_FILLED, 120, 2);
    second.venue_order_id = uuid(9);
    let table = table_of(&[Step::Event(event(1, OrderStatus::NEW, 0, 1)), Step::Event(second)]);
    let order = table.get("hf-1-1").unwrap();
    assert!(order.is_overfilled() && order.has_second_venue_order);
}
