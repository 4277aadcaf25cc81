//! One order of the account, merged from every record about it.

use crate::digest::Digest;
use crate::status::{Evidence, is_terminal};
use core::hash::{Hash, Hasher};
use holdfast_records::{
    Decision, IntentAction, OrderClass, OrderEvent, OrderEventKind, OrderStatus, OrderType, Reason, Side, Symbol, Text,
    TimeInForce, Uuid, Verdict,
};

/// An order: each field is a join of what was applied, so that order and repetition of records do not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a separate fact that only turns true"
)]
pub struct Order {
    /// Our id, known before the first byte left; the venue's for external orders.
    pub client_order_id: Text<128>,
    /// The venue's id; nil until the venue has shown the order.
    pub venue_order_id: Uuid,
    /// The order that this one replaces.
    pub replaces_order_id: Uuid,
    /// The order whose leg this one is.
    pub parent_order_id: Uuid,
    /// Strategy that asked for it; empty for external orders.
    pub strategy: Text<32>,
    /// Symbol.
    pub symbol: Symbol,
    /// The Decision that approved it, in `orders`; 0 for none.
    pub decision_seq: u64,
    /// The quote it came from, in `market_data`.
    pub quote_seq: u64,
    /// Ordered quantity.
    pub quantity_e9: i64,
    /// Ordered amount in USD, for orders without a quantity.
    pub notional_e9: i64,
    /// Limit price; 0 for none.
    pub limit_price_e9: i64,
    /// Stop price; 0 for none.
    pub stop_price_e9: i64,
    /// Average price of the greatest filled quantity that the venue reported.
    reported_price_e9: i64,
    /// Greatest filled quantity that an order event reported.
    reported_filled_e9: i64,
    /// Sum of the fills applied.
    pub(crate) summed_filled_e9: i64,
    /// Sum of price times quantity of the fills applied.
    pub(crate) summed_value_e18: i128,
    /// Why it was rejected or withheld, if the strongest evidence says so.
    pub rule: Reason,
    /// Side.
    pub side: Side,
    /// Type.
    pub order_type: OrderType,
    /// Time in force.
    pub time_in_force: TimeInForce,
    /// Class.
    pub order_class: OrderClass,
    evidence: Evidence,
    /// An event told of it as of no decision of ours.
    is_without_decision: bool,
    /// The risk gate approved it.
    pub is_approved: bool,
    /// The decision that approved it only reduces the position.
    pub is_reduction: bool,
    /// We asked the venue to cancel it.
    pub is_cancel_requested: bool,
    /// We asked the venue to replace it.
    pub is_replace_requested: bool,
    /// Two venue ids were seen for the one client order id: invariant 1 is broken.
    pub has_second_venue_order: bool,
}

/// How our client order ids begin.
pub const OWN_PREFIX: &str = "hf-";
/// How the client order id of a protective stop ends: the venue, every journal and every restart tell it by this.
pub const PROTECTIVE_SUFFIX: &str = "-stop";

/// Whether a client order id is that of a protective stop; a stranger's that ends like one is not.
pub fn is_protective(client_order_id: &str) -> bool {
    client_order_id.starts_with(OWN_PREFIX) && client_order_id.ends_with(PROTECTIVE_SUFFIX)
}

impl Order {
    /// Whether risk-manager placed it to protect a position. Its legs at the venue have ids of their own.
    pub fn is_protective(&self) -> bool {
        is_protective(self.client_order_id.as_str())
    }

    pub(crate) fn new(client_order_id: Text<128>) -> Self {
        Self {
            client_order_id,
            ..Self::default()
        }
    }

    /// The status; an order of which nothing but its approval or a fill is known reads `NONE`.
    pub fn status(&self) -> OrderStatus {
        self.evidence.status()
    }

    /// Not ours: adopted and reported, never traded against. The leg of an entry of ours may be heard of before it is
    /// known whose leg it is.
    pub fn is_external(&self) -> bool {
        self.is_without_decision && self.decision_seq == 0
    }

    /// Whether it can still fill: everything that is not proven to have ended, UNKNOWN included.
    pub fn is_open(&self) -> bool {
        !is_terminal(self.status())
    }

    /// Whether its outcome is not proven.
    pub fn is_unknown(&self) -> bool {
        self.status() == OrderStatus::UNKNOWN
    }

    /// Whether the venue has shown it.
    pub fn is_at_venue(&self) -> bool {
        self.evidence.is_from_venue()
    }

    /// Filled quantity: the greater of the venue's report and the sum of fills; never falls.
    pub fn filled_quantity_e9(&self) -> i64 {
        self.reported_filled_e9.max(self.summed_filled_e9)
    }

    /// Greatest filled quantity that the venue reported of the order.
    pub fn reported_filled_e9(&self) -> i64 {
        self.reported_filled_e9
    }

