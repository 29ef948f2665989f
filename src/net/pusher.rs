//! Asking servents that cannot be connected to to connect to us.
//!
//! Its push proxies are sent a push by datagram; if nothing comes of it soon, they are asked over HTTP; then the push
//! goes the way the servent's hits came, and in the end it goes out once more. Then the servent connects to our port and
//! says GIV, and `awaited` knows who waits for it. Source: content, "Push and GIV".

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_lite::future;

use super::conn::Stream;
use super::control;
use super::download::Source;
use super::http::AGENT;
use super::http_conn::{Conn, Failure};
use super::inbox::{Ask, Ended, Handle};
use super::overlays::Overlay;
use super::requests::Desk;
use super::rt::{self, Clock};
use crate::node::Time;
use crate::node::address::Net;
use crate::node::event::{Command, Notice, PushSpec, Pushed};
use crate::node::swarm::Ended as Outcome;
use crate::wire::ServentId;
use crate::wire::heads::HeadWriter;

/// A connection that was asked for is awaited so long (content, "Push and GIV": 30 to 45 s).
pub(crate) const COMES_WITHIN: Duration = Duration::from_secs(45);
/// A datagram that finds its proxy brings a connection within this; then the proxies are asked over HTTP. Our estimate:
/// three ways through the network and one link.
const DATAGRAM_TIME: Duration = Duration::from_secs(2);
/// A push that a proxy says it has passed on brings a connection within this; then it goes the way of the hits. Our
/// estimate: one link, which may be a few seconds behind.
const PASSED_TIME: Duration = Duration::from_secs(8);
/// When the push goes out once more: a servent connects to one address once in 30 s (`node::pushes`), and may just have
/// done so for an earlier file.
const AGAIN_AFTER: Duration = Duration::from_secs(32);
/// Push proxies asked over HTTP of those that a hit names.
const PROXIES_ASKED_MAX: usize = 4;
/// A push proxy must answer within this.
const PROXY_TIME: Duration = Duration::from_secs(10);
/// Connections kept for the next file of the same servent; others are closed.
const IDLE_MAX: usize = 4;

/// A servent that may have to be asked to connect to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walled {
    /// Who it is.
    pub servent: ServentId,
    /// Number of the file wanted; of no meaning today.
    pub index: u32,
    /// Who passes pushes on to it, as its hit said.
    pub proxies: Vec<SocketAddr>,
    /// The net that its hit came on; `None`: any.
    pub net: Option<Net>,
}

/// Why no connection came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoneCame {
    /// It could not be asked; why, for people.
    NotAsked(String),
    /// It was asked, and its time is over.
    InTime(String),
}

impl NoneCame {
    /// For people.
    pub(crate) fn why(self) -> String {
        let (Self::NotAsked(why) | Self::InTime(why)) = self;
        why
    }
}

/// Brings connections of servents that cannot be connected to. Clones share what they keep.
#[derive(Clone, Debug)]
pub struct Pusher {
    node: Node,
    idle: Arc<Mutex<Vec<Conn>>>,
}

#[derive(Clone, Debug)]
enum Node {
    /// One in this process, and where connections are awaited if not at its own port.
    Here(Arc<Desk>, Option<NonZeroU16>),
    /// The one at this control socket.
    There(PathBuf),
}

impl Pusher {
    pub(super) fn here(desk: Arc<Desk>, port: Option<NonZeroU16>) -> Self {
        Self::of(Node::Here(desk, port))
    }

    pub(super) fn there(socket: PathBuf) -> Self {
        Self::of(Node::There(socket))
    }

    fn of(node: Node) -> Self {
        Self {
            node,
            idle: Arc::default(),
        }
    }

    /// Has `whom` connect to us.
    pub(super) async fn connection(&self, whom: &Walled) -> Result<Stream, NoneCame> {
        match &self.node {
            Node::Here(desk, port) => call(desk, *port, whom).await,
            Node::There(socket) => control::handed::call(socket, whom).await,
        }
    }

    /// A connection of an earlier file that leads to this source.
    pub(super) fn take_idle(&self, source: &Source) -> Option<Conn> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|conn| conn.is_to(source))?;
        Some(idle.remove(at))
    }

    /// Keeps a connection for the next file, if its servent opened it: it does not open another so soon.
    pub(super) fn keep(&self, conn: Conn) {
        if !conn.brought() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= IDLE_MAX {
            idle.remove(0);
        }
        idle.push(conn);
    }
}

