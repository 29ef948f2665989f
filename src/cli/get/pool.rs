//! Several tasks at a time, those of one lane one after the other.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

/// Tasks that wait; whoever brings more waits too. Our choice: enough to find one of a lane that is free.
const WAITING_MAX: usize = 64;

/// Runs what is handed to it on threads, each task once, in the order of its lane.
pub(super) struct Pool<'scope, 'env, T> {
    scope: &'scope Scope<'scope, 'env>,
    max: usize,
    work: &'scope (dyn Fn(T) + Sync),
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    taken: Condvar,
}

struct State<T> {
    waiting: VecDeque<(Option<String>, T)>,
    lanes: BTreeSet<String>,
    threads: usize,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// The first task whose lane is free; its lane is taken then.
    fn next(&mut self) -> Option<(Option<String>, T)> {
        let free =
            |lane: &Option<String>| lane.as_ref().is_none_or(|lane| !self.lanes.contains(lane));
        let at = self.waiting.iter().position(|(lane, _)| free(lane))?;
        let next = self.waiting.remove(at)?;
        self.lanes.extend(next.0.clone());
        Some(next)
    }
}

/// Has `feed` bring tasks, of which at most `max` run at a time; returns when all have ended.
pub(super) fn run<T: Send, R>(
    max: usize,
    work: impl Fn(T) + Sync,
    feed: impl FnOnce(&Pool<'_, '_, T>) -> R,
) -> R {
    thread::scope(|scope| {
        let state = State {
            waiting: VecDeque::new(),
            lanes: BTreeSet::new(),
            threads: 0,
        };
        let shared = Shared {
            state: Mutex::new(state),
            taken: Condvar::new(),
        };
        feed(&Pool {
            scope,
            max,
            work: &work,
            shared: Arc::new(shared),
        })
    })
}

impl<'scope, T: Send + 'scope> Pool<'scope, '_, T> {
    /// Hands a task over, after those of its lane; `None`: it is in nobody's way. Waits while too many wait.
    pub(super) fn submit(&self, lane: Option<String>, task: T) {
        let mut state = self.shared.state();
        while state.waiting.len() >= WAITING_MAX {
            let woken = self.shared.taken.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.push_back((lane, task));
        if state.threads < self.max
            && let Some(first) = state.next()
        {
            state.threads += 1;
            let (work, shared) = (self.work, Arc::clone(&self.shared));
            self.scope.spawn(move || go(work, &shared, first));
        }
    }
}

fn go<T>(work: &dyn Fn(T), shared: &Shared<T>, first: (Option<String>, T)) {
    let mut next = Some(first);
    while let Some((lane, task)) = next {
        work(task);
        let mut state = shared.state();
        if let Some(lane) = lane {
            state.lanes.remove(&lane);
        }
        next = state.next();
        state.threads -= usize::from(next.is_none());
        shared.taken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_so_many_run_at_a_time_and_all_are_done() {
        let (running, most, done) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            Mutex::new(Vec::new()),
        );
        let work = |n: usize| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
            done.lock().expect("whole").push(n);
        };
        let count = 3 * WAITING_MAX;
        run(4, work, |pool| {
            (0..count).for_each(|n| pool.submit(None, n));
        });
        let mut done = done.into_inner().expect("whole");
        done.sort_unstable();
        assert_eq!(done, (0..count).collect::<Vec<_>>());
        assert!((1..=4).contains(&most.into_inner()));
    }

    #[test]
    fn different_lanes_run_side_by_side() {
        // Ends only if both are there at once.
        let both = Barrier::new(2);
        run(
            2,
            |meets: bool| {
                if meets {
                    both.wait();
                }
            },
            |pool| {
                pool.submit(Some("a".to_owned()), true);
                // Waits for the first, and lets the next one pass.
                pool.submit(Some("a".to_owned()), false);
                pool.submit(Some("b".to_owned()), true);
            },
        );
    }

    #[test]
    fn one_lane_goes_one_after_the_other_in_order() {
        let (running, order) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = |n: usize| {
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
            thread::yield_now();
            order.lock().expect("whole").push(n);
            running.fetch_sub(1, Ordering::SeqCst);
        };
        run(4, work, |pool| {
            (0..100).for_each(|n| pool.submit(Some("host".to_owned()), n));
        });
        assert_eq!(
            order.into_inner().expect("whole"),
            (0..100).collect::<Vec<_>>()
        );
    }
}
