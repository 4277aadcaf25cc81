//! Protective stops as the judge decides them.

use crate::limits::{RiskLimits, Waiver, Waivers};
use crate::protection_desk::{Desk, any, limits, venue_id};
use holdfast_records::{
    Decision, E9, IntentAction, OrderClass, OrderEvent, OrderEventKind, OrderStatus, OrderType, PositionSnapshot,
    Reason, Side, Symbol, Text, TimeInForce, Verdict,
};

#[test]
fn a_filled_entry_gets_a_stop_for_its_quantity_two_percent_below() {
    let mut desk = Desk::open(&limits());
    let stop = desk.protected(10);
    assert_eq!(
        (stop.verdict, stop.action, stop.side),
        (Verdict::APPROVED, IntentAction::NEW, Side::SELL)
    );
    assert_eq!((stop.quantity_e9, stop.is_reduction, stop.intent_seq), (10 * E9, 1, 0));
    assert_eq!(
        (stop.order_class, stop.time_in_force),
        (OrderClass::OCO, TimeInForce::GTC)
    );
    assert_eq!(
        (stop.stop_loss_price_e9, stop.take_profit_price_e9),
        (98 * E9, 105 * E9)
    );
    assert!(stop.client_order_id.as_str().ends_with("-stop"));
    assert_eq!(stop.strategy.as_str(), "test");
    assert_eq!(stop.limits_hash, desk.judge.gate.limits_hash());
}

#[test]
fn of_percentage_distance_and_loss_the_nearest_binds() {
    for (changed, price) in [
        (
            RiskLimits {
                protection_distance_max_e9: E9,
                ..limits()
            },
            99 * E9,
        ),
        (
            RiskLimits {
                protection_loss_max_e9: 5 * E9,
                ..limits()
            },
            995 * E9 / 10,
        ),
    ] {
        assert_eq!(Desk::open(&changed).protected(10).stop_loss_price_e9, price);
    }
}

#[test]
fn a_stop_is_never_placed_at_the_market_or_beyond_it() {
    let mut desk = Desk::open(&limits());
    let entry = desk.ask(Side::BUY, 10, 100)[0];
    desk.fill(&entry, 10 * E9);
    desk.quote(95 * E9);
    let stop = desk.settle()[0];
    assert!(stop.stop_loss_price_e9 < 95 * E9, "{stop:?}");
    assert_eq!(stop.stop_loss_price_e9 % (E9 / 100), 0);
}

#[test]
fn what_a_part_fill_leaves_open_gets_its_own_stop_when_it_fills() {
    let mut desk = Desk::open(&limits());
    let entry = desk.ask(Side::BUY, 10, 100)[0];
    desk.event(&entry, OrderStatus::PARTIALLY_FILLED, 4 * E9);
    desk.fill(&entry, 4 * E9);
    assert_eq!(desk.settle()[0].quantity_e9, 4 * E9);
    desk.now_ns += E9;
    desk.event(&entry, OrderStatus::FILLED, 10 * E9);
    desk.fill(&entry, 6 * E9);
    assert_eq!(desk.settle()[0].quantity_e9, 6 * E9);
    assert_eq!(desk.step(E9).len(), 0);
}

#[test]
fn an_exit_is_approved_and_its_stop_makes_way_once() {
    let mut desk = Desk::open(&limits());
    let stop = desk.protected(10);
    let decided = desk.ask(Side::SELL, 10, 101);
    assert_eq!((decided[0].verdict, decided[0].is_reduction), (Verdict::APPROVED, 1));
    assert_eq!((decided[1].action, decided[1].intent_seq), (IntentAction::CANCEL, 0));
    assert_eq!(decided[1].target_client_order_id, stop.client_order_id);
    assert_eq!(desk.step(E9).len(), 0);
    desk.event(&stop, OrderStatus::CANCELED, 0);
    assert_eq!(desk.step(E9).len(), 0, "the exit covers the position");
    desk.event(&decided[0], OrderStatus::FILLED, 10 * E9);
    desk.fill(&decided[0], 10 * E9);
    assert_eq!(desk.step(E9).len(), 0, "nothing is left to protect");
}

