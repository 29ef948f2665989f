//! When peers are there: on-line times by Weibull, off-line times log-normal, peers of several classes, each with a
//! scale of its own that it keeps whenever it returns. Source: Stutzbach and Rejaie, "Understanding Churn in
//! Peer-to-Peer Networks" (2006), which finds neither Poisson nor Pareto, and on-line times of one peer correlated.

use rand::rngs::ChaCha8Rng;
use serde::Deserialize;

use crate::topology::dice;
use crate::topology::events::NodeClass;

/// A class of peers. Times are in hours.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerClass {
    /// Share of all peers.
    pub share: f64,
    /// Shape of the Weibull distribution of on-line times; below 1: who has stayed long stays longer.
    pub shape: f64,
    /// Median on-line time of the peer in the middle of its class.
    pub on_median_h: f64,
    /// How far peers of the class differ: standard deviation of the logarithm of their medians.
    pub spread: f64,
    /// Median off-line time.
    pub off_median_h: f64,
    /// Standard deviation of the logarithm of off-line times.
    pub off_sigma: f64,
}

impl From<NodeClass> for PeerClass {
    fn from(class: NodeClass) -> Self {
        let hours = |time: std::time::Duration| time.as_secs_f64() / 3_600.0;
        Self {
            share: class.share,
            shape: class.shape,
            on_median_h: hours(class.up),
            spread: class.spread,
            off_median_h: hours(class.down),
            off_sigma: class.sigma,
        }
    }
}

/// One peer: draws its times on and off line.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    class: PeerClass,
    scale_h: f64,
}

impl Peer {
    /// A peer of a class drawn by their shares.
    pub fn draw(classes: &[PeerClass], rng: &mut ChaCha8Rng) -> Option<Self> {
        let total: f64 = classes.iter().map(|class| class.share).sum();
        let mut drawn = dice::unit(rng) * total;
        let class = classes.iter().find(|class| {
            drawn -= class.share;
            drawn < 0.0
        });
        let class = *class.or(classes.last())?;
        // The median of a Weibull distribution is its scale times (ln 2)^(1/shape).
        let middle = class.on_median_h / std::f64::consts::LN_2.powf(1.0 / class.shape);
        let scale_h = middle * (class.spread * normal(rng)).exp();
        Some(Self { class, scale_h })
    }

    /// Hours that it stays, once it has come.
    pub fn on_h(&self, rng: &mut ChaCha8Rng) -> f64 {
        self.scale_h * (-(1.0 - dice::unit(rng)).ln()).powf(1.0 / self.class.shape)
    }

    /// Hours until it comes again, once it has gone.
    pub fn off_h(&self, rng: &mut ChaCha8Rng) -> f64 {
        self.class.off_median_h * (self.class.off_sigma * normal(rng)).exp()
    }
}

/// A number of the standard normal distribution (Box and Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, turn) = (1.0 - dice::unit(rng), dice::unit(rng));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: PeerClass = PeerClass {
        share: 1.0,
        shape: 0.5,
        on_median_h: 1.0,
        spread: 0.0,
        off_median_h: 8.0,
        off_sigma: 1.5,
    };

    fn quantile(values: &mut [f64], of: f64) -> f64 {
        values.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place among a few thousand"
        )]
        let at = (values.len() as f64 * of) as usize;
        values[at]
    }

    #[test]
    fn times_have_the_quantiles_of_their_distributions() {
        let mut rng = dice::seeded(1, 1);
        let peer = Peer::draw(&[CLASS], &mut rng).unwrap();
        let mut on: Vec<f64> = (0..40_000).map(|_| peer.on_h(&mut rng)).collect();
        let mut off: Vec<f64> = (0..40_000).map(|_| peer.off_h(&mut rng)).collect();
        assert!((quantile(&mut on, 0.5) - 1.0).abs() < 0.05);
        // Weibull: 1 - exp(-(t/scale)^shape) = 0.9 at scale * (ln 10)^2; the scale is 1 / (ln 2)^2.
        let wanted = (10_f64.ln() / 2_f64.ln()).powi(2);
        assert!((quantile(&mut on, 0.9) / wanted - 1.0).abs() < 0.05);
        assert!((quantile(&mut off, 0.5) / 8.0 - 1.0).abs() < 0.05);
        // One standard deviation of the logarithm above the median.
        assert!((quantile(&mut off, 0.841_34) / (8.0 * 1.5_f64.exp()) - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_peer_keeps_its_scale_and_classes_come_by_their_shares() {
        let long = PeerClass {
            share: 0.25,
            on_median_h: 100.0,
            ..CLASS
        };
        let short = PeerClass {
            share: 0.75,
            ..CLASS
        };
        let mut rng = dice::seeded(2, 1);
        let peers: Vec<Peer> = (0..4000)
            .filter_map(|_| Peer::draw(&[long, short], &mut rng))
            .collect();
        let longs = peers.iter().filter(|peer| peer.scale_h > 50.0).count();
        assert!((900..1100).contains(&longs), "{longs}");
        assert!(Peer::draw(&[], &mut rng).is_none());
    }
}
