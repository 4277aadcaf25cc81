//! Edge fencing: ends connections in the kernel at the moment the right to use them ends.
//!
//! A lease is checked right before bytes are written, but a process may be stopped between the check and the write and go
//! on an hour later. So the deadline is also a kernel timer (`CLOCK_BOOTTIME`: it runs on while stopped or suspended) whose
//! signal goes to the thread that writes. Pending signals are delivered before that thread's next instruction in user mode:
//! the handler disconnects every admitted socket, with whatever the kernel still had queued, and the late write fails.

use crate::error::{Error, Result};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

/// Sockets admitted at one time at most.
pub const SOCKETS_MAX: usize = 64;
const FREE: i32 = -1;
const NS_PER_S: i64 = 1_000_000_000;

struct Table {
    deadline_ns: AtomicI64,
    sockets: [AtomicI32; SOCKETS_MAX],
}

impl Table {
    /// Cuts every admitted socket. Async-signal-safe: system calls and atomics only.
    fn cut(&self) {
        for slot in &self.sockets {
            let socket = slot.load(Ordering::SeqCst);
            if socket != FREE {
                disconnect(socket);
            }
        }
    }
}

/// Admitted sockets and the deadline after which nothing leaves through them.
///
/// Invariant: it is armed, and its sockets are written to, by the thread that made it.
pub struct Edge {
    /// Leaked: a signal already on its way may arrive after the timer is gone.
    table: &'static Table,
    timer: libc::timer_t,
}

// SAFETY: the timer's id is a plain number to the kernel, valid on every thread of the process.
unsafe impl Send for Edge {}
// SAFETY: the table holds atomics only; timer_settime may be called concurrently.
unsafe impl Sync for Edge {}

impl Edge {
    /// Makes a closed edge for the calling thread: it is open once armed.
    pub fn new() -> Result<Self> {
        let table: &'static Table = Box::leak(Box::new(Table {
            deadline_ns: AtomicI64::new(0),
            sockets: [const { AtomicI32::new(FREE) }; SOCKETS_MAX],
        }));
        install_handler()?;
        let timer = create_timer(table)?;
        Ok(Self { table, timer })
    }

    /// Sets the deadline, ns of `CLOCK_BOOTTIME`; one that has passed cuts at once.
    pub fn arm(&self, deadline_ns: i64) -> Result<()> {
        self.table.deadline_ns.store(deadline_ns, Ordering::SeqCst);
        let deadline_ns = deadline_ns.max(1);
        let setting = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: deadline_ns / NS_PER_S,
                tv_nsec: deadline_ns % NS_PER_S,
            },
        };
        // SAFETY: the timer exists as long as self; the setting outlives the call.
        let answer = unsafe {
            libc::timer_settime(
                self.timer,
                libc::TIMER_ABSTIME,
                &raw const setting,
                std::ptr::null_mut(),
            )
        };
        succeeded(answer, "set the timer of the lease")
    }

    /// Whether bytes may leave now: the last thing to ask before they are written.
    #[inline]
    pub fn is_open(&self) -> bool {
        boot_ns() < self.deadline_ns()
    }

    /// The deadline, ns of `CLOCK_BOOTTIME`; 0 before the first and after `close`.
    #[inline]
    pub fn deadline_ns(&self) -> i64 {
        self.table.deadline_ns.load(Ordering::SeqCst)
    }

    /// Puts a connected socket under the edge; returns its place, or nothing when the edge is closed.
    pub fn admit(&self, socket: RawFd) -> Result<Option<usize>> {
        // A duplicate of our own: its number is not reused while it is in the table.
        // SAFETY: duplicating a descriptor has no memory effect.
        let own = unsafe { libc::fcntl(socket, libc::F_DUPFD_CLOEXEC, 0) };
        succeeded(if own < 0 { -1 } else { 0 }, "duplicate a socket")?;
        let free = self.table.sockets.iter().position(|slot| {
            slot.compare_exchange(FREE, own, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        });
        let Some(place) = free else {
            close(own);
            return Err(failure("admit a socket: 64 are admitted", libc::EMFILE));
        };
        if self.is_open() {
            return Ok(Some(place));
        }
        disconnect(own);
        self.release(place);
        Ok(None)
    }

    /// Forgets an admitted socket; the caller's own descriptor stays open.
    pub fn release(&self, place: usize) {
        let own = self.table.sockets[place].swap(FREE, Ordering::SeqCst);
        if own != FREE {
            close(own);
        }
    }

    /// Ends the right now: cuts every admitted socket.
    pub fn close(&self) {
        self.table.deadline_ns.store(0, Ordering::SeqCst);
        self.table.cut();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // SAFETY: the timer exists; a signal already on its way finds the leaked table.
        unsafe { libc::timer_delete(self.timer) };
        self.close();
        for place in 0..SOCKETS_MAX {
            self.release(place);
        }
    }
}

