//! Start line and header lines, as greetings and HTTP both have them: read in pieces, written whole.
//!
//! Knows no header by name and no status by number. Liberal in reading: bare LF, any case, continued and
//! repeated lines, empty lines in front. What it yields has no control characters, and what it writes
//! cannot be split by a value. Source: Gnutella 0.6 draft, "Handshake"; limits as gtk-gnutella has them.

use std::fmt::{Display, Write};

/// Header lines of one head.
pub const HEAD_LINES_MAX: usize = 128;
/// Bytes of one head with its start line and empty line.
pub const HEAD_BYTES_MAX: usize = 16_384;
/// Bytes of a start line. The longest honest one asks for a name of 255 bytes, percent-encoded. Our choice.
pub const START_LINE_BYTES_MAX: usize = 2_048;

/// Why bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// More lines or bytes than a head may have (status 413 or 431).
    #[error("the header exceeds {HEAD_LINES_MAX} lines or {HEAD_BYTES_MAX} bytes")]
    TooLarge,
    /// A line that cannot stand where it does (status 400).
    #[error("the {0} is malformed")]
    Malformed(&'static str),
}

/// A start line and its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The start line, without its line end and without control characters.
    pub first_line: String,
    /// Names as sent, each once (in any case), with the values of repeated lines joined by `, `.
    headers: Vec<(String, String)>,
}

/// Parts of `GET /path HTTP/1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// As sent, percent-encoded.
    pub target: &'a str,
    /// Such as `HTTP/1.1`.
    pub version: &'a str,
}

/// Parts of `GNUTELLA/0.6 200 OK` or `HTTP/1.1 206 Partial Content`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine<'a> {
    /// Such as `GNUTELLA/0.6`.
    pub version: &'a str,
    /// 100 to 999.
    pub code: u16,
    /// Reason; may be empty.
    pub text: &'a str,
}

impl Head {
    /// Parses a whole head, with or without its empty line.
    ///
    /// # Errors
    /// [`HeadError`] for too many lines, an empty start line, or a continued line without a first.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut lines = bytes
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .skip_while(|line| line.is_empty());
        let first_line = text(lines.next().ok_or(HeadError::Malformed("start line"))?);
        if first_line.is_empty() {
            return Err(HeadError::Malformed("start line"));
        }
        let mut head = Self {
            first_line,
            headers: Vec::new(),
        };
        let mut at = None;
        for (number, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
            if number == HEAD_LINES_MAX {
                return Err(HeadError::TooLarge);
            }
            at = head.take_line(line, at)?;
        }
        Ok(head)
    }

    /// The value of a header, by its name in any case. Repeated lines are joined by `, `.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.position(name).map(|at| self.headers[at].1.as_str())
    }

    /// The parts of a header between commas, trimmed, empty ones left out.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.get(name)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
    }

    /// Does the list of this header hold `token`, in any case?
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|part| part.eq_ignore_ascii_case(token))
    }

    /// All headers, names as sent, in order of their first line.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The start line as that of a request. Spaces inside the target are tolerated.
    pub fn request_line(&self) -> Option<RequestLine<'_>> {
        let (method, rest) = self.first_line.split_once(' ')?;
        let (target, version) = rest.trim().rsplit_once(' ')?;
        let target = target.trim();
        (!method.is_empty() && !target.is_empty()).then_some(RequestLine {
            method,
            target,
            version,
        })
    }

    /// The start line as that of an answer.
    pub fn status_line(&self) -> Option<StatusLine<'_>> {
        let (version, rest) = self.first_line.split_once(' ')?;
        let (code, text) = rest.trim_start().split_at_checked(3)?;
        let digits = version.contains('/') && code.bytes().all(|byte| byte.is_ascii_digit());
        let code = code.parse().ok().filter(|&code| digits && code >= 100)?;
        (text.is_empty() || text.starts_with(' ')).then(|| StatusLine {
            version,
            code,
            text: text.trim(),
        })
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.headers
            .iter()
            .position(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// Takes in one line; returns where its header stands, for lines that continue it.
    fn take_line(
        &mut self,
        line: &[u8],
        previous: Option<usize>,
    ) -> Result<Option<usize>, HeadError> {
        if matches!(line[0], b' ' | b'\t') {
            let at = previous.ok_or(HeadError::Malformed("header line"))?;
            let value = &mut self.headers[at].1;
            value.push(' ');
            value.push_str(text(line).trim());
            return Ok(previous);
        }
        let line = text(line);
        // A line that says nothing harms nobody.
        let Some((name, value)) = line.split_once(':') else {
            return Ok(previous);
        };
        let (name, value) = (name.trim(), value.trim());
        if let Some(at) = self.position(name) {
            let known = &mut self.headers[at].1;
            if !known.is_empty() && !value.is_empty() {
                known.push_str(", ");
            }
            known.push_str(value);
            return Ok(Some(at));
        }
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(Some(self.headers.len() - 1))
    }
}

