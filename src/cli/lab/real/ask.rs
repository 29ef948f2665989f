//! Questions to many nodes, each over its control socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::place::NodeState;
use crate::cli::exit::{Exit, Failure};
use crate::control::{Counters, File, Reply, Request, Shape, Trace};
use crate::disk::store::Home;
use crate::net::control::Client;

/// A node has so long for one reply. With hundreds of them on two cores an answer may take seconds.
const REPLY_WAIT: Duration = Duration::from_secs(30);
/// A node has so long to dial another and greet it, or to read its folders.
const WORK_WAIT: Duration = Duration::from_secs(60);
/// Questions under way at a time. They mostly wait for each other's processes.
const THREADS: usize = 8;

/// A node of the lab.
#[derive(Clone, Debug)]
pub(in crate::cli::lab) struct NodeClient {
    /// Its id in the topology.
    pub name: String,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    client: Client,
}

impl NodeClient {
    /// The node, if it runs.
    ///
    /// # Errors
    /// Exit 3: it does not.
    pub(in crate::cli::lab) fn connect(node: &NodeState) -> Result<Self, Failure> {
        let name = &node.name;
        let gone = |error: std::io::Error| {
            Failure::new(
                Exit::NoNetwork,
                format!("node {name} does not answer: {error}; {AGAIN}"),
            )
        };
        let home = Home::at(&node.home).map_err(gone)?;
        let client = Client::connect(home.socket()).map_err(gone)?;
        Ok(Self {
            name: name.clone(),
            port: node.port,
            client,
        })
    }

    /// The connection to its control socket.
    pub(in crate::cli::lab) fn client(&self) -> &Client {
        &self.client
    }

    /// Asks and waits for all replies.
    fn all(&self, request: &Request, wait: Duration) -> Result<Vec<Reply>, Failure> {
        let replies = self
            .client
            .request(request)
            .map_err(|error| error.to_string());
        replies
            .and_then(|replies| replies.all(wait))
            .map_err(|why| {
                Failure::new(
                    Exit::NoNetwork,
                    format!("node {}: {why}; {AGAIN}", self.name),
                )
            })
    }

    /// The one reply that `take` knows.
    fn one<T>(&self, request: &Request, take: impl Fn(Reply) -> Option<T>) -> Result<T, Failure> {
        self.all(request, REPLY_WAIT)?
            .into_iter()
            .find_map(take)
            .ok_or_else(|| {
                Failure::new(
                    Exit::Usage,
                    format!("node {} gave another answer than asked for", self.name),
                )
            })
    }

    /// Frames counted since the start.
    pub(in crate::cli::lab) fn counters(&self) -> Result<Counters, Failure> {
        self.one(&Request::Counters, |reply| match reply {
            Reply::Counters(counters) => Some(counters),
            _ => None,
        })
    }

    /// What it knows of a message id.
    pub(in crate::cli::lab) fn trace(&self, guid: &str) -> Result<Option<Trace>, Failure> {
        let request = Request::Trace {
            guid: guid.to_owned(),
        };
        self.one(&request, |reply| match reply {
            Reply::Trace(trace) => Some(trace),
            _ => None,
        })
    }

    /// Number of its links.
    pub(in crate::cli::lab) fn links(&self) -> Result<usize, Failure> {
        Ok(self.peers()?.len())
    }

    /// Where its neighbours listen.
    pub(in crate::cli::lab) fn peers(&self) -> Result<Vec<SocketAddr>, Failure> {
        let replies = self.all(&Request::Peers, REPLY_WAIT)?;
        let addr = |reply| match reply {
            Reply::Peer(peer) => Some(peer.listen.unwrap_or(peer.addr)),
            _ => None,
        };
        Ok(replies.into_iter().filter_map(addr).collect())
    }

    /// Links it to a node; done when the link is up.
    pub(super) fn link_to(&self, addr: SocketAddr) -> Result<(), Failure> {
        self.all(&Request::peer_add(addr), WORK_WAIT).map(drop)
    }

    /// Has links to a peer shaped; `None`: as they are.
    pub(super) fn shape(&self, addr: SocketAddr, shape: Option<Shape>) -> Result<(), Failure> {
        self.all(&Request::Shape { addr, shape }, REPLY_WAIT)
            .map(drop)
    }

    /// Closes the link to a peer.
    pub(super) fn unlink(&self, addr: SocketAddr) -> Result<(), Failure> {
        self.all(&Request::PeerDrop { addr }, REPLY_WAIT).map(drop)
    }

    /// Reads its folders; done when every name in them can be found.
    pub(super) fn rescan(&self) -> Result<(), Failure> {
        self.all(&Request::Rescan, WORK_WAIT).map(drop)
    }

    /// The files it shares.
    pub(super) fn files(&self) -> Result<Vec<File>, Failure> {
        let replies = self.all(&Request::Shares { files: true }, REPLY_WAIT)?;
        let file = |reply| match reply {
            Reply::File(file) => Some(file),
            _ => None,
        };
        Ok(replies.into_iter().filter_map(file).collect())
    }

    /// Files it shares, and those of them whose hash is known.
    pub(super) fn files_and_hashed(&self) -> Result<(u64, u64), Failure> {
        let replies = self.all(&Request::Shares { files: false }, REPLY_WAIT)?;
        Ok(replies
            .iter()
            .fold((0, 0), |(files, hashed), reply| match reply {
                Reply::Share(share) => (files + share.files, hashed + share.hashed_files),
                _ => (files, hashed),
            }))
    }
}

const AGAIN: &str = "see `filbert lab ps`, or begin again with `filbert lab down` and `lab up`";

/// Does `work` for each item, several at a time; results in order, or the first error.
pub(in crate::cli::lab) fn for_all<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(&I) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let (next, done) = (
        AtomicUsize::new(0),
        Mutex::new(Vec::with_capacity(items.len())),
    );
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(items.len()) {
            scope.spawn(|| {
                while let Some((at, item)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    items.get(at).map(|item| (at, item))
                } {
                    let result = work(item);
                    if result.is_err() {
                        next.store(items.len(), Ordering::Relaxed);
                    }
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_on_many_comes_back_in_order_and_stops_at_an_error() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(for_all(&items, |item| Ok(item * 2)).unwrap()[99], 198);
        let failure = for_all(&items, |item| match item {
            7 => Err(Failure::new(Exit::Disk, "seven")),
            _ => Ok(()),
        });
        assert_eq!(failure.unwrap_err().message, "seven");
    }
}
