//! What is told of a download while it runs, and when it fails.

use std::time::Duration;

use super::{Run, TELL, TELL_SOURCES};
use crate::net::download::{Doing, FetchError, Progress, SourceNews};
use crate::node::swarm::{SourceId, Why};

impl Run<'_> {
    pub(super) fn no_source(&self, why: Why) -> FetchError {
        let said = self.entries.iter();
        let said =
            said.filter_map(|entry| Some(format!("{}: {}", entry.source, entry.said.as_ref()?)));
        FetchError::NoSource {
            why,
            said: said.collect(),
        }
    }

    /// How long until what was not told yet may be; `None`: all was.
    pub(super) fn tells_in(&self) -> Option<Duration> {
        let now = self.clock.now();
        let progress = TELL.saturating_sub(now.since(self.told));
        let sources = TELL_SOURCES.saturating_sub(now.since(self.told_sources));
        self.untold.then(|| progress.max(sources))
    }

    pub(super) fn tell(&mut self) {
        let now = self.clock.now();
        self.untold = true;
        if now.since(self.told) < TELL {
            return;
        }
        self.told = now;
        (self.progress)(Progress::Got {
            done: self.swarm.done(),
            size: self.swarm.size(),
        });
        if now.since(self.told_sources) < TELL_SOURCES {
            return;
        }
        (self.told_sources, self.untold) = (now, false);
        let sources = self.entries.iter().enumerate().map(|(at, entry)| {
            let id = SourceId(at);
            let doing = match self.swarm.lost(id) {
                Some(why) => Doing::Lost(why),
                None if self.swarm.is_running(id) => Doing::Busy,
                None if entry.said.is_some() => Doing::Waits,
                None => Doing::Idle,
            };
            SourceNews {
                source: entry.source.to_string(),
                doing,
                bytes: self.swarm.bytes_of(id),
                bytes_per_s: self.swarm.speed(id),
            }
        });
        (self.progress)(Progress::Sources(sources.collect()));
    }
}
