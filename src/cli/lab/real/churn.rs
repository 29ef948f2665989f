//! Nodes that go and come back by themselves, each for itself, after times that are drawn at random.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;

use super::deed::Deed;
use super::fleet::Fleet;
use crate::cli::clock::Stopwatch;
use crate::topology::dice;

/// Purpose of the randomness.
const CHURN_PURPOSE: u64 = 6 << 32;

/// Who comes and goes, and when next.
#[derive(Debug)]
pub(super) struct Churn {
    clock: Stopwatch,
    up: Duration,
    down: Duration,
    rng: ChaCha8Rng,
    /// When each node changes next.
    due: Vec<(u32, Duration)>,
}

impl Churn {
    /// Churn of these nodes, which are up or down for times of these means (exponential, so that nothing depends on how
    /// long a node has been up).
    pub(super) fn new(nodes: &[u32], up: Duration, down: Duration, seed: u64) -> Self {
        let mut churn = Self {
            clock: Stopwatch::start(),
            up,
            down,
            rng: dice::seeded(seed, CHURN_PURPOSE),
            due: Vec::new(),
        };
        for node in nodes {
            let due = churn.draw(up);
            churn.due.push((*node, due));
        }
        churn
    }

    fn draw(&mut self, mean: Duration) -> Duration {
        let factor = -(1.0 - dice::unit(&mut self.rng)).ln();
        mean.mul_f64(factor.min(100.0))
    }

    /// What is due now: a node dies or comes back.
    pub(super) fn next(&mut self, fleet: &Fleet<'_>) -> Option<Deed> {
        let now = self.clock.elapsed();
        let at = self.due.iter().position(|(_, due)| *due <= now)?;
        let node = self.due[at].0;
        let dead = fleet.is_dead(node);
        let stay = self.draw(if dead { self.up } else { self.down });
        self.due[at].1 = now + stay;
        let nodes = vec![node];
        Some(if dead {
            Deed::Restart { nodes }
        } else {
            Deed::Kill { nodes }
        })
    }

    /// Those that are down, who would come back.
    pub(super) fn down(&self, fleet: &Fleet<'_>) -> Vec<u32> {
        let nodes = self.due.iter().map(|(node, _)| *node);
        nodes.filter(|node| fleet.is_dead(*node)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_mean() {
        let mut churn = Churn::new(&[], Duration::ZERO, Duration::ZERO, 7);
        let sum: Duration = (0..4_000)
            .map(|_| churn.draw(Duration::from_secs(10)))
            .sum();
        let mean = sum.as_secs_f64() / 4_000.0;
        assert!((9.0..11.0).contains(&mean), "{mean}");
    }
}
