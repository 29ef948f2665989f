//! Header by header: what we say, and what we read. Names and values as the living network has them.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use crate::wire::ServentId;
use crate::wire::heads::{Head, HeadWriter};
use crate::wire::text::clean;

use super::super::event::{Direction, Peer, Role};
use super::super::limits::{TRY_PEERS_GIVEN, TRY_PEERS_MAX, ULTRAPEER_MAX_LINKS};
use super::{Coding, Encryption, GreetError, Me, OK, Packets};

/// Content type of a stream of descriptors, as programs that also speak Gnutella2 name it.
const PACKETS: &str = "application/x-gnutella-packets";
/// The one compression of links: a zlib stream.
const DEFLATE: &str = "deflate";
/// Token of `Upgrade`: TLS of whatever version both can (2.6 of the greeting's rules names no other).
const TLS: &str = "TLS/1.0";
/// Characters kept of a `User-Agent`.
const AGENT_CHARS_MAX: usize = 64;
/// `X-Max-TTL` of who does not say.
const MAX_TTL_UNSAID: u8 = 7;
/// `X-Degree` of who does not say.
const DEGREE_UNSAID: u16 = 8;
/// Port of an address that comes without one.
const PORT_UNSAID: u16 = 6346;
/// Where a peer may say that it listens; the first that holds an address counts.
const LISTEN_NAMES: [&str; 6] = [
    "Listen-IP",
    "Node",
    "X-Listen-IP",
    "X-My-Address",
    "X-Node",
    "Node-IPv6",
];

/// What a head of ours says about TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Nothing.
    #[default]
    Unsaid,
    /// That we would have it.
    Offered,
    /// That we will have it, if the peer confirms.
    Agreed,
}

/// What a second group answers to the first; a first group answers nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    packets: Packets,
    /// How we write to the peer.
    pub(super) coding: Coding,
    /// Guides the peer: the role that an ultrapeer hears it is needed in.
    needed: Option<Role>,
    /// The peer knows query routing by its older number only.
    old_routing: bool,
    pub(super) upgrade: Upgrade,
}

impl Answered {
    /// A first group.
    pub(super) fn nobody(me: &Me) -> Self {
        let upgrade = match me.encryption {
            Encryption::Never | Encryption::Accepted => Upgrade::Unsaid,
            Encryption::Offered => Upgrade::Offered,
        };
        Self {
            upgrade,
            ..Self::default()
        }
    }

    /// A second group; `encrypted`: on a connection that is.
    pub(super) fn to(head: &Head, me: &Me, encrypted: bool) -> Self {
        let upgrade = me.encryption != Encryption::Never && !encrypted && upgrades(head);
        Self {
            upgrade: if upgrade {
                Upgrade::Agreed
            } else {
                Upgrade::Unsaid
            },
            packets: accepts_packets(head),
            coding: peer_reads(head, me),
            needed: (me.net.is_two_tier() && me.role == Role::Ultrapeer)
                .then(|| role(head))
                .flatten()
                .filter(|role| *role == Role::Ultrapeer),
            old_routing: head.get("X-Query-Routing") == Some("0.1"),
        }
    }
}

impl Answered {
    /// Guides an ultrapeer to be a leaf, or not.
    pub(super) fn guide(&mut self, down: bool) {
        if down && self.needed.is_some() {
            self.needed = Some(Role::Leaf);
        }
    }

    /// Was the peer told that we would have it as a leaf?
    pub(super) fn guides_down(self) -> bool {
        self.needed == Some(Role::Leaf)
    }
}

/// First or second group: who we are and what we can do.
///
/// On a LAN these are absent on purpose: QRP headers and `X-Dynamic-Querying`, which are promises to leaves. A flat
/// node has none and floods; ultrapeers link without, and leaves, which insist, stay away, as they should.
/// `Accept-Encoding` is absent there because a LAN carries more than a deflater makes.
pub(super) fn offer(
    first_line: &str,
    me: &Me,
    remote: SocketAddr,
    local_ip: IpAddr,
    answered: Answered,
) -> Vec<u8> {
    let listen = me.listen.map(|addr| reachable(addr, local_ip));
    let mut head = HeadWriter::new(first_line)
        .header("User-Agent", &me.agent)
        .header("X-Ultrapeer", own_role(me))
        .header_if("Listen-IP", listen)
        .header("Remote-IP", remote.ip().to_canonical())
        .header("GUID", me.servent)
        .header("X-Degree", own_degree(me))
        .header("X-Max-TTL", me.max_ttl)
        .header("Pong-Caching", "0.1")
        .header("GGEP", "0.5")
        .header("Bye-Packet", "0.1")
        .header("Vendor-Message", "0.2");
    if me.ext_probes {
        head = head.header("X-Ext-Probes", "0.1");
    }
    if me.net.is_two_tier() {
        head = two_tier(head, me, answered);
    }
    // `Connection` stands alone: some compare the whole of it.
    match answered.upgrade {
        Upgrade::Unsaid => {}
        Upgrade::Offered => head = head.header("Upgrade", TLS),
        Upgrade::Agreed => head = head.header("Upgrade", TLS).header("Connection", "Upgrade"),
    }
    if answered.packets == Packets::Asked {
        head = head
            .header("Accept", PACKETS)
            .header("Content-Type", PACKETS);
    }
    head.finish()
}

