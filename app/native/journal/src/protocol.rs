//! How a sleeping reader is woken: the commit mark, the waiting flag and the wake word.
//!
//! The writer stores the commit mark and then looks at the flag; a reader sets the flag and then looks at the mark. The
//! full fence between the two steps on either side means that at least one of them sees the other. The writer clears the flag
//! before it changes the word, so a reader whose flag was cleared by mistake still sees the word change and does not sleep.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering, fence};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering, fence};

/// The words through which a writer wakes readers, in memory that both map.
#[repr(C)]
pub(crate) struct WakeCell {
    pub(crate) word: AtomicU32,
    pub(crate) waiting: AtomicU32,
}

impl WakeCell {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
        }
    }

    /// Writer, after it made something visible: says whether a futex wake on `word` is due.
    #[inline]
    pub(crate) fn announce(&self) -> bool {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.waiting.store(0, Ordering::Relaxed);
        self.word.fetch_add(1, Ordering::Release);
        true
    }

    /// Reader, before it looks a last time and sleeps while the word has the returned value.
    #[inline]
    pub(crate) fn prepare(&self) -> u32 {
        let word = self.word.load(Ordering::Acquire);
        self.waiting.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        word
    }
}

/// Makes a record visible: everything written to it before happens before a reader's [`committed`].
#[inline]
pub(crate) fn commit(mark: &AtomicU32, length: u32) {
    mark.store(length, Ordering::Release);
}

/// Length of the record at this place; 0 while it is not committed.
#[inline]
pub(crate) fn committed(mark: &AtomicU32) -> u32 {
    mark.load(Ordering::Acquire)
}
