//! What is counted over a session, a week and a month, and the circuit breakers on it.

use crate::calendar::SessionDay;
use crate::limits::RiskLimits;
use crate::rejects::Rejects;
use holdfast_records::{AccountSnapshot, E9, Reason, notional_e9};

/// The circuit breakers, in the order in which they are looked at.
pub const BREAKERS: [Reason; 9] = [
    Reason::DAILY_LOSS_KILL,
    Reason::DAILY_LOSS,
    Reason::WEEKLY_LOSS,
    Reason::MONTHLY_LOSS,
    Reason::DRAWDOWN,
    Reason::CONSECUTIVE_LOSSES,
    Reason::TRADES_PER_DAY,
    Reason::REJECTS_IN_A_ROW,
    Reason::REJECT_RATE,
];

/// A limit beside the value that it holds; counts are scaled by 1e9 like amounts, times are seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The limit.
    pub limit_e9: i64,
    /// The value.
    pub value_e9: i64,
}

impl Usage {
    pub(crate) fn of_count(limit: i64, count: i64) -> Self {
        Self {
            limit_e9: limit.saturating_mul(E9),
            value_e9: count.saturating_mul(E9),
        }
    }

    /// Whether the value is beyond the limit.
    pub fn is_exceeded(self) -> bool {
        self.value_e9 > self.limit_e9
    }

    /// Whether the value has reached four fifths of the limit.
    pub fn is_near(self) -> bool {
        i128::from(self.value_e9) * 5 >= i128::from(self.limit_e9) * 4
    }
}

/// The account as the venue last reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub(crate) equity_e9: i64,
    pub(crate) day_loss_e9: i64,
    pub(crate) buying_power_e9: i64,
    pub(crate) long_value_e9: i64,
    pub(crate) short_value_e9: i64,
    /// Notional approved since this report, which the venue's buying power does not know of.
    pub(crate) reserved_e9: i64,
    pub(crate) is_trading_blocked: bool,
    pub(crate) is_shorting_enabled: bool,
}

/// Counters; they change with records and with the session day only, never with a restart.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Counters {
    pub(crate) day: SessionDay,
    pub(crate) account: Account,
    realized_day_e9: i64,
    realized_week_e9: i64,
    realized_month_e9: i64,
    forgiven_day_loss_e9: i64,
    /// Equity that the session began with: the venue's of the last close, or the first that it reported.
    base_equity_e9: i64,
    daily_loss_limit_e9: i64,
    daily_kill_limit_e9: i64,
    peak_equity_e9: i64,
    pub(crate) losses_in_a_row: i64,
    pub(crate) trades_today: i64,
    pub(crate) notional_today_e9: i64,
    pub(crate) rejects: Rejects,
}

impl Counters {
    /// Begins a new session day; true if it is one. A clock that steps back changes nothing.
    pub(crate) fn roll(&mut self, day: SessionDay) -> bool {
        if day.day <= self.day.day {
            return false;
        }
        if day.week != self.day.week {
            self.realized_week_e9 = 0;
        }
        if day.month != self.day.month {
            self.realized_month_e9 = 0;
        }
        (self.realized_day_e9, self.trades_today, self.notional_today_e9) = (0, 0, 0);
        (self.account.day_loss_e9, self.forgiven_day_loss_e9, self.base_equity_e9) = (0, 0, 0);
        self.day = day;
        true
    }

    pub(crate) fn apply_account(&mut self, snapshot: &AccountSnapshot, limits: &RiskLimits) {
        self.account = Account {
            equity_e9: snapshot.equity_e9,
            day_loss_e9: if snapshot.last_equity_e9 > 0 {
                snapshot.last_equity_e9 - snapshot.equity_e9
            } else {
                0
            },
            buying_power_e9: snapshot.buying_power_e9,
            long_value_e9: snapshot.long_market_value_e9,
            short_value_e9: snapshot.short_market_value_e9,
            reserved_e9: 0,
            is_trading_blocked: snapshot.is_trading_blocked != 0,
            is_shorting_enabled: snapshot.is_shorting_enabled != 0,
        };
        self.peak_equity_e9 = self.peak_equity_e9.max(snapshot.equity_e9);
        if snapshot.last_equity_e9 > 0 {
            self.base_equity_e9 = snapshot.last_equity_e9;
        } else if self.base_equity_e9 == 0 {
            self.base_equity_e9 = snapshot.equity_e9;
        }
        self.set_loss_limits(limits);
    }