/// The clock that the deadline is of: it runs on while the process is stopped and the host is suspended.
pub fn boot_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    now.tv_sec * NS_PER_S + now.tv_nsec
}

fn signal_number() -> i32 {
    libc::SIGRTMIN() + 6
}

extern "C" fn on_deadline(_: i32, details: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands over a valid siginfo; only our timers send this signal with SI_TIMER, and their value is a
    // leaked table. errno is the interrupted code's and is put back.
    unsafe {
        if (*details).si_code != libc::SI_TIMER {
            return;
        }
        let errno = *libc::__errno_location();
        let table = (*details).si_value().sival_ptr.cast::<Table>().cast_const();
        (*table).cut();
        *libc::__errno_location() = errno;
    }
}

fn install_handler() -> Result<()> {
    // SAFETY: an all-zero sigaction and signal set are valid; the handler has the three-argument form that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_deadline as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        succeeded(
            libc::sigaction(signal_number(), &raw const action, std::ptr::null_mut()),
            "install the handler of the lease's end",
        )?;
        let mut own: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        libc::sigaddset(&raw mut own, signal_number());
        let answer = libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const own, std::ptr::null_mut());
        succeeded(-answer, "unblock the signal of the lease's end")
    }
}

fn create_timer(table: &'static Table) -> Result<libc::timer_t> {
    // SAFETY: an all-zero sigevent is valid, and every field that SIGEV_THREAD_ID reads is set; `timer` is valid to write to.
    unsafe {
        let mut event: libc::sigevent = MaybeUninit::zeroed().assume_init();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal_number();
        event.sigev_notify_thread_id = libc::gettid();
        event.sigev_value = libc::sigval {
            sival_ptr: std::ptr::from_ref(table).cast_mut().cast(),
        };
        let mut timer: libc::timer_t = std::ptr::null_mut();
        succeeded(
            libc::timer_create(libc::CLOCK_BOOTTIME, &raw mut event, &raw mut timer),
            "create the timer of the lease",
        )?;
        Ok(timer)
    }
}

/// Resets a TCP connection and forgets its unsent bytes; anything else is shut down. Async-signal-safe.
fn disconnect(socket: RawFd) {
    // SAFETY: an all-zero address is a valid AF_UNSPEC address, which dissolves the association.
    unsafe {
        let nowhere: libc::sockaddr_in = MaybeUninit::zeroed().assume_init();
        let bytes = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        if libc::connect(socket, (&raw const nowhere).cast(), bytes) != 0 {
            libc::shutdown(socket, libc::SHUT_RDWR);
        }
    }
}

fn close(descriptor: RawFd) {
    // SAFETY: the descriptor is a duplicate that nobody else knows.
    unsafe { libc::close(descriptor) };
}

fn succeeded(answer: i32, action: &'static str) -> Result<()> {
    if answer == 0 {
        return Ok(());
    }
    let errno = if answer < -1 {
        -answer
    } else {
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    };
    Err(failure(action, errno))
}

fn failure(action: &'static str, errno: i32) -> Error {
    Error::system(
        Path::new("the venue's edge"),
        action,
        io::Error::from_raw_os_error(errno),
    )
}
