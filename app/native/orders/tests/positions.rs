//! Profit and loss against an exact rational model, and conservation of quantity and cash.

use holdfast_orders::{Position, PositionBook};
use holdfast_records::{AnyRecord, Fill, PositionSnapshot, ReconcileScope, Reconciled, Record, Side, Symbol, Uuid};
use proptest::prelude::*;

/// An exact fraction, reduced; quantities and prices of the tests are small enough for i128.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Exact(i128, i128);

impl Exact {
    fn new(numerator: i128, denominator: i128) -> Self {
        let (mut a, mut b) = (numerator.abs(), denominator.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = a.max(1) * denominator.signum();
        Self(numerator / divisor, denominator / divisor)
    }
    fn plus(self, other: Self) -> Self {
        Self::new(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }
    fn times(self, other: Self) -> Self {
        Self::new(self.0 * other.0, self.1 * other.1)
    }
    fn negated(self) -> Self {
        Self(-self.0, self.1)
    }
    fn to_f64(self) -> f64 {
        self.0 as f64 / self.1 as f64
    }
}

/// The textbook: average cost, one unit of a fill at a time through zero.
#[derive(Clone, Copy)]
struct Textbook {
    quantity: i128,
    average: Exact,
    realized: Exact,
}

impl Textbook {
    fn apply(&mut self, fill: i128, price: i128, fee: i128) {
        let price = Exact::new(price, 1);
        let is_opening = self.quantity * fill >= 0;
        let closing = if is_opening {
            0
        } else {
            fill.signum() * fill.abs().min(self.quantity.abs())
        };
        let gain = price.plus(self.average.negated()).times(Exact::new(-closing, 1));
        self.realized = self.realized.plus(gain).plus(Exact::new(-fee, 1));
        self.quantity += closing;
        let opening = fill - closing;
        if opening != 0 {
            let cost = self
                .average
                .times(Exact::new(self.quantity, 1))
                .plus(price.times(Exact::new(opening, 1)));
            self.quantity += opening;
            self.average = cost.times(Exact::new(1, self.quantity));
        }
        if self.quantity == 0 {
            self.average = Exact::new(0, 1);
        }
    }
}

const E9: i64 = 1_000_000_000;

fn fill(number: u8, signed: i64, price: i64, ts_event_ns: i64) -> Fill {
    Fill {
        execution_id: Uuid::from_bytes([number; 16]),
        symbol: Symbol::truncated("IBM"),
        ts_event_ns,
        quantity_e9: signed.abs() * E9,
        price_e9: price * E9,
        fee_e9: E9 / 100,
        side: if signed < 0 { Side::SELL } else { Side::BUY },
        ..Fill::default()
    }
}

fn any<R: Record>(record: &R) -> AnyRecord<'_> {
    AnyRecord::parse(R::KIND, R::VERSION, bytemuck::bytes_of(record)).unwrap()
}

proptest! {
    #[test]
    fn profit_and_loss_equals_the_exact_model(
        fills in proptest::collection::vec((-4..5_i64, 1..9_i64, 0..3_i64), 1..12), mark in 1..9_i64,
    ) {
        let mut position = Position::default();
        let mut textbook = Textbook { quantity: 0, average: Exact::new(0, 1), realized: Exact::new(0, 1) };
        for (signed, price, fee) in fills.into_iter().filter(|fill| fill.0 != 0) {
            position.apply(signed * E9, price * E9, fee * E9);
            textbook.apply(i128::from(signed), i128::from(price), i128::from(fee));
            prop_assert_eq!(i128::from(position.quantity_e9), textbook.quantity * i128::from(E9));
            prop_assert!((position.realized_pnl_e9() as f64 / 1e9 - textbook.realized.to_f64()).abs() < 2e-9);
            prop_assert!((position.average_price_e9() as f64 / 1e9 - textbook.average.to_f64()).abs() < 2e-9);
            let gain = Exact::new(i128::from(mark), 1).plus(textbook.average.negated());
            let unrealized = gain.times(Exact::new(textbook.quantity, 1));
            prop_assert!((position.unrealized_pnl_e9(mark * E9) as f64 / 1e9 - unrealized.to_f64()).abs() < 2e-9);
        }
    }

    #[test]
    fn nothing_is_made_or_lost(
        fills in proptest::collection::vec((-4_000_000_000_000..4_000_000_000_000_i64, 1..900_000_000_000_i64), 1..40), mark in 1..900_000_000_000_i64,
    ) {
        let mut position = Position::default();
        let (mut quantity, mut cash_e18) = (0_i64, 0_i128);
        for (signed, price) in fills {
            position.apply(signed, price, 0);
            quantity += signed;
            cash_e18 -= i128::from(signed) * i128::from(price);
        }
        prop_assert_eq!(position.quantity_e9, quantity);
        let worth_e9 = (cash_e18 + i128::from(quantity) * i128::from(mark)) as f64 / 1e9;
        let counted_e9 = position.realized_pnl_e9() as f64 + position.unrealized_pnl_e9(mark) as f64;
        prop_assert!((worth_e9 - counted_e9).abs() <= 1.0 + worth_e9.abs() * 1e-15);
    }

    #[test]
    fn fills_in_any_order_and_number_give_the_same_book(
        (fills, shuffled) in proptest::collection::vec((-5..6_i64, 1..9_i64, 0..9_i64), 1..20).prop_flat_map(|fills| {
            let fills: Vec<Fill> = fills.iter().enumerate().filter(|(_, fill)| fill.0 != 0)
                .map(|(number, &(signed, price, ts))| fill(number as u8 + 1, signed, price, ts)).collect();
            let twice: Vec<Fill> = fills.iter().chain(&fills).copied().collect();
            (Just(fills), Just(twice).prop_shuffle())
        }),
    ) {
        let (mut plain, mut other) = (PositionBook::default(), PositionBook::default());
        let mut total_e9 = 0;
        for fill in &fills {
            plain.apply(any(fill));
            total_e9 += if fill.side == Side::SELL { -fill.quantity_e9 } else { fill.quantity_e9 };
        }
        for fill in &shuffled {
            other.apply(any(fill));
        }
        prop_assert_eq!(plain.state_hash(), other.state_hash());
        prop_assert_eq!(plain.realized_pnl_e9(), other.realized_pnl_e9());
        let quantity = plain.get(Symbol::truncated("IBM")).map_or(0, |entry| entry.position().quantity_e9);
        prop_assert_eq!(quantity, total_e9);
    }
}

#[test]
fn a_reversal_closes_at_zero_and_opens_at_the_price_of_the_fill() {
    let mut position = Position::default();
    position.apply(10 * E9, 100 * E9, 0);
    let effect = position.apply(-15 * E9, 110 * E9, E9);
    assert_eq!(effect.round_trip_e9, Some(99 * E9));
    assert_eq!((position.quantity_e9, position.average_price_e9()), (-5 * E9, 110 * E9));
    assert_eq!(position.unrealized_pnl_e9(100 * E9), 50 * E9);
    assert_eq!(position.apply(5 * E9, 120 * E9, 0).round_trip_e9, Some(-50 * E9));
    assert_eq!((position.realized_pnl_e9(), position.fees_e9), (49 * E9, E9));
}

#[test]
fn what_the_venue_held_before_the_journal_is_adopted_once() {
    let mut book = PositionBook::default();
    let mut snapshot = PositionSnapshot {
        symbol: Symbol::truncated("IBM"),
        quantity_e9: 7 * E9,
        average_price_e9: 90 * E9,
        ..PositionSnapshot::default()
    };
    book.apply(any(&fill(1, 2, 100, 1)));
    book.apply(any(&snapshot));
    let reconciled = Reconciled {
        scope: ReconcileScope::START_UP,
        is_complete: 1,
        ..Reconciled::default()
    };
    book.apply(any(&reconciled));
    snapshot.quantity_e9 = 99 * E9;
    book.apply(any(&snapshot));
    book.apply(any(&fill(2, -3, 100, 2)));
    let entry = book.get(Symbol::truncated("IBM")).unwrap();
    assert_eq!(
        (entry.position().quantity_e9, entry.venue_quantity_e9()),
        (4 * E9, Some(99 * E9))
    );
}
