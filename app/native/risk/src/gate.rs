//! The risk gate: judges one intent at a time against limits, state and everything that may still fill.

use crate::breakers::Tripped;
use crate::calendar::Calendar;
use crate::clock_back::Latest;
use crate::counters::{BREAKERS, Counters, Usage};
use crate::families::Families;
use crate::limit_book::LimitBook;
use crate::limits::RiskLimits;
use crate::pricing::{worst_price_of, worst_quantity_e9};
use crate::proposal::{Proposal, decision_of, request_hash_of};
use crate::reservations::{Reserved, Totals, Worst};
use crate::rules::Question;
use crate::runaways::{Run, SwitchedOff};
use crate::symbol::SymbolTable;
use holdfast_orders::{Order, OrderTable, PositionBook};
use holdfast_records::{
    AnyRecord, BreakerTripped, Channel, Decision, E9, Fill, Gap, IntentAction, LimitChange, OrderEvent, OrderIntent,
    OrderStatus, Reason, Symbol, Text, Verdict, notional_e9,
};

/// The time of a judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The host's clock, for ages and rates, ns UTC.
    pub now_ns: i64,
    /// The session's clock, for calendar and day counters, ns UTC.
    pub session_ns: i64,
}

/// A generic cell rate: one number holds the whole state of the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rate {
    pub(crate) interval_ns: i64,
    pub(crate) due_ns: i64,
}

impl Rate {
    fn new(per_s: i64) -> Self {
        Self {
            interval_ns: (E9 / per_s).max(1),
            due_ns: 0,
        }
    }

    fn set(&mut self, per_s: i64) {
        self.interval_ns = Self::new(per_s).interval_ns;
    }

    /// Tokens that would be out with one more order now.
    pub(crate) fn tokens_needed(self, now_ns: i64) -> i64 {
        let backlog_ns = self.due_ns.saturating_sub(now_ns);
        if backlog_ns <= 0 {
            return 1;
        }
        (backlog_ns + self.interval_ns - 1) / self.interval_ns + 1
    }

    fn take(&mut self, now_ns: i64) {
        self.due_ns = self.due_ns.max(now_ns) + self.interval_ns;
    }
}

/// The gate. It reads no clock; everything it knows came from records and from [`Gate::set_latch`] and [`Gate::set_reconciled`].
#[derive(Clone, Debug)]
pub struct Gate {
    pub(crate) limits: RiskLimits,
    limits_hash: u64,
    pub(crate) book: LimitBook,
    pub(crate) calendar: Calendar,
    pub(crate) symbols: SymbolTable,
    pub(crate) worst: Vec<Worst>,
    pub(crate) orders: OrderTable,
    pub(crate) reserved: Vec<Reserved>,
    pub(crate) positions: PositionBook,
    pub(crate) counters: Counters,
    pub(crate) totals: Totals,
    pub(crate) rate: Rate,
    pub(crate) tripped: [Option<Tripped>; BREAKERS.len()],
    pub(crate) switched_off: Vec<SwitchedOff>,
    pub(crate) runaways: Vec<BreakerTripped>,
    pub(crate) families: Families,
    is_latched: bool,
    pub(crate) is_halted_by_operator: bool,
    is_reconciled: bool,
    pub(crate) latest: Latest,
}

/// Orders that fit before the tables allocate again.
const ORDERS_EXPECTED: usize = 4_096;

