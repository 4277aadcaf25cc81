//! Journals for Python: errors, writer, reader, verification.

use crate::codes::PyCode;
use crate::records::{RecordSink, to_python, with_record};
use holdfast_journal::{self as journal, Durability, Error, Identity, Options, Watch};
use holdfast_records::{Cause, JournalName, Record};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

create_exception!(
    holdfast._native,
    JournalError,
    PyException,
    "A journal cannot be used; the message says why."
);
create_exception!(
    holdfast._native,
    JournalLocked,
    JournalError,
    "Another process writes this journal."
);
create_exception!(
    holdfast._native,
    JournalFull,
    JournalError,
    "No room for the next segment."
);
create_exception!(
    holdfast._native,
    JournalCorrupt,
    JournalError,
    "Bytes that were once durable are damaged."
);
create_exception!(
    holdfast._native,
    JournalPruned,
    JournalError,
    "The wanted record is older than the retained ones."
);
create_exception!(
    holdfast._native,
    JournalAhead,
    JournalError,
    "The wanted record is newer than the journal."
);
create_exception!(
    holdfast._native,
    JournalMissing,
    JournalError,
    "No writer has created the journal."
);

/// The one conversion of journal errors to Python exceptions.
pub(crate) fn to_exception(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Missing { .. } => JournalMissing::new_err(text),
        Error::Locked { .. } => JournalLocked::new_err(text),
        Error::Full { .. } => JournalFull::new_err(text),
        Error::Corrupt { .. } => JournalCorrupt::new_err(text),
        Error::Pruned { .. } => JournalPruned::new_err(text),
        Error::Ahead { .. } => JournalAhead::new_err(text),
        Error::Invalid { .. } => PyValueError::new_err(text),
        Error::Mismatch { .. } | Error::System { .. } => JournalError::new_err(text),
    }
}

fn closed() -> PyErr {
    JournalError::new_err("the journal is closed")
}

/// The only writer of a journal.
#[pyclass(module = "holdfast._native")]
pub(crate) struct JournalWriter {
    writer: Option<journal::Writer>,
}

impl JournalWriter {
    /// Gives the writer to native code that appends without making Python objects.
    #[allow(dead_code, reason = "for the native loops of the other concepts")]
    pub(crate) fn with_writer<T>(&mut self, work: impl FnOnce(&mut journal::Writer) -> T) -> PyResult<T> {
        self.writer.as_mut().map(work).ok_or_else(closed)
    }

    /// Takes the writer away, for a native loop that owns it; this object is closed then.
    #[allow(dead_code, reason = "for the native loops of the other concepts")]
    pub(crate) fn take_writer(&mut self) -> PyResult<journal::Writer> {
        self.writer.take().ok_or_else(closed)
    }

    fn writer(&self) -> PyResult<&journal::Writer> {
        self.writer.as_ref().ok_or_else(closed)
    }
}

struct Append<'a> {
    writer: &'a mut journal::Writer,
    ts_ns: i64,
    cause: Cause,
}

impl RecordSink for Append<'_> {
    type Output = u64;

    fn accept<R: Record>(self, record: &R) -> PyResult<u64> {
        self.writer.append(record, self.ts_ns, self.cause).map_err(to_exception)
    }
}

fn options(
    segment_bytes: u64,
    is_power_durable: bool,
    retained_max: usize,
    has_keeper: bool,
    build_hash: u64,
    config_hash: u64,
) -> Options {
    let durability = if is_power_durable {
        Durability::Power
    } else {
        Durability::Process
    };
    Options {
        segment_bytes,
        durability,
        segments_retained_max: retained_max,
        has_keeper,
        build_hash,
        config_hash,
    }
}

#[pymethods]
impl JournalWriter {
    #[new]
    #[pyo3(signature = (directory, name, *, now_ns, segment_bytes = 16 * 1024 * 1024, is_power_durable = false, segments_retained_max = 0, has_keeper = true, build_hash = 0, config_hash = 0))]
    #[expect(clippy::too_many_arguments, reason = "keyword-only in Python")]
    fn new(
        py: Python<'_>,
        directory: PathBuf,
        name: &Bound<'_, PyAny>,
        now_ns: i64,
        segment_bytes: u64,
        is_power_durable: bool,
        segments_retained_max: usize,
        has_keeper: bool,
        build_hash: u64,
        config_hash: u64,
    ) -> PyResult<Self> {
        let name = JournalName::from_python(name)?;
        let options = options(
            segment_bytes,
            is_power_durable,
            segments_retained_max,
            has_keeper,
            build_hash,
            config_hash,
        );
        let writer = py
            .detach(|| journal::Writer::open(&directory, name, &options, now_ns))
            .map_err(to_exception)?;
        Ok(Self { writer: Some(writer) })
    }

