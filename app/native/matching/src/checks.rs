//! What the venue refuses: wrong parameters, and orders that the account does not allow.

use crate::engine::{Engine, Replacement};
use crate::event::Refusal;
use crate::json::decimal;
use crate::order::{ClientOrderId, Order};
use holdfast_records::{E9, OrderClass, OrderIntent, OrderStatus, OrderType, Side, TimeInForce, notional_e9};

const MINUTE_NS: i64 = 60_000_000_000;
const AUCTION_REOPENS_NS: i64 = 180 * MINUTE_NS;
const CENT_E9: i64 = E9 / 100;
const NOT_UNIQUE: u32 = 40_010_001;

impl Engine {
    pub(crate) fn unused_client_order_id(&mut self, wanted: &str) -> Result<ClientOrderId, Refusal> {
        if wanted.is_empty() {
            return Ok(ClientOrderId::truncated(&self.random.uuid().to_string()));
        }
        let client_order_id = ClientOrderId::new(wanted)
            .ok_or_else(|| Refusal::invalid("client_order_id must be no more than 128 characters").coded(NOT_UNIQUE))?;
        if self.by_client_order_id.contains_key(&client_order_id) {
            return Err(Refusal::invalid("client_order_id must be unique").coded(NOT_UNIQUE));
        }
        Ok(client_order_id)
    }

    /// Refuses what no account could order.
    pub(crate) fn check_parameters(&self, request: &OrderIntent) -> Result<(), Refusal> {
        let book = self
            .book_of(request.symbol)
            .ok_or_else(|| Refusal::invalid(format!("asset \"{}\" not found", request.symbol)))?;
        let is_crypto = self.books[book].is_crypto;
        check_quantity(request, is_crypto)?;
        check_prices(request)?;
        check_class(request)?;
        let time_in_force = request.time_in_force;
        if request.is_extended_hours != 0
            && !(request.order_type == OrderType::LIMIT && matches!(time_in_force, TimeInForce::DAY | TimeInForce::GTC))
        {
            return Err(Refusal::invalid("extended hours order must be DAY or GTC limit orders"));
        }
        if is_crypto {
            return check_crypto(request);
        }
        self.check_auction(time_in_force)
    }

    fn check_auction(&self, time_in_force: TimeInForce) -> Result<(), Refusal> {
        let (open_ns, close_ns) = self.session();
        let (from_ns, word) = match time_in_force {
            TimeInForce::OPG => (open_ns.saturating_sub(2 * MINUTE_NS), "opg"),
            TimeInForce::CLS => (close_ns.saturating_sub(10 * MINUTE_NS), "cls"),
            _ => return Ok(()),
        };
        if self.now_ns >= from_ns && self.now_ns < close_ns.saturating_add(AUCTION_REOPENS_NS) {
            return Err(Refusal::invalid(format!("{word} orders are not accepted at this time")));
        }
        Ok(())
    }

    /// Refuses what this account may not order now.
    pub(crate) fn check_account(&self, request: &OrderIntent) -> Result<(), Refusal> {
        if self.is_suspended {
            return Err(Refusal::forbidden("new orders are rejected by user request"));
        }
        let Some(book) = self.book_of(request.symbol) else {
            return Ok(());
        };
        self.check_wash_trade(request, book)?;
        let position_e9 = self.books[book].position.quantity_e9;
        let closes = if request.side == Side::BUY {
            position_e9 < 0
        } else {
            position_e9 > 0
        };
        let quantity_e9 = self.estimated_quantity_e9(book, request);
        if closes {
            let available_e9 = self.available_e9(book);
            if quantity_e9 <= available_e9 {
                return Ok(());
            }
            return Err(Refusal::forbidden(format!(
                "insufficient qty available for order (requested: {}, available: {})",
                decimal(quantity_e9),
                decimal(available_e9)
            ))
            .with("symbol", request.symbol.to_string())
            .with("existing_qty", decimal(position_e9))
            .with("held_for_orders", decimal(position_e9.abs() - available_e9))
            .with("available", decimal(available_e9)));
        }
        if request.side == Side::SELL {
            self.check_short(book, request)?;
        }
        let cost_e9 = notional_e9(
            self.worst_price_e9(book, request.side, price_bound(request)),
            quantity_e9,
        );
        self.check_cost(cost_e9, self.books[book].is_crypto)
    }

    fn check_cost(&self, cost_e9: i64, is_crypto: bool) -> Result<(), Refusal> {
        let power_e9 = if is_crypto {
            self.cash_available_e9()
        } else {
            self.buying_power_e9()
        };
        if cost_e9 <= power_e9 {
            return Ok(());
        }
        Err(Refusal::forbidden("insufficient buying power")
            .with("buying_power", decimal(power_e9))
            .with("cost_basis", decimal(cost_e9)))
    }

