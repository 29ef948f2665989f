//! One file of a hit: index, size, name, and an extension area without a NUL.

use std::ffi::CStr;
use std::net::SocketAddr;

use super::super::WireError;
use super::super::addr::{BitMap, vector4, vector6, vectors};
use super::super::ggep::{Block, Extension, Zeros};
use super::super::huge::{Item, Items, SEPARATOR};
use super::super::urn::{Hashes, Sha1, TigerRoot};

/// Other sources of one file that are written and read (gtk-gnutella names up to 10).
pub const ALTERNATES_MAX: usize = 10;
/// Bytes of a record beside its name and alternates: numbers, NULs, `urn:sha1`, `TT`, `CT`, `LF`, `PRU`.
const FIXED_BYTES_MAX: usize = 4 + 4 + 2 + 41 + 2 + 29 + 13 + 13 + 5;
/// Bytes of one alternate: an IPv6 address and a port.
const ALTERNATE_BYTES_MAX: usize = 18;
/// Bytes around the alternates: four extensions, their bitmaps and COBS.
const VECTORS_BYTES_MAX: usize = 44;
/// Bytes of GGEP `PATH` that are written and read (gtk-gnutella reads 1,023); longer ones are left out whole, since a
/// path that was cut names another folder.
pub const PATH_BYTES_MAX: usize = 1_023;
/// Bytes around it: flags, id, length and COBS.
const PATH_FRAME_BYTES: usize = 16;

/// One file in a hit. The default is a nameless file of which nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    pub tiger: Option<TigerRoot>,
    /// Seconds since 1970, from GGEP `CT`.
    pub created: Option<u64>,
    /// The responder has only parts of it, or has not verified it yet (GGEP `PRU`, `PR0` to `PR4`).
    pub partial: bool,
    /// Who else has it (GGEP `ALT`, `ALT6`), at most [`ALTERNATES_MAX`], IPv4 first; none without a hash. Said by
    /// a stranger.
    pub alternates: Vec<Alternate>,
    /// Folders that it lies in, below what the responder shares, `/` between them (GGEP `PATH`), at most
    /// [`PATH_BYTES_MAX`]; `None`: not told. Data of a stranger.
    pub path: Option<String>,
}

/// Another source of a file, as somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// Where it serves files.
    pub addr: SocketAddr,
    /// Its listener accepts TLS (`ALT_TLS`, `ALT6_TLS`).
    pub tls: bool,
}

/// How hashes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashForm {
    /// Text `urn:sha1:`, and `TT` for the Tiger root: every reader knows it.
    #[default]
    Urn,
    /// GGEP `H`, shorter by half; for queriers that say that they read it.
    GgepH,
}

/// The vectors of alternates as they are found, one for each family, the first of a kind counting.
#[derive(Default)]
struct Vectors {
    four: Option<Vec<SocketAddr>>,
    four_tls: Option<BitMap>,
    six: Option<Vec<SocketAddr>>,
    six_tls: Option<BitMap>,
}

impl Vectors {
    fn alternates(self) -> Vec<Alternate> {
        let with = |addrs: Option<Vec<SocketAddr>>, tls: Option<BitMap>| {
            let tls = tls.unwrap_or_default();
            let addrs = addrs.unwrap_or_default().into_iter().enumerate();
            addrs.map(move |(at, addr)| Alternate {
                addr,
                tls: tls.get(at),
            })
        };
        let mut all: Vec<_> = with(self.four, self.four_tls)
            .chain(with(self.six, self.six_tls))
            .collect();
        // An IPv4 address may come in the clothes of an IPv6 one.
        all.sort_by_key(|alternate| alternate.addr.is_ipv6());
        all.truncate(ALTERNATES_MAX);
        all
    }
}

impl Record {
    /// Bytes this record takes at most, in either form.
    pub fn bytes_max(&self) -> usize {
        let alternates = self.alternates.len().min(ALTERNATES_MAX);
        let vectors = if alternates > 0 { VECTORS_BYTES_MAX } else { 0 };
        let path = self
            .path
            .as_ref()
            .map_or(0, |path| path.len() + PATH_FRAME_BYTES);
        self.name.len() + FIXED_BYTES_MAX + vectors + alternates * ALTERNATE_BYTES_MAX + path
    }

    pub(super) fn read(bytes: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let cut = WireError::Truncated("query hit record");
        let (index, rest) = bytes.split_first_chunk::<4>().ok_or(cut)?;
        let (size, rest) = rest.split_first_chunk::<4>().ok_or(cut)?;
        let (name, rest) = split_nul(rest).ok_or(cut)?;
        let (area, rest) = split_nul(rest).ok_or(cut)?;
        let mut record = Self {
            index: u32::from_le_bytes(*index),
            size: u32::from_le_bytes(*size).into(),
            name: String::from_utf8_lossy(name).into_owned(),
            ..Self::default()
        };
        let (mut long_size, mut vectors) = (None, Vectors::default());
        for item in Items::new(area) {
            match item {
                Item::Urn(urn) => record.learn(Hashes::parse(urn).ok()),
                Item::Ggep(extension) => {
                    record.learn_ggep(&extension, &mut long_size, &mut vectors);
                }
                Item::DoubleSeparator | Item::Other => {}
            }
        }
        record.size = long_size.unwrap_or(record.size);
        if record.sha1.is_some() {
            record.alternates = vectors.alternates();
        }
        Ok((record, rest))
    }

