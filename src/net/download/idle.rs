//! Connections between two files of one source.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Source;
use crate::net::http_conn::Conn;
use crate::net::rt::Clock;
use crate::node::Time;

/// A connection is not used again after so long without a request: servers close theirs after some 60 s (content.md 4.3).
pub(super) const IDLE_MAX: Duration = Duration::from_secs(50);
/// Connections kept; the oldest goes first. Our choice.
const KEPT_MAX: usize = 8;

/// Connections that fetches left, for the next files of their sources: whoever asks on one keeps the upload slot that it
/// had. Clones share them.
#[derive(Clone, Debug)]
pub struct Idle {
    kept: Arc<Mutex<Vec<(Conn, Time)>>>,
    clock: Clock,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            kept: Arc::default(),
            clock: Clock::start(),
        }
    }
}

impl Idle {
    /// One that leads to this source.
    pub(super) fn take(&self, source: &Source) -> Option<Conn> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, since)| now.since(*since) < IDLE_MAX);
        let at = kept.iter().position(|(conn, _)| conn.is_to(source))?;
        Some(kept.remove(at).0)
    }

    /// Keeps one that was just used.
    pub(super) fn keep(&self, conn: Conn) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push((conn, self.clock.now()));
    }
}
