//! A partial file, from its first byte to its name.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::journal::{self, Journal, State};
use super::note::{self, Believed, note_name};
use super::{BAD_END, Hasher, LOG_END, OnExist, PART_END, PartError, Placed, Wanted, disk};
use crate::disk::folder::Folder;
use crate::disk::names::numbered;
use crate::node::swarm::Ranges;
use crate::wire::Sha1;

/// Numbers tried to find a free name before giving up. Our estimate.
const NAMES_TRIED_MAX: u32 = 1_000;

/// A partial file, locked against other processes.
#[derive(Debug)]
pub struct Part {
    folder: Folder,
    file: File,
    wanted: Wanted,
    journal: Journal,
    hasher: Hasher,
    changed: bool,
}

impl Part {
    /// Finds the partial file of `wanted` in `folder`, or starts one. A partial file of another content is
    /// left alone: the new one gets a number.
    ///
    /// # Errors
    /// [`PartError::Disk`] when the folder cannot be written or something odd, such as a link, has the
    /// partial file's name; [`PartError::Locked`].
    pub fn open(folder: Folder, mut wanted: Wanted) -> Result<Self, PartError> {
        let asked = std::mem::take(&mut wanted.name);
        for number in 0..NAMES_TRIED_MAX {
            wanted.name = if number == 0 {
                asked.clone()
            } else {
                numbered(&asked, number)
            };
            let name = format!("{}{PART_END}", wanted.name);
            let failed = |source| disk("write", &folder, &name, source);
            let file = match folder.open_plain(&name) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    folder.create(&name).map_err(failed)?
                }
                Err(error) => return Err(failed(error)),
            };
            let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
            if rustix::fs::flock(&file, lock).is_err() || !folder.names(&name, &file) {
                return Err(PartError::Locked {
                    path: folder.shown(&name),
                });
            }
            let Some((state, changed)) = kept(&folder, &wanted, &file).map_err(failed)? else {
                continue;
            };
            let len = state.arrived.end();
            file.set_len(len).map_err(failed)?;
            // The journal about to be written says that all of it was forced to disk.
            file.sync_data().map_err(failed)?;
            // Now, whatever it was: a clock that was set back since must not make it look changed for ever.
            let _ = date(&file, None);
            let journal = Journal::start(&folder, &wanted.name, state).map_err(failed)?;
            let mut hasher = Hasher::start(file.try_clone().map_err(failed)?);
            hasher.prefix(journal.state.arrived.prefix());
            note::write(&folder, &wanted)
                .map_err(|error| disk("write", &folder, &note_name(&wanted), error))?;
            return Ok(Self {
                folder,
                file,
                wanted,
                journal,
                hasher,
                changed,
            });
        }
        let source = io::Error::new(io::ErrorKind::AlreadyExists, "every name like it is taken");
        Err(disk("find a name for", &folder, &asked, source))
    }

    /// Bytes that are there.
    pub fn arrived(&self) -> &Ranges {
        &self.journal.state.arrived
    }

    /// Bytes that were verified against a tree.
    pub fn verified_ranges(&self) -> &Ranges {
        &self.journal.state.verified
    }

    /// How many bytes are there.
    pub fn done(&self) -> u64 {
        self.arrived().total()
    }

    /// Others wrote the file since we did: nothing counts as verified any more.
    pub fn was_changed(&self) -> bool {
        self.changed
    }

    /// Size of the whole file, when known.
    pub fn size(&self) -> Option<u64> {
        self.wanted.size
    }

    /// The file, to be read only.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Says how far the hash of the whole is.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Puts bytes at their place; [`flush`](Self::flush) makes them count.
    ///
    /// # Errors
    /// [`PartError::Disk`], such as a full disk; what was written before stays.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), PartError> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write_at(&bytes[done..], at + done as u64) {
                Ok(0) => return Err(self.failed("write", io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    let from = at + done as u64;
                    self.journal.arrived(from..from + written as u64);
                    done += written;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // What fitted counts.
                    let _ = self.journal.flush();
                    return Err(self.failed("write", error));
                }
            }
        }
        Ok(())
    }

    /// Notes what was written; from then on a death of this process does not lose it.
    ///
    /// # Errors
    /// [`PartError::Disk`].
    pub fn flush(&mut self) -> Result<(), PartError> {
        self.journal
            .flush()
            .map_err(|error| self.failed_at(LOG_END, error))?;
        self.hasher.prefix(self.journal.state.arrived.prefix());
        if self.journal.is_long() {
            return self.checkpoint();
        }
        Ok(())
    }

    /// These bytes are what a tree says.
    pub fn verified(&mut self, range: Range<u64>) {
        self.journal.verified(range);
    }

    /// The tree that they were verified against was of another file: they are there, and no more is known.
    pub fn doubt(&mut self, range: Range<u64>) {
        self.journal.forgotten(range.clone());
        self.journal.arrived(range);
    }

    /// These bytes are worth nothing.
    pub fn forget(&mut self, range: Range<u64>) {
        if range.start < self.hasher.named() {
            self.hasher.restart();
        }
        self.journal.forgotten(range);
    }

    /// Forces what is there to disk and notes it; also notices that the file was removed meanwhile.
    ///
    /// # Errors
    /// [`PartError::Disk`].
    pub fn checkpoint(&mut self) -> Result<(), PartError> {
        self.file
            .sync_data()
            .map_err(|error| self.failed("write", error))?;
        let links = self
            .file
            .metadata()
            .map_err(|error| self.failed("write", error))?
            .nlink();
        if links == 0 {
            return Err(self.failed("write", io::ErrorKind::NotFound.into()));
        }
        let synced = self.journal.synced(&self.folder, &self.wanted.name);
        synced.map_err(|error| self.failed_at(LOG_END, error))
    }

    /// Waits for the hash of all that is there from the start.
    ///
    /// # Errors
    /// [`PartError::Disk`].
    pub fn hash(&mut self) -> Result<Sha1, PartError> {
        self.flush()?;
        self.hasher
            .finish()
            .map_err(|error| self.failed("read", error))
    }

    /// Gives the complete file, whose hash is `sha1`, its name, or sets it aside when another one was wanted. It was last
    /// changed at `modified_s` seconds since 1970, or else now.
    ///
    /// # Errors
    /// [`PartError::WrongHash`]; [`PartError::Taken`] under [`OnExist::Fail`] and [`OnExist::Skip`] (the
    /// partial file stays, and a later run needs only the new name); [`PartError::Disk`].
    pub fn finish(
        self,
        on_exist: OnExist,
        sha1: Sha1,
        modified_s: Option<u64>,
    ) -> Result<Placed, PartError> {
        if let Some(wanted) = self.wanted.urn.filter(|urn| *urn != sha1) {
            return Err(self.set_aside(wanted, sha1));
        }
        let size = self.arrived().end();
        // A file system that keeps no such date keeps the bytes all the same.
        let _ = date(&self.file, modified_s);
        self.file
            .sync_data()
            .map_err(|error| self.failed("write", error))?;
        let name = match on_exist {
            OnExist::Overwrite => {
                let renamed = self
                    .folder
                    .rename_over(&self.part_name(), &self.wanted.name);
                renamed.map_err(|error| disk("write", &self.folder, &self.wanted.name, error))?;
                self.wanted.name.clone()
            }
            OnExist::Rename => self.rename_numbered(&self.wanted.name, "")?,
            OnExist::Fail | OnExist::Skip => {
                let renamed = self
                    .folder
                    .rename_free(&self.part_name(), &self.wanted.name);
                match renamed {
                    Ok(()) => self.wanted.name.clone(),
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        return Err(PartError::Taken {
                            path: self.folder.shown(&self.wanted.name),
                        });
                    }
                    Err(error) => {
                        return Err(disk("write", &self.folder, &self.wanted.name, error));
                    }
                }
            }
        };
        self.remove_notes();
        self.folder
            .sync()
            .map_err(|error| disk("write", &self.folder, &name, error))?;
        Ok(Placed {
            path: self.folder.shown(&name),
            size,
            sha1,
        })
    }

    /// Removes it and what lies beside it.
    ///
    /// # Errors
    /// [`PartError::Disk`].
    pub fn discard(self) -> Result<(), PartError> {
        self.remove_notes();
        let part = self.part_name();
        let removed = self.folder.remove(&part);
        removed.map_err(|error| self.failed("remove", error))
    }

    fn set_aside(self, wanted: Sha1, got: Sha1) -> PartError {
        match self.rename_numbered(&self.wanted.name, BAD_END) {
            Ok(name) => {
                self.remove_notes();
                PartError::WrongHash {
                    wanted,
                    got,
                    kept: self.folder.shown(&name),
                }
            }
            Err(error) => error,
        }
    }

    /// Renames to the first free of `name`, `name (1)`...; returns which.
    fn rename_numbered(&self, name: &str, end: &str) -> Result<String, PartError> {
        for number in 0..NAMES_TRIED_MAX {
            let stem = if number == 0 {
                name.to_owned()
            } else {
                numbered(name, number)
            };
            let free = format!("{stem}{end}");
            match self.folder.rename_free(&self.part_name(), &free) {
                Ok(()) => return Ok(free),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(disk("write", &self.folder, &free, error)),
            }
        }
        Err(PartError::Taken {
            path: self.folder.shown(name),
        })
    }

    fn part_name(&self) -> String {
        format!("{}{PART_END}", self.wanted.name)
    }

    fn failed(&self, what: &'static str, source: io::Error) -> PartError {
        disk(what, &self.folder, &self.part_name(), source)
    }

    fn failed_at(&self, end: &str, source: io::Error) -> PartError {
        let name = format!("{}{end}", self.wanted.name);
        disk("write", &self.folder, &name, source)
    }

    fn remove_notes(&self) {
        // Without their partial file they are litter, not harm: the next download of that name replaces them.
        let _ = self.folder.remove(&note_name(&self.wanted));
        let log = format!("{}{LOG_END}", self.wanted.name);
        let _ = self.folder.remove(&log);
    }
}

