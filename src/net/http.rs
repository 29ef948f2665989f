//! What HTTP says inside a head: ranges, targets, names and dates, for the server and the client alike.
//!
//! Liberal in form (spaces round separators, case), strict about sizes and paths. Knows no sockets and no
//! files; heads themselves are read and written by `wire::heads`.

use std::time::{SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::push_proxy;
use crate::wire::Sha1;
use crate::wire::heads::Head;
use crate::wire::urn::{Hashes, TigerRoot};

/// Name and version we go by (`Server`, `User-Agent`).
pub(crate) const AGENT: &str = concat!("filbert/", env!("CARGO_PKG_VERSION"));

/// What stays as it is in a path or query of ours: RFC 3986 "unreserved".
const PATH_SAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Hash in `X-Gnutella-Content-URN` or `X-Content-URN`.
pub(crate) fn content_urn(head: &Head) -> Option<Sha1> {
    let mut urns = head
        .list("X-Gnutella-Content-URN")
        .chain(head.list("X-Content-URN"));
    urns.find_map(|urn| urn.parse().ok())
}

/// The `x` of a version `HTTP/1.x`.
pub(crate) fn minor_version(word: &str) -> Option<u8> {
    let rest = word
        .get(..7)
        .filter(|start| start.eq_ignore_ascii_case("HTTP/1."))?;
    word[rest.len()..]
        .parse()
        .ok()
        .filter(|minor: &u8| *minor < 10)
}

/// What one `Range` header asks of a file of a known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Everything: there was no range, or none we know.
    Whole,
    /// Bytes `start` to `end`, `end` not included.
    Part {
        /// First byte.
        start: u64,
        /// Byte after the last one.
        end: u64,
    },
    /// Nothing of the file lies in it: 416.
    Outside,
}

/// Reads `bytes=a-b`, `bytes=a-` and `bytes=-n`; of several ranges the first. Another unit or a malformed
/// range is as good as none (RFC 9110, 14.2).
pub(crate) fn asked(range: Option<&str>, size: u64) -> Asked {
    let Some((start, end)) = range.and_then(first_range) else {
        return Asked::Whole;
    };
    let part = match (start, end) {
        (Some(start), Some(end)) if end < start => return Asked::Whole,
        (Some(start), Some(end)) => start..size.min(end.saturating_add(1)),
        (Some(start), None) => start..size,
        (None, Some(last)) => size.saturating_sub(last)..size,
        (None, None) => return Asked::Whole,
    };
    if part.is_empty() {
        Asked::Outside
    } else {
        Asked::Part {
            start: part.start,
            end: part.end,
        }
    }
}

fn first_range(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let unit = range
        .get(..5)
        .filter(|unit| unit.eq_ignore_ascii_case("bytes"))?;
    let first = range[unit.len()..]
        .trim_start()
        .strip_prefix('=')?
        .split(',')
        .next()?;
    let (start, end) = first.split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        // More than 64 bits is beyond any file, not malformed.
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    Some((number(start)?, number(end)?))
}

/// A `Content-Range`: first byte, byte after the last one, size of the complete file if told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// First byte.
    pub(crate) start: u64,
    /// Byte after the last one.
    pub(crate) end: u64,
    /// Size of the complete file.
    pub(crate) size: Option<u64>,
}

/// Reads `bytes a-b/size`, the old `bytes=a-b/size`, and `*` as size. `None` if it does not add up.
pub(crate) fn content_range(value: &str) -> Option<ContentRange> {
    let unit = value
        .get(..5)
        .filter(|unit| unit.eq_ignore_ascii_case("bytes"))?;
    let rest = value[unit.len()..].trim_start_matches(['=', ' ']);
    let (range, size) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (start, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let size = match size.trim() {
        "*" => None,
        size => Some(size.parse::<u64>().ok()?),
    };
    let fits = start <= last && size.is_none_or(|size| last < size);
    fits.then_some(ContentRange {
        start,
        end: last + u64::from(last < u64::MAX),
        size,
    })
}

/// What a request target names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/uri-res/N2R?urn:...`, by SHA-1 or bitprint.
    Urn(Sha1),
    /// The same by the root of its Tiger tree.
    Tiger(TigerRoot),
    /// `/uri-res/N2X?urn:...`: the Tiger tree of a file.
    Tree(Sha1),
    /// `/get/<index>/<name>`, the name decoded.
    Index(u32, String),
    /// `/`, with the words of `?q=` and the number of `&page=`.
    Browse {
        /// Words searched for; empty: all.
        words: String,
        /// Page, from 0.
        page: usize,
    },
    /// A push to be handed to a neighbour.
    PushProxy(push_proxy::Wanted),
    /// Something else, or a name that no file has.
    Unknown,
    /// Not a target at all: 400.
    Malformed,
}

