//! What the loop says about itself while it runs, readable from another thread without stopping it.

use crate::counters::{BREAKERS, Usage};
use crate::limits::RiskLimits;
use holdfast_records::{Decision, Reason, TradingStateCode, Verdict};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Buckets of the latency histogram: four to each power of two, as wide as a u64.
pub(crate) const BUCKETS: usize = 256;
const REASONS: usize = Reason::VALUES.len();
/// Rules whose usage is published.
pub const USAGES: usize = BREAKERS.len() + 3;

const LIMITS: usize = RiskLimits::BOUNDS.len();

/// Counters and gauges of the loop.
#[derive(Debug)]
pub struct Stats {
    approved: AtomicU64,
    denied: [AtomicU64; REASONS],
    check_ns: [AtomicU64; BUCKETS],
    check_ns_sum: AtomicU64,
    trading_state: AtomicU64,
    trips: AtomicU64,
    usages: [[AtomicI64; 2]; USAGES],
    limits: [AtomicI64; LIMITS],
    lag: [AtomicU64; 4],
    turned_ns: AtomicI64,
    unprotected: AtomicU64,
    unprotected_ns: AtomicI64,
    entries_open: [AtomicU64; 2],
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            approved: AtomicU64::default(),
            denied: [const { AtomicU64::new(0) }; REASONS],
            check_ns: [const { AtomicU64::new(0) }; BUCKETS],
            check_ns_sum: AtomicU64::default(),
            trading_state: AtomicU64::default(),
            trips: AtomicU64::default(),
            usages: [const { [const { AtomicI64::new(0) }; 2] }; USAGES],
            limits: [const { AtomicI64::new(0) }; LIMITS],
            lag: [const { AtomicU64::new(0) }; 4],
            turned_ns: AtomicI64::default(),
            unprotected: AtomicU64::default(),
            unprotected_ns: AtomicI64::default(),
            entries_open: [const { AtomicU64::new(0) }; 2],
        }
    }
}

/// The bucket of a value: its power of two and the two bits after the leading one.
pub(crate) fn bucket_of(value: u64) -> usize {
    if value < 4 {
        return value as usize;
    }
    let power = 63 - value.leading_zeros() as usize;
    power * 4 + (value >> (power - 2) & 3) as usize
}

/// The least value of the next bucket: an upper bound of what `bucket` holds.
pub fn bucket_end(bucket: usize) -> u64 {
    match bucket {
        0..4 => bucket as u64 + 1,
        // No value lies in these: 2 and 3 have buckets of their own.
        4..8 => 4,
        8..255 => (5 + bucket as u64 % 4) << (bucket / 4 - 2),
        _ => u64::MAX,
    }
}

