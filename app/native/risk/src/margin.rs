//! What the regulators ask of a margin account, by date: data, since they change it.

use crate::counters::{Account, Usage};
use crate::rules::Question;
use holdfast_records::{E9, notional_e9};

/// The rules from a session day on, until the next ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarginRegime {
    /// First session day, days since 1970-01-01.
    pub from_day: i64,
    /// Share of all positions that the equity must cover when one is opened.
    pub initial_e9: i64,
    /// Share of the long positions that the equity must always cover.
    pub maintenance_long_e9: i64,
    /// Share of the short positions that it must always cover.
    pub maintenance_short_e9: i64,
    /// Least equity of an account that may open a position and close it in the same session, USD.
    pub equity_min_e9: i64,
}

impl MarginRegime {
    /// Whether every share lies between none and twice the whole.
    pub(crate) fn is_valid(&self) -> bool {
        let shares = [self.initial_e9, self.maintenance_long_e9, self.maintenance_short_e9];
        shares.iter().all(|share_e9| (1..=2 * E9).contains(share_e9)) && self.equity_min_e9 >= 0
    }

    fn maintenance_e9(&self, account: &Account) -> i64 {
        let long_e9 = notional_e9(account.long_value_e9.max(0), self.maintenance_long_e9);
        let short_e9 = notional_e9(account.short_value_e9.saturating_abs(), self.maintenance_short_e9);
        long_e9.saturating_add(short_e9)
    }
}

/// The rules of the date hold for all positions with this order; a date without rules allows nothing.
pub(crate) fn margin_regime(q: &Question<'_>) -> Option<Usage> {
    let equity_e9 = q.gate.counters.account.equity_e9;
    let Some(regime) = q.gate.calendar.regime_at(q.clock.session_ns) else {
        return Some(Usage::default());
    };
    let least_e9 = regime
        .equity_min_e9
        .max(regime.maintenance_e9(&q.gate.counters.account));
    if equity_e9 < least_e9 {
        return Some(Usage {
            limit_e9: equity_e9,
            value_e9: least_e9,
        });
    }
    let needed_e9 = notional_e9(q.gross_exposure_e9(), regime.initial_e9);
    let usage = Usage {
        limit_e9: equity_e9,
        value_e9: needed_e9,
    };
    usage.is_exceeded().then_some(usage)
}
