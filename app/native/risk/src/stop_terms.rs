//! How a protective stop is placed: its price, the profit order paired with it, and the decision that asks for both.

use crate::limits::RiskLimits;
use crate::pricing::increment_e9;
use crate::symbol::SymbolState;
use holdfast_records::{
    Decision, E9, IntentAction, OrderClass, OrderType, Side, Symbol, Text, TimeInForce, Verdict, notional_e9,
};

/// Least distance of a stop or profit price from the market, as a fraction of it.
const MARKET_GAP: i64 = E9 / 1_000;

/// A protective stop as it is to be placed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) strategy: Text<32>,
    pub(crate) symbol: Symbol,
    pub(crate) is_long: bool,
    pub(crate) quantity_e9: i64,
    pub(crate) prices: Prices,
    pub(crate) is_trailing: bool,
    pub(crate) is_crypto: bool,
    pub(crate) reference_price_e9: i64,
}

/// Where a stop belongs, and the profit order that the venue pairs with it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prices {
    pub(crate) stop_e9: i64,
    pub(crate) profit_e9: i64,
}

impl Terms {
    /// A stop paired with a profit order, or a trailing stop: the venue lets both stand beside entries of ours.
    pub(crate) fn decision(&self, limits: &RiskLimits) -> Decision {
        let base = Decision {
            strategy: self.strategy,
            symbol: self.symbol,
            quantity_e9: self.quantity_e9,
            reference_price_e9: self.reference_price_e9,
            verdict: Verdict::APPROVED,
            action: IntentAction::NEW,
            side: if self.is_long { Side::SELL } else { Side::BUY },
            time_in_force: TimeInForce::GTC,
            order_class: OrderClass::SIMPLE,
            is_reduction: 1,
            ..Decision::default()
        };
        let stop_e9 = self.prices.stop_e9;
        if self.is_trailing {
            return Decision {
                order_type: OrderType::TRAILING_STOP,
                // The venue counts it in percent.
                trail_percent_e9: limits.protection_trail_e9 * 100,
                ..base
            };
        }
        if self.is_crypto {
            let slack_e9 = notional_e9(stop_e9, limits.reduction_collar_e9);
            return Decision {
                order_type: OrderType::STOP_LIMIT,
                stop_price_e9: stop_e9,
                limit_price_e9: if self.is_long {
                    stop_e9 - slack_e9
                } else {
                    stop_e9 + slack_e9
                },
                ..base
            };
        }
        Decision {
            order_type: OrderType::LIMIT,
            order_class: OrderClass::OCO,
            take_profit_price_e9: self.prices.profit_e9,
            stop_loss_price_e9: stop_e9,
            ..base
        }
    }
}

/// The stop nearest to the average price of: the fraction, the distance, the loss; never at the market or beyond it.
pub(crate) fn prices(state: &SymbolState, is_long: bool, limits: &RiskLimits) -> Prices {
    let base_e9 = state.guard.base_price_e9(&state.position);
    let held_e9 = i128::from(state.position.quantity_e9.unsigned_abs().max(1));
    let loss_e9 = i128::from(limits.protection_loss_max_e9) * i128::from(E9) / held_e9;
    let distance_e9 = notional_e9(base_e9, limits.protection_stop_e9)
        .min(limits.protection_distance_max_e9)
        .min(i64::try_from(loss_e9).unwrap_or(i64::MAX));
    let profit_e9 = notional_e9(base_e9, limits.protection_profit_e9);
    let (near_e9, far_e9) = if state.has_quote() {
        (
            state.bid_price_e9.min(state.ask_price_e9),
            state.ask_price_e9.max(state.bid_price_e9),
        )
    } else {
        (base_e9, base_e9)
    };
    let below_e9 = near_e9 - gap_e9(near_e9);
    let above_e9 = far_e9 + gap_e9(far_e9);
    let (stop_e9, profit_e9) = if is_long {
        (
            (base_e9 - distance_e9).min(below_e9),
            (base_e9 + profit_e9).max(above_e9),
        )
    } else {
        (
            (base_e9 + distance_e9).max(above_e9),
            (base_e9 - profit_e9).min(below_e9),
        )
    };
    let round = |price_e9: i64, is_up: bool| {
        if state.is_crypto {
            price_e9
        } else {
            on_increment_e9(price_e9, is_up)
        }
    };
    Prices {
        stop_e9: round(stop_e9, !is_long),
        profit_e9: round(profit_e9, is_long),
    }
}

fn gap_e9(price_e9: i64) -> i64 {
    notional_e9(price_e9, MARKET_GAP).max(increment_e9(price_e9))
}

fn on_increment_e9(price_e9: i64, is_up: bool) -> i64 {
    let increment_e9 = increment_e9(price_e9);
    let below_e9 = price_e9 - price_e9.rem_euclid(increment_e9);
    let rounded_e9 = if is_up && below_e9 < price_e9 {
        below_e9 + increment_e9
    } else {
        below_e9
    };
    rounded_e9.max(increment_e9)
}
