//! What open orders and positions may come to: kept up to date order by order, symbol by symbol.

use crate::gate::Gate;
use crate::limits::RiskLimits;
use crate::symbol::SymbolState;
use core::hash::{Hash, Hasher};
use holdfast_orders::{Digest, Order};
use holdfast_records::{OrderStatus, Side, notional_e9};

/// Sums over all symbols; orders count as if they filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) gross_e9: i64,
    pub(crate) long_e9: i64,
    pub(crate) short_e9: i64,
    pub(crate) unrealized_e9: i64,
    pub(crate) engaged: i64,
    pub(crate) open_orders: i64,
    pub(crate) open_notional_e9: i64,
    pub(crate) unfilled_entries: i64,
}

/// One symbol's part of the totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Worst {
    pub(crate) exposure_e9: i64,
    pub(crate) long_e9: i64,
    pub(crate) short_e9: i64,
    unrealized_e9: i64,
    pub(crate) is_engaged: bool,
}

/// One order's part of its symbol's open orders.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact of the order")]
pub(crate) struct Reserved {
    is_buy: bool,
    pub(crate) is_open: bool,
    is_unfilled_entry: bool,
    pub(crate) has_fill: bool,
    /// The venue took or rejected it; counted once.
    pub(crate) is_answered: bool,
    pub(crate) quantity_e9: i64,
    pub(crate) notional_e9: i64,
    price_e9: i64,
    /// Price at which its approval counted it; 0 for orders that we did not approve.
    pub(crate) decided_price_e9: i64,
    /// What had filled of the orders that it replaces when it was approved.
    pub(crate) filled_before_e9: i64,
    /// Quantity that an order for an amount of USD may reach.
    pub(crate) expected_quantity_e9: i64,
    /// A leg that the venue holds.
    is_held: bool,
    /// What a protective stop may still fill: it makes way for an order that closes.
    protective_e9: i64,
    /// When its approval was decided.
    pub(crate) decided_ns: i64,
    /// When a protective stop was told to make way; 0 for never.
    pub(crate) cancel_ns: i64,
    /// Since when an entry with legs has been filled in part; 0 for never.
    pub(crate) part_filled_ns: i64,
    /// The stop price that a protective stop was approved with; 0 for one that trails.
    pub(crate) stop_price_e9: i64,
}

impl Reserved {
    /// The part of an order as it stands; a leg that the venue holds until its parent fills counts nothing.
    fn of(order: &Order, before: Self) -> Self {
        let is_waiting_leg = order.status() == OrderStatus::HELD && !order.parent_order_id.is_nil();
        let is_open = order.is_open() && !is_waiting_leg;
        let is_held = order.is_open() && is_waiting_leg;
        let price_e9 = if before.decided_price_e9 > 0 {
            before.decided_price_e9
        } else {
            order.limit_price_e9.max(order.stop_price_e9)
        };
        let still_open_e9 = match order.quantity_e9 {
            _ if !is_open => 0,
            0 => (before.expected_quantity_e9 - order.filled_quantity_e9()).max(0),
            _ => order.open_quantity_e9(),
        };
        // What the venue filled is not in the position until its fill is here, the order's end notwithstanding.
        let missing_e9 = if order.is_approved { order.unexplained_e9() } else { 0 };
        let quantity_e9 = still_open_e9 + missing_e9;
        Self {
            is_buy: order.side == Side::BUY,
            is_open,
            is_held,
            protective_e9: if order.is_protective() { still_open_e9 } else { 0 },
            is_unfilled_entry: is_open && order.is_approved && !order.is_reduction && !before.has_fill,
            quantity_e9,
            notional_e9: notional_e9(price_e9, quantity_e9),
            price_e9,
            ..before
        }
    }
}

impl Worst {
    fn of(state: &SymbolState, limits: &RiskLimits) -> Self {
        let (long_e9, short_e9) = (state.long_worst_e9(limits), state.short_worst_e9(limits));
        Self {
            exposure_e9: long_e9.max(short_e9),
            long_e9,
            short_e9,
            unrealized_e9: state.unrealized_pnl_e9(),
            is_engaged: state.is_engaged(),
        }
    }
}

impl Gate {
    /// Brings the sums up to date after the order at `index` changed.
    pub(crate) fn recount_order(&mut self, index: usize) {
        self.ensure_reserved(index);
        let order = *self.orders.at(index);
        if order.symbol.is_empty() {
            return;
        }
        let symbol = self.index_of(order.symbol);
        let before = self.reserved[index];
        let after = Reserved::of(&order, before);
        self.reserved[index] = after;
        let open = &mut self.symbols.at_mut(symbol).open;
        match (before.is_open, after.is_open) {
            (false, true) => open.indices.push(index as u32),
            (true, false) => open.indices.retain(|&other| other != index as u32),
            _ => {}
        }
        match (before.is_held, after.is_held) {
            (false, true) => open.held.push(index as u32),
            (true, false) => open.held.retain(|&other| other != index as u32),
            _ => {}
        }
        open.add(-1, before.is_buy, before.quantity_e9, before.price_e9);
        open.add(1, after.is_buy, after.quantity_e9, after.price_e9);
        open.add_protective(after.is_buy, after.protective_e9 - before.protective_e9);
        let totals = &mut self.totals;
        totals.open_orders += i64::from(after.is_open) - i64::from(before.is_open);
        totals.unfilled_entries += i64::from(after.is_unfilled_entry) - i64::from(before.is_unfilled_entry);
        totals.open_notional_e9 += after.notional_e9 - before.notional_e9;
        self.recount_symbol(symbol);
    }

    /// Brings the totals up to date after a symbol's quote, position or orders changed.
    pub(crate) fn recount_symbol(&mut self, index: usize) {
        let before = self.worst[index];
        let after = Worst::of(self.symbols.at(index), &self.limits);
        self.worst[index] = after;
        let totals = &mut self.totals;
        totals.gross_e9 += after.exposure_e9 - before.exposure_e9;
        totals.long_e9 += after.long_e9 - before.long_e9;
        totals.short_e9 += after.short_e9 - before.short_e9;
        totals.unrealized_e9 += after.unrealized_e9 - before.unrealized_e9;
        totals.engaged += i64::from(after.is_engaged) - i64::from(before.is_engaged);
    }

    /// Hash of everything that must survive a restart: orders, positions, reservations, counters, breakers, rates.
    pub fn state_hash(&self) -> u64 {
        let mut digest = Digest::default();
        digest.write_u64(self.orders.state_hash());
        digest.write_u64(self.positions.state_hash());
        self.counters.hash(&mut digest);
        self.rate.hash(&mut digest);
        self.tripped.hash(&mut digest);
        self.is_halted_by_operator.hash(&mut digest);
        self.book.changes().hash(&mut digest);
        for off in &self.switched_off {
            (off.strategy, off.rule).hash(&mut digest);
        }
        let symbols = self
            .symbols
            .iter()
            .fold(0_u64, |sum, state| sum.wrapping_add(state.lasting_digest()));
        digest.write_u64(symbols);
        digest.finish()
    }
}
