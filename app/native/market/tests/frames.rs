//! Frames: what Alpaca's documents show is read, what is broken is counted, and what is written is read back.

use holdfast_market::{Counts, Encoding, Oddity, Sink, decode, encode_frame};
use holdfast_records::{
    AnyRecord, Bar, BarKind, BookAction, BookDelta, E9, Quote, Record, Side, StatusCode, Symbol, Text, Trade,
    TradeAction, TradingStatus,
};
use proptest::prelude::*;
use std::convert::Infallible;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Taken {
    Quote(Quote),
    Trade(Trade),
    Bar(Bar),
    BookDelta(BookDelta),
    TradingStatus(TradingStatus),
}

impl Taken {
    fn as_any(&self) -> AnyRecord<'_> {
        match self {
            Self::Quote(record) => AnyRecord::Quote(record),
            Self::Trade(record) => AnyRecord::Trade(record),
            Self::Bar(record) => AnyRecord::Bar(record),
            Self::BookDelta(record) => AnyRecord::BookDelta(record),
            Self::TradingStatus(record) => AnyRecord::TradingStatus(record),
        }
    }
}

#[derive(Default)]
struct Kept(Vec<Taken>);

impl Sink for Kept {
    type Error = Infallible;
    fn put<R: Record>(&mut self, record: &R) -> Result<(), Infallible> {
        let bytes = bytemuck::bytes_of(record);
        self.0.push(
            match AnyRecord::parse(R::KIND, R::VERSION, bytes).expect("a known record") {
                AnyRecord::Quote(record) => Taken::Quote(*record),
                AnyRecord::Trade(record) => Taken::Trade(*record),
                AnyRecord::Bar(record) => Taken::Bar(*record),
                AnyRecord::BookDelta(record) => Taken::BookDelta(*record),
                AnyRecord::TradingStatus(record) => Taken::TradingStatus(*record),
                other => panic!("{other:?}"),
            },
        );
        Ok(())
    }
}

fn read(encoding: Encoding, frame: &[u8]) -> (Vec<Taken>, Counts, Vec<Vec<u8>>) {
    let (mut kept, mut control) = (Kept::default(), Vec::new());
    let Ok(counts) = decode(encoding, frame, i64::MAX, &mut kept, &mut control);
    (kept.0, counts, control.into_iter().map(<[u8]>::to_vec).collect())
}

fn read_json(frame: &str) -> (Vec<Taken>, Counts, Vec<Vec<u8>>) {
    read(Encoding::Json, frame.as_bytes())
}

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).expect("it fits")
}

const TIME_NS: i64 = 1_614_263_566_123_456_789;

#[test]
fn the_documented_quote_is_read() {
    let (records, counts, control) = read_json(
        r#" [ {"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,
        "t":"2021-02-25T14:32:46.123456789Z","c":["R", "A"],"z":"C"} ] "#,
    );
    let expected = Quote {
        symbol: symbol("AMD"),
        ts_event_ns: TIME_NS,
        bid_price_e9: 87_660_000_000,
        bid_size_e9: E9,
        ask_price_e9: 87_680_000_000,
        ask_size_e9: 4 * E9,
        conditions: Text::new("RA").expect("it fits"),
        bid_exchange: b'U',
        ask_exchange: b'Q',
        tape: b'C',
        ..Quote::default()
    };
    assert_eq!(records, [Taken::Quote(expected)]);
    assert_eq!(
        counts,
        Counts {
            quotes: 1,
            last_ts_event_ns: TIME_NS,
            ..Counts::default()
        }
    );
    assert!(control.is_empty());
}

