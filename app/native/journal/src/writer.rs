//! The only writer of a journal.

use crate::error::{Error, Result};
use crate::keeper::Keeper;
use crate::page::{Identity, PageMap};
use crate::protocol;
use crate::recovery::{self, Tail};
use crate::segment::{self, END, END_BYTES, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Segment};
use crate::system;
use crate::trap::Trap;
use holdfast_records::{Cause, HEADER_BYTES, Header, JournalName, Record};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// When a record is safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Survives any death of the process; on the disk about 5 ms later.
    #[default]
    Process,
    /// On the disk before anyone sees it.
    Power,
}

/// How a journal is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of a segment, a multiple of 4096. Fixed when the journal is created, later values are ignored.
    pub segment_bytes: u64,
    /// When a record is safe.
    pub durability: Durability,
    /// Segments that are kept, the current one included; 0 keeps all.
    pub segments_retained_max: usize,
    /// Without its thread a journal is synced when it is closed, its next segment allocated when it is needed, and none is
    /// removed: for one in memory that lives for moments.
    pub has_keeper: bool,
    /// Hash of the writer's code, for readers to compare.
    pub build_hash: u64,
    /// Hash of the writer's configuration, for readers to compare.
    pub config_hash: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1024 * 1024,
            durability: Durability::default(),
            segments_retained_max: 0,
            has_keeper: true,
            build_hash: 0,
            config_hash: 0,
        }
    }
}

/// Appends records to a journal; at most one per journal on the host.
pub struct Writer {
    keeper: Arc<Keeper>,
    thread: Option<JoinHandle<()>>,
    is_open: bool,
    segment: Arc<Segment>,
    offset: usize,
    next_seq: u64,
    bytes_cut: u64,
    is_power_durable: bool,
    trap: Option<Box<Trap>>,
    _lock: File,
}

impl Writer {
    /// Opens a journal, creating it when absent: takes the lock, recovers the end, starts a new epoch.
    pub fn open(directory: &Path, journal: JournalName, options: &Options, now_ns: i64) -> Result<Self> {
        check_options(options, journal)?;
        let fresh = Identity {
            journal,
            segment_bytes: options.segment_bytes,
            created_ns: now_ns,
            epoch: 0,
            build_hash: options.build_hash,
            config_hash: options.config_hash,
        };
        let writer = Self::start(directory, &fresh, options)?;
        let page = &writer.keeper.page;
        let found = page.identity();
        let epoch = (found.epoch + 1).max(now_ns.max(1) as u64);
        page.begin_seq.store(writer.next_seq, Ordering::Release);
        page.set_identity(&Identity {
            epoch,
            build_hash: options.build_hash,
            config_hash: options.config_hash,
            ..found
        });
        page.heartbeat_ns.store(now_ns, Ordering::Release);
        page.sync(&directory.join("header"))?;
        Ok(writer)
    }

    /// Opens a copy of another host's journal: it keeps the identity of the source and takes its records as they are.
    pub fn open_mirror(directory: &Path, source: &Identity, options: &Options) -> Result<Self> {
        check_options(
            &Options {
                segment_bytes: source.segment_bytes,
                ..*options
            },
            source.journal,
        )?;
        let writer = Self::start(directory, source, options)?;
        let found = writer.keeper.page.identity();
        if found.created_ns != source.created_ns || found.segment_bytes != source.segment_bytes {
            let what = format!(
                "created at {} ns, the source was created at {} ns",
                found.created_ns, source.created_ns
            );
            return Err(Error::Mismatch {
                directory: directory.to_owned(),
                what,
            });
        }
        Ok(writer)
    }

