//! Operators' changes of limits: who may, how far, how long; the gate judges by what is in force.

mod desk;
use desk::*;
use holdfast_records::{E9, LimitChange, Reason, Text};
use holdfast_risk::{Clock, Gate, LOOSENED_NS_MAX, LimitBook, Refused, RiskLimits};

const KEY: &str = "order_quantity_max_e9";

fn of_quantity(new: i64, approver: &str, expires_ns: i64) -> LimitChange {
    LimitChange {
        operator: Text::truncated("ann"),
        approver: Text::truncated(approver),
        key: Text::truncated(KEY),
        new_e9: new * E9,
        expires_ns,
        ts_event_ns: NOW_NS,
        ..LimitChange::default()
    }
}

fn configured() -> RiskLimits {
    RiskLimits {
        order_quantity_max_e9: 10 * E9,
        stop_loss_min_e9: E9 / 1_000,
        stop_loss_default_e9: E9 / 100,
        price_min_e9: E9 / 100,
        duplicate_window_ns: E9 / 1_000,
        weekly_loss_max_e9: 20_000_000 * E9,
        ..limits()
    }
}

fn at(ns: i64) -> Clock {
    after_ns(ns)
}

fn advanced(gate: &mut Gate, ns: i64) {
    assert!(gate.is_due(at(ns)));
    gate.advance(at(ns), |_| panic!("no breaker trips"));
}

#[test]
fn a_loosening_by_two_counts_at_once_under_a_new_hash_and_ends_by_itself() {
    let mut gate = gate(configured());
    let before = gate.limits_hash();
    denies(&gate, &buy(11, 100), Reason::ORDER_QUANTITY, 10 * E9, 11 * E9);
    gate.apply_control(any(&of_quantity(20, "bob", NOW_NS + E9)));
    passes(&gate, &buy(20, 100));
    denies(&gate, &buy(21, 100), Reason::ORDER_QUANTITY, 20 * E9, 21 * E9);
    let decision = approve(&mut gate, &buy(20, 100));
    assert_ne!(decision.limits_hash, before);
    assert_eq!(decision.limits_hash, gate.limits_hash());
    assert!(!gate.is_due(at(E9 - 1)));
    advanced(&mut gate, E9);
    assert_eq!(gate.limits_hash(), before);
    denies(&gate, &buy(11, 100), Reason::ORDER_QUANTITY, 10 * E9, 11 * E9);
}

#[test]
fn a_loosening_needs_another_person_an_end_within_a_day_and_keeps_below_the_ceiling() {
    let end_ns = NOW_NS + E9;
    let book = LimitBook::new(configured());
    let refused = |change: &LimitChange| book.judge(change).unwrap_err();
    assert_eq!(refused(&of_quantity(11, "", end_ns)), Refused::NeedsApprover);
    assert_eq!(refused(&of_quantity(11, "ann", end_ns)), Refused::NeedsApprover);
    for expires_ns in [0, NOW_NS, NOW_NS + LOOSENED_NS_MAX + 1] {
        assert_eq!(refused(&of_quantity(11, "bob", expires_ns)), Refused::NeedsExpiry);
    }
    assert!(book.judge(&of_quantity(11, "bob", NOW_NS + LOOSENED_NS_MAX)).is_ok());
    assert!(book.judge(&of_quantity(1_000_000, "bob", end_ns)).is_ok());
    for new in [1_000_001, 0, -1, i64::MAX / E9] {
        assert!(
            matches!(refused(&of_quantity(new, "bob", end_ns)), Refused::OutOfBounds(_)),
            "{new}"
        );
    }
    assert_eq!(refused(&of_quantity(10, "bob", 0)), Refused::InForce);
    assert_eq!(
        refused(&LimitChange {
            key: Text::truncated("order_quantity"),
            ..of_quantity(11, "bob", end_ns)
        }),
        Refused::Unknown
    );
    let pair = LimitChange {
        key: Text::truncated("daily_loss_max_e9"),
        ..of_quantity(20_000_001, "bob", end_ns)
    };
    assert!(matches!(refused(&pair), Refused::OutOfBounds(_)));
}