    /// Opens a copy of another host's journal; `identity` is the source's `JournalReader.identity`.
    #[staticmethod]
    #[pyo3(signature = (directory, identity, *, is_power_durable = false, segments_retained_max = 0))]
    fn mirror(
        py: Python<'_>,
        directory: PathBuf,
        identity: [i64; 6],
        is_power_durable: bool,
        segments_retained_max: usize,
    ) -> PyResult<Self> {
        let source = identity_from(identity);
        let options = options(
            source.segment_bytes,
            is_power_durable,
            segments_retained_max,
            true,
            0,
            0,
        );
        let writer = py
            .detach(|| journal::Writer::open_mirror(&directory, &source, &options))
            .map_err(to_exception)?;
        writer.follow(&source);
        Ok(Self { writer: Some(writer) })
    }

    /// Signals this process around an append of a record of a kind, after `skip` others; makes `marker` just before.
    #[pyo3(signature = (kind, *, is_after, skip, signal, marker))]
    fn set_trap(&mut self, kind: u16, is_after: bool, skip: u64, signal: i32, marker: PathBuf) -> PyResult<()> {
        self.with_writer(|writer| {
            writer.set_trap(journal::Trap {
                kind,
                is_after,
                skip,
                signal,
                marker,
            });
        })
    }

    /// Rises with each opening.
    #[getter]
    fn epoch(&self) -> PyResult<u64> {
        Ok(self.writer()?.epoch())
    }

    /// Number that the next record gets.
    #[getter]
    fn next_seq(&self) -> PyResult<u64> {
        Ok(self.writer()?.next_seq())
    }

    /// Bytes of unfinished records that opening cut away.
    #[getter]
    fn recovered_bytes_cut(&self) -> PyResult<u64> {
        Ok(self.writer()?.bytes_cut())
    }

    /// Appends a record and returns its number.
    #[pyo3(signature = (record, *, ts_ns, cause_journal = None, cause_seq = 0, origin_ns = 0))]
    fn append(
        &mut self,
        record: &Bound<'_, PyAny>,
        ts_ns: i64,
        cause_journal: Option<&Bound<'_, PyAny>>,
        cause_seq: u64,
        origin_ns: i64,
    ) -> PyResult<u64> {
        let journal = cause_journal.map_or(Ok(JournalName::NONE), JournalName::from_python)?;
        let writer = self.writer.as_mut().ok_or_else(closed)?;
        with_record(
            record,
            Append {
                writer,
                ts_ns,
                cause: Cause {
                    journal,
                    seq: cause_seq,
                    origin_ns,
                },
            },
        )
    }

    /// Appends records of the mirrored journal, as `JournalReader.read_raw` gave them; returns how many.
    fn append_raw(&mut self, records: &[u8]) -> PyResult<u64> {
        let writer = self.writer.as_mut().ok_or_else(closed)?;
        let (mut rest, mut count) = (records, 0);
        while !rest.is_empty() {
            let length = rest
                .first_chunk()
                .map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
            if length == 0 || length > rest.len() {
                return Err(PyValueError::new_err(format!(
                    "record {} is cut short",
                    writer.next_seq()
                )));
            }
            writer.append_raw(&rest[..length]).map_err(to_exception)?;
            rest = &rest[length..];
            count += 1;
        }
        Ok(count)
    }

    /// Mirror: takes over the source's epoch, hashes and heartbeat.
    fn follow(&self, identity: [i64; 6], heartbeat_ns: i64) -> PyResult<()> {
        let writer = self.writer()?;
        writer.follow(&identity_from(identity));
        writer.heartbeat(heartbeat_ns);
        Ok(())
    }

    /// Says that the writer is alive.
    fn heartbeat(&self, now_ns: i64) -> PyResult<()> {
        self.writer()?.heartbeat(now_ns);
        Ok(())
    }

    /// Makes every record durable now.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        let writer = self.writer()?;
        py.detach(|| writer.sync()).map_err(to_exception)
    }

    /// Syncs and closes; again does nothing.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        match self.writer.take() {
            Some(writer) => py.detach(|| writer.close()).map_err(to_exception),
            None => Ok(()),
        }
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&mut self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }
}