    fn check_short(&self, book: usize, request: &OrderIntent) -> Result<(), Refusal> {
        let book = &self.books[book];
        if book.is_crypto {
            return Err(Refusal::forbidden(format!(
                "insufficient balance for {} (requested: {}, available: 0)",
                book.symbol,
                decimal(request.quantity_e9)
            )));
        }
        if !self.is_shorting_enabled {
            return Err(Refusal::forbidden("account is not allowed to short"));
        }
        if request.quantity_e9 % E9 != 0 || request.notional_e9 != 0 {
            return Err(Refusal::invalid("fractional orders cannot be sold short"));
        }
        Ok(())
    }

    /// An order must not be able to meet an open order of the same account.
    fn check_wash_trade(&self, request: &OrderIntent, book: usize) -> Result<(), Refusal> {
        if is_exempt(request.order_class, request.order_type) {
            return Ok(());
        }
        let meets = |order: &&Order| {
            let own = price_bound(request);
            let other = match order.order_type {
                OrderType::LIMIT | OrderType::STOP_LIMIT => order.limit_price_e9,
                _ => 0,
            };
            let crosses = if request.side == Side::BUY {
                own >= other
            } else {
                own <= other
            };
            order.symbol == self.books[book].symbol
                && order.side != request.side
                && order.status != OrderStatus::HELD
                && !is_exempt(order.order_class, order.order_type)
                && (own == 0 || other == 0 || crosses)
        };
        match self.open.iter().map(|&index| &self.orders[index]).find(meets) {
            None => Ok(()),
            Some(order) => Err(Refusal::forbidden("potential wash trade detected. use complex orders")
                .with("existing_order_id", order.id.to_string())
                .with("reject_reason", "opposite side order exists".to_owned())),
        }
    }

    /// What of the position no open order has reserved, scaled by 1e-9.
    pub fn available_e9(&self, book: usize) -> i64 {
        let position_e9 = self.books[book].position.quantity_e9;
        let closing = if position_e9 > 0 { Side::SELL } else { Side::BUY };
        let reserved_e9: i64 = self
            .reserving()
            .filter(|order| order.symbol == self.books[book].symbol && order.side == closing)
            .map(Order::open_quantity_e9)
            .sum();
        (position_e9.abs() - reserved_e9).max(0)
    }

    /// What shares may still be bought for, USD scaled by 1e-9.
    pub fn buying_power_e9(&self) -> i64 {
        let held_e9: i64 = self
            .books
            .iter()
            .map(|book| notional_e9(book.mark_e9(), book.position.quantity_e9.abs()))
            .sum();
        let equity_e9 = self.equity_e9();
        (equity_e9.saturating_mul(self.settings.margin_multiplier) - held_e9 - self.ordered_e9()).max(0)
    }

    /// Cash that no open order has reserved, USD scaled by 1e-9.
    pub fn cash_available_e9(&self) -> i64 {
        (self.cash_e9 - self.ordered_e9()).max(0)
    }

    /// Cash and the value of every position, USD scaled by 1e-9.
    pub fn equity_e9(&self) -> i64 {
        let positions_e9: i64 = self
            .books
            .iter()
            .map(|book| notional_e9(book.mark_e9(), book.position.quantity_e9))
            .sum();
        self.cash_e9 + positions_e9
    }

    /// The worst case of every open order that opens a position.
    fn ordered_e9(&self) -> i64 {
        self.reserving()
            .filter_map(|order| {
                let book = self.book_of(order.symbol)?;
                let position_e9 = self.books[book].position.quantity_e9;
                let opens = if order.side == Side::BUY {
                    position_e9 >= 0
                } else {
                    position_e9 <= 0
                };
                let bound_e9 = if order.limit_price_e9 > 0 {
                    order.limit_price_e9
                } else {
                    order.stop_price_e9
                };
                opens.then(|| match (order.quantity_e9, order.notional_e9) {
                    (0, notional_e9) => notional_e9,
                    _ => notional_e9(
                        self.worst_price_e9(book, order.side, bound_e9),
                        order.open_quantity_e9(),
                    ),
                })
            })
            .sum()
    }

    /// Open orders that reserve: held legs and replacements not yet in force do not.
    fn reserving(&self) -> impl Iterator<Item = &Order> {
        self.open.iter().map(|&index| &self.orders[index]).filter(|order| {
            let is_pending_replacement = order.status == OrderStatus::PENDING_NEW && !order.replaces.is_nil();
            order.status != OrderStatus::HELD && !is_pending_replacement
        })
    }

    /// A short sale counts at least 1.03 times the ask.
    fn worst_price_e9(&self, book: usize, side: Side, bound_e9: i64) -> i64 {
        let book = &self.books[book];
        let ask_e9 = if book.ask.price_e9 > 0 {
            book.ask.price_e9
        } else {
            book.mark_e9()
        };
        match (side, bound_e9) {
            (Side::BUY, 0) => ask_e9,
            (Side::BUY, bound_e9) => bound_e9,
            (_, bound_e9) => bound_e9.max(ask_e9 / 100 * 103),
        }
    }

