//! Protective stops: what each position of ours lacks at the venue, and what stands in the way of closing it.
//!
//! Nothing here is remembered that the journals do not tell: a restart and a replay come to the same measures. A share
//! of a position is protected for the strategy that holds it; what a stranger brought is not ours to trade.

use crate::counters::Usage;
use crate::gate::{Clock, Gate};
use crate::limits::RiskLimits;
use crate::stop_terms::{Terms, prices};
use crate::symbol::SymbolState;
use holdfast_orders::{Order, Position};
use holdfast_records::{
    BreakerTripped, Decision, E9, Fill, IntentAction, OrderClass, OrderStatus, OrderType, PositionSnapshot, Reason,
    Side, Symbol, Text, TradingStateCode, Verdict, notional_e9,
};

/// Protective stops of one share before they are taken together.
const STOPS_MAX: usize = 3;
/// An exit that came too late may be asked for again so soon: until then no stop is put in its way.
const EXIT_AGAIN_NS: i64 = 1_500_000_000;
/// A stop that was told to make way and still stands is told again after this.
const CANCEL_AGAIN_NS: i64 = 30_000_000_000;
/// Pause after a failed placement; doubles with each failure in a row.
const RETRY_NS: i64 = 250_000_000;
const RETRY_DOUBLINGS_MAX: i64 = 7;
/// Least change, as a fraction of the price, for which a stop is placed anew.
const TIGHTER_MIN: i64 = E9 / 200;

/// What a strategy holds of a symbol by its own fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Share {
    strategy: Text<32>,
    quantity_e9: i64,
}

/// What the protective stops of a symbol need to know beside its orders and its position.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Guard {
    shares: Vec<Share>,
    /// The venue's own word on the position, with its latest fill or listing.
    told_e9: i64,
    told_ns: i64,
    /// Average price by the venue's latest listing; 0 after a fill.
    told_price_e9: i64,
    /// Begin of the window in which fills are gathered.
    changed_ns: i64,
    /// When an order that closes was last withheld.
    exit_lost_ns: i64,
    /// Placements that failed in a row, those among them that the venue refused, and when the last one did.
    failures: i64,
    rejects: i64,
    failed_ns: i64,
    /// Entries stopped, since the venue takes no stop; an operator's reset ends it.
    is_blocked: bool,
    /// The last stop ended for an exit of ours, and nobody else ended that. While trading is halted only such a stop
    /// comes back: an emergency stop cancels everything, and nothing may open after it.
    is_ours_to_restore: bool,
}

impl Guard {
    /// Whether entries are stopped: the limit and the stops refused in a row.
    pub(crate) fn blocked(&self, rejects_max: i64) -> Option<Usage> {
        self.is_blocked
            .then(|| Usage::of_count(rejects_max, self.rejects.max(rejects_max)))
    }

    /// The price that distances are measured from. Where the venue lists another quantity than our books do, a split
    /// or the like has changed what a share is, and our average price with it: its own average price counts.
    pub(crate) fn base_price_e9(&self, position: &Position) -> i64 {
        if self.told_price_e9 > 0 && self.told_e9 != position.quantity_e9 {
            self.told_price_e9
        } else {
            position.average_price_e9()
        }
    }

    /// When what it waits for began.
    pub(crate) fn waits(&mut self) -> [&mut i64; 3] {
        [&mut self.changed_ns, &mut self.exit_lost_ns, &mut self.failed_ns]
    }

    fn touch(&mut self, ts_ns: i64, settle_ns: i64) {
        if ts_ns > self.changed_ns.saturating_add(settle_ns) {
            self.changed_ns = ts_ns;
        }
    }

