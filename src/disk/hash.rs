//! SHA-1 and Tiger tree of files in the background, in one pass: a few threads, small files first, no faster than asked for.
//! Threads for which there is no file left help with the trees of the others' files (`pieces`).
//!
//! What is to be hashed comes as a [`Batch`] of numbers; a new batch takes the place of the one before. A
//! file that changes while it is read gets no hash.

mod pieces;

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise, fstat};
use sha1::Digest;

use super::beneath::{Root, Stamp};
use super::tree::HashTree;
use crate::wire::Sha1;
use pieces::{Piece, Pieces, WAITING_EACH};

/// Bytes read at a time by one thread; larger reads gained nothing. Measured.
const READ_BYTES: usize = 256 * 1024;
/// A rate bound lets this much of its second pass at once.
const BURST: Duration = Duration::from_millis(250);

/// One file to be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Number of the listed folder.
    pub share: u16,
    /// The listed folder.
    pub root: Root,
    /// Path below it.
    pub path: String,
    /// The version that is meant.
    pub stamp: Stamp,
}

/// Files to be hashed, made only when it is their turn.
pub trait Batch: std::fmt::Debug + Send + Sync {
    /// The file with that number; `None`: nothing to do any more.
    fn job(&self, number: u32) -> Option<Job>;
}

/// Why a file got no hash.
#[derive(Debug)]
pub enum HashError {
    /// It is another version than was meant, or it changed meanwhile.
    Changed,
    /// It cannot be read.
    Io(io::Error),
}

/// What a file hashes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// SHA-1 of the whole.
    pub sha1: Sha1,
    /// Its Tiger tree, down to the level that is served.
    pub tree: HashTree,
}

/// How a job ended.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub job: Job,
    /// The hashes, or why there are none.
    pub result: Result<Hashed, HashError>,
}

/// Threads that hash.
#[derive(Debug)]
pub struct Hasher {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    bytes_read: AtomicU64,
    rate: Option<u64>,
    threads: usize,
}

/// What a thread is given to do.
enum Task {
    File(Job),
    Piece(Piece),
}

#[derive(Debug, Default)]
struct State {
    batch: Option<Arc<dyn Batch>>,
    /// What is left of the batch; the next one is last.
    numbers: Vec<u32>,
    /// What the threads work on.
    at_work: Vec<Job>,
    /// Pieces of large files for threads that have no file.
    pieces: Vec<Piece>,
    stopped: bool,
    /// Bytes that may still pass under the rate bound; below zero: passed in advance.
    allowance: f64,
    refilled: Option<Instant>,
}

impl Hasher {
    /// Starts `threads` threads (at least one). `rate`: bytes a second, all threads together. `report` is
    /// called by them for each job; when it says `false` its thread ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        threads: usize,
        rate: Option<u64>,
        report: impl Fn(Report) -> bool + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::of(threads.max(1), rate));
        let mut hasher = Self {
            queue,
            threads: Vec::new(),
        };
        for number in 0..hasher.queue.threads {
            let (queue, report) = (Arc::clone(&hasher.queue), report.clone());
            let work = move || queue.work(number, &report);
            hasher.threads.push(
                thread::Builder::new()
                    .name(format!("hash-{number}"))
                    .spawn(work)?,
            );
        }
        Ok(hasher)
    }

    /// Replaces what is to be done. `numbers` in the order they should be hashed. Files that are being hashed
    /// at the moment are finished and reported, and not begun again.
    pub fn set(&self, batch: Arc<dyn Batch>, mut numbers: Vec<u32>) {
        numbers.reverse();
        let mut state = self.queue.locked();
        state.batch = Some(batch);
        state.numbers = numbers;
        self.queue.wake.notify_all();
    }

    /// Bytes read from files since the start.
    pub fn bytes_read(&self) -> u64 {
        self.queue.bytes_read.load(Ordering::Relaxed)
    }
}

/// Stops the threads in the middle of their files and waits for them.
impl Drop for Hasher {
    fn drop(&mut self) {
        self.queue.locked().stopped = true;
        self.queue.wake.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// For so many threads, at that rate.
    fn of(threads: usize, rate: Option<u64>) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            bytes_read: AtomicU64::new(0),
            rate: rate.map(|rate| rate.max(1)),
            threads,
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, thread: usize, report: &impl Fn(Report) -> bool) {
        let mut buffer = vec![0; READ_BYTES];
        while let Some(task) = self.next_task() {
            let job = match task {
                Task::File(job) => job,
                Task::Piece(piece) => {
                    piece.hash();
                    continue;
                }
            };
            let result = self.hash(&job, thread, &mut buffer);
            let stopped = self.locked().stopped;
            // Reported first, then taken off the list: so a file whose report still waits is not begun again.
            let go_on = !(stopped && result.is_err())
                && report(Report {
                    job: job.clone(),
                    result,
                });
            self.locked().at_work.retain(|other| *other != job);
            if !go_on {
                return;
            }
        }
    }

