//! Browse host: a whole library as a sequence of QueryHit frames, served and read.
//!
//! Source: content.md 7.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::conn::Stream;
use super::download::{BadUrl, Seal, Source};
use super::http::AGENT;
use super::http_conn::{Failure, Incoming, Response, length, response};
use super::pusher::{Pusher, Walled, connect};
use super::rt;
use super::upload::Serving;
use super::upload_reply::PACKETS;
use crate::node::answer::{SPEED_KBPS, record};
use crate::node::library::{FileId, Library};
use crate::node::limits::RECORDS_PER_HIT;
use crate::node::swarm::Ended;
use crate::wire::heads::HeadWriter;
use crate::wire::hit::{QueryHit, Record};
use crate::wire::{Frame, FrameReader, Guid, Header, Kind, VENDOR};

/// Files in one answer to a browsing program; readers stop there too (content.md 7).
pub(crate) const RESULTS_MAX: usize = 100_000;
/// Bytes of an answer that are read, inflated (content.md 7).
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// The whole answer must be there within this. Our estimate.
const BROWSE_TIME_MAX: Duration = Duration::from_secs(300);
/// Hits that wait for their reader; more make the sender wait.
const HITS_WAITING_MAX: usize = 64;
/// Port asked when none is said.
const PORT: u16 = 6346;
/// Bytes of frames gathered before they are sent.
const PIECE_BYTES: usize = 64 * 1024;

/// The hit frames of a library, made as they are sent.
#[derive(Debug)]
pub(super) struct Frames {
    library: Arc<Library>,
    next: u32,
    /// What all hits have in common; no records.
    face: QueryHit,
}

impl Frames {
    pub(super) fn new(library: Arc<Library>, face: QueryHit) -> Self {
        Self {
            library,
            next: 0,
            face,
        }
    }

    /// The next frames, some [`PIECE_BYTES`]; empty at the end.
    fn piece(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < PIECE_BYTES {
            let records: Vec<_> = (self.next..)
                .take(RECORDS_PER_HIT)
                .map_while(|id| self.library.file(FileId(id)))
                .map(|file| Record {
                    path: Some(self.library.shown_folder(&file)),
                    ..record(&file)
                })
                .collect();
            let count = u32::try_from(records.len()).expect("at most RECORDS_PER_HIT");
            if count == 0 || self.next as usize >= RESULTS_MAX {
                break;
            }
            self.next += count;
            let hit = QueryHit {
                records,
                ..self.face.clone()
            };
            // Any id will do, since nobody routes these; ours differ all the same.
            let mut guid = self.face.servent.0;
            guid[..4].copy_from_slice(&self.next.to_le_bytes());
            let header = Header {
                guid: Guid(guid),
                kind: Kind::QueryHit,
                ttl: 1,
                hops: 0,
            };
            Frame {
                header,
                payload: hit.build().into(),
            }
            .write(&mut out);
        }
        out
    }
}

/// How our hits present us on a connection whose end is `local`.
pub(super) fn face(serving: &Serving, local: Option<SocketAddr>) -> QueryHit {
    let mut addr = serving.face.listen;
    if addr.ip().is_unspecified() {
        addr.set_ip(local.map_or(IpAddr::from([127, 0, 0, 1]), |local| {
            local.ip().to_canonical()
        }));
    }
    QueryHit {
        speed_kbps: SPEED_KBPS,
        vendor: VENDOR,
        push: Some(false),
        busy: Some(serving.busy()),
        browse: true,
        nick: Some(serving.face.name.clone()).filter(|name| !name.is_empty()),
        ..QueryHit::new(addr, serving.face.servent, Vec::new())
    }
}

