//! A handful of nodes wired by hand, for tests of single rules. The simulator is the place for networks.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its own part; a failed unwrap fails the test"
)]

mod datagrams;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use filbert::node::address::Net;
use filbert::node::event::{Bye, DialError, Direction, Gone, Peer, Role, Verdict};
use filbert::node::library::{Entry, Library};
use filbert::node::udp::Udp;
use filbert::node::{Action, Command, Config, Event, LinkId, Node, Notice, Outbox, Ticket, Time};
use filbert::wire::{Frame, ServentId};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// Where node `n` listens.
pub fn addr(n: usize) -> SocketAddr {
    SocketAddr::new(
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        10_000 + u16::try_from(n).unwrap(),
    )
}

/// The servent id of node `n`: ids rise with `n`.
pub fn servent(n: usize) -> ServentId {
    let mut id = [1; 16];
    id[0] = u8::try_from(n).unwrap() + 1;
    ServentId(id)
}

/// What node `n` says of itself.
pub fn peer(n: usize, direction: Direction) -> Peer {
    Peer {
        listen: Some(addr(n)),
        servent: Some(servent(n)),
        agent: "test/1.0".into(),
        max_ttl: 255,
        bye: true,
        ..Peer::bare(direction, addr(n), IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

/// A library of files with these names, indexed from 1.
pub fn library(names: &[&str]) -> Arc<Library> {
    let entries = (1..)
        .zip(names)
        .map(|(index, name)| Entry {
            index,
            share: 0,
            path: (*name).to_owned(),
            size: 100,
            mtime: 1_700_000_000,
            sha1: None,
            tiger: None,
        })
        .collect();
    Arc::new(Library::build(&["share".to_owned()], entries))
}

/// Settings for a test: nothing happens by itself.
pub fn quiet() -> Config {
    Config {
        min_links: 0,
        keepalive: false,
        limit_search: None,
        ..Config::default()
    }
}

/// Settings for a place on the live network, as a test has it: links are made by hand.
fn live(role: Role) -> Config {
    Config {
        min_links: 0,
        keepalive: false,
        limit_search: None,
        net: Net::Rehearsal,
        ..Config::live(role)
    }
}

/// Nodes of two tiers. Everything [`Wired`] can, and what tiers need.
pub struct Tiers {
    net: Wired,
    serial: u8,
}

impl std::ops::Deref for Tiers {
    type Target = Wired;
    fn deref(&self) -> &Wired {
        &self.net
    }
}

impl std::ops::DerefMut for Tiers {
    fn deref_mut(&mut self) -> &mut Wired {
        &mut self.net
    }
}

impl Tiers {
    /// A node for each role, not linked.
    pub fn new(roles: &[Role]) -> Self {
        Self::limited(roles, None)
    }

    /// The same, with so many bytes a second of searching on each link.
    pub fn limited(roles: &[Role], limit_search: Option<u64>) -> Self {
        Self::with(roles, |config| config.limit_search = limit_search)
    }

    /// The same, of nodes that send and take datagrams.
    pub fn with_datagrams(roles: &[Role]) -> Self {
        Self::with(roles, |config| config.datagrams = true)
    }

    /// The same, of nodes with other settings.
    pub fn with(roles: &[Role], change: impl Fn(&mut Config)) -> Self {
        let mut net = Wired::new(0, &quiet());
        for (n, role) in roles.iter().enumerate() {
            let mut config = Config {
                listen: Some(addr(n)),
                ..live(*role)
            };
            change(&mut config);
            net.nodes.push(Node::new(
                Arc::new(config),
                servent(n),
                ChaCha8Rng::seed_from_u64(n as u64),
            ));
        }
        Self { net, serial: 0 }
    }

    /// What node `n` says of itself here.
    fn peer(n: usize, direction: Direction, role: Role) -> Box<Peer> {
        Box::new(Peer {
            role,
            max_ttl: 4,
            degree: 32,
            query_routing: true,
            ultrapeer_query_routing: true,
            dynamic_querying: true,
            ext_probes: true,
            vendor_messages: true,
            ..peer(n, direction)
        })
    }

    /// One more node.
    pub fn add_node(&mut self, config: Config) -> usize {
        let config = Config {
            limit_search: None,
            net: Net::Rehearsal,
            ..config
        };
        self.net.add(&config);
        self.net.nodes.len() - 1
    }

    /// What node `n` says of itself to node `to` that it called, in the roles of this moment; under the name of a
    /// stranger, so that it is no second link.
    pub fn greeting_of(&self, n: usize, to: usize) -> Box<Peer> {
        Box::new(Peer {
            servent: Some(servent(70)),
            listen: Some(addr(70)),
            ..*self.net.peer_of(n, to, Direction::Accepted)
        })
    }

    /// Stranger `n` asks node `at` for a link and gets it in the role it asks in, whatever it is guided to. Gives the
    /// role that the node would have it in; `None`: it is refused.
    pub fn take_in(&mut self, at: usize, n: usize, role: Role) -> Option<Role> {
        let remote = SocketAddr::new(
            IpAddr::V4(Ipv4Addr::new(127, u8::try_from(n).unwrap(), 0, 1)),
            6346,
        );
        let peer = Box::new(Peer {
            remote,
            listen: Some(remote),
            ours: self.net.nodes[at].config().role,
            ..*Self::peer(n, Direction::Accepted, role)
        });
        let (mut out, link) = (Outbox::new(), self.net.link_id());
        self.net.nodes[at].handle(self.net.now, Event::Offer(link, peer.clone()), &mut out);
        let wanted = match out.actions().first() {
            Some(Action::Admit(_, Verdict::Accept)) => role,
            Some(Action::Admit(_, Verdict::Guide)) => Role::Leaf,
            _ => return None,
        };
        self.net.give(at, Event::LinkUp(link, peer));
        Some(wanted)
    }

    /// A greeting of node `at` is done.
    pub fn give_up(&mut self, at: usize, peer: Box<Peer>) {
        let link = self.net.link_id();
        self.net.give(at, Event::LinkUp(link, peer));
    }

    /// Links two nodes, as if `from` had dialled.
    pub fn link(&mut self, from: usize, to: usize) {
        let accepted = self.net.peer_of(from, to, Direction::Accepted);
        let dialled = self.net.peer_of(to, from, Direction::Dialled(addr(to)));
        self.net.link_as(from, to, accepted, dialled);
    }

    /// Gives a node files with these names.
    pub fn share(&mut self, node: usize, names: &[&str]) {
        self.net.give(node, Event::Library(library(names)));
    }

    /// The link of node `at` towards its neighbour `to`.
    pub fn link_of(&self, at: usize, to: usize) -> LinkId {
        let mut links = self.nodes[at].links();
        links
            .find(|info| info.peer.servent == Some(servent(to)))
            .unwrap()
            .link
    }

    /// A query of a stranger, new each time.
    pub fn query(&mut self, text: &str, ttl: u8) -> Frame {
        use filbert::wire::query::{Query, QueryFlags};
        use filbert::wire::{Guid, Header, Kind};
        self.serial += 1;
        let query = Query {
            flags: QueryFlags::OURS,
            text: text.into(),
            sha1s: Vec::new(),
            media: None,
        };
        Frame {
            header: Header {
                guid: Guid([0xE0 + self.serial; 16]),
                kind: Kind::Query,
                ttl,
                hops: 0,
            },
            payload: query.build().unwrap().into(),
        }
    }

    /// The first hit told to a ticket.
    pub fn first_hit(&self, ticket: Ticket) -> filbert::wire::hit::QueryHit {
        let hit = |notice: &Notice| match notice {
            Notice::Hit { hit, .. } => Some((**hit).clone()),
            Notice::Searching { .. }
            | Notice::TooSoon(_)
            | Notice::Pushed(_)
            | Notice::Passed(_)
            | Notice::Done(_) => None,
        };
        self.told
            .iter()
            .find_map(|(_, to, notice)| (*to == ticket).then(|| hit(notice))?)
            .unwrap()
    }

    /// Does node `at` take in stranger `n`? Else the status it is refused with.
    pub fn offer(&mut self, at: usize, n: usize, role: Role) -> Result<(), u16> {
        let offer = Box::new(Peer {
            ours: self.net.nodes[at].config().role,
            ..*Self::peer(n, Direction::Accepted, role)
        });
        let (mut out, link) = (Outbox::new(), self.net.link_id());
        self.net.nodes[at].handle(self.net.now, Event::Offer(link, offer), &mut out);
        match &out.actions()[0] {
            Action::Admit(_, Verdict::Accept | Verdict::Guide) => Ok(()),
            Action::Admit(_, Verdict::Refuse { code, .. }) => Err(*code),
            other => panic!("{other:?}"),
        }
    }
}

/// One link between two nodes, with its id at either end.
struct Wire {
    ends: [(usize, LinkId); 2],
}

/// Nodes and the links between them. Frames and dials are carried one by one, in order, without delay.
pub struct Wired {
    pub nodes: Vec<Node>,
    pub now: Time,
    /// Everything said to tickets, by node.
    pub told: Vec<(usize, Ticket, Notice)>,
    /// Frames carried: from, to, frame.
    pub carried: Vec<(usize, usize, Frame)>,
    /// Byes said: who, what.
    pub byes: Vec<(usize, Option<Bye>)>,
    wires: Vec<Wire>,
    queue: VecDeque<(usize, Event)>,
    next_link: u32,
    /// Addresses where nobody answers.
    pub dead: Vec<SocketAddr>,
    /// Connections that nodes opened because of a push: who, where to, for which file.
    pub called_back: Vec<(usize, SocketAddr, u32)>,
    /// Datagrams of nodes: who, where to, what.
    pub datagrams: Vec<(usize, SocketAddr, Frame)>,
    /// Nodes that no datagram reaches.
    pub deaf: Vec<usize>,
    /// What judges the datagrams that come to each node.
    sockets: Vec<Udp>,
}

impl Wired {
    /// `count` nodes with these settings, each listening at [`addr`] of its number, not linked.
    pub fn new(count: usize, config: &Config) -> Self {
        let mut wired = Self {
            nodes: Vec::new(),
            now: Time(1),
            told: Vec::new(),
            carried: Vec::new(),
            byes: Vec::new(),
            wires: Vec::new(),
            queue: VecDeque::new(),
            next_link: 0,
            dead: Vec::new(),
            called_back: Vec::new(),
            datagrams: Vec::new(),
            deaf: Vec::new(),
            sockets: Vec::new(),
        };
        (0..count).for_each(|_| wired.add(config));
        wired
    }

    /// One more node.
    pub fn add(&mut self, config: &Config) {
        let n = self.nodes.len();
        let config = Config {
            listen: Some(addr(n)),
            ..config.clone()
        };
        let rng = ChaCha8Rng::seed_from_u64(n as u64);
        self.nodes
            .push(Node::new(Arc::new(config), servent(n), rng));
    }

    fn link_id(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }

    /// Links two nodes, as if `from` had dialled.
    pub fn link(&mut self, from: usize, to: usize) {
        let accepted = Box::new(peer(from, Direction::Accepted));
        let dialled = Box::new(peer(to, Direction::Dialled(addr(to))));
        self.link_as(from, to, accepted, dialled);
    }

    /// As [`link`](Self::link), with what each was told of the other.
    fn link_as(&mut self, from: usize, to: usize, accepted: Box<Peer>, dialled: Box<Peer>) {
        let (a, b) = (self.link_id(), self.link_id());
        self.wires.push(Wire {
            ends: [(from, a), (to, b)],
        });
        // Both ends are up before the first frame arrives.
        self.queue.push_back((to, Event::LinkUp(b, accepted)));
        self.give(from, Event::LinkUp(a, dialled));
    }

    /// What node `n` says of itself to node `to`, each in the role it has by now.
    fn peer_of(&self, n: usize, to: usize, direction: Direction) -> Box<Peer> {
        let (config, other) = (self.nodes[n].config(), self.nodes[to].config());
        if !config.net.is_two_tier() {
            return Box::new(peer(n, direction));
        }
        Box::new(Peer {
            ours: other.role,
            ..*Tiers::peer(n, direction, config.role)
        })
    }

    /// The far end of a link.
    fn far(&self, node: usize, link: LinkId) -> Option<(usize, LinkId)> {
        self.wires.iter().find_map(|wire| match wire.ends {
            [near, far] | [far, near] if near == (node, link) => Some(far),
            _ => None,
        })
    }

    /// Hands one event to a node and carries all that follows from it.
    pub fn give(&mut self, node: usize, event: Event) {
        self.queue.push_back((node, event));
        while let Some((node, event)) = self.queue.pop_front() {
            let mut out = Outbox::new();
            self.nodes[node].handle(self.now, event, &mut out);
            for action in out.actions() {
                self.perform(node, action, &out);
            }
        }
    }

    fn perform(&mut self, node: usize, action: &Action, out: &Outbox) {
        match action {
            Action::Send(link, frame) => self.carry(node, *link, frame),
            Action::Spread(frame, span) => out
                .links(*span)
                .iter()
                .for_each(|link| self.carry(node, *link, frame)),
            Action::Dial(to) => self.dial(node, *to),
            Action::Close(link, bye) => {
                self.byes.push((node, *bye));
                if let Some((far, far_link)) = self.far(node, *link) {
                    self.wires
                        .retain(|wire| !wire.ends.contains(&(node, *link)));
                    self.queue
                        .push_back((far, Event::LinkDown(far_link, Gone::Closed)));
                }
            }
            Action::Tell(ticket, notice) => self.told.push((node, *ticket, notice.clone())),
            Action::CallBack { to, index, .. } => self.called_back.push((node, *to, *index)),
            Action::Datagram(to, frame) => self.datagram(node, *to, frame),
            Action::Admit(..) | Action::Knock(_) => {}
        }
    }

    fn carry(&mut self, node: usize, link: LinkId, frame: &Frame) {
        if let Some((far, far_link)) = self.far(node, link) {
            self.carried.push((node, far, frame.clone()));
            self.queue
                .push_back((far, Event::Received(far_link, frame.clone())));
        }
    }

    /// A dial: the far node judges the offer, as a shell would let it.
    fn dial(&mut self, node: usize, to: SocketAddr) {
        let far = (0..self.nodes.len()).find(|n| addr(*n) == to && !self.dead.contains(&to));
        let Some(far) = far else {
            return self
                .queue
                .push_back((node, Event::DialFailed(to, DialError::Unreachable)));
        };
        let (near_link, far_link) = (self.link_id(), self.link_id());
        let mut out = Outbox::new();
        let offer = self.peer_of(node, far, Direction::Accepted);
        let answer = self.peer_of(far, node, Direction::Dialled(to));
        self.nodes[far].handle(self.now, Event::Offer(far_link, offer.clone()), &mut out);
        let verdict = out.actions().iter().find_map(|action| match action {
            Action::Admit(link, verdict) if *link == far_link => Some(verdict.clone()),
            _ => None,
        });
        for action in out.actions() {
            self.perform(far, action, &out);
        }
        match verdict.expect("every offer is answered") {
            verdict @ (Verdict::Accept | Verdict::Guide) => {
                let (mut offer, mut answer) = (offer, answer);
                if verdict == Verdict::Guide {
                    answer.guides_to = Some(Role::Leaf);
                    if self.nodes[node].may_step_down(self.now) {
                        (answer.ours, offer.role) = (Role::Leaf, Role::Leaf);
                    }
                }
                self.wires.push(Wire {
                    ends: [(node, near_link), (far, far_link)],
                });
                self.queue.push_back((far, Event::LinkUp(far_link, offer)));
                self.queue
                    .push_back((node, Event::LinkUp(near_link, answer)));
            }
            Verdict::Refuse {
                code, try_peers, ..
            } => {
                self.queue.push_back((
                    node,
                    Event::DialFailed(to, DialError::Refused { code, try_peers }),
                ));
            }
        }
    }

    /// Lets time pass, waking nodes when they want to be.
    pub fn pass(&mut self, span: std::time::Duration) {
        let end = self.now.plus(span);
        loop {
            let next = (0..self.nodes.len())
                .filter_map(|n| self.nodes[n].next_wakeup().map(|at| (at, n)))
                .min()
                .filter(|(at, _)| *at <= end);
            let Some((at, node)) = next else { break };
            self.now = self.now.max(at);
            self.give(node, Event::Wake);
        }
        self.now = end;
    }

    /// Starts a search at a node.
    pub fn search(&mut self, node: usize, text: &str, ttl: u8) -> Ticket {
        let ticket = Ticket(self.told.len() as u64 + 1_000);
        let spec = filbert::node::event::SearchSpec {
            text: text.to_owned(),
            ttl: Some(ttl),
            ..filbert::node::event::SearchSpec::default()
        };
        self.give(node, Event::Command(ticket, Command::Search(spec)));
        ticket
    }

    /// Names in the hits told to a ticket.
    pub fn hits(&self, ticket: Ticket) -> Vec<String> {
        let mut names: Vec<_> = self
            .told
            .iter()
            .filter(|(_, to, _)| *to == ticket)
            .filter_map(|(.., notice)| match notice {
                Notice::Hit { hit, .. } => {
                    Some(hit.records.iter().map(|record| record.name.clone()))
                }
                Notice::Searching { .. }
                | Notice::TooSoon(_)
                | Notice::Pushed(_)
                | Notice::Passed(_)
                | Notice::Done(_) => None,
            })
            .flatten()
            .collect();
        names.sort();
        names
    }

    /// Who is linked to whom, by node number.
    pub fn neighbours(&self, node: usize) -> Vec<usize> {
        let mut all: Vec<_> = self.nodes[node]
            .links()
            .map(|info| {
                (0..self.nodes.len())
                    .find(|n| info.peer.servent == Some(servent(*n)))
                    .unwrap()
            })
            .collect();
        all.sort_unstable();
        all
    }

    /// Frames of a kind carried so far, counted by (from, to).
    pub fn carried_of(&self, kind: filbert::wire::Kind) -> BTreeMap<(usize, usize), usize> {
        let mut counts = BTreeMap::new();
        for (from, to, frame) in &self.carried {
            if frame.header.kind == kind {
                *counts.entry((*from, *to)).or_insert(0) += 1;
            }
        }
        counts
    }
}
