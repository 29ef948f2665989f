//! Where a file can be had: host, port and target.

use std::fmt;
use std::net::SocketAddr;

use percent_encoding::percent_decode_str;

use crate::net::http::{self, Target, encoded};
use crate::net::pusher::Walled;
use crate::node::address::Net;
use crate::wire::urn::TigerRoot;
use crate::wire::{ServentId, Sha1};

/// Bytes of a URL that is read at all: longer ones fit no request line.
const URL_BYTES_MAX: usize = 2_000;

/// Push proxies taken of a link. Ours.
const PROXIES_MAX: usize = 4;

/// One place to fetch a file from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    host: String,
    port: u16,
    target: String,
    /// How to have it connect to us, if need be.
    walled: Option<Walled>,
    /// It cannot be connected to, as it says.
    wants_push: bool,
    seal: Seal,
    /// The root of the file's Tiger tree, as it told with a hit.
    root: Option<TigerRoot>,
}

/// How a file is fetched from a source: in clear, or with TLS where the source has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seal {
    /// In clear.
    #[default]
    Never,
    /// TLS is asked for in the first request; a source that does not know that answers in clear.
    Asked,
    /// TLS from the first byte: the source said that it takes that.
    FromTheStart,
}

impl Seal {
    /// For a source that said, or of whom was said, this about its TLS on this net. On a LAN nobody says it, and nobody
    /// is asked.
    pub fn told(tls: bool, net: Option<Net>) -> Self {
        match net {
            _ if tls => Self::FromTheStart,
            Some(net) if net.is_two_tier() => Self::Asked,
            Some(_) | None => Self::Never,
        }
    }
}

/// Why a text is no URL to fetch from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Another scheme, or none.
    #[error("only http://host:port/path can be fetched")]
    NotHttp,
    /// No host, or a port that is none.
    #[error("the URL names no host and port")]
    NoHost,
    /// Longer than 2000 bytes, or control characters in it.
    #[error("the URL is too long or holds control characters")]
    Malformed,
}

impl Source {
    /// By hash: `/uri-res/N2R?urn:sha1:...`.
    pub fn by_urn(addr: SocketAddr, urn: Sha1) -> Self {
        Self::at(addr, format!("/uri-res/N2R?{urn}"))
    }

    /// By the number and name of a hit.
    pub fn by_index(addr: SocketAddr, index: u32, name: &str) -> Self {
        Self::at(addr, format!("/get/{index}/{}", encoded(name)))
    }

    /// The request to a push proxy that it pass a push on; `tls`: whoever it is for may connect with TLS.
    pub(in crate::net) fn push_proxy(addr: SocketAddr, servent: ServentId, tls: bool) -> Self {
        let id = servent.to_base32();
        let tls = if tls { "&tls=true" } else { "" };
        Self::at(addr, format!("/gnutella/push-proxy?ServerId={id}{tls}"))
    }

    /// The same source, which may have to be asked to connect to us: `wants_push` says that it must, else it is
    /// asked when no connection to it comes up.
    pub fn or_push(self, walled: Walled, wants_push: bool) -> Self {
        Self {
            walled: Some(walled),
            wants_push,
            ..self
        }
    }

    /// The same source, fetched from like this.
    pub fn sealed(self, seal: Seal) -> Self {
        Self { seal, ..self }
    }

    /// The same source, which told that root of the file's Tiger tree.
    pub fn with_root(self, root: Option<TigerRoot>) -> Self {
        Self { root, ..self }
    }

    /// The root that it told.
    pub(in crate::net) fn root(&self) -> Option<TigerRoot> {
        self.root
    }

    /// What one node is known by: behind walls many have one address.
    pub fn node(&self) -> String {
        match self.walled.as_ref().filter(|_| self.wants_push) {
            Some(walled) => walled.servent.to_base32(),
            None => self.to_string(),
        }
    }

    /// How it is fetched from.
    pub fn seal(&self) -> Seal {
        self.seal
    }

    fn at(addr: SocketAddr, target: String) -> Self {
        let host = match addr {
            SocketAddr::V4(addr) => addr.ip().to_string(),
            SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
        };
        Self {
            host,
            port: addr.port(),
            target,
            walled: None,
            wants_push: false,
            seal: Seal::Never,
            root: None,
        }
    }

