//! One request to one source, and its answer as far as it is worth reading.
//!
//! What a server says of itself is never believed beyond what adds up: the range it names must fit the
//! request and the size, and no byte beyond what it promised is read.

use std::net::ToSocketAddrs;
use std::time::Duration;

use super::download_source::Source;
use super::http::{self, AGENT};
use super::rt::{self, Clock, ReadExt, TcpStream, WriteExt};
use crate::node::Time;
use crate::node::downloads::{Download, Ended, SourceId};
use crate::wire::Sha1;
use crate::wire::heads::{Head, HeadReader, HeadWriter};

/// A connection must come up within this. Our estimate.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
/// Silence of a source before it is given up (content.md 4.3).
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A source's speed is judged over this span.
const SPEED_WINDOW: Duration = Duration::from_secs(20);
/// Bytes that must come in [`SPEED_WINDOW`]: half a KiB a second, below any modem.
const SPEED_BYTES_MIN: u64 = 10 * 1024;
/// Bytes of one buffer between socket and disk: a full read of a large socket buffer.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of an error's body that are read to keep the connection.
const ERROR_BODY_MAX: u64 = 64 * 1024;
/// Interim answers (1xx) before one that counts.
const INTERIM_MAX: usize = 4;
/// Bytes of a chunk's size line.
const CHUNK_LINE_MAX: usize = 256;

/// An open connection to a source.
#[derive(Debug)]
pub(super) struct Conn {
    stream: TcpStream,
    place: (String, u16),
    unread: Vec<u8>,
}

impl Conn {
    /// Whether it leads to this source's host and port.
    pub(super) fn is_to(&self, source: &Source) -> bool {
        (self.place.0.as_str(), self.place.1) == source.place()
    }

    async fn open(source: &Source) -> Result<Self, Failure> {
        let (host, port) = source.place();
        let place = (host.to_owned(), port);
        let wanted = place.clone();
        let connect = async {
            let addrs = rt::spawn_blocking(move || wanted.to_socket_addrs()).await?;
            TcpStream::connect(&*addrs.collect::<Vec<_>>()).await
        };
        match rt::timeout(CONNECT_TIME_MAX, connect).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                Ok(Self {
                    stream,
                    place,
                    unread: Vec::new(),
                })
            }
            Ok(Err(error)) => Err(Failure::new(Ended::Unreachable, error.to_string())),
            Err(_) => Err(Failure::new(Ended::Unreachable, "no connection in time")),
        }
    }

    /// Reads into `buffer`; 0 at the end.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if !self.unread.is_empty() {
            let take = buffer.len().min(self.unread.len());
            buffer[..take].copy_from_slice(&self.unread[..take]);
            self.unread.drain(..take);
            return Ok(take);
        }
        match rt::timeout(SILENCE_MAX, self.stream.read(buffer)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(Failure::new(Ended::Broken, error.to_string())),
            Err(_) => Err(Failure::new(Ended::Broken, "it fell silent")),
        }
    }

    async fn head(&mut self) -> Result<Head, Failure> {
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

/// Bytes on their way to disk; full buffers go out, empty ones come back.
#[derive(Debug)]
pub(super) struct Sink {
    to_disk: rt::Sender<(Vec<u8>, usize)>,
    buffers: rt::Receiver<Vec<u8>>,
}

impl Sink {
    pub(super) fn new(
        to_disk: rt::Sender<(Vec<u8>, usize)>,
        buffers: rt::Receiver<Vec<u8>>,
    ) -> Self {
        Self { to_disk, buffers }
    }

    /// Nobody writes any more.
    pub(super) fn is_closed(&self) -> bool {
        self.to_disk.is_closed()
    }

    fn buffer(&self) -> Vec<u8> {
        self.buffers
            .try_recv()
            .unwrap_or_else(|_| vec![0; BUFFER_BYTES])
    }
}

/// How a request ended, why for people, and the connection if it can go on.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ended: Ended,
    pub(super) why: String,
    pub(super) conn: Option<Conn>,
}

#[derive(Debug)]
struct Failure {
    ended: Ended,
    why: String,
}

impl Failure {
    fn new(ended: Ended, why: impl Into<String>) -> Self {
        Self {
            ended,
            why: why.into(),
        }
    }
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
    ToTheEnd,
}

