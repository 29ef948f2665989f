//! One request to one source, and its answer as far as it is worth reading.
//!
//! What a server says of itself is never believed beyond what adds up: the range it names must fit the
//! request and the size, and no byte beyond what it promised is read.

use std::time::Duration;

use super::download_source::Source;
use super::http::{self, AGENT};
use super::http_conn::{Conn, Failure, Incoming, Length, length};
use super::pusher::{NoneCame, Pusher};
use super::rt::{self, Clock};
use crate::node::Time;
use crate::node::downloads::{Download, Ended, SourceId};
use crate::node::greet;
use crate::wire::Sha1;
use crate::wire::heads::{Head, HeadWriter};

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
    pusher: Option<&Pusher>,
) -> Asked {
    let mut exchange = Exchange {
        pusher,
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
    pusher: Option<&'a Pusher>,
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
            // Boxed, as are those below: they are rarely under way, and would make the whole twice as large.
            None => Box::pin(connect(source, self.pusher)).await?,
        };
        // From the start no range is asked: an empty file has none.
        let range = (self.from > 0).then(|| format!("bytes={}-", self.from));
        let request = |asks: bool| {
            // `Connection` stands alone: some compare the whole of it.
            HeadWriter::new(format_args!("GET {} HTTP/1.1", source.target()))
                .header("Host", source)
                .header("User-Agent", AGENT)
                .header("Accept-Encoding", "identity")
                .header_if("Range", range.as_ref())
                .header_if("Upgrade", asks.then_some("TLS/1.0"))
                .header_if("Connection", asks.then_some("Upgrade"))
                .finish()
        };
        let asks = conn.asks_for_tls();
        conn.send(&request(asks)).await?;
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
            if status.code == 101 {
                if !(asks && greet::upgrades(&head)) || conn.is_encrypted() {
                    return Err(Failure::new(
                        Ended::Wrong,
                        "it switches to what nobody asked for",
                    ));
                }
                // The answer follows inside (RFC 2817).
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
        let keep = keep && drained(&mut conn, length).await;
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
        self.pass(conn, Incoming::new(length), &mut body).await?;
        if body.left.is_some_and(|left| left > 0) {
            return Err(Failure::new(Ended::Broken, "it sent less than it promised"));
        }
        if self.download.size().is_none() {
            // Where the size is not known, only the end says that all is there.
            self.download.learn_size(self.download.done());
        }
        Ok(Ended::Served)
    }

    /// Passes on what is new of a body.
    async fn pass(
        &mut self,
        conn: &mut Conn,
        mut from: Incoming,
        body: &mut Body,
    ) -> Result<(), Failure> {
        loop {
            let room = body.left.unwrap_or(u64::MAX);
            let mut buffer = self.sink.buffer();
            let most = buffer
                .len()
                .min(usize::try_from(room).unwrap_or(usize::MAX));
            // With no room left this reads the end of a chunked body, and no byte.
            let read = from.read(conn, &mut buffer[..most], room).await?;
            if read == 0 {
                return Ok(());
            }
            body.left = body.left.map(|left| left - read as u64);
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
    }
}

/// Connects to a source, or has it connect to us, if somebody can ask it to.
async fn connect(source: &Source, pusher: Option<&Pusher>) -> Result<Conn, Failure> {
    if source.wants_push() {
        let none = "it cannot be connected to, and no node is there to ask it to connect to us";
        let why = match source.walled().zip(pusher) {
            None => none.to_owned(),
            Some((walled, pusher)) => match pusher.connection(walled).await {
                Ok(stream) => return Ok(Conn::given(stream, source)),
                Err(none_came) => none_came.why(),
            },
        };
        // Many say so who only have not found out yet that they can be.
        if source.is_public()
            && let Ok(conn) = Conn::open(source).await
        {
            return Ok(conn);
        }
        return Err(Failure::new(Ended::Walled, why));
    }
    let failure = match Conn::open(source).await {
        Err(failure) if failure.ended == Ended::Unreachable => failure,
        opened => return opened,
    };
    let Some((walled, pusher)) = source.walled().zip(pusher) else {
        return Err(failure);
    };
    match pusher.connection(walled).await {
        Ok(stream) => Ok(Conn::given(stream, source)),
        // A moment's trouble, perhaps.
        Err(NoneCame::NotAsked(_)) => Err(failure),
        Err(NoneCame::InTime(why)) => Err(Failure::new(
            Ended::Walled,
            format!("{}; {why}", failure.why),
        )),
    }
}

/// Reads a short error body to its end; `false`: the connection is of no more use.
async fn drained(conn: &mut Conn, length: Length) -> bool {
    if length == Length::ToTheEnd {
        return false;
    }
    let mut left = ERROR_BODY_MAX;
    let mut body = Incoming::new(length);
    let mut buffer = vec![0; 4096];
    while let Ok(read) = body.read(conn, &mut buffer, left).await {
        left = left.saturating_sub(read as u64);
        if read == 0 || left == 0 {
            return read == 0;
        }
    }
    false
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
