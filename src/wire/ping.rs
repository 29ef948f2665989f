//! Ping (0x00) and Pong (0x01): who is there.

use std::net::SocketAddr;

use super::addr::{Ipv4OrSix, read_port_ip, vector4, vector6, vectors, write_ip};
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
            // Always a byte: some read an empty value as another wish.
            block.put(b"SCP", &[flags]);
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
    /// GGEP `TLS`: its listener takes TLS from the first byte.
    pub tls: bool,
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
        let (mut ultrapeer, mut tls) = (None, false);
        let mut read = 0;
        for extension in Extensions::new(area) {
            read += 1;
            match extension.id {
                b"6" => addr.six(&extension),
                b"TLS" => tls = true,
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
            tls,
        })
    }

    /// Encodes the payload with GGEP `VC`, for ultrapeers `UP`, and `TLS`. The kilobytes go out as they are: the
    /// old mark of ultrapeers, a power of two, would lie to people, and readers prefer `UP`.
    pub fn build(&self) -> Vec<u8> {
        self.build_with(&[])
    }

    /// The same with GGEP `IPP` and `IPP6`: addresses for who asked with `SCP`.
    pub fn build_with(&self, hosts: &[SocketAddr]) -> Vec<u8> {
        self.build_as(&[&VENDOR[..], &[VERSION]].concat(), hosts)
    }

    /// The same without `VC`: with an IPv6 address it is no longer than three pings without payload.
    pub fn build_short(&self) -> Vec<u8> {
        self.build_as(&[], &[])
    }

    fn build_as(&self, vendor: &[u8], hosts: &[SocketAddr]) -> Vec<u8> {
        let mut out = self.addr.port().to_le_bytes().to_vec();
        let six = write_ip(self.addr.ip(), &mut out);
        out.extend_from_slice(&self.files.to_le_bytes());
        out.extend_from_slice(&self.kilobytes.to_le_bytes());
        let mut block = Block::new(Zeros::Allowed);
        if !vendor.is_empty() {
            block.put(b"VC", vendor);
        }
        if let Some((leaves, ultrapeers)) = self.ultrapeer {
            block.put(b"UP", &[0, leaves, ultrapeers]);
        }
        if self.tls {
            block.put(b"TLS", &[]);
        }
        if let Some(six) = six {
            block.put(b"6", &six);
        }
        let (four, six) = vectors(hosts);
        if !four.is_empty() {
            block.put(b"IPP", &four);
        }
        if !six.is_empty() {
            block.put(b"IPP6", &six);
        }
        out.extend(block.finish());
        out
    }
}

/// What a host cache packs into a pong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// GGEP `IPP` and `IPP6`: addresses to try. Hearsay, unchecked.
    pub hosts: Vec<SocketAddr>,
    /// GGEP `PHC`: other host caches, `HOST:PORT` each, at most [`CACHES_MAX`].
    pub caches: Vec<String>,
    /// GGEP `UDPHC`: the sender is a host cache, with this name unless it is empty.
    pub cache: Option<String>,
}

impl Packed {
    /// Reads the extensions of a pong's payload; what is malformed counts as not there.
    pub fn parse(payload: &[u8]) -> Self {
        let mut packed = Self::default();
        let (mut four, mut six) = (None, None);
        for extension in Extensions::new(payload.get(PONG_BYTES..).unwrap_or_default()) {
            match extension.id {
                b"IPP" if four.is_none() => four = vector4(&extension),
                b"IPP6" if six.is_none() => six = vector6(&extension),
                b"PHC" if packed.caches.is_empty() => {
                    let text = extension.value_within(CACHES_BYTES).unwrap_or_default();
                    let lines = text.split(|&byte| byte == b'\n');
                    packed.caches = lines.filter_map(cache_name).take(CACHES_MAX).collect();
                }
                b"UDPHC" if packed.cache.is_none() => {
                    let name = extension.value_within(CACHE_NAME_BYTES).unwrap_or_default();
                    packed.cache = Some(host_name(&name).unwrap_or_default().to_owned());
                }
                _ => {}
            }
        }
        packed.hosts = four.unwrap_or_default();
        packed.hosts.extend(six.unwrap_or_default());
        packed
    }
}

