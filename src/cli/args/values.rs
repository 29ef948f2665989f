//! Values with units, as people type them: sizes, rates, durations, addresses.
//!
//! A bare number where a unit belongs is an error: a script that means seconds must not be read as
//! milliseconds. Each message names the wrong text and shows an example.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use crate::node::strategy::{BadStrategy, Strategy};
use crate::node::swarm::CONNECTIONS_MAX;
use crate::sim::parallel::THREADS_MAX;
use crate::wire::Sha1;

/// Port of the network since 2000 (IANA `gnutella-svc`), taken when an address names none.
pub const PORT: u16 = 6346;

/// A value that cannot be read, with an example of one that can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(String);

impl BadValue {
    /// What was typed, what is wrong with it, and what to type.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A number of threads: 1 to [`THREADS_MAX`].
///
/// # Errors
/// It is none.
pub fn threads(text: &str) -> Result<usize, BadValue> {
    let threads = text
        .parse()
        .ok()
        .filter(|threads| (1..=THREADS_MAX).contains(threads));
    threads.ok_or_else(|| {
        BadValue(format!(
            "`{text}` is no number of threads from 1 to {THREADS_MAX}, such as 2"
        ))
    })
}

/// A number of seeds: 1 to 1000.
///
/// # Errors
/// Anything else.
pub fn seeds(text: &str) -> Result<u64, BadValue> {
    let seeds = text
        .parse()
        .ok()
        .filter(|seeds| (1..=1_000).contains(seeds));
    seeds.ok_or_else(|| {
        BadValue(format!(
            "`{text}` is no number of seeds from 1 to 1000, such as 5"
        ))
    })
}

/// Name of a container image: what registries allow, and no more than that.
///
/// # Errors
/// Anything else. Source: OCI Distribution Specification 1.1, "Pulling manifests" (names, tags), with host and digest.
pub fn image(text: &str) -> Result<String, BadValue> {
    const LETTERS_MAX: usize = 512;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_/:@".contains(&b);
    let whole = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if whole && text.len() <= LETTERS_MAX && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(BadValue(format!(
        "`{text}` is no name of an image, such as filbert:latest or registry.example/lab/filbert:1"
    )))
}

/// Splits `12.5MB` in number and unit.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number = text[..at].parse::<f64>().ok()?;
    Some((number, text[at..].trim_start()))
}

/// A number of bytes: `700B`, `1.5MB` (10^6), `1MiB` (2^20), or a plain `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || {
            BadValue(format!(
                "`{text}` is not a size; give number and unit, such as 700kB, 1.5MB or 2GiB"
            ))
        };
        let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" if number == 0.0 => 1,
            "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(bad()),
        };
        #[expect(clippy::cast_precision_loss, reason = "a factor is at most 2^40")]
        let bytes = number * factor as f64;
        if bytes >= 9.0e18 {
            return Err(bad());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded above, has no sign"
        )]
        Ok(Self(bytes.round() as u64))
    }
}

/// Bytes a second, or `none` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Option<u64>);

impl FromStr for Rate {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        let bad = || {
            BadValue(format!(
                "`{text}` is not a rate; give bytes a second, such as 64kB/s or 5MB/s, or none"
            ))
        };
        let size: Size = text
            .strip_suffix("/s")
            .unwrap_or(text)
            .parse()
            .map_err(|_| bad())?;
        if size.0 == 0 {
            Err(bad())
        } else {
            Ok(Self(Some(size.0)))
        }
    }
}

/// A span of time: `500ms`, `10s`, `2m`, `1h`; `0` for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// The time, or `None` where zero means no limit.
    pub fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl FromStr for Span {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || {
            BadValue(format!(
                "`{text}` is not a time; give number and unit, such as 500ms, 10s or 2m"
            ))
        };
        let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
        let seconds = match unit {
            "" if number == 0.0 => 0.0,
            "ms" => number / 1_000.0,
            "s" => number,
            "m" | "min" => number * 60.0,
            "h" => number * 3_600.0,
            "d" => number * 86_400.0,
            _ => return Err(bad()),
        };
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| bad())
    }
}

/// A machine by name or number, and a port: `desk`, `192.168.1.12:6346`, `[::1]:6346`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port; [`PORT`] when none was named.
    pub port: u16,
}

impl Address {
    /// Looks the name up, the first answer wins.
    ///
    /// # Errors
    /// The name is unknown, in words for people.
    pub fn resolve(&self) -> Result<SocketAddr, String> {
        match (self.host.as_str(), self.port).to_socket_addrs() {
            Ok(mut found) => found.next().ok_or_else(|| {
                format!(
                    "{} has no address; name one, such as 192.168.1.12",
                    self.host
                )
            }),
            Err(error) => Err(format!(
                "{} is not known ({error}); name its address, such as 192.168.1.12:{}",
                self.host, self.port
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || {
            BadValue(format!(
                "`{text}` is not an address; give HOST or HOST:PORT, such as 192.168.1.12:6346"
            ))
        };
        let port_of = |port: &str| {
            port.parse::<u16>()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(bad)
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
            host.parse::<Ipv6Addr>().map_err(|_| bad())?;
            (
                host,
                if rest.is_empty() {
                    PORT
                } else {
                    port_of(rest.strip_prefix(':').ok_or_else(bad)?)?
                },
            )
        } else if text.parse::<Ipv6Addr>().is_ok() {
            (text, PORT)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, port_of(port)?),
                None => (text, PORT),
            }
        };
        let plausible = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(plausible) {
            return Err(bad());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Where to listen: `IP:PORT`, or `IP` for port 6346; port 0 takes any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl FromStr for Listen {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        text.parse::<SocketAddr>()
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)))
            .map(Self)
            .map_err(|_| BadValue(format!("`{text}` is not an own address; give IP:PORT, such as 0.0.0.0:6346 or 127.0.0.1:0")))
    }
}

