//! One link on a socket: a reader task, a writer task, and the node task's end of it.
//!
//! The reader hands over all complete frames of one read at once and waits while the inbox is full, so
//! that TCP slows the peer. The writer takes all that is queued in one piece. Between node task and writer
//! stands a [`SendQueue`] behind a lock that neither holds across an await; the node task stages frames
//! without it and takes it once a batch.
//!
//! Knows no protocol: what frames mean, and when a link must go, the core decides.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::coding::{Inflow, Outflow};
use super::conn::Stream;
use super::inbox::{Inbox, post};
use super::lane::Lane;
use super::rt::{self, ReadExt, Receiver, Sender, WriteExt};
use crate::node::event::Gone;
use crate::node::greet::Codings;
use crate::node::limits::{QUEUE_HIGH_BYTES, QUEUE_LOW_BYTES, SEND_QUEUE_BYTES};
use crate::node::sendq::SendQueue;
use crate::node::{LinkId, Time};
use crate::wire::{Frame, FrameReader};

/// A write that moves no byte for so long ends the link. Our choice: four keep-alives of the peer's.
const WRITE_STUCK: Duration = Duration::from_secs(60);
/// The same once the link is closing: a peer that does not read its Bye is not waited for.
const CLOSE_STUCK: Duration = Duration::from_secs(2);
/// After our last word, how long we read on so that it is not lost to a reset.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// How many bytes are read at a time meanwhile ...
const DRAIN_READ_BYTES: usize = 16 * 1024;
/// ... and in all.
const DRAIN_BYTES: usize = 1024 * 1024;
/// Bytes that a socket of the live network holds (the kernel doubles it, for its own needs). Left to itself, the kernel
/// takes in a megabyte before a slow neighbour is noticed, and what tells it to hold back waits behind that. Enough for
/// 300 kB/s at a round trip of 100 ms (gtk-gnutella: 4 KiB).
const SOCKET_BYTES: usize = 32 * 1024;
/// Bytes of frames that leave the queue of such a link for one write, for the same reason: nothing overtakes a write.
const WRITE_BYTES: usize = 16 * 1024;
/// More than this is queued: the link is behind, and waits for its writer gain more than they cost.
const BEHIND_BYTES: usize = SEND_QUEUE_BYTES / 2;
/// A link that was behind for longer is slow, and nobody waits for it: it loses frames instead. A queue is
/// emptied within this by whoever takes 1 MB/s, 20,000 queries a second. Our choice.
const SLOW_AFTER: Duration = Duration::from_millis(250);
/// Memory a writer keeps between writes; more is given back once a burst is over.
const BUFFER_KEPT: usize = 16 * 1024;

/// A socket whose greeting is done.
#[derive(Debug)]
pub(crate) struct Connected {
    /// The socket, with TLS or without.
    pub(crate) stream: Stream,
    /// How either side writes.
    pub(crate) codings: Codings,
    /// Bytes that came behind the greeting.
    pub(crate) rest: Vec<u8>,
    /// Bytes of frames that may leave the queue for one write.
    pub(crate) write_bytes: usize,
}

impl Connected {
    /// Frames stay in the queue until they can go: for neighbours that may be slow, and are told so while they are.
    pub(crate) fn write_late(&mut self) {
        self.stream.hold_at_most(SOCKET_BYTES);
        self.write_bytes = WRITE_BYTES;
    }
}

/// The node task's end of a link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Its id.
    pub(crate) id: LinkId,
    /// What is counted on it, and done to what goes out.
    pub(crate) lane: Lane,
    /// How either side writes.
    pub(crate) codings: Codings,
    staged: SendQueue,
    /// Frames shed by `staged` since the last flush.
    shed: u64,
    /// Since when every flush found it behind.
    behind_since: Option<Time>,
    shared: Arc<Shared>,
    /// Wakes the writer; room for one ring, as one is enough however often it is rung.
    bell: Sender<()>,
}

#[derive(Debug)]
struct Shared {
    stream: Stream,
    queue: Mutex<SendQueue>,
    /// Nothing more is read or queued; the writer ends when the queue is empty.
    closing: AtomicBool,
    /// The writer failed: the reader reports a broken link, not an end of stream.
    broken: AtomicBool,
    /// Above the high mark, and not yet at the low mark again.
    pressed: AtomicBool,
    /// Rung when a link that was behind no longer is.
    relief: Sender<()>,
    /// Closed for the last holder only: whoever stops the node waits for it.
    _alive: Sender<()>,
}

/// What a flush led to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flushed {
    /// Frames shed since the last one.
    pub(crate) shed: u64,
    /// The link is behind but not slow: a moment for its writer saves frames.
    pub(crate) behind: bool,
    /// More than [`QUEUE_HIGH_BYTES`] are queued.
    pub(crate) high: bool,
}

