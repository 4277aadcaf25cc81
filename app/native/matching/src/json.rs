//! Answers in the venue's JSON: every number a string, every time RFC 3339.

use crate::engine::Engine;
use crate::event::{Event, Refusal};
use crate::order::Order;
use holdfast_market::write_rfc3339;
use holdfast_records::{E9, OrderStatus, Side, Uuid, notional_e9};
use std::fmt::Write;

/// A number scaled by 1e-9 as plain decimal text without trailing zeros.
pub fn decimal(value_e9: i64) -> String {
    let sign = if value_e9 < 0 { "-" } else { "" };
    let magnitude = value_e9.unsigned_abs();
    let (whole, fraction) = (magnitude / E9 as u64, magnitude % E9 as u64);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{fraction:09}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// A time as RFC 3339 with nine decimals, UTC.
pub fn rfc3339(time_ns: i64) -> String {
    let mut text = Vec::with_capacity(30);
    write_rfc3339(time_ns, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Text as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => write!(out, "\\u{:04x}", control as u32).unwrap_or_default(),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// One JSON object, built member by member.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::with_capacity(1_024))
    }

    fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(value);
        self
    }

    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw(name, &quoted(value))
    }

    fn number(&mut self, name: &str, value_e9: i64) -> &mut Self {
        self.raw(name, &format!("\"{}\"", decimal(value_e9)))
    }

    fn optional_number(&mut self, name: &str, value_e9: i64) -> &mut Self {
        if value_e9 == 0 {
            self.raw(name, "null")
        } else {
            self.number(name, value_e9)
        }
    }

    fn optional_time(&mut self, name: &str, time_ns: i64) -> &mut Self {
        if time_ns == 0 {
            self.raw(name, "null")
        } else {
            self.text(name, &rfc3339(time_ns))
        }
    }

    fn optional_id(&mut self, name: &str, id: Uuid) -> &mut Self {
        if id.is_nil() {
            self.raw(name, "null")
        } else {
            self.text(name, &id.to_string())
        }
    }

    fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    fn end(&mut self) -> String {
        self.0.push('}');
        std::mem::take(&mut self.0)
    }
}

impl Refusal {
    /// `{"code":..,"message":..}` and the details.
    pub fn to_json(&self) -> String {
        let mut object = Object::new();
        object
            .raw("code", &self.code.to_string())
            .text("message", &self.message);
        for (name, value) in &self.details {
            object.text(name, value);
        }
        object.end()
    }
}

impl Engine {
    /// An order as REST and stream show it. Nested answers carry the legs.
    pub fn order_json(&self, order: &Order, is_nested: bool) -> String {
        let book = self.book_of(order.symbol).map(|index| &self.books[index]);
        let is_crypto = book.is_some_and(|book| book.is_crypto);
        let intent = if order.side == Side::BUY {
            "buy_to_open"
        } else {
            "sell_to_close"
        };
        let legs = if is_nested && !order.legs.is_empty() {
            let legs: Vec<String> = order
                .legs
                .iter()
                .map(|&leg| self.order_json(&self.orders[leg], true))
                .collect();
            format!("[{}]", legs.join(","))
        } else {
            "null".to_owned()
        };
        let mut object = Object::new();
        object
            .text("id", &order.id.to_string())
            .text("client_order_id", order.client_order_id.as_str())
            .text(
                "asset_id",
                &book.map(|book| book.asset_id).unwrap_or_default().to_string(),
            )
            .text("symbol", order.symbol.as_str())
            .text("asset_class", if is_crypto { "crypto" } else { "us_equity" })
            .text("position_intent", intent)
            .raw("legs", &legs)
            .raw("subtag", "null")
            .raw("source", "null")
            .text("expires_at", &rfc3339(self.session().1));
        write_state(&mut object, order);
        write_terms(&mut object, order);
        object.end()
    }

    /// The `data` of a trade update.
    pub fn update_json(&self, event: &Event) -> String {
        let mut object = Object::new();
        object
            .text("event", event.name)
            .text("timestamp", &rfc3339(event.at_ns))
            .text("at", &rfc3339(event.at_ns));
        if let Some(execution) = event.execution {
            object
                .text("execution_id", &execution.id.to_string())
                .number("price", execution.price_e9)
                .number("qty", execution.quantity_e9)
                .number("position_qty", execution.position_quantity_e9);
        }
        object.raw("order", &self.order_json(&event.order, true)).end()
    }

