//! More sources: those that answers name, and those that a search brings.

use super::{Entry, REQUERIES_MAX, REQUERY_WAIT, Run};
use crate::net::download::exchange::Event;
use crate::net::download::hints::Hints;
use crate::net::download::{FetchError, Progress, Source};
use crate::net::pusher::Walled;
use crate::net::rt;
use crate::node::swarm::{SourceId, Swarm};

/// Adds a source unless it is known.
pub(super) fn add(swarm: &mut Swarm, entries: &mut Vec<Entry>, source: Source) -> bool {
    if entries.iter().any(|entry| entry.source.is_same(&source)) {
        return false;
    }
    // Behind walls many nodes have one address.
    let host = match source.walled().filter(|_| source.wants_push()) {
        Some(walled) => walled.servent.to_base32(),
        None => source.to_string(),
    };
    let added = swarm.add_source(&host).is_some();
    if added {
        entries.push(Entry {
            source,
            said: None,
            conn: None,
            place: None,
        });
    }
    added
}

impl Run<'_> {
    /// What a source says of itself and of others.
    pub(super) fn take_hints(&mut self, source: SourceId, hints: &Hints) {
        if hints.available.is_some() {
            self.swarm.learn_available(source, hints.available.clone());
        }
        let (Some(net), Some(urn)) = (self.job.net, self.job.urn) else {
            return;
        };
        // Hearsay: whoever is named is one more to ask, and nothing else.
        for addr in hints.alts.iter().filter(|addr| net.believes(**addr)) {
            add(
                &mut self.swarm,
                &mut self.entries,
                Source::by_urn(*addr, urn),
            );
        }
        if self.job.pusher.is_none() {
            return;
        }
        for alt in &hints.walled_alts {
            let proxies = alt.proxies.iter().filter(|addr| net.believes(**addr));
            let proxies: Vec<_> = proxies.copied().collect();
            let Some(first) = proxies.first() else {
                continue;
            };
            let source = Source::by_urn(*first, urn);
            let walled = Walled {
                servent: alt.servent,
                index: 0,
                proxies,
                net: Some(net),
            };
            let source = source.or_push(walled, true);
            add(&mut self.swarm, &mut self.entries, source);
        }
    }

    /// Looks for more sources, if it may; `false`: there is no hope.
    pub(super) async fn search(&mut self, came: &rt::Receiver<Event>) -> Result<bool, FetchError> {
        let (Some(requery), Some(urn)) = (self.job.requery.clone(), self.job.urn) else {
            return Ok(false);
        };
        if self.searches >= REQUERIES_MAX {
            return Ok(false);
        }
        let now = self.clock.now();
        let next = self.searched.map(|last| last.plus(REQUERY_WAIT));
        if let Some(span) = next
            .map(|next| next.since(now))
            .filter(|span| !span.is_zero())
        {
            (self.progress)(Progress::Waiting { span });
            self.wait(came, Some(span)).await?;
            return Ok(true);
        }
        (self.progress)(Progress::Searching);
        self.searched = Some(now);
        self.searches += 1;
        let search = rt::spawn_blocking(move || requery.search(urn));
        for source in self.unless_stopped(search).await? {
            if add(&mut self.swarm, &mut self.entries, source) {
                self.searches = 0;
            }
        }
        Ok(true)
    }
}
