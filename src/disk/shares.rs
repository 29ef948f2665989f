//! Shared folders as a service: scans, hashes and watches over them in the background, and hands out
//! immutable libraries.
//!
//! ```no_run
//! # use filbert::disk::{shares::Shares, store::Home};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = Home::resolve(None)?;
//! let folder = std::path::PathBuf::from("Music").into();
//! let shares = Shares::start(&home, &[folder], Box::new(|library| {
//!     println!("{} files can be searched", library.len());
//! }))?;
//! let (file, meta) = shares.open(1)?;
//! # let _ = (file, meta);
//! # Ok(()) }
//! ```
//!
//! Names can be searched as soon as a scan is done; hashes follow as they become known. A file is opened by
//! its announced index and comes from below its listed folder, in the version that was announced, or not at
//! all ([`beneath`](super::beneath)).

mod listed;
mod service;
mod snapshot;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::beneath::Root;
use super::cache::{HashCache, SharedCache};
use super::rules::{self, Breadth};
use super::scan::{self, LeftOut, SHARED_FILES_MAX, Skip};
use super::store::Home;
use super::tree::HashTree;
use crate::control;
use crate::node::library::{FileId, Library};
use crate::wire::Sha1;
use service::{Message, Service};
use snapshot::Snapshot;

pub use listed::{SHARES_MAX, ShareFolder, SharesError};

/// How often folders are scanned although nothing was heard of changes. Issue: "a periodic sweep".
pub const SWEEP: Duration = Duration::from_secs(600);
/// How often new hashes are kept and published: each time costs a copy of the hash column and one write that
/// is forced to disk. Our estimate.
pub const PUBLISH: Duration = Duration::from_secs(1);
/// Messages to the service that wait; who sends one more waits too. Our estimate.
const INBOX_MAX: usize = 1_024;

/// Gets each new state of the library, called by the service's own thread: hand it on, do not stay.
pub type OnLibrary = Box<dyn Fn(Arc<Library>) + Send>;

/// Settings of the service.
#[derive(Clone, Debug)]
pub struct Options {
    /// How widely folders may be listed (`--allow-broad`).
    pub breadth: Breadth,
    /// How often all folders are scanned.
    pub sweep: Duration,
    /// Listen to file-system events, where the feature `watch` is built in.
    pub watch: bool,
    /// Bytes a second read for hashing; `None`: as fast as the disk gives them.
    pub hash_rate: Option<u64>,
    /// Threads that hash; `None`: one for each core.
    pub hash_threads: Option<usize>,
    /// Hashes are kept and published at most this often.
    pub publish: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            breadth: Breadth::Ordinary,
            sweep: SWEEP,
            watch: true,
            hash_rate: None,
            hash_threads: None,
            publish: PUBLISH,
        }
    }
}

/// What is known of a file that was opened for serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// Its announced index.
    pub index: u32,
    /// Number of its listed folder.
    pub share: u16,
    /// Path below the listed folder.
    pub path: String,
    /// Size in bytes, of the open file too.
    pub size: u64,
    /// Last change, seconds since 1970.
    pub mtime: u64,
    /// Hash, once known.
    pub sha1: Option<Sha1>,
}

impl SharedFile {
    /// The base name.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// What a share leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOutOfShare {
    /// Shown name of the listed folder.
    pub share: String,
    /// How many files and folders in all.
    pub count: u64,
    /// By path; at most [`scan::LEFT_OUT_MAX`] of them.
    pub some: Vec<LeftOut>,
}

/// What would be shared of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Shown name.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Files that would be shared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What would not.
    pub left_out: LeftOutOfShare,
}

/// Scans the folders once and shares nothing (`--dry-run`).
///
/// # Errors
/// As [`Shares::start`].
pub fn preview(
    home: &Home,
    folders: &[ShareFolder],
    breadth: Breadth,
) -> Result<Vec<Preview>, SharesError> {
    let listed = listed::check(folders, user_home().as_deref(), breadth)?;
    let skip = skip(home, &listed);
    let never = AtomicBool::new(false);
    listed
        .into_iter()
        .map(|folder| {
            let scanned = Root::look(&folder.path)
                .and_then(|root| scan::scan(&root, &skip, SHARED_FILES_MAX, &never))
                .map_err(|error| SharesError::Folder {
                    path: folder.path.clone(),
                    error,
                })?;
            Ok(Preview {
                files: scanned.files.len() as u64,
                bytes: scanned.files.iter().map(|file| file.stamp.size).sum(),
                left_out: LeftOutOfShare {
                    share: folder.name.clone(),
                    count: scanned.left_out_count,
                    some: scanned.left_out,
                },
                name: folder.name,
                path: folder.path,
            })
        })
        .collect()
}

