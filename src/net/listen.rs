//! The listening port: who is let in, what they speak, and to whom they are handed on.
//!
//! One port speaks overlay and HTTP. A connection has to say which within a deadline, and the number of
//! those that have not is bounded, in all and for each address, so that a crowd of silent strangers costs
//! a bounded amount of memory and no neighbour its place. Source: overlay.md section 1.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::awaited::Awaited;
use super::conn::Stream;
use super::download::Turns;
use super::greeting;
use super::http::AGENT;
use super::inbox::Inbox;
use super::overlays::{Overlay, Overlays};
use super::rt::{self, Clock, ReadExt, TcpListener, TcpStream};
use super::tls::{self, Tls};
use super::upload::{self, Serving};
use crate::node::Event;
use crate::node::address::Net;
use crate::node::hammering::{Call, Callers};
use crate::wire::giv::Giv;
use crate::wire::queue::Queue;

/// The customary port.
pub(crate) const PORT: u16 = 6346;
/// Ports tried after it when it is taken.
const PORTS_TRIED: u16 = 64;
/// Connections that have not said what they want, or are in the middle of a greeting.
pub(crate) const STRANGERS_MAX: usize = 256;
/// Of those, from one address. A lab of many nodes lives on one address, so this is not small.
pub(crate) const STRANGERS_PER_IP_MAX: usize = 64;
/// A stranger has so long for its first line.
pub(crate) const FIRST_LINE_TIME: Duration = Duration::from_secs(15);
/// Bytes in which the first line must end (overlay.md section 1: about 1 KiB).
const FIRST_LINE_BYTES: usize = 1024;
/// Pause after a failed accept, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// Port 6346 on all addresses, or the next free one.
    #[default]
    Default,
    /// Here and nowhere else; port 0 takes a free one.
    Fixed(SocketAddr),
    /// Nowhere: a short-lived node that dials and accepts nothing.
    Nowhere,
}

/// Opens the port; `None` for [`Listen::Nowhere`].
///
/// # Errors
/// The address is taken, not ours, or may not be used by us.
pub(crate) fn bind(listen: Listen) -> io::Result<Option<std::net::TcpListener>> {
    match listen {
        Listen::Nowhere => Ok(None),
        Listen::Fixed(addr) => std::net::TcpListener::bind(addr).map(Some),
        Listen::Default => {
            let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let mut taken = None;
            for port in PORT..=PORT + PORTS_TRIED {
                match std::net::TcpListener::bind((any, port)) {
                    Ok(listener) => return Ok(Some(listener)),
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = Some(error),
                    Err(error) => return Err(error),
                }
            }
            Err(taken.expect("at least one port was tried"))
        }
    }
}

/// Connections turned away, by reason.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway {
    crowd: AtomicU64,
    slow: AtomicU64,
    unknown: AtomicU64,
    greeting: AtomicU64,
    unasked: AtomicU64,
    hostile: AtomicU64,
    hammering: AtomicU64,
}

impl TurnedAway {
    /// Counters by name, as they stand beside the drops of the core.
    pub(crate) fn counted(&self) -> [(String, u64); 7] {
        [
            ("connection_crowd", &self.crowd),
            ("connection_slow", &self.slow),
            ("connection_hostile", &self.hostile),
            ("connection_hammering", &self.hammering),
            ("connection_unknown", &self.unknown),
            ("connection_unasked", &self.unasked),
            ("greeting_failed", &self.greeting),
        ]
        .map(|(name, count)| (name.to_owned(), count.load(Ordering::Relaxed)))
    }

