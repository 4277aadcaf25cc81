//! Strategies that repeat themselves: each is switched off by its own doing, and on again by a named operator only.

use crate::counters::Usage;
use crate::gate::Gate;
use crate::limits::RiskLimits;
use core::hash::Hash;
use holdfast_records::{BreakerTripped, Reason, Symbol, Text};

/// A strategy that must not enter, and why; an operator's switch has no rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SwitchedOff {
    pub(crate) strategy: Text<32>,
    pub(crate) rule: Reason,
    pub(crate) usage: Usage,
}

/// Equal requests in a row of one symbol, each within the window of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    request: u64,
    pub(crate) count: i64,
    pub(crate) begun_ns: i64,
}

impl Run {
    /// How long the run would be with this request.
    pub(crate) fn with(self, request: u64, now_ns: i64, limits: &RiskLimits) -> i64 {
        if self.continues(request, now_ns, limits) {
            self.count + 1
        } else {
            1
        }
    }

    fn continues(self, request: u64, now_ns: i64, limits: &RiskLimits) -> bool {
        self.count > 0 && self.request == request && now_ns - self.begun_ns < limits.repeat_window_ns
    }

    pub(crate) fn push(&mut self, request: u64, now_ns: i64, limits: &RiskLimits) {
        if self.continues(request, now_ns, limits) {
            self.count += 1;
        } else {
            *self = Self {
                request,
                count: 1,
                begun_ns: now_ns,
            };
        }
    }
}

impl Gate {
    pub(crate) fn switched_off(&self, strategy: Text<32>) -> Option<&SwitchedOff> {
        self.switched_off.iter().find(|off| off.strategy == strategy)
    }

    /// An operator's switch: the only thing that switches a strategy on.
    pub(crate) fn switch(&mut self, strategy: Text<32>, is_enabled: bool) {
        self.switched_off.retain(|off| off.strategy != strategy);
        if !is_enabled {
            self.switched_off.push(SwitchedOff {
                strategy,
                ..SwitchedOff::default()
            });
        }
    }

    /// Switches a strategy off by a rule; it is told by [`Gate::take_runaway`] once.
    pub(crate) fn switch_off(&mut self, strategy: Text<32>, symbol: Symbol, rule: Reason, usage: Usage) {
        if strategy.is_empty() || self.switched_off(strategy).is_some() {
            return;
        }
        self.switched_off.push(SwitchedOff { strategy, rule, usage });
        self.runaways.push(BreakerTripped {
            strategy,
            symbol,
            limit_e9: usage.limit_e9,
            value_e9: usage.value_e9,
            rule,
            ..BreakerTripped::default()
        });
    }

    /// Whether a strategy was switched off by a rule and nobody was told yet.
    pub fn has_runaway(&self) -> bool {
        !self.runaways.is_empty()
    }

    /// The oldest strategy switched off by a rule that nobody was told of: the record that tells it.
    pub fn take_runaway(&mut self) -> Option<BreakerTripped> {
        (!self.runaways.is_empty()).then(|| self.runaways.remove(0))
    }

    /// Takes a strategy's trip as it stands in our own journal.
    pub(crate) fn restore_runaway(&mut self, tripped: &BreakerTripped) {
        let usage = Usage {
            limit_e9: tripped.limit_e9,
            value_e9: tripped.value_e9,
        };
        self.switch_off(tripped.strategy, tripped.symbol, tripped.rule, usage);
        self.runaways.retain(|other| other.strategy != tripped.strategy);
    }

    /// An order that closes what is left of a position, again, is counted; one too many switches its strategy off.
    pub(crate) fn count_liquidation(&mut self, strategy: Text<32>, index: usize, now_ns: i64) {
        let limits = self.limits;
        let state = self.symbols.at_mut(index);
        let position = u64::from(state.position.quantity_e9 > 0);
        state.liquidations.push(position, now_ns, &limits);
        let (count, symbol) = (state.liquidations.count, state.symbol);
        if count > limits.repeat_liquidations_max {
            let usage = Usage::of_count(limits.repeat_liquidations_max, count);
            self.switch_off(strategy, symbol, Reason::REPEAT_LIQUIDATION, usage);
        }
    }
}
