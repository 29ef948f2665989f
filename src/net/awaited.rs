//! Connections that others open because we want it: who waits for which of them.
//!
//! The listening port hands in whatever begins with GIV (a firewalled servent, named by its id) or QUEUE (a server in
//! whose queue our turn has come, named by our place); only what somebody waits for gets any further. So a stranger who
//! was not asked costs a line and nothing more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::conn::Stream;
use super::rt::{self, Receiver, Sender};
use crate::wire::ServentId;

/// Connections awaited at a time. Each belongs to one download of this user; our estimate.
pub(crate) const AWAITED_MAX: usize = 64;

/// All waits of one kind of a node; `K` names what is waited for.
#[derive(Debug)]
pub(crate) struct Awaited<K = ServentId> {
    waits: Mutex<Waits<K>>,
}

#[derive(Debug)]
struct Waits<K> {
    /// Longest waiting first.
    all: Vec<(u64, K, Sender<Stream>)>,
    next: u64,
}

impl<K> Default for Awaited<K> {
    fn default() -> Self {
        let waits = Waits {
            all: Vec::new(),
            next: 0,
        };
        Self {
            waits: Mutex::new(waits),
        }
    }
}

impl<K> Awaited<K> {
    fn waits(&self) -> MutexGuard<'_, Waits<K>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for a connection of `whom`; `None`: too many wait already.
    pub(crate) fn wait_for(self: &Arc<Self>, whom: K) -> Option<Wait<K>> {
        let mut waits = self.waits();
        if waits.all.len() >= AWAITED_MAX {
            return None;
        }
        let number = waits.next;
        waits.next += 1;
        let (give, given) = rt::bounded(1);
        waits.all.push((number, whom, give));
        Some(Wait {
            awaited: self.clone(),
            number,
            given,
        })
    }

    /// `whom` has connected: whoever waits longest gets the connection. `false`: nobody waits for it.
    pub(crate) fn arrived(&self, whom: &K, stream: Stream) -> bool
    where
        K: PartialEq,
    {
        let mut waits = self.waits();
        let Some(at) = waits.all.iter().position(|(_, of, _)| of == whom) else {
            return false;
        };
        let (.., give) = waits.all.remove(at);
        // It has room for one, and whoever waits is there as long as it stands in the list.
        give.try_send(stream).is_ok()
    }
}

/// One wait; ends when dropped.
#[derive(Debug)]
pub(crate) struct Wait<K = ServentId> {
    awaited: Arc<Awaited<K>>,
    number: u64,
    given: Receiver<Stream>,
}

impl<K> Wait<K> {
    /// The connection, when it comes. May never be ready: set a deadline.
    pub(crate) async fn connection(&self) -> Stream {
        match self.given.recv().await {
            Ok(stream) => stream,
            // Impossible before it was given: the sender stands in the list as long as we wait.
            Err(_) => std::future::pending().await,
        }
    }
}

impl<K> Drop for Wait<K> {
    fn drop(&mut self) {
        self.awaited
            .waits()
            .all
            .retain(|(number, ..)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::rt::{TcpListener, TcpStream};

    const A: ServentId = ServentId([1; 16]);
    const B: ServentId = ServentId([2; 16]);

    async fn streams(count: usize) -> Vec<Stream> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(Stream::Plain(TcpStream::connect(addr).await.unwrap()));
        }
        streams
    }

    #[test]
    fn a_connection_goes_to_whoever_waits_longest_for_its_servent_and_to_nobody_else() {
        rt::block_on(async {
            let awaited: Arc<Awaited> = Arc::default();
            let mut streams = streams(4).await.into_iter();
            let mut next = || streams.next().unwrap();
            assert!(!awaited.arrived(&A, next()));
            let (first, second) = (awaited.wait_for(A).unwrap(), awaited.wait_for(A).unwrap());
            let other = next();
            assert!(!awaited.arrived(&B, other));
            let (one, two) = (next(), next());
            let ports = [&one, &two].map(|stream| stream.local_addr().unwrap());
            assert!(awaited.arrived(&A, one) && awaited.arrived(&A, two.clone()));
            assert!(!awaited.arrived(&A, two), "nobody is left");
            let given = [first.connection().await, second.connection().await];
            assert_eq!(given.map(|stream| stream.local_addr().unwrap()), ports);
        });
    }

    #[test]
    fn waits_are_bounded_and_end_when_dropped() {
        let awaited: Arc<Awaited> = Arc::default();
        let mut waits: Vec<_> = std::iter::from_fn(|| awaited.wait_for(A)).collect();
        assert_eq!(waits.len(), AWAITED_MAX);
        waits.pop();
        assert!(awaited.wait_for(B).is_some());
        drop(waits);
        assert!(awaited.waits().all.is_empty());
    }
}
