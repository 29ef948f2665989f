//! A connection to an HTTP server, and the bodies it sends.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::conn::{Stream, UPGRADE_PAUSE};
use super::download::{Seal, Source};
use super::http;
use super::rt::{self, ReadExt, TcpStream};
use super::tls::Caller;
use crate::node::greet;
use crate::node::swarm::Ended;
use crate::wire::ServentId;
use crate::wire::heads::{Head, HeadReader};

/// A connection must come up within this. Our estimate.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
/// Silence of a source before it is given up (content.md 4.3).
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes of a chunk's size line.
const CHUNK_LINE_MAX: usize = 256;
/// Lines after the last chunk that are read; hardly anybody sends one.
const TRAILERS_MAX: usize = 16;

/// How an exchange failed, and why for people.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) ended: Ended,
    pub(super) why: String,
}

impl Failure {
    pub(super) fn new(ended: Ended, why: impl Into<String>) -> Self {
        Self {
            ended,
            why: why.into(),
        }
    }
}

/// Answers that are none yet (100, 101), before the one that counts.
const INTERIM_MAX: usize = 4;

/// The answer to a request.
pub(super) struct Response {
    pub(super) conn: Conn,
    pub(super) head: Head,
    /// Status code, 200 at least.
    pub(super) code: u16,
    /// Minor version of HTTP.
    pub(super) minor: u8,
}

/// Sends a request and reads the head of its answer; `request` is told whether to ask for TLS. Where that is agreed to
/// the answer comes inside (RFC 2817); where it does not work then, it is asked once more in clear.
pub(super) async fn response(
    mut conn: Conn,
    source: &Source,
    request: impl Fn(bool) -> Vec<u8>,
) -> Result<Response, Failure> {
    let asks = conn.asks_for_tls();
    conn.send(&request(asks)).await?;
    for _ in 0..INTERIM_MAX {
        let head = conn.head().await?;
        let no_http = || Failure::new(Ended::Wrong, "it does not speak HTTP");
        let status = head.status_line().ok_or_else(no_http)?;
        let minor = http::minor_version(status.version).ok_or_else(no_http)?;
        let code = status.code;
        if code >= 200 {
            return Ok(Response {
                conn,
                head,
                code,
                minor,
            });
        }
        if code == 101 {
            if !(asks && greet::upgrades(&head)) || conn.is_encrypted() {
                return Err(Failure::new(
                    Ended::Wrong,
                    "it switches to what nobody asked for",
                ));
            }
            if !Box::pin(conn.upgrade()).await {
                // It connected to us, and cannot be asked to do so again so soon.
                if conn.brought() {
                    return Err(Failure::new(Ended::Broken, "its TLS does not work"));
                }
                conn = Box::pin(Conn::open_in_clear(source)).await?;
                conn.send(&request(false)).await?;
            }
        }
    }
    Err(Failure::new(Ended::Wrong, "it never comes to the point"))
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Known(u64),
    Chunked,
    ToTheEnd,
}

/// An open connection to a source.
#[derive(Debug)]
pub(super) struct Conn {
    stream: Stream,
    place: (String, u16),
    /// Who is there, if that is known.
    servent: Option<ServentId>,
    /// It opened the connection.
    brought: bool,
    unread: Vec<u8>,
    /// TLS may be asked for: it was not yet, and there is none.
    may_ask: bool,
}

impl Conn {
    /// Whether it leads to this source's host and port.
    pub(super) fn is_to(&self, source: &Source) -> bool {
        let servent = source.walled().map(|walled| walled.servent);
        (self.place.0.as_str(), self.place.1) == source.place() && self.servent == servent
    }

    /// A connection that a source opened because it was asked to.
    pub(super) fn given(stream: Stream, source: &Source) -> Self {
        Self {
            brought: true,
            ..Self::to(source, stream)
        }
    }

