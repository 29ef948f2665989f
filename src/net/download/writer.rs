//! The thread that owns the partial file: writes what comes, at its place.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use super::exchange::Event;
use super::tap::Tap;
use crate::disk::parts::{Part, PartError};
use crate::disk::tree::{BlockHasher, HashTree};
use crate::net::rt::{self, Clock};
use crate::node::swarm::Ranges;
use crate::wire::Sha1;
use crate::wire::urn::TigerRoot;

/// How often what has arrived is forced to disk. Our estimate: a crash of the whole machine costs this much of a
/// download.
const CHECKPOINT: Duration = Duration::from_secs(10);
/// Orders taken between two looks at the clock.
const BATCH_MAX: usize = 16;
/// Orders between the tasks and this thread; when they are used up, the readers wait.
const ORDERS: usize = 16;
/// Buffers kept for the next reader.
const BUFFERS: usize = 32;
/// Bytes of one buffer between socket and disk: a full read of a large socket buffer.
const BUFFER_BYTES: usize = 256 * 1024;

/// What is to be done with the file.
#[derive(Debug)]
pub(super) enum Work {
    /// Put `buffer[from..to]` at `at`.
    Write {
        at: u64,
        buffer: Vec<u8>,
        from: usize,
        to: usize,
    },
    /// These bytes are worth nothing.
    Forget(Ranges),
    /// Hold this block against a tree, on another thread, and say what came of it.
    Check {
        block: usize,
        range: Range<u64>,
        tree: Arc<HashTree>,
        events: rt::Sender<Event>,
    },
    /// These are what a tree says.
    Verified(Range<u64>),
    /// They may not be: the tree was of another file.
    Doubt(Ranges),
    /// Say the hash of all.
    Hash(rt::Sender<Sha1>),
}

/// Empty buffers; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    give: rt::Sender<Vec<u8>>,
    take: rt::Receiver<Vec<u8>>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        let (give, take) = rt::bounded(BUFFERS);
        Self { give, take }
    }

    pub(super) fn take(&self) -> Vec<u8> {
        self.take
            .try_recv()
            .unwrap_or_else(|_| vec![0; BUFFER_BYTES])
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        // Enough are there: it is freed.
        let _ = self.give.try_send(buffer);
    }
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) work: rt::Sender<Work>,
    thread: rt::JoinHandle<(Part, Result<(), PartError>)>,
}

impl Writer {
    pub(super) fn start(part: Part, buffers: Buffers, tap: Option<Tap>) -> Self {
        let (work, orders) = rt::bounded(ORDERS);
        let thread = rt::spawn_blocking(move || write_out(part, &orders, &buffers, tap.as_ref()));
        Self { work, thread }
    }

    /// Ends the thread once it has done all it was told.
    pub(super) async fn end(self) -> (Part, Result<(), PartError>) {
        drop(self.work);
        self.thread.await
    }
}

/// Does what comes until nobody sends any more, or the disk fails.
fn write_out(
    mut part: Part,
    orders: &rt::Receiver<Work>,
    buffers: &Buffers,
    tap: Option<&Tap>,
) -> (Part, Result<(), PartError>) {
    let clock = Clock::start();
    if let Some(tap) = tap {
        tap.follow(&part);
    }
    let mut noted = clock.now();
    while let Ok(first) = orders.recv_blocking() {
        let more = std::iter::from_fn(|| orders.try_recv().ok()).take(BATCH_MAX);
        let batch = std::iter::once(first).chain(more);
        let mut done = Ok(());
        for work in batch {
            if let Some(tap) = tap {
                beforehand(tap, &work);
            }
            // Noted one by one: a kill costs the buffer that was being written, and no more.
            done = done
                .and_then(|()| one(&mut part, work, buffers))
                .and_then(|()| part.flush());
        }
        if let Some(tap) = tap {
            tap.follow(&part);
        }
        if done.is_ok() && clock.now().since(noted) >= CHECKPOINT {
            done = part.checkpoint();
            noted = clock.now();
        }
        if done.is_err() {
            // Senders notice, and ask why.
            orders.close();
            return (part, done);
        }
    }
    (part, Ok(()))
}

/// Whoever reads along must know this before it is done.
fn beforehand(tap: &Tap, work: &Work) {
    match work {
        Work::Forget(ranges) => ranges.iter().for_each(|range| tap.forgotten(range)),
        Work::Verified(_) => tap.has_tree(),
        Work::Doubt(_) => tap.has_no_tree(),
        Work::Write { .. } | Work::Check { .. } | Work::Hash(_) => {}
    }
}

fn one(part: &mut Part, work: Work, buffers: &Buffers) -> Result<(), PartError> {
    match work {
        Work::Write {
            at,
            buffer,
            from,
            to,
        } => {
            part.write(at, &buffer[from..to])?;
            buffers.give_back(buffer);
        }
        Work::Forget(ranges) => {
            for range in ranges.iter() {
                part.forget(range.clone());
            }
        }
        Work::Check {
            block,
            range,
            tree,
            events,
        } => {
            let file = part.reader();
            // Detached: it ends by itself, and says so.
            rt::spawn_blocking(move || {
                let hash = file.and_then(|file| hash_of(&file, &range));
                let good = hash.ok().map(|hash| tree.verify_block(block, &hash));
                let _ = events.send_blocking(Event::Checked { range, tree, good });
            });
        }
        Work::Verified(range) => part.verified(range),
        Work::Doubt(ranges) => {
            for range in ranges.iter() {
                part.doubt(range.clone());
            }
        }
        Work::Hash(answer) => {
            let hash = part.hash()?;
            // Nobody waits any more: then nobody wants it.
            let _ = answer.try_send(hash);
        }
    }
    Ok(())
}

/// The Tiger hash of a block.
fn hash_of(file: &File, range: &Range<u64>) -> io::Result<TigerRoot> {
    let mut hasher = BlockHasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = range.start;
    while at < range.end {
        let most = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let most = buffer.len().min(most);
        file.read_exact_at(&mut buffer[..most], at)?;
        hasher.update(&buffer[..most]);
        at += most as u64;
    }
    Ok(hasher.finish())
}
