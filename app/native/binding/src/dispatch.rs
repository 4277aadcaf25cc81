//! Market data handed to the strategies that want it: a Python object is made only of what somebody handles.

use crate::journal::JournalReader;
use crate::records::{Bar, Quote, Trade};
use holdfast_records::{self as records, AnyRecord, Header, Symbol};
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};
use pyo3::{PyVisit, ffi};
use std::sync::Arc;

/// A handler and whose it is.
struct Listener {
    slot: Py<PyAny>,
    handler: Py<PyAny>,
}

/// Replaced as a whole when it changes, since one of them may be called now.
type Listeners = Arc<Vec<Listener>>;

/// The latest quote of a symbol, a Python object only if somebody asked for it.
enum Latest {
    None,
    Record(Header, records::Quote),
    Object(Py<Quote>),
}

struct Channel {
    key: u128,
    latest: Latest,
    quote: Listeners,
    trade: Listeners,
    bar: Listeners,
}

enum Market {
    Quote(records::Quote),
    Trade(records::Trade),
    Bar(records::Bar),
    Other,
}

/// Hands quotes, trades and bars to listeners by symbol, in the order in which they were added.
#[pyclass(module = "holdfast._native")]
pub(crate) struct MarketDispatch {
    on_session: Option<Py<PyAny>>,
    on_failure: Option<Py<PyAny>>,
    channels: Vec<Channel>,
    /// Stamp of the record that is handled, ns UTC.
    #[pyo3(get, set)]
    now_ns: i64,
    /// From this time of a quote on `on_session` is called, ns UTC.
    #[pyo3(get, set)]
    session_edge_ns: i64,
    /// Number of the last record taken.
    #[pyo3(get)]
    seq: u64,
    /// Origin of the last record taken, ns UTC.
    #[pyo3(get)]
    origin_ns: i64,
}

fn key_of(symbol: Symbol) -> u128 {
    bytemuck::cast(symbol)
}

impl MarketDispatch {
    /// The place of a symbol's channel; made if there is none.
    fn channel(&mut self, key: u128) -> &mut Channel {
        let place = match self.channels.binary_search_by_key(&key, |channel| channel.key) {
            Ok(place) => place,
            Err(place) => {
                let channel = Channel {
                    key,
                    latest: Latest::None,
                    quote: Listeners::default(),
                    trade: Listeners::default(),
                    bar: Listeners::default(),
                };
                self.channels.insert(place, channel);
                place
            }
        };
        &mut self.channels[place]
    }

    fn accept_quote(
        this: &Bound<'_, Self>,
        header: Header,
        record: records::Quote,
        made: Option<Py<Quote>>,
    ) -> PyResult<()> {
        let py = this.py();
        let key = key_of(record.symbol);
        let mut own = this.borrow_mut();
        own.now_ns = header.ts_ns;
        let crosses = record.ts_event_ns >= own.session_edge_ns;
        let channel = own.channel(key);
        let object = match made {
            None if channel.quote.is_empty() => None,
            None => Some(Py::new(py, Quote { record, header })?),
            Some(object) => Some(object),
        };
        let latest = match &object {
            Some(object) => Latest::Object(object.clone_ref(py)),
            None => Latest::Record(header, record),
        };
        let before = std::mem::replace(&mut channel.latest, latest);
        let listeners = Arc::clone(&channel.quote);
        let on_session = own
            .on_session
            .as_ref()
            .filter(|_| crosses)
            .map(|call| call.clone_ref(py));
        drop(own);
        drop(before);
        let Some(on_session) = on_session else {
            return object.map_or(Ok(()), |object| Self::call(this, &listeners, object.bind(py)));
        };
        on_session.call1(py, (record.ts_event_ns,))?;
        // The strategies that failed at the session's edge listen no more.
        let listeners = Arc::clone(&this.borrow_mut().channel(key).quote);
        object.map_or(Ok(()), |object| Self::call(this, &listeners, object.bind(py)))
    }

    /// Calls each listener; a failure is reported and stops nobody else.
    fn call(this: &Bound<'_, Self>, listeners: &Listeners, record: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        for listener in listeners.iter() {
            // SAFETY: both are live objects; the call returns a new reference or null with an exception set.
            let answer = unsafe {
                let answer = ffi::PyObject_CallFunctionObjArgs(
                    listener.handler.as_ptr(),
                    record.as_ptr(),
                    std::ptr::null_mut::<ffi::PyObject>(),
                );
                Bound::from_owned_ptr_or_err(py, answer)
            };
            if let Err(error) = answer {
                if !error.is_instance_of::<PyException>(py) {
                    return Err(error);
                }
                let on_failure = this.borrow().on_failure.as_ref().map(|call| call.clone_ref(py));
                if let Some(on_failure) = on_failure {
                    on_failure.call1(py, (listener.slot.clone_ref(py), error.into_value(py)))?;
                }
            }
        }
        Ok(())
    }

    fn accept(this: &Bound<'_, Self>, header: Header, record: Market) -> PyResult<()> {
        let py = this.py();
        match record {
            Market::Quote(record) => Self::accept_quote(this, header, record, None),
            Market::Trade(record) => {
                let listeners = Self::turn_to(this, header, record.symbol, |channel| &channel.trade);
                if listeners.is_empty() {
                    return Ok(());
                }
                Self::call(this, &listeners, Py::new(py, Trade { record, header })?.bind(py))
            }
            Market::Bar(record) => {
                let listeners = Self::turn_to(this, header, record.symbol, |channel| &channel.bar);
                if listeners.is_empty() {
                    return Ok(());
                }
                Self::call(this, &listeners, Py::new(py, Bar { record, header })?.bind(py))
            }
            Market::Other => Ok(()),
        }
    }

    /// Moves the time to a record's and returns who listens to it.
    fn turn_to(
        this: &Bound<'_, Self>,
        header: Header,
        symbol: Symbol,
        listeners: impl Fn(&Channel) -> &Listeners,
    ) -> Listeners {
        let mut own = this.borrow_mut();
        own.now_ns = header.ts_ns;
        Arc::clone(listeners(own.channel(key_of(symbol))))
    }
}

