//! `magnet:` links: what to fetch, by hash, and from where.
//!
//! Keys may repeat and be numbered (`xt.1`), their case does not matter, and `+` is a space. Nothing in
//! a link is trusted: a name is no path, an address no friend.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::WireError;
use super::text::clean_bytes;
use super::urn::{Hashes, Sha1, TigerRoot, strip_urn, tiger_to_base32};

/// Bytes of a link. Browsers take a few thousand. Our choice.
pub const LINK_BYTES_MAX: usize = 16 * 1024;
/// Values taken of one key; others are passed over. Our choice.
pub const VALUES_MAX: usize = 32;
/// Bytes kept of a name or of keywords.
pub const NAME_BYTES_MAX: usize = 1024;

/// A magnet link. At least one hash, source, name or keyword is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magnet {
    /// `xt`: SHA-1s of the content, at most [`VALUES_MAX`]. Several mean the same content, or several files;
    /// the link does not say.
    pub sha1s: Vec<Sha1>,
    /// `xt`: Tiger tree root.
    pub tiger: Option<TigerRoot>,
    /// `dn`: name to show, without control characters.
    pub name: Option<String>,
    /// `xl`: size in bytes.
    pub size: Option<u64>,
    /// `xs`: URLs that serve exactly this, at most [`VALUES_MAX`].
    pub sources: Vec<String>,
    /// `as`: URLs that may serve it, at most [`VALUES_MAX`].
    pub alternates: Vec<String>,
    /// `kt`: words to search for, without control characters.
    pub keywords: Option<String>,
}

/// Reads `magnet:?key=value&...`.
///
/// # Errors
/// [`WireError::Malformed`] when it is no magnet link, names a SHA-1 that is none, or names nothing to
/// look for; [`WireError::Limit`] above [`LINK_BYTES_MAX`].
impl FromStr for Magnet {
    type Err = WireError;

    fn from_str(link: &str) -> Result<Self, WireError> {
        if link.len() > LINK_BYTES_MAX {
            return Err(WireError::Limit("magnet link"));
        }
        let (scheme, query) = link
            .trim()
            .split_once('?')
            .ok_or(WireError::Malformed("magnet link"))?;
        if !scheme.eq_ignore_ascii_case("magnet:") {
            return Err(WireError::Malformed("magnet link"));
        }
        let mut magnet = Self::default();
        for (key, value) in query
            .split('&')
            .filter_map(|parameter| parameter.split_once('='))
        {
            let key = key
                .split('.')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            let value = value.replace('+', " ");
            magnet.take(&key, &percent_decode_str(&value).decode_utf8_lossy())?;
        }
        if magnet.is_aimless() {
            Err(WireError::Malformed("magnet link"))
        } else {
            Ok(magnet)
        }
    }
}

/// The link, each value percent-encoded.
impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hashes = self.sha1s.iter().map(ToString::to_string);
        let tiger = self
            .tiger
            .iter()
            .map(|root| format!("urn:tree:tiger:{}", tiger_to_base32(root)));
        let parameters = (hashes.chain(tiger).map(|urn| ("xt", urn)))
            .chain(self.name.iter().map(|name| ("dn", name.clone())))
            .chain(self.size.iter().map(|size| ("xl", size.to_string())))
            .chain(self.sources.iter().map(|url| ("xs", url.clone())))
            .chain(self.alternates.iter().map(|url| ("as", url.clone())))
            .chain(self.keywords.iter().map(|words| ("kt", words.clone())));
        f.write_str("magnet:")?;
        for (number, (key, value)) in parameters.enumerate() {
            let before = if number == 0 { '?' } else { '&' };
            write!(f, "{before}{key}={}", utf8_percent_encode(&value, RESERVED))?;
        }
        Ok(())
    }
}

