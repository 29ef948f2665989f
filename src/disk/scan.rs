//! A listed folder -> the files in it that are shared, and what is left out and why.
//!
//! Folders are read by several threads at a time, each through a descriptor that was opened beneath the
//! listed folder, so a link put in place of a folder meanwhile leads nowhere.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{Access, AtFlags, Dir, FileType};

use super::beneath::{Root, Stamp, stat_at};
use super::rules::{self, Kind, PATH_BYTES_MAX, Why};

/// Files one node shares: what fits into some 600 MB of index. Our estimate.
pub const SHARED_FILES_MAX: usize = 4_000_000;
/// Things left out that are remembered by name, for each listed folder; all are counted.
pub const LEFT_OUT_MAX: usize = 10_000;
/// Threads that read folders. They mostly wait for the disk; more than this helped nowhere. Our estimate.
const THREADS_MAX: usize = 8;

/// One file that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Path below the listed folder, `/` between parts.
    pub path: String,
    /// Which version of it.
    pub stamp: Stamp,
}

/// Something that is not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Path below the listed folder; what is not UTF-8 in it replaced.
    pub path: String,
    /// Why.
    pub why: Why,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scanned {
    /// By path, ascending.
    pub files: Vec<Found>,
    /// By path, ascending; at most [`LEFT_OUT_MAX`].
    pub left_out: Vec<LeftOut>,
    /// How many there are in all.
    pub left_out_count: u64,
}

/// Folders below a listed one that a scan does not enter.
#[derive(Clone, Debug, Default)]
pub struct Skip {
    /// Listed themselves: their files appear there, once.
    pub listed: Vec<PathBuf>,
    /// Filbert's own.
    pub own: Vec<PathBuf>,
}

/// Scans a listed folder. `files_max` bounds the files taken; `stop` ends the scan early.
///
/// # Errors
/// When the listed folder itself cannot be read, or the scan was stopped (`Interrupted`). What cannot be
/// read below it is left out and counted.
pub fn scan(root: &Root, skip: &Skip, files_max: usize, stop: &AtomicBool) -> io::Result<Scanned> {
    drop(root.open_folder("")?);
    let walk = Walk {
        root,
        skip,
        files_max,
        stop,
        taken: AtomicUsize::new(0),
        queue: Mutex::new(Queue {
            folders: vec![String::new()],
            busy: 0,
        }),
        changed: Condvar::new(),
    };
    let threads = thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(1, THREADS_MAX);
    let mut all = Scanned::default();
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| walk.run())).collect();
        let mut parts = vec![walk.run()];
        parts.extend(
            others
                .into_iter()
                .map(|other| other.join().expect("a walk does not panic")),
        );
        for mut part in parts {
            all.files.append(&mut part.files);
            all.left_out.append(&mut part.left_out);
            all.left_out_count += part.left_out_count;
        }
    });
    if stop.load(Ordering::Relaxed) {
        return Err(io::Error::new(
            io::ErrorKind::Interrupted,
            "the scan was stopped",
        ));
    }
    // A folder that vanishes under the scan must not look like one that was emptied.
    drop(root.open_folder("")?);
    all.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    all.left_out.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    all.left_out.truncate(LEFT_OUT_MAX);
    Ok(all)
}

struct Walk<'a> {
    root: &'a Root,
    skip: &'a Skip,
    files_max: usize,
    stop: &'a AtomicBool,
    taken: AtomicUsize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    /// Folders to be read, as paths below the root.
    folders: Vec<String>,
    /// Threads that read one now, and may add more.
    busy: usize,
}

