//! Whatever fills, ends, waits and is halted: stops never exceed the position, and cover it once it is left alone.

use crate::limits::RiskLimits;
use crate::protection_desk::{Desk, limits};
use holdfast_records::{Decision, E9, IntentAction, OrderStatus, Side, Text, Verdict};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Enter(i64),
    Exit(i64),
    Take,
    FillEntry(i64),
    FillClosing(i64),
    EndOne(bool),
    Wait(i64),
    Latch(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (1_i64..20).prop_map(Act::Enter),
        (1_i64..20).prop_map(Act::Exit),
        Just(Act::Take),
        (1_i64..20).prop_map(Act::FillEntry),
        (1_i64..20).prop_map(Act::FillClosing),
        any_bool().prop_map(Act::EndOne),
        (0_i64..3_000).prop_map(|ms| Act::Wait(ms * 1_000_000)),
        any_bool().prop_map(Act::Latch),
    ];
    prop::collection::vec(act, 1..60)
}

fn any_bool() -> impl Strategy<Value = bool> {
    prop::bool::ANY
}

/// Open orders of the desk's decisions as its venue has them: an order and what it has filled.
struct Book {
    open: Vec<(Decision, i64)>,
}

impl Book {
    fn take(&mut self, desk: &mut Desk, decided: &[Decision]) {
        for decision in decided.iter().filter(|decision| decision.verdict == Verdict::APPROVED) {
            if decision.action == IntentAction::CANCEL {
                // A cancel that was decided is carried out, as the engine does until it is proven.
                if let Some(place) = self.place_of(decision.target_client_order_id) {
                    let (order, filled_e9) = self.open.remove(place);
                    desk.event(&order, OrderStatus::CANCELED, filled_e9);
                }
            } else {
                self.open.push((*decision, 0));
            }
        }
    }

    fn place_of(&self, client_order_id: Text<48>) -> Option<usize> {
        self.open
            .iter()
            .position(|(order, _)| order.client_order_id == client_order_id)
    }

    fn closing_e9(&self, is_stop: bool) -> i64 {
        let closing = self.open.iter().filter(|(order, _)| {
            order.side == Side::SELL && (!is_stop || order.client_order_id.as_str().ends_with("-stop"))
        });
        closing.map(|(order, filled_e9)| order.quantity_e9 - filled_e9).sum()
    }

    fn fill(&mut self, desk: &mut Desk, side: Side, quantity: i64) {
        let Some(place) = self.open.iter().position(|(order, _)| order.side == side) else {
            return;
        };
        let (order, filled_e9) = self.open[place];
        let mut quantity_e9 = (quantity * E9).min(order.quantity_e9 - filled_e9);
        if side == Side::SELL {
            quantity_e9 = quantity_e9.min(desk.position_e9);
        }
        if quantity_e9 == 0 {
            return;
        }
        let after_e9 = filled_e9 + quantity_e9;
        let is_filled = after_e9 == order.quantity_e9;
        let status = if is_filled {
            OrderStatus::FILLED
        } else {
            OrderStatus::PARTIALLY_FILLED
        };
        desk.event(&order, status, after_e9);
        desk.fill(&order, quantity_e9);
        if is_filled {
            self.open.remove(place);
        } else {
            self.open[place].1 = after_e9;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn stops_never_exceed_the_position_and_cover_it_once_it_is_left_alone(acts in acts()) {
        let mut desk = Desk::open(&RiskLimits { protection_rejects_max: 100, is_short_allowed: false, ..limits() });
        let mut book = Book { open: Vec::new() };
        for act in acts {
            let decided = match act {
                Act::Enter(quantity) => desk.ask(Side::BUY, quantity, 100),
                Act::Exit(quantity) => desk.ask(Side::SELL, quantity, 100),
                Act::Take => {
                    for (order, filled_e9) in &book.open {
                        if *filled_e9 == 0 {
                            desk.event(order, OrderStatus::NEW, 0);
                        }
                    }
                    Vec::new()
                }
                Act::FillEntry(quantity) => {
                    book.fill(&mut desk, Side::BUY, quantity);
                    Vec::new()
                }
                Act::FillClosing(quantity) => {
                    book.fill(&mut desk, Side::SELL, quantity);
                    Vec::new()
                }
                Act::EndOne(is_rejected) => {
                    if let Some((order, filled_e9)) = book.open.pop() {
                        let known = desk.judge.gate.orders().get(order.client_order_id.as_str());
                        let is_new = is_rejected && !known.is_some_and(holdfast_orders::Order::is_at_venue);
                        let status = if is_new { OrderStatus::REJECTED } else { OrderStatus::CANCELED };
                        desk.event(&order, status, filled_e9);
                    }
                    Vec::new()
                }
                Act::Wait(ns) => desk.step(ns),
                Act::Latch(is_latched) => {
                    desk.external.is_latched = is_latched;
                    Vec::new()
                }
            };
            book.take(&mut desk, &decided);
            let more = desk.step(0);
            book.take(&mut desk, &more);
            prop_assert!(book.closing_e9(true) <= desk.position_e9, "stops beyond the position");
        }
        desk.external.is_latched = false;
        for _ in 0..12 {
            let decided = desk.step(40 * E9);
            book.take(&mut desk, &decided);
            for (order, filled_e9) in book.open.clone() {
                if filled_e9 == 0 {
                    desk.event(&order, OrderStatus::NEW, 0);
                }
            }
        }
        let is_blocked = !desk.kept.trips.is_empty();
        prop_assert!(is_blocked || book.closing_e9(false) >= desk.position_e9, "a position without its stop");
        prop_assert!(book.closing_e9(false) <= desk.position_e9, "it could flip");
    }
}
