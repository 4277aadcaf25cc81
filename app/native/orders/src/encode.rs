//! The bytes of the requests that change orders: only an [`Approved`] decision can become one.

use crate::decimal::Decimal;
use core::fmt;
use holdfast_records::{Decision, E9, IntentAction, OrderClass, OrderType, Side, TimeInForce, Uuid, Verdict};
use std::io::Write;

/// Largest head (host, keys and other constant header lines) that a request takes.
pub const HEAD_BYTES_MAX: usize = 4096;

const CENT_E9: i64 = E9 / 100;

/// A decision that the risk gate approved: the only key to the venue's gateway.
#[derive(Clone, Copy, Debug)]
pub struct Approved<'a>(&'a Decision);

impl<'a> Approved<'a> {
    /// Takes a decision if it is an approval, or nothing.
    pub fn new(decision: &'a Decision) -> Option<Self> {
        (decision.verdict == Verdict::APPROVED && !decision.client_order_id.is_empty()).then_some(Self(decision))
    }

    /// The decision.
    pub fn decision(self) -> &'a Decision {
        self.0
    }
}

/// Why a decision cannot be written as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The head is too long or does not end a line.
    Head,
    /// The action is not the one this request performs.
    Action,
    /// A text field holds what JSON or a path would have to escape.
    Text,
    /// Neither or both of quantity and notional, or one that is not positive.
    Quantity,
    /// A price that the order type needs is missing, negative, or below the smallest increment.
    Price,
    /// The combination of order type, time in force, order class and extended hours does not exist.
    Combination,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Head => "head: expected header lines that each end with CRLF",
            Self::Action => "action: expected the one this request performs",
            Self::Text => "symbol or id: expected letters, digits and . / _ -",
            Self::Quantity => "quantity: expected exactly one of quantity and notional, above zero",
            Self::Price => "price: expected every price the order type needs, at least one increment",
            Self::Combination => "order: expected an existing combination of type, time in force, class and hours",
        })
    }
}

impl std::error::Error for EncodeError {}

/// Which way a price is moved to the venue's increment.
#[derive(Clone, Copy)]
enum Rounding {
    Down,
    Up,
}

impl Rounding {
    /// A limit price moves to its passive side, so that a fill is never worse than approved.
    fn of_limit(side: Side) -> Self {
        if side == Side::BUY { Self::Down } else { Self::Up }
    }

    /// A stop price moves away from the market, so that it triggers no earlier than approved.
    fn of_stop(side: Side) -> Self {
        if side == Side::BUY { Self::Up } else { Self::Down }
    }
}

/// Appends `POST /v2/orders` for a new order. `head` holds the constant header lines, each ended by CRLF.
///
/// Prices are rounded to the increment (equities: 0.01 from 1 USD on, 0.0001 below; crypto: 1e-9): limits to the
/// passive side, stops away from the market. A notional is rounded down to cents.
pub fn encode_new(approved: Approved<'_>, head: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let decision = approved.0;
    if decision.action != IntentAction::NEW {
        return Err(EncodeError::Action);
    }
    check_combination(decision)?;
    let mut body = Body::new(decision)?;
    body.text("symbol", decision.symbol.as_str())?;
    // A converted order keeps the amount it was asked for beside the quantity that it became.
    let notional_e9 = if decision.is_converted != 0 {
        0
    } else {
        decision.notional_e9
    };
    match (decision.quantity_e9, notional_e9) {
        (quantity, 0) if quantity > 0 => body.number("qty", quantity),
        (0, notional) if notional >= CENT_E9 => body.number("notional", notional - notional % CENT_E9),
        _ => return Err(EncodeError::Quantity),
    }
    body.text("side", decision.side.label())?;
    body.text("type", decision.order_type.label())?;
    body.text("time_in_force", decision.time_in_force.label())?;
    body.prices()?;
    if decision.is_extended_hours != 0 {
        body.raw("\"extended_hours\":true");
    }
    body.legs()?;
    body.text("client_order_id", decision.client_order_id.as_str())?;
    finish(b"POST /v2/orders HTTP/1.1\r\n", head, &body.bytes, out)
}

