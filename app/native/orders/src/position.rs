//! Position arithmetic: average cost, realized and unrealized profit and loss, exact for shorts and reversals.

use holdfast_records::E9;

const E9_WIDE: i128 = E9 as i128;

/// Quotient rounded to the nearest integer, halves to the even one.
pub fn half_even_quotient(numerator: i128, denominator: i128) -> i128 {
    let quotient = numerator.div_euclid(denominator);
    let twice = numerator.rem_euclid(denominator).saturating_mul(2);
    let size = denominator.abs();
    let rounds_up = twice > size || (twice == size && quotient.rem_euclid(2) != 0);
    // Euclidean quotients round away from the remainder's side when the denominator is negative.
    if rounds_up {
        quotient + denominator.signum()
    } else {
        quotient
    }
}

/// A signed quantity with its cost and what it has earned.
///
/// Cost and realized amounts are exact in 1e-18 USD; only the cost released by a partial close is rounded
/// (half to even), and what it rounds off stays in the remaining cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// Signed quantity.
    pub quantity_e9: i64,
    cost_e18: i128,
    realized_e18: i128,
    /// Fees paid, already taken off the realized profit and loss.
    pub fees_e9: i64,
    round_trip_start_e18: i128,
}

/// What one fill did to a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FillEffect {
    /// Change of the realized profit and loss, fees included.
    pub realized_e9: i64,
    /// Profit or loss of the round trip that this fill ended, from flat to flat or to a reversal.
    pub round_trip_e9: Option<i64>,
}

impl Position {
    /// A position taken over with its average price, before any fill.
    pub fn adopted(quantity_e9: i64, average_price_e9: i64) -> Self {
        let cost_e18 = i128::from(quantity_e9) * i128::from(average_price_e9);
        Self {
            quantity_e9,
            cost_e18,
            ..Self::default()
        }
    }

    /// Applies a fill; `signed_quantity_e9` is negative for a sale. A reversal is a close to zero and then an opening.
    pub fn apply(&mut self, signed_quantity_e9: i64, price_e9: i64, fee_e9: i64) -> FillEffect {
        let before_e18 = self.realized_e18;
        self.fees_e9 += fee_e9;
        self.realized_e18 -= i128::from(fee_e9) * E9_WIDE;
        let closing_e9 = closing_part(self.quantity_e9, signed_quantity_e9);
        let mut effect = FillEffect::default();
        if closing_e9 != 0 {
            self.close(closing_e9, price_e9);
            if self.quantity_e9 == 0 {
                effect.round_trip_e9 = Some(to_e9(self.realized_e18 - self.round_trip_start_e18));
                self.round_trip_start_e18 = self.realized_e18;
            }
        }
        let opening_e9 = signed_quantity_e9 - closing_e9;
        self.quantity_e9 += opening_e9;
        self.cost_e18 += i128::from(opening_e9) * i128::from(price_e9);
        effect.realized_e9 = to_e9(self.realized_e18 - before_e18);
        effect
    }

    fn close(&mut self, closing_e9: i64, price_e9: i64) {
        let released_e18 = proportion(self.cost_e18, closing_e9.abs(), self.quantity_e9.abs());
        self.realized_e18 -= i128::from(closing_e9) * i128::from(price_e9) + released_e18;
        self.cost_e18 -= released_e18;
        self.quantity_e9 += closing_e9;
    }

    /// Average entry price, rounded half to even; 0 when flat.
    pub fn average_price_e9(&self) -> i64 {
        match self.quantity_e9 {
            0 => 0,
            quantity_e9 => saturated(half_even_quotient(self.cost_e18, i128::from(quantity_e9))),
        }
    }

    /// Realized profit and loss net of fees, rounded half to even.
    pub fn realized_pnl_e9(&self) -> i64 {
        to_e9(self.realized_e18)
    }

    /// Profit and loss of closing at `mark_price_e9`, rounded half to even.
    pub fn unrealized_pnl_e9(&self, mark_price_e9: i64) -> i64 {
        to_e9(i128::from(self.quantity_e9) * i128::from(mark_price_e9) - self.cost_e18)
    }
}

/// The part of a fill that closes; it has the fill's sign.
fn closing_part(quantity_e9: i64, signed_fill_e9: i64) -> i64 {
    if quantity_e9.signum() * signed_fill_e9.signum() >= 0 {
        return 0;
    }
    signed_fill_e9.signum() * signed_fill_e9.abs().min(quantity_e9.abs())
}

/// `amount * part / whole`, rounded half to even, without overflow for `0 < part <= whole`.
fn proportion(amount_e18: i128, part: i64, whole: i64) -> i128 {
    let (part, whole) = (i128::from(part), i128::from(whole));
    let unit = amount_e18.div_euclid(whole);
    unit * part + half_even_quotient(amount_e18.rem_euclid(whole) * part, whole)
}

fn to_e9(amount_e18: i128) -> i64 {
    saturated(half_even_quotient(amount_e18, E9_WIDE))
}

fn saturated(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}
