//! The venue's engine: orders in, events out. Time and chance come from outside, so that a day repeats exactly.

use crate::book::Book;
use crate::event::{Event, Execution, Refusal};
use crate::fees::FeeRule;
use crate::order::{ClientOrderId, Order};
use crate::random::Random;
use holdfast_records::{OrderClass, OrderIntent, OrderStatus, Quote, Symbol, TimeInForce, Uuid};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How the venue behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seed of ids, latencies and partial fills.
    pub seed: u64,
    /// Cash of the account at the start, USD scaled by 1e-9.
    pub cash_e9: i64,
    /// How often a fill takes only a random part of what is quoted, in a million.
    pub partial_fill_ppm: u32,
    /// Least time from a request to its effect.
    pub latency_ns_min: i64,
    /// Most time from a request to its effect.
    pub latency_ns_max: i64,
    /// Buying power as a multiple of equity, for shares.
    pub margin_multiplier: i64,
    /// Fees by date.
    pub fees: Vec<FeeRule>,
}

/// What an order is changed to; 0 and empty keep the old value.
#[derive(Clone, Debug, Default)]
pub struct Replacement {
    /// Scaled by 1e-9.
    pub quantity_e9: i64,
    /// Scaled by 1e-9.
    pub limit_price_e9: i64,
    /// Scaled by 1e-9.
    pub stop_price_e9: i64,
    /// Trail in USD or percent, as the order has it, scaled by 1e-9.
    pub trail_e9: i64,
    /// Time in force.
    pub time_in_force: TimeInForce,
    /// Id of the new order.
    pub client_order_id: ClientOrderId,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Activate(usize),
    Cancel(usize),
    Replace { old: usize, new: usize },
}

/// The engine of one account.
#[derive(Debug)]
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) random: Random,
    pub(crate) now_ns: i64,
    pub(crate) is_session_open: bool,
    session_open_ns: i64,
    session_close_ns: i64,
    pub(crate) orders: Vec<Order>,
    pub(crate) by_id: HashMap<Uuid, usize>,
    pub(crate) by_client_order_id: HashMap<ClientOrderId, usize>,
    pub(crate) open: BTreeSet<usize>,
    pub(crate) books: Vec<Book>,
    by_symbol: HashMap<Symbol, usize>,
    pub(crate) cash_e9: i64,
    pub(crate) fees_paid_e9: i64,
    due: BTreeMap<(i64, u64), Action>,
    sequence: u64,
    pub(crate) events: Vec<Event>,
    /// The account holder's own halt: no new orders.
    pub is_suspended: bool,
    /// Whether the account may sell what it does not hold.
    pub is_shorting_enabled: bool,
}

impl Engine {
    /// An account with cash and no positions; the session is closed until one is set.
    pub fn new(settings: Settings) -> Self {
        Self {
            random: Random::new(settings.seed),
            cash_e9: settings.cash_e9,
            settings,
            now_ns: 0,
            is_session_open: false,
            session_open_ns: i64::MAX,
            session_close_ns: i64::MAX,
            orders: Vec::new(),
            by_id: HashMap::new(),
            by_client_order_id: HashMap::new(),
            open: BTreeSet::new(),
            books: Vec::new(),
            by_symbol: HashMap::new(),
            fees_paid_e9: 0,
            due: BTreeMap::new(),
            sequence: 0,
            events: Vec::new(),
            is_suspended: false,
            is_shorting_enabled: true,
        }
    }

    /// Lets a symbol be traded; nothing changes for a known one.
    pub fn add_asset(&mut self, symbol: Symbol, asset_id: Uuid, is_crypto: bool) {
        if !self.by_symbol.contains_key(&symbol) {
            self.by_symbol.insert(symbol, self.books.len());
            self.books.push(Book {
                symbol,
                asset_id,
                is_crypto,
                ..Book::default()
            });
        }
    }

    /// Sets the regular session that is running or comes next, ns UTC.
    pub fn set_session(&mut self, open_ns: i64, close_ns: i64) {
        self.session_open_ns = open_ns;
        self.session_close_ns = close_ns;
    }

    pub(crate) fn session(&self) -> (i64, i64) {
        (self.session_open_ns, self.session_close_ns)
    }

    /// Every symbol, in the order in which it was added.
    pub fn books(&self) -> &[Book] {
        &self.books
    }

