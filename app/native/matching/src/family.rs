//! Brackets, one-cancels-other, one-triggers-other: orders that live and die together.

use crate::engine::Engine;
use crate::order::{ClientOrderId, Order};
use holdfast_records::{OrderClass, OrderIntent, OrderStatus, OrderType, Side, Uuid};

impl Engine {
    /// Makes the exit legs that a request asks for; they are held until their parent fills.
    pub(crate) fn add_legs(&mut self, parent: usize, request: &OrderIntent) {
        let class = request.order_class;
        if !matches!(class, OrderClass::BRACKET | OrderClass::OCO | OrderClass::OTO) {
            return;
        }
        let mut exits = Vec::new();
        if class != OrderClass::OCO && request.take_profit_price_e9 > 0 {
            exits.push((OrderType::LIMIT, request.take_profit_price_e9, 0));
        }
        if request.stop_loss_limit_price_e9 > 0 {
            exits.push((
                OrderType::STOP_LIMIT,
                request.stop_loss_limit_price_e9,
                request.stop_loss_price_e9,
            ));
        } else if request.stop_loss_price_e9 > 0 {
            exits.push((OrderType::STOP, 0, request.stop_loss_price_e9));
        }
        for (order_type, limit_price_e9, stop_price_e9) in exits {
            let client_order_id = ClientOrderId::truncated(&self.random.uuid().to_string());
            let mut leg = Order::of_request(request, client_order_id, Uuid::default(), self.now_ns);
            if class != OrderClass::OCO {
                leg.side = if request.side == Side::BUY {
                    Side::SELL
                } else {
                    Side::BUY
                };
            }
            leg.order_type = order_type;
            leg.limit_price_e9 = limit_price_e9;
            leg.stop_price_e9 = stop_price_e9;
            leg.status = OrderStatus::HELD;
            leg.parent = Some(parent);
            let index = self.add(leg);
            self.orders[parent].legs.push(index);
        }
    }

    /// The orders that end when this one does: the other exits of one position.
    pub(crate) fn siblings(&self, index: usize) -> Vec<usize> {
        let order = &self.orders[index];
        match (order.order_class, order.parent) {
            (OrderClass::OCO, None) => order.legs.clone(),
            (OrderClass::OCO, Some(parent)) => vec![parent],
            (_, Some(parent)) => self.orders[parent]
                .legs
                .iter()
                .copied()
                .filter(|&leg| leg != index)
                .collect(),
            (_, None) => Vec::new(),
        }
    }

    /// Ends the other orders of a family after one of them was canceled.
    pub(crate) fn end_family(&mut self, index: usize, status: OrderStatus, event: &'static str) {
        let mut others = self.siblings(index);
        others.extend(self.orders[index].legs.iter().copied());
        for other in others {
            if self.orders[other].is_open() {
                self.end(other, status, event);
            }
        }
    }

    /// What a fill means for the family: a filled entry wakes its exits, a filled exit shrinks or ends the others.
    pub(crate) fn follow_family(&mut self, index: usize) {
        let is_exit = self.orders[index].parent.is_some() || self.orders[index].order_class == OrderClass::OCO;
        if is_exit {
            let left_e9 = self.orders[index].open_quantity_e9();
            for sibling in self.siblings(index) {
                if !self.orders[sibling].is_open() {
                    continue;
                }
                if left_e9 == 0 {
                    self.end(sibling, OrderStatus::CANCELED, "canceled");
                } else {
                    self.orders[sibling].quantity_e9 = self.orders[sibling].filled_quantity_e9 + left_e9;
                }
            }
        } else if self.orders[index].status == OrderStatus::FILLED {
            for leg in self.orders[index].legs.clone() {
                self.wake(leg);
            }
        }
    }

    /// Starts an exit whose entry has filled: the profit leg works, a stop beside it is watched and stays held.
    fn wake(&mut self, leg: usize) {
        if !self.orders[leg].is_open() {
            return;
        }
        let is_beside_another = !self.siblings(leg).is_empty();
        if self.orders[leg].is_waiting_for_stop() && is_beside_another {
            self.watch(leg);
        } else {
            self.orders[leg].status = OrderStatus::ACCEPTED;
            self.enter(leg);
        }
    }

    /// The stop beside a working profit order: watched, not shown as open.
    pub(crate) fn hold_stop_leg(&mut self, parent: usize) {
        for leg in self.orders[parent].legs.clone() {
            if self.orders[leg].status == OrderStatus::HELD {
                self.watch(leg);
            }
        }
    }

    /// Holds the replacement of a held leg: watched if its entry has filled, waiting for it otherwise.
    pub(crate) fn hold_again(&mut self, leg: usize) {
        let is_entry_filled = self.orders[leg].parent.is_some_and(|parent| {
            self.orders[parent].status == OrderStatus::FILLED || self.orders[parent].order_class == OrderClass::OCO
        });
        if is_entry_filled {
            self.watch(leg);
        } else {
            self.emit(leg, "held", None);
        }
    }

    fn watch(&mut self, leg: usize) {
        self.orders[leg].updated_ns = self.now_ns;
        let book = self.book_index(leg);
        self.books[book].remove(leg);
        self.books[book].insert(&self.orders, leg);
        self.emit(leg, "held", None);
    }

    /// Lets the replacement take the place of the old order in its family.
    pub(crate) fn adopt_family(&mut self, old: usize, new: usize) {
        for leg in self.orders[new].legs.clone() {
            self.orders[leg].parent = Some(new);
        }
        if let Some(parent) = self.orders[new].parent {
            for leg in &mut self.orders[parent].legs {
                if *leg == old {
                    *leg = new;
                }
            }
        }
    }
}
