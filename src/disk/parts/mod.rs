//! Partial files: what has arrived so far, kept so that an interruption at any instant loses nothing.
//!
//! `NAME.filbert-part` holds the bytes at their places, with holes. `NAME.filbert-part.json`, the note, says of which
//! file; `NAME.filbert-part.log`, the journal, says which bytes are there, and how many of those were forced to disk:
//! after a crash of the whole machine only those are believed. The file gets its name when it is complete and has the
//! wanted hash.
//!
//! - `part`: the partial file; `note`, `journal`: what lies beside it; `hasher`: the hash of the whole, on its way.
//!
//! Knows nothing of sources or the network; does not ask what time it is.

mod hasher;
mod journal;
mod note;
mod part;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::path::PathBuf;

use sha1::Digest;

use super::folder::Folder;
use crate::wire::Sha1;

pub use hasher::Hasher;
pub use part::Part;

/// End of a partial file's name.
pub const PART_END: &str = ".filbert-part";
/// End of its note's name.
pub const NOTE_END: &str = ".filbert-part.json";
/// End of a note's name while it is written.
pub(super) const NOTE_NEW_END: &str = ".filbert-part.json~";
/// End of its journal's name.
pub(super) const LOG_END: &str = ".filbert-part.log";
/// End of a journal's name while it is written anew.
pub(super) const LOG_NEW_END: &str = ".filbert-part.log~";
/// End of the name of a file whose content was not what its hash said.
pub const BAD_END: &str = ".filbert-bad";
/// Bytes read at a time when what is there is hashed.
const REHASH_BYTES: usize = 1024 * 1024;

/// What to do when the name is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExist {
    /// Say so and keep what was fetched as a partial file.
    #[default]
    Fail,
    /// Leave the old file, fetch nothing.
    Skip,
    /// Give the new file a number.
    Rename,
    /// Replace the old file, once the new one is complete and verified.
    Overwrite,
}

/// Which file a partial file will be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Safe base name ([`safe_name`](super::names::safe_name)).
    pub name: String,
    /// Hash of the whole file, when known.
    pub urn: Option<Sha1>,
    /// Size in bytes, when known.
    pub size: Option<u64>,
    /// Where it comes from, to tell files without a hash apart.
    pub origin: Option<String>,
}

/// What became of a complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Its hash.
    pub sha1: Sha1,
}

/// Why a partial file cannot go on. Each text says what, where and the way out.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The disk or the folder failed; what had arrived is kept.
    #[error("cannot {what} {}: {source}{}", path.display(), way_out(source))]
    Disk {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name is taken.
    #[error("{} is already there; choose with --on-exist skip, rename or overwrite", path.display())]
    Taken {
        /// The name.
        path: PathBuf,
    },
    /// Another process is writing the same partial file.
    #[error("{} is being written by another process; wait for it or end it", path.display())]
    Locked {
        /// The partial file.
        path: PathBuf,
    },
    /// The content is not what its hash said.
    #[error("the content is {got}, not {wanted}; it was set aside as {}", kept.display())]
    WrongHash {
        /// The hash asked for.
        wanted: Sha1,
        /// The hash that came.
        got: Sha1,
        /// Where the bad file lies.
        kept: PathBuf,
    },
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; what arrived is kept: free some space and run this again"
        }
        io::ErrorKind::FileTooLarge => {
            "; what arrived is kept, but no larger file may be written here"
        }
        io::ErrorKind::NotADirectory => {
            "; something else has its name: move it out of the way or choose another folder with -o"
        }
        io::ErrorKind::NotFound => "; the folder is gone: make it again or choose another with -o",
        io::ErrorKind::InvalidInput => "; move it out of the way or choose another name with --as",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder that may be written with -o"
        }
        _ => "",
    }
}

/// Whether the folder holds a plain file of that name with this content already.
pub fn holds_already(folder: &Folder, wanted: &Wanted) -> Option<Placed> {
    let urn = wanted.urn?;
    let mut file = folder.open_read(&wanted.name).ok()?;
    let size = file.metadata().ok()?.len();
    if wanted.size.is_some_and(|wanted| wanted != size) {
        return None;
    }
    let mut sha1 = sha1::Sha1::new();
    let mut buffer = vec![0; REHASH_BYTES];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            read => sha1.update(&buffer[..read]),
        }
    }
    let sha1 = Sha1(sha1.finalize().into());
    (sha1 == urn).then(|| Placed {
        path: folder.shown(&wanted.name),
        size,
        sha1,
    })
}

fn disk(what: &'static str, folder: &Folder, name: &str, source: io::Error) -> PartError {
    PartError::Disk {
        what,
        path: folder.shown(name),
        source,
    }
}
