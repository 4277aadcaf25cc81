//! The system calls that the standard library has no name for.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// Sleepers at one call at most.
pub(crate) const FUTEXES_MAX: usize = 16;
/// A verification holds the lock for an instant; a writer that starts just then must not give up.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);
const FUTEX_SIZE_U32: u32 = 0x02;

/// One word to sleep on, as `futex_waitv` wants it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct FutexWait {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl FutexWait {
    /// Sleep while `word` still holds `value`.
    pub(crate) fn new(word: &AtomicU32, value: u32) -> Self {
        Self {
            value: u64::from(value),
            address: word.as_ptr() as u64,
            flags: FUTEX_SIZE_U32,
            reserved: 0,
        }
    }
}

/// Sends a signal to this process.
pub(crate) fn signal_self(signal: i32) {
    // SAFETY: both calls take and return plain numbers.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// Sleeps until one of the words changes and is woken, or the time is over. Spurious returns are possible.
pub(crate) fn futex_wait_any(waits: &[FutexWait], timeout: Option<Duration>) -> io::Result<()> {
    let deadline = timeout.map(|timeout| {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is a valid timespec to write to.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
        let nanoseconds = now.tv_nsec + i64::from(timeout.subsec_nanos());
        libc::timespec {
            tv_sec: now
                .tv_sec
                .saturating_add(timeout.as_secs().min(i64::MAX as u64 / 2) as i64)
                + nanoseconds / 1_000_000_000,
            tv_nsec: nanoseconds % 1_000_000_000,
        }
    });
    let deadline_pointer = deadline.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the slice and the deadline outlive the call; the kernel checks the addresses in them.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waits.as_ptr(),
            waits.len() as u32,
            0_u32,
            deadline_pointer,
            libc::CLOCK_MONOTONIC,
        )
    };
    if answer >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT) => Ok(()),
        _ => Err(error),
    }
}

/// Wakes every sleeper on the word, in any process.
#[cold]
pub(crate) fn futex_wake_all(word: &AtomicU32) {
    // SAFETY: waking on a mapped word has no other effect.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Creates or opens a file for reading and writing, group-shared as far as the umask allows.
pub(crate) fn open_shared(path: &Path, is_new: bool) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(is_new)
        .mode(0o660)
        .open(path)
        .map_err(|source| Error::system(path, if is_new { "create" } else { "open" }, source))
}

/// Reserves `bytes` of disk for the file, zero-filled.
pub(crate) fn allocate(file: &File, path: &Path, bytes: u64) -> Result<()> {
    // SAFETY: the descriptor is open; the call returns its error.
    let answer = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as i64) };
    match answer {
        0 => Ok(()),
        libc::ENOSPC | libc::EDQUOT | libc::EFBIG => Err(Error::Full {
            path: path.to_owned(),
            bytes,
        }),
        other => Err(Error::system(path, "allocate", io::Error::from_raw_os_error(other))),
    }
}

/// Takes the only writer's lock on a directory; it lasts as long as the file stays open.
pub(crate) fn lock_directory(directory: &Path) -> Result<File> {
    let file = File::open(directory).map_err(|source| Error::system(directory, "open", source))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match flock(file.as_raw_fd(), libc::LOCK_EX) {
            Ok(()) => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Err(Error::system(directory, "lock", error));
            }
            Err(_) if Instant::now() >= deadline => {
                return Err(Error::Locked {
                    directory: directory.to_owned(),
                });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Whether some process holds the writer's lock on the directory.
pub(crate) fn is_directory_locked(directory: &Path) -> bool {
    File::open(directory).is_ok_and(|file| flock(file.as_raw_fd(), libc::LOCK_SH).is_err())
}

/// Takes an advisory lock without waiting.
pub(crate) fn flock(descriptor: RawFd, kind: i32) -> io::Result<()> {
    // SAFETY: locking an open descriptor has no memory effect.
    if unsafe { libc::flock(descriptor, kind | libc::LOCK_NB) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes file creations, renames and removals in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|source| Error::system(directory, "sync", source))
}
