//! L2 order book: price levels per side, best last, so that the busy end of the list moves least.

use holdfast_records::{BookAction, BookDelta, Side, Symbol};

/// One price level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Price scaled by 1e-9.
    pub price_e9: i64,
    /// Size scaled by 1e-9, above zero.
    pub size_e9: i64,
}

/// Levels near the best that are looked at one by one before the search halves the rest.
const NEAR: usize = 8;

#[derive(Clone, Debug, Default)]
struct Levels {
    levels: Vec<Level>,
}

impl Levels {
    /// Where the price stands or belongs; `rank` orders levels so that the best is the largest.
    #[inline]
    fn find(&self, price_e9: i64, rank: impl Fn(i64) -> i64) -> Result<usize, usize> {
        let wanted = rank(price_e9);
        let near = self.levels.len().saturating_sub(NEAR);
        for index in (near..self.levels.len()).rev() {
            let found = rank(self.levels[index].price_e9);
            if found == wanted {
                return Ok(index);
            }
            if found < wanted {
                return Err(index + 1);
            }
        }
        self.levels[..near].binary_search_by_key(&wanted, |level| rank(level.price_e9))
    }

    #[inline]
    fn apply(&mut self, delta: &BookDelta, rank: impl Fn(i64) -> i64) {
        let is_set = delta.action == BookAction::SET && delta.size_e9 > 0;
        match self.find(delta.price_e9, rank) {
            Ok(index) if is_set => self.levels[index].size_e9 = delta.size_e9,
            Ok(index) => {
                self.levels.remove(index);
            }
            Err(index) if is_set => {
                self.levels.insert(
                    index,
                    Level {
                        price_e9: delta.price_e9,
                        size_e9: delta.size_e9,
                    },
                );
            }
            Err(_) => {}
        }
    }
}

/// The order book of one symbol. Deltas of other symbols are ignored and counted.
#[derive(Clone, Debug)]
pub struct OrderBook {
    symbol: Symbol,
    bids: Levels,
    asks: Levels,
    /// Venue time of the latest delta, ns UTC.
    pub ts_event_ns: i64,
    /// Deltas applied.
    pub updates: u64,
    /// Deltas of another symbol, or without side or action.
    pub refused: u64,
}

impl OrderBook {
    /// Starts empty.
    pub fn new(symbol: Symbol) -> Self {
        Self {
            symbol,
            bids: Levels::default(),
            asks: Levels::default(),
            ts_event_ns: 0,
            updates: 0,
            refused: 0,
        }
    }

    /// Applies one change.
    #[inline]
    pub fn apply(&mut self, delta: &BookDelta) {
        let is_change = matches!(delta.action, BookAction::SET | BookAction::REMOVE);
        if delta.symbol != self.symbol {
            self.refused += 1;
            return;
        }
        match delta.side {
            Side::BUY if is_change => self.bids.apply(delta, |price_e9| price_e9),
            Side::SELL if is_change => self.asks.apply(delta, |price_e9| !price_e9),
            _ if delta.action == BookAction::CLEAR => {
                self.bids.levels.clear();
                self.asks.levels.clear();
            }
            _ => {
                self.refused += 1;
                return;
            }
        }
        self.ts_event_ns = delta.ts_event_ns;
        self.updates += 1;
    }

    /// The symbol of the book.
    pub fn symbol(&self) -> Symbol {
        self.symbol
    }

    /// The highest bid.
    pub fn best_bid(&self) -> Option<Level> {
        self.bids.levels.last().copied()
    }

    /// The lowest ask.
    pub fn best_ask(&self) -> Option<Level> {
        self.asks.levels.last().copied()
    }

    /// Levels of a side from the best on, at most `count_max`.
    pub fn depth(&self, side: Side, count_max: usize) -> impl Iterator<Item = Level> {
        let levels = if side == Side::BUY {
            &self.bids.levels
        } else {
            &self.asks.levels
        };
        levels.iter().rev().take(count_max).copied()
    }

    /// Hash (FNV-1a, 64 bits) of all levels, bids then asks from the best on: equal books have equal checksums.
    pub fn checksum(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for side in [Side::BUY, Side::SELL] {
            for level in self.depth(side, usize::MAX) {
                for byte in level
                    .price_e9
                    .to_le_bytes()
                    .into_iter()
                    .chain(level.size_e9.to_le_bytes())
                {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
            hash = (hash ^ 0xff).wrapping_mul(0x0100_0000_01b3);
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn symbol() -> Symbol {
        Symbol::new("BTC/USD").expect("it fits")
    }

    fn delta(side: Side, action: BookAction, price_e9: i64, size_e9: i64) -> BookDelta {
        BookDelta {
            symbol: symbol(),
            side,
            action,
            price_e9,
            size_e9,
            ..BookDelta::default()
        }
    }

    #[test]
    fn a_reset_empties_both_sides_and_other_symbols_are_refused() {
        let mut book = OrderBook::new(symbol());
        book.apply(&delta(Side::BUY, BookAction::SET, 100, 1));
        book.apply(&delta(Side::SELL, BookAction::SET, 101, 2));
        assert_eq!(
            (
                book.best_bid().map(|best| best.price_e9),
                book.best_ask().map(|best| best.size_e9)
            ),
            (Some(100), Some(2))
        );
        book.apply(&BookDelta {
            symbol: Symbol::default(),
            ..delta(Side::BUY, BookAction::SET, 105, 1)
        });
        assert_eq!((book.refused, book.updates), (1, 2));
        book.apply(&delta(Side::NONE, BookAction::CLEAR, 0, 0));
        assert_eq!((book.best_bid(), book.best_ask()), (None, None));
        assert_eq!(book.checksum(), OrderBook::new(symbol()).checksum());
    }

    proptest! {
        #[test]
        fn the_book_equals_a_map(changes in prop::collection::vec((any::<bool>(), 1_i64..60, 0_i64..4), 0..400)) {
            let mut book = OrderBook::new(symbol());
            let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
            for (is_bid, price_e9, size_e9) in changes {
                let side = if is_bid { Side::BUY } else { Side::SELL };
                let action = if size_e9 == 0 { BookAction::REMOVE } else { BookAction::SET };
                book.apply(&delta(side, action, price_e9, size_e9));
                let map = if is_bid { &mut bids } else { &mut asks };
                if size_e9 == 0 { map.remove(&price_e9); } else { map.insert(price_e9, size_e9); }
                let found: Vec<_> = book.depth(Side::BUY, 100).map(|level| (level.price_e9, level.size_e9)).collect();
                prop_assert_eq!(found, bids.iter().rev().map(|(&price, &size)| (price, size)).collect::<Vec<_>>());
                let found: Vec<_> = book.depth(Side::SELL, 100).map(|level| (level.price_e9, level.size_e9)).collect();
                prop_assert_eq!(found, asks.iter().map(|(&price, &size)| (price, size)).collect::<Vec<_>>());
            }
        }
    }
}