#[test]
fn what_an_exit_leaves_is_protected_again() {
    let mut desk = Desk::open(&limits());
    let stop = desk.protected(10);
    let exit = desk.ask(Side::SELL, 4, 101)[0];
    desk.event(&stop, OrderStatus::CANCELED, 0);
    assert_eq!(desk.settle()[0].quantity_e9, 6 * E9, "while the exit works");
    desk.event(&exit, OrderStatus::CANCELED, 0);
    assert_eq!(desk.settle()[0].quantity_e9, 4 * E9, "when the exit ended unfilled");
}

#[test]
fn a_refused_stop_is_tried_again_ever_later_and_stops_entries_at_the_limit() {
    let mut desk = Desk::open(&limits());
    let entry = desk.ask(Side::BUY, 10, 100)[0];
    desk.event(&entry, OrderStatus::FILLED, 10 * E9);
    desk.fill(&entry, 10 * E9);
    for failure in 0..3 {
        let pause_ns = E9 / 10 + ((E9 / 4) << failure);
        let stop = *desk.step(pause_ns).first().expect("tried again");
        desk.event(&stop, OrderStatus::REJECTED, 0);
        assert_eq!(desk.step(E9 / 10).len(), 0, "not at once");
    }
    assert_eq!(desk.kept.trips.len(), 1);
    assert_eq!(desk.kept.trips[0].rule, Reason::PROTECTION_MISSING);
    assert_eq!(desk.ask(Side::BUY, 1, 100)[0].rule, Reason::PROTECTION_MISSING);
    desk.external.is_latched = true;
    desk.step(0);
    desk.external.is_latched = false;
    desk.step(0);
    let entry = desk.ask(Side::BUY, 1, 100)[0];
    assert_eq!(
        (entry.verdict, entry.rule),
        (Verdict::APPROVED, Reason::NONE),
        "after an operator's reset"
    );
    assert_eq!(desk.ask(Side::SELL, 1, 100)[0].verdict, Verdict::APPROVED);
}

#[test]
fn a_waived_position_has_none() {
    let waiver = Waiver {
        strategy: Text::truncated("test"),
        ..Waiver::default()
    };
    let waivers = Waivers::new(&[waiver]).expect("one fits");
    let mut desk = Desk::open(&RiskLimits { waivers, ..limits() });
    let entry = desk.ask(Side::BUY, 10, 100)[0];
    desk.fill(&entry, 10 * E9);
    assert_eq!(desk.step(E9).len(), 0);
    assert_ne!(RiskLimits { waivers, ..limits() }.hash(), limits().hash());
    assert_eq!(Waivers::new(&[Waiver::default()]), None);
    assert_eq!(Waivers::new(&[waiver; Waivers::COUNT_MAX + 1]), None);
}

#[test]
fn a_strangers_position_is_not_ours_to_protect() {
    let mut desk = Desk::open(&limits());
    let bought = Decision {
        symbol: Symbol::truncated("IBM"),
        side: Side::BUY,
        client_order_id: Text::truncated("manual-1"),
        ..Decision::default()
    };
    desk.fill(&bought, 10 * E9);
    assert_eq!(desk.step(E9).len(), 0);
}

#[test]
fn a_gain_turns_the_stop_into_one_that_trails() {
    let mut desk = Desk::open(&limits());
    let stop = desk.protected(10);
    desk.quote(1019 * E9 / 10);
    assert_eq!(desk.step(0).len(), 0);
    desk.quote(103 * E9);
    let decided = desk.step(0);
    assert_eq!((decided.len(), decided[0].action), (1, IntentAction::CANCEL));
    desk.event(&stop, OrderStatus::CANCELED, 0);
    desk.now_ns += E9 / 10;
    desk.quote(103 * E9);
    let trailing = desk.step(0)[0];
    assert_eq!(
        (trailing.order_type, trailing.quantity_e9),
        (OrderType::TRAILING_STOP, 10 * E9)
    );
    assert_eq!(trailing.trail_percent_e9, 3 * E9 / 2);
    desk.event(&trailing, OrderStatus::NEW, 0);
    desk.quote(100 * E9);
    assert_eq!(desk.step(E9).len(), 0, "it stays one that trails");
}

