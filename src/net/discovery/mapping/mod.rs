//! Has the router pass connections and datagrams on to us (`--map-port`): asked, renewed, ended at the stop. Only
//! where the user asked for it, as it opens a way from the internet into this network.
//!
//! - `nat_pmp`: by NAT-PMP, asked first; - `upnp`: by UPnP.

mod nat_pmp;
mod upnp;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::control::{Mapping, MappingState};
use crate::net::news::{News, Newsroom};
use crate::net::rt;
use crate::node::lan::Network;
use crate::wire::nat_pmp::Transport;

/// Seconds for which a mapping is asked (RFC 6886 section 3.3: 7,200).
const LIFETIME_S: u32 = 7_200;
/// A mapping is renewed at half its life, but not more often than this, whatever the router says.
const RENEW_MIN: Duration = Duration::from_secs(60);
/// ... and no more rarely: a router that was restarted has forgotten it.
const RENEW_MAX: Duration = Duration::from_secs(3_600);
/// From a failure to the next try.
const AGAIN: Duration = Duration::from_mins(10);
/// Ending it takes so long at most.
pub(crate) const END_TIME: Duration = Duration::from_secs(2);
/// Connections first: they are what matters.
const BOTH: [Transport; 2] = [Transport::Tcp, Transport::Udp];

/// Who is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapPort {
    /// Nobody.
    #[default]
    Off,
    /// The router that leads out of here.
    Router,
    /// Both NAT-PMP and UPnP at this address, for tests.
    At(SocketAddr),
}

/// What came of it; all copies are one.
#[derive(Clone, Debug)]
pub(crate) struct Opened(Arc<Mutex<Mapping>>);

impl Opened {
    pub(crate) fn new(port: u16) -> Self {
        Self(Arc::new(Mutex::new(Mapping {
            port,
            state: MappingState::Asking,
            by: None,
            problem: None,
        })))
    }

    /// As it is now.
    pub(crate) fn get(&self) -> Mapping {
        self.lock().clone()
    }

