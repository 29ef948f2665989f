//! The datagram socket, at the port we listen on: what is about searches goes to the node and comes from it; on the live
//! network pings are answered and host caches asked. Decides nothing.
//!
//! A node has one, whatever nets it is on. What is about a search goes to the overlay that its sender belongs to.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::ChaCha8Rng;

use super::finding::Shown;
use super::web::{Web, WebCacheSettings};
use crate::control::Finding;
use crate::net::greeting::Greeting;
use crate::net::inbox::{Ask, Ended, Handle, Inbox};
use crate::net::overlays::Overlays;
use crate::net::rt::{self, Clock, Receiver, Sender, UdpSocket};
use crate::node::address::Net;
use crate::node::caches::{Crowd, HostCaches, Hunger, Step, WebAnswer};
use crate::node::event::Role;
use crate::node::udp::{ASKED_MAX, DATAGRAM_BYTES_MAX, Dropped, Heard, Udp, Wants, answer};
use crate::node::{Command, Event, Time};
use crate::wire::{Frame, Guid};

/// How often we look whether caches are to be asked.
const LOOK: Duration = Duration::from_secs(1);
/// The first look: the node hears of remembered addresses before.
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// A name is looked up by then, or its cache counts as failed.
const LOOK_UP_TIME: Duration = Duration::from_secs(3);
/// Pause after the socket failed.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Datagrams of the nodes that wait to be written; more are dropped. At 1,400 bytes each, 350 KiB.
const UNSENT_MAX: usize = 256;

/// Where node tasks leave datagrams.
pub(crate) type Outgoing = Sender<(SocketAddr, Frame)>;

/// The socket of a node.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: Arc<UdpSocket>,
    /// It is at the port where the node listens: others find it there.
    pub(crate) heard: bool,
}

/// What it needs.
#[derive(Debug)]
pub(crate) struct Datagrams {
    /// The way to the node that finds others.
    pub(crate) handle: Handle,
    /// All overlays.
    pub(crate) overlays: Overlays,
    /// For message ids.
    pub(crate) rng: ChaCha8Rng,
    /// The clock of the node.
    pub(crate) clock: Clock,
    /// The net, for addresses that others tell of; on a LAN alone nobody is asked for any.
    pub(crate) net: Net,
    /// Host caches of the user, `HOST:PORT` each.
    pub(crate) caches: Vec<String>,
    /// Web caches, asked when host caches are of no use.
    pub(crate) web: WebCacheSettings,
    /// Knows our role, and so which slots we look for.
    pub(crate) greeting: Arc<Greeting>,
    /// Where it is shown how far that has got.
    pub(crate) finding: Shown,
}

/// Opens the socket at the port of the listener, or at any when we do not listen.
///
/// # Errors
/// There is no such address here any more.
pub(crate) fn open(listen: Option<SocketAddr>) -> io::Result<Socket> {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let Some(listen) = listen else {
        let socket = std::net::UdpSocket::bind(any)?;
        return Ok(Socket {
            socket: Arc::new(socket.into()),
            heard: false,
        });
    };
    let mut heard = true;
    let socket = std::net::UdpSocket::bind(listen).or_else(|error| {
        heard = false;
        // Asking works from any port; only those who ask us find nobody there.
        log::warn!(
            "datagrams to {listen} are not answered: {error}; choose another port with --listen"
        );
        std::net::UdpSocket::bind((listen.ip(), 0))
    })?;
    Ok(Socket {
        socket: Arc::new(socket.into()),
        heard,
    })
}

/// Writes what the nodes send, until they end. An error is that of one datagram: it counts as lost.
pub(crate) fn write(socket: &Socket) -> Outgoing {
    let (outgoing, unsent): (Outgoing, Receiver<_>) = rt::bounded(UNSENT_MAX);
    let socket = socket.socket.clone();
    // Detached: it ends with the last sender.
    rt::spawn(async move {
        while let Ok((to, frame)) = unsent.recv().await {
            if let Err(error) = socket.send_to(&frame.to_vec(), to).await {
                log::debug!("a datagram to {to}: {error}");
            }
        }
    });
    outgoing
}

