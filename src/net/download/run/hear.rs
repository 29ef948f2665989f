//! More sources: those that answers name, and those that a search brings.

use super::{Entry, REQUERIES_MAX, REQUERY_WAIT, Run};
use crate::net::download::exchange::Event;
use crate::net::download::hints::Hints;
use crate::net::download::{FetchError, Progress, Source};
use crate::net::pusher::Walled;
use crate::net::rt;
use crate::node::swarm::{SOURCES_MAX, SourceId};

impl Run<'_> {
    /// Adds a source unless it is known. One that lied lately waits until nobody else is left.
    pub(super) fn add(&mut self, source: Source) -> bool {
        let is_same = |known: &Source| known.is_same(&source);
        if self.entries.iter().any(|entry| is_same(&entry.source)) {
            return false;
        }
        let node = source.node();
        if !self.pardoned && self.job.liars.contains(&node) {
            if !self.held_back.iter().any(is_same) && self.held_back.len() < SOURCES_MAX {
                self.held_back.push(source);
            }
            return false;
        }
        if self.swarm.add_source(&node).is_none() {
            return false;
        }
        if let Some(root) = source.root() {
            self.trees.vote(&source.group(), root);
        }
        self.entries.push(Entry {
            source,
            said: None,
            conn: None,
            place: None,
        });
        true
    }

    /// Nobody else is left: those that lied lately may be asked too, for the hash of the whole says whether they do
    /// again. `false`: there are none.
    pub(super) fn pardon(&mut self) -> bool {
        self.pardoned = self.job.urn.is_some();
        if !self.pardoned {
            return false;
        }
        let mut any = false;
        for source in std::mem::take(&mut self.held_back) {
            any |= self.add(source);
        }
        any
    }

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
            self.add(Source::by_urn(*addr, urn));
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
            self.add(source);
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
            if self.add(source) {
                self.searches = 0;
            }
        }
        Ok(true)
    }
}
