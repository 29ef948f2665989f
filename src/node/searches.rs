//! Our own searches: which ticket a hit belongs to.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;

use crate::wire::query::{Query, QueryFlags};
use crate::wire::{Frame, Guid, Header, Kind, WireError};

use super::event::{LinkId, Outbox, SearchSpec, Ticket};
use super::strategy::Walk;
use super::{Node, Time, limits, words};

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) ticket: Ticket,
    /// The query as it goes out, with its TTL.
    pub(super) query: Frame,
    /// Records in the hits so far.
    results: u16,
    /// Results that were announced to walkers' asker by datagram and are on their way. Among strangers an announcement
    /// costs nothing and proves nothing, so that only what came counts there.
    promised: u16,
    /// Results after which it goes no further by itself.
    wanted: u16,
    /// Its hits may come by datagram.
    pub(super) datagrams: bool,
    /// Walkers that have not set out yet, for want of a neighbour.
    pub(super) waiting: Option<Walk>,
    /// It goes by walkers.
    pub(super) walks: bool,
    /// TTLs of the rounds to come.
    pub(super) rounds: VecDeque<u8>,
    /// When the next of them begins, if not enough was found.
    pub(super) due: Option<Time>,
    /// Message ids of earlier rounds: their hits may still come. At most [`limits::RING_ROUNDS_MAX`].
    earlier: Vec<Guid>,
}

impl Search {
    /// A search of one round.
    pub(super) fn new(ticket: Ticket, query: Frame, wanted: u16) -> Self {
        Self {
            ticket,
            query,
            results: 0,
            promised: 0,
            wanted,
            datagrams: false,
            waiting: None,
            walks: false,
            rounds: VecDeque::new(),
            due: None,
            earlier: Vec::new(),
        }
    }

    fn is(&self, guid: &Guid) -> bool {
        self.query.header.guid == *guid || self.earlier.contains(guid)
    }

    /// Enough was found.
    fn satisfied(&self) -> bool {
        self.results.max(self.promised) >= self.wanted
    }
}

/// The searches under way; at most [`limits::SEARCHES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Searches {
    running: Vec<Search>,
}

impl Searches {
    pub(super) fn is_full(&self) -> bool {
        self.running.len() >= limits::SEARCHES_MAX
    }

    pub(super) fn start(&mut self, search: Search) {
        self.running.push(search);
    }

    /// When the next round of any search begins.
    pub(super) fn due(&self) -> Option<Time> {
        self.running.iter().filter_map(|search| search.due).min()
    }

    /// A search whose next round is due.
    pub(super) fn due_by(&self, now: Time) -> Option<Ticket> {
        let due = |search: &&Search| search.due.is_some_and(|due| due <= now);
        self.running.iter().find(due).map(|search| search.ticket)
    }

    /// Begins the next round of a search under a new message id, unless enough was found. Gives its TTL, and whether
    /// it is the last.
    pub(super) fn begin_round(&mut self, ticket: Ticket, guid: Guid) -> Option<(u8, bool)> {
        let search = self.by_ticket(ticket)?;
        search.due = None;
        if search.satisfied() {
            search.rounds.clear();
        }
        let ttl = search.rounds.pop_front()?;
        let before = search.query.header.guid;
        search.earlier.push(before);
        // What the query says of datagrams goes for the new id too.
        let aside = search.datagrams && !search.walks;
        search.query.header.guid = if aside {
            guid.carrying(before.carried())
        } else {
            guid
        };
        search.query.header.ttl = ttl;
        Some((ttl, search.rounds.is_empty()))
    }

    /// Says when the next round begins. Gives the query of the present one.
    pub(super) fn set_due(&mut self, ticket: Ticket, due: Option<Time>) -> Option<Frame> {
        let search = self.by_ticket(ticket)?;
        search.due = due;
        Some(search.query.clone())
    }

    fn by_ticket(&mut self, ticket: Ticket) -> Option<&mut Search> {
        self.running
            .iter_mut()
            .find(|search| search.ticket == ticket)
    }

    fn by_guid(&self, guid: &Guid) -> Option<&Search> {
        self.running.iter().find(|search| search.is(guid))
    }

    /// Results after which a search of ours goes no further; `None`: there is no such search.
    pub(super) fn wanted(&self, guid: &Guid) -> Option<u16> {
        self.by_guid(guid).map(|search| search.wanted)
    }

    /// Whether a search of ours has found enough; `None`: there is no such search.
    pub(super) fn satisfied(&self, guid: &Guid) -> Option<bool> {
        self.by_guid(guid).map(Search::satisfied)
    }

