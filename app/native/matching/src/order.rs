//! An order as the venue keeps it.

use holdfast_records::{OrderClass, OrderIntent, OrderStatus, OrderType, Side, Symbol, Text, TimeInForce, Uuid};

/// A client order id, as long as the venue allows.
pub type ClientOrderId = Text<128>;

/// One order. Prices, quantities and amounts scaled by 1e-9, times in ns UTC; 0 means absent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Order {
    pub id: Uuid,
    pub client_order_id: ClientOrderId,
    pub symbol: Symbol,
    pub side: Side,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
    pub order_class: OrderClass,
    pub status: OrderStatus,
    pub is_extended_hours: bool,
    /// Ordered quantity; of an order by notional, what its first match makes of it.
    pub quantity_e9: i64,
    pub notional_e9: i64,
    pub limit_price_e9: i64,
    pub stop_price_e9: i64,
    pub trail_price_e9: i64,
    pub trail_percent_e9: i64,
    /// Best price since the trailing stop began to follow it.
    pub high_water_mark_e9: i64,
    pub filled_quantity_e9: i64,
    /// Sum of price times quantity of the fills, scaled by 1e-9.
    pub filled_value_e9: i64,
    pub created_ns: i64,
    pub updated_ns: i64,
    pub filled_ns: i64,
    pub canceled_ns: i64,
    pub expired_ns: i64,
    pub failed_ns: i64,
    pub replaced_ns: i64,
    pub replaces: Uuid,
    pub replaced_by: Uuid,
    /// Index of the order whose fill brings this one to life.
    pub parent: Option<usize>,
    /// Indexes of the orders that this one brings to life.
    pub legs: Vec<usize>,
    /// Rank in time; an earlier order fills first at one price.
    pub priority: u64,
    /// Whether the stop has been reached: from then on a market or limit order.
    pub is_triggered: bool,
}

impl Order {
    /// Takes what a request asks for; ids, status and family are the engine's to set.
    pub fn of_request(request: &OrderIntent, client_order_id: ClientOrderId, id: Uuid, now_ns: i64) -> Self {
        Self {
            id,
            client_order_id,
            symbol: request.symbol,
            side: request.side,
            order_type: request.order_type,
            time_in_force: request.time_in_force,
            order_class: request.order_class,
            status: OrderStatus::PENDING_NEW,
            is_extended_hours: request.is_extended_hours != 0,
            quantity_e9: request.quantity_e9,
            notional_e9: request.notional_e9,
            limit_price_e9: request.limit_price_e9,
            stop_price_e9: request.stop_price_e9,
            trail_price_e9: request.trail_price_e9,
            trail_percent_e9: request.trail_percent_e9,
            high_water_mark_e9: 0,
            filled_quantity_e9: 0,
            filled_value_e9: 0,
            created_ns: now_ns,
            updated_ns: now_ns,
            filled_ns: 0,
            canceled_ns: 0,
            expired_ns: 0,
            failed_ns: 0,
            replaced_ns: 0,
            replaces: Uuid::default(),
            replaced_by: Uuid::default(),
            parent: None,
            legs: Vec::new(),
            priority: 0,
            is_triggered: false,
        }
    }

    /// Whether it can still fill.
    pub fn is_open(&self) -> bool {
        !matches!(
            self.status,
            OrderStatus::FILLED
                | OrderStatus::CANCELED
                | OrderStatus::EXPIRED
                | OrderStatus::REPLACED
                | OrderStatus::REJECTED
                | OrderStatus::DONE_FOR_DAY
        )
    }

    /// What is not yet filled.
    pub fn open_quantity_e9(&self) -> i64 {
        self.quantity_e9 - self.filled_quantity_e9
    }

    /// Whether it waits for its stop price.
    pub fn is_waiting_for_stop(&self) -> bool {
        !self.is_triggered
            && matches!(
                self.order_type,
                OrderType::STOP | OrderType::STOP_LIMIT | OrderType::TRAILING_STOP
            )
    }

    /// The worst price at which it may fill now; nothing for a market order.
    pub fn limit_e9(&self) -> Option<i64> {
        matches!(self.order_type, OrderType::LIMIT | OrderType::STOP_LIMIT).then_some(self.limit_price_e9)
    }

    /// Whether its limit price allows a fill at `price_e9`.
    pub fn accepts(&self, price_e9: i64) -> bool {
        match self.limit_e9() {
            None => true,
            Some(limit_e9) if self.side == Side::BUY => price_e9 <= limit_e9,
            Some(limit_e9) => price_e9 >= limit_e9,
        }
    }

    /// Rank among the orders of its side: smaller fills first, better price before earlier time.
    pub fn rank(&self) -> (i64, u64) {
        let price_rank = match self.limit_e9() {
            None => i64::MIN,
            Some(limit_e9) if self.side == Side::BUY => -limit_e9,
            Some(limit_e9) => limit_e9,
        };
        (price_rank, self.priority)
    }

    /// Average price of the fills, rounded half up; 0 without one.
    pub fn average_price_e9(&self) -> i64 {
        if self.filled_quantity_e9 == 0 {
            return 0;
        }
        let quantity = i128::from(self.filled_quantity_e9);
        ((i128::from(self.filled_value_e9) * 1_000_000_000 + quantity / 2) / quantity) as i64
    }
}