/// Appends `PATCH /v2/orders/{target}` for a replacement. Rounding as in [`encode_new`]; quantity 0 keeps the old one.
pub fn encode_replace(approved: Approved<'_>, target: Uuid, head: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let decision = approved.0;
    if decision.action != IntentAction::REPLACE || target.is_nil() {
        return Err(EncodeError::Action);
    }
    if decision.notional_e9 != 0 || decision.quantity_e9 < 0 || decision.quantity_e9 % E9 != 0 {
        return Err(EncodeError::Quantity);
    }
    let mut body = Body::new(decision)?;
    if decision.quantity_e9 > 0 {
        body.number("qty", decision.quantity_e9);
    }
    if decision.time_in_force != TimeInForce::NONE {
        body.text("time_in_force", decision.time_in_force.label())?;
    }
    body.price(
        "limit_price",
        decision.limit_price_e9,
        Rounding::of_limit(decision.side),
    )?;
    body.price("stop_price", decision.stop_price_e9, Rounding::of_stop(decision.side))?;
    if decision.trail_price_e9 > 0 || decision.trail_percent_e9 > 0 {
        let trail = decision.trail_price_e9.max(decision.trail_percent_e9);
        body.number("trail", trail);
    }
    body.text("client_order_id", decision.client_order_id.as_str())?;
    finish(
        format!("PATCH /v2/orders/{target} HTTP/1.1\r\n").as_bytes(),
        head,
        &body.bytes,
        out,
    )
}

/// A converted order keeps the amount that it was asked for beside the quantity that it became.
fn notional_of(decision: &Decision) -> i64 {
    decision.notional_e9 * i64::from(decision.is_converted == 0)
}

fn check_combination(decision: &Decision) -> Result<(), EncodeError> {
    let has = |price: i64| price > 0;
    let kind = decision.order_type;
    let (profit, stop) = (has(decision.take_profit_price_e9), has(decision.stop_loss_price_e9));
    let class_fits = match decision.order_class {
        OrderClass::NONE | OrderClass::SIMPLE => !profit && !stop,
        OrderClass::BRACKET => profit && stop,
        OrderClass::OCO => profit && stop && kind == OrderType::LIMIT,
        OrderClass::OTO => profit != stop,
        _ => false,
    };
    let is_day_or_gtc = matches!(decision.time_in_force, TimeInForce::DAY | TimeInForce::GTC);
    let hours_fit = decision.is_extended_hours == 0 || (kind == OrderType::LIMIT && is_day_or_gtc);
    let notional_fits =
        notional_of(decision) == 0 || (kind == OrderType::MARKET && decision.time_in_force == TimeInForce::DAY);
    let trail_fits = kind != OrderType::TRAILING_STOP
        || (is_day_or_gtc && has(decision.trail_price_e9) != has(decision.trail_percent_e9));
    let is_known = !matches!(decision.time_in_force, TimeInForce::NONE)
        && matches!(decision.side, Side::BUY | Side::SELL)
        && kind != OrderType::NONE;
    if class_fits && hours_fit && notional_fits && trail_fits && is_known {
        Ok(())
    } else {
        Err(EncodeError::Combination)
    }
}

/// A JSON object under construction.
struct Body<'a> {
    decision: &'a Decision,
    is_crypto: bool,
    bytes: Vec<u8>,
}

impl<'a> Body<'a> {
    fn new(decision: &'a Decision) -> Result<Self, EncodeError> {
        let mut bytes = Vec::with_capacity(512);
        bytes.push(b'{');
        let is_crypto = decision.symbol.is_crypto_pair();
        if decision.symbol.is_empty() {
            return Err(EncodeError::Text);
        }
        Ok(Self {
            decision,
            is_crypto,
            bytes,
        })
    }

