//! What the engine says about its orders, and how it refuses.

use crate::order::Order;
use holdfast_records::Uuid;

/// One execution of an order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Unique for ever.
    pub id: Uuid,
    /// Scaled by 1e-9.
    pub price_e9: i64,
    /// Of this execution alone, scaled by 1e-9.
    pub quantity_e9: i64,
    /// Position after it, signed, scaled by 1e-9.
    pub position_quantity_e9: i64,
    /// Charged on it, USD scaled by 1e-9.
    pub fee_e9: i64,
}

/// One step in the life of an order, with the order as it is after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The venue's word: `new`, `fill`, `partial_fill`, `canceled` and the others.
    pub name: &'static str,
    /// When, ns UTC.
    pub at_ns: i64,
    /// The order after the step.
    pub order: Order,
    /// Set for `fill` and `partial_fill`.
    pub execution: Option<Execution>,
}

/// A request that the venue does not take: an HTTP status, a code and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The venue's number.
    pub code: u32,
    /// The venue's words.
    pub message: String,
    /// Further members of the answer, values as text.
    pub details: Vec<(&'static str, String)>,
}

impl Refusal {
    /// 422: a parameter is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 422,
            code: 42_210_000,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// 403: the account does not allow it.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self {
            status: 403,
            code: 40_310_000,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// 404: there is no such thing.
    pub fn missing(message: impl Into<String>) -> Self {
        Self {
            status: 404,
            code: 40_410_000,
            message: message.into(),
            details: Vec::new(),
        }
    }

    pub(crate) fn coded(mut self, code: u32) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.details.push((name, value));
        self
    }
}
