//! Who is connected: the links that are up, with what each may do and has done.

use std::sync::Arc;

use crate::wire::vendor::VendorId;
use crate::wire::{Guid, ServentId};

use super::Time;
use super::event::{LinkId, Peer, Role};
use super::limits;
use super::offences::Offences;
use super::qrp::QueryTable;
use super::qrp::receive::TableReceiver;
use super::rate::Bucket;

/// What nearly every frame on a link reads or counts. Of all links these lie together, apart from the rest: where many
/// nodes are simulated, the time goes into fetching them from memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    id: LinkId,
    /// When a frame came last.
    pub(super) heard: Time,
    /// Frames received.
    pub(super) received: u64,
    /// Frames of those that were dropped.
    pub(super) dropped: u64,
    /// The end of time: not at all.
    pressed: Time,
}

/// The end of time.
const NEVER: Time = Time(u64::MAX);

impl Traffic {
    /// Since when its send queue is above the high mark: its queries are dropped, as their answers could not be sent.
    pub(super) fn pressed(&self) -> Option<Time> {
        (self.pressed != NEVER).then_some(self.pressed)
    }

    pub(super) fn press(&mut self, since: Option<Time>) {
        self.pressed = since.unwrap_or(NEVER);
    }
}

/// One link that is up.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Box<Peer>,
    pub(super) since: Time,
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
    /// The vendor message by which it can be asked for one itself.
    pub(super) pings_back: Option<VendorId>,
}

impl Link {
    pub(super) fn new(peer: Box<Peer>, now: Time) -> Self {
        Self {
            peer,
            since: now,
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
            child: false,
            tables: None,
            has_of_us: None,
            addresses_left: limits::PONG_ADDRESSES_MAX,
            addresses_again: now.plus(limits::PONG_ADDRESSES_SPAN),
            knock_again: now,
            ping_back_again: now,
            pings_back: None,
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
    traffic: Vec<Traffic>,
    ids: Vec<LinkId>,
    all: Vec<Link>,
}

impl Links {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Place of a link, good until the next change.
    pub(super) fn position(&self, id: LinkId) -> Option<usize> {
        // Simulated nodes number their links from 0 and keep them: no search.
        let guess = id.0 as usize;
        if self.traffic.get(guess).is_some_and(|link| link.id == id) {
            return Some(guess);
        }
        self.ids.binary_search(&id).ok()
    }

    pub(super) fn traffic(&self, id: LinkId) -> Option<&Traffic> {
        Some(&self.traffic[self.position(id)?])
    }

    pub(super) fn traffic_mut(&mut self, id: LinkId) -> Option<&mut Traffic> {
        let at = self.position(id)?;
        Some(&mut self.traffic[at])
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        let at = self.position(id)?;
        Some(&mut self.all[at])
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        Some(&self.all[self.position(id)?])
    }

    /// Links to nodes of a role.
    pub(super) fn count(&self, role: Role) -> usize {
        self.all
            .iter()
            .filter(|link| link.peer.role == role)
            .count()
    }

    /// Reads what a frame on this link will need; see [`Node::look`](super::Node::look).
    pub(super) fn look(&self, id: LinkId) -> usize {
        // Where it is in a simulation; elsewhere nobody looks.
        let link = self.traffic.get(id.0 as usize);
        link.map_or(0, |link| link.id.0 as usize)
    }

    pub(super) fn contains(&self, id: LinkId) -> bool {
        self.position(id).is_some()
    }

    pub(super) fn insert(&mut self, id: LinkId, link: Link) {
        if let Err(at) = self.ids.binary_search(&id) {
            self.ids.insert(at, id);
            let traffic = Traffic {
                id,
                heard: link.since,
                received: 0,
                dropped: 0,
                pressed: NEVER,
            };
            self.traffic.insert(at, traffic);
            self.all.insert(at, link);
        }
    }

    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let at = self.position(id)?;
        self.ids.remove(at);
        self.traffic.remove(at);
        Some(self.all.remove(at))
    }

    /// Ids alone, rising.
    pub(super) fn ids(&self) -> &[LinkId] {
        &self.ids
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.ids.iter().copied().zip(&self.all)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Link)> {
        self.ids.iter().copied().zip(&mut self.all)
    }

    /// All links, with what passed over each.
    pub(super) fn with_traffic(&self) -> impl Iterator<Item = (LinkId, &Link, &Traffic)> {
        let all = self.ids.iter().zip(&self.all).zip(&self.traffic);
        all.map(|((id, link), traffic)| (*id, link, traffic))
    }

    /// The link to a servent.
    pub(super) fn by_servent(&self, servent: ServentId) -> Option<LinkId> {
        self.iter()
            .find(|(_, link)| link.peer.servent == Some(servent))
            .map(|(id, _)| id)
    }
}
