//! Waiting for records: for threads, and for event loops through an eventfd.

use crate::journal::{JournalError, JournalReader, seconds, to_exception};
use holdfast_journal::{self as journal, Bell, Wake, Watch};
use pyo3::prelude::*;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where the readers stand, and how long to spin for them.
fn watches(py: Python<'_>, readers: &[Py<JournalReader>]) -> PyResult<(Vec<Watch>, Duration)> {
    let mut spin = Duration::ZERO;
    let mut places = Vec::with_capacity(readers.len());
    for reader in readers {
        let (place, own_spin) = reader.bind(py).try_borrow_mut()?.watch()?;
        spin = spin.max(own_spin);
        places.push(place);
    }
    Ok((places, spin))
}

/// Waits until one of the journals has a record past its reader; false after `timeout_s`. Releases the GIL.
#[pyfunction]
fn wait_any(py: Python<'_>, readers: Vec<Py<JournalReader>>, timeout_s: f64) -> PyResult<bool> {
    let timeout = seconds(timeout_s)?;
    let (places, spin) = watches(py, &readers)?;
    if places.iter().any(Watch::is_ready) {
        return Ok(true);
    }
    let wake = py
        .detach(|| journal::wait_any(&places, spin, Some(timeout), None))
        .map_err(to_exception)?;
    Ok(wake == Wake::Ready)
}

#[derive(Default)]
struct Armed {
    places: Option<(Vec<Watch>, Duration)>,
    is_closed: bool,
}

#[derive(Default)]
struct NotifierState {
    armed: Mutex<Armed>,
    changed: Condvar,
    bell: Bell,
}

impl NotifierState {
    fn lock(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, eventfd: i32) {
        loop {
            let (places, spin) = {
                let mut armed = self.lock();
                loop {
                    if armed.is_closed {
                        return;
                    }
                    if let Some(places) = armed.places.take() {
                        break places;
                    }
                    armed = self.changed.wait(armed).unwrap_or_else(PoisonError::into_inner);
                }
            };
            let seen = self.bell.count();
            if self.lock().is_closed {
                return;
            }
            // A wait that fails is reported as readiness: the reader then meets the error itself.
            if !matches!(
                journal::wait_any(&places, spin, None, Some((&self.bell, seen))),
                Ok(Wake::Bell)
            ) {
                signal(eventfd);
            }
        }
    }
}

fn signal(eventfd: i32) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: eight readable bytes; a full counter means that the loop is already told.
    unsafe { libc::write(eventfd, one.as_ptr().cast(), one.len()) };
}

/// Writes an eventfd when a journal has records past its reader: once per `arm`.
#[pyclass(frozen, module = "holdfast._native")]
pub(crate) struct JournalNotifier {
    readers: Vec<Py<JournalReader>>,
    eventfd: i32,
    state: Arc<NotifierState>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[pymethods]
impl JournalNotifier {
    #[new]
    fn new(readers: Vec<Py<JournalReader>>, eventfd: i32) -> PyResult<Self> {
        let state = Arc::new(NotifierState::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("journal-notifier".to_owned())
            .spawn(move || shared.run(eventfd))
            .map_err(|error| JournalError::new_err(format!("cannot start the notifier thread: {error}")))?;
        Ok(Self {
            readers,
            eventfd,
            state,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Asks for one notification; at once when there is something to read already.
    fn arm(&self, py: Python<'_>) -> PyResult<()> {
        let (places, spin) = watches(py, &self.readers)?;
        if places.iter().any(Watch::is_ready) {
            signal(self.eventfd);
            return Ok(());
        }
        self.state.lock().places = Some((places, spin));
        self.state.changed.notify_one();
        Ok(())
    }

    /// Ends the thread; the eventfd stays open.
    fn close(&self, py: Python<'_>) {
        self.state.lock().is_closed = true;
        self.state.changed.notify_one();
        self.state.bell.ring();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            py.detach(|| drop(thread.join()));
        }
    }
}

impl Drop for JournalNotifier {
    fn drop(&mut self) {
        self.state.lock().is_closed = true;
        self.state.changed.notify_one();
        self.state.bell.ring();
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<JournalNotifier>()?;
    module.add_function(wrap_pyfunction!(wait_any, module)?)
}
