//! The greeting: three heads that turn a connection into a link, as machines without input or output.
//!
//! The dialler offers, the acceptor answers, the dialler confirms; frames follow at once. What a machine
//! decides is only what every flat node must (version, content type, role); whether there is room, or a
//! second link to the same node, the core decides ([`Step::Offer`], answered by a [`Verdict`]).
//! Knows no bytes of frames and no clock: the shell gives up on the slow. Source: Gnutella 0.6 draft,
//! "Handshake", and what gtk-gnutella asks for (docs/protocol.md, Greeting).

mod headers;

use std::net::{IpAddr, SocketAddr};

use crate::wire::ServentId;
use crate::wire::heads::{Head, HeadError, HeadReader};

use super::address::Net;
use super::event::{Direction, Peer, Role, Verdict};
use headers::{Answered, Upgrade, accepts_packets, offer, read_peer, refusal, try_list};
pub(crate) use headers::{features, switches, upgrades};

/// What we say about ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// What we are part of. On a LAN we offer nothing that needs two tiers, and no compression.
    pub net: Net,
    /// `X-Ultrapeer`; on a LAN everybody says that it is one.
    pub role: Role,
    /// `User-Agent`: product/version.
    pub agent: String,
    /// `GUID`.
    pub servent: ServentId,
    /// `Listen-IP`; with an unspecified address each peer is told the one it reached us at.
    pub listen: Option<SocketAddr>,
    /// `X-Max-TTL`: the highest TTL that a fresh query sent to us should have.
    pub max_ttl: u8,
    /// `X-Degree`: links to ultrapeers we aim at.
    pub degree: usize,
    /// `X-Ext-Probes`: whether a known id may come again with a higher TTL.
    pub ext_probes: bool,
    /// `Upgrade: TLS/1.0`: what we do about it.
    pub encryption: Encryption,
}

/// What a node does about TLS, on links and for files alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Nothing: whoever asks for it goes on in clear.
    Never,
    /// Gives it to whoever asks.
    #[default]
    Accepted,
    /// Asks for it too.
    Offered,
}

impl Me {
    fn is_leaf(&self) -> bool {
        self.net.is_two_tier() && self.role == Role::Leaf
    }
}

/// Is the sender of this first group of the live network, where all say that they route queries by tables? A node of
/// a flat overlay never does. For a node that is on two nets whose addresses do not tell them apart.
pub fn of_two_tiers(head: &Head) -> bool {
    head.get("X-Query-Routing").is_some()
}

/// How the bytes of one direction of a link are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As they are.
    #[default]
    Plain,
    /// One zlib stream for the life of the link, flushed now and then.
    Deflated,
}

/// How both directions of a link are written, from the first byte after the greeting on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codings {
    /// What the peer sends.
    pub from_peer: Coding,
    /// What we send.
    pub to_peer: Coding,
}

/// How far a greeting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read more and hand it in.
    NeedMore,
    /// A peer wants to link (acceptors only): ask the core, then call [`Acceptor::answer`] and send what it
    /// returns.
    Offer(Box<Peer>),
    /// A link. Send `reply`, then frames; `rest` is the start of the peer's frames.
    Done {
        /// Who is there.
        peer: Box<Peer>,
        /// How each direction is written.
        codings: Codings,
        /// Both want TLS: after `reply`, the dialler begins a handshake as the client, and all that follows, frames
        /// and codings, is inside. `rest` is the start of that handshake then.
        upgrade: bool,
        /// Bytes to send first; empty for an acceptor.
        reply: Vec<u8>,
        /// Bytes that came after the greeting.
        rest: Vec<u8>,
    },
    /// No link. Send `reply`, then close.
    Refused {
        /// Status code, theirs or ours.
        code: u16,
        /// Status text, at most 200 characters, without control characters.
        text: String,
        /// Addresses the peer gave instead, at most [`TRY_PEERS_MAX`](super::limits::TRY_PEERS_MAX).
        try_peers: Vec<SocketAddr>,
        /// Our refusal; empty when it was theirs.
        reply: Vec<u8>,
    },
}

