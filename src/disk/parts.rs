//! Partial files: what has arrived so far, kept so that an interruption at any instant loses nothing.
//!
//! `NAME.filbert-part` grows from its start; its length says what is there. `NAME.filbert-part.json`, the
//! note, says of which file, and how much was forced to disk: after a crash of the whole machine only
//! that much is believed. The file gets its name when it is complete and has the wanted hash.
//!
//! Knows nothing of sources or the network; does not ask what time it is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha1::Digest;

use super::folder::Folder;
use super::names::numbered;
use crate::wire::Sha1;

/// End of a partial file's name.
pub const PART_END: &str = ".filbert-part";
/// End of its note's name.
pub const NOTE_END: &str = ".filbert-part.json";
/// End of a note's name while it is written.
pub(super) const NOTE_NEW_END: &str = ".filbert-part.json~";
/// End of the name of a file whose content was not what its hash said.
pub const BAD_END: &str = ".filbert-bad";
/// Numbers tried to find a free name before giving up. Our estimate.
const NAMES_TRIED_MAX: u32 = 1_000;
/// Bytes of a note that are read at all; ours are below 3 KiB.
const NOTE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes read at a time when what is there is hashed again.
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
        io::ErrorKind::NotFound => "; the folder is gone: make it again or choose another with -o",
        io::ErrorKind::InvalidInput => "; move it out of the way or choose another name with --as",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a folder that may be written with -o"
        }
        _ => "",
    }
}

/// The note beside a partial file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Format of the note.
    v: u32,
    name: String,
    urn: Option<String>,
    size: Option<u64>,
    origin: Option<String>,
    /// Bytes from the start that were forced to disk.
    synced: u64,
    /// Which run of the machine wrote it, where the system tells.
    boot: Option<String>,
}

/// A partial file, locked against other processes.
#[derive(Debug)]
pub struct Part {
    folder: Folder,
    file: File,
    wanted: Wanted,
    done: u64,
    /// Bytes from the start that were forced to disk.
    synced: u64,
    sha1: sha1::Sha1,
}

