//! Trading sessions and blackout windows, as intervals of time.

use crate::margin::MarginRegime;
use holdfast_records::E9;

const DAY_NS: i64 = 86_400 * E9;
/// Extended trading begins at 04:00 New York, five and a half hours before the open: there the day's counters reset.
const BEFORE_OPEN_NS: i64 = 5 * 3_600 * E9 + 1_800 * E9;
/// Extended trading ends four hours after the close, on half-days too.
const AFTER_CLOSE_NS: i64 = 4 * 3_600 * E9;

/// An interval of time, its end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Begin, ns UTC.
    pub begin_ns: i64,
    /// End, ns UTC.
    pub end_ns: i64,
}

/// Sessions and blackout windows of the venue, sorted and without overlap.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    sessions: Intervals,
    blackouts: Intervals,
    regimes: Vec<MarginRegime>,
}

/// Sorted intervals, with the first that may hold a moment of each day: found without a search.
#[derive(Clone, Debug, Default)]
struct Intervals {
    all: Vec<Interval>,
    first_day: i64,
    first_of_day: Vec<u32>,
}

/// Which session, week and month a moment belongs to; each number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionDay {
    /// Days since 1970-01-01 of the session; 0 before the first known one.
    pub day: i64,
    /// Weeks, from a Monday on.
    pub week: i64,
    /// Months since year 0.
    pub month: i64,
}

impl Calendar {
    /// Takes sessions and blackouts as pairs of begin and end; nothing when they are not sorted or overlap.
    pub fn new(sessions: &[(i64, i64)], blackouts: &[(i64, i64)]) -> Option<Self> {
        Some(Self {
            sessions: Intervals::new(sessions)?,
            blackouts: Intervals::new(blackouts)?,
            regimes: Vec::new(),
        })
    }

    /// The calendar with margin rules; nothing when they are not sorted by their first day, or one is invalid.
    pub fn with_regimes(self, regimes: Vec<MarginRegime>) -> Option<Self> {
        let is_sorted = regimes.windows(2).all(|two| two[0].from_day < two[1].from_day);
        (is_sorted && regimes.iter().all(MarginRegime::is_valid)).then_some(Self { regimes, ..self })
    }

    /// The margin rules at a moment: those of its session day; nothing without any.
    pub fn regime_at(&self, session_ns: i64) -> Option<&MarginRegime> {
        let day = session_ns.div_euclid(DAY_NS);
        self.regimes.iter().rev().find(|regime| regime.from_day <= day)
    }

    /// The session that a moment lies in.
    pub fn session_at(&self, session_ns: i64) -> Option<Interval> {
        self.sessions.find(session_ns)
    }

    /// Whether a moment lies in a session or in the extended trading before and after it.
    pub fn is_extended_at(&self, session_ns: i64) -> bool {
        let all = &self.sessions.all;
        let begun = all.partition_point(|session| session.begin_ns - BEFORE_OPEN_NS <= session_ns);
        begun > 0 && session_ns < all[begun - 1].end_ns + AFTER_CLOSE_NS
    }

    /// The blackout window that a moment lies in.
    pub fn blackout_at(&self, session_ns: i64) -> Option<Interval> {
        self.blackouts.find(session_ns)
    }

    /// The session day that a moment counts for: a day begins at 04:00 New York of a day with a session.
    pub fn day_of(&self, session_ns: i64) -> SessionDay {
        let begun = self
            .sessions
            .all
            .partition_point(|session| session.begin_ns - BEFORE_OPEN_NS <= session_ns);
        begun.checked_sub(1).map_or_else(SessionDay::default, |last| {
            SessionDay::of(self.sessions.all[last].begin_ns)
        })
    }
}

impl SessionDay {
    fn of(open_ns: i64) -> Self {
        Self::of_day(open_ns.div_euclid(DAY_NS))
    }

    /// The session day of a number of days since 1970-01-01.
    pub fn of_day(day: i64) -> Self {
        // 1970-01-01 was a Thursday; the calendar is that of Hinnant's civil_from_days.
        let shifted = day + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        Self {
            day,
            week: (day + 3).div_euclid(7),
            month: (era * 400 + year_of_era) * 12 + month_from_march + 2,
        }
    }
}