/// Asks `source` for everything from `from` on, over `conn` if there is one, and passes the body on.
#[expect(
    clippy::too_many_arguments,
    reason = "one request has these; they are kept by one caller"
)]
pub(super) async fn ask(
    conn: Option<Conn>,
    source: &Source,
    urn: Option<Sha1>,
    id: SourceId,
    from: u64,
    download: &mut Download,
    sink: &Sink,
    note: impl FnMut(&Download),
    clock: Clock,
) -> Asked {
    let mut exchange = Exchange {
        urn,
        id,
        from,
        download,
        sink,
        note,
        clock,
    };
    let mut conn = conn;
    let mut source = source.clone();
    let mut moved = false;
    loop {
        let reused = conn.is_some();
        let outcome = exchange.once(conn.take(), &source).await;
        let (ended, why, keep) = match outcome {
            Ok(Answer::Body { ended, conn }) => (ended, String::new(), conn),
            Ok(Answer::Moved { to, conn: keep }) if !moved => {
                let Some(next) = source.moved(&to) else {
                    return Asked {
                        ended: Ended::Wrong,
                        why: "it moved elsewhere".into(),
                        conn: None,
                    };
                };
                (source, conn, moved) = (next, keep, true);
                continue;
            }
            Ok(Answer::Moved { .. }) => (Ended::Wrong, "it moves in circles".to_owned(), None),
            Ok(Answer::Status {
                code,
                retry_after_s,
                why,
                conn,
            }) => (
                Ended::Status {
                    code,
                    retry_after_s,
                },
                why,
                conn,
            ),
            // A connection kept open may have ended meanwhile: that is nobody's failure.
            Err(failure)
                if reused && failure.ended == Ended::Broken && exchange.download.done() == from =>
            {
                continue;
            }
            Err(failure) => (failure.ended, failure.why, None),
        };
        return Asked {
            ended,
            why,
            conn: keep,
        };
    }
}

struct Exchange<'a, N> {
    urn: Option<Sha1>,
    id: SourceId,
    from: u64,
    download: &'a mut Download,
    sink: &'a Sink,
    note: N,
    clock: Clock,
}

enum Answer {
    Body {
        ended: Ended,
        conn: Option<Conn>,
    },
    Moved {
        to: String,
        conn: Option<Conn>,
    },
    Status {
        code: u16,
        retry_after_s: Option<u32>,
        why: String,
        conn: Option<Conn>,
    },
}

