//! The extension area of queries and hit records: `urn:` items, XML, GGEP blocks, `1C` between them.
//!
//! GGEP values may hold the separator (and NUL, in a query), so the area is walked item by item and
//! never split at separators first. Source: HUGE 0.94, "Extension area", and observed practice.

use super::ggep::{Extension, Extensions, MAGIC};

/// Separates items.
pub(super) const SEPARATOR: u8 = 0x1C;

/// One item of an extension area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A URN less its `urn:`; empty when URNs are asked for.
    Urn(&'a str),
    /// A GGEP extension.
    Ggep(Extension<'a>),
    /// A separator directly after another one.
    DoubleSeparator,
    /// XML or anything else.
    Other,
}

/// Walks an extension area.
#[derive(Debug)]
pub(super) struct Items<'a> {
    rest: &'a [u8],
    block: Option<Extensions<'a>>,
    after_separator: bool,
}

impl<'a> Items<'a> {
    pub(super) fn new(area: &'a [u8]) -> Self {
        Self {
            rest: area,
            block: None,
            after_separator: false,
        }
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (item, rest) = self.rest.split_at(len);
        self.rest = rest;
        item
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some(block) = &mut self.block {
                if let Some(extension) = block.next() {
                    return Some(Item::Ggep(extension));
                }
                self.rest = block.rest();
                self.block = None;
            }
            let is_separator = matches!(self.rest.first()?, &SEPARATOR | 0);
            let doubled =
                is_separator && std::mem::replace(&mut self.after_separator, is_separator);
            if is_separator {
                self.take(1);
                if doubled {
                    return Some(Item::DoubleSeparator);
                }
                continue;
            }
            self.after_separator = false;
            if self.rest[0] == MAGIC {
                self.block = Some(Extensions::new(self.rest));
                continue;
            }
            if self
                .rest
                .get(..4)
                .is_some_and(|urn| urn.eq_ignore_ascii_case(b"urn:"))
            {
                self.take(4);
                let part_of_urn =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':');
                let len = self
                    .rest
                    .iter()
                    .position(|byte| !part_of_urn(byte))
                    .unwrap_or(self.rest.len());
                return Some(Item::Urn(
                    str::from_utf8(self.take(len)).expect("ASCII alone"),
                ));
            }
            let end = |&byte: &u8| matches!(byte, SEPARATOR | 0);
            let len = self.rest.iter().position(end).unwrap_or(self.rest.len());
            self.take(len);
            return Some(Item::Other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(area: &[u8]) -> String {
        Items::new(area)
            .map(|item| match item {
                Item::Urn(urn) => format!("[{urn}]"),
                Item::Ggep(extension) => String::from_utf8_lossy(extension.id).into_owned(),
                Item::DoubleSeparator => "!".into(),
                Item::Other => "?".into(),
            })
            .collect()
    }

    #[test]
    fn items_end_where_the_next_begins() {
        assert_eq!(
            kinds(b"urn:sha1:ABC\x1curn:\x1c\xc3\x82BH\x40"),
            "[sha1:ABC][]BH"
        );
        assert_eq!(
            kinds(b"URN:a:b\xc3\x82BH\x40\x1c<x/>\x00120 kbps"),
            "[a:b]BH??"
        );
        assert_eq!(kinds(b"\xc3\x81H\x42\x1c\x00\x1curn:x"), "H[x]");
        assert_eq!(kinds(b"u\x1cU\x00"), "??");
    }

    #[test]
    fn only_separators_in_a_row_are_doubled() {
        assert_eq!(kinds(b"\x00"), "");
        assert_eq!(kinds(b"\x1cx\x1cy\x00"), "??");
        assert_eq!(kinds(b"\x1c\x00"), "!");
        assert_eq!(kinds(b"x\x00\x00"), "?!");
    }

    #[test]
    fn a_broken_block_ends_the_area() {
        assert_eq!(kinds(b"\xc3\x92BH\x40\x1curn:x"), "");
    }
}
