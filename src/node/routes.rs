//! Seen before, and the way back: one table, one entry, so that the two can never disagree.
//!
//! `lru` lives here: ids come from strangers, so the table is bounded, keeps the youngest, and uses a
//! randomly seeded hasher. It is the duplicate suppression of the flood (overlay, "Routing", tables 1-3).

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::wire::{Guid, ServentId};

use super::Time;
use super::event::LinkId;
use super::limits;

/// Where a message came from first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We sent it.
    Ours,
    /// A neighbour did.
    Link(LinkId),
}

/// What a message id is to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// Never seen, or forgotten.
    Fresh,
    /// Seen, but never with so high a TTL.
    Raised,
    /// Seen. `same_link`: and from this very neighbour.
    Duplicate {
        /// The neighbour repeats itself.
        same_link: bool,
    },
}

/// One remembered id: 20 bytes besides its key.
#[derive(Clone, Copy, Debug)]
struct Route {
    /// Link id, [`OURS`] for our own.
    from: u32,
    /// Seconds since the start when it was first seen.
    at_s: u32,
    duplicates: u16,
    forwarded: u16,
    /// Hit frames passed back along this way.
    hits: u16,
    /// Highest TTL seen.
    ttl: u8,
    hops: u8,
}

/// Stands for ourselves in [`Route::from`]; no shell counts its links that far.
const OURS: u32 = u32::MAX;

/// The way a message id came, as [`RouteTable::trace`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// Where it came from first.
    pub origin: Origin,
    /// Hops it had travelled before the link it came on.
    pub hops: u8,
    /// Copies received after the first.
    pub duplicates: u16,
    /// Links it was given to.
    pub forwarded: u16,
}

/// Bounded memory of message ids and the way back of their answers.
///
/// The youngest id stands before the cache of all others: nearly all copies of a flood come while theirs is the youngest,
/// and it is found without a search, in the line of the processor's cache that the table begins with. Both together
/// remember and forget what the cache alone would.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct RouteTable {
    youngest: Option<(Guid, Route)>,
    /// `None`: no more than one id is remembered.
    older: Option<LruCache<Guid, Route>>,
}

fn lazy<K: std::hash::Hash + Eq, V>(bound: NonZeroUsize) -> LruCache<K, V> {
    // `new` would allocate for the whole bound at once: in a simulation of 10^6 nodes that is most of
    // the memory. A resized unbounded cache has the same bound and grows as it fills.
    let mut cache = LruCache::unbounded();
    cache.resize(bound);
    cache
}

fn seconds(now: Time) -> u32 {
    u32::try_from(now.0 / 1_000_000_000).unwrap_or(u32::MAX)
}

fn origin(route: &Route) -> Origin {
    if route.from == OURS {
        Origin::Ours
    } else {
        Origin::Link(LinkId(route.from))
    }
}

fn alive(route: &Route, now_s: u32) -> bool {
    u64::from(now_s.saturating_sub(route.at_s)) <= limits::ROUTE_LIFE.as_secs()
}

impl RouteTable {
    /// An empty table of at most `bound` ids.
    pub fn new(bound: NonZeroUsize) -> Self {
        Self {
            youngest: None,
            older: NonZeroUsize::new(bound.get() - 1).map(lazy),
        }
    }

    fn get(&self, guid: &Guid) -> Option<&Route> {
        match &self.youngest {
            Some((known, route)) if known == guid => Some(route),
            _ => self.older.as_ref()?.peek(guid),
        }
    }

    fn get_mut(&mut self, guid: &Guid) -> Option<&mut Route> {
        match &mut self.youngest {
            Some((known, route)) if known == guid => Some(route),
            _ => self.older.as_mut()?.peek_mut(guid),
        }
    }

    /// Takes an id out of the older ones, if it is one of them.
    fn pop_older(&mut self, guid: &Guid) {
        if let Some(older) = &mut self.older {
            older.pop(guid);
        }
    }

    /// Makes this the youngest, which is not among the older ones.
    fn put(&mut self, guid: Guid, route: Route) {
        if let Some((known, route)) = self.youngest.replace((guid, route))
            && known != guid
            && let Some(older) = &mut self.older
        {
            older.put(known, route);
        }
    }

