//! A file into a socket: from page cache to socket buffer by the kernel where it can (`sendfile`), else
//! by read and write; at the pace of `--limit-up`, and not for clients that hardly read.
//!
//! The copying runs on a thread that may wait for the disk, batch by batch; a client that is slower than
//! we are is waited for by a task, so that it costs no thread.

use std::fs::File;
use std::io;
use std::net::TcpStream as StdStream;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::SendFlags;

use super::conn::Stream;
use super::rt::{self, Clock, Watched, WriteExt};
use crate::node::Time;

/// Bytes sent before the file is looked at again. At 1 GiB/s some 130 looks a second.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of one `sendfile`; nginx's default for the same.
const SEND_BYTES: u64 = 2 * 1024 * 1024;
/// How long the copying thread waits for a full socket by itself: a client on a fast line reads on within
/// this, and a change of threads would cost more. Our estimate.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};
/// A client that takes nothing for so long is gone. Our estimate.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Waiting for a client is added up to this before its speed is judged.
const SLOW_WINDOW: Duration = Duration::from_secs(60);
/// Bytes a client must take in [`SLOW_WINDOW`] of waiting: 1 KiB/s, slower than any modem.
const SLOW_BYTES_MIN: u64 = 60 * 1024;
/// Longest wait for a turn under `--limit-up`; shorter turns let more uploads share a low limit evenly.
const TURN: Duration = Duration::from_millis(100);
/// Bytes of the smallest turn, however low the limit.
const TURN_BYTES_MIN: u64 = 1024;

/// A range of an open file, checked against the index.
#[derive(Debug)]
pub(crate) struct FileRange {
    /// The file.
    pub(crate) file: File,
    /// First byte.
    pub(crate) start: u64,
    /// Byte after the last one.
    pub(crate) end: u64,
    /// Nobody writes to the file, so that any change of it ends the answer. Else only to bytes outside the range.
    pub(crate) settled: bool,
    /// Shown name, for news and log.
    pub(crate) shown: String,
}

/// The way into one connection.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// A second descriptor of the socket, and the means to wait until it takes more.
    Socket(Arc<Watched>),
    /// What goes out is encrypted first: the kernel cannot do it alone.
    Sealed(Stream),
}

impl Outlet {
    /// Of this stream.
    pub(crate) fn new(stream: &Stream) -> io::Result<Self> {
        let Stream::Plain(socket) = stream else {
            return Ok(Self::Sealed(stream.clone()));
        };
        let second: OwnedFd = socket.as_fd().try_clone_to_owned()?;
        Ok(Self::Socket(Arc::new(Watched::new(StdStream::from(
            second,
        ))?)))
    }
}

/// Sends `head`, then the range. `sent` counts the bytes of the file that went out, whatever the end.
///
/// # Errors
/// `InvalidData` when the file changed underneath: nothing more is sent, and the client, missing the rest,
/// cannot take it for whole. `TimedOut` for a client too slow; else as the socket says.
pub(crate) async fn send(
    outlet: &Outlet,
    mut head: Vec<u8>,
    range: FileRange,
    pace: &Pace,
    sent: &mut u64,
) -> io::Result<()> {
    let outlet = match outlet {
        Outlet::Socket(socket) => socket,
        Outlet::Sealed(stream) => return send_sealed(stream, &head, range, pace, sent).await,
    };
    let (file, mut at, end) = (Arc::new(range.file), range.start, range.end);
    let settled = range.settled;
    let stamp = stamp(&file)?;
    let mut slow = Slowness::default();
    loop {
        let turn = pace.turn(end - at).await.min(BATCH_BYTES);
        let (socket, source) = (outlet.clone(), file.clone());
        let batch = rt::spawn_blocking(move || {
            if settled && self::stamp(&source)? != stamp {
                return Err(changed());
            }
            push(socket.get_ref(), head, &source, at, turn)
        });
        let pushed = batch.await?;
        (*sent, at, head) = (*sent + pushed.bytes, at + pushed.bytes, pushed.head);
        if at == end && head.is_empty() {
            return Ok(());
        }
        if pushed.full {
            let before = pace.clock.now();
            if rt::timeout(STALL_MAX, outlet.writable()).await.is_err() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            slow.waited(pace.clock.now().since(before), *sent)?;
        }
    }
}

/// Bytes of a file encrypted and written at a time: twice what a session holds back.
const SEALED_BYTES: u64 = 128 * 1024;

