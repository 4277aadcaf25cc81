//! The writer's background thread: it syncs to disk, allocates the next segment ahead and removes the oldest.

use crate::error::{Error, Result};
use crate::page::PageMap;
use crate::protocol::WakeCell;
use crate::segment::{self, Segment};
use crate::system::{self, FutexWait};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const SYNC_INTERVAL: Duration = Duration::from_millis(5);
/// Intervals without a record after which the thread sleeps until the writer wakes it. Until then it looks by itself: a
/// wake from `append` would run it between the writer and the reader that the record is for, when they share a core.
const IDLE_INTERVALS_MAX: u32 = 200;
const POPULATE_AHEAD_BYTES: usize = 256 * 1024;
/// Full segments that may wait for their sync before an append waits instead.
const UNSYNCED_MAX: usize = 8;
const SPARE: &str = "spare";

/// What the writer and its thread share.
pub(crate) struct Keeper {
    pub(crate) directory: PathBuf,
    pub(crate) page: Arc<PageMap>,
    segments_retained_max: usize,
    /// Sequence number and offset up to which records were written.
    pub(crate) written_seq: AtomicU64,
    pub(crate) written_offset: AtomicU64,
    pub(crate) wake: WakeCell,
    is_stopping: AtomicBool,
    has_failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    spare: Mutex<Option<Segment>>,
    /// Segments with records that may not be on the disk yet; the last is the current one.
    unsynced: Mutex<Vec<Arc<Segment>>>,
    firsts: Mutex<VecDeque<u64>>,
    is_directory_dirty: AtomicBool,
}

impl Keeper {
    pub(crate) fn new(
        directory: &Path,
        page: Arc<PageMap>,
        current: &Arc<Segment>,
        last_seq: u64,
        segments_retained_max: usize,
    ) -> Result<Self> {
        let _ = std::fs::remove_file(directory.join(SPARE));
        Ok(Self {
            directory: directory.to_owned(),
            page,
            segments_retained_max,
            written_seq: AtomicU64::new(last_seq),
            written_offset: AtomicU64::new(0),
            wake: WakeCell::new(),
            is_stopping: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            spare: Mutex::new(None),
            unsynced: Mutex::new(vec![Arc::clone(current)]),
            firsts: Mutex::new(segment::list(directory)?.into()),
            is_directory_dirty: AtomicBool::new(false),
        })
    }

