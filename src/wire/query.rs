//! Query (0x80): words and hashes somebody looks for.

use std::borrow::Cow;
use std::ffi::CStr;

use super::WireError;
use super::ggep::{Block, Extension, Zeros};
use super::huge::{Item, Items, SEPARATOR};
use super::urn::{Hashes, Sha1};
use super::vendor::SECURE;

/// Payload bytes of a query; gtk-gnutella neither answers nor relays longer ones.
pub const QUERY_BYTES_MAX: usize = 256;
/// Hashes read in one query; others are passed over.
pub const HASHES_MAX: usize = 8;
/// Characters of the text field; a longer text goes to GGEP `XQ` (LimeWire's limit).
pub const TEXT_CHARS_MAX: usize = 30;
/// Bytes of a text in GGEP `XQ`, which may be deflated: what a stranger makes us match stays short. Our choice.
pub const LONG_TEXT_BYTES_MAX: usize = 1024;
/// Text below so many bytes finds too much: such a query is dropped, unless it names a hash.
pub const TEXT_BYTES_MIN: usize = 2;

/// Flag: hits may come by datagram.
const OUT_OF_BAND: u16 = 0x0400;

/// Flag word of a query (`u16`, big-endian, bit 15 always set; overlay "Query" flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryFlags(pub u16);

impl QueryFlags {
    /// What we send: marked, and we read GGEP `H` in hits (`88 00`).
    pub const OURS: Self = Self(0x8800);
    /// The flags of a query's payload; `None`: it is too short to have any.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let flags = payload.first_chunk().copied();
        flags.map(|flags| Self(u16::from_be_bytes(flags)))
    }
    /// The field holds flags, not a minimum speed.
    pub fn marked(self) -> bool {
        self.0 & 0x8000 != 0
    }
    /// The querier cannot be connected to.
    pub fn firewalled(self) -> bool {
        self.marked() && self.0 & 0x4000 != 0
    }
    /// The querier counts its results for the ultrapeer that asks on its behalf (leaf guidance).
    pub fn guided(self) -> bool {
        self.marked() && self.0 & 0x1000 != 0
    }

    /// The querier takes hits by datagram, at the address that the message id holds ([`Guid::carrying`](super::Guid::carrying)).
    pub fn out_of_band(self) -> bool {
        self.marked() && self.0 & OUT_OF_BAND != 0
    }

    /// These flags, and that we take hits by datagram at the address in the message id.
    #[must_use]
    pub fn and_out_of_band(self) -> Self {
        Self(self.0 | OUT_OF_BAND)
    }

    /// These flags, and that we count our results when asked.
    #[must_use]
    pub fn and_guided(self) -> Self {
        Self(self.0 | 0x1000)
    }

    /// These flags, and that nobody can connect to us.
    #[must_use]
    pub fn and_firewalled(self) -> Self {
        Self(self.0 | 0x4000)
    }

    /// The most results the querier wants from one responder; `None`: as many as there are.
    pub fn results_max(self) -> Option<u8> {
        // The rest of an old speed means nothing.
        (self.marked() && self.0 & 0xFF != 0).then_some(self.0.to_be_bytes()[1])
    }

    /// The querier reads GGEP `H` in hits.
    pub fn reads_ggep_h(self) -> bool {
        self.marked() && self.0 & 0x0800 != 0
    }
}

/// Kinds of files that are wanted (GGEP `M`): a set of bits, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media(u16);

impl Media {
    /// Sound.
    pub const AUDIO: Self = Self(0x04);
    /// Films.
    pub const VIDEO: Self = Self(0x08);
    /// Texts.
    pub const DOCUMENT: Self = Self(0x10);
    /// Pictures.
    pub const IMAGE: Self = Self(0x20);
    /// Programs of whatever system: `0x40` those for Windows, `0x80` those for others.
    pub const PROGRAM: Self = Self(0xC0);
    /// Torrent files.
    pub const TORRENT: Self = Self(0x100);
    /// All bits that mean something.
    const KNOWN: u64 = 0x1FC;

