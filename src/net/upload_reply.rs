//! What to answer to one HTTP request. Blocks: it opens files and writes pages.

use std::net::SocketAddr;

use super::browse::{self, Frames};
use super::http::{self, AGENT, Asked, Target};
use super::mesh::Said;
use super::page;
use super::partials::{self, Shelved};
use super::push_proxy;
use super::upload::Serving;
use super::upload_body::FileRange;
use crate::disk::tree::HashTree;
use crate::node::greet;
use crate::node::library::{Content, FileId, Library};
use crate::node::uploads::{self, Place};
use crate::wire::Sha1;
use crate::wire::heads::{Head, HeadWriter};
use crate::wire::thex::MEDIA_TYPE;
use crate::wire::urn::tiger_to_base32;

/// What browsing programs accept.
pub(super) const PACKETS: &str = "application/x-gnutella-packets";
/// Our page loads nothing, runs nothing and is shown in no frame.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// A request that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one header or word of the request"
)]
pub(super) struct Request {
    target: Target,
    /// HEAD: the answer has no body.
    pub(super) head_only: bool,
    /// The client wants to go on.
    pub(super) keep_alive: bool,
    /// HTTP/1.1: reads chunks.
    chunks: bool,
    /// Accepts [`PACKETS`].
    packets: bool,
    /// `X-Node`: where the client listens.
    node: Option<String>,
    /// What it reads of queues.
    pub(super) queueing: Queueing,
    /// Asks by bitprint or Tiger root, and so knows what they are.
    bitprint: bool,
    /// Who asks.
    peer: SocketAddr,
    /// What it says of other sources.
    pub(super) said: Said,
    range: Option<String>,
    if_range: Option<String>,
    /// The client would go on with TLS.
    pub(super) upgrade: bool,
}

impl Request {
    /// Reads the head of a request.
    ///
    /// # Errors
    /// The answer to one that cannot be served whatever it asks for.
    #[expect(
        clippy::result_large_err,
        reason = "an answer is made once for a request, not passed around"
    )]
    pub(super) fn of(head: &Head, peer: SocketAddr) -> Result<Self, Reply> {
        let line = head
            .request_line()
            .ok_or_else(|| error(400, "this is no HTTP request"))?;
        let Some(minor) = http::minor_version(line.version) else {
            let http = line
                .version
                .get(..5)
                .is_some_and(|word| word.eq_ignore_ascii_case("HTTP/"));
            return Err(if http {
                error(505, "only HTTP/1 is spoken here")
            } else {
                error(400, "this is no HTTP request")
            });
        };
        let has_body = head.get("Transfer-Encoding").is_some()
            || head
                .get("Content-Length")
                .is_some_and(|length| length.trim() != "0");
        let head_only = match line.method {
            "GET" => false,
            "HEAD" => true,
            "POST" | "PUT" | "DELETE" | "OPTIONS" | "TRACE" | "PATCH" | "CONNECT" => {
                let reply = error(405, "only GET and HEAD are served").header("Allow", "GET, HEAD");
                return Err(Reply {
                    may_go_on: !has_body,
                    ..reply
                });
            }
            _ => {
                return Err(Reply {
                    may_go_on: !has_body,
                    ..error(501, "this method is unknown")
                });
            }
        };
        if has_body {
            return Err(error(413, "a request may carry no body"));
        }
        // Two Host lines are joined by a comma.
        match head.get("Host") {
            None if minor > 0 => return Err(error(400, "the Host header is missing").may_go_on()),
            Some(host) if host.contains(',') => {
                return Err(error(400, "there are two Host headers"));
            }
            _ => {}
        }
        Ok(Self {
            target: http::target(line.target),
            head_only,
            keep_alive: keeps_alive(head),
            chunks: minor > 0,
            packets: head.list("Accept").any(|kind| {
                kind.split(';')
                    .next()
                    .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(PACKETS))
            }),
            queueing: Queueing::of(head),
            bitprint: knows_bitprints(line.target),
            peer,
            said: Said::of(head),
            node: head.get("X-Node").map(str::to_owned),
            range: head.get("Range").map(str::to_owned),
            if_range: head.get("If-Range").map(str::to_owned),
            upgrade: greet::upgrades(head) && greet::switches(head),
        })
    }
}

impl Request {
    /// What is asked of us as a push proxy, with `X-Node`; `None`: it asks for something else.
    pub(super) fn push(&self) -> Option<(push_proxy::Wanted, Option<&str>)> {
        match self.target {
            Target::PushProxy(wanted) => Some((wanted, self.node.as_deref())),
            _ => None,
        }
    }
}