    /// Turns the daily shares of the equity into USD. Without a known equity the amount alone binds, and nothing enters.
    pub(crate) fn set_loss_limits(&mut self, limits: &RiskLimits) {
        let of_equity_e9 = |share_e9| match self.base_equity_e9 {
            base_e9 if base_e9 > 0 => notional_e9(base_e9, share_e9),
            _ => i64::MAX,
        };
        self.daily_loss_limit_e9 = of_equity_e9(limits.daily_loss_share_max_e9).min(limits.daily_loss_max_e9);
        self.daily_kill_limit_e9 = of_equity_e9(limits.daily_loss_kill_max_e9);
    }

    /// Counts what a fill realized; `round_trip_e9` when it ended one.
    pub(crate) fn apply_realized(&mut self, realized_e9: i64, round_trip_e9: Option<i64>) {
        self.realized_day_e9 += realized_e9;
        self.realized_week_e9 += realized_e9;
        self.realized_month_e9 += realized_e9;
        if let Some(result_e9) = round_trip_e9 {
            self.losses_in_a_row = if result_e9 < 0 { self.losses_in_a_row + 1 } else { 0 };
        }
    }

    /// A named operator starts the counters afresh.
    pub(crate) fn reset(&mut self) {
        (self.realized_day_e9, self.realized_week_e9, self.realized_month_e9) = (0, 0, 0);
        (self.losses_in_a_row, self.trades_today) = (0, 0);
        self.forgiven_day_loss_e9 = self.account.day_loss_e9.max(0);
        self.peak_equity_e9 = self.account.equity_e9;
        self.rejects.reset();
    }

    /// Starts afresh what one breaker counts, after its cool-down.
    pub(crate) fn reset_one(&mut self, rule: Reason) {
        match rule {
            Reason::CONSECUTIVE_LOSSES => self.losses_in_a_row = 0,
            Reason::TRADES_PER_DAY => self.trades_today = 0,
            Reason::DRAWDOWN => self.peak_equity_e9 = self.account.equity_e9,
            Reason::REJECTS_IN_A_ROW | Reason::REJECT_RATE => self.rejects.reset(),
            _ => {}
        }
    }

    /// Limit and value of a breaker, given the unrealized profit and loss of all positions.
    #[inline]
    pub(crate) fn usage(&self, rule: Reason, unrealized_e9: i64, limits: &RiskLimits) -> Usage {
        let open_loss_e9 = |realized_e9: i64| open_loss_e9(realized_e9, unrealized_e9);
        match rule {
            Reason::DAILY_LOSS => Usage {
                limit_e9: self.daily_loss_limit_e9,
                value_e9: self.daily_loss_e9(unrealized_e9),
            },
            Reason::DAILY_LOSS_KILL => Usage {
                limit_e9: self.daily_kill_limit_e9,
                value_e9: self.daily_loss_e9(unrealized_e9),
            },
            Reason::REJECTS_IN_A_ROW => Usage::of_count(limits.rejects_in_a_row_max, self.rejects.in_a_row + 1),
            Reason::REJECT_RATE => Usage {
                limit_e9: limits.reject_rate_max_e9,
                value_e9: self.rejects.rate_e9,
            },
            Reason::WEEKLY_LOSS => Usage {
                limit_e9: limits.weekly_loss_max_e9,
                value_e9: open_loss_e9(self.realized_week_e9),
            },
            Reason::MONTHLY_LOSS => Usage {
                limit_e9: limits.monthly_loss_max_e9,
                value_e9: open_loss_e9(self.realized_month_e9),
            },
            Reason::DRAWDOWN => Usage {
                limit_e9: limits.drawdown_max_e9,
                value_e9: self.drawdown_e9(),
            },
            // The order in question could be the next loss, the next trade: hence one more.
            Reason::CONSECUTIVE_LOSSES => Usage::of_count(limits.consecutive_losses_max, self.losses_in_a_row + 1),
            _ => Usage::of_count(limits.trades_per_day_max, self.trades_today + 1),
        }
    }

    /// The worse of the venue's and our own books.
    fn daily_loss_e9(&self, unrealized_e9: i64) -> i64 {
        let venue_e9 = self.account.day_loss_e9 - self.forgiven_day_loss_e9;
        open_loss_e9(self.realized_day_e9, unrealized_e9).max(venue_e9)
    }

    /// Loss from the peak as a fraction of it, rounded up.
    fn drawdown_e9(&self) -> i64 {
        let lost_e9 = self.peak_equity_e9 - self.account.equity_e9;
        if lost_e9 <= 0 || self.peak_equity_e9 <= 0 {
            return 0;
        }
        let peak_e9 = i128::from(self.peak_equity_e9);
        ((i128::from(lost_e9) * i128::from(E9) + peak_e9 - 1) / peak_e9) as i64
    }
}

/// A loss with what open positions would lose; what they would gain does not count.
fn open_loss_e9(realized_e9: i64, unrealized_e9: i64) -> i64 {
    -(realized_e9.saturating_add(unrealized_e9.min(0)))
}
