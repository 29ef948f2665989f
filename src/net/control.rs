//! The control socket: one JSON line asks, JSON lines answer ([`crate::control`]).
//!
//! A Unix socket that only its owner may open. One connection carries one request; hanging up ends it.
//! Lines, clients and the time for a request are bounded. See docs/control.md.

pub(super) mod handed;

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_lite::future;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::asker::Asker;
use super::pusher::Pusher;
use super::replies::Replies;
use super::requests::{self, Desk};
use super::rt::{self, ReadExt, Receiver, UnixListener, UnixStream, WriteExt};
use crate::control::{Reply, Request};

/// Bytes of a request line. A search text is a few words; this is 60 times the longest that fits a query.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Clients at a time; more are turned away.
const CLIENTS_MAX: usize = 64;
/// A client has so long for its request, and for taking each answer.
const CLIENT_TIME: Duration = Duration::from_secs(30);
/// Replies that wait for a client; its request waits while there are more.
const REPLIES_MAX: usize = 64;
/// Clients that wait to be let in.
const BACKLOG: i32 = 64;
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another node answers on it.
    #[error("a node is already running on {0}; stop it, or give this one another --home")]
    InUse(PathBuf),
    /// The path does not fit in a socket address (some 100 bytes).
    #[error("the path of the control socket is too long: {0}; choose a shorter --home")]
    TooLong(PathBuf),
    /// It cannot be made.
    #[error("cannot make the control socket {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the socket, in the place of one that a killed node has left.
///
/// # Errors
/// A living node has it, or it cannot be made.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, ControlError> {
    let failed = |source| ControlError::Io {
        path: path.to_owned(),
        source,
    };
    let addr = SocketAddrUnix::new(path).map_err(|_| ControlError::TooLong(path.to_owned()))?;
    match BlockingStream::connect(path) {
        Ok(_) => return Err(ControlError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Nobody answers: what is left of a node that was killed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|error| failed(error.into()))?;
    rustix::net::bind(&socket, &addr).map_err(|error| failed(error.into()))?;
    // Before `listen` nobody can connect, so there is no moment at which others may.
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, owner_only).map_err(failed)?;
    rustix::net::listen(&socket, BACKLOG).map_err(|error| failed(error.into()))?;
    Ok(std::os::unix::net::UnixListener::from(socket).into())
}

/// Serves clients until `closed` is ready.
pub(crate) async fn serve(
    listener: UnixListener,
    desk: Arc<Desk>,
    closed: impl Future<Output = ()>,
) {
    let clients = Arc::new(AtomicUsize::new(0));
    let work = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => let_in(stream, &desk, &clients),
                Err(error) => {
                    log::warn!("cannot accept a control client: {error}");
                    rt::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    rt::unless::<()>(closed, work).await;
}

fn let_in(stream: UnixStream, desk: &Arc<Desk>, clients: &Arc<AtomicUsize>) {
    let (desk, clients) = (desk.clone(), clients.clone());
    let crowd = clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS_MAX;
    // Detached: it ends with its client, which has a deadline for all it does.
    rt::spawn(async move {
        if crowd {
            let message = format!("{CLIENTS_MAX} commands use this node already; end one first");
            send(&stream, &Reply::Error { message }).await;
        } else {
            attend(&stream, &desk).await;
        }
        clients.fetch_sub(1, Ordering::Relaxed);
    });
}

/// One request of one client.
async fn attend(stream: &UnixStream, desk: &Desk) {
    let request = match rt::timeout(CLIENT_TIME, read_request(stream)).await {
        Ok(Ok(Some(request))) => request,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(message)) => {
            send(stream, &Reply::Error { message }).await;
            return;
        }
    };
    if let Request::Push {
        servent,
        index,
        push_proxies,
        net,
    } = request
    {
        let work = handed::answer(stream, desk, &servent, index, push_proxies, net);
        rt::unless(hung_up(stream), work).await;
        return;
    }
    let (replies, answers) = rt::bounded(REPLIES_MAX);
    let work = future::zip(
        requests::answer(request, desk, replies),
        pass_on(stream, answers),
    );
    rt::unless(hung_up(stream), work).await;
}

