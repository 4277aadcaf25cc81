//! What the gate knows of each symbol: quote, position, open orders.

use crate::limits::RiskLimits;
use crate::mid_window::MidWindow;
use crate::pricing::worst_price_e9;
use crate::protection::Guard;
use crate::runaways::Run;
use core::hash::{Hash, Hasher};
use holdfast_orders::{Digest, Position};
use holdfast_records::{E9, Quote, StatusCode, Symbol, TradingStatus, notional_e9};

/// State of one symbol.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact of the symbol")]
pub(crate) struct SymbolState {
    pub(crate) symbol: Symbol,
    /// Named in the configuration, so that entries are allowed.
    pub(crate) is_configured: bool,
    /// Trades around the clock: no session, no blackout.
    pub(crate) is_crypto: bool,
    pub(crate) bid_price_e9: i64,
    pub(crate) ask_price_e9: i64,
    pub(crate) quote_ns: i64,
    pub(crate) locked_since_ns: i64,
    pub(crate) jumped_ns: i64,
    pub(crate) jump_e9: i64,
    pub(crate) mids: MidWindow,
    pub(crate) has_gap: bool,
    pub(crate) is_halted: bool,
    pub(crate) luld_up_e9: i64,
    pub(crate) luld_down_e9: i64,
    /// Average volume of twenty sessions, 0 while it is not known; and the beginning of the newest of them.
    pub(crate) average_volume_e9: i64,
    pub(crate) average_volume_ns: i64,
    /// When the venue last allowed a short of it; 0 if its last word was no.
    pub(crate) shortable_ns: i64,
    pub(crate) position: Position,
    pub(crate) open: OpenOrders,
    /// Recent approvals: hash of the request and when.
    pub(crate) requests: [(u64, i64); 16],
    pub(crate) requests_next: usize,
    /// When the last entries were approved, a ring as long as the repeat limit.
    pub(crate) entries_ns: Box<[i64]>,
    pub(crate) entries_next: usize,
    /// Equal entries in a row.
    pub(crate) identical: Run,
    /// Orders in a row to close the position.
    pub(crate) liquidations: Run,
    /// What its protective stops need.
    pub(crate) guard: Guard,
}

/// Sums over the open orders of a symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenOrders {
    pub(crate) indices: Vec<u32>,
    pub(crate) buy_quantity_e9: i64,
    pub(crate) sell_quantity_e9: i64,
    pub(crate) buy_notional_e9: i64,
    pub(crate) sell_notional_e9: i64,
    /// Quantities of orders whose price is not known: they count at the mark plus the collar.
    pub(crate) unpriced_buy_e9: i64,
    pub(crate) unpriced_sell_e9: i64,
    /// Legs that the venue holds until another order fills or its stop is reached.
    pub(crate) held: Vec<u32>,
    /// Quantity of the protective stops: it is free for an order that closes, since a stop makes way for it.
    pub(crate) protective_buy_e9: i64,
    pub(crate) protective_sell_e9: i64,
}

impl OpenOrders {
    /// Adds an order's part, or takes it away with `sign` -1; `price_e9` 0 means not known.
    pub(crate) fn add(&mut self, sign: i64, is_buy: bool, quantity_e9: i64, price_e9: i64) {
        let amount_e9 = sign * notional_e9(price_e9, quantity_e9);
        let unpriced_e9 = if price_e9 == 0 { sign * quantity_e9 } else { 0 };
        if is_buy {
            self.buy_quantity_e9 += sign * quantity_e9;
            self.buy_notional_e9 += amount_e9;
            self.unpriced_buy_e9 += unpriced_e9;
        } else {
            self.sell_quantity_e9 += sign * quantity_e9;
            self.sell_notional_e9 += amount_e9;
            self.unpriced_sell_e9 += unpriced_e9;
        }
    }
}

impl OpenOrders {
    pub(crate) fn add_protective(&mut self, is_buy: bool, change_e9: i64) {
        if is_buy {
            self.protective_buy_e9 += change_e9;
        } else {
            self.protective_sell_e9 += change_e9;
        }
    }
}

impl SymbolState {
    pub(crate) fn new(symbol: Symbol, is_configured: bool, limits: &RiskLimits) -> Self {
        Self {
            symbol,
            is_configured,
            is_crypto: symbol.is_crypto_pair(),
            entries_ns: vec![i64::MIN / 2; limits.repeat_entries_max as usize].into_boxed_slice(),
            ..Self::default()
        }
    }