/// The next record, copied, so that the reader is free while the listeners are called; nothing while there is none.
fn take(reader: &Bound<'_, JournalReader>) -> PyResult<Option<(Header, Market)>> {
    reader.borrow_mut().with_next(|entry| {
        let market = match entry.record() {
            Some(AnyRecord::Quote(record)) => Market::Quote(*record),
            Some(AnyRecord::Trade(record)) => Market::Trade(*record),
            Some(AnyRecord::Bar(record)) => Market::Bar(*record),
            Some(_) => Market::Other,
            None => return None,
        };
        Some((entry.header, market))
    })
}

#[pymethods]
impl MarketDispatch {
    #[new]
    #[pyo3(signature = (*, on_session, on_failure))]
    fn new(on_session: Py<PyAny>, on_failure: Py<PyAny>) -> Self {
        Self {
            on_session: Some(on_session),
            on_failure: Some(on_failure),
            channels: Vec::new(),
            now_ns: 0,
            session_edge_ns: 0,
            seq: 0,
            origin_ns: 0,
        }
    }

    /// Adds a listener to the quotes, trades or bars of a symbol.
    #[pyo3(signature = (kind, symbol, handler, *, slot))]
    fn listen(&mut self, kind: &Bound<'_, PyType>, symbol: &str, handler: Py<PyAny>, slot: Py<PyAny>) -> PyResult<()> {
        let py = kind.py();
        let name = Symbol::new(symbol)
            .ok_or_else(|| PyTypeError::new_err(format!("{symbol:?} is longer than a symbol can be")))?;
        let channel = self.channel(key_of(name));
        let listeners = if kind.is(py.get_type::<Quote>()) {
            &mut channel.quote
        } else if kind.is(py.get_type::<Trade>()) {
            &mut channel.trade
        } else if kind.is(py.get_type::<Bar>()) {
            &mut channel.bar
        } else {
            return Err(PyTypeError::new_err("expected Quote, Trade or Bar"));
        };
        let mut changed: Vec<Listener> = listeners.iter().map(|each| each.clone_ref(py)).collect();
        changed.push(Listener { slot, handler });
        *listeners = Arc::new(changed);
        Ok(())
    }

    /// Takes every listener of a slot out.
    fn remove(&mut self, slot: &Bound<'_, PyAny>) {
        let py = slot.py();
        for channel in &mut self.channels {
            for listeners in [&mut channel.quote, &mut channel.trade, &mut channel.bar] {
                if listeners.iter().any(|each| each.slot.is(slot)) {
                    let kept = listeners.iter().filter(|each| !each.slot.is(slot));
                    *listeners = Arc::new(kept.map(|each| each.clone_ref(py)).collect());
                }
            }
        }
    }

    /// The latest quote of a symbol.
    fn quote(&mut self, py: Python<'_>, symbol: &str) -> PyResult<Option<Py<Quote>>> {
        let Some(name) = Symbol::new(symbol) else {
            return Ok(None);
        };
        let place = self.channels.binary_search_by_key(&key_of(name), |channel| channel.key);
        let Ok(place) = place else {
            return Ok(None);
        };
        let latest = &mut self.channels[place].latest;
        if let Latest::Record(header, record) = *latest {
            *latest = Latest::Object(Py::new(py, Quote { record, header })?);
        }
        Ok(match latest {
            Latest::Object(object) => Some(object.clone_ref(py)),
            _ => None,
        })
    }

    /// Hands over at most `count_max` records of a journal; ends early after one that left something in `outputs`.
    fn read(
        this: &Bound<'_, Self>,
        reader: &Bound<'_, JournalReader>,
        count_max: usize,
        outputs: &Bound<'_, PyList>,
    ) -> PyResult<usize> {
        let mut count = 0;
        while count < count_max {
            let Some((header, record)) = take(reader)? else {
                break;
            };
            count += 1;
            Self::accept(this, header, record)?;
            if !outputs.is_empty() {
                let mut own = this.borrow_mut();
                (own.seq, own.origin_ns) = (header.seq, header.origin_ns);
                break;
            }
        }
        Ok(count)
    }

    /// Hands over one record; other kinds than quotes, trades and bars are passed over.
    fn give(this: &Bound<'_, Self>, record: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(quote) = record.cast::<Quote>() {
            let own = quote.get();
            Self::accept_quote(this, own.header, own.record, Some(quote.clone().unbind()))
        } else if let Ok(trade) = record.cast::<Trade>() {
            Self::accept(this, trade.get().header, Market::Trade(trade.get().record))
        } else if let Ok(bar) = record.cast::<Bar>() {
            Self::accept(this, bar.get().header, Market::Bar(bar.get().record))
        } else {
            Ok(())
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.on_session)?;
        visit.call(&self.on_failure)?;
        for channel in &self.channels {
            for listener in channel
                .quote
                .iter()
                .chain(channel.trade.iter())
                .chain(channel.bar.iter())
            {
                visit.call(&listener.slot)?;
                visit.call(&listener.handler)?;
            }
        }
        Ok(())
    }

    fn __clear__(&mut self) {
        (self.on_session, self.on_failure) = (None, None);
        self.channels.clear();
    }
}

impl Listener {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            slot: self.slot.clone_ref(py),
            handler: self.handler.clone_ref(py),
        }
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<MarketDispatch>()
}
