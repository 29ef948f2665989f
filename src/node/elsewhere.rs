//! Who else has files of ours, as the shell knows at first hand: what our hits say of them.
//!
//! What is kept of hearsay is in [`alternates`](super::alternates), outside of the core; this has no more than is said.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Time;
use crate::wire::Sha1;
use crate::wire::alt::Open;
use crate::wire::hit::Alternate;

use super::alternates::IN_HITS_MAX;

/// Files of which something is kept; the one that was spoken of longest ago goes first. Some 250 bytes each. Our
/// estimate.
const FILES_MAX: usize = 1_024;
/// What the shell does not say again for so long is forgotten: nobody asks for the file any more. Our estimate: a long
/// download.
const LIFE: Duration = Duration::from_secs(3_600);

/// Other sources of files.
#[derive(Debug, Default)]
pub(super) struct Elsewhere(BTreeMap<Sha1, (Time, Vec<Open>)>);

impl Elsewhere {
    /// These have the file, and nobody else is known to.
    pub(super) fn learn(&mut self, now: Time, file: Sha1, mut all: Vec<Open>) {
        if all.is_empty() {
            self.0.remove(&file);
            return;
        }
        all.truncate(IN_HITS_MAX);
        if self.0.len() >= FILES_MAX && !self.0.contains_key(&file) {
            let oldest = self.0.iter().min_by_key(|(_, (at, _))| *at);
            let oldest = oldest.map(|(file, _)| *file);
            oldest.map(|file| self.0.remove(&file));
        }
        self.0.insert(file, (now, all));
    }

    /// Who has this file, as a hit says it.
    pub(super) fn of(&self, now: Time, file: &Sha1) -> impl Iterator<Item = Alternate> + '_ {
        let known = self.0.get(file);
        let known = known.filter(|(at, _)| now.since(*at) < LIFE);
        known
            .into_iter()
            .flat_map(|(_, all)| all)
            .map(|open| Alternate {
                addr: open.addr,
                tls: open.tls,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn sha1(n: u16) -> Sha1 {
        let mut sha1 = [0; 20];
        sha1[..2].copy_from_slice(&n.to_be_bytes());
        Sha1(sha1)
    }

    fn open(n: u8) -> Open {
        Open {
            addr: SocketAddr::from(([10, 0, 0, n], 1)),
            tls: n == 1,
        }
    }

    #[test]
    fn what_is_kept_is_bounded_replaced_and_forgotten() {
        let mut all = Elsewhere::default();
        let of = |all: &Elsewhere, now, n| all.of(now, &sha1(n)).count();
        all.learn(Time::ZERO, sha1(0), (0..200).map(open).collect());
        assert_eq!(of(&all, Time::ZERO, 0), IN_HITS_MAX);
        all.learn(Time::ZERO, sha1(0), vec![open(1)]);
        assert!(all.of(Time::ZERO, &sha1(0)).all(|one| one.tls));
        assert_eq!(of(&all, Time::ZERO.plus(LIFE), 0), 0);
        for n in 1..2_000 {
            all.learn(Time(u64::from(n)), sha1(n), vec![open(1)]);
        }
        assert_eq!(all.0.len(), FILES_MAX);
        assert_eq!(
            (of(&all, Time(2_000), 0), of(&all, Time(2_000), 1_999)),
            (0, 1)
        );
        all.learn(Time(2_000), sha1(1_999), Vec::new());
        assert_eq!(of(&all, Time(2_000), 1_999), 0);
    }
}