#[test]
fn a_stop_is_placed_anew_before_the_venue_ends_it() {
    let mut desk = Desk::open(&RiskLimits {
        protection_renew_ns: 80 * 86_400 * E9,
        ..limits()
    });
    let stop = desk.protected(10);
    let decided = desk.step(80 * 86_400 * E9);
    let cancels = decided
        .iter()
        .filter(|decision| decision.action == IntentAction::CANCEL);
    assert_eq!(
        cancels
            .map(|decision| decision.target_client_order_id)
            .collect::<Vec<_>>(),
        [stop.client_order_id]
    );
    desk.event(&stop, OrderStatus::CANCELED, 0);
    assert_eq!(desk.settle()[0].quantity_e9, 10 * E9);
}

#[test]
fn while_halted_a_stop_that_somebody_else_canceled_stays_away_and_comes_back_after_the_reset() {
    let mut desk = Desk::open(&limits());
    let stop = desk.protected(10);
    desk.external.is_latched = true;
    desk.step(0);
    desk.event(&stop, OrderStatus::CANCELED, 0);
    assert_eq!(desk.step(10 * E9).len(), 0);
    desk.external.is_latched = false;
    assert_eq!(desk.step(0).last().map(|decision| decision.quantity_e9), Some(10 * E9));
}

#[test]
fn an_entry_that_fills_while_halted_gets_its_stop_at_the_reset() {
    let mut desk = Desk::open(&limits());
    let entry = desk.ask(Side::BUY, 10, 100)[0];
    desk.external.is_latched = true;
    desk.step(0);
    desk.fill(&entry, 10 * E9);
    desk.event(&entry, OrderStatus::FILLED, 10 * E9);
    assert_eq!(desk.step(10 * E9).len(), 0);
    desk.external.is_latched = false;
    assert_eq!(desk.settle()[0].quantity_e9, 10 * E9);
}

#[test]
fn while_halted_a_stop_comes_back_after_an_exit_of_ours_and_not_after_somebody_ended_that() {
    for is_ended_by_others in [false, true] {
        let mut desk = Desk::open(&limits());
        let stop = desk.protected(10);
        desk.external.is_latched = true;
        desk.step(0);
        let exit = desk.ask(Side::SELL, 10, 101)[0];
        desk.event(&stop, OrderStatus::CANCELED, 0);
        let status = if is_ended_by_others {
            OrderStatus::CANCELED
        } else {
            OrderStatus::REJECTED
        };
        desk.event(&exit, status, 0);
        assert_eq!(desk.step(10 * E9).is_empty(), is_ended_by_others);
    }
}

#[test]
fn nothing_is_placed_on_a_position_that_the_venue_tells_otherwise() {
    let mut desk = Desk::open(&limits());
    let entry = desk.ask(Side::BUY, 10, 100)[0];
    desk.position_e9 = -10 * E9;
    desk.fill(&entry, 10 * E9);
    assert_eq!(desk.step(E9).len(), 0);
}

#[test]
fn the_leg_that_is_reached_covers_until_it_fills() {
    let mut desk = Desk::open(&limits());
    let stop = desk.protected(10);
    let leg = Decision {
        client_order_id: Text::truncated("venue-leg"),
        order_class: OrderClass::OCO,
        ..stop
    };
    let mut event = OrderEvent {
        client_order_id: Text::truncated("venue-leg"),
        venue_order_id: venue_id(&leg),
        parent_order_id: venue_id(&stop),
        strategy: stop.strategy,
        symbol: stop.symbol,
        side: Side::SELL,
        quantity_e9: 10 * E9,
        order_class: OrderClass::OCO,
        kind: OrderEventKind::UPDATED,
        status: OrderStatus::HELD,
        ..OrderEvent::default()
    };
    desk.judge.gate.apply_execution(any(&event), desk.now_ns);
    desk.event(&stop, OrderStatus::CANCELED, 0);
    assert_eq!(desk.step(E9).len(), 0, "its leg is being executed");
    (event.status, event.ts_event_ns) = (OrderStatus::CANCELED, desk.now_ns);
    desk.judge.gate.apply_execution(any(&event), desk.now_ns);
    assert_eq!(desk.settle()[0].quantity_e9, 10 * E9, "it ended unfilled");
}

