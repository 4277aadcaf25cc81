//! The limits in force: the configured ones and what operators changed of them.

use crate::limits::RiskLimits;
use crate::orders::apply_to;
use holdfast_records::{AnyRecord, LimitChange};
use holdfast_risk as risk;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Configured limits and changes, at most one for each limit; it knows no time but what it is given.
#[pyclass(module = "holdfast._native")]
struct LimitBook(risk::LimitBook);

fn change_of(record: &Bound<'_, PyAny>) -> PyResult<LimitChange> {
    let change = apply_to(record, |record| match record {
        AnyRecord::LimitChange(change) => Some(*change),
        _ => None,
    })?;
    change.ok_or_else(|| PyTypeError::new_err("a LimitChange is needed"))
}

fn words(refused: risk::Refused) -> String {
    match refused {
        risk::Refused::Unknown => "there is no such limit, or it has no such value".to_owned(),
        risk::Refused::OutOfBounds(error) => error.to_string(),
        risk::Refused::InForce => "it is the value in force".to_owned(),
        risk::Refused::NeedsApprover => "it loosens: another person must approve it".to_owned(),
        risk::Refused::NeedsExpiry => {
            "it is looser than configured: it must end within a day, not later than what it replaces".to_owned()
        }
        risk::Refused::HasExpiry => "it is not looser than configured: it stays, without an end".to_owned(),
    }
}

#[pymethods]
impl LimitBook {
    #[new]
    fn new(configured: &RiskLimits) -> Self {
        Self(risk::LimitBook::new(configured.0))
    }

    /// Takes a LimitChange; why it has no effect, or None.
    fn apply(&mut self, change: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        Ok(self.0.apply(&change_of(change)?).err().map(words))
    }

    /// Why a LimitChange would have no effect, or None.
    fn refusal(&self, change: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        Ok(self.0.judge(&change_of(change)?).err().map(words))
    }

    /// Whether a change allows more than is in force; None for an unknown limit or value.
    fn is_loosening(&self, key: &str, new_e9: i64) -> Option<bool> {
        self.0.is_loosening(key, new_e9)
    }

    /// Whether a change allows more than is configured; None for an unknown limit or value.
    fn is_beyond_configured(&self, key: &str, new_e9: i64) -> Option<bool> {
        self.0.is_beyond_configured(key, new_e9)
    }

    /// Ends what has expired; true if there was any.
    fn expire(&mut self, now_ns: i64) -> bool {
        self.0.expire(now_ns)
    }

    /// The limits in force.
    #[getter]
    fn in_force(&self) -> RiskLimits {
        RiskLimits(*self.0.in_force())
    }

    /// Name, value and end (ns UTC; 0: none) of every change in force.
    fn changes(&self) -> Vec<(&'static str, i64, i64)> {
        let changes = self.0.changes().iter();
        changes
            .map(|change| (change.name(), change.value, change.expires_ns))
            .collect()
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("LOOSENED_NS_MAX", risk::LOOSENED_NS_MAX)?;
    module.add_class::<LimitBook>()
}