/// Asks `whom` to connect to us, one way after the other, and waits for it.
pub(crate) async fn call(
    desk: &Desk,
    port: Option<NonZeroU16>,
    whom: &Walled,
) -> Result<Stream, NoneCame> {
    let wait = desk.awaited.wait_for(whom.servent).ok_or_else(|| {
        NoneCame::NotAsked("too many connections are awaited; try again in a minute".to_owned())
    })?;
    let came = async { Ok(wait.connection().await) };
    let ways = async { Err(ways(desk, port, whom).await) };
    future::or(came, ways).await
}

/// Goes all ways; ends when no connection will come any more.
async fn ways(desk: &Desk, port: Option<NonZeroU16>, whom: &Walled) -> NoneCame {
    let (clock, stopping) = (Clock::start(), "the node is stopping".to_owned());
    let left = |end: Duration| end.saturating_sub(clock.now().since(Time::ZERO));
    let spec = PushSpec {
        servent: whom.servent,
        index: whom.index,
        port,
    };
    let by_proxies = Command::PushByProxies(spec, whom.proxies.clone());
    let along = Command::Push(spec);
    let told = match push(desk, whom, &by_proxies).await {
        Ok(Pushed::NorCanWe) => return neither_can_we(),
        Ok(pushed) => pushed == Pushed::Sent,
        Err(Ended) => return NoneCame::NotAsked(stopping),
    };
    if told {
        rt::sleep(DATAGRAM_TIME).await;
    }
    let passed = ask_proxies(desk, port, whom).await;
    if passed {
        rt::sleep(PASSED_TIME).await;
    }
    let pushed = match push(desk, whom, &along).await {
        Ok(Pushed::NorCanWe) => return neither_can_we(),
        Ok(pushed) => pushed == Pushed::Sent,
        Err(Ended) => return NoneCame::NotAsked(stopping),
    };
    if !pushed && !passed {
        let proxies = match whom.proxies.len() {
            0 => "",
            _ => ", and none of its push proxies knows it any more",
        };
        return NoneCame::NotAsked(format!(
            "it cannot be connected to, no way is known to ask it to connect to us{proxies}; search for it again"
        ));
    }
    rt::sleep(left(AGAIN_AFTER)).await;
    // A way that has gone meanwhile changes nothing: it was asked before.
    for once_more in [&by_proxies, &along] {
        let _ = push(desk, whom, once_more).await;
    }
    rt::sleep(left(COMES_WITHIN)).await;
    let port = port.map_or_else(|| listen_port(desk), NonZeroU16::get);
    NoneCame::InTime(format!(
        "it cannot be connected to; it was asked to connect to us and did not within {} s; is it still there, and \
         can others connect to port {port} of this machine?",
        COMES_WITHIN.as_secs()
    ))
}

fn neither_can_we() -> NoneCame {
    NoneCame::NotAsked(
        "it cannot be connected to, and neither can we, so nobody can open the connection; make a port of this \
         machine reachable, or find another source"
            .to_owned(),
    )
}

fn listen_port(desk: &Desk) -> u16 {
    desk.listen.map_or(0, |listen| listen.port())
}

/// Pushes on each net that it may be on; the best of what came of it.
async fn push(desk: &Desk, whom: &Walled, command: &Command) -> Result<Pushed, Ended> {
    let mut best = Pushed::NoWay;
    for overlay in desk.overlays.on(whom.net.as_slice()) {
        match push_on(&overlay.handle, command.clone()).await? {
            Pushed::Sent => best = Pushed::Sent,
            Pushed::NorCanWe if best == Pushed::NoWay => best = Pushed::NorCanWe,
            Pushed::NorCanWe | Pushed::NoWay => {}
        }
    }
    Ok(best)
}

async fn push_on(handle: &Handle, command: Command) -> Result<Pushed, Ended> {
    let notices = handle.command(command).await?;
    while let Some(notice) = notices.next().await {
        if let Notice::Pushed(pushed) = notice {
            return Ok(pushed);
        }
    }
    Err(Ended)
}

/// Asks the push proxies at a time; `true`: at least one has passed the push on.
async fn ask_proxies(desk: &Desk, port: Option<NonZeroU16>, whom: &Walled) -> bool {
    let mut any = false;
    for overlay in desk.overlays.on(whom.net.as_slice()) {
        any |= ask_proxies_on(overlay, desk, port, whom).await;
    }
    any
}

