//! Which results of a search look like fakes: evidence and verdicts of `node::spam`, and lists of known fakes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::found::Offer;
use super::spam_list::SpamList;
use crate::control::Hit;
use crate::node::spam::{self, Asked, Scorer, Verdict};

/// Judges the results of one search.
#[derive(Clone, Debug)]
pub struct Judge {
    scorer: Scorer,
    list: SpamList,
    show_all: bool,
}

impl Judge {
    /// `show_all`: nothing is hidden, but all is judged.
    pub fn new(asked: Asked, list: SpamList, show_all: bool) -> Self {
        Self {
            scorer: Scorer::new(asked),
            list,
            show_all,
        }
    }

    /// A hit came; records that the filter keeps out tell of its responder too.
    pub(super) fn hear(&mut self, hit: &Hit) {
        for record in &hit.records {
            self.scorer.hear(hit.addr, &record.name);
        }
    }

    /// A copy of file number `file` came.
    pub(super) fn offer(&mut self, file: usize, offer: &Offer, after: Duration) {
        let copy = &offer.copy;
        let sha1 = copy.sha1();
        let seen = spam::Offer {
            responder: copy.addr,
            name: &copy.name,
            size: copy.size,
            hashed: sha1.is_some(),
            listed: self.list.lists(sha1, &copy.name, copy.size),
            hops: offer.hops,
            after,
        };
        self.scorer.offer(file, &seen);
    }

    /// Files to be judged anew.
    pub(super) fn changed(&mut self) -> BTreeSet<usize> {
        self.scorer.changed()
    }

    pub(super) fn verdict(&self, file: usize) -> Verdict {
        self.scorer.verdict(file)
    }

    pub(super) fn hides(&self, verdict: &Verdict) -> bool {
        !self.show_all && verdict.hides()
    }
}
