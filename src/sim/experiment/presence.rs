//! Who is there, and for how long already: the churn generator alone.

use serde::Deserialize;

use super::plot::Curve;
use super::{Bench, Plot, dice_of};
use crate::sim::churn::{Peer, PeerClass};
use crate::topology::TopologyError;

/// Hours in a day.
const DAY_H: f64 = 24.0;
/// Elapsed times at which remaining ones are looked at, in hours; within a tenth of them.
const ELAPSED_H: [f64; 6] = [1.0, 2.0, 5.0, 8.0, 12.0, 24.0];
/// On-line times of one peer at most: some are seconds.
const TIMES_MAX: usize = 1_000_000;

/// Peers that come and go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// Peers of all classes.
    pub peers: usize,
    /// Hours before the first look: nobody begins as if the world had just been made.
    pub warm_h: f64,
    /// Hours that are looked at: at their beginning, every hour, and at their end.
    pub hours: u32,
    /// The classes.
    pub classes: Vec<PeerClass>,
}

#[derive(Default)]
struct Seen {
    present: u64,
    long: u64,
    day: u64,
    /// Remaining against elapsed, for each of [`ELAPSED_H`].
    remaining: Vec<Vec<f64>>,
}

impl Presence {
    pub(super) fn run(&self, bench: &mut Bench<'_>) -> Result<(), TopologyError> {
        let mut sizes = vec![0_u64; self.hours as usize + 1];
        for seed in bench.seeds() {
            let mut rng = dice_of(seed);
            let mut seen = Seen {
                remaining: vec![Vec::new(); ELAPSED_H.len()],
                ..Seen::default()
            };
            for _ in 0..self.peers {
                let peer = Peer::draw(&self.classes, &mut rng)
                    .ok_or_else(|| TopologyError::new("presence", "there are no classes"))?;
                // Off-line at first, for a part of its time off.
                let mut now = -peer.off_h(&mut rng);
                let end = self.warm_h + f64::from(self.hours);
                for _ in 0..TIMES_MAX {
                    if now > end {
                        break;
                    }
                    let gone = now + peer.on_h(&mut rng);
                    if gone > self.warm_h {
                        self.look(&mut seen, &mut sizes, now, gone);
                    }
                    now = gone + peer.off_h(&mut rng);
                }
            }
            note(bench, &seen, self.hours);
        }
        let scale = super::real(bench.seeds * self.peers as u64);
        let points = (0..=self.hours)
            .zip(&sizes)
            .map(|(hour, size)| (f64::from(hour), super::real(*size) / scale * 100.0));
        bench.outcome.plots.push(Plot {
            title: "Peers on line, %".to_owned(),
            x: "hours".to_owned(),
            curves: vec![Curve {
                name: "all classes".to_owned(),
                points: points.collect(),
            }],
        });
        Ok(())
    }

    /// Looks at one stay at every full hour.
    fn look(&self, seen: &mut Seen, sizes: &mut [u64], came: f64, gone: f64) {
        for hour in 0..=self.hours {
            let at = self.warm_h + f64::from(hour);
            if at < came || at >= gone {
                continue;
            }
            sizes[hour as usize] += 1;
            let (elapsed, remaining) = (at - came, gone - at);
            seen.present += 1;
            seen.long += u64::from(elapsed > 5.0);
            seen.day += u64::from(elapsed > DAY_H);
            for (wanted, all) in ELAPSED_H.iter().zip(&mut seen.remaining) {
                if (elapsed / wanted - 1.0).abs() < 0.1 {
                    all.push(remaining / elapsed);
                }
            }
        }
    }
}

fn note(bench: &mut Bench<'_>, seen: &Seen, hours: u32) {
    let figures = &mut bench.outcome.figures;
    let present = super::real(seen.present);
    figures.add("on line at a time, peers", present / f64::from(hours + 1));
    figures.add(
        "up more than 5 h, %",
        super::real(seen.long) / present * 100.0,
    );
    figures.add(
        "up more than a day, %",
        super::real(seen.day) / present * 100.0,
    );
    for (elapsed, all) in ELAPSED_H.iter().zip(&seen.remaining) {
        let mut all = all.clone();
        all.sort_by(f64::total_cmp);
        if let Some(median) = all.get(all.len() / 2) {
            figures.add(
                format!("up {elapsed} h: median of remaining against elapsed"),
                *median,
            );
            let stay = all.iter().filter(|ratio| **ratio > 1.0).count() as u64;
            let share = super::real(stay) / super::real(all.len() as u64);
            figures.add(
                format!("up {elapsed} h: stay as long again, %"),
                share * 100.0,
            );
        }
    }
}
