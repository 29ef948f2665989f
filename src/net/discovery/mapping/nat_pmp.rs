//! Asks a router by NAT-PMP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{BOTH, LIFETIME_S, Made, Why};
use crate::net::rt::{self, UdpSocket};
use crate::wire::nat_pmp::{ANSWER_BYTES, Answer, Transport, question};

/// First wait for an answer; doubles with each of [`TRIES`] (RFC 6886 section 3.1; it goes on for two minutes).
const WAIT: Duration = Duration::from_millis(250);
/// Questions until a router counts as silent: 4 s in all.
const TRIES: u32 = 4;
/// Datagrams looked at for one answer.
const LOOKED_AT_MAX: usize = 16;

/// Has both mapped; for how long.
pub(super) async fn map(
    router: SocketAddr,
    port: u16,
    made: &mut Vec<Made>,
) -> Result<Duration, Why> {
    let mut life_s = u32::MAX;
    for transport in BOTH {
        let held = made
            .iter()
            .any(|made| matches!(made, Made::NatPmp(at, of) if (*at, *of) == (router, transport)));
        if !held {
            made.push(Made::NatPmp(router, transport));
        }
        let why = match ask(router, transport, port, LIFETIME_S).await {
            Ok(Answer::Mapped {
                external,
                lifetime_s,
            }) if external == port && lifetime_s > 0 => {
                life_s = life_s.min(lifetime_s);
                continue;
            }
            Ok(Answer::Mapped { external, .. }) => {
                // Others are told of `port`; one that they are not told of is of no use.
                end(router, transport, port).await;
                format!(
                    "the router has given port {port} to another machine, and offers {external}; take that with --listen \
                     0.0.0.0:{external}"
                )
            }
            Ok(Answer::Refused(refusal)) => {
                format!("the router at {} refuses: {refusal}", router.ip())
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                format!("the router at {} does not answer", router.ip())
            }
            Err(error) => format!("the router at {} does not speak it ({error})", router.ip()),
        };
        made.retain(|made| !matches!(made, Made::NatPmp(_, of) if *of == transport));
        match transport {
            Transport::Tcp => return Err(why),
            Transport::Udp => {
                log::warn!("the router passes connections on, but no datagrams: {why}");
            }
        }
    }
    Ok(Duration::from_secs(life_s.into()))
}

/// Ends a mapping.
pub(super) async fn end(router: SocketAddr, transport: Transport, port: u16) {
    if let Err(error) = ask(router, transport, port, 0).await {
        log::warn!("port {port} of the router stays open for up to two hours: {error}");
    }
}

async fn ask(
    router: SocketAddr,
    transport: Transport,
    port: u16,
    lifetime_s: u32,
) -> io::Result<Answer> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    // Connected: nobody else's answer gets through.
    socket.connect(router).await?;
    let asked = question(transport, port, lifetime_s);
    for attempt in 0..TRIES {
        socket.send(&asked).await?;
        let listen = async {
            for _ in 0..LOOKED_AT_MAX {
                let mut bytes = [0; ANSWER_BYTES];
                let len = socket.recv(&mut bytes).await?;
                if let Ok(answer) = Answer::parse(&bytes[..len], transport, port) {
                    return Ok(answer);
                }
            }
            Err(io::Error::other("it sends what is no answer"))
        };
        if let Ok(answer) = rt::timeout(WAIT * 2_u32.pow(attempt), listen).await {
            return answer;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
