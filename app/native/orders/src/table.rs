//! Every order of the account that the journals know.

use crate::digest::FastBuildHasher;
use crate::order::Order;
use core::hash::BuildHasher;
use holdfast_records::{AnyRecord, Decision, Fill, IntentAction, OrderEvent, Text, Uuid, Verdict};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Where an applied record landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Index of the order, stable for the life of the table.
    pub index: usize,
    /// Whether the record changed the order; a repeated record does not.
    pub is_changed: bool,
}

/// What makes two reports of one execution equal; the greater one counts if they ever differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Execution {
    quantity_e9: i64,
    price_e9: i64,
    order: u32,
}

/// Orders by client order id, merged from order events, fills and approvals applied in any order, any number of times.
#[derive(Clone, Debug, Default)]
pub struct OrderTable {
    orders: Vec<Order>,
    index: HashMap<Text<128>, u32, FastBuildHasher>,
    executions: HashMap<Uuid, Execution, FastBuildHasher>,
}

impl OrderTable {
    /// A table with room for `orders_expected` before it allocates again.
    pub fn with_capacity(orders_expected: usize) -> Self {
        Self {
            orders: Vec::with_capacity(orders_expected),
            index: HashMap::with_capacity_and_hasher(orders_expected, FastBuildHasher::default()),
            executions: HashMap::with_capacity_and_hasher(orders_expected, FastBuildHasher::default()),
        }
    }

    /// Applies any record; those that are not about orders give nothing.
    pub fn apply(&mut self, record: AnyRecord<'_>) -> Option<Applied> {
        match record {
            AnyRecord::OrderEvent(event) => Some(self.apply_event(event)),
            AnyRecord::Fill(fill) => Some(self.apply_fill(fill)),
            AnyRecord::Decision(decision) => self.apply_decision(decision),
            _ => None,
        }
    }

    /// Applies a step of an order's life.
    pub fn apply_event(&mut self, event: &OrderEvent) -> Applied {
        self.change(key(event.client_order_id, event.venue_order_id), |order| {
            order.apply_event(event);
        })
    }

    /// Applies an execution, once per execution id.
    pub fn apply_fill(&mut self, fill: &Fill) -> Applied {
        let index = self.entry(key(fill.client_order_id, fill.venue_order_id));
        let execution = Execution {
            quantity_e9: fill.quantity_e9,
            price_e9: fill.price_e9,
            order: index as u32,
        };
        let withdrawn = match self.executions.entry(fill.execution_id) {
            Entry::Vacant(slot) => {
                slot.insert(execution);
                None
            }
            Entry::Occupied(slot) if *slot.get() >= execution => {
                return Applied {
                    index,
                    is_changed: false,
                };
            }
            Entry::Occupied(mut slot) => Some(slot.insert(execution)),
        };
        if let Some(old) = withdrawn {
            self.count_execution(old, -1);
        }
        self.count_execution(execution, 1);
        let order = &mut self.orders[index];
        order.join_venue_order_id(fill.venue_order_id);
        order.strategy = order.strategy.max(fill.strategy);
        order.symbol = order.symbol.max(fill.symbol);
        order.side = order.side.max(fill.side);
        Applied {
            index,
            is_changed: true,
        }
    }

    fn count_execution(&mut self, execution: Execution, sign: i64) {
        let order = &mut self.orders[execution.order as usize];
        order.summed_filled_e9 += sign * execution.quantity_e9;
        order.summed_value_e18 += i128::from(sign) * i128::from(execution.quantity_e9) * i128::from(execution.price_e9);
    }

    /// Applies an approval, which makes an order; other decisions give nothing.
    pub fn apply_decision(&mut self, decision: &Decision) -> Option<Applied> {
        if decision.verdict != Verdict::APPROVED || decision.action == IntentAction::CANCEL {
            return None;
        }
        let client_order_id = widened(decision.client_order_id);
        Some(self.change(client_order_id, |order| order.apply_decision(decision)))
    }

    fn change(&mut self, client_order_id: Text<128>, apply: impl FnOnce(&mut Order)) -> Applied {
        let index = self.entry(client_order_id);
        let before = self.orders[index];
        apply(&mut self.orders[index]);
        Applied {
            index,
            is_changed: self.orders[index] != before,
        }
    }

    fn entry(&mut self, client_order_id: Text<128>) -> usize {
        let next = self.orders.len() as u32;
        let index = *self.index.entry(client_order_id).or_insert(next);
        if index == next {
            self.orders.push(Order::new(client_order_id));
        }
        index as usize
    }

    /// The order at an index given by [`Applied`].
    pub fn at(&self, index: usize) -> &Order {
        &self.orders[index]
    }

    /// The order with this client order id.
    pub fn get(&self, client_order_id: &str) -> Option<&Order> {
        let index = *self.index.get(&Text::new(client_order_id)?)?;
        self.orders.get(index as usize)
    }

    /// Index of the order with this client order id, stable for the life of the table.
    pub fn index_of(&self, client_order_id: &str) -> Option<usize> {
        Some(*self.index.get(&Text::new(client_order_id)?)? as usize)
    }

    /// Every order, in the order of first mention.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// The orders that may still fill.
    pub fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().filter(|order| order.is_open())
    }

    /// Number of executions applied, each counted once.
    pub fn executions_count(&self) -> usize {
        self.executions.len()
    }

    /// Hash of all orders and executions; equal for any permutation and repetition of the same records.
    pub fn state_hash(&self) -> u64 {
        let hasher = FastBuildHasher::default();
        let orders = self
            .orders
            .iter()
            .fold(0_u64, |sum, order| sum.wrapping_add(order.digest()));
        self.executions.iter().fold(orders, |sum, (id, execution)| {
            let client_order_id = self.orders[execution.order as usize].client_order_id;
            sum.wrapping_add(hasher.hash_one((id, execution.quantity_e9, execution.price_e9, client_order_id)))
        })
    }
}

fn key(client_order_id: Text<128>, venue_order_id: Uuid) -> Text<128> {
    if client_order_id.is_empty() {
        Text::truncated(&venue_order_id.to_string())
    } else {
        client_order_id
    }
}

/// A Decision's shorter id in the width of the venue's.
fn widened(client_order_id: Text<48>) -> Text<128> {
    let mut bytes = [0; 128];
    bytes[..48].copy_from_slice(bytemuck::bytes_of(&client_order_id));
    bytemuck::cast(bytes)
}