    /// Sum of the executions known of the order.
    pub fn summed_filled_e9(&self) -> i64 {
        self.summed_filled_e9
    }

    /// Filled by the venue's report, while no fill of it is known yet.
    pub fn unexplained_e9(&self) -> i64 {
        self.filled_quantity_e9() - self.summed_filled_e9
    }

    /// Quantity that may still fill; 0 once it ended.
    pub fn open_quantity_e9(&self) -> i64 {
        if self.is_open() {
            (self.quantity_e9 - self.filled_quantity_e9()).max(0)
        } else {
            0
        }
    }

    /// Average fill price, rounded half to even; 0 without fills.
    pub fn average_price_e9(&self) -> i64 {
        if self.summed_filled_e9 > 0 && self.summed_filled_e9 >= self.reported_filled_e9 {
            crate::half_even_quotient(self.summed_value_e18, i128::from(self.summed_filled_e9)) as i64
        } else {
            self.reported_price_e9
        }
    }

    /// Whether more was filled than ordered.
    pub fn is_overfilled(&self) -> bool {
        self.quantity_e9 > 0 && self.filled_quantity_e9() > self.quantity_e9
    }

    /// Digest of the whole state.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        self.hash(&mut digest);
        digest.finish()
    }

    pub(crate) fn apply_event(&mut self, event: &OrderEvent) {
        self.join_venue_order_id(event.venue_order_id);
        raise(&mut self.replaces_order_id, event.replaces_order_id);
        raise(&mut self.parent_order_id, event.parent_order_id);
        raise(&mut self.strategy, event.strategy);
        raise(&mut self.symbol, event.symbol);
        raise(&mut self.decision_seq, event.decision_seq);
        raise(&mut self.quote_seq, event.quote_seq);
        raise(&mut self.quantity_e9, event.quantity_e9);
        raise(&mut self.notional_e9, event.notional_e9);
        raise(&mut self.side, event.side);
        raise(&mut self.order_type, event.order_type);
        raise(&mut self.time_in_force, event.time_in_force);
        raise(&mut self.order_class, event.order_class);
        let reported = (event.filled_quantity_e9, event.average_price_e9);
        if reported > (self.reported_filled_e9, self.reported_price_e9) {
            (self.reported_filled_e9, self.reported_price_e9) = reported;
        }
        self.is_without_decision |= event.is_external != 0;
        self.is_cancel_requested |= event.kind == OrderEventKind::CANCEL_REQUESTED;
        self.is_replace_requested |= event.kind == OrderEventKind::REPLACE_REQUESTED;
        self.join_evidence(event);
    }

    fn join_evidence(&mut self, event: &OrderEvent) {
        let evidence = Evidence::of(event);
        if evidence == Evidence::default() {
            return;
        }
        let terms = (event.limit_price_e9, event.stop_price_e9, event.rule);
        let known = (self.limit_price_e9, self.stop_price_e9, self.rule);
        if (evidence, terms) > (self.evidence, known) {
            self.evidence = evidence;
            (self.limit_price_e9, self.stop_price_e9, self.rule) = terms;
        }
    }

    pub(crate) fn join_venue_order_id(&mut self, venue_order_id: Uuid) {
        let is_second =
            !venue_order_id.is_nil() && !self.venue_order_id.is_nil() && venue_order_id != self.venue_order_id;
        self.has_second_venue_order |= is_second;
        raise(&mut self.venue_order_id, venue_order_id);
    }

    /// Applies the approval that made this order; a Decision of another kind changes nothing.
    pub(crate) fn apply_decision(&mut self, decision: &Decision) {
        if decision.verdict != Verdict::APPROVED || decision.action == IntentAction::CANCEL {
            return;
        }
        self.is_approved = true;
        self.is_reduction |= decision.is_reduction != 0;
        raise(&mut self.strategy, decision.strategy);
        raise(&mut self.symbol, decision.symbol);
        raise(&mut self.quote_seq, decision.quote_seq);
        raise(&mut self.quantity_e9, decision.quantity_e9);
        raise(&mut self.notional_e9, decision.notional_e9);
        raise(&mut self.side, decision.side);
        raise(&mut self.order_type, decision.order_type);
        raise(&mut self.time_in_force, decision.time_in_force);
        raise(&mut self.order_class, decision.order_class);
        if self.evidence == Evidence::default() {
            let terms = (decision.limit_price_e9, decision.stop_price_e9);
            (self.limit_price_e9, self.stop_price_e9) = terms.max((self.limit_price_e9, self.stop_price_e9));
        }
    }
}

/// Joins a field: absent is the least value, and records about one order agree on the rest.
fn raise<T: Ord + Copy>(field: &mut T, value: T) {
    *field = (*field).max(value);
}