    /// Fails once the background sync has failed: what it was to make durable may be lost.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.has_failed.load(Ordering::Relaxed) {
            return Err(self.take_failure());
        }
        Ok(())
    }

    #[cold]
    fn take_failure(&self) -> Error {
        lock(&self.failure).take().unwrap_or_else(|| Error::Invalid {
            what: format!(
                "journal {} stopped after a failed sync: restart its service",
                self.directory.display()
            ),
        })
    }

    /// Gives the segment that starts with `first_seq`, from the spare when there is one.
    pub(crate) fn next_segment(&self, first_seq: u64) -> Result<Arc<Segment>> {
        let path = segment::path_of(&self.directory, first_seq);
        let mut spare = lock(&self.spare);
        let mut next = match spare.take() {
            Some(next) => next,
            None => Segment::create(self.directory.join(SPARE), 0, self.page.identity().segment_bytes)?,
        };
        std::fs::rename(&next.path, &path).map_err(|source| Error::system(&path, "rename", source))?;
        drop(spare);
        next.path = path;
        next.first_seq = first_seq;
        let next = Arc::new(next);
        self.is_directory_dirty.store(true, Ordering::Relaxed);
        lock(&self.firsts).push_back(first_seq);
        let is_late = {
            let mut unsynced = lock(&self.unsynced);
            unsynced.push(Arc::clone(&next));
            unsynced.len() > UNSYNCED_MAX
        };
        if is_late {
            self.sync()?;
        }
        Ok(next)
    }

    /// Makes everything written so far durable, older segments first.
    pub(crate) fn sync(&self) -> Result<()> {
        let written_seq = self.written_seq.load(Ordering::Acquire);
        let segments = lock(&self.unsynced).clone();
        if self.is_directory_dirty.swap(false, Ordering::Relaxed) {
            system::sync_directory(&self.directory)?;
        }
        for segment in &segments {
            segment.sync()?;
        }
        lock(&self.unsynced).retain(|segment| segments.last().is_some_and(|last| segment.first_seq >= last.first_seq));
        self.page.synced_seq.fetch_max(written_seq, Ordering::Relaxed);
        Ok(())
    }

    fn make_spare(&self) {
        // Held while allocating: a writer that needs the segment meanwhile waits for this one rather than make another.
        let mut spare = lock(&self.spare);
        if spare.is_some() {
            return;
        }
        // Without room the append that needs the segment tries again and reports it.
        *spare = Segment::create(self.directory.join(SPARE), 0, self.page.identity().segment_bytes).ok();
    }

    fn prune(&self) -> Result<()> {
        loop {
            let (oldest, next) = {
                let mut firsts = lock(&self.firsts);
                if self.segments_retained_max == 0 || firsts.len() <= self.segments_retained_max {
                    return Ok(());
                }
                (firsts.pop_front().unwrap_or(1), firsts.front().copied().unwrap_or(1))
            };
            self.page.first_seq.store(next, Ordering::Release);
            let path = segment::path_of(&self.directory, oldest);
            std::fs::remove_file(&path).map_err(|source| Error::system(&path, "remove", source))?;
        }
    }

    fn populate(&self) {
        let offset = self.written_offset.load(Ordering::Relaxed) as usize;
        let current = lock(&self.unsynced).last().cloned();
        if let Some(current) = current {
            current.release(
                offset.saturating_sub(4 * POPULATE_AHEAD_BYTES),
                offset.saturating_sub(POPULATE_AHEAD_BYTES),
            );
            current.populate(offset, POPULATE_AHEAD_BYTES);
        }
    }

    /// Sleeps until the writer wrote something; records are synced at most `SYNC_INTERVAL` after they were written.
    fn wait_for_work(&self, done_seq: u64) {
        for _ in 0..IDLE_INTERVALS_MAX {
            std::thread::park_timeout(SYNC_INTERVAL);
            if self.has_work(done_seq) {
                return;
            }
        }
        while !self.has_work(done_seq) {
            let word = self.wake.prepare();
            if self.has_work(done_seq) {
                break;
            }
            let _ = system::futex_wait_any(&[FutexWait::new(&self.wake.word, word)], None);
        }
        std::thread::park_timeout(SYNC_INTERVAL);
    }

    fn has_work(&self, done_seq: u64) -> bool {
        self.written_seq.load(Ordering::Acquire) != done_seq || self.is_stopping.load(Ordering::Acquire)
    }

    fn run(&self, mut done_seq: u64) {
        self.populate();
        self.make_spare();
        while !self.is_stopping.load(Ordering::Acquire) {
            self.wait_for_work(done_seq);
            done_seq = self.written_seq.load(Ordering::Acquire);
            let outcome = self.sync().and_then(|()| self.prune());
            if let Err(error) = outcome {
                *lock(&self.failure) = Some(error);
                self.has_failed.store(true, Ordering::Release);
                return;
            }
            self.populate();
            self.make_spare();
        }
    }

    /// Starts the thread.
    pub(crate) fn start(self: &Arc<Self>) -> Result<JoinHandle<()>> {
        let keeper = Arc::clone(self);
        // Read here: a thread that is late to run must still see what was written meanwhile as work.
        let done_seq = self.written_seq.load(Ordering::Acquire);
        std::thread::Builder::new()
            .name("journal-keeper".to_owned())
            .spawn(move || keeper.run(done_seq))
            .map_err(|source| Error::system(&self.directory, "start the keeper thread of", source))
    }

    /// Ends the thread; the spare is given back.
    pub(crate) fn stop(&self, thread: JoinHandle<()>) {
        self.is_stopping.store(true, Ordering::Release);
        if self.wake.announce() {
            system::futex_wake_all(&self.wake.word);
        }
        thread.thread().unpark();
        let _ = thread.join();
        if let Some(spare) = lock(&self.spare).take() {
            let _ = std::fs::remove_file(&spare.path);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
