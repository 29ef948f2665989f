//! Ends all that runs when somebody asks for it, and keeps files of one name apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cli::interrupt::{Interrupt, LOOK};
use crate::net::download::Cancel;

/// What ends the fetches that run. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancels(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    asked: bool,
    all: BTreeMap<u64, Cancel>,
    next: u64,
}

impl Cancels {
    /// Those that end with Ctrl-C.
    pub(super) fn on(interrupt: &Interrupt) -> Self {
        let cancels = Self::default();
        let all = cancels.clone();
        interrupt.on_asked(move || all.cancel());
        cancels
    }

    /// Ends all that runs, and whatever begins from now on.
    pub(super) fn cancel(&self) {
        let mut running = self.running();
        running.asked = true;
        running.all.values().for_each(Cancel::cancel);
    }

    /// One begins; it has ended when what is returned is dropped.
    pub(super) fn begin(&self, cancel: &Cancel) -> Begun {
        let mut running = self.running();
        let key = running.next;
        running.next += 1;
        running.all.insert(key, cancel.clone());
        if running.asked {
            cancel.cancel();
        }
        Begun(self.clone(), key)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch that runs.
#[derive(Debug)]
pub(super) struct Begun(Cancels, u64);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.running().all.remove(&self.1);
    }
}

/// Names that files are fetched to: two of one name would be one partial file.
#[derive(Debug, Default)]
pub(super) struct Claims {
    taken: Mutex<BTreeSet<String>>,
    free: Condvar,
}

impl Claims {
    /// Waits until nobody else fetches to this place, or `interrupt` says that it is of no more use. Letter case is not
    /// looked at, as on some file systems.
    pub(super) fn claim(&self, place: &str, interrupt: &Interrupt) -> Claim<'_> {
        let place = place.to_lowercase();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.contains(&place) && !interrupt.asked() {
            let waited = self.free.wait_timeout(taken, LOOK);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let ours = taken.insert(place.clone());
        Claim {
            claims: self,
            place: ours.then_some(place),
        }
    }
}

/// A place that is one's own until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    place: Option<String>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            let taken = self.claims.taken.lock();
            taken.unwrap_or_else(PoisonError::into_inner).remove(place);
            self.claims.free.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn what_runs_ends_and_what_comes_later_does_not_begin() {
        let cancels = Cancels::default();
        let (gone, runs, late) = (Cancel::new(), Cancel::new(), Cancel::new());
        drop(cancels.begin(&gone));
        let _runs = cancels.begin(&runs);
        assert!(!runs.is_cancelled());
        cancels.cancel();
        let _late = cancels.begin(&late);
        let ended = [&gone, &runs, &late].map(Cancel::is_cancelled);
        assert_eq!(ended, [false, true, true]);
    }

    #[test]
    fn a_name_is_one_file_at_a_time_whatever_its_case() {
        let (claims, interrupt) = (Claims::default(), Interrupt::default());
        let (told, order) = channel();
        let first = claims.claim("a/Moby.txt", &interrupt);
        let _other = claims.claim("b/Moby.txt", &interrupt);
        thread::scope(|scope| {
            let told_too = told.clone();
            let (claims, interrupt) = (&claims, &interrupt);
            scope.spawn(move || {
                let _second = claims.claim("a/moby.TXT", interrupt);
                told_too.send("second").expect("heard");
            });
            told.send("first").expect("heard");
            drop(first);
        });
        assert_eq!(order.try_iter().collect::<Vec<_>>(), ["first", "second"]);
    }
}
