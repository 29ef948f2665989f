//! One request to one source, and its answer as far as it is worth reading.
//!
//! What a server says of itself is never believed beyond what adds up: the range it names must fit the
//! request and the size, and no byte beyond what it promised is read.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::control::Limits;
use super::hints::{Hints, Place};
use super::source::Source;
use super::tree;
use super::trees::Wish;
use super::writer::Buffers;
use crate::disk::tree::HashTree;
use crate::net::conn::Stream;
use crate::net::http::{self, AGENT};
use crate::net::http_conn::{Conn, Failure, Incoming, Length, Response, length, response};
use crate::net::pusher::{Pusher, connect};
use crate::net::rt::{self, Clock};
use crate::node::Time;
use crate::node::swarm::{Answer, Ended, RequestId, SourceId};
use crate::wire::Sha1;
use crate::wire::heads::{Head, HeadWriter};

/// A source's speed is judged over this span.
const SPEED_WINDOW: Duration = Duration::from_secs(20);
/// Bytes that must come in [`SPEED_WINDOW`]: half a KiB a second, below any modem.
const SPEED_BYTES_MIN: u64 = 10 * 1024;
/// Bytes of an error's body that are read to keep the connection.
const ERROR_BODY_MAX: u64 = 64 * 1024;

/// The content of a file of no bytes.
const EMPTY: Sha1 = Sha1([
    0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18, 0x90,
    0xaf, 0xd8, 0x07, 0x09,
]);

/// What a request tells the download.
#[derive(Debug)]
pub(super) enum Event {
    /// An answer with a body begins; the reply says whether it is worth reading.
    Began {
        request: RequestId,
        answer: Answer,
        hints: Hints,
        /// Where others can have the file from us, as the request said.
        node: Option<SocketAddr>,
        reply: rt::Sender<Reply>,
    },
    /// The tree that was wished for, or why there is none.
    Tree {
        request: RequestId,
        tree: Result<HashTree, String>,
    },
    /// A source in whose queue we were calls: our turn has come.
    Called { source: SourceId, stream: Stream },
    /// A search for more sources has ended.
    Found(Vec<Source>),
    /// A block was held against a tree; `None`: it could not be read.
    Checked {
        range: Range<u64>,
        tree: Arc<HashTree>,
        good: Option<bool>,
    },
    /// The next bytes of the body.
    Bytes {
        request: RequestId,
        buffer: Vec<u8>,
        len: usize,
    },
    /// It is over.
    Over { request: RequestId, over: Over },
}

/// What the download makes of an answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// It is worth reading.
    pub(super) wanted: bool,
    /// The tree to ask for afterwards.
    pub(super) tree: Option<Wish>,
}

/// How a request ended, why for people, and the connection if it can go on.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) ended: Ended,
    pub(super) why: String,
    pub(super) hints: Hints,
    pub(super) conn: Option<Conn>,
    /// The file ends here, as a refusal of a range beyond says.
    pub(super) end: Option<u64>,
}

impl Over {
    fn new(ended: Ended, why: impl Into<String>) -> Self {
        Self {
            ended,
            why: why.into(),
            hints: Hints::default(),
            conn: None,
            end: None,
        }
    }
}

impl From<Failure> for Over {
    fn from(failure: Failure) -> Self {
        Self::new(failure.ended, failure.why)
    }
}

/// One request to be made.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: RequestId,
    pub(super) source: Source,
    pub(super) range: Range<u64>,
    pub(super) urn: Option<Sha1>,
    /// Sources that gave us bytes, and those that were of no use, as it should know: `X-Alt`, `X-NAlt`.
    pub(super) alternates: String,
    pub(super) useless: String,
    /// Where we listen, and what of the same file we serve there: `X-Node`, `X-Available-Ranges`.
    pub(super) node_port: Option<u16>,
    pub(super) has: Option<String>,
    /// There TLS is taken: said among the features.
    pub(super) tls: bool,
    /// Our place in its queue, if it gave one.
    pub(super) place: Option<Place>,
    pub(super) pusher: Option<Pusher>,
    pub(super) events: rt::Sender<Event>,
    pub(super) buffers: Buffers,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
}

/// Makes a request, over `conn` if there is one, tells of it, and says how it ended.
pub(super) async fn ask(request: Request, conn: Option<Conn>) {
    let over = request.all(conn).await;
    let event = Event::Over {
        request: request.id,
        over,
    };
    // The download has ended: nobody asks any more.
    let _ = request.events.send(event).await;
}

enum Outcome {
    Over(Box<Over>),
    Moved { to: String, conn: Option<Conn> },
}

