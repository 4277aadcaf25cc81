//! Approved decisions as request bytes.

use crate::records::{Decision, to_python};
use holdfast_orders::{Approved, EncodeError, encode_new, encode_replace, submitting};
use holdfast_records::{AnyRecord, Header, Uuid};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

fn refuse(error: EncodeError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn approved(decision: &Decision) -> PyResult<Approved<'_>> {
    Approved::new(&decision.record)
        .ok_or_else(|| PyValueError::new_err("decision: expected an approved one with a client_order_id"))
}

/// The bytes of `POST /v2/orders` for an approved new order.
#[pyfunction]
fn encode_order_request<'py>(py: Python<'py>, decision: &Decision, head: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    encode_new(approved(decision)?, head, &mut out).map_err(refuse)?;
    Ok(PyBytes::new(py, &out))
}

/// The bytes of `PATCH /v2/orders/{venue_order_id}` for an approved replacement.
#[pyfunction]
fn encode_replace_request<'py>(
    py: Python<'py>,
    decision: &Decision,
    venue_order_id: &str,
    head: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let target = Uuid::parse(venue_order_id).ok_or_else(|| PyValueError::new_err("venue_order_id: expected a UUID"))?;
    let mut out = Vec::new();
    encode_replace(approved(decision)?, target, head, &mut out).map_err(refuse)?;
    Ok(PyBytes::new(py, &out))
}

/// The SUBMITTING event of an approved decision: what must be journaled before its request leaves.
#[pyfunction]
fn submitting_event(
    py: Python<'_>,
    decision: &Decision,
    ts_event_ns: i64,
    replaces_order_id: &str,
) -> PyResult<Py<PyAny>> {
    let replaces = Uuid::parse(replaces_order_id)
        .ok_or_else(|| PyValueError::new_err("replaces_order_id: expected a UUID or nothing"))?;
    let event = submitting(approved(decision)?, decision.header.seq, ts_event_ns, replaces);
    to_python(py, Header::default(), AnyRecord::OrderEvent(&event))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_order_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_replace_request, module)?)?;
    module.add_function(wrap_pyfunction!(submitting_event, module)?)
}
