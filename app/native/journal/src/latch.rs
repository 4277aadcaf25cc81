//! The kill latch: one page that stops all entries, set by anyone authorised, cleared only by an operator with a reason.
//!
//! Layout of the file, 4096 bytes, little-endian:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `HFKLATCH` |
//! | 8 | 8 | generation: odd means set, even means clear; it only ever rises |
//! | 16 | 8 | generation that the note below belongs to |
//! | 24 | 8 | time of the note, ns UTC |
//! | 32 | 64 | operator, UTF-8, zero-filled |
//! | 96 | 256 | reason, UTF-8, zero-filled |
//!
//! One store sets it, without any of our code and with a full disk:
//! `printf '\377' | dd of=STATE/latch bs=1 seek=8 conv=notrunc`. The note is then empty.

use crate::error::{Error, Result};
use crate::page::PAGE_BYTES;
use crate::system;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

const MAGIC: u64 = u64::from_le_bytes(*b"HFKLATCH");
const LOCK_ATTEMPTS: u32 = 20;

#[repr(C)]
struct LatchPage {
    magic: AtomicU64,
    generation: AtomicU64,
    note_generation: AtomicU64,
    note_ts_ns: AtomicI64,
    operator: [AtomicU64; 8],
    reason: [AtomicU64; 32],
}

/// Who set or cleared the latch, why and when; empty when a script did it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatchNote {
    /// The operator's name.
    pub operator: String,
    /// The reason.
    pub reason: String,
    /// When, ns UTC.
    pub ts_ns: i64,
}

/// The kill latch, mapped.
pub struct KillLatch {
    map: MmapRaw,
    file: File,
    path: PathBuf,
}

impl KillLatch {
    /// Maps the latch; creates it clear when absent, in one step and with its page allocated.
    ///
    /// Errors: [`Error::Corrupt`] when the file is no latch: then nothing may trade.
    pub fn open(path: &Path) -> Result<Self> {
        loop {
            match system::open_shared(path, false) {
                Ok(file) => return Self::map(file, path),
                Err(Error::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => create(path)?,
                Err(error) => return Err(error),
            }
        }
    }

    fn map(file: File, path: &Path) -> Result<Self> {
        let bytes = file
            .metadata()
            .map_err(|source| Error::system(path, "look at", source))?
            .len();
        let corrupt = |what: String| Error::Corrupt {
            path: path.to_owned(),
            offset: 0,
            seq: 0,
            what,
        };
        if bytes != PAGE_BYTES as u64 {
            return Err(corrupt(format!("a kill latch of {bytes} bytes")));
        }
        let map = MmapOptions::new()
            .len(PAGE_BYTES)
            .map_raw(&file)
            .map_err(|source| Error::system(path, "map", source))?;
        let latch = Self {
            map,
            file,
            path: path.to_owned(),
        };
        if latch.page().magic.load(Ordering::Acquire) != MAGIC {
            return Err(corrupt("not a kill latch".to_owned()));
        }
        Ok(latch)
    }

    #[expect(clippy::cast_ptr_alignment, reason = "a mapping begins at a page")]
    fn page(&self) -> &LatchPage {
        // SAFETY: the mapping is PAGE_BYTES long and page-aligned, lives as long as self, and the layout holds atomics only.
        unsafe { &*self.map.as_ptr().cast::<LatchPage>() }
    }

    /// Whether entries are stopped: one load.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.generation() % 2 == 1
    }

