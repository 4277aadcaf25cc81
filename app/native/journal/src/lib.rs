//! The journal: one writer, many readers, preallocated memory-mapped segments.
//!
//! A record is a [`holdfast_records::Header`] and a payload. Its length is the commit mark, stored last with release
//! order, so a reader in another process sees a record whole or not at all. Sequence numbers have no holes.
//! This crate, alone in the native core, touches the operating system.

#[cfg(not(loom))]
mod edge;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod keeper;
#[cfg(not(loom))]
mod latch;
#[cfg(not(loom))]
mod page;
mod protocol;
#[cfg(not(loom))]
mod reader;
#[cfg(not(loom))]
mod recovery;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod system;
#[cfg(not(loom))]
mod trap;
#[cfg(not(loom))]
mod verify;
#[cfg(not(loom))]
mod wait;
#[cfg(not(loom))]
mod writer;

#[cfg(not(loom))]
pub use edge::{Edge, SOCKETS_MAX, boot_ns};
#[cfg(not(loom))]
pub use error::{Error, Result};
#[cfg(not(loom))]
pub use latch::{KillLatch, LatchNote};
#[cfg(not(loom))]
pub use page::Identity;
#[cfg(not(loom))]
pub use reader::{Entry, Reader};
#[cfg(not(loom))]
pub use trap::Trap;
#[cfg(not(loom))]
pub use verify::{Verification, verify};
#[cfg(not(loom))]
pub use wait::{Bell, READERS_MAX, Wake, Watch, wait, wait_any};
#[cfg(not(loom))]
pub use writer::{Durability, Options, Writer};
