//! Records as Alpaca's market-data frames: the venue's direction.
//!
//! Numbers are JSON numbers; in msgpack prices are floats, whole sizes integers and times timestamps.

use crate::decode::Encoding;
use crate::number::{to_float, write_e9, write_integer};
use crate::time::write_rfc3339;
use holdfast_records::{
    AnyRecord, Bar, BarKind, BookAction, BookDelta, E9, Quote, Side, StatusCode, Text, Trade, TradeAction,
    TradingStatus,
};

/// A record that has no message in the market-data stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMarketData;

/// Writes one frame with a message for each record; the deltas of one book message are joined.
pub fn encode_frame(records: &[AnyRecord<'_>], encoding: Encoding) -> Result<Vec<u8>, NotMarketData> {
    match encoding {
        Encoding::Json => encode::<JsonText>(records),
        Encoding::Msgpack => encode::<Msgpack>(records),
    }
}

/// What an encoding can write. `count` is the number of fields or elements that follow.
trait Writer: Default {
    fn list(&mut self, count: usize);
    fn list_end(&mut self);
    fn map(&mut self, count: usize);
    fn map_end(&mut self);
    /// The name of the next field; names need no escapes.
    fn name(&mut self, name: &str);
    /// The next element of a list follows.
    fn element(&mut self);
    fn text(&mut self, text: &str);
    fn amount(&mut self, value_e9: i64);
    fn integer(&mut self, value: u64);
    fn flag(&mut self, value: bool);
    fn time(&mut self, time_ns: i64);
    fn into_bytes(self) -> Vec<u8>;
}

fn encode<W: Writer>(records: &[AnyRecord<'_>]) -> Result<Vec<u8>, NotMarketData> {
    let mut writer = W::default();
    let count = records
        .iter()
        .filter(|record| !matches!(record, AnyRecord::BookDelta(delta) if delta.is_last == 0))
        .count();
    let is_cut = matches!(records.last(), Some(AnyRecord::BookDelta(delta)) if delta.is_last == 0);
    writer.list(count + usize::from(is_cut));
    let mut deltas = Vec::new();
    for (index, record) in records.iter().enumerate() {
        match record {
            AnyRecord::Quote(quote) => {
                writer.element();
                put_quote(&mut writer, quote);
            }
            AnyRecord::Trade(trade) => {
                writer.element();
                put_trade(&mut writer, trade);
            }
            AnyRecord::Bar(bar) => {
                writer.element();
                put_bar(&mut writer, bar);
            }
            AnyRecord::TradingStatus(status) => {
                writer.element();
                put_status(&mut writer, status);
            }
            AnyRecord::BookDelta(delta) => {
                deltas.push(**delta);
                if delta.is_last != 0 || index + 1 == records.len() {
                    writer.element();
                    put_book(&mut writer, &deltas);
                    deltas.clear();
                }
            }
            _ => return Err(NotMarketData),
        }
    }
    writer.list_end();
    Ok(writer.into_bytes())
}

impl<W: Writer> Fields for W {}

/// Fields of several messages.
trait Fields: Writer {
    fn text_field(&mut self, name: &str, text: &str) {
        self.name(name);
        self.text(text);
    }
    fn amount_field(&mut self, name: &str, value_e9: i64) {
        self.name(name);
        self.amount(value_e9);
    }
    fn letter_field(&mut self, name: &str, letter: u8) {
        let text = [letter];
        let text = core::str::from_utf8(&text)
            .ok()
            .filter(|_| letter != 0)
            .unwrap_or_default();
        self.text_field(name, text);
    }
    fn conditions_field(&mut self, name: &str, conditions: Text<4>) {
        self.name(name);
        let text = conditions.as_str();
        self.list(text.chars().count());
        for letter in text.chars() {
            self.element();
            self.text(letter.encode_utf8(&mut [0; 4]));
        }
        self.list_end();
    }
    fn time_field(&mut self, time_ns: i64) {
        self.name("t");
        self.time(time_ns);
    }
}

fn put_quote<W: Writer>(writer: &mut W, quote: &Quote) {
    let is_crypto = quote.symbol.is_crypto_pair();
    writer.map(if is_crypto { 7 } else { 11 });
    writer.text_field("T", "q");
    writer.text_field("S", quote.symbol.as_str());
    if !is_crypto {
        writer.letter_field("bx", quote.bid_exchange);
    }
    writer.amount_field("bp", quote.bid_price_e9);
    writer.amount_field("bs", quote.bid_size_e9);
    if !is_crypto {
        writer.letter_field("ax", quote.ask_exchange);
    }
    writer.amount_field("ap", quote.ask_price_e9);
    writer.amount_field("as", quote.ask_size_e9);
    if !is_crypto {
        writer.conditions_field("c", quote.conditions);
        writer.letter_field("z", quote.tape);
    }
    writer.time_field(quote.ts_event_ns);
    writer.map_end();
}

fn put_trade<W: Writer>(writer: &mut W, trade: &Trade) {
    match trade.action {
        TradeAction::CORRECTION => return put_correction(writer, trade),
        TradeAction::CANCEL => return put_cancel(writer, trade),
        _ => {}
    }
    let is_crypto = trade.symbol.is_crypto_pair();
    writer.map(if is_crypto { 7 } else { 9 });
    writer.text_field("T", "t");
    writer.text_field("S", trade.symbol.as_str());
    writer.name("i");
    writer.integer(trade.trade_id);
    if !is_crypto {
        writer.letter_field("x", trade.exchange);
    }
    writer.amount_field("p", trade.price_e9);
    writer.amount_field("s", trade.size_e9);
    if is_crypto {
        writer.text_field("tks", if trade.taker_side == Side::SELL { "S" } else { "B" });
    } else {
        writer.conditions_field("c", trade.conditions);
        writer.letter_field("z", trade.tape);
    }
    writer.time_field(trade.ts_event_ns);
    writer.map_end();
}

/// A record holds the corrected values only, so the message repeats them as the original ones.
fn put_correction<W: Writer>(writer: &mut W, trade: &Trade) {
    writer.map(13);
    writer.text_field("T", "c");
    writer.text_field("S", trade.symbol.as_str());
    writer.letter_field("x", trade.exchange);
    for (id, price, size, conditions) in [("oi", "op", "os", "oc"), ("ci", "cp", "cs", "cc")] {
        writer.name(id);
        writer.integer(trade.trade_id);
        writer.amount_field(price, trade.price_e9);
        writer.amount_field(size, trade.size_e9);
        writer.conditions_field(conditions, trade.conditions);
    }
    writer.letter_field("z", trade.tape);
    writer.time_field(trade.ts_event_ns);
    writer.map_end();
}

fn put_cancel<W: Writer>(writer: &mut W, trade: &Trade) {
    writer.map(9);
    writer.text_field("T", "x");
    writer.text_field("S", trade.symbol.as_str());
    writer.name("i");
    writer.integer(trade.trade_id);
    writer.letter_field("x", trade.exchange);
    writer.amount_field("p", trade.price_e9);
    writer.amount_field("s", trade.size_e9);
    writer.text_field("a", "C");
    writer.letter_field("z", trade.tape);
    writer.time_field(trade.ts_event_ns);
    writer.map_end();
}

fn put_bar<W: Writer>(writer: &mut W, bar: &Bar) {
    let kind = match bar.kind {
        BarKind::UPDATED => "u",
        BarKind::DAILY => "d",
        _ => "b",
    };
    writer.map(10);
    writer.text_field("T", kind);
    writer.text_field("S", bar.symbol.as_str());
    writer.amount_field("o", bar.open_e9);
    writer.amount_field("h", bar.high_e9);
    writer.amount_field("l", bar.low_e9);
    writer.amount_field("c", bar.close_e9);
    writer.amount_field("v", bar.volume_e9);
    writer.name("n");
    writer.integer(bar.trade_count);
    writer.amount_field("vw", bar.vwap_e9);
    writer.time_field(bar.ts_event_ns);
    writer.map_end();
}

fn put_status<W: Writer>(writer: &mut W, status: &TradingStatus) {
    if status.status == StatusCode::LULD_BAND {
        writer.map(7);
        writer.text_field("T", "l");
        writer.text_field("S", status.symbol.as_str());
        writer.amount_field("u", status.luld_up_e9);
        writer.amount_field("d", status.luld_down_e9);
        writer.text_field("i", "B");
        writer.text_field("z", "");
        writer.time_field(status.ts_event_ns);
        writer.map_end();
        return;
    }
    let (code, text) = match status.status {
        StatusCode::HALTED => ("H", "Trading Halt"),
        StatusCode::TRADING => ("T", "Trading Resumption"),
        _ => ("", ""),
    };
    writer.map(8);
    writer.text_field("T", "s");
    writer.text_field("S", status.symbol.as_str());
    writer.text_field("sc", code);
    writer.text_field("sm", if status.reason.is_empty() { "" } else { text });
    writer.text_field("rc", "");
    writer.text_field("rm", status.reason.as_str());
    writer.text_field("z", "C");
    writer.time_field(status.ts_event_ns);
    writer.map_end();
}

fn put_book<W: Writer>(writer: &mut W, deltas: &[BookDelta]) {
    let Some(first) = deltas.first() else { return };
    let is_reset = first.action == BookAction::CLEAR;
    writer.map(5 + usize::from(is_reset));
    writer.text_field("T", "o");
    writer.text_field("S", first.symbol.as_str());
    writer.time_field(first.ts_event_ns);
    for (name, side) in [("b", Side::BUY), ("a", Side::SELL)] {
        let of_side = || {
            deltas
                .iter()
                .filter(|delta| delta.side == side && delta.action != BookAction::CLEAR)
        };
        writer.name(name);
        writer.list(of_side().count());
        for delta in of_side() {
            writer.element();
            writer.map(2);
            writer.amount_field("p", delta.price_e9);
            writer.amount_field(
                "s",
                if delta.action == BookAction::REMOVE {
                    0
                } else {
                    delta.size_e9
                },
            );
            writer.map_end();
        }
        writer.list_end();
    }
    if is_reset {
        writer.name("r");
        writer.flag(true);
    }
    writer.map_end();
}

#[derive(Default)]
struct JsonText {
    out: Vec<u8>,
}

impl JsonText {
    /// A comma unless a list or an object just began.
    #[inline]
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'[' | b'{')) {
            self.out.push(b',');
        }
    }
}