/// Why a stream is no greeting. Close without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetError {
    /// The start line is not one of a Gnutella 0.6 greeting.
    #[error("not a Gnutella greeting")]
    NotGnutella,
    /// The head cannot be read.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Bytes, or a call, where the other side's turn was.
    #[error("the peer spoke out of turn")]
    OutOfTurn,
    /// The peer claims something that we did not offer.
    #[error("the peer relies on {0}, which was not offered")]
    NotOffered(&'static str),
}

/// Greets as the one who opened the connection.
#[derive(Debug)]
pub struct Dialer {
    me: Me,
    remote: SocketAddr,
    local_ip: IpAddr,
    head: HeadReader,
    over: bool,
    steps_down: bool,
}

impl Dialer {
    /// Starts a greeting; send the bytes returned. `remote` is the address dialled, `local_ip` our own on this
    /// socket.
    pub fn new(me: Me, remote: SocketAddr, local_ip: IpAddr) -> (Self, Vec<u8>) {
        let first = offer(START, &me, remote, local_ip, Answered::nobody(&me));
        (
            Self {
                me,
                remote,
                local_ip,
                head: HeadReader::new(),
                over: false,
                steps_down: false,
            },
            first,
        )
    }

    /// The same, from an ultrapeer that becomes a leaf where an ultrapeer wants it to: [`Peer::ours`] says whether it did.
    pub fn that_steps_down(self) -> Self {
        Self {
            steps_down: true,
            ..self
        }
    }

    /// Takes in bytes of the peer.
    ///
    /// # Errors
    /// [`GreetError`]: close.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Step, GreetError> {
        if self.over {
            return Err(GreetError::OutOfTurn);
        }
        let Some((head, rest)) = self.head.push(bytes)? else {
            return Ok(Step::NeedMore);
        };
        self.over = true;
        if let Some(refused) = refused_by_peer(&head)? {
            return Ok(refused);
        }
        let why_not = not_wanted(&head).or(match headers::role(&head) {
            Some(Role::Leaf) if self.me.is_leaf() => Some((204, SHIELDED)),
            Some(Role::Leaf) if !self.me.net.is_two_tier() => Some((503, NO_LEAVES)),
            Some(_) => None,
            None => Some((403, NO_NORMAL_NODES)),
        });
        if let Some((code, text)) = why_not {
            return Ok(refused_by_us(code, text, &self.me, self.remote));
        }
        let codings = Codings {
            from_peer: headers::peer_writes(&head, &self.me)?,
            to_peer: headers::peer_reads(&head, &self.me),
        };
        let upgrade = headers::switches(&head);
        if upgrade {
            if self.me.encryption != Encryption::Offered {
                return Err(GreetError::NotOffered("Upgrade"));
            }
            if !headers::upgrades(&head) {
                return Ok(refused_by_us(400, NO_UPGRADE, &self.me, self.remote));
            }
            // It is our turn to speak TLS.
            if !rest.is_empty() {
                return Err(GreetError::OutOfTurn);
            }
        }
        let direction = Direction::Dialled(self.remote);
        let mut peer = read_peer(&head, &self.me, direction, self.remote, self.local_ip);
        peer.encrypted = upgrade;
        let guided = self.me.net.is_two_tier()
            && (peer.role, peer.guides_to) == (Role::Ultrapeer, Some(Role::Leaf));
        let steps_down = guided && self.steps_down;
        if steps_down {
            peer.ours = Role::Leaf;
        }
        let packets = accepts_packets(&head);
        let reply = headers::confirm(packets, codings.to_peer, upgrade, steps_down);
        Ok(Step::Done {
            peer: Box::new(peer),
            codings,
            upgrade,
            reply,
            rest,
        })
    }
}

