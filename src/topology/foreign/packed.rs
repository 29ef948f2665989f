//! Packed links: a whole graph in a quarter of its edge list, with the line that says where it is from.
//!
//! ```text
//! filbert links 1\n
//! one line about the graph\n
//! raw deflate of: nodes, links, then each link a < b in rising order: a less the a before, b less the b before (of
//! the same a; else less a). Numbers of 7 bits a byte, low ones first, the high bit says that more follow.
//! ```
//!
//! The nodes have numbers only. Bytes in, bytes out; what they unpack to is bounded by [`NODES_MAX`] and [`LINKS_MAX`].

use std::io::{BufReader, Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::{LINKS_MAX, NODES_MAX, TopologyError};
use crate::topology::imports::Links;

/// How packed links begin.
pub const MAGIC: &[u8] = b"filbert links 1\n";
/// Bytes of the line about the graph.
const ABOUT_BYTES_MAX: usize = 1000;

/// Reads packed links, and the line about them.
///
/// # Errors
/// They are none, end too early or name nodes that are not there.
pub fn read(bytes: &[u8]) -> Result<(Links, String), TopologyError> {
    let wrong = |message: &str| TopologyError::new("", message);
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| wrong("are no packed links: they begin with \"filbert links 1\""))?;
    let end = rest
        .iter()
        .take(ABOUT_BYTES_MAX)
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| wrong("the line about the graph does not end"))?;
    let about = String::from_utf8(rest[..end].to_vec())
        .map_err(|_| wrong("the line about the graph is no UTF-8"))?;
    let mut numbers = Numbers(BufReader::new(DeflateDecoder::new(&rest[end + 1..])).bytes());
    let (nodes, links) = (numbers.next()?, numbers.next()?);
    if nodes > NODES_MAX as u64 || links > LINKS_MAX as u64 {
        return Err(wrong(&format!(
            "there are more than {NODES_MAX} nodes or {LINKS_MAX} links"
        )));
    }
    let mut pairs = Vec::new();
    let (mut a, mut b) = (0_u64, 0_u64);
    for _ in 0..links {
        let step = numbers.next()?;
        a = a.saturating_add(step);
        let from = if step > 0 || pairs.is_empty() { a } else { b };
        let next = numbers.next()?;
        b = from.saturating_add(next);
        if next == 0 || b >= nodes {
            return Err(wrong("a link leads to no node, or to its own"));
        }
        let node = |number: u64| u32::try_from(number).expect("below NODES_MAX");
        pairs.push((node(a), node(b)));
    }
    let nodes = u32::try_from(nodes).expect("NODES_MAX fits");
    Ok((Links { nodes, pairs }, about))
}

/// Packs links. `about` is one line; what does not fit is cut off.
pub fn write(links: &Links, about: &str) -> Vec<u8> {
    let mut pairs: Vec<(u32, u32)> = links
        .pairs
        .iter()
        .map(|&(a, b)| (a.min(b), a.max(b)))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut out = MAGIC.to_vec();
    let line = about.replace(['\n', '\r'], " ");
    let mut end = line.len().min(ABOUT_BYTES_MAX - 1);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&line.as_bytes()[..end]);
    out.push(b'\n');
    let mut numbers = Vec::new();
    put(&mut numbers, u64::from(links.nodes));
    put(&mut numbers, pairs.len() as u64);
    let mut before = None;
    for (a, b) in pairs {
        let (a_before, b_before) = before.unwrap_or((0, a));
        put(&mut numbers, u64::from(a - a_before));
        let from = if a == a_before { b_before } else { a };
        put(&mut numbers, u64::from(b - from));
        before = Some((a, b));
    }
    let mut packer = DeflateEncoder::new(out, Compression::best());
    packer.write_all(&numbers).expect("a vector takes all");
    packer.finish().expect("a vector takes all")
}

struct Numbers<R: Read>(std::io::Bytes<R>);

impl<R: Read> Numbers<R> {
    fn next(&mut self) -> Result<u64, TopologyError> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.0.next().and_then(Result::ok).ok_or_else(|| {
                TopologyError::new("", "the packed links end too early, or are damaged")
            })?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(TopologyError::new(
            "",
            "a number in the packed links is too large",
        ))
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_again() {
        let links = Links {
            nodes: 900,
            pairs: vec![(0, 1), (0, 7), (0, 899), (5, 6), (5, 200), (898, 899)],
        };
        let bytes = write(&links, "a\ngraph");
        assert_eq!(read(&bytes).unwrap(), (links, "a graph".to_owned()));
        let none = Links {
            nodes: 3,
            pairs: vec![],
        };
        assert_eq!(read(&write(&none, "")).unwrap().0, none);
    }

    #[test]
    fn what_is_damaged_says_so() {
        let links = Links {
            nodes: 9,
            pairs: vec![(1, 2), (3, 8)],
        };
        let bytes = write(&links, "x");
        let error = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(error(b"1 2\n").contains("no packed links"));
        assert!(error(b"filbert links 1\nx").contains("does not end"));
        for cut in MAGIC.len() + 2..bytes.len() - 1 {
            assert!(error(&bytes[..cut]).contains("end too early"), "{cut}");
        }
        let raw = |numbers: &[u8]| {
            let mut packer = DeflateEncoder::new([MAGIC, b"\n"].concat(), Compression::best());
            packer.write_all(numbers).unwrap();
            packer.finish().unwrap()
        };
        assert!(error(&raw(&[3, 1, 0, 3])).contains("leads to no node"));
        assert!(error(&raw(&[3, 1, 0, 0])).contains("leads to no node"));
        assert!(error(&raw(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF])).contains("too large"));
        assert!(error(&raw(&[0xFF, 0xFF, 0xFF, 0x7F, 1])).contains("more than"));
    }
}
