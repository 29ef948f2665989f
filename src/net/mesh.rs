//! The mesh on the serving side: what requests say of other sources, and what answers tell of them.
//!
//! [`Alternates`] decides what is kept; this reads and writes heads.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::partials::available_of;
use crate::node::Time;
use crate::node::address::Net;
use crate::node::alternates::{Alternate, Alternates};
use crate::node::swarm::Ranges;
use crate::wire::Sha1;
use crate::wire::alt::{self, Open, Walled};
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
    /// These, as far as it says.
    has: Ranges,
    reads_walled: bool,
    /// Its listener takes TLS.
    tls: bool,
}

/// What many say once on a connection and mean for all of it: gtk-gnutella its features, others where they listen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// Where the client listens.
    pub(super) node: Option<SocketAddr>,
    reads_walled: bool,
    tls: bool,
}

impl Said {
    /// Adds what earlier requests on the connection said, and keeps what this one says for the next.
    pub(super) fn add(&mut self, standing: &mut Standing) {
        self.node = self.node.or(standing.node);
        self.reads_walled |= standing.reads_walled;
        self.tls |= standing.tls;
        *standing = Standing {
            node: self.node,
            reads_walled: self.reads_walled,
            tls: self.tls,
        };
    }

    /// Reads the head of a request.
    pub(super) fn of(head: &Head) -> Self {
        let open = alt::open_all(head.list("X-Alt")).take(ITEMS_MAX);
        let walled = head.list("X-FAlt").filter_map(Walled::parse);
        let downloaded = head.get("X-Downloaded").is_some_and(|bytes| {
            let bytes = bytes.trim().trim_start_matches("bytes").trim();
            bytes.parse().is_ok_and(|bytes: u64| bytes > 0)
        });
        let has = available_of(head).unwrap_or_default();
        let says = |what: &str| {
            head.list("X-Features")
                .any(|feature| feature.to_ascii_lowercase().starts_with(what))
        };
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
            has_parts: downloaded || !has.is_empty(),
            has,
            reads_walled: says("fwalt/"),
            tls: says("tls/"),
        }
    }
}

impl Said {
    /// Where it serves what it has of the file, if both is said and the address is `peer`'s own.
    pub(super) fn serves(&self, peer: SocketAddr) -> Option<(Open, &Ranges)> {
        let addr = self.node.filter(|_| self.walled.is_none())?;
        let own = addr.ip().to_canonical() == peer.ip().to_canonical();
        let tls = self.tls;
        (own && !self.has.is_empty()).then_some((Open { addr, tls }, &self.has))
    }
}

/// The alternates of the files of one node, those of each net by themselves: nobody is told of a node of another net.
#[derive(Debug)]
pub(super) struct Mesh(Vec<(Net, Mutex<Alternates>)>);

/// What an exchange led to.
#[derive(Debug)]
pub(super) struct Exchanged {
    /// What the answer tells.
    pub(super) headers: Vec<(&'static str, String)>,
    /// What hits on that net are to say of the file from now on, if that has changed.
    pub(super) in_hits: Option<(Net, Vec<Open>)>,
}

impl Mesh {
    /// None, on these nets; at least one.
    pub(super) fn new(nets: impl IntoIterator<Item = Net>) -> Self {
        let of = |net| (net, Mutex::new(Alternates::new(net)));
        let all: Vec<_> = nets.into_iter().map(of).collect();
        assert!(!all.is_empty(), "a node is on some net");
        Self(all)
    }

