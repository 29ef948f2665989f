//! QUEUE: the line with which a server begins a connection to somebody whose turn has come in its queue (PARQ).
//!
//! `QUEUE <id> <ip:port>`, one line end; then requests come from the other side. Source: content.md 5.

use std::fmt;
use std::net::SocketAddr;

/// Bytes of an id; gtk-gnutella's has 32.
pub const ID_BYTES_MAX: usize = 256;

/// A decoded line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Names the place in the queue, as the server told it.
    pub id: String,
    /// Where the server says it listens; of no meaning to us.
    pub server: SocketAddr,
}

impl Queue {
    /// Reads the first line of a connection, with or without its end.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.split(|&byte| byte == b'\n').next()?;
        let text = str::from_utf8(line.strip_prefix(b"QUEUE ")?).ok()?;
        let (id, server) = text.trim_end_matches('\r').split_once(' ')?;
        let plain = id.bytes().all(|byte| byte.is_ascii_graphic());
        if id.is_empty() || id.len() > ID_BYTES_MAX || !plain {
            return None;
        }
        Some(Self {
            id: id.to_owned(),
            server: server.trim().parse().ok()?,
        })
    }
}

/// The line, with its end.
impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QUEUE {} {}\r\n", self.id, self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_others_are_none() {
        let queue = Queue {
            id: "4f2a".to_owned(),
            server: SocketAddr::from(([192, 0, 2, 1], 6346)),
        };
        assert_eq!(queue.to_string(), "QUEUE 4f2a 192.0.2.1:6346\r\n");
        assert_eq!(Queue::parse(queue.to_string().as_bytes()), Some(queue));
        let long = format!("QUEUE {} 192.0.2.1:1\n", "x".repeat(ID_BYTES_MAX + 1));
        for line in [
            "QUEUE 1\n",
            "QUEUE  192.0.2.1:1\n",
            "QUEUE 1 192.0.2.1\n",
            "QUEUE 1 host:1\n",
            "QUEUE \u{7f} 192.0.2.1:1\n",
            "queue 1 192.0.2.1:1\n",
            &long,
        ] {
            assert_eq!(Queue::parse(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(Queue::parse(b"QUEUE \xff 192.0.2.1:1\n"), None);
    }
}