impl Request {
    async fn all(&self, mut conn: Option<Conn>) -> Over {
        let mut source = self.source.clone();
        let mut moved = false;
        loop {
            let reused = conn.is_some();
            let mut began = false;
            match self.once(conn.take(), &source, &mut began).await {
                Ok(Outcome::Over(over)) => return *over,
                Ok(Outcome::Moved { to, conn: keep }) if !moved => {
                    let Some(next) = source.moved(&to) else {
                        return Over::new(Ended::Wrong, "it moved elsewhere");
                    };
                    (source, conn, moved) = (next, keep, true);
                }
                Ok(Outcome::Moved { .. }) => {
                    return Over::new(Ended::Wrong, "it moves in circles");
                }
                // A connection kept open may have ended meanwhile: that is nobody's failure.
                Err(failure) if reused && failure.ended == Ended::Broken && !began => {}
                Err(failure) => return failure.into(),
            }
        }
    }

    async fn once(
        &self,
        conn: Option<Conn>,
        source: &Source,
        began: &mut bool,
    ) -> Result<Outcome, Failure> {
        let conn = match conn {
            Some(conn) => conn,
            // Boxed: such are rarely under way, and would make the whole twice as large.
            None => Box::pin(connect(source, self.pusher.as_ref())).await?,
        };
        let range = format!("bytes={}-{}", self.range.start, self.range.end - 1);
        // Who has a place shows it, or loses it (content 5).
        let place = self.place.as_ref().and_then(|place| {
            let position = place.position.unwrap_or(1);
            Some(format!("position={position}; ID={}", place.id.as_ref()?))
        });
        let said = |list: &'_ String| (!list.is_empty()).then(|| list.clone());
        let node = self.node(&conn);
        let features = if self.tls {
            "queue/1.1, fwalt/0.1, tls/1.0"
        } else {
            "queue/1.1, fwalt/0.1"
        };
        let request = |asks: bool| {
            // `Connection` stands alone: some compare the whole of it.
            HeadWriter::new(format_args!("GET {} HTTP/1.1", source.target()))
                .header("Host", source)
                .header("User-Agent", AGENT)
                .header("X-Features", features)
                .header("X-Queue", "1.1")
                .header_if("X-Queued", place.as_ref())
                .header("Accept-Encoding", "identity")
                .header("Range", &range)
                .header_if("X-Node", node)
                .header_if("X-Available-Ranges", self.has.as_ref())
                .header_if("X-Alt", said(&self.alternates))
                .header_if("X-NAlt", said(&self.useless))
                .header_if("Upgrade", asks.then_some("TLS/1.0"))
                .header_if("Connection", asks.then_some("Upgrade"))
                .finish()
        };
        let Response {
            conn,
            head,
            code,
            minor,
        } = response(conn, source, request).await?;
        let keep = if minor > 0 {
            !head.lists("Connection", "close")
        } else {
            head.lists("Connection", "keep-alive")
        };
        if matches!(code, 200 | 206) {
            *began = true;
            return self.content(conn, source, &head, code, keep).await;
        }
        self.refusal(conn, &head, keep).await
    }

    /// Where we serve the same file, as seen over this connection.
    fn node(&self, conn: &Conn) -> Option<SocketAddr> {
        let local = conn.local()?.ip().to_canonical();
        Some(SocketAddr::new(local, self.node_port?))
    }

    async fn refusal(&self, mut conn: Conn, head: &Head, keep: bool) -> Result<Outcome, Failure> {
        let status = head.status_line().expect("it was read before");
        let (code, length) = (status.code, length(head)?);
        let keep = keep && drained(&mut conn, length).await;
        let conn = keep.then_some(conn);
        if let (301 | 302 | 303 | 307 | 308, Some(to)) = (code, head.get("Location")) {
            return Ok(Outcome::Moved {
                to: to.to_owned(),
                conn,
            });
        }
        // Their text goes to a terminal: heads hold no control characters, and this one is short.
        let text: String = status.text.chars().take(60).collect();
        let hints = Hints::of(head);
        let ended = match (&hints.queue, code) {
            (Some(place), 503) => Ended::Queued {
                poll_after_s: place.poll_after_s,
            },
            _ => Ended::Status {
                code,
                retry_after_s: hints.retry_after_s,
            },
        };
        let size = head
            .get("Content-Range")
            .and_then(|range| range.split_once("*/"))
            .and_then(|(_, size)| size.trim().parse().ok());
        Ok(Outcome::Over(Box::new(Over {
            ended,
            why: format!("it answers {code} {text}").trim_end().to_owned(),
            hints,
            conn,
            end: size.filter(|size| {
                code == 416 && *size <= self.range.start && (*size > 0 || self.may_be_empty())
            }),
        })))
    }

