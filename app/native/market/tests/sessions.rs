//! Recorded sessions are merged by time, reduced to the national best, and refused when a line is wrong.

use holdfast_market::{RecordedSession, SessionFile, SessionRecord};
use holdfast_records::{E9, Symbol};

fn file(symbol: &str, is_quotes: bool, lines: &str) -> SessionFile {
    SessionFile {
        symbol: Symbol::new(symbol).expect("it fits"),
        is_quotes,
        tape: b'A',
        date: "2013-10-08".to_owned(),
        lines: lines.as_bytes().to_vec(),
    }
}

fn summary(session: &mut RecordedSession) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(record) = session.next_record().expect("good lines") {
        found.push(match record {
            SessionRecord::Quote(quote) => {
                format!(
                    "{} {}/{}",
                    quote.symbol,
                    quote.bid_price_e9 / 100_000,
                    quote.ask_price_e9 / 100_000
                )
            }
            SessionRecord::Trade(trade) => format!("{} trade {}", trade.symbol, trade.price_e9 / 100_000),
        });
    }
    found
}

#[test]
fn lines_are_merged_by_time_and_only_changes_are_yielded() {
    let quotes =
        "1000,100000,200,0,0,P,1,0\n1002,0,0,100200,100,P,1,0\r\n1003,99000,100,0,0,Q,1,0\n1004,200000,1,0,0,Z,1,1";
    let other = "1001,50000,100,0,0,N,1,0\n1004,50100,100,0,0,N,1,0\n";
    let trades = "1002,100100,300,P,2000,0\n1004,100000,1,Q,0,0\n";
    let files = vec![
        file("IBM", true, quotes),
        file("BAC", true, other),
        file("IBM", false, trades),
    ];
    let mut session = RecordedSession::open(files, true).expect("good files");
    let expected = [
        "IBM 100000/0",
        "BAC 50000/0",
        "IBM 100000/100200",
        "IBM trade 100100",
        "BAC 50100/0",
        "IBM trade 100000",
    ];
    assert_eq!(summary(&mut session), expected);
    assert!(session.is_done());
    let counts = (
        session.lines_read,
        session.quotes_emitted,
        session.trades_emitted,
        session.lines_suspicious,
    );
    assert_eq!(counts, (8, 4, 2, 1));
}

#[test]
fn a_record_has_the_time_of_new_york_and_whole_shares() {
    let files = vec![file("IBM", false, "34200000,1820000,300,P,2000,0\n")];
    let mut session = RecordedSession::open(files, true).expect("good files");
    let Some(SessionRecord::Trade(trade)) = session.next_record().expect("good lines") else {
        panic!("a trade")
    };
    assert_eq!(trade.ts_event_ns, 1_381_239_000 * E9);
    assert_eq!(
        (trade.price_e9, trade.size_e9, trade.exchange),
        (182 * E9, 300 * E9, b'P')
    );
}

#[test]
fn a_wrong_line_is_named() {
    for wrong in [
        "x,1,1,P,0,0",
        "1,1,1,PP,0,0",
        "1,1,1,P,0,2",
        "1,1,1,P,0",
        "1,1,1,P,0,0,0",
        "86400000,1,1,P,0,0",
        "",
    ] {
        let error = RecordedSession::open(vec![file("IBM", false, &format!("1,1,1,P,0,0\n{wrong}\n"))], false)
            .and_then(|mut session| session.next_record().map(|_| ()))
            .expect_err(wrong);
        assert_eq!(error.line, 2, "{wrong}");
    }
    let file = SessionFile {
        date: "2013-10-32".to_owned(),
        ..file("IBM", false, "")
    };
    assert!(RecordedSession::open(vec![file], false).is_err());
}

#[test]
fn a_line_replaces_the_best_unless_exchanges_stand_side_by_side() {
    let quotes = "1,100000,1,0,0,P,1,0\n2,0,0,100200,1,N,1,0\n3,99000,5,0,0,Q,1,0\n4,99000,5,0,0,Z,1,0\n";
    let open = |is_regional| RecordedSession::open(vec![file("IBM", true, quotes)], is_regional).expect("good files");
    assert_eq!(
        summary(&mut open(false)),
        ["IBM 100000/0", "IBM 100000/100200", "IBM 99000/100200"]
    );
    assert_eq!(summary(&mut open(true)), ["IBM 100000/0", "IBM 100000/100200"]);
}
