//! More sources: those that answers name, and those that a search brings.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Entry, REQUERIES_MAX, REQUERY_WAIT, Run};
use crate::net::download::exchange::Event;
use crate::net::download::hints::Hints;
use crate::net::download::{FetchError, Progress, Seal, Source};
use crate::net::partials::Heard;
use crate::net::pusher::Walled;
use crate::net::rt;
use crate::node::Time;
use crate::node::address::Net;
use crate::node::greet::Encryption;
use crate::node::swarm::{SOURCES_MAX, SourceId, Why};
use crate::wire::alt::{self, Open};

/// The first search for more sources while some are there: who is done sooner needs none. Our choice.
const LOOK_FIRST: Duration = Duration::from_secs(30);
/// The longest span between two searches; each is twice the last one, from [`REQUERY_WAIT`] on. Our choice.
const LOOK_LONGEST: Duration = Duration::from_secs(3600);
/// Other sources told of in one request, of each kind. gtk-gnutella tells some 10.
const ALTS_TOLD_MAX: usize = 10;

/// Sources that are known because they asked us first. Our choice.
const ASKED_BY_MAX: usize = SOURCES_MAX / 2;
/// That right bytes come from a source is said again after this: what is said of it is forgotten later. Our choice.
const PROVED_AGAIN: Duration = Duration::from_secs(300);

/// When more sources are looked for while some are there.
#[derive(Debug)]
pub(super) struct Looks {
    next: Time,
    span: Duration,
    running: bool,
}

impl Looks {
    pub(super) fn new(now: Time) -> Self {
        Self {
            next: now.plus(LOOK_FIRST),
            span: REQUERY_WAIT,
            running: false,
        }
    }

    fn begin(&mut self, now: Time) {
        self.running = true;
        self.next = now.plus(self.span);
        self.span = (self.span * 2).min(LOOK_LONGEST);
    }
}