    fn is_placing_due(&self, now_ns: i64, limits: &RiskLimits) -> bool {
        let pause_ns = match self.failures {
            0 => 0,
            failures => RETRY_NS << (failures - 1).min(RETRY_DOUBLINGS_MAX),
        };
        now_ns >= self.changed_ns.saturating_add(limits.protection_settle_ns)
            && now_ns >= self.failed_ns.saturating_add(pause_ns)
            && (self.exit_lost_ns == 0 || now_ns >= self.exit_lost_ns.saturating_add(EXIT_AGAIN_NS))
    }
}

/// What is to be done next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    /// Place a stop.
    Place(Terms),
    /// Cancel the order with this index: a stop that is in the way or gives its place to another, or an entry that stays
    /// filled in part while its legs sleep.
    Cancel(usize),
}

/// Sums over the open orders that make a position smaller.
#[derive(Clone, Copy, Debug, Default)]
struct Closing {
    /// Orders and legs that are no protective stops, or stops that are being executed.
    exits_e9: i64,
    /// Protective stops in force or on their way, and those that were told to make way.
    guarding_e9: i64,
    leaving_e9: i64,
    guards: usize,
    leaving: usize,
    /// One that is in force.
    guard: Option<usize>,
}

impl Closing {
    fn total_e9(&self) -> i64 {
        self.exits_e9 + self.guarding_e9 + self.leaving_e9
    }
}

impl Gate {
    /// Counts what a fill gives to or takes from its strategy's share.
    pub(crate) fn note_share(&mut self, fill: &Fill, ts_ns: i64) {
        let settle_ns = self.limits.protection_settle_ns;
        let index = self.index_of(fill.symbol);
        let state = self.symbols.at_mut(index);
        let guard = &mut state.guard;
        guard.touch(ts_ns, settle_ns);
        if fill.ts_event_ns >= guard.told_ns {
            (guard.told_e9, guard.told_ns) = (fill.position_quantity_e9, fill.ts_event_ns);
            guard.told_price_e9 = 0;
        }
        if state.position.quantity_e9 == 0 {
            guard.shares.clear();
            return;
        }
        let signed_e9 = if fill.side == Side::BUY {
            fill.quantity_e9
        } else {
            -fill.quantity_e9
        };
        match guard.shares.iter_mut().find(|share| share.strategy == fill.strategy) {
            Some(share) => share.quantity_e9 += signed_e9,
            None => guard.shares.push(Share {
                strategy: fill.strategy,
                quantity_e9: signed_e9,
            }),
        }
    }

    /// Takes the venue's word on a position.
    pub(crate) fn note_told_position(&mut self, snapshot: &PositionSnapshot) {
        let index = self.index_of(snapshot.symbol);
        let guard = &mut self.symbols.at_mut(index).guard;
        (guard.told_e9, guard.told_price_e9) = (snapshot.quantity_e9, snapshot.average_price_e9);
    }

    /// Remembers with what a protective stop was approved.
    pub(crate) fn note_protection(&mut self, index: usize, decision: &Decision, now_ns: i64) {
        let reserved = &mut self.reserved[index];
        reserved.decided_ns = now_ns;
        reserved.stop_price_e9 = decision.stop_loss_price_e9.max(decision.stop_price_e9);
    }

    /// Remembers that a protective stop was told to make way.
    pub(crate) fn note_way_made(&mut self, decision: &Decision, now_ns: i64) {
        if decision.intent_seq != 0 {
            return;
        }
        let target = decision.target_client_order_id;
        if let Some(index) = self.orders.index_of(target.as_str()) {
            self.ensure_reserved(index);
            self.reserved[index].cancel_ns = now_ns;
        }
    }

    /// Remembers since when an entry of ours with legs has been filled in part.
    pub(crate) fn note_part_fill(&mut self, index: usize, ts_ns: i64) {
        let order = self.orders.at(index);
        let has_legs =
            matches!(order.order_class, OrderClass::BRACKET | OrderClass::OTO) && order.parent_order_id.is_nil();
        let is_entry = order.is_approved && !order.is_reduction && has_legs;
        let reserved = &mut self.reserved[index];
        if is_entry && order.is_open() && order.filled_quantity_e9() > 0 && reserved.part_filled_ns == 0 {
            reserved.part_filled_ns = ts_ns;
        }
    }

