//! Web caches (GWebCache versions 1 and 2, and plain lists of addresses): which is asked when, and what an answer says.
//!
//! A bad cache can only waste time: it is asked once an hour at most, whatever this program was started meanwhile, and
//! its addresses are hearsay like any other. Caches that caches tell of are not asked: who writes a list of victims
//! should find nobody who visits them. Source: bootstrap.md section 3.

use std::net::SocketAddr;

/// Seconds from one question to the next, for each cache.
pub const GAP_S: u64 = 3_600;
/// Failures in a row after which a cache is not asked any more.
pub const FAILURES_MAX: u8 = 3;
/// Lines of an answer that are read (gtk-gnutella: 500).
const LINES_MAX: usize = 500;
/// Bytes of a line that may mean something (gtk-gnutella: 256).
const LINE_BYTES_MAX: usize = 256;

/// One cache and what came of it so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebCache {
    /// Its `http://` address.
    pub url: String,
    /// When it was asked last, in seconds since 1970.
    pub asked_s: Option<u64>,
    /// How often in a row it was of no use.
    pub failures: u8,
}

impl WebCache {
    /// One that was never asked.
    pub fn new(url: String) -> Self {
        Self {
            url,
            ..Self::default()
        }
    }

    /// It failed too often.
    pub fn is_dropped(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    fn may_be_asked(&self, now_s: u64) -> bool {
        // A clock that was set back must not keep a cache waiting for years.
        let rested = |asked_s: u64| now_s.abs_diff(asked_s) >= GAP_S;
        !self.is_dropped() && self.asked_s.is_none_or(rested)
    }
}

/// All web caches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebCaches(Vec<WebCache>);

impl WebCaches {
    /// Those of the user, with what earlier runs remember of them.
    pub fn new(urls: Vec<String>, remembered: &[WebCache]) -> Self {
        let remember = |url: String| {
            let known = remembered.iter().find(|known| known.url == url);
            known.cloned().unwrap_or_else(|| WebCache::new(url))
        };
        Self(urls.into_iter().map(remember).collect())
    }

    /// The one to ask now, another one each time. Saying so counts as having asked.
    pub fn next(&mut self, now_s: u64) -> Option<String> {
        let rested = self.0.iter_mut().filter(|cache| cache.may_be_asked(now_s));
        let next = rested.min_by_key(|cache| cache.asked_s)?;
        next.asked_s = Some(now_s);
        Some(next.url.clone())
    }

    /// Whether the one asked was of use. `true`: it is dropped now.
    pub fn done(&mut self, url: &str, useful: bool) -> bool {
        let Some(cache) = self.0.iter_mut().find(|cache| cache.url == url) else {
            return false;
        };
        cache.failures = if useful {
            0
        } else {
            cache.failures.saturating_add(1)
        };
        cache.is_dropped()
    }

    /// All, for remembering.
    pub fn all(&self) -> &[WebCache] {
        &self.0
    }

    /// How many are still asked.
    pub fn len(&self) -> usize {
        self.0.iter().filter(|cache| !cache.is_dropped()).count()
    }

