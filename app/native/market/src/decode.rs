//! Alpaca's market-data frames as records.
//!
//! Source: Alpaca, "Real-time Stock Data", "Real-time Crypto Data".

use crate::json::JsonFrame;
use crate::msgpack::MsgpackFrame;
use crate::number::NumberError;
use crate::value::{Fields, Frame, Key, Malformed, Value, Wide, key};
use holdfast_records::{
    Bar, BarKind, BookAction, BookDelta, Quote, Record, Side, StatusCode, Symbol, Text, Trade, TradeAction,
    TradingStatus,
};

/// `Quote.flags`: bid and ask are equal.
pub const FLAG_LOCKED: u8 = 1;
/// `Quote.flags`: the bid is above the ask.
pub const FLAG_CROSSED: u8 = 2;
/// `Quote.flags`: one side has no price.
pub const FLAG_ONE_SIDED: u8 = 4;
/// `Quote.flags`: the venue's time is later than our receive time by more than a second.
pub const FLAG_FROM_FUTURE: u8 = 8;

const FUTURE_TOLERANCE_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;

/// How frames are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON text.
    Json,
    /// `MessagePack`.
    Msgpack,
}

/// Why a message made no record, or how a quote is flagged. The order is that of [`Counts::reasons`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Oddity {
    /// Dropped: the bytes are not what the encoding allows; the rest of the frame is lost.
    Malformed,
    /// Dropped: a type of message that is not known.
    KindUnknown,
    /// Dropped: a field is missing or of the wrong type, a number is NaN, a text too long.
    FieldInvalid,
    /// Dropped: a price or size is negative.
    Negative,
    /// Dropped: a price or size is larger than a record holds.
    OutOfRange,
    /// Dropped: a price is zero where there must be one.
    PriceZero,
    /// Flagged: bid and ask are equal.
    Locked,
    /// Flagged: the bid is above the ask.
    Crossed,
    /// Flagged: one side of a quote is empty.
    OneSided,
    /// Flagged: the venue's time is in our future.
    FromFuture,
}

impl Oddity {
    /// Every oddity with its label; those before [`Oddity::Locked`] drop the message.
    pub const LABELS: [(Self, &'static str); 10] = [
        (Self::Malformed, "malformed"),
        (Self::KindUnknown, "kind_unknown"),
        (Self::FieldInvalid, "field_invalid"),
        (Self::Negative, "negative"),
        (Self::OutOfRange, "out_of_range"),
        (Self::PriceZero, "price_zero"),
        (Self::Locked, "locked"),
        (Self::Crossed, "crossed"),
        (Self::OneSided, "one_sided"),
        (Self::FromFuture, "from_future"),
    ];

    /// Whether the message made no record.
    pub fn is_drop(self) -> bool {
        (self as usize) < Self::Locked as usize
    }
}

impl From<NumberError> for Oddity {
    fn from(error: NumberError) -> Self {
        match error {
            NumberError::Malformed => Self::FieldInvalid,
            NumberError::Range => Self::OutOfRange,
        }
    }
}

/// What a frame held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Quotes written.
    pub quotes: u64,
    /// Trades written, corrections and cancels included.
    pub trades: u64,
    /// Bars written.
    pub bars: u64,
    /// Book deltas written.
    pub deltas: u64,
    /// Halts, resumptions and bands written.
    pub statuses: u64,
    /// Times each [`Oddity`] was met.
    pub oddities: [u64; Oddity::LABELS.len()],
    /// Latest venue time in the frame, ns UTC; 0 without one.
    pub last_ts_event_ns: i64,
}

impl Counts {
    fn note(&mut self, oddity: Oddity) {
        self.oddities[oddity as usize] += 1;
    }
}

/// Takes the records of a frame in order.
pub trait Sink {
    /// Why a record could not be taken; ends the frame.
    type Error;
    /// Takes one record.
    fn put<R: Record>(&mut self, record: &R) -> Result<(), Self::Error>;
}