#[test]
fn the_documented_trade_correction_and_cancel_are_read() {
    let (records, counts, _) = read_json(
        r#"[{"T":"t","i":18446744073709551615,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-25T14:32:46.123456789Z","c":["@","I"],"z":"C"},
        {"T":"c","S":"EEM","x":"M","oi":52983525033527,"op":39.1582,"os":440000,"oc":["7","V"],"ci":52983525034325,"cp":39.1809,
         "cs":440001,"cc":["7","W"],"z":"B","t":"2021-02-25T14:32:46.123456789Z"},
        {"T":"x","S":"GOOGL","i":465,"x":"D","p":2665,"s":1,"a":"C","z":"C","t":"2021-02-25T14:32:46.123456789Z"}]"#,
    );
    let base = Trade {
        ts_event_ns: TIME_NS,
        exchange: b'D',
        tape: b'C',
        size_e9: E9,
        ..Trade::default()
    };
    let print = Trade {
        symbol: symbol("AAPL"),
        price_e9: 126_550_000_000,
        trade_id: u64::MAX,
        conditions: Text::new("@I").expect("it fits"),
        action: TradeAction::PRINT,
        ..base
    };
    let correction = Trade {
        symbol: symbol("EEM"),
        price_e9: 39_180_900_000,
        size_e9: 440_001 * E9,
        trade_id: 52_983_525_033_527,
        conditions: Text::new("7W").expect("it fits"),
        exchange: b'M',
        tape: b'B',
        action: TradeAction::CORRECTION,
        ..base
    };
    let cancel = Trade {
        symbol: symbol("GOOGL"),
        price_e9: 2665 * E9,
        trade_id: 465,
        action: TradeAction::CANCEL,
        ..base
    };
    assert_eq!(
        records,
        [Taken::Trade(print), Taken::Trade(correction), Taken::Trade(cancel)]
    );
    assert_eq!(counts.trades, 3);
}

#[test]
fn the_documented_book_becomes_deltas() {
    let (records, counts, _) = read_json(
        r#"[{"T":"o","S":"BTC\/USD","t":"2021-02-25T14:32:46.123456789Z","b":[{"p":71859.53,"s":0.27994}],
        "a":[{"p":71939.7,"s":0.83953},{"s":0,"p":71940.4306}],"r":true}]"#,
    );
    let base = BookDelta {
        symbol: symbol("BTC/USD"),
        ts_event_ns: TIME_NS,
        ..BookDelta::default()
    };
    let expected = [
        BookDelta {
            action: BookAction::CLEAR,
            ..base
        },
        BookDelta {
            side: Side::BUY,
            action: BookAction::SET,
            price_e9: 71_859_530_000_000,
            size_e9: 279_940_000,
            ..base
        },
        BookDelta {
            side: Side::SELL,
            action: BookAction::SET,
            price_e9: 71_939_700_000_000,
            size_e9: 839_530_000,
            ..base
        },
        BookDelta {
            side: Side::SELL,
            action: BookAction::REMOVE,
            price_e9: 71_940_430_600_000,
            is_last: 1,
            ..base
        },
    ];
    assert_eq!(records, expected.map(Taken::BookDelta));
    assert_eq!(counts.deltas, 4);
}

#[test]
fn halts_and_bands_are_read() {
    let (records, ..) = read_json(
        r#"[{"T":"s","S":"AAPL","sc":"H","sm":"Trading Halt","rc":"T12","rm":"For \"information\"","t":"2021-02-25T14:32:46.123456789Z","z":"C"},
        {"T":"s","S":"AAPL","sc":"T","sm":"Trading Resumption","rc":"","rm":"","t":"2021-02-25T14:32:46.123456789Z","z":"C"},
        {"T":"l","S":"IONM","u":3.24,"d":2.65,"i":"B","t":"2021-02-25T14:32:46.123456789Z","z":"C"}]"#,
    );
    let base = TradingStatus {
        symbol: symbol("AAPL"),
        ts_event_ns: TIME_NS,
        ..TradingStatus::default()
    };
    let reason = |text| Text::new(text).expect("it fits");
    let expected = [
        TradingStatus {
            status: StatusCode::HALTED,
            reason: reason("For \"information\""),
            ..base
        },
        TradingStatus {
            status: StatusCode::TRADING,
            reason: reason("Trading Resumption"),
            ..base
        },
        TradingStatus {
            symbol: symbol("IONM"),
            status: StatusCode::LULD_BAND,
            luld_up_e9: 3_240_000_000,
            luld_down_e9: 2_650_000_000,
            ..base
        },
    ];
    assert_eq!(records, expected.map(Taken::TradingStatus));
}

