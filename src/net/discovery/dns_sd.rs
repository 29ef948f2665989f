//! DNS-SD on this network (RFC 6763 over RFC 6762): ordinary tools see our node, and we see those that announce
//! themselves so. The only file that names `mdns_sd`, which has a thread of its own.
//!
//! On private networks only, like `lan`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};

use super::lan::networks;
use crate::net::http::AGENT;
use crate::net::inbox::{Ended, Handle, Inbox};
use crate::net::rt;
use crate::node::Event;
use crate::node::address::Net;
use crate::node::lan::Network;
use crate::wire::ServentId;

/// Our choice: no registered name fits a flat overlay of one network.
pub(crate) const SERVICE: &str = "_gnutella._tcp.local.";
/// Hexadecimal digits of the servent id that are told.
const ID_DIGITS: usize = 8;
/// Records of others that are kept; the sender of more is flooding. The library knows no such bound.
const RECORDS_MAX: i64 = 1_024;
/// How often their number is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Silence after a flood, or after an error.
const PAUSE: Duration = Duration::from_secs(300);
/// Addresses of one announcement that are taken.
const ADDRESSES_MAX: usize = 4;
/// Nodes taken between two starts.
const NODES_MAX: usize = 256;

/// What it needs.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The way to the node.
    pub(crate) handle: Handle,
    /// Where it listens; nothing is announced when it does not.
    pub(crate) listen: Option<SocketAddr>,
    /// What people call it; may be empty.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: ServentId,
}

/// Why it stopped for a while.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("somebody on this network floods it")]
    Flood,
    #[error("{0}")]
    Library(#[from] mdns_sd::Error),
    #[error("it has ended")]
    Gone,
    #[error("the node has ended")]
    Ended,
}

impl From<Ended> for Fault {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

/// The library's thread; says good-bye and ends when this is dropped.
struct Daemon(ServiceDaemon);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It tells others that the service is gone. What comes of it nobody waits for: they find out.
        let _ = self.0.shutdown();
    }
}

/// Announces the node and looks for others until it ends.
pub(crate) async fn run(settings: Settings) {
    loop {
        match session(&settings).await {
            Err(Fault::Ended) => return,
            Ok(()) => {}
            Err(error) => log::warn!("nodes are not looked for by DNS-SD for a while: {error}"),
        }
        rt::sleep(PAUSE).await;
    }
}

async fn session(settings: &Settings) -> Result<(), Fault> {
    let daemon = Daemon(ServiceDaemon::new()?);
    let daemon = &daemon.0;
    daemon.disable_interface(IfKind::Predicate(others(settings.listen)))?;
    let own = service(settings)?;
    let own_name = own.get_fullname().to_owned();
    if settings.listen.is_some() {
        daemon.register(own)?;
    }
    let events = daemon.browse(SERVICE)?;
    let hear = hear(settings, &own_name, &events);
    futures_lite::future::or(hear, watch(daemon)).await
}

/// Interfaces that we keep off: all but private networks, and of those the one we listen on.
fn others(listen: Option<SocketAddr>) -> IfPredicate {
    IfPredicate::new(move |interface| match &interface.addr {
        if_addrs::IfAddr::V4(addr) => {
            let network = Network {
                own: addr.ip,
                mask: addr.netmask,
            };
            let ip = IpAddr::V4(addr.ip);
            let ours = listen.is_none_or(|at| at.ip().is_unspecified() || at.ip() == ip);
            !network.is_private() || addr.ip.is_loopback() || !ours
        }
        if_addrs::IfAddr::V6(_) => true,
    })
}

/// Our own service.
fn service(settings: &Settings) -> Result<ServiceInfo, mdns_sd::Error> {
    let mut id = settings.id.to_string();
    id.truncate(ID_DIGITS);
    // With the id, since two machines may have one name.
    let instance = match settings.name.as_str() {
        "" => format!("filbert {id}"),
        name => format!("{name} ({id})"),
    };
    let port = settings.listen.map_or(0, |addr| addr.port());
    let host = format!("filbert-{id}.local.");
    let told = [("id", id.as_str()), ("agent", AGENT)];
    let service = ServiceInfo::new(SERVICE, &instance, &host, "", port, &told[..])?;
    Ok(service.enable_addr_auto())
}