    /// Rises with each trip and each reset; odd while set.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.page().generation.load(Ordering::Acquire)
    }

    /// Whether the file at the path is still the mapped one. False: someone replaced it, treat the latch as set.
    pub fn is_linked(&self) -> bool {
        let Ok(at_path) = std::fs::metadata(&self.path) else {
            return false;
        };
        self.file
            .metadata()
            .is_ok_and(|mapped| mapped.ino() == at_path.ino() && mapped.dev() == at_path.dev())
    }

    /// The note of the current generation.
    pub fn note(&self) -> LatchNote {
        let page = self.page();
        let generation = self.generation();
        if page.note_generation.load(Ordering::Acquire) != generation {
            return LatchNote::default();
        }
        let note = LatchNote {
            operator: load(&page.operator),
            reason: load(&page.reason),
            ts_ns: page.note_ts_ns.load(Ordering::Acquire),
        };
        if page.note_generation.load(Ordering::Acquire) == generation {
            note
        } else {
            LatchNote::default()
        }
    }

    /// Stops entries now; false when they were stopped already (the first note stays). Never needs disk space.
    ///
    /// Errors: [`Error::System`] when the page cannot be synced; it is set for all running processes all the same.
    pub fn trip(&self, operator: &str, reason: &str, now_ns: i64) -> Result<bool> {
        let before = self.page().generation.fetch_or(1, Ordering::AcqRel);
        if self.page().note_generation.load(Ordering::Acquire) != before | 1 {
            self.write_note(before | 1, operator, reason, now_ns);
        }
        self.sync()?;
        Ok(before.is_multiple_of(2))
    }

    /// Lets entries go on, and clears what a new clear generation clears; false when it changed meanwhile.
    ///
    /// A clear latch stays clear in every moment: the next clear generation takes the place of this one.
    ///
    /// Errors: [`Error::Invalid`] without an operator or a reason.
    pub fn reset(&self, operator: &str, reason: &str, now_ns: i64) -> Result<bool> {
        if operator.trim().is_empty() || reason.trim().is_empty() {
            return Err(Error::Invalid {
                what: "resetting the kill latch needs an operator and a reason".to_owned(),
            });
        }
        let before = self.generation();
        let after = before + 1 + u64::from(before.is_multiple_of(2));
        let exchange = self
            .page()
            .generation
            .compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire);
        if exchange.is_err() {
            return Ok(false);
        }
        self.write_note(after, operator, reason, now_ns);
        self.sync()?;
        Ok(true)
    }

    /// Writes the note of a generation under a lock; gives up rather than wait for a stopped process.
    fn write_note(&self, generation: u64, operator: &str, reason: &str, now_ns: i64) {
        let Some(_lock) = self.lock() else { return };
        let page = self.page();
        if self.generation() != generation {
            return;
        }
        page.note_generation.store(u64::MAX, Ordering::SeqCst);
        store(&page.operator, &words::<8>(operator));
        store(&page.reason, &words::<32>(reason));
        page.note_ts_ns.store(now_ns, Ordering::SeqCst);
        page.note_generation.store(generation, Ordering::SeqCst);
    }

    fn lock(&self) -> Option<File> {
        let file = system::open_shared(&self.path, false).ok()?;
        for _ in 0..LOCK_ATTEMPTS {
            if system::flock(file.as_raw_fd(), libc::LOCK_EX).is_ok() {
                return Some(file);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|source| Error::system(&self.path, "sync", source))
    }
}

/// Text as little-endian words, cut to fit at a character boundary.
fn words<const N: usize>(text: &str) -> [u64; N] {
    let clean: String = text.chars().filter(|&character| character != '\0').collect();
    let mut end = clean.len().min(N * 8);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    let mut words = [0; N];
    for (index, byte) in clean.as_bytes()[..end].iter().enumerate() {
        words[index / 8] |= u64::from(*byte) << (index % 8 * 8);
    }
    words
}

fn store(words: &[AtomicU64], values: &[u64]) {
    for (word, value) in words.iter().zip(values) {
        word.store(*value, Ordering::SeqCst);
    }
}

fn load(words: &[AtomicU64]) -> String {
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| word.load(Ordering::SeqCst).to_le_bytes())
        .collect();
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn create(path: &Path) -> Result<()> {
    let staging = path.with_extension(format!("new-{}", std::process::id()));
    let _ = std::fs::remove_file(&staging);
    let file = system::open_shared(&staging, true)?;
    system::allocate(&file, &staging, PAGE_BYTES as u64)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &MAGIC.to_le_bytes(), 0)
        .and_then(|()| file.sync_all())
        .map_err(|source| Error::system(&staging, "write", source))?;
    // A hard link, unlike a rename, never replaces a latch that another process created and perhaps set meanwhile.
    let linked = std::fs::hard_link(&staging, path);
    let _ = std::fs::remove_file(&staging);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::system(path, "create", error)),
        _ => path.parent().map_or(Ok(()), system::sync_directory),
    }
}
