//! The event that is journaled before an order's first byte leaves.

use crate::encode::Approved;
use holdfast_records::{OrderEvent, OrderEventKind, OrderStatus, Text, Uuid};

/// The SUBMITTING event of a decision with number `decision_seq`; `replaces` is nil for new orders.
pub fn submitting(approved: Approved<'_>, decision_seq: u64, ts_event_ns: i64, replaces: Uuid) -> OrderEvent {
    let decision = approved.decision();
    OrderEvent {
        client_order_id: Text::truncated(decision.client_order_id.as_str()),
        replaces_order_id: replaces,
        strategy: decision.strategy,
        symbol: decision.symbol,
        ts_event_ns,
        decision_seq,
        quote_seq: decision.quote_seq,
        quantity_e9: decision.quantity_e9,
        notional_e9: decision.notional_e9,
        limit_price_e9: decision.limit_price_e9,
        stop_price_e9: decision.stop_price_e9,
        kind: OrderEventKind::SUBMITTING,
        status: OrderStatus::SUBMITTING,
        side: decision.side,
        order_type: decision.order_type,
        time_in_force: decision.time_in_force,
        order_class: decision.order_class,
        ..OrderEvent::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_records::{Decision, E9, Side, Verdict};

    #[test]
    fn it_says_what_was_approved() {
        let decision = Decision {
            client_order_id: Text::new("hf-1-2").expect("fits"),
            verdict: Verdict::APPROVED,
            side: Side::SELL,
            quantity_e9: 3 * E9,
            quote_seq: 9,
            ..Decision::default()
        };
        let approved = Approved::new(&decision).expect("approved");
        let event = submitting(approved, 7, 8, Uuid::default());
        assert_eq!(event.client_order_id.as_str(), "hf-1-2");
        assert_eq!((event.decision_seq, event.ts_event_ns, event.quote_seq), (7, 8, 9));
        assert_eq!((event.side, event.quantity_e9), (Side::SELL, 3 * E9));
        assert_eq!(event.status, OrderStatus::SUBMITTING);
    }
}