    fn to(source: &Source, stream: Stream) -> Self {
        stream.set_nodelay();
        let (host, port) = source.place();
        Self {
            may_ask: source.seal() != Seal::Never && !stream.is_encrypted(),
            stream,
            place: (host.to_owned(), port),
            servent: source.walled().map(|walled| walled.servent),
            brought: false,
            unread: Vec::new(),
        }
    }

    /// Connects, with TLS from the first byte where the source said that it takes that. If it does not after all, it
    /// is tried in clear: whoever could force this could as well strike the word from the hit.
    pub(super) async fn open(source: &Source) -> Result<Self, Failure> {
        let caller = Caller::shared().filter(|_| source.seal() == Seal::FromTheStart);
        let Some(caller) = caller else {
            return Ok(Self::to(source, Stream::Plain(connect(source).await?)));
        };
        match caller.connect(connect(source).await?).await {
            Ok(stream) => Ok(Self::to(source, stream)),
            Err(error) => {
                log::debug!("{source}: TLS: {error}; once more without");
                Self::open_in_clear(source).await
            }
        }
    }

    /// Connects, and asks for no TLS.
    pub(super) async fn open_in_clear(source: &Source) -> Result<Self, Failure> {
        Ok(Self {
            may_ask: false,
            ..Self::to(source, Stream::Plain(connect(source).await?))
        })
    }

    /// Is TLS to be asked for with the next request? Said once.
    pub(super) fn asks_for_tls(&mut self) -> bool {
        std::mem::take(&mut self.may_ask) && Caller::shared().is_some()
    }

    /// Goes on with TLS, as the other side agreed to. `false`: it did not work, and the connection is of no more use.
    pub(super) async fn upgrade(&mut self) -> bool {
        // It is our turn to speak.
        let (Stream::Plain(socket), true) = (&self.stream, self.unread.is_empty()) else {
            return false;
        };
        let Some(caller) = Caller::shared() else {
            return false;
        };
        rt::sleep(UPGRADE_PAUSE).await;
        match caller.connect(socket.clone()).await {
            Ok(stream) => {
                self.stream = stream;
                true
            }
            Err(error) => {
                log::debug!("{}:{}: TLS: {error}", self.place.0, self.place.1);
                false
            }
        }
    }

    /// Is what is read and written encrypted?
    pub(super) fn is_encrypted(&self) -> bool {
        self.stream.is_encrypted()
    }

    /// Reads into `buffer`; 0 at the end.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if !self.unread.is_empty() {
            let take = buffer.len().min(self.unread.len());
            buffer[..take].copy_from_slice(&self.unread[..take]);
            self.unread.drain(..take);
            return Ok(take);
        }
        match rt::timeout(SILENCE_MAX, (&self.stream).read(buffer)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(Failure::new(Ended::Broken, error.to_string())),
            Err(_) => Err(Failure::new(Ended::Broken, "it fell silent")),
        }
    }

    /// Did the source open it, because it was asked to?
    pub(super) fn brought(&self) -> bool {
        self.brought
    }

    /// Our end.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// The other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// Writes a request.
    pub(super) async fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        match rt::timeout(SILENCE_MAX, self.stream.send(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::new(Ended::Broken, error.to_string())),
            Err(_) => Err(Failure::new(Ended::Broken, "it takes no request")),
        }
    }

    /// Reads the head of an answer.
    pub(super) async fn head(&mut self) -> Result<Head, Failure> {
        let mut reader = HeadReader::new();
        let mut buffer = vec![0; 16 * 1024];
        let read_all = async {
            loop {
                let read = self.read(&mut buffer).await?;
                if read == 0 {
                    return Err(Failure::new(Ended::Broken, "it closed the connection"));
                }
                match reader.push(&buffer[..read]) {
                    Ok(None) => {}
                    Ok(Some((head, rest))) => {
                        self.unread = [rest, std::mem::take(&mut self.unread)].concat();
                        return Ok(head);
                    }
                    Err(_) => return Err(Failure::new(Ended::Wrong, "it does not speak HTTP")),
                }
            }
        };
        match rt::timeout(SILENCE_MAX, read_all).await {
            Ok(head) => head,
            Err(_) => Err(Failure::new(Ended::Broken, "it did not answer in time")),
        }
    }

    /// A line that ends in a line feed, without it.
    async fn line(&mut self) -> Result<String, Failure> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < CHUNK_LINE_MAX {
            if self.read(&mut byte).await? == 0 {
                return Err(Failure::new(Ended::Broken, "it closed the connection"));
            }
            if byte[0] == b'\n' {
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            line.push(byte[0]);
        }
        Err(Failure::new(Ended::Wrong, "its chunks make no sense"))
    }
}

