//! Which of Alpaca's statuses end an order, and which evidence outranks which.

use holdfast_records::{OrderEvent, OrderEventKind, OrderStatus};

/// Whether no further fill is expected after this status.
///
/// `done_for_day` and `calculated` are not ends: they count as open until the venue says more.
pub fn is_terminal(status: OrderStatus) -> bool {
    matches!(
        status,
        OrderStatus::FILLED
            | OrderStatus::CANCELED
            | OrderStatus::EXPIRED
            | OrderStatus::REPLACED
            | OrderStatus::REJECTED
            | OrderStatus::WITHHELD
    )
}

/// How strong an event's word about the status is; the strongest event applied defines the status.
///
/// The venue's word outranks ours, an end outranks what precedes it, more filled outranks less (the venue's
/// filled quantity never falls), then the venue's time decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Evidence {
    rank: u8,
    filled_quantity_e9: i64,
    ts_event_ns: i64,
    stage: u8,
    status: OrderStatus,
}

impl Evidence {
    pub(crate) fn of(event: &OrderEvent) -> Self {
        let is_own_request = matches!(
            event.kind,
            OrderEventKind::CANCEL_REQUESTED | OrderEventKind::REPLACE_REQUESTED
        );
        let rank = match event.status {
            _ if is_own_request => 0,
            OrderStatus::NONE => 0,
            OrderStatus::SUBMITTING => 1,
            OrderStatus::UNKNOWN => 2,
            OrderStatus::WITHHELD => 3,
            OrderStatus::REJECTED if event.venue_order_id.is_nil() => 3,
            status if is_terminal(status) => 5,
            _ => 4,
        };
        if rank == 0 {
            return Self::default();
        }
        Self {
            rank,
            filled_quantity_e9: event.filled_quantity_e9,
            ts_event_ns: event.ts_event_ns,
            stage: stage(event.status),
            status: event.status,
        }
    }

    pub(crate) fn status(self) -> OrderStatus {
        self.status
    }

    /// Whether the venue itself has shown this order.
    pub(crate) fn is_from_venue(self) -> bool {
        self.rank >= 4
    }
}

/// Place in the usual life of an order: breaks ties between events of one instant.
fn stage(status: OrderStatus) -> u8 {
    match status {
        OrderStatus::PENDING_NEW => 1,
        OrderStatus::ACCEPTED | OrderStatus::ACCEPTED_FOR_BIDDING => 2,
        OrderStatus::HELD => 3,
        OrderStatus::NEW => 4,
        OrderStatus::PARTIALLY_FILLED => 5,
        OrderStatus::PENDING_CANCEL | OrderStatus::PENDING_REPLACE => 6,
        OrderStatus::FILLED => 9,
        _ => 7,
    }
}