    /// Every order ever taken, oldest first.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// Cash in USD scaled by 1e-9.
    pub fn cash_e9(&self) -> i64 {
        self.cash_e9
    }

    /// Fees paid so far, USD scaled by 1e-9.
    pub fn fees_paid_e9(&self) -> i64 {
        self.fees_paid_e9
    }

    /// Latest time the engine has been told, ns UTC.
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Whether the regular session runs.
    pub fn is_session_open(&self) -> bool {
        self.is_session_open
    }

    /// When something happens next without a quote; nothing when nothing is due.
    pub fn next_due_ns(&self) -> Option<i64> {
        self.due.keys().next().map(|key| key.0)
    }

    /// Takes what happened since the last call, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The order with the venue's id or, for text that is none, with the client's.
    pub fn find(&self, id: Uuid) -> Option<&Order> {
        self.by_id.get(&id).map(|&index| &self.orders[index])
    }

    /// The order with a client order id.
    pub fn find_client(&self, client_order_id: &ClientOrderId) -> Option<&Order> {
        self.by_client_order_id
            .get(client_order_id)
            .map(|&index| &self.orders[index])
    }

    pub(crate) fn book_of(&self, symbol: Symbol) -> Option<usize> {
        self.by_symbol.get(&symbol).copied()
    }

    pub(crate) fn book_index(&self, index: usize) -> usize {
        self.by_symbol[&self.orders[index].symbol]
    }

    /// Brings the engine to a time: what was due happens at its own time, in order. Time never steps back.
    pub fn advance(&mut self, now_ns: i64) {
        loop {
            let due_ns = self.next_due_ns().unwrap_or(i64::MAX);
            let turn_ns = if self.is_session_open {
                self.session_close_ns
            } else if self.now_ns < self.session_close_ns {
                self.session_open_ns
            } else {
                i64::MAX
            };
            let next_ns = due_ns.min(turn_ns);
            if next_ns > now_ns || next_ns == i64::MAX {
                break;
            }
            self.now_ns = self.now_ns.max(next_ns);
            if turn_ns <= due_ns {
                self.turn_session();
            } else if let Some((_, action)) = self.due.pop_first() {
                self.perform(action);
            }
        }
        self.now_ns = self.now_ns.max(now_ns);
    }

    /// Takes a quote: stops are reached, and what it offers is shared out by price and time.
    pub fn on_quote(&mut self, quote: &Quote) {
        let Some(index) = self.book_of(quote.symbol) else {
            return;
        };
        self.advance(quote.ts_event_ns);
        let book = &mut self.books[index];
        book.bid.price_e9 = quote.bid_price_e9;
        book.bid.size_e9 = if quote.bid_price_e9 > 0 { quote.bid_size_e9 } else { 0 };
        book.ask.price_e9 = quote.ask_price_e9;
        book.ask.size_e9 = if quote.ask_price_e9 > 0 { quote.ask_size_e9 } else { 0 };
        if book.first_price_e9 == 0 {
            book.first_price_e9 = book.mark_e9();
        }
        self.match_book(index);
        self.cancel_missed_auction(index);
    }

    /// Takes a public trade: it values positions and moves nothing else.
    pub fn on_trade(&mut self, symbol: Symbol, ts_event_ns: i64, price_e9: i64) {
        if let Some(index) = self.book_of(symbol) {
            self.advance(ts_event_ns);
            self.books[index].last_trade_e9 = price_e9;
        }
    }

    /// Takes a new order; returns its index in [`Self::orders`].
    ///
    /// An empty client order id gets a random one.
    pub fn submit(&mut self, now_ns: i64, request: &OrderIntent, client_order_id: &str) -> Result<usize, Refusal> {
        self.advance(now_ns);
        let client_order_id = self.unused_client_order_id(client_order_id)?;
        self.check_parameters(request)?;
        self.check_account(request)?;
        let index = self.add(Order::of_request(
            request,
            client_order_id,
            Uuid::default(),
            self.now_ns,
        ));
        self.add_legs(index, request);
        self.schedule(Action::Activate(index));
        Ok(index)
    }

