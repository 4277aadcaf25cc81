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

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    /// The journal as far as waiting goes: marks of records, the wake words, and the kernel's futex.
    struct Shared {
        marks: [AtomicU32; 2],
        payloads: [AtomicU32; 2],
        cell: WakeCell,
        kernel: Mutex<()>,
        woken: Condvar,
    }

    impl Shared {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                marks: [AtomicU32::new(0), AtomicU32::new(0)],
                payloads: [AtomicU32::new(0), AtomicU32::new(0)],
                cell: WakeCell::new(),
                kernel: Mutex::new(()),
                woken: Condvar::new(),
            })
        }

        fn append(&self, index: usize) {
            self.payloads[index].store(7, Ordering::Relaxed);
            commit(&self.marks[index], 48);
            if self.cell.announce() {
                let _kernel = self.kernel.lock();
                self.woken.notify_all();
            }
        }

        /// Sleeps as `futex_wait` does: the kernel compares the word under its own lock. A missed wake is a deadlock,
        /// which loom reports.
        fn read(&self, index: usize) {
            while committed(&self.marks[index]) == 0 {
                let word = self.cell.prepare();
                if committed(&self.marks[index]) != 0 {
                    break;
                }
                let kernel = self.kernel.lock().expect("no thread panics");
                if self.cell.word.load(Ordering::SeqCst) == word {
                    drop(self.woken.wait(kernel));
                }
            }
            assert_eq!(
                self.payloads[index].load(Ordering::Relaxed),
                7,
                "a committed record is whole"
            );
        }
    }

    /// Three forced switches find every race of this protocol that we know to plant, in seconds.
    fn bounded() -> loom::model::Builder {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model
    }

    #[test]
    fn a_waiting_reader_misses_no_record() {
        bounded().check(|| {
            let shared = Shared::new();
            let writer = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    shared.append(0);
                    shared.append(1);
                }
            });
            shared.read(0);
            shared.read(1);
            writer.join().expect("the writer ends");
        });
    }

    #[test]
    fn two_waiting_readers_miss_no_record() {
        bounded().check(|| {
            let shared = Shared::new();
            let readers: Vec<_> = [1, 0]
                .into_iter()
                .map(|last| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        shared.read(0);
                        shared.read(last);
                    })
                })
                .collect();
            shared.append(0);
            shared.append(1);
            for reader in readers {
                reader.join().expect("the reader ends");
            }
        });
    }
}
