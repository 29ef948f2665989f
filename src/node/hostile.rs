//! Addresses that nothing is had to do with: a list of networks and ranges, made by people.
//!
//! One entry a line: an address, a network (`192.0.2.0/24`, `192.0.2.0/255.255.255.0`, `2001:db8::/32`) or a range
//! (`192.0.2.1-192.0.2.9`). `#` begins a remark. gtk-gnutella's `hostiles.txt` is such a list.

use std::net::IpAddr;

/// Entries of one list. gtk-gnutella's has some thousand; our bound, 6 MiB of memory.
pub const HOSTILE_MAX: usize = 200_000;
/// Bits of an IPv6 address before an IPv4 address that it carries.
const MAPPED_BITS: u32 = 96;

/// Ranges of addresses, IPv4 as mapped into IPv6: sorted, none touching another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hostile {
    ranges: Vec<(u128, u128)>,
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostileError {
    /// A line is no entry.
    #[error(
        "line {line}: {text:?} is no address; write one as 192.0.2.7, 192.0.2.0/24 or 192.0.2.1-192.0.2.9"
    )]
    NoAddress {
        /// Its number, from 1.
        line: usize,
        /// What stands there, at most 60 characters.
        text: String,
    },
    /// A range ends before it begins.
    #[error("line {line}: {text:?} ends before it begins; write the lower address first")]
    Backwards {
        /// Its number, from 1.
        line: usize,
        /// What stands there, at most 60 characters.
        text: String,
    },
    /// It has more than [`HOSTILE_MAX`] entries.
    #[error("line {line}: more than {HOSTILE_MAX} entries; join them into networks")]
    TooMany {
        /// The first line too many.
        line: usize,
    },
}

impl Hostile {
    /// Reads the text of a list.
    ///
    /// # Errors
    /// The first line that is none, or that is too much.
    pub fn parse(text: &str) -> Result<Self, HostileError> {
        let mut ranges = Vec::new();
        for (line, entry) in (1..).zip(text.lines()) {
            let entry = entry.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            let shown = || entry.chars().take(60).collect::<String>();
            let Some((from, to)) = range(entry) else {
                let text = shown();
                return Err(HostileError::NoAddress { line, text });
            };
            if from > to {
                let text = shown();
                return Err(HostileError::Backwards { line, text });
            }
            if ranges.len() == HOSTILE_MAX {
                return Err(HostileError::TooMany { line });
            }
            ranges.push((from, to));
        }
        Ok(Self::of(ranges))
    }

    /// All that is in one or the other.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.ranges.extend(other.ranges);
        Self::of(self.ranges)
    }

    fn of(mut ranges: Vec<(u128, u128)>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1.saturating_add(1);
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
        Self { ranges }
    }

    /// Is this address on the list?
    pub fn lists(&self, ip: IpAddr) -> bool {
        if self.ranges.is_empty() {
            return false;
        }
        let bits = bits(ip);
        let after = self.ranges.partition_point(|(from, _)| *from <= bits);
        after > 0 && bits <= self.ranges[after - 1].1
    }

    /// Ranges, after those that touch were joined.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Is there nothing on it?
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// First and last address of an entry.
fn range(entry: &str) -> Option<(u128, u128)> {
    if let Some((from, to)) = entry.split_once('-') {
        let (from, to): (IpAddr, IpAddr) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        return (from.is_ipv4() == to.is_ipv4()).then(|| (bits(from), bits(to)));
    }
    let Some((ip, size)) = entry.split_once('/') else {
        let ip = bits(entry.parse().ok()?);
        return Some((ip, ip));
    };
    let (ip, size): (IpAddr, _) = (ip.trim().parse().ok()?, size.trim());
    let fixed = match (ip, size.parse::<IpAddr>()) {
        (IpAddr::V4(_), Ok(IpAddr::V4(mask))) => {
            let ones = mask.to_bits().leading_ones();
            (mask.to_bits().count_ones() == ones).then_some(MAPPED_BITS + ones)?
        }
        (_, Ok(_)) => return None,
        (IpAddr::V4(_), Err(_)) => MAPPED_BITS + prefix(size, 32)?,
        (IpAddr::V6(_), Err(_)) => prefix(size, 128)?,
    };
    let free = u128::MAX.checked_shr(fixed).unwrap_or(0);
    Some((bits(ip) & !free, bits(ip) | free))
}