    /// Reads what a frame with this id will need, and whether it would be the first; see
    /// [`Node::look`](super::Node::look).
    pub(super) fn look(&self, guid: &Guid) -> (usize, bool) {
        match (&self.youngest, &self.older) {
            (Some((known, _)), _) if known == guid => (0, false),
            (Some((known, route)), Some(older)) => {
                if older.peek(guid).is_some() {
                    return (1, false);
                }
                // The youngest will have to make room: its place among the older ones, and the one before it.
                let place = older.peek(known).map_or(0, |route| route.hops);
                let before = older.iter().next().map_or(0, |(_, route)| route.hops);
                (usize::from(place ^ before ^ route.hops), true)
            }
            _ => (0, true),
        }
    }

    /// Remembers an id. A known id is not refreshed: else a peer could pin entries by repeating them.
    pub fn learn(&mut self, guid: Guid, from: Origin, ttl: u8, hops: u8, now: Time) -> Novelty {
        let now_s = seconds(now);
        let from = match from {
            Origin::Ours => OURS,
            Origin::Link(link) => link.0,
        };
        if let Some(route) = self.get_mut(&guid) {
            if alive(route, now_s) {
                route.duplicates = route.duplicates.saturating_add(1);
                if ttl > route.ttl {
                    route.ttl = ttl;
                    return Novelty::Raised;
                }
                return Novelty::Duplicate {
                    same_link: route.from == from,
                };
            }
            self.pop_older(&guid);
        }
        self.put(
            guid,
            Route {
                from,
                at_s: now_s,
                duplicates: 0,
                forwarded: 0,
                hits: 0,
                ttl,
                hops,
            },
        );
        Novelty::Fresh
    }

    /// Notes on how many links an id was sent on.
    pub fn forwarded(&mut self, guid: &Guid, links: usize) {
        if let Some(route) = self.get_mut(guid) {
            route.forwarded = route
                .forwarded
                .saturating_add(u16::try_from(links).unwrap_or(u16::MAX));
        }
    }

    /// The way back for an answer to `guid`, with the number of answers that took it before. Refreshes the
    /// entry: a query that is being answered is worth keeping.
    pub fn back(&mut self, guid: &Guid, now: Time) -> Option<(Origin, u16)> {
        let mut route = *self.get(guid)?;
        let is_alive = alive(&route, seconds(now));
        let before = route.hits;
        if is_alive {
            route.hits = route.hits.saturating_add(1);
        }
        self.pop_older(guid);
        self.put(*guid, route);
        is_alive.then(|| (origin(&route), before))
    }

    /// What is known of an id, without touching it.
    pub fn trace(&self, guid: &Guid) -> Option<RouteInfo> {
        let route = self.get(guid)?;
        Some(RouteInfo {
            origin: origin(route),
            hops: route.hops,
            duplicates: route.duplicates,
            forwarded: route.forwarded,
        })
    }

    /// Ids remembered.
    pub fn len(&self) -> usize {
        let older = self.older.as_ref().map_or(0, LruCache::len);
        older + usize::from(self.youngest.is_some())
    }

    /// None remembered?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Over which link the hits of a servent came: the way for pushes to it.
#[derive(Debug)]
pub struct PushRoutes {
    ways: LruCache<ServentId, LinkId>,
}

impl Default for PushRoutes {
    fn default() -> Self {
        Self {
            ways: lazy(limits::PUSH_ROUTES_MAX),
        }
    }
}

impl PushRoutes {
    /// Remembers that a hit of `servent` came over `link`.
    pub fn learn(&mut self, servent: ServentId, link: LinkId) {
        self.ways.put(servent, link);
    }

