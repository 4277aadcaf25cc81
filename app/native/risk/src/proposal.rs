//! What an intent would do if it were approved, at its worst.

use crate::limits::RiskLimits;
use crate::symbol::SymbolState;
use core::hash::Hasher;
use holdfast_orders::{Digest, Order};
use holdfast_records::{Decision, E9, IntentAction, OrderIntent, OrderType, Side, Text, TimeInForce, notional_e9};

/// An intent in terms of its symbol's state: what the rules look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proposal {
    /// Index of the symbol; `usize::MAX` when nothing is known of it.
    pub(crate) symbol: usize,
    pub(crate) is_buy: bool,
    /// Quantity, at its most when the intent gives an amount of USD.
    pub(crate) quantity_e9: i64,
    /// Quantity as ordered; 0 for an amount of USD.
    pub(crate) ordered_quantity_e9: i64,
    pub(crate) limit_price_e9: i64,
    pub(crate) stop_price_e9: i64,
    /// Highest price at which it may count.
    pub(crate) worst_price_e9: i64,
    /// Worst price times quantity.
    pub(crate) notional_e9: i64,
    /// It only makes a position smaller, whatever else fills.
    pub(crate) is_reduction: bool,
    /// It is on the other side of a position.
    pub(crate) is_opposite: bool,
    /// Quantity that may be closed without a flip.
    pub(crate) closable_e9: i64,
    /// Hash of the request, to find repetitions.
    pub(crate) request: u64,
}

impl Proposal {
    /// `target` is the order that a replace names.
    pub(crate) fn new(
        intent: &OrderIntent,
        index: usize,
        state: &SymbolState,
        target: Option<&Order>,
        limits: &RiskLimits,
    ) -> Self {
        let target = target.filter(|_| intent.action == IntentAction::REPLACE);
        let or = |own: i64, field: fn(&Order) -> i64| if own == 0 { target.map_or(0, field) } else { own };
        let limit_price_e9 = or(intent.limit_price_e9, |order| order.limit_price_e9);
        let stop_price_e9 = or(intent.stop_price_e9, |order| order.stop_price_e9);
        let ordered_quantity_e9 = or(intent.quantity_e9, |order| order.quantity_e9);
        let worst_price_e9 = worst_price_e9(limit_price_e9, stop_price_e9, state.mark_price_e9(), limits);
        let quantity_e9 = match ordered_quantity_e9 {
            0 => worst_quantity_e9(intent.notional_e9, state.mark_price_e9(), limits),
            ordered_e9 => ordered_e9,
        };
        let notional_e9 = match ordered_quantity_e9 {
            0 => intent.notional_e9,
            ordered_e9 => notional_e9(worst_price_e9, ordered_e9),
        };
        let amount_e9 = if ordered_quantity_e9 == 0 {
            intent.notional_e9
        } else {
            0
        };
        let (trail_e9, percent_e9) = (intent.trail_price_e9, intent.trail_percent_e9);
        let terms = [
            ordered_quantity_e9,
            amount_e9,
            limit_price_e9,
            stop_price_e9,
            trail_e9,
            percent_e9,
        ];
        let request = request_hash(
            &intent.strategy,
            &terms,
            codes(intent.side, intent.order_type, intent.action),
        );
        let is_buy = intent.side == Side::BUY;
        let position_e9 = state.position.quantity_e9;
        let is_opposite = if is_buy { position_e9 < 0 } else { position_e9 > 0 };
        let replaced_e9 = target
            .filter(|order| order.side == intent.side)
            .map_or(0, Order::open_quantity_e9);
        let closable_e9 = if is_opposite {
            (state.closable_e9() + replaced_e9).min(position_e9.abs())
        } else {
            0
        };
        Self {
            symbol: index,
            is_buy,
            quantity_e9,
            ordered_quantity_e9,
            limit_price_e9,
            stop_price_e9,
            worst_price_e9,
            notional_e9,
            is_reduction: is_opposite && quantity_e9 > 0 && quantity_e9 <= closable_e9,
            is_opposite,
            closable_e9,
            request,
        }
    }
}

/// The venue's price increment for equities: a cent from one dollar on, a hundredth of it below.
pub(crate) fn increment_e9(price_e9: i64) -> i64 {
    if price_e9 >= E9 { E9 / 100 } else { E9 / 10_000 }
}