    /// Looks at what an event says about a protective stop, or about an order that closes.
    pub(crate) fn watch_protection(&mut self, index: usize, was_open: bool, ts_ns: i64) {
        let order = *self.orders.at(index);
        if order.symbol.is_empty() {
            return;
        }
        let symbol = self.index_of(order.symbol);
        let (settle_ns, rejects_max) = (self.limits.protection_settle_ns, self.limits.protection_rejects_max);
        let is_asked_to_end = order.is_cancel_requested || self.reserved[index].cancel_ns != 0;
        let has_ended = was_open && !order.is_open();
        let guard = &mut self.symbols.at_mut(symbol).guard;
        if has_ended {
            guard.touch(ts_ns, settle_ns);
        }
        if !order.is_protective() {
            if has_ended && order.is_reduction && order.status() == OrderStatus::WITHHELD {
                guard.exit_lost_ns = ts_ns;
            }
            if has_ended && order.status() == OrderStatus::CANCELED && !is_asked_to_end {
                guard.is_ours_to_restore = false;
            }
            return;
        }
        if order.is_open() && order.is_at_venue() {
            (guard.failures, guard.rejects) = (0, 0);
        }
        if !has_ended {
            return;
        }
        match order.status() {
            OrderStatus::CANCELED => guard.is_ours_to_restore = is_asked_to_end,
            OrderStatus::REJECTED | OrderStatus::WITHHELD => {
                (guard.failures, guard.failed_ns) = (guard.failures + 1, ts_ns);
                guard.rejects += i64::from(order.status() == OrderStatus::REJECTED && order.rule == Reason::NONE);
                if guard.rejects >= rejects_max && !core::mem::replace(&mut guard.is_blocked, true) {
                    let usage = Usage::of_count(rejects_max, guard.rejects);
                    self.runaways.push(BreakerTripped {
                        symbol: order.symbol,
                        limit_e9: usage.limit_e9,
                        value_e9: usage.value_e9,
                        rule: Reason::PROTECTION_MISSING,
                        ..BreakerTripped::default()
                    });
                }
            }
            _ => {}
        }
    }

    /// An operator's reset lets entries of every symbol be tried again.
    pub(crate) fn forgive_protection(&mut self) {
        for state in self.symbols.iter_mut() {
            (state.guard.is_blocked, state.guard.rejects) = (false, 0);
        }
    }

    /// What is to be done next for any symbol's protection; changes nothing.
    pub(crate) fn next_measure(&self, clock: Clock) -> Option<Measure> {
        if !self.is_reconciled() || self.totals.engaged == 0 {
            return None;
        }
        let engaged = self.worst.iter().enumerate().filter(|(_, worst)| worst.is_engaged);
        engaged
            .map(|(index, _)| self.symbols.at(index))
            .find_map(|state| self.measure_of(state, clock))
    }

    /// Symbols with a position of ours that lacks a stop, or whose stop the venue has not shown yet.
    pub(crate) fn unprotected(&self) -> impl Iterator<Item = Symbol> {
        let states = self.symbols.iter().filter(|state| !state.guard.shares.is_empty());
        let lacks = |state: &&SymbolState| {
            let lacks_stop = |share| self.lacking_e9(state, share) > 0;
            let is_unproven = |&index: &u32| {
                let order = self.orders.at(index as usize);
                order.is_protective() && !order.is_at_venue()
            };
            let has_sleeping_legs = |&index: &u32| self.sleeping(state, index as usize).is_some();
            let mut open = state.open.indices.iter();
            open.any(has_sleeping_legs)
                || state.guard.shares.iter().any(lacks_stop)
                || state.open.indices.iter().any(is_unproven)
        };
        states.filter(lacks).map(|state| state.symbol)
    }