    /// Asks for a cancel: 422 when the order has ended, 404 when there is none.
    pub fn cancel(&mut self, now_ns: i64, id: Uuid) -> Result<(), Refusal> {
        self.advance(now_ns);
        let index = self.index_of(id)?;
        let order = &mut self.orders[index];
        if !order.is_open() {
            return Err(Refusal::invalid(format!(
                "order is already in \"{}\" state",
                order.status.label()
            )));
        }
        if order.status != OrderStatus::PENDING_CANCEL {
            order.status = OrderStatus::PENDING_CANCEL;
            order.updated_ns = self.now_ns;
            self.schedule(Action::Cancel(index));
        }
        Ok(())
    }

    /// Asks for a change; returns the index of the order that will take the place of the old one.
    ///
    /// Of a partly filled order the new one asks for the whole quantity again, as the venue does.
    pub fn replace(&mut self, now_ns: i64, id: Uuid, change: &Replacement) -> Result<usize, Refusal> {
        self.advance(now_ns);
        let old = self.index_of(id)?;
        self.check_replacement(old, change)?;
        let client_order_id = self.unused_client_order_id(change.client_order_id.as_str())?;
        let mut order = self.orders[old].clone();
        let or = |new: i64, old: i64| if new == 0 { old } else { new };
        order.id = Uuid::default();
        order.replaces = self.orders[old].id;
        order.client_order_id = client_order_id;
        order.quantity_e9 = or(change.quantity_e9, order.quantity_e9);
        order.limit_price_e9 = or(change.limit_price_e9, order.limit_price_e9);
        order.stop_price_e9 = or(change.stop_price_e9, order.stop_price_e9);
        if order.trail_price_e9 != 0 {
            order.trail_price_e9 = or(change.trail_e9, order.trail_price_e9);
        } else {
            order.trail_percent_e9 = or(change.trail_e9, order.trail_percent_e9);
        }
        if change.time_in_force != TimeInForce::NONE {
            order.time_in_force = change.time_in_force;
        }
        order.status = if self.orders[old].status == OrderStatus::HELD {
            OrderStatus::HELD
        } else {
            OrderStatus::PENDING_NEW
        };
        order.filled_quantity_e9 = 0;
        order.filled_value_e9 = 0;
        order.created_ns = self.now_ns;
        order.updated_ns = self.now_ns;
        order.is_triggered = false;
        let new = self.add(order);
        self.orders[old].status = OrderStatus::PENDING_REPLACE;
        self.orders[old].updated_ns = self.now_ns;
        self.schedule(Action::Replace { old, new });
        Ok(new)
    }

    fn index_of(&self, id: Uuid) -> Result<usize, Refusal> {
        self.by_id
            .get(&id)
            .copied()
            .ok_or_else(|| Refusal::missing(format!("order not found for {id}")))
    }

    pub(crate) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn schedule(&mut self, action: Action) {
        let latency_ns = self
            .random
            .between(self.settings.latency_ns_min, self.settings.latency_ns_max);
        let key = (self.now_ns + latency_ns, self.next_sequence());
        self.due.insert(key, action);
    }

