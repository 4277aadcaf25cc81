//! A seeded market of a few symbols: spreads of a cent or two, prices that wander and come back, trades at the touch.

use crate::random::Random;
use holdfast_records::{BookAction, BookDelta, E9, Quote, Side, Symbol, Text, Trade, TradeAction};

const BOOK_LEVELS: i64 = 10;
const TRADE_PPM: u32 = 200_000;
const DRIFT_PPM: u32 = 100_000;
const WIDE_PPM: u32 = 150_000;
/// Every so often a trade happens away from the touch of others: odd lots, as on real tapes.
const ODD_LOT_PPM: u32 = 100_000;

/// One record of market data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketRecord {
    /// A change of the best bid or offer.
    Quote(Quote),
    /// A print.
    Trade(Trade),
    /// A change of an L2 book.
    Delta(BookDelta),
}

/// A symbol to make a market in.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// The venue's symbol; a `/` makes it a crypto pair with an L2 book.
    pub symbol: Symbol,
    /// Where it starts, scaled by 1e-9.
    pub price_e9: i64,
}

#[derive(Clone, Debug)]
struct Instrument {
    symbol: Symbol,
    is_crypto: bool,
    price_step_e9: i64,
    size_unit_e9: i64,
    /// Where the price wants to be, in price steps.
    value: i64,
    /// Best bid, in price steps.
    bid: i64,
    spread: i64,
    next_ns: i64,
    trade_count: u64,
    has_book: bool,
}

/// The market; the same seed and listings give the same records.
#[derive(Clone, Debug)]
pub struct SyntheticMarket {
    random: Random,
    instruments: Vec<Instrument>,
    interval_ns: i64,
}

impl SyntheticMarket {
    /// Starts at `start_ns`; each symbol changes its quote or trades once in `interval_ns` on average.
    pub fn new(seed: u64, listings: &[Listing], start_ns: i64, interval_ns: i64) -> Self {
        let mut random = Random::new(seed);
        let instruments = listings
            .iter()
            .map(|listing| {
                let is_crypto = listing.symbol.is_crypto_pair();
                let price_step_e9 = E9 / 100;
                let value = (listing.price_e9 / price_step_e9).max(100);
                Instrument {
                    symbol: listing.symbol,
                    is_crypto,
                    price_step_e9,
                    size_unit_e9: if is_crypto { E9 / 100 } else { 100 * E9 },
                    value,
                    bid: value,
                    spread: 1,
                    next_ns: start_ns + random.between(0, interval_ns),
                    trade_count: 0,
                    has_book: false,
                }
            })
            .collect();
        Self {
            random,
            instruments,
            interval_ns: interval_ns.max(1),
        }
    }

    /// Appends the next records in order of time until `out` holds at least `count`; a book's deltas stay together.
    pub fn next(&mut self, count: usize, out: &mut Vec<MarketRecord>) {
        while out.len() < count {
            let Some(instrument) = self.instruments.iter_mut().min_by_key(|instrument| instrument.next_ns) else {
                return;
            };
            instrument.step(&mut self.random, out);
            instrument.next_ns += self.random.between(1, 2 * self.interval_ns);
        }
    }

    /// When the next record happens, ns UTC; the end of time without symbols.
    pub fn next_ns(&self) -> i64 {
        self.instruments
            .iter()
            .map(|instrument| instrument.next_ns)
            .min()
            .unwrap_or(i64::MAX)
    }
}

impl Instrument {
    fn step(&mut self, random: &mut Random, out: &mut Vec<MarketRecord>) {
        if self.is_crypto && !self.has_book {
            self.has_book = true;
            self.push_snapshot(random, out);
            out.push(MarketRecord::Quote(self.quote(random)));
        } else if random.chance(TRADE_PPM) {
            out.push(MarketRecord::Trade(self.trade(random)));
        } else {
            let old_bid = self.bid;
            self.wander(random);
            if self.is_crypto {
                self.push_deltas(random, old_bid, out);
            }
            out.push(MarketRecord::Quote(self.quote(random)));
        }
    }

    /// The value drifts; the price follows it, more likely the farther away it is.
    fn wander(&mut self, random: &mut Random) {
        if random.chance(DRIFT_PPM) {
            self.value = (self.value + random.between(-2, 2)).max(100);
        }
        let pull = (self.value - self.bid).clamp(-20, 20);
        let toward = random.between(-24, 24) + pull;
        self.bid += i64::from(toward > 16) - i64::from(toward < -16);
        self.bid = self.bid.max(50);
        self.spread = if random.chance(WIDE_PPM) && !self.is_crypto {
            2
        } else {
            1
        };
    }

    fn size_e9(&self, random: &mut Random) -> i64 {
        random.between(1, 12) * self.size_unit_e9
    }

    fn quote(&self, random: &mut Random) -> Quote {
        Quote {
            symbol: self.symbol,
            ts_event_ns: self.next_ns,
            bid_price_e9: self.bid * self.price_step_e9,
            bid_size_e9: self.size_e9(random),
            ask_price_e9: (self.bid + self.spread) * self.price_step_e9,
            ask_size_e9: self.size_e9(random),
            conditions: Text::truncated("R"),
            bid_exchange: b'V',
            ask_exchange: b'V',
            tape: if self.is_crypto { 0 } else { b'C' },
            ..Quote::default()
        }
    }

    fn trade(&mut self, random: &mut Random) -> Trade {
        self.trade_count += 1;
        let is_buy = random.chance(500_000);
        let size_e9 = if random.chance(ODD_LOT_PPM) {
            self.size_unit_e9 / 100 * random.between(1, 99)
        } else {
            self.size_e9(random)
        };
        Trade {
            symbol: self.symbol,
            ts_event_ns: self.next_ns,
            price_e9: (self.bid + if is_buy { self.spread } else { 0 }) * self.price_step_e9,
            size_e9,
            trade_id: self.trade_count,
            conditions: Text::truncated("@"),
            exchange: b'V',
            tape: if self.is_crypto { 0 } else { b'C' },
            taker_side: if is_buy { Side::BUY } else { Side::SELL },
            action: TradeAction::PRINT,
            ..Trade::default()
        }
    }