    /// Entries of ours that may still fill, and those among them that the venue was asked to cancel.
    pub(crate) fn entries_open(&self) -> (usize, usize) {
        let open = self.symbols.iter().flat_map(|state| &state.open.indices);
        let orders = open.map(|&index| self.orders.at(index as usize));
        let entries = orders.filter(|order| order.is_approved && !order.is_reduction);
        entries.fold((0, 0), |(open, ending), order| {
            (open + 1, ending + usize::from(order.is_cancel_requested))
        })
    }

    fn measure_of(&self, state: &SymbolState, clock: Clock) -> Option<Measure> {
        let cancel = self
            .in_the_way(state, clock.now_ns)
            .or_else(|| self.stalled(state, clock.now_ns));
        if cancel.is_some() {
            return cancel.map(Measure::Cancel);
        }
        let shares = state.guard.shares.iter();
        shares
            .filter(|share| !share.strategy.is_empty())
            .find_map(|share| self.measure_of_share(state, share, clock))
    }

    /// A stop that is more than what is held and not being closed otherwise.
    fn in_the_way(&self, state: &SymbolState, now_ns: i64) -> Option<usize> {
        if state.open.protective_buy_e9 == 0 && state.open.protective_sell_e9 == 0 {
            return None;
        }
        for share in &state.guard.shares {
            let closing = self.closing(state, Some(share.strategy), now_ns);
            let held_e9 = held_e9(state, share).min(state.position.quantity_e9.abs());
            if closing.exits_e9 + closing.guarding_e9 > held_e9 && closing.guards > 0 {
                return closing.guard;
            }
        }
        let closing = self.closing(state, None, now_ns);
        let is_excess = closing.exits_e9 + closing.guarding_e9 > state.position.quantity_e9.abs();
        if is_excess && closing.guards > 0 {
            return closing.guard;
        }
        self.astray(state, now_ns)
    }

    /// Since when an open entry has legs that sleep over what has filled; nothing if none has or a waiver says so.
    fn sleeping(&self, state: &SymbolState, index: usize) -> Option<i64> {
        let since_ns = self.reserved[index].part_filled_ns;
        let is_waived = || self.limits.waivers.covers(self.orders.at(index).strategy, state.symbol);
        (since_ns != 0 && !is_waived()).then_some(since_ns)
    }

    /// An entry that stays filled in part: its rest is given up, and what it filled gets a stop of ours.
    fn stalled(&self, state: &SymbolState, now_ns: i64) -> Option<usize> {
        let is_overdue = |since_ns: i64| now_ns >= since_ns.saturating_add(self.limits.protection_bracket_rest_ns);
        state.open.indices.iter().map(|&index| index as usize).find(|&index| {
            self.sleeping(state, index).is_some_and(is_overdue)
                && !self.orders.at(index).is_cancel_requested
                && !self.is_leaving(index, now_ns)
        })
    }

    /// A stop on the side that would make the position greater.
    fn astray(&self, state: &SymbolState, now_ns: i64) -> Option<usize> {
        let closing_side = closing_side(state);
        state.open.indices.iter().map(|&index| index as usize).find(|&index| {
            let order = self.orders.at(index);
            order.is_protective() && order.side != closing_side && !self.is_leaving(index, now_ns)
        })
    }

    fn measure_of_share(&self, state: &SymbolState, share: &Share, clock: Clock) -> Option<Measure> {
        let limits = &self.limits;
        if limits.waivers.covers(share.strategy, state.symbol) {
            return None;
        }
        let closing = self.closing(state, Some(share.strategy), clock.now_ns);
        let lacking_e9 = self.lacking_e9(state, share);
        if lacking_e9 > 0 && closing.guards + closing.leaving >= STOPS_MAX {
            return closing.guard.map(Measure::Cancel);
        }
        let terms = self.terms(state, share, lacking_e9, clock);
        if let Some(index) = closing.guard
            && self.is_outdated(index, &terms, clock)
        {
            return Some(Measure::Cancel(index));
        }
        let is_allowed = state.guard.is_ours_to_restore || self.state() != TradingStateCode::HALTED;
        let is_due = lacking_e9 > 0 && is_allowed && state.guard.is_placing_due(clock.now_ns, limits);
        is_due.then_some(Measure::Place(terms))
    }

