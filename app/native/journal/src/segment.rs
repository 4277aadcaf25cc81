//! One preallocated file of records.

use crate::error::{Error, Result};
use crate::protocol;
use crate::system;
use bytemuck::pod_read_unaligned;
use holdfast_records::{HEADER_BYTES, Header};
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;

/// In the place of a length: no more records here, read on in the next segment.
pub(crate) const END: u32 = u32::MAX;
/// Room that every record leaves for the end mark.
pub(crate) const END_BYTES: usize = 8;
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4096;
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 31;
const SUFFIX: &str = ".segment";

/// A mapped segment.
pub(crate) struct Segment {
    map: MmapRaw,
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) first_seq: u64,
}

/// What stands at an offset.
pub(crate) enum Found<'a> {
    /// A committed record: its header and payload.
    Record(Header, &'a [u8]),
    /// Nothing yet.
    Empty,
    /// The end mark.
    End,
    /// Damage.
    Bad(&'static str),
}

/// Path of the segment that starts with record `first_seq`.
pub(crate) fn path_of(directory: &Path, first_seq: u64) -> PathBuf {
    directory.join(format!("{first_seq:020}{SUFFIX}"))
}

/// First record numbers of all segments in a directory, rising.
pub(crate) fn list(directory: &Path) -> Result<Vec<u64>> {
    let entries = std::fs::read_dir(directory).map_err(|source| Error::system(directory, "list", source))?;
    let mut firsts = Vec::new();
    for entry in entries {
        let name = entry
            .map_err(|source| Error::system(directory, "list", source))?
            .file_name();
        if let Some(digits) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX))
            && digits.len() == 20
            && let Ok(first_seq) = digits.parse()
        {
            firsts.push(first_seq);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

impl Segment {
    /// Allocates a new file at `path`; removes it again when there is no room.
    pub(crate) fn create(path: PathBuf, first_seq: u64, bytes: u64) -> Result<Self> {
        let file = system::open_shared(&path, true)?;
        if let Err(error) = system::allocate(&file, &path, bytes) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Self::map(file, path, first_seq, bytes)
    }

    /// Maps an existing segment; nothing when there is no such file.
    pub(crate) fn open(directory: &Path, first_seq: u64) -> Result<Option<Self>> {
        let path = path_of(directory, first_seq);
        let file = match system::open_shared(&path, false) {
            Err(Error::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let bytes = file
            .metadata()
            .map_err(|source| Error::system(&path, "look at", source))?
            .len();
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) || bytes % 8 != 0 {
            return Err(Error::Corrupt {
                path,
                offset: bytes,
                seq: first_seq,
                what: format!("segment of {bytes} bytes"),
            });
        }
        Self::map(file, path, first_seq, bytes).map(Some)
    }

    fn map(file: File, path: PathBuf, first_seq: u64, bytes: u64) -> Result<Self> {
        let map = MmapOptions::new()
            .len(bytes as usize)
            .map_raw(&file)
            .map_err(|source| Error::system(&path, "map", source))?;
        Ok(Self {
            map,
            file,
            path,
            first_seq,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The commit mark at an offset.
    ///
    /// Invariant: `offset` is a multiple of 8 and at least 8 bytes before the end.
    #[inline]
    #[expect(clippy::cast_ptr_alignment, reason = "checked above the cast")]
    pub(crate) fn mark(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(8) && offset + END_BYTES <= self.map.len());
        // SAFETY: inside the mapping and aligned, as just checked; all processes access marks as atomics only.
        unsafe { &*self.map.as_ptr().add(offset).cast::<AtomicU32>() }
    }

    /// Bytes of a committed record, or of one that only the caller writes.
    #[inline]
    pub(crate) fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        assert!(offset + length <= self.map.len());
        // SAFETY: inside the mapping; committed bytes never change again.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(offset), length) }
    }

    /// Writes a record without its length. Only the journal's writer calls this, beyond its last commit.
    #[inline]
    #[expect(clippy::cast_ptr_alignment, reason = "checked above the cast")]
    pub(crate) fn write(&self, offset: usize, header: &Header, payload: &[u8]) {
        assert!(offset.is_multiple_of(8) && offset + HEADER_BYTES + payload.len() + END_BYTES <= self.map.len());
        // SAFETY: inside the mapping; no reader looks at bytes behind a mark of zero, and there is one writer.
        unsafe {
            let place = self.map.as_mut_ptr().add(offset);
            place.cast::<Header>().write(Header { length: 0, ..*header });
            std::ptr::copy_nonoverlapping(payload.as_ptr(), place.add(HEADER_BYTES), payload.len());
        }
    }

    /// Fills everything from `offset` to the last byte that is not zero with zeros; returns how many bytes that were.
    pub(crate) fn cut(&self, offset: usize) -> usize {
        let torn_bytes = self.torn_bytes(offset);
        // SAFETY: inside the mapping; the caller is the only writer and nothing from here on is committed.
        unsafe { self.map.as_mut_ptr().add(offset).write_bytes(0, torn_bytes) };
        torn_bytes
    }

    /// Bytes from `offset` to the last one that is not zero.
    pub(crate) fn torn_bytes(&self, offset: usize) -> usize {
        // Word by word: a start looks through a whole empty segment.
        let tail: &[u64] = bytemuck::cast_slice(self.bytes(offset, self.len() - offset));
        let torn_bytes = tail.iter().rposition(|&word| word != 0).map_or(0, |last| {
            8 * (last + 1) - tail[last].to_le().leading_zeros() as usize / 8
        });
        self.release(offset, self.len());
        torn_bytes
    }

    /// Lets go of pages that will not be read again: they stay in the page cache but leave this process's resident memory.
    pub(crate) fn release(&self, from: usize, to: usize) {
        let (from, to) = (from.next_multiple_of(4096), to / 4096 * 4096);
        if from < to {
            // SAFETY: dropping pages of a shared file mapping loses nothing; they are read again from the file.
            let _ = unsafe {
                self.map
                    .unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, to - from)
            };
        }
    }

    /// Makes pages writable ahead of use, so that an append takes no page fault.
    pub(crate) fn populate(&self, from: usize, bytes: usize) {
        let from = from / 4096 * 4096;
        let bytes = bytes.min(self.len().saturating_sub(from));
        if bytes > 0 {
            let _ = self.map.advise_range(Advice::PopulateWrite, from, bytes);
        }
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|source| Error::system(&self.path, "sync", source))
    }

    /// What stands at an offset where record `seq` is expected. `IS_CHECKED` false skips the checksum.
    #[inline]
    pub(crate) fn examine<const IS_CHECKED: bool>(&self, offset: usize, seq: u64) -> Found<'_> {
        if offset + END_BYTES > self.len() {
            return Found::Bad("no end mark");
        }
        let length = match protocol::committed(self.mark(offset)) {
            0 => return Found::Empty,
            END => return Found::End,
            length => length as usize,
        };
        if length < HEADER_BYTES || !length.is_multiple_of(8) || offset + length + END_BYTES > self.len() {
            return Found::Bad("impossible length");
        }
        let bytes = self.bytes(offset, length);
        let header: Header = pod_read_unaligned(&bytes[..HEADER_BYTES]);
        if header.seq != seq {
            return Found::Bad("another sequence number");
        }
        if IS_CHECKED && header.crc32c != crc32c::crc32c(&bytes[8..]) {
            return Found::Bad("checksum differs");
        }
        Found::Record(header, &bytes[HEADER_BYTES..])
    }

    pub(crate) fn corrupt(&self, offset: usize, seq: u64, what: &str) -> Error {
        Error::Corrupt {
            path: self.path.clone(),
            offset: offset as u64,
            seq,
            what: what.to_owned(),
        }
    }
}