/// Sends all frames, each piece in time.
pub(super) async fn send(
    stream: &Stream,
    mut frames: Frames,
    chunked: bool,
    piece_time: Duration,
) -> io::Result<()> {
    loop {
        let (piece, rest) = rt::spawn_blocking(move || (frames.piece(), frames)).await;
        frames = rest;
        let end = piece.is_empty();
        let bytes = match (chunked, end) {
            (true, _) => [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat(),
            (false, _) => piece,
        };
        match rt::timeout(piece_time, stream.send(&bytes)).await {
            Ok(written) => written?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        if end {
            return Ok(());
        }
    }
}

/// Why a host cannot be browsed, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrowseError {
    /// The text names no host.
    #[error("{0}; write HOST or HOST:PORT")]
    NoHost(BadUrl),
    /// No connection.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// `host:port`.
        host: String,
        /// What the system said.
        why: String,
    },
    /// It does not let us browse.
    #[error("{host} does not let us browse: it answers {code}{}", way_out(*code))]
    Refused {
        /// `host:port`.
        host: String,
        /// Status code.
        code: u16,
    },
    /// The answer broke off or makes no sense; what came before it is good.
    #[error("the answer of {host} is cut short: {why}")]
    Broken {
        /// `host:port`.
        host: String,
        /// How.
        why: String,
    },
}

/// gtk-gnutella shows its list to one address once an hour, and bans who asks for it a third time.
fn way_out(code: u16) -> &'static str {
    match code {
        429 => " (too often); try again in an hour",
        503 => " (busy); try again in a few minutes",
        _ => "",
    }
}

impl BrowseError {
    /// The exit code of PRODUCT.md 6.5.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoHost(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Refused { .. } => 7,
            Self::Broken { .. } => 1,
        }
    }
}

/// The hits of a browsed host as they come. At most 16 MB and 100,000 files; hits that do not decode are
/// left out, and addresses nobody could reach are replaced by the one that was asked.
#[derive(Debug)]
pub struct Browsing {
    hits: rt::Receiver<Result<QueryHit, BrowseError>>,
}

/// Lists what `host` (`HOST`, `HOST:PORT`) shares. Returns at once; the iterator waits.
///
/// # Errors
/// [`BrowseError::NoHost`]; others come as the last item.
pub fn browse(host: &str) -> Result<Browsing, BrowseError> {
    Ok(start(source_of(host)?, None))
}

/// As [`browse`], encrypted as `seal` says, and of a servent that may have to connect to us, if it is known who it is:
/// at once if it wants a push (`true`), else when it cannot be connected to. `pusher` asks it to.
///
/// # Errors
/// As [`browse`].
pub fn browse_sealed(
    host: &str,
    seal: Seal,
    walled: Option<(Walled, bool)>,
    pusher: Option<Pusher>,
) -> Result<Browsing, BrowseError> {
    let source = source_of(host)?.sealed(seal);
    Ok(match walled {
        None => start(source, None),
        Some((whom, wants_push)) => start(source.or_push(whom, wants_push), pusher),
    })
}

fn source_of(host: &str) -> Result<Source, BrowseError> {
    let named = host
        .strip_prefix("http://")
        .unwrap_or(host)
        .trim_end_matches('/');
    let bare = named.parse::<std::net::Ipv6Addr>().is_ok();
    let has_port = !bare
        && named
            .rfind(':')
            .is_some_and(|at| !named[at..].contains(']'));
    let url = match (bare, has_port) {
        (true, _) => format!("http://[{named}]:{PORT}/"),
        (false, true) => format!("http://{named}/"),
        (false, false) => format!("http://{named}:{PORT}/"),
    };
    Source::from_url(&url).map_err(BrowseError::NoHost)
}

fn start(source: Source, pusher: Option<Pusher>) -> Browsing {
    let (to, hits) = rt::bounded(HITS_WAITING_MAX);
    // Detached: ends by its deadline, or when nobody reads any more.
    rt::spawn(async move {
        let reading = read_hits(&source, pusher.as_ref(), &to);
        let late = || Err(Failure::new(Ended::Broken, "it took too long"));
        let outcome = rt::timeout(BROWSE_TIME_MAX, reading)
            .await
            .unwrap_or_else(|_| late());
        if let Err(failure) = outcome {
            let _ = to.send(Err(BrowseError::of(&source, failure))).await;
        }
    });
    Browsing { hits }
}

impl Iterator for Browsing {
    type Item = Result<QueryHit, BrowseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.hits.recv_blocking().ok()
    }
}

impl BrowseError {
    fn of(source: &Source, failure: Failure) -> Self {
        let (host, why) = (source.to_string(), failure.why);
        match failure.ended {
            Ended::Unreachable | Ended::Walled => Self::Unreachable { host, why },
            Ended::Status { code, .. } => Self::Refused { host, code },
            Ended::Served | Ended::Queued { .. } | Ended::Broken | Ended::Slow | Ended::Wrong => {
                Self::Broken { host, why }
            }
        }
    }
}