#[test]
fn after_a_split_a_stop_follows_the_venues_average_price_and_what_both_count() {
    for (listed, price, covered, stop_price) in [(20, 50, 10, 49 * E9), (5, 200, 5, 196 * E9)] {
        let mut desk = Desk::open(&limits());
        let stop = desk.protected(10);
        let split = PositionSnapshot {
            symbol: Symbol::truncated("IBM"),
            quantity_e9: listed * E9,
            average_price_e9: price * E9,
            ..PositionSnapshot::default()
        };
        desk.judge.gate.apply_execution(any(&split), desk.now_ns);
        desk.quote(price * E9);
        desk.event(&stop, OrderStatus::CANCELED, 0);
        let again = desk.settle()[0];
        assert_eq!(
            (again.quantity_e9, again.stop_loss_price_e9),
            (covered * E9, stop_price)
        );
    }
}

#[test]
fn what_a_bracket_filled_in_part_gets_a_stop_once_its_rest_is_given_up() {
    let mut desk = Desk::open(&limits());
    let entry = desk.ask_for_bracket(10, 100);
    desk.event(&entry, OrderStatus::PARTIALLY_FILLED, 4 * E9);
    desk.fill(&entry, 4 * E9);
    desk.leg(&entry, OrderStatus::HELD);
    assert_eq!(desk.judge.gate.unprotected().count(), 1, "its legs sleep");
    assert_eq!(desk.step(2 * E9 - 1).len(), 0, "it may fill whole yet");
    let decided = desk.step(1);
    assert_eq!((decided.len(), decided[0].action), (1, IntentAction::CANCEL));
    assert_eq!(decided[0].target_client_order_id, entry.client_order_id);
    assert_eq!(desk.step(E9).len(), 0, "told once");
    desk.event(&entry, OrderStatus::CANCELED, 4 * E9);
    desk.leg(&entry, OrderStatus::CANCELED);
    let stop = desk.settle()[0];
    assert_eq!((stop.action, stop.quantity_e9), (IntentAction::NEW, 4 * E9));
}

#[test]
fn a_bracket_that_fills_whole_in_time_keeps_its_legs() {
    let mut desk = Desk::open(&limits());
    let entry = desk.ask_for_bracket(10, 100);
    desk.event(&entry, OrderStatus::PARTIALLY_FILLED, 4 * E9);
    desk.fill(&entry, 4 * E9);
    desk.leg(&entry, OrderStatus::HELD);
    desk.event(&entry, OrderStatus::FILLED, 10 * E9);
    desk.fill(&entry, 6 * E9);
    desk.leg(&entry, OrderStatus::NEW);
    assert_eq!(desk.step(10 * E9).len(), 0);
    assert_eq!(desk.judge.gate.unprotected().count(), 0);
}

#[test]
fn a_bracket_that_a_waiver_covers_may_stay_filled_in_part() {
    let waiver = Waiver {
        symbol: Symbol::truncated("IBM"),
        ..Waiver::default()
    };
    let waivers = Waivers::new(&[waiver]).expect("one fits");
    let mut desk = Desk::open(&RiskLimits { waivers, ..limits() });
    let entry = desk.ask_for_bracket(10, 100);
    desk.fill(&entry, 4 * E9);
    assert_eq!(desk.step(10 * E9).len(), 0);
    assert_eq!(desk.judge.gate.unprotected().count(), 0);
}