/// Identity as plain numbers: journal, segment bytes, creation ns, epoch, build hash, configuration hash (bit by bit).
fn identity_from([journal, segment_bytes, created_ns, epoch, build_hash, config_hash]: [i64; 6]) -> Identity {
    Identity {
        journal: JournalName(journal as u8),
        segment_bytes: segment_bytes as u64,
        created_ns,
        epoch: epoch as u64,
        build_hash: build_hash as u64,
        config_hash: config_hash as u64,
    }
}

/// Follows a journal from a record on.
#[pyclass(module = "holdfast._native")]
pub(crate) struct JournalReader {
    reader: Option<journal::Reader>,
    spin: Duration,
}

impl JournalReader {
    fn reader(&self) -> PyResult<&journal::Reader> {
        self.reader.as_ref().ok_or_else(closed)
    }

    fn reader_mut(&mut self) -> PyResult<&mut journal::Reader> {
        self.reader.as_mut().ok_or_else(closed)
    }

    /// What `work` makes of the next record, nothing while there is none. Fails for a record that `work` does not know.
    pub(crate) fn with_next<T>(&mut self, work: impl FnOnce(&journal::Entry<'_>) -> Option<T>) -> PyResult<Option<T>> {
        match self.reader_mut()?.next().map_err(to_exception)? {
            Some(entry) => work(&entry).ok_or_else(|| unknown(&entry)).map(Some),
            None => Ok(None),
        }
    }

    /// Number of the newest committed record; 0 for none.
    pub(crate) fn newest(&self) -> PyResult<u64> {
        Ok(self.reader()?.last_seq())
    }

    /// Whether there is a record that was not read.
    pub(crate) fn has_more(&self) -> PyResult<bool> {
        let reader = self.reader()?;
        Ok(reader.last_seq() >= reader.next_seq())
    }

    /// The place of the next record, and how long to spin for it.
    pub(crate) fn watch(&mut self) -> PyResult<(Watch, Duration)> {
        let spin = self.spin;
        Ok((self.reader_mut()?.watch().map_err(to_exception)?, spin))
    }

    /// Takes the reader away, for a native loop that owns it; this object is closed then.
    #[allow(dead_code, reason = "for the native loops of the other concepts")]
    pub(crate) fn take_reader(&mut self) -> PyResult<journal::Reader> {
        self.reader.take().ok_or_else(closed)
    }
}

fn unknown(entry: &journal::Entry<'_>) -> PyErr {
    let header = entry.header;
    JournalError::new_err(format!(
        "record {} has kind {} version {}, which this release does not know: read it with the release that wrote it",
        header.seq, header.kind, header.version
    ))
}

fn entry_to_python(py: Python<'_>, entry: &journal::Entry<'_>) -> PyResult<Py<PyAny>> {
    let record = entry.record().ok_or_else(|| unknown(entry))?;
    to_python(py, entry.header, record)
}

#[pymethods]
impl JournalReader {
    #[new]
    #[pyo3(signature = (directory, *, from_seq = 1, spin_us = 0, wait_s = 0.0))]
    fn new(py: Python<'_>, directory: PathBuf, from_seq: u64, spin_us: u64, wait_s: f64) -> PyResult<Self> {
        let patience = seconds(wait_s)?;
        let reader = py
            .detach(|| open_patiently(&directory, from_seq, patience))
            .map_err(to_exception)?;
        Ok(Self {
            reader: Some(reader),
            spin: Duration::from_micros(spin_us),
        })
    }

    /// Number of the record that is read next.
    #[getter]
    fn next_seq(&self) -> PyResult<u64> {
        Ok(self.reader()?.next_seq())
    }

    /// Number of the newest committed record; 0 for none.
    #[getter]
    fn last_seq(&self) -> PyResult<u64> {
        self.newest()
    }

    /// Number of the oldest retained record.
    #[getter]
    fn first_seq(&self) -> PyResult<u64> {
        Ok(self.reader()?.first_seq())
    }

    /// Epoch of the writer.
    #[getter]
    fn epoch(&self) -> PyResult<u64> {
        Ok(self.reader()?.identity().epoch)
    }

    /// When the writer last said that it is alive, ns UTC.
    #[getter]
    fn heartbeat_ns(&self) -> PyResult<i64> {
        Ok(self.reader()?.heartbeat_ns())
    }

    /// Hash of the writer's code.
    #[getter]
    fn build_hash(&self) -> PyResult<u64> {
        Ok(self.reader()?.identity().build_hash)
    }

    /// Hash of the writer's configuration.
    #[getter]
    fn config_hash(&self) -> PyResult<u64> {
        Ok(self.reader()?.identity().config_hash)
    }

    /// Which journal it is.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.reader()?.identity().journal.to_python(py)
    }