    /// Makes room for as many entries as the repeat limit is now; the newest are kept.
    pub(crate) fn resize_entries(&mut self, limits: &RiskLimits) {
        let count = limits.repeat_entries_max as usize;
        if count == self.entries_ns.len() {
            return;
        }
        let mut entries_ns = core::mem::take(&mut self.entries_ns).into_vec();
        entries_ns.rotate_left(self.entries_next);
        let surplus = entries_ns.len().saturating_sub(count);
        let missing = count.saturating_sub(entries_ns.len());
        let kept = core::iter::repeat_n(i64::MIN / 2, missing).chain(entries_ns.drain(surplus..));
        self.entries_ns = kept.collect();
        self.entries_next = 0;
    }

    /// Mid price; 0 without a quote of two sides.
    pub(crate) fn mid_price_e9(&self) -> i64 {
        if self.has_quote() {
            i64::midpoint(self.bid_price_e9, self.ask_price_e9)
        } else {
            0
        }
    }

    pub(crate) fn has_quote(&self) -> bool {
        self.bid_price_e9 > 0 && self.ask_price_e9 > 0
    }

    /// Whether there is a quote of two sides that is neither crossed nor older than `age_max_ns`.
    pub(crate) fn is_quoted(&self, now_ns: i64, age_max_ns: i64) -> bool {
        self.has_quote() && self.bid_price_e9 <= self.ask_price_e9 && now_ns - self.quote_ns <= age_max_ns
    }

    /// Price for exposures: the ask, or the average price while there is no quote.
    pub(crate) fn mark_price_e9(&self) -> i64 {
        if self.has_quote() {
            self.ask_price_e9.max(self.bid_price_e9)
        } else {
            self.position.average_price_e9()
        }
    }

    /// Profit and loss of closing now, at the side of the quote that a close would meet.
    pub(crate) fn unrealized_pnl_e9(&self) -> i64 {
        match self.position.quantity_e9 {
            0 => 0,
            _ if !self.has_quote() => 0,
            quantity_e9 if quantity_e9 > 0 => self.position.unrealized_pnl_e9(self.bid_price_e9),
            _ => self.position.unrealized_pnl_e9(self.ask_price_e9),
        }
    }

    /// Value of the position if every open buy order fills; negative for a short.
    pub(crate) fn long_worst_e9(&self, limits: &RiskLimits) -> i64 {
        notional_e9(self.mark_price_e9(), self.position.quantity_e9)
            .saturating_add(self.open.buy_notional_e9)
            .saturating_add(self.unpriced_notional_e9(self.open.unpriced_buy_e9, limits))
    }

    /// The same, sign turned, if every open sell order fills.
    pub(crate) fn short_worst_e9(&self, limits: &RiskLimits) -> i64 {
        self.open
            .sell_notional_e9
            .saturating_sub(notional_e9(self.mark_price_e9(), self.position.quantity_e9))
            .saturating_add(self.unpriced_notional_e9(self.open.unpriced_sell_e9, limits))
    }

    fn unpriced_notional_e9(&self, quantity_e9: i64, limits: &RiskLimits) -> i64 {
        if quantity_e9 == 0 {
            return 0;
        }
        notional_e9(worst_price_e9(0, 0, self.mark_price_e9(), limits), quantity_e9)
    }

    /// Whether it counts as an open position in the worst case.
    pub(crate) fn is_engaged(&self) -> bool {
        self.position.quantity_e9 != 0 || !self.open.indices.is_empty()
    }

    /// Quantity that an order may close without ever flipping the position, whatever is open but protective stops.
    pub(crate) fn closable_e9(&self) -> i64 {
        let open = &self.open;
        match self.position.quantity_e9 {
            0 => 0,
            long_e9 if long_e9 > 0 => (long_e9 - open.sell_quantity_e9 + open.protective_sell_e9).max(0),
            short_e9 => (-short_e9 - open.buy_quantity_e9 + open.protective_buy_e9).max(0),
        }
    }

    pub(crate) fn apply_quote(&mut self, quote: &Quote, recv_ns: i64, limits: &RiskLimits) {
        let before_e9 = self.mid_price_e9();
        (self.bid_price_e9, self.ask_price_e9) = (quote.bid_price_e9, quote.ask_price_e9);
        self.quote_ns = recv_ns;
        self.has_gap = false;
        if quote.bid_price_e9 != quote.ask_price_e9 {
            self.locked_since_ns = 0;
        } else if self.locked_since_ns == 0 {
            self.locked_since_ns = recv_ns;
        }
        let mid_e9 = self.mid_price_e9();
        self.mids.push(mid_e9, before_e9, recv_ns, limits.price_drift_window_ns);
        let change_e9 = (mid_e9 - before_e9).abs();
        let is_jump = before_e9 > 0
            && self.has_quote()
            && i128::from(change_e9) * i128::from(E9) > i128::from(before_e9) * i128::from(limits.quote_jump_max_e9);
        if is_jump {
            self.jumped_ns = recv_ns;
            self.jump_e9 = (i128::from(change_e9) * i128::from(E9) / i128::from(before_e9)) as i64;
        }
    }

