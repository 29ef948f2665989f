//! Drives the greeting machines of the core over a socket, on both sides, with deadlines.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::conn::{Stream, UPGRADE_PAUSE};
use super::inbox::{Handle, Inbox};
use super::link::Connected;
use super::listen::{TurnedAway, Visit};
use super::overlays::{Overlay, Overlays};
use super::rt::{self, ReadExt, TcpStream};
use super::tls::Tls;
use crate::node::LinkId;
use crate::node::event::{DialError, Gone, Peer, Role};
use crate::node::greet::{self, Acceptor, Dialer, Me, Step};
use crate::wire::heads::HeadReader;

/// Bytes read at once while greeting; a whole greeting has some 500.
const CHUNK_BYTES: usize = 4096;
/// A peer has so long for the rest of its greeting after the first line, however slowly it trickles in
/// (overlay.md section 1: 15 to 30 s).
pub(crate) const GREET_TIME: Duration = Duration::from_secs(20);

/// What all greetings of this node share.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// What we say about ourselves, but for the role.
    me: Me,
    /// We are a leaf at present, where there are leaves.
    leaf: AtomicBool,
    /// We are an ultrapeer that becomes a leaf where it is asked to.
    steps_down: AtomicBool,
    /// Connections that led to nothing.
    pub(crate) turned_away: TurnedAway,
    /// `None`: this node has no TLS.
    pub(crate) tls: Option<Tls>,
}

impl Greeting {
    /// Greetings in this name.
    pub(crate) fn new(me: Me) -> Self {
        Self {
            leaf: AtomicBool::new(me.role == Role::Leaf),
            me,
            steps_down: AtomicBool::new(false),
            turned_away: TurnedAway::default(),
            tls: None,
        }
    }

    /// What we say about ourselves now.
    pub(crate) fn me(&self) -> Me {
        Me {
            role: self.role(),
            ..self.me.clone()
        }
    }

    /// The role that we say we have.
    pub(crate) fn role(&self) -> Role {
        if self.leaf.load(Ordering::Relaxed) {
            Role::Leaf
        } else {
            Role::Ultrapeer
        }
    }

    /// Do we become a leaf where an ultrapeer asks us to?
    pub(crate) fn steps_down(&self) -> bool {
        self.steps_down.load(Ordering::Relaxed)
    }

    /// From now on this is our role, and this is how firm it is. A greeting that has begun goes on with the old one,
    /// and the core sees to that.
    pub(crate) fn take_role(&self, role: Role, steps_down: bool) {
        self.steps_down.store(steps_down, Ordering::Relaxed);
        self.leaf.store(role == Role::Leaf, Ordering::Relaxed);
    }

    /// The same, encrypted where both sides can.
    pub(crate) fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }
}

/// Why a call led to no link.
#[derive(Debug)]
pub(crate) enum CallError {
    /// As the core wants to know it.
    Dial(DialError),
    /// Both agreed on TLS, and then it failed.
    Upgrade(io::Error),
}

impl From<DialError> for CallError {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

/// Greets a peer that we called, as `me`, who `steps_down` or not.
pub(crate) async fn call(
    socket: TcpStream,
    remote: SocketAddr,
    me: Me,
    steps_down: bool,
    tls: Option<&Tls>,
) -> Result<(Box<Peer>, Connected), CallError> {
    let local = socket.local_addr().map_err(|_| DialError::Unreachable)?;
    let (mut dialer, first) = Dialer::new(me, remote, local.ip());
    if steps_down {
        dialer = dialer.that_steps_down();
    }
    let stream = Stream::Plain(socket.clone());
    let talk = async {
        stream.send(&first).await.ok()?;
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            let read = (&stream).read(&mut chunk).await;
            let len = read.ok().filter(|len| *len > 0)?;
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
            upgrade,
            reply,
            rest,
        })) => {
            let sent = stream.send(&reply).await;
            sent.map_err(|_| DialError::NotGnutella)?;
            let stream = match tls.filter(|_| upgrade) {
                None => stream,
                Some(tls) => {
                    rt::sleep(UPGRADE_PAUSE).await;
                    tls.connect(socket).await.map_err(CallError::Upgrade)?
                }
            };
            let connected = Connected {
                stream,
                codings,
                rest,
                write_bytes: usize::MAX,
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
            let _ = rt::timeout(GREET_TIME, stream.send(&reply)).await;
            Err(DialError::Refused { code, try_peers }.into())
        }
        Ok(Some(Step::NeedMore | Step::Offer(_)) | None) | Err(_) => {
            Err(DialError::NotGnutella.into())
        }
    }
}