impl Stats {
    pub(crate) fn count(&self, decision: &Decision, check_ns: u64) {
        if decision.verdict == Verdict::APPROVED {
            self.approved.fetch_add(1, Ordering::Relaxed);
        } else if let Some(counter) = self.denied.get(decision.rule.0 as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.check_ns[bucket_of(check_ns)].fetch_add(1, Ordering::Relaxed);
        self.check_ns_sum.fetch_add(check_ns, Ordering::Relaxed);
    }

    pub(crate) fn count_trips(&self, count: usize) {
        self.trips.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_state(&self, state: TradingStateCode, rule: Reason) {
        self.trading_state
            .store(u64::from(state.0) << 16 | u64::from(rule.0), Ordering::Relaxed);
    }

    pub(crate) fn set_usages(&self, usages: &[(Reason, Usage); USAGES]) {
        for ((_, usage), slot) in usages.iter().zip(&self.usages) {
            slot[0].store(usage.limit_e9, Ordering::Relaxed);
            slot[1].store(usage.value_e9, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_limits(&self, limits: &RiskLimits) {
        for (slot, value) in self.limits.iter().zip(limits.values()) {
            slot.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_lag(&self, lag: [u64; 4], now_ns: i64) {
        for (slot, records) in self.lag.iter().zip(lag) {
            slot.store(records, Ordering::Relaxed);
        }
        self.turned_ns.store(now_ns, Ordering::Relaxed);
    }

    pub(crate) fn set_unprotected(&self, count: usize, oldest_ns: i64) {
        self.unprotected.store(count as u64, Ordering::Relaxed);
        self.unprotected_ns.store(oldest_ns, Ordering::Relaxed);
    }

    /// Symbols whose position lacks its protective stop, and for how long the first of them has, ns.
    pub fn unprotected(&self) -> (u64, i64) {
        (
            self.unprotected.load(Ordering::Relaxed),
            self.unprotected_ns.load(Ordering::Relaxed),
        )
    }

    pub(crate) fn set_entries_open(&self, (open, ending): (usize, usize)) {
        self.entries_open[0].store(open as u64, Ordering::Relaxed);
        self.entries_open[1].store(ending as u64, Ordering::Relaxed);
    }

    /// Entries that may still fill, and those among them that the venue was asked to cancel.
    pub fn entries_open(&self) -> (u64, u64) {
        let [open, ending] = &self.entries_open;
        (open.load(Ordering::Relaxed), ending.load(Ordering::Relaxed))
    }

    /// Intents approved.
    pub fn approved(&self) -> u64 {
        self.approved.load(Ordering::Relaxed)
    }

    /// Intents denied, by the rule that they broke; rules without a denial left out.
    pub fn denied(&self) -> impl Iterator<Item = (Reason, u64)> {
        let counts = self.denied.iter().map(|count| count.load(Ordering::Relaxed));
        counts
            .enumerate()
            .filter(|(_, count)| *count > 0)
            .map(|(rule, count)| (Reason(rule as u16), count))
    }

    /// Latency of a judgement: upper bound of the bucket in ns and its count, empty buckets left out.
    pub fn check_ns(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.check_ns.iter().map(|count| count.load(Ordering::Relaxed));
        counts
            .enumerate()
            .filter(|(_, count)| *count > 0)
            .map(|(bucket, count)| (bucket_end(bucket), count))
    }

    /// Sum of all latencies, ns.
    pub fn check_ns_sum(&self) -> u64 {
        self.check_ns_sum.load(Ordering::Relaxed)
    }

    /// Trading state and the rule that set it.
    pub fn state(&self) -> (TradingStateCode, Reason) {
        let both = self.trading_state.load(Ordering::Relaxed);
        (TradingStateCode((both >> 16) as u8), Reason(both as u16))
    }

    /// Breakers tripped since the start.
    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// Limit and value of the rules that fill up over time, in the order of [`crate::Gate::usages`].
    pub fn usages(&self) -> [Usage; USAGES] {
        core::array::from_fn(|index| {
            let slot = &self.usages[index];
            Usage {
                limit_e9: slot[0].load(Ordering::Relaxed),
                value_e9: slot[1].load(Ordering::Relaxed),
            }
        })
    }

    /// The limits in force, in the order of [`RiskLimits::BOUNDS`].
    pub fn limits(&self) -> [i64; LIMITS] {
        core::array::from_fn(|index| self.limits[index].load(Ordering::Relaxed))
    }

    /// Records not yet read of `market_data`, `signals`, `executions` and `control`.
    pub fn lag(&self) -> [u64; 4] {
        core::array::from_fn(|index| self.lag[index].load(Ordering::Relaxed))
    }

    /// When the loop last went round, ns UTC.
    pub fn turned_ns(&self) -> i64 {
        self.turned_ns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_below_the_end_of_its_bucket_and_not_below_that_of_the_one_before() {
        for value in (0..200).chain([1_000, 65_535, 1 << 40]) {
            let bucket = bucket_of(value);
            assert!(value < bucket_end(bucket), "{value}");
            assert!(
                (bucket_end(bucket) as f64) <= (value.max(4) as f64) * 1.25 + 1.0,
                "{value}"
            );
        }
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }
}