    /// From `http://host[:port]/path`; port 80 when none is said.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn from_url(url: &str) -> Result<Self, BadUrl> {
        if url.len() > URL_BYTES_MAX || url.chars().any(char::is_control) {
            return Err(BadUrl::Malformed);
        }
        let (scheme, rest) = url.split_once("://").ok_or(BadUrl::NotHttp)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(BadUrl::NotHttp);
        }
        let rest = rest.split('#').next().unwrap_or(rest);
        let (place, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match place.rfind(':') {
            Some(at) if !place.ends_with(']') => (&place[..at], place[at + 1..].parse().ok()),
            _ => (place, Some(80)),
        };
        let port = port.filter(|port| *port > 0).ok_or(BadUrl::NoHost)?;
        let strange =
            |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'));
        if host.is_empty()
            || host.contains(strange)
            || (host.contains(':') && !host.starts_with('['))
        {
            return Err(BadUrl::NoHost);
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{}", target.replace(' ', "%20"));
        Ok(Self {
            host: host.to_owned(),
            port,
            target,
            walled: None,
            wants_push: false,
            seal: Seal::Never,
            root: None,
        })
    }

    /// From a source of a magnet link: a URL as [`from_url`](Self::from_url) takes it, or
    /// `push://SERVENT[:IP:PORT]*/uri-res/N2R?urn:sha1:...`, a node that cannot be connected to, with its push proxies.
    ///
    /// # Errors
    /// [`BadUrl`]; `NoHost` also for a push source that names no push proxy.
    pub fn from_link(link: &str) -> Result<Self, BadUrl> {
        let Some((scheme, rest)) = link.split_once("://") else {
            return Err(BadUrl::NotHttp);
        };
        if !scheme.eq_ignore_ascii_case("push") {
            return Self::from_url(link);
        }
        let (place, path) = rest.split_once('/').ok_or(BadUrl::NoHost)?;
        let (servent, proxies) = place.split_once(':').ok_or(BadUrl::NoHost)?;
        let servent = ServentId::from_hex(servent).ok_or(BadUrl::NoHost)?;
        let parts: Vec<&str> = proxies.split(':').collect();
        let proxies = parts
            .chunks_exact(2)
            .filter_map(|pair| pair.join(":").parse().ok());
        let proxies: Vec<SocketAddr> = proxies.take(PROXIES_MAX).collect();
        let first = proxies.first().ok_or(BadUrl::NoHost)?;
        let source = Self::from_url(&format!("http://{first}/{path}"))?;
        let walled = Walled {
            servent,
            index: 0,
            proxies,
            net: None,
        };
        Ok(source.or_push(walled, true))
    }

    /// The same host with another target, when `location` stays there.
    pub(in crate::net) fn moved(&self, location: &str) -> Option<Self> {
        let moved = self.moved_to(location)?;
        Some(Self {
            target: moved.target,
            ..self.clone()
        })
    }

    fn moved_to(&self, location: &str) -> Option<Self> {
        if location.starts_with('/') && !location.starts_with("//") {
            let local = format!("http://{}:{}{location}", self.host, self.port);
            return Self::from_url(&local).ok();
        }
        let moved = Self::from_url(location).ok()?;
        let same = moved.host.eq_ignore_ascii_case(&self.host) && moved.port == self.port;
        same.then_some(moved)
    }

    /// As a URL.
    pub fn url(&self) -> String {
        format!("http://{self}{}", self.target)
    }

    /// The hash it asks for, if its target is one.
    pub fn urn(&self) -> Option<Sha1> {
        match http::target(&self.target) {
            Target::Urn(urn) => Some(urn),
            Target::Tiger(_)
            | Target::Tree(_)
            | Target::Index(..)
            | Target::Browse { .. }
            | Target::PushProxy(_)
            | Target::Unknown
            | Target::Malformed => None,
        }
    }

    /// The last part of its path, decoded: a name to wish for. Data of a stranger.
    pub fn name(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        let last = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        percent_decode_str(last).decode_utf8_lossy().into_owned()
    }

    /// It cannot be connected to, as it says.
    pub fn wants_push(&self) -> bool {
        self.wants_push
    }

    /// How to have it connect to us.
    pub(in crate::net) fn walled(&self) -> Option<&Walled> {
        self.walled.as_ref()
    }

    /// Its address, unless it is known by a name.
    pub(in crate::net) fn addr(&self) -> Option<SocketAddr> {
        let (host, port) = self.place();
        Some(SocketAddr::new(host.parse().ok()?, port))
    }

    /// Who passes pushes on to it from now on, as it says itself.
    pub(in crate::net) fn set_push_proxies(&mut self, proxies: Vec<SocketAddr>) {
        if let Some(walled) = &mut self.walled {
            walled.proxies = proxies;
        }
    }

    /// Is its address one that anybody on the live network may be sent to?
    pub(in crate::net) fn is_public(&self) -> bool {
        let (host, port) = self.place();
        let ip = host.parse();
        ip.is_ok_and(|ip| Net::Gnutella.believes(SocketAddr::new(ip, port)))
    }

    /// What counts as one voice when sources agree: who has one public address of a group can have many.
    pub(in crate::net) fn group(&self) -> String {
        let (host, port) = self.place();
        match host.parse().map(|ip| SocketAddr::new(ip, port)) {
            Ok(addr) if Net::Gnutella.believes(addr) => Net::Gnutella.group(addr).to_string(),
            _ => self.to_string(),
        }
    }

    /// Is it the same offer of the same node?
    pub fn is_same(&self, other: &Self) -> bool {
        let servent = |source: &Self| source.walled.as_ref().map(|walled| walled.servent);
        let place = (self.host == other.host) && (self.port == other.port);
        // Behind walls many nodes have one address.
        let walls = !(self.wants_push && other.wants_push) || servent(self) == servent(other);
        place && walls && self.target == other.target
    }

    pub(in crate::net) fn target(&self) -> &str {
        &self.target
    }

    /// Host without brackets, and port, for the resolver.
    pub(in crate::net) fn place(&self) -> (&str, u16) {
        (self.host.trim_matches(['[', ']']), self.port)
    }
}

