//! Alternate locations in HTTP heads: `X-Alt`, `X-NAlt` and `X-FAlt`, item by item.
//!
//! Source: LimeWire and gtk-gnutella, as they write them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use data_encoding::HEXLOWER;

use super::ServentId;
use super::addr::BitMap;

/// The port of an item that names none.
const PORT: u16 = 6346;
/// Push proxies read of one item. Ours.
pub const PROXIES_MAX: usize = 4;

/// Reads an item of `X-Alt` or `X-NAlt`: `ip[:port]`. Anything else (`tls=..` too) is `None`.
pub fn open(item: &str) -> Option<SocketAddr> {
    let item = item.trim();
    item.parse().ok().or_else(|| {
        let ip: IpAddr = item.trim_matches(['[', ']']).parse().ok()?;
        Some(SocketAddr::new(ip, PORT))
    })
}

/// An item of a list of `X-Alt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Open {
    /// Where it is.
    pub addr: SocketAddr,
    /// It takes TLS there, as the list says.
    pub tls: bool,
}

/// Reads the items of `X-Alt`: addresses, with `tls=<hex>` before them for those that take TLS, a bit for each item
/// behind it, the most significant first. What is no address has a bit too, and is left out.
pub fn open_all<'a>(items: impl Iterator<Item = &'a str>) -> impl Iterator<Item = Open> {
    let (mut bits, mut next) = (&[][..], 0);
    items.filter_map(move |item| {
        if let Some(hex) = item.trim().strip_prefix("tls=") {
            (bits, next) = (hex.as_bytes(), 0);
            return None;
        }
        let nibble = bits
            .get(next / 4)
            .and_then(|digit| (*digit as char).to_digit(16));
        let tls = nibble.is_some_and(|nibble| nibble << (next % 4) & 8 != 0);
        next += 1;
        open(item).map(|addr| Open { addr, tls })
    })
}

/// Writes a list of `X-Alt`, as [`open_all`] reads it; `tls=` stands before it when any of them takes TLS.
pub fn list(all: &[Open]) -> String {
    let tls = BitMap::of(all.iter().map(|open| open.tls));
    let tls = (!tls.is_empty()).then(|| format!("tls={}", HEXLOWER.encode(tls.bytes())));
    let addrs = all.iter().map(|open| open.addr.to_string());
    tls.into_iter().chain(addrs).collect::<Vec<_>>().join(", ")
}

/// An item of `X-FAlt`: a servent that cannot be connected to, and who can hand it a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walled {
    /// Its id.
    pub servent: ServentId,
    /// Its push proxies, at most [`PROXIES_MAX`].
    pub proxies: Vec<SocketAddr>,
}

impl Walled {
    /// Reads `<32 hex>[;fwt/1][;port:ip][;pptls=..][;ip:port]*`. One without a push proxy is of no use: `None`.
    pub fn parse(item: &str) -> Option<Self> {
        let mut parts = item.split(';').map(str::trim);
        let servent = ServentId::from_hex(parts.next()?)?;
        // Its own address has the port in front, and so is none of these.
        let proxies = parts.filter_map(|part| part.parse().ok());
        let proxies: Vec<_> = proxies.take(PROXIES_MAX).collect();
        (!proxies.is_empty()).then_some(Self { servent, proxies })
    }
}

impl fmt::Display for Walled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.servent)?;
        self.proxies
            .iter()
            .try_for_each(|proxy| write!(f, ";{proxy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "c91a310276cb2e32267fb076410e15ae";

    #[test]
    fn items_read_as_others_write_them() {
        let all = [
            "127.0.9.250:6399",
            " 127.0.9.251 ",
            "[2001:db8::1]:5",
            "[2001:db8::1]",
        ];
        let read = all.map(|item| open(item).map(|addr| addr.to_string()));
        let wanted = [
            "127.0.9.250:6399",
            "127.0.9.251:6346",
            "[2001:db8::1]:5",
            "[2001:db8::1]:6346",
        ];
        assert_eq!(read, wanted.map(|addr| Some(addr.to_owned())));
        for item in ["", "tls=80", "1.2.3", "1.2.3.4:99999", "host:6346"] {
            assert_eq!(open(item), None, "{item}");
        }
        let items = "tls=4a, 10.0.0.1:1, 10.0.0.2:2, host, 10.0.0.4:4, 10.0.0.5:5, 10.0.0.6:6, 10.0.0.7:7, 10.0.0.8:8, 10.0.0.9:9";
        let tls: Vec<_> = open_all(items.split(','))
            .filter(|open| open.tls)
            .map(|open| open.addr.port())
            .collect();
        assert_eq!(tls, [2, 5, 7]);
        for bits in ["", "tls=", "tls=xyz", "10.0.0.1:1, tls=ff"] {
            let items = format!("{bits}, 10.0.0.3:3");
            let last = open_all(items.split(',')).last().unwrap();
            assert_eq!(last.tls, bits.ends_with("ff"), "{bits}");
        }
        for tls in [vec![], vec![2], vec![0, 9]] {
            let all: Vec<_> = (0..10u8)
                .map(|n| Open {
                    addr: SocketAddr::from(([10, 0, 0, n], 7)),
                    tls: tls.contains(&n),
                })
                .collect();
            let text = list(&all);
            assert_eq!(text.starts_with("tls="), !tls.is_empty(), "{text}");
            assert_eq!(open_all(text.split(',')).collect::<Vec<_>>(), all, "{text}");
        }
        let item = format!("{HEX};fwt/1;6346:10.0.0.1;pptls=8;10.0.0.2:7;[2001:db8::1]:5");
        let walled = Walled::parse(&item).unwrap();
        assert_eq!(
            walled.to_string(),
            format!("{HEX};10.0.0.2:7;[2001:db8::1]:5")
        );
        assert_eq!(Walled::parse(&walled.to_string()), Some(walled));
        for item in ["", HEX, "c91a;10.0.0.2:7", ";10.0.0.2:7"] {
            assert_eq!(Walled::parse(item), None, "{item}");
        }
        let many = format!("{HEX}{}", ";10.0.0.2:7".repeat(9));
        assert_eq!(Walled::parse(&many).unwrap().proxies.len(), PROXIES_MAX);
    }
}
