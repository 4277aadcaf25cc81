//! Decimal numbers as integers scaled by 1e-9, from text and floats and back.
//!
//! More than nine decimals are rounded to the nearest, halves away from zero.

use holdfast_records::E9;
use std::io::Write as _;

/// Largest magnitude that a float is converted from by multiplying: its shortest decimal is found exactly.
const FLOAT_EXACT_MAX: f64 = 1e6;
/// Longest text of a float that is tried, shortest form.
const FLOAT_TEXT_BYTES: usize = 352;

/// Why a number is not a price or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Not a decimal number: NaN, infinity, or other characters.
    Malformed,
    /// Larger than an `_e9` integer holds.
    Range,
}

/// Parses a JSON number exactly, exponent included.
pub fn parse_e9(text: &[u8]) -> Result<i64, NumberError> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut value: u64 = 0;
    let mut index = 0;
    while let Some(&byte @ b'0'..=b'9') = digits.get(index) {
        value = value
            .checked_mul(10)
            .and_then(|scaled| scaled.checked_add(u64::from(byte - b'0')))
            .ok_or(NumberError::Range)?;
        index += 1;
    }
    let has_integer = index > 0;
    let mut decimals = 0;
    let mut round_up = false;
    if digits.get(index) == Some(&b'.') {
        index += 1;
        let start = index;
        while let Some(&byte @ b'0'..=b'9') = digits.get(index) {
            let digit = byte - b'0';
            if decimals < 9 {
                value = value
                    .checked_mul(10)
                    .and_then(|scaled| scaled.checked_add(u64::from(digit)))
                    .ok_or(NumberError::Range)?;
                decimals += 1;
            } else if index - start == 9 {
                round_up = digit >= 5;
            }
            index += 1;
        }
        if index == start {
            return Err(NumberError::Malformed);
        }
    }
    if !has_integer {
        return Err(NumberError::Malformed);
    }
    if index < digits.len() {
        return parse_exponent(is_negative, digits, index);
    }
    let scaled = value
        .checked_mul(10_u64.pow(9 - decimals))
        .and_then(|scaled| scaled.checked_add(u64::from(round_up)))
        .and_then(|scaled| i64::try_from(scaled).ok())
        .ok_or(NumberError::Range)?;
    Ok(if is_negative { -scaled } else { scaled })
}

/// The rare form with an exponent: the digits are shifted in a 128-bit integer.
#[cold]
fn parse_exponent(is_negative: bool, digits: &[u8], at: usize) -> Result<i64, NumberError> {
    let [b'e' | b'E', exponent @ ..] = &digits[at..] else {
        return Err(NumberError::Malformed);
    };
    let exponent = core::str::from_utf8(exponent).map_err(|_| NumberError::Malformed)?;
    let magnitude = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if magnitude.is_empty() || !magnitude.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::Malformed);
    }
    let exponent: i32 = exponent.parse().map_err(|_| NumberError::Range)?;
    let (mut value, mut scale) = (0_i128, 9_i32.saturating_add(exponent));
    let mut is_fraction = false;
    for &byte in &digits[..at] {
        if byte == b'.' {
            is_fraction = true;
            continue;
        }
        if value > i128::MAX / 100 {
            return Err(NumberError::Range);
        }
        value = value * 10 + i128::from(byte - b'0');
        scale = scale.saturating_sub(i32::from(is_fraction));
    }
    while scale > 0 && value != 0 {
        value = value.checked_mul(10).ok_or(NumberError::Range)?;
        scale -= 1;
    }
    while scale < 0 && value != 0 {
        // Halves go away from zero at the last cut only.
        value = if scale == -1 { (value + 5) / 10 } else { value / 10 };
        scale += 1;
    }
    let value = i64::try_from(value).map_err(|_| NumberError::Range)?;
    Ok(if is_negative { -value } else { value })
}

/// Converts a float through its shortest decimal, which is what its sender meant.
pub fn float_e9(value: f64) -> Result<i64, NumberError> {
    if value.is_nan() || value.is_infinite() {
        return Err(NumberError::Malformed);
    }
    if value.abs() < FLOAT_EXACT_MAX {
        return Ok((value * E9 as f64).round() as i64);
    }
    if value.abs() >= i64::MAX as f64 / E9 as f64 {
        return Err(NumberError::Range);
    }
    displayed_e9(value)
}