    fn next_task(&self) -> Option<Task> {
        let mut state = self.locked();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(number) = state.numbers.pop() {
                let job = state.batch.as_ref().and_then(|batch| batch.job(number));
                if let Some(job) = job.filter(|job| !state.at_work.contains(job)) {
                    state.at_work.push(job.clone());
                    return Some(Task::File(job));
                }
            } else if let Some(piece) = state.pieces.pop() {
                return Some(Task::Piece(piece));
            } else {
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Whether somebody without a file would take a piece of one.
    fn wants_piece(&self) -> bool {
        let state = self.locked();
        let free = self.threads.saturating_sub(state.at_work.len());
        state.pieces.len() < free * WAITING_EACH
    }

    fn add_piece(&self, piece: Piece) {
        self.locked().pieces.push(piece);
        self.wake.notify_all();
    }

    /// A piece of that reader's file that nobody has begun.
    fn take_piece_of(&self, reader: usize) -> Option<Piece> {
        let mut state = self.locked();
        let at = state.pieces.iter().position(|piece| piece.is_of(reader))?;
        Some(state.pieces.swap_remove(at))
    }

    fn hash(&self, job: &Job, thread: usize, buffer: &mut Vec<u8>) -> Result<Hashed, HashError> {
        let (mut file, stamp) = job.root.open_file(&job.path).map_err(HashError::Io)?;
        if stamp != job.stamp {
            return Err(HashError::Changed);
        }
        if stamp.size > buffer.len() as u64 {
            // Only advice: what the system makes of it changes speed alone.
            let _ = fadvise(&file, 0, None, Advice::Sequential);
        }
        let pieces = Pieces::of(self, thread, stamp.size);
        let hashed = self.read_all(&mut file, stamp.size, pieces, buffer)?;
        let after = fstat(&file).map_err(|error| HashError::Io(error.into()))?;
        if Stamp::of(&after) == stamp {
            Ok(hashed)
        } else {
            Err(HashError::Changed)
        }
    }

    fn read_all(
        &self,
        file: &mut File,
        size: u64,
        mut pieces: Pieces<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<Hashed, HashError> {
        let mut sha1 = sha1::Sha1::new();
        let mut left = size;
        while left > 0 {
            let piece = pieces.piece_bytes();
            let piece = usize::try_from(left).map_or(piece, |left| left.min(piece));
            if !self.wait_for(piece) {
                return Err(HashError::Io(io::ErrorKind::Interrupted.into()));
            }
            file.read_exact(&mut buffer[..piece]).map_err(|error| {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    HashError::Changed
                } else {
                    HashError::Io(error)
                }
            })?;
            sha1.update(&buffer[..piece]);
            pieces.take(buffer, piece);
            left -= piece as u64;
            self.bytes_read.fetch_add(piece as u64, Ordering::Relaxed);
        }
        Ok(Hashed {
            sha1: Sha1(sha1.finalize().into()),
            tree: pieces.finish(),
        })
    }

    /// Waits until so many bytes may be read; `false`: stop.
    #[expect(
        clippy::cast_precision_loss,
        reason = "rates and reads are far below 2^52"
    )]
    fn wait_for(&self, bytes: usize) -> bool {
        let mut state = self.locked();
        let Some(rate) = self.rate.map(|rate| rate as f64) else {
            return !state.stopped;
        };
        let now = Instant::now();
        let since = state
            .refilled
            .replace(now)
            .map_or(BURST, |then| now.duration_since(then));
        state.allowance =
            (state.allowance + since.as_secs_f64() * rate).min(BURST.as_secs_f64() * rate);
        state.allowance -= bytes as f64;
        // Whoever overdraws waits until the debt is paid; the others then owe more and wait longer.
        let debt = (-state.allowance / rate).max(0.0);
        let until = now + Duration::from_secs_f64(debt);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.stopped || left.is_zero() {
                return !state.stopped;
            }
            state = self
                .wake
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