/// Reads a request target, also with `http://host` in front.
pub(crate) fn target(text: &str) -> Target {
    let local = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => text,
    };
    if !local.starts_with('/') || local.chars().any(|c| c.is_control() || c == ' ') {
        return Target::Malformed;
    }
    let (path, query) = local.split_once('?').unwrap_or((local, ""));
    if path == "/" {
        return browse(query);
    }
    if path.eq_ignore_ascii_case("/uri-res/N2R") {
        return urn(query);
    }
    if path.eq_ignore_ascii_case("/uri-res/N2X") {
        // Some put the root behind it, as they were told.
        let wanted = query.split(';').next().unwrap_or_default();
        return match urn(wanted) {
            Target::Urn(sha1) => Target::Tree(sha1),
            _ => Target::Malformed,
        };
    }
    if push_proxy::is_path(path) {
        return push_proxy::Wanted::of_query(query).map_or(Target::Malformed, Target::PushProxy);
    }
    let Some((index, _)) = path
        .strip_prefix("/get/")
        .and_then(|rest| rest.split_once('/'))
    else {
        return Target::Unknown;
    };
    // A name may hold a question mark that the sender did not encode: the name is all that follows.
    let name = &local["/get/".len() + index.len() + 1..];
    match (index.parse(), percent_decode_str(name).decode_utf8()) {
        (Ok(index), Ok(name)) if !leads_away(&name) => Target::Index(index, name.into_owned()),
        _ => Target::Malformed,
    }
}

fn urn(text: &str) -> Target {
    let text = percent_decode_str(text).decode_utf8_lossy();
    if let Ok(sha1) = text.parse() {
        return Target::Urn(sha1);
    }
    let bare = text
        .split_at_checked(4)
        .filter(|(urn, _)| urn.eq_ignore_ascii_case("urn:"));
    match bare.map(|(_, bare)| Hashes::parse(bare)) {
        Some(Ok(Hashes {
            tiger: Some(root), ..
        })) => Target::Tiger(root),
        _ => Target::Malformed,
    }
}

/// A name that could be a path. No shared file has one, so that nothing is lost.
fn leads_away(name: &str) -> bool {
    name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '\\', '\0'])
}

fn browse(query: &str) -> Target {
    let (mut words, mut page) = (String::new(), 0);
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8_lossy();
        match key {
            "q" => value.trim().clone_into(&mut words),
            "page" => page = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    Target::Browse { words, page }
}

/// `text` as one part of a path or a query value.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PATH_SAFE).to_string()
}

