//! Risk limits, the gate, the risk-manager's loop and its replay.

use crate::codes::PyCode;
use crate::journal::{JournalReader, JournalWriter, to_exception};
use crate::limits::{RiskLimits, limits_dict};
use crate::orders::{apply_to, parse_symbol};
use crate::records::to_python;
use holdfast_journal::{KillLatch, Reader};
use holdfast_records::{AnyRecord, Header, OrderIntent, Record, Text};
use holdfast_risk as risk;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Sessions and blackout windows: pairs of begin and end, ns UTC, sorted and without overlap.
#[pyclass(frozen, skip_from_py_object, module = "holdfast._native")]
#[derive(Clone)]
struct Calendar(risk::Calendar);

#[pymethods]
impl Calendar {
    /// Margin rules are first day, initial, long and short maintenance shares and least equity, all e9 but the day.
    /// `ValueError` when the pairs are not sorted or overlap, or the rules are not sorted or none.
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "the form pyo3 extracts")]
    fn new(
        sessions: Vec<(i64, i64)>,
        blackouts: Vec<(i64, i64)>,
        regimes: Vec<(i64, i64, i64, i64, i64)>,
    ) -> PyResult<Self> {
        let calendar = risk::Calendar::new(&sessions, &blackouts)
            .ok_or_else(|| PyValueError::new_err("sessions or blackouts are not sorted, or overlap"))?;
        let regimes =
            regimes.into_iter().map(
                |(from_day, initial_e9, long_e9, short_e9, equity_min_e9)| risk::MarginRegime {
                    from_day,
                    initial_e9,
                    maintenance_long_e9: long_e9,
                    maintenance_short_e9: short_e9,
                    equity_min_e9,
                },
            );
        calendar.with_regimes(regimes.collect()).map(Self).ok_or_else(|| {
            PyValueError::new_err("margin rules are not sorted, or a share is not above 0 and at most 2")
        })
    }

    /// The open and close of the session that a moment lies in; None outside.
    fn session_at(&self, session_ns: i64) -> Option<(i64, i64)> {
        self.0
            .session_at(session_ns)
            .map(|session| (session.begin_ns, session.end_ns))
    }

    /// Begin and end of the blackout window that a moment lies in; None outside.
    fn blackout_at(&self, session_ns: i64) -> Option<(i64, i64)> {
        self.0
            .blackout_at(session_ns)
            .map(|window| (window.begin_ns, window.end_ns))
    }

    /// Days since 1970-01-01 of the session day that a moment counts for; it begins at 04:00 New York.
    fn day_of(&self, session_ns: i64) -> i64 {
        self.0.day_of(session_ns).day
    }
}

fn new_gate(limits: &RiskLimits, symbols: &[String], calendar: &Calendar) -> PyResult<risk::Gate> {
    let symbols = symbols
        .iter()
        .map(|symbol| parse_symbol(symbol))
        .collect::<PyResult<Vec<_>>>()?;
    Ok(risk::Gate::new(limits.0, &symbols, calendar.0.clone()))
}

/// The risk gate: deterministic, its time is an argument.
#[pyclass(module = "holdfast._native")]
struct RiskGate(risk::Gate);

fn intent_of(record: &Bound<'_, PyAny>) -> PyResult<OrderIntent> {
    let intent = apply_to(record, |record| match record {
        AnyRecord::OrderIntent(intent) => Some(*intent),
        _ => None,
    })?;
    intent.ok_or_else(|| PyTypeError::new_err("an OrderIntent is needed"))
}

fn object_of<R: Record>(py: Python<'_>, record: &R) -> PyResult<Py<PyAny>> {
    let any = AnyRecord::parse(R::KIND, R::VERSION, bytemuck::bytes_of(record));
    to_python(
        py,
        Header::default(),
        any.ok_or_else(|| PyValueError::new_err(R::NAME))?,
    )
}

type UsageRow = (Py<PyAny>, i64, i64);

fn usage_row(py: Python<'_>, rule: holdfast_records::Reason, usage: risk::Usage) -> PyResult<UsageRow> {
    Ok((PyCode::to_python(rule, py)?, usage.limit_e9, usage.value_e9))
}

