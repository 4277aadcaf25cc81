//! The risk limits as Python hands them over.

use crate::orders::parse_symbol;
use holdfast_records::{Symbol, Text};
use holdfast_risk as risk;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Every limit of the gate: whole numbers, each within its compiled-in bounds.
#[pyclass(frozen, skip_from_py_object, module = "holdfast._native")]
#[derive(Clone, Copy)]
pub(crate) struct RiskLimits(pub(crate) risk::RiskLimits);

#[pymethods]
impl RiskLimits {
    /// Takes every limit by name; TypeError for a missing or unknown one, ValueError beyond its bounds.
    #[new]
    #[pyo3(signature = (*, is_short_allowed, is_resumed_by_operator, **limits))]
    fn new(is_short_allowed: bool, is_resumed_by_operator: bool, limits: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut built = risk::RiskLimits {
            is_short_allowed,
            is_resumed_by_operator,
            ..risk::RiskLimits::loosest()
        };
        let mut count = 0;
        for (name, value) in limits.into_iter().flatten() {
            let name: String = name.extract()?;
            if !built.set(&name, value.extract()?) {
                return Err(PyTypeError::new_err(format!("there is no limit {name}")));
            }
            count += 1;
        }
        if count != risk::RiskLimits::BOUNDS.len() {
            return Err(PyTypeError::new_err(format!(
                "{count} of {} limits given",
                risk::RiskLimits::BOUNDS.len()
            )));
        }
        let validated = built
            .validated()
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self(validated))
    }

    /// Name, least and greatest value of every limit.
    #[staticmethod]
    fn bounds(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let dict = PyDict::new(py);
        for (name, bounds) in risk::RiskLimits::BOUNDS {
            dict.set_item(name, (bounds.least, bounds.greatest))?;
        }
        Ok(dict)
    }

    /// Every limit at the bound where it allows most.
    #[staticmethod]
    fn loosest(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let dict = PyDict::new(py);
        for (name, bounds) in risk::RiskLimits::BOUNDS {
            dict.set_item(name, bounds.loosest())?;
        }
        Ok(dict)
    }

    /// Every limit by name.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        limits_dict(py, self.0.values())
    }

    /// The same limits with positions that have no protective stop: pairs of strategy and symbol, one of them may be empty.
    #[expect(clippy::needless_pass_by_value, reason = "the form pyo3 extracts")]
    fn with_waivers(&self, waivers: Vec<(String, String)>) -> PyResult<Self> {
        Ok(Self(risk::RiskLimits {
            waivers: waivers_of(&waivers)?,
            ..self.0
        }))
    }

    /// Positions without a protective stop on purpose: pairs of strategy and symbol.
    #[getter]
    fn waivers(&self) -> Vec<(String, String)> {
        let names = |waiver: &risk::Waiver| (waiver.strategy.to_string(), waiver.symbol.to_string());
        self.0.waivers.iter().map(names).collect()
    }

    /// What every decision under these limits carries.
    #[getter]
    fn hash(&self) -> u64 {
        self.0.hash()
    }
}

pub(crate) fn limits_dict(py: Python<'_>, values: impl IntoIterator<Item = i64>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for ((name, _), value) in risk::RiskLimits::BOUNDS.iter().zip(values) {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

/// Pairs of strategy and symbol, either of them empty for all.
fn waivers_of(waivers: &[(String, String)]) -> PyResult<risk::Waivers> {
    let parse = |(strategy, symbol): &(String, String)| {
        let strategy = Text::new(strategy).ok_or_else(|| PyValueError::new_err("waivers must be of shorter names"))?;
        let symbol = if symbol.is_empty() {
            Symbol::default()
        } else {
            parse_symbol(symbol)?
        };
        Ok(risk::Waiver { strategy, symbol })
    };
    let parsed = waivers.iter().map(parse).collect::<PyResult<Vec<_>>>()?;
    risk::Waivers::new(&parsed).ok_or_else(|| {
        let most = risk::Waivers::COUNT_MAX;
        PyValueError::new_err(format!(
            "waivers must be at most {most}, each with a strategy or a symbol"
        ))
    })
}
