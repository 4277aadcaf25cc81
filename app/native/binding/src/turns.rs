//! The turns of the deterministic simulation: whose it is, and when time jumps.

use crate::job_queue::{Flag, Job, JobQueue, NEVER_NS, Number, Shelf, Work};
use crate::journal::JournalReader;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::Arc;

const TURN_NS_MIN: i64 = 1_000;
const TURN_NS_MAX: i64 = 20_000;
const WAKE_S_MIN: f64 = 3e-6;
const WAKE_S_MAX: f64 = 60e-6;

/// Somebody who sleeps until a journal grows.
#[pyclass(frozen, module = "holdfast._native")]
pub(crate) struct Wait {
    queue: Py<JobQueue>,
    readers: Vec<Py<JournalReader>>,
    woken: Py<PyAny>,
    timer: Shelf<Option<Py<Job>>>,
}

impl Wait {
    fn is_over(py: Python<'_>, readers: &[Py<JournalReader>]) -> PyResult<bool> {
        for reader in readers {
            if reader.borrow(py).has_more()? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[pymethods]
impl Wait {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        for reader in &self.readers {
            visit.call(reader)?;
        }
        visit.call(&self.woken)?;
        self.timer.try_lock().map_or(Ok(()), |timer| visit.call(&*timer))
    }
}

struct Member {
    queue: Py<JobQueue>,
    process: Py<PyAny>,
}

/// The steady clock of a simulated world, its processes, and whose turn it is: drawn when several could go on.
#[pyclass(frozen, module = "holdfast._native")]
pub(crate) struct Turns {
    pub(crate) now_ns: Arc<Number>,
    limit_ns: Number,
    members: Shelf<Vec<Member>>,
    current: Shelf<Option<Py<PyAny>>>,
    waits: Shelf<Vec<Py<Wait>>>,
    has_news: Flag,
    count: Number,
    random: Py<PyAny>,
    random_bits: Py<PyAny>,
    /// What a process raises that ended in the middle of its turn.
    pub(crate) killed: Py<PyAny>,
    /// Asyncio's.
    pub(crate) set_running_loop: Py<PyAny>,
}

impl Turns {
    fn draw(&self, py: Python<'_>) -> PyResult<f64> {
        self.random.call0(py)?.extract(py)
    }

    /// A number below `count`, as Python draws it.
    fn draw_below(&self, py: Python<'_>, count: usize) -> PyResult<usize> {
        let bits = usize::BITS - count.leading_zeros();
        loop {
            let drawn: usize = self.random_bits.call1(py, (bits,))?.extract(py)?;
            if drawn < count {
                return Ok(drawn);
            }
        }
    }

    /// Draws whose turn it is; nobody's: when somebody's is next.
    fn choose(&self, py: Python<'_>) -> PyResult<Result<Member, i64>> {
        let now_ns = self.now_ns.get();
        let members = self.members.lock();
        let due_ns = |member: &Member| {
            let queue = member.queue.get();
            queue.due_ns.get().max(queue.frozen_until_ns.get())
        };
        let is_able = |member: &&Member| due_ns(member) <= now_ns;
        let place = match members.iter().filter(is_able).count() {
            0 => return Ok(Err(members.iter().map(due_ns).min().unwrap_or(NEVER_NS))),
            1 => 0,
            count => self.draw_below(py, count)?,
        };
        let chosen = members.iter().filter(is_able).nth(place);
        Ok(chosen.map_or(Err(NEVER_NS), |member| Ok(member.clone_ref(py))))
    }

    /// Wakes those whose journal has grown.
    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        self.has_news.set(false);
        let mut over = Vec::new();
        let mut kept = Vec::new();
        for wait in self.waits.take() {
            let is_over = Wait::is_over(py, &wait.get().readers)?;
            if is_over { &mut over } else { &mut kept }.push(wait);
        }
        self.waits.replace(kept);
        for wait in over {
            let delay_s = WAKE_S_MIN + (WAKE_S_MAX - WAKE_S_MIN) * self.draw(py)?;
            let queue = wait.get().queue.get();
            queue.push_timer(py, Work::Wake(wait.get().woken.clone_ref(py)), queue.now_s() + delay_s)?;
        }
        Ok(())
    }
}

impl Member {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            queue: self.queue.clone_ref(py),
            process: self.process.clone_ref(py),
        }
    }
}

#[pymethods]
impl Turns {
    /// `draw` is a `random.Random`; `killed` what a process raises that ended in the middle of its turn;
    /// `set_running_loop` asyncio's function.
    #[new]
    #[pyo3(signature = (start_ns, *, draw, killed, set_running_loop))]
    fn new(start_ns: i64, draw: &Bound<'_, PyAny>, killed: Py<PyAny>, set_running_loop: Py<PyAny>) -> PyResult<Self> {
        Ok(Self {
            now_ns: Arc::new(Number::new(start_ns)),
            limit_ns: Number::new(start_ns),
            members: Shelf::default(),
            current: Shelf::default(),
            waits: Shelf::default(),
            has_news: Flag::default(),
            count: Number::default(),
            random: draw.getattr("random")?.unbind(),
            random_bits: draw.getattr("getrandbits")?.unbind(),
            killed,
            set_running_loop,
        })
    }

