//! Which results of a search look like fakes: evidence and verdicts of `node::spam`, and lists of known fakes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::found::Offer;
use super::spam_list::SpamList;
use crate::control::Hit;
use crate::node::address::Net;
use crate::node::spam::{self, Asked, Scorer, Verdict};

/// Judges the results of one search.
#[derive(Clone, Debug)]
pub struct Judge {
    scorer: Scorer,
    /// Of hits that do not say on which they came.
    net: Net,
    list: SpamList,
    show_all: bool,
}

impl Judge {
    /// `net`: of hits that do not say on which they came. `show_all`: nothing is hidden, but all is judged.
    pub fn new(asked: Asked, net: Net, list: SpamList, show_all: bool) -> Self {
        Self {
            scorer: Scorer::new(asked),
            net,
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

    /// A copy of file number `file` came with this hit.
    pub(super) fn offer(&mut self, file: usize, offer: &Offer, hit: &Hit, after: Duration) {
        let copy = &offer.copy;
        let sha1 = copy.sha1();
        let seen = spam::Offer {
            net: hit.net.map_or(self.net, Into::into),
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
