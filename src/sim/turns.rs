//! Churn in a world: when each node goes and comes back. Every draw is made from a source of the node's own, so that it
//! depends on nothing but seed, node and turn.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;

use crate::topology::events::{Churn, Times};
use crate::topology::{Network, dice};

use super::churn::{Peer, PeerClass};

/// Purpose of the randomness of churn; the number of the node is added.
const CHURN_PURPOSE: u64 = 8 << 32;
/// Turns of one node before the first that is seen, at most: some times are seconds and a past may be years.
const PAST_MAX: u32 = 100_000;
/// Seconds in an hour, in nanoseconds.
const HOUR_NS: f64 = 3_600e9;

/// How long one node stays and stays away.
#[derive(Clone, Debug)]
enum Stays {
    Memoryless { up_h: f64, down_h: f64 },
    Class(Peer),
}

#[derive(Clone, Debug)]
struct Member {
    stays: Stays,
    /// Whether churn has it up.
    up: bool,
    turn: u32,
}

/// One turn of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It comes.
    Comes,
    /// It takes leave.
    Leaves,
    /// It dies.
    Dies,
}

/// Nodes that go and come back.
#[derive(Debug)]
pub(super) struct Turns {
    seed: u64,
    crash: f64,
    members: BTreeMap<u32, Member>,
    due: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Turns {
    /// Begins churn at `now_ns`. The second part: who is away from the first, and how each of them went.
    pub(super) fn begin(
        churn: &Churn,
        network: &Network,
        nodes: &[u32],
        now_ns: u64,
    ) -> (Self, Vec<(u32, Turn)>) {
        let classes: Vec<PeerClass> = match &churn.times {
            Times::Memoryless { .. } => Vec::new(),
            Times::Classes(classes) => classes.iter().copied().map(PeerClass::from).collect(),
        };
        let mut turns = Self {
            seed: network.seed,
            crash: churn.crash,
            members: BTreeMap::new(),
            due: BinaryHeap::new(),
        };
        let mut gone = Vec::new();
        for node in nodes {
            let mut dice = turns.dice(*node, 0);
            let stays = match &churn.times {
                Times::Memoryless { up, down } => Stays::Memoryless {
                    up_h: hours(*up),
                    down_h: hours(*down),
                },
                Times::Classes(_) => {
                    let peer = Peer::draw(&classes, &mut dice);
                    Stays::Class(peer.expect("a file has one class at least"))
                }
            };
            let mut member = Member {
                stays,
                up: true,
                turn: 0,
            };
            let before = hours(churn.before);
            // What was before ends with the first stay that goes on beyond now.
            let mut left_h = -before;
            for _ in 0..PAST_MAX {
                left_h += turns.stay_h(*node, &mut member);
                if left_h > 0.0 {
                    break;
                }
                member.up = !member.up;
            }
            if !member.up {
                gone.push((*node, turns.goes(*node, &member)));
            }
            let at = now_ns.saturating_add(nanos(left_h.max(0.0)));
            turns.due.push(Reverse((at, *node)));
            turns.members.insert(*node, member);
        }
        (turns, gone)
    }

    /// When the next turn is.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next turn.
    pub(super) fn next(&mut self) -> Option<(u32, Turn)> {
        let Reverse((at, node)) = self.due.pop()?;
        let mut member = self.members.remove(&node)?;
        member.up = !member.up;
        let turn = if member.up {
            Turn::Comes
        } else {
            self.goes(node, &member)
        };
        let stay_h = self.stay_h(node, &mut member);
        let again = at.saturating_add(nanos(stay_h)).max(at + 1);
        self.due.push(Reverse((again, node)));
        self.members.insert(node, member);
        Some((node, turn))
    }

    /// Ends churn: whom it sent away.
    pub(super) fn end(self) -> impl Iterator<Item = u32> {
        let members = self.members.into_iter();
        members
            .filter(|(_, member)| !member.up)
            .map(|(node, _)| node)
    }

    /// How a node goes that is away from now on.
    fn goes(&self, node: u32, member: &Member) -> Turn {
        let mut dice = self.dice(node, member.turn);
        if dice::chance(&mut dice, self.crash) {
            Turn::Dies
        } else {
            Turn::Leaves
        }
    }

    /// How long it stays as it is.
    fn stay_h(&self, node: u32, member: &mut Member) -> f64 {
        member.turn += 1;
        let mut dice = self.dice(node, member.turn);
        // The first draw is for how it went.
        dice::unit(&mut dice);
        match (&member.stays, member.up) {
            (Stays::Memoryless { up_h, .. }, true) => exponential(&mut dice) * up_h,
            (Stays::Memoryless { down_h, .. }, false) => exponential(&mut dice) * down_h,
            (Stays::Class(peer), true) => peer.on_h(&mut dice),
            (Stays::Class(peer), false) => peer.off_h(&mut dice),
        }
    }

    fn dice(&self, node: u32, turn: u32) -> ChaCha8Rng {
        let seed = self.seed ^ u64::from(turn).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        dice::seeded(seed, CHURN_PURPOSE + u64::from(node))
    }
}

fn exponential(dice: &mut ChaCha8Rng) -> f64 {
    -(1.0 - dice::unit(dice)).ln()
}

fn hours(span: Duration) -> f64 {
    span.as_secs_f64() / 3_600.0
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and far too long times become the longest there is"
)]
fn nanos(hours: f64) -> u64 {
    (hours * HOUR_NS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::events::NodeClass;
    use crate::topology::parse_spec;

    fn churn(times: Times, before: Duration) -> Churn {
        Churn {
            nodes: Vec::new(),
            crash: 0.25,
            before,
            times,
        }
    }

    fn memoryless(up: u64, down: u64) -> Times {
        let (up, down) = (Duration::from_secs(up), Duration::from_secs(down));
        Times::Memoryless { up, down }
    }

    fn begin(churn: &Churn, nodes: u32) -> (Turns, Vec<(u32, Turn)>) {
        let network = Network::new(&parse_spec("ring:2000", 5).unwrap()).unwrap();
        Turns::begin(churn, &network, &(0..nodes).collect::<Vec<_>>(), 1_000)
    }

    #[test]
    fn times_have_their_means_and_some_die() {
        let (mut turns, gone) = begin(&churn(memoryless(30, 10), Duration::ZERO), 1);
        assert!(gone.is_empty(), "nobody is away at first");
        let (mut at, mut spent, mut deaths) = (1_000, [0_u64; 2], 0);
        for turn in 0..8_000 {
            let next = turns.next_at().unwrap();
            spent[turn % 2] += next - at;
            at = next;
            let (_, turn) = turns.next().unwrap();
            deaths += u32::from(turn == Turn::Dies);
        }
        let mean_s = |sum: u64| Duration::from_nanos(sum / 4_000).as_secs_f64();
        assert!((28.0..32.0).contains(&mean_s(spent[0])), "{spent:?}");
        assert!((9.0..11.0).contains(&mean_s(spent[1])), "{spent:?}");
        assert!((900..1_100).contains(&deaths), "{deaths}");
    }

    #[test]
    fn after_a_long_past_the_share_of_those_away_is_a_steady_one() {
        let long = Duration::from_hours(1);
        let (turns, gone) = begin(&churn(memoryless(30, 10), long), 2_000);
        assert!((440..560).contains(&gone.len()), "{}", gone.len());
        let away: Vec<u32> = turns.end().collect();
        assert_eq!(away, gone.iter().map(|(node, _)| *node).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_node_draws_depends_on_no_other() {
        let usual = churn(
            Times::Classes(NodeClass::USUAL.to_vec()),
            Duration::from_hours(48),
        );
        let list = |nodes: u32| {
            let (mut turns, _) = begin(&usual, nodes);
            let mut of_first = Vec::new();
            while of_first.len() < 20 {
                let at = turns.next_at().unwrap();
                let (node, turn) = turns.next().unwrap();
                if node == 0 {
                    of_first.push((at, turn));
                }
            }
            of_first
        };
        assert_eq!(list(1), list(50));
    }
}