impl Part {
    /// Finds the partial file of `wanted` in `folder`, or starts one. A partial file of another content is
    /// left alone: the new one gets a number. Call [`rehash`](Self::rehash) before anything else.
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
            let len = file.metadata().map_err(failed)?.len();
            let kept = if len == 0 {
                Some((0, 0))
            } else {
                believed(&folder, &wanted, len)
            };
            let Some((done, synced)) = kept else { continue };
            let sha1 = sha1::Sha1::new();
            let part = Self {
                folder,
                file,
                wanted,
                done,
                synced,
                sha1,
            };
            part.file
                .set_len(done)
                .map_err(|error| part.failed("cut", error))?;
            part.write_note()?;
            return Ok(part);
        }
        let source = io::Error::new(io::ErrorKind::AlreadyExists, "every name like it is taken");
        Err(disk("find a name for", &folder, &asked, source))
    }

    /// Hashes again what is there, `told` hearing of the progress in bytes; it returns `false` to stop.
    ///
    /// # Errors
    /// [`PartError::Disk`]. [`io::ErrorKind::Interrupted`] when `told` stopped it.
    pub fn rehash(&mut self, mut told: impl FnMut(u64) -> bool) -> Result<(), PartError> {
        let mut buffer = vec![0; REHASH_BYTES];
        self.sha1 = sha1::Sha1::new();
        let mut at = 0;
        while at < self.done {
            let most = buffer
                .len()
                .min(usize::try_from(self.done - at).unwrap_or(usize::MAX));
            let read = match self.file.read_at(&mut buffer[..most], at) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                other => other,
            };
            let read = read.map_err(|error| self.failed("read", error))?;
            self.sha1.update(&buffer[..read]);
            at += read as u64;
            if !told(at) {
                return Err(self.failed("read", io::ErrorKind::Interrupted.into()));
            }
        }
        Ok(())
    }

    /// Bytes there, from the start.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Size of the whole file, when known.
    pub fn size(&self) -> Option<u64> {
        self.wanted.size
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`PartError::Disk`], such as a full disk; what was written before stays.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<(), PartError> {
        while !bytes.is_empty() {
            match self.file.write_at(bytes, self.done) {
                Ok(0) => return Err(self.failed("write", io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    self.sha1.update(&bytes[..written]);
                    self.done += written as u64;
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed("write", error)),
            }
        }
        Ok(())
    }

    /// Forces what is there to disk and notes how much; also notices that the file was removed meanwhile.
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
        self.synced = self.done;
        self.write_note()
    }

    /// Forgets all content: none of it can be trusted.
    ///
    /// # Errors
    /// [`PartError::Disk`].
    pub fn restart(&mut self) -> Result<(), PartError> {
        (self.done, self.synced) = (0, 0);
        self.sha1 = sha1::Sha1::new();
        self.file
            .set_len(0)
            .map_err(|error| self.failed("cut", error))?;
        self.write_note()
    }

    /// Whether the content has the wanted hash; `None`: no hash is known.
    pub fn verified(&self) -> Option<bool> {
        self.wanted.urn.map(|urn| urn == self.hash())
    }

    /// Gives the complete file its name, or sets it aside when its hash is wrong.
    ///
    /// # Errors
    /// [`PartError::WrongHash`]; [`PartError::Taken`] under [`OnExist::Fail`] and [`OnExist::Skip`] (the
    /// partial file stays, and a later run needs only the new name); [`PartError::Disk`].
    pub fn finish(self, on_exist: OnExist) -> Result<Placed, PartError> {
        if self.verified() == Some(false) {
            return Err(self.set_aside());
        }
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
                match self
                    .folder
                    .rename_free(&self.part_name(), &self.wanted.name)
                {
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
        self.remove_note();
        self.folder
            .sync()
            .map_err(|error| disk("write", &self.folder, &name, error))?;
        Ok(Placed {
            path: self.folder.shown(&name),
            size: self.done,
            sha1: self.hash(),
        })
    }

    fn set_aside(self) -> PartError {
        let (wanted, got) = (self.wanted.urn.unwrap_or(self.hash()), self.hash());
        match self.rename_numbered(&self.wanted.name, BAD_END) {
            Ok(name) => {
                self.remove_note();
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

    fn hash(&self) -> Sha1 {
        Sha1(self.sha1.clone().finalize().into())
    }

    fn part_name(&self) -> String {
        format!("{}{PART_END}", self.wanted.name)
    }

    fn failed(&self, what: &'static str, source: io::Error) -> PartError {
        disk(what, &self.folder, &self.part_name(), source)
    }

    /// Replaces the note in one step; a note is never seen half written.
    fn write_note(&self) -> Result<(), PartError> {
        let note = Note {
            v: 1,
            name: self.wanted.name.clone(),
            urn: self.wanted.urn.map(|urn| urn.to_string()),
            size: self.wanted.size,
            origin: self.wanted.origin.clone(),
            synced: self.synced,
            boot: boot(),
        };
        let text = serde_json::to_vec(&note).expect("a note is plain data");
        let (new, name) = (
            format!("{}{NOTE_NEW_END}", self.wanted.name),
            note_name(&self.wanted),
        );
        let written = self.folder.remove(&new).and_then(|()| {
            let mut file = self.folder.create(&new)?;
            file.write_all(&text)?;
            if self.synced > 0 {
                file.sync_data()?;
            }
            self.folder.rename_over(&new, &name)
        });
        written.map_err(|error| disk("write", &self.folder, &name, error))
    }

    fn remove_note(&self) {
        // A note without its partial file is litter, not harm: the next download of that name replaces it.
        let _ = self.folder.remove(&note_name(&self.wanted));
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
    file.seek(SeekFrom::Start(0)).ok()?;
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

fn note_name(wanted: &Wanted) -> String {
    format!("{}{NOTE_END}", wanted.name)
}

/// How many of the `len` bytes there belong to `wanted`, and how many of those were forced to disk;
/// `None`: they are of another file.
fn believed(folder: &Folder, wanted: &Wanted, len: u64) -> Option<(u64, u64)> {
    let mut text = Vec::new();
    let file = folder.open_read(&note_name(wanted)).ok()?;
    file.take(NOTE_BYTES_MAX).read_to_end(&mut text).ok()?;
    let note: Note = serde_json::from_slice(&text).ok()?;
    let same_file = match wanted.urn {
        Some(urn) => note.urn == Some(urn.to_string()),
        None => note.urn.is_none() && note.origin == wanted.origin,
    };
    let same_size = match (note.size, wanted.size) {
        (Some(then), Some(now)) => then == now,
        (Some(size), None) | (None, Some(size)) => len <= size,
        (None, None) => true,
    };
    if note.v != 1 || !same_file || !same_size {
        return None;
    }
    let size = wanted.size.or(note.size);
    // The machine still runs since the note was written: what a process wrote is there, however it ended.
    let whole = note.boot.is_some() && note.boot == boot();
    let done = if whole { len } else { len.min(note.synced) };
    let fits = size.is_none_or(|size| done <= size);
    Some(if fits {
        (done, note.synced.min(done))
    } else {
        (0, 0)
    })
}

/// Which run of the machine this is, where the system tells.
fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"call me ishmael";

    fn urn_of(bytes: &[u8]) -> Sha1 {
        Sha1(sha1::Sha1::digest(bytes).into())
    }

    fn wanted(bytes: &[u8]) -> Wanted {
        let size = Some(bytes.len() as u64);
        Wanted {
            name: "moby.txt".to_owned(),
            urn: Some(urn_of(bytes)),
            size,
            origin: None,
        }
    }

    fn open(dir: &tempfile::TempDir, wanted: Wanted) -> Part {
        let mut part = Part::open(Folder::open(dir.path()).unwrap(), wanted).unwrap();
        part.rehash(|_| true).unwrap();
        part
    }

    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        let names = std::fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_verified_file_gets_its_name_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = open(&dir, wanted(TEXT));
        part.append(&TEXT[..4]).unwrap();
        assert_eq!(
            names(&dir),
            ["moby.txt.filbert-part", "moby.txt.filbert-part.json"]
        );
        part.append(&TEXT[4..]).unwrap();
        let placed = part.finish(OnExist::Fail).unwrap();
        assert_eq!((placed.size, placed.sha1), (15, urn_of(TEXT)));
        assert_eq!(std::fs::read(placed.path).unwrap(), TEXT);
        assert_eq!(names(&dir), ["moby.txt"]);
    }

    #[test]
    fn what_was_written_is_there_after_an_interruption() {
        let dir = tempfile::tempdir().unwrap();
        open(&dir, wanted(TEXT)).append(&TEXT[..7]).unwrap();
        let mut part = open(&dir, wanted(TEXT));
        assert_eq!(part.done(), 7);
        part.append(&TEXT[7..]).unwrap();
        assert!(part.finish(OnExist::Fail).is_ok());
    }

    #[test]
    fn after_a_crash_of_the_machine_only_synced_bytes_are_believed() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = open(&dir, wanted(TEXT));
        part.append(&TEXT[..3]).unwrap();
        part.checkpoint().unwrap();
        part.append(&TEXT[3..9]).unwrap();
        drop(part);
        let path = dir.path().join("moby.txt.filbert-part.json");
        let note = std::fs::read_to_string(&path).unwrap();
        let boot = boot().expect("this test needs a boot id");
        std::fs::write(&path, note.replace(&boot, "an earlier run")).unwrap();
        assert_eq!(open(&dir, wanted(TEXT)).done(), 3);
    }

    #[test]
    fn wrong_content_is_set_aside_and_never_gets_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = open(&dir, wanted(TEXT));
        part.append(b"call me ahab...").unwrap();
        let error = part.finish(OnExist::Overwrite).unwrap_err();
        assert!(
            matches!(error, PartError::WrongHash { got, .. } if got == urn_of(b"call me ahab..."))
        );
        assert_eq!(names(&dir), ["moby.txt.filbert-bad"]);
    }

    #[test]
    fn a_partial_file_of_other_content_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        open(&dir, wanted(b"another book"))
            .append(b"anoth")
            .unwrap();
        let mut part = open(&dir, wanted(TEXT));
        part.append(TEXT).unwrap();
        assert_eq!(
            part.finish(OnExist::Fail).unwrap().path,
            dir.path().join("moby (1).txt")
        );
        assert_eq!(open(&dir, wanted(b"another book")).done(), 5);
    }

    #[test]
    fn a_taken_name_is_handled_as_asked() {
        for (on_exist, old, new) in [
            (OnExist::Fail, "old", None),
            (OnExist::Skip, "old", None),
            (OnExist::Rename, "old", Some("moby (1).txt")),
            (OnExist::Overwrite, "call me ishmael", Some("moby.txt")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("moby.txt"), "old").unwrap();
            let mut part = open(&dir, wanted(TEXT));
            part.append(TEXT).unwrap();
            let placed = part.finish(on_exist).ok().map(|placed| placed.path);
            assert_eq!(placed, new.map(|name| dir.path().join(name)));
            assert_eq!(
                std::fs::read_to_string(dir.path().join("moby.txt")).unwrap(),
                old
            );
            assert_eq!(
                open(&dir, wanted(TEXT)).done(),
                if new.is_some() { 0 } else { 15 }
            );
        }
    }

    #[test]
    fn traps_in_the_folder_are_refused_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let trap = dir.path().join("moby.txt.filbert-part");
        let set: [&dyn Fn(); 4] = [
            &|| std::os::unix::fs::symlink(&victim, &trap).unwrap(),
            &|| std::os::unix::fs::symlink(outside.path().join("new"), &trap).unwrap(),
            &|| std::fs::hard_link(&victim, &trap).unwrap(),
            &|| std::fs::create_dir(&trap).unwrap(),
        ];
        for set in set {
            set();
            let error = Part::open(Folder::open(dir.path()).unwrap(), wanted(TEXT)).unwrap_err();
            assert!(matches!(error, PartError::Disk { .. }), "{error}");
            std::fs::remove_file(&trap)
                .or_else(|_| std::fs::remove_dir(&trap))
                .unwrap();
        }
        // A link under the final name is replaced, not followed.
        std::os::unix::fs::symlink(&victim, dir.path().join("moby.txt")).unwrap();
        let mut part = open(&dir, wanted(TEXT));
        part.append(TEXT).unwrap();
        part.finish(OnExist::Overwrite).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_processes_do_not_write_one_partial_file() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(&dir, wanted(TEXT));
        let second = Part::open(Folder::open(dir.path()).unwrap(), wanted(TEXT));
        assert!(matches!(second, Err(PartError::Locked { .. })));
        drop(first);
        open(&dir, wanted(TEXT));
    }

    #[test]
    fn a_vanished_folder_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = open(&dir, wanted(TEXT));
        part.append(&TEXT[..4]).unwrap();
        std::fs::remove_dir_all(dir.path()).unwrap();
        let error = part.checkpoint().unwrap_err().to_string();
        assert!(error.contains("folder is gone"), "{error}");
    }

    #[test]
    fn a_file_already_there_is_recognised_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(holds_already(&folder, &wanted(TEXT)), None);
        std::fs::write(dir.path().join("moby.txt"), TEXT).unwrap();
        assert_eq!(holds_already(&folder, &wanted(TEXT)).unwrap().size, 15);
        assert_eq!(holds_already(&folder, &wanted(b"call me ahab...")), None);
    }
}
