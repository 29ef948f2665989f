//! The answers to one request, for callers that block.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::control::Lines;
use super::rt::{self, Receiver, Sender};
use crate::control::{Hit, Reply};

/// Replies to one request. Dropping them ends it, which is how a search ends.
#[derive(Debug)]
pub struct Replies {
    source: Source,
    over: bool,
}

#[derive(Debug)]
enum Source {
    /// A node in this process. Closing the second channel ends the request.
    Local(
        Receiver<Reply>,
        #[expect(dead_code, reason = "held, not read")] Sender<()>,
    ),
    Remote(Lines),
}

/// The node ended before it had answered.
const ENDED: &str = "the node ended before it answered; start it again with `filbert share`";

impl Replies {
    pub(super) fn local(replies: Receiver<Reply>, hold: Sender<()>) -> Self {
        Self {
            source: Source::Local(replies, hold),
            over: false,
        }
    }

    pub(super) fn remote(stream: UnixStream) -> Self {
        Self {
            source: Source::Remote(Lines::new(stream)),
            over: false,
        }
    }

    /// The next reply; `None` when there is none within `wait`, or after the last, as [`over`](Self::over)
    /// tells. The last reply is [`Reply::Done`] or [`Reply::Error`], also when the node ends.
    pub fn next(&mut self, wait: Duration) -> Option<Reply> {
        if self.over {
            return None;
        }
        let reply = match &mut self.source {
            Source::Local(replies, _) => match rt::wait_for(wait, replies.recv()) {
                None => return None,
                Some(reply) => reply.unwrap_or_else(|_| Reply::Error {
                    message: ENDED.to_owned(),
                }),
            },
            Source::Remote(lines) => match lines.next(wait) {
                Ok(None) => return None,
                Ok(Some(reply)) => reply,
                Err(error) => Reply::Error {
                    message: lost(&error),
                },
            },
        };
        self.over = matches!(reply, Reply::Done | Reply::Error { .. });
        Some(reply)
    }

    /// The last reply has been taken.
    pub fn over(&self) -> bool {
        self.over
    }

    /// The hits of a search, until it fails or `wait` passes without one.
    pub fn hits(self, wait: Duration) -> Hits {
        Hits {
            replies: self,
            wait,
        }
    }

    /// All replies up to the last, which is dropped if it is [`Reply::Done`].
    ///
    /// # Errors
    /// The message of [`Reply::Error`], or that the node took longer than `wait` between two replies.
    pub fn all(mut self, wait: Duration) -> Result<Vec<Reply>, String> {
        let mut all = Vec::new();
        loop {
            match self.next(wait) {
                Some(Reply::Done) => return Ok(all),
                Some(Reply::Error { message }) => return Err(message),
                Some(reply) => all.push(reply),
                None => {
                    return Err(format!(
                        "the node did not answer within {} s; is it stopped or overloaded?",
                        wait.as_secs()
                    ));
                }
            }
        }
    }
}

/// Hits of one search as they come. Dropping them ends the search.
#[derive(Debug)]
pub struct Hits {
    replies: Replies,
    wait: Duration,
}

impl Iterator for Hits {
    type Item = Result<Hit, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.replies.next(self.wait)? {
                Reply::Hit(hit) => return Some(Ok(*hit)),
                Reply::Error { message } => return Some(Err(message)),
                Reply::Done => return None,
                _ => {}
            }
        }
    }
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => ENDED.to_owned(),
        _ => format!("the control socket failed: {error}"),
    }
}