    /// From the number on the wire. Bits of no meaning are left out; `None`: nothing is left, and all is wanted.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let known = u16::try_from(bits & Self::KNOWN).ok()?;
        (known != 0).then_some(Self(known))
    }

    /// The number on the wire.
    pub fn bits(self) -> u64 {
        self.0.into()
    }

    /// Have both sets a kind in common?
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A decoded query, borrowed from its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Flag word.
    pub flags: QueryFlags,
    /// Search text; empty when only hashes are meant (what stands for that on the wire, `\` or `urn:sha1:…`, reads as empty). GGEP `XQ`, the full text of a long query, takes
    /// the place of the short one.
    pub text: Cow<'a, str>,
    /// Hashes asked for (`urn:sha1:`, bitprint, GGEP `H` and `u`); at most 8.
    pub sha1s: Vec<Sha1>,
    /// Only these kinds of files are wanted (GGEP `M`); `None`: all.
    pub media: Option<Media>,
}

impl<'a> Query<'a> {
    /// Decodes the payload of a query. Plain text queries take no allocation.
    ///
    /// # Errors
    /// Whatever makes a node drop the query and not relay it: more than [`QUERY_BYTES_MAX`] bytes, flags of
    /// zero, no NUL, text that is not UTF-8, text of less than [`TEXT_BYTES_MIN`] bytes without a hash,
    /// a malformed `urn:sha1`, two separators in a row.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        if payload.len() > QUERY_BYTES_MAX {
            return Err(WireError::Limit("query"));
        }
        let (flags, rest) = payload
            .split_first_chunk::<2>()
            .ok_or(WireError::Truncated("query"))?;
        let flags = QueryFlags(u16::from_be_bytes(*flags));
        if flags.0 == 0 {
            return Err(WireError::Malformed("query flags"));
        }
        let text = CStr::from_bytes_until_nul(rest)
            .map_err(|_| WireError::Truncated("query text"))?
            .to_bytes();
        let area = &rest[text.len() + 1..];
        let text = str::from_utf8(text).map_err(|_| WireError::NotUtf8("query text"))?;
        // Most queries are words alone, with one NUL more or without.
        if matches!(area, [] | [0]) {
            if text.len() < TEXT_BYTES_MIN {
                return Err(WireError::Empty("query"));
            }
            return Ok(Self {
                flags,
                text: Cow::Borrowed(text),
                sha1s: Vec::new(),
                media: None,
            });
        }
        Self::parse_extended(flags, text, area)
    }

    /// Encodes the payload. Text above [`TEXT_CHARS_MAX`] characters goes to GGEP `XQ` in full, with its
    /// first words in the text field.
    ///
    /// # Errors
    /// [`WireError::Limit`] when text and hashes do not fit [`QUERY_BYTES_MAX`] bytes;
    /// [`WireError::Empty`] and [`WireError::Malformed`] for what any reader would drop (see
    /// [`parse`](Self::parse)).
    pub fn build(&self) -> Result<Vec<u8>, WireError> {
        let text: &str = &self.text;
        if self.flags.0 == 0 {
            return Err(WireError::Malformed("query flags"));
        }
        if text.contains('\0') {
            return Err(WireError::Malformed("query text"));
        }
        if text.len() < TEXT_BYTES_MIN && self.sha1s.is_empty() {
            return Err(WireError::Empty("query"));
        }
        if text.len() > LONG_TEXT_BYTES_MAX || self.sha1s.len() > HASHES_MAX {
            return Err(WireError::Limit("query"));
        }
        let by_hash;
        let short = match self.sha1s.first() {
            Some(sha1) if text.is_empty() => {
                by_hash = sha1.to_string();
                &by_hash[..TEXT_CHARS_MAX]
            }
            _ => first_words(text),
        };
        let mut out = self.flags.0.to_be_bytes().to_vec();
        out.extend_from_slice(short.as_bytes());
        out.push(0);
        let mut items: Vec<Vec<u8>> = self
            .sha1s
            .iter()
            .map(|sha1| sha1.to_string().into_bytes())
            .collect();
        let mut block = Block::new(Zeros::Allowed);
        if let Some(media) = self.media {
            block.put_uint(b"M", media.bits());
        }
        if self.flags.out_of_band() {
            // Version 3: only hits with the token that we gave are taken.
            block.put(SECURE, &[]);
        }
        if !text.is_empty() && short.len() < text.len() {
            block.put_packed(b"XQ", text.as_bytes());
        }
        if !block.is_empty() {
            items.push(block.finish());
        }
        out.extend(items.join(&SEPARATOR));
        if out.len() > QUERY_BYTES_MAX {
            Err(WireError::Limit("query"))
        } else {
            Ok(out)
        }
    }

    /// Does the querier of this payload want its token in hits that come by datagram (GGEP `SO`)?
    pub fn takes_tokens(payload: &[u8]) -> bool {
        let rest = payload.get(2..).unwrap_or_default();
        let Ok(text) = CStr::from_bytes_until_nul(rest) else {
            return false;
        };
        let area = &rest[text.count_bytes() + 1..];
        Items::new(area).any(|item| matches!(item, Item::Ggep(extension) if extension.id == SECURE))
    }

    /// The same payload, saying that hits are to come the way that it goes.
    pub fn in_band(payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        if let Some(flags) = payload.first_mut() {
            *flags &= !OUT_OF_BAND.to_be_bytes()[0];
        }
        payload
    }

    fn parse_extended(flags: QueryFlags, text: &'a str, area: &'a [u8]) -> Result<Self, WireError> {
        let mut found = Found::default();
        for item in Items::new(area) {
            match item {
                Item::Urn("") | Item::Other => {}
                Item::Urn(urn) => found.take_urn(urn)?,
                Item::Ggep(extension) => found.take_ggep(&extension),
                Item::DoubleSeparator => return Err(WireError::Malformed("query extensions")),
            }
        }
        let mut text = found.long_text.unwrap_or(Cow::Borrowed(text));
        if found.by_hash && stands_for_a_hash(&text) {
            text = Cow::Borrowed("");
        }
        if text.len() < TEXT_BYTES_MIN && !found.by_hash {
            return Err(WireError::Empty("query"));
        }
        Ok(Self {
            flags,
            text,
            sha1s: found.sha1s,
            media: found.media,
        })
    }
}