/// The request; `None` when the client hangs up without one.
async fn read_request(mut stream: &UnixStream) -> Result<Option<Request>, String> {
    let mut line = Vec::new();
    let mut chunk = [0; 1024];
    let end = loop {
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            break end;
        }
        if line.len() > REQUEST_BYTES_MAX {
            return Err(format!("a request has at most {REQUEST_BYTES_MAX} bytes"));
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(len) => line.extend_from_slice(&chunk[..len]),
        }
    };
    serde_json::from_slice(&line[..end])
        .map(Some)
        .map_err(|error| format!("this is no request: {error}; docs/control.md lists them"))
}

/// Ready when the client closes its end. Bytes after the request are not looked at.
async fn hung_up(mut stream: &UnixStream) {
    let mut chunk = [0; 1024];
    while matches!(stream.read(&mut chunk).await, Ok(1..)) {}
}

async fn pass_on(stream: &UnixStream, replies: Receiver<Reply>) {
    while let Ok(reply) = replies.recv().await {
        if !send(stream, &reply).await {
            return;
        }
    }
}

/// `false`: the client is gone, or does not read.
async fn send(mut stream: &UnixStream, reply: &Reply) -> bool {
    let mut line = serde_json::to_vec(reply).expect("replies hold only text, numbers and lists");
    line.push(b'\n');
    matches!(
        rt::timeout(CLIENT_TIME, stream.write_all(&line)).await,
        Ok(Ok(()))
    )
}

/// A running node, by its control socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// Finds out whether a node is running on this socket.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::ConnectionRefused`]: no node is running there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        BlockingStream::connect(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Asks. Dropping the replies ends a search.
    ///
    /// # Errors
    /// The node has ended.
    pub fn request(&self, request: &Request) -> io::Result<Replies> {
        let mut stream = BlockingStream::connect(&self.path)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        Ok(Replies::remote(stream))
    }

    /// For asking from other threads.
    pub fn asker(&self) -> Asker {
        Asker::there(self.clone())
    }

    /// Has servents connect to the running node that cannot be connected to, and brings the connections here.
    pub fn pusher(&self) -> Pusher {
        Pusher::there(self.path.clone())
    }
}

/// Bytes of a reply line: a hit of 64 KiB whose every byte is escaped as six.
const REPLY_BYTES_MAX: usize = 512 * 1024;

/// Reads replies off a socket, each with a deadline.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BlockingStream,
    bytes: Vec<u8>,
    /// Bytes of `bytes` known to hold no line feed.
    searched: usize,
}

impl Lines {
    pub(crate) fn new(stream: BlockingStream) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
            searched: 0,
        }
    }

    /// The next reply. `Ok(None)`: none in time.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`]: the node has ended; others: what came is no reply.
    pub(crate) fn next(&mut self, wait: Duration) -> io::Result<Option<Reply>> {
        let clock = rt::Clock::start();
        loop {
            if let Some(at) = self.bytes[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let end = self.searched + at;
                let reply = serde_json::from_slice(&self.bytes[..end])?;
                self.bytes.drain(..=end);
                self.searched = 0;
                return Ok(Some(reply));
            }
            self.searched = self.bytes.len();
            if self.bytes.len() > REPLY_BYTES_MAX {
                return Err(io::Error::other("a reply line is too long"));
            }
            let left = wait.saturating_sub(clock.now().since(crate::node::Time::ZERO));
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.bytes.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_a_killed_node_is_replaced_and_that_of_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let first = bind(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(matches!(bind(&path), Err(ControlError::InUse(_))));
        drop(first);
        assert!(path.exists(), "a killed node leaves its socket");
        assert!(bind(&path).is_ok());
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_an_error_that_says_so() {
        let path = Path::new("/tmp").join("x".repeat(200));
        assert!(matches!(bind(&path), Err(ControlError::TooLong(_))));
    }
}
