//! One link on a socket: a reader task, a writer task, and the node task's end of it.
//!
//! The reader hands over all complete frames of one read at once and waits while the inbox is full, so
//! that TCP slows the peer. The writer takes all that is queued in one piece. Between node task and writer
//! stands a [`SendQueue`] behind a lock that neither holds across an await; the node task stages frames
//! without it and takes it once a batch.
//!
//! Knows no protocol: what frames mean, and when a link must go, the core decides.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::inbox::Inbox;
use super::rt::{self, ReadExt, Receiver, Sender, TcpStream, WriteExt};
use crate::node::event::Gone;
use crate::node::limits::SEND_QUEUE_BYTES;
use crate::node::sendq::SendQueue;
use crate::node::{LinkId, Time};
use crate::wire::{Frame, FrameReader};

/// Bytes asked for in one read: some 1,500 queries. Larger reads gained nothing (`benches/relay`).
const READ_BYTES: usize = 64 * 1024;
/// A write that moves no byte for so long ends the link. Our choice: four keep-alives of the peer's.
const WRITE_STUCK: Duration = Duration::from_secs(60);
/// The same once the link is closing: a peer that does not read its Bye is not waited for.
const CLOSE_STUCK: Duration = Duration::from_secs(2);
/// After our last word, how long we read on so that it is not lost to a reset.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// And how many bytes.
const DRAIN_BYTES: usize = 1024 * 1024;
/// More than this is queued: the link is behind, and waits for its writer gain more than they cost.
const BEHIND_BYTES: usize = SEND_QUEUE_BYTES / 2;
/// A link that was behind for longer is slow, and nobody waits for it: it loses frames instead. A queue is
/// taken whole, so this means less than 1 MB/s, 20,000 queries a second. Our choice.
const SLOW_AFTER: Duration = Duration::from_millis(250);
/// Memory a writer keeps between writes; more is given back once a burst is over.
const BUFFER_KEPT: usize = 16 * 1024;

/// A socket whose greeting is done.
#[derive(Debug)]
pub(crate) struct Connected {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// Bytes that came behind the greeting.
    pub(crate) rest: Vec<u8>,
}

/// The node task's end of a link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Its id.
    pub(crate) id: LinkId,
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
    stream: TcpStream,
    queue: Mutex<SendQueue>,
    /// Nothing more is read or queued; the writer ends when the queue is empty.
    closing: AtomicBool,
    /// The writer failed: the reader reports a broken link, not an end of stream.
    broken: AtomicBool,
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
    pub(crate) pressed: bool,
}

impl Link {
    /// Starts the tasks of a link. They end by themselves once the socket does, or after
    /// [`close`](Self::close), and hold `alive` until then. `relief` is rung when the link has caught up.
    pub(crate) fn start(
        id: LinkId,
        connected: Connected,
        inbox: Sender<Inbox>,
        relief: Sender<()>,
        alive: Sender<()>,
    ) -> Self {
        let Connected { stream, rest } = connected;
        let shared = Arc::new(Shared {
            stream,
            queue: Mutex::new(SendQueue::new(SEND_QUEUE_BYTES)),
            closing: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            relief,
            _alive: alive,
        });
        let (bell, rung) = rt::bounded(1);
        let (reading, read_to_end) = rt::bounded(1);
        // Both tasks are detached: they end with the socket, which `close` and a lost peer see to.
        rt::spawn(write(shared.clone(), rung, read_to_end));
        rt::spawn(read(id, shared.clone(), rest, inbox, reading));
        Self {
            id,
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
                pressed: false,
            };
        }
        let mut queue = self.shared.queue();
        shed += queue.append(&mut self.staged);
        let behind = queue.len() > BEHIND_BYTES;
        drop(queue);
        let since = behind.then(|| self.behind_since.unwrap_or(now));
        self.behind_since = since;
        let pressed = since.is_some_and(|since| now.since(since) < SLOW_AFTER);
        // Full: it was rung already. Closed: the writer failed, and the reader will say so.
        let _ = self.bell.try_send(());
        Flushed { shed, pressed }
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

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn end(&self) {
        // Already gone: just as well.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The reader task. `_reading` is dropped with it, which the writer of a closing link waits for.
async fn read(
    link: LinkId,
    shared: Arc<Shared>,
    rest: Vec<u8>,
    inbox: Sender<Inbox>,
    _reading: Sender<()>,
) {
    let gone = match read_frames(link, &shared, rest, &inbox).await {
        _ if shared.closing() => Gone::ByUs,
        _ if shared.broken.load(Ordering::Acquire) => Gone::Broken,
        gone => gone,
    };
    if gone != Gone::Garbage {
        shared.end();
    }
    let garbage = gone == Gone::Garbage;
    // An error: the node is gone too, nobody to tell.
    if inbox.send(Inbox::Down(link, gone)).await.is_ok() && garbage {
        // The node task says why it closes; the writer ends this.
        drain(&shared, &mut vec![0; READ_BYTES]).await;
    }
}

async fn read_frames(link: LinkId, shared: &Shared, rest: Vec<u8>, inbox: &Sender<Inbox>) -> Gone {
    let mut reader = FrameReader::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = Bytes::from(rest);
    loop {
        let mut batch = Vec::new();
        reader.push(bytes);
        let intact = loop {
            match reader.next_frame() {
                Ok(Some(frame)) => batch.push(frame),
                Ok(None) => break true,
                Err(error) => {
                    log::debug!("link {}: {error}", link.0);
                    break false;
                }
            }
        };
        if !batch.is_empty() && inbox.send(Inbox::Frames(link, batch)).await.is_err() {
            return Gone::ByUs;
        }
        if !intact {
            return Gone::Garbage;
        }
        match (&shared.stream).read(&mut buffer).await {
            Ok(0) => return Gone::Closed,
            Ok(_) if shared.closing() => return drain(shared, &mut buffer).await,
            // One copy of 64 KiB costs less than a fresh buffer for each read, and what a frame keeps
            // alive is then as large as what was read.
            Ok(len) => bytes = Bytes::copy_from_slice(&buffer[..len]),
            Err(_) => return Gone::Broken,
        }
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
async fn write(shared: Arc<Shared>, rung: Receiver<()>, read_to_end: Receiver<()>) {
    let mut buffer = Vec::new();
    loop {
        shared.queue().take(&mut buffer);
        if buffer.len() > BEHIND_BYTES {
            // Full: it was rung already.
            let _ = shared.relief.try_send(());
        }
        if !buffer.is_empty() {
            if !write_all(&shared, &buffer).await {
                shared.broken.store(true, Ordering::Release);
                break;
            }
            buffer.clear();
            continue;
        }
        buffer.shrink_to(BUFFER_KEPT);
        // The last frame was queued before `closing` was set: look once more before going by it.
        if shared.closing() {
            if shared.queue().is_empty() {
                let _ = shared.stream.shutdown(Shutdown::Write);
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

/// `false`: the socket failed or took no byte for too long.
async fn write_all(shared: &Shared, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let patience = if shared.closing() {
            CLOSE_STUCK
        } else {
            WRITE_STUCK
        };
        match rt::timeout(patience, (&shared.stream).write(bytes)).await {
            Ok(Ok(len)) if len > 0 => bytes = &bytes[len..],
            _ => return false,
        }
    }
    true
}
