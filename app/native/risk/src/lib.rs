//! Risk limits, the gate that judges every intent, and the loop that runs it on the journals.
//!
//! The gate is deterministic: time is an argument, everything else comes from records. Reductions and cancels always
//! pass; entries pass every rule with everything pending, approved or unknown counted as if it filled.

mod breakers;
mod calendar;
mod clock_back;
#[cfg(test)]
mod clock_back_tests;
mod counters;
mod families;
mod gate;
mod judge;
mod limit_book;
mod limits;
mod margin;
mod mid_window;
mod pricing;
mod proposal;
mod protection;
#[cfg(test)]
mod protection_desk;
#[cfg(test)]
mod protection_property;
#[cfg(test)]
mod protection_tests;
mod rejects;
mod replay;
mod reservations;
mod risk_loop;
mod rules;
mod runaways;
mod stats;
mod stop_terms;
mod symbol;

pub use calendar::{Calendar, Interval, SessionDay};
pub use counters::{BREAKERS, Usage};
pub use gate::{Clock, Gate};
pub use limit_book::{Change, LOOSENED_NS_MAX, LimitBook, Refused};
pub use limits::{Bounds, LimitOutOfBounds, RiskLimits, Waiver, Waivers};
pub use margin::MarginRegime;
pub use replay::{Difference, Outcome, replay};
pub use risk_loop::{HostClock, Inputs, Options, Outputs, RiskLoop};
pub use stats::{Stats, USAGES, bucket_end};