    /// Returns the steady clock, ns.
    fn steady_ns(&self) -> i64 {
        self.now_ns.get()
    }

    /// Turns taken.
    #[getter]
    fn count(&self) -> i64 {
        self.count.get()
    }

    /// Returns the steady clock, seconds.
    fn steady_s(&self) -> f64 {
        self.now_ns.get() as f64 / 1e9
    }

    /// Lets a process take turns.
    fn add(&self, queue: Py<JobQueue>, process: Py<PyAny>) {
        self.members.lock().push(Member { queue, process });
    }

    /// Gives a process that ended no more turns; its journals may have grown to the end.
    fn remove(&self, queue: &Bound<'_, JobQueue>) {
        let py = queue.py();
        queue.get().is_dead.set(true);
        self.has_news.set(true);
        let (gone, kept) = self
            .members
            .take()
            .into_iter()
            .partition(|member| member.queue.is(queue));
        self.members.replace(kept);
        let (awaited, left): (Vec<_>, _) = self
            .waits
            .take()
            .into_iter()
            .partition(|wait| wait.bind(py).get().queue.is(queue));
        self.waits.replace(left);
        let gone: Vec<Member> = gone;
        drop((gone, awaited));
    }

    /// The process whose turn it is.
    #[getter]
    fn current(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.current.lock().as_ref().map(|process| process.clone_ref(py))
    }

    /// Ends `run` before this time: something else happens then.
    fn stop_at(&self, time_ns: i64) {
        self.limit_ns.set(self.limit_ns.get().min(time_ns));
    }

    /// Lets processes take turns, and time jump to where there is something to do, until a time.
    fn run(&self, py: Python<'_>, limit_ns: i64) -> PyResult<()> {
        self.limit_ns.set(limit_ns);
        while self.now_ns.get() < self.limit_ns.get() {
            let member = match self.choose(py)? {
                Ok(member) => member,
                Err(next_ns) => {
                    self.now_ns.set(next_ns.min(self.limit_ns.get()));
                    continue;
                }
            };
            drop(self.current.replace(Some(member.process)));
            let queue = member.queue.bind(py);
            JobQueue::turn(queue, self)?;
            drop(self.current.take());
            self.count.set(self.count.get() + 1);
            let lasts_ns = TURN_NS_MIN + (self.draw(py)? * (TURN_NS_MAX - TURN_NS_MIN) as f64) as i64;
            self.now_ns.set(self.now_ns.get() + lasts_ns);
            let queue = queue.get();
            if queue.has_journals.get() && (self.has_news.get() || queue.has_written(py)?) {
                self.wake(py)?;
            }
        }
        Ok(())
    }

    /// Begins a wait until a journal has something to read, at most so long; nothing if it is over already.
    #[pyo3(signature = (queue, readers, woken, timeout_s))]
    fn begin_wait(
        &self,
        py: Python<'_>,
        queue: Py<JobQueue>,
        readers: Vec<Py<JournalReader>>,
        woken: Py<PyAny>,
        timeout_s: Option<f64>,
    ) -> PyResult<Option<Py<Wait>>> {
        if Wait::is_over(py, &readers)? {
            return Ok(None);
        }
        let timer = timeout_s
            .map(|timeout_s| {
                let own = queue.get();
                own.push_timer(py, Work::Wake(woken.clone_ref(py)), own.now_s() + timeout_s)
            })
            .transpose()?;
        let wait = Wait {
            queue,
            readers,
            woken,
            timer: Shelf::new(timer),
        };
        let wait = Py::new(py, wait)?;
        self.waits.lock().push(wait.clone_ref(py));
        Ok(Some(wait))
    }

    /// Ends a wait that was woken.
    fn end_wait(&self, wait: &Bound<'_, Wait>) {
        if let Some(timer) = wait.get().timer.take() {
            timer.get().is_cancelled.set(true);
        }
        let mut waits = self.waits.lock();
        let place = waits.iter().position(|each| each.is(wait));
        let gone = place.map(|place| waits.remove(place));
        drop(waits);
        drop(gone);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let (Some(members), Some(waits)) = (self.members.try_lock(), self.waits.try_lock()) {
            for member in members.iter() {
                visit.call(&member.queue)?;
                visit.call(&member.process)?;
            }
            for wait in waits.iter() {
                visit.call(wait)?;
            }
        }
        visit.call(&self.random)?;
        visit.call(&self.random_bits)?;
        visit.call(&self.killed)?;
        visit.call(&self.set_running_loop)
    }

    fn __clear__(&self) {
        drop((self.members.take(), self.waits.take()));
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Wait>()?;
    module.add_class::<Turns>()
}