/// Says that the file was last changed at so many seconds since 1970; `None`: now.
fn date(file: &File, modified_s: Option<u64>) -> io::Result<()> {
    let at = |nanos| Timespec {
        tv_sec: 0,
        tv_nsec: nanos,
    };
    let modified = match modified_s {
        Some(seconds) => Timespec {
            tv_sec: i64::try_from(seconds).map_err(|_| io::ErrorKind::InvalidInput)?,
            tv_nsec: 0,
        },
        None => at(UTIME_NOW),
    };
    let times = Timestamps {
        last_access: at(UTIME_OMIT),
        last_modification: modified,
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// Which bytes of a partial file are to be believed, and whether others changed it; `None`: it is of another file.
fn kept(folder: &Folder, wanted: &Wanted, file: &File) -> io::Result<Option<(State, bool)>> {
    let meta = file.metadata()?;
    if meta.len() == 0 {
        return Ok(Some((State::default(), false)));
    }
    let same_boot = match note::believed(folder, wanted, meta.len()) {
        Believed::Other => return Ok(None),
        Believed::Prefix(bytes) => {
            let arrived = std::iter::once(0..bytes).collect();
            let verified = Ranges::new();
            return Ok(Some((State { arrived, verified }, false)));
        }
        Believed::Journal { same_boot } => same_boot,
    };
    let Some((mut state, written)) = journal::read(folder, &wanted.name, same_boot) else {
        return Ok(Some((State::default(), false)));
    };
    let short = state.arrived.end() > meta.len();
    let changed = short || journal::is_changed(meta.modified()?, written);
    // What is beyond the end of the file, or of the size now told, is not there.
    let end = meta.len().min(wanted.size.unwrap_or(u64::MAX));
    state.arrived.remove(end..u64::MAX);
    state.verified.remove(end..u64::MAX);
    if changed {
        state.verified = Ranges::new();
    }
    Ok(Some((state, changed)))
}
