//! `QueryHit` (0x81): who has what, routed back to whoever asked.

use std::ffi::CStr;
use std::net::SocketAddr;

use super::addr::{Ipv4OrSix, read_port_ip, vector4, vector6, vectors, write_ip};
use super::ggep::{Block, Extension, Extensions, MAGIC, Zeros};
use super::huge::{Item, Items, SEPARATOR};
use super::text::clean_bytes;
use super::urn::{Hashes, Sha1};
use super::{ServentId, WireError};

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
    /// Name the responder goes by (GGEP `NICK`, ours alone), at most 32 bytes, control characters removed.
    pub nick: Option<String>,
    /// Servent id of the responder.
    pub servent: ServentId,
}

/// One file in a hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Opaque number for `/get/<index>/<name>`.
    pub index: u32,
    /// Size in bytes, from GGEP `LF` for big files.
    pub size: u64,
    /// Base name. Data of a stranger: never a path, never printed raw.
    pub name: String,
    /// `urn:sha1` or GGEP `H`.
    pub sha1: Option<Sha1>,
    /// Tiger tree root from a bitprint or `TT`.
    pub tiger: Option<[u8; 24]>,
    /// Seconds since 1970, from GGEP `CT`.
    pub created: Option<u64>,
}

impl QueryHit {
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
            Vec::with_capacity(usize::from(*count).min(rest.len() / RECORD_BYTES_MIN));
        for _ in 0..*count {
            let (record, after) = Record::read(rest)?;
            records.push(record);
            rest = after;
        }
        let trailer = Trailer::read(rest)?;
        let mut addr = Ipv4OrSix::new(read_port_ip(*address));
        let mut hit = Self {
            addr: addr.get(),
            speed_kbps: u32::from_le_bytes([*s0, *s1, *s2, *s3]),
            records,
            vendor: trailer.vendor,
            push: trailer.push,
            push_proxies: Vec::new(),
            busy: trailer.busy,
            browse: false,
            nick: None,
            servent,
        };
        // Some vendors keep secrets in this area: no block, no harm.
        let (mut proxies4, mut proxies6) = (None, None);
        for extension in Extensions::new(trailer.block) {
            match extension.id {
                b"6" => addr.six(&extension),
                b"PUSH" => proxies4 = proxies4.or_else(|| vector4(&extension)),
                b"PUSH6" => proxies6 = proxies6.or_else(|| vector6(&extension)),
                b"BH" => hit.browse = true,
                b"NICK" if hit.nick.is_none() => hit.nick = nick(&extension),
                _ => {}
            }
        }
        hit.addr = addr.get();
        let proxies = proxies4.into_iter().chain(proxies6).flatten();
        hit.push_proxies.extend(proxies.take(PUSH_PROXIES_MAX));
        Ok(hit)
    }

    /// Encodes the payload; the inverse of [`parse`](Self::parse). Only the first [`RECORDS_MAX`] records
    /// fit: callers with more make several hits (`node::limits` says when).
    pub fn build(&self) -> Vec<u8> {
        let records = &self.records[..self.records.len().min(RECORDS_MAX)];
        let mut out = vec![u8::try_from(records.len()).expect("at most 255")];
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        let six = write_ip(self.addr.ip(), &mut out);
        out.extend_from_slice(&self.speed_kbps.to_le_bytes());
        for record in records {
            record.write(&mut out);
        }
        self.write_trailer(six, &mut out);
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

    fn write_trailer(&self, six: Option<[u8; 16]>, out: &mut Vec<u8>) {
        let mut block = Block::new(Zeros::Allowed);
        if self.browse {
            block.put(b"BH", &[]);
        }
        let nick = self
            .nick
            .as_deref()
            .map(|nick| clean_bytes(nick.as_bytes(), NICK_BYTES_MAX));
        if let Some(nick) = nick.filter(|nick| !nick.is_empty()) {
            block.put(b"NICK", nick.as_bytes());
        }
        if let Some(six) = six {
            block.put(b"6", &six);
        }
        let proxies = &self.push_proxies[..self.push_proxies.len().min(PUSH_PROXIES_MAX)];
        let (proxies4, proxies6) = vectors(proxies);
        for (id, vector) in [(&b"PUSH"[..], proxies4), (b"PUSH6", proxies6)] {
            if !vector.is_empty() {
                block.put(id, &vector);
            }
        }
        let ggep = (!block.is_empty()).then_some(true);
        if self.vendor == [0; 4] && self.push.is_none() && self.busy.is_none() && ggep.is_none() {
            return;
        }
        let mut valid = 0;
        let mut set = 0;
        for (mask, flag) in [(PUSH, self.push), (BUSY, self.busy), (GGEP, ggep)] {
            valid |= if flag.is_some() { mask } else { 0 };
            set |= if flag == Some(true) { mask } else { 0 };
        }
        // Bit 0 says it the other way round: "valid" stands in the second byte, "true" in the first.
        let first = valid & !PUSH | set & PUSH;
        let second = set & !PUSH | valid & PUSH;
        out.extend_from_slice(&self.vendor);
        out.extend_from_slice(&[2, first, second]);
        out.extend(block.finish());
    }
}

