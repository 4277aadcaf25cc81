//! What a process of the deterministic simulation has to do, at once or at a time.
//!
//! Callbacks come back into these objects: nothing stays locked while Python runs, and no reference is let go under a
//! lock. There is one thread, so that a lock costs next to nothing and what is read is never out of date.

use crate::journal::JournalReader;
use crate::turns::Turns;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::atomic::{self, AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) const NEVER_NS: i64 = 1 << 62;
const NANOSECONDS: f64 = 1e9;

/// A number that Python's turns change behind shared references.
#[derive(Default)]
pub(crate) struct Number(AtomicI64);

impl Number {
    pub(crate) fn new(value: i64) -> Self {
        Self(AtomicI64::new(value))
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(atomic::Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: i64) {
        self.0.store(value, atomic::Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn get(&self) -> bool {
        self.0.load(atomic::Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, atomic::Ordering::Relaxed);
    }
}

/// What holds references to Python's objects.
#[derive(Default)]
pub(crate) struct Shelf<T>(Mutex<T>);

impl<T: Default> Shelf<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Nothing for a collector of garbage that comes in between.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of it; it is let go when nothing is locked.
    pub(crate) fn take(&self) -> T {
        self.replace(T::default())
    }

    pub(crate) fn replace(&self, value: T) -> T {
        std::mem::replace(&mut self.lock(), value)
    }
}

pub(crate) enum Work {
    Call {
        callback: Py<PyAny>,
        arguments: Py<PyTuple>,
        /// In a context of its own only if it was given one.
        context: Option<Py<PyAny>>,
    },
    /// Ends a wait, if nothing else did.
    Wake(Py<PyAny>),
}

/// What a loop is to do, at once or at a time.
#[pyclass(frozen, module = "holdfast._native")]
pub(crate) struct Job {
    work: Work,
    when_s: f64,
    pub(crate) is_cancelled: Flag,
}

impl Job {
    fn new(work: Work, when_s: f64) -> Self {
        Self {
            work,
            when_s,
            is_cancelled: Flag::default(),
        }
    }

    fn run(&self, py: Python<'_>) -> PyResult<()> {
        match &self.work {
            Work::Call {
                callback,
                arguments,
                context: None,
            } => callback.call1(py, arguments).map(drop),
            Work::Call {
                callback,
                arguments,
                context: Some(context),
            } => {
                let arguments = arguments.bind(py);
                let mut all = Vec::with_capacity(1 + arguments.len());
                all.push(callback.bind(py).clone());
                all.extend(arguments.iter());
                context
                    .call_method1(py, intern!(py, "run"), PyTuple::new(py, all)?)
                    .map(drop)
            }
            Work::Wake(woken) => {
                if !woken.call_method0(py, intern!(py, "done"))?.is_truthy(py)? {
                    woken.call_method1(py, intern!(py, "set_result"), (py.None(),))?;
                }
                Ok(())
            }
        }
    }
}

#[pymethods]
impl Job {
    /// Asyncio's method.
    fn cancel(&self) {
        self.is_cancelled.set(true);
    }

    /// Asyncio's method.
    fn cancelled(&self) -> bool {
        self.is_cancelled.get()
    }

    /// Asyncio's method.
    fn when(&self) -> f64 {
        self.when_s
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.work {
            Work::Call {
                callback,
                arguments,
                context,
            } => {
                visit.call(callback)?;
                visit.call(arguments)?;
                visit.call(context)
            }
            Work::Wake(woken) => visit.call(woken),
        }
    }
}

struct Timer {
    due_ns: i64,
    /// Those of one time run in the order in which they were asked for.
    number: i64,
    job: Py<Job>,
}

impl Timer {
    fn key(&self) -> (i64, i64) {
        (self.due_ns, self.number)
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    /// The greatest of a heap is the one that is due first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// What a process has to do: the part of its event loop that runs callbacks.
#[pyclass(frozen, subclass, module = "holdfast._native")]
pub(crate) struct JobQueue {
    now_ns: Arc<Number>,
    ready: Shelf<Vec<Py<Job>>>,
    timers: Shelf<BinaryHeap<Timer>>,
    timer_count: Number,
    pub(crate) due_ns: Number,
    /// When it may go on, steady clock.
    pub(crate) frozen_until_ns: Number,
    pub(crate) is_dead: Flag,
    /// What callbacks raised: asyncio would only log it.
    #[pyo3(get)]
    failures: Py<PyList>,
    pub(crate) has_journals: Flag,
    outputs: Shelf<Vec<Py<JournalReader>>>,
    written: Number,
}

impl JobQueue {
    fn push_ready(&self, job: Py<Job>) {
        self.ready.lock().push(job);
        self.due_ns.set(0);
    }

    pub(crate) fn push_timer(&self, py: Python<'_>, work: Work, when_s: f64) -> PyResult<Py<Job>> {
        let job = Py::new(py, Job::new(work, when_s))?;
        let number = self.timer_count.get() + 1;
        self.timer_count.set(number);
        // Whole nanoseconds, not before it.
        let due_ns = (when_s * NANOSECONDS).ceil() as i64;
        self.timers.lock().push(Timer {
            due_ns,
            number,
            job: job.clone_ref(py),
        });
        self.due_ns.set(self.due_ns.get().min(due_ns));
        Ok(job)
    }

    /// Takes what is ready now; what these jobs call for is for the next turn.
    fn take_ready(&self) -> Vec<Py<Job>> {
        let mut jobs = self.ready.take();
        let mut timers = self.timers.lock();
        while timers.peek().is_some_and(|timer| timer.due_ns <= self.now_ns.get()) {
            jobs.extend(timers.pop().map(|timer| timer.job));
        }
        jobs
    }

    /// Runs what is ready now, as asyncio's loop does in one iteration.
    pub(crate) fn turn(this: &Bound<'_, Self>, turns: &Turns) -> PyResult<()> {
        let (py, own) = (this.py(), this.get());
        let mut jobs = own.take_ready();
        turns.set_running_loop.call1(py, (this,))?;
        for job in &jobs {
            let job = job.get();
            if job.is_cancelled.get() {
                continue;
            }
            if let Err(error) = job.run(py) {
                if error.matches(py, &turns.killed)? {
                    break;
                }
                if !error.is_instance_of::<PyException>(py) {
                    return Err(error);
                }
                own.failures
                    .bind(py)
                    .append(format!("{}: {}", error.get_type(py).name()?, error.value(py)))?;
            }
            if own.is_dead.get() {
                break;
            }
        }
        own.forget_cancelled(&mut jobs);
        Ok(())
    }

    /// Finds when something is to be done next; cancelled timers on the way go to `jobs`, to be let go later.
    fn forget_cancelled(&self, jobs: &mut Vec<Py<Job>>) {
        let mut timers = self.timers.lock();
        while timers.peek().is_some_and(|timer| timer.job.get().is_cancelled.get()) {
            jobs.extend(timers.pop().map(|timer| timer.job));
        }
        self.due_ns.set(if self.ready.lock().is_empty() {
            timers.peek().map_or(NEVER_NS, |timer| timer.due_ns)
        } else {
            0
        });
    }

    /// Whether a journal of this process has grown since this was asked last.
    pub(crate) fn has_written(&self, py: Python<'_>) -> PyResult<bool> {
        let mut written = 0;
        for reader in &*self.outputs.lock() {
            written += reader.borrow(py).newest()? as i64;
        }
        let is_grown = written != self.written.get();
        self.written.set(written);
        Ok(is_grown)
    }
}

#[pymethods]
impl JobQueue {
    #[new]
    #[pyo3(signature = (turns, *_others))]
    fn new(turns: &Bound<'_, Turns>, _others: &Bound<'_, PyTuple>) -> Self {
        Self {
            now_ns: Arc::clone(&turns.get().now_ns),
            ready: Shelf::default(),
            timers: Shelf::default(),
            timer_count: Number::default(),
            due_ns: Number::new(NEVER_NS),
            frozen_until_ns: Number::default(),
            is_dead: Flag::default(),
            failures: PyList::empty(turns.py()).unbind(),
            has_journals: Flag::default(),
            outputs: Shelf::default(),
            written: Number::default(),
        }
    }

    /// When it may go on, steady clock.
    #[getter]
    fn frozen_until_ns(&self) -> i64 {
        self.frozen_until_ns.get()
    }

    #[setter]
    fn set_frozen_until_ns(&self, time_ns: i64) {
        self.frozen_until_ns.set(time_ns);
    }

    /// Looks after each turn whether this journal has grown, for those who wait for it.
    fn watch(&self, output: Py<JournalReader>) {
        self.outputs.lock().push(output);
    }

    /// Says that this process writes journals.
    fn expect_journals(&self) {
        self.has_journals.set(true);
    }

    /// Asyncio's method.
    #[pyo3(signature = (callback, *arguments, context = None))]
    fn call_soon(
        &self,
        py: Python<'_>,
        callback: Py<PyAny>,
        arguments: Py<PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Py<Job>> {
        let work = Work::Call {
            callback,
            arguments,
            context,
        };
        let job = Py::new(py, Job::new(work, 0.0))?;
        self.push_ready(job.clone_ref(py));
        Ok(job)
    }

    /// Asyncio's method.
    #[pyo3(signature = (delay, callback, *arguments, context = None))]
    fn call_later(
        &self,
        py: Python<'_>,
        delay: f64,
        callback: Py<PyAny>,
        arguments: Py<PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Py<Job>> {
        self.call_at(py, self.now_s() + delay, callback, arguments, context)
    }

    /// Asyncio's method.
    #[pyo3(signature = (when, callback, *arguments, context = None))]
    fn call_at(
        &self,
        py: Python<'_>,
        when: f64,
        callback: Py<PyAny>,
        arguments: Py<PyTuple>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<Py<Job>> {
        if !when.is_finite() {
            return Err(PyValueError::new_err(format!("a timer at {when} s: expected a time")));
        }
        let work = Work::Call {
            callback,
            arguments,
            context,
        };
        self.push_timer(py, work, when)
    }

    /// The steady clock, seconds.
    #[getter]
    pub(crate) fn now_s(&self) -> f64 {
        self.now_ns.get() as f64 / NANOSECONDS
    }

    /// Asyncio's method: the same.
    fn time(&self) -> f64 {
        self.now_s()
    }

    /// Asyncio's method.
    #[allow(clippy::unused_self, reason = "asyncio asks the loop")]
    fn get_debug(&self) -> bool {
        false
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.failures)?;
        if let (Some(ready), Some(timers), Some(outputs)) =
            (self.ready.try_lock(), self.timers.try_lock(), self.outputs.try_lock())
        {
            for job in ready.iter().chain(timers.iter().map(|timer| &timer.job)) {
                visit.call(job)?;
            }
            for output in outputs.iter() {
                visit.call(output)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        drop((self.ready.take(), self.timers.take(), self.outputs.take()));
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Job>()?;
    module.add_class::<JobQueue>()
}
