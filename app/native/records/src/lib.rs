//! Every record Holdfast journals, defined once.
//!
//! A record is a fixed little-endian layout without padding. [`for_each_record`] and
//! [`for_each_code`] hand the single definition to whoever derives something from it: this crate
//! (layouts), the binding crate (Python classes) and, through the classes, SQL columns and JSON.

mod codes;
mod field;
mod header;
mod layouts;

pub use codes::*;
pub use field::{Symbol, Text, Uuid};
pub use header::{Cause, HEADER_BYTES, Header};
pub use layouts::*;

/// Scale of every price, quantity and amount: integers times 1e-9.
pub const E9: i64 = 1_000_000_000;

/// A payload that can stand behind a [`Header`] in a journal.
pub trait Record: bytemuck::Pod {
    /// Type number in the header; never reused for another layout.
    const KIND: u16;
    /// Layout version; rises with every change of the fields.
    const VERSION: u8;
    /// Name of the type, as Python and SQL show it.
    const NAME: &'static str;
    /// Names of the fields, in layout order.
    const FIELDS: &'static [&'static str];
}

/// Product of a price and a quantity, both scaled by 1e-9, rounded toward zero, saturating.
#[inline]
pub fn notional_e9(price_e9: i64, quantity_e9: i64) -> i64 {
    small_notional_e9(price_e9, quantity_e9).unwrap_or_else(|| wide_notional_e9(price_e9, quantity_e9))
}

/// The product in 64 bits, part by part; nothing for signs and sizes that need more. A 128-bit division takes 15 ns.
#[inline]
fn small_notional_e9(price_e9: i64, quantity_e9: i64) -> Option<i64> {
    if price_e9 < 0 || quantity_e9 < 0 {
        return None;
    }
    let (dollars, price_rest_e9) = (price_e9 / E9, price_e9 % E9);
    let (units, quantity_rest_e9) = (quantity_e9 / E9, quantity_e9 % E9);
    let rest_e9 = (price_rest_e9 * units).checked_add(price_rest_e9 * quantity_rest_e9 / E9)?;
    dollars.checked_mul(quantity_e9)?.checked_add(rest_e9)
}

fn wide_notional_e9(price_e9: i64, quantity_e9: i64) -> i64 {
    let product = i128::from(price_e9) * i128::from(quantity_e9) / i128::from(E9);
    i64::try_from(product).unwrap_or(if product < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::{notional_e9, wide_notional_e9};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_short_way_to_a_notional_gives_the_same(price: i64, quantity: i64, shifts in (0..63_u32, 0..63_u32)) {
            let (price, quantity) = (price >> shifts.0, quantity >> shifts.1);
            prop_assert_eq!(notional_e9(price, quantity), wide_notional_e9(price, quantity));
        }
    }
}
