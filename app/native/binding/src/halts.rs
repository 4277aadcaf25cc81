//! Which symbols are halted, from the journal `market_data`: no Python object is made of anything else in it.

use crate::journal::{JournalReader, to_exception};
use crate::records::to_python;
use holdfast_journal::Reader;
use holdfast_records::{AnyRecord, Header, StatusCode, Symbol, TradingStatus};
use pyo3::prelude::*;

/// The halts that are in force. It takes the reader over, which stands at the first record that counts.
#[pyclass(module = "holdfast._native")]
struct Halts {
    reader: Reader,
    halted: Vec<TradingStatus>,
}

#[pymethods]
impl Halts {
    #[new]
    fn new(reader: &mut JournalReader) -> PyResult<Self> {
        Ok(Self {
            reader: reader.take_reader()?,
            halted: Vec::new(),
        })
    }

    /// Reads everything that is there. Raises: as the journal.
    fn catch_up(&mut self) -> PyResult<()> {
        while let Some(entry) = self.reader.next().map_err(to_exception)? {
            let Some(AnyRecord::TradingStatus(status)) = entry.record() else {
                continue;
            };
            if matches!(status.status, StatusCode::HALTED | StatusCode::TRADING) {
                self.halted.retain(|other| other.symbol != status.symbol);
            }
            if status.status == StatusCode::HALTED {
                self.halted.push(*status);
            }
        }
        Ok(())
    }

    /// Whether a symbol is halted, as far as was read.
    fn is_halted(&self, symbol: &str) -> bool {
        Symbol::new(symbol).is_some_and(|symbol| self.halted.iter().any(|status| status.symbol == symbol))
    }

    /// The statuses that are in force.
    fn statuses(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let statuses = self.halted.iter();
        statuses
            .map(|status| to_python(py, Header::default(), AnyRecord::TradingStatus(status)))
            .collect()
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Halts>()
}