#[pymethods]
impl RiskGate {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "the form pyo3 extracts")]
    fn new(limits: &RiskLimits, symbols: Vec<String>, calendar: &Calendar) -> PyResult<Self> {
        new_gate(limits, &symbols, calendar).map(Self)
    }

    /// Applies a record of `market_data`, received at `ts_ns`.
    fn apply_market(&mut self, record: &Bound<'_, PyAny>, ts_ns: i64) -> PyResult<()> {
        apply_to(record, |record| self.0.apply_market(record, ts_ns))
    }

    /// Applies a record of `executions`, written at `ts_ns`.
    fn apply_execution(&mut self, record: &Bound<'_, PyAny>, ts_ns: i64) -> PyResult<()> {
        apply_to(record, |record| self.0.apply_execution(record, ts_ns))
    }

    /// Applies a record of `control`.
    fn apply_control(&mut self, record: &Bound<'_, PyAny>) -> PyResult<()> {
        apply_to(record, |record| self.0.apply_control(record))
    }

    /// Counts a decision of an earlier life, made at `ts_ns`.
    fn restore(&mut self, record: &Bound<'_, PyAny>, ts_ns: i64) -> PyResult<()> {
        apply_to(record, |record| {
            if let AnyRecord::Decision(decision) = record {
                self.0.restore(decision, ts_ns);
            }
        })
    }

    fn set_latch(&mut self, is_set: bool) {
        self.0.set_latch(is_set);
    }

    fn set_reconciled(&mut self, is_reconciled: bool) {
        self.0.set_reconciled(is_reconciled);
    }

    /// Judges an intent and counts it if it is approved.
    #[pyo3(signature = (intent, *, intent_seq, client_order_id, now_ns, session_ns))]
    fn judge(
        &mut self,
        py: Python<'_>,
        intent: &Bound<'_, PyAny>,
        intent_seq: u64,
        client_order_id: &str,
        now_ns: i64,
        session_ns: i64,
    ) -> PyResult<Py<PyAny>> {
        let clock = risk::Clock { now_ns, session_ns };
        let id = Text::new(client_order_id).ok_or_else(|| PyValueError::new_err("client_order_id is too long"))?;
        let decision = self.0.judge(&intent_of(intent)?, intent_seq, id, clock);
        object_of(py, &decision)
    }

    /// The rule that an intent breaks with its limit and value, or None; changes nothing.
    #[pyo3(signature = (intent, *, now_ns, session_ns))]
    fn broken_rule(
        &self,
        py: Python<'_>,
        intent: &Bound<'_, PyAny>,
        now_ns: i64,
        session_ns: i64,
    ) -> PyResult<Option<UsageRow>> {
        let broken = self
            .0
            .broken_rule(&intent_of(intent)?, risk::Clock { now_ns, session_ns });
        broken.map(|(rule, usage)| usage_row(py, rule, usage)).transpose()
    }

    /// Begins a session day, ends cool-downs, trips breakers; returns a BreakerTripped for each that tripped.
    #[pyo3(signature = (*, now_ns, session_ns))]
    fn advance(&mut self, py: Python<'_>, now_ns: i64, session_ns: i64) -> PyResult<Vec<Py<PyAny>>> {
        let mut tripped = Vec::new();
        self.0
            .advance(risk::Clock { now_ns, session_ns }, |record| tripped.push(record));
        tripped.iter().map(|record| object_of(py, record)).collect()
    }

    /// The trading state and the rule that sets it.
    #[getter]
    fn trading_state(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let (state, rule) = self.0.trading_state();
        Ok((PyCode::to_python(state, py)?, PyCode::to_python(rule, py)?))
    }

    /// Rule, limit and value of what fills up over time.
    fn usages(&self, py: Python<'_>) -> PyResult<Vec<UsageRow>> {
        self.0
            .usages()
            .into_iter()
            .map(|(rule, usage)| usage_row(py, rule, usage))
            .collect()
    }

    /// Hash of everything that a restart must restore.
    fn state_hash(&self) -> u64 {
        self.0.state_hash()
    }

    /// Nanoseconds that `count` full checks of one intent take natively: for the benchmark.
    #[pyo3(signature = (intent, *, now_ns, session_ns, count))]
    fn measure_check_ns(
        &self,
        py: Python<'_>,
        intent: &Bound<'_, PyAny>,
        now_ns: i64,
        session_ns: i64,
        count: u32,
    ) -> PyResult<u64> {
        let intent = intent_of(intent)?;
        let clock = risk::Clock { now_ns, session_ns };
        Ok(py.detach(|| {
            let begin = Instant::now();
            for _ in 0..count {
                std::hint::black_box(self.0.broken_rule(std::hint::black_box(&intent), clock));
            }
            begin.elapsed().as_nanos() as u64
        }))
    }

    /// The same for `count` judgements that are approved and counted, a nanosecond apart in time.
    #[pyo3(signature = (intent, *, now_ns, session_ns, count))]
    fn measure_judge_ns(
        &mut self,
        py: Python<'_>,
        intent: &Bound<'_, PyAny>,
        now_ns: i64,
        session_ns: i64,
        count: u32,
    ) -> PyResult<u64> {
        let intent = intent_of(intent)?;
        let ids: Vec<_> = (0..count)
            .map(|index| Text::truncated(&format!("hf-1-{index:x}")))
            .collect();
        Ok(py.detach(|| {
            let begin = Instant::now();
            for (index, id) in ids.iter().enumerate() {
                let clock = risk::Clock {
                    now_ns: now_ns + index as i64 * 1_000_000,
                    session_ns,
                };
                std::hint::black_box(self.0.judge(&intent, index as u64, *id, clock));
            }
            begin.elapsed().as_nanos() as u64
        }))
    }
}

