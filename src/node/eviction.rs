//! Whose place a newcomer gets when all are taken.
//!
//! Somebody with many addresses could take all places that a node of the live network gives, and so keep everybody else
//! out. Then a newcomer from elsewhere gets the place of another, in the spirit of Bitcoin Core: links with a merit that
//! is dear to feign are spared (a network of its own, quick answers, hits, a long life), and of the others the youngest
//! of the network with most links goes.
//!
//! It is no means to drive out whom one likes: links that we opened or were asked to keep are never touched, one link
//! gives way in [`EVICTION_GAP`](limits::EVICTION_GAP), only to a node that has done its greeting, and only when that
//! leaves its network with fewer links than the other has now. Where all networks have one link each, one that brought
//! nothing in an hour gives way, but far more rarely: a network whose places are all taken would never come to rest.
//! On a LAN nobody gives way: all addresses there are one owner's, whoever is refused is told of others, and
//! laboratories count on links that stay.
//!
//! Source: bootstrap.md section 7; Bitcoin Core, "eviction".

use std::cmp::Reverse;
use std::net::SocketAddr;

use super::event::{Bye, Direction, LinkId, Outbox, Peer, Role};
use super::tiers::Tier;
use super::{Node, Time, limits};

const DISPLACED: Bye = Bye {
    code: 202,
    text: "Another node needs this place",
};

/// When links last gave way, by role: leaves cannot use up what is for ultrapeers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evictions {
    ultrapeer: Last,
    leaf: Last,
}

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    any: Option<Time>,
    idle: Option<Time>,
}

impl Evictions {
    fn last(&mut self, role: Role) -> &mut Last {
        match role {
            Role::Ultrapeer => &mut self.ultrapeer,
            Role::Leaf => &mut self.leaf,
        }
    }
}

/// Why a link gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its network has more links than that of the newcomer will have.
    Crowd,
    /// It brings nothing.
    Idle,
}

/// A link that may have to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    id: LinkId,
    /// Its network, and a number for that which nobody else can know.
    group: u64,
    lot: u64,
    rtt_us: u32,
    hits: u32,
    since: Time,
}

impl Node {
    /// The link that would give way to this newcomer, if any.
    pub(super) fn place_for(&mut self, now: Time, newcomer: &Peer) -> Option<(LinkId, Why)> {
        if self.tier() != Tier::Ultrapeer || newcomer.direction != Direction::Accepted {
            return None;
        }
        let last = *self.peering.evictions.last(newcomer.role);
        let since = |at: Option<Time>, gap| at.is_none_or(|at| now.since(at) >= gap);
        if !since(last.any, limits::EVICTION_GAP) {
            return None;
        }
        let places = match newcomer.role {
            Role::Ultrapeer => self.config.max_links,
            Role::Leaf => self.config.max_leaves,
        };
        let all = self.displaceable(newcomer.role);
        let (id, why) = chosen(now, all, self.hosts.group(newcomer.remote), places)?;
        let rare = why == Why::Idle && !since(last.idle, limits::EVICTION_IDLE_GAP);
        (!rare).then_some((id, why))
    }

    /// Has a link give way to this newcomer. `false`: none does.
    pub(super) fn make_place(&mut self, now: Time, newcomer: &Peer, out: &mut Outbox) -> bool {
        let Some((id, why)) = self.place_for(now, newcomer) else {
            return false;
        };
        let last = self.peering.evictions.last(newcomer.role);
        last.any = Some(now);
        if why == Why::Idle {
            last.idle = Some(now);
        }
        self.close(id, DISPLACED, out);
        true
    }

    /// Accepted links of a role that nobody asked us to keep.
    fn displaceable(&self, role: Role) -> Vec<Candidate> {
        let kept = |peer: &Peer| {
            let is_it = |addr: &SocketAddr| peer.is_at(*addr);
            self.peering.keep.iter().any(is_it)
        };
        let links = self.links.iter().filter(|(_, link)| {
            let peer = &link.peer;
            (peer.direction, peer.role) == (Direction::Accepted, role) && !kept(peer)
        });
        links
            .map(|(id, link)| Candidate {
                id,
                group: self.hosts.group(link.peer.remote),
                lot: self.hosts.lot(link.peer.remote),
                rtt_us: link.rtt_us,
                hits: link.hits,
                since: link.since,
            })
            .collect()
    }
}

/// Which of `all` gives way to one of the group `newcomer`, where there are so many places in all, and why.
fn chosen(now: Time, all: Vec<Candidate>, newcomer: u64, places: usize) -> Option<(LinkId, Why)> {
    let groups: Vec<u64> = all.iter().map(|one| one.group).collect();
    let members = |group: u64| groups.iter().filter(|other| **other == group).count();
    let spared = (places / limits::SPARED_SHARE).max(1);
    let mut left = all;

    // One link each of some groups, drawn so that nobody can choose to be of one of them.
    left.sort_by_key(|one| (one.lot, one.since, one.id));
    let mut lots = Vec::new();
    left.retain(|one| {
        let spare = lots.len() < spared && !lots.contains(&one.group);
        if spare {
            lots.push(one.group);
        }
        !spare
    });
    spare(&mut left, spared, |one| {
        (one.rtt_us < u32::MAX).then_some(one.rtt_us)
    });
    spare(&mut left, spared, |one| {
        (one.hits > 0).then_some(Reverse(one.hits))
    });
    let half = left.len() / 2;
    spare(&mut left, half, |one| Some(one.since));

    let crowd = left
        .iter()
        .filter(|one| members(one.group) > members(newcomer) + 1)
        .max_by_key(|one| (members(one.group), one.since, one.id));
    let idle = || {
        left.iter()
            .filter(|one| one.hits == 0 && now.since(one.since) >= limits::EVICTION_IDLE)
            .filter(|one| members(one.group) > members(newcomer))
            .max_by_key(|one| (one.since, one.id))
    };
    let crowd = crowd.map(|one| (one.id, Why::Crowd));
    crowd.or_else(|| idle().map(|one| (one.id, Why::Idle)))
}

