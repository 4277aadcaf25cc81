//! Sharing out what is quoted: price first, then time.

use crate::engine::Engine;
use crate::event::Execution;
use crate::fees::fee_e9;
use holdfast_records::{E9, OrderStatus, OrderType, Side, TimeInForce, notional_e9};

impl Engine {
    /// Reaches stops and fills what the quote of one symbol allows.
    pub(crate) fn match_book(&mut self, book: usize) {
        if !self.books[book].stops.is_empty() {
            self.trigger_stops(book);
        }
        self.match_side(book, Side::BUY);
        self.match_side(book, Side::SELL);
    }

    fn match_side(&mut self, book: usize, side: Side) {
        let mut place = 0;
        loop {
            let level = self.books[book].opposite(side);
            if level.size_e9 <= 0 || level.price_e9 <= 0 {
                return;
            }
            let Some(&index) = self.books[book].queue(side).get(place) else {
                return;
            };
            if !self.orders[index].accepts(level.price_e9) {
                return;
            }
            let quantity_e9 = self.share(book, index);
            if quantity_e9 > 0 {
                self.execute(book, index, quantity_e9, level.price_e9);
            }
            if self.books[book].queue(side).get(place) == Some(&index) {
                place += 1;
            }
        }
    }

    /// How much of the quote the order takes; the rest of the quote is what is left for those behind it.
    fn share(&mut self, book: usize, index: usize) -> i64 {
        let order = &mut self.orders[index];
        if !(self.is_session_open || self.books[book].is_crypto || order.is_extended_hours) {
            return 0;
        }
        let level = self.books[book].opposite_mut(order.side);
        if order.quantity_e9 == 0 {
            order.quantity_e9 = (i128::from(order.notional_e9) * i128::from(E9) / i128::from(level.price_e9)) as i64;
        }
        let wanted_e9 = order.open_quantity_e9();
        if wanted_e9 > level.size_e9 {
            if order.time_in_force == TimeInForce::FOK {
                return 0;
            }
            return std::mem::take(&mut level.size_e9);
        }
        let is_divisible = wanted_e9 > E9 && order.time_in_force != TimeInForce::FOK;
        if is_divisible && self.random.chance(self.settings.partial_fill_ppm) {
            // The quote was smaller than it said: nobody behind this order gets anything either.
            level.size_e9 = 0;
            return self.random.between(1, (wanted_e9 - 1) / E9) * E9;
        }
        level.size_e9 -= wanted_e9;
        wanted_e9
    }

    fn execute(&mut self, book: usize, index: usize, quantity_e9: i64, price_e9: i64) {
        let now_ns = self.now_ns;
        let order = &mut self.orders[index];
        let side = order.side;
        order.filled_quantity_e9 += quantity_e9;
        order.filled_value_e9 += notional_e9(price_e9, quantity_e9);
        order.updated_ns = now_ns;
        order.filled_ns = now_ns;
        let is_filled = order.open_quantity_e9() == 0;
        if is_filled {
            order.status = OrderStatus::FILLED;
        } else if !matches!(order.status, OrderStatus::PENDING_CANCEL | OrderStatus::PENDING_REPLACE) {
            order.status = OrderStatus::PARTIALLY_FILLED;
        }
        let fee_e9 = fee_e9(&self.settings.fees, now_ns, side, price_e9, quantity_e9);
        let position = &mut self.books[book].position;
        self.cash_e9 += position.apply(side, price_e9, quantity_e9) - fee_e9;
        self.fees_paid_e9 += fee_e9;
        let execution = Execution {
            id: self.random.uuid(),
            price_e9,
            quantity_e9,
            position_quantity_e9: position.quantity_e9,
            fee_e9,
        };
        if is_filled {
            self.books[book].remove(index);
            self.open.remove(&index);
        }
        self.emit(index, if is_filled { "fill" } else { "partial_fill" }, Some(execution));
        self.follow_family(index);
    }

    fn trigger_stops(&mut self, book: usize) {
        for index in self.books[book].stops.clone() {
            let touch_e9 = {
                let level = self.books[book].opposite(self.orders[index].side);
                level.price_e9
            };
            let is_live = self.is_session_open || self.books[book].is_crypto;
            if touch_e9 <= 0 || !is_live {
                continue;
            }
            self.trail(index, touch_e9);
            let order = &self.orders[index];
            let is_reached = match order.side {
                Side::BUY => touch_e9 >= order.stop_price_e9,
                _ => touch_e9 <= order.stop_price_e9,
            };
            if is_reached && order.is_open() {
                self.trigger(book, index);
            }
        }
    }

    /// Moves the stop of a trailing order behind the best price seen.
    fn trail(&mut self, index: usize, touch_e9: i64) {
        let order = &mut self.orders[index];
        if order.order_type != OrderType::TRAILING_STOP {
            return;
        }
        let mark_e9 = match (order.high_water_mark_e9, order.side) {
            (0, _) => touch_e9,
            (mark_e9, Side::BUY) => mark_e9.min(touch_e9),
            (mark_e9, _) => mark_e9.max(touch_e9),
        };
        order.high_water_mark_e9 = mark_e9;
        let distance_e9 = if order.trail_price_e9 > 0 {
            order.trail_price_e9
        } else {
            notional_e9(mark_e9, order.trail_percent_e9) / 100
        };
        order.stop_price_e9 = if order.side == Side::BUY {
            mark_e9 + distance_e9
        } else {
            mark_e9 - distance_e9
        };
    }

    fn trigger(&mut self, book: usize, index: usize) {
        self.books[book].remove(index);
        self.orders[index].is_triggered = true;
        for sibling in self.siblings(index) {
            if self.orders[sibling].is_open() {
                self.end(sibling, OrderStatus::CANCELED, "canceled");
            }
        }
        if self.orders[index].status == OrderStatus::HELD {
            self.orders[index].status = OrderStatus::ACCEPTED;
        }
        self.enter(index);
    }
}
