//! The only file that names `async_std` (and its kin `async_io`, `async_signal`). Whatever the shell needs
//! of a runtime passes through here, so that another runtime (smol has each of these with the same io
//! traits) is a change of one file.
//!
//! The shell's clock lives here too: no other file of the program asks what time it is.
#![allow(
    unused_imports,
    reason = "the rooms round this one take what they need, as they grow"
)]

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

pub(crate) use async_std::channel::{
    Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError, bounded,
};
pub(crate) use async_std::future::{TimeoutError, timeout};
pub(crate) use async_std::io::{Read, ReadExt, Write, WriteExt};
pub(crate) use async_std::net::{TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
pub(crate) use async_std::os::unix::net::{UnixListener, UnixStream};
pub(crate) use async_std::task::{JoinHandle, block_on, sleep, spawn, spawn_blocking, yield_now};

use crate::node::Time;

/// A socket whose readiness can be waited for, for those who move bytes by their own system calls.
pub(crate) type Watched = async_io::Async<std::net::TcpStream>;
/// The same for local sockets.
#[cfg(unix)]
pub(crate) type WatchedUnix = async_io::Async<std::os::unix::net::UnixStream>;

/// Time since the node started, as the core wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    #[allow(clippy::disallowed_methods, reason = "this is the clock of the shell")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Now. Never goes back.
    pub(crate) fn now(self) -> Time {
        Time::ZERO.plus(self.0.elapsed())
    }
}

/// The time of day in seconds since 1970, for dates that others read.
#[allow(clippy::disallowed_methods, reason = "this is the clock of the shell")]
pub(crate) fn unix_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The first of two futures that is ready; `None` when it was `until`.
pub(crate) async fn unless<T>(
    until: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let until = async {
        until.await;
        None
    };
    futures_lite::future::or(async { Some(work.await) }, until).await
}

/// Interrupts and requests to end (SIGINT, SIGTERM), caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct EndSignals(async_signal::Signals);

impl EndSignals {
    /// Watches from now on.
    ///
    /// # Errors
    /// The system refuses to watch for signals.
    pub(crate) fn watch() -> io::Result<Self> {
        use async_signal::{Signal, Signals};

        #[cfg(unix)]
        let signals = Signals::new([Signal::Int, Signal::Term])?;
        #[cfg(not(unix))]
        let signals = Signals::new([Signal::Int])?;
        Ok(Self(signals))
    }

    /// Waits for the next.
    ///
    /// # Errors
    /// The system does not watch any more.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        match futures_lite::StreamExt::next(&mut self.0).await {
            Some(Ok(_)) | None => Ok(()),
            Some(Err(error)) => Err(error),
        }
    }
}

/// Waits for an interrupt or a request to end (SIGINT, SIGTERM).
///
/// # Errors
/// The system refuses to watch for signals.
pub(crate) async fn asked_to_end() -> io::Result<()> {
    EndSignals::watch()?.next().await
}

/// Waits for what an already running future brings, on a thread that runs no tasks.
pub(crate) fn wait_for<T>(wait: Duration, future: impl Future<Output = T>) -> Option<T> {
    block_on(timeout(wait, future)).ok()
}
