//! What an intent would do if it were approved, at its worst.

use crate::limits::RiskLimits;
use crate::pricing::{collar_price_e9, quantity_of_e9, worst_price_e9, worst_quantity_e9};
use crate::symbol::SymbolState;
use core::hash::Hasher;
use holdfast_orders::{Digest, Order};
use holdfast_records::{Decision, IntentAction, OrderIntent, OrderType, Side, Text, TimeInForce, notional_e9};

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
    /// Limit price that a market or stop order is approved at; 0 for none.
    pub(crate) collar_price_e9: i64,
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
        now_ns: i64,
    ) -> Self {
        let is_buy = intent.side == Side::BUY;
        let position_e9 = state.position.quantity_e9;
        let is_opposite = if is_buy { position_e9 < 0 } else { position_e9 > 0 };
        let target = target.filter(|_| intent.action == IntentAction::REPLACE);
        let or = |own: i64, field: fn(&Order) -> i64| if own == 0 { target.map_or(0, field) } else { own };
        let limit_price_e9 = or(intent.limit_price_e9, |order| order.limit_price_e9);
        let stop_price_e9 = or(intent.stop_price_e9, |order| order.stop_price_e9);
        let ordered_quantity_e9 = or(intent.quantity_e9, |order| order.quantity_e9);
        let collar_price_e9 = collar_price_e9(intent, is_opposite, state, limits, now_ns);
        let capped_e9 = if is_buy {
            limit_price_e9.max(collar_price_e9)
        } else {
            limit_price_e9
        };
        let worst_price_e9 = worst_price_e9(capped_e9, stop_price_e9, state.mark_price_e9(), limits);
        let quantity_e9 = match ordered_quantity_e9 {
            0 if collar_price_e9 > 0 && is_buy => quantity_of_e9(intent.notional_e9, collar_price_e9),
            0 if collar_price_e9 > 0 => quantity_of_e9(intent.notional_e9, state.mark_price_e9()),
            0 => worst_quantity_e9(intent.notional_e9, state.mark_price_e9(), limits),
            ordered_e9 => ordered_e9,
        };
        let notional_e9 = match ordered_quantity_e9 {
            0 => intent.notional_e9,
            ordered_e9 => notional_e9(worst_price_e9, ordered_e9),
        };
        let request = request_of(intent, ordered_quantity_e9, limit_price_e9, stop_price_e9);
        // The order that a replace names counts as well: what fills of it on the way does not make the new one smaller.
        let closable_e9 = if is_opposite {
            state.closable_e9().min(position_e9.abs())
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
            collar_price_e9,
            worst_price_e9,
            notional_e9,
            is_reduction: is_opposite && quantity_e9 > 0 && quantity_e9 <= closable_e9,
            is_opposite,
            closable_e9,
            request,
        }
    }

    /// The price that it cannot exceed: its own limit or the one it is approved at; 0 for none.
    pub(crate) fn capped_price_e9(&self) -> i64 {
        self.limit_price_e9.max(self.collar_price_e9)
    }

    /// Makes a limit order of an approved market or stop order.
    pub(crate) fn convert(&self, decision: &mut Decision) {
        if self.collar_price_e9 == 0 {
            return;
        }
        decision.is_converted = 1;
        decision.limit_price_e9 = self.collar_price_e9;
        decision.quantity_e9 = self.quantity_e9;
        decision.order_type = match decision.order_type {
            OrderType::STOP => OrderType::STOP_LIMIT,
            _ => OrderType::LIMIT,
        };
    }
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

fn request_of(intent: &OrderIntent, ordered_quantity_e9: i64, limit_price_e9: i64, stop_price_e9: i64) -> u64 {
    let amount_e9 = if ordered_quantity_e9 == 0 {
        intent.notional_e9
    } else {
        0
    };
    let terms = [
        ordered_quantity_e9,
        amount_e9,
        limit_price_e9,
        stop_price_e9,
        intent.trail_price_e9,
        intent.trail_percent_e9,
    ];
    request_hash(
        &intent.strategy,
        &terms,
        codes(intent.side, intent.order_type, intent.action),
    )
}

fn codes(side: Side, order_type: OrderType, action: IntentAction) -> u64 {
    u64::from(side.0) | u64::from(order_type.0) << 8 | u64::from(action.0) << 16
}

/// The same hash that [`Proposal::request`] had when the decision was made.
pub(crate) fn request_hash_of(decision: &Decision) -> u64 {
    let is_converted = decision.is_converted != 0;
    let order_type = match decision.order_type {
        OrderType::LIMIT if is_converted => OrderType::MARKET,
        OrderType::STOP_LIMIT if is_converted => OrderType::STOP,
        as_asked => as_asked,
    };
    let is_amount = is_converted && decision.notional_e9 != 0;
    let terms = [
        if is_amount { 0 } else { decision.quantity_e9 },
        decision.notional_e9,
        if is_converted { 0 } else { decision.limit_price_e9 },
        decision.stop_price_e9,
        decision.trail_price_e9,
        decision.trail_percent_e9,
    ];
    request_hash(
        &decision.strategy,
        &terms,
        codes(decision.side, order_type, decision.action),
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
