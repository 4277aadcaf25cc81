//! Reading a journal from any record on.

use crate::error::{Error, Result};
use crate::page::{Identity, PageMap};
use crate::protocol;
use crate::segment::{self, END, Found, Segment};
use crate::wait::Watch;
use holdfast_records::{AnyRecord, Cause, Header};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Pages behind the reader are let go in steps of this size, to keep resident memory small.
const RELEASE_BYTES: usize = 512 * 1024;

/// A record in a journal, not copied.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: &'a [u8],
    /// Header and payload as they stand in the journal.
    pub bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The record; nothing when this release does not know its kind or version.
    #[inline]
    pub fn record(&self) -> Option<AnyRecord<'a>> {
        AnyRecord::parse(self.header.kind, self.header.version, self.payload)
    }

    /// The cause that a record caused by this one carries, for the journal this one stands in.
    pub fn as_cause(&self, journal: holdfast_records::JournalName) -> Cause {
        Cause {
            journal,
            seq: self.header.seq,
            origin_ns: self.header.origin_ns,
        }
    }
}

/// Follows a journal. Any number of readers in any process.
pub struct Reader {
    directory: PathBuf,
    page: Arc<PageMap>,
    segment: Arc<Segment>,
    offset: usize,
    next_seq: u64,
    released: usize,
}

impl Reader {
    /// Opens a journal so that the next record read is `from_seq`; 0 means the oldest retained.
    ///
    /// Errors: [`Error::Missing`] before a writer created it, [`Error::Pruned`] and [`Error::Ahead`] when it has no such record.
    pub fn open(directory: &Path, from_seq: u64) -> Result<Self> {
        let page = Arc::new(PageMap::open(directory)?);
        let first_seq = page.first_seq.load(Ordering::Acquire);
        let segment = Segment::open(directory, first_seq)?;
        let segment = Arc::new(segment.ok_or_else(|| Error::Missing {
            directory: directory.to_owned(),
        })?);
        let mut reader = Self {
            directory: directory.to_owned(),
            page,
            segment,
            offset: 0,
            next_seq: first_seq,
            released: 0,
        };
        reader.seek(from_seq)?;
        Ok(reader)
    }

    /// Moves so that the next record read is `seq`; 0 means the oldest retained.
    ///
    /// Errors: as [`Reader::open`]; the position is then unchanged.
    pub fn seek(&mut self, seq: u64) -> Result<()> {
        let seq = if seq == 0 { self.first_seq() } else { seq };
        if seq == self.next_seq {
            return Ok(());
        }
        let firsts = segment::list(&self.directory)?;
        let Some(&first_seq) = firsts.iter().rev().find(|&&first| first <= seq) else {
            return Err(self.pruned(seq));
        };
        let mut segment = Segment::open(&self.directory, first_seq)?.ok_or_else(|| self.pruned(seq))?;
        let (mut offset, mut next_seq) = (0, first_seq);
        while next_seq < seq {
            match segment.examine::<false>(offset, next_seq) {
                Found::Record(header, _) => {
                    offset += header.length as usize;
                    next_seq += 1;
                }
                // The writer began another segment after the listing.
                Found::End => {
                    let next = Segment::open(&self.directory, next_seq)?;
                    (segment, offset) = (next.ok_or_else(|| self.ahead(seq, next_seq - 1))?, 0);
                }
                Found::Empty => return Err(self.ahead(seq, next_seq - 1)),
                Found::Bad(what) => return Err(segment.corrupt(offset, next_seq, what)),
            }
        }
        (self.segment, self.offset, self.next_seq, self.released) = (Arc::new(segment), offset, next_seq, offset);
        Ok(())
    }

    /// Moves behind the newest record: what is read next is what comes from now on.
    pub fn seek_end(&mut self) -> Result<()> {
        loop {
            match self.segment.examine::<false>(self.offset, self.next_seq) {
                Found::Record(header, _) => {
                    self.offset += header.length as usize;
                    self.next_seq += 1;
                }
                Found::Empty => return Ok(()),
                Found::End => match segment::list(&self.directory)?.last() {
                    Some(&newest) if newest > self.next_seq => self.seek(newest)?,
                    _ => drop(self.advance_segment()?),
                },
                Found::Bad(what) => return Err(self.segment.corrupt(self.offset, self.next_seq, what)),
            }
        }
    }

    /// The next record, its checksum verified; nothing while there is none. Never blocks.
    ///
    /// Errors: [`Error::Corrupt`], [`Error::Pruned`] when retention overtook this reader; the position stays.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an entry borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>> {
        if protocol::committed(self.segment.mark(self.offset)) == END && !self.advance_segment()? {
            return Ok(None);
        }
        match self.segment.examine::<true>(self.offset, self.next_seq) {
            Found::Record(header, payload) => {
                let bytes = self.segment.bytes(self.offset, header.length as usize);
                if self.offset - self.released >= 2 * RELEASE_BYTES {
                    let until = self.offset - RELEASE_BYTES;
                    self.segment.release(self.released, until);
                    self.released = until;
                }
                self.offset += header.length as usize;
                self.next_seq += 1;
                Ok(Some(Entry { header, payload, bytes }))
            }
            Found::Empty | Found::End => Ok(None),
            Found::Bad(what) => Err(self.segment.corrupt(self.offset, self.next_seq, what)),
        }
    }

    #[cold]
    fn advance_segment(&mut self) -> Result<bool> {
        if let Some(next) = Segment::open(&self.directory, self.next_seq)? {
            (self.segment, self.offset, self.released) = (Arc::new(next), 0, 0);
            return Ok(true);
        }
        if self.next_seq < self.first_seq() {
            return Err(self.pruned(self.next_seq));
        }
        Err(self
            .segment
            .corrupt(self.offset, self.next_seq, "the next segment is missing"))
    }

    /// Whether a record is ready to be read.
    pub fn is_ready(&mut self) -> Result<bool> {
        Ok(self.watch()?.is_ready())
    }

    /// The place of the next record, to wait for it without holding the reader.
    pub fn watch(&mut self) -> Result<Watch> {
        if protocol::committed(self.segment.mark(self.offset)) == END {
            self.advance_segment()?;
        }
        Ok(Watch {
            page: Arc::clone(&self.page),
            segment: Arc::clone(&self.segment),
            offset: self.offset,
        })
    }

    /// Number of the record that is read next.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Number of the newest committed record.
    pub fn last_seq(&self) -> u64 {
        self.page.last_seq.load(Ordering::Acquire)
    }

    /// Number of the oldest retained record.
    pub fn first_seq(&self) -> u64 {
        self.page.first_seq.load(Ordering::Acquire)
    }

    /// Number of the first record of the newest writer's life, written or not; 0 when it is not known, as in a mirror.
    pub fn begin_seq(&self) -> u64 {
        self.page.begin_seq.load(Ordering::Acquire)
    }

    /// When the writer last said that it is alive, ns UTC.
    #[inline]
    pub fn heartbeat_ns(&self) -> i64 {
        self.page.heartbeat_ns.load(Ordering::Acquire)
    }

    /// What the journal is, with the writer's epoch and hashes.
    pub fn identity(&self) -> Identity {
        self.page.identity()
    }

    /// Where the journal lives.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn pruned(&self, wanted_seq: u64) -> Error {
        Error::Pruned {
            directory: self.directory.clone(),
            wanted_seq,
            first_seq: self.first_seq(),
        }
    }

    fn ahead(&self, wanted_seq: u64, last_seq: u64) -> Error {
        Error::Ahead {
            directory: self.directory.clone(),
            wanted_seq,
            last_seq,
        }
    }
}