    /// Ends a search; gives its message id.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<Guid> {
        let at = self
            .running
            .iter()
            .position(|search| search.ticket == ticket)?;
        Some(self.running.remove(at).query.header.guid)
    }

    /// Results came for a search of ours.
    pub(super) fn count_results(&mut self, guid: &Guid, results: u16) {
        if let Some(search) = self.running.iter_mut().find(|search| search.is(guid)) {
            // One below "stop", which has a meaning of its own.
            search.results = search.results.saturating_add(results).min(u16::MAX - 1);
        }
    }

    /// So many results are announced for a search of ours, which count if it goes by walkers.
    pub(super) fn promise(&mut self, guid: &Guid, results: u8) {
        let its = |search: &&mut Search| search.walks && search.is(guid);
        if let Some(search) = self.running.iter_mut().find(its) {
            search.promised = search.promised.saturating_add(results.into());
        }
    }

    /// Is this a search of ours whose hits may come by datagram?
    pub(super) fn takes_datagrams(&self, guid: &Guid) -> bool {
        self.by_guid(guid).is_some_and(|search| search.datagrams)
    }

    /// Results a search of ours has so far.
    pub(super) fn results(&self, guid: &Guid) -> Option<u16> {
        self.by_guid(guid).map(|search| search.results)
    }

    pub(super) fn ticket(&self, guid: &Guid) -> Option<Ticket> {
        self.by_guid(guid).map(|search| search.ticket)
    }

    /// Walkers of a search wait for a neighbour, or do no longer.
    pub(super) fn set_waiting(&mut self, guid: &Guid, waiting: Option<Walk>) {
        if let Some(search) = self.running.iter_mut().find(|search| search.is(guid)) {
            search.waiting = waiting;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Search> {
        self.running.iter()
    }
}

/// The query frame of a search: words folded, each once (overlay, "Search text rules").
///
/// # Errors
/// Nothing to look for, or more than fits in one query.
pub(super) fn query_frame(
    spec: &SearchSpec,
    guid: Guid,
    ttl: u8,
    flags: QueryFlags,
) -> Result<Frame, String> {
    let mut text = String::new();
    words::each_word(&spec.text, |word| {
        if !text.split(' ').any(|known| known == word) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
    });
    if text.chars().count() < 2 && spec.sha1.is_none() {
        return Err(
            "nothing to search for: give at least one word of two characters, or a hash".to_owned(),
        );
    }
    let query = Query {
        flags,
        text: Cow::Owned(text),
        sha1s: spec.sha1.into_iter().collect(),
        media: spec.media,
    };
    let payload = query.build().map_err(|error| match error {
        WireError::Limit(_) => {
            "the search is too long for one query of 256 bytes: use fewer words".to_owned()
        }
        other => other.to_string(),
    })?;
    Ok(Frame {
        header: Header {
            guid,
            kind: Kind::Query,
            ttl,
            hops: 0,
        },
        payload: Bytes::from(payload),
    })
}

impl Node {
    /// A search that is running also goes to a neighbour that came late.
    pub(super) fn extend_searches(&mut self, now: Time, id: LinkId, out: &mut Outbox) {
        let queries: Vec<_> = self
            .searches
            .iter()
            .filter(|search| !search.walks)
            .map(|search| search.query.clone())
            .collect();
        for query in queries {
            let guid = query.header.guid;
            self.send_query(now, id, query, out);
            self.routes.forwarded(&guid, 1);
        }
        let waiting = self.searches.iter();
        let waiting: Vec<_> = waiting
            .filter_map(|search| Some((search.query.clone(), search.waiting?)))
            .collect();
        for (query, walk) in waiting {
            self.walk_out(now, &query, walk, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_results_for_walkers_and_end_no_search_of_others() {
        let (mut searches, spec) = (
            Searches::default(),
            SearchSpec {
                text: "red fox".to_owned(),
                ..SearchSpec::default()
            },
        );
        for (n, walks) in [(1, true), (2, false)] {
            let query = query_frame(&spec, Guid([n; 16]), 4, QueryFlags::OURS).expect("words");
            let mut search = Search::new(Ticket(n.into()), query, 50);
            (search.datagrams, search.walks) = (true, walks);
            searches.start(search);
            searches.promise(&Guid([n; 16]), 255);
        }
        let satisfied = |searches: &Searches, n| searches.satisfied(&Guid([n; 16]));
        assert_eq!(satisfied(&searches, 1), Some(true));
        assert_eq!(satisfied(&searches, 2), Some(false));
        searches.count_results(&Guid([2; 16]), 50);
        assert_eq!(satisfied(&searches, 2), Some(true));
    }
}
