//! The simulated venue's core: a price-time matching engine with an account, and a seeded synthetic market.
//!
//! Nothing here reads a clock or draws chance of its own: times and the seed are arguments, so a day repeats exactly.

mod account;
mod book;
mod checks;
mod engine;
mod event;
mod family;
mod fees;
mod fill;
mod history;
mod json;
mod minute_bars;
mod order;
mod random;
mod synthetic;

pub use account::Position;
pub use book::{Book, Level};
pub use engine::{Engine, Replacement, Settings};
pub use event::{Event, Execution, Refusal};
pub use fees::{FeeBasis, FeeRule, fee_e9};
pub use history::{History, Page, Range};
pub use json::{decimal, rfc3339};
pub use minute_bars::MinuteBars;
pub use order::{ClientOrderId, Order};
pub use random::Random;
pub use synthetic::{Listing, MarketRecord, SyntheticMarket};