/// Greets as the one who was called.
#[derive(Debug)]
pub struct Acceptor {
    me: Me,
    remote: SocketAddr,
    local_ip: IpAddr,
    head: HeadReader,
    turn: Turn,
    /// The connection is encrypted already.
    encrypted: bool,
}

#[derive(Debug)]
enum Turn {
    /// The peer's, to offer.
    Offer,
    /// Ours, to answer this peer.
    Answer(Box<Peer>, Answered),
    /// The peer's, to confirm what we answered.
    Confirm(Box<Peer>, Answered),
    Over,
}

/// Did the peer name the content type of Gnutella streams in `Accept`? Then it wants to read it in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Packets {
    Asked,
    #[default]
    Unasked,
}

impl Acceptor {
    /// Waits for a greeting on a connection from `remote` to our address `local_ip`.
    pub fn new(me: Me, remote: SocketAddr, local_ip: IpAddr) -> Self {
        Self {
            me,
            remote,
            local_ip,
            head: HeadReader::new(),
            turn: Turn::Offer,
            encrypted: false,
        }
    }

    /// The same on a connection that began with TLS: it is upgraded to nothing more.
    pub fn inside_tls(self) -> Self {
        Self {
            encrypted: true,
            ..self
        }
    }

    /// Takes in bytes of the peer.
    ///
    /// # Errors
    /// [`GreetError`]: close. [`GreetError::OutOfTurn`] also for bytes between offer and answer.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Step, GreetError> {
        match std::mem::replace(&mut self.turn, Turn::Over) {
            Turn::Offer => self.read_offer(bytes),
            Turn::Confirm(peer, answered) => self.read_confirm(bytes, peer, answered),
            turn @ Turn::Answer(..) if bytes.is_empty() => {
                self.turn = turn;
                Ok(Step::NeedMore)
            }
            Turn::Answer(..) | Turn::Over => Err(GreetError::OutOfTurn),
        }
    }

    /// The bytes that answer an offer; empty when none waits. After a refusal, close.
    pub fn answer(&mut self, verdict: &Verdict) -> Vec<u8> {
        let Turn::Answer(peer, mut answered) = std::mem::replace(&mut self.turn, Turn::Over) else {
            return Vec::new();
        };
        match verdict {
            Verdict::Accept | Verdict::Guide => {
                answered.guide(*verdict == Verdict::Guide);
                self.turn = Turn::Confirm(peer, answered);
                offer(OK, &self.me, self.remote, self.local_ip, answered)
            }
            Verdict::Refuse {
                code,
                text,
                try_peers,
            } => refusal(*code, text, &self.me, self.remote, try_peers),
        }
    }

    fn read_offer(&mut self, bytes: &[u8]) -> Result<Step, GreetError> {
        let (head, rest) = match self.head.push(bytes) {
            Ok(Some(whole)) => whole,
            Ok(None) => {
                self.turn = Turn::Offer;
                return Ok(Step::NeedMore);
            }
            Err(HeadError::TooLarge) => {
                return Ok(refused_by_us(
                    413,
                    "Header too large",
                    &self.me,
                    self.remote,
                ));
            }
            Err(error) => return Err(error.into()),
        };
        let why_not = match offered_version(&head.first_line)? {
            (0, ..6) => Some((503, "Gnutella 0.6 is spoken here")),
            _ if head.get("Crawler").is_some() => Some((403, "No lists for crawlers here")),
            _ => not_wanted(&head),
        };
        if let Some((code, text)) = why_not {
            return Ok(refused_by_us(code, text, &self.me, self.remote));
        }
        if headers::role(&head).is_none() {
            return Ok(refused_by_us(403, NO_NORMAL_NODES, &self.me, self.remote));
        }
        // The other side may not speak before it has read our answer.
        if !rest.is_empty() {
            return Err(GreetError::OutOfTurn);
        }
        let mut peer = Box::new(read_peer(
            &head,
            &self.me,
            Direction::Accepted,
            self.remote,
            self.local_ip,
        ));
        peer.encrypted = self.encrypted;
        let answered = Answered::to(&head, &self.me, self.encrypted);
        self.turn = Turn::Answer(peer.clone(), answered);
        Ok(Step::Offer(peer))
    }

    fn read_confirm(
        &mut self,
        bytes: &[u8],
        mut peer: Box<Peer>,
        answered: Answered,
    ) -> Result<Step, GreetError> {
        let Some((head, rest)) = self.head.push(bytes)? else {
            self.turn = Turn::Confirm(peer, answered);
            return Ok(Step::NeedMore);
        };
        if let Some(refused) = refused_by_peer(&head)? {
            return Ok(refused);
        }
        let codings = Codings {
            from_peer: headers::peer_writes(&head, &self.me)?,
            to_peer: answered.coding,
        };
        // Inside TLS the header means nothing.
        let upgrade = !self.encrypted && headers::switches(&head);
        if upgrade && answered.upgrade != Upgrade::Agreed {
            return Err(GreetError::NotOffered("Upgrade"));
        }
        peer.encrypted |= upgrade;
        match headers::role(&head) {
            Some(Role::Leaf) if answered.guides_down() => peer.role = Role::Leaf,
            Some(role) if role != peer.role => return Err(GreetError::NotOffered("X-Ultrapeer")),
            _ => {}
        }
        Ok(Step::Done {
            peer,
            codings,
            upgrade,
            reply: Vec::new(),
            rest,
        })
    }
}

