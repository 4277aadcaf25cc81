//! What can go wrong with a journal, each with a name.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Result of journal operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a journal operation failed; the message says what, where and what to do.
#[derive(Debug)]
pub enum Error {
    /// No writer has created the journal yet.
    Missing {
        /// Where it was expected.
        directory: PathBuf,
    },
    /// Another process writes this journal.
    Locked {
        /// The journal's directory.
        directory: PathBuf,
    },
    /// The disk, a quota or a file-size limit leaves no room for the next segment.
    Full {
        /// The file that could not be allocated.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Bytes that were once durable are damaged.
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Byte offset in it.
        offset: u64,
        /// Number of the record expected there.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// The wanted record is older than the retained segments.
    Pruned {
        /// The journal's directory.
        directory: PathBuf,
        /// Number that was asked for.
        wanted_seq: u64,
        /// Oldest number that is still there.
        first_seq: u64,
    },
    /// The wanted record is newer than anything this journal ever held.
    Ahead {
        /// The journal's directory.
        directory: PathBuf,
        /// Number that was asked for.
        wanted_seq: u64,
        /// Newest number.
        last_seq: u64,
    },
    /// The directory holds another journal than expected, or another layout of it.
    Mismatch {
        /// The journal's directory.
        directory: PathBuf,
        /// Which property differs, what was expected and what was found.
        what: String,
    },
    /// An argument that no journal can have.
    Invalid {
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused.
    System {
        /// The file or directory.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn system(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::System {
            path: path.to_owned(),
            action,
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { directory } => {
                write!(
                    out,
                    "no journal in {}: start the service that writes it",
                    directory.display()
                )
            }
            Self::Locked { directory } => {
                write!(
                    out,
                    "journal {} has a writer already: stop the other process first",
                    directory.display()
                )
            }
            Self::Full { path, bytes } => {
                write!(
                    out,
                    "no room for {} ({bytes} bytes): free disk space or raise the quota",
                    path.display()
                )
            }
            Self::Corrupt {
                path,
                offset,
                seq,
                what,
            } => write!(
                out,
                "{} is damaged at offset {offset}, record {seq}: {what}; restore it from a backup or a mirror",
                path.display()
            ),
            Self::Pruned {
                directory,
                wanted_seq,
                first_seq,
            } => write!(
                out,
                "journal {} no longer has record {wanted_seq}: the oldest retained is {first_seq}; read on from there knowingly or restore a backup",
                directory.display()
            ),
            Self::Ahead {
                directory,
                wanted_seq,
                last_seq,
            } => write!(
                out,
                "journal {} ends at record {last_seq}, before the wanted {wanted_seq}: it was replaced or restored from an older state",
                directory.display()
            ),
            Self::Mismatch { directory, what } => write!(out, "journal {} is another one: {what}", directory.display()),
            Self::Invalid { what } => out.write_str(what),
            Self::System { path, action, source } => write!(out, "cannot {action} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
