use pyo3::prelude::*;

#[expect(clippy::unnecessary_wraps, reason = "nothing to register yet")]
pub(crate) fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
