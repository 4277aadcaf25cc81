//! Ending or stopping the process at one chosen append: how recovery from a crash is tested.

use crate::system;
use std::fs::OpenOptions;
use std::path::PathBuf;

/// A signal that the process sends to itself around one append of one kind of record.
#[derive(Debug)]
pub struct Trap {
    /// Kind of the records that count.
    pub kind: u16,
    /// Whether the record is visible to readers by then.
    pub is_after: bool,
    /// Records of the kind that pass.
    pub skip: u64,
    /// SIGKILL or SIGSTOP.
    pub signal: i32,
    /// Made just before, so that a restarted process knows that it was here.
    pub marker: PathBuf,
}

impl Trap {
    /// Springs at the append it was set for; returns whether it did, which only a stopped process lives to see.
    #[cold]
    pub(crate) fn reach(&mut self, kind: u16, is_after: bool) -> bool {
        if kind != self.kind || is_after != self.is_after {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        // Another process may have been here first: then this one goes on.
        if OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.marker)
            .is_ok()
        {
            system::signal_self(self.signal);
        }
        true
    }
}