    fn start(directory: &Path, fresh: &Identity, options: &Options) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|source| Error::system(directory, "create", source))?;
        let lock = system::lock_directory(directory)?;
        let page = Arc::new(open_page(directory, fresh)?);
        let found = page.identity();
        if found.journal != fresh.journal {
            let what = format!(
                "it is {:?}, expected {:?}",
                found.journal.label(),
                fresh.journal.label()
            );
            return Err(Error::Mismatch {
                directory: directory.to_owned(),
                what,
            });
        }
        let Tail {
            segment,
            offset,
            next_seq,
            bytes_cut,
        } = recovery::recover(directory, &page)?;
        let segment = Arc::new(segment);
        let is_power_durable = options.durability == Durability::Power;
        page.first_seq.store(
            segment::list(directory)?.first().copied().unwrap_or(1),
            Ordering::Release,
        );
        page.last_seq.store(next_seq - 1, Ordering::Release);
        page.is_power_durable
            .store(u64::from(is_power_durable), Ordering::Relaxed);
        let keeper = Keeper::new(directory, page, &segment, next_seq - 1, options.segments_retained_max)?;
        keeper.written_offset.store(offset as u64, Ordering::Relaxed);
        let keeper = Arc::new(keeper);
        keeper.sync()?;
        let thread = options.has_keeper.then(|| keeper.start()).transpose()?;
        Ok(Self {
            keeper,
            thread,
            is_open: true,
            segment,
            offset,
            next_seq,
            bytes_cut,
            is_power_durable,
            trap: None,
            _lock: lock,
        })
    }

    /// Sets a trap for one later append.
    pub fn set_trap(&mut self, trap: Trap) {
        self.trap = Some(Box::new(trap));
    }

    #[cold]
    fn reach_trap(&mut self, kind: u16, is_after: bool) {
        if self.trap.as_mut().is_some_and(|trap| trap.reach(kind, is_after)) {
            self.trap = None;
        }
    }

    /// Appends a record and returns its number.
    ///
    /// Errors: [`Error::Full`] without room for the next segment (the call may be repeated later); after a failed sync
    /// every call fails.
    #[inline]
    pub fn append<R: Record>(&mut self, record: &R, ts_ns: i64, cause: Cause) -> Result<u64> {
        let appended = self.append_in_batch(record, ts_ns, cause);
        self.announce();
        appended
    }

    /// Appends as [`Writer::append`] does, but wakes no sleeping reader: [`Writer::announce`] must follow the last of a batch.
    #[inline]
    pub fn append_in_batch<R: Record>(&mut self, record: &R, ts_ns: i64, cause: Cause) -> Result<u64> {
        let payload = bytemuck::bytes_of(record);
        let mut header = Header {
            length: 0,
            crc32c: 0,
            kind: R::KIND,
            version: R::VERSION,
            cause_journal: cause.journal,
            reserved: 0,
            seq: self.next_seq,
            ts_ns,
            cause_seq: cause.seq,
            origin_ns: cause.origin_ns,
        };
        header.crc32c = crc32c::crc32c_append(crc32c::crc32c(&bytemuck::bytes_of(&header)[8..]), payload);
        self.put(&header, payload)
    }

    /// Appends a record of another host's journal, header and payload as they stand there.
    ///
    /// Errors: [`Error::Invalid`] when it is damaged or not the next one.
    pub fn append_raw(&mut self, bytes: &[u8]) -> Result<u64> {
        if bytes.len() < HEADER_BYTES || !bytes.len().is_multiple_of(8) {
            return Err(Error::Invalid {
                what: format!("a record of {} bytes", bytes.len()),
            });
        }
        let header: Header = bytemuck::pod_read_unaligned(&bytes[..HEADER_BYTES]);
        if header.length as usize != bytes.len() || header.crc32c != crc32c::crc32c(&bytes[8..]) {
            return Err(Error::Invalid {
                what: format!("record {} is damaged", header.seq),
            });
        }
        if header.seq != self.next_seq {
            return Err(Error::Invalid {
                what: format!("record {} came instead of {}", header.seq, self.next_seq),
            });
        }
        let appended = self.put(&header, &bytes[HEADER_BYTES..]);
        self.announce();
        appended
    }

    /// Wakes the readers that sleep while there are records for them.
    #[inline]
    pub fn announce(&self) {
        let page = &self.keeper.page;
        if page.wake.announce() {
            system::futex_wake_all(&page.wake.word);
        }
        if self.keeper.wake.announce() {
            system::futex_wake_all(&self.keeper.wake.word);
        }
    }

    #[inline]
    fn put(&mut self, header: &Header, payload: &[u8]) -> Result<u64> {
        if self.trap.is_some() {
            self.reach_trap(header.kind, false);
        }
        self.keeper.check()?;
        let length = HEADER_BYTES + payload.len();
        if self.offset + length + END_BYTES > self.segment.len() {
            self.roll(length)?;
        }
        self.segment.write(self.offset, header, payload);
        if self.is_power_durable {
            self.keeper.sync()?;
        }
        protocol::commit(self.segment.mark(self.offset), length as u32);
        let seq = self.next_seq;
        self.offset += length;
        self.next_seq += 1;
        let page = &self.keeper.page;
        page.last_seq.store(seq, Ordering::Release);
        if self.is_power_durable {
            page.synced_seq.store(seq, Ordering::Relaxed);
        }
        self.keeper.written_offset.store(self.offset as u64, Ordering::Relaxed);
        self.keeper.written_seq.store(seq, Ordering::Release);
        if self.trap.is_some() {
            self.announce();
            self.reach_trap(header.kind, true);
        }
        Ok(seq)
    }

    #[cold]
    fn roll(&mut self, length: usize) -> Result<()> {
        if length + END_BYTES > self.keeper.page.identity().segment_bytes as usize {
            return Err(Error::Invalid {
                what: format!("a record of {length} bytes does not fit into a segment"),
            });
        }
        let next = self.keeper.next_segment(self.next_seq)?;
        protocol::commit(self.segment.mark(self.offset), END);
        self.segment = next;
        self.offset = 0;
        Ok(())
    }

    /// Says that the writer is alive at `now_ns`.
    #[inline]
    pub fn heartbeat(&self, now_ns: i64) {
        self.keeper.page.heartbeat_ns.store(now_ns, Ordering::Release);
    }

    /// Mirror: takes over the source's epoch and hashes.
    pub fn follow(&self, source: &Identity) {
        self.keeper.page.set_identity(source);
    }

    /// Makes all records durable now.
    pub fn sync(&self) -> Result<()> {
        self.keeper.check()?;
        self.keeper.sync()
    }

    /// Identity with the current epoch.
    pub fn identity(&self) -> Identity {
        self.keeper.page.identity()
    }

    /// Number of the writer's life: rises with each opening.
    pub fn epoch(&self) -> u64 {
        self.identity().epoch
    }

    /// Number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Bytes of unfinished records that opening cut away.
    pub fn bytes_cut(&self) -> u64 {
        self.bytes_cut
    }

    /// Syncs and closes.
    pub fn close(mut self) -> Result<()> {
        self.shut()
    }

    fn shut(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.is_open, false) {
            return Ok(());
        }
        if let Some(thread) = self.thread.take() {
            self.keeper.stop(thread);
        }
        self.keeper.check()?;
        self.keeper.sync()?;
        self.keeper.page.sync(&self.keeper.directory.join("header"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.shut();
    }
}