    pub(crate) fn apply_status(&mut self, status: &TradingStatus) {
        match status.status {
            StatusCode::HALTED => self.is_halted = true,
            StatusCode::TRADING => self.is_halted = false,
            StatusCode::LULD_BAND => {
                (self.luld_up_e9, self.luld_down_e9) = (status.luld_up_e9, status.luld_down_e9);
            }
            _ => {}
        }
    }

    /// Digest of what a restart must restore.
    pub(crate) fn lasting_digest(&self) -> u64 {
        let mut digest = Digest::default();
        self.symbol.hash(&mut digest);
        self.position.hash(&mut digest);
        self.requests.hash(&mut digest);
        self.entries_ns.hash(&mut digest);
        (self.identical, self.liquidations).hash(&mut digest);
        self.guard.hash(&mut digest);
        let open = &self.open;
        for sum in [
            open.buy_quantity_e9,
            open.sell_quantity_e9,
            open.buy_notional_e9,
            open.sell_notional_e9,
        ] {
            digest.write_i64(sum);
        }
        digest.finish()
    }

    /// Forgets everything that market data told.
    pub(crate) fn forget_market(&mut self) {
        (self.bid_price_e9, self.ask_price_e9, self.quote_ns) = (0, 0, 0);
        (self.locked_since_ns, self.jumped_ns, self.jump_e9) = (0, 0, 0);
        self.mids = MidWindow::default();
        (self.has_gap, self.is_halted) = (false, false);
        (self.luld_up_e9, self.luld_down_e9) = (0, 0);
        (self.average_volume_e9, self.average_volume_ns) = (0, 0);
    }
}

/// Symbols by name: open addressing over a table that never shrinks.
#[derive(Clone, Debug)]
pub(crate) struct SymbolTable {
    states: Vec<SymbolState>,
    slots: Box<[u32]>,
}

const EMPTY: u32 = u32::MAX;

impl SymbolTable {
    pub(crate) fn new(symbols: &[Symbol], limits: &RiskLimits) -> Self {
        let slots = (symbols.len().max(16) * 4).next_power_of_two();
        let mut table = Self {
            states: Vec::new(),
            slots: vec![EMPTY; slots].into_boxed_slice(),
        };
        for &symbol in symbols {
            let index = table.insert(symbol, limits);
            table.states[index].is_configured = true;
        }
        table
    }

    fn slot_of(&self, symbol: Symbol) -> usize {
        let mask = self.slots.len() - 1;
        let mut digest = Digest::default();
        digest.write(bytemuck::bytes_of(&symbol));
        let mut slot = digest.finish() as usize & mask;
        while self.slots[slot] != EMPTY && self.states[self.slots[slot] as usize].symbol != symbol {
            slot = (slot + 1) & mask;
        }
        slot
    }

    pub(crate) fn find(&self, symbol: Symbol) -> Option<usize> {
        let index = self.slots[self.slot_of(symbol)];
        (index != EMPTY).then_some(index as usize)
    }

    /// The index of a symbol; an unknown one is added without permission to enter.
    pub(crate) fn insert(&mut self, symbol: Symbol, limits: &RiskLimits) -> usize {
        let slot = self.slot_of(symbol);
        if self.slots[slot] != EMPTY {
            return self.slots[slot] as usize;
        }
        let index = self.states.len();
        self.slots[slot] = index as u32;
        self.states.push(SymbolState::new(symbol, false, limits));
        if self.states.len() * 2 > self.slots.len() {
            self.grow();
        }
        index
    }

    fn grow(&mut self) {
        self.slots = vec![EMPTY; self.slots.len() * 2].into_boxed_slice();
        for index in 0..self.states.len() {
            let slot = self.slot_of(self.states[index].symbol);
            self.slots[slot] = index as u32;
        }
    }

    pub(crate) fn at(&self, index: usize) -> &SymbolState {
        &self.states[index]
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> &mut SymbolState {
        &mut self.states[index]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SymbolState> {
        self.states.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut SymbolState> {
        self.states.iter_mut()
    }
}