/// Decodes a frame: data to `sink`, the bytes of every other message to `control`.
///
/// `ts_recv_ns` is when the frame was received. Bad messages are counted, never an error; the sink's errors are returned.
pub fn decode<'a, S: Sink>(
    encoding: Encoding,
    frame: &'a [u8],
    ts_recv_ns: i64,
    sink: &mut S,
    control: &mut Vec<&'a [u8]>,
) -> Result<Counts, S::Error> {
    match encoding {
        Encoding::Json => decode_frame::<JsonFrame<'a>, S>(frame, ts_recv_ns, sink, control),
        Encoding::Msgpack => decode_frame::<MsgpackFrame<'a>, S>(frame, ts_recv_ns, sink, control),
    }
}

fn decode_frame<'a, F: Frame<'a>, S: Sink>(
    bytes: &'a [u8],
    ts_recv_ns: i64,
    sink: &mut S,
    control: &mut Vec<&'a [u8]>,
) -> Result<Counts, S::Error> {
    let mut counts = Counts::default();
    let Ok(mut frame) = F::open(bytes) else {
        counts.note(Oddity::Malformed);
        return Ok(counts);
    };
    let mut fields = Fields::new();
    loop {
        let message = match frame.next_message(&mut fields) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(counts),
            Err(Malformed) => {
                counts.note(Oddity::Malformed);
                return Ok(counts);
            }
        };
        match fields.kind {
            b"success" | b"error" | b"subscription" => control.push(message),
            _ => put_message::<F, S>(&fields, ts_recv_ns, sink, &mut counts)?,
        }
    }
}

#[inline]
fn put_message<'a, F: Frame<'a>, S: Sink>(
    fields: &Fields<'a>,
    ts_recv_ns: i64,
    sink: &mut S,
    counts: &mut Counts,
) -> Result<(), S::Error> {
    let time_ns = match fields.kind {
        b"q" => quote::<F>(fields).map(|record| put_quote(record, ts_recv_ns, sink, counts)),
        b"t" | b"c" | b"x" => trade::<F>(fields).map(|record| {
            counts.trades += 1;
            sink.put(&record).map(|()| record.ts_event_ns)
        }),
        b"b" | b"u" | b"d" => bar(fields).map(|record| {
            counts.bars += 1;
            sink.put(&record).map(|()| record.ts_event_ns)
        }),
        b"s" | b"l" => status(fields).map(|record| {
            counts.statuses += 1;
            sink.put(&record).map(|()| record.ts_event_ns)
        }),
        b"o" => book_deltas::<F>(fields).map(|deltas| {
            counts.deltas += deltas.len() as u64;
            deltas.iter().try_for_each(|delta| sink.put(delta))?;
            Ok(deltas.first().map_or(0, |delta| delta.ts_event_ns))
        }),
        _ => Err(Oddity::KindUnknown),
    };
    match time_ns {
        Ok(put) => {
            counts.last_ts_event_ns = counts.last_ts_event_ns.max(put?);
        }
        Err(oddity) => counts.note(oddity),
    }
    Ok(())
}

fn put_quote<S: Sink>(mut quote: Quote, ts_recv_ns: i64, sink: &mut S, counts: &mut Counts) -> Result<i64, S::Error> {
    quote.flags = quote_flags(&quote);
    if quote.ts_event_ns.saturating_sub(ts_recv_ns) > FUTURE_TOLERANCE_NS {
        quote.flags |= FLAG_FROM_FUTURE;
    }
    if quote.flags != 0 {
        let oddities = [
            (FLAG_LOCKED, Oddity::Locked),
            (FLAG_CROSSED, Oddity::Crossed),
            (FLAG_ONE_SIDED, Oddity::OneSided),
            (FLAG_FROM_FUTURE, Oddity::FromFuture),
        ];
        for (flag, oddity) in oddities {
            if quote.flags & flag != 0 {
                counts.note(oddity);
            }
        }
    }
    counts.quotes += 1;
    sink.put(&quote).map(|()| quote.ts_event_ns)
}

