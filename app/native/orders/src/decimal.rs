//! Exact decimal text of scaled integers.

use core::fmt;
use holdfast_records::E9;

/// A number scaled by 1e-9 as exact decimal text without trailing zeros.
pub(crate) struct Decimal(pub(crate) i64);

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / E9, (self.0 % E9).abs());
        if self.0 < 0 && whole == 0 {
            formatter.write_str("-")?;
        }
        write!(formatter, "{whole}")?;
        if fraction == 0 {
            return Ok(());
        }
        let (mut digits, mut width) = (fraction, 9);
        while digits % 10 == 0 {
            digits /= 10;
            width -= 1;
        }
        write!(formatter, ".{digits:0width$}")
    }
}