/// Collects a head from the pieces of a stream. Holds at most [`HEAD_BYTES_MAX`] bytes. After a head it is
/// ready for the next one.
#[derive(Debug, Default)]
pub struct HeadReader {
    held: Vec<u8>,
    line_start: usize,
    /// Lines so far, empty ones in front left out.
    lines: usize,
}

impl HeadReader {
    /// An empty reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes read from the stream. With the end of a head comes what follows it.
    /// `Ok(None)`: not all yet.
    ///
    /// # Errors
    /// [`HeadError`]: the stream is of no use any more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(Head, Vec<u8>)>, HeadError> {
        let room = HEAD_BYTES_MAX - self.held.len();
        let (taken, left) = bytes.split_at(bytes.len().min(room));
        let new = self.held.len();
        self.held.extend_from_slice(taken);
        if let Some(end) = self.find_end(new)? {
            let all = std::mem::take(self).held;
            let rest = [&all[end..], left].concat();
            return Ok(Some((Head::parse(&all[..end])?, rest)));
        }
        if !left.is_empty() || self.held.len() == HEAD_BYTES_MAX {
            return Err(HeadError::TooLarge);
        }
        Ok(None)
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Where the head ends, looking at bytes from `from` on.
    fn find_end(&mut self, from: usize) -> Result<Option<usize>, HeadError> {
        for at in from..self.held.len() {
            if self.held[at] != b'\n' {
                continue;
            }
            let empty = matches!(&self.held[self.line_start..at], [] | [b'\r']);
            self.line_start = at + 1;
            if empty && self.lines > 0 {
                return Ok(Some(at + 1));
            }
            self.lines += usize::from(!empty);
            if self.lines > 1 + HEAD_LINES_MAX {
                return Err(HeadError::TooLarge);
            }
        }
        if self.lines == 0 && self.held.len() > START_LINE_BYTES_MAX {
            return Err(HeadError::TooLarge);
        }
        Ok(None)
    }
}

/// Writes a head line by line. Control characters in names and values are left out, so that no value can
/// end its line.
#[derive(Debug)]
pub struct HeadWriter(String);

impl HeadWriter {
    /// Starts with this line.
    pub fn new(first_line: impl Display) -> Self {
        let mut writer = Self(String::with_capacity(512));
        writer.line(format_args!("{first_line}"));
        writer
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        self.line(format_args!("{name}: {value}"));
        self
    }

    /// Adds a header when there is a value.
    #[must_use]
    pub fn header_if(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Ends the head.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push_str("\r\n");
        self.0.into_bytes()
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let start = self.0.len();
        self.0.write_fmt(line).expect("writing to memory");
        if self.0[start..].contains(char::is_control) {
            let clean: String = self.0.drain(start..).filter(|c| !c.is_control()).collect();
            self.0.push_str(&clean);
        }
        self.0.push_str("\r\n");
    }
}

