//! Orders that belong together: the exits of an entry, and what replaced what. None of them may fill beyond what was
//! approved of all, by either of two counters: what the venue reports of orders, and the sum of executions.

use crate::counters::Usage;
use crate::gate::Gate;
use holdfast_orders::Order;
use holdfast_records::{Decision, OrderClass, Reason, Uuid};
use std::collections::HashMap;

/// Who replaces whom and whose exits whose orders are, by the venue's ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Families {
    orders: HashMap<Uuid, u32>,
    successors: HashMap<Uuid, Vec<u32>>,
    exits: HashMap<Uuid, Vec<u32>>,
}

/// Filled quantity by each of the two counters.
#[derive(Clone, Copy, Debug, Default)]
struct Filled {
    reported_e9: i64,
    summed_e9: i64,
}

impl Filled {
    fn of(order: &Order) -> Self {
        Self {
            reported_e9: order.reported_filled_e9(),
            summed_e9: order.summed_filled_e9(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            reported_e9: self.reported_e9.saturating_add(other.reported_e9),
            summed_e9: self.summed_e9.saturating_add(other.summed_e9),
        }
    }

    fn greater_e9(self) -> i64 {
        self.reported_e9.max(self.summed_e9)
    }
}

impl Families {
    /// Takes what an event told of an order's relations.
    pub(crate) fn learn(&mut self, index: usize, order: &Order) {
        let index = index as u32;
        if !order.venue_order_id.is_nil() {
            self.orders.insert(order.venue_order_id, index);
        }
        for (relation, of) in [
            (&mut self.successors, order.replaces_order_id),
            (&mut self.exits, order.parent_order_id),
        ] {
            if !of.is_nil() {
                let known = relation.entry(of).or_default();
                if !known.contains(&index) {
                    known.push(index);
                }
            }
        }
    }

    /// The index of an order by the venue's id.
    pub(crate) fn index_of(&self, venue_order_id: Uuid) -> Option<usize> {
        self.orders.get(&venue_order_id).map(|&index| index as usize)
    }
}

impl Gate {
    /// What replaced each other, the first one first.
    fn chain(&self, index: usize) -> Vec<usize> {
        let mut first = index;
        let mut steps = 0;
        while let Some(before) = self.families.index_of(self.orders.at(first).replaces_order_id) {
            // Ids of a confused venue could go round.
            steps += 1;
            if steps > self.orders.orders().len() {
                break;
            }
            first = before;
        }
        let mut chain = vec![first];
        let mut next = 0;
        while let Some(&place) = chain.get(next) {
            next += 1;
            let followed_by = self.families.successors.get(&self.orders.at(place).venue_order_id);
            for &successor in followed_by.into_iter().flatten() {
                if !chain.contains(&(successor as usize)) {
                    chain.push(successor as usize);
                }
            }
        }
        chain
    }

    fn filled(&self, orders: &[usize]) -> Filled {
        let each = orders.iter().map(|&index| Filled::of(self.orders.at(index)));
        each.fold(Filled::default(), Filled::plus)
    }

    /// What had filled of the order that a decision replaces, and of what that one replaced.
    pub(crate) fn filled_before_e9(&self, decision: &Decision) -> i64 {
        let target = self.orders.get(decision.target_client_order_id.as_str());
        let place = target.and_then(|order| self.families.index_of(order.venue_order_id));
        place.map_or(0, |index| self.filled(&self.chain(index)).greater_e9())
    }

    /// The most that was approved of a chain: at each approval its quantity, beside what had filled by then.
    fn chain_approved_e9(&self, chain: &[usize]) -> i64 {
        let approved = chain.iter().map(|&index| {
            let before_e9 = self.reserved.get(index).map_or(0, |reserved| reserved.filled_before_e9);
            self.orders.at(index).quantity_e9.saturating_add(before_e9)
        });
        approved.max().unwrap_or_default()
    }

    /// Limit and value if the order's chain, or the exits that it belongs to, filled beyond what was approved.
    fn family_excess(&self, index: usize) -> Option<Usage> {
        let order = self.orders.at(index);
        let chain = self.chain(index);
        let is_alone = chain.len() == 1;
        let own = Usage {
            limit_e9: self.chain_approved_e9(&chain),
            value_e9: self.filled(&chain).greater_e9(),
        };
        if !is_alone && own.limit_e9 > 0 && own.is_exceeded() {
            return Some(own);
        }
        let entry = match self.families.index_of(order.parent_order_id) {
            Some(entry) => entry,
            None if self.families.exits.contains_key(&order.venue_order_id) => index,
            None => return None,
        };
        self.exits_excess(entry)
    }

    /// The exits of an entry close at most its quantity; of one-cancels-other the first order is an exit itself.
    fn exits_excess(&self, entry: usize) -> Option<Usage> {
        let entries = self.chain(entry);
        let mut exits: Vec<usize> = Vec::new();
        for &each in &entries {
            let legs = self.families.exits.get(&self.orders.at(each).venue_order_id);
            for &leg in legs.into_iter().flatten() {
                exits.extend(self.chain(leg as usize));
            }
        }
        if self.orders.at(entry).order_class == OrderClass::OCO {
            exits.extend(&entries);
        }
        exits.sort_unstable();
        exits.dedup();
        let usage = Usage {
            limit_e9: self.chain_approved_e9(&entries),
            value_e9: self.filled(&exits).greater_e9(),
        };
        (usage.limit_e9 > 0 && usage.is_exceeded()).then_some(usage)
    }

    /// More filled than was approved, of an order, its chain or its family: its strategy is switched off.
    pub(crate) fn watch_overfill(&mut self, index: usize) {
        let order = *self.orders.at(index);
        self.families.learn(index, &order);
        let own = (order.is_overfilled() && order.is_approved).then(|| Usage {
            limit_e9: order.quantity_e9,
            value_e9: order.filled_quantity_e9(),
        });
        if let Some(usage) = own.or_else(|| self.family_excess(index)) {
            self.switch_off(order.strategy, order.symbol, Reason::PARENT_EXCEEDED, usage);
        }
    }
}