#[test]
fn control_messages_are_handed_on_as_they_came() {
    let (records, counts, control) =
        read_json(r#"[{"T":"success","msg":"connected"},{"T":"error","code":402,"msg":"auth failed"}]"#);
    assert!(records.is_empty());
    assert_eq!(counts, Counts::default());
    assert_eq!(
        control,
        [
            &br#"{"T":"success","msg":"connected"}"#[..],
            br#"{"T":"error","code":402,"msg":"auth failed"}"#
        ]
    );
}

#[test]
fn what_is_broken_is_dropped_and_counted() {
    let quote = |bid: &str, ask: &str| {
        format!(r#"[{{"T":"q","S":"A","bp":{bid},"bs":1,"ap":{ask},"as":1,"t":"2021-02-25T14:32:46Z"}}]"#)
    };
    let long_ago = r#"[{"T":"q","S":"A","bp":1,"bs":1,"ap":2,"as":1,"t":"2321-02-25T14:32:46Z"}]"#;
    let cases = [
        (quote("NaN", "1"), Oddity::Malformed),
        (quote("-1", "1"), Oddity::Negative),
        (quote("1e308", "1"), Oddity::OutOfRange),
        (quote("0", "1"), Oddity::PriceZero),
        (quote("\"1\"", "1"), Oddity::FieldInvalid),
        (quote("null", "1"), Oddity::FieldInvalid),
        (long_ago.to_owned(), Oddity::FieldInvalid),
        (r#"[{"T":"w","S":"A"}]"#.to_owned(), Oddity::KindUnknown),
        (r#"[{"S":"A"}]"#.to_owned(), Oddity::KindUnknown),
        (
            r#"[{"T":"q","S":"ALONGERSYMBOLTHAN16","t":"2021-02-25T14:32:46Z"}]"#.to_owned(),
            Oddity::FieldInvalid,
        ),
        (r#"{"T":"q"}"#.to_owned(), Oddity::Malformed),
        (r#"[{"T":"error"}"#.to_owned(), Oddity::Malformed),
        (r#"[{"T":"error"}] x"#.to_owned(), Oddity::Malformed),
        (format!("[{{\"a\":{}", "[".repeat(10_000)), Oddity::Malformed),
        (String::new(), Oddity::Malformed),
    ];
    for (frame, oddity) in cases {
        let (records, counts, _) = read_json(&frame);
        let mut expected = Counts::default();
        expected.oddities[oddity as usize] = 1;
        assert_eq!((records.len(), counts), (0, expected), "{frame}");
        assert!(oddity.is_drop());
    }
}

#[test]
fn odd_quotes_are_flagged_and_kept() {
    for (bid, ask, oddity) in [("2", "2", Oddity::Locked), ("3", "2", Oddity::Crossed)] {
        let (records, counts, _) = read_json(&format!(
            r#"[{{"T":"q","S":"A","bp":{bid},"bs":1,"ap":{ask},"as":1,"t":"2021-02-25T14:32:46Z"}}]"#
        ));
        assert_eq!(
            (records.len(), counts.quotes, counts.oddities[oddity as usize]),
            (1, 1, 1)
        );
    }
    let (records, counts, _) =
        read_json(r#"[{"T":"q","S":"A","bp":0,"bs":0,"ap":2,"as":1,"t":"2021-02-25T14:32:46Z"}]"#);
    assert_eq!((records.len(), counts.oddities[Oddity::OneSided as usize]), (1, 1));
}

#[test]
fn a_bad_message_does_not_take_its_neighbours_along() {
    let good = r#"{"T":"q","S":"A","bp":1,"bs":1,"ap":2,"as":1,"t":"2021-02-25T14:32:46Z"}"#;
    let bad = r#"{"T":"q","S":"A","bp":-1,"bs":1,"ap":2,"as":1,"t":"2021-02-25T14:32:46Z"}"#;
    let (records, counts, _) = read_json(&format!("[{good},{bad},{good}]"));
    assert_eq!(
        (records.len(), counts.quotes, counts.oddities[Oddity::Negative as usize]),
        (2, 2, 1)
    );
}

fn any_symbol() -> impl Strategy<Value = Symbol> {
    "[A-Z]{1,5}".prop_map(|text| symbol(&text))
}

/// Amounts that a float holds exactly enough: at most 2^52 units of 1e-9.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![1_i64..(1 << 52), (1_i64..1_000_000).prop_map(|cents| cents * E9 / 100)]
}

fn time() -> impl Strategy<Value = i64> {
    0_i64..4_000_000_000_000_000_000
}

fn letters() -> impl Strategy<Value = Text<4>> {
    "[ -~]{0,4}".prop_map(|text| Text::new(&text).expect("it fits"))
}

fn any_quote() -> impl Strategy<Value = Taken> {
    (
        any_symbol(),
        time(),
        amount(),
        amount(),
        amount(),
        amount(),
        letters(),
        b'A'..=b'Z',
    )
        .prop_map(
            |(symbol, ts_event_ns, bid_price_e9, bid_size_e9, spread, ask_size_e9, conditions, exchange)| {
                Taken::Quote(Quote {
                    symbol,
                    ts_event_ns,
                    bid_price_e9: bid_price_e9 / 2 + 1,
                    bid_size_e9,
                    ask_price_e9: bid_price_e9 / 2 + 2 + spread / 2,
                    ask_size_e9,
                    conditions,
                    bid_exchange: exchange,
                    ask_exchange: b'N',
                    tape: b'A',
                    ..Quote::default()
                })
            },
        )
}

fn any_trade() -> impl Strategy<Value = Taken> {
    let action = prop_oneof![Just(TradeAction::PRINT), Just(TradeAction::CORRECTION)];
    (
        any_symbol(),
        time(),
        amount(),
        amount(),
        any::<u64>(),
        letters(),
        action,
    )
        .prop_map(
            |(symbol, ts_event_ns, price_e9, size_e9, trade_id, conditions, action)| {
                Taken::Trade(Trade {
                    symbol,
                    ts_event_ns,
                    price_e9,
                    size_e9,
                    trade_id,
                    conditions,
                    exchange: b'Q',
                    tape: b'C',
                    action,
                    ..Trade::default()
                })
            },
        )
}

fn any_bar() -> impl Strategy<Value = Taken> {
    let kind = prop_oneof![
        Just((BarKind::MINUTE, 60 * E9)),
        Just((BarKind::UPDATED, 60 * E9)),
        Just((BarKind::DAILY, 86_400 * E9))
    ];
    (any_symbol(), time(), amount(), amount(), amount(), any::<u64>(), kind).prop_map(
        |(symbol, ts_event_ns, open_e9, close_e9, volume_e9, trade_count, (kind, interval_ns))| {
            Taken::Bar(Bar {
                symbol,
                ts_event_ns,
                interval_ns,
                open_e9,
                high_e9: open_e9.max(close_e9),
                low_e9: open_e9.min(close_e9),
                close_e9,
                volume_e9,
                vwap_e9: open_e9,
                trade_count,
                kind,
                ..Bar::default()
            })
        },
    )
}

fn any_status() -> impl Strategy<Value = Taken> {
    let status = prop_oneof![Just(StatusCode::TRADING), Just(StatusCode::HALTED)];
    (any_symbol(), time(), "\\PC{1,12}", status).prop_map(|(symbol, ts_event_ns, reason, status)| {
        let reason = Text::new(&reason).expect("it fits");
        Taken::TradingStatus(TradingStatus {
            symbol,
            ts_event_ns,
            reason,
            status,
            ..TradingStatus::default()
        })
    })
}

fn any_delta() -> impl Strategy<Value = Taken> {
    (time(), amount(), amount(), any::<bool>()).prop_map(|(ts_event_ns, price_e9, size_e9, is_bid)| {
        Taken::BookDelta(BookDelta {
            symbol: symbol("ETH/USD"),
            ts_event_ns,
            price_e9,
            size_e9,
            side: if is_bid { Side::BUY } else { Side::SELL },
            action: BookAction::SET,
            is_last: 1,
            ..BookDelta::default()
        })
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        records in prop::collection::vec(
            prop_oneof![any_quote(), any_trade(), any_bar(), any_status(), any_delta()], 0..40),
    ) {
        let borrowed: Vec<_> = records.iter().map(Taken::as_any).collect();
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let frame = encode_frame(&borrowed, encoding).expect("market data");
            let (found, counts, control) = read(encoding, &frame);
            prop_assert_eq!(&found, &records);
            prop_assert!(control.is_empty());
            prop_assert_eq!(counts.oddities, [0; 10]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_counted(bytes: Vec<u8>) {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            read(encoding, &bytes);
        }
    }

    #[test]
    fn damaged_frames_are_read_or_counted(
        records in prop::collection::vec(prop_oneof![any_quote(), any_trade(), any_status(), any_delta()], 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let borrowed: Vec<_> = records.iter().map(Taken::as_any).collect();
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let mut frame = encode_frame(&borrowed, encoding).expect("market data");
            for (index, byte) in &damage {
                let at = index.index(frame.len());
                frame[at] = *byte;
            }
            read(encoding, &frame);
            frame.truncate(cut.index(frame.len()));
            let (_, counts, _) = read(encoding, &frame);
            prop_assert!(counts.oddities[Oddity::Malformed as usize] <= 1);
        }
    }
}
