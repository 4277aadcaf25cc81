//! The L2 book and the bar builder for Python.

use crate::codes::PyCode;
use crate::records::{Bar, BookDelta, Trade, to_python};
use holdfast_market as market;
use holdfast_records::{AnyRecord, Header, Side, Symbol};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

fn symbol_of(text: &str) -> PyResult<Symbol> {
    Symbol::new(text).ok_or_else(|| PyValueError::new_err(format!("symbol {text:?}: expected at most 16 bytes")))
}

type LevelTuple = (i64, i64);

fn pair(level: market::Level) -> LevelTuple {
    (level.price_e9, level.size_e9)
}

/// The order book of one symbol. A level is (price_e9, size_e9).
#[pyclass(module = "holdfast._native")]
pub(crate) struct OrderBook {
    book: market::OrderBook,
}

#[pymethods]
impl OrderBook {
    #[new]
    fn new(symbol: &str) -> PyResult<Self> {
        Ok(Self {
            book: market::OrderBook::new(symbol_of(symbol)?),
        })
    }

    /// Applies one change.
    fn apply(&mut self, delta: &BookDelta) {
        self.book.apply(&delta.record);
    }

    /// Applies changes in order.
    fn apply_batch(&mut self, deltas: &Bound<'_, PyList>) -> PyResult<()> {
        for delta in deltas {
            self.book.apply(&delta.cast::<BookDelta>()?.get().record);
        }
        Ok(())
    }

    /// The symbol of the book.
    #[getter]
    fn symbol<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.book.symbol().as_str())
    }

    /// The highest bid.
    #[getter]
    fn best_bid(&self) -> Option<LevelTuple> {
        self.book.best_bid().map(pair)
    }

    /// The lowest ask.
    #[getter]
    fn best_ask(&self) -> Option<LevelTuple> {
        self.book.best_ask().map(pair)
    }

    /// Levels of a side from the best on.
    fn depth(&self, side: &Bound<'_, PyAny>, count_max: usize) -> PyResult<Vec<LevelTuple>> {
        let side = Side::from_python(side)?;
        if side == Side::NONE {
            return Err(PyValueError::new_err("side: expected BUY or SELL"));
        }
        Ok(self.book.depth(side, count_max).map(pair).collect())
    }

    /// Hash of all levels: equal books have equal checksums.
    fn checksum(&self) -> u64 {
        self.book.checksum()
    }

    /// Venue time of the latest change, ns UTC.
    #[getter]
    fn ts_event_ns(&self) -> i64 {
        self.book.ts_event_ns
    }

    /// Changes applied.
    #[getter]
    fn updates(&self) -> u64 {
        self.book.updates
    }

    /// Changes of another symbol, or without side or action: left out.
    #[getter]
    fn refused(&self) -> u64 {
        self.book.refused
    }
}

/// Builds the bars of one symbol from trades, or from shorter bars.
#[pyclass(module = "holdfast._native")]
pub(crate) struct BarBuilder {
    builder: market::BarBuilder,
}

fn bar_to_python(py: Python<'_>, bar: Option<holdfast_records::Bar>) -> PyResult<Option<Py<PyAny>>> {
    bar.map(|bar| to_python(py, Header::default(), AnyRecord::Bar(&bar)))
        .transpose()
}

#[pymethods]
impl BarBuilder {
    #[new]
    #[pyo3(signature = (symbol, *, interval_ns))]
    fn new(symbol: &str, interval_ns: i64) -> PyResult<Self> {
        let builder = market::BarBuilder::new(symbol_of(symbol)?, interval_ns)
            .ok_or_else(|| PyValueError::new_err(format!("interval_ns {interval_ns}: expected above zero")))?;
        Ok(Self { builder })
    }

    /// Takes a trade and returns the bar that it ended.
    fn on_trade(&mut self, py: Python<'_>, trade: &Trade) -> PyResult<Option<Py<PyAny>>> {
        bar_to_python(py, self.builder.on_trade(&trade.record))
    }

    /// Takes a shorter bar and returns the bar that it ended.
    fn on_bar(&mut self, py: Python<'_>, bar: &Bar) -> PyResult<Option<Py<PyAny>>> {
        bar_to_python(py, self.builder.on_bar(&bar.record))
    }

    /// Ends the current bar.
    fn flush(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        bar_to_python(py, self.builder.flush())
    }

    /// Trades and bars of an interval that had ended: left out.
    #[getter]
    fn late(&self) -> u64 {
        self.builder.late
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<OrderBook>()?;
    module.add_class::<BarBuilder>()
}