/// Converts a float of single precision through its shortest decimal.
pub(crate) fn single_e9(value: f32) -> Result<i64, NumberError> {
    if value.is_nan() || value.is_infinite() {
        return Err(NumberError::Malformed);
    }
    displayed_e9(value)
}

/// Parses what `Display` writes: for a float its shortest decimal, without an exponent.
fn displayed_e9(value: impl core::fmt::Display) -> Result<i64, NumberError> {
    let mut text = [0; FLOAT_TEXT_BYTES];
    let mut rest = &mut text[..];
    write!(rest, "{value}").map_err(|_| NumberError::Range)?;
    let length = FLOAT_TEXT_BYTES - rest.len();
    parse_e9(&text[..length])
}

/// Writes a scaled integer as a JSON number without trailing zeros.
pub fn write_e9(value_e9: i64, out: &mut Vec<u8>) {
    if value_e9 < 0 {
        out.push(b'-');
    }
    let magnitude = value_e9.unsigned_abs();
    write_integer(magnitude / E9 as u64, out);
    let mut fraction = magnitude % E9 as u64;
    if fraction == 0 {
        return;
    }
    let mut digits = [b'0'; 9];
    for digit in digits.iter_mut().rev() {
        *digit += (fraction % 10) as u8;
        fraction /= 10;
    }
    let used = digits
        .iter()
        .rposition(|&digit| digit != b'0')
        .map_or(0, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&digits[..used]);
}

/// Writes an integer in decimal.
pub(crate) fn write_integer(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The float nearest to a scaled integer.
pub(crate) fn to_float(value_e9: i64) -> f64 {
    value_e9 as f64 / E9 as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_as_written() {
        let cases: &[(&str, Result<i64, NumberError>)] = &[
            ("0", Ok(0)),
            ("182.005", Ok(182_005_000_000)),
            ("-1.5", Ok(-1_500_000_000)),
            ("0.0000000015", Ok(2)),
            ("1.5e2", Ok(150 * E9)),
            ("15e-10", Ok(2)),
            ("1E+3", Ok(1000 * E9)),
            ("9223372036.854775807", Ok(i64::MAX)),
            ("9223372036.854775808", Err(NumberError::Range)),
            ("1e308", Err(NumberError::Range)),
            ("1e99999999999", Err(NumberError::Range)),
            ("0e308", Ok(0)),
            ("NaN", Err(NumberError::Malformed)),
            ("", Err(NumberError::Malformed)),
            ("-", Err(NumberError::Malformed)),
            ("1.", Err(NumberError::Malformed)),
            (".5", Err(NumberError::Malformed)),
            ("1.2.3", Err(NumberError::Malformed)),
            ("1e", Err(NumberError::Malformed)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_e9(text.as_bytes()), *expected, "{text}");
        }
    }

    #[test]
    fn floats_that_are_no_numbers_are_refused() {
        assert_eq!(float_e9(f64::NAN), Err(NumberError::Malformed));
        assert_eq!(float_e9(f64::INFINITY), Err(NumberError::Malformed));
        assert_eq!(float_e9(1e308), Err(NumberError::Range));
        assert_eq!(float_e9(0.1 + 0.2), Ok(300_000_000));
    }

    proptest! {
        #[test]
        fn text_returns_what_it_took(value: i64) {
            prop_assume!(value != i64::MIN);
            let mut text = Vec::new();
            write_e9(value, &mut text);
            prop_assert_eq!(parse_e9(&text), Ok(value));
        }

        #[test]
        fn a_float_returns_what_it_took(value in -(1_i64 << 52)..(1_i64 << 52)) {
            prop_assert_eq!(float_e9(to_float(value)), Ok(value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, number in "-?[0-9]{0,25}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{0,6})?") {
            let _ = parse_e9(&bytes);
            let _ = parse_e9(number.as_bytes());
        }

        #[test]
        fn any_float_is_read_or_refused(bits: u64) {
            let value = f64::from_bits(bits);
            match float_e9(value) {
                Ok(found) => prop_assert!((to_float(found) - value).abs() <= 1e-9 + value.abs() * 1e-15),
                Err(_) => prop_assert!(!value.is_finite() || value.abs() > 9e9),
            }
        }
    }
}
