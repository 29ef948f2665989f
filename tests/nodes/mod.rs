//! Nodes of this process for tests: started on free ports of 127.0.0.1, asked, and waited for by their news.
#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use filbert::control::{Counters, Peer, Reply, Request};
use filbert::net::{Listen, News, Servent, Settings};
use filbert::node::Config;

/// Nothing here takes a second on an idle machine; on a busy one it may.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// A look at the node again, when no news come.
const AGAIN: Duration = Duration::from_millis(20);

/// A node and its news.
pub(crate) struct Node {
    pub(crate) servent: Servent,
    pub(crate) news: Receiver<News>,
}

impl Node {
    pub(crate) fn start(peers: &[SocketAddr], config: Config) -> Self {
        let settings = Settings {
            config,
            listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
            peers: peers.to_vec(),
            ..Settings::default()
        };
        Self::with(settings)
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let mut servent = Servent::start(settings).unwrap();
        let news = servent.news().unwrap();
        Self { servent, news }
    }

    /// A node whose only neighbour is that one.
    pub(crate) fn beside(far: &Self) -> Self {
        let config = Config {
            min_links: 1,
            ..Config::default()
        };
        let node = Self::start(&[far.addr()], config);
        node.until_links(1);
        node
    }

    /// A node two links from that one, and the node between.
    pub(crate) fn behind(far: &Self) -> (Self, Self) {
        let middle = Self::beside(far);
        let config = Config {
            min_links: 1,
            max_links: 1,
            ..Config::default()
        };
        let near = Self::start(&[middle.addr()], config);
        near.until("link to the middle", |node| {
            (node.peers().first()?.listen == Some(middle.addr())).then_some(())
        });
        (near, middle)
    }

    pub(crate) fn alone() -> Self {
        Self::start(&[], Config::default())
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.servent.listen_addr().unwrap()
    }

    pub(crate) fn ask(&self, request: Request) -> Vec<Reply> {
        self.servent.request(request).all(SOON).unwrap()
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        let replies = self.ask(Request::Peers).into_iter();
        replies
            .map(|reply| match reply {
                Reply::Peer(peer) => peer,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub(crate) fn counters(&self) -> Counters {
        match self.ask(Request::Counters).pop() {
            Some(Reply::Counters(counters)) => counters,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until `look` has something, looking again whenever there are news.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(
                start.elapsed() < SOON,
                "no {what} in time: {:?} {:?}",
                self.peers(),
                self.counters()
            );
            let _ = self.news.recv_timeout(AGAIN);
        }
    }

    pub(crate) fn until_links(&self, count: usize) -> Vec<Peer> {
        self.until("links", |node| {
            Some(node.peers()).filter(|peers| peers.len() == count)
        })
    }

    pub(crate) fn until_dropped(&self, reason: &str, at_least: u64) {
        self.until(reason, |node| {
            (node.counters().dropped[reason] >= at_least).then_some(())
        });
    }
}