    /// Gives the order an id and remembers it.
    pub(crate) fn add(&mut self, mut order: Order) -> usize {
        order.id = self.random.uuid();
        let index = self.orders.len();
        self.by_id.insert(order.id, index);
        self.by_client_order_id.insert(order.client_order_id, index);
        self.open.insert(index);
        self.orders.push(order);
        index
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Activate(index) => self.activate(index),
            Action::Cancel(index) if self.orders[index].is_open() => {
                self.end(index, OrderStatus::CANCELED, "canceled");
                self.end_family(index, OrderStatus::CANCELED, "canceled");
            }
            // It filled before the cancel took effect.
            Action::Cancel(index) => self.emit(index, "order_cancel_rejected", None),
            Action::Replace { old, new } => self.perform_replace(old, new),
        }
    }

    fn activate(&mut self, index: usize) {
        if !self.orders[index].is_open() {
            return;
        }
        if self.must_wait_for_session(index) {
            let order = &mut self.orders[index];
            if order.status == OrderStatus::PENDING_NEW {
                order.status = OrderStatus::ACCEPTED;
                order.updated_ns = self.now_ns;
                self.emit(index, "accepted", None);
            }
            return;
        }
        self.enter(index);
        self.match_book(self.book_index(index));
        if matches!(self.orders[index].time_in_force, TimeInForce::IOC | TimeInForce::FOK)
            && self.orders[index].is_open()
        {
            self.end(index, OrderStatus::CANCELED, "canceled");
            self.end_family(index, OrderStatus::CANCELED, "canceled");
        }
    }

    fn must_wait_for_session(&self, index: usize) -> bool {
        let order = &self.orders[index];
        if self.books[self.book_index(index)].is_crypto {
            return false;
        }
        order.time_in_force == TimeInForce::CLS || !(self.is_session_open || order.is_extended_hours)
    }

    /// Puts an order into the book of its symbol.
    pub(crate) fn enter(&mut self, index: usize) {
        let priority = self.next_sequence();
        let order = &mut self.orders[index];
        order.priority = priority;
        order.updated_ns = self.now_ns;
        if matches!(order.status, OrderStatus::PENDING_NEW | OrderStatus::ACCEPTED) {
            order.status = OrderStatus::NEW;
            self.emit(index, "new", None);
        }
        let book = self.book_index(index);
        self.books[book].insert(&self.orders, index);
        if self.orders[index].order_class == OrderClass::OCO && self.orders[index].parent.is_none() {
            self.hold_stop_leg(index);
        }
    }

    fn perform_replace(&mut self, old: usize, new: usize) {
        if !self.orders[old].is_open() {
            self.open.remove(&new);
            self.orders[new].status = OrderStatus::REJECTED;
            self.orders[new].failed_ns = self.now_ns;
            self.emit(old, "order_replace_rejected", None);
            return;
        }
        self.orders[old].replaced_by = self.orders[new].id;
        self.adopt_family(old, new);
        self.end(old, OrderStatus::REPLACED, "replaced");
        if self.orders[new].status == OrderStatus::HELD {
            self.hold_again(new);
        } else {
            self.activate(new);
        }
    }

    fn turn_session(&mut self) {
        self.is_session_open = !self.is_session_open;
        let waiting: Vec<usize> = self.open.iter().copied().collect();
        if self.is_session_open {
            for index in waiting {
                if self.orders[index].status == OrderStatus::ACCEPTED && !self.must_wait_for_session(index) {
                    self.enter(index);
                }
            }
        } else {
            self.close_session(&waiting);
        }
    }

    fn close_session(&mut self, waiting: &[usize]) {
        self.is_session_open = true;
        for &index in waiting {
            if self.orders[index].time_in_force == TimeInForce::CLS && self.orders[index].is_open() {
                self.enter(index);
                self.match_book(self.book_index(index));
            }
        }
        self.is_session_open = false;
        for &index in waiting {
            let order = &self.orders[index];
            let is_over = matches!(
                order.time_in_force,
                TimeInForce::DAY | TimeInForce::CLS | TimeInForce::OPG
            );
            if is_over && order.is_open() && !self.books[self.book_index(index)].is_crypto {
                self.end(index, OrderStatus::EXPIRED, "expired");
            }
        }
    }

    /// What the opening auction did not fill is canceled.
    fn cancel_missed_auction(&mut self, book: usize) {
        if !self.is_session_open {
            return;
        }
        let book = &self.books[book];
        let missed: Vec<usize> = [&book.buys, &book.sells]
            .into_iter()
            .flatten()
            .copied()
            .filter(|&index| self.orders[index].time_in_force == TimeInForce::OPG)
            .collect();
        for index in missed {
            self.end(index, OrderStatus::CANCELED, "canceled");
        }
    }

    /// Ends an order without a fill.
    pub(crate) fn end(&mut self, index: usize, status: OrderStatus, event: &'static str) {
        let book = self.book_index(index);
        self.books[book].remove(index);
        self.open.remove(&index);
        let order = &mut self.orders[index];
        order.status = status;
        order.updated_ns = self.now_ns;
        match status {
            OrderStatus::CANCELED => order.canceled_ns = self.now_ns,
            OrderStatus::EXPIRED => order.expired_ns = self.now_ns,
            OrderStatus::REPLACED => order.replaced_ns = self.now_ns,
            _ => {}
        }
        self.emit(index, event, None);
    }

    pub(crate) fn emit(&mut self, index: usize, name: &'static str, execution: Option<Execution>) {
        self.events.push(Event {
            name,
            at_ns: self.now_ns,
            order: self.orders[index].clone(),
            execution,
        });
    }
}