    async fn content(
        &self,
        mut conn: Conn,
        source: &Source,
        head: &Head,
        code: u16,
        keep: bool,
    ) -> Result<Outcome, Failure> {
        let wrong = |why: &str| Failure::new(Ended::Wrong, why);
        let length = length(head)?;
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
        let answer = self.placed(head, code, length)?;
        let promised = answer.end.map(|end| end - answer.start);
        let reply = self.judged(answer, Hints::of(head), self.node(&conn)).await;
        let Some(reply) = reply.filter(|reply| reply.wanted) else {
            return Err(wrong(
                "its file has another size, or it sends another range",
            ));
        };
        let mut body = Body {
            left: promised,
            window: (self.clock.now(), 0),
        };
        self.pass(&mut conn, Incoming::new(length), &mut body)
            .await?;
        if body.left.is_some_and(|left| left > 0) {
            return Err(Failure::new(Ended::Broken, "it sent less than it promised"));
        }
        let whole = length != Length::ToTheEnd;
        let mut conn = (keep && whole).then_some(conn);
        if let Some(wish) = reply.tree {
            let tree = Box::pin(tree::fetch(&wish, source, &mut conn)).await;
            let request = self.id;
            // If nobody listens any more, the end of the request is told to nobody either.
            let _ = self.events.send(Event::Tree { request, tree }).await;
        }
        Ok(Outcome::Over(Box::new(Over {
            conn,
            ..Over::new(Ended::Served, "")
        })))
    }

    /// Only one content is empty: gtk-gnutella says `*/0` of a copy of which it has nothing to give.
    fn may_be_empty(&self) -> bool {
        self.urn.is_none_or(|urn| urn == EMPTY)
    }

    /// Where the body lies in the file.
    fn placed(&self, head: &Head, code: u16, length: Length) -> Result<Answer, Failure> {
        let wrong = |why: &str| Failure::new(Ended::Wrong, why);
        if code == 206 {
            let range = head.get("Content-Range").and_then(http::content_range);
            let range = range.ok_or_else(|| wrong("its Content-Range does not add up"))?;
            if range.start > self.range.start || range.end <= self.range.start {
                return Err(wrong("it sends another range than asked for"));
            }
            let promised = range.end - range.start;
            if matches!(length, Length::Known(length) if length != promised) {
                return Err(wrong("its Content-Length and Content-Range differ"));
            }
            return Ok(Answer {
                start: range.start,
                end: Some(range.end),
                size: range.size,
                whole: false,
            });
        }
        let size = match length {
            Length::Known(size) => Some(size),
            Length::Chunked | Length::ToTheEnd => None,
        };
        Ok(Answer {
            start: 0,
            end: size,
            size,
            whole: true,
        })
    }

    /// What the download makes of an answer; `None`: it has ended.
    async fn judged(
        &self,
        answer: Answer,
        hints: Hints,
        node: Option<SocketAddr>,
    ) -> Option<Reply> {
        let (reply, verdict) = rt::bounded(1);
        let began = Event::Began {
            request: self.id,
            answer,
            hints,
            node,
            reply,
        };
        self.events.send(began).await.ok()?;
        verdict.recv().await.ok()
    }

    /// Passes a body on.
    async fn pass(
        &self,
        conn: &mut Conn,
        mut from: Incoming,
        body: &mut Body,
    ) -> Result<(), Failure> {
        let limits = self.limits.from(conn.peer());
        loop {
            let room = body.left.unwrap_or(u64::MAX);
            let mut buffer = self.buffers.take();
            let most = buffer
                .len()
                .min(usize::try_from(room).unwrap_or(usize::MAX));
            // With no room left this reads the end of a chunked body, and no byte.
            let read = from.read(conn, &mut buffer[..most], room).await?;
            if read == 0 {
                self.buffers.give_back(buffer);
                return Ok(());
            }
            body.left = body.left.map(|left| left - read as u64);
            let bytes = Event::Bytes {
                request: self.id,
                buffer,
                len: read,
            };
            if self.events.send(bytes).await.is_err() {
                return Err(Failure::new(Ended::Broken, "the download has ended"));
            }
            limits.took(read).await;
            if !limits.are_on() {
                body.judge(self.clock.now(), read as u64)?;
            }
        }
    }
}

/// Reads a short error body to its end; `false`: the connection is of no more use.
pub(super) async fn drained(conn: &mut Conn, length: Length) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a body that sends so many bytes each second is given up within some windows.
    fn is_given_up(per_s: u64) -> bool {
        let at = |second: u64| Time::ZERO.plus(Duration::from_secs(second));
        let mut body = Body {
            left: None,
            window: (at(0), 0),
        };
        (1..=3 * SPEED_WINDOW.as_secs()).any(|second| body.judge(at(second), per_s).is_err())
    }

    #[test]
    fn what_is_slower_than_a_trickle_is_given_up() {
        let least = SPEED_BYTES_MIN / SPEED_WINDOW.as_secs();
        for (per_s, given_up) in [(1, true), (least - 1, true), (least, false), (9_000, false)] {
            assert_eq!(is_given_up(per_s), given_up, "{per_s} bytes a second");
        }
    }

    #[test]
    fn a_source_that_starts_well_and_then_trickles_is_given_up_too() {
        let at = |second: u64| Time::ZERO.plus(Duration::from_secs(second));
        let mut body = Body {
            left: None,
            window: (at(0), 0),
        };
        assert!(body.judge(at(1), 1_000_000).is_ok());
        // The good beginning counts for its own window only.
        let ended = (2..60).find(|second| body.judge(at(*second), 1).is_err());
        assert_eq!(ended, Some(2 * SPEED_WINDOW.as_secs()));
    }
}