    /// The position of a symbol; nothing when it is flat.
    pub fn position_json(&self, index: usize) -> Option<String> {
        let book = &self.books[index];
        let position = book.position;
        if position.quantity_e9 == 0 {
            return None;
        }
        let (mark_e9, first_e9) = (book.mark_e9(), book.first_price_e9);
        let value_e9 = notional_e9(mark_e9, position.quantity_e9);
        let profit_e9 = value_e9 - position.cost_e9;
        let share = ratio_e9(profit_e9, position.cost_e9.abs());
        let symbol: String = book
            .symbol
            .as_str()
            .chars()
            .filter(|&character| character != '/')
            .collect();
        Some(
            Object::new()
                .text("asset_id", &book.asset_id.to_string())
                .text("symbol", &symbol)
                .text("exchange", if book.is_crypto { "CRYPTO" } else { "NYSE" })
                .text("asset_class", if book.is_crypto { "crypto" } else { "us_equity" })
                .flag("asset_marginable", !book.is_crypto)
                .number("qty", position.quantity_e9)
                .number(
                    "qty_available",
                    self.available_e9(index) * position.quantity_e9.signum(),
                )
                .number("avg_entry_price", position.average_price_e9())
                .text("side", if position.quantity_e9 > 0 { "long" } else { "short" })
                .number("market_value", value_e9)
                .number("cost_basis", position.cost_e9)
                .number("unrealized_pl", profit_e9)
                .number("unrealized_plpc", share)
                .number("unrealized_intraday_pl", profit_e9)
                .number("unrealized_intraday_plpc", share)
                .number("current_price", mark_e9)
                .number("lastday_price", first_e9)
                .number("change_today", ratio_e9(mark_e9 - first_e9, first_e9))
                .end(),
        )
    }

    /// The members of the account that move: amounts, and whether it may trade.
    pub fn account_json(&self) -> String {
        let value = |is_long: bool| -> i64 {
            self.books
                .iter()
                .filter(|book| (book.position.quantity_e9 > 0) == is_long)
                .map(|book| notional_e9(book.mark_e9(), book.position.quantity_e9))
                .sum()
        };
        let (long_e9, short_e9) = (value(true), value(false));
        let gross_e9 = long_e9 - short_e9;
        let equity_e9 = self.equity_e9();
        Object::new()
            .number("cash", self.cash_e9)
            .number("equity", equity_e9)
            .number("portfolio_value", equity_e9)
            .number("last_equity", self.settings.cash_e9)
            .number("long_market_value", long_e9)
            .number("short_market_value", short_e9)
            .number("position_market_value", gross_e9)
            .number("initial_margin", gross_e9 / 2)
            .number("maintenance_margin", gross_e9 / 10 * 3)
            .number("last_maintenance_margin", 0)
            .number("sma", equity_e9)
            .number("buying_power", self.buying_power_e9())
            .number("regt_buying_power", self.buying_power_e9())
            .number("non_marginable_buying_power", self.cash_available_e9())
            .number("options_buying_power", 0)
            .number("accrued_fees", 0)
            .number("multiplier", self.settings.margin_multiplier * E9)
            .flag("trade_suspended_by_user", self.is_suspended)
            .flag("shorting_enabled", self.is_shorting_enabled)
            .end()
    }
}

/// What has become of the order.
fn write_state(object: &mut Object, order: &Order) {
    let is_filled = order.status == OrderStatus::FILLED;
    object
        .text("status", order.status.label())
        .text("created_at", &rfc3339(order.created_ns))
        .text("updated_at", &rfc3339(order.updated_ns))
        .text("submitted_at", &rfc3339(order.created_ns))
        .optional_time("filled_at", if is_filled { order.filled_ns } else { 0 })
        .optional_time("expired_at", order.expired_ns)
        .optional_time("canceled_at", order.canceled_ns)
        .optional_time("failed_at", order.failed_ns)
        .optional_time("replaced_at", order.replaced_ns)
        .optional_id("replaced_by", order.replaced_by)
        .optional_id("replaces", order.replaces)
        .number("filled_qty", order.filled_quantity_e9)
        .optional_number("filled_avg_price", order.average_price_e9())
        .optional_number("hwm", order.high_water_mark_e9);
}

/// What the order asks for.
fn write_terms(object: &mut Object, order: &Order) {
    let is_by_notional = order.notional_e9 != 0;
    object
        .optional_number("notional", order.notional_e9)
        .optional_number("qty", if is_by_notional { 0 } else { order.quantity_e9 })
        .text(
            "order_class",
            if order.order_class.0 == 0 {
                "simple"
            } else {
                order.order_class.label()
            },
        )
        .text("order_type", order.order_type.label())
        .text("type", order.order_type.label())
        .text("side", order.side.label())
        .text("time_in_force", order.time_in_force.label())
        .optional_number("limit_price", order.limit_price_e9)
        .optional_number("stop_price", order.stop_price_e9)
        .optional_number("trail_percent", order.trail_percent_e9)
        .optional_number("trail_price", order.trail_price_e9)
        .flag("extended_hours", order.is_extended_hours);
}

fn ratio_e9(part_e9: i64, whole_e9: i64) -> i64 {
    if whole_e9 == 0 {
        return 0;
    }
    (i128::from(part_e9) * i128::from(E9) / i128::from(whole_e9)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_plain_and_short() {
        for (value_e9, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (-1_500_000_000, "-1.5"),
            (100 * E9, "100"),
        ] {
            assert_eq!(decimal(value_e9), text);
        }
    }

    #[test]
    fn times_are_the_calendar_of_the_day() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(951_782_400_000_000_001), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(rfc3339(1_381_239_000_500_000_000), "2013-10-08T13:30:00.500000000Z");
    }

    #[test]
    fn text_of_a_client_cannot_break_out_of_its_string() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
    }
}