impl Record {
    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let cut = WireError::Truncated("query hit record");
        let (index, rest) = bytes.split_first_chunk::<4>().ok_or(cut)?;
        let (size, rest) = rest.split_first_chunk::<4>().ok_or(cut)?;
        let (name, rest) = split_nul(rest).ok_or(cut)?;
        let (area, rest) = split_nul(rest).ok_or(cut)?;
        let mut record = Self {
            index: u32::from_le_bytes(*index),
            size: u32::from_le_bytes(*size).into(),
            name: String::from_utf8_lossy(name).into_owned(),
            sha1: None,
            tiger: None,
            created: None,
        };
        for item in Items::new(area) {
            match item {
                Item::Urn(urn) => record.learn(Hashes::parse(urn).ok()),
                Item::Ggep(extension) => record.learn_ggep(&extension),
                Item::DoubleSeparator | Item::Other => {}
            }
        }
        Ok((record, rest))
    }

    fn learn(&mut self, hashes: Option<Hashes>) {
        if let Some(hashes) = hashes {
            self.sha1 = self.sha1.or(hashes.sha1);
            self.tiger = self.tiger.or(hashes.tiger);
        }
    }

    fn learn_ggep(&mut self, extension: &Extension<'_>) {
        match extension.id {
            b"H" => {
                let value = extension.value_within(H_BYTES_MAX).ok();
                self.learn(value.and_then(|value| Hashes::from_ggep(&value)));
            }
            b"u" => {
                let urn = extension.value_within(URN_BYTES_MAX).ok();
                self.learn(urn.and_then(|urn| Hashes::parse(str::from_utf8(&urn).ok()?).ok()));
            }
            b"S1" => self.sha1 = self.sha1.or_else(|| extension.array().map(Sha1)),
            b"TT" => self.tiger = self.tiger.or_else(|| extension.array()),
            b"CT" => self.created = self.created.or_else(|| extension.uint()),
            b"LF" => {
                let size = extension.uint().filter(|&size| size > 0);
                self.size = size.unwrap_or(self.size);
            }
            _ => {}
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut block = Block::new(Zeros::Escaped);
        if let Some(tiger) = &self.tiger {
            block.put(b"TT", tiger);
        }
        if let Some(created) = self.created {
            block.put_uint(b"CT", created);
        }
        let size = u32::try_from(self.size)
            .ok()
            .filter(|&size| size <= PLAIN_SIZE_MAX);
        if size.is_none() {
            block.put_uint(b"LF", self.size);
        }
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&size.unwrap_or(u32::MAX).to_le_bytes());
        out.extend(self.name.bytes().filter(|&byte| byte != 0));
        out.push(0);
        if let Some(sha1) = self.sha1 {
            out.extend_from_slice(sha1.to_string().as_bytes());
            if !block.is_empty() {
                out.push(SEPARATOR);
            }
        }
        out.extend(block.finish());
        out.push(0);
    }
}

/// What follows the records, as far as it concerns us.
struct Trailer<'a> {
    vendor: [u8; 4],
    push: Option<bool>,
    busy: Option<bool>,
    /// From the first byte that may start a GGEP block.
    block: &'a [u8],
}

impl<'a> Trailer<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        // Bytes that are no trailer are records that the count left out.
        let bad = WireError::Malformed("query hit trailer");
        if bytes.is_empty() {
            return Ok(Self {
                vendor: [0; 4],
                push: None,
                busy: None,
                block: &[],
            });
        }
        let (vendor, rest) = bytes.split_first_chunk::<4>().ok_or(bad)?;
        if *vendor != [0; 4] && !vendor.iter().all(u8::is_ascii_graphic) {
            return Err(bad);
        }
        let (&open_len, rest) = rest.split_first().ok_or(bad)?;
        let (open, private) = rest.split_at_checked(open_len.into()).ok_or(bad)?;
        let (push, busy) = match open {
            [first, second, ..] => (
                (second & PUSH != 0).then_some(first & PUSH != 0),
                (first & BUSY != 0).then_some(second & BUSY != 0),
            ),
            _ => (None, None),
        };
        // LimeWire puts a byte of its own before the block, others more.
        let start = private
            .iter()
            .position(|&byte| byte == MAGIC)
            .unwrap_or(private.len());
        Ok(Self {
            vendor: *vendor,
            push,
            busy,
            block: &private[start..],
        })
    }
}

