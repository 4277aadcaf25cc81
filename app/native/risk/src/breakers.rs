//! The gate's circuit breakers: what trips them, what they make of the trading state, and what clears them.

use crate::calendar::SessionDay;
use crate::counters::{BREAKERS, Usage};
use crate::gate::{Clock, Gate};
use holdfast_records::{BreakerTripped, Reason, TradingStateCode};

/// A breaker that tripped, at which value, and when it may clear itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tripped {
    usage: (i64, i64),
    pub(crate) clears_ns: i64,
}

impl Gate {
    /// The trading state and the rule that sets it.
    pub fn trading_state(&self) -> (TradingStateCode, Reason) {
        if self.is_latched() {
            return (TradingStateCode::HALTED, Reason::KILL_LATCH);
        }
        if self.is_halted_by_operator {
            return (TradingStateCode::HALTED, Reason::OPERATOR);
        }
        if !self.is_reconciled() {
            return (TradingStateCode::REDUCING, Reason::NOT_RECONCILED);
        }
        match self.tripped.iter().position(Option::is_some) {
            Some(index) if BREAKERS[index] == Reason::DAILY_LOSS_KILL => (TradingStateCode::HALTED, BREAKERS[index]),
            Some(index) => (TradingStateCode::REDUCING, BREAKERS[index]),
            None => (TradingStateCode::ACTIVE, Reason::NONE),
        }
    }

    /// The trading state.
    pub fn state(&self) -> TradingStateCode {
        self.trading_state().0
    }

    pub(crate) fn tripped_usage(&self, rule: Reason) -> Option<Usage> {
        let index = BREAKERS.iter().position(|breaker| *breaker == rule)?;
        self.tripped[index].map(|tripped| Usage {
            limit_e9: tripped.usage.0,
            value_e9: tripped.usage.1,
        })
    }

    /// Whether the loss of a day stopped everything.
    pub fn is_killed_by_loss(&self) -> bool {
        self.tripped_usage(Reason::DAILY_LOSS_KILL).is_some()
    }

    /// Limit and value of a breaker now.
    pub fn usage(&self, rule: Reason) -> Usage {
        self.counters.usage(rule, self.totals.unrealized_e9, &self.limits)
    }

    /// The rules whose limit fills up over time, in the order of [`Gate::usages`]: the breakers, then what is open.
    pub const USAGE_RULES: [Reason; BREAKERS.len() + 3] = {
        let mut rules = [Reason::GROSS_EXPOSURE; BREAKERS.len() + 3];
        let mut index = 0;
        while index < BREAKERS.len() {
            rules[index] = BREAKERS[index];
            index += 1;
        }
        rules[index + 1] = Reason::OPEN_POSITIONS;
        rules[index + 2] = Reason::OPEN_ORDERS;
        rules
    };

    /// Limit and value of the rules that fill up over time: what a warning at 80 % looks at.
    pub fn usages(&self) -> [(Reason, Usage); Self::USAGE_RULES.len()] {
        let (limits, totals) = (&self.limits, &self.totals);
        Self::USAGE_RULES.map(|rule| {
            let usage = match rule {
                Reason::GROSS_EXPOSURE => Usage {
                    limit_e9: limits.gross_exposure_max_e9,
                    value_e9: totals.gross_e9,
                },
                Reason::OPEN_POSITIONS => Usage::of_count(limits.open_positions_max, totals.engaged),
                Reason::OPEN_ORDERS => Usage::of_count(limits.open_orders_max, totals.open_orders),
                breaker => self.usage(breaker),
            };
            (rule, usage)
        })
    }

    /// An operator clears breakers and counters.
    pub(crate) fn reset(&mut self) {
        self.is_halted_by_operator = false;
        self.tripped = [None; BREAKERS.len()];
        self.counters.reset();
        self.forgive_protection();
    }

    /// Whether [`Gate::advance`] would change anything at this time.
    pub fn is_due(&self, clock: Clock) -> bool {
        let day = self.calendar.day_of(clock.session_ns);
        day.day > self.counters.day.day
            || self.has_clock_gone_back(clock.now_ns)
            || self.has_runaway()
            || self.book.is_due(clock.now_ns)
            || BREAKERS.iter().zip(&self.tripped).any(|(rule, tripped)| match tripped {
                Some(tripped) => tripped.clears_ns != 0 && tripped.clears_ns <= clock.now_ns,
                None => self.usage(*rule).is_exceeded(),
            })
    }

    /// Follows the clock, begins a new session day, ends cool-downs and changes of limits, trips breakers; gives each that tripped.
    pub fn advance(&mut self, clock: Clock, mut on_trip: impl FnMut(BreakerTripped)) {
        self.follow_clock(clock.now_ns);
        self.expire_limits(clock.now_ns);
        self.roll(self.calendar.day_of(clock.session_ns));
        self.end_cool_downs(clock.now_ns);
        for (index, &rule) in BREAKERS.iter().enumerate() {
            let usage = self.usage(rule);
            if self.tripped[index].is_some() || !usage.is_exceeded() {
                continue;
            }
            let (limit_e9, value_e9) = (usage.limit_e9, usage.value_e9);
            let is_operators = self.limits.is_resumed_by_operator || rule == Reason::DAILY_LOSS_KILL;
            let clears_ns = if is_operators {
                0
            } else {
                clock.now_ns + self.limits.cool_down_ns
            };
            let tripped = BreakerTripped {
                limit_e9,
                value_e9,
                clears_ns,
                rule,
                ..BreakerTripped::default()
            };
            self.restore_trip(&tripped);
            on_trip(tripped);
        }
    }

    /// Ends the changes of limits whose time is over.
    pub(crate) fn expire_limits(&mut self, now_ns: i64) {
        if self.book.expire(now_ns) {
            self.take_limits();
        }
    }

    /// Begins a session day.
    pub(crate) fn roll(&mut self, day: SessionDay) {
        self.counters.roll(day);
    }

    /// The session day that the counters are for.
    pub fn session_day(&self) -> i64 {
        self.counters.day.day
    }

    /// Breakers that are tripped now.
    pub fn tripped_count(&self) -> usize {
        self.tripped.iter().flatten().count()
    }

    /// Clears the breakers whose cool-down is over.
    pub(crate) fn end_cool_downs(&mut self, now_ns: i64) {
        for (index, &rule) in BREAKERS.iter().enumerate() {
            if self.tripped[index].is_some_and(|tripped| tripped.clears_ns != 0 && tripped.clears_ns <= now_ns) {
                self.tripped[index] = None;
                self.counters.reset_one(rule);
            }
        }
    }

    /// Takes a trip as it stands in our own journal.
    pub fn restore_trip(&mut self, tripped: &BreakerTripped) {
        if !tripped.strategy.is_empty() {
            return self.restore_runaway(tripped);
        }
        if tripped.rule == Reason::PROTECTION_MISSING {
            // Its cause was read back from `executions`: this says that it was told.
            self.runaways
                .retain(|other| other.rule != tripped.rule || other.symbol != tripped.symbol);
        }
        if let Some(index) = BREAKERS.iter().position(|rule| *rule == tripped.rule) {
            let usage = (tripped.limit_e9, tripped.value_e9);
            self.tripped[index] = Some(Tripped {
                usage,
                clears_ns: tripped.clears_ns,
            });
        }
    }
}
