//! The account book: cash and positions, moved by executions alone.

use holdfast_records::{Side, notional_e9};

/// What the account holds of one symbol. Quantity and cost are negative for a short position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Signed quantity, scaled by 1e-9.
    pub quantity_e9: i64,
    /// What the quantity was opened for, signed, USD scaled by 1e-9.
    pub cost_e9: i64,
    /// Profit of what was closed, before fees, USD scaled by 1e-9.
    pub realized_e9: i64,
}

impl Position {
    /// Average entry price, scaled by 1e-9, rounded half up; 0 when flat.
    pub fn average_price_e9(&self) -> i64 {
        if self.quantity_e9 == 0 {
            return 0;
        }
        let quantity = i128::from(self.quantity_e9).abs();
        let scaled = i128::from(self.cost_e9).abs() * 1_000_000_000;
        ((scaled + quantity / 2) / quantity) as i64
    }

    /// Moves the position by one execution; returns the cash it brings (negative for a purchase), before fees.
    pub fn apply(&mut self, side: Side, price_e9: i64, quantity_e9: i64) -> i64 {
        let signed_e9 = if side == Side::BUY { quantity_e9 } else { -quantity_e9 };
        let value_e9 = notional_e9(price_e9, signed_e9);
        let closing_e9 = if self.quantity_e9.signum() == -signed_e9.signum() {
            self.quantity_e9.abs().min(quantity_e9)
        } else {
            0
        };
        if closing_e9 > 0 {
            let open_e9 = i128::from(self.quantity_e9.abs());
            let closed_cost_e9 = (i128::from(self.cost_e9) * i128::from(closing_e9) / open_e9) as i64;
            let closed_value_e9 = (i128::from(value_e9) * i128::from(closing_e9) / i128::from(quantity_e9)) as i64;
            self.realized_e9 -= closed_value_e9 + closed_cost_e9;
            self.cost_e9 += value_e9 - closed_value_e9 - closed_cost_e9;
        } else {
            self.cost_e9 += value_e9;
        }
        self.quantity_e9 += signed_e9;
        -value_e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_records::E9;
    use proptest::prelude::*;

    #[test]
    fn closing_half_keeps_the_average_and_realizes_the_difference() {
        let mut position = Position::default();
        assert_eq!(position.apply(Side::BUY, 10 * E9, 100 * E9), -1_000 * E9);
        assert_eq!(position.apply(Side::SELL, 12 * E9, 50 * E9), 600 * E9);
        assert_eq!(position.average_price_e9(), 10 * E9);
        assert_eq!(position.realized_e9, 100 * E9);
    }

    #[test]
    fn a_flip_opens_the_rest_at_the_new_price() {
        let mut position = Position::default();
        position.apply(Side::BUY, 10 * E9, 100 * E9);
        position.apply(Side::SELL, 11 * E9, 150 * E9);
        assert_eq!(position.quantity_e9, -50 * E9);
        assert_eq!(position.average_price_e9(), 11 * E9);
        assert_eq!(position.realized_e9, 100 * E9);
        position.apply(Side::BUY, 10 * E9, 50 * E9);
        assert_eq!(position.realized_e9, 150 * E9);
        assert_eq!((position.quantity_e9, position.cost_e9), (0, 0));
    }

    proptest! {
        #[test]
        fn cash_paid_equals_cost_less_profit(steps in prop::collection::vec((any::<bool>(), 1_i64..100_000, 1_i64..1_000), 1..50)) {
            let mut position = Position::default();
            let mut cash_e9 = 0;
            for (is_buy, price_cents, quantity) in steps {
                let side = if is_buy { Side::BUY } else { Side::SELL };
                cash_e9 += position.apply(side, price_cents * 10_000_000, quantity * E9);
                prop_assert_eq!(cash_e9, position.realized_e9 - position.cost_e9);
                prop_assert!(position.quantity_e9 != 0 || position.cost_e9 == 0);
            }
        }
    }
}