/// `host:port`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_proxy_is_told_that_tls_may_come_only_where_it_may() {
        let (addr, servent) = ("192.0.2.1:6346".parse().unwrap(), ServentId([0xff; 16]));
        let id = servent.to_base32();
        for (tls, more) in [(true, "&tls=true"), (false, "")] {
            assert_eq!(
                Source::push_proxy(addr, servent, tls).target(),
                format!("/gnutella/push-proxy?ServerId={id}{more}")
            );
        }
    }

    #[test]
    fn urls_become_sources_or_a_clear_no() {
        let urn = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
        let source = Source::from_url(&format!("http://10.0.0.1:6346/uri-res/N2R?{urn}")).unwrap();
        assert_eq!(
            (source.urn(), source.to_string()),
            (urn.parse().ok(), "10.0.0.1:6346".into())
        );
        assert_eq!(
            source,
            Source::by_urn("10.0.0.1:6346".parse().unwrap(), urn.parse().unwrap())
        );
        let source = Source::from_url("HTTP://[::1]/a%20b/c d.txt#x").unwrap();
        assert_eq!(
            (source.place(), source.target()),
            (("::1", 80), "/a%20b/c%20d.txt")
        );
        assert_eq!((source.urn(), source.name()), (None, "c d.txt".to_owned()));
        assert_eq!(Source::from_url("http://host?x").unwrap().target(), "/?x");
        for (url, error) in [
            ("https://host/x", BadUrl::NotHttp),
            ("host/x", BadUrl::NotHttp),
            ("http:///x", BadUrl::NoHost),
            ("http://user@host/x", BadUrl::NoHost),
            ("http://host:0/x", BadUrl::NoHost),
            ("http://host:99999/x", BadUrl::NoHost),
            ("http://::1/x", BadUrl::NoHost),
            ("http://host/x\r\nEvil: y", BadUrl::Malformed),
        ] {
            assert_eq!(Source::from_url(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_push_link_names_a_servent_and_its_proxies() {
        let urn = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
        let hex = "0f0e0d0c0b0a09080706050403020100";
        let link = format!("push://{hex}:10.0.0.1:6346:host:7:10.0.0.2:8/uri-res/N2R?{urn}");
        let source = Source::from_link(&link).unwrap();
        let walled = source.walled().unwrap();
        assert_eq!(walled.servent.to_string(), hex);
        let proxies = ["10.0.0.1:6346", "10.0.0.2:8"].map(|addr| addr.parse().unwrap());
        assert_eq!(walled.proxies, proxies);
        assert!(source.wants_push() && source.urn() == urn.parse().ok());
        for bad in [
            format!("push://{hex}/uri-res/N2R?{urn}"),
            format!("push://{hex}:host:7/uri-res/N2R?{urn}"),
            format!("push://xyz:10.0.0.1:6346/uri-res/N2R?{urn}"),
            format!("push://{hex}:10.0.0.1:6346"),
        ] {
            assert_eq!(Source::from_link(&bad), Err(BadUrl::NoHost), "{bad}");
        }
        assert_eq!(Source::from_link("ftp://a/b"), Err(BadUrl::NotHttp));
        let http = "http://10.0.0.1:5/x";
        assert_eq!(Source::from_link(http), Source::from_url(http));
    }

    #[test]
    fn a_push_proxy_hears_of_tls_only_where_it_is_taken() {
        let proxy = "10.0.0.1:6346".parse().unwrap();
        let url = |tls| Source::push_proxy(proxy, ServentId([7; 16]), tls).url();
        assert_eq!(url(true), url(false) + "&tls=true");
    }

    #[test]
    fn a_move_stays_on_its_host() {
        let source = Source::from_url("http://host:81/old").unwrap();
        assert_eq!(source.moved("/new").unwrap().url(), "http://host:81/new");
        assert_eq!(source.moved("http://HOST:81/new").unwrap().target(), "/new");
        for elsewhere in [
            "http://other:81/new",
            "http://host/new",
            "//other/new",
            "ftp://host:81/x",
            "",
        ] {
            assert_eq!(source.moved(elsewhere), None, "{elsewhere}");
        }
    }
}
