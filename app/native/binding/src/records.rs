//! Records as frozen Python classes; a record read from a journal also shows its header.

use crate::codes::PyCode;
use holdfast_records as records;
use holdfast_records::{AnyRecord, Header, Record};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// How a field travels to Python and back.
trait PyField: Sized + Copy {
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>>;
    fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Self>;
    /// Appends the value as COPY's text format takes it.
    fn write_copy(&self, line: &mut String);
}

/// Appends free text as COPY's text format takes it.
fn write_escaped(line: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => line.push_str("\\\\"),
            '\t' => line.push_str("\\t"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            other => line.push(other),
        }
    }
}

macro_rules! integer_fields {
    ($($type:ty)*) => {$(
        impl PyField for $type {
            fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                Ok(self.into_pyobject(py)?.into_any().unbind())
            }
            fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Self> {
                value.extract()
            }
            fn write_copy(&self, line: &mut String) {
                // Writing into a string cannot fail.
                let _ = write!(line, "{self}");
            }
        }
    )*};
}
integer_fields!(u8 i64 u64);

macro_rules! code_fields {
    ($($(#[$doc:meta])* $name:ident($repr:ty) { $($rest:tt)* })*) => {$(
        impl PyField for records::$name {
            fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                PyCode::to_python(self, py)
            }
            fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Self> {
                PyCode::from_python(value)
            }
            fn write_copy(&self, line: &mut String) {
                line.push_str(self.label());
            }
        }
    )*};
}
records::for_each_code!(code_fields);

const SYMBOL_BYTES: usize = size_of::<records::Symbol>();
const KNOWN_TEXTS: usize = 512;

/// The Python text of a symbol, kept, since the same few hundred are asked for millions of times.
///
/// A place holds the last text that hashed to it: bounded whatever comes.
fn known_text<const N: usize>(py: Python<'_>, bytes: [u8; SYMBOL_BYTES], text: &records::Text<N>) -> Py<PyAny> {
    type Place = Option<([u8; SYMBOL_BYTES], Py<PyAny>)>;
    static PLACES: Mutex<[Place; KNOWN_TEXTS]> = Mutex::new([const { None }; KNOWN_TEXTS]);
    let number = u128::from_le_bytes(bytes);
    let hash = (number as u64 ^ (number >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let index = (hash >> 55) as usize % KNOWN_TEXTS;
    if let Some((known, object)) = &PLACES.lock().unwrap_or_else(PoisonError::into_inner)[index]
        && *known == bytes
    {
        return object.clone_ref(py);
    }
    let object = PyString::new(py, text.as_str()).into_any().unbind();
    let place = Some((bytes, object.clone_ref(py)));
    let before = std::mem::replace(&mut PLACES.lock().unwrap_or_else(PoisonError::into_inner)[index], place);
    drop(before);
    object
}

impl<const N: usize> PyField for records::Text<N> {
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match bytemuck::bytes_of(&self).first_chunk() {
            Some(bytes) if N == SYMBOL_BYTES => Ok(known_text(py, *bytes, &self)),
            _ => Ok(PyString::new(py, self.as_str()).into_any().unbind()),
        }
    }
    fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let text = value.cast::<PyString>()?.to_str()?;
        Self::new(text).ok_or_else(|| PyValueError::new_err(format!("{text:?} does not fit into {N} bytes")))
    }
    fn write_copy(&self, line: &mut String) {
        write_escaped(line, self.as_str());
    }
}

impl PyField for records::Uuid {
    fn to_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(PyString::new(py, &self.to_string()).into_any().unbind())
    }
    fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let text = value.cast::<PyString>()?.to_str()?;
        Self::parse(text).ok_or_else(|| PyValueError::new_err(format!("{text:?} is not a UUID")))
    }
    fn write_copy(&self, line: &mut String) {
        let _ = write!(line, "{self}");
    }
}

/// What the writer of a journal does with a record of any kind.
pub(crate) trait RecordSink {
    type Output;
    fn accept<R: Record>(self, record: &R) -> PyResult<Self::Output>;
}

const COPY_LINE_BYTES: usize = 512;

fn write_copy_header(line: &mut String, header: &Header) {
    let cause = header.cause_journal.label();
    let _ = write!(
        line,
        "{}\t{}\t{cause}\t{}\t{}",
        header.seq, header.ts_ns, header.cause_seq, header.origin_ns
    );
}

/// What makes the integer of a scaled field the amount itself.
const fn exponent(field: &str) -> &'static str {
    match field.as_bytes() {
        [.., b'_', b'e', b'9'] => "e-9",
        _ => "",
    }
}

macro_rules! field_type {
    (u8) => { u8 };
    (i64) => { i64 };
    (u64) => { u64 };
    ($name:ident) => { records::$name };
    ($name:ident $width:literal) => { records::$name<$width> };
}