impl Writer for JsonText {
    fn list(&mut self, _count: usize) {
        self.out.push(b'[');
    }
    fn list_end(&mut self) {
        self.out.push(b']');
    }
    fn map(&mut self, _count: usize) {
        self.out.push(b'{');
    }
    fn map_end(&mut self) {
        self.out.push(b'}');
    }
    #[inline]
    fn name(&mut self, name: &str) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
    fn element(&mut self) {
        self.separate();
    }
    #[inline]
    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        for &byte in text.as_bytes() {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
                    self.out
                        .extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
                }
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }
    fn amount(&mut self, value_e9: i64) {
        write_e9(value_e9, &mut self.out);
    }
    fn integer(&mut self, value: u64) {
        write_integer(value, &mut self.out);
    }
    fn flag(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }
    fn time(&mut self, time_ns: i64) {
        self.out.push(b'"');
        write_rfc3339(time_ns, &mut self.out);
        self.out.push(b'"');
    }
    fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

#[derive(Default)]
struct Msgpack {
    out: Vec<u8>,
}

impl Msgpack {
    fn sized(&mut self, count: usize, small: u8, small_max: usize, wide: u8) {
        if count <= small_max {
            self.out.push(small | count as u8);
        } else {
            self.out.push(wide);
            self.out.extend_from_slice(&(count as u16).to_be_bytes());
        }
    }
}