    /// The link to send a push for `servent` on.
    pub fn way(&mut self, servent: &ServentId) -> Option<LinkId> {
        self.ways.get(servent).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const A: Origin = Origin::Link(LinkId(1));
    const B: Origin = Origin::Link(LinkId(2));

    fn table(bound: usize) -> RouteTable {
        RouteTable::new(NonZeroUsize::new(bound).unwrap())
    }

    fn guid(n: u8) -> Guid {
        Guid([n; 16])
    }

    #[test]
    fn a_repeat_is_a_duplicate_and_the_first_way_stays() {
        let mut routes = table(8);
        assert_eq!(routes.learn(guid(1), A, 4, 0, Time::ZERO), Novelty::Fresh);
        assert_eq!(
            routes.learn(guid(1), B, 4, 1, Time::ZERO),
            Novelty::Duplicate { same_link: false }
        );
        assert_eq!(
            routes.learn(guid(1), A, 3, 1, Time::ZERO),
            Novelty::Duplicate { same_link: true }
        );
        assert_eq!(routes.back(&guid(1), Time::ZERO), Some((A, 0)));
        assert_eq!(routes.back(&guid(1), Time::ZERO), Some((A, 1)));
        assert_eq!(routes.trace(&guid(1)).unwrap().duplicates, 2);
    }

    #[test]
    fn a_higher_ttl_raises_once() {
        let mut routes = table(8);
        routes.learn(guid(1), A, 1, 0, Time::ZERO);
        assert_eq!(routes.learn(guid(1), B, 3, 0, Time::ZERO), Novelty::Raised);
        assert_eq!(
            routes.learn(guid(1), A, 3, 0, Time::ZERO),
            Novelty::Duplicate { same_link: true }
        );
    }

    #[test]
    fn the_bound_holds_and_the_oldest_goes_even_if_repeated() {
        let mut routes = table(2);
        routes.learn(guid(1), A, 4, 0, Time::ZERO);
        routes.learn(guid(2), A, 4, 0, Time::ZERO);
        routes.learn(guid(1), A, 4, 0, Time::ZERO);
        routes.learn(guid(3), A, 4, 0, Time::ZERO);
        assert_eq!(routes.len(), 2);
        assert_eq!(routes.back(&guid(1), Time::ZERO), None);
    }

    #[test]
    fn an_answered_way_outlives_an_idle_one() {
        let mut routes = table(2);
        routes.learn(guid(1), A, 4, 0, Time::ZERO);
        routes.learn(guid(2), A, 4, 0, Time::ZERO);
        routes.back(&guid(1), Time::ZERO);
        routes.learn(guid(3), A, 4, 0, Time::ZERO);
        assert!(routes.back(&guid(1), Time::ZERO).is_some());
        assert!(routes.back(&guid(2), Time::ZERO).is_none());
    }

    #[test]
    fn it_remembers_and_forgets_what_a_plain_list_would() {
        use rand::rngs::ChaCha8Rng;
        use rand::{Rng, SeedableRng};
        for bound in [1, 2, 3, 10] {
            let mut routes = table(bound);
            // Oldest first, with the number of hits.
            let mut plain: Vec<(u8, u16)> = Vec::new();
            let mut rng = ChaCha8Rng::seed_from_u64(bound as u64);
            for step in 0..3_000 {
                let id = u8::try_from(rng.next_u64() % (2 * bound as u64)).unwrap();
                let at = plain.iter().position(|(known, _)| *known == id);
                if rng.next_u64().is_multiple_of(2) {
                    let novelty = routes.learn(guid(id), A, 4, 0, Time::ZERO);
                    assert_eq!(novelty == Novelty::Fresh, at.is_none(), "step {step}");
                    if at.is_none() {
                        if plain.len() == bound {
                            plain.remove(0);
                        }
                        plain.push((id, 0));
                    }
                } else {
                    let hits = at.map(|at| plain.remove(at).1);
                    let way = hits.map(|hits| (A, hits));
                    assert_eq!(routes.back(&guid(id), Time::ZERO), way, "step {step}");
                    plain.extend(hits.map(|hits| (id, hits + 1)));
                }
                assert_eq!(routes.len(), plain.len());
            }
            assert!(
                plain
                    .iter()
                    .all(|(id, _)| routes.trace(&guid(*id)).is_some())
            );
        }
    }

    #[test]
    fn ways_expire() {
        let mut routes = table(8);
        routes.learn(guid(1), A, 4, 0, Time::ZERO);
        let later = Time::ZERO
            .plus(limits::ROUTE_LIFE)
            .plus(Duration::from_secs(2));
        assert_eq!(routes.back(&guid(1), later), None);
        assert_eq!(routes.learn(guid(1), B, 4, 0, later), Novelty::Fresh);
    }
}