    fn raw(&mut self, member: &str) {
        if self.bytes.last() != Some(&b'{') {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(member.as_bytes());
    }

    fn text(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_' | b'-');
        if value.is_empty() || !value.bytes().all(is_plain) {
            return Err(EncodeError::Text);
        }
        self.raw(&format!("\"{name}\":\"{value}\""));
        Ok(())
    }

    fn number(&mut self, name: &str, value_e9: i64) {
        self.raw(&format!("\"{name}\":\"{}\"", Decimal(value_e9)));
    }

    /// Writes a price at its increment; 0 is absent.
    fn price(&mut self, name: &str, price_e9: i64, rounding: Rounding) -> Result<(), EncodeError> {
        if price_e9 == 0 {
            return Ok(());
        }
        let increment_e9 = if self.is_crypto {
            1
        } else if price_e9 >= E9 {
            CENT_E9
        } else {
            E9 / 10_000
        };
        let excess = price_e9.rem_euclid(increment_e9);
        let rounded = match rounding {
            Rounding::Up if excess != 0 => price_e9.saturating_add(increment_e9 - excess),
            _ => price_e9 - excess,
        };
        if rounded <= 0 {
            return Err(EncodeError::Price);
        }
        self.number(name, rounded);
        Ok(())
    }

    fn prices(&mut self) -> Result<(), EncodeError> {
        let decision = self.decision;
        let (needs_limit, needs_stop) = match decision.order_type {
            OrderType::LIMIT => (decision.order_class != OrderClass::OCO, false),
            OrderType::STOP => (false, true),
            OrderType::STOP_LIMIT => (true, true),
            _ => (false, false),
        };
        let is_limited = matches!(decision.order_type, OrderType::LIMIT | OrderType::STOP_LIMIT);
        if (needs_limit && decision.limit_price_e9 <= 0) || (needs_stop && decision.stop_price_e9 <= 0) {
            return Err(EncodeError::Price);
        }
        if is_limited {
            self.price(
                "limit_price",
                decision.limit_price_e9,
                Rounding::of_limit(decision.side),
            )?;
        }
        if needs_stop {
            self.price("stop_price", decision.stop_price_e9, Rounding::of_stop(decision.side))?;
        }
        if decision.order_type == OrderType::TRAILING_STOP {
            if decision.trail_price_e9 > 0 {
                return self.price("trail_price", decision.trail_price_e9, Rounding::Up);
            }
            self.number("trail_percent", decision.trail_percent_e9);
        }
        Ok(())
    }

    /// Writes class, take-profit and stop-loss. The legs exit: their side is the opposite, except an OCO's.
    fn legs(&mut self) -> Result<(), EncodeError> {
        let decision = self.decision;
        if matches!(decision.order_class, OrderClass::NONE | OrderClass::SIMPLE) {
            return Ok(());
        }
        let exit = match (decision.order_class, decision.side) {
            (OrderClass::OCO, side) => side,
            (_, Side::BUY) => Side::SELL,
            _ => Side::BUY,
        };
        self.text("order_class", decision.order_class.label())?;
        if decision.take_profit_price_e9 > 0 {
            self.raw("\"take_profit\":{");
            self.price("limit_price", decision.take_profit_price_e9, Rounding::of_limit(exit))?;
            self.bytes.push(b'}');
        }
        if decision.stop_loss_price_e9 > 0 {
            self.raw("\"stop_loss\":{");
            self.price("stop_price", decision.stop_loss_price_e9, Rounding::of_stop(exit))?;
            self.price(
                "limit_price",
                decision.stop_loss_limit_price_e9,
                Rounding::of_limit(exit),
            )?;
            self.bytes.push(b'}');
        }
        Ok(())
    }
}

fn finish(line: &[u8], head: &[u8], body: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if head.len() > HEAD_BYTES_MAX || !head.ends_with(b"\r\n") || head.windows(4).any(|four| four == b"\r\n\r\n") {
        return Err(EncodeError::Head);
    }
    out.reserve(line.len() + head.len() + body.len() + 80);
    out.extend_from_slice(line);
    out.extend_from_slice(head);
    write!(
        out,
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len() + 1
    )
    .map_err(|_| EncodeError::Head)?;
    out.extend_from_slice(body);
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_records::Text;
    use proptest::prelude::*;

    const HEAD: &[u8] = b"Host: venue\r\nAPCA-API-KEY-ID: k\r\n";

    fn text<const N: usize>(value: &str) -> Text<N> {
        Text::new(value).expect("fits")
    }

    fn limit_buy() -> Decision {
        Decision {
            symbol: text("IBM"),
            client_order_id: text("hf-1a-2b"),
            verdict: Verdict::APPROVED,
            action: IntentAction::NEW,
            side: Side::BUY,
            order_type: OrderType::LIMIT,
            time_in_force: TimeInForce::DAY,
            quantity_e9: 10 * E9,
            limit_price_e9: 101_239_000_000,
            ..Decision::default()
        }
    }

    fn body(decision: &Decision) -> Result<String, EncodeError> {
        let mut out = Vec::new();
        let approved = Approved::new(decision).expect("approved");
        encode_new(approved, HEAD, &mut out)?;
        let request = String::from_utf8(out).expect("text");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("POST /v2/orders HTTP/1.1\r\nHost: venue\r\n"));
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        Ok(body.to_owned())
    }