    fn estimated_quantity_e9(&self, book: usize, request: &OrderIntent) -> i64 {
        let price_e9 = self.books[book].mark_e9();
        match (request.quantity_e9, price_e9) {
            (0, 0) => 0,
            (0, price_e9) => (i128::from(request.notional_e9) * i128::from(E9) / i128::from(price_e9)) as i64,
            (quantity_e9, _) => quantity_e9,
        }
    }

    pub(crate) fn check_replacement(&self, old: usize, change: &Replacement) -> Result<(), Refusal> {
        let order = &self.orders[old];
        if !matches!(
            order.status,
            OrderStatus::NEW | OrderStatus::PARTIALLY_FILLED | OrderStatus::HELD
        ) {
            return Err(Refusal::invalid(format!(
                "unable to replace order, order isn't sent to exchange yet or has ended: {}",
                order.status.label()
            )));
        }
        if order.notional_e9 != 0 {
            return Err(Refusal::invalid("notional orders cannot be replaced"));
        }
        if change.quantity_e9 < 0 || change.quantity_e9 % E9 != 0 {
            return Err(Refusal::invalid("qty must be a whole number of shares"));
        }
        for price_e9 in [change.limit_price_e9, change.stop_price_e9] {
            check_increment(price_e9)?;
        }
        let Some(book) = self.book_of(order.symbol) else {
            return Ok(());
        };
        let quantity_e9 = if change.quantity_e9 == 0 {
            order.quantity_e9
        } else {
            change.quantity_e9
        };
        let position_e9 = self.books[book].position.quantity_e9;
        let closes = if order.side == Side::BUY {
            position_e9 < 0
        } else {
            position_e9 > 0
        };
        if order.status == OrderStatus::HELD {
            return Ok(());
        }
        if closes {
            let available_e9 = self.available_e9(book) + order.open_quantity_e9();
            if quantity_e9 > available_e9 {
                return Err(Refusal::forbidden(format!(
                    "insufficient qty available for order (requested: {}, available: {})",
                    decimal(quantity_e9),
                    decimal(available_e9)
                )));
            }
            return Ok(());
        }
        let limit_e9 = if change.limit_price_e9 == 0 {
            order.limit_price_e9
        } else {
            change.limit_price_e9
        };
        let bound_e9 = if limit_e9 == 0 {
            change.stop_price_e9.max(order.stop_price_e9)
        } else {
            limit_e9
        };
        let cost_e9 = notional_e9(self.worst_price_e9(book, order.side, bound_e9), quantity_e9);
        let freed_e9 = notional_e9(
            self.worst_price_e9(book, order.side, order.limit_price_e9),
            order.open_quantity_e9(),
        );
        self.check_cost(cost_e9 - freed_e9, self.books[book].is_crypto)
    }
}

/// The worst price the request allows, 0 for any.
fn price_bound(request: &OrderIntent) -> i64 {
    match request.order_type {
        OrderType::LIMIT | OrderType::STOP_LIMIT => request.limit_price_e9,
        _ => 0,
    }
}

fn is_exempt(class: OrderClass, order_type: OrderType) -> bool {
    matches!(class, OrderClass::BRACKET | OrderClass::OCO | OrderClass::OTO) || order_type == OrderType::TRAILING_STOP
}

fn check_quantity(request: &OrderIntent, is_crypto: bool) -> Result<(), Refusal> {
    if (request.quantity_e9 != 0) == (request.notional_e9 != 0) {
        return Err(Refusal::invalid("exactly one of qty and notional is required").coded(40_010_001));
    }
    if request.quantity_e9 < 0 || request.notional_e9 < 0 {
        return Err(Refusal::invalid("qty must be > 0"));
    }
    let is_fractional = request.quantity_e9 % E9 != 0 || request.notional_e9 != 0;
    if is_fractional && !is_crypto && request.time_in_force != TimeInForce::DAY {
        return Err(Refusal::invalid("fractional orders must be DAY orders"));
    }
    if request.notional_e9 != 0 && (request.order_type != OrderType::MARKET || request.notional_e9 < E9) {
        return Err(Refusal::invalid("notional must be >= 1.00 and is for market orders"));
    }
    if is_fractional && !matches!(request.order_class, OrderClass::NONE | OrderClass::SIMPLE) {
        return Err(Refusal::invalid("fractional orders must be simple orders"));
    }
    Ok(())
}

