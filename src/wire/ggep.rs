//! GGEP: typed extensions inside Ping, Pong, Push, Query, hit records and the hit trailer.
//!
//! Knows framing, COBS and deflate; what an id means is the business of the message it stands in.
//! Shape: `C3`, then extensions `flags, id, length, value`, the last one marked. Length is big-endian in
//! groups of 6 bits and counts the value as stored. Source: GGEP document, "Framing".

use std::borrow::Cow;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::WireError;

/// First byte of a block.
pub const MAGIC: u8 = 0xC3;
/// Extensions read in one area; a block with more ends there (gtk-gnutella's limit).
pub const EXTENSIONS_MAX: usize = 32;
/// Bytes a deflated value may grow to. A compressed bomb ends here. Our choice: the most a payload may have.
pub const INFLATED_MAX: usize = 64 * 1024;
/// Bytes of a stored value, by its length field of three groups of 6 bits.
pub const VALUE_MAX: usize = 0x3_FFFF;

const LAST: u8 = 0x80;
const COBS: u8 = 0x40;
const DEFLATED: u8 = 0x20;
const RESERVED: u8 = 0x10;
const ID_LEN: u8 = 0x0F;
/// The shortest zlib stream: 2 header bytes and a checksum of 4.
const ZLIB_BYTES_MIN: usize = 6;

/// One extension as it stands in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Case-sensitive id, 1 to 15 bytes.
    pub id: &'a [u8],
    flags: u8,
    stored: &'a [u8],
}

impl<'a> Extension<'a> {
    /// The value with COBS undone and inflated, at most [`INFLATED_MAX`] bytes.
    ///
    /// # Errors
    /// [`WireError::Malformed`] for bad COBS or zlib, [`WireError::Limit`] for more bytes.
    pub fn value(&self) -> Result<Cow<'a, [u8]>, WireError> {
        self.value_within(INFLATED_MAX)
    }

    /// As [`value`](Self::value), but inflates to `max` bytes at most: what a reader knows to be short
    /// costs little, whatever a peer sends.
    ///
    /// # Errors
    /// As for [`value`](Self::value).
    pub fn value_within(&self, max: usize) -> Result<Cow<'a, [u8]>, WireError> {
        let plain = if self.flags & COBS == 0 {
            Cow::Borrowed(self.stored)
        } else {
            Cow::Owned(uncobs(self.stored)?)
        };
        if self.flags & DEFLATED != 0 {
            return Ok(Cow::Owned(inflate(&plain, max.min(INFLATED_MAX))?));
        }
        if plain.len() > max {
            Err(WireError::Limit("GGEP value"))
        } else {
            Ok(plain)
        }
    }

    /// The value as an unsigned integer: little-endian, zeros at its end left out, at most 8 bytes.
    pub fn uint(&self) -> Option<u64> {
        let value = self.value_within(8).ok()?;
        let mut bytes = [0; 8];
        bytes[..value.len()].copy_from_slice(&value);
        Some(u64::from_le_bytes(bytes))
    }

    /// The value as exactly `N` bytes.
    pub fn array<const N: usize>(&self) -> Option<[u8; N]> {
        self.value_within(N).ok()?.as_ref().try_into().ok()
    }
}

/// Reads the extensions at the start of an area, block after block. Ends at the first byte that starts
/// no block, at the first framing error (what came before it stands), or after [`EXTENSIONS_MAX`].
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    inside: bool,
    read: usize,
    broken: bool,
}

impl<'a> Extensions<'a> {
    /// Reads an area that may start with a block.
    pub fn new(area: &'a [u8]) -> Self {
        Self {
            rest: area,
            inside: false,
            read: 0,
            broken: false,
        }
    }

    /// What follows the blocks read so far; nothing after a framing error, for nobody can tell where the
    /// next item starts.
    pub fn rest(&self) -> &'a [u8] {
        if self.broken { &[] } else { self.rest }
    }

    /// A framing error ended the reading.
    pub fn broken(&self) -> bool {
        self.broken
    }

    fn read_one(&mut self) -> Option<Extension<'a>> {
        let (&flags, rest) = self.rest.split_first()?;
        let id_len = usize::from(flags & ID_LEN);
        if id_len == 0 || flags & RESERVED != 0 || self.read == EXTENSIONS_MAX {
            return None;
        }
        let (id, rest) = rest.split_at_checked(id_len)?;
        if id.contains(&0) {
            return None;
        }
        let (len, rest) = read_len(rest)?;
        let (stored, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        self.inside = flags & LAST == 0;
        self.read += 1;
        Some(Extension { id, flags, stored })
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        if self.broken {
            return None;
        }
        if !self.inside {
            match self.rest.split_first() {
                Some((&MAGIC, rest)) => self.rest = rest,
                _ => return None,
            }
        }
        let extension = self.read_one();
        self.broken = extension.is_none();
        extension
    }
}

/// Builds one block in memory. Ids must be 1 to 15 bytes without NUL, each used once.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    /// Where the flags of the last extension stand.
    last: Option<usize>,
    zeros: Zeros,
}

/// May a byte of the block be zero?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// Anywhere but in hit records.
    Allowed,
    /// In hit records: values with zeros are COBS-encoded.
    Escaped,
}

impl Block {
    /// A block without extensions.
    pub fn new(zeros: Zeros) -> Self {
        Self {
            bytes: vec![MAGIC],
            last: None,
            zeros,
        }
    }

    /// Adds an extension. The value may have [`VALUE_MAX`] bytes once stored.
    pub fn put(&mut self, id: &[u8], value: &[u8]) {
        self.put_stored(id, value, 0);
    }