impl Intervals {
    fn new(pairs: &[(i64, i64)]) -> Option<Self> {
        let is_sorted =
            pairs.iter().all(|(begin, end)| begin < end) && pairs.windows(2).all(|two| two[0].1 <= two[1].0);
        if !is_sorted {
            return None;
        }
        let all: Vec<_> = pairs
            .iter()
            .map(|&(begin_ns, end_ns)| Interval { begin_ns, end_ns })
            .collect();
        let (Some(first), Some(last)) = (all.first(), all.last()) else {
            return Some(Self::default());
        };
        let (first_day, last_day) = (first.begin_ns.div_euclid(DAY_NS), last.end_ns.div_euclid(DAY_NS));
        let first_of_day = (first_day..=last_day)
            .map(|day| all.partition_point(|interval| interval.end_ns <= day * DAY_NS) as u32)
            .collect();
        Some(Self {
            all,
            first_day,
            first_of_day,
        })
    }

    fn find(&self, moment_ns: i64) -> Option<Interval> {
        let day = usize::try_from(moment_ns.div_euclid(DAY_NS) - self.first_day).ok()?;
        let first = *self.first_of_day.get(day)? as usize;
        let found = self.all[first..].iter().find(|interval| interval.end_ns > moment_ns)?;
        (found.begin_ns <= moment_ns).then_some(*found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2024-07-03 (a half-day), 2024-07-05, 2024-07-08 in New York.
    const SESSIONS: [(i64, i64); 3] = [
        (1_720_013_400 * E9, 1_720_026_000 * E9),
        (1_720_186_200 * E9, 1_720_209_600 * E9),
        (1_720_445_400 * E9, 1_720_468_800 * E9),
    ];

    #[test]
    fn a_session_includes_its_open_and_excludes_its_close() {
        let calendar = Calendar::new(&SESSIONS, &[]).unwrap();
        for (open_ns, close_ns) in SESSIONS {
            assert!(calendar.session_at(open_ns - 1).is_none() && calendar.session_at(open_ns).is_some());
            assert!(calendar.session_at(close_ns - 1).is_some() && calendar.session_at(close_ns).is_none());
        }
    }

    #[test]
    fn extended_trading_begins_at_four_and_ends_four_hours_after_the_close() {
        let calendar = Calendar::new(&SESSIONS, &[]).unwrap();
        for (open_ns, close_ns) in SESSIONS {
            let (begin_ns, end_ns) = (open_ns - BEFORE_OPEN_NS, close_ns + AFTER_CLOSE_NS);
            let at = |moment_ns| calendar.is_extended_at(moment_ns);
            assert_eq!(
                [at(begin_ns - 1), at(begin_ns), at(end_ns - 1), at(end_ns)],
                [false, true, true, false]
            );
        }
    }

    #[test]
    fn the_day_changes_at_four_in_new_york_and_the_week_on_monday() {
        let calendar = Calendar::new(&SESSIONS, &[]).unwrap();
        let [first, second, third] = SESSIONS.map(|(open_ns, _)| calendar.day_of(open_ns));
        assert_eq!((second.day - first.day, third.day - second.day), (2, 3));
        assert_eq!((second.week - first.week, third.week - second.week), (0, 1));
        assert_eq!(calendar.day_of(SESSIONS[1].0 - BEFORE_OPEN_NS - 1), first);
        assert_eq!(calendar.day_of(SESSIONS[1].0 - BEFORE_OPEN_NS), second);
        assert_eq!(calendar.day_of(0), SessionDay::default());
    }

    #[test]
    fn months_follow_the_civil_calendar() {
        let month = |seconds: i64| SessionDay::of(seconds * E9).month;
        assert_eq!(month(1_706_745_599), month(1_704_067_200));
        assert_eq!(month(1_706_745_600), month(1_704_067_200) + 1);
        assert_eq!(month(1_735_689_600), month(1_704_067_200) + 12);
    }

    #[test]
    fn overlapping_or_unsorted_sessions_are_refused() {
        assert!(Calendar::new(&[(1, 5), (4, 6)], &[]).is_none());
        assert!(Calendar::new(&[(5, 1)], &[]).is_none());
    }
}