/// Two decimals from one dollar on, four below.
fn check_increment(price_e9: i64) -> Result<(), Refusal> {
    let step_e9 = if price_e9 >= E9 { CENT_E9 } else { CENT_E9 / 100 };
    if price_e9 < 0 || price_e9 % step_e9 != 0 {
        return Err(Refusal::invalid(format!(
            "invalid price {}. sub-penny increment does not fulfill minimum pricing criteria",
            decimal(price_e9)
        )));
    }
    Ok(())
}

fn check_prices(request: &OrderIntent) -> Result<(), Refusal> {
    let has = |price_e9: i64, is_needed: bool, name: &str, word: &str| match (price_e9 > 0, is_needed) {
        (false, true) => Err(Refusal::invalid(format!("{word} orders require a {name}"))),
        (true, false) => Err(Refusal::invalid(format!("{word} orders must not have a {name}"))),
        _ => Ok(()),
    };
    let (word, order_type) = (request.order_type.label(), request.order_type);
    if order_type == OrderType::NONE {
        return Err(Refusal::invalid("invalid order type"));
    }
    let is_oco = request.order_class == OrderClass::OCO;
    has(
        request.limit_price_e9,
        matches!(order_type, OrderType::LIMIT | OrderType::STOP_LIMIT),
        "limit_price",
        word,
    )?;
    if !is_oco {
        has(
            request.stop_price_e9,
            matches!(order_type, OrderType::STOP | OrderType::STOP_LIMIT),
            "stop_price",
            word,
        )?;
    }
    let trails = i32::from(request.trail_price_e9 > 0) + i32::from(request.trail_percent_e9 > 0);
    if trails != i32::from(order_type == OrderType::TRAILING_STOP) {
        return Err(Refusal::invalid(
            "trailing_stop orders require exactly one of trail_price and trail_percent",
        ));
    }
    let is_crypto_priced = request.symbol.is_crypto_pair();
    for price_e9 in [
        request.limit_price_e9,
        request.stop_price_e9,
        request.take_profit_price_e9,
        request.stop_loss_price_e9,
        request.stop_loss_limit_price_e9,
    ] {
        if !is_crypto_priced {
            check_increment(price_e9)?;
        }
    }
    if matches!(
        order_type,
        OrderType::STOP | OrderType::TRAILING_STOP | OrderType::STOP_LIMIT
    ) && !matches!(request.time_in_force, TimeInForce::DAY | TimeInForce::GTC)
    {
        return Err(Refusal::invalid(format!("{word} orders must be DAY or GTC")));
    }
    Ok(())
}

fn check_class(request: &OrderIntent) -> Result<(), Refusal> {
    let profit_e9 = request.take_profit_price_e9;
    let loss_e9 = request.stop_loss_price_e9;
    let class = request.order_class;
    let word = class.label();
    if matches!(class, OrderClass::NONE | OrderClass::SIMPLE) {
        return if profit_e9 > 0 || loss_e9 > 0 {
            Err(Refusal::invalid("simple orders must not have take_profit or stop_loss"))
        } else {
            Ok(())
        };
    }
    if !matches!(request.time_in_force, TimeInForce::DAY | TimeInForce::GTC) {
        return Err(Refusal::invalid(format!("{word} orders must be DAY or GTC")));
    }
    let needs_both = class != OrderClass::OTO;
    if needs_both && (profit_e9 <= 0 || loss_e9 <= 0) {
        return Err(Refusal::invalid(format!(
            "{word} orders require take_profit.limit_price and stop_loss.stop_price"
        )));
    }
    if !needs_both && (profit_e9 > 0) == (loss_e9 > 0) {
        return Err(Refusal::invalid(
            "oto orders require exactly one of take_profit and stop_loss",
        ));
    }
    if class == OrderClass::OCO && request.order_type != OrderType::LIMIT {
        return Err(Refusal::invalid("oco orders must be limit orders"));
    }
    // The exits of an entry stand on its other side; an oco is itself the exit.
    let exit_is_sale = (request.side == Side::BUY) != (class == OrderClass::OCO);
    if profit_e9 > 0 && loss_e9 > 0 && (profit_e9 > loss_e9) != exit_is_sale {
        return Err(Refusal::invalid(
            "take_profit.limit_price must be on the profitable side of stop_loss.stop_price",
        ));
    }
    Ok(())
}

fn check_crypto(request: &OrderIntent) -> Result<(), Refusal> {
    if !matches!(request.time_in_force, TimeInForce::GTC | TimeInForce::IOC) {
        return Err(Refusal::invalid("invalid crypto time_in_force"));
    }
    if !matches!(
        request.order_type,
        OrderType::MARKET | OrderType::LIMIT | OrderType::STOP_LIMIT
    ) {
        return Err(Refusal::invalid("invalid order type for crypto order"));
    }
    if !matches!(request.order_class, OrderClass::NONE | OrderClass::SIMPLE) {
        return Err(Refusal::invalid("crypto orders must be simple orders"));
    }
    Ok(())
}