macro_rules! define_classes {
    ($($(#[$doc:meta])* $name:ident = $kind:literal, $version:literal { $($field:ident: $type:ident $(<$width:literal>)?,)* } reserved $reserved:literal;)*) => {
        $(
            $(#[$doc])*
            #[pyclass(frozen, module = "holdfast._native")]
            pub(crate) struct $name {
                pub(crate) record: records::$name,
                pub(crate) header: Header,
            }

            #[allow(clippy::wrong_self_convention, reason = "fields are named for what they hold, such as from_ns")]
            #[pymethods]
            impl $name {
                #[classattr]
                const KIND: u16 = $kind;
                #[classattr]
                const VERSION: u8 = $version;
                #[classattr]
                const FIELDS: [&'static str; <records::$name as Record>::FIELDS.len()] = [$(stringify!($field),)*];

                /// Keyword arguments name fields; those not named are zero.
                #[new]
                #[pyo3(signature = (**fields))]
                fn new(fields: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
                    let mut record = records::$name::default();
                    if let Some(fields) = fields {
                        for (key, value) in fields {
                            match key.cast::<PyString>()?.to_str()? {
                                $(stringify!($field) => record.$field = PyField::from_python(&value)
                                    .map_err(|error| PyValueError::new_err(format!(concat!(stringify!($name), ".", stringify!($field), ": {}"), error)))?,)*
                                other => return Err(PyTypeError::new_err(format!(concat!(stringify!($name), " has no field {:?}"), other))),
                            }
                        }
                    }
                    Ok(Self { record, header: Header::default() })
                }
                $(
                    #[getter]
                    fn $field(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                        let value: field_type!($type $($width)?) = self.record.$field;
                        PyField::to_python(value, py)
                    }
                )*
                /// Number in its journal; 0 before it is written.
                #[getter]
                fn seq(&self) -> u64 {
                    self.header.seq
                }
                /// When it was written, ns UTC.
                #[getter]
                fn ts_ns(&self) -> i64 {
                    self.header.ts_ns
                }
                /// Journal of the causing record.
                #[getter]
                fn cause_journal(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                    PyCode::to_python(self.header.cause_journal, py)
                }
                /// Number of the causing record; 0 for none.
                #[getter]
                fn cause_seq(&self) -> u64 {
                    self.header.cause_seq
                }
                /// Receive time of the market event at the start of the chain, ns UTC; 0 for none.
                #[getter]
                fn origin_ns(&self) -> i64 {
                    self.header.origin_ns
                }
                /// A dict of the fields, codes as labels.
                fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                    let dict = PyDict::new(py);
                    $(
                        let value = PyField::to_python(self.record.$field, py)?;
                        let value = value.bind(py);
                        match value.getattr_opt("label")? {
                            Some(label) => dict.set_item(stringify!($field), label)?,
                            None => dict.set_item(stringify!($field), value)?,
                        }
                    )*
                    Ok(dict)
                }
                /// The line of COPY's text format: the header, then every field, amounts as `{integer}e-9`.
                fn as_copy(&self) -> String {
                    let mut line = String::with_capacity(COPY_LINE_BYTES);
                    write_copy_header(&mut line, &self.header);
                    $(
                        let value: field_type!($type $($width)?) = self.record.$field;
                        line.push('\t');
                        value.write_copy(&mut line);
                        line.push_str(const { exponent(stringify!($field)) });
                    )*
                    line.push('\n');
                    line
                }
                fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
                    other.cast::<Self>().is_ok_and(|other| other.get().record == self.record)
                }
                fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                    Ok(format!("{}({})", stringify!($name), self.as_dict(py)?.repr()?))
                }
            }
        )*

        /// Makes the Python object of a journaled record.
        pub(crate) fn to_python(py: Python<'_>, header: Header, record: AnyRecord<'_>) -> PyResult<Py<PyAny>> {
            match record {
                $(AnyRecord::$name(record) => Ok(Py::new(py, $name { record: *record, header })?.into_any()),)*
            }
        }

        /// Hands the record inside a Python object to `sink`; TypeError when it is none.
        pub(crate) fn with_record<S: RecordSink>(value: &Bound<'_, PyAny>, sink: S) -> PyResult<S::Output> {
            $(if let Ok(object) = value.cast::<$name>() {
                return sink.accept(&object.get().record);
            })*
            Err(PyTypeError::new_err(format!("{} is not a record", value.get_type().name()?)))
        }

        pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let kinds = PyList::empty(module.py());
            $(
                module.add_class::<$name>()?;
                kinds.append(module.py().get_type::<$name>())?;
            )*
            module.add("RECORDS", kinds.to_tuple())
        }
    };
}
records::for_each_record!(define_classes);