async fn connect(source: &Source) -> Result<TcpStream, Failure> {
    let (host, port) = source.place();
    let wanted = (host.to_owned(), port);
    let connect = async {
        let addrs = rt::spawn_blocking(move || wanted.to_socket_addrs()).await?;
        TcpStream::connect(&*addrs.collect::<Vec<_>>()).await
    };
    match rt::timeout(CONNECT_TIME_MAX, connect).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Failure::new(Ended::Unreachable, error.to_string())),
        Err(_) => Err(Failure::new(Ended::Unreachable, "no connection in time")),
    }
}

/// The body of one answer, while it is read.
#[derive(Debug)]
pub(super) struct Incoming {
    length: Length,
    /// Bytes of the body, or of its current chunk, still to come.
    left: u64,
    ended: bool,
}

impl Incoming {
    pub(super) fn new(length: Length) -> Self {
        let left = if let Length::Known(length) = length {
            length
        } else {
            0
        };
        Self {
            length,
            left,
            ended: false,
        }
    }

    /// Reads into `buffer`; 0 at the end. `room`: bytes the whole rest of the body may have; a chunk beyond
    /// them is an error at once.
    pub(super) async fn read(
        &mut self,
        conn: &mut Conn,
        buffer: &mut [u8],
        room: u64,
    ) -> Result<usize, Failure> {
        if self.length == Length::ToTheEnd {
            return conn.read(buffer).await;
        }
        if self.left == 0 && self.length == Length::Chunked && !self.ended {
            self.left = next_chunk(conn).await?;
            self.ended = self.left == 0;
            if self.left > room {
                return Err(Failure::new(Ended::Wrong, "it sends more than it promised"));
            }
        }
        if self.left == 0 {
            return Ok(0);
        }
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = conn.read(&mut buffer[..most]).await?;
        if read == 0 {
            return Err(Failure::new(
                Ended::Broken,
                "it closed the connection early",
            ));
        }
        self.left -= read as u64;
        if self.left == 0 && self.length == Length::Chunked && !conn.line().await?.is_empty() {
            return Err(Failure::new(Ended::Wrong, "its chunks make no sense"));
        }
        Ok(read)
    }
}

/// Bytes of the chunk that follows; 0 after the last one, its trailers read.
async fn next_chunk(conn: &mut Conn) -> Result<u64, Failure> {
    let line = conn.line().await?;
    let digits = line.split(';').next().unwrap_or_default().trim();
    let size = u64::from_str_radix(digits, 16)
        .map_err(|_| Failure::new(Ended::Wrong, "its chunks make no sense"))?;
    if size == 0 {
        for _ in 0..TRAILERS_MAX {
            if conn.line().await?.is_empty() {
                return Ok(0);
            }
        }
        return Err(Failure::new(Ended::Wrong, "its chunks make no sense"));
    }
    Ok(size)
}

/// How long the body after `head` is.
pub(super) fn length(head: &Head) -> Result<Length, Failure> {
    if head.lists("Transfer-Encoding", "chunked") {
        return Ok(Length::Chunked);
    }
    // Repeated lines are joined; they must all say the same.
    let mut lengths = head.list("Content-Length");
    let Some(first) = lengths.next() else {
        return Ok(Length::ToTheEnd);
    };
    match first.parse() {
        Ok(length) if lengths.all(|other| other == first) => Ok(Length::Known(length)),
        _ => Err(Failure::new(
            Ended::Wrong,
            "its Content-Length makes no sense",
        )),
    }
}