/// Count, port, IPv4 and speed.
const HEAD_BYTES: usize = 11;
/// Index, size and two NULs.
const RECORD_BYTES_MIN: usize = 10;
/// The largest size written in its 32-bit field; above it stands `FFFFFFFF` and the size in GGEP `LF`, as
/// gtk-gnutella does from 2^31 on.
const PLAIN_SIZE_MAX: u32 = 0x7FFF_FFFF;
/// A type byte and the longest digest, SHA-1 with Tiger root.
const H_BYTES_MAX: usize = 45;
/// Longest URN read in GGEP `u`: a bitprint is 81 bytes.
const URN_BYTES_MAX: usize = 128;
const PUSH: u8 = 0x01;
const BUSY: u8 = 0x04;
const GGEP: u8 = 0x20;

fn split_servent(payload: &[u8]) -> Result<(&[u8], ServentId), WireError> {
    let (body, servent) = payload
        .split_last_chunk::<16>()
        .ok_or(WireError::Truncated("query hit"))?;
    if body.len() < HEAD_BYTES {
        return Err(WireError::Truncated("query hit"));
    }
    Ok((body, ServentId(*servent)))
}

fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = CStr::from_bytes_until_nul(bytes).ok()?.to_bytes();
    Some((text, &bytes[text.len() + 1..]))
}