/// The flags that follow from a quote's prices.
pub fn quote_flags(quote: &Quote) -> u8 {
    match (quote.bid_price_e9, quote.ask_price_e9) {
        (0, _) | (_, 0) => FLAG_ONE_SIDED,
        (bid_e9, ask_e9) if bid_e9 == ask_e9 => FLAG_LOCKED,
        (bid_e9, ask_e9) if bid_e9 > ask_e9 => FLAG_CROSSED,
        _ => 0,
    }
}

type Built<R> = Result<R, Oddity>;

/// A size, or the price of a side that may be empty.
#[inline]
fn amount_e9(value: Value<'_>) -> Built<i64> {
    let value_e9 = value.e9()?;
    if value_e9 < 0 {
        Err(Oddity::Negative)
    } else {
        Ok(value_e9)
    }
}

#[inline]
fn price_e9(value: Value<'_>) -> Built<i64> {
    match amount_e9(value)? {
        0 => Err(Oddity::PriceZero),
        value_e9 => Ok(value_e9),
    }
}

#[inline]
fn time_ns(value: Value<'_>) -> Built<i64> {
    value.time_ns().ok_or(Oddity::FieldInvalid)
}

#[inline]
fn symbol(value: Value<'_>) -> Built<Symbol> {
    value
        .text()
        .filter(|symbol: &Symbol| !symbol.is_empty())
        .ok_or(Oddity::FieldInvalid)
}

/// Conditions as their letters joined, as many as fit.
fn conditions<'a, F: Frame<'a>>(value: Value<'a>) -> Built<Text<4>> {
    match value {
        Value::Text(_) | Value::Escaped(_) => Ok(value.text_cut()),
        Value::List(list) => {
            let mut letters = [0_u8; 4];
            let mut count = 0;
            F::texts(list, |value| {
                let text = value.text_cut::<4>();
                let text = text.as_str().as_bytes();
                if let Some(room) = letters.get_mut(count..count + text.len()) {
                    room.copy_from_slice(text);
                    count += text.len();
                }
            })
            .map_err(|Malformed| Oddity::FieldInvalid)?;
            core::str::from_utf8(&letters[..count])
                .ok()
                .and_then(Text::new)
                .ok_or(Oddity::FieldInvalid)
        }
        _ => Ok(Text::default()),
    }
}

const S: Key = key(b"S");
const T: Key = key(b"t");
const X: Key = key(b"x");
const Z: Key = key(b"z");
const C: Key = key(b"c");
const P: Key = key(b"p");
const SIZE: Key = key(b"s");

#[inline]
fn quote<'a, F: Frame<'a>>(fields: &Fields<'a>) -> Built<Quote> {
    const BX: Key = key(b"bx");
    const BP: Key = key(b"bp");
    const BS: Key = key(b"bs");
    const AX: Key = key(b"ax");
    const AP: Key = key(b"ap");
    const AS: Key = key(b"as");
    let mut quote = Quote {
        bid_price_e9: -1,
        ask_price_e9: -1,
        ..Quote::default()
    };
    let mut is_timed = false;
    for (key, value) in fields.iter() {
        match key {
            S => quote.symbol = symbol(value)?,
            BX => quote.bid_exchange = value.letter(),
            BP => quote.bid_price_e9 = amount_e9(value)?,
            BS => quote.bid_size_e9 = amount_e9(value)?,
            AX => quote.ask_exchange = value.letter(),
            AP => quote.ask_price_e9 = amount_e9(value)?,
            AS => quote.ask_size_e9 = amount_e9(value)?,
            C => quote.conditions = conditions::<F>(value)?,
            Z => quote.tape = value.letter(),
            T => (quote.ts_event_ns, is_timed) = (time_ns(value)?, true),
            _ => {}
        }
    }
    if quote.symbol.is_empty() || !is_timed || quote.bid_price_e9 < 0 || quote.ask_price_e9 < 0 {
        return Err(Oddity::FieldInvalid);
    }
    let is_bid_odd = quote.bid_price_e9 == 0 && quote.bid_size_e9 > 0;
    let is_ask_odd = quote.ask_price_e9 == 0 && quote.ask_size_e9 > 0;
    if is_bid_odd || is_ask_odd || quote.bid_price_e9 | quote.ask_price_e9 == 0 {
        return Err(Oddity::PriceZero);
    }
    Ok(quote)
}

