//! Prices that an order cannot exceed: the venue's increments, the collar, and the limit that a market order becomes.

use crate::limits::RiskLimits;
use crate::symbol::SymbolState;
use holdfast_records::{Decision, E9, IntentAction, OrderIntent, OrderType, Side, notional_e9};

/// The venue's price increment for equities: a cent from one dollar on, a hundredth of it below.
pub(crate) fn increment_e9(price_e9: i64) -> i64 {
    if price_e9 >= E9 { E9 / 100 } else { E9 / 10_000 }
}

/// The limit price at which a market or a stop order is approved: the collar from the mid or from the stop price,
/// inside the venue's band, on the venue's increment toward the base. 0 for orders of another type, for a stop that
/// protects a position, and without a quote that is fresh and not crossed.
pub(crate) fn collar_price_e9(
    intent: &OrderIntent,
    is_opposite: bool,
    state: &SymbolState,
    limits: &RiskLimits,
    now_ns: i64,
) -> i64 {
    if intent.action != IntentAction::NEW {
        return 0;
    }
    let is_quoted = state.is_quoted(now_ns, limits.quote_age_max_ns);
    let base_e9 = match intent.order_type {
        OrderType::MARKET if is_quoted => state.mid_price_e9(),
        OrderType::STOP if !is_opposite => intent.stop_price_e9,
        _ => return 0,
    };
    let collar_e9 = if is_opposite {
        limits.reduction_collar_e9
    } else {
        limits.price_collar_e9
    };
    let distance_e9 = notional_e9(base_e9, collar_e9);
    let increment = |price_e9| if state.is_crypto { 1 } else { increment_e9(price_e9) };
    if intent.side == Side::BUY {
        let banded_e9 = if state.luld_up_e9 > 0 {
            state.luld_up_e9
        } else {
            i64::MAX
        };
        let price_e9 = base_e9.saturating_add(distance_e9).min(banded_e9);
        price_e9 - price_e9 % increment(price_e9)
    } else {
        let price_e9 = base_e9.saturating_sub(distance_e9).max(state.luld_down_e9);
        let excess_e9 = price_e9 % increment(price_e9);
        if excess_e9 == 0 {
            price_e9
        } else {
            price_e9 - excess_e9 + increment(price_e9)
        }
    }
}

/// Quantity that an amount of USD becomes at a price, rounded down.
pub(crate) fn quantity_of_e9(amount_e9: i64, price_e9: i64) -> i64 {
    if price_e9 <= 0 || amount_e9 <= 0 {
        return 0;
    }
    i64::try_from(i128::from(amount_e9) * i128::from(E9) / i128::from(price_e9)).unwrap_or(i64::MAX)
}

/// The highest price an order may trade or count at.
pub(crate) fn worst_price_e9(limit_price_e9: i64, stop_price_e9: i64, mark_price_e9: i64, limits: &RiskLimits) -> i64 {
    if limit_price_e9 > 0 {
        return limit_price_e9;
    }
    let base_e9 = stop_price_e9.max(mark_price_e9);
    base_e9.saturating_add(notional_e9(base_e9, limits.price_collar_e9))
}

/// The same for a decision; a converted sale counts like the market order that it was: it may fill far above its limit.
pub(crate) fn worst_price_of(decision: &Decision, limits: &RiskLimits) -> i64 {
    let is_open_upward = decision.is_converted != 0 && decision.side == Side::SELL;
    let limit_price_e9 = if is_open_upward { 0 } else { decision.limit_price_e9 };
    worst_price_e9(
        limit_price_e9,
        decision.stop_price_e9,
        decision.reference_price_e9,
        limits,
    )
}

/// Greatest quantity that an amount of USD may buy: at the mark less the collar, rounded up.
pub(crate) fn worst_quantity_e9(amount_e9: i64, mark_price_e9: i64, limits: &RiskLimits) -> i64 {
    let price_e9 = mark_price_e9 - notional_e9(mark_price_e9, limits.price_collar_e9);
    if price_e9 <= 0 || amount_e9 <= 0 {
        return 0;
    }
    let quantity_e9 = (i128::from(amount_e9) * i128::from(E9) + i128::from(price_e9) - 1) / i128::from(price_e9);
    i64::try_from(quantity_e9).unwrap_or(i64::MAX)
}