    /// Returns whether that is new.
    fn set(&self, now: &Mapping) -> bool {
        let mut state = self.lock();
        let new = *state != *now;
        state.clone_from(now);
        new
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Mapping> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a router does for us or may do, and how to end it.
#[derive(Clone, Debug)]
enum Made {
    NatPmp(SocketAddr, Transport),
    Upnp(upnp::Gateway, Transport),
}

/// Why a router does not, for people; each ends with nothing.
type Why = String;

/// Where to ask.
#[derive(Clone, Copy, Debug)]
struct Place {
    nat_pmp: Option<SocketAddr>,
    /// Where [`SEARCH`](crate::wire::upnp::SEARCH) goes.
    ssdp: SocketAddr,
    /// The network that the router is on.
    network: Option<Network>,
}

/// Keeps the port of the node mapped until `closed`, then ends that. Says what comes of it each time that changes.
pub(crate) async fn run(
    whom: MapPort,
    opened: Opened,
    newsroom: Newsroom,
    closed: impl Future<Output = ()>,
) {
    let port = opened.get().port;
    // Kept out here: it must be ended whenever `keep` was given up.
    let mut made = Vec::new();
    let keep = async {
        loop {
            let (now, wait) = match Box::pin(map(whom, port, &mut made)).await {
                Ok((by, life)) => (
                    Mapping {
                        port,
                        state: MappingState::Open,
                        by: Some(by.to_owned()),
                        problem: None,
                    },
                    (life / 2).clamp(RENEW_MIN, RENEW_MAX),
                ),
                Err(why) => (
                    Mapping {
                        port,
                        state: MappingState::Failed,
                        by: None,
                        problem: Some(why),
                    },
                    AGAIN,
                ),
            };
            if opened.set(&now) {
                newsroom.publish(|| News::PortMapping(now));
            }
            rt::sleep(wait).await;
        }
    };
    rt::unless(closed, keep).await.unwrap_or(());
    if rt::timeout(END_TIME, Box::pin(end(port, made)))
        .await
        .is_err()
    {
        log::warn!(
            "the router does not say whether it has closed port {port}; it does by itself within two hours"
        );
    }
}

/// Asks by one protocol after the other. How, and for how long.
async fn map(
    whom: MapPort,
    port: u16,
    made: &mut Vec<Made>,
) -> Result<(&'static str, Duration), Why> {
    let place = place(whom);
    let pmp = match place.nat_pmp {
        Some(router) => nat_pmp::map(router, port, made).await,
        None => Err("this system does not say which machine is the router".to_owned()),
    };
    let pmp = match pmp {
        Ok(life) => return Ok(("NAT-PMP", life)),
        Err(why) => why,
    };
    let upnp = match place.network {
        Some(network) => upnp::map(place.ssdp, network, port, made).await,
        None => Err(
            "this machine is on no private network, so that no router needs to be asked".to_owned(),
        ),
    };
    let upnp = match upnp {
        Ok(life) => return Ok(("UPnP", life)),
        Err(why) => why,
    };
    Err(format!(
        "NAT-PMP: {pmp}; UPnP: {upnp}. If it is turned off in the settings of the router, turn one of them on, or have \
         it pass port {port} (TCP and UDP) on to this machine yourself"
    ))
}

async fn end(port: u16, made: Vec<Made>) {
    for made in made {
        match made {
            Made::NatPmp(router, transport) => nat_pmp::end(router, transport, port).await,
            Made::Upnp(gateway, transport) => upnp::end(&gateway, transport, port).await,
        }
    }
}

fn place(whom: MapPort) -> Place {
    let router = match whom {
        MapPort::At(router) => Some(router),
        MapPort::Off | MapPort::Router => None,
    };
    let ours = match router {
        Some(router) => own_towards(router),
        None => crate::net::own_address(),
    };
    let network = ours.and_then(network_of);
    Place {
        nat_pmp: router
            .or_else(|| default_router().map(|ip| (ip, crate::wire::nat_pmp::PORT).into())),
        ssdp: router.unwrap_or(upnp::GROUP.into()),
        network: network.filter(|network| network.is_private()),
    }
}

/// Our address as this one sees it. No packet leaves.
fn own_towards(there: SocketAddr) -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn network_of(own: IpAddr) -> Option<Network> {
    let all = if_addrs::get_if_addrs().ok()?;
    all.into_iter().find_map(|interface| match interface.addr {
        if_addrs::IfAddr::V4(addr) if IpAddr::from(addr.ip) == own => Some(Network {
            own: addr.ip,
            mask: addr.netmask,
        }),
        _ => None,
    })
}

/// The router that leads out of here; `None`: there is none, or this system does not say.
fn default_router() -> Option<Ipv4Addr> {
    gateway(&std::fs::read_to_string("/proc/net/route").ok()?)
}

/// The gateway of the first route to everywhere: columns interface, destination, gateway, flags...; addresses are
/// hexadecimal, as they lie in memory.
fn gateway(routes: &str) -> Option<Ipv4Addr> {
    let default = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (_, to, via) = (columns.next()?, columns.next()?, columns.next()?);
        let via = u32::from_str_radix(via, 16).ok()?;
        (to == "00000000" && via != 0).then(|| Ipv4Addr::from(via.to_ne_bytes()))
    };
    routes.lines().skip(1).find_map(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_is_the_gateway_of_the_default_route() {
        let routes = "Iface\tDestination\tGateway\tFlags\n\
                      eth0\t0001A8C0\t00000000\t0001\n\
                      eth0\t00000000\t0101A8C0\t0003\n";
        let ip = u32::from_str_radix("0101A8C0", 16).unwrap().to_ne_bytes();
        assert_eq!(gateway(routes), Some(Ipv4Addr::from(ip)));
        assert_eq!(gateway("Iface\nlo 00000000 00000000\n"), None);
        assert_eq!(gateway("Iface\neth0 00000000 garbage 0003\nx\n"), None);
        assert_eq!(gateway(""), None);
    }
}
