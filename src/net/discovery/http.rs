//! One question over HTTP/1.0 to a machine that need not mean well, within bounds. For web caches and routers; files
//! are fetched elsewhere.
//!
//! Plain http only, and with HTTP/1.0 no server may answer in chunks. Who is asked, and what comes of it, others decide.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use crate::net::http::AGENT;
use crate::net::rt::{self, ReadExt, TcpStream, WriteExt};
use crate::wire::heads::{Head, HeadReader, HeadWriter};

/// Bytes of a URL (start lines have a bound too).
const URL_BYTES_MAX: usize = 1_024;
/// Redirections that are followed (bootstrap.md section 3).
const REDIRECTS_MAX: usize = 3;

/// Bounds of one question, redirections and all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// From the first connection to the last byte.
    pub(crate) time: Duration,
    /// Bytes of a body.
    pub(crate) bytes: usize,
}

/// Those of web caches (bootstrap.md section 3).
pub(crate) const WEB_CACHE: Bounds = Bounds {
    time: Duration::from_secs(30),
    bytes: 64 * 1024,
};

/// Why there is no answer, for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no whole answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("it sends more than {0} bytes")]
    TooLong(usize),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("it redirects more than {REDIRECTS_MAX} times")]
    Circles,
    #[error("it redirects to {0:?}, which is no http:// address")]
    Elsewhere(String),
    #[error("{0} is an address where it may not be")]
    Forbidden(SocketAddr),
    #[error("it does not speak HTTP")]
    NoHttp,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// An `http://` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    target: String,
}

impl Url {
    /// `HOST:PORT`, as the header `Host` has it.
    pub(crate) fn authority(&self) -> String {
        if self.port == 80 {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Another target on the same host.
    pub(crate) fn with_target(&self, target: &str) -> Option<Self> {
        format!("http://{}:{}{target}", self.host, self.port)
            .parse()
            .ok()
    }

    /// What a reference on this page leads to.
    pub(crate) fn join(&self, reference: &str) -> Option<Self> {
        if reference.contains("://") {
            return reference.parse().ok();
        }
        if reference.starts_with('/') {
            return self.with_target(reference);
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
        self.with_target(&format!("{folder}{reference}"))
    }

    /// The address, if it is no name.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.trim_matches(['[', ']']).parse().ok()
    }

    /// Looks the name up.
    pub(crate) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let host = self.host.trim_matches(['[', ']']).to_owned();
        let port = self.port;
        rt::spawn_blocking(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "`{text}` is no http:// address; give one such as http://cache.example.org/gwc.php"
            )
        };
        let scheme = text.get(..7).ok_or_else(bad)?;
        if text.len() > URL_BYTES_MAX || !scheme.eq_ignore_ascii_case("http://") {
            return Err(bad());
        }
        let rest = text[7..].split('#').next().unwrap_or_default();
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad());
        }
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let bracket = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority[bracket..].rfind(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(bracket + colon);
                (host, port[1..].parse().map_err(|_| bad())?)
            }
            None => (authority, 80),
        };
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let plain = |host: &str| {
            let good =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            !host.is_empty() && host.bytes().all(good)
        };
        let good = match inner {
            Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
            None => plain(host),
        };
        if !good || port == 0 {
            return Err(bad());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            host: host.to_owned(),
            port,
            target: format!("{slash}{target}"),
        })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.target)
    }
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status.
    pub(crate) code: u16,
    /// Header lines.
    pub(crate) head: Head,
    /// At most as many bytes as were allowed.
    pub(crate) body: Vec<u8>,
    /// Who said it.
    pub(crate) by: SocketAddr,
}

/// Fetches a page, redirections followed. `may` says which addresses one of them may lead to; where `url` itself leads
/// is the asker's business.
///
/// # Errors
/// [`HttpError`]; also any status but 2xx.
pub(crate) async fn get(
    url: &Url,
    bounds: Bounds,
    may: impl Fn(SocketAddr) -> bool,
) -> Result<Answer, HttpError> {
    let follow = async {
        let mut at = url.clone();
        for redirects in 0..=REDIRECTS_MAX {
            let moved = redirects > 0;
            let may = |addr| !moved || may(addr);
            let answer = exchange(&at, Question::get(), bounds.bytes, may).await?;
            match answer.code {
                200..=299 => return Ok(answer),
                300..=399 => {
                    let to = answer.head.get("Location").unwrap_or_default();
                    let next = if to.starts_with('/') && !to.starts_with("//") {
                        at.with_target(to)
                    } else {
                        to.parse().ok()
                    };
                    at = next.ok_or_else(|| HttpError::Elsewhere(to.to_owned()))?;
                }
                code => return Err(HttpError::Status(code)),
            }
        }
        Err(HttpError::Circles)
    };
    let whole = rt::timeout(bounds.time, follow).await;
    whole.unwrap_or(Err(HttpError::Slow(bounds.time)))
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// Such as `GET`.
    pub(crate) method: &'a str,
    /// Lines besides the usual ones.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// Empty for none.
    pub(crate) body: &'a str,
}

