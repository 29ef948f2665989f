//! Asking a source for the tree of a file.

use std::time::Duration;

use super::exchange::drained;
use super::source::Source;
use super::trees::Wish;
use crate::disk::tree::HashTree;
use crate::net::http::{self, AGENT};
use crate::net::http_conn::{Conn, Incoming, Length, length};
use crate::net::rt;
use crate::wire::heads::HeadWriter;
use crate::wire::thex::{MEDIA_TYPE, RESPONSE_BYTES_MAX};

/// A tree must be there within this: some 100 KiB at most are to come. Our estimate.
const TREE_TIME_MAX: Duration = Duration::from_secs(15);
/// Bytes read at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// Fetches a tree over `conn`, or over a new connection when there is none, and verifies it. Leaves the connection if
/// it can go on.
///
/// # Errors
/// Why there is none, for people.
pub(super) async fn fetch(
    wish: &Wish,
    source: &Source,
    conn: &mut Option<Conn>,
) -> Result<HashTree, String> {
    let mut used = match conn.take() {
        Some(conn) => conn,
        None if source.wants_push() => return Err("it keeps no connection".to_owned()),
        None => Conn::open(source).await.map_err(|failure| failure.why)?,
    };
    let answer = rt::timeout(TREE_TIME_MAX, body(wish, source, &mut used)).await;
    let Answer { body, keep } =
        answer.map_err(|_| "its hash tree does not come to an end".to_owned())??;
    let refused = body.is_err();
    let tree = body.and_then(|body| {
        let tree = HashTree::from_dime(&body, wish.size, &wish.root);
        tree.map_err(|error| error.to_string())
    });
    // Whoever sends something else may have more of it to come.
    if keep && (refused || tree.is_ok()) {
        *conn = Some(used);
    }
    tree
}

/// What a source answers.
struct Answer {
    /// A body, or why there is none, for people.
    body: Result<Vec<u8>, String>,
    /// The answer was read to its end and the connection can go on.
    keep: bool,
}

/// Asks for the tree and reads the answer.
async fn body(wish: &Wish, source: &Source, conn: &mut Conn) -> Result<Answer, String> {
    let request = HeadWriter::new(format_args!("GET {} HTTP/1.1", wish.uri))
        .header("Host", source)
        .header("User-Agent", AGENT)
        .header("Accept", MEDIA_TYPE)
        .header("Accept-Encoding", "identity")
        .finish();
    conn.send(&request).await.map_err(|failure| failure.why)?;
    let head = conn.head().await.map_err(|failure| failure.why)?;
    let status = head.status_line().ok_or("it does not speak HTTP")?;
    let minor = http::minor_version(status.version).ok_or("it does not speak HTTP")?;
    let length = length(&head).map_err(|failure| failure.why)?;
    let keep = minor > 0 && length != Length::ToTheEnd && !head.lists("Connection", "close");
    if status.code != 200 {
        let why = format!("it answers {} for its hash tree", status.code);
        // It has the file all the same, and one that had to be asked to connect does not do so again at once.
        let keep = keep && status.code >= 200 && drained(conn, length).await;
        let body = Err(why);
        return Ok(Answer { body, keep });
    }
    let too_long = || "its hash tree is too long".to_owned();
    if matches!(length, Length::Known(bytes) if bytes > RESPONSE_BYTES_MAX as u64) {
        return Err(too_long());
    }
    let mut incoming = Incoming::new(length);
    let mut body = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // One more than may come, to see whether more comes.
        let room = (RESPONSE_BYTES_MAX + 1 - body.len()) as u64;
        let read = incoming.read(conn, &mut buffer, room).await;
        let read = read.map_err(|failure| failure.why)?;
        if read == 0 {
            break;
        }
        body.extend_from_slice(&buffer[..read]);
        if body.len() > RESPONSE_BYTES_MAX {
            return Err(too_long());
        }
    }
    let body = Ok(body);
    Ok(Answer { body, keep })
}