impl Link {
    /// Starts the tasks of a link. They end by themselves once the socket does, or after
    /// [`close`](Self::close), and hold `alive` until then. `relief` is rung when the link has caught up.
    pub(crate) fn start(
        id: LinkId,
        lane: Lane,
        connected: Connected,
        inbox: Sender<Inbox>,
        relief: Sender<()>,
        alive: Sender<()>,
    ) -> Self {
        let Connected {
            stream,
            codings,
            rest,
            write_bytes,
        } = connected;
        let shared = Arc::new(Shared {
            stream,
            queue: Mutex::new(SendQueue::new(SEND_QUEUE_BYTES)),
            closing: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            pressed: AtomicBool::new(false),
            relief,
            _alive: alive,
        });
        let (bell, rung) = rt::bounded(1);
        let (reading, read_to_end) = rt::bounded(1);
        // Both tasks are detached: they end with the socket, which `close` and a lost peer see to.
        let writer = Writer {
            link: id,
            shared: shared.clone(),
            outflow: Outflow::new(codings.to_peer),
            write_bytes,
            inbox: inbox.clone(),
        };
        rt::spawn(writer.run(rung, read_to_end));
        let inflow = Inflow::new(codings.from_peer);
        rt::spawn(read(id, shared.clone(), inflow, rest, inbox, reading));
        Self {
            id,
            lane,
            codings,
            staged: SendQueue::new(SEND_QUEUE_BYTES),
            shed: 0,
            behind_since: None,
            shared,
            bell,
        }
    }

    /// Stages a frame, which [`flush`](Self::flush) hands to the writer. Returns the bytes staged.
    pub(crate) fn stage(&mut self, frame: &Frame) -> usize {
        self.shed += self.staged.push(frame);
        self.staged.len()
    }

    /// Hands all staged frames to the writer.
    pub(crate) fn flush(&mut self, now: Time) -> Flushed {
        let mut shed = std::mem::take(&mut self.shed);
        if self.staged.is_empty() {
            return Flushed {
                shed,
                ..Flushed::default()
            };
        }
        let mut queue = self.shared.queue();
        shed += queue.append(&mut self.staged);
        let len = queue.len();
        drop(queue);
        let since = (len > BEHIND_BYTES).then(|| self.behind_since.unwrap_or(now));
        self.behind_since = since;
        let behind = since.is_some_and(|since| now.since(since) < SLOW_AFTER);
        // Full: it was rung already. Closed: the writer failed, and the reader will say so.
        let _ = self.bell.try_send(());
        Flushed {
            shed,
            behind,
            high: len > QUEUE_HIGH_BYTES,
        }
    }

    /// The link counts as pressed until its writer says otherwise ([`Inbox::Relieved`]); `true` if it did not before.
    pub(crate) fn press(&self) -> bool {
        !self.shared.pressed.swap(true, Ordering::AcqRel)
    }

    /// Is it above the high mark, or was it and is not yet at the low mark again?
    pub(crate) fn is_pressed(&self) -> bool {
        self.shared.pressed.load(Ordering::Acquire)
    }

    /// Frames queued, and frames shed, since the start.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let queue = self.shared.queue();
        (
            queue.queued() + self.staged.queued(),
            queue.shed() + self.staged.shed(),
        )
    }

    /// Sends what is queued, then the last word, then closes. The tasks see to it in their own time.
    pub(crate) fn close(mut self, last_word: Option<&Frame>) {
        self.flush(Time::ZERO);
        if let Some(frame) = last_word {
            self.stage(frame);
            self.flush(Time::ZERO);
        }
        self.shared.closing.store(true, Ordering::Release);
        let _ = self.bell.try_send(());
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, SendQueue> {
        // A queue is whole between any two of its calls, whoever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes frames out of the queue until `out` holds `enough` bytes. Whoever waits for a link that was behind and no
    /// longer is may go on.
    fn take(&self, enough: usize, out: &mut Vec<u8>) {
        let mut queue = self.queue();
        let before = queue.len();
        queue.take_up_to(enough, out);
        let after = queue.len();
        drop(queue);
        if before > BEHIND_BYTES && after <= BEHIND_BYTES {
            // Full: it was rung already.
            let _ = self.relief.try_send(());
        }
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.stream.shut();
    }
}

/// The reader task. `_reading` is dropped with it, which the writer of a closing link waits for.
async fn read(
    link: LinkId,
    shared: Arc<Shared>,
    inflow: Inflow,
    rest: Vec<u8>,
    inbox: Sender<Inbox>,
    _reading: Sender<()>,
) {
    let gone = match read_frames(link, &shared, inflow, rest, &inbox).await {
        _ if shared.closing() => Gone::ByUs,
        _ if shared.broken.load(Ordering::Acquire) => Gone::Broken,
        gone => gone,
    };
    let theirs = matches!(gone, Gone::Garbage | Gone::Damaged | Gone::Bomb);
    if !theirs {
        shared.end();
    }
    // An error: the node is gone too, nobody to tell.
    if inbox.send(Inbox::Down(link, gone)).await.is_ok() && theirs {
        // The node task says why it closes; the writer ends this.
        drain(&shared, &mut vec![0; DRAIN_READ_BYTES]).await;
    }
}

async fn read_frames(
    link: LinkId,
    shared: &Shared,
    inflow: Inflow,
    rest: Vec<u8>,
    inbox: &Sender<Inbox>,
) -> Gone {
    let mut buffer = inflow.read_buffer();
    let mut taker = Taker {
        link,
        inflow,
        frames: FrameReader::new(),
        inbox,
    };
    let mut taken = taker.take(&rest).await;
    drop(rest);
    loop {
        if let Err(gone) = taken {
            return gone;
        }
        taken = match (&shared.stream).read(&mut buffer).await {
            Ok(0) => return Gone::Closed,
            Ok(_) if shared.closing() => return drain(shared, &mut buffer).await,
            Ok(len) => taker.take(&buffer[..len]).await,
            Err(_) => return Gone::Broken,
        };
    }
}

/// Makes frames of what is read, and hands them over.
struct Taker<'a> {
    link: LinkId,
    inflow: Inflow,
    frames: FrameReader,
    inbox: &'a Sender<Inbox>,
}