/// As [`send`], through TLS.
async fn send_sealed(
    stream: &Stream,
    head: &[u8],
    range: FileRange,
    pace: &Pace,
    sent: &mut u64,
) -> io::Result<()> {
    let (file, mut at, end) = (Arc::new(range.file), range.start, range.end);
    let stamp = stamp(&file)?;
    let mut slow = Slowness::default();
    write_sealed(stream, head).await?;
    let mut buffer = Vec::new();
    while at < end {
        let turn = pace.turn((end - at).min(SEALED_BYTES)).await;
        let source = file.clone();
        let piece = rt::spawn_blocking(move || {
            if self::stamp(&source)? != stamp {
                return Err(changed());
            }
            buffer.resize(usize::try_from(turn).expect("at most SEALED_BYTES"), 0);
            match std::os::unix::fs::FileExt::read_at(&*source, &mut buffer, at)? {
                0 => Err(changed()),
                read => {
                    buffer.truncate(read);
                    Ok(buffer)
                }
            }
        });
        buffer = piece.await?;
        let before = pace.clock.now();
        write_sealed(stream, &buffer).await?;
        at += buffer.len() as u64;
        *sent += buffer.len() as u64;
        slow.waited(pace.clock.now().since(before), *sent)?;
    }
    let mut stream = stream;
    match rt::timeout(STALL_MAX, stream.flush()).await {
        Ok(flushed) => flushed,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Writes all of it; each part that the session takes must go in time.
async fn write_sealed(mut stream: &Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rt::timeout(STALL_MAX, stream.write(bytes)).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written?..],
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    Ok(())
}

/// Adds up the waiting for a client and judges it.
#[derive(Debug, Default)]
struct Slowness {
    waited: Duration,
    sent_before: u64,
}

impl Slowness {
    fn waited(&mut self, span: Duration, sent: u64) -> io::Result<()> {
        self.waited += span;
        if self.waited < SLOW_WINDOW {
            return Ok(());
        }
        let taken = sent - self.sent_before;
        *self = Self {
            waited: Duration::ZERO,
            sent_before: sent,
        };
        if taken < SLOW_BYTES_MIN {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(())
        }
    }
}

/// What one batch achieved.
struct Pushed {
    /// What is left of the head.
    head: Vec<u8>,
    /// Bytes of the file.
    bytes: u64,
    /// The socket takes no more for now.
    full: bool,
}

/// Pushes the head and up to `most` bytes of the file from `at` on into the socket.
fn push(
    socket: &StdStream,
    mut head: Vec<u8>,
    file: &File,
    at: u64,
    most: u64,
) -> io::Result<Pushed> {
    let mut bytes = 0;
    while !head.is_empty() || bytes < most {
        let pushed = if head.is_empty() {
            match copy(socket, file, at + bytes, (most - bytes).min(SEND_BYTES)) {
                Ok(0) => return Err(changed()),
                other => other.map(|copied| bytes += copied),
            }
        } else {
            // More follows at once: head and first bytes share a packet.
            let flags = if most > 0 {
                SendFlags::MORE
            } else {
                SendFlags::empty()
            };
            let sent = rustix::net::send(socket, &head, flags | SendFlags::NOSIGNAL);
            sent.map(|sent| drop(head.drain(..sent)))
                .map_err(io::Error::from)
        };
        match pushed {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(socket, PollFlags::OUT)];
                if rustix::event::poll(&mut fds, Some(&PATIENCE))? == 0 {
                    return Ok(Pushed {
                        head,
                        bytes,
                        full: true,
                    });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
    }
    Ok(Pushed {
        head,
        bytes,
        full: false,
    })
}

/// Bytes copied, 0 at the end of the file.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn copy(socket: &StdStream, file: &File, mut at: u64, most: u64) -> io::Result<u64> {
    let most = usize::try_from(most).expect("at most SEND_BYTES");
    match rustix::fs::sendfile(socket, file, Some(&mut at), most) {
        Ok(sent) => Ok(sent as u64),
        // A file system without it.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            copy_by_hand(socket, file, at, most as u64)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use copy_by_hand as copy;

/// Bytes read and written at a time without `sendfile`.
const BY_HAND_BYTES: u64 = 64 * 1024;

/// As [`copy`], through memory.
fn copy_by_hand(socket: &StdStream, file: &File, at: u64, most: u64) -> io::Result<u64> {
    let mut buffer =
        vec![0; usize::try_from(most.min(BY_HAND_BYTES)).expect("at most BY_HAND_BYTES")];
    let read = std::os::unix::fs::FileExt::read_at(file, &mut buffer, at)?;
    if read == 0 {
        return Ok(0);
    }
    Ok(rustix::net::send(socket, &buffer[..read], SendFlags::NOSIGNAL)? as u64)
}

fn changed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the file changed while it was sent",
    )
}

/// Size and time of last change: what tells one content of a file from the next.
fn stamp(file: &File) -> io::Result<(u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let meta = file.metadata()?;
    Ok((meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// Bytes a second shared by all uploads.
#[derive(Debug)]
pub(crate) struct Pace {
    clock: Clock,
    /// 0: no limit.
    per_s: AtomicU64,
    /// When all that was granted so far will have gone out at that speed.
    spent_until: Mutex<Time>,
}

impl Pace {
    /// `per_s`: bytes a second over all uploads; `None`: no limit.
    pub(crate) fn new(clock: Clock, per_s: Option<u64>) -> Self {
        let pace = Self {
            clock,
            per_s: AtomicU64::new(0),
            spent_until: Mutex::new(clock.now()),
        };
        pace.set(per_s);
        pace
    }

    /// So many from now on; turns that were granted stay.
    pub(crate) fn set(&self, per_s: Option<u64>) {
        let per_s = per_s.map_or(0, |per_s| per_s.max(1));
        self.per_s.store(per_s, Ordering::Relaxed);
    }

    /// Waits for a turn and returns its bytes, at most `most`. Turns are granted in the order of asking,
    /// so that uploads share evenly.
    async fn turn(&self, most: u64) -> u64 {
        let per_s = self.per_s.load(Ordering::Relaxed);
        if per_s == 0 {
            return most;
        }
        let (bytes, wait) = {
            let mut until = self
                .spent_until
                .lock()
                .expect("no code panics while it holds this lock");
            grant(&mut until, self.clock.now(), per_s, most)
        };
        if !wait.is_zero() {
            rt::sleep(wait).await;
        }
        bytes
    }
}

/// Books up to `want` bytes behind what was booked before; returns how many, and how long until its turn.
fn grant(spent_until: &mut Time, now: Time, per_s: u64, want: u64) -> (u64, Duration) {
    let turn = u128::from(per_s) * TURN.as_millis() / 1000;
    let bytes = want.min(u64::try_from(turn).unwrap_or(u64::MAX).max(TURN_BYTES_MIN));
    let start = (*spent_until).max(now);
    let takes = u128::from(bytes) * 1_000_000_000 / u128::from(per_s);
    *spent_until = start.plus(Duration::from_nanos(
        u64::try_from(takes).unwrap_or(u64::MAX),
    ));
    (bytes, start.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_uploads_together_keep_to_the_pace() {
        let (mut until, mut now) = (Time::ZERO, Time::ZERO);
        let mut sent = [0; 3];
        while now < Time::ZERO.plus(Duration::from_secs(10)) {
            let (mut latest, start) = (Duration::ZERO, now);
            for sent in &mut sent {
                let (bytes, wait) = grant(&mut until, start, 50_000, u64::MAX);
                (*sent, latest) = (*sent + bytes, latest.max(wait));
            }
            now = start.plus(latest.max(Duration::from_millis(1)));
        }
        let all: u64 = sent.iter().sum();
        assert!((450_000..=550_000).contains(&all), "{all}");
        assert!(
            sent.iter().all(|one| one.abs_diff(all / 3) < 10_000),
            "{sent:?}"
        );
    }

    #[test]
    fn an_idle_pace_saves_nothing_up() {
        let mut until = Time::ZERO;
        let now = Time::ZERO.plus(Duration::from_secs(3600));
        assert_eq!(grant(&mut until, now, 1000, 500), (500, Duration::ZERO));
        assert_eq!(
            grant(&mut until, now, 1000, 500),
            (500, Duration::from_millis(500))
        );
    }

    #[test]
    fn a_client_that_hardly_reads_is_let_go() {
        let mut slow = Slowness::default();
        assert!(slow.waited(Duration::from_secs(59), 10).is_ok());
        assert!(slow.waited(Duration::from_secs(1), 20).is_err());
        let mut slow = Slowness::default();
        assert!(slow.waited(Duration::from_secs(60), SLOW_BYTES_MIN).is_ok());
    }
}
