//! Browse host: a whole library as a sequence of QueryHit frames, served and read.
//!
//! Source: content.md 7.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::rt::{self, TcpStream, WriteExt};
use super::upload::Serving;
use crate::node::answer::{SPEED_KBPS, VENDOR, record};
use crate::node::library::{FileId, Library};
use crate::node::limits::RECORDS_PER_HIT;
use crate::wire::hit::QueryHit;
use crate::wire::{Frame, Guid, Header, Kind};

/// Files in one answer to a browsing program; readers stop there too (content.md 7).
pub(crate) const RESULTS_MAX: usize = 100_000;
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
                .map(|file| record(&file))
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
        addr,
        speed_kbps: SPEED_KBPS,
        records: Vec::new(),
        vendor: VENDOR,
        push: Some(false),
        busy: Some(serving.busy()),
        browse: true,
        nick: Some(serving.face.name.clone()).filter(|name| !name.is_empty()),
        servent: serving.face.servent,
    }
}

/// Sends all frames, each piece in time.
pub(super) async fn send(
    stream: &TcpStream,
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
        let mut stream = stream;
        match rt::timeout(piece_time, stream.write_all(&bytes)).await {
            Ok(written) => written?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        if end {
            return Ok(());
        }
    }
}