    /// None is?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What to ask for, behind the address of the cache: version 1 reads `hostfile`, version 2 `get`, a plain list neither.
pub fn question(url: &str, client: [u8; 4], version: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    let client = client.escape_ascii();
    format!("{url}{joint}get=1&hostfile=1&net=gnutella&client={client}&version={version}")
}

/// The addresses of an answer: lines `H|IP:PORT|...` and plain `IP:PORT`; whatever else stands there is passed over.
/// Lines end in CR, LF or both.
pub fn hosts(answer: &[u8]) -> Vec<SocketAddr> {
    answer
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .filter(|line| !line.is_empty())
        .take(LINES_MAX)
        .filter_map(host)
        .collect()
}

fn host(line: &[u8]) -> Option<SocketAddr> {
    if line.len() > LINE_BYTES_MAX {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?.trim();
    let mut fields = line.split('|').map(str::trim);
    match fields.next()? {
        "H" | "h" => fields.next()?.parse().ok(),
        plain => plain.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caches(urls: &[&str]) -> WebCaches {
        WebCaches::new(urls.iter().map(ToString::to_string).collect(), &[])
    }

    #[test]
    fn one_parser_reads_both_versions_and_plain_lists() {
        let told = |text: &str| {
            let hosts = hosts(text.as_bytes());
            hosts.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            told("1.2.3.4:6346\r\n5.6.7.8:1\r\n"),
            ["1.2.3.4:6346", "5.6.7.8:1"]
        );
        let second = "I|pong|Skulls 0.3|gnutella\nH|1.2.3.4:6346|77|3\nU|http://9.9.9.9/gwc|5\nI|WARNING|x\n\
                      H|[2a00::1]:9|1\nH|name.example:1|1\nH|\nH\n?|?";
        assert_eq!(told(second), ["1.2.3.4:6346", "[2a00::1]:9"]);
        assert_eq!(told("1.2.3.4:1\r5.6.7.8:2"), ["1.2.3.4:1", "5.6.7.8:2"]);
        for junk in [
            "ERROR: no",
            "<html><body>1.2.3.4:5</body>",
            "1.2.3.4",
            "1.2.3.4:99999",
            "\0\0",
        ] {
            assert!(told(junk).is_empty(), "{junk:?}");
        }
        assert_eq!(told(&"1.2.3.4:6346\n".repeat(10_000)).len(), LINES_MAX);
        assert!(told(&format!("1.2.3.4:6346|{}", "x".repeat(300))).is_empty());
    }

    #[test]
    fn another_one_is_asked_each_time_and_each_once_an_hour_whatever_happens_to_us() {
        let mut first = caches(&["http://a/", "http://b/"]);
        assert_eq!(first.next(10_000).as_deref(), Some("http://a/"));
        assert_eq!(first.next(10_001).as_deref(), Some("http://b/"));
        assert_eq!(first.next(10_002), None);
        // A restart, with one more cache.
        let urls = ["http://a/", "http://b/", "http://c/"].map(str::to_owned);
        let mut second = WebCaches::new(urls.into(), first.all());
        assert_eq!(second.next(10_003).as_deref(), Some("http://c/"));
        assert_eq!(second.next(10_000 + GAP_S - 1), None);
        assert_eq!(second.next(10_000 + GAP_S).as_deref(), Some("http://a/"));
        // The clock was an hour and more ahead when it was asked.
        assert_eq!(second.next(500).as_deref(), Some("http://b/"));
    }

    #[test]
    fn a_cache_that_fails_again_and_again_is_dropped() {
        let mut caches = caches(&["http://a/"]);
        for round in 1..=u64::from(FAILURES_MAX) {
            assert!(caches.next(round * GAP_S * 2).is_some());
            let dropped = caches.done("http://a/", false);
            assert_eq!(dropped, round == u64::from(FAILURES_MAX));
        }
        assert_eq!(caches.next(u64::MAX), None);
        assert!(caches.is_empty());
        let mut again = WebCaches::new(vec!["http://a/".to_owned()], caches.all());
        assert_eq!(again.next(u64::MAX), None, "remembered");
        let mut shaky = super::tests::caches(&["http://b/"]);
        for _ in 0..10 {
            assert!(!shaky.done("http://b/", false));
            assert!(!shaky.done("http://b/", true));
        }
    }

    #[test]
    fn a_question_is_for_both_versions() {
        assert_eq!(
            question("http://a/gwc.php", *b"FLBT", "1"),
            "http://a/gwc.php?get=1&hostfile=1&net=gnutella&client=FLBT&version=1"
        );
        assert!(question("http://a/?x=1", *b"FLBT", "1").starts_with("http://a/?x=1&get=1"));
    }
}
