//! Alpaca's market-data frames and recorded sessions for Python.

use crate::journal::{JournalWriter, to_exception};
use crate::records::{self as classes, RecordSink, to_python, with_record};
use holdfast_journal as journal;
use holdfast_market as market;
use holdfast_market::{Counts, Encoding, Oddity, SessionFile, SessionRecord, Sink};
use holdfast_records::{AnyRecord, Cause, Header, JournalName, Record, Symbol};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

fn encoding_of(name: &str) -> PyResult<Encoding> {
    match name {
        "json" => Ok(Encoding::Json),
        "msgpack" => Ok(Encoding::Msgpack),
        _ => Err(PyValueError::new_err(format!(
            "encoding {name:?}: expected json or msgpack"
        ))),
    }
}

/// What a frame held.
#[pyclass(frozen, module = "holdfast._native")]
pub(crate) struct FrameResult {
    counts: Counts,
    control: Vec<Py<PyBytes>>,
}

impl FrameResult {
    fn new(py: Python<'_>, counts: Counts, control: &[&[u8]]) -> Self {
        Self {
            counts,
            control: control
                .iter()
                .map(|message| PyBytes::new(py, message).unbind())
                .collect(),
        }
    }

    fn oddities<'py>(&self, py: Python<'py>, is_drop: bool) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(py);
        for (oddity, label) in Oddity::LABELS {
            let count = self.counts.oddities[oddity as usize];
            if count > 0 && oddity.is_drop() == is_drop {
                found.set_item(label, count)?;
            }
        }
        Ok(found)
    }
}

#[pymethods]
impl FrameResult {
    /// Quotes written.
    #[getter]
    fn quotes(&self) -> u64 {
        self.counts.quotes
    }

    /// Trades written, corrections and cancels included.
    #[getter]
    fn trades(&self) -> u64 {
        self.counts.trades
    }

    /// Bars written.
    #[getter]
    fn bars(&self) -> u64 {
        self.counts.bars
    }

    /// Book deltas written.
    #[getter]
    fn deltas(&self) -> u64 {
        self.counts.deltas
    }

    /// Halts, resumptions and bands written.
    #[getter]
    fn statuses(&self) -> u64 {
        self.counts.statuses
    }

    /// Records written, of any kind.
    #[getter]
    fn records(&self) -> u64 {
        let counts = &self.counts;
        counts.quotes + counts.trades + counts.bars + counts.deltas + counts.statuses
    }

    /// Messages that made no record, by reason; reasons that did not occur are absent.
    #[getter]
    fn dropped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.oddities(py, true)
    }

    /// Quotes written that are locked, crossed, one-sided or from the future.
    #[getter]
    fn flagged<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.oddities(py, false)
    }

    /// Latest venue time in the frame, ns UTC; 0 without data.
    #[getter]
    fn last_ts_event_ns(&self) -> i64 {
        self.counts.last_ts_event_ns
    }

    /// The bytes of the messages that are not data: success, error, subscription.
    #[getter]
    fn control(&self, py: Python<'_>) -> Vec<Py<PyBytes>> {
        self.control.iter().map(|message| message.clone_ref(py)).collect()
    }
}

struct JournalSink<'a> {
    writer: &'a mut journal::Writer,
    ts_ns: i64,
}

impl Sink for JournalSink<'_> {
    type Error = journal::Error;

    #[inline]
    fn put<R: Record>(&mut self, record: &R) -> Result<(), journal::Error> {
        let cause = Cause {
            journal: JournalName::NONE,
            seq: 0,
            origin_ns: self.ts_ns,
        };
        self.writer.append_in_batch(record, self.ts_ns, cause).map(|_| ())
    }
}

/// Whatever became of the frame, its readers are woken.
impl Drop for JournalSink<'_> {
    fn drop(&mut self) {
        self.writer.announce();
    }
}

struct ListSink<'py> {
    list: Bound<'py, PyList>,
}

impl Sink for ListSink<'_> {
    type Error = PyErr;

    fn put<R: Record>(&mut self, record: &R) -> PyResult<()> {
        let any = AnyRecord::parse(R::KIND, R::VERSION, bytemuck::bytes_of(record))
            .ok_or_else(|| PyTypeError::new_err(R::NAME))?;
        self.list.append(to_python(self.list.py(), Header::default(), any)?)
    }
}

/// Decodes the frames of one stream.
#[pyclass(frozen, module = "holdfast._native")]
pub(crate) struct FrameDecoder {
    encoding: Encoding,
}

#[pymethods]
impl FrameDecoder {
    #[new]
    fn new(encoding: &str) -> PyResult<Self> {
        Ok(Self {
            encoding: encoding_of(encoding)?,
        })
    }

    /// Appends every record of a frame to a journal, stamped with the receive time.
    #[pyo3(signature = (frame, writer, *, ts_ns))]
    fn decode_into(
        &self,
        py: Python<'_>,
        frame: &[u8],
        writer: &mut JournalWriter,
        ts_ns: i64,
    ) -> PyResult<FrameResult> {
        let mut control = Vec::new();
        let counts = writer
            .with_writer(|writer| {
                market::decode(
                    self.encoding,
                    frame,
                    ts_ns,
                    &mut JournalSink { writer, ts_ns },
                    &mut control,
                )
            })?
            .map_err(to_exception)?;
        Ok(FrameResult::new(py, counts, &control))
    }

    /// The records of a frame; messages that are no data or make no record are left out.
    fn decode<'py>(&self, py: Python<'py>, frame: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let mut sink = ListSink {
            list: PyList::empty(py),
        };
        market::decode(self.encoding, frame, i64::MAX, &mut sink, &mut Vec::new())?;
        Ok(sink.list)
    }
}