#[test]
fn what_may_have_no_effect_has_none_though_it_is_journaled() {
    let mut gate = gate(configured());
    let before = (gate.limits_hash(), gate.state_hash());
    for change in [
        of_quantity(11, "", NOW_NS + E9),
        of_quantity(11, "ann", NOW_NS + E9),
        of_quantity(11, "bob", 0),
    ] {
        gate.apply_control(any(&change));
    }
    assert_eq!((gate.limits_hash(), gate.state_hash()), before);
}

#[test]
fn one_person_tightens_for_good_and_two_bring_the_configured_value_back() {
    let mut gate = gate(configured());
    let before = gate.limits_hash();
    gate.apply_control(any(&of_quantity(5, "", 0)));
    denies(&gate, &buy(6, 100), Reason::ORDER_QUANTITY, 5 * E9, 6 * E9);
    gate.advance(at(30 * LOOSENED_NS_MAX), |_| ());
    denies(&gate, &buy(6, 100), Reason::ORDER_QUANTITY, 5 * E9, 6 * E9);
    gate.apply_control(any(&of_quantity(8, "", 0)));
    denies(&gate, &buy(6, 100), Reason::ORDER_QUANTITY, 5 * E9, 6 * E9);
    gate.apply_control(any(&of_quantity(10, "bob", 0)));
    passes(&gate, &buy(10, 100));
    assert_eq!(gate.limits_hash(), before);
}

#[test]
fn one_person_takes_a_part_of_a_loosening_back_but_does_not_prolong_it() {
    let mut book = LimitBook::new(configured());
    book.apply(&of_quantity(20, "bob", NOW_NS + E9)).unwrap();
    assert_eq!(
        book.judge(&of_quantity(15, "", NOW_NS + E9 + 1)),
        Err(Refused::NeedsExpiry)
    );
    book.apply(&of_quantity(15, "", NOW_NS + E9)).unwrap();
    assert_eq!(
        (book.in_force().order_quantity_max_e9, book.changes().len()),
        (15 * E9, 1)
    );
    book.apply(&of_quantity(10, "", 0)).unwrap();
    assert_eq!(book.in_force(), &configured());
}

#[test]
fn smaller_is_looser_where_a_limit_holds_at_least() {
    let mut book = LimitBook::new(RiskLimits {
        repeat_window_ns: 60 * E9,
        ..configured()
    });
    let window = |seconds, approver| LimitChange {
        key: Text::truncated("repeat_window_ns"),
        ..of_quantity(seconds, approver, 0)
    };
    assert_eq!(book.judge(&window(59, "")), Err(Refused::NeedsApprover));
    assert!(matches!(book.judge(&window(0, "bob")), Err(Refused::OutOfBounds(_))));
    book.apply(&window(61, "")).unwrap();
    assert_eq!(book.in_force().repeat_window_ns, 61 * E9);
}

#[test]
fn counts_are_whole_and_the_ring_of_entries_follows_its_limit() {
    let mut gate = gate(RiskLimits {
        repeat_entries_max: 3,
        repeat_window_ns: 60 * E9,
        ..configured()
    });
    let entries = |new_e9, approver, expires_ns| LimitChange {
        key: Text::truncated("repeat_entries_max"),
        new_e9,
        ..of_quantity(0, approver, expires_ns)
    };
    let book = LimitBook::new(*gate.limits());
    assert_eq!(
        book.judge(&entries(5 * E9 / 2, "bob", NOW_NS + E9)),
        Err(Refused::Unknown)
    );
    for quantity in 1..=3 {
        approve(&mut gate, &buy(quantity, 100));
    }
    denies(&gate, &buy(4, 100), Reason::REPEAT_EXECUTION, 3 * E9, 4 * E9);
    gate.apply_control(any(&entries(4 * E9, "bob", NOW_NS + E9)));
    approve(&mut gate, &buy(4, 100));
    denies(&gate, &buy(5, 100), Reason::REPEAT_EXECUTION, 4 * E9, 5 * E9);
    advanced(&mut gate, E9);
    denies(&gate, &buy(5, 100), Reason::REPEAT_EXECUTION, 3 * E9, 4 * E9);
}

#[test]
fn a_tightening_from_before_has_no_effect_where_the_configuration_is_tighter_now() {
    let mut gate = gate(RiskLimits {
        order_quantity_max_e9: 4 * E9,
        ..configured()
    });
    let before = gate.limits_hash();
    gate.apply_control(any(&of_quantity(5, "bob", 0)));
    assert_eq!(gate.limits_hash(), before);
}