struct Host(Instant);

impl risk::HostClock for Host {
    fn now_ns(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as i64)
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// A moment given from outside: nothing passes while the native code works.
struct Moment(i64);

impl risk::HostClock for Moment {
    fn now_ns(&self) -> i64 {
        self.0
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.unsigned_abs()
    }
}

fn inputs_of(
    market_data: &mut JournalReader,
    signals: &mut JournalReader,
    executions: &mut JournalReader,
    control: &mut JournalReader,
) -> PyResult<risk::Inputs> {
    let take = |reader: &mut JournalReader| -> PyResult<Reader> {
        let mut reader = reader.take_reader()?;
        reader.seek(0).map_err(to_exception)?;
        Ok(reader)
    };
    Ok(risk::Inputs {
        market_data: take(market_data)?,
        signals: take(signals)?,
        executions: take(executions)?,
        control: take(control)?,
    })
}

/// The risk-manager's loop: takes the writer and the readers over, runs in the thread that calls `run`.
#[pyclass(frozen, module = "holdfast._native")]
struct RiskLoop {
    running: Mutex<Option<risk::RiskLoop>>,
    stats: Arc<risk::Stats>,
    is_stopping: AtomicBool,
}

#[pymethods]
impl RiskLoop {
    /// Rebuilds the state from `own` (the orders journal), executions and control. Raises: as the journals.
    #[new]
    #[pyo3(signature = (limits, symbols, calendar, *, writer, own, market_data, signals, executions, control, latch, now_ns, is_venue_time = false, spin_us = 0))]
    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "keyword-only in Python"
    )]
    fn new(
        py: Python<'_>,
        limits: &RiskLimits,
        symbols: Vec<String>,
        calendar: &Calendar,
        writer: &mut JournalWriter,
        own: &mut JournalReader,
        market_data: &mut JournalReader,
        signals: &mut JournalReader,
        executions: &mut JournalReader,
        control: &mut JournalReader,
        latch: PathBuf,
        now_ns: i64,
        is_venue_time: bool,
        spin_us: u64,
    ) -> PyResult<Self> {
        let gate = new_gate(limits, &symbols, calendar)?;
        let latch = KillLatch::open(&latch).map_err(to_exception)?;
        let inputs = inputs_of(market_data, signals, executions, control)?;
        let outputs = risk::Outputs {
            writer: writer.take_writer()?,
            own: own.take_reader()?,
            latch,
        };
        let options = risk::Options {
            is_venue_time,
            spin: Duration::from_micros(spin_us),
        };
        let started = py
            .detach(|| risk::RiskLoop::start(gate, outputs, inputs, options, &Moment(now_ns)))
            .map_err(to_exception)?;
        let stats = started.stats();
        Ok(Self {
            running: Mutex::new(Some(started)),
            stats,
            is_stopping: AtomicBool::new(false),
        })
    }

    /// Runs until `stop` without the GIL, once. Raises: as the journals; nothing is approved any more then.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut running = running.ok_or_else(|| PyRuntimeError::new_err("the loop ran already"))?;
        let clock = Host(Instant::now());
        py.detach(|| running.run(&clock, &self.is_stopping))
            .map_err(to_exception)
    }

    /// In the place of `run`, by a caller that waits itself: judges at most one intent, at `now_ns`; true if it did.
    ///
    /// After `stop` it lets go of the journals. Raises: as `run`.
    fn turn(&self, py: Python<'_>, now_ns: i64) -> PyResult<bool> {
        let mut held = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stopping.load(Ordering::Acquire) {
            held.take()
                .map_or(Ok(()), risk::RiskLoop::finish)
                .map_err(to_exception)?;
            return Ok(false);
        }
        let running = held
            .as_mut()
            .ok_or_else(|| PyRuntimeError::new_err("the loop runs already"))?;
        py.detach(|| running.turn_once(&Moment(now_ns))).map_err(to_exception)
    }

    /// Ends `run` within its longest sleep, 20 ms; from any thread.
    fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    /// Intents approved since the start.
    #[getter]
    fn approved(&self) -> u64 {
        self.stats.approved()
    }

    /// Intents denied since the start, by the rule they broke.
    fn denied(&self, py: Python<'_>) -> PyResult<Vec<(Py<PyAny>, u64)>> {
        self.stats
            .denied()
            .map(|(rule, count)| Ok((PyCode::to_python(rule, py)?, count)))
            .collect()
    }

    /// Latencies of judgements: upper bound of each bucket in ns and its count; their sum in ns comes beside.
    fn check_ns(&self) -> (Vec<(u64, u64)>, u64) {
        (self.stats.check_ns().collect(), self.stats.check_ns_sum())
    }

    /// The trading state and the rule that sets it.
    #[getter]
    fn trading_state(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let (state, rule) = self.stats.state();
        Ok((PyCode::to_python(state, py)?, PyCode::to_python(rule, py)?))
    }

    /// Breakers tripped since the start.
    #[getter]
    fn trips(&self) -> u64 {
        self.stats.trips()
    }

    /// Rule, limit and value of what fills up over time.
    fn usages(&self, py: Python<'_>) -> PyResult<Vec<UsageRow>> {
        risk::Gate::USAGE_RULES
            .iter()
            .zip(self.stats.usages())
            .map(|(rule, usage)| usage_row(py, *rule, usage))
            .collect()
    }

    /// The limits in force by name.
    fn limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        limits_dict(py, self.stats.limits())
    }

    /// Records not yet read, by journal.
    fn lag<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, records) in ["market_data", "signals", "executions", "control"]
            .into_iter()
            .zip(self.stats.lag())
        {
            dict.set_item(name, records)?;
        }
        Ok(dict)
    }

    /// Symbols whose position lacks its protective stop, and for how long the first of them has, ns.
    #[getter]
    fn unprotected(&self) -> (u64, i64) {
        self.stats.unprotected()
    }

    /// Entries that may still fill, and those among them that the venue was asked to cancel.
    #[getter]
    fn entries_open(&self) -> (u64, u64) {
        self.stats.entries_open()
    }

    /// When the loop last reported, ns UTC.
    #[getter]
    fn turned_ns(&self) -> i64 {
        self.stats.turned_ns()
    }
}

