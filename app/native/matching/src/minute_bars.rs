//! Minute bars of public trades, as the venue publishes them.

use holdfast_records::{Bar, BarKind, Symbol, Trade, TradeAction, notional_e9};
use std::collections::BTreeMap;

const MINUTE_NS: i64 = 60_000_000_000;

#[derive(Clone, Copy, Debug, Default)]
struct Growing {
    bar: Bar,
    value_e9: i64,
}

/// Builds the bars of the running minute for every symbol.
#[derive(Clone, Debug, Default)]
pub struct MinuteBars {
    minute_ns: i64,
    growing: BTreeMap<Symbol, Growing>,
}

impl MinuteBars {
    /// Tells the time; the bars of a minute that is over go to `out`, by symbol.
    pub fn advance(&mut self, now_ns: i64, out: &mut Vec<Bar>) {
        let minute_ns = now_ns.div_euclid(MINUTE_NS) * MINUTE_NS;
        if minute_ns <= self.minute_ns {
            return;
        }
        self.minute_ns = minute_ns;
        for (_, growing) in std::mem::take(&mut self.growing) {
            let mut bar = growing.bar;
            if bar.volume_e9 > 0 {
                let vwap = i128::from(growing.value_e9) * 1_000_000_000 / i128::from(bar.volume_e9);
                bar.vwap_e9 = vwap as i64;
            }
            out.push(bar);
        }
    }

    /// Takes a trade of the running minute; call [`Self::advance`] with its time first.
    pub fn on_trade(&mut self, trade: &Trade) {
        if trade.action != TradeAction::PRINT {
            return;
        }
        let growing = self.growing.entry(trade.symbol).or_insert_with(|| Growing {
            bar: Bar {
                symbol: trade.symbol,
                ts_event_ns: self.minute_ns,
                interval_ns: MINUTE_NS,
                open_e9: trade.price_e9,
                low_e9: trade.price_e9,
                kind: BarKind::MINUTE,
                ..Bar::default()
            },
            value_e9: 0,
        });
        let bar = &mut growing.bar;
        bar.high_e9 = bar.high_e9.max(trade.price_e9);
        bar.low_e9 = bar.low_e9.min(trade.price_e9);
        bar.close_e9 = trade.price_e9;
        bar.volume_e9 += trade.size_e9;
        bar.trade_count += 1;
        growing.value_e9 = growing
            .value_e9
            .saturating_add(notional_e9(trade.price_e9, trade.size_e9));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_records::E9;

    #[test]
    fn a_bar_comes_when_its_minute_is_over() {
        let mut bars = MinuteBars::default();
        let mut out = Vec::new();
        for (ts_event_ns, price, size) in [(0, 10, 100), (1, 12, 100), (59, 9, 200), (60, 11, 1)] {
            let trade = Trade {
                symbol: Symbol::truncated("AAA"),
                ts_event_ns: MINUTE_NS + ts_event_ns * E9,
                price_e9: price * E9,
                size_e9: size * E9,
                action: TradeAction::PRINT,
                ..Trade::default()
            };
            bars.advance(trade.ts_event_ns, &mut out);
            bars.on_trade(&trade);
        }
        assert_eq!(out.len(), 1);
        let bar = out[0];
        assert_eq!(bar.ts_event_ns, MINUTE_NS);
        let prices = [
            bar.open_e9,
            bar.high_e9,
            bar.low_e9,
            bar.close_e9,
            bar.vwap_e9,
            bar.volume_e9,
        ];
        assert_eq!(prices.map(|value_e9| value_e9 / E9), [10, 12, 9, 9, 10, 400]);
        assert_eq!(bar.trade_count, 3);
    }
}
