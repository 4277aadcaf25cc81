//! Checking a whole journal.

use crate::error::{Error, Result};
use crate::page::PageMap;
use crate::segment::{self, Found, Segment};
use crate::system;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// What a check of every record found.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Intact records.
    pub records: u64,
    /// Number of the oldest; 0 for none.
    pub first_seq: u64,
    /// Number of the newest; 0 for none.
    pub last_seq: u64,
    /// Bytes of an unfinished record at the end, which the next writer cuts; 0 while a writer runs.
    pub torn_bytes: u64,
    /// The first damage: what, in which file, at which offset.
    pub damage: Option<(String, PathBuf, u64)>,
}

/// How the records of one segment end.
enum End {
    Marked,
    Open,
    Damaged(&'static str),
}

/// Reads and verifies every retained record of a journal, also while it is written.
pub fn verify(directory: &Path) -> Result<Verification> {
    let page = PageMap::open(directory)?;
    let synced_seq = page.synced_seq.load(Ordering::Relaxed);
    let firsts = segment::list(directory)?;
    let mut found = Verification::default();
    let mut seq = *firsts.first().ok_or_else(|| Error::Missing {
        directory: directory.to_owned(),
    })?;
    for first in firsts {
        if first != seq && found.records > 0 {
            found.damage = Some(("a segment is missing".to_owned(), segment::path_of(directory, seq), 0));
            break;
        }
        // Retention may remove the oldest segments while they are being verified.
        let Some(segment) = Segment::open(directory, first)? else {
            continue;
        };
        if found.records == 0 {
            found.first_seq = first;
        }
        let (offset, next_seq, end) = check_segment(&segment, first);
        found.records += next_seq - first;
        seq = next_seq;
        if let End::Damaged(what) = end {
            found.damage = Some((what.to_owned(), segment.path, offset as u64));
        } else if matches!(end, End::Open) && synced_seq >= seq {
            let what = format!("records up to {synced_seq} were durable and are gone");
            found.damage = Some((what, segment.path, offset as u64));
        } else if matches!(end, End::Open) && !system::is_directory_locked(directory) {
            found.torn_bytes = segment.torn_bytes(offset) as u64;
        }
        if !matches!(end, End::Marked) {
            break;
        }
    }
    if found.records > 0 {
        found.last_seq = seq - 1;
    } else {
        found.first_seq = 0;
    }
    Ok(found)
}

fn check_segment(segment: &Segment, first_seq: u64) -> (usize, u64, End) {
    let (mut offset, mut seq) = (0, first_seq);
    loop {
        match segment.examine::<true>(offset, seq) {
            Found::Record(header, _) => offset += header.length as usize,
            Found::End => return (offset, seq, End::Marked),
            Found::Empty => return (offset, seq, End::Open),
            Found::Bad(what) => return (offset, seq, End::Damaged(what)),
        }
        seq += 1;
    }
}