/// The highest price an order may trade or count at.
pub(crate) fn worst_price_e9(limit_price_e9: i64, stop_price_e9: i64, mark_price_e9: i64, limits: &RiskLimits) -> i64 {
    if limit_price_e9 > 0 {
        return limit_price_e9;
    }
    let base_e9 = if stop_price_e9 > 0 {
        stop_price_e9.max(mark_price_e9)
    } else {
        mark_price_e9
    };
    base_e9.saturating_add(notional_e9(base_e9, limits.price_collar_e9))
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

/// Hash of what was asked for, from the terms that a Decision repeats: found again after a restart.
fn request_hash(strategy: &Text<32>, terms: &[i64; 6], codes: u64) -> u64 {
    let mut digest = Digest::default();
    digest.write(bytemuck::bytes_of(strategy));
    for term in terms {
        digest.write_i64(*term);
    }
    digest.write_u64(codes);
    digest.finish()
}

fn codes(side: Side, order_type: OrderType, action: IntentAction) -> u64 {
    u64::from(side.0) | u64::from(order_type.0) << 8 | u64::from(action.0) << 16
}

/// The same hash that [`Proposal::request`] had when the decision was made.
pub(crate) fn request_hash_of(decision: &Decision) -> u64 {
    let terms = [
        decision.quantity_e9,
        decision.notional_e9,
        decision.limit_price_e9,
        decision.stop_price_e9,
        decision.trail_price_e9,
        decision.trail_percent_e9,
    ];
    request_hash(
        &decision.strategy,
        &terms,
        codes(decision.side, decision.order_type, decision.action),
    )
}

/// The decision on an intent before its verdict: the intent's own terms.
pub(crate) fn decision_of(intent: &OrderIntent, intent_seq: u64) -> Decision {
    Decision {
        strategy: intent.strategy,
        symbol: intent.symbol,
        target_client_order_id: intent.target_client_order_id,
        intent_seq,
        ts_event_ns: intent.ts_event_ns,
        expires_ns: intent.expires_ns,
        quote_seq: intent.quote_seq,
        quantity_e9: intent.quantity_e9,
        notional_e9: intent.notional_e9,
        limit_price_e9: intent.limit_price_e9,
        stop_price_e9: intent.stop_price_e9,
        trail_price_e9: intent.trail_price_e9,
        trail_percent_e9: intent.trail_percent_e9,
        take_profit_price_e9: intent.take_profit_price_e9,
        stop_loss_price_e9: intent.stop_loss_price_e9,
        stop_loss_limit_price_e9: intent.stop_loss_limit_price_e9,
        reference_price_e9: intent.reference_price_e9,
        action: intent.action,
        side: intent.side,
        order_type: intent.order_type,
        time_in_force: intent.time_in_force,
        order_class: intent.order_class,
        is_extended_hours: intent.is_extended_hours,
        ..Decision::default()
    }
}

/// The first thing that makes an intent no request at all: the offending value.
pub(crate) fn invalid_value(intent: &OrderIntent) -> Option<i64> {
    let amounts = [
        intent.quantity_e9,
        intent.notional_e9,
        intent.limit_price_e9,
        intent.stop_price_e9,
        intent.trail_price_e9,
        intent.trail_percent_e9,
        intent.take_profit_price_e9,
        intent.stop_loss_price_e9,
        intent.stop_loss_limit_price_e9,
    ];
    if let Some(&negative) = amounts.iter().find(|&&amount| amount < 0) {
        return Some(negative);
    }
    if intent.action == IntentAction::REPLACE {
        return intent.target_client_order_id.is_empty().then_some(0);
    }
    let is_limit = matches!(intent.order_type, OrderType::LIMIT | OrderType::STOP_LIMIT);
    let is_stop = matches!(intent.order_type, OrderType::STOP | OrderType::STOP_LIMIT);
    let is_trailing = intent.order_type == OrderType::TRAILING_STOP;
    let is_known = intent.action == IntentAction::NEW
        && matches!(intent.side, Side::BUY | Side::SELL)
        && (is_limit || is_stop || is_trailing || intent.order_type == OrderType::MARKET)
        && intent.time_in_force != TimeInForce::NONE
        && !intent.strategy.is_empty();
    let is_complete = (intent.quantity_e9 > 0 || intent.notional_e9 > 0)
        && is_limit == (intent.limit_price_e9 > 0)
        && is_stop == (intent.stop_price_e9 > 0)
        && (!is_trailing || (intent.trail_price_e9 > 0) != (intent.trail_percent_e9 > 0));
    (!is_known || !is_complete).then_some(intent.quantity_e9)
}
