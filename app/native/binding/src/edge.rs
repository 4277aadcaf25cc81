//! Edge fencing for Python.

use crate::journal::to_exception;
use holdfast_journal as journal;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

/// Admitted sockets and the deadline after which nothing leaves through them; for the thread that makes it.
#[pyclass(frozen, module = "holdfast._native")]
pub(crate) struct Edge {
    edge: journal::Edge,
}

#[pymethods]
impl Edge {
    #[new]
    fn new() -> PyResult<Self> {
        journal::Edge::new().map(|edge| Self { edge }).map_err(to_exception)
    }

    /// Whether bytes may leave now: the last thing to ask before they are written.
    #[getter]
    fn is_open(&self) -> bool {
        self.edge.is_open()
    }

    /// The deadline, ns of the boot clock; 0 before the first and after `close`.
    #[getter]
    fn deadline_ns(&self) -> i64 {
        self.edge.deadline_ns()
    }

    /// Sets the deadline, ns of the boot clock; one that has passed cuts at once.
    fn arm(&self, deadline_ns: i64) -> PyResult<()> {
        self.edge.arm(deadline_ns).map_err(to_exception)
    }

    /// Puts a connected socket under the edge; returns its place, or None when the edge is closed and the socket cut.
    fn admit(&self, descriptor: i32) -> PyResult<Option<usize>> {
        self.edge.admit(descriptor).map_err(to_exception)
    }

    /// Forgets an admitted socket; the caller's own descriptor stays open.
    fn release(&self, place: usize) -> PyResult<()> {
        if place >= journal::SOCKETS_MAX {
            return Err(PyIndexError::new_err(format!("place {place}: expected less than 64")));
        }
        self.edge.release(place);
        Ok(())
    }

    /// Ends the right now: cuts every admitted socket.
    fn close(&self) {
        self.edge.close();
    }

    /// The boot clock, ns: it runs on while the process is stopped and the host is suspended.
    #[staticmethod]
    fn now_ns() -> i64 {
        journal::boot_ns()
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Edge>()
}
