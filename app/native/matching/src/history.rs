//! What the venue has published, kept for its historical-data answers.

use crate::synthetic::MarketRecord;
use holdfast_records::{Bar, Quote, Symbol, Trade};
use std::collections::{HashMap, VecDeque};

/// One symbol's records of one kind, oldest first; the oldest leave when there are too many.
#[derive(Clone, Debug)]
struct Shelf<T> {
    records: VecDeque<T>,
    first_seq: u64,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            first_seq: 0,
        }
    }
}

/// A part of the records asked for, and where the rest begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The records, in the order asked for.
    pub records: Vec<T>,
    /// Number of the first record that is left; nothing at the end.
    pub next_seq: Option<u64>,
}

/// What is asked for: records with `start_ns <= time <= end_ns`.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// First time, ns UTC.
    pub start_ns: i64,
    /// Last time, ns UTC.
    pub end_ns: i64,
    /// Where the last page ended; nothing for the first page.
    pub from_seq: Option<u64>,
    /// Most records of a page.
    pub count_max: usize,
    /// Latest first.
    pub is_descending: bool,
}

impl<T: Copy> Shelf<T> {
    fn push(&mut self, record: T, count_max: usize) {
        if self.records.len() >= count_max {
            self.records.pop_front();
            self.first_seq += 1;
        }
        self.records.push_back(record);
    }

    fn page(&self, range: &Range, time_of: impl Fn(&T) -> i64) -> Page<T> {
        let begin = self.records.partition_point(|record| time_of(record) < range.start_ns);
        let end = self
            .records
            .partition_point(|record| time_of(record) <= range.end_ns)
            .max(begin);
        let place = |seq: u64| usize::try_from(seq.saturating_sub(self.first_seq)).unwrap_or(usize::MAX);
        if range.is_descending {
            let end = range.from_seq.map_or(end, |seq| place(seq + 1).clamp(begin, end));
            let cut = end.saturating_sub(range.count_max).max(begin);
            let records = self.records.range(cut..end).rev().copied().collect();
            Page {
                records,
                next_seq: (cut > begin).then(|| self.first_seq + cut as u64 - 1),
            }
        } else {
            let begin = range.from_seq.map_or(begin, |seq| place(seq).clamp(begin, end));
            let cut = begin.saturating_add(range.count_max).min(end);
            let records = self.records.range(begin..cut).copied().collect();
            Page {
                records,
                next_seq: (cut < end).then_some(self.first_seq + cut as u64),
            }
        }
    }
}

/// Everything published, by kind and symbol.
#[derive(Clone, Debug)]
pub struct History {
    count_max: usize,
    quotes: HashMap<Symbol, Shelf<Quote>>,
    trades: HashMap<Symbol, Shelf<Trade>>,
    bars: HashMap<Symbol, Shelf<Bar>>,
}

impl History {
    /// Keeps at most `count_max` records of a symbol and kind.
    pub fn new(count_max: usize) -> Self {
        Self {
            count_max: count_max.max(1),
            quotes: HashMap::new(),
            trades: HashMap::new(),
            bars: HashMap::new(),
        }
    }

    /// Remembers a quote or a trade.
    pub fn push(&mut self, record: &MarketRecord) {
        match record {
            MarketRecord::Quote(quote) => self
                .quotes
                .entry(quote.symbol)
                .or_default()
                .push(*quote, self.count_max),
            MarketRecord::Trade(trade) => self
                .trades
                .entry(trade.symbol)
                .or_default()
                .push(*trade, self.count_max),
            MarketRecord::Delta(_) => {}
        }
    }

    /// Remembers a bar.
    pub fn push_bar(&mut self, bar: Bar) {
        self.bars.entry(bar.symbol).or_default().push(bar, self.count_max);
    }

    /// Quotes of a symbol.
    pub fn quotes(&self, symbol: Symbol, range: &Range) -> Page<Quote> {
        page_of(&self.quotes, symbol, range, |quote| quote.ts_event_ns)
    }

    /// Trades of a symbol.
    pub fn trades(&self, symbol: Symbol, range: &Range) -> Page<Trade> {
        page_of(&self.trades, symbol, range, |trade| trade.ts_event_ns)
    }

    /// Minute bars of a symbol.
    pub fn bars(&self, symbol: Symbol, range: &Range) -> Page<Bar> {
        page_of(&self.bars, symbol, range, |bar| bar.ts_event_ns)
    }
}

fn page_of<T: Copy>(
    shelves: &HashMap<Symbol, Shelf<T>>,
    symbol: Symbol,
    range: &Range,
    time_of: impl Fn(&T) -> i64,
) -> Page<T> {
    match shelves.get(&symbol) {
        Some(shelf) => shelf.page(range, time_of),
        None => Page {
            records: Vec::new(),
            next_seq: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn history(times: &[i64], count_max: usize) -> History {
        let mut history = History::new(count_max);
        for &ts_event_ns in times {
            let trade = Trade {
                symbol: Symbol::truncated("A"),
                ts_event_ns,
                ..Trade::default()
            };
            history.push(&MarketRecord::Trade(trade));
        }
        history
    }

    proptest! {
        #[test]
        fn pages_join_to_the_whole(
            mut times in prop::collection::vec(0_i64..100, 0..60), start_ns in 0_i64..100, length in 0_i64..100,
            page in 1_usize..20, is_descending: bool,
        ) {
            times.sort_unstable();
            let end_ns = start_ns + length;
            let mut expected: Vec<i64> = times.iter().copied().filter(|time| (start_ns..=end_ns).contains(time)).collect();
            if is_descending {
                expected.reverse();
            }
            let history = history(&times, 1_000);
            let mut range = Range { start_ns, end_ns, from_seq: None, count_max: page, is_descending };
            let mut found = Vec::new();
            loop {
                let part = history.trades(Symbol::truncated("A"), &range);
                prop_assert!(part.records.len() <= page);
                found.extend(part.records.iter().map(|trade| trade.ts_event_ns));
                match part.next_seq {
                    Some(_) => range.from_seq = part.next_seq,
                    None => break,
                }
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_oldest_leave_and_a_token_still_points_at_its_record() {
        let mut history = history(&[1, 2, 3, 4, 5], 3);
        let mut range = Range {
            start_ns: 0,
            end_ns: 99,
            from_seq: None,
            count_max: 2,
            is_descending: false,
        };
        let times = |page: Page<Trade>| page.records.iter().map(|trade| trade.ts_event_ns).collect::<Vec<_>>();
        let first = history.trades(Symbol::truncated("A"), &range);
        range.from_seq = first.next_seq;
        assert_eq!(times(first), [3, 4]);
        history.push(&MarketRecord::Trade(Trade {
            symbol: Symbol::truncated("A"),
            ts_event_ns: 6,
            ..Trade::default()
        }));
        assert_eq!(times(history.trades(Symbol::truncated("A"), &range)), [5, 6]);
    }
}