/// What only the live network wants to hear. Leaves say it all too: some ultrapeers rank them by it.
fn two_tier(head: HeadWriter, me: &Me, answered: Answered) -> HeadWriter {
    let routing = if answered.old_routing { "0.1" } else { "0.2" };
    head.header("X-Query-Routing", routing)
        .header("X-Ultrapeer-Query-Routing", "0.1")
        .header("X-Dynamic-Querying", "0.1")
        .header("X-Requeries", "False")
        .header("X-Features", features(me.encryption))
        .header("Accept-Encoding", DEFLATE)
        .header_if("Content-Encoding", said(answered.coding))
        .header_if(
            "X-Ultrapeer-Needed",
            answered.needed.map(|role| match role {
                Role::Ultrapeer => "True",
                Role::Leaf => "False",
            }),
        )
}

/// `X-Features`, in greetings and over HTTP.
pub(crate) fn features(encryption: Encryption) -> &'static str {
    match encryption {
        Encryption::Never => "browse/1.0",
        Encryption::Accepted | Encryption::Offered => "browse/1.0, tls/1.0",
    }
}

/// Does the sender of this head offer TLS, or agree to it? Also of a request over HTTP.
pub(crate) fn upgrades(head: &Head) -> bool {
    head.lists("Upgrade", TLS)
}

/// Does the sender of this head say that it goes on with what it agreed to?
pub(crate) fn switches(head: &Head) -> bool {
    head.lists("Connection", "Upgrade")
}

/// Third group of a dialler; `steps_down`: of one that becomes a leaf, as it was asked to.
pub(super) fn confirm(
    packets: Packets,
    coding: Coding,
    upgrade: bool,
    steps_down: bool,
) -> Vec<u8> {
    let content_type = (packets == Packets::Asked).then_some(PACKETS);
    HeadWriter::new(OK)
        .header_if("Content-Type", content_type)
        .header_if("Content-Encoding", said(coding))
        .header_if("Connection", upgrade.then_some("Upgrade"))
        .header_if("X-Ultrapeer", steps_down.then_some("False"))
        .finish()
}

fn said(coding: Coding) -> Option<&'static str> {
    match coding {
        Coding::Plain => None,
        Coding::Deflated => Some(DEFLATE),
    }
}

fn own_role(me: &Me) -> &'static str {
    if me.is_leaf() { "False" } else { "True" }
}

/// Leaves of gtk-gnutella leave ultrapeers that say less than 16, and some ultrapeers rank leaves by it: a leaf says
/// what it would be as an ultrapeer.
fn own_degree(me: &Me) -> usize {
    if me.is_leaf() {
        ULTRAPEER_MAX_LINKS
    } else {
        me.degree
    }
}

/// How we may write to the sender of this head: deflated if it reads that, and we are where that is of use.
pub(super) fn peer_reads(head: &Head, me: &Me) -> Coding {
    if me.net.is_two_tier() && head.lists("Accept-Encoding", DEFLATE) {
        Coding::Deflated
    } else {
        Coding::Plain
    }
}

/// How the sender of this last head of its writes.
///
/// # Errors
/// Deflated, but we had not offered to read that.
pub(super) fn peer_writes(head: &Head, me: &Me) -> Result<Coding, GreetError> {
    match (
        head.lists("Content-Encoding", DEFLATE),
        me.net.is_two_tier(),
    ) {
        (false, _) => Ok(Coding::Plain),
        (true, true) => Ok(Coding::Deflated),
        (true, false) => Err(GreetError::NotOffered("Content-Encoding")),
    }
}

/// Any status that ends a greeting. Those who are refused for what they are get no addresses.
pub(super) fn refusal(
    code: u16,
    text: impl Display,
    me: &Me,
    remote: SocketAddr,
    try_peers: &[SocketAddr],
) -> Vec<u8> {
    let hosts: Vec<_> = try_peers
        .iter()
        .take(TRY_PEERS_GIVEN)
        .map(ToString::to_string)
        .collect();
    let deserved = !hosts.is_empty() && !matches!(code, 403 | 406 | 429 | 550);
    HeadWriter::new(format_args!("GNUTELLA/0.6 {code} {text}"))
        .header("User-Agent", &me.agent)
        .header("Remote-IP", remote.ip().to_canonical())
        .header("X-Ultrapeer", own_role(me))
        .header_if("X-Try-Ultrapeers", deserved.then(|| hosts.join(", ")))
        .finish()
}