fn check_options(options: &Options, journal: JournalName) -> Result<()> {
    let bytes = options.segment_bytes;
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) || !bytes.is_multiple_of(4096) {
        let what = format!("segment_bytes {bytes}: expected a multiple of 4096 up to {SEGMENT_BYTES_MAX}");
        return Err(Error::Invalid { what });
    }
    if journal == JournalName::NONE {
        return Err(Error::Invalid {
            what: "a journal needs a name".to_owned(),
        });
    }
    Ok(())
}

/// Opens the header page; on the first start creates the first segment, then the page, so that a page implies a segment.
fn open_page(directory: &Path, fresh: &Identity) -> Result<PageMap> {
    match PageMap::open(directory) {
        Err(Error::Missing { .. }) => {}
        other => return other,
    }
    match segment::list(directory)?.as_slice() {
        [] => drop(Segment::create(segment::path_of(directory, 1), 1, fresh.segment_bytes)?),
        // A start that died between the segment and the page left an empty first segment.
        [1] if Segment::open(directory, 1)?.is_some_and(|first| first.torn_bytes(0) == 0) => {}
        [first, ..] => {
            let what = "records without a header page".to_owned();
            return Err(Error::Corrupt {
                path: directory.join("header"),
                offset: 0,
                seq: *first,
                what,
            });
        }
    }
    PageMap::create(directory, fresh)
}