    /// The net that whoever is at this address is of; `None`: none of ours.
    fn of(&self, remote: IpAddr) -> Option<(Net, MutexGuard<'_, Alternates>)> {
        let (net, all) = match &self.0[..] {
            [only] => only,
            several => several.iter().find(|(net, _)| net.claims(remote))?,
        };
        Some((*net, all.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Takes in what `peer` says in a request for a file that we have, and returns what comes of it.
    pub(super) fn exchange(
        &self,
        now: Time,
        file: Sha1,
        peer: SocketAddr,
        said: &Said,
    ) -> Exchanged {
        let Some((net, mut all)) = self.of(peer.ip()) else {
            return Exchanged {
                headers: Vec::new(),
                in_hits: None,
            };
        };
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
            (None, Some(addr)) if said.has_parts => {
                let tls = said.tls;
                all.learn_self(now, file, peer, Open { addr, tls });
            }
            _ => {}
        }
        let in_hits = all.proved(now, &file).map(|all| (net, all));
        drop(all);
        let (mut open, mut walled) = (Vec::new(), Vec::new());
        for alternate in told {
            match alternate {
                Alternate::Open(one) => open.push(one),
                Alternate::Walled(one) => walled.push(one.to_string()),
            }
        }
        let lists = [("X-Alt", alt::list(&open)), ("X-FAlt", walled.join(", "))];
        let said = lists.into_iter().filter(|(_, list)| !list.is_empty());
        Exchanged {
            headers: said.collect(),
            in_hits,
        }
    }

    /// Bytes of a file came from there, and were right. Returns what hits on that net are to say of the file from now
    /// on, if that has changed.
    pub(super) fn gave(&self, now: Time, file: Sha1, from: Open) -> Option<(Net, Vec<Open>)> {
        let (net, mut all) = self.of(from.addr.ip())?;
        all.gave(now, file, from);
        all.proved(now, &file).map(|all| (net, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Sha1 = Sha1([1; 20]);

    fn said(lines: &str) -> Said {
        let head = format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n");
        Said::of(&Head::parse(head.as_bytes()).expect("a head"))
    }

    fn told(mesh: &Mesh, peer: &str, lines: &str) -> Vec<(&'static str, String)> {
        let peer = peer.parse().expect("an address");
        mesh.exchange(Time::ZERO, FILE, peer, &said(lines)).headers
    }

    #[test]
    fn each_net_is_told_of_its_own_alone() {
        let mesh = Mesh::new([Net::Lan, Net::Gnutella]);
        let parts = "X-Available-Ranges: bytes 0-9";
        let near = format!("X-Node: 192.168.0.7:1\r\n{parts}");
        let far = format!("X-Node: 8.8.8.8:6346\r\n{parts}\r\nX-Features: fwalt/0.1, tls/1.0");
        for (peer, lines) in [("192.168.0.7:50", &near), ("8.8.8.8:50", &far)] {
            assert_eq!(told(&mesh, peer, lines), [], "{peer}");
        }
        // Hearsay of the other net is worth nothing.
        told(&mesh, "192.168.0.8:50", "X-Alt: 9.9.9.9:1");
        let named = |text: &str| [("X-Alt", text.to_owned())];
        assert_eq!(told(&mesh, "192.168.0.9:50", ""), named("192.168.0.7:1"));
        assert_eq!(told(&mesh, "9.8.7.6:50", ""), named("tls=80, 8.8.8.8:6346"));
    }

    #[test]
    fn what_was_said_once_on_a_connection_holds_for_its_later_requests() {
        let mesh = Mesh::new([Net::Gnutella]);
        let (peer, mut standing) = (
            "8.8.8.8:50".parse().expect("an address"),
            Standing::default(),
        );
        // As gtk-gnutella: nothing has come yet when it says what it takes.
        let first = "X-Node: 8.8.8.8:6346\r\nX-Downloaded: 0\r\nX-Features: tls/1.0, fwalt/0.1";
        for lines in [first, "X-Downloaded: 7"] {
            let mut said = said(lines);
            said.add(&mut standing);
            mesh.exchange(Time::ZERO, FILE, peer, &said);
        }
        assert_eq!(
            told(&mesh, "9.8.7.6:50", ""),
            [("X-Alt", "tls=80, 8.8.8.8:6346".to_owned())]
        );
    }

    #[test]
    fn what_an_exchange_proves_is_for_hits_of_that_net() {
        let mesh = Mesh::new([Net::Lan, Net::Gnutella]);
        let exchange = |lines: &str| {
            let peer = "8.8.8.8:50".parse().expect("an address");
            mesh.exchange(Time::ZERO, FILE, peer, &said(lines)).in_hits
        };
        assert_eq!(exchange("X-Alt: 9.9.9.9:1"), None, "hearsay");
        let parts = "X-Node: 8.8.8.8:6346\r\nX-Downloaded: 7";
        let addr = |text: &str| text.parse().expect("an address");
        let peer = Open {
            addr: addr("8.8.8.8:6346"),
            tls: false,
        };
        assert_eq!(exchange(parts), Some((Net::Gnutella, vec![peer])));
        assert_eq!(exchange(parts), None);
        let near = Open {
            addr: addr("10.0.0.1:1"),
            tls: false,
        };
        assert_eq!(
            mesh.gave(Time::ZERO, FILE, near),
            Some((Net::Lan, vec![near]))
        );
    }
}