/// What a head says about its sender.
pub(super) fn read_peer(
    head: &Head,
    me: &Me,
    direction: Direction,
    remote: SocketAddr,
    local_ip: IpAddr,
) -> Peer {
    // Whoever answered a dial listens where we dialled, said or not: gtk-gnutella's answers do not say it.
    let dialled = match direction {
        Direction::Dialled(addr) => Some(addr),
        Direction::Accepted => None,
    };
    Peer {
        direction,
        remote,
        local_ip,
        listen: listen(head, remote.ip().to_canonical()).or(dialled),
        servent: head.get("GUID").and_then(ServentId::from_hex),
        agent: clean(
            head.get("User-Agent").unwrap_or_default().as_bytes(),
            AGENT_CHARS_MAX,
        )
        .into(),
        role: role(head).unwrap_or(Role::Ultrapeer),
        ours: me.role,
        guides_to: guidance(head),
        max_ttl: number(head, "X-Max-TTL").unwrap_or(MAX_TTL_UNSAID).max(1),
        degree: number(head, "X-Degree").map_or(DEGREE_UNSAID, u16::from),
        query_routing: says(head, "X-Query-Routing"),
        ultrapeer_query_routing: says(head, "X-Ultrapeer-Query-Routing"),
        dynamic_querying: says(head, "X-Dynamic-Querying"),
        ext_probes: says(head, "X-Ext-Probes"),
        bye: says(head, "Bye-Packet"),
        vendor_messages: says(head, "Vendor-Message"),
        sees_us_at: ["Remote-IP", "X-Remote-IP"]
            .iter()
            .find_map(|name| ip(head.get(name)?)),
        try_peers: try_list(head),
        encrypted: false,
    }
}

/// `X-Ultrapeer`: anything but `False` means an ultrapeer. `None`: a node of before 0.6's two tiers.
pub(super) fn role(head: &Head) -> Option<Role> {
    match head.get("X-Ultrapeer") {
        Some(value) if value.eq_ignore_ascii_case("false") => Some(Role::Leaf),
        Some(_) => Some(Role::Ultrapeer),
        None => head.get("X-Ultrapeer-Needed").map(|_| Role::Ultrapeer),
    }
}

/// `X-Ultrapeer-Needed`: the place in the overlay that the peer would have us take.
fn guidance(head: &Head) -> Option<Role> {
    match head.get("X-Ultrapeer-Needed") {
        Some(value) if value.eq_ignore_ascii_case("false") => Some(Role::Leaf),
        Some(value) if value.eq_ignore_ascii_case("true") => Some(Role::Ultrapeer),
        _ => None,
    }
}

/// Does `Accept` name our content type?
pub(super) fn accepts_packets(head: &Head) -> Packets {
    let ours = |kind: &str| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(PACKETS))
    };
    if head.list("Accept").any(ours) {
        Packets::Asked
    } else {
        Packets::Unasked
    }
}

/// Addresses of `X-Try-Ultrapeers` and `X-Try`; `X-Try-Hubs` are of another network.
pub(super) fn try_list(head: &Head) -> Vec<SocketAddr> {
    let mut hosts = Vec::new();
    for host in ["X-Try-Ultrapeers", "X-Try"]
        .iter()
        .flat_map(|name| head.list(name))
    {
        let host = host_of(host).filter(|host| host.port() != 0 && is_host(host.ip()));
        if let Some(host) = host.filter(|host| !hosts.contains(host)) {
            hosts.push(host);
            if hosts.len() == TRY_PEERS_MAX {
                break;
            }
        }
    }
    hosts
}

fn listen(head: &Head, remote: IpAddr) -> Option<SocketAddr> {
    let said = LISTEN_NAMES.iter().flat_map(|name| head.list(name));
    let mut hosts = said.filter_map(host_of).filter(|host| host.port() != 0);
    let first = hosts.next()?;
    // Of two addresses the one of the family that is in use.
    let same_family = |host: &SocketAddr| host.is_ipv4() == remote.is_ipv4();
    let best = if same_family(&first) {
        first
    } else {
        hosts.find(same_family).unwrap_or(first)
    };
    Some(reachable(best, remote))
}

fn reachable(addr: SocketAddr, ip: IpAddr) -> SocketAddr {
    let ip = if addr.ip().is_unspecified() {
        ip
    } else {
        addr.ip()
    };
    SocketAddr::new(ip.to_canonical(), addr.port())
}

/// One entry of a list: `ip:port` or `ip`, maybe with a date behind.
fn host_of(entry: &str) -> Option<SocketAddr> {
    let host = entry.split_whitespace().next()?;
    host.parse()
        .ok()
        .or_else(|| Some(SocketAddr::new(ip(host)?, PORT_UNSAID)))
}

fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.strip_prefix('[')
        .and_then(|six| six.strip_suffix(']'))
        .unwrap_or(text)
        .parse()
        .ok()
}

/// Can there be a host at this address at all? Which ones to dial is for the address book.
fn is_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(four) => !(four.is_unspecified() || four.is_multicast() || four.is_broadcast()),
        IpAddr::V6(six) => !(six.is_unspecified() || six.is_multicast()),
    }
}

fn number(head: &Head, name: &str) -> Option<u8> {
    head.get(name)?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|number| u8::try_from(number).unwrap_or(u8::MAX))
}

/// Is a capability with a version above 0.0 announced?
fn says(head: &Head, name: &str) -> bool {
    head.get(name)
        .is_some_and(|version| version.bytes().any(|byte| matches!(byte, b'1'..=b'9')))
}