    /// Counts a greeting that led to no link.
    pub(crate) fn count_greeting(&self) {
        count(&self.greeting);
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// All that an incoming connection needs.
#[derive(Clone, Debug)]
pub(crate) struct Hall {
    pub(crate) overlays: Overlays,
    pub(crate) serving: Arc<Serving>,
    pub(crate) door: Arc<Door>,
    pub(crate) awaited: Arc<Awaited>,
    /// `None`: it listens nowhere.
    pub(crate) turns: Option<Turns>,
}

impl Hall {
    /// Where connections turned away before they belong anywhere are counted.
    fn turned_away(&self) -> &TurnedAway {
        &self.overlays.first().greeting.turned_away
    }

    /// May this stranger come in, who may call too often? Where all are known, everybody may.
    fn call(&self, ip: IpAddr) -> Call {
        let live = |overlay: &Overlay| overlay.net() == Net::Gnutella && overlay.net().claims(ip);
        if self.overlays.all().any(live) {
            self.door.call(ip)
        } else {
            Call::In
        }
    }

    /// What takes connections that begin with TLS, whatever they turn out to be for.
    fn tls(&self) -> Option<&Tls> {
        self.overlays
            .all()
            .find_map(|overlay| overlay.greeting.tls.as_ref())
    }
}

/// Accepts until `closed` is ready.
pub(crate) async fn accept(listener: TcpListener, hall: Hall, closed: impl Future<Output = ()>) {
    let work = async {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => let_in(stream, remote, &hall),
                Err(error) => {
                    log::warn!(
                        "cannot accept a connection: {error}; is the limit of open files too low?"
                    );
                    rt::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    rt::unless::<()>(closed, work).await;
    hall.door.close();
}

fn let_in(stream: TcpStream, remote: SocketAddr, hall: &Hall) {
    // Before anything is read or said, whatever it wants.
    if hall.overlays.shun(remote.ip()) {
        count(&hall.turned_away().hostile);
        return;
    }
    let call = hall.call(remote.ip());
    if call != Call::In {
        count(&hall.turned_away().hammering);
    }
    let later = match call {
        Call::In => None,
        Call::Later(wait) => Some(wait),
        Call::Silence => return,
    };
    let Some(visit) = hall.door.enter(&stream, remote.ip()) else {
        count(&hall.turned_away().crowd);
        return;
    };
    let hall = hall.clone();
    // Detached: it ends by its deadlines, or when the door closes its socket.
    rt::spawn(async move { receive(stream, remote, (visit, later), &hall).await });
}

/// The whole answer to one who called too often and may call again after `wait`; empty where there is none.
fn come_later(speaks: Speaks, wait: Duration) -> String {
    let protocol = match speaks {
        Speaks::Gnutella => "GNUTELLA/0.6",
        Speaks::Http => "HTTP/1.1",
        _ => return String::new(),
    };
    let (agent, seconds) = (AGENT, wait.as_secs().max(1));
    format!(
        "{protocol} 429 Too many connections\r\nUser-Agent: {agent}\r\nServer: {agent}\r\nRetry-After: {seconds}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

async fn receive(
    stream: TcpStream,
    remote: SocketAddr,
    (mut visit, later): (Visit, Option<Duration>),
    hall: &Hall,
) {
    let local = stream.local_addr().map(|addr| addr.ip());
    let away = hall.turned_away();
    let mut shaking = false;
    let begin = async {
        let stream = open(stream, hall, &mut shaking).await?;
        let first = first_line(&stream).await;
        Ok::<_, io::Error>((stream, first))
    };
    let (stream, first) = match rt::timeout(FIRST_LINE_TIME, begin).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => return log::debug!("{remote}: TLS: {error}"),
        Err(_) if shaking => return log::debug!("{remote}: TLS: no handshake in time"),
        Err(_) => {
            log::debug!("{remote}: no first line in time");
            return count(&away.slow);
        }
    };
    let speaks = first.as_deref().map_or(Speaks::Unknown, sniff);
    // On a flat overlay everybody counts as reachable.
    let two_tier = hall
        .overlays
        .of(remote.ip())
        .filter(|overlay| overlay.net().is_two_tier());
    for overlay in two_tier {
        let proves = |local| overlay.net().proves_reach(remote.ip(), local);
        if speaks != Speaks::Unknown && local.as_ref().is_ok_and(|local| proves(*local)) {
            overlay.handle.post(Inbox::Event(Event::Reached));
        }
    }
    if let Some(wait) = later {
        let answer = come_later(speaks, wait);
        // Who does not take it, has not.
        let _ = rt::timeout(FIRST_LINE_TIME, stream.send(answer.as_bytes())).await;
        return;
    }
    match speaks {
        Speaks::Gnutella => {
            let first = first.unwrap_or_default();
            greeting::receive(stream, remote, first, &hall.overlays, visit).await;
        }
        Speaks::Http => {
            visit.identified();
            upload::serve(
                stream,
                remote,
                first.unwrap_or_default(),
                hall.serving.clone(),
            )
            .await;
        }
        // That it came is all it has to say.
        Speaks::Probe => {}
        Speaks::Giv => {
            // Its socket is no business of the door's any more.
            drop(visit);
            if !given(&first.unwrap_or_default(), stream, hall) {
                log::debug!("{remote}: nobody waits for this connection");
                count(&away.unasked);
            }
        }
        Speaks::Queue => {
            drop(visit);
            let first = first.unwrap_or_default();
            let called = Queue::parse(&first).zip(hall.turns.as_ref());
            if !called.is_some_and(|(queue, turns)| turns.called(queue.id, remote.ip(), stream)) {
                log::debug!("{remote}: nobody waits for a turn of its queue");
                count(&away.unasked);
            }
        }
        Speaks::Unknown => count(&away.unknown),
    }
}

/// The connection, or what is inside its TLS if it begins with that; what it speaks is decided then. `shaking` is set
/// while a handshake is on, whose failure is counted by [`tls`].
///
/// # Errors
/// The handshake failed.
async fn open(socket: TcpStream, hall: &Hall, shaking: &mut bool) -> io::Result<Stream> {
    let Some(tls) = hall.tls() else {
        return Ok(Stream::Plain(socket));
    };
    let mut first = [0];
    // An error will be there for whoever reads.
    if !matches!(socket.peek(&mut first).await, Ok(1)) || first[0] != tls::FIRST_BYTE {
        return Ok(Stream::Plain(socket));
    }
    *shaking = true;
    let stream = tls.accept(socket, Vec::new()).await?;
    *shaking = false;
    Ok(stream)
}

/// Hands a connection that a push brought to whoever waits for it. `false`: nobody, or it makes no sense.
fn given(first: &[u8], stream: Stream, hall: &Hall) -> bool {
    let end = first
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(first.len());
    // It is our turn to speak: no more may follow than the second line end.
    let silent = first[end..]
        .iter()
        .all(|byte| matches!(byte, b'\r' | b'\n'));
    let giv = Giv::parse(first).filter(|_| silent);
    giv.is_some_and(|giv| hall.awaited.arrived(&giv.servent, stream))
}

/// All bytes up to and beyond the first line feed; `None` when there is none to come.
async fn first_line(stream: &Stream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; FIRST_LINE_BYTES];
    let mut len = 0;
    let mut stream = stream;
    loop {
        let read = stream.read(&mut bytes[len..]).await.ok()?;
        let seen = len;
        len += read;
        if bytes[seen..len].contains(&b'\n') {
            bytes.truncate(len);
            return Some(bytes);
        }
        // A line that can be none of ours need not end before it is turned away.
        let hopeless = sniff_prefix(&bytes[..len]) == Speaks::Unknown;
        if read == 0 || len == bytes.len() || hopeless {
            return None;
        }
    }
}

/// What a connection wants, by its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// To link.
    Gnutella,
    /// A file, a listing or a page.
    Http,
    /// Nothing: somebody whom we asked tries whether we can be reached.
    Probe,
    /// To give a file that we asked for with a push.
    Giv,
    /// To say that our turn has come in its queue.
    Queue,
    /// Anything else.
    Unknown,
}

/// First words, with what they mean. A probe is two line feeds.
const FIRST_WORDS: [(&[u8], Speaks); 7] = [
    (b"GNUTELLA CONNECT/", Speaks::Gnutella),
    (b"GET ", Speaks::Http),
    (b"HEAD ", Speaks::Http),
    (b"GIV ", Speaks::Giv),
    (b"QUEUE ", Speaks::Queue),
    (b"CONNECT BACK", Speaks::Probe),
    (b"\n", Speaks::Probe),
];

fn sniff(line: &[u8]) -> Speaks {
    FIRST_WORDS
        .iter()
        .find(|(word, _)| line.starts_with(word))
        .map_or(Speaks::Unknown, |(_, speaks)| *speaks)
}

/// The same for a line that has not ended: [`Speaks::Unknown`] as soon as it can become nothing else.
fn sniff_prefix(start: &[u8]) -> Speaks {
    FIRST_WORDS
        .iter()
        .find(|(word, _)| start.starts_with(word) || word.starts_with(start))
        .map_or(Speaks::Unknown, |(_, speaks)| *speaks)
}

/// Who is inside, and how many of them are strangers.
#[derive(Debug)]
pub(crate) struct Door {
    inside: Mutex<Inside>,
    callers: Mutex<Callers>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Inside {
    strangers: BTreeMap<IpAddr, usize>,
    strangers_total: usize,
    sockets: BTreeMap<u64, TcpStream>,
    next: u64,
    closed: bool,
}

impl Door {
    /// Nobody is inside.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            inside: Mutex::default(),
            callers: Mutex::default(),
            clock,
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody called who may call too often.
    fn call(&self, ip: IpAddr) -> Call {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.call(self.clock.now(), ip)
    }

    /// A stranger comes in; `None` when there are too many.
    fn enter(self: &Arc<Self>, stream: &TcpStream, ip: IpAddr) -> Option<Visit> {
        let mut inside = self.inside();
        let from_here = inside.strangers.get(&ip).copied().unwrap_or(0);
        let crowd = inside.strangers_total >= STRANGERS_MAX || from_here >= STRANGERS_PER_IP_MAX;
        if crowd || inside.closed {
            return None;
        }
        inside.strangers.insert(ip, from_here + 1);
        inside.strangers_total += 1;
        let number = inside.next;
        inside.next += 1;
        inside.sockets.insert(number, stream.clone());
        Some(Visit {
            door: self.clone(),
            number,
            stranger: Some(ip),
        })
    }

    /// Ends every connection that did not become a link, and lets no more in.
    fn close(&self) {
        let mut inside = self.inside();
        inside.closed = true;
        for stream in std::mem::take(&mut inside.sockets).into_values() {
            // Gone already: just as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// One connection inside; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Visit {
    door: Arc<Door>,
    number: u64,
    stranger: Option<IpAddr>,
}

impl Visit {
    /// It has said what it wants, and its other bounds are others' business.
    pub(crate) fn identified(&mut self) {
        let Some(ip) = self.stranger.take() else {
            return;
        };
        let mut inside = self.door.inside();
        inside.strangers_total -= 1;
        if let Some(count) = inside.strangers.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                inside.strangers.remove(&ip);
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.identified();
        self.door.inside().sockets.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_what_a_connection_wants() {
        let table: [(&[u8], Speaks); 10] = [
            (b"GNUTELLA CONNECT/0.6\r\n", Speaks::Gnutella),
            (b"GET / HTTP/1.1\r\n", Speaks::Http),
            (b"HEAD /x HTTP/1.1\r\n", Speaks::Http),
            (b"GIV 1:00/x\n\n", Speaks::Giv),
            (b"QUEUE 1\n", Speaks::Queue),
            (b"\n\n", Speaks::Probe),
            (b"CONNECT BACK\r\n", Speaks::Probe),
            (b"GETS / HTTP/1.1\r\n", Speaks::Unknown),
            (b"SSH-2.0\r\n", Speaks::Unknown),
            (b"\x16\x03\x01\n", Speaks::Unknown),
        ];
        for (line, speaks) in table {
            assert_eq!(sniff(line), speaks, "{}", line.escape_ascii());
        }
        assert_eq!(sniff_prefix(b"GNUT"), Speaks::Gnutella);
        assert_eq!(
            sniff_prefix(b""),
            Speaks::Gnutella,
            "nothing said yet is not hopeless"
        );
        assert_eq!(sniff_prefix(b"SSH"), Speaks::Unknown);
    }

    #[test]
    fn who_hammers_is_told_when_to_come_back_in_the_words_that_it_speaks() {
        let wait = Duration::from_secs(600);
        for (speaks, first) in [
            (Speaks::Gnutella, "GNUTELLA/0.6 429 "),
            (Speaks::Http, "HTTP/1.1 429 "),
        ] {
            let answer = come_later(speaks, wait);
            assert!(
                answer.starts_with(first) && answer.ends_with("\r\n\r\n"),
                "{answer}"
            );
            assert!(answer.contains("\r\nRetry-After: 600\r\n"), "{answer}");
        }
        assert_eq!(come_later(Speaks::Giv, wait), "");
    }

    #[test]
    fn strangers_are_bounded_for_each_address_and_identified_ones_make_room() {
        rt::block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let door = Arc::new(Door::new(Clock::start()));
            let here = IpAddr::from([127, 0, 0, 1]);
            let mut visits: Vec<_> = std::iter::from_fn(|| door.enter(&stream, here))
                .take(1000)
                .collect();
            assert_eq!(visits.len(), STRANGERS_PER_IP_MAX);
            assert!(door.enter(&stream, IpAddr::from([127, 0, 0, 2])).is_some());
            visits[0].identified();
            assert!(door.enter(&stream, here).is_some());
            drop(visits);
            let inside = door.inside();
            assert_eq!(
                (
                    inside.strangers_total,
                    inside.strangers.len(),
                    inside.sockets.len()
                ),
                (0, 0, 0)
            );
        });
    }
}
