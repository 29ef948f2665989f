//! Where an address stands in the book: two tables of numbered places, found by a keyed hash, so that nobody can aim
//! for the place of another.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use super::super::address::Net;

/// Buckets of the table of addresses heard of.
pub(super) const NEW_BUCKETS: u64 = 64;
/// Buckets that the groups told of by one source group are spread over.
pub(super) const NEW_BUCKETS_PER_SOURCE: u64 = 8;
/// Buckets of the table of addresses greeted.
pub(super) const TRIED_BUCKETS: u64 = 16;
/// Buckets that the addresses of one group are spread over.
const TRIED_BUCKETS_PER_GROUP: u64 = 2;
/// Places in a bucket. 64 x 32 + 16 x 32 = 2,560 addresses in all.
pub(super) const SLOTS: u64 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Tried,
    New,
}

/// A table, and a number in it.
pub(super) type Place = (Table, u32);

/// Which places are taken, and by whom.
#[derive(Debug)]
pub(super) struct Places {
    net: Net,
    /// Secret that decides the places.
    key: u64,
    taken: BTreeMap<Place, SocketAddr>,
}

impl Places {
    pub(super) fn new(net: Net, key: u64) -> Self {
        Self {
            net,
            key,
            taken: BTreeMap::new(),
        }
    }

    /// Who has this place.
    pub(super) fn holder(&self, place: Place) -> Option<SocketAddr> {
        self.taken.get(&place).copied()
    }

    pub(super) fn take(&mut self, place: Place, addr: SocketAddr) {
        self.taken.insert(place, addr);
    }

    pub(super) fn free(&mut self, place: Place) {
        self.taken.remove(&place);
    }

    /// The place of an address that somebody of the group `told_by` told of.
    pub(super) fn of_new(&self, addr: SocketAddr, told_by: u64) -> Place {
        let spread =
            self.hash(("new group", self.net.group(addr), told_by)) % NEW_BUCKETS_PER_SOURCE;
        let bucket = self.hash(("new", told_by, spread)) % NEW_BUCKETS;
        self.place(Table::New, bucket, addr)
    }

    /// The place of an address that a greeting was done with.
    pub(super) fn of_tried(&self, addr: SocketAddr) -> Place {
        let spread = self.hash(("tried address", addr)) % TRIED_BUCKETS_PER_GROUP;
        let bucket = self.hash(("tried", self.net.group(addr), spread)) % TRIED_BUCKETS;
        self.place(Table::Tried, bucket, addr)
    }

    /// A number for a group of addresses that nobody else can know beforehand.
    pub(super) fn lot(&self, group: u64) -> u64 {
        self.hash(("lot", group))
    }

    fn place(&self, table: Table, bucket: u64, addr: SocketAddr) -> Place {
        let slot = bucket * SLOTS + self.hash(("slot", table == Table::New, bucket, addr)) % SLOTS;
        (table, u32::try_from(slot).expect("a few thousand places"))
    }

    fn hash(&self, what: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.key, what).hash(&mut hasher);
        hasher.finish()
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (Place, SocketAddr)> + '_ {
        self.taken.iter().map(|(place, addr)| (*place, *addr))
    }
}