/// A TTL from 1 to 255.
///
/// # Errors
/// Anything else.
pub fn ttl(text: &str) -> Result<u8, BadValue> {
    match text.parse::<u8>() {
        Ok(ttl) if ttl > 0 => Ok(ttl),
        _ => Err(BadValue(format!(
            "`{text}` is not a TTL; give hops from 1 to 255, such as 4"
        ))),
    }
}

/// How one search spreads.
///
/// # Errors
/// None of the ways, or one that is a choice of every node.
pub fn strategy(text: &str) -> Result<Strategy, BadValue> {
    let parsed = text.parse();
    parsed.map_err(|error: BadStrategy| BadValue(error.for_searches()))
}

/// A SHA-1: `urn:sha1:` or `sha1:` and 32 base32 characters.
///
/// # Errors
/// Anything else.
pub fn urn(text: &str) -> Result<Sha1, BadValue> {
    let example = "such as sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    text.parse().map_err(|_| {
        BadValue(format!(
            "`{text}` is not a hash; give sha1: and 32 letters and digits, {example}"
        ))
    })
}

/// A number of connections at a time that a download can have.
///
/// # Errors
/// Anything else.
pub fn connections(text: &str) -> Result<usize, BadValue> {
    let count = text.parse().ok();
    let count = count.filter(|count| (1..=CONNECTIONS_MAX).contains(count));
    count.ok_or_else(|| {
        BadValue(format!(
            "`{text}` is no number of sources from 1 to {CONNECTIONS_MAX}, such as 6"
        ))
    })
}

/// A count of at least one.
///
/// # Errors
/// Anything else.
pub fn at_least_one(text: &str) -> Result<usize, BadValue> {
    match text.parse::<usize>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(BadValue(format!(
            "`{text}` is not a count; give a number from 1 up, such as 100"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_units() {
        let cases = [
            ("0", 0),
            ("700B", 700),
            ("1kB", 1_000),
            ("1KiB", 1_024),
            ("1.5MB", 1_500_000),
            ("2 GB", 2_000_000_000),
            ("1GiB", 1 << 30),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)), "{text}");
        }
        for text in [
            "",
            "5",
            "MB",
            "1.2.3MB",
            "-1MB",
            "1XB",
            "99999999999TB",
            "NaNMB",
            "1é",
        ] {
            let error = text.parse::<Size>().expect_err(text).to_string();
            assert!(error.contains("such as"), "{text}: {error}");
        }
    }

    #[test]
    fn rates_may_be_none_but_not_zero() {
        assert_eq!("none".parse::<Rate>(), Ok(Rate(None)));
        assert_eq!("64kB/s".parse::<Rate>(), Ok(Rate(Some(64_000))));
        assert_eq!("1MiB".parse::<Rate>(), Ok(Rate(Some(1 << 20))));
        for text in ["0", "64", "fast", ""] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_carry_units() {
        assert_eq!(
            "500ms".parse::<Span>(),
            Ok(Span(Duration::from_millis(500)))
        );
        assert_eq!("2m".parse::<Span>(), Ok(Span(Duration::from_mins(2))));
        assert_eq!("0".parse::<Span>().expect("a time").limit(), None);
        for text in ["10", "s", "", "1e3s", "1y"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_have_the_usual_port_unless_they_name_one() {
        for (text, shown) in [
            ("desk", "desk:6346"),
            ("desk:80", "desk:80"),
            ("192.168.1.12", "192.168.1.12:6346"),
            ("::1", "[::1]:6346"),
            ("[::1]:9", "[::1]:9"),
            ("[::1]", "[::1]:6346"),
        ] {
            assert_eq!(
                text.parse::<Address>().map(|a| a.to_string()),
                Ok(shown.to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            ":80",
            "a b",
            "desk:0",
            "desk:99999",
            "desk:x",
            "[::1",
            "[desk]:1",
            "a/b",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_own_address_is_numeric() {
        assert_eq!(
            "127.0.0.1:0".parse(),
            Ok(Listen(SocketAddr::from(([127, 0, 0, 1], 0))))
        );
        assert_eq!(
            "0.0.0.0".parse(),
            Ok(Listen(SocketAddr::from(([0, 0, 0, 0], PORT))))
        );
        assert!("desk:1".parse::<Listen>().is_err());
    }
}