/// What a client reads of its place in a queue (content.md 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queueing {
    /// Nothing but the time to come back.
    Blind,
    /// `X-Queue: 0.1`: it keeps the connection and asks again on it.
    Kept,
    /// `X-Queue: 1.0` and later (PARQ): it has an id for its place.
    Parq,
}

impl Queueing {
    fn of(head: &Head) -> Self {
        let parq = head.get("X-Queued").is_some();
        match head.get("X-Queue").map(str::trim) {
            _ if parq => Self::Parq,
            Some(version) if version.starts_with("0.") => Self::Kept,
            Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => Self::Parq,
            // Older clients say it among their features alone.
            _ if head
                .list("X-Features")
                .any(|one| one.trim().starts_with("queue/")) =>
            {
                Self::Kept
            }
            Some(_) | None => Self::Blind,
        }
    }
}

/// The place of somebody who has to wait.
pub(super) fn queued(place: &Place, queueing: Queueing) -> Reply {
    let Place {
        id,
        position,
        length,
        slots,
        eta_s,
        retry_after_s,
        lifetime_s,
    } = place;
    let text = format!(
        "all upload slots are taken: you are number {position} of {length}, about {eta_s} seconds; ask again in \
         {retry_after_s} seconds"
    );
    let reply = error(503, text).retry_after(*retry_after_s);
    match queueing {
        Queueing::Blind => reply,
        Queueing::Kept => reply.header(
            "X-Queue",
            format!(
                "position={position},length={length},limit={slots},pollMin={retry_after_s},pollMax={lifetime_s}"
            ),
        ),
        Queueing::Parq => reply.header(
            "X-Queued",
            format!(
                "ID={}; position={position}; lifetime={lifetime_s}; length={length}; ETA={eta_s}",
                uploads::shown_id(*id)
            ),
        ),
    }
}

fn knows_bitprints(target: &str) -> bool {
    let target = target.to_ascii_lowercase();
    ["urn:bitprint:", "urn:tree:", "urn:ttroot:"]
        .iter()
        .any(|kind| target.contains(kind))
}

/// Whether the client wants to go on after this request.
pub(super) fn keeps_alive(head: &Head) -> bool {
    let minor = head
        .request_line()
        .and_then(|line| http::minor_version(line.version));
    match minor {
        Some(1..) => !head.lists("Connection", "close"),
        Some(0) => head.lists("Connection", "keep-alive"),
        None => false,
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    code: u16,
    headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
    /// For an error: the connection is still in step.
    pub(super) may_go_on: bool,
}

/// What follows the head.
#[derive(Debug)]
pub(super) enum Body {
    /// Text of a known length.
    Text(String),
    /// A Tiger tree.
    Tree(Vec<u8>),
    /// A range of a file.
    File(FileRange),
    /// The library as QueryHit frames.
    Frames {
        /// What is left of them.
        frames: Frames,
        /// In chunks; else until the end of the connection.
        chunked: bool,
    },
}

/// An error of this status with a text for people.
pub(super) fn error(code: u16, text: impl Into<String>) -> Reply {
    let mut text = text.into();
    text.push('\n');
    Reply {
        code,
        headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
        body: Body::Text(text),
        may_go_on: false,
    }
}

/// A good answer of this status, with a line for people.
pub(super) fn text(code: u16, text: &str) -> Reply {
    error(code, text).may_go_on()
}

impl Reply {
    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With `Retry-After`, in seconds.
    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self {
            may_go_on: true,
            ..self.header("Retry-After", seconds.to_string())
        }
    }

    pub(super) fn may_go_on(self) -> Self {
        Self {
            may_go_on: true,
            ..self
        }
    }

    /// With what is said once on a connection.
    pub(super) fn introduced(self, serving: &Serving) -> Self {
        self.header("X-Features", greet::features(serving.encryption()))
            .header("X-GUID", serving.face.servent.to_string())
    }

    /// The head, as it goes out.
    pub(super) fn head(&self, keep_alive: bool, now_s: u64) -> Vec<u8> {
        let writer = HeadWriter::new(format_args!("HTTP/1.1 {} {}", self.code, reason(self.code)))
            .header("Server", AGENT)
            .header("Date", http::date(now_s));
        let writer = match &self.body {
            Body::Text(text) => writer.header("Content-Length", text.len()),
            Body::Tree(tree) => writer.header("Content-Length", tree.len()),
            Body::File(range) => writer.header("Content-Length", range.end - range.start),
            Body::Frames { chunked: true, .. } => writer.header("Transfer-Encoding", "chunked"),
            Body::Frames { chunked: false, .. } => writer,
        };
        let ends = matches!(self.body, Body::Frames { chunked: false, .. });
        let connection = if keep_alive && !ends {
            "keep-alive"
        } else {
            "close"
        };
        let writer = writer
            .header("Connection", connection)
            .header("X-Content-Type-Options", "nosniff");
        let writer = self
            .headers
            .iter()
            .fold(writer, |writer, (name, value)| writer.header(name, value));
        writer.finish()
    }
}

