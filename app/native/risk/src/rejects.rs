//! What the venue answered to our orders lately: rejected in a row, and their share of a minute.

use crate::limits::RiskLimits;
use holdfast_records::E9;

const WINDOW_NS: i64 = 60 * E9;
/// More answers than a minute's request budget allows.
const ANSWERS: usize = 256;

/// The last answers, and what they came to when the latest arrived.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Rejects {
    /// When each was answered, and whether with a rejection; a ring.
    pub(crate) answers: Box<[(i64, bool)]>,
    next: usize,
    pub(crate) in_a_row: i64,
    /// Share of rejections in the minute before the latest answer; 0 while there are too few answers.
    pub(crate) rate_e9: i64,
}

impl Default for Rejects {
    fn default() -> Self {
        Self {
            answers: vec![(i64::MIN / 2, false); ANSWERS].into_boxed_slice(),
            next: 0,
            in_a_row: 0,
            rate_e9: 0,
        }
    }
}

impl Rejects {
    /// Counts one answer, the first of its order.
    pub(crate) fn count(&mut self, is_rejection: bool, ts_ns: i64, limits: &RiskLimits) {
        self.answers[self.next] = (ts_ns, is_rejection);
        self.next = (self.next + 1) % ANSWERS;
        self.in_a_row = if is_rejection { self.in_a_row + 1 } else { 0 };
        let since_ns = ts_ns.saturating_sub(WINDOW_NS);
        let (mut count, mut rejected) = (0, 0);
        for (at_ns, is_rejection) in &self.answers {
            if *at_ns > since_ns {
                count += 1;
                rejected += i64::from(*is_rejection);
            }
        }
        let is_counted = count >= limits.reject_sample_min;
        // Rounded up, so that a share above the limit never reads as the limit.
        self.rate_e9 = if is_counted {
            (rejected * E9 + count - 1) / count
        } else {
            0
        };
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
