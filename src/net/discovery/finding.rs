//! How far finding nodes has got: written by the tasks that find, read by whoever asks for the status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::control::Finding;
use crate::node::udp::Dropped;

/// What is shown; all copies are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    finding: Finding,
    dropped: BTreeMap<Dropped, u64>,
}

impl Shown {
    /// As it is now.
    pub(crate) fn get(&self) -> Finding {
        self.lock().finding.clone()
    }

    /// Changes it. Never waits: nobody holds it longer than this.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Finding)) {
        change(&mut self.lock().finding);
    }

    /// Counts a datagram that was dropped.
    pub(crate) fn dropped(&self, why: Dropped) {
        *self.lock().dropped.entry(why).or_default() += 1;
    }

    /// Datagrams dropped, by the name of the reason; none is left out.
    pub(crate) fn counted(&self) -> BTreeMap<String, u64> {
        let state = self.lock();
        let count = |why: &Dropped| state.dropped.get(why).copied().unwrap_or_default();
        let all = Dropped::ALL.iter();
        all.map(|why| (why.name().to_owned(), count(why))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