impl Question<'_> {
    /// A page.
    pub(crate) fn get() -> Self {
        Self {
            method: "GET",
            headers: &[],
            body: "",
        }
    }
}

/// One question, one answer, no deadline: the caller has one.
pub(crate) async fn exchange(
    url: &Url,
    question: Question<'_>,
    bytes_max: usize,
    may: impl Fn(SocketAddr) -> bool,
) -> Result<Answer, HttpError> {
    let addresses = url.addresses().await?;
    let nowhere = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let first = *addresses.first().ok_or_else(nowhere)?;
    let by = addresses
        .into_iter()
        .find(|addr| may(*addr))
        .ok_or(HttpError::Forbidden(first))?;
    let mut stream = TcpStream::connect(by).await?;
    let length = (!question.body.is_empty()).then_some(question.body.len());
    let mut writer = HeadWriter::new(format!("{} {} HTTP/1.0", question.method, url.target))
        .header("Host", url.authority())
        .header("User-Agent", AGENT)
        .header("Connection", "close");
    for (name, value) in question.headers {
        writer = writer.header(name, value);
    }
    let mut request = writer.header_if("Content-Length", length).finish();
    request.extend_from_slice(question.body.as_bytes());
    stream.write_all(&request).await?;
    read(&mut stream, by, bytes_max).await
}