fn skip(home: &Home, listed: &[listed::Listed]) -> Skip {
    Skip {
        listed: listed.iter().map(|folder| folder.path.clone()).collect(),
        own: home.own_folders(),
    }
}

fn user_home() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME").filter(|home| !home.is_empty())?);
    Some(home.canonicalize().unwrap_or(home))
}

/// The service. Dropping it stops it.
#[derive(Debug)]
pub struct Shares {
    shared: Arc<Shared>,
    cache: SharedCache,
    inbox: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Folders of our own, without links.
    own: Vec<PathBuf>,
}

/// What the service and those who ask it both see.
#[derive(Debug, Default)]
struct Shared {
    view: Mutex<View>,
    /// Told at each change of `view`.
    changed: Condvar,
    stop: AtomicBool,
    /// By listed folder: something may have changed there.
    news: Vec<AtomicBool>,
}

#[derive(Debug, Default)]
struct View {
    snapshot: Arc<Snapshot>,
    shares: Vec<ShareState>,
    /// All folders were scanned once.
    scanned: bool,
    /// Files whose hash is neither known nor impossible to learn.
    to_hash: usize,
    /// Bytes read for hashing since the start.
    hash_bytes_read: u64,
    stopped: bool,
}

#[derive(Clone, Debug, Default)]
struct ShareState {
    name: String,
    path: PathBuf,
    files: u64,
    bytes: u64,
    hashed_files: u64,
    hashed_bytes: u64,
    left_out: Arc<Vec<LeftOut>>,
    left_out_count: u64,
    scanning: bool,
    problem: Option<String>,
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shares {
    /// Starts to share these folders, with the usual settings. The first library comes when the first scan
    /// is done. [`Home::create`] must have been called.
    ///
    /// # Errors
    /// When a folder cannot or must not be listed; the text says which and the way out.
    pub fn start(
        home: &Home,
        folders: &[ShareFolder],
        on_library: OnLibrary,
    ) -> Result<Self, SharesError> {
        Self::start_with(home, folders, &Options::default(), on_library)
    }

    /// As [`start`](Self::start), with other settings.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        home: &Home,
        folders: &[ShareFolder],
        options: &Options,
        on_library: OnLibrary,
    ) -> Result<Self, SharesError> {
        let listed = listed::check(folders, user_home().as_deref(), options.breadth)?;
        let news = listed.iter().map(|_| AtomicBool::default()).collect();
        let shared = Arc::new(Shared {
            news,
            ..Shared::default()
        });
        shared.view().shares = listed
            .iter()
            .map(|folder| ShareState {
                name: folder.name.clone(),
                path: folder.path.clone(),
                scanning: true,
                ..ShareState::default()
            })
            .collect();
        let (inbox, messages) = mpsc::sync_channel(INBOX_MAX);
        let cache = SharedCache::new(HashCache::new(home.hash_cache()));
        let service = Service::new(
            home,
            listed,
            options.clone(),
            Arc::clone(&shared),
            cache.clone(),
            on_library,
        );
        let thread = service
            .spawn(inbox.clone(), messages)
            .map_err(SharesError::Thread)?;
        Ok(Self {
            shared,
            cache,
            inbox,
            thread: Mutex::new(Some(thread)),
            own: home
                .own_folders()
                .iter()
                .filter_map(|own| own.canonicalize().ok())
                .collect(),
        })
    }

    /// The library as it is now.
    pub fn library(&self) -> Arc<Library> {
        Arc::clone(&self.shared.view().snapshot.library)
    }

    /// Opens the file with that announced index for serving.
    ///
    /// The file is an ordinary one below its listed folder and the very version (size and time of change)
    /// that was announced, whatever happened on disk meanwhile. Blocks on the disk.
    ///
    /// # Errors
    /// `NotFound` for an unknown index, and for a file that is gone or changed since it was announced (it is
    /// looked at again soon); `PermissionDenied` when it is nothing to be served any more.
    pub fn open(&self, index: u32) -> io::Result<(File, SharedFile)> {
        let snapshot = Arc::clone(&self.shared.view().snapshot);
        let gone = || io::Error::new(io::ErrorKind::NotFound, "no such file is shared");
        let id = snapshot.library.by_index(index).ok_or_else(gone)?;
        self.open_in(&snapshot, id)
    }