/// `Content-Disposition` for a file name: ASCII for the old, RFC 8187 for the rest.
pub(crate) fn disposition(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' {
            c
        } else {
            '_'
        }
    };
    let ascii: String = name.chars().map(plain).collect();
    format!(
        "attachment; filename=\"{ascii}\"; filename*=UTF-8''{}",
        encoded(name)
    )
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
pub(crate) fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let weekday = DAYS[usize::try_from(days % 7).expect("below 7")];
    let month = MONTHS[month];
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Reads such a date, the only form that is written since 1999. Bounded: the year has four digits.
pub(crate) fn date_read(text: &str) -> Option<u64> {
    let (_, rest) = text.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let mut part = || parts.next();
    let (day, month, year) = (part()?, part()?, part()?);
    let (time, zone) = (part()?, part()?);
    if zone != "GMT" || part().is_some() || day.len() != 2 || year.len() != 4 {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| -> Option<u64> { text.parse().ok().filter(|_| digits(text)) };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let (day, year) = (number(day)?, number(year)?);
    let mut clock = time
        .split(':')
        .map(|text| number(text).filter(|_| text.len() == 2));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // A leap second is the next one.
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let years = year.checked_sub(1970)?;
    let before = years * 365 + leaps(year - 1) - leaps(1969);
    // Within the year, the day that `civil` gives back.
    let days = (before..before + 366).find(|days| civil(*days) == (year, month, day))?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Year, month from 0 and day of a number of days since 1970, month by month from the year it lies in.
fn civil(days: u64) -> (u64, usize, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let (mut year, mut left) = (
        1970 + days / DAYS_IN_400_YEARS * 400,
        days % DAYS_IN_400_YEARS,
    );
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for length in [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

/// Seconds since 1970; `None` for a time before.
pub(crate) fn seconds_of(time: SystemTime) -> Option<u64> {
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_the_standard_says() {
        let part = |start, end| Asked::Part { start, end };
        for (range, expected) in [
            ("bytes=0-9", part(0, 10)),
            ("bytes=5-", part(5, 100)),
            ("bytes=-7", part(93, 100)),
            ("bytes=-700", part(0, 100)),
            ("bytes=99-99", part(99, 100)),
            ("bytes=50-1000", part(50, 100)),
            ("bytes=0-0,50-60", part(0, 1)),
            ("BYTES = 1-2", part(1, 3)),
            ("bytes=100-", Asked::Outside),
            ("bytes=100-200", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=99999999999999999999999-", Asked::Outside),
            ("bytes=0-99999999999999999999999", part(0, 100)),
            ("bytes=9-5", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=x-y", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(asked(Some(range), 100), expected, "{range}");
        }
        assert_eq!(asked(Some("bytes=0-"), 0), Asked::Outside);
        assert_eq!(asked(None, 0), Asked::Whole);
    }

    #[test]
    fn content_ranges_must_add_up() {
        let range = |start, end, size| Some(ContentRange { start, end, size });
        assert_eq!(content_range("bytes 0-9/100"), range(0, 10, Some(100)));
        assert_eq!(content_range("bytes=5-9/100"), range(5, 10, Some(100)));
        assert_eq!(content_range("bytes 5-9/*"), range(5, 10, None));
        for wrong in [
            "bytes 9-5/100",
            "bytes 0-100/100",
            "bytes */100",
            "bytes 0-9",
            "0-9/10",
            "bytes a-b/c",
        ] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn targets_name_files_and_never_paths() {
        let urn: Sha1 = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB".parse().unwrap();
        for text in [
            "/uri-res/N2R?urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB",
            "/uri-res/n2r?URN:SHA1:plsthipqgsszts5fjupakuzwugyqypfb",
            "http://10.0.0.1:6346/uri-res/N2R?urn%3Asha1%3APLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB",
            "/uri-res/N2R?urn:bitprint:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB.LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ",
        ] {
            assert_eq!(target(text), Target::Urn(urn), "{text}");
        }
        for text in [
            "/uri-res/N2X?urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB",
            "/uri-res/n2x?urn:sha1:plsthipqgsszts5fjupakuzwugyqypfb;LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ",
        ] {
            assert_eq!(target(text), Target::Tree(urn), "{text}");
        }
        let root = "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ";
        let wanted = Target::Tiger(crate::wire::urn::tiger_from_base32(root).unwrap());
        for kind in ["tree:tiger", "tree:tiger/", "ttroot", "TREE%3atiger"] {
            let text = format!("/uri-res/N2R?urn:{kind}:{root}");
            assert_eq!(target(&text), wanted, "{text}");
        }
        assert_eq!(
            target("/get/7/a%20b%3F.txt"),
            Target::Index(7, "a b?.txt".into())
        );
        assert_eq!(
            target("/get/7/what?.txt"),
            Target::Index(7, "what?.txt".into())
        );
        for text in [
            "/get/1/../x",
            "/get/1/%2e%2e",
            "/get/1/..%2fx",
            "/get/1/a%5cb",
            "/get/1/a%00",
            "/get/1/",
            "/get/x/y",
            "/get/-1/y",
            "/get/1/%ff",
            "etc/passwd",
            "/uri-res/N2R?urn:sha1:short",
            "/uri-res/N2R?ééé",
            "/uri-res/N2X?urn:sha1:short",
            "/uri-res/N2X?",
            "",
            "*",
        ] {
            assert_eq!(target(text), Target::Malformed, "{text}");
        }
        for text in [
            "/etc/passwd",
            "/../../etc/passwd",
            "/get/1",
            "/gets/1/a",
            "/uri-res/N2L?urn:sha1:x",
        ] {
            assert_eq!(target(text), Target::Unknown, "{text}");
        }
        assert_eq!(
            target("/?q=moby+d%69ck&page=2"),
            Target::Browse {
                words: "moby dick".into(),
                page: 2
            }
        );
    }

    #[test]
    fn dates_read_as_they_are_written_and_nothing_else_does() {
        for seconds in [
            0,
            86_399,
            784_111_777,
            951_782_400,
            951_868_800,
            4_107_542_399,
            4_107_542_400,
            253_402_300_799,
        ] {
            assert_eq!(
                date_read(&date(seconds)),
                Some(seconds),
                "{}",
                date(seconds)
            );
        }
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 29 Feb 2100 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        ] {
            assert_eq!(date_read(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(date(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(date(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
    }

    #[test]
    fn a_disposition_cannot_break_out_of_its_quotes() {
        let text = disposition("a\"\r\nX: y\\ü.txt");
        assert_eq!(
            text,
            "attachment; filename=\"a___X: y__.txt\"; filename*=UTF-8''a%22%0D%0AX%3A%20y%5C%C3%BC.txt"
        );
    }
}