async fn read(stream: &mut TcpStream, by: SocketAddr, max: usize) -> Result<Answer, HttpError> {
    let mut buffer = [0; 4_096];
    let mut reader = HeadReader::new();
    let (head, mut body) = loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Err(HttpError::NoHttp);
        }
        if let Some(both) = reader.push(&buffer[..len]).map_err(|_| HttpError::NoHttp)? {
            break both;
        }
    };
    let status = head.status_line().ok_or(HttpError::NoHttp)?;
    if !status.version.starts_with("HTTP/1.") || head.get("Transfer-Encoding").is_some() {
        return Err(HttpError::NoHttp);
    }
    let code = status.code;
    let length = head.get("Content-Length").and_then(|len| len.parse().ok());
    if length.is_some_and(|length: usize| length > max) {
        return Err(HttpError::TooLong(max));
    }
    loop {
        if let Some(length) = length
            && body.len() >= length
        {
            body.truncate(length);
            break;
        }
        if body.len() > max {
            return Err(HttpError::TooLong(max));
        }
        match stream.read(&mut buffer).await? {
            0 if length.is_some() => {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            0 => break,
            len => body.extend_from_slice(&buffer[..len]),
        }
    }
    Ok(Answer {
        code,
        head,
        body,
        by,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::*;

    const SHORT: Bounds = Bounds {
        time: Duration::from_secs(20),
        bytes: 1_000,
    };

    /// A server that gives each connection to `serve`, after its request; and the requests.
    fn server(
        serve: impl Fn(&mut std::net::TcpStream, u16) + Send + 'static,
    ) -> (Url, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (request, requests) = channel();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut text = Vec::new();
                let mut byte = [0];
                while !text.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    text.push(byte[0]);
                }
                let _ = request.send(String::from_utf8_lossy(&text).into_owned());
                serve(&mut stream, port);
            }
        });
        let url = format!("http://127.0.0.1:{port}/gwc?x=1");
        (url.parse().unwrap(), requests)
    }

    fn fetch(url: &Url, bounds: Bounds) -> Result<Answer, HttpError> {
        rt::block_on(get(url, bounds, |_| true))
    }

    fn says(text: &'static str) -> impl Fn(&mut std::net::TcpStream, u16) + Send {
        move |stream, _| {
            let _ = stream.write_all(text.as_bytes());
        }
    }

    #[test]
    fn a_page_comes_whole_by_its_length_or_its_end() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
            "HTTP/1.0 200 OK\r\n\r\nhello",
            "HTTP/1.0 200\n\nhello",
        ] {
            let (url, requests) = server(says(text));
            assert_eq!(fetch(&url, SHORT).unwrap().body, b"hello", "{text}");
            let request = requests.recv().unwrap();
            assert!(
                request.starts_with("GET /gwc?x=1 HTTP/1.0\r\n"),
                "{request}"
            );
            assert!(
                request.contains(&format!("Host: {}\r\n", url.authority())),
                "{request}"
            );
        }
    }

    #[test]
    fn a_gigabyte_costs_no_more_than_the_bound() {
        let (sent, counts) = channel();
        let (url, _requests) = server(move |stream, _| {
            let piece = vec![b'x'; 1 << 20];
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            let written = (0..1024).take_while(|_| stream.write_all(&piece).is_ok());
            let _ = sent.send(written.count());
        });
        assert!(matches!(fetch(&url, SHORT), Err(HttpError::TooLong(1_000))));
        // What the system's buffers took.
        assert!(counts.recv().unwrap() < 64);
        let (url, _requests) = server(says(
            "HTTP/1.0 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        ));
        assert!(matches!(fetch(&url, SHORT), Err(HttpError::TooLong(_))));
        let (url, _requests) = server(|stream, _| {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n");
            while stream.write_all(b"X-More: and more\r\n").is_ok() {}
        });
        assert!(
            matches!(fetch(&url, SHORT), Err(HttpError::NoHttp)),
            "an endless head"
        );
    }

    #[test]
    fn a_trickle_and_a_silence_end_in_time() {
        let bounds = Bounds {
            time: Duration::from_millis(200),
            ..SHORT
        };
        let (url, _requests) = server(|stream, _| {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        assert!(matches!(fetch(&url, bounds), Err(HttpError::Slow(_))));
        let (url, _requests) = server(|stream, _| {
            let _ = stream.read(&mut [0]);
        });
        assert!(matches!(fetch(&url, bounds), Err(HttpError::Slow(_))));
    }

    #[test]
    fn redirections_are_followed_a_few_times_and_only_where_they_may_lead() {
        let (url, requests) = server(|stream, port| {
            let _ = write!(
                stream,
                "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:{port}/\r\n\r\n"
            );
        });
        assert!(matches!(fetch(&url, SHORT), Err(HttpError::Circles)));
        assert_eq!(requests.try_iter().count(), REDIRECTS_MAX + 1);
        let refused = rt::block_on(get(&url, SHORT, |_| false));
        assert!(matches!(refused, Err(HttpError::Forbidden(_))));
        assert_eq!(requests.try_iter().count(), 1);

        let count = std::sync::atomic::AtomicUsize::new(0);
        let (url, _requests) = server(move |stream, _| {
            let first = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            let text = if first {
                "HTTP/1.0 301 Moved\r\nLocation: /there\r\n\r\n"
            } else {
                "HTTP/1.0 200 OK\r\n\r\nhere"
            };
            let _ = stream.write_all(text.as_bytes());
        });
        assert_eq!(fetch(&url, SHORT).unwrap().body, b"here");

        for to in [
            "https://a/",
            "ftp://a/",
            "//a/",
            "",
            "http://a b/",
            "file:///etc/passwd",
        ] {
            let text: &'static str = format!("HTTP/1.0 302 Found\r\nLocation: {to}\r\n\r\n").leak();
            let (url, _requests) = server(says(text));
            assert!(
                matches!(fetch(&url, SHORT), Err(HttpError::Elsewhere(_))),
                "{to}"
            );
        }
    }

    #[test]
    fn garbage_and_errors_are_no_answers() {
        for text in [
            "",
            "\0\u{1}\u{2}garbage",
            "GNUTELLA/0.6 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let (url, _requests) = server(says(text));
            assert!(fetch(&url, SHORT).is_err(), "{text}");
        }
        let (url, _requests) = server(says("HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nshort"));
        assert!(matches!(fetch(&url, SHORT), Err(HttpError::Io(_))));
        let (url, _requests) = server(says("HTTP/1.0 503 Busy\r\n\r\n"));
        assert!(matches!(fetch(&url, SHORT), Err(HttpError::Status(503))));
    }

    #[test]
    fn addresses_of_other_kinds_are_no_urls() {
        for (text, shown) in [
            ("http://a.example", "http://a.example/"),
            ("HTTP://a:8080?x#y", "http://a:8080/?x"),
            ("http://[::1]:8/p", "http://[::1]:8/p"),
            ("http://[::1]/", "http://[::1]/"),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "http://",
            "https://a/",
            "a.example",
            "http://a:0/",
            "http://a:x/",
            "http://u@a/",
            "http://a b/",
            "http://[::1/",
            "http://é/",
            "http://a/\r\nX: y",
        ] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