impl Walk<'_> {
    fn run(&self) -> Scanned {
        let mut out = Scanned::default();
        while let Some(folder) = self.next_folder() {
            let mut below = Vec::new();
            if let Err(error) = self.read(&folder, &mut below, &mut out) {
                out.leave_out(&folder, Why::Unreadable(error.to_string()));
            }
            let mut queue = self.locked();
            queue.folders.append(&mut below);
            queue.busy -= 1;
            self.changed.notify_all();
        }
        out
    }

    fn next_folder(&self) -> Option<String> {
        let mut queue = self.locked();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(folder) = queue.folders.pop() {
                queue.busy += 1;
                return Some(folder);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, folder: &str, below: &mut Vec<String>, out: &mut Scanned) -> io::Result<()> {
        let fd = self.root.open_folder(folder)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                entries.push((entry.file_name().to_owned(), entry.file_type()));
            }
        }
        let has = |name: &[u8]| {
            entries
                .iter()
                .any(|(has, kind)| has.to_bytes() == name && *kind == FileType::Directory)
        };
        if !folder.is_empty() && has(b"cur") && has(b"new") && has(b"tmp") {
            out.leave_out(folder, Why::Mail);
            return Ok(());
        }
        for (name, kind) in entries {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let shown = join(folder, &name.to_string_lossy());
            match self.judge(fd.as_fd(), &name, kind, &shown) {
                Ok(Entry::File(stamp)) => out.files.push(Found { path: shown, stamp }),
                Ok(Entry::Folder) => below.push(shown),
                Ok(Entry::Gone | Entry::ListedItself) => {}
                Err(why) => out.leave_out(&shown, why),
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        folder: std::os::fd::BorrowedFd<'_>,
        name: &std::ffi::CStr,
        kind: FileType,
        shown: &str,
    ) -> Result<Entry, Why> {
        let unreadable = |error: &io::Error| Why::Unreadable(error.to_string());
        let mut stat = None;
        let mut kind = kind;
        if kind == FileType::Unknown {
            match stat_at(folder, name) {
                Ok(known) => kind = FileType::from_raw_mode(stat.insert(known).st_mode),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entry::Gone),
                Err(error) => return Err(unreadable(&error)),
            }
        }
        let text = name.to_str().map_err(|_| {
            if name.to_bytes().first() == Some(&b'.') {
                Why::Hidden
            } else {
                Why::NotUtf8
            }
        })?;
        let named = match kind {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile => Kind::File,
            _ if text.starts_with('.') => return Err(Why::Hidden),
            FileType::Symlink => return Err(Why::Link),
            _ => return Err(Why::Special),
        };
        rules::judge(text, named)?;
        if shown.len() > PATH_BYTES_MAX {
            return Err(Why::TooLong);
        }
        if named == Kind::Folder {
            return self.judge_folder(shown);
        }
        let stat = match stat.map_or_else(|| stat_at(folder, name), Ok) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entry::Gone),
            Err(error) => return Err(unreadable(&error)),
        };
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            // Replaced since the folder was read.
            return Ok(Entry::Gone);
        }
        let stamp = Stamp::of(&stat);
        if stamp.size == 0 {
            return Err(Why::Empty);
        }
        // What everybody may read is not asked for: a system call for each file saved.
        if stat.st_mode & 0o444 != 0o444 {
            rustix::fs::accessat(folder, name, Access::READ_OK, AtFlags::EACCESS)
                .map_err(|error| unreadable(&error.into()))?;
        }
        if self.taken.fetch_add(1, Ordering::Relaxed) >= self.files_max {
            return Err(Why::TooMany);
        }
        Ok(Entry::File(stamp))
    }

    fn judge_folder(&self, shown: &str) -> Result<Entry, Why> {
        let path = self.root.path().join(shown);
        if self.skip.listed.contains(&path) {
            Ok(Entry::ListedItself)
        } else if self.skip.own.contains(&path) {
            Err(Why::Own)
        } else if rules::is_system(&path) {
            Err(Why::System)
        } else {
            Ok(Entry::Folder)
        }
    }
}

enum Entry {
    File(Stamp),
    Folder,
    ListedItself,
    Gone,
}

impl Scanned {
    fn leave_out(&mut self, path: &str, why: Why) {
        self.left_out_count += 1;
        if self.left_out.len() < LEFT_OUT_MAX {
            self.left_out.push(LeftOut {
                path: path.to_owned(),
                why,
            });
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}
