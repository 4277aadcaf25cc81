//! The header page of a journal: identity, liveness and the wake word, shared by all processes.

use crate::error::{Error, Result};
use crate::protocol::WakeCell;
use crate::system;
use holdfast_records::JournalName;
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

pub(crate) const PAGE_BYTES: usize = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"HFJOURNL");
const LAYOUT: u32 = 1;

/// What makes a journal this journal; a mirror has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which journal it is.
    pub journal: JournalName,
    /// Size of each segment, fixed when the journal is created.
    pub segment_bytes: u64,
    /// When it was created, ns UTC.
    pub created_ns: i64,
    /// Rises each time a writer opens the journal.
    pub epoch: u64,
    /// Hash of the writer's code.
    pub build_hash: u64,
    /// Hash of the writer's configuration.
    pub config_hash: u64,
}

/// Layout of the page; writer-only words, hot words and the wake words on cache lines of their own.
#[repr(C)]
pub(crate) struct Page {
    magic: AtomicU64,
    layout: AtomicU32,
    journal: AtomicU32,
    segment_bytes: AtomicU64,
    created_ns: AtomicI64,
    build_hash: AtomicU64,
    config_hash: AtomicU64,
    epoch: AtomicU64,
    /// 1 when the last writer ran with durability `power`.
    pub(crate) is_power_durable: AtomicU64,

    pub(crate) heartbeat_ns: AtomicI64,
    /// Records up to here were on the disk when this was written: damage in them is corruption, damage after is a torn tail.
    pub(crate) synced_seq: AtomicU64,
    /// Oldest retained record.
    pub(crate) first_seq: AtomicU64,
    /// First record of the writer's life, written or not; 0 for a mirror.
    pub(crate) begin_seq: AtomicU64,
    unused: [u64; 4],

    /// Newest committed record.
    pub(crate) last_seq: AtomicU64,
    unused_too: [u64; 7],

    pub(crate) wake: WakeCell,
}

const _: () = assert!(size_of::<Page>() <= PAGE_BYTES);

impl Page {
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            journal: JournalName(self.journal.load(Ordering::Relaxed) as u8),
            segment_bytes: self.segment_bytes.load(Ordering::Relaxed),
            created_ns: self.created_ns.load(Ordering::Relaxed),
            build_hash: self.build_hash.load(Ordering::Relaxed),
            config_hash: self.config_hash.load(Ordering::Relaxed),
            epoch: self.epoch.load(Ordering::Acquire),
        }
    }

    pub(crate) fn set_identity(&self, identity: &Identity) {
        self.journal.store(u32::from(identity.journal.0), Ordering::Relaxed);
        self.segment_bytes.store(identity.segment_bytes, Ordering::Relaxed);
        self.created_ns.store(identity.created_ns, Ordering::Relaxed);
        self.build_hash.store(identity.build_hash, Ordering::Relaxed);
        self.config_hash.store(identity.config_hash, Ordering::Relaxed);
        self.epoch.store(identity.epoch, Ordering::Release);
    }
}

/// The page, mapped.
pub(crate) struct PageMap {
    map: MmapRaw,
    file: std::fs::File,
}

impl PageMap {
    /// Creates the page under its final name in one step, so that no reader sees it half written.
    pub(crate) fn create(directory: &Path, identity: &Identity) -> Result<Self> {
        let staging = directory.join("header.new");
        let _ = std::fs::remove_file(&staging);
        let file = system::open_shared(&staging, true)?;
        system::allocate(&file, &staging, PAGE_BYTES as u64)?;
        let page = Self::map(file, &staging)?;
        page.set_identity(identity);
        page.first_seq.store(1, Ordering::Relaxed);
        page.layout.store(LAYOUT, Ordering::Relaxed);
        page.magic.store(MAGIC, Ordering::Release);
        page.sync(&staging)?;
        let path = directory.join("header");
        std::fs::rename(&staging, &path).map_err(|source| Error::system(&path, "rename", source))?;
        system::sync_directory(directory)?;
        Ok(page)
    }

    /// Maps the page of an existing journal.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let path = directory.join("header");
        let file = match system::open_shared(&path, false) {
            Err(Error::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing {
                    directory: directory.to_owned(),
                });
            }
            other => other?,
        };
        let bytes = file
            .metadata()
            .map_err(|source| Error::system(&path, "look at", source))?
            .len();
        if bytes < PAGE_BYTES as u64 {
            return Err(Error::Corrupt {
                path,
                offset: bytes,
                seq: 0,
                what: format!("header page of {bytes} bytes"),
            });
        }
        let page = Self::map(file, &path)?;
        if page.magic.load(Ordering::Acquire) != MAGIC {
            return Err(Error::Corrupt {
                path,
                offset: 0,
                seq: 0,
                what: "not a journal's header page".to_owned(),
            });
        }
        let layout = page.layout.load(Ordering::Relaxed);
        if layout != LAYOUT {
            let what = format!("layout {layout}, this release knows {LAYOUT}");
            return Err(Error::Mismatch {
                directory: directory.to_owned(),
                what,
            });
        }
        Ok(page)
    }

    fn map(file: std::fs::File, path: &Path) -> Result<Self> {
        let map = MmapOptions::new()
            .len(PAGE_BYTES)
            .map_raw(&file)
            .map_err(|source| Error::system(path, "map", source))?;
        Ok(Self { map, file })
    }

    pub(crate) fn sync(&self, path: &Path) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|source| Error::system(path, "sync", source))
    }
}

impl Deref for PageMap {
    type Target = Page;

    #[expect(clippy::cast_ptr_alignment, reason = "a mapping begins at a page")]
    fn deref(&self) -> &Page {
        // SAFETY: the mapping is PAGE_BYTES long and page-aligned, lives as long as self, and Page holds atomics and padding only.
        unsafe { &*self.map.as_ptr().cast::<Page>() }
    }
}
