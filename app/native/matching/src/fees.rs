//! Fees as dated data: what regulators and brokers change must not be code.

use holdfast_records::{E9, Side, notional_e9};

/// What a fee is charged on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeBasis {
    /// `rate_e9` of the notional of a sale (the SEC's fee).
    SaleNotional,
    /// `rate_e9` per share sold (FINRA's trading activity fee).
    SaleShare,
    /// `rate_e9` per share, both sides (a commission).
    Share,
}

/// One fee from a date on. Of several with the same basis the latest that has begun holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRule {
    /// When it begins, ns UTC.
    pub from_ns: i64,
    /// What it is charged on.
    pub basis: FeeBasis,
    /// USD per USD or per share, scaled by 1e-9.
    pub rate_e9: i64,
    /// Most that one execution pays, USD scaled by 1e-9; 0 for no bound.
    pub fee_e9_max: i64,
}

const CENT_E9: i64 = E9 / 100;

/// The fee of one execution in USD scaled by 1e-9: each rule's amount rounded up to the cent.
pub fn fee_e9(rules: &[FeeRule], at_ns: i64, side: Side, price_e9: i64, quantity_e9: i64) -> i64 {
    [FeeBasis::SaleNotional, FeeBasis::SaleShare, FeeBasis::Share]
        .into_iter()
        .filter(|&basis| basis == FeeBasis::Share || side == Side::SELL)
        .filter_map(|basis| {
            rules
                .iter()
                .filter(|rule| rule.basis == basis && rule.from_ns <= at_ns)
                .max_by_key(|rule| rule.from_ns)
        })
        .map(|rule| {
            let base_e9 = match rule.basis {
                FeeBasis::SaleNotional => notional_e9(price_e9, quantity_e9),
                FeeBasis::SaleShare | FeeBasis::Share => quantity_e9,
            };
            let exact_e9 = notional_e9(base_e9, rule.rate_e9);
            let rounded_e9 = (exact_e9 + CENT_E9 - 1) / CENT_E9 * CENT_E9;
            if rule.fee_e9_max > 0 {
                rounded_e9.min(rule.fee_e9_max)
            } else {
                rounded_e9
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[FeeRule] = &[
        FeeRule {
            from_ns: 0,
            basis: FeeBasis::SaleNotional,
            rate_e9: 27_800,
            fee_e9_max: 0,
        },
        FeeRule {
            from_ns: 100,
            basis: FeeBasis::SaleNotional,
            rate_e9: 0,
            fee_e9_max: 0,
        },
        FeeRule {
            from_ns: 0,
            basis: FeeBasis::SaleShare,
            rate_e9: 166_000,
            fee_e9_max: 8_300_000_000,
        },
    ];

    #[test]
    fn a_sale_pays_the_rates_of_its_day_rounded_up_to_the_cent() {
        // 1,000 shares at 50 USD: 50,000 x 0.0000278 = 1.39 and 1,000 x 0.000166 = 0.166, charged as 0.17.
        assert_eq!(fee_e9(RULES, 50, Side::SELL, 50 * E9, 1_000 * E9), 1_560_000_000);
        assert_eq!(fee_e9(RULES, 100, Side::SELL, 50 * E9, 1_000 * E9), 170_000_000);
        assert_eq!(fee_e9(RULES, 100, Side::SELL, 50 * E9, 1_000_000 * E9), 8_300_000_000);
        assert_eq!(fee_e9(RULES, 50, Side::BUY, 50 * E9, 1_000 * E9), 0);
    }
}
