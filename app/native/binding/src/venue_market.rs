//! The simulated venue's market data: a synthetic market, and the history of what was published.

use crate::matching::symbol_of;
use crate::records;
use holdfast_matching as matching;
use holdfast_records::{AnyRecord, Header};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A seeded market of a few symbols; the same arguments give the same records.
#[pyclass(module = "holdfast._native")]
struct SyntheticMarket {
    market: matching::SyntheticMarket,
}

#[pymethods]
impl SyntheticMarket {
    /// `listings` are (symbol, first price scaled by 1e-9); a symbol changes once in `interval_ns` on average.
    #[new]
    #[pyo3(signature = (*, seed, listings, start_ns, interval_ns))]
    fn new(seed: u64, listings: Vec<(String, i64)>, start_ns: i64, interval_ns: i64) -> PyResult<Self> {
        let listings = listings
            .iter()
            .map(|(symbol, price_e9)| {
                Ok(matching::Listing {
                    symbol: symbol_of(symbol)?,
                    price_e9: *price_e9,
                })
            })
            .collect::<PyResult<Vec<_>>>()?;
        Ok(Self {
            market: matching::SyntheticMarket::new(seed, &listings, start_ns, interval_ns),
        })
    }

    /// When the next record happens, ns UTC.
    #[getter]
    fn next_ns(&self) -> i64 {
        self.market.next_ns()
    }

    /// The next records in order of time: at least `count`, so that the changes of one book stay together.
    fn next_records(&mut self, py: Python<'_>, count: usize) -> PyResult<Vec<Py<PyAny>>> {
        let mut made = Vec::with_capacity(count + 32);
        self.market.next(count, &mut made);
        let header = Header::default();
        made.iter()
            .map(|record| match record {
                matching::MarketRecord::Quote(quote) => records::to_python(py, header, AnyRecord::Quote(quote)),
                matching::MarketRecord::Trade(trade) => records::to_python(py, header, AnyRecord::Trade(trade)),
                matching::MarketRecord::Delta(delta) => records::to_python(py, header, AnyRecord::BookDelta(delta)),
            })
            .collect()
    }
}

/// Records of a page, and the number of the first that is left.
type HistoryPage = (Vec<Py<PyAny>>, Option<u64>);

/// Everything the simulated venue has published, and the minute bars it makes of it.
#[pyclass(module = "holdfast._native")]
struct MarketHistory {
    history: matching::History,
    minute_bars: matching::MinuteBars,
}

#[pymethods]
impl MarketHistory {
    /// Keeps at most `count_max` records of a symbol and kind.
    #[new]
    fn new(count_max: usize) -> Self {
        Self {
            history: matching::History::new(count_max),
            minute_bars: matching::MinuteBars::default(),
        }
    }

    /// Remembers quotes and trades; returns the bars of the minutes that ended.
    fn on_records(&mut self, py: Python<'_>, records: Vec<Bound<'_, PyAny>>) -> PyResult<Vec<Py<PyAny>>> {
        let mut bars = Vec::new();
        for record in &records {
            if let Ok(quote) = record.cast::<records::Quote>() {
                let quote = quote.get().record;
                self.minute_bars.advance(quote.ts_event_ns, &mut bars);
                self.history.push(&matching::MarketRecord::Quote(quote));
            } else if let Ok(trade) = record.cast::<records::Trade>() {
                let trade = trade.get().record;
                self.minute_bars.advance(trade.ts_event_ns, &mut bars);
                self.minute_bars.on_trade(&trade);
                self.history.push(&matching::MarketRecord::Trade(trade));
            }
        }
        self.publish(py, &bars)
    }

    /// Tells the time; returns the bars of the minutes that ended.
    fn advance(&mut self, py: Python<'_>, now_ns: i64) -> PyResult<Vec<Py<PyAny>>> {
        let mut bars = Vec::new();
        self.minute_bars.advance(now_ns, &mut bars);
        self.publish(py, &bars)
    }

    /// A page of `quotes`, `trades` or `bars` with `start_ns <= time <= end_ns`.
    #[pyo3(signature = (channel, symbol, *, start_ns, end_ns, from_seq, count_max, is_descending))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn page(
        &self,
        py: Python<'_>,
        channel: &str,
        symbol: &str,
        start_ns: i64,
        end_ns: i64,
        from_seq: Option<u64>,
        count_max: usize,
        is_descending: bool,
    ) -> PyResult<HistoryPage> {
        let range = matching::Range {
            start_ns,
            end_ns,
            from_seq,
            count_max,
            is_descending,
        };
        let symbol = symbol_of(symbol)?;
        let header = Header::default();
        macro_rules! page {
            ($method:ident, $variant:ident) => {{
                let page = self.history.$method(symbol, &range);
                let shown = page
                    .records
                    .iter()
                    .map(|record| records::to_python(py, header, AnyRecord::$variant(record)));
                Ok((shown.collect::<PyResult<_>>()?, page.next_seq))
            }};
        }
        match channel {
            "quotes" => page!(quotes, Quote),
            "trades" => page!(trades, Trade),
            "bars" => page!(bars, Bar),
            other => Err(PyValueError::new_err(format!("{other:?} has no history"))),
        }
    }
}

impl MarketHistory {
    fn publish(&mut self, py: Python<'_>, bars: &[holdfast_records::Bar]) -> PyResult<Vec<Py<PyAny>>> {
        bars.iter()
            .map(|bar| {
                self.history.push_bar(*bar);
                records::to_python(py, Header::default(), AnyRecord::Bar(bar))
            })
            .collect()
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SyntheticMarket>()?;
    module.add_class::<MarketHistory>()
}
