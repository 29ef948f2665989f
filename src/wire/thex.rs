//! THEX: a Tiger tree on its way from one node to another, as two DIME records: a head in XML, and the node hashes.
//!
//! Bytes and the shape of trees only; whether the hashes are right is for `disk::tree` to say. Source: "Tree Hash Exchange
//! format", open-content.net, as gtk-gnutella and LimeWire write it.

use std::borrow::Cow;
use std::fmt::Write;

use super::WireError;
use super::dime::{self, Record, TypeKind};
use super::urn::TigerRoot;

/// Bytes of file below one leaf of a tree.
pub const LEAF_BYTES: u64 = 1024;
/// Bytes of one node.
pub const NODE_BYTES: usize = 24;
/// Bytes of an answer that are read; a tree of depth 11 takes below 100 KiB. LimeWire and we.
pub const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// Media type of an answer.
pub const MEDIA_TYPE: &str = "application/dime";

const HEAD_TYPE: &str = "text/xml";
const DIGEST: &str = "http://open-content.net/spec/digest/tiger";
const BREADTH_FIRST: &str = "http://open-content.net/spec/thex/breadthfirst";
const DTD: &str = "http://open-content.net/spec/thex/thex.dtd";

/// Nodes of a tree over `size` bytes at `height` levels above its leaves. An empty file has one leaf.
pub fn nodes_at(size: u64, height: u32) -> u64 {
    let leaves = size.div_ceil(LEAF_BYTES).max(1);
    match 1u64.checked_shl(height) {
        Some(below) => leaves.div_ceil(below),
        None => 1,
    }
}

/// Levels between the root of a tree over `size` bytes and its leaves; 0 when the root is a leaf.
pub fn depth(size: u64) -> u32 {
    let leaves = nodes_at(size, 0);
    leaves.next_power_of_two().trailing_zeros()
}

/// The upper part of a tree, as it came: nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thex {
    /// Bytes of the file, from 1024 bytes for each leaf on.
    pub size: u64,
    /// Node hashes, the root first, level by level, each from left to right; at least the root. A node without
    /// a neighbour is there again on the level above.
    pub nodes: Vec<TigerRoot>,
}

impl Thex {
    /// Levels below the root, told from the number of nodes; `None` when they are no whole levels of a tree over
    /// [`size`](Self::size) bytes.
    pub fn levels_below_root(&self) -> Option<u32> {
        let full = depth(self.size);
        let mut left = self.nodes.len() as u64;
        for below in 0..=full {
            left = left.checked_sub(nodes_at(self.size, full - below))?;
            if left == 0 {
                return Some(below);
            }
        }
        None
    }