    /// What a share lacks, whole shares only: the venue takes no fraction in orders that outlive a day.
    fn lacking_e9(&self, state: &SymbolState, share: &Share) -> i64 {
        if share.strategy.is_empty() || self.limits.waivers.covers(share.strategy, state.symbol) {
            return 0;
        }
        let own_e9 = self.closing(state, Some(share.strategy), 0).total_e9();
        let all_e9 = self.closing(state, None, 0).total_e9();
        let free_e9 = (told_e9(state) - all_e9).min(held_e9(state, share) - own_e9).max(0);
        if state.is_crypto {
            free_e9
        } else {
            free_e9 - free_e9 % E9
        }
    }

    fn is_leaving(&self, index: usize, now_ns: i64) -> bool {
        let cancel_ns = self.reserved[index].cancel_ns;
        cancel_ns != 0 && now_ns < cancel_ns.saturating_add(CANCEL_AGAIN_NS)
    }

    /// Sums over the orders of a strategy, or of all, that make the position smaller.
    fn closing(&self, state: &SymbolState, strategy: Option<Text<32>>, now_ns: i64) -> Closing {
        let side = closing_side(state);
        let mut closing = Closing::default();
        let belongs = |order: &Order| order.side == side && strategy.is_none_or(|strategy| strategy == order.strategy);
        for index in state.open.indices.iter().map(|&index| index as usize) {
            let order = self.orders.at(index);
            if !belongs(order) {
                continue;
            }
            let quantity_e9 = self.reserved[index].quantity_e9;
            if !order.is_protective() {
                closing.exits_e9 += quantity_e9;
            } else if self.is_leaving(index, now_ns) {
                closing.leaving_e9 += quantity_e9;
                closing.leaving += 1;
            } else {
                closing.guarding_e9 += quantity_e9;
                closing.guards += 1;
                closing.guard = Some(index);
            }
        }
        for (place, index) in state.open.held.iter().map(|&index| index as usize).enumerate() {
            let leg = self.orders.at(index);
            if belongs(leg) && !self.is_beside_another(state, leg, place) {
                closing.exits_e9 += self.held_leg_e9(leg);
            }
        }
        closing
    }

    /// Whether another leg of the same family is counted already.
    fn is_beside_another(&self, state: &SymbolState, leg: &Order, place: usize) -> bool {
        let is_sibling = |&index: &u32| self.orders.at(index as usize).parent_order_id == leg.parent_order_id;
        state.open.held[..place].iter().any(is_sibling) || state.open.indices.iter().any(is_sibling)
    }

    /// What a held leg covers: of an entry what has filled, of a stop paired with a profit order nothing while that works.
    fn held_leg_e9(&self, leg: &Order) -> i64 {
        let Some(parent) = self.families.index_of(leg.parent_order_id) else {
            return 0;
        };
        let parent = self.orders.at(parent);
        match (parent.side == leg.side, parent.is_open()) {
            (true, true) => 0,
            (true, false) => leg.open_quantity_e9(),
            (false, _) => leg.open_quantity_e9().min(parent.filled_quantity_e9()),
        }
    }

