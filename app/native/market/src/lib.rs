//! Market data: Alpaca's frames to records and back, best bid and offer, L2 books, bars, recorded sessions.
//!
//! Deterministic: no operating system, no clock; prices and sizes are integers scaled by 1e-9.

mod bars;
mod book;
mod decode;
mod encode;
mod json;
mod msgpack;
mod nbbo;
mod number;
mod session;
mod time;
mod value;

pub use bars::BarBuilder;
pub use book::{Level, OrderBook};
pub use decode::{
    Counts, Encoding, FLAG_CROSSED, FLAG_FROM_FUTURE, FLAG_LOCKED, FLAG_ONE_SIDED, Oddity, Sink, decode, quote_flags,
};
pub use encode::{NotMarketData, encode_frame};
pub use nbbo::{Best, NationalBest};
pub use number::{NumberError, float_e9, parse_e9, write_e9};
pub use session::{RecordedSession, SessionError, SessionFile, SessionRecord};
pub use time::{midnight_new_york_ns, parse_date, parse_rfc3339, write_rfc3339};