impl Writer for Msgpack {
    fn list(&mut self, count: usize) {
        if count > usize::from(u16::MAX) {
            self.out.push(0xdd);
            self.out.extend_from_slice(&(count as u32).to_be_bytes());
        } else {
            self.sized(count, 0x90, 15, 0xdc);
        }
    }
    fn list_end(&mut self) {}
    fn map(&mut self, count: usize) {
        self.sized(count, 0x80, 15, 0xde);
    }
    fn map_end(&mut self) {}
    fn name(&mut self, name: &str) {
        self.text(name);
    }
    fn element(&mut self) {}
    fn text(&mut self, text: &str) {
        // Texts of records have at most 128 bytes.
        if text.len() < 32 {
            self.out.push(0xa0 | text.len() as u8);
        } else {
            self.out.extend_from_slice(&[0xd9, text.len() as u8]);
        }
        self.out.extend_from_slice(text.as_bytes());
    }
    fn amount(&mut self, value_e9: i64) {
        if value_e9 >= 0 && value_e9 % E9 == 0 {
            self.integer((value_e9 / E9) as u64);
        } else {
            self.out.push(0xcb);
            self.out.extend_from_slice(&to_float(value_e9).to_be_bytes());
        }
    }
    fn integer(&mut self, value: u64) {
        match value {
            0..=0x7f => self.out.push(value as u8),
            0x80..=0xff => self.out.extend_from_slice(&[0xcc, value as u8]),
            0x100..=0xffff => {
                self.out.push(0xcd);
                self.out.extend_from_slice(&(value as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.out.push(0xce);
                self.out.extend_from_slice(&(value as u32).to_be_bytes());
            }
            _ => {
                self.out.push(0xcf);
                self.out.extend_from_slice(&value.to_be_bytes());
            }
        }
    }
    fn flag(&mut self, value: bool) {
        self.out.push(if value { 0xc3 } else { 0xc2 });
    }
    fn time(&mut self, time_ns: i64) {
        let (seconds, nanoseconds) = (time_ns.div_euclid(E9), time_ns.rem_euclid(E9) as u64);
        if (0..1 << 34).contains(&seconds) {
            self.out.extend_from_slice(&[0xd7, 0xff]);
            self.out
                .extend_from_slice(&(nanoseconds << 34 | seconds as u64).to_be_bytes());
        } else {
            self.out.extend_from_slice(&[0xc7, 12, 0xff]);
            self.out.extend_from_slice(&(nanoseconds as u32).to_be_bytes());
            self.out.extend_from_slice(&seconds.to_be_bytes());
        }
    }
    fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}
