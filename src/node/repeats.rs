//! Our own queries are not repeated sooner than those they go to take them.
//!
//! gtk-gnutella drops what a neighbour asks again in the same words: of a leaf for 1700 s, of an ultrapeer for some
//! seconds. It says nothing, so a search that is sent again too soon looks as if nobody had the file. Such links are
//! left out, and who searches is told when they were asked and when they may be again. A search that began before is
//! no repeat of itself. filbert takes repeats at once. On a LAN nobody drops any.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::event::{LinkId, Peer, Role};
use super::tiers::Tier;
use super::{Node, Time};
use crate::wire::query::Query;
use crate::wire::{Frame, Guid};

/// An ultrapeer takes the same words of its leaf again after this (gtk-gnutella: 1700 s).
pub const REPEAT_OF_LEAF: Duration = Duration::from_secs(1_700);
/// An ultrapeer takes the same words of an ultrapeer again after this (gtk-gnutella: some 10 s).
pub const REPEAT_OF_ULTRAPEER: Duration = Duration::from_secs(10);
/// Times at which one link was asked one thing that are remembered; the oldest goes first. Some 80 KiB with the longest
/// of words.
pub const ASKED_MAX: usize = 1_024;
/// What filbert calls itself begins so.
const OURS: &str = "filbert/";

/// The same search may not go to any neighbour yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSoon {
    /// So long ago it went to the neighbour that takes it again first.
    pub ago: Duration,
    /// After so long that neighbour takes it again.
    pub again: Duration,
}

/// One link was asked one thing.
#[derive(Debug)]
struct Asked {
    what: Bytes,
    link: LinkId,
    at: Time,
    /// The query as which it went.
    guid: Guid,
}

/// What was asked of whom; at most [`ASKED_MAX`], oldest first.
#[derive(Debug, Default)]
pub(super) struct Repeats(VecDeque<Asked>);

impl Repeats {
    /// A query went out.
    fn note(&mut self, asked: Asked) {
        let over = |old: &Asked| asked.at.since(old.at) >= REPEAT_OF_LEAF;
        while self.0.front().is_some_and(over) || self.0.len() >= ASKED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(asked);
    }

    /// When a link was last asked this by another query.
    fn last(&self, link: LinkId, what: &[u8], guid: &Guid) -> Option<Time> {
        let same = |old: &&Asked| old.link == link && old.guid != *guid && old.what == what;
        self.0.iter().rev().find(same).map(|old| old.at)
    }
}

/// What makes two queries the same to those who drop repeats: their words and hashes.
fn what(query: &Frame) -> Option<Bytes> {
    let parsed = Query::parse(&query.payload).ok()?;
    let mut what = parsed.text.into_owned();
    for sha1 in parsed.sha1s {
        what.push('\n');
        what.push_str(&sha1.to_string());
    }
    Some(what.into())
}

/// Does it drop what it was asked before?
fn drops_repeats(peer: &Peer) -> bool {
    peer.role == Role::Ultrapeer && !peer.agent.is_empty() && !peer.agent.starts_with(OURS)
}

impl Node {
    /// How long a neighbour drops repeats of ours; `None`: nobody does here.
    fn repeat_gap(&self) -> Option<Duration> {
        match self.tier() {
            Tier::Flat => None,
            Tier::Leaf => Some(REPEAT_OF_LEAF),
            Tier::Ultrapeer => Some(REPEAT_OF_ULTRAPEER),
        }
    }

    /// This query of ours may not go on this link yet.
    pub(super) fn too_soon(&self, now: Time, link: LinkId, query: &Frame) -> Option<TooSoon> {
        let gap = self.repeat_gap()?;
        let peer = &self.links.get(link)?.peer;
        if !drops_repeats(peer) {
            return None;
        }
        let last = self.repeats.last(link, &what(query)?, &query.header.guid)?;
        let ago = now.since(last);
        let again = gap.saturating_sub(ago);
        (!again.is_zero()).then_some(TooSoon { ago, again })
    }

    /// Of the links that this query of ours could go on, how many may not have it yet; and, when that is all of them,
    /// when the first may.
    pub(super) fn all_too_soon(&self, now: Time, query: &Frame) -> (usize, Option<TooSoon>) {
        let links = self.links.ids();
        let soon = links.iter().filter_map(|id| self.too_soon(now, *id, query));
        let soon: Vec<_> = soon.collect();
        let ultrapeers = self.links.count(Role::Ultrapeer);
        let first = soon.iter().min_by_key(|soon| soon.again).copied();
        (soon.len(), first.filter(|_| soon.len() == ultrapeers))
    }

    /// A query of ours went out on a link.
    pub(super) fn note_asked(&mut self, now: Time, link: LinkId, query: &Frame) {
        let drops = self.links.get(link).map(|link| drops_repeats(&link.peer));
        if self.repeat_gap().is_none() || drops != Some(true) {
            return;
        }
        if let Some(what) = what(query) {
            let guid = query.header.guid;
            self.repeats.note(Asked {
                what,
                link,
                at: now,
                guid,
            });
        }
    }
}
