//! A clock that went back: what the gate knows of times that are to come again.
//!
//! Every wait of the gate compares a stamp with the time of a step. After a step of the host's clock forward and back, or
//! back alone, stamps lie in the future, and a wait would last as long as the step was wide. The gate sees it by the latest
//! time that it took in, and lets each such stamp be now: a wait begins once more, and none ends earlier than it may. Stamps
//! in journals alone decide, so that restart and replay come to the same.

use crate::gate::{Gate, Rate};
use crate::limits::RiskLimits;
use crate::mid_window::MidWindow;
use crate::rejects::Rejects;
use crate::reservations::Reserved;
use crate::runaways::Run;
use crate::symbol::SymbolState;
use holdfast_records::E9;

/// Stamps of other processes, and of another host that we read market data of, may be ahead by less.
const AHEAD_NS_MAX: i64 = E9;

/// The latest times that the gate took in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latest {
    /// Of our own steps and of `executions`: what a restart reads again.
    lasting_ns: i64,
    /// Of `market_data`.
    market_ns: i64,
}

impl Latest {
    pub(crate) fn note(&mut self, ts_ns: i64) {
        self.lasting_ns = self.lasting_ns.max(ts_ns);
    }

    pub(crate) fn note_market(&mut self, recv_ns: i64) {
        self.market_ns = self.market_ns.max(recv_ns);
    }
}

/// Whether a stamp was made by a clock that has gone back since.
pub(crate) fn is_ahead(ts_ns: i64, now_ns: i64) -> bool {
    ts_ns > now_ns.saturating_add(AHEAD_NS_MAX)
}

impl Gate {
    /// Whether the clock went back behind what waits began at.
    pub(crate) fn has_clock_gone_back(&self, now_ns: i64) -> bool {
        is_ahead(self.latest.lasting_ns, now_ns)
    }

    /// Takes the time of a step; no stamp of what follows is after it.
    pub(crate) fn follow_clock(&mut self, now_ns: i64) {
        if self.has_clock_gone_back(now_ns) {
            self.begin_waits_again(now_ns);
            self.latest.lasting_ns = now_ns;
        }
        if is_ahead(self.latest.market_ns, now_ns) {
            self.symbols.iter_mut().for_each(|state| state.age_market(now_ns));
            self.latest.market_ns = now_ns;
        }
        self.latest.note(now_ns);
    }

    fn begin_waits_again(&mut self, now_ns: i64) {
        let limits = &self.limits;
        self.rate.begin_again(now_ns, limits);
        self.counters.rejects.begin_again(now_ns);
        for tripped in self.tripped.iter_mut().flatten() {
            tripped.clears_ns = tripped.clears_ns.min(now_ns.saturating_add(limits.cool_down_ns));
        }
        self.reserved
            .iter_mut()
            .for_each(|reserved| reserved.begin_again(now_ns));
        self.symbols.iter_mut().for_each(|state| state.begin_again(now_ns));
    }
}

impl Rate {
    /// A full bucket: the next entry waits for one interval.
    fn begin_again(&mut self, now_ns: i64, limits: &RiskLimits) {
        let full_ns = limits.order_burst_max.saturating_mul(self.interval_ns);
        self.due_ns = self.due_ns.min(now_ns.saturating_add(full_ns));
    }
}

impl Rejects {
    fn begin_again(&mut self, now_ns: i64) {
        for (at_ns, _) in &mut self.answers {
            *at_ns = now_ns.min(*at_ns);
        }
    }
}

impl Run {
    fn begin_again(&mut self, now_ns: i64) {
        self.begun_ns = now_ns.min(self.begun_ns);
    }
}

impl Reserved {
    fn begin_again(&mut self, now_ns: i64) {
        for ts_ns in [&mut self.decided_ns, &mut self.cancel_ns, &mut self.part_filled_ns] {
            *ts_ns = now_ns.min(*ts_ns);
        }
    }
}

impl SymbolState {
    fn begin_again(&mut self, now_ns: i64) {
        self.identical.begin_again(now_ns);
        self.liquidations.begin_again(now_ns);
        let requests = self.requests.iter_mut().map(|(_, ts_ns)| ts_ns);
        let waits = requests.chain(&mut self.entries_ns).chain(self.guard.waits());
        for ts_ns in waits.chain([&mut self.shortable_ns]) {
            *ts_ns = now_ns.min(*ts_ns);
        }
    }

    /// How old a quote from the future is cannot be told: it is too old for anything but to value by.
    fn age_market(&mut self, now_ns: i64) {
        if self.quote_ns > now_ns {
            self.quote_ns = 0;
        }
        self.locked_since_ns = self.locked_since_ns.min(now_ns);
        self.jumped_ns = self.jumped_ns.min(now_ns);
        self.mids.end_by(now_ns);
    }
}

impl MidWindow {
    fn end_by(&mut self, now_ns: i64) {
        for slot in &mut self.slots {
            slot.end_ns = slot.end_ns.min(now_ns);
        }
    }
}