    fn learn(&mut self, hashes: Option<Hashes>) {
        if let Some(hashes) = hashes {
            self.sha1 = self.sha1.or(hashes.sha1);
            self.tiger = self.tiger.or(hashes.tiger);
        }
    }

    fn learn_ggep(
        &mut self,
        extension: &Extension<'_>,
        size: &mut Option<u64>,
        vectors: &mut Vectors,
    ) {
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
            b"LF" if size.is_none() => *size = extension.uint().filter(|&size| size > 0),
            b"PATH" if self.path.is_none() => {
                let path = extension.value_within(PATH_BYTES_MAX).ok();
                let path = path.map(|path| String::from_utf8_lossy(&path).into_owned());
                self.path = path.filter(|path| !path.is_empty());
            }
            b"PRU" | b"PR0" | b"PR1" | b"PR2" | b"PR3" | b"PR4" => self.partial = true,
            b"ALT" if vectors.four.is_none() => vectors.four = vector4(extension),
            b"ALT6" if vectors.six.is_none() => vectors.six = vector6(extension),
            b"ALT_TLS" if vectors.four_tls.is_none() => vectors.four_tls = BitMap::read(extension),
            b"ALT6_TLS" if vectors.six_tls.is_none() => vectors.six_tls = BitMap::read(extension),
            _ => {}
        }
    }

    pub(super) fn write(&self, form: HashForm, out: &mut Vec<u8>) {
        let hashes = Hashes {
            sha1: self.sha1,
            tiger: self.tiger,
        };
        let mut block = Block::new(Zeros::Escaped);
        let in_h = hashes.to_ggep().filter(|_| form == HashForm::GgepH);
        if let Some(value) = &in_h {
            block.put(b"H", value);
        } else if let Some(tiger) = &self.tiger {
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
        if self.partial {
            block.put(b"PRU", &[]);
        }
        let path = self.path.as_ref();
        if let Some(path) = path.filter(|path| (1..=PATH_BYTES_MAX).contains(&path.len())) {
            block.put(b"PATH", path.as_bytes());
        }
        if self.sha1.is_some() {
            write_alternates(&self.alternates, &mut block);
        }
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&size.unwrap_or(u32::MAX).to_le_bytes());
        out.extend(self.name.bytes().filter(|&byte| byte != 0));
        out.push(0);
        if let Some(sha1) = self.sha1.filter(|_| in_h.is_none()) {
            out.extend_from_slice(sha1.to_string().as_bytes());
            if !block.is_empty() {
                out.push(SEPARATOR);
            }
        }
        out.extend(block.finish());
        out.push(0);
    }
}

fn write_alternates(all: &[Alternate], block: &mut Block) {
    let all = &all[..all.len().min(ALTERNATES_MAX)];
    let (six, four): (Vec<&Alternate>, Vec<&Alternate>) = all
        .iter()
        .partition(|alternate| alternate.addr.ip().to_canonical().is_ipv6());
    for (vector, bitmap, of_family) in [
        (&b"ALT"[..], &b"ALT_TLS"[..], four),
        (b"ALT6", b"ALT6_TLS", six),
    ] {
        let addrs: Vec<SocketAddr> = of_family.iter().map(|alternate| alternate.addr).collect();
        let (in_four, in_six) = vectors(&addrs);
        if addrs.is_empty() {
            continue;
        }
        block.put(vector, &[in_four, in_six].concat());
        let tls = BitMap::of(of_family.iter().map(|alternate| alternate.tls));
        if !tls.is_empty() {
            block.put(bitmap, tls.bytes());
        }
    }
}

/// Index, size and two NULs.
pub(super) const BYTES_MIN: usize = 10;
/// The largest size written in its 32-bit field; above it stands `FFFFFFFF` and the size in GGEP `LF`, as
/// gtk-gnutella does from 2^31 on.
pub(super) const PLAIN_SIZE_MAX: u32 = 0x7FFF_FFFF;
/// A type byte and the longest digest, SHA-1 with Tiger root.
const H_BYTES_MAX: usize = 45;
/// Longest URN read in GGEP `u`: a bitprint is 81 bytes.
const URN_BYTES_MAX: usize = 128;

fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = CStr::from_bytes_until_nul(bytes).ok()?.to_bytes();
    Some((text, &bytes[text.len() + 1..]))
}
