//! Query routing tables on links: ours to those who route by it, theirs as they come.

use std::sync::Arc;
use std::time::Duration;

use crate::wire::qrp::ENTRIES_MAX;
use crate::wire::{Frame, Guid, Header, Kind};

use super::event::{Bye, LinkId, Outbox, Role};
use super::library::Library;
use super::qrp::{QueryTable, update};
use super::relay::Taken;
use super::tiers::Tier;
use super::{Drop, Node, Time};

/// How soon a change of our table is sent on: an ultrapeer's, whose leaves come and go.
const UPDATE_ULTRAPEER: Duration = Duration::from_secs(60);
/// A leaf's, whose shares change.
const UPDATE_LEAF: Duration = Duration::from_secs(120);
/// A leaf whose table is fuller than one in so many would stuff the merged one and is left out of it.
const MERGED_FILL: u32 = 2;

/// What the largest table costs when it comes unpacked, a byte an entry: its RESET, its sequence, and its bytes
/// with the heads of 256 pieces.
const LARGEST_TABLE: u64 = 3 * ENTRIES_MAX as u64 + 256 * 8;
/// What the updates of one link may cost at once: the largest table, and that again.
const UPDATES_BURST: u64 = 2 * LARGEST_TABLE;
/// And a second, in the long run: the largest table once a minute, as often as anybody updates.
const UPDATES_RATE: u64 = LARGEST_TABLE / 60;

const TOO_MANY_UPDATES: Bye = Bye {
    code: 413,
    text: "Too many query routing updates",
};
const BAD_TABLE: Bye = Bye {
    code: 413,
    text: "Invalid query routing sequence",
};

/// Our own table and when to send it next.
#[derive(Debug, Default)]
pub(super) struct OwnTable {
    /// Of our library alone.
    library: Option<Arc<QueryTable>>,
    /// What those who route by it have: for an ultrapeer with its leaves'.
    current: Option<Arc<QueryTable>>,
    pub(super) due: Option<Time>,
}

impl Node {
    /// The library is another: so is our table, unless only hashes have come.
    pub(super) fn library_changed(&mut self, now: Time, library: Arc<Library>) {
        let same_names = self.library.same_names(&library);
        self.library = library;
        if self.tier() != Tier::Flat && (self.table.library.is_none() || !same_names) {
            self.table.library = Some(Arc::new(QueryTable::of_library(&self.library)));
            self.table_changed(now);
        }
    }

    /// Our table, or a leaf's, has changed: others hear of it in a while, once for many changes.
    pub(super) fn table_changed(&mut self, now: Time) {
        let wait = if self.tier() == Tier::Leaf {
            UPDATE_LEAF
        } else {
            UPDATE_ULTRAPEER
        };
        // Whoever shared nothing so far, as before its first scan, has waited long enough.
        let nothing_yet = self
            .table
            .current
            .as_ref()
            .is_none_or(|table| table.used() == 0);
        let due = now.plus(if nothing_yet { Duration::ZERO } else { wait });
        self.table.due = Some(self.table.due.map_or(due, |known| known.min(due)));
    }

    /// Does the peer of this link route by our table?
    fn routes_by_our_table(&self, id: LinkId) -> bool {
        self.links.get(id).is_some_and(|link| {
            link.peer.role == Role::Ultrapeer
                && match self.tier() {
                    Tier::Flat => false,
                    Tier::Leaf => link.peer.query_routing,
                    Tier::Ultrapeer => link.peer.ultrapeer_query_routing,
                }
        })
    }

    /// A new link gets all of our table at once.
    pub(super) fn introduce_table(&mut self, id: LinkId, out: &mut Outbox) {
        if self.routes_by_our_table(id) {
            self.send_table(id, out);
        }
    }

    /// Brings everybody's copy up to date when it is time.
    pub(super) fn tables_tick(&mut self, now: Time, out: &mut Outbox) {
        if self.table.due.is_none_or(|due| due > now) {
            return;
        }
        self.table.due = None;
        self.table.current = None;
        for id in self.links.ids().to_vec() {
            self.introduce_table(id, out);
        }
    }

    /// Our table is made anew for whoever comes next.
    pub(super) fn table_is_another(&mut self) {
        self.table.current = None;
    }

    fn send_table(&mut self, id: LinkId, out: &mut Outbox) {
        let current = self.current_table();
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        let payloads = match link.has_of_us.replace(Arc::clone(&current)) {
            None => update::whole(&current),
            Some(old) => update::difference(&old, &current),
        };
        for payload in payloads {
            let header = Header {
                guid: Guid::from_random([0x51; 16]),
                kind: Kind::Qrp,
                ttl: 1,
                hops: 0,
            };
            self.send(
                id,
                Frame {
                    header,
                    payload: payload.into(),
                },
                out,
            );
        }
    }

    /// What others should have of us. With nothing shared it is complete and empty, so that nobody sends us
    /// everything for want of a table.
    fn current_table(&mut self) -> Arc<QueryTable> {
        if let Some(current) = &self.table.current {
            return Arc::clone(current);
        }
        let own = self
            .table
            .library
            .get_or_insert_with(|| Arc::new(QueryTable::of_library(&self.library)));
        let mut current = Arc::clone(own);
        if self.config.role == Role::Ultrapeer {
            let merged = Arc::make_mut(&mut current);
            let leaves = self
                .links
                .iter()
                .filter(|(_, link)| link.peer.role == Role::Leaf && link.hops_flow > 0);
            for table in leaves.filter_map(|(_, link)| link.table()) {
                if table.used() <= table.entries() / MERGED_FILL {
                    merged.merge(table);
                }
            }
        }
        self.table.current = Some(Arc::clone(&current));
        current
    }

    /// An update of a neighbour's table came in.
    pub(super) fn qrp_in(
        &mut self,
        now: Time,
        from: LinkId,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Taken {
        if frame.header.hops != 0 || frame.header.ttl > 1 {
            return Err(Drop::NotOneHop);
        }
        let expected = self.tier() == Tier::Ultrapeer;
        let link = self.links.get_mut(from).ok_or(Drop::LinkGone)?;
        let leaf = link.peer.role == Role::Leaf;
        if !expected || !(leaf || link.peer.ultrapeer_query_routing) {
            return Err(Drop::Unused);
        }
        let tables = link.tables.get_or_insert_default();
        let cost = tables.cost(&frame.payload);
        // Without this piece the sequence is broken, and so is all that would follow.
        if !link
            .rate_tables
            .take_within(now, cost, UPDATES_RATE, UPDATES_BURST)
        {
            self.close(from, TOO_MANY_UPDATES, out);
            return Err(Drop::RateLimited);
        }
        let Ok(complete) = tables.take(&frame.payload) else {
            self.close(from, BAD_TABLE, out);
            return Err(Drop::BadTable);
        };
        if complete && leaf {
            self.table_changed(now);
        }
        Ok(())
    }
}