    /// What a mirror must take over: journal, segment bytes, creation ns, epoch, build hash, configuration hash.
    #[getter]
    fn identity(&self) -> PyResult<(i64, i64, i64, i64, i64, i64)> {
        let identity = self.reader()?.identity();
        Ok((
            i64::from(identity.journal.0),
            identity.segment_bytes as i64,
            identity.created_ns,
            identity.epoch as i64,
            identity.build_hash as i64,
            identity.config_hash as i64,
        ))
    }

    /// Up to `count_max` records that are there; never blocks.
    fn read(&mut self, py: Python<'_>, count_max: usize) -> PyResult<Vec<Py<PyAny>>> {
        let reader = self.reader_mut()?;
        let mut records = Vec::new();
        while records.len() < count_max {
            match reader.next().map_err(to_exception)? {
                Some(entry) => records.push(entry_to_python(py, &entry)?),
                None => break,
            }
        }
        Ok(records)
    }

    /// The next record, None when there is none yet.
    fn read_one(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.reader_mut()?.next().map_err(to_exception)? {
            Some(entry) => entry_to_python(py, &entry).map(Some),
            None => Ok(None),
        }
    }

    /// Whole records, headers included, as they stand in the journal, up to about `bytes_max` (at least one if there is one).
    fn read_raw<'py>(&mut self, py: Python<'py>, bytes_max: usize) -> PyResult<Bound<'py, PyBytes>> {
        let reader = self.reader_mut()?;
        let mut bytes = Vec::new();
        while bytes.len() < bytes_max {
            match reader.next().map_err(to_exception)? {
                Some(entry) => bytes.extend_from_slice(entry.bytes),
                None => break,
            }
        }
        Ok(PyBytes::new(py, &bytes))
    }

    /// Moves so that `seq` is read next; 0 means the oldest retained.
    fn seek(&mut self, seq: u64) -> PyResult<()> {
        self.reader_mut()?.seek(seq).map_err(to_exception)
    }

    /// Moves behind the newest record: what is read next is what comes from now on.
    fn seek_end(&mut self) -> PyResult<()> {
        self.reader_mut()?.seek_end().map_err(to_exception)
    }

    /// Lets go of the journal.
    fn close(&mut self) {
        self.reader = None;
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&mut self, _exception: &Bound<'_, PyAny>) {
        self.close();
    }
}

pub(crate) fn seconds(value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn open_patiently(directory: &Path, from_seq: u64, patience: Duration) -> journal::Result<journal::Reader> {
    const RETRY_INTERVAL: Duration = Duration::from_millis(2);
    let deadline = Instant::now() + patience;
    loop {
        match journal::Reader::open(directory, from_seq) {
            Err(Error::Missing { .. }) if Instant::now() < deadline => std::thread::sleep(RETRY_INTERVAL),
            other => return other,
        }
    }
}

/// What a check of every record found.
#[pyclass(frozen, get_all, module = "holdfast._native")]
pub(crate) struct JournalVerification {
    records: u64,
    first_seq: u64,
    last_seq: u64,
    torn_bytes: u64,
    error: Option<String>,
    path: Option<String>,
    offset: Option<u64>,
}

/// Reads and verifies every retained record of a journal, also while it is written.
#[pyfunction]
fn journal_verify(py: Python<'_>, directory: PathBuf) -> PyResult<JournalVerification> {
    let found = py.detach(|| journal::verify(&directory)).map_err(to_exception)?;
    let (error, path, offset) = match found.damage {
        Some((what, path, offset)) => (Some(what), Some(path.display().to_string()), Some(offset)),
        None => (None, None, None),
    };
    Ok(JournalVerification {
        records: found.records,
        first_seq: found.first_seq,
        last_seq: found.last_seq,
        torn_bytes: found.torn_bytes,
        error,
        path,
        offset,
    })
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("JournalError", py.get_type::<JournalError>())?;
    module.add("JournalLocked", py.get_type::<JournalLocked>())?;
    module.add("JournalFull", py.get_type::<JournalFull>())?;
    module.add("JournalCorrupt", py.get_type::<JournalCorrupt>())?;
    module.add("JournalPruned", py.get_type::<JournalPruned>())?;
    module.add("JournalAhead", py.get_type::<JournalAhead>())?;
    module.add("JournalMissing", py.get_type::<JournalMissing>())?;
    module.add_class::<JournalWriter>()?;
    module.add_class::<JournalReader>()?;
    module.add_class::<JournalVerification>()?;
    module.add_function(wrap_pyfunction!(journal_verify, module)?)
}