    /// Whether a stop in force should be another one: it trails too late, is too loose, or ends soon.
    fn is_outdated(&self, index: usize, terms: &Terms, clock: Clock) -> bool {
        let reserved = &self.reserved[index];
        let order = self.orders.at(index);
        if !order.is_at_venue() || reserved.decided_ns == 0 {
            return false;
        }
        if clock.now_ns - reserved.decided_ns >= self.limits.protection_renew_ns {
            return true;
        }
        if order.order_type == OrderType::TRAILING_STOP || reserved.stop_price_e9 == 0 {
            return false;
        }
        let least_e9 = notional_e9(terms.prices.stop_e9, TIGHTER_MIN);
        let tighter_e9 = if terms.is_long {
            terms.prices.stop_e9 - reserved.stop_price_e9
        } else {
            reserved.stop_price_e9 - terms.prices.stop_e9
        };
        tighter_e9 > least_e9 || self.trails(terms, self.limits.protection_trail_after_e9, clock)
    }

    /// Whether the market is so far on the good side of the average price.
    fn trails(&self, terms: &Terms, after_e9: i64, clock: Clock) -> bool {
        let Some(state) = self.symbols.find(terms.symbol).map(|index| self.symbols.at(index)) else {
            return false;
        };
        if terms.is_crypto || !state.is_quoted(clock.now_ns, self.limits.quote_age_max_ns) {
            return false;
        }
        let base_e9 = state.guard.base_price_e9(&state.position);
        let gain_e9 = if terms.is_long {
            state.bid_price_e9 - base_e9
        } else {
            base_e9 - state.ask_price_e9
        };
        gain_e9 > 0 && gain_e9 >= notional_e9(base_e9, after_e9)
    }

    fn terms(&self, state: &SymbolState, share: &Share, quantity_e9: i64, clock: Clock) -> Terms {
        let is_long = state.position.quantity_e9 > 0;
        let mut terms = Terms {
            strategy: share.strategy,
            symbol: state.symbol,
            is_long,
            quantity_e9,
            prices: prices(state, is_long, &self.limits),
            is_trailing: false,
            is_crypto: state.is_crypto,
            reference_price_e9: state.mark_price_e9(),
        };
        // A little back does not undo it: else a market that stays at the edge would move the stop for ever.
        terms.is_trailing = self.trails(&terms, self.limits.protection_trail_after_e9 / 2, clock);
        terms
    }

    /// The decision of a measure, counted like every other.
    pub(crate) fn take_measure(&mut self, measure: &Measure, client_order_id: Text<48>, now_ns: i64) -> Decision {
        match measure {
            Measure::Place(terms) => {
                let decision = Decision {
                    client_order_id,
                    limits_hash: self.limits_hash(),
                    ..terms.decision(&self.limits)
                };
                self.reserve(&decision, 0, now_ns);
                decision
            }
            &Measure::Cancel(index) => {
                self.reserved[index].cancel_ns = now_ns;
                let order = self.orders.at(index);
                Decision {
                    strategy: order.strategy,
                    symbol: order.symbol,
                    target_client_order_id: Text::truncated(order.client_order_id.as_str()),
                    limits_hash: self.limits_hash(),
                    verdict: Verdict::APPROVED,
                    action: IntentAction::CANCEL,
                    side: order.side,
                    is_reduction: 1,
                    ..Decision::default()
                }
            }
        }
    }
}

fn closing_side(state: &SymbolState) -> Side {
    if state.position.quantity_e9 < 0 {
        Side::BUY
    } else {
        Side::SELL
    }
}

/// What a strategy holds on the position's side.
fn held_e9(state: &SymbolState, share: &Share) -> i64 {
    let is_same_side = share.quantity_e9.signum() == state.position.quantity_e9.signum();
    if is_same_side { share.quantity_e9.abs() } else { 0 }
}

/// What is surely held: by our own books and by the venue's latest word.
fn told_e9(state: &SymbolState) -> i64 {
    let (own_e9, told_e9) = (state.position.quantity_e9, state.guard.told_e9);
    if own_e9.signum() == told_e9.signum() {
        own_e9.abs().min(told_e9.abs())
    } else {
        0
    }
}