/// Greets a peer that called us, in the name of the overlay it belongs to; `first` is what it has said so far.
pub(crate) async fn receive(
    stream: Stream,
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
    let mut upgrading = false;
    let talk = accept(
        stream,
        remote,
        &first,
        greeting,
        handle,
        link,
        &mut upgrading,
    );
    let up = rt::timeout(GREET_TIME, talk).await.ok().flatten();
    // A neighbour is no stranger, and the node task closes its socket.
    drop(visit);
    let message = if let Some((peer, connected)) = up {
        // As for a dialled link.
        connected.stream.set_nodelay();
        Inbox::Up(link, peer, connected)
    } else {
        // A failed handshake of TLS was counted as that.
        if !upgrading {
            greeting.turned_away.count_greeting();
        }
        Inbox::Down(link, Gone::Closed)
    };
    // An error: the node has ended, and the socket goes with the message.
    let _ = handle.send(message).await;
}

/// The overlay that a caller belongs to, by its address; where that says nothing, by its whole first group, which is
/// then in `first`. `None`: there is no such overlay, or no such group.
async fn choose<'a>(
    mut stream: &Stream,
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

/// The peer, and the way to it; `None` when it comes to nothing. `upgrading` is set while that hangs on TLS.
async fn accept(
    stream: Stream,
    remote: SocketAddr,
    first: &[u8],
    greeting: &Greeting,
    handle: &Handle,
    link: LinkId,
    upgrading: &mut bool,
) -> Option<(Box<Peer>, Connected)> {
    let local = stream.local_addr().ok()?;
    let mut acceptor = Acceptor::new(greeting.me(), remote, local.ip());
    if stream.is_encrypted() {
        acceptor = acceptor.inside_tls();
    }
    let mut chunk = [0; CHUNK_BYTES];
    let mut step = acceptor.read(first);
    loop {
        match step {
            Ok(Step::NeedMore) => {
                let read = (&stream).read(&mut chunk).await;
                let len = read.ok().filter(|len| *len > 0)?;
                step = acceptor.read(&chunk[..len]);
            }
            Ok(Step::Offer(peer)) => {
                let (verdict, judged) = rt::bounded(1);
                handle.send(Inbox::Offer(link, peer, verdict)).await.ok()?;
                let answer = acceptor.answer(&judged.recv().await.ok()?);
                stream.send(&answer).await.ok()?;
                // After a refusal of ours nothing is read: the machine is over and says so.
                step = acceptor.read(&[]);
            }
            Ok(Step::Done {
                peer,
                codings,
                upgrade,
                reply,
                rest,
            }) => {
                stream.send(&reply).await.ok()?;
                let (stream, rest) = match (upgrade, &greeting.tls) {
                    (true, Some(tls)) => {
                        *upgrading = true;
                        let upgraded = tls.accept(stream.socket().clone(), rest).await;
                        let report = |error| log::debug!("{remote}: TLS: {error}");
                        (upgraded.map_err(report).ok()?, Vec::new())
                    }
                    _ => (stream, rest),
                };
                let connected = Connected {
                    stream,
                    codings,
                    rest,
                    write_bytes: usize::MAX,
                };
                return Some((peer, connected));
            }
            Ok(Step::Refused {
                code, text, reply, ..
            }) => {
                log::debug!("{remote}: {code} {text}");
                stream.send(&reply).await.ok()?;
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
            encryption: crate::node::greet::Encryption::Accepted,
        })
    }
}
