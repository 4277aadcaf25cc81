//! Time bars from trades, and longer bars from shorter ones; the volume-weighted price is exact.

use holdfast_records::{Bar, BarKind, Symbol, Trade, TradeAction};

/// Builds the bars of one symbol. A bar ends when something of a later interval arrives, or by [`BarBuilder::flush`].
#[derive(Clone, Debug)]
pub struct BarBuilder {
    interval_ns: i64,
    bar: Bar,
    /// Sum of price times size, scaled by 1e-18.
    turnover_e18: i128,
    /// Trades and bars that belong to an interval already ended: left out.
    pub late: u64,
}

impl BarBuilder {
    /// Starts without a bar. `interval_ns` is above zero; intervals begin at its multiples, UTC.
    pub fn new(symbol: Symbol, interval_ns: i64) -> Option<Self> {
        let bar = Bar {
            symbol,
            interval_ns,
            kind: BarKind::OWN,
            ts_event_ns: i64::MIN,
            ..Bar::default()
        };
        (interval_ns > 0).then_some(Self {
            interval_ns,
            bar,
            turnover_e18: 0,
            late: 0,
        })
    }

    /// Takes a trade and returns the bar that it ended. Corrections, cancels and other symbols are left out.
    pub fn on_trade(&mut self, trade: &Trade) -> Option<Bar> {
        if trade.symbol != self.bar.symbol || trade.action != TradeAction::PRINT {
            return None;
        }
        let price_e9 = trade.price_e9;
        let of_trade = Bar {
            ts_event_ns: trade.ts_event_ns,
            open_e9: price_e9,
            high_e9: price_e9,
            low_e9: price_e9,
            close_e9: price_e9,
            volume_e9: trade.size_e9,
            vwap_e9: price_e9,
            trade_count: 1,
            ..self.bar
        };
        self.join(&of_trade)
    }

    /// Takes a shorter bar, whose interval divides this one's, and returns the bar that it ended.
    pub fn on_bar(&mut self, bar: &Bar) -> Option<Bar> {
        if bar.symbol == self.bar.symbol {
            self.join(bar)
        } else {
            None
        }
    }

    /// Ends the current bar.
    pub fn flush(&mut self) -> Option<Bar> {
        if self.bar.trade_count == 0 {
            return None;
        }
        let mut bar = self.bar;
        // Rounded to the nearest; without volume there is no weight, and the close stands for it.
        bar.vwap_e9 = match i128::from(bar.volume_e9) {
            0 => bar.close_e9,
            volume_e9 => ((2 * self.turnover_e18 + volume_e9) / (2 * volume_e9)) as i64,
        };
        self.bar.trade_count = 0;
        Some(bar)
    }

    fn join(&mut self, part: &Bar) -> Option<Bar> {
        let start_ns = part.ts_event_ns.div_euclid(self.interval_ns) * self.interval_ns;
        if start_ns < self.bar.ts_event_ns || (start_ns == self.bar.ts_event_ns && self.bar.trade_count == 0) {
            self.late += 1;
            return None;
        }
        let ended = if start_ns > self.bar.ts_event_ns {
            self.flush()
        } else {
            None
        };
        if self.bar.trade_count == 0 {
            self.bar = Bar {
                volume_e9: 0,
                ts_event_ns: start_ns,
                open_e9: part.open_e9,
                high_e9: part.high_e9,
                low_e9: part.low_e9,
                ..self.bar
            };
            self.turnover_e18 = 0;
        }
        let bar = &mut self.bar;
        bar.high_e9 = bar.high_e9.max(part.high_e9);
        bar.low_e9 = bar.low_e9.min(part.low_e9);
        bar.close_e9 = part.close_e9;
        bar.volume_e9 = bar.volume_e9.saturating_add(part.volume_e9);
        bar.trade_count += part.trade_count.max(1);
        self.turnover_e18 += i128::from(part.vwap_e9) * i128::from(part.volume_e9);
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_records::E9;
    use proptest::prelude::*;

    fn trade(at_ns: i64, price_e9: i64, size_e9: i64) -> Trade {
        Trade {
            ts_event_ns: at_ns,
            price_e9,
            size_e9,
            action: TradeAction::PRINT,
            ..Trade::default()
        }
    }

    #[test]
    fn a_bar_holds_the_trades_of_its_interval() {
        let mut builder = BarBuilder::new(Symbol::default(), 60).expect("an interval");
        assert_eq!(builder.on_trade(&trade(61, 10 * E9, 2 * E9)), None);
        assert_eq!(builder.on_trade(&trade(70, 13 * E9, E9)), None);
        assert_eq!(builder.on_trade(&trade(119, 9 * E9, E9)), None);
        let bar = builder.on_trade(&trade(120, 11 * E9, E9)).expect("the bar ended");
        let expected = Bar {
            ts_event_ns: 60,
            interval_ns: 60,
            open_e9: 10 * E9,
            high_e9: 13 * E9,
            low_e9: 9 * E9,
            close_e9: 9 * E9,
            volume_e9: 4 * E9,
            vwap_e9: 10_500_000_000,
            trade_count: 3,
            kind: BarKind::OWN,
            ..Bar::default()
        };
        assert_eq!(bar, expected);
        assert_eq!(builder.on_trade(&trade(119, 1, 1)), None, "late");
        assert_eq!(builder.late, 1);
        assert_eq!(builder.flush().map(|bar| bar.trade_count), Some(1));
        assert_eq!(builder.flush(), None);
    }

    proptest! {
        #[test]
        fn bars_of_bars_equal_bars_of_trades(
            steps in prop::collection::vec((0_i64..40, 1_i64..1000, 1_i64..100), 1..80)
        ) {
            let symbol = Symbol::default();
            let (mut short, mut long, mut joined) = (
                BarBuilder::new(symbol, 10).expect("an interval"),
                BarBuilder::new(symbol, 50).expect("an interval"),
                BarBuilder::new(symbol, 50).expect("an interval"),
            );
            let (mut from_trades, mut from_bars, mut at_ns) = (Vec::new(), Vec::new(), 0);
            for (gap_ns, price, size) in steps {
                at_ns += gap_ns;
                let trade = trade(at_ns, price * E9, size * E9);
                from_trades.extend(long.on_trade(&trade));
                from_bars.extend(short.on_trade(&trade).and_then(|bar| joined.on_bar(&bar)));
            }
            from_trades.extend(long.flush());
            from_bars.extend(short.flush().and_then(|bar| joined.on_bar(&bar)));
            from_bars.extend(joined.flush());
            prop_assert_eq!(from_trades.len(), from_bars.len());
            for (a, b) in from_trades.iter().zip(&from_bars) {
                // The short bars' volume-weighted prices were rounded once already.
                prop_assert!((a.vwap_e9 - b.vwap_e9).abs() <= 1);
                prop_assert_eq!(Bar { vwap_e9: 0, ..*a }, Bar { vwap_e9: 0, ..*b });
            }
        }
    }
}
