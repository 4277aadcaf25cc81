//! Finding the end of a journal after any kind of death.

use crate::error::{Error, Result};
use crate::page::Page;
use crate::protocol;
use crate::segment::{self, Found, Segment};
use holdfast_records::{HEADER_BYTES, Header, for_each_record};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Where writing goes on.
pub(crate) struct Tail {
    pub(crate) segment: Segment,
    pub(crate) offset: usize,
    pub(crate) next_seq: u64,
    /// Bytes of unfinished or lost records that were cut.
    pub(crate) bytes_cut: u64,
}

/// Scans from the last durable record on, verifies checksums, cuts the torn tail.
///
/// Damage in a record that was once durable is an error; it is never cut away.
pub(crate) fn recover(directory: &Path, page: &Page) -> Result<Tail> {
    let firsts = segment::list(directory)?;
    let synced_seq = page.synced_seq.load(Ordering::Relaxed);
    let Some(&oldest) = firsts.first() else {
        return Err(lost(directory, synced_seq, 1, "no segment is left"));
    };
    let start = firsts
        .iter()
        .rposition(|&first| first <= synced_seq.max(oldest))
        .unwrap_or(0);
    let mut current = open(directory, firsts[start])?;
    let mut next_seq = firsts[start];
    let mut later = firsts[start + 1..].iter().copied();
    loop {
        let (offset, seq, is_ended) = walk(&current, next_seq, page.is_power_durable.load(Ordering::Relaxed) != 0);
        next_seq = seq;
        if is_ended {
            match later.next() {
                Some(first) if first == next_seq => {
                    current = open(directory, first)?;
                    continue;
                }
                Some(_) | None if synced_seq >= next_seq => {
                    return Err(lost(directory, synced_seq, next_seq, "a segment is missing"));
                }
                _ => {}
            }
        } else if synced_seq >= next_seq {
            let what = match current.examine::<true>(offset, next_seq) {
                Found::Bad(what) => what,
                _ => "the record is gone",
            };
            return Err(current.corrupt(offset, next_seq, what));
        }
        return cut(
            directory,
            page,
            Tail {
                segment: current,
                offset,
                next_seq,
                bytes_cut: 0,
            },
            is_ended,
        );
    }
}

fn open(directory: &Path, first_seq: u64) -> Result<Segment> {
    Segment::open(directory, first_seq)?.ok_or_else(|| Error::Missing {
        directory: directory.to_owned(),
    })
}

fn lost(directory: &Path, synced_seq: u64, seq: u64, what: &str) -> Error {
    let what = format!("{what}, records up to {synced_seq} were durable");
    Error::Corrupt {
        path: segment::path_of(directory, seq),
        offset: 0,
        seq,
        what,
    }
}

/// Reads records to the first that is not there; returns offset, its number, and whether an end mark stands there.
fn walk(segment: &Segment, mut seq: u64, is_power_durable: bool) -> (usize, u64, bool) {
    let mut offset = 0;
    loop {
        match segment.examine::<true>(offset, seq) {
            Found::Record(header, _) => offset += header.length as usize,
            Found::End => return (offset, seq, true),
            Found::Empty if is_power_durable => match durable_without_mark(segment, offset, seq) {
                Some(length) => {
                    protocol::commit(segment.mark(offset), length);
                    continue;
                }
                None => return (offset, seq, false),
            },
            Found::Empty | Found::Bad(_) => return (offset, seq, false),
        }
        seq += 1;
    }
}

/// Length of a whole record whose mark did not reach the disk: with durability `power` it was synced before others saw it.
fn durable_without_mark(segment: &Segment, offset: usize, seq: u64) -> Option<u32> {
    let header_end = offset + HEADER_BYTES;
    if header_end + segment::END_BYTES > segment.len() {
        return None;
    }
    let header: Header = bytemuck::pod_read_unaligned(segment.bytes(offset, HEADER_BYTES));
    let length = HEADER_BYTES + payload_bytes(header.kind, header.version)?;
    if header.seq != seq || offset + length + segment::END_BYTES > segment.len() {
        return None;
    }
    (header.crc32c == crc32c::crc32c(&segment.bytes(offset, length)[8..])).then_some(length as u32)
}

macro_rules! sizes {
    ($($(#[$doc:meta])* $name:ident = $kind:literal, $version:literal { $($field:ident: $type:ty,)* } reserved $reserved:literal;)*) => {
        fn payload_bytes(kind: u16, version: u8) -> Option<usize> {
            match (kind, version) {
                $(($kind, $version) => Some(size_of::<holdfast_records::$name>()),)*
                _ => None,
            }
        }
    };
}
for_each_record!(sizes);

/// Zeroes what stands behind the last record and drops segments that hold nothing of the journal.
fn cut(directory: &Path, page: &Page, mut tail: Tail, is_ended: bool) -> Result<Tail> {
    for first in segment::list(directory)?
        .into_iter()
        .filter(|&first| first > tail.segment.first_seq)
    {
        let orphan = open(directory, first)?;
        tail.bytes_cut += orphan.torn_bytes(0) as u64;
        std::fs::remove_file(&orphan.path).map_err(|source| Error::system(&orphan.path, "remove", source))?;
    }
    if is_ended {
        // The next segment's directory entry was lost with the power, and with it all that followed.
        let bytes = page.identity().segment_bytes;
        tail.segment = Segment::create(segment::path_of(directory, tail.next_seq), tail.next_seq, bytes)?;
        tail.offset = 0;
    } else {
        tail.bytes_cut += tail.segment.cut(tail.offset) as u64;
    }
    Ok(tail)
}
