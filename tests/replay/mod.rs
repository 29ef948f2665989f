//! A captured peer speaks again: its bytes go through our greeting into the core of a node, and what that says is kept.
//!
//! The peer is deaf: it says what it said to the probe, whatever we say. Where it answered a message of the probe, the
//! test gives its answer the id of ours ([`Talk::answer`]); nothing else of what it said is touched.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a failed unwrap fails the test"
)]

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use filbert::node::address::Net;
use filbert::node::event::{Bye, Direction, Gone, Peer, Role, SearchSpec, Verdict};
use filbert::node::greet::{Acceptor, Coding, Codings, Dialer, Encryption, GreetError, Me, Step};
use filbert::node::{
    Action, Command, Config, Drop, Event, LinkId, Node, Notice, Outbox, Ticket, Time,
};
use filbert::wire::heads::HeadReader;
use filbert::wire::vendor::{FEATURES_SUPPORTED, MESSAGES_SUPPORTED, Vendor, VendorId};
use filbert::wire::window::Inflater;
use filbert::wire::{Frame, FrameReader, Guid, Kind, ServentId, WireError};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::common::library;

/// Who we are.
pub(crate) const US: ServentId = ServentId([0x42; 16]);
/// Where we listen.
pub(crate) const LISTEN: &str = "127.0.9.1:6399";
/// The link to the captured peer.
pub(crate) const PEER: LinkId = LinkId(1);
/// What we share.
pub(crate) const SHARED: [&str; 2] = ["pink flamingo.txt", "orchid bloom.txt"];

/// Bytes of a capture.
pub(crate) fn captured(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/gtk-gnutella");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A node of the live network that does nothing by itself, with something to share.
pub(crate) fn node(role: Role, keepalive: bool) -> Node {
    let config = Config {
        net: Net::Rehearsal,
        listen: Some(LISTEN.parse().unwrap()),
        min_links: 0,
        keepalive,
        // Thousands of nodes are made, and no captured minute has as many ids.
        seen_cache: NonZeroUsize::new(256).unwrap(),
        ..Config::live(role)
    };
    let mut node = Node::new(Arc::new(config), US, ChaCha8Rng::seed_from_u64(1));
    let mut out = Outbox::new();
    node.handle(Time(1), Event::Library(library(&SHARED)), &mut out);
    node
}

fn me(role: Role) -> Me {
    Me {
        net: Net::Rehearsal,
        role,
        agent: "filbert/test".to_owned(),
        servent: US,
        listen: Some(LISTEN.parse().unwrap()),
        max_ttl: 4,
        degree: 32,
        ext_probes: true,
        encryption: Encryption::Offered,
    }
}

/// A captured peer and our node.
pub(crate) struct Talk {
    pub(crate) node: Node,
    pub(crate) now: Time,
    /// How the greeting left both directions.
    pub(crate) codings: Codings,
    /// Frames of the peer that were not heard yet, in order.
    pub(crate) to_come: Vec<Frame>,
    /// Who the peer said it is.
    pub(crate) peer: Peer,
    /// What the peer's stream ended with.
    pub(crate) ended: Result<(), Ended>,
    /// What we said, and to whom.
    pub(crate) said: Vec<(LinkId, Frame)>,
    /// What our own searches were told.
    pub(crate) told: Vec<Notice>,
    /// Links we closed, with our last words.
    pub(crate) closed: Vec<(LinkId, Option<Bye>)>,
    /// Where we were to connect because of a push.
    pub(crate) called_back: Vec<(SocketAddr, u32)>,
}

/// Why a stream cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There is no telling where the next frame begins.
    Unframed(WireError),
    /// The compressed stream is damaged.
    Damaged,
}

/// What all the bytes of a greeting's other side lead to.
pub(crate) enum Greeted {
    Link(Box<Talk>),
    /// More bytes are needed.
    Unfinished,
    Refused(u16),
    Broken(GreetError),
}

impl Greeted {
    pub(crate) fn link(self) -> Talk {
        match self {
            Self::Link(talk) => *talk,
            Self::Unfinished => panic!("the greeting is not over"),
            Self::Refused(code) => panic!("refused: {code}"),
            Self::Broken(error) => panic!("{error}"),
        }
    }
}