fn nick(extension: &Extension<'_>) -> Option<String> {
    let value = extension.value_within(8 * NICK_BYTES_MAX).ok()?;
    Some(clean_bytes(&value, NICK_BYTES_MAX)).filter(|nick| !nick.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER
            .decode(text.replace(' ', "").as_bytes())
            .unwrap()
    }

    fn fox() -> (Vec<u8>, QueryHit) {
        let payload = hex(concat!(
            "01 ca18 c000020a e8030000 07000000 0c000000 666f782e747874 00",
            "c3 81 48 6d 02 22596363b3de40b06f981fb85d82312e8c0ed511",
            "5347c781128deca796cda0bad48cc2be9cdfff138b095b06 00",
            "54455354 02 2c 21 c3 82 4248 40 f0e1d2c3b4a5968778695a4b3c2d1e0f"
        ));
        let sha1 = hex("22596363b3de40b06f981fb85d82312e8c0ed511")
            .try_into()
            .unwrap();
        let tiger = hex("5347c781128deca796cda0bad48cc2be9cdfff138b095b06")
            .try_into()
            .unwrap();
        let record = Record {
            index: 7,
            size: 12,
            name: "fox.txt".into(),
            sha1: Some(Sha1(sha1)),
            tiger: Some(tiger),
            created: None,
        };
        let hit = QueryHit {
            addr: "192.0.2.10:6346".parse().unwrap(),
            speed_kbps: 1000,
            records: vec![record],
            vendor: *b"TEST",
            push: Some(false),
            push_proxies: Vec::new(),
            busy: Some(false),
            browse: true,
            nick: None,
            servent: ServentId::from_hex("f0e1d2c3b4a5968778695a4b3c2d1e0f").unwrap(),
        };
        (payload, hit)
    }

    #[test]
    fn the_hit_of_the_reference_reads_as_told() {
        let (payload, hit) = fox();
        assert_eq!(payload.len(), 105);
        assert_eq!(QueryHit::parse(&payload), Ok(hit.clone()));
        assert_eq!(QueryHit::servent_of(&payload), Ok(hit.servent));
    }

    #[test]
    fn what_we_build_reads_back() {
        let (_, mut hit) = fox();
        hit.addr = "[2001:db8::9]:6346".parse().unwrap();
        hit.push = Some(true);
        hit.push_proxies = ["192.0.2.1:6346", "198.51.100.7:1024", "[2001:db8::7]:80"]
            .map(|addr| addr.parse().unwrap())
            .to_vec();
        hit.nick = Some("kitchen".into());
        hit.records[0].created = Some(1_700_000_000);
        for size in [
            0,
            u64::from(PLAIN_SIZE_MAX),
            u64::from(PLAIN_SIZE_MAX) + 1,
            1 << 32,
            u64::MAX,
        ] {
            let bare = Record {
                size,
                sha1: None,
                tiger: None,
                created: None,
                ..hit.records[0].clone()
            };
            hit.records.push(bare);
        }
        assert_eq!(QueryHit::parse(&hit.build()), Ok(hit.clone()));
        let plain = QueryHit {
            vendor: [0; 4],
            push: None,
            push_proxies: Vec::new(),
            busy: None,
            browse: false,
            nick: None,
            addr: "192.0.2.1:1".parse().unwrap(),
            ..hit
        };
        assert_eq!(QueryHit::parse(&plain.build()), Ok(plain));
    }

    #[test]
    fn a_hash_of_ours_reads_by_everyone() {
        let (_, hit) = fox();
        let text = String::from_utf8_lossy(&hit.build()).into_owned();
        assert!(
            text.contains("urn:sha1:EJMWGY5T3ZALA34YD64F3ARRF2GA5VIR\u{1c}"),
            "{text:?}"
        );
    }

    #[test]
    fn flags_read_as_their_two_bytes_say() {
        let (payload, _) = fox();
        let flags = payload.len() - 16 - 5 - 2;
        for (first, second, push, busy) in [
            (0x00, 0x00, None, None),
            (0x01, 0x00, None, None),
            (0x00, 0x01, Some(false), None),
            (0x01, 0x01, Some(true), None),
            (0x04, 0x00, None, Some(false)),
            (0x04, 0x04, None, Some(true)),
            (0x00, 0x04, None, None),
        ] {
            let mut payload = payload.clone();
            payload[flags..flags + 2].copy_from_slice(&[first, second]);
            let hit = QueryHit::parse(&payload).unwrap();
            assert_eq!(
                (hit.push, hit.busy),
                (push, busy),
                "{first:02x} {second:02x}"
            );
        }
    }

    #[test]
    fn push_proxies_are_read_as_others_write_them_and_no_more_than_a_few() {
        let (payload, _) = fox();
        let proxies = |block: &str| {
            let mut payload = payload.clone();
            // In the place of the block with `BH` alone.
            let at = payload.len() - 16 - 5;
            payload.splice(at..at + 5, hex(block));
            QueryHit::parse(&payload).unwrap().push_proxies
        };
        let two: [SocketAddr; 2] =
            ["192.0.2.1:6346", "198.51.100.7:1024"].map(|addr| addr.parse().unwrap());
        // As the worked block of the reference packs hosts, with the bitmap of those that speak TLS.
        let vector = "c0000201ca18 c63364070004";
        assert_eq!(
            proxies(&format!(
                "c3 04 50555348 4c {vector} 88 505553485f544c53 41 40"
            )),
            two
        );
        let many = format!(
            "c3 84 50555348 81 40 {}",
            "c0000201ca18".repeat(10) + "c0000201"
        );
        assert_eq!(proxies(&many), [], "it ends within an address");
        let many = format!("c3 84 50555348 81 48 {}", "c0000201ca18".repeat(12));
        assert_eq!(proxies(&many).len(), PUSH_PROXIES_MAX);
        let twice = "c3 04 50555348 46 c0000201ca18 84 50555348 46 c63364070004";
        assert_eq!(proxies(twice), two[..1], "the first counts");
    }

    #[test]
    fn a_hit_that_lies_is_dropped_whole() {
        let (payload, _) = fox();
        let with = |at: usize, byte: u8| {
            let mut payload = payload.clone();
            payload[at] = byte;
            payload
        };
        let mut no_servent = payload.clone();
        no_servent[89..].fill(0);
        let mut two_for_one = payload.clone();
        two_for_one.splice(11..11, hex("01000000 02000000 6100 00"));
        let bad = [
            payload[..26].to_vec(),
            with(0, 0),
            with(0, 2),
            with(80, 0x01),
            no_servent,
            two_for_one,
            hex(
                "01 ca18 c000020a e8030000 07000000 0c000000 666f f0e1d2c3b4a5968778695a4b3c2d1e0f",
            ),
        ];
        for payload in bad {
            assert!(QueryHit::parse(&payload).is_err(), "{payload:02x?}");
        }
    }

    #[test]
    fn odd_but_honest_hits_are_read() {
        let (payload, hit) = fox();
        let mut lime = payload.clone();
        // Open data of 4 bytes (XML of 1 byte), a byte before the block, a NUL behind it.
        lime.splice(81..84, [4, 0x2c, 0x21, 1, 0, 0x01]);
        let end = lime.len() - 16;
        lime.insert(end, 0);
        assert_eq!(QueryHit::parse(&lime), Ok(hit));
        let mut latin1 = payload.clone();
        latin1[19] = 0xe9;
        assert_eq!(
            QueryHit::parse(&latin1).unwrap().records[0].name,
            "\u{fffd}ox.txt"
        );
        let mut bare = payload;
        bare.drain(77..89);
        assert_eq!(QueryHit::parse(&bare).unwrap().vendor, [0; 4]);
    }
}
