//! Strategies that repeat themselves are switched off by the rule, until a named operator switches them on.

mod desk;
use desk::*;
use holdfast_records::{
    BreakerTripped, E9, OrderEvent, OrderIntent, OrderStatus, Reason, Reset, StrategySwitch, Text, Verdict,
};
use holdfast_risk::{Gate, RiskLimits};

fn is_off(gate: &Gate) -> bool {
    gate.broken_rule(&of("SPY", buy(1, 100)), clock()).map(|(rule, _)| rule) == Some(Reason::STRATEGY_DISABLED)
}

#[track_caller]
fn told(gate: &mut Gate, rule: Reason) -> BreakerTripped {
    let tripped = gate.take_runaway().expect("the strategy was switched off");
    assert_eq!((tripped.rule, tripped.strategy.as_str()), (rule, "test"));
    assert!(is_off(gate) && !gate.has_runaway());
    tripped
}

#[test]
fn one_entry_too_many_of_a_symbol_switches_the_strategy_off_until_an_operator_switches_it_on() {
    let mut gate = gate(RiskLimits {
        repeat_entries_max: 3,
        repeat_window_ns: 60 * E9,
        ..limits()
    });
    for quantity in 1..=3 {
        approve(&mut gate, &buy(quantity, 100));
    }
    assert!(!is_off(&gate));
    let denied = gate.judge(&buy(4, 100), 4, Text::truncated("hf-1-4"), clock());
    assert_eq!(
        (denied.rule, denied.limit_e9, denied.value_e9),
        (Reason::REPEAT_EXECUTION, 3 * E9, 4 * E9)
    );
    let tripped = told(&mut gate, Reason::REPEAT_EXECUTION);
    gate.apply_control(any(&Reset::default()));
    gate.set_latch(true);
    gate.set_latch(false);
    gate.advance(after_ns(DAY_NS), |_| ());
    assert!(is_off(&gate), "neither a reset nor time switches it on");
    let other = OrderIntent {
        strategy: Text::truncated("other"),
        ..of("SPY", buy(1, 100))
    };
    passes(&gate, &other);
    let switch = StrategySwitch {
        strategy: tripped.strategy,
        is_enabled: 1,
        ..StrategySwitch::default()
    };
    gate.apply_control(any(&switch));
    assert!(!is_off(&gate));
}

#[test]
fn equal_entries_in_a_row_are_fewer_than_entries() {
    let mut gate = gate(RiskLimits {
        repeat_identical_max: 2,
        repeat_window_ns: 30 * E9,
        ..limits()
    });
    approve(&mut gate, &buy(1, 100));
    approve(&mut gate, &buy(2, 100));
    approve_at(&mut gate, &buy(1, 100), after_ns(1));
    approve_at(&mut gate, &buy(1, 100), after_ns(2));
    passes_at(&gate, &buy(2, 100), after_ns(3));
    passes_at(&gate, &buy(1, 100), after_ns(1 + 30 * E9));
    let denied = gate.judge(&buy(1, 100), 9, Text::truncated("hf-1-9"), after_ns(3));
    assert_eq!(
        (denied.verdict, denied.rule),
        (Verdict::DENIED, Reason::REPEAT_IDENTICAL)
    );
    told(&mut gate, Reason::REPEAT_IDENTICAL);
}

#[test]
fn closing_one_position_again_and_again_passes_and_switches_the_strategy_off() {
    let mut gate = gate(RiskLimits {
        repeat_liquidations_max: 2,
        repeat_window_ns: 60 * E9,
        ..limits()
    });
    bought(&mut gate, 10);
    for attempt in 1..=3 {
        assert!(!is_off(&gate), "{attempt}");
        let decision = approve(&mut gate, &sell(10, 101));
        assert_eq!(decision.is_reduction, 1);
        gate.apply_execution(any(&event(&decision, OrderStatus::CANCELED)), NOW_NS);
    }
    told(&mut gate, Reason::REPEAT_LIQUIDATION);
    assert_eq!(
        approve(&mut gate, &sell(10, 101)).is_reduction,
        1,
        "reductions are never blocked"
    );
}

#[test]
fn a_position_that_ends_and_an_entry_begin_the_count_of_liquidations_anew() {
    let mut gate = gate(RiskLimits {
        repeat_liquidations_max: 1,
        repeat_window_ns: 60 * E9,
        ..limits()
    });
    for quantity in 1..=3 {
        bought(&mut gate, quantity);
        let decision = approve(&mut gate, &sell(quantity, 101));
        fill(&mut gate, &decision, quantity, 101);
    }
    assert!(!is_off(&gate));
}

#[test]
fn more_filled_than_approved_is_seen_by_either_counter() {
    let mut summed = gate(limits());
    let decision = approve(&mut summed, &buy(10, 100));
    fill(&mut summed, &decision, 10, 100);
    assert!(!is_off(&summed));
    let mut reported = summed.clone();
    fill(&mut summed, &decision, 1, 100);
    let tripped = told(&mut summed, Reason::PARENT_EXCEEDED);
    assert_eq!((tripped.limit_e9, tripped.value_e9), (10 * E9, 11 * E9));

    let over = OrderEvent {
        filled_quantity_e9: 10 * E9 + 1,
        ..event(&decision, OrderStatus::FILLED)
    };
    reported.apply_execution(any(&over), NOW_NS);
    told(&mut reported, Reason::PARENT_EXCEEDED);
}

#[test]
fn what_was_switched_off_is_off_after_a_restart() {
    let limits = RiskLimits {
        repeat_entries_max: 1,
        ..limits()
    };
    let mut first = gate(limits);
    let decision = approve(&mut first, &buy(1, 100));
    first.judge(&buy(2, 100), 2, Text::truncated("hf-1-2"), clock());
    let tripped = told(&mut first, Reason::REPEAT_EXECUTION);
    let mut second = gate(limits);
    second.restore(&decision, NOW_NS);
    second.restore_trip(&tripped);
    assert!(is_off(&second) && !second.has_runaway());
    assert_eq!(first.state_hash(), second.state_hash());
}