/// A print, a correction (its id is that of the corrected trade, its price and size the new ones) or a cancel.
fn trade<'a, F: Frame<'a>>(fields: &Fields<'a>) -> Built<Trade> {
    const I: Key = key(b"i");
    const TAKER: Key = key(b"tks");
    const ORIGINAL_ID: Key = key(b"oi");
    const NEW_PRICE: Key = key(b"cp");
    const NEW_SIZE: Key = key(b"cs");
    const NEW_CONDITIONS: Key = key(b"cc");
    let action = match fields.kind {
        b"c" => TradeAction::CORRECTION,
        b"x" => TradeAction::CANCEL,
        _ => TradeAction::PRINT,
    };
    let mut trade = Trade {
        action,
        ..Trade::default()
    };
    let (mut is_timed, mut is_sized) = (false, false);
    for (key, value) in fields.iter() {
        match key {
            S => trade.symbol = symbol(value)?,
            P | NEW_PRICE => trade.price_e9 = price_e9(value)?,
            SIZE | NEW_SIZE => (trade.size_e9, is_sized) = (amount_e9(value)?, true),
            C | NEW_CONDITIONS => trade.conditions = conditions::<F>(value)?,
            I | ORIGINAL_ID => trade.trade_id = value.integer().ok_or(Oddity::FieldInvalid)?,
            X => trade.exchange = value.letter(),
            Z => trade.tape = value.letter(),
            TAKER => {
                trade.taker_side = match value.letter() {
                    b'B' => Side::BUY,
                    b'S' => Side::SELL,
                    _ => Side::NONE,
                }
            }
            T => (trade.ts_event_ns, is_timed) = (time_ns(value)?, true),
            _ => {}
        }
    }
    if trade.symbol.is_empty() || !is_timed || !is_sized || trade.price_e9 == 0 {
        return Err(Oddity::FieldInvalid);
    }
    Ok(trade)
}

fn bar(fields: &Fields<'_>) -> Built<Bar> {
    const OPEN: Key = key(b"o");
    const HIGH: Key = key(b"h");
    const LOW: Key = key(b"l");
    const VOLUME: Key = key(b"v");
    const COUNT: Key = key(b"n");
    const VWAP: Key = key(b"vw");
    let (kind, interval_ns) = match fields.kind {
        b"u" => (BarKind::UPDATED, MINUTE_NS),
        b"d" => (BarKind::DAILY, DAY_NS),
        _ => (BarKind::MINUTE, MINUTE_NS),
    };
    let mut bar = Bar {
        kind,
        interval_ns,
        ..Bar::default()
    };
    let mut is_timed = false;
    for (key, value) in fields.iter() {
        match key {
            S => bar.symbol = symbol(value)?,
            OPEN => bar.open_e9 = price_e9(value)?,
            HIGH => bar.high_e9 = price_e9(value)?,
            LOW => bar.low_e9 = price_e9(value)?,
            C => bar.close_e9 = price_e9(value)?,
            VOLUME => bar.volume_e9 = amount_e9(value)?,
            VWAP => bar.vwap_e9 = amount_e9(value)?,
            COUNT => bar.trade_count = value.integer().ok_or(Oddity::FieldInvalid)?,
            T => (bar.ts_event_ns, is_timed) = (time_ns(value)?, true),
            _ => {}
        }
    }
    let is_ordered = bar.low_e9 <= bar.open_e9.min(bar.close_e9) && bar.high_e9 >= bar.open_e9.max(bar.close_e9);
    if bar.symbol.is_empty() || !is_timed || bar.low_e9 == 0 || bar.close_e9 == 0 || bar.open_e9 == 0 || !is_ordered {
        return Err(Oddity::FieldInvalid);
    }
    Ok(bar)
}

