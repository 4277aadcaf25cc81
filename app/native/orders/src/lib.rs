//! Our orders and positions as the journals tell them: pure state machines without clock or randomness.
//!
//! Records may be applied in any order and more than once; the resulting state, and its hash, is the same.

mod book;
mod decimal;
mod digest;
mod encode;
mod order;
mod position;
mod status;
mod submitting;
mod table;

pub use book::{PositionBook, SymbolPosition};
pub use digest::{Digest, FastBuildHasher};
pub use encode::{Approved, EncodeError, HEAD_BYTES_MAX, encode_new, encode_replace};
pub use order::{OWN_PREFIX, Order, PROTECTIVE_SUFFIX, is_protective};
pub use position::{FillEffect, Position, half_even_quotient};
pub use status::is_terminal;
pub use submitting::submitting;
pub use table::{Applied, OrderTable};
