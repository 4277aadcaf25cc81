use crate::calendar::Calendar;
use crate::gate::Gate;
use crate::judge::{External, Judge};
use crate::limits::RiskLimits;
use crate::protection_desk::{Desk, Kept, any, limits};
use holdfast_records::{E9, Header, OrderStatus, Quote, Reason, Side, Symbol, Verdict};
use proptest::prelude::*;

const DAY_S: i64 = 86_400;
/// What lies less than a second ahead is not taken for a step, and what happens takes up to three; more than this would
/// be after the session.
const AHEAD_S: core::ops::Range<i64> = 5..30_000;

/// The session day that a judge counts for after a quote of two sessions, a day apart.
fn day_after(event_s: i64, receipt_s: i64) -> i64 {
    let symbol = Symbol::truncated("IBM");
    let sessions = [(0, 36_000 * E9), (DAY_S * E9, (DAY_S + 36_000) * E9)];
    let calendar = Calendar::new(&sessions, &[]).expect("two sessions");
    let mut judge = Judge::new(Gate::new(limits(), &[symbol], calendar), false);
    let mut kept = Kept::default();
    judge.begin(1, External::default(), E9, &mut kept).expect("no error");
    let quote = Quote {
        symbol,
        ts_event_ns: event_s * E9,
        ..Quote::default()
    };
    let header = Header {
        ts_ns: receipt_s * E9,
        origin_ns: receipt_s * E9,
        ..Header::default()
    };
    judge.apply_market(&header, any(&quote));
    judge
        .step(External::default(), receipt_s * E9, "", None, &mut kept)
        .expect("no error");
    judge.gate.session_day()
}

#[test]
fn a_session_day_begins_when_both_the_clock_and_the_venue_have_reached_it() {
    assert_eq!(day_after(10, 10), 0);
    assert_eq!(day_after(DAY_S, DAY_S), 1);
    assert_eq!(day_after(10, DAY_S), 0, "a clock that is a day ahead");
    assert_eq!(day_after(DAY_S, 10), 0, "a quote that is a day ahead");
}

/// A desk whose clock is ahead while something happens, and right again afterwards.
fn stepped(limits: &RiskLimits, ahead_s: i64, happens: impl FnOnce(&mut Desk)) -> Desk {
    let mut desk = Desk::open(limits);
    desk.now_ns += ahead_s * E9;
    happens(&mut desk);
    desk.now_ns -= ahead_s * E9;
    desk
}

proptest! {
    #[test]
    fn a_position_gets_its_stop_as_soon_as_the_clock_is_right_again(ahead_s in AHEAD_S) {
        let mut desk = stepped(&limits(), ahead_s, |desk| {
            let entry = desk.ask(Side::BUY, 5, 100)[0];
            assert_eq!(entry.verdict, Verdict::APPROVED);
            desk.event(&entry, OrderStatus::FILLED, 5 * E9);
            desk.fill(&entry, 5 * E9);
        });
        let placed: Vec<_> = (0..3).flat_map(|_| desk.settle()).collect();
        prop_assert_eq!(placed.len(), 1);
        prop_assert_eq!((placed[0].side, placed[0].quantity_e9), (Side::SELL, 5 * E9));
    }

    #[test]
    fn a_stop_that_failed_ahead_of_the_time_is_tried_again(ahead_s in AHEAD_S, failures in 1..3_usize) {
        let mut desk = stepped(&limits(), ahead_s, |desk| {
            let entry = desk.ask(Side::BUY, 5, 100)[0];
            assert_eq!(entry.verdict, Verdict::APPROVED);
            desk.event(&entry, OrderStatus::FILLED, 5 * E9);
            desk.fill(&entry, 5 * E9);
            for _ in 0..failures {
                let stop = desk.step(E9)[0];
                desk.event(&stop, OrderStatus::WITHHELD, 0);
            }
        });
        let placed: Vec<_> = (0..10).flat_map(|_| desk.settle()).collect();
        prop_assert_eq!(placed.len(), 1);
    }

    #[test]
    fn what_was_approved_ahead_of_the_time_counts_as_just_approved(ahead_s in AHEAD_S) {
        let duplicates = RiskLimits { duplicate_window_ns: 2 * E9, ..limits() };
        let rates = RiskLimits { order_rate_per_s_max: 1, order_burst_max: 1, ..limits() };
        for (limits, rule, quantity) in [(duplicates, Reason::DUPLICATE_INTENT, 1), (rates, Reason::ORDER_RATE, 2)] {
            let mut desk = stepped(&limits, ahead_s, |desk| {
                assert_eq!(desk.ask(Side::BUY, 1, 100)[0].verdict, Verdict::APPROVED);
            });
            prop_assert_eq!(desk.ask(Side::BUY, quantity, 100)[0].rule, rule);
            desk.step(E9);
            prop_assert_eq!(desk.ask(Side::BUY, quantity, 100)[0].verdict, Verdict::APPROVED);
        }
    }

    #[test]
    fn a_quote_from_ahead_of_the_time_is_too_old(ahead_s in AHEAD_S) {
        let limits = RiskLimits { quote_age_max_ns: E9, price_drift_window_ns: 60 * E9, ..limits() };
        let mut desk = stepped(&limits, ahead_s, |desk| desk.quote(100 * E9));
        prop_assert_eq!(desk.ask_unquoted(Side::BUY, 1, 100)[0].rule, Reason::QUOTE_STALE);
        prop_assert_eq!(desk.ask(Side::BUY, 1, 100)[0].verdict, Verdict::APPROVED);
    }
}