impl Talk {
    /// We call the peer as a leaf or an ultrapeer; it answers with these bytes.
    pub(crate) fn dial(role: Role, bytes: &[u8]) -> Greeted {
        Self::dial_with(node(role, false), role, bytes)
    }

    /// The same, and our node pings its neighbours.
    pub(crate) fn keeping_alive(role: Role, name: &str) -> Self {
        let bytes = captured(&format!("{name}.recv.bin"));
        Self::dial_with(node(role, true), role, &bytes).link()
    }

    /// What has become of a greeting.
    fn greeted(node: Node, step: Result<Step, GreetError>) -> Greeted {
        match step {
            Ok(Step::Done {
                peer,
                codings,
                upgrade: false,
                rest,
                ..
            }) => Greeted::Link(Self::up(node, *peer, codings, &rest)),
            Ok(Step::NeedMore) => Greeted::Unfinished,
            Ok(Step::Refused { code, .. }) => Greeted::Refused(code),
            Ok(step) => panic!("{step:?}"),
            Err(error) => Greeted::Broken(error),
        }
    }

    fn dial_with(mut node: Node, role: Role, bytes: &[u8]) -> Greeted {
        let (now, mut out) = (Time(1), Outbox::new());
        let at: SocketAddr = "127.0.0.1:6346".parse().unwrap();
        let call = Event::Command(Ticket(1), Command::AddPeer(at));
        node.handle(now, call, &mut out);
        assert!(out.actions().contains(&Action::Dial(at)), "{out:?}");
        let (mut dialer, _) = Dialer::new(me(role), at, [127, 0, 9, 1].into());
        Self::greeted(node, dialer.read(bytes))
    }

    /// The peer calls us with these bytes, the second half of which it said after our answer.
    pub(crate) fn accept(role: Role, from: [u8; 4], bytes: &[u8]) -> Greeted {
        let mut node = node(role, false);
        let remote = SocketAddr::from((from, 40_000));
        let mut acceptor = Acceptor::new(me(role), remote, [127, 0, 9, 1].into());
        let first = match HeadReader::new().push(bytes) {
            Ok(Some((_, rest))) => bytes.len() - rest.len(),
            _ => bytes.len(),
        };
        let peer = match acceptor.read(&bytes[..first]) {
            Ok(Step::Offer(peer)) => peer,
            Ok(Step::NeedMore) => return Greeted::Unfinished,
            Ok(Step::Refused { code, .. }) => return Greeted::Refused(code),
            Ok(step) => panic!("{step:?}"),
            Err(error) => return Greeted::Broken(error),
        };
        let mut out = Outbox::new();
        node.handle(Time(1), Event::Offer(PEER, peer), &mut out);
        let verdict = out.actions().iter().find_map(|action| match action {
            Action::Admit(PEER, verdict) => Some(verdict.clone()),
            _ => None,
        });
        let verdict = verdict.expect("every offer is answered");
        assert_eq!(verdict, Verdict::Accept);
        let answer = acceptor.answer(&verdict);
        assert!(answer.starts_with(b"GNUTELLA/0.6 200 OK\r\n"));
        Self::greeted(node, acceptor.read(&bytes[first..]))
    }

    /// The status with which we refuse a call; `None` when we accept it.
    pub(crate) fn accept_verdict(role: Role, from: [u8; 4], bytes: &[u8]) -> Option<u16> {
        let mut node = node(role, false);
        let remote = SocketAddr::from((from, 40_000));
        let mut acceptor = Acceptor::new(me(role), remote, [127, 0, 9, 1].into());
        let (_, rest) = HeadReader::new().push(bytes).unwrap().unwrap();
        let step = acceptor.read(&bytes[..bytes.len() - rest.len()]);
        let Ok(Step::Offer(peer)) = step else {
            panic!("{step:?}")
        };
        let mut out = Outbox::new();
        node.handle(Time(1), Event::Offer(PEER, peer), &mut out);
        match out.actions() {
            [Action::Admit(PEER, Verdict::Refuse { code, .. }), ..] => Some(*code),
            [Action::Admit(PEER, Verdict::Accept), ..] => None,
            other => panic!("{other:?}"),
        }
    }