async fn ask_proxies_on(
    overlay: &Overlay,
    desk: &Desk,
    port: Option<NonZeroU16>,
    whom: &Walled,
) -> bool {
    let net = overlay.net();
    let own = desk.listen;
    // Where a hit of an unknown net came from, its proxies' addresses say.
    let of_net = |proxy: IpAddr| whom.net.is_some() || overlays_has(desk, proxy, net);
    let proxies = whom
        .proxies
        .iter()
        .filter(|proxy| net.believes(**proxy) && of_net(proxy.ip()) && Some(**proxy) != own);
    // A listener of its own for what is asked for (`port`) takes the same as ours.
    let tls = overlay.config.says_tls();
    let seen = overlay.handle.ask(Ask::SeenIp).await.ok().flatten();
    let port = port.map_or_else(|| listen_port(desk), NonZeroU16::get);
    let asked: Vec<_> = proxies
        .take(PROXIES_ASKED_MAX)
        .map(|proxy| {
            let source = Source::push_proxy(*proxy, whom.servent, tls);
            let own_ip = own.map(|own| own.ip()).filter(|ip| !ip.is_unspecified());
            let me = move |local: IpAddr| {
                let own = SocketAddr::new(own_ip.unwrap_or(local), port);
                match seen {
                    Some(seen) if !net.believes(own) => SocketAddr::new(seen, port),
                    _ => own,
                }
            };
            // Each with its own deadline; all end when this is dropped, but for those asked already.
            rt::spawn(async move {
                let passed = rt::timeout(PROXY_TIME, ask_proxy(&source, me)).await;
                let passed = passed.ok().flatten();
                log::debug!("push proxy {source}: {passed:?}");
                passed
            })
        })
        .collect();
    let mut any = false;
    for asked in asked {
        // 202: sent to a neighbour; 203: sent along a way (gtk-gnutella).
        any |= matches!(asked.await, Some(200..=299));
    }
    any
}

fn overlays_has(desk: &Desk, addr: IpAddr, net: Net) -> bool {
    desk.overlays.of(addr).any(|overlay| overlay.net() == net)
}

/// The status that a push proxy answers with.
async fn ask_proxy(proxy: &Source, me: impl Fn(IpAddr) -> SocketAddr) -> Option<u16> {
    let mut conn = Conn::open(proxy).await.ok()?;
    let request = HeadWriter::new(format_args!("GET {} HTTP/1.1", proxy.target()))
        .header("Host", proxy)
        .header("User-Agent", AGENT)
        .header("X-Node", me(conn.local()?.ip().to_canonical()))
        .header("Connection", "close")
        .finish();
    conn.send(&request).await.ok()?;
    let head = conn.head().await.ok()?;
    head.status_line().map(|status| status.code)
}

/// Connects to a source, or has it connect to us, if somebody can ask it to.
pub(super) async fn connect(source: &Source, pusher: Option<&Pusher>) -> Result<Conn, Failure> {
    if source.wants_push() {
        let none = "it cannot be connected to, and no node is there to ask it to connect to us";
        let why = match source.walled().zip(pusher) {
            None => none.to_owned(),
            Some((walled, pusher)) => match pusher.connection(walled).await {
                Ok(stream) => return Ok(Conn::given(stream, source)),
                Err(none_came) => none_came.why(),
            },
        };
        // Many say so who only have not found out yet that they can be.
        if source.is_public()
            && let Ok(conn) = Conn::open(source).await
        {
            return Ok(conn);
        }
        return Err(Failure::new(Outcome::Walled, why));
    }
    let failure = match Conn::open(source).await {
        Err(failure) if failure.ended == Outcome::Unreachable => failure,
        opened => return opened,
    };
    let Some((walled, pusher)) = source.walled().zip(pusher) else {
        return Err(failure);
    };
    match pusher.connection(walled).await {
        Ok(stream) => Ok(Conn::given(stream, source)),
        // A moment's trouble, perhaps.
        Err(NoneCame::NotAsked(_)) => Err(failure),
        Err(NoneCame::InTime(why)) => Err(Failure::new(
            Outcome::Walled,
            format!("{}; {why}", failure.why),
        )),
    }
}
