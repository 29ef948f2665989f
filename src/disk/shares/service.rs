//! The thread behind [`Shares`](super::Shares): the only one that makes new states.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::listed::Listed;
use super::snapshot::{INDEX_FIRST, Snapshot};
use super::{OnLibrary, Options, ShareState, Shared, skip};
use crate::disk::beneath::Root;
use crate::disk::cache::{Known, SharedCache};
use crate::disk::hash::{Batch, HashError, Hashed, Hasher, Report};
use crate::disk::rules::Why;
use crate::disk::scan::{LEFT_OUT_MAX, LeftOut, SHARED_FILES_MAX, Scanned, Skip, scan};
use crate::disk::store::Home;
use crate::node::library::{Content, FileId};

/// How often it is looked whether a listed folder is still the one that was scanned: two system calls each.
const ROOT_INTERVAL: Duration = Duration::from_secs(2);
/// After news of a change, so long without more before a scan, since changes come in bursts.
const QUIET: Duration = Duration::from_millis(300);
/// News that do not end are answered by a scan after so long.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// Scans for news take at most one part in so many of the time. Our estimate.
const SCAN_SHARE: u32 = 10;
/// Files remembered as unreadable, for each listed folder.
const UNREADABLE_MAX: usize = 10_000;

/// What the service is told.
pub(super) enum Message {
    /// Scan all, then say so.
    Rescan(Sender<()>),
    /// Something may have changed in this listed folder.
    Look(u16),
    /// A hash, or none.
    Hashed(Box<Report>),
    /// Look at the marks: stop, news.
    Wake,
}

/// One listed folder, as the service knows it.
struct Share {
    listed: Listed,
    root: Option<Root>,
    /// When news came first and last, since the last scan.
    news: Option<(Instant, Instant)>,
    /// Not scanned for news before this.
    rest_until: Instant,
    /// Files that could not be read, in which version, and what the system said.
    unreadable: BTreeMap<String, (crate::disk::beneath::Stamp, String)>,
}

pub(super) struct Service {
    shared: Arc<Shared>,
    options: Options,
    on_library: OnLibrary,
    skip: Skip,
    shares: Vec<Share>,
    names: Vec<String>,
    snapshot: Arc<Snapshot>,
    next_index: Option<u32>,
    learned: Vec<(FileId, Content)>,
    /// As `learned`, but not on disk yet.
    unsaved: Vec<Known>,
    cache: SharedCache,
    pruned: bool,
    #[cfg(feature = "watch")]
    watch: Option<crate::disk::watch::Watch>,
    /// Files of this snapshot that will never get a hash.
    hopeless: usize,
    published: Instant,
    swept: Instant,
    roots_checked: Instant,
}

impl Service {
    pub(super) fn new(
        home: &Home,
        listed: Vec<Listed>,
        options: Options,
        shared: Arc<Shared>,
        cache: SharedCache,
        on_library: OnLibrary,
    ) -> Self {
        let now = Instant::now();
        let skip = skip(home, &listed);
        let names = listed.iter().map(|folder| folder.name.clone()).collect();
        let folders = listed
            .into_iter()
            .map(|listed| Share {
                listed,
                root: None,
                news: None,
                rest_until: now,
                unreadable: BTreeMap::new(),
            })
            .collect();
        Self {
            shared,
            options,
            on_library,
            skip,
            shares: folders,
            names,
            snapshot: Arc::default(),
            next_index: Some(INDEX_FIRST),
            learned: Vec::new(),
            unsaved: Vec::new(),
            cache,
            pruned: false,
            #[cfg(feature = "watch")]
            watch: None,
            hopeless: 0,
            published: now,
            swept: now,
            roots_checked: now,
        }
    }

    /// Runs the service on a thread of its own.
    pub(super) fn spawn(
        mut self,
        inbox: SyncSender<Message>,
        messages: Receiver<Message>,
    ) -> io::Result<JoinHandle<()>> {
        let threads = self.options.hash_threads;
        let threads =
            threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        #[cfg(feature = "watch")]
        self.watch_over(inbox.clone())?;
        let report = move |report| inbox.send(Message::Hashed(Box::new(report))).is_ok();
        let hasher = Hasher::start(threads, self.options.hash_rate, report)?;
        thread::Builder::new()
            .name("shares".to_owned())
            .spawn(move || {
                self.run(&hasher, &messages);
                // The hashing threads may wait for a place in the inbox: it goes first.
                drop(messages);
                drop(hasher);
                self.shared.view().stopped = true;
                self.shared.changed.notify_all();
            })
    }