/// Does this text only fill the field of a query by hash? LimeWire wrote a backslash there. A live
/// gtk-gnutella answers such queries but relays none whose text has less than three characters, so we write
/// the beginning of the hash's name, which is in no file's.
fn stands_for_a_hash(text: &str) -> bool {
    const NAME: &[u8] = b"urn:sha1:";
    let name = text.as_bytes().get(..NAME.len());
    text == "\\" || name.is_some_and(|name| name.eq_ignore_ascii_case(NAME))
}

/// What the extension area of a query holds for us.
#[derive(Default)]
struct Found<'a> {
    long_text: Option<Cow<'a, str>>,
    sha1s: Vec<Sha1>,
    /// Some hash is asked for, of whatever kind.
    by_hash: bool,
    media: Option<Media>,
}

impl<'a> Found<'a> {
    fn take_urn(&mut self, urn: &str) -> Result<(), WireError> {
        self.by_hash = true;
        match Hashes::parse(urn) {
            Ok(hashes) => self.take_sha1(hashes.sha1),
            Err(error @ WireError::Malformed("urn:sha1")) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    fn take_ggep(&mut self, extension: &Extension<'a>) {
        match extension.id {
            b"XQ" if self.long_text.is_none() => {
                self.long_text = extension
                    .value_within(LONG_TEXT_BYTES_MAX)
                    .ok()
                    .and_then(utf8);
            }
            b"M" if self.media.is_none() => {
                self.media = extension.uint().and_then(Media::from_bits);
            }
            b"H" => {
                let hashes = extension.value_within(GGEP_H_BYTES_MAX).ok();
                if let Some(hashes) = hashes.and_then(|value| Hashes::from_ggep(&value)) {
                    self.by_hash = true;
                    self.take_sha1(hashes.sha1);
                }
            }
            b"u" => {
                let urn = extension.value_within(QUERY_BYTES_MAX).ok().and_then(utf8);
                // A malformed one is a hint we cannot use, not a reason to drop.
                if let Some(Ok(hashes)) = urn.as_deref().map(Hashes::parse) {
                    self.by_hash = true;
                    self.take_sha1(hashes.sha1);
                }
            }
            _ => {}
        }
    }

    fn take_sha1(&mut self, sha1: Option<Sha1>) {
        let new = sha1.filter(|sha1| self.sha1s.len() < HASHES_MAX && !self.sha1s.contains(sha1));
        self.sha1s.extend(new);
    }
}

/// A type byte and the longest digest, SHA-1 with Tiger root.
const GGEP_H_BYTES_MAX: usize = 45;

fn utf8(value: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match value {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The words that fit [`TEXT_CHARS_MAX`] characters, or the start of the first when even that is longer
/// (readers match the beginnings of words).
fn first_words(text: &str) -> &str {
    let Some((limit, _)) = text.char_indices().nth(TEXT_CHARS_MAX) else {
        return text;
    };
    if text[limit..].starts_with(' ') {
        return &text[..limit];
    }
    match text[..limit].trim_end().rfind(' ') {
        Some(space) if !text[..space].trim().is_empty() => &text[..space],
        _ => &text[..limit],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOX: &str = "PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";

    fn query<'a>(text: &'a str, sha1s: &[Sha1]) -> Query<'a> {
        Query {
            flags: QueryFlags(0x9800),
            text: text.into(),
            sha1s: sha1s.to_vec(),
            media: None,
        }
    }

    fn payload(text: &str, area: &[u8]) -> Vec<u8> {
        [&[0x98, 0][..], text.as_bytes(), &[0], area].concat()
    }

    #[test]
    fn examples_of_the_reference_read_and_write() {
        let red_fox = payload("red fox", b"");
        assert_eq!(Query::parse(&red_fox), Ok(query("red fox", &[])));
        assert_eq!(query("red fox", &[]).build(), Ok(red_fox));
        let fox = Sha1::from_base32(FOX).unwrap();
        let by_hash = payload("\\", format!("urn:sha1:{FOX}").as_bytes());
        assert_eq!(by_hash.len(), 45);
        assert_eq!(Query::parse(&by_hash), Ok(query("", &[fox])));
    }

    #[test]
    fn a_query_by_hash_has_text_enough_to_be_relayed_and_reads_as_none() {
        let fox = Sha1::from_base32(FOX).unwrap();
        let built = query("", &[fox]).build().unwrap();
        let text = "urn:sha1:PLSTHIPQGSSZTS5FJUPAK";
        assert_eq!(built, payload(text, format!("urn:sha1:{FOX}").as_bytes()));
        assert_eq!(text.len(), TEXT_CHARS_MAX);
        assert_eq!(Query::parse(&built), Ok(query("", &[fox])));
        // Others write the whole name there. Without a hash it is text like any other.
        let whole = payload(
            &format!("URN:SHA1:{FOX}"),
            format!("urn:sha1:{FOX}").as_bytes(),
        );
        assert_eq!(Query::parse(&whole), Ok(query("", &[fox])));
        let alone = Query::parse(&built[..text.len() + 3]);
        assert_eq!(alone, Ok(query(text, &[])));
    }

    #[test]
    fn hashes_are_read_in_every_form_and_once() {
        let fox = Sha1::from_base32(FOX).unwrap();
        let in_h = [b"\xc3\x81H\x55\x01", &fox.0[..]].concat();
        let in_u = format!("sha1:{FOX}");
        let in_u = [b"\xc3\x81u\x65", in_u.as_bytes()].concat();
        let tiger = super::super::urn::tiger_to_base32(&[1; 24]);
        let bitprint = format!("urn:bitprint:{FOX}.{tiger}");
        let all = [bitprint.as_bytes(), b"\x1c", &in_h, &in_u].concat();
        for area in [&in_h[..], &in_u, bitprint.as_bytes(), &all] {
            assert_eq!(Query::parse(&payload("", area)), Ok(query("", &[fox])));
        }
        let area: Vec<_> = (0..9u8)
            .flat_map(|n| [b"\xc3\x81H\x55\x01", &[n; 20][..]].concat())
            .collect();
        assert_eq!(
            Query::parse(&payload("", &area)).unwrap().sha1s.len(),
            HASHES_MAX
        );
    }

    #[test]
    fn harmless_oddities_are_read() {
        for area in [
            &b"\0"[..],
            b"urn:\0",
            b"<xml/>\0",
            b"urn:ed2k:0\x1c<x",
            b"\xc3\x81M\x40",
            b"\xc3\x81M\x41\x03",
            b"\xc3\x82PR\x40",
            // As LimeWire asks by metadata, and its GGEP behind it.
            b"<?xml version=\"1.0\"?><audios><audio title=\"fox\"/></audios>\x1c\xc3\x82NP\x40\0",
            b"\x1c",
        ] {
            assert_eq!(
                Query::parse(&payload("fox", area)),
                Ok(query("fox", &[])),
                "{area:?}"
            );
        }
        assert!(Query::parse(&payload("\\", b"urn:ed2k:31d6cfe0d16ae931b73c59d7e0c089c0")).is_ok());
    }

    #[test]
    fn kinds_of_files_are_a_mask() {
        let images = Query {
            media: Some(Media::IMAGE),
            ..query("fox", &[])
        };
        let bytes = payload("fox", b"\xc3\x81M\x41\x20");
        assert_eq!(images.build().as_ref(), Ok(&bytes));
        assert_eq!(Query::parse(&bytes), Ok(images.clone()));
        // Bits of others are passed over; the first of two counts.
        for area in [
            &b"\xc3\x81M\x42\x23\xfe"[..],
            b"\xc3\x01M\x41\x20\x81M\x41\x04",
        ] {
            assert_eq!(
                Query::parse(&payload("fox", area)),
                Ok(images.clone()),
                "{area:?}"
            );
        }
        assert_eq!(Media::from_bits(0x0200), None);
        assert!(Media::PROGRAM.meets(Media::from_bits(0x44).unwrap()));
        let long = Query {
            media: Some(Media::TORRENT),
            ..query("the quick brown fox jumps over the lazy dog", &[])
        };
        assert_eq!(Query::parse(&long.build().unwrap()), Ok(long.clone()));
    }

    #[test]
    fn hits_by_datagram_are_asked_for_with_tokens_and_that_can_be_taken_back() {
        let flags = QueryFlags::OURS.and_guided().and_out_of_band();
        assert_eq!(flags.0, 0x9C00);
        let aside = Query {
            flags,
            ..query("red fox", &[Sha1([7; 20])])
        };
        let payload = aside.build().unwrap();
        assert!(Query::takes_tokens(&payload));
        assert_eq!(QueryFlags::of(&payload), Some(flags));
        let back = Query::in_band(&payload);
        let flags = QueryFlags::OURS.and_guided();
        assert_eq!(Query::parse(&back), Ok(Query { flags, ..aside }));
        for (payload, tokens) in [
            (&b""[..], false),
            (b"\x9c", false),
            (b"\x9c\0fox", false),
            (b"\x9c\0fox\0", false),
            (b"\x9c\0fox\0\xc3\x83NOT\x40", false),
            (b"\x9c\0fox\0urn:\x1c\xc3\x82SO\x40", true),
        ] {
            assert_eq!(Query::takes_tokens(payload), tokens, "{payload:?}");
            assert_eq!(Query::in_band(payload).len(), payload.len());
        }
        // An old speed has no flags.
        assert!(!QueryFlags::of(b"\x04\0fox\0").unwrap().out_of_band());
        assert_eq!(QueryFlags::of(b"\x9c"), None);
    }

    #[test]
    fn flags_say_how_much_is_wanted() {
        for (flags, results, h) in [
            (0x8800, None, true),
            (0x8832, Some(50), true),
            (0x80FF, Some(255), false),
            (0x0032, None, false),
            (0x0832, None, false),
        ] {
            let flags = QueryFlags(flags);
            assert_eq!((flags.results_max(), flags.reads_ggep_h()), (results, h));
        }
    }

    #[test]
    fn what_others_would_drop_is_dropped() {
        let long = payload(&"a".repeat(254), b"");
        let bad: [&[u8]; 12] = [
            b"",
            b"\x98",
            b"\x98\0",
            b"\x98\0fox",
            b"\0\0fox\0",
            b"\x98\0\0\0",
            b"\x98\0a\0",
            b"\x98\0\xff\xfe\0",
            b"\x98\0fox\0\0\0",
            b"\x98\0fox\0urn:x\x1c\x1c",
            b"\x98\0fox\0urn:sha1:PLSTHIPQ",
            &long,
        ];
        for payload in bad {
            assert!(Query::parse(payload).is_err(), "{payload:?}");
        }
    }

    #[test]
    fn long_text_travels_in_full() {
        let text = "the quick brown fox jumps over the lazy dog again and again";
        let built = query(text, &[]).build().unwrap();
        assert!(built[2..].starts_with(b"the quick brown fox jumps over\0"));
        assert_eq!(Query::parse(&built), Ok(query(text, &[])));
        let word = "w".repeat(200);
        let built = query(&word, &[]).build().unwrap();
        assert_eq!(Query::parse(&built).unwrap().text, word);
    }

    #[test]
    fn nothing_is_built_that_a_reader_drops() {
        for (text, sha1s) in [("", 0), ("a", 0), ("a\0b", 0), ("fox", 6), ("fox", 9)] {
            let sha1s: Vec<_> = (0..sha1s).map(|n| Sha1([n; 20])).collect();
            assert!(
                query(text, &sha1s).build().is_err(),
                "{text:?} {}",
                sha1s.len()
            );
        }
    }
}
