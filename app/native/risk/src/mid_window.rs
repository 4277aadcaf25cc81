//! How far the mid moved within a window of time.

const SLOTS: usize = 9;

/// The least and greatest mid of the last stretches of time, an eighth of the window each: together they cover at
/// least the window and at most an eighth more than its quotes need.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MidWindow {
    pub(crate) slots: [Slot; SLOTS],
    newest: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    /// When it was last in force; 0 for never.
    pub(crate) end_ns: i64,
    low_e9: i64,
    high_e9: i64,
}

impl MidWindow {
    /// Takes a mid that was received at `recv_ns` and the one that was in force until then; not above zero is none.
    pub(crate) fn push(&mut self, mid_e9: i64, before_e9: i64, recv_ns: i64, window_ns: i64) {
        if mid_e9 <= 0 {
            return;
        }
        let slot = &mut self.slots[self.newest];
        if recv_ns < slot.end_ns {
            (slot.low_e9, slot.high_e9) = (slot.low_e9.min(mid_e9), slot.high_e9.max(mid_e9));
            return;
        }
        // What was in force until now began this stretch: after a silence a sudden move counts from it.
        let before_e9 = if before_e9 > 0 { before_e9 } else { mid_e9 };
        self.newest = (self.newest + 1) % SLOTS;
        self.slots[self.newest] = Slot {
            end_ns: recv_ns.saturating_add((window_ns / (SLOTS as i64 - 1)).max(1)),
            low_e9: mid_e9.min(before_e9),
            high_e9: mid_e9.max(before_e9),
        };
    }

    /// The least and the greatest mid within the window that ends now; nothing without one.
    pub(crate) fn range_e9(&self, now_ns: i64, window_ns: i64) -> Option<(i64, i64)> {
        let since_ns = now_ns.saturating_sub(window_ns);
        let (mut low_e9, mut high_e9) = (i64::MAX, 0);
        for slot in &self.slots {
            if slot.end_ns > since_ns && slot.high_e9 > 0 {
                (low_e9, high_e9) = (low_e9.min(slot.low_e9), high_e9.max(slot.high_e9));
            }
        }
        (high_e9 > 0).then_some((low_e9, high_e9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW_NS: i64 = 80;

    proptest! {
        #[test]
        fn every_mid_of_the_window_lies_in_its_range(steps in prop::collection::vec((1..200_i64, 0..30_i64), 1..200)) {
            let (mut window, mut now_ns, mut before_e9, mut known) = (MidWindow::default(), 1, 0, Vec::new());
            for (mid_e9, after_ns) in steps {
                now_ns += after_ns;
                window.push(mid_e9, before_e9, now_ns, WINDOW_NS);
                known.push((now_ns, mid_e9));
                before_e9 = mid_e9;
                let (low_e9, high_e9) = window.range_e9(now_ns, WINDOW_NS).expect("a mid was just taken");
                for (at_ns, mid_e9) in &known {
                    if *at_ns > now_ns - WINDOW_NS {
                        prop_assert!((low_e9..=high_e9).contains(mid_e9), "{mid_e9} of {at_ns} at {now_ns}");
                    }
                }
            }
        }

        #[test]
        fn what_ended_before_the_window_does_not_count(mid_e9 in 1..200_i64, other_e9 in 1..200_i64) {
            let mut window = MidWindow::default();
            window.push(mid_e9, 0, 1, WINDOW_NS);
            window.push(other_e9, other_e9, 1 + WINDOW_NS + WINDOW_NS / 8, WINDOW_NS);
            prop_assert_eq!(window.range_e9(1 + WINDOW_NS + WINDOW_NS / 8, WINDOW_NS), Some((other_e9, other_e9)));
        }
    }
}