/// Answers, and asks when we are alone, until the node ends.
pub(crate) async fn run(datagrams: Datagrams, socket: Socket) {
    let web = Web::new(datagrams.web.clone(), datagrams.net).await;
    let mut speaker = Speaker {
        web,
        udp: Udp::new(datagrams.net),
        hunger: Hunger::default(),
        caches: HostCaches::new(datagrams.caches.clone()),
        look: datagrams.clock.now().plus(FIRST_LOOK),
        datagrams,
        socket: socket.socket,
    };
    speaker.show();
    while speaker.turn().await.is_ok() {}
}

/// All that the task holds.
struct Speaker {
    datagrams: Datagrams,
    socket: Arc<UdpSocket>,
    udp: Udp,
    hunger: Hunger,
    caches: HostCaches,
    web: Web,
    /// When to look next whether caches are to be asked.
    look: Time,
}

impl Speaker {
    /// Looks, or takes one datagram.
    async fn turn(&mut self) -> Result<(), Ended> {
        let clock = self.datagrams.clock;
        if self.look <= clock.now() {
            self.look_round().await?;
            self.look = clock.now().plus(LOOK);
        }
        let mut bytes = [0; DATAGRAM_BYTES_MAX + 1];
        let wait = self.look.since(clock.now());
        match rt::timeout(wait, self.socket.recv_from(&mut bytes)).await {
            Err(_) => {}
            Ok(Ok((len, from))) => {
                let heard = if self.datagrams.overlays.shun(from.ip()) {
                    Err(Dropped::Hostile)
                } else {
                    self.udp.hear(clock.now(), from, &bytes[..len])
                };
                match heard {
                    Ok(heard) => self.take(heard).await?,
                    Err(why) => self.datagrams.finding.dropped(why),
                }
            }
            Ok(Err(error)) => {
                // Such as the notice that nobody listens where a datagram of ours went.
                log::debug!("datagrams: {error}");
                rt::sleep(ERROR_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Asks caches if it is time.
    async fn look_round(&mut self) -> Result<(), Ended> {
        if !self.datagrams.net.is_two_tier() {
            return Ok(());
        }
        let figures = self.datagrams.handle.ask(Ask::Figures).await?;
        let crowd = Crowd {
            links: figures.links,
            dialling: figures.dialling,
            known: figures.hosts_known,
        };
        let now = self.datagrams.clock.now();
        let mut step = self.hunger.step(now, crowd);
        if step == Step::HostCaches {
            let asked = self.ask_caches().await;
            step = self.hunger.asked(self.datagrams.clock.now(), asked);
        }
        if step == Step::WebCache {
            if self.web.ask().await {
                let count = |finding: &mut Finding| finding.web_caches_asked += 1;
                self.datagrams.finding.note(count);
            } else {
                self.hunger.web_done(now, WebAnswer::NoneLeft);
            }
        }
        if let Some(told) = self.web.poll().await {
            self.web_answered(told.hosts).await?;
        }
        self.show();
        Ok(())
    }

    async fn web_answered(
        &mut self,
        told: Option<(SocketAddr, Vec<SocketAddr>)>,
    ) -> Result<(), Ended> {
        let now = self.datagrams.clock.now();
        let Some((by, hosts)) = told else {
            self.hunger.web_done(now, WebAnswer::Nobody);
            return Ok(());
        };
        self.datagrams.finding.note(|finding| {
            finding.web_caches_answered += 1;
            finding.addresses += hosts.len() as u64;
        });
        self.hunger.web_done(now, WebAnswer::Somebody);
        let told = Inbox::Event(Event::Told(by, hosts));
        self.datagrams.handle.send(told).await
    }

    fn show(&self) {
        let (pending, host_caches) = (self.hunger.pending(), self.caches.len());
        let web_caches = self.web.len();
        self.datagrams.finding.note(|finding| {
            finding.pending = pending;
            finding.host_caches = host_caches;
            finding.web_caches = web_caches;
        });
    }

    async fn take(&mut self, heard: Heard) -> Result<(), Ended> {
        let handle = &self.datagrams.handle;
        match heard {
            Heard::Question(question) => {
                if question.unasked {
                    let pinged = Event::Pinged(question.from, question.guid);
                    handle.send(Inbox::Event(pinged)).await?;
                }
                let ask = |to| Ask::Introduction(question.from, question.wants, to);
                let introduction = handle.ask(ask).await?;
                let Some(told) = answer(&question, &introduction) else {
                    self.datagrams.finding.dropped(Dropped::AnswerTooLarge);
                    return Ok(());
                };
                if let Err(error) = self.socket.send_to(&told, question.from).await {
                    log::debug!("answering {}: {error}", question.from);
                }
            }
            // What comes of it nobody is told: the notice goes unread.
            Heard::Push(push) => drop(handle.command(Command::PassPush(push)).await?),
            Heard::Search(from, frame) => {
                let ip = from.ip();
                let overlays = self.datagrams.overlays.of(ip);
                for overlay in overlays.filter(|overlay| !overlay.shunned.lists(ip)) {
                    let event = Event::Datagram(from, frame.clone());
                    overlay.handle.send(Inbox::Event(event)).await?;
                }
            }
            Heard::Hosts(by, packed) => {
                log::debug!("host cache {by}: {} addresses", packed.hosts.len());
                self.datagrams.finding.note(|finding| {
                    finding.host_caches_answered += 1;
                    finding.addresses += packed.hosts.len() as u64;
                });
                let told = Event::Told(by, packed.hosts);
                handle.send(Inbox::Event(told)).await?;
                packed
                    .caches
                    .into_iter()
                    .for_each(|cache| self.caches.learn(cache));
            }
        }
        Ok(())
    }

    /// Asks a few caches, others the next time. Returns how many there were to ask.
    async fn ask_caches(&mut self) -> usize {
        let names = self.caches.next(self.datagrams.clock.now(), ASKED_MAX);
        let count = names.len();
        let ipv4 = self.socket.local_addr().is_ok_and(|own| own.is_ipv4());
        // All at a time: one name server that keeps silent holds up no other.
        let looked_up: Vec<_> = names
            .into_iter()
            .map(|name| {
                let wanted = name.clone();
                let found = rt::spawn_blocking(move || first_address(&wanted, ipv4));
                (name, found)
            })
            .collect();
        let finding = self.datagrams.finding.clone();
        for (name, found) in looked_up {
            finding.note(|finding| finding.host_caches_asked += 1);
            let found = rt::timeout(LOOK_UP_TIME, found).await;
            let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let asked = match found {
                Ok(cache) => self.ask_cache(&name, cache).await,
                Err(error) => Err(error),
            };
            if let Err(error) = asked {
                log::warn!("host cache {name}: {error}");
                finding.note(|finding| finding.host_caches_failed += 1);
            }
        }
        count
    }

    async fn ask_cache(&mut self, name: &str, cache: SocketAddr) -> io::Result<()> {
        // Whoever told of it may want us to knock somewhere; what the user wrote is the user's business.
        let own = self.datagrams.caches.iter().any(|own| own == name);
        if !own && !self.datagrams.net.believes(cache) {
            return Err(io::Error::other("it is at no address that it may be at"));
        }
        let mut bytes = [0; 16];
        self.datagrams.rng.fill_bytes(&mut bytes);
        let guid = Guid::from_random(bytes);
        let now = self.datagrams.clock.now();
        let wants = match self.datagrams.greeting.role() {
            Role::Leaf => Wants::LeafSlots,
            Role::Ultrapeer => Wants::UltrapeerSlots,
        };
        let tls = self.datagrams.greeting.tls.is_some();
        if let Some(ping) = self.udp.ask(now, cache, guid, wants, tls) {
            self.socket.send_to(&ping, cache).await?;
        }
        Ok(())
    }
}

/// The first address that the socket can reach.
fn first_address(name: &str, ipv4: bool) -> io::Result<SocketAddr> {
    let family = if ipv4 { "IPv4" } else { "IPv6" };
    let nothing = || io::Error::new(io::ErrorKind::NotFound, format!("no {family} address"));
    let mut found = name.to_socket_addrs()?;
    found
        .find(|addr| addr.is_ipv4() == ipv4)
        .ok_or_else(nothing)
}
