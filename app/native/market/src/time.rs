//! RFC 3339 times as ns UTC and back, and the offset of New York.

const NS_PER_S: i64 = 1_000_000_000;
const S_PER_DAY: i64 = 86_400;

/// Days from 1970-01-01 of a date in the proleptic Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms".
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days from 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, &byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Parses `YYYY-MM-DD` into days from 1970-01-01.
pub fn parse_date(text: &[u8]) -> Option<i64> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..])?);
    let days_max = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => return None,
    };
    (1..=days_max).contains(&day).then(|| days_from_civil(year, month, day))
}

/// Parses an RFC 3339 time with up to nine decimals and `Z` or an offset; ns UTC, further decimals cut.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    if text.len() < 20 || !matches!(text[10], b'T' | b't' | b' ') || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let days = parse_date(&text[..10])?;
    let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut fraction_ns = 0;
    if text[at] == b'.' {
        at += 1;
        let mut unit_ns = NS_PER_S / 10;
        let start = at;
        while let Some(&byte @ b'0'..=b'9') = text.get(at) {
            fraction_ns += i64::from(byte - b'0') * unit_ns;
            unit_ns /= 10;
            at += 1;
        }
        if at == start {
            return None;
        }
    }
    let offset_s = parse_offset(text.get(at..)?)?;
    let seconds = days * S_PER_DAY + hour * 3600 + minute * 60 + second - offset_s;
    seconds.checked_mul(NS_PER_S)?.checked_add(fraction_ns)
}

fn parse_offset(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let seconds = number(hours)? * 3600 + number(&[*tens, *ones])? * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn digits(value: i64, count: usize, out: &mut [u8]) {
    let mut rest = value;
    for digit in out[..count].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Writes a time from year 0 to 9999 as RFC 3339 with nine decimals and `Z`.
pub fn write_rfc3339(time_ns: i64, out: &mut Vec<u8>) {
    let seconds = time_ns.div_euclid(NS_PER_S);
    let (year, month, day) = civil_from_days(seconds.div_euclid(S_PER_DAY));
    let of_day = seconds.rem_euclid(S_PER_DAY);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    digits(year, 4, &mut text);
    digits(month, 2, &mut text[5..]);
    digits(day, 2, &mut text[8..]);
    digits(of_day / 3600, 2, &mut text[11..]);
    digits(of_day / 60 % 60, 2, &mut text[14..]);
    digits(of_day % 60, 2, &mut text[17..]);
    digits(time_ns.rem_euclid(NS_PER_S), 9, &mut text[20..]);
    out.extend_from_slice(&text);
}

/// Midnight of New York on a day, ns UTC; nothing before 2007, when other rules of summer time held.
///
/// Source: Energy Policy Act of 2005: second Sunday of March to first Sunday of November, changing at 2 a.m.
pub fn midnight_new_york_ns(days: i64) -> Option<i64> {
    let (year, ..) = civil_from_days(days);
    if year < 2007 {
        return None;
    }
    let first_sunday = |month| {
        let first = days_from_civil(year, month, 1);
        // 1970-01-04 was a Sunday.
        first + (3 - first).rem_euclid(7)
    };
    let is_summer = days > first_sunday(3) + 7 && days <= first_sunday(11);
    let offset_s = if is_summer { 4 * 3600 } else { 5 * 3600 };
    (days * S_PER_DAY + offset_s).checked_mul(NS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_written() {
        assert_eq!(parse_rfc3339(b"1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            parse_rfc3339(b"2013-10-08T13:30:00.000000001Z"),
            Some(1_381_239_000_000_000_001)
        );
        assert_eq!(
            parse_rfc3339(b"2013-10-08T09:30:00.5-04:00"),
            Some(1_381_239_000_500_000_000)
        );
        for bad in [
            "",
            "2013-10-08",
            "2013-13-08T13:30:00Z",
            "2013-02-30T13:30:00Z",
            "2013-10-08T25:30:00Z",
            "2013-10-08T13:30:00.Z",
            "2013-10-08T13:30:00",
            "2013-10-08T13:30:00+0400",
            "9999-10-08T13:30:00Z",
        ] {
            assert_eq!(parse_rfc3339(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn new_york_changes_its_offset_on_the_days_of_the_law() {
        let offset_h = |date: &str| {
            let days = parse_date(date.as_bytes()).expect("a date");
            midnight_new_york_ns(days).map(|midnight_ns| (midnight_ns / NS_PER_S - days * S_PER_DAY) / 3600)
        };
        assert_eq!(offset_h("2013-10-08"), Some(4));
        // The clock changes at 2 a.m.: midnight of these Sundays still has the offset of the day before.
        assert_eq!(offset_h("2024-03-10"), Some(5));
        assert_eq!(offset_h("2024-03-11"), Some(4));
        assert_eq!(offset_h("2024-11-03"), Some(4));
        assert_eq!(offset_h("2024-11-04"), Some(5));
        assert_eq!(offset_h("2006-07-04"), None);
    }

    proptest! {
        #[test]
        fn a_date_is_real_or_refused(year in 1700_i64..2300, month in 0_i64..14, day in 0_i64..33) {
            let days = parse_date(format!("{year:04}-{month:02}-{day:02}").as_bytes());
            let is_real = civil_from_days(days_from_civil(year, month, day)) == (year, month, day);
            prop_assert_eq!(days.is_some(), is_real && (1..13).contains(&month));
        }

        #[test]
        fn a_time_returns_as_it_went(time_ns: i64) {
            let mut text = Vec::new();
            write_rfc3339(time_ns, &mut text);
            prop_assert_eq!(parse_rfc3339(&text), Some(time_ns));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse_rfc3339(&bytes);
        }
    }
}
