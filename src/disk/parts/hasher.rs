//! The hash of a whole file, taken while it arrives: a thread of its own follows the bytes that are there from the start.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use sha1::Digest;

use super::REHASH_BYTES;
use crate::wire::Sha1;

enum Order {
    /// So many bytes are there from the start.
    Prefix(u64),
    /// Begin again.
    Restart,
    /// Say the hash of all that was named.
    Finish(mpsc::SyncSender<io::Result<Sha1>>),
}

/// Hashes a file from its start on. Ends when it is dropped.
#[derive(Debug)]
pub struct Hasher {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<std::thread::JoinHandle<()>>,
    hashed: Arc<AtomicU64>,
    prefix: u64,
}

impl Hasher {
    /// Starts a thread that hashes `file`.
    pub(super) fn start(file: File) -> Self {
        // Unbounded, but what is sent is one number for each write.
        let (orders, work) = mpsc::channel();
        let hashed = Arc::new(AtomicU64::new(0));
        let at = hashed.clone();
        let thread = std::thread::spawn(move || follow(&file, &work, &at));
        Self {
            orders: Some(orders),
            thread: Some(thread),
            hashed,
            prefix: 0,
        }
    }

    /// So many bytes are there from the start, and will not change unless [`restart`](Self::restart) is called.
    pub(super) fn prefix(&mut self, bytes: u64) {
        if bytes > self.prefix {
            self.prefix = bytes;
            self.send(Order::Prefix(bytes));
        }
    }

    /// Bytes that were hashed already have changed.
    pub(super) fn restart(&mut self) {
        self.prefix = 0;
        self.send(Order::Restart);
    }

    /// Whether the thread is there to hear it.
    fn send(&self, order: Order) -> bool {
        let orders = self.orders.as_ref();
        orders.is_some_and(|orders| orders.send(order).is_ok())
    }

    /// Bytes named so far.
    pub(super) fn named(&self) -> u64 {
        self.prefix
    }

    /// How far it is; for people.
    pub fn hashed(&self) -> Arc<AtomicU64> {
        self.hashed.clone()
    }

    /// Waits for the hash of all bytes that were named.
    pub(super) fn finish(&self) -> io::Result<Sha1> {
        let (answer, hash) = mpsc::sync_channel(1);
        let died = || io::Error::other("the thread that hashes has died");
        if !self.send(Order::Finish(answer)) {
            return Err(died());
        }
        hash.recv().map_err(|_| died())?
    }
}

impl Drop for Hasher {
    /// Waits for the thread: as long as it has the file open, the file is locked.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It holds nothing that its panic could have left half done.
            let _ = thread.join();
        }
    }
}

fn follow(file: &File, work: &mpsc::Receiver<Order>, hashed: &AtomicU64) {
    let (mut sha1, mut at, mut to) = (sha1::Sha1::new(), 0, 0);
    let mut buffer = vec![0; REHASH_BYTES];
    let mut failed = None;
    let mut next = None;
    loop {
        // Between two pieces it is looked whether something new was ordered.
        let order = match next.take() {
            Some(order) => order,
            None if at < to && failed.is_none() => match work.try_recv() {
                Ok(order) => order,
                Err(mpsc::TryRecvError::Empty) => Order::Prefix(to),
                Err(mpsc::TryRecvError::Disconnected) => return,
            },
            None => match work.recv() {
                Ok(order) => order,
                Err(mpsc::RecvError) => return,
            },
        };
        match order {
            Order::Prefix(bytes) => to = to.max(bytes),
            Order::Restart => {
                (at, to, failed) = (0, 0, None);
                sha1 = sha1::Sha1::new();
            }
            Order::Finish(answer) if at < to && failed.is_none() => {
                next = Some(Order::Finish(answer));
            }
            Order::Finish(answer) => {
                let hash = Sha1(sha1.clone().finalize().into());
                // Nobody waits any more: then nobody wants it.
                let _ = answer.send(failed.take().map_or(Ok(hash), Err));
            }
        }
        if at < to && failed.is_none() {
            let most = buffer
                .len()
                .min(usize::try_from(to - at).unwrap_or(usize::MAX));
            match file.read_at(&mut buffer[..most], at) {
                Ok(0) => failed = Some(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    sha1.update(&buffer[..read]);
                    at += read as u64;
                    hashed.store(at, Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => failed = Some(error),
            }
        }
    }
}