/// A line as text: UTF-8, else Latin-1, without control characters.
fn text(line: &[u8]) -> String {
    let visible = |c: char| match c {
        '\t' => Some(' '),
        c => (!c.is_control()).then_some(c),
    };
    match str::from_utf8(line) {
        Ok(line) => line.chars().filter_map(visible).collect(),
        Err(_) => line
            .iter()
            .map(|&byte| char::from(byte))
            .filter_map(visible)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &[u8] =
        b"GNUTELLA CONNECT/0.6\r\nUser-Agent: X/1\r\nx-try: 1.2.3.4:5,\n 6.7.8.9:1\r\n\
        X-TRY: 2.2.2.2:2\r\nnonsense\r\nEmpty:\r\n\r\n\x00binary\n\n";

    fn check(head: &Head) {
        assert_eq!(head.first_line, "GNUTELLA CONNECT/0.6");
        assert_eq!(head.get("USER-AGENT"), Some("X/1"));
        assert_eq!(head.get("X-Try"), Some("1.2.3.4:5, 6.7.8.9:1, 2.2.2.2:2"));
        assert_eq!(head.list("X-Try").count(), 3);
        assert!(head.lists("x-try", "2.2.2.2:2"));
        assert_eq!(head.get("empty"), Some(""));
        assert_eq!(head.get("nonsense"), None);
        assert_eq!(head.headers().count(), 3);
    }

    #[test]
    fn a_head_reads_the_same_in_any_pieces() {
        for size in [1, 2, 3, 7, 1000] {
            let mut reader = HeadReader::new();
            let mut pieces = GREETING.chunks(size);
            let (head, mut rest) = pieces
                .find_map(|piece| reader.push(piece).unwrap())
                .unwrap();
            check(&head);
            pieces.for_each(|piece| rest.extend_from_slice(piece));
            assert_eq!(rest, b"\x00binary\n\n");
            assert_eq!(reader.held(), 0);
        }
    }

    #[test]
    fn empty_lines_in_front_are_passed_over() {
        let (head, rest) = HeadReader::new()
            .push(b"\r\n\nGIV 0:00/x\n\nGET")
            .unwrap()
            .unwrap();
        assert_eq!(
            (head.first_line.as_str(), rest.as_slice()),
            ("GIV 0:00/x", &b"GET"[..])
        );
    }

    #[test]
    fn start_lines_fall_into_their_parts() {
        let head = |line: &str| Head::parse(line.as_bytes()).unwrap();
        let get = head("GET /get/1/a b.txt HTTP/1.1");
        let parts = RequestLine {
            method: "GET",
            target: "/get/1/a b.txt",
            version: "HTTP/1.1",
        };
        assert_eq!(get.request_line(), Some(parts));
        let refusal = head("GNUTELLA/0.6 503 Too many\n");
        let parts = StatusLine {
            version: "GNUTELLA/0.6",
            code: 503,
            text: "Too many",
        };
        assert_eq!(refusal.status_line(), Some(parts));
        assert_eq!(head("HTTP/1.1 206").status_line().unwrap().text, "");
        for bad in [
            "HTTP/1.1",
            "HTTP/1.1 20",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 +20 OK",
            "GET / HTTP/1.1",
            "H 099 x",
        ] {
            assert_eq!(head(bad).status_line(), None, "{bad}");
        }
        for bad in ["GET", "GET /", " / HTTP/1.1", "GET  HTTP/1.1"] {
            assert_eq!(head(bad).request_line(), None, "{bad}");
        }
    }

    #[test]
    fn limits_hold_whatever_the_pieces() {
        let too_many = [
            &b"A B/1\n"[..],
            &b"x: y\n".repeat(HEAD_LINES_MAX + 1),
            b"\n",
        ]
        .concat();
        let too_long = [&b"A B/1\nx: "[..], &[b'y'; HEAD_BYTES_MAX]].concat();
        let no_line = [b'a'; START_LINE_BYTES_MAX + 1];
        for bytes in [&too_many[..], &too_long, &no_line] {
            assert_eq!(HeadReader::new().push(bytes), Err(HeadError::TooLarge));
            let mut reader = HeadReader::new();
            let error = bytes.chunks(100).find_map(|piece| {
                let result = reader.push(piece);
                assert!(reader.held() <= HEAD_BYTES_MAX);
                result.err()
            });
            assert_eq!(error, Some(HeadError::TooLarge));
        }
        let enough = [&b"A B/1\n"[..], &b"x: y\n".repeat(HEAD_LINES_MAX), b"\n"].concat();
        assert!(HeadReader::new().push(&enough).unwrap().is_some());
        assert_eq!(
            Head::parse(b"A\n b\n\n"),
            Err(HeadError::Malformed("header line"))
        );
        assert_eq!(
            Head::parse(b"\n\n"),
            Err(HeadError::Malformed("start line"))
        );
    }

    #[test]
    fn no_value_can_end_its_line() {
        let bytes = HeadWriter::new("HTTP/1.1 200 OK")
            .header("X-Name", "a\r\nEvil: yes\x1b[2J")
            .header_if("X-No", None::<u8>)
            .finish();
        assert_eq!(bytes, b"HTTP/1.1 200 OK\r\nX-Name: aEvil: yes[2J\r\n\r\n");
        let head = Head::parse(b"A \x1b[2JB\nName: caf\xe9\tx\x9b\n\n").unwrap();
        assert_eq!(head.first_line, "A [2JB");
        assert_eq!(head.get("name"), Some("caf\u{e9} x"));
    }
}