/// Takes out the `count` with the least `rank`; those without a rank stay.
fn spare<K: Ord>(left: &mut Vec<Candidate>, count: usize, rank: impl Fn(&Candidate) -> Option<K>) {
    let mut ranked: Vec<_> = left
        .iter()
        .filter_map(|one| Some((rank(one)?, one.id)))
        .collect();
    ranked.sort();
    ranked.truncate(count);
    left.retain(|one| ranked.iter().all(|(_, id)| *id != one.id));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR_S: u64 = 3_600;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn crowd(id: u32) -> (LinkId, Why) {
        (LinkId(id), Why::Crowd)
    }

    /// Links of these groups, each a second younger than the one before, of no merit.
    fn links(groups: &[u64]) -> Vec<Candidate> {
        let one = |(n, group): (u32, &u64)| Candidate {
            id: LinkId(n),
            group: *group,
            lot: group.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            rtt_us: u32::MAX,
            hits: 0,
            since: at(u64::from(n)),
        };
        (0..).zip(groups).map(one).collect()
    }

    #[test]
    fn the_youngest_of_the_largest_network_gives_way() {
        let all = links(&[(100..120).collect(), vec![7; 8]].concat());
        assert_eq!(chosen(at(30), all.clone(), 1, 32), Some(crowd(27)));
        // Those of that network would gain nothing by it, and a network as large no less.
        assert_eq!(chosen(at(30), all.clone(), 7, 32), None);
        let others = [(100..112).collect(), vec![7; 8], vec![8; 8]].concat();
        assert_eq!(chosen(at(30), links(&others), 8, 32), None);
        // Whoever has one link of its own may have a second where another has eight.
        assert_eq!(chosen(at(30), all, 100, 32), Some(crowd(27)));
    }

    #[test]
    fn merits_are_spared_each_in_its_number() {
        let all = links(&[7; 32]);
        // 4 quick ones and 4 that bring hits are the youngest.
        let mut merits = all.clone();
        for one in &mut merits[24..28] {
            one.rtt_us = 900;
        }
        for one in &mut merits[28..32] {
            one.hits = 3;
        }
        assert_eq!(chosen(at(40), all, 1, 32), Some(crowd(31)));
        assert_eq!(chosen(at(40), merits.clone(), 1, 32), Some(crowd(23)));
        // More of a merit than its number of places: the least of them may go.
        merits[23].rtt_us = 901;
        assert_eq!(chosen(at(40), merits, 1, 32), Some(crowd(23)));
    }

    #[test]
    fn the_older_half_of_what_is_left_stays_whatever_the_newcomers_are() {
        let mut all = links(&[7; 20]);
        let mut gone = Vec::new();
        while let Some((id, _)) = chosen(at(HOUR_S), all.clone(), 1, 32) {
            // Its place goes to one more of the same crowd.
            all.retain(|one| one.id != id);
            gone.push(id);
            if gone.len() == 1_000 {
                break;
            }
            let serial = u32::try_from(gone.len()).unwrap() + 100;
            all.push(Candidate {
                id: LinkId(serial),
                since: at(u64::from(serial)),
                ..all[0]
            });
        }
        assert!(gone.iter().all(|id| id.0 == 19 || id.0 > 100), "{gone:?}");
    }

    #[test]
    fn where_all_are_alike_only_those_that_bring_nothing_give_way_and_not_at_once() {
        let groups: Vec<u64> = (0..22).collect();
        let all = links(&groups);
        let soon = at(22 + limits::EVICTION_IDLE.as_secs() / 2);
        assert_eq!(chosen(soon, all.clone(), 99, 32), None);
        let late = at(22 + limits::EVICTION_IDLE.as_secs());
        let (id, why) = chosen(late, all.clone(), 99, 32).unwrap();
        assert_eq!(why, Why::Idle);
        // Of a network that is here already, nobody more comes in this way.
        assert_eq!(chosen(late, all.clone(), 3, 32), None);
        let mut busy = all;
        busy.iter_mut().for_each(|one| one.hits = 1);
        assert_eq!(chosen(late, busy, 99, 32), None, "{id:?} did before");
    }

    #[test]
    fn the_only_link_of_a_network_is_spared_where_there_are_few() {
        assert_eq!(chosen(at(HOUR_S), Vec::new(), 1, 8), None);
        assert_eq!(chosen(at(HOUR_S), links(&[7]), 1, 8), None);
        assert_eq!(chosen(at(HOUR_S), links(&[7, 7]), 1, 8), Some(crowd(1)));
    }
}