/// Bits of a prefix.
fn prefix(size: &str, most: u32) -> Option<u32> {
    size.parse().ok().filter(|size| *size <= most)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn lists(text: &str, ip: &str) -> bool {
        Hostile::parse(text).unwrap().lists(ip.parse().unwrap())
    }

    #[test]
    fn each_way_to_write_an_entry_lists_its_addresses_and_no_others() {
        for (text, inside, outside) in [
            (
                "192.0.2.7",
                &["192.0.2.7", "::ffff:192.0.2.7"][..],
                &["192.0.2.6", "192.0.2.8"][..],
            ),
            (
                "192.0.2.9/24 # a network",
                &["192.0.2.0", "192.0.2.255"],
                &["192.0.1.255", "192.0.3.0"],
            ),
            (
                "192.0.2.0/255.255.255.0",
                &["192.0.2.0", "192.0.2.255"],
                &["192.0.1.255", "192.0.3.0"],
            ),
            (
                "192.0.2.3 - 192.0.2.5",
                &["192.0.2.3", "192.0.2.5"],
                &["192.0.2.2", "192.0.2.6"],
            ),
            (
                "2001:db8::/32",
                &["2001:db8::1"],
                &["2001:db9::", "192.0.2.1"],
            ),
            (
                "0.0.0.0/0",
                &["0.0.0.0", "255.255.255.255"],
                &["2001:db8::1"],
            ),
            ("::/0", &["::", "192.0.2.1"], &[]),
            ("192.0.2.1/32", &["192.0.2.1"], &["192.0.2.2"]),
            ("\n# nothing\n", &[], &["192.0.2.1"]),
        ] {
            for ip in inside {
                assert!(lists(text, ip), "{text}: {ip}");
            }
            for ip in outside {
                assert!(!lists(text, ip), "{text}: {ip}");
            }
        }
    }

    #[test]
    fn entries_that_overlap_or_touch_are_one() {
        let text = "10.0.0.0/25\n10.0.0.128/25\n10.0.0.5-10.0.1.9\n10.9.0.0/16\n10.0.0.0/25";
        let list = Hostile::parse(text).unwrap();
        assert_eq!(list.len(), 2);
        assert!(
            list.lists("10.0.1.9".parse().unwrap()) && !list.lists("10.0.1.10".parse().unwrap())
        );
        assert_eq!(list.clone().and(list.clone()), list);
    }

    #[test]
    fn what_is_no_entry_is_named_with_its_line() {
        for text in [
            "1.2.3",
            "1.2.3.4/33",
            "1.2.3.4/255.0.255.0",
            "::/129",
            "1.2.3.4-::1",
            "1.2.3.4-",
            "example.org",
            "1.2.3.4 5",
        ] {
            let error = Hostile::parse(&format!("# remark\n\n1.1.1.1\n{text}\n")).unwrap_err();
            let is = HostileError::NoAddress {
                line: 4,
                text: text.to_owned(),
            };
            assert_eq!(error, is);
        }
        let error = Hostile::parse("1.2.3.9-1.2.3.4").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("line 1: \"1.2.3.9-1.2.3.4\" ends"),
            "{error}"
        );
        let mut many = String::new();
        for n in 0..=HOSTILE_MAX {
            writeln!(many, "::{:x}:{:x}", n >> 16, n & 0xFFFF).unwrap();
        }
        assert_eq!(
            Hostile::parse(&many),
            Err(HostileError::TooMany {
                line: HOSTILE_MAX + 1
            })
        );
    }
}