    fn up(node: Node, peer: Peer, codings: Codings, rest: &[u8]) -> Box<Self> {
        let (to_come, ended) = read(rest, codings.from_peer);
        let mut talk = Box::new(Self {
            node,
            now: Time(1),
            codings,
            to_come,
            peer,
            ended,
            said: Vec::new(),
            told: Vec::new(),
            closed: Vec::new(),
            called_back: Vec::new(),
        });
        talk.give(Event::LinkUp(PEER, Box::new(talk.peer.clone())));
        talk
    }

    /// One more neighbour, an ultrapeer that says nothing by itself.
    pub(crate) fn neighbour(&mut self, link: LinkId) {
        let addr = SocketAddr::from(([127, 0, 7, u8::try_from(link.0).unwrap()], 6346));
        let peer = Peer {
            listen: Some(addr),
            servent: Some(ServentId([u8::try_from(link.0).unwrap(); 16])),
            max_ttl: 4,
            degree: 32,
            query_routing: true,
            ultrapeer_query_routing: true,
            dynamic_querying: true,
            bye: true,
            ..Peer::bare(Direction::Accepted, addr, IpAddr::from([127, 0, 9, 1]))
        };
        self.give(Event::LinkUp(link, Box::new(peer)));
    }

    /// Hands one event to the node.
    pub(crate) fn give(&mut self, event: Event) {
        let mut out = Outbox::new();
        self.node.handle(self.now, event, &mut out);
        for action in out.actions() {
            match action {
                Action::Send(link, frame) => self.said.push((*link, frame.clone())),
                Action::Spread(frame, span) => {
                    let links = out.links(*span).iter();
                    self.said.extend(links.map(|link| (*link, frame.clone())));
                }
                Action::Tell(_, notice) => self.told.push(notice.clone()),
                Action::Close(link, bye) => self.closed.push((*link, *bye)),
                Action::CallBack { to, index, .. } => self.called_back.push((*to, *index)),
                Action::Datagram(..) | Action::Dial(_) | Action::Admit(..) | Action::Knock(_) => {}
            }
        }
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.plus(std::time::Duration::from_secs(1));
            self.give(Event::Wake);
        }
    }

    /// What we say to whom when this frame comes over a link.
    pub(crate) fn hear_on(&mut self, link: LinkId, frame: Frame) -> Vec<(LinkId, Frame)> {
        let before = self.said.len();
        self.give(Event::Received(link, frame));
        self.said[before..].to_vec()
    }

    /// What we say to the peer when it says this.
    pub(crate) fn hear(&mut self, frame: Frame) -> Vec<Frame> {
        let said = self.hear_on(PEER, frame).into_iter();
        said.filter_map(|(to, frame)| (to == PEER).then_some(frame))
            .collect()
    }

    /// The peer says all it has left, at the pace of one frame every four seconds.
    pub(crate) fn hear_out(&mut self) {
        for frame in std::mem::take(&mut self.to_come) {
            self.pass(4);
            self.hear(frame);
        }
    }

    /// The next frame of this kind that the peer says; all before it are left for later.
    pub(crate) fn next(&mut self, kind: Kind) -> Frame {
        let mut kinds = self.to_come.iter().map(|frame| frame.header.kind);
        let at = kinds
            .position(|other| other == kind)
            .unwrap_or_else(|| panic!("it says no more {kind:?}"));
        self.to_come.remove(at)
    }

    /// What the peer answered, as an answer to the message of ours with this id.
    pub(crate) fn answer(&mut self, to: Guid, mut frame: Frame) -> Vec<Frame> {
        frame.header.guid = to;
        self.hear(frame)
    }

    /// Starts a search of ours; the query that goes to the peer.
    pub(crate) fn search(&mut self, text: &str) -> Option<Frame> {
        let before = self.said.len();
        let spec = SearchSpec {
            text: text.to_owned(),
            ..SearchSpec::default()
        };
        self.give(Event::Command(Ticket(7), Command::Search(spec)));
        let mut said = self.said[before..].iter();
        said.find(|(to, frame)| *to == PEER && frame.header.kind == Kind::Query)
            .map(|(_, frame)| frame.clone())
    }

    /// All that was said to the peer, of this kind.
    pub(crate) fn said_of(&self, kind: Kind) -> Vec<Frame> {
        let said = self.said.iter().filter(|(to, _)| *to == PEER);
        said.filter(|(_, frame)| frame.header.kind == kind)
            .map(|(_, frame)| frame.clone())
            .collect()
    }

    /// Names of the files that searches of ours found.
    pub(crate) fn found(&self) -> Vec<String> {
        let hits = self.told.iter().filter_map(|notice| match notice {
            Notice::Hit { hit, .. } => Some(hit),
            _ => None,
        });
        hits.flat_map(|hit| hit.records.iter().map(|record| record.name.clone()))
            .collect()
    }

    /// Why frames were dropped, and how many.
    pub(crate) fn drops(&self) -> Vec<(&'static str, u64)> {
        let all = Drop::ALL.iter();
        all.map(|reason| (reason.name(), self.node.stats().dropped(*reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// The vendor messages that the peer said it reads.
    pub(crate) fn it_reads(&self) -> Vec<VendorId> {
        let all = self.to_come.iter();
        let lists = all.filter(|frame| frame.header.kind == Kind::Vendor);
        let mut lists = lists.filter_map(|frame| match Vendor::parse(&frame.payload) {
            Ok(Vendor::MessagesSupported(ids)) => Some(ids),
            _ => None,
        });
        lists.next().expect("it says what it reads")
    }

    /// Fails when we said anything for which this peer would end the link: what is not one hop's must not have
    /// travelled, and of vendor messages it gets none it does not read.
    pub(crate) fn assert_polite(&self, reads: &[VendorId], role: Role) {
        assert_eq!(self.closed, [], "we said Bye");
        for (_, frame) in self.said.iter().filter(|(to, _)| *to == PEER) {
            let header = frame.header;
            match header.kind {
                Kind::Qrp | Kind::Vendor => {
                    assert_eq!((header.ttl, header.hops), (1, 0), "{frame:?}");
                }
                // As its own hits have it.
                Kind::QueryHit => assert!((1..=6).contains(&header.ttl), "{frame:?}"),
                _ => assert!((1..=4).contains(&header.ttl), "{frame:?}"),
            }
            if role == Role::Leaf {
                assert_eq!(header.hops, 0, "a leaf passes nothing on: {frame:?}");
            }
            if header.kind == Kind::Vendor {
                let id = Vendor::parse(&frame.payload).unwrap().id();
                let all = [MESSAGES_SUPPORTED, FEATURES_SUPPORTED];
                assert!(all.contains(&id) || reads.contains(&id), "{id:?}");
            }
        }
    }

    /// The link ends, as the shell says it.
    pub(crate) fn hang_up(&mut self) {
        let gone = match self.ended {
            Ok(()) => Gone::Closed,
            Err(Ended::Unframed(_)) => Gone::Garbage,
            Err(Ended::Damaged) => Gone::Damaged,
        };
        self.give(Event::LinkDown(PEER, gone));
    }
}

/// Frames of a stream until it ends or makes no sense.
pub(crate) fn read(stream: &[u8], coding: Coding) -> (Vec<Frame>, Result<(), Ended>) {
    let mut plain = Vec::new();
    let mut ended = Ok(());
    match coding {
        Coding::Plain => plain.extend_from_slice(stream),
        Coding::Deflated => {
            let inflated = Inflater::default().inflate(stream, &mut plain, 1 << 20);
            ended = inflated.map(|_| ()).map_err(|_| Ended::Damaged);
        }
    }
    let mut reader = FrameReader::new();
    reader.push(Bytes::from(plain));
    let mut frames = Vec::new();
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, ended),
            Err(error) => return (frames, Err(Ended::Unframed(error))),
        }
    }
}