/// Says that TLS follows, and inside it the answer.
pub(super) fn switching() -> Vec<u8> {
    HeadWriter::new("HTTP/1.1 101 Switching Protocols")
        .header("Upgrade", "TLS/1.0, HTTP/1.1")
        .header("Connection", "Upgrade")
        .finish()
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        202 => "Accepted",
        206 => "Partial Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

/// The answer to `request`. `local`: our end of the connection.
pub(super) fn reply(request: &Request, serving: &Serving, local: Option<SocketAddr>) -> Reply {
    let library = serving.files.library();
    match &request.target {
        Target::Urn(urn) => match library.by_sha1(urn) {
            Some(id) => file(request, serving, &library, id),
            None => match serving.partials.find(urn) {
                Some(partial) => unfinished(request, serving, &partial),
                None => error(404, "no shared file has this hash"),
            },
        },
        Target::Tiger(root) => match library.by_tiger(root) {
            Some(id) => file(request, serving, &library, id),
            None => error(404, "no shared file has this hash"),
        },
        Target::Tree(urn) => tree(serving, &library, urn),
        Target::Index(index, name) => match library.by_index(*index) {
            Some(id) if library.file(id).is_some_and(|file| file.name() == name) => {
                file(request, serving, &library, id)
            }
            _ => error(404, "no shared file has this number and name"),
        },
        Target::Browse { .. } if request.packets => {
            let frames = Frames::new(library, browse::face(serving, local));
            Reply {
                code: 200,
                headers: vec![("Content-Type", PACKETS.to_owned())],
                body: Body::Frames {
                    frames,
                    chunked: request.chunks,
                },
                may_go_on: true,
            }
        }
        Target::Browse { words, page } => Reply {
            code: 200,
            headers: vec![
                ("Content-Type", "text/html; charset=utf-8".to_owned()),
                ("Content-Security-Policy", PAGE_POLICY.to_owned()),
                ("Referrer-Policy", "no-referrer".to_owned()),
            ],
            body: Body::Text(page::page(&library, &serving.face.name, words, *page)),
            may_go_on: true,
        },
        // A server of files has no neighbours; a node does not come here.
        Target::PushProxy(_) | Target::Unknown => error(404, "there is nothing of this name"),
        Target::Malformed => error(400, "this target names nothing"),
    }
}

/// Seconds after which a tree that is being computed is asked for again. Our estimate.
const SOON_S: u32 = 15;
/// The same for more of an unfinished file: some blocks have come by then. Our choice.
const MORE_S: u32 = 1;

/// The tree of a file, whole or unfinished.
fn tree(serving: &Serving, library: &Library, urn: &Sha1) -> Reply {
    let answer = |tree: &HashTree| Reply {
        code: 200,
        headers: vec![("Content-Type", MEDIA_TYPE.to_owned())],
        body: Body::Tree(tree.to_dime()),
        may_go_on: true,
    };
    let none = || error(404, "no hash tree is known of this hash").may_go_on();
    let Some(view) = library.by_sha1(urn).and_then(|id| library.file(id)) else {
        let partial = serving.partials.find(urn);
        let tree = partial.and_then(|partial| partial.tree());
        return tree.map_or_else(none, |tree| answer(&tree));
    };
    if view.tiger.is_none() {
        return error(503, "the hash tree is being computed").retry_after(SOON_S);
    }
    let tree = serving.files.tree(view);
    tree.map_or_else(none, |tree| answer(&tree))
}

/// What is said of the content of a file, whole or not.
fn identity(
    request: &Request,
    serving: &Serving,
    content: Content,
    headers: &mut Vec<(&'static str, String)>,
) {
    let urn = if request.bitprint {
        content.to_string()
    } else {
        content.sha1.to_string()
    };
    headers.push(("X-Gnutella-Content-URN", urn));
    if let Some(root) = &content.tiger {
        let root = tiger_to_base32(root);
        let uri = format!("/uri-res/N2X?{};{root}", content.sha1);
        headers.push(("X-Thex-URI", uri));
    }
    headers.extend(serving.hear(content.sha1, request.peer, &request.said));
}

/// A range of a file that is being fetched: of its verified bytes alone, and never without being asked for a range.
fn unfinished(request: &Request, serving: &Serving, partial: &Shelved) -> Reply {
    let ranges = partial.ranges();
    if let Some((from, has)) = request.said.serves(request.peer) {
        partial.hear(from, has.clone());
    }
    let mut headers = Vec::new();
    identity(request, serving, partial.content, &mut headers);
    let available = partials::available(&ranges).unwrap_or_else(|| "bytes ".to_owned());
    headers.push(("X-Available-Ranges", available));
    headers.push(("X-Available", format!("bytes {}", partial.bytes())));
    let with = |reply: Reply, headers: Vec<_>| {
        let all = headers.into_iter();
        all.fold(reply, |reply, (name, value)| reply.header(name, value))
    };
    if ranges.is_empty() {
        let reply = error(503, "nothing of this file is here yet").retry_after(MORE_S);
        return with(reply, headers);
    }
    let part = match http::asked(request.range.as_deref(), partial.size) {
        // A range of its own accord would surprise who asked for all.
        Asked::Whole | Asked::Outside => None,
        Asked::Part { start, end } => partial
            .range_at(start)
            .map(|range| (start, end.min(range.end))),
    };
    let Some((start, end)) = part else {
        let reply = error(416, "of this file only some ranges are here yet")
            .header("Content-Range", format!("bytes */{}", partial.size))
            .retry_after(MORE_S);
        return with(reply, headers);
    };
    let Ok(file) = partial.open() else {
        return error(503, "the file cannot be opened just now").retry_after(SOON_S);
    };
    headers.extend([
        ("Content-Type", "application/octet-stream".to_owned()),
        (
            "Content-Range",
            format!("bytes {start}-{}/{}", end - 1, partial.size),
        ),
        ("Content-Disposition", http::disposition(&partial.name)),
    ]);
    Reply {
        code: 206,
        headers,
        body: Body::File(FileRange {
            file,
            start,
            end,
            settled: false,
            shown: partial.name.clone(),
        }),
        may_go_on: true,
    }
}

fn file(request: &Request, serving: &Serving, library: &Library, id: FileId) -> Reply {
    let gone = || {
        serving.files.outdated();
        error(
            404,
            "the file has changed or is gone; ask again when it was looked at",
        )
    };
    let Some(view) = library.file(id) else {
        return gone();
    };
    let Ok(file) = serving.files.open(view) else {
        return gone();
    };
    // What goes out under a hash must be what was hashed.
    let same = file.metadata().is_ok_and(|meta| {
        let changed = meta.modified().ok().and_then(http::seconds_of);
        meta.is_file() && meta.len() == view.size && changed == Some(view.mtime)
    });
    if !same {
        return gone();
    }
    let (date, tag) = (
        http::date(view.mtime),
        view.sha1.map(|sha1| format!("\"{}\"", sha1.to_base32())),
    );
    let mut headers = vec![
        ("Content-Type", "application/octet-stream".to_owned()),
        ("Accept-Ranges", "bytes".to_owned()),
        ("Last-Modified", date.clone()),
        ("Content-Disposition", http::disposition(view.name())),
    ];
    if let Some(content) = view.content() {
        identity(request, serving, content, &mut headers);
    }
    // A client that goes on with what it has asks for the rest only if the file is still the same.
    let same_as_theirs = request
        .if_range
        .as_deref()
        .is_none_or(|theirs| theirs == date || Some(theirs) == tag.as_deref());
    headers.extend(tag.map(|tag| ("ETag", tag)));
    let range = request.range.as_deref().filter(|_| same_as_theirs);
    let (code, start, end) = match http::asked(range, view.size) {
        Asked::Whole => (200, 0, view.size),
        Asked::Part { start, end } => {
            headers.push((
                "Content-Range",
                format!("bytes {start}-{}/{}", end - 1, view.size),
            ));
            (206, start, end)
        }
        Asked::Outside => {
            return error(416, "the file ends before this range")
                .header("Content-Range", format!("bytes */{}", view.size))
                .may_go_on();
        }
    };
    let body = Body::File(FileRange {
        file,
        start,
        end,
        settled: true,
        shown: library.shown_path(&view),
    });
    Reply {
        code,
        headers,
        body,
        may_go_on: true,
    }
}