    fn delta(&self, side: Side, action: BookAction, step: i64, size_e9: i64) -> MarketRecord {
        MarketRecord::Delta(BookDelta {
            symbol: self.symbol,
            ts_event_ns: self.next_ns,
            price_e9: step * self.price_step_e9,
            size_e9,
            side,
            action,
            ..BookDelta::default()
        })
    }

    fn push_snapshot(&self, random: &mut Random, out: &mut Vec<MarketRecord>) {
        out.push(self.delta(Side::NONE, BookAction::CLEAR, 0, 0));
        for level in 0..BOOK_LEVELS {
            out.push(self.delta(Side::BUY, BookAction::SET, self.bid - level, self.size_e9(random)));
        }
        for level in 1..=BOOK_LEVELS {
            out.push(self.delta(Side::SELL, BookAction::SET, self.bid + level, self.size_e9(random)));
        }
        end_frame(out);
    }

    /// Moves both sides of the book by at most one step, and resizes one level.
    fn push_deltas(&self, random: &mut Random, old_bid: i64, out: &mut Vec<MarketRecord>) {
        let is_up = self.bid > old_bid;
        if self.bid != old_bid {
            let (grown, shrunk) = if is_up {
                (Side::BUY, Side::SELL)
            } else {
                (Side::SELL, Side::BUY)
            };
            let (best, far) = if is_up {
                (self.bid, self.bid + BOOK_LEVELS)
            } else {
                (self.bid + 1, self.bid + 1 - BOOK_LEVELS)
            };
            let worst = if is_up {
                self.bid - BOOK_LEVELS
            } else {
                self.bid + 1 + BOOK_LEVELS
            };
            out.push(self.delta(shrunk, BookAction::REMOVE, best, 0));
            out.push(self.delta(grown, BookAction::REMOVE, worst, 0));
            out.push(self.delta(grown, BookAction::SET, best, self.size_e9(random)));
            out.push(self.delta(shrunk, BookAction::SET, far, self.size_e9(random)));
        }
        let depth = random.between(0, BOOK_LEVELS - 1);
        let (side, step) = if random.chance(500_000) {
            (Side::BUY, self.bid - depth)
        } else {
            (Side::SELL, self.bid + 1 + depth)
        };
        out.push(self.delta(side, BookAction::SET, step, self.size_e9(random)));
        end_frame(out);
    }
}

fn end_frame(out: &mut [MarketRecord]) {
    if let Some(MarketRecord::Delta(delta)) = out.last_mut() {
        delta.is_last = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn market(seed: u64) -> SyntheticMarket {
        let listing = |name: &str, price| Listing {
            symbol: Symbol::truncated(name),
            price_e9: price * E9,
        };
        SyntheticMarket::new(
            seed,
            &[listing("AAA", 50), listing("BTC/USD", 60_000)],
            1_000,
            50_000_000,
        )
    }

    #[test]
    fn the_same_seed_gives_the_same_market_and_another_one_does_not() {
        let run = |seed| {
            let mut out = Vec::new();
            market(seed).next(1_000, &mut out);
            out
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn quotes_are_tight_trades_are_at_the_touch_and_time_rises() {
        let mut out = Vec::new();
        market(3).next(20_000, &mut out);
        let mut last: BTreeMap<Symbol, Quote> = BTreeMap::new();
        let mut last_ns = 0;
        for record in out {
            let ts_ns = match record {
                MarketRecord::Quote(quote) => {
                    let spread_e9 = quote.ask_price_e9 - quote.bid_price_e9;
                    assert!((E9 / 100..=E9 / 50).contains(&spread_e9));
                    assert!(quote.bid_size_e9 > 0 && quote.ask_size_e9 > 0);
                    last.insert(quote.symbol, quote);
                    quote.ts_event_ns
                }
                MarketRecord::Trade(trade) => {
                    if let Some(quote) = last.get(&trade.symbol) {
                        assert!(trade.price_e9 == quote.bid_price_e9 || trade.price_e9 == quote.ask_price_e9);
                    }
                    trade.ts_event_ns
                }
                MarketRecord::Delta(delta) => delta.ts_event_ns,
            };
            assert!(ts_ns >= last_ns);
            last_ns = ts_ns;
        }
    }

    #[test]
    fn the_book_built_from_deltas_keeps_its_levels_and_agrees_with_the_quotes() {
        let mut out = Vec::new();
        market(5).next(30_000, &mut out);
        let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
        let mut quotes = 0;
        for record in out {
            match record {
                MarketRecord::Delta(delta) => {
                    let side = if delta.side == Side::BUY { &mut bids } else { &mut asks };
                    match delta.action {
                        BookAction::SET => drop(side.insert(delta.price_e9, delta.size_e9)),
                        BookAction::REMOVE => assert!(side.remove(&delta.price_e9).is_some()),
                        _ => side.clear(),
                    }
                    if delta.is_last != 0 {
                        assert_eq!((bids.len(), asks.len()), (10, 10));
                    }
                }
                MarketRecord::Quote(quote) if quote.symbol.as_str() == "BTC/USD" => {
                    quotes += 1;
                    assert_eq!(bids.keys().next_back(), Some(&quote.bid_price_e9));
                    assert_eq!(asks.keys().next(), Some(&quote.ask_price_e9));
                }
                _ => {}
            }
        }
        assert!(quotes > 1_000);
    }
}
