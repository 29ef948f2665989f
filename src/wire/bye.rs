//! Bye (0x02): the last word before a link is closed.

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
    pub fn parse(_payload: &[u8]) -> Self {
        todo!()
    }

    /// Encodes code and text, at most 512 bytes.
    pub fn build(_code: u16, _text: &str) -> Vec<u8> {
        todo!()
    }
}