/// A record's payload, aligned as records are, with its kind.
struct Payload {
    kind: u16,
    version: u8,
    words: Vec<u64>,
}

struct TakePayload;

impl RecordSink for TakePayload {
    type Output = Payload;

    fn accept<R: Record>(self, record: &R) -> PyResult<Payload> {
        let mut words = vec![0_u64; size_of::<R>() / size_of::<u64>()];
        bytemuck::cast_slice_mut(&mut words).copy_from_slice(bytemuck::bytes_of(record));
        Ok(Payload {
            kind: R::KIND,
            version: R::VERSION,
            words,
        })
    }
}

/// One frame with a message for each market-data record, in Alpaca's form.
#[pyfunction]
fn encode_frame<'py>(py: Python<'py>, records: &Bound<'py, PyAny>, encoding: &str) -> PyResult<Bound<'py, PyBytes>> {
    let encoding = encoding_of(encoding)?;
    let objects = records.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let mut payloads = Vec::new();
    let mut quotes = Vec::with_capacity(objects.len());
    for object in &objects {
        // The busiest kinds are borrowed where they are; only the others are copied.
        if let Ok(quote) = object.cast::<classes::Quote>() {
            quotes.push(Some(AnyRecord::Quote(&quote.get().record)));
        } else if let Ok(trade) = object.cast::<classes::Trade>() {
            quotes.push(Some(AnyRecord::Trade(&trade.get().record)));
        } else {
            quotes.push(None);
            payloads.push(with_record(object, TakePayload)?);
        }
    }
    let mut others = payloads.iter().map(|payload| {
        AnyRecord::parse(payload.kind, payload.version, bytemuck::cast_slice(&payload.words))
            .ok_or_else(|| PyTypeError::new_err("a record of an unknown kind"))
    });
    let mut borrowed = Vec::with_capacity(objects.len());
    for record in quotes {
        match record.map_or_else(|| others.next().transpose(), |record| Ok(Some(record)))? {
            Some(record) => borrowed.push(record),
            None => return Err(PyTypeError::new_err("a record of an unknown kind")),
        }
    }
    let frame = market::encode_frame(&borrowed, encoding).map_err(|_| {
        PyValueError::new_err("records: expected market data (Quote, Trade, Bar, BookDelta, TradingStatus)")
    })?;
    Ok(PyBytes::new(py, &frame))
}

/// Merges the recorded files of several symbols by time.
#[pyclass(module = "holdfast._native")]
pub(crate) struct RecordedSession {
    session: market::RecordedSession,
}

fn session_file(symbol: &str, kind: &str, date: String, lines: Vec<u8>, tape: u8) -> PyResult<SessionFile> {
    let symbol = Symbol::new(symbol).ok_or_else(|| PyValueError::new_err(format!("symbol {symbol:?} does not fit")))?;
    let is_quotes = match kind {
        "quote" => true,
        "trade" => false,
        _ => return Err(PyValueError::new_err(format!("kind {kind:?}: expected quote or trade"))),
    };
    Ok(SessionFile {
        symbol,
        is_quotes,
        tape,
        date,
        lines,
    })
}

#[pymethods]
impl RecordedSession {
    #[new]
    #[pyo3(signature = (files, *, tape = "A", is_regional = false))]
    fn new(files: Vec<(String, String, String, Vec<u8>)>, tape: &str, is_regional: bool) -> PyResult<Self> {
        let &[tape] = tape.as_bytes() else {
            return Err(PyValueError::new_err(format!("tape {tape:?}: expected one letter")));
        };
        let files = files
            .into_iter()
            .map(|(symbol, kind, date, lines)| session_file(&symbol, &kind, date, lines, tape))
            .collect::<PyResult<Vec<_>>>()?;
        let session = market::RecordedSession::open(files, is_regional)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self { session })
    }

    /// Up to `count_max` records, oldest first; empty at the end.
    fn next_records<'py>(&mut self, py: Python<'py>, count_max: usize) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        while list.len() < count_max {
            let next = self
                .session
                .next_record()
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
            list.append(match next {
                None => break,
                Some(SessionRecord::Quote(quote)) => to_python(py, Header::default(), AnyRecord::Quote(&quote))?,
                Some(SessionRecord::Trade(trade)) => to_python(py, Header::default(), AnyRecord::Trade(&trade))?,
            })?;
        }
        Ok(list)
    }

    /// Whether every line is read.
    #[getter]
    fn is_done(&self) -> bool {
        self.session.is_done()
    }

    /// Lines read so far.
    #[getter]
    fn lines_read(&self) -> u64 {
        self.session.lines_read
    }

    /// Lines left out as suspicious.
    #[getter]
    fn lines_suspicious(&self) -> u64 {
        self.session.lines_suspicious
    }

    /// Quotes yielded: changes of the national best bid or offer.
    #[getter]
    fn quotes_emitted(&self) -> u64 {
        self.session.quotes_emitted
    }

    /// Trades yielded.
    #[getter]
    fn trades_emitted(&self) -> u64 {
        self.session.trades_emitted
    }

    /// Quotes yielded while bid and offer were equal.
    #[getter]
    fn quotes_locked(&self) -> u64 {
        self.session.quotes_locked
    }

    /// Quotes yielded while the bid was above the offer.
    #[getter]
    fn quotes_crossed(&self) -> u64 {
        self.session.quotes_crossed
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<FrameDecoder>()?;
    module.add_class::<FrameResult>()?;
    module.add_class::<RecordedSession>()?;
    module.add_function(wrap_pyfunction!(encode_frame, module)?)
}