/// Hands on who announces themselves.
async fn hear(
    settings: &Settings,
    own_name: &str,
    events: &Receiver<ServiceEvent>,
) -> Result<(), Fault> {
    let mut taken = 0;
    loop {
        let event = events.recv_async().await.map_err(|_| Fault::Gone)?;
        let ServiceEvent::ServiceResolved(found) = event else {
            continue;
        };
        if found.get_fullname().eq_ignore_ascii_case(own_name) || taken == NODES_MAX {
            continue;
        }
        let networks = networks(settings.listen.map(|addr| addr.ip()));
        let addresses = believed(found.get_addresses_v4(), found.get_port(), &networks);
        for addr in addresses {
            log::debug!("a node is announced on this network: {addr}");
            taken += 1;
            let told = Event::Told(addr, vec![addr]);
            settings.handle.send(Inbox::Event(told)).await?;
        }
    }
}

/// Those that may be called: anybody on this network can announce anything.
fn believed(
    told: impl IntoIterator<Item = Ipv4Addr>,
    port: u16,
    networks: &[Network],
) -> Vec<SocketAddr> {
    let ours = |ip: Ipv4Addr| {
        let on = |network: &Network| network.holds(ip) && network.own != ip;
        networks.iter().any(on)
    };
    let mut told: Vec<_> = told
        .into_iter()
        .filter(|ip| ours(*ip))
        .map(|ip| SocketAddr::from((ip, port)))
        // Not at the port of another service: nobody shall have us knock there.
        .filter(|addr| Net::Lan.believes_of(*addr, *addr))
        .collect();
    told.sort();
    told.truncate(ADDRESSES_MAX);
    told
}

/// Ends when too much is kept.
async fn watch(daemon: &ServiceDaemon) -> Result<(), Fault> {
    loop {
        rt::sleep(LOOK).await;
        let metrics = daemon.get_metrics()?;
        let metrics = metrics.recv_async().await.map_err(|_| Fault::Gone)?;
        let kept = metrics
            .iter()
            .filter(|(name, _)| name.starts_with("cached-"));
        if kept.map(|(_, count)| count).sum::<i64>() > RECORDS_MAX {
            return Err(Fault::Flood);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_neighbours_of_this_network_are_believed() {
        let network = Network {
            own: [10, 77, 0, 1].into(),
            mask: [255, 255, 255, 0].into(),
        };
        let believed = |ips: &[[u8; 4]], port| {
            let ips = ips.iter().map(|ip| Ipv4Addr::from(*ip));
            let found = believed(ips, port, &[network]);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let lies = [
            [9, 9, 9, 9],
            [127, 0, 0, 1],
            [192, 168, 1, 1],
            [10, 77, 0, 1],
            [224, 0, 0, 251],
            [0, 0, 0, 0],
        ];
        assert_eq!(believed(&lies, 6346), [""; 0]);
        assert_eq!(believed(&[[10, 77, 0, 2]], 6346), ["10.77.0.2:6346"]);
        for port in [0, 25, 443] {
            assert_eq!(believed(&[[10, 77, 0, 2]], port), [""; 0], "{port}");
        }
        let many: Vec<_> = (2..100).map(|last| [10, 77, 0, last]).collect();
        assert_eq!(believed(&many, 6346).len(), ADDRESSES_MAX);
    }

    #[test]
    fn a_service_is_named_for_people_and_told_apart_by_id() {
        let settings = |name: &str| Settings {
            handle: Handle::new().0,
            listen: Some(([10, 77, 0, 1], 6346).into()),
            name: name.to_owned(),
            id: ServentId([0xAB; 16]),
        };
        let own = service(&settings("my.desk")).unwrap();
        assert_eq!(
            own.get_fullname(),
            format!("my\\.desk (abababab).{SERVICE}")
        );
        assert_eq!(own.get_property_val_str("id"), Some("abababab"));
        assert_eq!(own.get_property_val_str("agent"), Some(AGENT));
        assert_eq!(own.get_port(), 6346);
        let own = service(&settings("")).unwrap();
        assert!(own.get_fullname().starts_with("filbert abababab."));
    }
}