    /// Reads an answer (its body, whole). The depth that it names is not looked at: many get it wrong.
    ///
    /// # Errors
    /// [`WireError`] when it is no tree over leaves of 1024 bytes made with Tiger, or above
    /// [`RESPONSE_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > RESPONSE_BYTES_MAX {
            return Err(WireError::Limit("hash tree"));
        }
        let records = dime::decode(bytes)?;
        let head = records
            .iter()
            .find(|record| record.kind.eq_ignore_ascii_case(HEAD_TYPE.as_bytes()))
            .ok_or(WireError::Malformed("hash tree without a head"))?;
        let head = str::from_utf8(&head.data).map_err(|_| WireError::NotUtf8("hash tree head"))?;
        let has = |tag, name, wanted: &str| match attribute(head, tag, name) {
            Some(value) if value.eq_ignore_ascii_case(wanted) => Ok(()),
            _ => Err(WireError::Malformed(name)),
        };
        has("file", "segmentsize", "1024")?;
        has("digest", "algorithm", DIGEST)?;
        has("digest", "outputsize", "24")?;
        has("serializedtree", "type", BREADTH_FIRST)?;
        let size = attribute(head, "file", "size")
            .and_then(|size| size.parse().ok())
            .ok_or(WireError::Malformed("size"))?;
        let uri = attribute(head, "serializedtree", "uri").unwrap_or_default();
        let tree = records
            .iter()
            .find(|record| {
                record.kind == BREADTH_FIRST.as_bytes()
                    && (uri.is_empty() || record.id == uri.as_bytes())
            })
            .ok_or(WireError::Malformed("hash tree without nodes"))?;
        let (nodes, rest) = tree.data.as_chunks::<NODE_BYTES>();
        if nodes.is_empty() || !rest.is_empty() {
            return Err(WireError::Malformed("hash tree nodes"));
        }
        Ok(Self {
            size,
            nodes: nodes.to_vec(),
        })
    }

    /// Writes an answer. `id`: any 16 bytes, other ones for another tree.
    pub fn encode(&self, id: [u8; 16]) -> Vec<u8> {
        let id = uuid(id);
        let depth = self.levels_below_root().unwrap_or_default();
        let size = self.size;
        let head = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<!DOCTYPE hashtree SYSTEM \"{DTD}\">\r\n<hashtree>\r\n\
             <file size=\"{size}\" segmentsize=\"1024\"/>\r\n<digest algorithm=\"{DIGEST}\" outputsize=\"24\"/>\r\n\
             <serializedtree depth=\"{depth}\" type=\"{BREADTH_FIRST}\" uri=\"{id}\"/>\r\n</hashtree>\r\n"
        );
        let records = [
            Record {
                type_kind: TypeKind::Media,
                id: b"",
                kind: HEAD_TYPE.as_bytes(),
                data: Cow::Borrowed(head.as_bytes()),
            },
            Record {
                type_kind: TypeKind::Uri,
                id: id.as_bytes(),
                kind: BREADTH_FIRST.as_bytes(),
                data: Cow::Borrowed(self.nodes.as_flattened()),
            },
        ];
        let mut out = Vec::with_capacity(768 + NODE_BYTES * self.nodes.len());
        dime::encode(&records, &mut out);
        out
    }
}

