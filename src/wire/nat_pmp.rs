//! NAT-PMP (RFC 6886): asking a router to pass connections on to us. Network byte order throughout.

use super::WireError;

/// The port of a router that speaks it.
pub const PORT: u16 = 5351;
/// Bytes of an answer that are looked at.
pub const ANSWER_BYTES: usize = 16;

/// What is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

impl Transport {
    fn opcode(self) -> u8 {
        match self {
            Self::Udp => 1,
            Self::Tcp => 2,
        }
    }
}

/// A question: have `port` of the router lead to `port` here for so many seconds; 0 ends it.
pub fn question(transport: Transport, port: u16, lifetime_s: u32) -> Vec<u8> {
    // The external port of a mapping that is to end is 0 (section 3.4).
    let external = if lifetime_s == 0 { 0 } else { port };
    let mut bytes = vec![0, transport.opcode(), 0, 0];
    bytes.extend(port.to_be_bytes());
    bytes.extend(external.to_be_bytes());
    bytes.extend(lifetime_s.to_be_bytes());
    bytes
}

/// A router's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It does so.
    Mapped {
        /// The port it took.
        external: u16,
        /// Seconds for which it does; 0: it ended.
        lifetime_s: u32,
    },
    /// It does not.
    Refused(Refusal),
}

/// Why a router does not (section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Result 1 or 5.
    #[error("it does not speak this version of NAT-PMP")]
    Unsupported,
    /// Result 2.
    #[error("it is forbidden there; allow NAT-PMP in the settings of the router")]
    NotAllowed,
    /// Result 3.
    #[error("it has no address of its own yet")]
    NoNetwork,
    /// Result 4.
    #[error("it has no room for more; remove some in its settings")]
    NoRoom,
    /// Any other.
    #[error("it says {0}")]
    Other(u16),
}

impl Answer {
    /// Decodes the answer to the [`question`] about this port.
    ///
    /// # Errors
    /// [`WireError`]: not that answer.
    pub fn parse(bytes: &[u8], transport: Transport, port: u16) -> Result<Self, WireError> {
        let short = || WireError::Truncated("port mapping");
        let (head, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
        if head[0] != 0 || head[1] != 128 + transport.opcode() {
            return Err(WireError::Malformed("port mapping"));
        }
        match u16::from_be_bytes([head[2], head[3]]) {
            0 => {}
            1 | 5 => return Ok(Self::Refused(Refusal::Unsupported)),
            2 => return Ok(Self::Refused(Refusal::NotAllowed)),
            3 => return Ok(Self::Refused(Refusal::NoNetwork)),
            4 => return Ok(Self::Refused(Refusal::NoRoom)),
            other => return Ok(Self::Refused(Refusal::Other(other))),
        }
        let (&[a, b, c, d, life @ ..], _) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        if u16::from_be_bytes([a, b]) != port {
            return Err(WireError::Malformed("port mapping"));
        }
        Ok(Self::Mapped {
            external: u16::from_be_bytes([c, d]),
            lifetime_s: u32::from_be_bytes(life),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_are_those_of_the_rfc() {
        assert_eq!(
            question(Transport::Tcp, 6346, 7_200),
            [0, 2, 0, 0, 0x18, 0xCA, 0x18, 0xCA, 0, 0, 0x1C, 0x20]
        );
        assert_eq!(
            question(Transport::Udp, 6346, 0),
            [0, 1, 0, 0, 0x18, 0xCA, 0, 0, 0, 0, 0, 0]
        );
        let good = [
            0, 130, 0, 0, 0, 0, 0, 9, 0x18, 0xCA, 0x18, 0xCB, 0, 0, 0x0E, 0x10,
        ];
        let read = |bytes: &[u8]| Answer::parse(bytes, Transport::Tcp, 6346);
        assert_eq!(
            read(&good),
            Ok(Answer::Mapped {
                external: 6347,
                lifetime_s: 3_600
            })
        );
        for (result, refusal) in [
            (1, Refusal::Unsupported),
            (2, Refusal::NotAllowed),
            (3, Refusal::NoNetwork),
            (4, Refusal::NoRoom),
            (5, Refusal::Unsupported),
            (99, Refusal::Other(99)),
        ] {
            let bytes = [0, 130, 0, result, 0, 0, 0, 9];
            assert_eq!(read(&bytes), Ok(Answer::Refused(refusal)));
        }
        assert!(Answer::parse(&good, Transport::Udp, 6346).is_err());
        assert!(Answer::parse(&good, Transport::Tcp, 6347).is_err());
        for len in 0..good.len() {
            assert!(read(&good[..len]).is_err(), "{len}");
        }
        assert!(read(&[2; 16]).is_err());
    }
}
