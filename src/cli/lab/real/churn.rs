//! Nodes that go and come back by themselves, each for itself, after times that are drawn at random.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;

use super::deed::Deed;
use super::fleet::Fleet;
use crate::cli::clock::Stopwatch;
use crate::sim::churn::{Peer, PeerClass};
use crate::topology::dice;
use crate::topology::events::Times;

/// Purpose of the randomness.
const CHURN_PURPOSE: u64 = 6 << 32;
/// Nobody stays, or stays away, for longer. Our choice: no run lasts a year, and times of a long tail may.
const STAY_MAX: Duration = Duration::from_hours(24 * 365);
/// Stays drawn for the time before the churn began; a longer past changes nothing any more.
const PAST_MAX: usize = 10_000;

/// Who comes and goes, and when next.
#[derive(Debug)]
pub(super) struct Churn {
    clock: Stopwatch,
    crash: f64,
    times: Times,
    rng: ChaCha8Rng,
    nodes: Vec<Comer>,
}

/// A node that comes and goes.
#[derive(Debug)]
struct Comer {
    node: u32,
    /// What it has of its class for ever; `None`: all nodes are alike.
    peer: Option<Peer>,
    /// When it changes next.
    due: Duration,
    /// How long it stays as it will be then, if that is known.
    then: Option<Duration>,
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Away,
}

impl Churn {
    /// Churn of these nodes, which are up by now, that has been going on for some time unseen.
    pub(super) fn new(
        nodes: &[u32],
        crash: f64,
        before: Duration,
        times: &Times,
        seed: u64,
    ) -> Self {
        let mut churn = Self {
            clock: Stopwatch::start(),
            crash,
            times: times.clone(),
            rng: dice::seeded(seed, CHURN_PURPOSE),
            nodes: Vec::with_capacity(nodes.len()),
        };
        let classes: Vec<PeerClass> = match times {
            Times::Classes(classes) => classes.iter().copied().map(PeerClass::from).collect(),
            Times::Memoryless { .. } => Vec::new(),
        };
        for node in nodes {
            let peer = Peer::draw(&classes, &mut churn.rng);
            let comer = churn.arrived(*node, peer, before);
            churn.nodes.push(comer);
        }
        churn
    }

    /// A node as it is after `before` of coming and going.
    fn arrived(&mut self, node: u32, peer: Option<Peer>, before: Duration) -> Comer {
        let (mut state, mut at) = (State::Up, Duration::ZERO);
        let mut left = Duration::ZERO;
        for _ in 0..PAST_MAX {
            let until = at.saturating_add(self.stay(peer, state));
            left = until.saturating_sub(before);
            if until > before {
                break;
            }
            at = until;
            state = match state {
                State::Up => State::Away,
                State::Away => State::Up,
            };
        }
        match state {
            State::Up => Comer {
                node,
                peer,
                due: left,
                then: None,
            },
            // It goes at once, and stays away for what is left.
            State::Away => Comer {
                node,
                peer,
                due: Duration::ZERO,
                then: Some(left),
            },
        }
    }

    /// For how long a node stays, or stays away.
    fn stay(&mut self, peer: Option<Peer>, state: State) -> Duration {
        let seconds = match (&self.times, peer) {
            (Times::Memoryless { up, down }, _) => {
                let mean = if state == State::Up { up } else { down };
                mean.as_secs_f64() * -(1.0 - dice::unit(&mut self.rng)).ln()
            }
            (Times::Classes(_), Some(peer)) => {
                let hours = match state {
                    State::Up => peer.on_h(&mut self.rng),
                    State::Away => peer.off_h(&mut self.rng),
                };
                hours * 3_600.0
            }
            (Times::Classes(_), None) => return STAY_MAX,
        };
        Duration::try_from_secs_f64(seconds).map_or(STAY_MAX, |stay| stay.min(STAY_MAX))
    }

    /// When something is due next, from now.
    pub(super) fn wait(&self) -> Option<Duration> {
        let first = self.nodes.iter().map(|comer| comer.due).min()?;
        Some(first.saturating_sub(self.clock.elapsed()))
    }

    /// What is due now: a node goes or comes back.
    pub(super) fn next(&mut self, fleet: &Fleet<'_>) -> Option<Deed> {
        let now = self.clock.elapsed();
        let at = self.nodes.iter().position(|comer| comer.due <= now)?;
        let node = self.nodes[at].node;
        let dead = fleet.is_dead(node);
        let stay = self.nodes[at].then.take().unwrap_or_else(|| {
            let (peer, state) = (
                self.nodes[at].peer,
                if dead { State::Up } else { State::Away },
            );
            self.stay(peer, state)
        });
        self.nodes[at].due = now + stay;
        let nodes = vec![node];
        Some(if dead {
            Deed::Restart { nodes }
        } else if dice::unit(&mut self.rng) < self.crash {
            Deed::Kill { nodes }
        } else {
            Deed::Leave { nodes }
        })
    }

    /// Those that are away, who would come back.
    pub(super) fn away(&self, fleet: &Fleet<'_>) -> Vec<u32> {
        let nodes = self.nodes.iter().map(|comer| comer.node);
        nodes.filter(|node| fleet.is_dead(*node)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::events::NodeClass;

    fn memoryless(up_s: u64, down_s: u64) -> Times {
        Times::Memoryless {
            up: Duration::from_secs(up_s),
            down: Duration::from_secs(down_s),
        }
    }

    #[test]
    fn times_have_their_mean() {
        let mut churn = Churn::new(&[], 1.0, Duration::ZERO, &memoryless(10, 1), 7);
        let sum: Duration = (0..4_000).map(|_| churn.stay(None, State::Up)).sum();
        let mean = sum.as_secs_f64() / 4_000.0;
        assert!((9.0..11.0).contains(&mean), "{mean}");
    }

    #[test]
    fn nodes_of_a_class_keep_its_median_and_a_scale_of_their_own() {
        let class = NodeClass {
            share: 1.0,
            shape: 0.5,
            up: Duration::from_mins(30),
            spread: 1.0,
            down: Duration::from_mins(10),
            sigma: 0.5,
        };
        let nodes: Vec<u32> = (0..2_000).collect();
        let times = Times::Classes(vec![class]);
        let mut churn = Churn::new(&nodes, 1.0, Duration::ZERO, &times, 7);
        let short = churn.nodes.iter().filter(|comer| comer.due < class.up);
        assert!(
            (900..1_100).contains(&short.count()),
            "half go before the median"
        );
        let peer = churn.nodes[0].peer;
        let mut away: Vec<Duration> = (0..2_001).map(|_| churn.stay(peer, State::Away)).collect();
        away.sort_unstable();
        let median = away[1_000].as_secs_f64() / class.down.as_secs_f64();
        assert!((0.9..1.1).contains(&median), "{median}");
    }

    #[test]
    fn a_past_leaves_the_steady_share_away_from_the_first() {
        let nodes: Vec<u32> = (0..3_000).collect();
        let away = |before: u64| {
            let before = Duration::from_secs(before);
            let churn = Churn::new(&nodes, 1.0, before, &memoryless(10, 20), 7);
            churn
                .nodes
                .iter()
                .filter(|comer| comer.then.is_some())
                .count()
        };
        assert_eq!(away(0), 0);
        // Up 10 s of 30 s on average.
        assert!((1_900..2_100).contains(&away(1_000)), "{}", away(1_000));
    }
}
