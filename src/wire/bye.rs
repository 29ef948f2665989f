//! Bye (0x02): the last word before a link is closed.

use super::text::clean;

/// A decoded Bye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// 2xx nobody's fault, 4xx the receiver's, 5xx the sender's; 0 when the payload held none.
    pub code: u16,
    /// First line of the reason, at most 200 characters, control characters removed.
    pub text: String,
}

impl Bye {
    /// Decodes the payload of a Bye; short ones are accepted.
    pub fn parse(payload: &[u8]) -> Self {
        let (code, reason) = match payload.split_first_chunk::<2>() {
            Some((code, reason)) => (u16::from_le_bytes(*code), reason),
            None => (0, &[][..]),
        };
        let end = reason
            .iter()
            .position(|byte| matches!(byte, b'\r' | b'\n' | 0))
            .unwrap_or(reason.len());
        Self {
            code,
            text: clean(&reason[..end], TEXT_CHARS_MAX),
        }
    }

    /// Encodes code and text, at most 512 bytes.
    pub fn build(code: u16, text: &str) -> Vec<u8> {
        let mut out = code.to_le_bytes().to_vec();
        out.extend_from_slice(super::text::clean_bytes(text.as_bytes(), BYTES_MAX - 2).as_bytes());
        out
    }
}

/// Characters kept of a reason.
const TEXT_CHARS_MAX: usize = 200;
/// Payload bytes of a Bye of ours.
const BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bye_of_the_reference_reads_and_writes() {
        let bytes = data_encoding::HEXLOWER
            .decode(b"c8005368757474696e6720646f776e")
            .unwrap();
        assert_eq!(Bye::build(200, "Shutting down"), bytes);
        assert_eq!(
            Bye::parse(&bytes),
            Bye {
                code: 200,
                text: "Shutting down".into()
            }
        );
    }

    #[test]
    fn headers_escapes_and_missing_parts_do_no_harm() {
        let with_headers = b"\x90\x01Bad\x1b[2J thing\r\nServer: x\r\n\r\n";
        assert_eq!(
            Bye::parse(with_headers),
            Bye {
                code: 400,
                text: "Bad[2J thing".into()
            }
        );
        assert_eq!(
            Bye::parse(b"\x90"),
            Bye {
                code: 0,
                text: String::new()
            }
        );
        assert_eq!(Bye::parse(&[b'a'; 4096]).text.len(), 200);
        assert_eq!(Bye::build(1, &"é".repeat(600)).len(), 512);
    }
}
