//! Alternate locations in HTTP heads: `X-Alt`, `X-NAlt` and `X-FAlt`, item by item.
//!
//! Source: LimeWire and gtk-gnutella, as they write them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::ServentId;

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
