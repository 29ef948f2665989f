//! The same work on several things at once.
//!
//! What comes out is put in the order of what went in, so that it is the same with any number of threads. The things
//! share nothing that changes; how the shards of one world run at once stands in `windows`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Threads at most: more than any machine that this was tried on has cores.
pub const THREADS_MAX: usize = 256;

/// Does `work` with each item on so many threads, and returns the results in the order of the items.
pub fn in_order<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let threads = threads.clamp(1, THREADS_MAX).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    // A thread that panicked while it held this takes the whole scope down with it anyway.
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// One digest for many, in order: it differs when any of them does, or their order.
pub fn combined(digests: impl IntoIterator<Item = u64>) -> u64 {
    digests.into_iter().fold(0, super::trace::mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_whatever_the_threads() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [0, 1, 2, 4, 1000] {
            // The first items take longest.
            let work = |item: &u64| (0..(100 - item) * 500).fold(*item, |sum, n| sum ^ n ^ n) * 2;
            let results = in_order(threads, &items, work);
            assert_eq!(results, (0..100).map(|n| n * 2).collect::<Vec<u64>>());
        }
        assert_eq!(in_order(4, &[], |n: &u64| *n), Vec::<u64>::new());
    }

    #[test]
    fn a_combined_digest_knows_the_order() {
        assert_eq!(combined([1, 2, 3]), combined([1, 2, 3]));
        assert_ne!(combined([1, 2, 3]), combined([2, 1, 3]));
        assert_ne!(combined([1, 2, 3]), combined([1, 2, 4]));
    }
}