/// Whether a status code means that the symbol trades; codes that change neither read as NONE.
///
/// Source: Alpaca, "Trading Status", codes of the CTA and UTP plans.
fn status_code(code: &[u8]) -> StatusCode {
    match code {
        b"3" | b"T" => StatusCode::TRADING,
        b"2" | b"H" | b"P" | b"Q" => StatusCode::HALTED,
        _ => StatusCode::NONE,
    }
}

fn status(fields: &Fields<'_>) -> Built<TradingStatus> {
    const CODE: Key = key(b"sc");
    const CODE_TEXT: Key = key(b"sm");
    const REASON_TEXT: Key = key(b"rm");
    const UP: Key = key(b"u");
    const DOWN: Key = key(b"d");
    let mut status = TradingStatus::default();
    let (mut is_timed, mut is_coded) = (false, false);
    if fields.kind == b"l" {
        (status.status, is_coded) = (StatusCode::LULD_BAND, true);
    }
    for (key, value) in fields.iter() {
        match key {
            S => status.symbol = symbol(value)?,
            CODE => {
                let Value::Text(code) = value else {
                    return Err(Oddity::FieldInvalid);
                };
                (status.status, is_coded) = (status_code(code), true);
            }
            CODE_TEXT if status.reason.is_empty() => status.reason = value.text_cut(),
            REASON_TEXT if !value.text_cut::<48>().is_empty() => status.reason = value.text_cut(),
            UP => status.luld_up_e9 = price_e9(value)?,
            DOWN => status.luld_down_e9 = price_e9(value)?,
            T => (status.ts_event_ns, is_timed) = (time_ns(value)?, true),
            _ => {}
        }
    }
    if status.symbol.is_empty() || !is_timed || !is_coded {
        return Err(Oddity::FieldInvalid);
    }
    Ok(status)
}

/// A book message as deltas: a reset becomes a CLEAR in front; size zero removes the level.
fn book_deltas<'a, F: Frame<'a>>(fields: &Fields<'a>) -> Built<Vec<BookDelta>> {
    const BIDS: Key = key(b"b");
    const ASKS: Key = key(b"a");
    const RESET: Key = key(b"r");
    let mut deltas = Vec::new();
    let (mut name, mut time, mut is_reset) = (Symbol::default(), None, false);
    for (key, value) in fields.iter() {
        match key {
            S => name = symbol(value)?,
            T => time = Some(time_ns(value)?),
            RESET => is_reset = matches!(value, Value::Flag(Wide(true))),
            BIDS | ASKS => {
                let Value::List(list) = value else { continue };
                let side = if key == BIDS { Side::BUY } else { Side::SELL };
                let mut bad = None;
                F::levels(list, |price, size| match (price_e9(price), amount_e9(size)) {
                    (Ok(price_e9), Ok(size_e9)) => deltas.push(BookDelta {
                        price_e9,
                        size_e9,
                        side,
                        action: if size_e9 == 0 {
                            BookAction::REMOVE
                        } else {
                            BookAction::SET
                        },
                        ..BookDelta::default()
                    }),
                    (Err(oddity), _) | (_, Err(oddity)) => bad = Some(oddity),
                })
                .map_err(|Malformed| Oddity::FieldInvalid)?;
                if let Some(oddity) = bad {
                    return Err(oddity);
                }
            }
            _ => {}
        }
    }
    let Some(ts_event_ns) = time.filter(|_| !name.is_empty()) else {
        return Err(Oddity::FieldInvalid);
    };
    if is_reset {
        deltas.insert(
            0,
            BookDelta {
                action: BookAction::CLEAR,
                ..BookDelta::default()
            },
        );
    }
    for delta in &mut deltas {
        (delta.symbol, delta.ts_event_ns) = (name, ts_event_ns);
    }
    if let Some(last) = deltas.last_mut() {
        last.is_last = 1;
    }
    Ok(deltas)
}