/// What judging a recorded day again found.
#[pyclass(frozen, get_all, module = "holdfast._native")]
struct RiskReplay {
    /// Records that were made again byte by byte.
    records: u64,
    decisions: u64,
    /// Number in `orders` of the first record that differs; None if none does.
    difference_seq: Option<u64>,
    difference: String,
}

#[pymethods]
impl RiskReplay {
    /// Judges again what `orders` recorded. The limits, symbols and calendar must be those of the recorded day.
    #[new]
    #[pyo3(signature = (limits, symbols, calendar, *, orders, market_data, signals, executions, control, is_venue_time = false))]
    #[expect(
        clippy::too_many_arguments,
        clippy::needless_pass_by_value,
        reason = "keyword-only in Python"
    )]
    fn new(
        py: Python<'_>,
        limits: &RiskLimits,
        symbols: Vec<String>,
        calendar: &Calendar,
        orders: &mut JournalReader,
        market_data: &mut JournalReader,
        signals: &mut JournalReader,
        executions: &mut JournalReader,
        control: &mut JournalReader,
        is_venue_time: bool,
    ) -> PyResult<Self> {
        let gate = new_gate(limits, &symbols, calendar)?;
        let inputs = inputs_of(market_data, signals, executions, control)?;
        let mut orders = orders.take_reader()?;
        orders.seek(0).map_err(to_exception)?;
        let outcome = py
            .detach(|| risk::replay(gate, is_venue_time, &mut orders, inputs))
            .map_err(to_exception)?;
        let (difference_seq, difference) = outcome
            .difference
            .map_or((None, String::new()), |found| (Some(found.seq), found.what));
        Ok(Self {
            records: outcome.records,
            decisions: outcome.decisions,
            difference_seq,
            difference,
        })
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RiskLimits>()?;
    module.add_class::<Calendar>()?;
    module.add_class::<RiskGate>()?;
    module.add_class::<RiskLoop>()?;
    module.add_class::<RiskReplay>()
}
