//! DIME: records one after another, each with an id, a type and data. Hash trees travel in it.
//!
//! Knows nothing of what a record holds ([`thex`](super::thex) does). Lengths are big-endian; options, id, type and data
//! follow the 12 bytes of a head in this order, each padded with zeros to 4 bytes. Source: "Direct Internet Message
//! Encapsulation", draft-nielsen-dime-02.

use std::borrow::Cow;

use super::WireError;

/// Bytes before the options of a record.
const HEAD_BYTES: usize = 12;
/// The version, in the upper five bits of the first byte.
const VERSION: u8 = 1;
/// First record of a message.
const FIRST: u8 = 0x04;
/// Last record of a message.
const LAST: u8 = 0x02;
/// The data go on in the next record.
const CHUNKED: u8 = 0x01;
/// Records taken of one message: a hash tree has two. Our choice.
pub const RECORDS_MAX: usize = 16;

/// What the type of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A media type, as `text/xml`.
    Media,
    /// An absolute URI.
    Uri,
    /// Any other number: unchanged (0), unknown (3), none (4) and those not given out.
    Other(u8),
}

impl TypeKind {
    fn of(nibble: u8) -> Self {
        match nibble {
            1 => Self::Media,
            2 => Self::Uri,
            other => Self::Other(other),
        }
    }

    fn nibble(self) -> u8 {
        match self {
            Self::Media => 1,
            Self::Uri => 2,
            Self::Other(other) => other & 0x0f,
        }
    }
}

/// One record, whole: chunks of it are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// How to read `kind`.
    pub type_kind: TypeKind,
    /// Its id, often none.
    pub id: &'a [u8],
    /// Its type.
    pub kind: &'a [u8],
    /// What it holds.
    pub data: Cow<'a, [u8]>,
}

/// Splits a message into its records, at most [`RECORDS_MAX`]. Nothing is copied but data that came in chunks. Bytes
/// behind the last record are passed over.
///
/// # Errors
/// [`WireError`] when it is cut short, of another version, does not begin with a first record or has too many.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<Record<'_>>, WireError> {
    let mut records: Vec<Record<'_>> = Vec::new();
    let mut open = false;
    for number in 0..RECORDS_MAX {
        let (head, rest) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or(WireError::Truncated("DIME record"))?;
        bytes = rest;
        if head[0] >> 3 != VERSION {
            return Err(WireError::Malformed("DIME version"));
        }
        if (number == 0) != (head[0] & FIRST != 0) {
            return Err(WireError::Malformed("DIME first record"));
        }
        let short = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
        let data_len = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let data_len =
            usize::try_from(data_len).map_err(|_| WireError::Truncated("DIME record"))?;
        let _options = take(&mut bytes, short(2))?;
        let id = take(&mut bytes, short(4))?;
        let kind = take(&mut bytes, short(6))?;
        let data = take(&mut bytes, data_len)?;
        match records.last_mut().filter(|_| open) {
            Some(record) => record.data.to_mut().extend_from_slice(data),
            None => records.push(Record {
                type_kind: TypeKind::of(head[1] >> 4),
                id,
                kind,
                data: Cow::Borrowed(data),
            }),
        }
        open = head[0] & CHUNKED != 0;
        if head[0] & LAST != 0 {
            return if open {
                Err(WireError::Truncated("DIME chunk"))
            } else {
                Ok(records)
            };
        }
    }
    Err(WireError::Limit("DIME records"))
}

/// A part of that length, and the zeros behind it. The zeros at the very end may be missing.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], WireError> {
    let (part, rest) = bytes
        .split_at_checked(len)
        .ok_or(WireError::Truncated("DIME record"))?;
    *bytes = rest.get(padding(len)..).unwrap_or_default();
    Ok(part)
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(4) - len
}

/// Appends records as one message, each in one piece. Ids and types are below 64 KiB and data below 4 GiB: ours are.
pub fn encode(records: &[Record<'_>], out: &mut Vec<u8>) {
    for (at, record) in records.iter().enumerate() {
        let short = |len: usize| u16::try_from(len).expect("ids and types of ours are short");
        let data_len = u32::try_from(record.data.len()).expect("data of ours are below 4 GiB");
        let first = if at == 0 { FIRST } else { 0 };
        let last = if at + 1 == records.len() { LAST } else { 0 };
        out.push(VERSION << 3 | first | last);
        out.push(record.type_kind.nibble() << 4);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&short(record.id.len()).to_be_bytes());
        out.extend_from_slice(&short(record.kind.len()).to_be_bytes());
        out.extend_from_slice(&data_len.to_be_bytes());
        for part in [record.id, record.kind, &record.data] {
            out.extend_from_slice(part);
            out.extend_from_slice(&[0; 3][..padding(part.len())]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record<'a>(id: &'a str, data: &'a [u8]) -> Record<'a> {
        Record {
            type_kind: TypeKind::Media,
            id: id.as_bytes(),
            kind: b"a/b",
            data: Cow::Borrowed(data),
        }
    }

    #[test]
    fn a_message_looks_as_the_draft_says() {
        let mut out = Vec::new();
        encode(&[record("x", b"hello"), record("", b"")], &mut out);
        let hex = data_encoding::HEXLOWER.encode(&out);
        let one = "0c100000000100030000000578000000612f620068656c6c6f000000";
        let two = "0a1000000000000300000000612f6200";
        assert_eq!(hex, format!("{one}{two}"));
        assert_eq!(
            decode(&out),
            Ok(vec![record("x", b"hello"), record("", b"")])
        );
    }

    #[test]
    fn chunks_are_put_together() {
        let chunked = b"\x0d\x10\0\0\0\0\0\x03\0\0\0\x02a/b\0he\0\0\
                        \x0a\x00\0\0\0\0\0\0\0\0\0\x03llo\0";
        assert_eq!(decode(chunked), Ok(vec![record("", b"hello")]));
        let mut open = chunked.to_vec();
        open[20] = 0x0b;
        assert_eq!(decode(&open), Err(WireError::Truncated("DIME chunk")));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let mut good = Vec::new();
        encode(&[record("x", b"hello")], &mut good);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for (bytes, error) in [
            (Vec::new(), WireError::Truncated("DIME record")),
            (good[..11].to_vec(), WireError::Truncated("DIME record")),
            (good[..21].to_vec(), WireError::Truncated("DIME record")),
            (with(0, 0x16), WireError::Malformed("DIME version")),
            (with(0, 0x0a), WireError::Malformed("DIME first record")),
            (with(8, 0xff), WireError::Truncated("DIME record")),
            (with(0, 0x0c), WireError::Truncated("DIME record")),
        ] {
            assert_eq!(decode(&bytes), Err(error), "{bytes:?}");
        }
        assert!(decode(&good[..25]).is_ok(), "without the last zeros");
        let mut many = Vec::new();
        encode(&vec![record("", b""); RECORDS_MAX + 1], &mut many);
        assert_eq!(decode(&many), Err(WireError::Limit("DIME records")));
    }

    proptest! {
        #[test]
        fn any_bytes_read_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn what_was_written_reads_back(parts in prop::collection::vec(
            ("[a-z]{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 1..RECORDS_MAX,
        )) {
            let records: Vec<_> = parts.iter().map(|(id, data)| record(id, data)).collect();
            let mut out = Vec::new();
            encode(&records, &mut out);
            prop_assert_eq!(decode(&out), Ok(records));
        }
    }
}
