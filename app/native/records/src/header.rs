//! What stands before every payload in a journal.

use crate::JournalName;
use bytemuck::{Pod, Zeroable};

/// Size of [`Header`] in bytes; a payload starts there and is a multiple of 8 bytes long.
pub const HEADER_BYTES: usize = 48;

/// The header of one journaled record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// Header and payload together in bytes; zero until committed, stored last with release order.
    pub length: u32,
    /// Checksum (crc32c) of the header from `kind` on, and of the payload.
    pub crc32c: u32,
    /// Type of the payload, see [`crate::Record::KIND`].
    pub kind: u16,
    /// Layout version of the payload.
    pub version: u8,
    /// Journal of the record that caused this one.
    pub cause_journal: JournalName,
    /// Zero.
    pub reserved: u32,
    /// Number in the journal, from 1, without holes.
    pub seq: u64,
    /// When it was written, ns UTC.
    pub ts_ns: i64,
    /// Number of the causing record in its journal; 0 for none.
    pub cause_seq: u64,
    /// Receive time of the market event at the start of the chain, ns UTC; 0 for none.
    pub origin_ns: i64,
}

/// Where a record came from: the causing record, and the market event at the start of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Journal of the causing record.
    pub journal: JournalName,
    /// Its number; 0 for none.
    pub seq: u64,
    /// Receive time of the market event, ns UTC; 0 for none.
    pub origin_ns: i64,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);
