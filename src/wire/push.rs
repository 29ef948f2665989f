//! Push (0x40): ask a firewalled servent to connect to us.

use std::net::SocketAddr;

use super::addr::{Ipv4OrSix, read_ip_port, write_ip};
use super::ggep::{Block, Extensions, Zeros};
use super::{ServentId, WireError};

/// A decoded push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whom it is for.
    pub servent: ServentId,
    /// File index; ignored today.
    pub index: u32,
    /// Where to connect to.
    pub addr: SocketAddr,
    /// GGEP `TLS`: that address speaks TLS.
    pub tls: bool,
}

impl Push {
    /// Decodes the payload of a push. Whatever follows the fixed part and is no GGEP is passed over.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 26 bytes.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let cut = WireError::Truncated("push");
        let (servent, rest) = payload.split_first_chunk::<16>().ok_or(cut)?;
        let (index, rest) = rest.split_first_chunk::<4>().ok_or(cut)?;
        let (ip_port, area) = rest.split_first_chunk::<6>().ok_or(cut)?;
        let mut addr = Ipv4OrSix::new(read_ip_port(*ip_port));
        let mut tls = false;
        for extension in Extensions::new(area) {
            match extension.id {
                b"6" => addr.six(&extension),
                b"TLS" => tls = true,
                _ => {}
            }
        }
        Ok(Self {
            servent: ServentId(*servent),
            index: u32::from_le_bytes(*index),
            addr: addr.get(),
            tls,
        })
    }

    /// Encodes the payload.
    pub fn build(&self) -> Vec<u8> {
        let mut out = self.servent.0.to_vec();
        out.extend_from_slice(&self.index.to_le_bytes());
        let six = write_ip(self.addr.ip(), &mut out);
        out.extend_from_slice(&self.addr.port().to_le_bytes());
        let mut block = Block::new(Zeros::Allowed);
        if let Some(six) = six {
            block.put(b"6", &six);
        }
        if self.tls {
            block.put(b"TLS", &[]);
        }
        out.extend(block.finish());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_push_of_the_reference_reads_and_writes() {
        let bytes = data_encoding::HEXLOWER
            .decode(b"f0e1d2c3b4a5968778695a4b3c2d1e0f07000000c0000214cb18")
            .unwrap();
        let push = Push {
            servent: ServentId::from_hex("f0e1d2c3b4a5968778695a4b3c2d1e0f").unwrap(),
            index: 7,
            addr: "192.0.2.20:6347".parse().unwrap(),
            tls: false,
        };
        assert_eq!(Push::parse(&bytes), Ok(push));
        assert_eq!(push.build(), bytes);
        assert_eq!(Push::parse(&bytes[..25]), Err(WireError::Truncated("push")));
        let six = Push {
            addr: "[2001:db8::1]:1".parse().unwrap(),
            tls: true,
            ..push
        };
        assert_eq!(Push::parse(&six.build()), Ok(six));
    }
}
