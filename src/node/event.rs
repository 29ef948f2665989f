//! All that enters the core ([`Event`]) and all that leaves it ([`Action`]).
//!
//! Both are closed sets: the trace of a run is a list of them, whichever shell drives the node.
//!
//! The contract of a shell, for every event: call [`Node::handle`](super::Node::handle) once, perform
//! **all** actions of the outbox in order, clear it, then wait for the next event, at most until
//! [`Node::next_wakeup`](super::Node::next_wakeup), and hand in [`Event::Wake`] if that passes first.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::wire::alt::Open;
use crate::wire::hit::QueryHit;
use crate::wire::query::Media;
use crate::wire::{Frame, Guid, ServentId, Sha1};

use super::hostile::Hostile;
use super::hosts::Remembered;
use super::library::Library;
use super::repeats::TooSoon;
use super::strategy::Strategy;

/// One link to a neighbour. Chosen by the shell, rising and never reused, so that a late event about a
/// dead link is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// Who asked for something through the shell; chosen by the shell, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Who opened a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We dialled this address.
    Dialled(SocketAddr),
    /// The peer dialled us.
    Accepted,
}

/// The place of a node in the overlay, as it says in its greeting (`X-Ultrapeer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Floods; every node of a flat overlay.
    Ultrapeer,
    /// Hangs on ultrapeers and relays nothing.
    Leaf,
}

/// What the greeting told about a peer.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one header of the greeting, on its own"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who opened the link.
    pub direction: Direction,
    /// Address of the other end of the socket.
    pub remote: SocketAddr,
    /// Our own address on that socket: what this peer can reach us at.
    pub local_ip: IpAddr,
    /// Where the peer says it listens (`Listen-IP`, `Node` and kin), with `remote`'s address in place of an
    /// unspecified one.
    pub listen: Option<SocketAddr>,
    /// `GUID` header.
    pub servent: Option<ServentId>,
    /// `User-Agent`, at most 64 characters, control characters removed.
    pub agent: Box<str>,
    /// `X-Ultrapeer`.
    pub role: Role,
    /// Our own role as this peer was told it.
    pub ours: Role,
    /// `X-Ultrapeer-Needed`: the place it would have us take. Only a node whose role is left to the network may follow.
    pub guides_to: Option<Role>,
    /// `X-Max-TTL`, 7 when not said.
    pub max_ttl: u8,
    /// `X-Degree`: ultrapeer links it aims at, 8 when not said.
    pub degree: u16,
    /// `X-Query-Routing`: takes query routing tables of leaves.
    pub query_routing: bool,
    /// `X-Ultrapeer-Query-Routing`: exchanges tables with ultrapeers.
    pub ultrapeer_query_routing: bool,
    /// `X-Dynamic-Querying`: asks link by link for its leaves.
    pub dynamic_querying: bool,
    /// `X-Ext-Probes`: accepts the same id again with a higher TTL.
    pub ext_probes: bool,
    /// `Bye-Packet`: understands Bye.
    pub bye: bool,
    /// `Vendor-Message`: reads kind 0x31.
    pub vendor_messages: bool,
    /// `Remote-IP`: our address as the peer sees it.
    pub sees_us_at: Option<IpAddr>,
    /// Addresses from `X-Try-Ultrapeers` and `X-Try`, at most 20.
    pub try_peers: Vec<SocketAddr>,
    /// What goes over the link is encrypted.
    pub encrypted: bool,
}

impl Peer {
    /// A peer of which no more is known than its addresses: an ultrapeer that said nothing else.
    pub fn bare(direction: Direction, remote: SocketAddr, local_ip: IpAddr) -> Self {
        Self {
            direction,
            remote,
            local_ip,
            listen: None,
            servent: None,
            agent: Box::default(),
            role: Role::Ultrapeer,
            ours: Role::Ultrapeer,
            guides_to: None,
            max_ttl: 7,
            degree: 8,
            query_routing: false,
            ultrapeer_query_routing: false,
            dynamic_querying: false,
            ext_probes: false,
            bye: false,
            vendor_messages: false,
            sees_us_at: None,
            try_peers: Vec::new(),
            encrypted: false,
        }
    }

    /// Is this an address of the peer: the one it says it listens at, or the other end of the socket (which, when
    /// we dialled, it listens at too)?
    pub fn is_at(&self, addr: SocketAddr) -> bool {
        self.listen == Some(addr) || self.remote == addr
    }
}

/// Why a link is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The stream ended.
    Closed,
    /// The socket failed.
    Broken,
    /// The peer said Bye with this code.
    Bye(u16),
    /// We closed it.
    ByUs,
    /// Bytes that cannot be a Gnutella stream.
    Garbage,
    /// A compressed stream that cannot be inflated.
    Damaged,
    /// A compressed stream that inflates to far more than any honest one.
    Bomb,
}

/// Why a dial led to no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialError {
    /// No connection, or none in time.
    Unreachable,
    /// Connected, but it does not speak Gnutella 0.6 or not in time.
    NotGnutella,
    /// The peer answered with another status than 200.
    Refused {
        /// Status code, such as 503.
        code: u16,
        /// Addresses of `X-Try-Ultrapeers`, at most 20.
        try_peers: Vec<SocketAddr>,
    },
}

