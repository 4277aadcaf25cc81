//! Waiting for records of several journals at once.

use crate::error::{Error, Result};
use crate::page::PageMap;
use crate::protocol;
use crate::reader::Reader;
use crate::segment::Segment;
use crate::system::{self, FUTEXES_MAX, FutexWait};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Readers that one call can wait for.
pub const READERS_MAX: usize = FUTEXES_MAX - 1;
const SPINS_PER_CLOCK_READ: u32 = 32;

/// The place where a reader expects its next record.
#[derive(Clone)]
pub struct Watch {
    pub(crate) page: Arc<PageMap>,
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: usize,
}

impl Watch {
    /// Whether something stands there.
    #[inline]
    pub fn is_ready(&self) -> bool {
        protocol::committed(self.segment.mark(self.offset)) != 0
    }
}

/// Ends a [`wait_any`] from another thread of this process.
#[derive(Debug, Default)]
pub struct Bell(AtomicU32);

impl Bell {
    /// Number of rings so far: what [`wait_any`] compares with.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Ends waits that started before this ring.
    pub fn ring(&self) {
        self.0.fetch_add(1, Ordering::Release);
        system::futex_wake_all(&self.0);
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// At least one journal has a record.
    Ready,
    /// The bell rang.
    Bell,
    /// The time was over.
    Timeout,
}

/// Waits until one of the readers has a record; false after `timeout`.
pub fn wait(readers: &mut [&mut Reader], spin: Duration, timeout: Duration) -> Result<bool> {
    let mut watches = [const { None }; READERS_MAX];
    let count = readers.len();
    if count > READERS_MAX {
        return Err(too_many(count));
    }
    for (slot, reader) in watches.iter_mut().zip(readers) {
        *slot = Some(reader.watch()?);
    }
    sleep(&watches.iter().flatten(), spin, Some(timeout), None).map(|wake| wake == Wake::Ready)
}

/// Waits until one of the places has a record, the bell rings, or the time is over.
///
/// `bell` comes with the count seen before the caller last looked at whatever the bell announces.
pub fn wait_any(
    watches: &[Watch],
    spin: Duration,
    timeout: Option<Duration>,
    bell: Option<(&Bell, u32)>,
) -> Result<Wake> {
    if watches.len() > READERS_MAX {
        return Err(too_many(watches.len()));
    }
    sleep(&watches.iter(), spin, timeout, bell)
}

fn too_many(count: usize) -> Error {
    Error::Invalid {
        what: format!("waiting for {count} journals, at most {READERS_MAX} can be waited for"),
    }
}

fn sleep<'a>(
    watches: &(impl Iterator<Item = &'a Watch> + Clone),
    spin: Duration,
    timeout: Option<Duration>,
    bell: Option<(&Bell, u32)>,
) -> Result<Wake> {
    let is_ready = || watches.clone().any(Watch::is_ready);
    if is_ready() {
        return Ok(Wake::Ready);
    }
    let start = Instant::now();
    if !spin.is_zero() {
        let spin = timeout.map_or(spin, |timeout| spin.min(timeout));
        while start.elapsed() < spin {
            for _ in 0..SPINS_PER_CLOCK_READ {
                std::hint::spin_loop();
                if is_ready() {
                    return Ok(Wake::Ready);
                }
            }
        }
    }
    loop {
        let mut futexes = [FutexWait::default(); FUTEXES_MAX];
        let mut count = 0;
        for watch in watches.clone() {
            futexes[count] = FutexWait::new(&watch.page.wake.word, watch.page.wake.prepare());
            count += 1;
        }
        if let Some((bell, seen)) = bell {
            futexes[count] = FutexWait::new(&bell.0, seen);
            count += 1;
        }
        if is_ready() {
            return Ok(Wake::Ready);
        }
        if bell.is_some_and(|(bell, seen)| bell.count() != seen) {
            return Ok(Wake::Bell);
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(Wake::Timeout);
        }
        if count == 0 {
            std::thread::sleep(left.unwrap_or(Duration::MAX));
            continue;
        }
        system::futex_wait_any(&futexes[..count], left)
            .map_err(|source| Error::system(Path::new("wake word"), "wait on the", source))?;
    }
}