async fn read_hits(
    source: &Source,
    pusher: Option<&Pusher>,
    to: &rt::Sender<Result<QueryHit, BrowseError>>,
) -> Result<(), Failure> {
    let wrong = |why: &str| Failure::new(Ended::Wrong, why);
    let conn = connect(source, pusher).await?;
    let peer = conn.peer();
    // Its list may not say so: it was made for whoever is connected already.
    let walled = source.walled().filter(|_| conn.brought());
    let request = |asks: bool| {
        HeadWriter::new(format_args!("GET {} HTTP/1.1", source.target()))
            .header("Host", source)
            .header("User-Agent", AGENT)
            .header("Accept", PACKETS)
            .header("Accept-Encoding", "deflate")
            .header_if("Upgrade", asks.then_some("TLS/1.0"))
            // It stands alone: some compare the whole of it.
            .header("Connection", if asks { "Upgrade" } else { "close" })
            .finish()
    };
    let heard = response(conn, source, request).await?;
    let Response {
        mut conn,
        head,
        code,
        ..
    } = heard;
    if code != 200 {
        return Err(Failure::new(
            Ended::Status {
                code,
                retry_after_s: None,
            },
            "",
        ));
    }
    if !head
        .get("Content-Type")
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with(PACKETS))
    {
        return Err(wrong("it sends no list of files"));
    }
    let mut inflater = match head.get("Content-Encoding") {
        None => None,
        Some(coding) if coding.eq_ignore_ascii_case("identity") => None,
        Some(coding) if coding.eq_ignore_ascii_case("deflate") => {
            Some(flate2::write::ZlibDecoder::new(Capped::default()))
        }
        Some(_) => return Err(wrong("it encodes the list in a way nobody asked for")),
    };
    let (mut body, mut frames) = (Incoming::new(length(&head)?), FrameReader::new());
    let (mut buffer, mut seen, mut files) = (vec![0; PIECE_BYTES], 0, 0);
    loop {
        let read = body.read(&mut conn, &mut buffer, u64::MAX).await?;
        let plain = match &mut inflater {
            _ if read == 0 => return Ok(()),
            None => buffer[..read].to_vec(),
            Some(inflater) => {
                // Without the flush it keeps what it inflated last, and that may be all.
                inflater
                    .write_all(&buffer[..read])
                    .and_then(|()| inflater.flush())
                    .map_err(|_| wrong("it cannot be inflated"))?;
                std::mem::take(&mut inflater.get_mut().0)
            }
        };
        seen += plain.len();
        if seen > BYTES_MAX {
            return Err(wrong("it is longer than 16 MB; the rest was left out"));
        }
        frames.push(Bytes::from(plain));
        while let Some(frame) = frames
            .next_frame()
            .map_err(|_| wrong("it holds more than hits"))?
        {
            let Some(mut hit) = hit_of(&frame, peer) else {
                continue;
            };
            if let Some(walled) = walled {
                hit.push = Some(true);
                hit.push_proxies.clone_from(&walled.proxies);
            }
            hit.records.truncate(RESULTS_MAX - files);
            files += hit.records.len();
            if hit.records.is_empty() {
                return Err(wrong(
                    "it lists more than 100000 files; the rest was left out",
                ));
            }
            if to.send(Ok(hit)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Inflated bytes, at most [`BYTES_MAX`] at a time: a short input may stand for gigabytes.
#[derive(Debug, Default)]
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BYTES_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hit_of(frame: &Frame, peer: Option<SocketAddr>) -> Option<QueryHit> {
    if frame.header.kind != Kind::QueryHit {
        return None;
    }
    let mut hit = QueryHit::parse(&frame.payload).ok()?;
    if let Some(peer) = peer.filter(|peer| peer.ip() != hit.addr.ip() && unroutable(hit.addr.ip()))
    {
        hit.addr = SocketAddr::new(
            peer.ip(),
            if hit.addr.port() == 0 {
                peer.port()
            } else {
                hit.addr.port()
            },
        );
    }
    Some(hit)
}

/// Addresses that mean nothing, or another machine, outside the network they belong to.
fn unroutable(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
        }
    }
}