/// May a source of this net be sent there?
fn is_of(net: Net, addr: SocketAddr) -> bool {
    net.believes(addr) && net.claims(addr.ip())
}

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
            turn: None,
            told: BTreeSet::new(),
            proved: None,
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

    /// The net of a source, if those of it may name others.
    fn net_of(&self, source: SourceId) -> Option<Net> {
        let ip = self.entries[source.0].source.addr()?.ip();
        let mut nets = self.job.nets.iter().copied();
        nets.find(|net| net.claims(ip))
    }

    /// What a source says of itself and of others.
    pub(super) fn take_hints(&mut self, source: SourceId, hints: &Hints) {
        if hints.available.is_some() {
            self.swarm.learn_available(source, hints.available.clone());
        }
        let (Some(net), Some(urn)) = (self.net_of(source), self.job.urn) else {
            return;
        };
        // Hearsay: whoever is named is one more to ask, and nothing else.
        // Where nobody was to be asked for TLS, nobody is.
        let mut known = self.entries.iter();
        let clear = known.all(|entry| entry.source.seal() == Seal::Never);
        let seal = |tls| {
            if clear {
                Seal::Never
            } else {
                Seal::told(tls, Some(net))
            }
        };
        for alt in hints.alts.iter().filter(|alt| is_of(net, alt.addr)) {
            self.add(Source::by_urn(alt.addr, urn).sealed(seal(alt.tls)));
        }
        if self.job.pusher.is_none() {
            return;
        }
        let believed = |proxies: &[SocketAddr]| -> Vec<SocketAddr> {
            let proxies = proxies.iter().filter(|addr| is_of(net, **addr));
            proxies.copied().collect()
        };
        let proxies = believed(&hints.push_proxies);
        if !proxies.is_empty() {
            self.entries[source.0].source.set_push_proxies(proxies);
        }
        for alt in &hints.walled_alts {
            let proxies = believed(&alt.proxies);
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
            self.add(source.or_push(walled, true).sealed(seal(false)));
        }
    }

    /// Somebody who fetches the file too asked us for it.
    pub(super) fn heard(&mut self, heard: Heard) {
        let Heard { from, has } = heard;
        let mut nets = self.job.nets.iter().copied();
        let net = nets.find(|net| is_of(*net, from.addr));
        let (Some(net), Some(urn)) = (net, self.job.urn) else {
            return;
        };
        let source = Source::by_urn(from.addr, urn);
        let known = |entries: &[Entry]| {
            let same = |entry: &Entry| entry.source.is_same(&source);
            entries.iter().position(same)
        };
        if known(&self.entries).is_none() {
            // Whoever can ask us a lot of times must not keep all others out.
            if self.asked_by >= ASKED_BY_MAX
                || !self.add(source.clone().sealed(Seal::told(from.tls, Some(net))))
            {
                return;
            }
            self.asked_by += 1;
        }
        if let Some(at) = known(&self.entries) {
            self.swarm.learn_available(SourceId(at), Some(has));
        }
    }

    /// What a source is told of others: those that gave us bytes, and those that do not have the file or are not
    /// there; each once, and only those of its own net.
    pub(super) fn tell_of_others(&mut self, asked: SourceId) -> (String, String) {
        let Some(net) = self.net_of(asked) else {
            return Default::default();
        };
        let (mut good, mut useless) = (Vec::new(), Vec::new());
        for at in 0..self.entries.len() {
            let other = SourceId(at);
            let source = &self.entries[at].source;
            let by_hash = source.urn().is_some() && source.urn() == self.job.urn;
            let addr = source.addr().filter(|addr| is_of(net, *addr));
            let Some(addr) = addr.filter(|_| other != asked && by_hash && !source.wants_push())
            else {
                continue;
            };
            let gave = self.swarm.bytes_of(other) > 0;
            let list = match self.swarm.lost(other) {
                None if gave => &mut good,
                Some(Why::Gone | Why::Unreachable) => &mut useless,
                _ => continue,
            };
            // Where somebody is not, nobody needs to know how to be there.
            let tls = gave && source.seal() == Seal::FromTheStart;
            let told = &mut self.entries[asked.0].told;
            if list.len() < ALTS_TOLD_MAX && told.insert((addr, gave)) {
                list.push(Open { addr, tls });
            }
        }
        (alt::list(&good), alt::list(&useless))
    }

    /// Is a source told of our TLS? Where nobody makes use of it, nobody is.
    pub(super) fn says_tls(&self, asked: SourceId) -> bool {
        let sharing = self.job.sharing.as_ref();
        let taken = sharing.is_some_and(|sharing| sharing.encryption() != Encryption::Never);
        taken && self.net_of(asked).is_some_and(Net::is_two_tier)
    }

    /// Right bytes came from this source: those who fetch the file from us may be sent there too.
    pub(super) fn proved(&mut self, source: SourceId) {
        let (Some(sharing), Some(urn)) = (&self.job.sharing, self.job.urn) else {
            return;
        };
        let now = self.clock.now();
        let entry = &mut self.entries[source.0];
        let lately = entry
            .proved
            .is_some_and(|last| now.since(last) < PROVED_AGAIN);
        let named = !entry.source.wants_push() && entry.source.urn() == Some(urn);
        if let Some(addr) = entry.source.addr().filter(|_| named && !lately) {
            entry.proved = Some(now);
            let tls = entry.source.seal() == Seal::FromTheStart;
            sharing.proved(urn, Open { addr, tls });
        }
    }

    /// Begins a search for more sources when it is time and few are of use; returns when to look again.
    pub(super) fn look_for_more(&mut self) -> Option<Time> {
        let (requery, urn) = (self.job.requery.as_ref()?, self.job.urn?);
        let looks = &mut self.looks;
        if looks.running || self.swarm.useful_sources() >= self.job.connections {
            return None;
        }
        let now = self.clock.now();
        if now < looks.next {
            return Some(looks.next);
        }
        (self.progress)(Progress::Searching);
        self.searched = Some(now);
        looks.begin(now);
        let (requery, events) = (requery.clone(), self.events.clone());
        // Detached: it ends by itself; when the download has ended before, nobody listens.
        rt::spawn_blocking(move || {
            let _ = events.send_blocking(Event::Found(requery.search(urn)));
        });
        None
    }

    /// A search has ended.
    pub(super) fn found(&mut self, sources: Vec<Source>) {
        self.looks.running = false;
        for source in sources {
            self.add(source);
        }
    }

    /// Looks for more sources, if it may; `false`: there is no hope.
    pub(super) async fn search(&mut self, came: &rt::Receiver<Event>) -> Result<bool, FetchError> {
        let (Some(requery), Some(urn)) = (self.job.requery.clone(), self.job.urn) else {
            return Ok(false);
        };
        if self.looks.running {
            self.wait(came, None).await?;
            return Ok(true);
        }
        if self.searches >= REQUERIES_MAX || !requery.at_the_end {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_become_rarer() {
        let mut looks = Looks::new(Time::ZERO);
        let mut spans = Vec::new();
        for _ in 0..6 {
            let now = looks.next;
            looks.begin(now);
            spans.push(looks.next.since(now).as_secs());
        }
        assert_eq!(spans, [300, 600, 1_200, 2_400, 3_600, 3_600]);
    }

    #[test]
    fn a_net_is_not_left_by_hearsay() {
        let addr = |text: &str| text.parse().expect("an address");
        for (net, text, may) in [
            (Net::Lan, "192.168.1.5:6346", true),
            (Net::Lan, "127.0.0.1:6346", true),
            (Net::Lan, "8.8.8.8:6346", false),
            (Net::Lan, "192.168.1.5:0", false),
            (Net::Gnutella, "8.8.8.8:6346", true),
            (Net::Gnutella, "8.8.8.8:25", false),
            (Net::Gnutella, "192.168.1.5:6346", false),
        ] {
            assert_eq!(is_of(net, addr(text)), may, "{net:?} {text}");
        }
    }
}