/// `uuid:` and 36 characters.
fn uuid(id: [u8; 16]) -> String {
    let mut text = String::from("uuid:");
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The value of an attribute of the first element with that name. Not a reader of XML: three elements without
/// content and without escapes are all that is ever there.
fn attribute<'a>(xml: &'a str, tag: &str, name: &str) -> Option<&'a str> {
    let mut element = xml.split('<').find_map(|element| {
        let rest = element.strip_prefix(tag)?;
        rest.starts_with(|c: char| c.is_ascii_whitespace())
            .then_some(rest)
    })?;
    loop {
        let (key, rest) = element.split_once('=')?;
        let rest = rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, rest) = rest[1..].split_once(quote)?;
        if key.trim() == name {
            return Some(value);
        }
        element = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nodes(count: u8) -> Vec<TigerRoot> {
        (0..count).map(|n| [n; 24]).collect()
    }

    #[test]
    fn levels_have_the_sizes_of_the_tree() {
        let sizes = |size, down| {
            (0..=down)
                .map(|height| nodes_at(size, height))
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(5120, 3), [5, 3, 2, 1]);
        assert_eq!(sizes(0, 1), [1, 1]);
        assert_eq!(sizes(u64::MAX, 54)[54], 1);
        assert_eq!(nodes_at(u64::MAX, 64), 1);
        let depths = [0, 1, 1024, 1025, 2048, 2049, 5120, u64::MAX].map(depth);
        assert_eq!(depths, [0, 0, 0, 1, 1, 2, 3, 54]);
    }

    #[test]
    fn an_answer_looks_as_published() {
        let tree = Thex {
            size: 3072,
            nodes: nodes(6),
        };
        let bytes = tree.encode([0xab; 16]);
        assert_eq!(bytes[..2], [0x0c, 0x10]);
        let second = bytes.len() - 248;
        assert_eq!(
            bytes[second..second + 12],
            [0x0a, 0x20, 0, 0, 0, 0x29, 0, 0x2e, 0, 0, 0, 0x90]
        );
        assert_eq!(
            bytes[second + 12..second + 53],
            *b"uuid:abababab-abab-abab-abab-abababababab"
        );
        assert_eq!(Thex::decode(&bytes), Ok(tree));
    }

    #[test]
    fn the_depth_follows_from_the_nodes() {
        let depth_of = |size, count| {
            let nodes = nodes(count);
            Thex { size, nodes }.levels_below_root()
        };
        let told = [1, 3, 6, 11].map(|count| depth_of(5120, count));
        assert_eq!(told, [Some(0), Some(1), Some(2), Some(3)]);
        for count in [0, 2, 4, 5, 7, 10, 12] {
            assert_eq!(depth_of(5120, count), None, "{count}");
        }
        assert_eq!(depth_of(0, 1), Some(0));
        assert_eq!(depth_of(0, 2), None);
    }

    fn told(head: &str, id: &str, kind: &str, data: &[u8]) -> Result<Thex, WireError> {
        let mut out = Vec::new();
        let records = [
            Record {
                type_kind: TypeKind::Media,
                id: b"",
                kind: b"text/xml",
                data: Cow::Borrowed(head.as_bytes()),
            },
            Record {
                type_kind: TypeKind::Uri,
                id: id.as_bytes(),
                kind: kind.as_bytes(),
                data: Cow::Borrowed(data),
            },
        ];
        dime::encode(&records, &mut out);
        Thex::decode(&out)
    }

    #[test]
    fn heads_of_other_hands_read_and_wrong_ones_do_not() {
        let head = format!(
            "<hashtree><file segmentsize='1024' size = \"9\" /><digest outputsize='24'\n algorithm='{DIGEST}'/>\
             <serializedtree uri='uuid:1' depth='77' type='{BREADTH_FIRST}'/></hashtree>"
        );
        let read = |head: &str| told(head, "uuid:1", BREADTH_FIRST, &[5; 24]);
        let tree = Thex {
            size: 9,
            nodes: vec![[5; 24]],
        };
        assert_eq!(read(&head), Ok(tree.clone()));
        let nameless = head.replace("uri='uuid:1'", "");
        assert_eq!(read(&nameless), Ok(tree));
        for (from, to, field) in [
            ("1024", "2048", "segmentsize"),
            ("\"9\"", "\"-9\"", "size"),
            ("\"9\"", "\"99999999999999999999\"", "size"),
            ("='24'", "='20'", "outputsize"),
            ("digest/tiger", "digest/sha1", "algorithm"),
            ("breadthfirst", "depthfirst", "type"),
            ("uuid:1", "uuid:2", "hash tree without nodes"),
            ("<file", "<fild", "segmentsize"),
            ("='1024'", "=1024", "segmentsize"),
        ] {
            let wrong = head.replace(from, to);
            assert_eq!(read(&wrong), Err(WireError::Malformed(field)), "{wrong}");
        }
        for data in [&[][..], &[1; 23], &[1; 25]] {
            let got = told(&head, "uuid:1", BREADTH_FIRST, data);
            assert_eq!(got, Err(WireError::Malformed("hash tree nodes")));
        }
        let other = told(&head, "uuid:1", "text/plain", &[1; 24]);
        assert_eq!(other, Err(WireError::Malformed("hash tree without nodes")));
        let long = vec![0; RESPONSE_BYTES_MAX + 1];
        assert_eq!(Thex::decode(&long), Err(WireError::Limit("hash tree")));
    }

    proptest! {
        #[test]
        fn any_bytes_and_any_head_end_in_a_value_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            head in "(<(file|digest|serializedtree) [a-z]{0,4}( ?= ?[\"'][a-z0-9é]{0,5}[\"']?)?/?>?){0,4}",
        ) {
            let _ = Thex::decode(&bytes);
            let _ = told(&head, "", BREADTH_FIRST, &bytes);
        }

        #[test]
        fn what_was_written_reads_back(size in any::<u64>(), count in 1u8..200, id in any::<[u8; 16]>()) {
            let tree = Thex { size, nodes: nodes(count) };
            prop_assert_eq!(Thex::decode(&tree.encode(id)), Ok(tree));
        }
    }
}
