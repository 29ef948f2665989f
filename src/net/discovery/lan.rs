//! The sockets of [`Lan`]: one in the multicast group, one that asks and answers. Decides nothing.
//!
//! Two, because the port of the group is shared by all nodes of a machine, and a datagram to one of them alone
//! would reach any of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_lite::future::or;
use rand::Rng;
use rand::rngs::ChaCha8Rng;
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};

use crate::net::inbox::{Ask, Ended, Handle, Inbox};
use crate::net::rt::{self, Clock, UdpSocket};
use crate::node::Event;
use crate::node::lan::{DATAGRAM_BYTES_MAX, GROUP, Heard, Lan, Network, Question};
use crate::wire::Guid;

/// Networks of one machine that are asked.
const NETWORKS_MAX: usize = 16;
/// Pause after a socket failed, most likely because its network went away.
const ERROR_PAUSE: Duration = Duration::from_millis(500);

/// What looking for others needs.
#[derive(Debug)]
pub(crate) struct Search {
    /// The way to the node.
    pub(crate) handle: Handle,
    /// Where it listens, if it does.
    pub(crate) listen: Option<SocketAddr>,
    /// Links it accepts.
    pub(crate) max_links: usize,
    /// For message ids.
    pub(crate) rng: ChaCha8Rng,
    /// The clock of the node.
    pub(crate) clock: Clock,
}

/// Looks for others and answers them until the node ends. Without a network it waits for one.
pub(crate) async fn run(mut search: Search) {
    let mut lan = Lan::new(search.listen.map(|addr| addr.port()));
    let (ear, voice) = match open(search.listen.is_some()) {
        Ok(sockets) => sockets,
        Err(error) => {
            return log::warn!(
                "nodes of this network are not looked for: {error}; name one with --peer HOST:PORT"
            );
        }
    };
    loop {
        let now = search.clock.now();
        if lan.due() <= now {
            ask(&mut lan, &mut search, ear.as_ref(), &voice).await;
            continue;
        }
        let mut ear_bytes = [0; DATAGRAM_BYTES_MAX + 1];
        let mut voice_bytes = [0; DATAGRAM_BYTES_MAX + 1];
        let by_group = read(ear.as_ref(), &mut ear_bytes);
        let by_ourselves = read(Some(&voice), &mut voice_bytes);
        let wait = lan.due().since(now);
        let Ok(got) = rt::timeout(wait, or(by_group, by_ourselves)).await else {
            continue;
        };
        let (from, datagram) = match got {
            Ok(got) => got,
            Err(error) => {
                log::debug!("looking for nodes on this network: {error}");
                rt::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let now = search.clock.now();
        let done = match lan.hear(now, from, datagram) {
            Some(Heard::Question(question)) => answer(&lan, &search, &question, &voice).await,
            Some(Heard::Node(addr)) => {
                log::debug!("a node answers on this network: {addr}");
                search
                    .handle
                    .send(Inbox::Event(Event::Answered(addr)))
                    .await
            }
            None => Ok(()),
        };
        if done.is_err() {
            return;
        }
    }
}

/// Asks on all networks there are now, and joins the group on those that are new.
async fn ask(lan: &mut Lan, search: &mut Search, ear: Option<&UdpSocket>, voice: &UdpSocket) {
    let mut bytes = [0; 16];
    search.rng.fill_bytes(&mut bytes);
    let networks = networks(search.listen.map(|addr| addr.ip()));
    let ping = lan.ask(search.clock.now(), Guid::from_random(bytes), networks);
    for network in lan.networks() {
        if let Some(ear) = ear {
            // It is a member already, or the network has just gone.
            let _ = ear.join_multicast_v4(*GROUP.ip(), network.own);
        }
        let sent = match sockopt::set_ip_multicast_if(voice, &network.own) {
            Ok(()) => voice.send_to(&ping, GROUP).await.map(|_| ()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = sent {
            log::debug!(
                "asking for nodes on the network of {}: {error}",
                network.own
            );
        }
    }
}

async fn answer(
    lan: &Lan,
    search: &Search,
    question: &Question,
    voice: &UdpSocket,
) -> Result<(), Ended> {
    let figures = search.handle.ask(Ask::Figures).await?;
    let free = search.max_links.saturating_sub(figures.links);
    let pong = lan.pong(question, u8::try_from(free).unwrap_or(u8::MAX));
    if let Err(error) = voice.send_to(&pong, question.from).await {
        log::debug!("answering {}: {error}", question.from);
    }
    Ok(())
}

/// The next datagram; never, without a socket.
async fn read<'a>(
    socket: Option<&UdpSocket>,
    bytes: &'a mut [u8],
) -> io::Result<(SocketAddr, &'a [u8])> {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    let (len, from) = socket.recv_from(bytes).await?;
    Ok((from, &bytes[..len]))
}

/// The socket of the group, for those who answer, and our own.
fn open(answers: bool) -> io::Result<(Option<UdpSocket>, UdpSocket)> {
    let voice = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    voice.set_multicast_ttl_v4(1)?;
    voice.set_multicast_loop_v4(true)?;
    let ear = answers.then(ear).and_then(|ear| match ear {
        Ok(ear) => Some(ear.into()),
        Err(error) => {
            log::warn!("others do not find this node by themselves: {GROUP}: {error}");
            None
        }
    });
    Ok((ear, voice.into()))
}

/// A socket on the port of the group, which every node of this machine may have at the same time.
fn ear() -> io::Result<std::net::UdpSocket> {
    let ear = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseaddr(&ear, true)?;
    #[cfg(not(target_os = "linux"))]
    sockopt::set_socket_reuseport(&ear, true)?;
    // At the group's own address: what is sent to this machine alone at that port is none of our business.
    bind(&ear, &SocketAddr::V4(GROUP))?;
    Ok(ear.into())
}

/// The private networks of this machine that a node which listens there is on; loopback only when there is no other,
/// so that nodes of a machine without a network find each other and no node is found twice.
pub(super) fn networks(listen: Option<IpAddr>) -> Vec<Network> {
    let interfaces = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            log::warn!("the networks of this machine cannot be listed: {error}");
            return Vec::new();
        }
    };
    let mut networks: Vec<_> = interfaces
        .into_iter()
        .filter_map(|interface| match interface.addr {
            if_addrs::IfAddr::V4(addr) => Some(Network {
                own: addr.ip,
                mask: addr.netmask,
            }),
            if_addrs::IfAddr::V6(_) => None,
        })
        .filter(|network| network.is_private())
        .filter(|network| listen.is_none_or(|ip| ip.is_unspecified() || ip == network.own))
        .collect();
    if networks.iter().any(|network| !network.own.is_loopback()) {
        networks.retain(|network| !network.own.is_loopback());
    }
    networks.truncate(NETWORKS_MAX);
    networks
}