const START: &str = "GNUTELLA CONNECT/0.6";
const OK: &str = "GNUTELLA/0.6 200 OK";
const NO_NORMAL_NODES: &str = "Say X-Ultrapeer: True to link here";
const SHIELDED: &str = "Shielded leaf node";
const NO_UPGRADE: &str = "Upgrade Header Missing";
const NO_LEAVES: &str = "No leaf slots on a flat overlay";

/// Major and minor version of a first line `GNUTELLA CONNECT/<major>.<minor>`.
fn offered_version(line: &str) -> Result<(u8, u8), GreetError> {
    line.strip_prefix("GNUTELLA CONNECT/")
        .and_then(|version| version.trim().split_once('.'))
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or(GreetError::NotGnutella)
}

/// Reads the status line; a step when the peer refuses. 204 is what leaves say to leaves.
fn refused_by_peer(head: &Head) -> Result<Option<Step>, GreetError> {
    let status = head
        .status_line()
        .filter(|status| status.version.starts_with("GNUTELLA/"));
    let status = status.ok_or(GreetError::NotGnutella)?;
    if matches!(status.code, 200..=299) && status.code != 204 {
        return Ok(None);
    }
    let text = crate::wire::text::clean(status.text.as_bytes(), 200);
    Ok(Some(Step::Refused {
        code: status.code,
        text,
        try_peers: try_list(head),
        reply: Vec::new(),
    }))
}

fn refused_by_us(code: u16, text: &'static str, me: &Me, remote: SocketAddr) -> Step {
    let reply = refusal(code, text, me, remote, &[]);
    Step::Refused {
        code,
        text: text.to_owned(),
        try_peers: Vec::new(),
        reply,
    }
}

/// Why a peer cannot be linked to, whatever its role.
fn not_wanted(head: &Head) -> Option<(u16, &'static str)> {
    let closed_network = ["X-Auth-Challenge", "FP-Auth-Challenge"];
    if closed_network.iter().any(|name| head.get(name).is_some()) {
        return Some((403, "Not a member of your network"));
    }
    if head.get("Accept").is_some() && accepts_packets(head) == Packets::Unasked {
        return Some((406, "Protocol not acceptable"));
    }
    None
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
#[cfg(test)]
mod two_tier_tests;
