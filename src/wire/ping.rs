//! Ping (0x00) and Pong (0x01): who is there.

use std::net::SocketAddr;

use super::addr::{Ipv4OrSix, read_port_ip, write_ip};
use super::ggep::{Block, Extensions, Zeros};
use super::{VENDOR, WireError};

/// A decoded ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// GGEP `SCP`: wants addresses; bit 0 says of nodes with free ultrapeer slots.
    pub wants_hosts: Option<u8>,
}

impl Ping {
    /// Decodes the payload of a ping: nothing, or a GGEP block, with NULs behind either.
    ///
    /// # Errors
    /// [`WireError::Malformed`] for any other bytes.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut extensions = Extensions::new(payload);
        let mut ping = Self::default();
        for extension in extensions.by_ref() {
            if extension.id == b"SCP" && ping.wants_hosts.is_none() {
                ping.wants_hosts = extension.uint().and_then(|flags| u8::try_from(flags).ok());
            }
        }
        if extensions.broken() || extensions.rest().iter().any(|&byte| byte != 0) {
            return Err(WireError::Malformed("ping"));
        }
        Ok(ping)
    }

    /// Encodes the payload: empty, or GGEP `SCP`.
    pub fn build(&self) -> Vec<u8> {
        let mut block = Block::new(Zeros::Allowed);
        if let Some(flags) = self.wants_hosts {
            block.put_uint(b"SCP", flags.into());
        }
        block.finish()
    }
}

/// A decoded pong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Where the node listens (GGEP `6` in place of an IPv4 of 127.0.0.0).
    pub addr: SocketAddr,
    /// Files it shares.
    pub files: u32,
    /// Kilobytes it shares.
    pub kilobytes: u32,
    /// GGEP `UP`: it is an ultrapeer, with free leaf and ultrapeer slots.
    pub ultrapeer: Option<(u8, u8)>,
}

impl Pong {
    /// Decodes the payload of a pong.
    ///
    /// # Errors
    /// Fewer than 14 bytes, or trailing bytes that hold no valid GGEP block.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let (fixed, area) = payload
            .split_first_chunk::<PONG_BYTES>()
            .ok_or(WireError::Truncated("pong"))?;
        let (port_ip, numbers) = fixed.split_first_chunk::<6>().expect("14 bytes hold 6");
        let mut addr = Ipv4OrSix::new(read_port_ip(*port_ip));
        let mut ultrapeer = None;
        let mut read = 0;
        for extension in Extensions::new(area) {
            read += 1;
            match extension.id {
                b"6" => addr.six(&extension),
                b"UP" if ultrapeer.is_none() => {
                    // A version byte comes first.
                    ultrapeer = extension
                        .array::<3>()
                        .map(|[_, leaves, ultrapeers]| (leaves, ultrapeers));
                }
                _ => {}
            }
        }
        if !area.is_empty() && read == 0 {
            return Err(WireError::Malformed("pong extensions"));
        }
        let number = |at| {
            u32::from_le_bytes([
                numbers[at],
                numbers[at + 1],
                numbers[at + 2],
                numbers[at + 3],
            ])
        };
        Ok(Self {
            addr: addr.get(),
            files: number(0),
            kilobytes: number(4),
            ultrapeer,
        })
    }

    /// Encodes the payload with GGEP `VC` and, for ultrapeers, `UP`. The kilobytes go out as they are: the
    /// old mark of ultrapeers, a power of two, would lie to people, and readers prefer `UP`.
    pub fn build(&self) -> Vec<u8> {
        let mut out = self.addr.port().to_le_bytes().to_vec();
        let six = write_ip(self.addr.ip(), &mut out);
        out.extend_from_slice(&self.files.to_le_bytes());
        out.extend_from_slice(&self.kilobytes.to_le_bytes());
        let mut block = Block::new(Zeros::Allowed);
        block.put(b"VC", &[&VENDOR[..], &[VERSION]].concat());
        if let Some((leaves, ultrapeers)) = self.ultrapeer {
            block.put(b"UP", &[0, leaves, ultrapeers]);
        }
        if let Some(six) = six {
            block.put(b"6", &six);
        }
        out.extend(block.finish());
        out
    }
}

/// Bytes of a pong before its extensions.
const PONG_BYTES: usize = 14;
/// Version byte in `VC`: major and minor in 4 bits each.
const VERSION: u8 = {
    const fn digit(text: &str) -> u8 {
        let byte = text.as_bytes()[0];
        assert!(
            byte.is_ascii_digit() && text.len() == 1,
            "write two digits when the version has them"
        );
        byte - b'0'
    }
    digit(env!("CARGO_PKG_VERSION_MAJOR")) << 4 | digit(env!("CARGO_PKG_VERSION_MINOR"))
};

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER
            .decode(text.replace(' ', "").as_bytes())
            .unwrap()
    }

    #[test]
    fn pings_are_empty_or_ggep() {
        assert_eq!(Ping::parse(b""), Ok(Ping::default()));
        assert_eq!(Ping::parse(b"\0"), Ok(Ping::default()));
        let scp = hex("c3 83 534350 41 01");
        assert_eq!(
            Ping::parse(&scp),
            Ok(Ping {
                wants_hosts: Some(1)
            })
        );
        assert_eq!(
            Ping {
                wants_hosts: Some(1)
            }
            .build(),
            scp
        );
        assert_eq!(
            Ping::parse(&[&scp[..], &[0]].concat()),
            Ok(Ping {
                wants_hosts: Some(1)
            })
        );
        for junk in [
            &b"junk"[..],
            b"\xc3",
            b"\xc3\x83SCP\x41",
            b"\xc3\x83SCP\x40x",
        ] {
            assert!(Ping::parse(junk).is_err(), "{junk:?}");
        }
    }

    #[test]
    fn the_pong_of_the_reference_reads_as_told() {
        let pong = hex(
            "ca18 c000020a 2a000000 00000100 c3 02 5643 45 47544b4712 02 5550 43 001e04 82 4455 42 100e",
        );
        let addr = "192.0.2.10:6346".parse().unwrap();
        let told = Pong {
            addr,
            files: 42,
            kilobytes: 65_536,
            ultrapeer: Some((30, 4)),
        };
        assert_eq!(Pong::parse(&pong), Ok(told.clone()));
        assert_eq!(Pong::parse(&told.build()), Ok(told));
        assert!(Pong::parse(&pong[..13]).is_err());
        assert!(Pong::parse(&[&pong[..14], b"junk"].concat()).is_err());
        assert_eq!(Pong::parse(&pong[..14]).unwrap().ultrapeer, None);
    }

    #[test]
    fn an_ipv6_pong_keeps_its_address() {
        let addr = "[2001:db8::7]:6346".parse().unwrap();
        let pong = Pong {
            addr,
            files: 0,
            kilobytes: 0,
            ultrapeer: None,
        };
        assert!(pong.build()[2..].starts_with(&[127, 0, 0, 0]));
        assert_eq!(Pong::parse(&pong.build()), Ok(pong));
    }
}
