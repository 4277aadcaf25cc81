//! Code sets as frozen Python classes: one instance per value, compared by identity.

use holdfast_records as records;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

/// How a code travels to Python and back.
pub(crate) trait PyCode: Sized + Copy {
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>>;
    fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Self>;
}

macro_rules! define_classes {
    ($($(#[$doc:meta])* $name:ident($repr:ty) { $($variant:ident = $number:literal $label:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[pyclass(frozen, eq, hash, skip_from_py_object, module = "holdfast._native")]
            #[derive(Clone, Copy, PartialEq, Eq, Hash)]
            pub(crate) struct $name(records::$name);

            #[pymethods]
            impl $name {
                /// The value for a label, the one instance of it; ValueError for an unknown one.
                #[new]
                fn of_label(py: Python<'_>, label: &str) -> PyResult<Py<PyAny>> {
                    let code = records::$name::from_label(label).ok_or_else(|| {
                        PyValueError::new_err(format!(concat!("{:?} is not a ", stringify!($name)), label))
                    })?;
                    code.to_python(py)
                }
                $(
                    #[classattr]
                    #[allow(non_snake_case)]
                    fn $variant(py: Python<'_>) -> PyResult<Py<PyAny>> {
                        singletons::$name(py)?.get(records::$name::$variant.0 as usize)
                            .map(|code| code.clone_ref(py).into_any()).ok_or_else(|| PyValueError::new_err(stringify!($variant)))
                    }
                )*
                /// Every value, in order of number.
                #[staticmethod]
                fn values(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
                    PyTuple::new(py, singletons::$name(py)?.iter().map(|code| code.clone_ref(py)))
                }
                /// The word used in JSON and SQL.
                #[getter]
                fn label(&self) -> &'static str {
                    self.0.label()
                }
                /// The number stored in records.
                #[getter]
                fn number(&self) -> u32 {
                    u32::from(self.0.0)
                }
                fn __bool__(&self) -> bool {
                    self.0.0 != 0
                }
                fn __str__(&self) -> &'static str {
                    self.0.label()
                }
                fn __repr__(&self) -> String {
                    let name = [$((records::$name::$variant, stringify!($variant)),)*]
                        .into_iter().find(|(value, _)| *value == self.0).map_or("?", |(_, name)| name);
                    format!(concat!(stringify!($name), ".{}"), name)
                }
            }

            impl PyCode for records::$name {
                fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                    match singletons::$name(py)?.get(self.0 as usize) {
                        Some(code) => Ok(code.clone_ref(py).into_any()),
                        None => Err(PyValueError::new_err(format!(concat!("no ", stringify!($name), " has number {}"), self.0))),
                    }
                }
                fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Self> {
                    Ok(value.cast::<$name>()?.get().0)
                }
            }
        )*

        #[allow(non_snake_case)]
        mod singletons {
            use super::*;
            $(
                pub(super) fn $name(py: Python<'_>) -> PyResult<&'static [Py<super::$name>]> {
                    static CODES: PyOnceLock<Vec<Py<super::$name>>> = PyOnceLock::new();
                    let codes = CODES.get_or_try_init(py, || {
                        records::$name::VALUES.iter().map(|(value, _)| Py::new(py, super::$name(*value))).collect::<PyResult<Vec<_>>>()
                    })?;
                    Ok(codes)
                }
            )*
        }

        pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(module.add_class::<$name>()?;)*
            Ok(())
        }
    };
}
records::for_each_code!(define_classes);
