//! The datagram socket of the live network, at the port we listen on: pings answered, host caches asked. Decides
//! nothing.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use rand::Rng;
use rand::rngs::ChaCha8Rng;

use crate::net::inbox::{Ask, Ended, Handle, Inbox};
use crate::net::rt::{self, Clock, UdpSocket};
use crate::node::caches::Hunger;
use crate::node::udp::{ASKED_MAX, DATAGRAM_BYTES_MAX, Heard, Udp, Wants, answer};
use crate::node::{Command, Event};
use crate::wire::Guid;

/// How often we look whether caches are to be asked.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after the socket failed.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Host caches known: those of the user, and some that others told of.
const CACHES_MAX: usize = 64;

/// What it needs.
#[derive(Debug)]
pub(crate) struct Datagrams {
    /// The way to the node.
    pub(crate) handle: Handle,
    /// For message ids.
    pub(crate) rng: ChaCha8Rng,
    /// The clock of the node.
    pub(crate) clock: Clock,
    /// Host caches, `HOST:PORT` each.
    pub(crate) caches: Vec<String>,
    /// Slots that we look for.
    pub(crate) wants: Wants,
}

/// Opens the socket at the port of the listener, or at any when we do not listen.
///
/// # Errors
/// Another program has it.
pub(crate) fn open(listen: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    std::net::UdpSocket::bind(listen.unwrap_or(any)).map(UdpSocket::from)
}

/// Answers, and asks when we are alone, until the node ends.
pub(crate) async fn run(mut datagrams: Datagrams, socket: UdpSocket) {
    let (mut udp, mut hunger) = (Udp::default(), Hunger::default());
    // The node hears of remembered addresses first.
    let mut look = datagrams.clock.now().plus(LOOK);
    loop {
        let now = datagrams.clock.now();
        if look <= now {
            look = now.plus(LOOK);
            let Ok(figures) = datagrams.handle.ask(Ask::Figures).await else {
                return;
            };
            if hunger.asks(now, figures.links, figures.hosts_known) {
                datagrams.ask_caches(&mut udp, &socket).await;
            }
        }
        let mut bytes = [0; DATAGRAM_BYTES_MAX + 1];
        let wait = look.since(datagrams.clock.now());
        match rt::timeout(wait, socket.recv_from(&mut bytes)).await {
            Err(_) => {}
            Ok(Ok((len, from))) => {
                let heard = udp.hear(datagrams.clock.now(), from, &bytes[..len]);
                if let Some(heard) = heard
                    && datagrams.take(heard, &socket).await.is_err()
                {
                    return;
                }
            }
            Ok(Err(error)) => {
                // Such as the notice that nobody listens where a datagram of ours went.
                log::debug!("datagrams: {error}");
                rt::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

impl Datagrams {
    async fn take(&mut self, heard: Heard, socket: &UdpSocket) -> Result<(), Ended> {
        match heard {
            Heard::Question(question) => {
                let ask = |to| Ask::Introduction(question.from, question.wants, to);
                let introduction = self.handle.ask(ask).await?;
                if let Some(told) = answer(&question, &introduction)
                    && let Err(error) = socket.send_to(&told, question.from).await
                {
                    log::debug!("answering {}: {error}", question.from);
                }
            }
            // What comes of it nobody is told: the notice goes unread.
            Heard::Push(push) => drop(self.handle.command(Command::PassPush(push)).await?),
            Heard::Hosts(by, packed) => {
                log::debug!("host cache {by}: {} addresses", packed.hosts.len());
                let told = Event::Told(by, packed.hosts);
                self.handle.send(Inbox::Event(told)).await?;
                for cache in packed.caches {
                    if self.caches.len() < CACHES_MAX && !self.caches.contains(&cache) {
                        self.caches.push(cache);
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks a few caches, others the next time.
    async fn ask_caches(&mut self, udp: &mut Udp, socket: &UdpSocket) {
        let few = self.caches.len().min(ASKED_MAX);
        let names = self.caches[..few].to_vec();
        self.caches.rotate_left(few);
        for name in names {
            let looked_up = name.clone();
            let found = rt::spawn_blocking(move || first_address(&looked_up)).await;
            let cache = match found {
                Ok(cache) => cache,
                Err(error) => {
                    log::warn!("host cache {name}: {error}");
                    continue;
                }
            };
            let mut bytes = [0; 16];
            self.rng.fill_bytes(&mut bytes);
            let guid = Guid::from_random(bytes);
            let Some(ping) = udp.ask(self.clock.now(), cache, guid, self.wants) else {
                continue;
            };
            if let Err(error) = socket.send_to(&ping, cache).await {
                log::debug!("asking host cache {name}: {error}");
            }
        }
    }
}

/// The socket speaks IPv4.
fn first_address(name: &str) -> io::Result<SocketAddr> {
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "no IPv4 address");
    let mut found = name.to_socket_addrs()?;
    found.find(SocketAddr::is_ipv4).ok_or_else(nothing)
}
