//! The mesh on the serving side: what requests say of other sources, and what answers tell of them.
//!
//! [`Alternates`] decides what is kept; this reads and writes heads.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use crate::node::Time;
use crate::node::address::Net;
use crate::node::alternates::{Alternate, Alternates};
use crate::wire::Sha1;
use crate::wire::alt::{self, Walled};
use crate::wire::heads::Head;

/// Items read of each header. Our choice.
const ITEMS_MAX: usize = 16;

/// What one request says of sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    alternates: Vec<Alternate>,
    useless: Vec<SocketAddr>,
    /// Where the requester listens.
    pub(super) node: Option<SocketAddr>,
    /// How it can be reached by a push.
    walled: Option<Walled>,
    /// It has parts of the file itself.
    has_parts: bool,
    reads_walled: bool,
}

impl Said {
    /// Reads the head of a request.
    pub(super) fn of(head: &Head) -> Self {
        let open = head.list("X-Alt").filter_map(alt::open).take(ITEMS_MAX);
        let walled = head.list("X-FAlt").filter_map(Walled::parse);
        let downloaded = head.get("X-Downloaded").is_some_and(|bytes| {
            let bytes = bytes.trim().trim_start_matches("bytes").trim();
            bytes.parse().is_ok_and(|bytes: u64| bytes > 0)
        });
        let ranges = head
            .get("X-Available-Ranges")
            .is_some_and(|ranges| ranges.contains('-'));
        Self {
            alternates: open
                .map(Alternate::Open)
                .chain(walled.map(Alternate::Walled).take(ITEMS_MAX))
                .collect(),
            useless: head
                .list("X-NAlt")
                .filter_map(alt::open)
                .take(ITEMS_MAX)
                .collect(),
            node: head
                .get("X-Node")
                .or_else(|| head.get("X-Listen-IP"))
                .and_then(alt::open),
            walled: head.get("X-FW-Node-Info").and_then(Walled::parse),
            has_parts: downloaded || ranges,
            reads_walled: head
                .list("X-Features")
                .any(|feature| feature.to_ascii_lowercase().starts_with("fwalt/")),
        }
    }
}

/// The alternates of the files of one node.
#[derive(Debug)]
pub(super) struct Mesh(Mutex<Alternates>);

impl Mesh {
    /// None.
    pub(super) fn new(net: Net) -> Self {
        Self(Mutex::new(Alternates::new(net)))
    }

    /// Takes in what `peer` says in a request for a file that we have, and returns what the answer tells.
    pub(super) fn exchange(
        &self,
        now: Time,
        file: Sha1,
        peer: SocketAddr,
        said: &Said,
    ) -> Vec<(&'static str, String)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for addr in &said.useless {
            all.useless(&file, peer.ip(), *addr);
        }
        for alternate in &said.alternates {
            all.learn(now, file, peer.ip(), alternate.clone());
        }
        let told = all.tell(now, &file, peer.ip(), said.node, said.reads_walled);
        // Last, so that it is not told of itself.
        match (&said.walled, said.node) {
            (Some(walled), _) if said.has_parts => {
                all.learn(now, file, peer.ip(), Alternate::Walled(walled.clone()));
            }
            (None, Some(node)) if said.has_parts => all.learn_self(now, file, peer, node),
            _ => {}
        }
        drop(all);
        let open = told.iter().filter_map(|alternate| match alternate {
            Alternate::Open(addr) => Some(addr.to_string()),
            Alternate::Walled(_) => None,
        });
        let walled = told.iter().filter_map(|alternate| match alternate {
            Alternate::Walled(walled) => Some(walled.to_string()),
            Alternate::Open(_) => None,
        });
        let lists = [
            ("X-Alt", open.collect::<Vec<_>>().join(", ")),
            ("X-FAlt", walled.collect::<Vec<_>>().join(", ")),
        ];
        lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .collect()
    }
}