    fn open_in(&self, snapshot: &Snapshot, id: FileId) -> io::Result<(File, SharedFile)> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the shared folder is gone");
        let job = snapshot.job_of(id).ok_or_else(gone)?;
        let changed = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                "the file changed since it was announced",
            )
        };
        let opened = job.root.open_file(&job.path).and_then(|(file, stamp)| {
            if stamp == job.stamp {
                Ok(file)
            } else {
                Err(changed())
            }
        });
        let file = opened.inspect_err(|_| {
            // Full inbox: the service is busy and will scan anyway.
            let _ = self.inbox.try_send(Message::Look(job.share));
        })?;
        let view = snapshot.library.file(id).ok_or_else(gone)?;
        let meta = SharedFile {
            index: view.index,
            share: view.share,
            path: job.path,
            size: view.size,
            mtime: view.mtime,
            sha1: view.sha1,
        };
        Ok((file, meta))
    }

    /// The Tiger tree of the file with that announced index, down to the level that is served; `None`: it is not
    /// known (yet), or there is no such file. Blocks on the disk: of most files only the root is in memory.
    pub fn tree(&self, index: u32) -> Option<HashTree> {
        let snapshot = Arc::clone(&self.shared.view().snapshot);
        let id = snapshot.library.by_index(index)?;
        let file = snapshot.library.file(id)?;
        let root = file.tiger?;
        if let Some(tree) = HashTree::of_one_block(file.size, root) {
            return Some(tree);
        }
        let (path, stamp) = snapshot.place(id);
        self.cache.locked().tree(&path, stamp, &root)
    }

    /// Scans all folders now; returns when their names are published. Not to be called from `on_library`.
    pub fn rescan(&self) {
        let (done, wait) = mpsc::channel();
        if self.inbox.send(Message::Rescan(done)).is_ok() {
            // An error means that the service stopped: nothing to wait for.
            let _ = wait.recv();
        }
    }

    /// Would a file be shared that lay there, by the rules for folders and names? The path is absolute and without
    /// links, as the listed folders are.
    pub fn would_share(&self, path: &Path) -> bool {
        if self.own.iter().any(|own| path.starts_with(own)) {
            return false;
        }
        let view = self.shared.view();
        view.shares.iter().any(|share| {
            let below = path.strip_prefix(&share.path).ok();
            let below = below.and_then(Path::to_str);
            below.is_some_and(|below| rules::judge_path(below).is_ok())
        })
    }

    /// The listed folders, in the order given.
    pub fn status(&self) -> Vec<control::Share> {
        let view = self.shared.view();
        view.shares
            .iter()
            .map(|share| control::Share {
                name: share.name.clone(),
                path: share.path.to_string_lossy().into_owned(),
                files: share.files,
                bytes: share.bytes,
                hashed_files: share.hashed_files,
                hashed_bytes: share.hashed_bytes,
                left_out: share.left_out_count,
                scanning: share.scanning,
                problem: share.problem.clone(),
            })
            .collect()
    }

    /// What is left out, for each listed folder.
    pub fn left_out(&self) -> Vec<LeftOutOfShare> {
        let view = self.shared.view();
        view.shares
            .iter()
            .map(|share| LeftOutOfShare {
                share: share.name.clone(),
                count: share.left_out_count,
                some: share.left_out.to_vec(),
            })
            .collect()
    }

    /// Bytes read from files to hash them, since the start.
    pub fn hash_bytes_read(&self) -> u64 {
        self.shared.view().hash_bytes_read
    }

    /// Waits until all folders were scanned once; `false`: not in that time.
    pub fn wait_scanned(&self, patience: Duration) -> bool {
        self.wait(patience, |view| view.scanned)
    }

    /// Waits until every shared file that can be read has its hash; `false`: not in that time.
    pub fn wait_hashed(&self, patience: Duration) -> bool {
        self.wait(patience, |view| view.scanned && view.to_hash == 0)
    }

    fn wait(&self, patience: Duration, until: impl Fn(&View) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut view = self.shared.view();
        while !until(&view) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || view.stopped {
                return false;
            }
            view = self
                .shared
                .changed
                .wait_timeout(view, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Stops; returns when no thread of the service runs any more. What was hashed is kept.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.inbox.try_send(Message::Wake);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.cache.locked().close();
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        self.stop();
    }
}