impl Gate {
    /// A gate for the configured symbols; it starts unreconciled and knows no quote.
    pub fn new(limits: RiskLimits, symbols: &[Symbol], calendar: Calendar) -> Self {
        let table = SymbolTable::new(symbols, &limits);
        let count = table.iter().count();
        let mut counters = Counters::default();
        counters.set_loss_limits(&limits);
        Self {
            limits_hash: limits.hash(),
            limits,
            book: LimitBook::new(limits),
            calendar,
            symbols: table,
            worst: vec![Worst::default(); count],
            orders: OrderTable::with_capacity(ORDERS_EXPECTED),
            reserved: Vec::with_capacity(ORDERS_EXPECTED),
            positions: PositionBook::default(),
            counters,
            totals: Totals::default(),
            rate: Rate::new(limits.order_rate_per_s_max),
            tripped: [None; BREAKERS.len()],
            switched_off: Vec::new(),
            runaways: Vec::new(),
            families: Families::default(),
            is_latched: false,
            is_halted_by_operator: false,
            is_reconciled: false,
            latest: Latest::default(),
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> &RiskLimits {
        &self.limits
    }

    /// Takes a change of a limit; one that may have no effect is journaled all the same, and ignored here.
    fn change_limit(&mut self, change: &LimitChange) {
        if self.book.apply(change).is_ok() {
            self.take_limits();
        }
    }

    /// Brings everything that follows from the limits up to date after the book changed.
    pub(crate) fn take_limits(&mut self) {
        self.limits = *self.book.in_force();
        self.limits_hash = self.limits.hash();
        self.rate.set(self.limits.order_rate_per_s_max);
        self.counters.set_loss_limits(&self.limits);
        for index in 0..self.worst.len() {
            self.symbols.at_mut(index).resize_entries(&self.limits);
            self.recount_symbol(index);
        }
    }

    /// Hash of the limits, as in every Decision.
    pub fn limits_hash(&self) -> u64 {
        self.limits_hash
    }

    /// Whether the kill latch was seen set.
    pub fn is_latched(&self) -> bool {
        self.is_latched
    }

    /// Whether the orders and positions are known to be the venue's.
    pub fn is_reconciled(&self) -> bool {
        self.is_reconciled
    }

    /// Orders known to the gate.
    pub fn orders(&self) -> &OrderTable {
        &self.orders
    }

    /// Positions known to the gate.
    pub fn positions(&self) -> &PositionBook {
        &self.positions
    }

    pub(crate) fn worst_of(&self, index: usize) -> Worst {
        self.worst.get(index).copied().unwrap_or_default()
    }

    /// The order that a replace names, if it is known.
    pub(crate) fn target_of(&self, intent: &OrderIntent) -> Option<&Order> {
        let names_target = intent.action == IntentAction::REPLACE;
        names_target
            .then(|| self.orders.get(intent.target_client_order_id.as_str()))
            .flatten()
    }

    /// Judges an intent and, if it is approved, counts it as if it filled; `client_order_id` is what an approval gets.
    pub fn judge(
        &mut self,
        intent: &OrderIntent,
        intent_seq: u64,
        client_order_id: Text<48>,
        clock: Clock,
    ) -> Decision {
        let mut decision = decision_of(intent, intent_seq);
        decision.limits_hash = self.limits_hash;
        if intent.action == IntentAction::CANCEL {
            let is_named = !intent.target_client_order_id.is_empty();
            decision.verdict = if is_named { Verdict::APPROVED } else { Verdict::DENIED };
            decision.rule = if is_named { Reason::NONE } else { Reason::INTENT_INVALID };
            decision.is_reduction = 1;
            return decision;
        }
        let (proposal, broken) = self.check(intent, clock);
        decision.is_reduction = u8::from(proposal.is_reduction);
        if let Some((rule, usage)) = broken {
            decision.verdict = Verdict::DENIED;
            (decision.rule, decision.limit_e9, decision.value_e9) = (rule, usage.limit_e9, usage.value_e9);
            if matches!(rule, Reason::REPEAT_EXECUTION | Reason::REPEAT_IDENTICAL) {
                self.switch_off(intent.strategy, intent.symbol, rule, usage);
            }
            return decision;
        }
        decision.verdict = Verdict::APPROVED;
        decision.client_order_id = client_order_id;
        decision.quantity_e9 = proposal.ordered_quantity_e9;
        if proposal.ordered_quantity_e9 != 0 {
            decision.notional_e9 = 0;
        }
        (decision.limit_price_e9, decision.stop_price_e9) = (proposal.limit_price_e9, proposal.stop_price_e9);
        if decision.limit_price_e9 == 0 {
            decision.reference_price_e9 = self.symbols.at(proposal.symbol).mark_price_e9();
        }
        proposal.convert(&mut decision);
        self.reserve(&decision, proposal.request, clock.now_ns);
        decision
    }

    /// Denies an intent without asking the rules.
    pub fn deny(&self, intent: &OrderIntent, intent_seq: u64, rule: Reason) -> Decision {
        let mut decision = decision_of(intent, intent_seq);
        (decision.limits_hash, decision.verdict, decision.rule) = (self.limits_hash, Verdict::DENIED, rule);
        decision
    }

    /// Whether an intent other than a cancel would pass: the broken rule, or nothing. Changes nothing.
    pub fn broken_rule(&self, intent: &OrderIntent, clock: Clock) -> Option<(Reason, Usage)> {
        self.check(intent, clock).1
    }

    fn check(&self, intent: &OrderIntent, clock: Clock) -> (Proposal, Option<(Reason, Usage)>) {
        let Some(index) = self.symbols.find(intent.symbol) else {
            return (
                Proposal {
                    symbol: usize::MAX,
                    ..Proposal::default()
                },
                Some((Reason::SYMBOL_UNKNOWN, Usage::default())),
            );
        };
        let state = self.symbols.at(index);
        let proposal = Proposal::new(intent, index, state, self.target_of(intent), &self.limits, clock.now_ns);
        let broken = Question {
            gate: self,
            intent,
            proposal: &proposal,
            state,
            clock,
        }
        .broken_rule();
        (proposal, broken)
    }

    /// Counts an approval of ours: judged now, or read back from the journal at start.
    pub(crate) fn reserve(&mut self, decision: &Decision, request: u64, now_ns: i64) {
        let Some(applied) = self.orders.apply_decision(decision) else {
            return;
        };
        let price_e9 = worst_price_of(decision, &self.limits);
        let expected_e9 = worst_quantity_e9(decision.notional_e9, decision.reference_price_e9, &self.limits);
        self.ensure_reserved(applied.index);
        let index = self.index_of(decision.symbol);
        let state = self.symbols.at(index);
        let is_liquidation = decision.is_reduction != 0 && decision.quantity_e9 >= state.closable_e9();
        let filled_before_e9 = self.filled_before_e9(decision);
        let reserved = &mut self.reserved[applied.index];
        reserved.filled_before_e9 = filled_before_e9;
        (reserved.decided_price_e9, reserved.expected_quantity_e9) = (price_e9, expected_e9);
        self.recount_order(applied.index);
        if self.orders.at(applied.index).is_protective() {
            return self.note_protection(applied.index, decision, now_ns);
        }
        self.rate.take(now_ns);
        if is_liquidation {
            self.count_liquidation(decision.strategy, index, now_ns);
        }
        if decision.is_reduction != 0 {
            return;
        }
        let added_e9 = self.reserved[applied.index].notional_e9;
        self.counters.account.reserved_e9 = self.counters.account.reserved_e9.saturating_add(added_e9);
        let state = self.symbols.at_mut(index);
        state.liquidations = Run::default();
        state.identical.push(request, now_ns, &self.limits);
        state.requests[state.requests_next] = (request, now_ns);
        state.requests_next = (state.requests_next + 1) % state.requests.len();
        state.entries_ns[state.entries_next] = now_ns;
        state.entries_next = (state.entries_next + 1) % state.entries_ns.len();
    }

    /// Applies a decision read back from our own journal: what was approved then is still counted.
    pub fn restore(&mut self, decision: &Decision, now_ns: i64) {
        if decision.verdict != Verdict::APPROVED {
            return;
        }
        if decision.action == IntentAction::CANCEL {
            self.note_way_made(decision, now_ns);
        } else {
            self.reserve(decision, request_hash_of(decision), now_ns);
        }
    }

    pub(crate) fn index_of(&mut self, symbol: Symbol) -> usize {
        let index = self.symbols.insert(symbol, &self.limits);
        if index >= self.worst.len() {
            self.worst.resize(index + 1, Worst::default());
        }
        index
    }

    pub(crate) fn ensure_reserved(&mut self, order: usize) {
        if order >= self.reserved.len() {
            self.reserved.resize(order + 1, Reserved::default());
        }
    }

    /// Applies a record of `market_data`; `recv_ns` is the time in its header.
    pub fn apply_market(&mut self, record: AnyRecord<'_>, recv_ns: i64) {
        self.latest.note_market(recv_ns);
        match record {
            AnyRecord::Quote(quote) => {
                let Some(index) = self.symbols.find(quote.symbol) else {
                    return;
                };
                self.symbols.at_mut(index).apply_quote(quote, recv_ns, &self.limits);
                if self.worst[index].is_engaged {
                    self.recount_symbol(index);
                }
            }
            AnyRecord::TradingStatus(status) => {
                if let Some(index) = self.symbols.find(status.symbol) {
                    self.symbols.at_mut(index).apply_status(status);
                }
            }
            AnyRecord::AverageVolume(volume) => {
                if let Some(index) = self.symbols.find(volume.symbol) {
                    let state = self.symbols.at_mut(index);
                    (state.average_volume_e9, state.average_volume_ns) = (volume.volume_e9, volume.ts_event_ns);
                }
            }
            AnyRecord::Gap(gap) => self.apply_gap(gap),
            _ => {}
        }
    }

    /// A gap in quotes makes the known quote unusable; the next quote, which is a whole state, ends it.
    fn apply_gap(&mut self, gap: &Gap) {
        if !matches!(gap.channel, Channel::QUOTES | Channel::ALL) {
            return;
        }
        let has_gap = gap.is_repaired == 0;
        for state in self.symbols.iter_mut() {
            if gap.symbol.is_empty() || gap.symbol == state.symbol {
                state.has_gap = has_gap;
            }
        }
    }

    /// Forgets quotes, halts and bands: the state of a process that just started.
    pub fn forget_market(&mut self) {
        for state in self.symbols.iter_mut() {
            state.forget_market();
        }
        for index in 0..self.worst.len() {
            self.recount_symbol(index);
        }
    }

    /// Applies a record of `executions`; `ts_ns` is the time in its header.
    pub fn apply_execution(&mut self, record: AnyRecord<'_>, ts_ns: i64) {
        self.latest.note(ts_ns);
        match record {
            AnyRecord::OrderEvent(event) => self.apply_event(event, ts_ns),
            AnyRecord::Fill(fill) => self.apply_fill(fill, ts_ns),
            AnyRecord::AccountSnapshot(snapshot) => self.counters.apply_account(snapshot, &self.limits),
            AnyRecord::PositionSnapshot(snapshot) => {
                self.positions.apply(record);
                self.refresh_position(snapshot.symbol);
                self.note_told_position(snapshot);
            }
            AnyRecord::Shortability(word) => {
                if let Some(index) = self.symbols.find(word.symbol) {
                    self.symbols.at_mut(index).shortable_ns = if word.is_shortable != 0 { ts_ns } else { 0 };
                }
            }
            AnyRecord::Reconciled(_) => {
                self.positions.apply(record);
            }
            _ => {}
        }
    }

    fn apply_event(&mut self, event: &OrderEvent, ts_ns: i64) {
        let applied = self.orders.apply_event(event);
        self.ensure_reserved(applied.index);
        let order = self.orders.at(applied.index);
        let was_open = self.reserved[applied.index].is_open;
        let is_rejection = order.status() == OrderStatus::REJECTED;
        // An order that the venue proved not to have was never judged by it.
        let is_absent = event.rule == Reason::ORDER_UNKNOWN && event.status == OrderStatus::REJECTED;
        let is_answer = order.is_approved && !is_absent && (is_rejection || order.is_at_venue());
        if is_answer && !core::mem::replace(&mut self.reserved[applied.index].is_answered, true) {
            self.counters.rejects.count(is_rejection, ts_ns, &self.limits);
        }
        self.recount_order(applied.index);
        self.note_part_fill(applied.index, ts_ns);
        self.watch_overfill(applied.index);
        self.watch_protection(applied.index, was_open, ts_ns);
    }

    fn apply_fill(&mut self, fill: &Fill, ts_ns: i64) {
        let applied = self.orders.apply_fill(fill);
        self.ensure_reserved(applied.index);
        if let Some(effect) = self.positions.apply_fill(fill) {
            self.counters.apply_realized(effect.realized_e9, effect.round_trip_e9);
            let traded_e9 = notional_e9(fill.price_e9, fill.quantity_e9);
            self.counters.notional_today_e9 = self.counters.notional_today_e9.saturating_add(traded_e9);
            let is_first = !core::mem::replace(&mut self.reserved[applied.index].has_fill, true);
            self.counters.trades_today += i64::from(is_first && !self.orders.at(applied.index).is_external());
            self.refresh_position(fill.symbol);
            self.note_share(fill, ts_ns);
        }
        self.recount_order(applied.index);
        self.note_part_fill(applied.index, ts_ns);
        self.watch_overfill(applied.index);
    }

    fn refresh_position(&mut self, symbol: Symbol) {
        let index = self.index_of(symbol);
        if let Some(entry) = self.positions.get(symbol) {
            let state = self.symbols.at_mut(index);
            state.position = *entry.position();
            if state.position.quantity_e9 == 0 {
                state.liquidations = Run::default();
            }
        }
        self.recount_symbol(index);
    }

    /// Applies a record of `control`.
    pub fn apply_control(&mut self, record: AnyRecord<'_>) {
        match record {
            AnyRecord::Trip(_) => self.is_halted_by_operator = true,
            AnyRecord::Reset(_) => self.reset(),
            AnyRecord::LimitChange(change) => self.change_limit(change),
            AnyRecord::StrategySwitch(switch) => self.switch(switch.strategy, switch.is_enabled != 0),
            _ => {}
        }
    }

    /// Takes the kill latch as it stands; clearing it also clears the breakers, as a named operator did it.
    pub fn set_latch(&mut self, is_set: bool) {
        if self.is_latched && !is_set {
            self.reset();
        }
        self.is_latched = is_set;
    }

    /// Takes whether the running execution-engine has reconciled.
    pub fn set_reconciled(&mut self, is_reconciled: bool) {
        self.is_reconciled = is_reconciled;
    }
}
