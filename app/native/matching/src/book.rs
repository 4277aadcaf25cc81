//! One symbol: what is quoted, what of it is left, and the orders that wait for it.

use crate::account::Position;
use crate::order::Order;
use holdfast_records::{Side, Symbol, Uuid};

/// What one side quotes. `size_e9` shrinks with every fill until the next quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Scaled by 1e-9; 0 when the side is empty.
    pub price_e9: i64,
    /// Scaled by 1e-9.
    pub size_e9: i64,
}

/// The market of one symbol as the engine sees it.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// The venue's symbol.
    pub symbol: Symbol,
    /// The venue's id of the asset.
    pub asset_id: Uuid,
    /// Whether it trades around the clock, in fractions, without margin.
    pub is_crypto: bool,
    /// Best bid.
    pub bid: Level,
    /// Best ask.
    pub ask: Level,
    /// Last public trade, scaled by 1e-9; 0 before the first.
    pub last_trade_e9: i64,
    /// First price seen, scaled by 1e-9: stands for the last close.
    pub first_price_e9: i64,
    /// What the account holds.
    pub position: Position,
    /// Marketable or resting purchases, by rank.
    pub(crate) buys: Vec<usize>,
    /// Marketable or resting sales, by rank.
    pub(crate) sells: Vec<usize>,
    /// Orders that wait for their stop price.
    pub(crate) stops: Vec<usize>,
}

impl Book {
    /// Price at which a position is valued: the last trade, or the middle of the quote, or 0 before both.
    pub fn mark_e9(&self) -> i64 {
        match (self.last_trade_e9, self.bid.price_e9, self.ask.price_e9) {
            (0, 0, ask_e9) => ask_e9,
            (0, bid_e9, 0) => bid_e9,
            (0, bid_e9, ask_e9) => i64::midpoint(bid_e9, ask_e9),
            (last_e9, _, _) => last_e9,
        }
    }

    /// What an order of `side` can take.
    pub fn opposite(&self, side: Side) -> Level {
        if side == Side::BUY { self.ask } else { self.bid }
    }

    pub(crate) fn opposite_mut(&mut self, side: Side) -> &mut Level {
        if side == Side::BUY {
            &mut self.ask
        } else {
            &mut self.bid
        }
    }

    pub(crate) fn queue(&self, side: Side) -> &Vec<usize> {
        if side == Side::BUY { &self.buys } else { &self.sells }
    }

    /// Puts an order where its rank belongs, or among the stops.
    pub(crate) fn insert(&mut self, orders: &[Order], index: usize) {
        let order = &orders[index];
        if order.is_waiting_for_stop() {
            self.stops.push(index);
            return;
        }
        let queue = if order.side == Side::BUY {
            &mut self.buys
        } else {
            &mut self.sells
        };
        let place = queue.partition_point(|&other| orders[other].rank() < order.rank());
        queue.insert(place, index);
    }

    pub(crate) fn remove(&mut self, index: usize) {
        for queue in [&mut self.buys, &mut self.sells, &mut self.stops] {
            queue.retain(|&other| other != index);
        }
    }
}