impl<N: FnMut(&Download)> Exchange<'_, N> {
    async fn once(&mut self, conn: Option<Conn>, source: &Source) -> Result<Answer, Failure> {
        let mut conn = match conn {
            Some(conn) => conn,
            None => Conn::open(source).await?,
        };
        // From the start no range is asked: an empty file has none.
        let range = (self.from > 0).then(|| format!("bytes={}-", self.from));
        let request = HeadWriter::new(format_args!("GET {} HTTP/1.1", source.target()))
            .header("Host", source)
            .header("User-Agent", AGENT)
            .header("Accept-Encoding", "identity")
            .header_if("Range", range)
            .finish();
        match rt::timeout(SILENCE_MAX, conn.stream.write_all(&request)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Failure::new(Ended::Broken, error.to_string())),
            Err(_) => return Err(Failure::new(Ended::Broken, "it takes no request")),
        }
        for _ in 0..INTERIM_MAX {
            let head = conn.head().await?;
            let no_http = || Failure::new(Ended::Wrong, "it does not speak HTTP");
            let status = head.status_line().ok_or_else(no_http)?;
            let minor = http::minor_version(status.version).ok_or_else(no_http)?;
            if status.code >= 200 {
                let close = head.lists("Connection", "close");
                let keep = if minor > 0 {
                    !close
                } else {
                    head.lists("Connection", "keep-alive")
                };
                return self
                    .answer(conn, &head, status.code, status.text, keep)
                    .await;
            }
        }
        Err(Failure::new(Ended::Wrong, "it never comes to the point"))
    }

    async fn answer(
        &mut self,
        mut conn: Conn,
        head: &Head,
        code: u16,
        text: &str,
        keep: bool,
    ) -> Result<Answer, Failure> {
        let wrong = |why: &str| Failure::new(Ended::Wrong, why);
        let length = length(head)?;
        if matches!(code, 200 | 206) {
            let theirs = http::content_urn(head);
            if theirs.is_some() && self.urn.is_some() && theirs != self.urn {
                return Err(wrong("it offers another content"));
            }
            if head
                .list("Content-Encoding")
                .any(|coding| !coding.eq_ignore_ascii_case("identity"))
            {
                return Err(wrong("it encodes the content though it was asked not to"));
            }
            let whole = length != Length::ToTheEnd;
            let ended = self.body(&mut conn, head, code, length).await?;
            return Ok(Answer::Body {
                ended,
                conn: (keep && whole).then_some(conn),
            });
        }
        if code == 416 && self.all_there(head) {
            let (ended, conn) = (Ended::Served, None);
            return Ok(Answer::Body { ended, conn });
        }
        let mut keep = keep;
        match length {
            Length::Known(mut left) if left <= ERROR_BODY_MAX => {
                let mut buffer = vec![0; 16 * 1024];
                while left > 0 && keep {
                    let most = buffer
                        .len()
                        .min(usize::try_from(left).unwrap_or(usize::MAX));
                    match conn.read(&mut buffer[..most]).await {
                        Ok(read @ 1..) => left -= read as u64,
                        _ => keep = false,
                    }
                }
            }
            _ => keep = false,
        }
        let conn = keep.then_some(conn);
        if let (301 | 302 | 303 | 307 | 308, Some(to)) = (code, head.get("Location")) {
            return Ok(Answer::Moved {
                to: to.to_owned(),
                conn,
            });
        }
        // Their text goes to a terminal: heads hold no control characters, and this one is short.
        let text: String = text.chars().take(60).collect();
        let why = format!("it answers {code} {text}").trim_end().to_owned();
        let retry_after_s = head
            .get("Retry-After")
            .and_then(|seconds| seconds.parse().ok());
        Ok(Answer::Status {
            code,
            retry_after_s,
            why,
            conn,
        })
    }

    /// A range from the end of the file on was asked for: an earlier run had it all, and only now we know.
    fn all_there(&mut self, head: &Head) -> bool {
        let size = head
            .get("Content-Range")
            .and_then(|range| range.split_once("*/"));
        let size = size.and_then(|(_, size)| size.trim().parse().ok());
        size == Some(self.from) && self.download.learn_size(self.from)
    }

    /// Checks where the body lies in the file and passes its new part on.
    async fn body(
        &mut self,
        conn: &mut Conn,
        head: &Head,
        code: u16,
        length: Length,
    ) -> Result<Ended, Failure> {
        let wrong = |why: &str| Failure::new(Ended::Wrong, why);
        let (start, promised) = if code == 206 {
            let range = head.get("Content-Range").and_then(http::content_range);
            let range = range.ok_or_else(|| wrong("its Content-Range does not add up"))?;
            if range
                .size
                .is_some_and(|size| !self.download.learn_size(size))
            {
                return Err(wrong("its file has another size"));
            }
            if range.start > self.from || range.end <= self.from {
                return Err(wrong("it sends another range than asked for"));
            }
            let promised = range.end - range.start;
            if matches!(length, Length::Known(length) if length != promised) {
                return Err(wrong("its Content-Length and Content-Range differ"));
            }
            (range.start, Some(promised))
        } else {
            match length {
                Length::Known(size) if !self.download.learn_size(size) => {
                    return Err(wrong("its file has another size"));
                }
                Length::Known(size) => (0, Some(size)),
                Length::Chunked | Length::ToTheEnd => (0, self.download.size()),
            }
        };
        let mut body = Body {
            skip: self.from - start,
            left: promised,
            window: (self.clock.now(), 0),
        };
        match length {
            Length::Chunked => loop {
                let line = conn.line().await?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(digits, 16)
                    .map_err(|_| wrong("its chunks make no sense"))?;
                if size == 0 {
                    while !conn.line().await?.is_empty() {}
                    break;
                }
                if body.left.is_some_and(|left| size > left) {
                    return Err(wrong("it sends more than it promised"));
                }
                self.pass(conn, &mut body, Some(size)).await?;
                if !conn.line().await?.is_empty() {
                    return Err(wrong("its chunks make no sense"));
                }
            },
            Length::Known(length) => self.pass(conn, &mut body, Some(length)).await?,
            // Where the size is not known, only the end says that all is there.
            Length::ToTheEnd => {
                let all = body.left;
                self.pass(conn, &mut body, all).await?;
            }
        }
        if body.left.is_some_and(|left| left > 0) {
            return Err(Failure::new(Ended::Broken, "it sent less than it promised"));
        }
        if body.left.is_none() && self.download.size().is_none() {
            self.download.learn_size(self.download.done());
        }
        Ok(Ended::Served)
    }

    /// Passes `length` bytes on, or all up to the end of the connection.
    async fn pass(
        &mut self,
        conn: &mut Conn,
        body: &mut Body,
        length: Option<u64>,
    ) -> Result<(), Failure> {
        let mut left = length.unwrap_or(u64::MAX);
        while left > 0 {
            let mut buffer = self.sink.buffer();
            let most = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = conn.read(&mut buffer[..most]).await?;
            if read == 0 {
                let early = Failure::new(Ended::Broken, "it closed the connection early");
                return if length.is_none() { Ok(()) } else { Err(early) };
            }
            left -= read as u64;
            body.left = body.left.map(|left| left.saturating_sub(read as u64));
            body.judge(self.clock.now(), read as u64)?;
            let skipped = body.skip.min(read as u64);
            body.skip -= skipped;
            let fresh = read as u64 - skipped;
            if fresh == 0 {
                continue;
            }
            if skipped > 0 {
                buffer.copy_within(usize::try_from(skipped).expect("below a buffer")..read, 0);
            }
            let len = usize::try_from(fresh).expect("below a buffer");
            if self.sink.to_disk.send((buffer, len)).await.is_err() {
                return Err(Failure::new(Ended::Broken, "the disk failed"));
            }
            self.download.received(self.id, fresh);
            (self.note)(self.download);
        }
        Ok(())
    }
}

/// What is known of a body while it comes.
struct Body {
    /// Bytes at its start that we have.
    skip: u64,
    /// Bytes promised and not yet there.
    left: Option<u64>,
    /// Since when its speed is judged, and bytes since.
    window: (Time, u64),
}

impl Body {
    fn judge(&mut self, now: Time, bytes: u64) -> Result<(), Failure> {
        self.window.1 += bytes;
        if now.since(self.window.0) < SPEED_WINDOW {
            return Ok(());
        }
        let slow = self.window.1 < SPEED_BYTES_MIN;
        self.window = (now, 0);
        if slow {
            Err(Failure::new(Ended::Slow, "it is too slow"))
        } else {
            Ok(())
        }
    }
}

fn length(head: &Head) -> Result<Length, Failure> {
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
