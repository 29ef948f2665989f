//! Who is connected: the links that are up, with what each may do and has done.

use std::sync::Arc;

use crate::wire::{Guid, ServentId};

use super::Time;
use super::event::{LinkId, Peer, Role};
use super::limits;
use super::offences::Offences;
use super::qrp::QueryTable;
use super::qrp::receive::TableReceiver;
use super::rate::Bucket;

/// One link that is up.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Box<Peer>,
    pub(super) since: Time,
    pub(super) heard: Time,
    pub(super) received: u64,
    pub(super) dropped: u64,
    /// What it did wrong.
    pub(super) offences: Offences,
    /// Bytes in, but for hits and routing tables.
    pub(super) rate_in: Bucket,
    /// Updates of its routing table in: what they cost us. One that is dropped would break its sequence, so they have
    /// a bound of their own.
    pub(super) rate_tables: Bucket,
    /// Query bytes out.
    pub(super) rate_out: Bucket,
    /// Bytes of our own hits out.
    pub(super) rate_hits: Bucket,
    /// When its next host-seeking ping will be answered.
    pub(super) ping_again: Time,
    /// Ids of our last two pings on this link.
    pub(super) pings: [Guid; 2],
    /// When the later of them went out.
    pub(super) pinged: Time,
    /// The quickest answer to one so far, in microseconds; the most there is: none.
    pub(super) rtt_us: u32,
    /// Hit frames of it that somebody waited for.
    pub(super) hits: u32,
    /// Pongs still taken for those.
    pub(super) pongs_left: u8,
    /// Only queries that travelled fewer hops are wanted there (BEAR/4).
    pub(super) hops_flow: u8,
    /// Since when its send queue is above the high mark: its queries are dropped, as their answers could not be sent.
    pub(super) pressed: Option<Time>,
    /// It takes us for its neighbour of most links: queries go to it along the tree.
    pub(super) child: bool,
    /// Its query routing table as far as it has come.
    pub(super) tables: Option<Box<TableReceiver>>,
    /// Our own table as it has it.
    pub(super) has_of_us: Option<Arc<QueryTable>>,
    /// New addresses that its pongs may still tell of, and when that is filled up again.
    pub(super) addresses_left: u16,
    pub(super) addresses_again: Time,
    /// When it may ask to be called back again.
    pub(super) knock_again: Time,
    /// When it may ask for a ping by datagram again.
    pub(super) ping_back_again: Time,
}

impl Link {
    pub(super) fn new(peer: Box<Peer>, now: Time) -> Self {
        Self {
            peer,
            since: now,
            heard: now,
            received: 0,
            dropped: 0,
            offences: Offences::default(),
            rate_in: Bucket::default(),
            rate_tables: Bucket::default(),
            rate_out: Bucket::default(),
            rate_hits: Bucket::default(),
            ping_again: now,
            pings: [Guid([0; 16]); 2],
            pongs_left: 0,
            pinged: now,
            rtt_us: u32::MAX,
            hits: 0,
            hops_flow: u8::MAX,
            pressed: None,
            child: false,
            tables: None,
            has_of_us: None,
            addresses_left: limits::PONG_ADDRESSES_MAX,
            addresses_again: now.plus(limits::PONG_ADDRESSES_SPAN),
            knock_again: now,
            ping_back_again: now,
        }
    }

    /// Its query routing table, once complete.
    pub(super) fn table(&self) -> Option<&QueryTable> {
        self.tables.as_ref()?.table()
    }
}

/// All links that are up, by rising id.
#[derive(Debug, Default)]
pub(super) struct Links {
    ids: Vec<LinkId>,
    links: Vec<Link>,
}

impl Links {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Place of a link, good until the next change.
    pub(super) fn position(&self, id: LinkId) -> Option<usize> {
        // Simulated nodes number their links from 0 and keep them: no search.
        let guess = id.0 as usize;
        if self.ids.get(guess) == Some(&id) {
            return Some(guess);
        }
        self.ids.binary_search(&id).ok()
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        let at = self.position(id)?;
        Some(&mut self.links[at])
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        Some(&self.links[self.position(id)?])
    }

    /// Links to nodes of a role.
    pub(super) fn count(&self, role: Role) -> usize {
        self.links
            .iter()
            .filter(|link| link.peer.role == role)
            .count()
    }

    /// Reads what a frame on this link will need; see [`Node::look`](super::Node::look).
    pub(super) fn look(&self, id: LinkId) -> usize {
        let link = self
            .get(id)
            .map(|link| link.heard.0 ^ u64::from(link.pressed.is_some()));
        usize::try_from(link.unwrap_or(0) & 0xFFFF).unwrap_or(0)
    }

    pub(super) fn contains(&self, id: LinkId) -> bool {
        self.position(id).is_some()
    }

    pub(super) fn insert(&mut self, id: LinkId, link: Link) {
        if let Err(at) = self.ids.binary_search(&id) {
            self.ids.insert(at, id);
            self.links.insert(at, link);
        }
    }

    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let at = self.position(id)?;
        self.ids.remove(at);
        Some(self.links.remove(at))
    }

    /// Ids alone, rising.
    pub(super) fn ids(&self) -> &[LinkId] {
        &self.ids
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.ids.iter().copied().zip(&self.links)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Link)> {
        self.ids.iter().copied().zip(&mut self.links)
    }

    /// The link to a servent.
    pub(super) fn by_servent(&self, servent: ServentId) -> Option<LinkId> {
        self.iter()
            .find(|(_, link)| link.peer.servent == Some(servent))
            .map(|(id, _)| id)
    }
}