impl Magnet {
    fn take(&mut self, key: &str, value: &str) -> Result<(), WireError> {
        let push = |list: &mut Vec<String>| {
            if list.len() < VALUES_MAX && !value.is_empty() {
                list.push(value.to_owned());
            }
        };
        let words = || {
            Some(clean_bytes(value.as_bytes(), NAME_BYTES_MAX)).filter(|words| !words.is_empty())
        };
        match key {
            "xt" => self.take_topic(value)?,
            "dn" => self.name = self.name.take().or_else(words),
            "xl" => self.size = self.size.or_else(|| value.parse().ok()),
            "xs" => push(&mut self.sources),
            "as" => push(&mut self.alternates),
            "kt" => self.keywords = self.keywords.take().or_else(words),
            _ => {}
        }
        Ok(())
    }

    /// A topic of a kind we do not know is passed over: there may be another.
    fn take_topic(&mut self, urn: &str) -> Result<(), WireError> {
        let hashes = match Hashes::parse(strip_urn(urn)) {
            Err(error @ WireError::Malformed("urn:sha1")) => return Err(error),
            result => result.ok(),
        };
        if let Some(Hashes { sha1, tiger }) = hashes {
            self.tiger = self.tiger.or(tiger);
            let new =
                sha1.filter(|sha1| self.sha1s.len() < VALUES_MAX && !self.sha1s.contains(sha1));
            self.sha1s.extend(new);
        }
        Ok(())
    }

    fn is_aimless(&self) -> bool {
        let no_source = self.sources.is_empty() && self.alternates.is_empty();
        let no_hash = self.sha1s.is_empty() && self.tiger.is_none();
        no_hash && no_source && self.name.is_none() && self.keywords.is_none()
    }
}

/// All but what may stand in any part of a URL, and the colon of URNs.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

#[cfg(test)]
mod tests {
    use super::*;

    const FOX: &str = "PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";

    #[test]
    fn a_link_of_the_wild_is_read_in_full() {
        let root = tiger_to_base32(&[3; 24]);
        let link = format!(
            "MAGNET:?xt.1=urn:sha1:{FOX}&xt.2=urn:bitprint:{FOX}.{root}&XT=urn:ed2k:00&dn=red+fox%20%1b%C3%A9.txt\
             &xl=12&xs=http%3A%2F%2F10.0.0.1%3A6346%2Furi-res%2FN2R%3Furn:sha1:{FOX}&as=http://a/&as=http://b/\
             &kt=red+fox&x.guid=0&junk"
        );
        let magnet: Magnet = link.parse().unwrap();
        assert_eq!(magnet.sha1s, [Sha1::from_base32(FOX).unwrap()]);
        assert_eq!(magnet.tiger, Some([3; 24]));
        assert_eq!(magnet.name.as_deref(), Some("red fox é.txt"));
        assert_eq!(magnet.size, Some(12));
        assert_eq!(
            magnet.sources,
            [format!("http://10.0.0.1:6346/uri-res/N2R?urn:sha1:{FOX}")]
        );
        assert_eq!(magnet.alternates, ["http://a/", "http://b/"]);
        assert_eq!(magnet.keywords.as_deref(), Some("red fox"));
        assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }

    #[test]
    fn a_link_of_ours_looks_as_others_write_it() {
        let magnet = Magnet {
            sha1s: vec![Sha1::from_base32(FOX).unwrap()],
            name: Some("a&b=c+d é.txt".into()),
            size: Some(7),
            ..Magnet::default()
        };
        let link = format!("magnet:?xt=urn:sha1:{FOX}&dn=a%26b%3Dc%2Bd%20%C3%A9.txt&xl=7");
        assert_eq!(magnet.to_string(), link);
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        let long = format!("magnet:?dn={}", "a".repeat(LINK_BYTES_MAX));
        for link in [
            "",
            "magnet:",
            "magnet:?",
            "magnet:?xl=5",
            "magnet:?xt=urn:ed2k:0",
            "http://x/?dn=a",
            &long,
        ] {
            assert!(link.parse::<Magnet>().is_err(), "{link}");
        }
        let wrong = "magnet:?xt=urn:sha1:SHORT&dn=a".parse::<Magnet>();
        assert_eq!(wrong, Err(WireError::Malformed("urn:sha1")));
    }
}
