//! National best bid and offer from the regional quotes of the exchanges.
//!
//! Each exchange's latest price and size of a side stand until it sends others; price zero withdraws the side. The best
//! is the highest bid and the lowest ask; among exchanges at the same price it is the one that came to it first, and the
//! size is that exchange's alone, not the sum.

/// The best of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Best {
    /// Price scaled by 1e-9; 0 when no exchange quotes.
    pub price_e9: i64,
    /// Size of the exchange, scaled by 1e-9.
    pub size_e9: i64,
    /// The exchange's letter.
    pub exchange: u8,
}

#[derive(Clone, Copy, Debug)]
struct Regional {
    best: Best,
    since: u64,
}

#[derive(Clone, Debug, Default)]
struct SideQuotes {
    regional: Vec<Regional>,
    best: Best,
}

impl SideQuotes {
    /// Takes an exchange's quote; whether the best price or size changed.
    fn update(&mut self, quote: Best, now: u64, is_better: impl Fn(i64, i64) -> bool) -> bool {
        match self
            .regional
            .iter_mut()
            .find(|regional| regional.best.exchange == quote.exchange)
        {
            Some(regional) => {
                if regional.best.price_e9 != quote.price_e9 {
                    regional.since = now;
                }
                regional.best = quote;
            }
            None => self.regional.push(Regional {
                best: quote,
                since: now,
            }),
        }
        let mut best: Option<Regional> = None;
        for regional in self.regional.iter().filter(|regional| regional.best.price_e9 != 0) {
            let is_new_best = best.is_none_or(|best| {
                is_better(regional.best.price_e9, best.best.price_e9)
                    || (regional.best.price_e9 == best.best.price_e9 && regional.since < best.since)
            });
            if is_new_best {
                best = Some(*regional);
            }
        }
        let best = best.map_or_else(Best::default, |regional| regional.best);
        let is_changed = (best.price_e9, best.size_e9) != (self.best.price_e9, self.best.size_e9);
        self.best = best;
        is_changed
    }
}

/// The best bid and offer of one symbol.
#[derive(Clone, Debug, Default)]
pub struct NationalBest {
    bids: SideQuotes,
    asks: SideQuotes,
    updates: u64,
}

impl NationalBest {
    /// Starts without any quote.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an exchange's bid; whether the national best bid changed in price or size.
    pub fn update_bid(&mut self, quote: Best) -> bool {
        self.updates += 1;
        self.bids
            .update(quote, self.updates, |price_e9, best_e9| price_e9 > best_e9)
    }

    /// Takes an exchange's ask; whether the national best offer changed in price or size.
    pub fn update_ask(&mut self, quote: Best) -> bool {
        self.updates += 1;
        self.asks
            .update(quote, self.updates, |price_e9, best_e9| price_e9 < best_e9)
    }

    /// Takes a best bid that is national already: it replaces every exchange's.
    pub fn replace_bid(&mut self, quote: Best) -> bool {
        self.bids.regional.clear();
        self.update_bid(quote)
    }

    /// Takes a best offer that is national already: it replaces every exchange's.
    pub fn replace_ask(&mut self, quote: Best) -> bool {
        self.asks.regional.clear();
        self.update_ask(quote)
    }

    /// The national best bid.
    pub fn bid(&self) -> Best {
        self.bids.best
    }

    /// The national best offer.
    pub fn ask(&self) -> Best {
        self.asks.best
    }

    /// Whether bid and offer are equal.
    pub fn is_locked(&self) -> bool {
        self.bid().price_e9 != 0 && self.bid().price_e9 == self.ask().price_e9
    }

    /// Whether the bid is above the offer.
    pub fn is_crossed(&self) -> bool {
        self.ask().price_e9 != 0 && self.bid().price_e9 > self.ask().price_e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quote(exchange: u8, price_e9: i64, size_e9: i64) -> Best {
        Best {
            price_e9,
            size_e9,
            exchange,
        }
    }

    #[test]
    fn the_first_exchange_at_the_best_price_gives_the_size() {
        let mut best = NationalBest::new();
        assert!(best.update_bid(quote(b'N', 100, 5)));
        assert!(
            !best.update_bid(quote(b'Q', 100, 7)),
            "a later exchange at the same price changes nothing"
        );
        assert!(best.update_bid(quote(b'P', 101, 1)));
        assert!(best.update_bid(quote(b'P', 99, 1)), "the withdrawn best falls back");
        assert_eq!(best.bid(), quote(b'N', 100, 5));
        assert!(
            best.update_bid(quote(b'N', 100, 6)),
            "a new size at the same price keeps the place"
        );
        assert!(best.update_bid(quote(b'N', 0, 0)));
        assert_eq!(best.bid(), quote(b'Q', 100, 7));
    }

    #[test]
    fn locked_and_crossed_are_told_apart() {
        let mut best = NationalBest::new();
        best.update_bid(quote(b'N', 100, 1));
        assert!(!best.is_locked() && !best.is_crossed());
        best.update_ask(quote(b'Q', 100, 1));
        assert!(best.is_locked() && !best.is_crossed());
        best.update_ask(quote(b'Q', 99, 1));
        assert!(best.is_crossed() && !best.is_locked());
    }

    proptest! {
        #[test]
        fn the_best_is_the_best_of_the_latest(quotes in prop::collection::vec((0_u8..5, 0_i64..8, 1_i64..4), 1..60)) {
            let mut best = NationalBest::new();
            let mut latest = std::collections::BTreeMap::new();
            let mut before = (0, 0);
            for (exchange, price_e9, size_e9) in quotes {
                let is_changed = best.update_bid(quote(exchange, price_e9, size_e9));
                latest.insert(exchange, price_e9);
                prop_assert_eq!(best.bid().price_e9, latest.values().copied().max().unwrap_or(0));
                let now = (best.bid().price_e9, best.bid().size_e9);
                prop_assert_eq!(is_changed, now != before);
                before = now;
            }
        }
    }
}
