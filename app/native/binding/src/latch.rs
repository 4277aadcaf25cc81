//! The kill latch for Python.

use crate::journal::to_exception;
use holdfast_journal as journal;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// The kill latch: one page that stops all entries.
#[pyclass(frozen, module = "holdfast._native")]
pub(crate) struct KillLatch {
    latch: Arc<journal::KillLatch>,
}

impl KillLatch {
    /// The latch, for native code that checks it before each entry.
    #[allow(dead_code, reason = "for the native loops of the other concepts")]
    pub(crate) fn latch(&self) -> Arc<journal::KillLatch> {
        Arc::clone(&self.latch)
    }
}

#[pymethods]
impl KillLatch {
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        journal::KillLatch::open(&path)
            .map(|latch| Self { latch: Arc::new(latch) })
            .map_err(to_exception)
    }

    /// Whether entries are stopped: one load.
    #[getter]
    fn is_set(&self) -> bool {
        self.latch.is_set()
    }

    /// Whether the file at the path is still the mapped one; if not, treat the latch as set.
    #[getter]
    fn is_linked(&self) -> bool {
        self.latch.is_linked()
    }

    /// Rises with each trip and reset; odd while set.
    #[getter]
    fn generation(&self) -> u64 {
        self.latch.generation()
    }

    /// Who set or cleared it last; empty when a script did.
    #[getter]
    fn operator(&self) -> String {
        self.latch.note().operator
    }

    /// Why it was set or cleared last; empty when a script did it.
    #[getter]
    fn reason(&self) -> String {
        self.latch.note().reason
    }

    /// When it was set or cleared last, ns UTC; 0 when a script did it.
    #[getter]
    fn ts_ns(&self) -> i64 {
        self.latch.note().ts_ns
    }

    /// Stops entries now; False when they were stopped already.
    fn trip(&self, operator: &str, reason: &str, now_ns: i64) -> PyResult<bool> {
        self.latch.trip(operator, reason, now_ns).map_err(to_exception)
    }

    /// Lets entries go on with a new clear generation; False when the latch changed meanwhile.
    fn reset(&self, operator: &str, reason: &str, now_ns: i64) -> PyResult<bool> {
        self.latch.reset(operator, reason, now_ns).map_err(to_exception)
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<KillLatch>()
}