/// What enters the core.
#[derive(Clone, Debug)]
pub enum Event {
    /// A peer asks to link (first group of an incoming greeting). The answer is [`Action::Admit`].
    Offer(LinkId, Box<Peer>),
    /// A greeting is done; frames follow.
    LinkUp(LinkId, Box<Peer>),
    /// A link, or an admitted offer that never came up, is gone.
    LinkDown(LinkId, Gone),
    /// A dial of ours failed.
    DialFailed(SocketAddr, DialError),
    /// A frame arrived.
    Received(LinkId, Frame),
    /// Time passed.
    Wake,
    /// A new share index.
    Library(Arc<Library>),
    /// Addresses learned outside the overlay: the command line, the remembered ones.
    Heard(Vec<SocketAddr>),
    /// What an earlier run knew.
    Remembered(Box<Remembered>),
    /// A node on this network answered from there just now, outside the overlay.
    Answered(SocketAddr),
    /// Somebody who is no neighbour, a host cache, told of these.
    Told(SocketAddr, Vec<SocketAddr>),
    /// A datagram about a search or a walker, a hit, or a pong that no host cache was asked for.
    Datagram(SocketAddr, Frame),
    /// A ping with this id came by datagram from one to whom the shell itself sent nothing lately. It is answered
    /// otherwise; here it is of interest as a proof that datagrams reach us.
    Pinged(SocketAddr, Guid),
    /// Who else on this net is known at first hand to have a file: those that gave us bytes of it or fetch it from us.
    /// All of them; hits for the file name them.
    Elsewhere(Sha1, Vec<Open>),
    /// Whether all upload slots are taken.
    Busy(bool),
    /// The addresses that nothing is had to do with from now on, in place of those of the settings. Links to them close.
    Hostile(Arc<Hostile>),
    /// The send queue of a link is above its high mark ([`QUEUE_HIGH_BYTES`](super::limits::QUEUE_HIGH_BYTES):
    /// `true`), or at its low mark again.
    Pressed(LinkId, bool),
    /// Somebody connected to us who was not asked to: we can be reached.
    Reached,
    /// Somebody on this machine wants something.
    Command(Ticket, Command),
}

/// What somebody on this machine may want of the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Search the overlay until [`Command::Cancel`]. Answers: [`Notice::Searching`], then
    /// [`Notice::Hit`] for each hit frame; or [`Notice::TooSoon`].
    Search(SearchSpec),
    /// End a search by its ticket.
    Cancel,
    /// Dial this address now, whatever the link counts. Answer: [`Notice::Done`] once it is a link, or why not.
    AddPeer(SocketAddr),
    /// Close the link to this address (its listening or remote one). Answer: [`Notice::Done`].
    DropPeer(SocketAddr),
    /// Ask a servent that cannot be connected to to connect to us. Answer: [`Notice::Pushed`].
    Push(PushSpec),
    /// The same by datagrams to its push proxies, at most [`PROXIES_TOLD_MAX`](super::limits::PROXIES_TOLD_MAX) of
    /// them. Answer: [`Notice::Pushed`], [`Pushed::NoWay`] when none of them may be sent one.
    PushByProxies(PushSpec, Vec<SocketAddr>),
    /// Somebody asks us, as the push proxy of a neighbour, to pass a push on to it. Answer: [`Notice::Passed`].
    PassPush(PassedPush),
    /// Say Bye to everyone; [`Action::Close`] follows for each link and nothing is dialled any more.
    Leave,
}

/// One search of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchSpec {
    /// Words as typed; folded before they are sent. Empty for a search by hash alone.
    pub text: String,
    /// Only files with this hash.
    pub sha1: Option<Sha1>,
    /// TTL of the query; `None`: the configured one.
    pub ttl: Option<u8>,
    /// Only files of these kinds; said on the live network alone, where it saves strangers' answers.
    pub media: Option<Media>,
    /// How it spreads.
    pub strategy: Strategy,
    /// Results after which a strategy that goes on by itself stops; `None`: as many as is usual.
    pub wanted: Option<u16>,
}

/// One push of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushSpec {
    /// Who is to connect to us.
    pub servent: ServentId,
    /// The file it is to offer; of no meaning today.
    pub index: u32,
    /// The port where the connection is awaited; `None`: where we listen.
    pub port: Option<NonZeroU16>,
}

/// What became of a [`PushSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is on its way.
    Sent,
    /// No link is known over which it would get there.
    NoWay,
    /// Nobody can connect to us either.
    NorCanWe,
}

/// One push that a stranger gives us for a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedPush {
    /// Who is to connect.
    pub servent: ServentId,
    /// The file it is to offer; of no meaning today.
    pub index: u32,
    /// Where to: what the stranger says is its own address.
    pub to: SocketAddr,
    /// That address speaks TLS.
    pub tls: bool,
    /// The stranger's end of its connection to us.
    pub asker: SocketAddr,
    /// The id it came with, if it came as a push; its copies by other proxies have the same.
    pub id: Option<Guid>,
}

