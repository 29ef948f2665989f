//! `QueryHit` (0x81): who has what, routed back to whoever asked.

mod record;
mod trailer;

use std::net::SocketAddr;

use super::addr::{Ipv4OrSix, read_port_ip, write_ip};
use super::vendor::Token;
use super::{ServentId, WireError};
pub use record::{ALTERNATES_MAX, Alternate, HashForm, PATH_BYTES_MAX, Record};
use trailer::Trailer;

/// Records in one hit: what its count can say.
pub const RECORDS_MAX: usize = 255;
/// Push proxies of one hit that are written and read (gtk-gnutella names up to 8).
pub const PUSH_PROXIES_MAX: usize = 8;
/// Bytes of the name a responder goes by.
pub const NICK_BYTES_MAX: usize = 32;

/// A decoded hit: one responder, one or more files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryHit {
    /// Where the responder serves files (GGEP `6` in place of an IPv4 of 127.0.0.0).
    pub addr: SocketAddr,
    /// Speed the responder claims, in kbit/s.
    pub speed_kbps: u32,
    /// The files; 1 to 255 of them.
    pub records: Vec<Record>,
    /// Vendor code of the trailer, zero when there is none.
    pub vendor: [u8; 4],
    /// The responder cannot be connected to; it wants a push. `None`: not said.
    pub push: Option<bool>,
    /// Who passes pushes on to it (GGEP `PUSH`, `PUSH6`), at most [`PUSH_PROXIES_MAX`], IPv4 first. Said by a stranger.
    pub push_proxies: Vec<SocketAddr>,
    /// All its upload slots are taken. `None`: not said.
    pub busy: Option<bool>,
    /// It can be browsed (GGEP `BH`).
    pub browse: bool,
    /// Its listener accepts TLS from the first byte (GGEP `TLS`).
    pub tls: bool,
    /// Name the responder goes by (GGEP `NICK`, ours alone), at most 32 bytes, control characters removed.
    pub nick: Option<String>,
    /// What the asker gave for hits by datagram to carry (GGEP `SO`).
    pub token: Option<Token>,
    /// Servent id of the responder.
    pub servent: ServentId,
}

impl QueryHit {
    /// A hit of this responder of which nothing more is said.
    pub fn new(addr: SocketAddr, servent: ServentId, records: Vec<Record>) -> Self {
        Self {
            addr,
            speed_kbps: 0,
            records,
            vendor: [0; 4],
            push: None,
            push_proxies: Vec::new(),
            busy: None,
            browse: false,
            tls: false,
            nick: None,
            token: None,
            servent,
        }
    }

    /// Decodes the payload of a hit.
    ///
    /// # Errors
    /// Whatever makes a reader drop the whole hit: no records, a count that lies, a record without its NULs,
    /// a servent id of zeros.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let (body, servent) = split_servent(payload)?;
        if servent.0 == [0; 16] {
            return Err(WireError::Malformed("servent id"));
        }
        let (head, mut rest) = body
            .split_first_chunk::<HEAD_BYTES>()
            .expect("checked by split_servent");
        let [count, address @ .., s0, s1, s2, s3] = head;
        if *count == 0 {
            return Err(WireError::Malformed("query hit count"));
        }
        // A count that lies costs no more memory than its payload has.
        let mut records =
            Vec::with_capacity(usize::from(*count).min(rest.len() / record::BYTES_MIN));
        for _ in 0..*count {
            let (record, after) = Record::read(rest)?;
            records.push(record);
            rest = after;
        }
        let trailer = Trailer::read(rest)?;
        let addr = Ipv4OrSix::new(read_port_ip(*address));
        let mut hit = Self {
            speed_kbps: u32::from_le_bytes([*s0, *s1, *s2, *s3]),
            vendor: trailer.vendor,
            push: trailer.push,
            busy: trailer.busy,
            ..Self::new(addr.get(), servent, records)
        };
        trailer.tell(addr, &mut hit);
        Ok(hit)
    }

    /// Encodes the payload for any reader; the inverse of [`parse`](Self::parse). Only the first
    /// [`RECORDS_MAX`] records fit: callers with more make several hits (`node::limits` says when).
    pub fn build(&self) -> Vec<u8> {
        self.build_in(HashForm::Urn)
    }

    /// As [`build`](Self::build), with hashes in a form that the querier says it reads.
    pub fn build_in(&self, form: HashForm) -> Vec<u8> {
        let records = &self.records[..self.records.len().min(RECORDS_MAX)];
        let mut out = vec![u8::try_from(records.len()).expect("at most 255")];
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        let six = write_ip(self.addr.ip(), &mut out);
        out.extend_from_slice(&self.speed_kbps.to_le_bytes());
        for record in records {
            record.write(form, &mut out);
        }
        trailer::write(self, six, &mut out);
        out.extend_from_slice(&self.servent.0);
        out
    }

    /// The servent id alone (the last 16 bytes), for push routes, without decoding the rest.
    ///
    /// # Errors
    /// [`WireError::Truncated`] for a payload shorter than the smallest hit.
    pub fn servent_of(payload: &[u8]) -> Result<ServentId, WireError> {
        split_servent(payload).map(|(_, servent)| servent)
    }
}

/// Count, port, IPv4 and speed.
const HEAD_BYTES: usize = 11;

fn split_servent(payload: &[u8]) -> Result<(&[u8], ServentId), WireError> {
    let (body, servent) = payload
        .split_last_chunk::<16>()
        .ok_or(WireError::Truncated("query hit"))?;
    if body.len() < HEAD_BYTES {
        return Err(WireError::Truncated("query hit"));
    }
    Ok((body, ServentId(*servent)))
}

#[cfg(test)]
mod tests;
