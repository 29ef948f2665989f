//! Asks a router by UPnP: who is one, what it offers, then the call. Only machines of the network we are on are asked,
//! whatever an answer says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use rustix::net::sockopt;

use super::{BOTH, LIFETIME_S, Made, Why};
use crate::net::discovery::http::{HttpError, Question, Url, exchange};
use crate::net::rt::{self, UdpSocket};
use crate::node::lan::Network;
use crate::wire::nat_pmp::Transport;
use crate::wire::upnp::{self, Call, Fault, SEARCH, location, services};

/// Where devices are asked for (UPnP Device Architecture 1.1, section 1.3).
pub(super) const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);
/// Devices have this long to answer; they may wait two seconds of it.
const SEARCH_TIME: Duration = Duration::from_secs(3);
/// Answers that are looked at.
const ANSWERS_MAX: usize = 64;
/// Devices that are asked what they are.
const DEVICES_MAX: usize = 4;
/// Bytes of one answer to the search.
const ANSWER_BYTES_MAX: usize = 2_048;
/// Bytes of a description, and of an answer to a call.
const TEXT_BYTES_MAX: usize = 128 * 1024;
/// For a description or a call.
const CALL_TIME: Duration = Duration::from_secs(5);

/// A service of a router that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gateway {
    control: Url,
    kind: String,
    network: Network,
}

/// Has both mapped; for how long.
pub(super) async fn map(
    ssdp: SocketAddr,
    network: Network,
    port: u16,
    made: &mut Vec<Made>,
) -> Result<Duration, Why> {
    let known = made.iter().find_map(|made| match made {
        Made::Upnp(gateway, _) if gateway.network == network => Some(gateway.clone()),
        _ => None,
    });
    if let Some(gateway) = known
        && let Ok(life) = map_at(&gateway, port, made).await
    {
        return Ok(life);
    }
    let mut why = None;
    for location in search(ssdp, network).await? {
        match describe(&location, network).await {
            Ok(gateways) if gateways.is_empty() => {
                why.get_or_insert(format!("{} cannot map ports", location.authority()));
            }
            Ok(gateways) => {
                for gateway in gateways {
                    match map_at(&gateway, port, made).await {
                        Ok(life) => return Ok(life),
                        Err(error) => {
                            why = Some(format!("{}: {error}", gateway.control.authority()));
                        }
                    }
                }
            }
            Err(error) => {
                why.get_or_insert(format!("{}: {error}", location.authority()));
            }
        }
    }
    Err(why.unwrap_or_else(|| "no router answers".to_owned()))
}

/// Where devices of this network say that they describe themselves.
async fn search(ssdp: SocketAddr, network: Network) -> Result<Vec<Url>, Why> {
    let cannot = |error: std::io::Error| format!("routers cannot be looked for: {error}");
    let socket = std::net::UdpSocket::bind((network.own, 0)).map_err(cannot)?;
    sockopt::set_ip_multicast_if(&socket, &network.own).map_err(|error| cannot(error.into()))?;
    let socket = UdpSocket::from(socket);
    socket
        .send_to(SEARCH.as_bytes(), ssdp)
        .await
        .map_err(cannot)?;
    let mut found: Vec<Url> = Vec::new();
    let listen = async {
        for _ in 0..ANSWERS_MAX {
            let mut bytes = [0; ANSWER_BYTES_MAX];
            let Ok((len, from)) = socket.recv_from(&mut bytes).await else {
                return;
            };
            let url = location(&bytes[..len]).and_then(|text| text.parse::<Url>().ok());
            // A device describes itself, and nobody else.
            let good = |url: &Url| on(network, from.ip()) && url.ip() == Some(from.ip());
            if let Some(url) = url.filter(good)
                && !found.contains(&url)
            {
                found.push(url);
                if found.len() == DEVICES_MAX {
                    return;
                }
            }
        }
    };
    let _ = rt::timeout(SEARCH_TIME, listen).await;
    Ok(found)
}

fn on(network: Network, ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if network.holds(ip))
}

/// What a device says it offers, as far as it does so itself.
async fn describe(location: &Url, network: Network) -> Result<Vec<Gateway>, HttpError> {
    let may = |addr: SocketAddr| on(network, addr.ip());
    let page = exchange(location, Question::get(), TEXT_BYTES_MAX, may);
    let page = rt::timeout(CALL_TIME, page).await;
    let page = page.unwrap_or(Err(HttpError::Slow(CALL_TIME)))?;
    if page.code != 200 {
        return Err(HttpError::Status(page.code));
    }
    let (base, all) = services(&String::from_utf8_lossy(&page.body));
    let base = base.and_then(|base| base.parse::<Url>().ok());
    let base = base.as_ref().unwrap_or(location);
    let gateways = all.into_iter().filter_map(|service| {
        let control = base.join(&service.control)?;
        (control.ip() == location.ip()).then_some(Gateway {
            control,
            kind: service.kind,
            network,
        })
    });
    Ok(gateways.collect())
}

async fn map_at(gateway: &Gateway, port: u16, made: &mut Vec<Made>) -> Result<Duration, Fail> {
    let mut life_s = LIFETIME_S;
    let client = gateway.network.own.to_string();
    for transport in BOTH {
        let is_it =
            |made: &Made| matches!(made, Made::Upnp(at, of) if at == gateway && *of == transport);
        let add = |lease_s| upnp::add(&gateway.kind, transport, port, &client, lease_s);
        let mut done = call(gateway, &add(life_s), "AddPortMapping").await;
        if matches!(done, Err(Fail::Refused(Fault::OnlyForEver))) && life_s > 0 {
            // It is ended at the stop all the same, and renewed in case the router forgets.
            life_s = 0;
            done = call(gateway, &add(life_s), "AddPortMapping").await;
        }
        if let Err(error) = done {
            made.retain(|made| !is_it(made));
            match transport {
                Transport::Tcp => return Err(error),
                Transport::Udp => {
                    log::warn!("the router passes connections on, but no datagrams: {error}");
                }
            }
        } else if !made.iter().any(is_it) {
            // Not before: a port that another machine has is not ours to close.
            made.push(Made::Upnp(gateway.clone(), transport));
        }
    }
    Ok(Duration::from_secs(u64::from(if life_s == 0 {
        LIFETIME_S
    } else {
        life_s
    })))
}

/// Ends a mapping.
pub(super) async fn end(gateway: &Gateway, transport: Transport, port: u16) {
    let delete = upnp::delete(&gateway.kind, transport, port);
    if let Err(error) = call(gateway, &delete, "DeletePortMapping").await {
        log::warn!(
            "port {port} of the router may stay open ({error}); look in its settings for entries named filbert"
        );
    }
}

#[derive(Debug, thiserror::Error)]
enum Fail {
    #[error(transparent)]
    Refused(#[from] Fault),
    #[error(transparent)]
    Http(#[from] HttpError),
}

async fn call(gateway: &Gateway, call: &Call, action: &str) -> Result<(), Fail> {
    let headers = [
        ("Content-Type", "text/xml; charset=\"utf-8\""),
        ("SOAPAction", &call.action),
    ];
    let question = Question {
        method: "POST",
        headers: &headers,
        body: &call.body,
    };
    let may = |addr: SocketAddr| on(gateway.network, addr.ip());
    let answer = exchange(&gateway.control, question, TEXT_BYTES_MAX, may);
    let answer = rt::timeout(CALL_TIME, answer).await;
    let answer = answer.unwrap_or(Err(HttpError::Slow(CALL_TIME)))?;
    Ok(upnp::answered(
        answer.code,
        &String::from_utf8_lossy(&answer.body),
        action,
    )?)
}