    /// Adds an extension, deflated when that is shorter.
    pub fn put_packed(&mut self, id: &[u8], value: &[u8]) {
        match deflate(value) {
            Some(packed) if packed.len() < value.len() => self.put_stored(id, &packed, DEFLATED),
            _ => self.put_stored(id, value, 0),
        }
    }

    /// Adds an unsigned integer: little-endian, zeros at its end left out.
    pub fn put_uint(&mut self, id: &[u8], value: u64) {
        let bytes = value.to_le_bytes();
        let len = bytes
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |at| at + 1);
        self.put(id, &bytes[..len]);
    }

    /// Nothing was put?
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The block; empty when it has no extension.
    pub fn finish(mut self) -> Vec<u8> {
        match self.last {
            Some(at) => self.bytes[at] |= LAST,
            None => self.bytes.clear(),
        }
        self.bytes
    }

    fn put_stored(&mut self, id: &[u8], value: &[u8], mut flags: u8) {
        assert!(
            matches!(id.len(), 1..=15) && !id.contains(&0),
            "GGEP ids are 1 to 15 bytes without NUL"
        );
        let mut value = Cow::Borrowed(value);
        if self.zeros == Zeros::Escaped && value.contains(&0) {
            value = Cow::Owned(cobs(&value));
            flags |= COBS;
        }
        assert!(
            value.len() <= VALUE_MAX,
            "GGEP values are at most VALUE_MAX bytes"
        );
        self.last = Some(self.bytes.len());
        self.bytes
            .push(flags | u8::try_from(id.len()).expect("at most 15"));
        self.bytes.extend_from_slice(id);
        write_len(value.len(), &mut self.bytes);
        self.bytes.extend_from_slice(&value);
    }
}

fn read_len(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut len = 0;
    for (at, &byte) in bytes.iter().take(3).enumerate() {
        len = len << 6 | usize::from(byte & 0x3F);
        match byte >> 6 {
            0b01 => return Some((len, &bytes[at + 1..])),
            0b10 => {}
            _ => return None,
        }
    }
    None
}

fn write_len(len: usize, out: &mut Vec<u8>) {
    let group = |shift: usize| u8::try_from(len >> shift & 0x3F).expect("6 bits");
    if len > 0xFFF {
        out.push(0x80 | group(12));
    }
    if len > 0x3F {
        out.push(0x80 | group(6));
    }
    out.push(0x40 | group(0));
}

/// Replaces every zero by the distance to the next one.
fn cobs(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + value.len() / 254 + 1);
    let mut runs = value.split(|&byte| byte == 0).peekable();
    while let Some(mut run) = runs.next() {
        while run.len() >= 254 {
            let (full, rest) = run.split_at(254);
            out.push(0xFF);
            out.extend_from_slice(full);
            run = rest;
            if run.is_empty() && runs.peek().is_none() {
                return out;
            }
        }
        out.push(u8::try_from(run.len() + 1).expect("at most 254"));
        out.extend_from_slice(run);
    }
    out
}

fn uncobs(mut stored: &[u8]) -> Result<Vec<u8>, WireError> {
    let bad = WireError::Malformed("GGEP COBS value");
    let mut out = Vec::with_capacity(stored.len());
    if stored.is_empty() {
        return Err(bad);
    }
    while let Some((&code, rest)) = stored.split_first() {
        let (run, rest) = rest
            .split_at_checked(usize::from(code).checked_sub(1).ok_or(bad)?)
            .ok_or(bad)?;
        if run.contains(&0) {
            return Err(bad);
        }
        out.extend_from_slice(run);
        // The zero at the very end is the encoder's own.
        if code != 0xFF && !rest.is_empty() {
            out.push(0);
        }
        stored = rest;
    }
    Ok(out)
}

fn deflate(value: &[u8]) -> Option<Vec<u8>> {
    let mut packer = Compress::new(Compression::best(), true);
    // Room for as much as is worth it: one byte less than the plain value.
    let mut out = Vec::with_capacity(value.len());
    let status = packer
        .compress_vec(value, &mut out, FlushCompress::Finish)
        .ok()?;
    (status == Status::StreamEnd).then_some(out)
}

fn inflate(packed: &[u8], max: usize) -> Result<Vec<u8>, WireError> {
    let bad = WireError::Malformed("GGEP deflated value");
    if packed.len() < ZLIB_BYTES_MIN {
        return Err(bad);
    }
    let mut unpacker = Decompress::new(true);
    // Grows with what comes out, so that a small value does not cost the whole limit.
    let mut out = Vec::with_capacity((packed.len() * 4).max(64).min(max + 1));
    loop {
        let eaten = usize::try_from(unpacker.total_in()).map_err(|_| bad)?;
        let before = (eaten, out.len());
        let status = unpacker
            .decompress_vec(&packed[eaten..], &mut out, FlushDecompress::None)
            .map_err(|_| bad)?;
        if out.len() > max {
            return Err(WireError::Limit("GGEP deflated value"));
        }
        if status == Status::StreamEnd {
            return Ok(out);
        }
        if out.len() == out.capacity() {
            let left = max + 1 - out.len();
            out.reserve_exact(out.len().min(left));
        } else if (
            usize::try_from(unpacker.total_in()).map_err(|_| bad)?,
            out.len(),
        ) == before
        {
            // Room left and nothing moved: the stream is cut short.
            return Err(bad);
        }
    }
}

#[cfg(test)]
mod tests;
