//! The limits in force: the configured ones, and what operators changed of them.

use crate::limits::{Bounds, LimitOutOfBounds, RiskLimits};
use core::hash::Hash;
use holdfast_records::{E9, LimitChange};

/// How long a limit may be looser than it is configured: a day.
pub const LOOSENED_NS_MAX: i64 = 86_400 * E9;

/// One limit as operators set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    limit: usize,
    /// The limit's value, in its own unit.
    pub value: i64,
    /// When the configured value comes back, ns UTC; 0 for a value that is not looser and stays.
    pub expires_ns: i64,
}

impl Change {
    /// Name of the limit.
    pub fn name(self) -> &'static str {
        RiskLimits::BOUNDS[self.limit].0
    }

    fn bounds(self) -> Bounds {
        RiskLimits::BOUNDS[self.limit].1
    }
}

/// Why a change has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no limit of that name, or the value is not one that it can have.
    Unknown,
    /// The value, or its pair with another limit, is out of the compiled-in bounds.
    OutOfBounds(LimitOutOfBounds),
    /// It is the value in force.
    InForce,
    /// It loosens, and no second person approved.
    NeedsApprover,
    /// It is looser than configured and does not expire within a day, or later than what it replaces.
    NeedsExpiry,
    /// It is not looser than configured: it stays until it is changed again and has no end.
    HasExpiry,
}

/// Configured limits and changes, at most one for each limit. It knows no time but what it is given.
#[derive(Clone, Debug)]
pub struct LimitBook {
    configured: RiskLimits,
    in_force: RiskLimits,
    changes: Vec<Change>,
}

impl LimitBook {
    /// A book without changes.
    pub fn new(configured: RiskLimits) -> Self {
        Self {
            configured,
            in_force: configured,
            changes: Vec::new(),
        }
    }

    /// The limits in force.
    pub fn in_force(&self) -> &RiskLimits {
        &self.in_force
    }

    /// The changes in force, the oldest first.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether a change allows more than is in force now: then a second person must approve it.
    pub fn is_loosening(&self, key: &str, new_e9: i64) -> Option<bool> {
        let (limit, value) = value_of(key, new_e9)?;
        Some(RiskLimits::BOUNDS[limit].1.is_looser(value, self.in_force.get(key)?))
    }

    /// Whether a change allows more than is configured: then it must expire.
    pub fn is_beyond_configured(&self, key: &str, new_e9: i64) -> Option<bool> {
        let (limit, value) = value_of(key, new_e9)?;
        Some(RiskLimits::BOUNDS[limit].1.is_looser(value, self.configured.get(key)?))
    }

    /// Takes a change if it may have an effect; nobody's word counts for that, neither the gateway's.
    pub fn apply(&mut self, record: &LimitChange) -> Result<Change, Refused> {
        let change = self.judge(record)?;
        self.changes.retain(|other| other.limit != change.limit);
        self.changes.push(change);
        self.merge();
        Ok(change)
    }

    /// What a change would be, or why it has no effect.
    pub fn judge(&self, record: &LimitChange) -> Result<Change, Refused> {
        let (limit, value) = value_of(record.key.as_str(), record.new_e9).ok_or(Refused::Unknown)?;
        let change = Change {
            limit,
            value,
            expires_ns: record.expires_ns,
        };
        let (now, configured) = (self.in_force.values()[limit], self.configured.values()[limit]);
        if value == now {
            return Err(Refused::InForce);
        }
        let mut changed = self.in_force;
        changed.set(change.name(), value);
        changed.validated().map_err(Refused::OutOfBounds)?;
        let is_approved = !record.approver.is_empty() && record.approver != record.operator;
        let is_loosening = change.bounds().is_looser(value, now);
        if is_loosening && !is_approved {
            return Err(Refused::NeedsApprover);
        }
        if !change.bounds().is_looser(value, configured) {
            return if record.expires_ns == 0 {
                Ok(change)
            } else {
                Err(Refused::HasExpiry)
            };
        }
        let latest_ns = if is_loosening {
            record.ts_event_ns.saturating_add(LOOSENED_NS_MAX)
        } else {
            self.expiry_ns(limit)
        };
        if record.expires_ns <= record.ts_event_ns || record.expires_ns > latest_ns {
            return Err(Refused::NeedsExpiry);
        }
        Ok(change)
    }

    fn expiry_ns(&self, limit: usize) -> i64 {
        let found = self.changes.iter().find(|change| change.limit == limit);
        found.map_or(0, |change| change.expires_ns)
    }

    /// Whether [`Self::expire`] would end a change.
    pub fn is_due(&self, now_ns: i64) -> bool {
        self.changes
            .iter()
            .any(|change| change.expires_ns != 0 && change.expires_ns <= now_ns)
    }

    /// Ends what has expired; true if there was any.
    pub fn expire(&mut self, now_ns: i64) -> bool {
        if !self.is_due(now_ns) {
            return false;
        }
        self.changes
            .retain(|change| change.expires_ns == 0 || change.expires_ns > now_ns);
        self.merge();
        true
    }

    /// Puts the changes over the configured limits. What does not fit the others, or without an end would be looser
    /// than what is configured by now, has no effect.
    fn merge(&mut self) {
        self.in_force = self.configured;
        for &change in &self.changes {
            let configured = self.configured.values()[change.limit];
            if change.expires_ns == 0 && change.bounds().is_looser(change.value, configured) {
                continue;
            }
            let mut changed = self.in_force;
            changed.set(change.name(), change.value);
            if let Ok(valid) = changed.validated() {
                self.in_force = valid;
            }
        }
    }
}

/// Place and value of a limit in its own unit: amounts, shares and times are `new_e9` itself, counts a billionth of it.
fn value_of(key: &str, new_e9: i64) -> Option<(usize, i64)> {
    let limit = RiskLimits::BOUNDS.iter().position(|(name, _)| *name == key)?;
    if key.ends_with("_e9") || key.ends_with("_ns") {
        return Some((limit, new_e9));
    }
    (new_e9 % E9 == 0).then_some((limit, new_e9 / E9))
}