impl Taker<'_> {
    /// Takes in the bytes of one read. Waits while the inbox is full, after each piece of what it inflates to.
    async fn take(&mut self, mut input: &[u8]) -> Result<(), Gone> {
        self.inflow.has_read(input.len());
        while let Some(bytes) = self.inflow.next(&mut input)? {
            let mut batch = Vec::new();
            self.frames.push(bytes);
            let intact = loop {
                match self.frames.next_frame() {
                    Ok(Some(frame)) => batch.push(frame),
                    Ok(None) => break true,
                    Err(error) => {
                        log::debug!("link {}: {error}", self.link.0);
                        break false;
                    }
                }
            };
            if !batch.is_empty() {
                let frames = Inbox::Frames(self.link, batch);
                self.inbox.send(frames).await.map_err(|_| Gone::ByUs)?;
            }
            if !intact {
                return Err(Gone::Garbage);
            }
        }
        Ok(())
    }
}

/// Reads on without looking: a socket closed with unread bytes resets, and our last word would be lost.
async fn drain(shared: &Shared, buffer: &mut [u8]) -> Gone {
    let mut left = DRAIN_BYTES;
    while left > 0 {
        match (&shared.stream).read(buffer).await {
            Ok(0) | Err(_) => break,
            Ok(len) => left = left.saturating_sub(len),
        }
    }
    Gone::ByUs
}

/// The writer task.
struct Writer {
    link: LinkId,
    shared: Arc<Shared>,
    outflow: Outflow,
    write_bytes: usize,
    inbox: Sender<Inbox>,
}

impl Writer {
    async fn run(mut self, rung: Receiver<()>, read_to_end: Receiver<()>) {
        let shared = self.shared.clone();
        let mut buffer = Vec::new();
        loop {
            shared.take(self.write_bytes, &mut buffer);
            if !buffer.is_empty() {
                if !self.write(&mut buffer).await {
                    shared.broken.store(true, Ordering::Release);
                    break;
                }
                self.relieve();
                continue;
            }
            buffer.shrink_to(BUFFER_KEPT);
            self.outflow.shrink_to(BUFFER_KEPT);
            // The last frame was queued before `closing` was set: look once more before going by it.
            if shared.closing() {
                if shared.queue().is_empty() {
                    let _ = rt::timeout(CLOSE_STUCK, shared.stream.end()).await;
                    // The reader ends, or is not waited for.
                    let _ = rt::timeout(DRAIN_TIME, read_to_end.recv()).await;
                    break;
                }
            } else if rung.recv().await.is_err() && shared.queue().is_empty() && !shared.closing() {
                break;
            }
        }
        shared.end();
    }

    /// Writes what is in `buffer`, and empties it; `false` when it cannot.
    async fn write(&mut self, buffer: &mut Vec<u8>) -> bool {
        let shared = self.shared.clone();
        let mut left = self.write_bytes.saturating_sub(buffer.len());
        let bytes = self.outflow.encode(buffer, |buffer| {
            shared.take(left, buffer);
            left = left.saturating_sub(buffer.len());
        });
        let written = write_all(&shared, bytes).await;
        buffer.clear();
        written
    }

    /// Says that the link is at its low mark again, if it is and was pressed. What was taken out in one piece counts
    /// until it is written.
    fn relieve(&self) {
        let low = || self.shared.queue().len() <= QUEUE_LOW_BYTES;
        if self.shared.pressed.load(Ordering::Acquire) && low() {
            self.shared.pressed.store(false, Ordering::Release);
            post(&self.inbox, Inbox::Relieved(self.link));
        }
    }
}

/// `false`: the socket failed or took no byte for too long.
async fn write_all(shared: &Shared, mut bytes: &[u8]) -> bool {
    let patience = || {
        if shared.closing() {
            CLOSE_STUCK
        } else {
            WRITE_STUCK
        }
    };
    while !bytes.is_empty() {
        match rt::timeout(patience(), (&shared.stream).write(bytes)).await {
            Ok(Ok(len)) if len > 0 => bytes = &bytes[len..],
            _ => return false,
        }
    }
    // A session holds back what the socket did not take at once.
    !shared.stream.is_encrypted()
        || matches!(
            rt::timeout(patience(), (&shared.stream).flush()).await,
            Ok(Ok(()))
        )
}