/// One line of `PHC`: a host with a port, and options behind `&` that nobody needs.
fn cache_name(line: &[u8]) -> Option<String> {
    let name = line.split(|&byte| byte == b'&').next()?;
    if name.len() > CACHE_NAME_BYTES {
        return None;
    }
    let colon = name.iter().position(|&byte| byte == b':');
    let (host, port) = name.split_at(colon.unwrap_or(name.len()));
    let host = host_name(host)?;
    let port = match port {
        [] => CACHE_PORT,
        [_, port @ ..] => std::str::from_utf8(port).ok()?.trim_end().parse().ok()?,
    };
    (port != 0).then(|| format!("{host}:{port}"))
}

/// A name or IPv4 address, as far as its characters tell.
fn host_name(bytes: &[u8]) -> Option<&str> {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let text = std::str::from_utf8(bytes).ok()?.trim();
    (!text.is_empty() && text.as_bytes().iter().all(good)).then_some(text)
}

/// Caches taken from one pong.
pub const CACHES_MAX: usize = 16;
/// Bytes of a `PHC` text, inflated.
const CACHES_BYTES: usize = 8 * 1024;
/// Bytes of a cache's name with its port (DNS names: 253).
const CACHE_NAME_BYTES: usize = 260;
/// The port of a cache that names none.
const CACHE_PORT: u16 = 6346;

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
            tls: false,
        };
        assert_eq!(Pong::parse(&pong), Ok(told.clone()));
        assert_eq!(Pong::parse(&told.build()), Ok(told.clone()));
        let encrypting = Pong { tls: true, ..told };
        assert_eq!(Pong::parse(&encrypting.build()), Ok(encrypting));
        assert!(Pong::parse(&pong[..13]).is_err());
        assert!(Pong::parse(&[&pong[..14], b"junk"].concat()).is_err());
        assert_eq!(Pong::parse(&pong[..14]).unwrap().ultrapeer, None);
    }

    #[test]
    fn packed_addresses_of_the_reference_read_as_told_and_are_written_alike() {
        let pong = Pong {
            addr: "192.0.2.10:6346".parse().unwrap(),
            files: 0,
            kilobytes: 0,
            ultrapeer: None,
            tls: false,
        };
        let hosts: Vec<SocketAddr> = ["192.0.2.1:6346", "198.51.100.7:1024", "[2001:db8::7]:9"]
            .map(|addr| addr.parse().unwrap())
            .into();
        let block = hex("c3 03495050 4c c0000201ca18 c63364070004 87 4950505f544c53 41 40");
        let read = Packed::parse(&[&pong.build()[..PONG_BYTES], &block].concat());
        assert_eq!(read.hosts, hosts[..2]);
        let built = pong.build_with(&hosts);
        assert_eq!(Packed::parse(&built).hosts, hosts);
        assert_eq!(Pong::parse(&built), Ok(pong.clone()));
        let uneven = hex("c3 83495050 4b c0000201ca18 c633640700");
        let read = Packed::parse(&[&pong.build()[..PONG_BYTES], &uneven].concat());
        assert_eq!(read, Packed::default());
        assert_eq!(Packed::parse(b"short"), Packed::default());
    }

    #[test]
    fn packed_caches_are_names_with_ports_and_nothing_stranger() {
        let mut block = Block::new(Zeros::Allowed);
        let text = "cache.example.org:6346&uptime=9\nother.example\n\n../etc:1\na b:2\nx:0\nx:y\n[::1]:5\n";
        block.put_packed(b"PHC", text.repeat(9).as_bytes());
        block.put(b"UDPHC", b"me.example.org");
        let payload = [&[0; PONG_BYTES][..], &block.finish()].concat();
        let packed = Packed::parse(&payload);
        assert_eq!(packed.caches.len(), CACHES_MAX);
        assert_eq!(
            packed.caches[..2],
            ["cache.example.org:6346", "other.example:6346"]
        );
        assert_eq!(packed.cache.as_deref(), Some("me.example.org"));
        let mut bomb = Block::new(Zeros::Allowed);
        bomb.put_packed(b"PHC", &vec![b'a'; 60_000]);
        bomb.put(b"UDPHC", b"");
        let payload = [&[0; PONG_BYTES][..], &bomb.finish()].concat();
        let packed = Packed::parse(&payload);
        assert_eq!(
            (packed.caches.len(), packed.cache.as_deref()),
            (0, Some(""))
        );
    }

    #[test]
    fn an_ipv6_pong_keeps_its_address() {
        let addr = "[2001:db8::7]:6346".parse().unwrap();
        let pong = Pong {
            addr,
            files: 0,
            kilobytes: 0,
            ultrapeer: None,
            tls: false,
        };
        assert!(pong.build()[2..].starts_with(&[127, 0, 0, 0]));
        assert_eq!(Pong::parse(&pong.build()), Ok(pong));
    }
}