    #[cfg(feature = "watch")]
    fn watch_over(&mut self, inbox: SyncSender<Message>) -> io::Result<()> {
        if !self.options.watch {
            return Ok(());
        }
        let folders = self
            .shares
            .iter()
            .map(|share| share.listed.path.clone())
            .collect();
        let shared = Arc::clone(&self.shared);
        let told = move |share: usize| {
            // One message is enough until the service has seen the mark.
            if shared
                .news
                .get(share)
                .is_some_and(|news| !news.swap(true, Ordering::Relaxed))
            {
                // A full inbox: the service looks at the marks after each message.
                let _ = inbox.try_send(Message::Wake);
            }
        };
        self.watch = Some(crate::disk::watch::Watch::start(
            folders,
            self.skip.own.clone(),
            told,
        )?);
        Ok(())
    }

    fn run(&mut self, hasher: &Hasher, messages: &Receiver<Message>) {
        let all = vec![true; self.shares.len()];
        self.scan(hasher, &all);
        self.shared.view().scanned = true;
        self.shared.changed.notify_all();
        while !self.stopped() {
            match messages.recv_timeout(
                self.next_deadline()
                    .saturating_duration_since(Instant::now()),
            ) {
                Ok(message) => self.take(hasher, message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.act_on_time(hasher);
        }
        self.publish_hashes(hasher);
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn take(&mut self, hasher: &Hasher, message: Message) {
        match message {
            Message::Rescan(done) => {
                let all = vec![true; self.shares.len()];
                self.scan(hasher, &all);
                // Whoever asked may be gone.
                let _ = done.send(());
            }
            Message::Look(share) => self.look(usize::from(share)),
            Message::Hashed(report) => self.learn(*report),
            Message::Wake => {}
        }
    }

    fn look(&mut self, share: usize) {
        let now = Instant::now();
        if let Some(share) = self.shares.get_mut(share) {
            share.news = Some((share.news.map_or(now, |(first, _)| first), now));
        }
    }

    fn learn(&mut self, report: Report) {
        let Report { job, result } = report;
        let Some((id, stamp)) = self.snapshot.find(job.share, &job.path) else {
            return;
        };
        if stamp != job.stamp {
            // A newer version is known, and in line to be hashed.
            return;
        }
        match result {
            Ok(Hashed { sha1, tree }) => {
                let tiger = Some(tree.root());
                self.learned.push((id, Content { sha1, tiger }));
                self.unsaved.push(Known {
                    path: job.root.path().join(&job.path),
                    stamp,
                    sha1,
                    tree,
                });
            }
            Err(error) => {
                self.hopeless += 1;
                let share = usize::from(job.share);
                if let HashError::Io(error) = error
                    && error.kind() != io::ErrorKind::NotFound
                    && let Some(share) = self.shares.get_mut(share)
                    && share.unreadable.len() < UNREADABLE_MAX
                {
                    share
                        .unreadable
                        .insert(job.path, (stamp, error.to_string()));
                }
                self.look(share);
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let mut deadline = self.swept + self.options.sweep;
        deadline = deadline.min(self.roots_checked + ROOT_INTERVAL);
        if !self.learned.is_empty() {
            deadline = deadline.min(self.published + self.options.publish);
        }
        self.shares
            .iter()
            .filter_map(Share::scan_at)
            .fold(deadline, Instant::min)
    }

    fn act_on_time(&mut self, hasher: &Hasher) {
        for at in 0..self.shares.len() {
            if self.shared.news[at].swap(false, Ordering::Relaxed) {
                self.look(at);
            }
        }
        let now = Instant::now();
        if !self.learned.is_empty()
            && (now >= self.published + self.options.publish || self.unhashed() == 0)
        {
            self.publish_hashes(hasher);
        }
        if now >= self.roots_checked + ROOT_INTERVAL {
            self.check_roots();
        }
        let sweep = now >= self.swept + self.options.sweep;
        let due: Vec<bool> = self
            .shares
            .iter()
            .map(|share| sweep || share.scan_at().is_some_and(|at| now >= at))
            .collect();
        if due.contains(&true) {
            self.scan(hasher, &due);
        }
    }

    /// Folders that vanished, came back or were replaced are scanned soon.
    fn check_roots(&mut self) {
        for at in 0..self.shares.len() {
            let share = &self.shares[at];
            if Root::look(&share.listed.path).ok() != share.root {
                self.look(at);
            }
        }
        self.roots_checked = Instant::now();
    }

    /// Scans the folders that are due, publishes their names and has new files hashed.
    fn scan(&mut self, hasher: &Hasher, due: &[bool]) {
        self.publish_hashes(hasher);
        let mut scans = Vec::with_capacity(due.len());
        let mut states = self.shared.view().shares.clone();
        let mut files = 0;
        for (at, &due) in due.iter().enumerate() {
            if !due {
                scans.push(None);
                files += self.snapshot.of_share(at).count();
                continue;
            }
            self.shared.view().shares[at].scanning = true;
            let Some(scanned) =
                self.scan_one(at, SHARED_FILES_MAX.saturating_sub(files), &mut states[at])
            else {
                return;
            };
            files += scanned.files.len();
            states[at].left_out_count = scanned.left_out_count;
            states[at].left_out = Arc::new(scanned.left_out);
            scans.push(Some(scanned.files));
        }
        if due.iter().all(|&due| due) {
            self.swept = Instant::now();
        }
        let roots = self.shares.iter().map(|share| share.root.clone()).collect();
        let next = self
            .snapshot
            .next(&self.names, roots, scans, &mut self.next_index);
        let news = next.is_some();
        if let Some(next) = next {
            self.snapshot = Arc::new(next);
            self.hopeless = 0;
        }
        for (at, state) in states.iter_mut().enumerate() {
            state.scanning = false;
            count(&self.snapshot, at, state);
        }
        self.publish(hasher, states);
        if news {
            (self.on_library)(Arc::clone(&self.snapshot.library));
            self.hash_the_rest(hasher);
        }
    }

    /// `None`: the service is to stop.
    fn scan_one(&mut self, at: usize, files_max: usize, state: &mut ShareState) -> Option<Scanned> {
        let share = &mut self.shares[at];
        let start = Instant::now();
        share.news = None;
        let scanned = Root::look(&share.listed.path).and_then(|root| {
            scan(&root, &self.skip, files_max, &self.shared.stop).map(|scanned| (root, scanned))
        });
        share.rest_until = Instant::now() + start.elapsed() * SCAN_SHARE;
        if self.shared.stop.load(Ordering::Relaxed) {
            return None;
        }
        match scanned {
            Ok((root, mut scanned)) => {
                if state.problem.take().is_some() {
                    log::info!("{} is there again", share.listed.path.display());
                }
                #[cfg(feature = "watch")]
                if let Some(watch) = self
                    .watch
                    .as_ref()
                    .filter(|_| share.root.as_ref() != Some(&root))
                {
                    watch.begin(share.listed.path.clone());
                }
                share.root = Some(root);
                share.leave_out_unreadable(&mut scanned);
                Some(scanned)
            }
            Err(error) => {
                let problem = problem(&error);
                if state.problem.as_ref() != Some(&problem) {
                    log::warn!(
                        "{} {problem}; its files are not shared until it is back",
                        share.listed.path.display()
                    );
                    state.problem = Some(problem);
                }
                share.root = None;
                Some(Scanned::default())
            }
        }
    }

    /// Takes known hashes from the store, and has the other files hashed.
    fn hash_the_rest(&mut self, hasher: &Hasher) {
        let snapshot = Arc::clone(&self.snapshot);
        let mut numbers: Vec<(u64, u32)> = (0u32..)
            .zip(snapshot.library.files())
            .filter(|(_, file)| file.tiger.is_none())
            .map(|(at, file)| (file.size, at))
            .collect();
        let jobs = numbers.iter().map(|&(_, at)| snapshot.place(FileId(at)));
        let known = if numbers.is_empty() {
            Vec::new()
        } else {
            self.cache.locked().look_up(jobs)
        };
        let mut known = known.into_iter();
        numbers.retain(|&(_, at)| match known.next().flatten() {
            Some(content) => {
                self.learned.push((FileId(at), content));
                // Of what an earlier version kept, the tree is missing.
                content.tiger.is_none()
            }
            None => true,
        });
        self.publish_hashes(hasher);
        self.prune();
        if numbers.is_empty() {
            self.cache.locked().rest();
        }
        numbers.sort_unstable();
        let batch: Arc<dyn Batch> = Arc::clone(&self.snapshot) as Arc<dyn Batch>;
        hasher.set(batch, numbers.into_iter().map(|(_, at)| at).collect());
    }

    /// Once in a run the store forgets files that are gone. Not those of a folder that looks empty: a disk
    /// may be missing there.
    fn prune(&mut self) {
        if std::mem::replace(&mut self.pruned, true) {
            return;
        }
        let snapshot = &self.snapshot;
        let full = |at: &usize| snapshot.of_share(*at).next().is_some();
        let folders: Vec<_> = (0..self.shares.len())
            .filter(full)
            .map(|at| self.shares[at].listed.path.clone())
            .collect();
        let alive = |path: &std::path::Path| {
            (0u16..).zip(&self.shares).any(|(at, share)| {
                let below = path
                    .strip_prefix(&share.listed.path)
                    .ok()
                    .and_then(|below| below.to_str());
                below.is_some_and(|below| snapshot.find(at, below).is_some())
            })
        };
        self.cache
            .locked()
            .prune(&folders, snapshot.library.len(), alive);
    }

    fn publish_hashes(&mut self, hasher: &Hasher) {
        self.published = Instant::now();
        if self.learned.is_empty() {
            return;
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        self.cache.locked().store(&unsaved);
        let mut learned = std::mem::take(&mut self.learned);
        // A file that was in line again when its hash came is hashed twice; it counts once.
        learned.sort_unstable_by(|a, b| b.cmp(a));
        learned.dedup_by_key(|(id, _)| *id);
        let mut states = self.shared.view().shares.clone();
        for (id, _) in &learned {
            if let Some(file) = self
                .snapshot
                .library
                .file(*id)
                .filter(|file| file.sha1.is_none())
            {
                let state = &mut states[usize::from(file.share)];
                state.hashed_files += 1;
                state.hashed_bytes += file.size;
            }
        }
        self.snapshot = Arc::new(self.snapshot.with_hashes(&learned));
        self.publish(hasher, states);
        (self.on_library)(Arc::clone(&self.snapshot.library));
        if self.unhashed() == 0 {
            self.cache.locked().rest();
        }
    }

    /// Files whose hashes are neither known nor impossible to learn.
    fn unhashed(&self) -> usize {
        let library = &self.snapshot.library;
        library
            .len()
            .saturating_sub(library.with_root() + self.learned.len() + self.hopeless)
    }

    fn publish(&self, hasher: &Hasher, states: Vec<ShareState>) {
        let mut view = self.shared.view();
        view.snapshot = Arc::clone(&self.snapshot);
        view.to_hash = self.unhashed();
        view.hash_bytes_read = hasher.bytes_read();
        view.shares = states;
        drop(view);
        self.shared.changed.notify_all();
    }
}

impl Share {
    fn scan_at(&self) -> Option<Instant> {
        let (first, last) = self.news?;
        Some((last + QUIET).min(first + QUIET_MAX).max(self.rest_until))
    }

    /// Takes out the files that proved unreadable in this very version.
    fn leave_out_unreadable(&mut self, scanned: &mut Scanned) {
        if self.unreadable.is_empty() {
            return;
        }
        let mut still = BTreeMap::new();
        scanned
            .files
            .retain(|file| match self.unreadable.remove_entry(&file.path) {
                Some((path, (stamp, error))) if stamp == file.stamp => {
                    scanned.left_out_count += 1;
                    if scanned.left_out.len() < LEFT_OUT_MAX {
                        scanned.left_out.push(LeftOut {
                            path: path.clone(),
                            why: Why::Unreadable(error.clone()),
                        });
                    }
                    still.insert(path, (stamp, error));
                    false
                }
                _ => true,
            });
        scanned
            .left_out
            .sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.unreadable = still;
    }
}

fn count(snapshot: &Snapshot, share: usize, state: &mut ShareState) {
    (
        state.files,
        state.bytes,
        state.hashed_files,
        state.hashed_bytes,
    ) = (0, 0, 0, 0);
    for (file, _) in snapshot.of_share(share) {
        state.files += 1;
        state.bytes += file.size;
        if file.sha1.is_some() {
            state.hashed_files += 1;
            state.hashed_bytes += file.size;
        }
    }
}

/// What is wrong with a listed folder, for people.
fn problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "is gone".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
