//! Drives the greeting machines of the core over a socket, on both sides, with deadlines.

use std::net::SocketAddr;
use std::time::Duration;

use super::inbox::{Handle, Inbox};
use super::link::Connected;
use super::listen::{TurnedAway, Visit};
use super::overlays::{Overlay, Overlays};
use super::rt::{self, ReadExt, TcpStream, WriteExt};
use crate::node::LinkId;
use crate::node::event::{DialError, Gone, Peer};
use crate::node::greet::{self, Acceptor, Codings, Dialer, Me, Step};
use crate::wire::heads::HeadReader;

/// Bytes read at once while greeting; a whole greeting has some 500.
const CHUNK_BYTES: usize = 4096;
/// A peer has so long for the rest of its greeting after the first line, however slowly it trickles in
/// (overlay.md section 1: 15 to 30 s).
pub(crate) const GREET_TIME: Duration = Duration::from_secs(20);

/// What all greetings of this node share.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// What we say about ourselves.
    pub(crate) me: Me,
    /// Connections that led to nothing.
    pub(crate) turned_away: TurnedAway,
}

impl Greeting {
    /// Greetings in this name.
    pub(crate) fn new(me: Me) -> Self {
        Self {
            me,
            turned_away: TurnedAway::default(),
        }
    }
}

/// Greets a peer that we called.
pub(crate) async fn call(
    mut stream: TcpStream,
    remote: SocketAddr,
    greeting: &Greeting,
) -> Result<(Box<Peer>, Connected), DialError> {
    let local = stream.local_addr().map_err(|_| DialError::Unreachable)?;
    let (mut dialer, first) = Dialer::new(greeting.me.clone(), remote, local.ip());
    let talk = async {
        stream.write_all(&first).await.ok()?;
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            let len = stream.read(&mut chunk).await.ok().filter(|len| *len > 0)?;
            match dialer.read(&chunk[..len]) {
                Ok(Step::NeedMore) => {}
                Ok(step) => return Some(step),
                Err(error) => {
                    log::debug!("{remote}: {error}");
                    return None;
                }
            }
        }
    };
    match rt::timeout(GREET_TIME, talk).await {
        Ok(Some(Step::Done {
            peer,
            codings,
            reply,
            rest,
        })) => {
            stream
                .write_all(&reply)
                .await
                .map_err(|_| DialError::NotGnutella)?;
            let connected = Connected {
                stream,
                codings,
                rest,
            };
            Ok((peer, connected))
        }
        Ok(Some(Step::Refused {
            code,
            text,
            try_peers,
            reply,
        })) => {
            log::debug!("{remote}: {code} {text}");
            // It hears why, if it still listens.
            let _ = rt::timeout(GREET_TIME, stream.write_all(&reply)).await;
            Err(DialError::Refused { code, try_peers })
        }
        Ok(Some(Step::NeedMore | Step::Offer(_)) | None) | Err(_) => Err(DialError::NotGnutella),
    }
}

/// Greets a peer that called us, in the name of the overlay it belongs to; `first` is what it has said so far.
pub(crate) async fn receive(
    stream: TcpStream,
    remote: SocketAddr,
    mut first: Vec<u8>,
    overlays: &Overlays,
    visit: Visit,
) {
    let choice = rt::timeout(GREET_TIME, choose(&stream, remote, &mut first, overlays)).await;
    let Some(overlay) = choice.ok().flatten() else {
        overlays.first().greeting.turned_away.count_greeting();
        return;
    };
    let (greeting, handle) = (&overlay.greeting, &overlay.handle);
    let link = handle.new_link();
    let talk = accept(&stream, remote, &first, greeting, handle, link);
    let up = rt::timeout(GREET_TIME, talk).await.ok().flatten();
    // A neighbour is no stranger, and the node task closes its socket.
    drop(visit);
    let message = if let Some((peer, codings, rest)) = up {
        // As for a dialled link; refused, it is only slower.
        let _ = stream.set_nodelay(true);
        let connected = Connected {
            stream,
            codings,
            rest,
        };
        Inbox::Up(link, peer, connected)
    } else {
        greeting.turned_away.count_greeting();
        Inbox::Down(link, Gone::Closed)
    };
    // An error: the node has ended, and the socket goes with the message.
    let _ = handle.send(message).await;
}

/// The overlay that a caller belongs to, by its address; where that says nothing, by its whole first group, which is
/// then in `first`. `None`: there is no such overlay, or no such group.
async fn choose<'a>(
    mut stream: &TcpStream,
    remote: SocketAddr,
    first: &mut Vec<u8>,
    overlays: &'a Overlays,
) -> Option<&'a Overlay> {
    let mut possible = overlays.of(remote.ip());
    let one = possible.next()?;
    if possible.next().is_none() {
        return Some(one);
    }
    let (mut reader, mut read) = (HeadReader::new(), 0);
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        if let Some((head, _)) = reader.push(&first[read..]).ok()? {
            let two_tiers = greet::of_two_tiers(&head);
            return overlays
                .of(remote.ip())
                .find(|overlay| overlay.net().is_two_tier() == two_tiers);
        }
        read = first.len();
        let len = stream.read(&mut chunk).await.ok().filter(|len| *len > 0)?;
        first.extend_from_slice(&chunk[..len]);
    }
}

/// The peer, how bytes are written on this link, and those behind its greeting; `None` when it comes to nothing.
async fn accept(
    mut stream: &TcpStream,
    remote: SocketAddr,
    first: &[u8],
    greeting: &Greeting,
    handle: &Handle,
    link: LinkId,
) -> Option<(Box<Peer>, Codings, Vec<u8>)> {
    let local = stream.local_addr().ok()?;
    let mut acceptor = Acceptor::new(greeting.me.clone(), remote, local.ip());
    let mut chunk = [0; CHUNK_BYTES];
    let mut step = acceptor.read(first);
    loop {
        match step {
            Ok(Step::NeedMore) => {
                let len = stream.read(&mut chunk).await.ok().filter(|len| *len > 0)?;
                step = acceptor.read(&chunk[..len]);
            }
            Ok(Step::Offer(peer)) => {
                let (verdict, judged) = rt::bounded(1);
                handle.send(Inbox::Offer(link, peer, verdict)).await.ok()?;
                let answer = acceptor.answer(&judged.recv().await.ok()?);
                stream.write_all(&answer).await.ok()?;
                // After a refusal of ours nothing is read: the machine is over and says so.
                step = acceptor.read(&[]);
            }
            Ok(Step::Done {
                peer,
                codings,
                reply,
                rest,
            }) => {
                stream.write_all(&reply).await.ok()?;
                return Some((peer, codings, rest));
            }
            Ok(Step::Refused {
                code, text, reply, ..
            }) => {
                log::debug!("{remote}: {code} {text}");
                stream.write_all(&reply).await.ok()?;
                return None;
            }
            Err(error) => {
                log::debug!("{remote}: {error}");
                return None;
            }
        }
    }
}

#[cfg(test)]
impl Greeting {
    pub(crate) fn for_tests() -> Self {
        Self::new(Me {
            net: crate::node::address::Net::Lan,
            role: crate::node::event::Role::Ultrapeer,
            agent: "test".into(),
            servent: crate::wire::ServentId([1; 16]),
            listen: None,
            max_ttl: 7,
            degree: 16,
            ext_probes: false,
        })
    }
}