    #[test]
    fn a_limit_order_is_written_at_the_passive_increment() {
        assert_eq!(
            body(&limit_buy()).as_deref(),
            Ok(
                r#"{"symbol":"IBM","qty":"10","side":"buy","type":"limit","time_in_force":"day","limit_price":"101.23","client_order_id":"hf-1a-2b"}"#
            )
        );
        let sell = Decision {
            side: Side::SELL,
            ..limit_buy()
        };
        assert!(body(&sell).expect("sell").contains(r#""limit_price":"101.24""#));
        let penny = Decision {
            limit_price_e9: 123_456_789,
            ..limit_buy()
        };
        assert!(body(&penny).expect("penny").contains(r#""limit_price":"0.1234""#));
        let coin = Decision {
            symbol: text("BTC/USD"),
            limit_price_e9: 123_456_789,
            ..limit_buy()
        };
        assert!(body(&coin).expect("coin").contains(r#""limit_price":"0.123456789""#));
    }

    #[test]
    fn a_bracket_names_its_legs_on_the_exit_side() {
        let bracket = Decision {
            order_class: OrderClass::BRACKET,
            take_profit_price_e9: 105_001_000_000,
            stop_loss_price_e9: 99_999_000_000,
            stop_loss_limit_price_e9: 99_001_000_000,
            ..limit_buy()
        };
        assert!(body(&bracket).expect("bracket").contains(
            r#""order_class":"bracket","take_profit":{"limit_price":"105.01"},"stop_loss":{"stop_price":"99.99","limit_price":"99.01"}"#
        ));
        let one_leg = Decision {
            take_profit_price_e9: 0,
            ..bracket
        };
        assert_eq!(body(&one_leg), Err(EncodeError::Combination));
        let oto = Decision {
            order_class: OrderClass::OTO,
            ..one_leg
        };
        assert!(body(&oto).is_ok());
    }

    #[test]
    fn every_type_needs_its_prices() {
        let plain = Decision {
            limit_price_e9: 0,
            ..limit_buy()
        };
        assert_eq!(body(&plain), Err(EncodeError::Price));
        for (order_type, expected) in [
            (OrderType::STOP, r#""stop_price":"5""#),
            (OrderType::STOP_LIMIT, r#""limit_price":"101.23","stop_price":"5""#),
        ] {
            assert_eq!(
                body(&Decision {
                    order_type,
                    ..limit_buy()
                }),
                Err(EncodeError::Price)
            );
            let whole = Decision {
                order_type,
                stop_price_e9: 5 * E9,
                ..limit_buy()
            };
            assert!(body(&whole).expect("stop").contains(expected));
        }
        let trailing = Decision {
            order_type: OrderType::TRAILING_STOP,
            ..plain
        };
        assert_eq!(body(&trailing), Err(EncodeError::Combination));
        let percent = Decision {
            trail_percent_e9: 1_500_000_000,
            ..trailing
        };
        assert!(body(&percent).expect("trail").contains(r#""trail_percent":"1.5""#));
    }

    #[test]
    fn combinations_that_do_not_exist_are_refused() {
        let refused = [
            Decision {
                is_extended_hours: 1,
                time_in_force: TimeInForce::IOC,
                ..limit_buy()
            },
            Decision {
                time_in_force: TimeInForce::NONE,
                ..limit_buy()
            },
            Decision {
                quantity_e9: 0,
                notional_e9: 5 * E9,
                ..limit_buy()
            },
            Decision {
                side: Side::NONE,
                ..limit_buy()
            },
        ];
        for decision in refused {
            assert_eq!(body(&decision), Err(EncodeError::Combination));
        }
        assert_eq!(
            body(&Decision {
                quantity_e9: 0,
                ..limit_buy()
            }),
            Err(EncodeError::Quantity)
        );
        assert_eq!(
            body(&Decision {
                quantity_e9: -E9,
                ..limit_buy()
            }),
            Err(EncodeError::Quantity)
        );
        assert_eq!(
            body(&Decision {
                symbol: text("A\",\"x"),
                ..limit_buy()
            }),
            Err(EncodeError::Text)
        );
        assert_eq!(
            body(&Decision {
                action: IntentAction::CANCEL,
                ..limit_buy()
            }),
            Err(EncodeError::Action)
        );
    }

    #[test]
    fn only_an_approval_becomes_a_request() {
        assert!(
            Approved::new(&Decision {
                verdict: Verdict::DENIED,
                ..limit_buy()
            })
            .is_none()
        );
        assert!(
            Approved::new(&Decision {
                client_order_id: Text::default(),
                ..limit_buy()
            })
            .is_none()
        );
    }

    #[test]
    fn a_head_cannot_end_the_headers() {
        let decision = limit_buy();
        for head in [&b"Host: venue"[..], b"A: b\r\n\r\nX: y\r\n"] {
            let approved = Approved::new(&decision).expect("approved");
            assert_eq!(encode_new(approved, head, &mut Vec::new()), Err(EncodeError::Head));
        }
    }

    #[test]
    fn a_replacement_names_its_target() {
        let decision = Decision {
            action: IntentAction::REPLACE,
            ..limit_buy()
        };
        let target = Uuid::parse("61e69015-8549-4bfd-b9c3-01e75843f47d").expect("uuid");
        let mut out = Vec::new();
        encode_replace(Approved::new(&decision).expect("approved"), target, HEAD, &mut out).expect("encodes");
        let request = String::from_utf8(out).expect("text");
        assert!(request.starts_with("PATCH /v2/orders/61e69015-8549-4bfd-b9c3-01e75843f47d HTTP/1.1\r\n"));
        assert!(
            request
                .ends_with(r#"{"qty":"10","time_in_force":"day","limit_price":"101.23","client_order_id":"hf-1a-2b"}"#)
        );
        let fraction = Decision {
            quantity_e9: E9 / 2,
            ..decision
        };
        let approved = Approved::new(&fraction).expect("approved");
        assert_eq!(
            encode_replace(approved, target, HEAD, &mut Vec::new()),
            Err(EncodeError::Quantity)
        );
    }

    proptest! {
        #[test]
        fn decimals_are_exact(value: i64) {
            let text = Decimal(value).to_string();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            prop_assert!(fraction.len() <= 9 && !fraction.ends_with('0'));
            let digits = format!("{whole}{fraction:0<9}");
            prop_assert_eq!(digits.parse::<i128>().expect("digits"), i128::from(value));
        }

        #[test]
        fn a_rounded_limit_is_never_worse_than_approved(price in 100_000..i64::MAX / 2, is_buy: bool) {
            let side = if is_buy { Side::BUY } else { Side::SELL };
            let body = body(&Decision { side, limit_price_e9: price, ..limit_buy() }).expect("encodes");
            let sent = body.split("\"limit_price\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a price");
            let (whole, fraction) = sent.split_once('.').unwrap_or((sent, ""));
            let places = if price >= E9 { 2 } else { 4 };
            prop_assert!(fraction.len() <= places);
            let sent: i64 = format!("{whole}{fraction:0<9}").parse().expect("digits");
            let is_passive = if is_buy { sent <= price } else { sent >= price };
            prop_assert!(is_passive);
            prop_assert!((sent - price).abs() < E9 / 100);
        }
    }
}