/// What became of a [`PassedPush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It was sent to the neighbour; or it was for us, and we connect if that is not asked too often.
    Sent,
    /// No neighbour has this servent id.
    Unknown,
    /// The address is not the asker's, or nobody may be sent there.
    NotYours,
    /// The asker, or others for the same neighbour, ask too often.
    TooOften {
        /// Seconds after which room is certain.
        again_s: u32,
    },
}

/// What the core tells whoever holds a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The query went out to so many neighbours.
    Searching {
        /// Its message id.
        guid: Guid,
        /// Links it was sent on.
        neighbours: usize,
        /// TTL it was sent with.
        ttl: u8,
    },
    /// The search did not go out: all neighbours had the same too lately to take it. The last word of it.
    TooSoon(TooSoon),
    /// One hit frame for this search.
    Hit {
        /// Hops from the responder to us: 0 is a neighbour's own hit.
        hops: u8,
        /// The decoded hit.
        hit: Box<QueryHit>,
    },
    /// What became of a push of ours.
    Pushed(Pushed),
    /// What became of a push to be passed on.
    Passed(Passed),
    /// The command is done, or failed for a reason fit for people.
    Done(Result<(), String>),
}

/// Our answer to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200: link.
    Accept,
    /// 200 to an ultrapeer, which shall link as a leaf if it may (`X-Ultrapeer-Needed: False`).
    Guide,
    /// Any other status, with addresses to try instead (at most 10).
    Refuse {
        /// Status code: 409 for a second link, 503 when full.
        code: u16,
        /// Status text.
        text: &'static str,
        /// For `X-Try-Ultrapeers`.
        try_peers: Vec<SocketAddr>,
    },
}

/// What leaves the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Queue a frame on one link.
    Send(LinkId, Frame),
    /// Queue a frame on each link of [`Outbox::links`]. One action for all of a flood's copies keeps the
    /// price of a relay at one reference count however many neighbours there are.
    Spread(Frame, Span),
    /// Send a frame as a datagram. It may be lost.
    Datagram(SocketAddr, Frame),
    /// Connect and greet; ends in `LinkUp` or `DialFailed`.
    Dial(SocketAddr),
    /// Answer an offer.
    Admit(LinkId, Verdict),
    /// Close a link, after a Bye when one is given.
    Close(LinkId, Option<Bye>),
    /// Tell whoever holds the ticket.
    Tell(Ticket, Notice),
    /// Somebody wants our file with this index but cannot be reached by waiting for it: connect there, say GIV and
    /// serve what is asked.
    CallBack {
        /// Where to.
        to: SocketAddr,
        /// The file, by its index.
        index: u32,
        /// TLS is taken there.
        tls: bool,
    },
    /// A neighbour asks whether it can be reached: connect there, send two line feeds and close.
    Knock(SocketAddr),
}

/// A last word: code and reason (`overlay` Bye codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye {
    /// 2xx nobody's fault, 4xx theirs, 5xx ours.
    pub code: u16,
    /// A short plain line.
    pub text: &'static str,
}

/// A run of links in an [`Outbox`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The links of this run, out of all of its outbox.
    pub fn of(self, links: &[LinkId]) -> &[LinkId] {
        &links[self.start as usize..self.end as usize]
    }
}

/// Where the core puts its actions. Reused from event to event; a shell performs and clears it.
#[derive(Debug, Default)]
pub struct Outbox {
    actions: Vec<Action>,
    spread: Vec<LinkId>,
    stirred: bool,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an action.
    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Adds one frame for several links; nothing when there are none. Returns how many.
    pub fn spread(&mut self, frame: Frame, links: impl Iterator<Item = LinkId>) -> usize {
        let start = self.spread.len();
        self.spread.extend(links);
        let end = self.spread.len();
        if end > start {
            let at =
                |len: usize| u32::try_from(len).expect("an outbox holds fewer than 2^32 links");
            self.actions.push(Action::Spread(
                frame,
                Span {
                    start: at(start),
                    end: at(end),
                },
            ));
        }
        end - start
    }

    /// The links of a [`Action::Spread`] of this outbox.
    pub fn links(&self, span: Span) -> &[LinkId] {
        span.of(&self.spread)
    }

    /// Takes all actions out, in order, with the links that their spans are runs of; the rest is as before
    /// [`clear`](Self::clear).
    pub fn drain(&mut self) -> (std::vec::Drain<'_, Action>, &[LinkId]) {
        (self.actions.drain(..), &self.spread)
    }

    /// All actions, in order.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// What happened may have changed [`Node::next_wakeup`](super::Node::next_wakeup).
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Whether [`Node::next_wakeup`](super::Node::next_wakeup) may be another one than when this was cleared. Most frames
    /// of a flood are duplicates, which are counted and change nothing else.
    pub fn is_stirred(&self) -> bool {
        self.stirred
    }

    /// Forgets all actions, keeps the memory.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.spread.clear();
        self.stirred = false;
    }
}
