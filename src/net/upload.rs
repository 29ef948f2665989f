//! One HTTP connection of a stranger: requests in, files out.
//!
//! Keeps the deadlines and the connection; [`upload_reply`] knows what to answer,
//! [`upload_body`] how a file gets into a socket, and [`Uploads`] who may start.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::browse;
use super::call_back;
use super::conn::Stream;
use super::mesh::{Mesh, Said, Standing};
use super::overlays::Overlays;
use super::partials::Partials;
use super::push_proxy;

use super::rt::{self, Clock, ReadExt};
use super::tls::Tls;
use super::upload_body::{self, Outlet, Pace};
use super::upload_reply::{self, Body, Queueing, Reply, Request};
use crate::disk::tree::HashTree;
use crate::node::address::Net;
use crate::node::greet::Encryption;
use crate::node::library::{FileView, Library};
use crate::node::uploads::{Answer, Person, SlotId, UploadLimits, Uploads};
use crate::wire::alt::Open;
use crate::wire::heads::{Head, HeadError, HeadReader};
use crate::wire::{ServentId, Sha1};

/// Silence between two requests before the connection is closed (content.md 4.3: 60 to 90 s).
const IDLE_MAX: Duration = Duration::from_secs(75);
/// A slot stays with its connection for so long after a body, so that a client that fetches range after
/// range does not lose it in between. Our estimate.
const SLOT_IDLE_MAX: Duration = Duration::from_secs(5);
/// A head must be complete so soon after its first byte. Our estimate.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// A piece of an answer that is no file must leave within this. Our estimate.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// HTTP connections from one host; on loopback a whole lab is one host. Our estimate.
const CONNECTIONS_PER_HOST_MAX: usize = 64;
/// HTTP connections together: some 20 KiB each. Our estimate.
const CONNECTIONS_MAX: usize = 512;
/// Calls to clients whose turn has come, under way at a time. Our choice.
const CALLS_MAX: usize = 8;
/// Bytes read from a client at a time: requests are small.
const READ_BYTES: usize = 4 * 1024;
/// Bytes left unread that are waited for before a connection is closed, so that the last answer is not
/// lost to a reset. Our estimate.
const LINGER_BYTES_MAX: usize = 64 * 1024;
/// How long they are waited for.
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// The shared files, as serving needs them.
pub trait Files: fmt::Debug + Send + Sync {
    /// The index of now.
    fn library(&self) -> Arc<Library>;

    /// Opens one of its files: inside its share, not through a link, the size as indexed. May block.
    ///
    /// # Errors
    /// When the file is not, or no longer, what the index says.
    fn open(&self, file: FileView<'_>) -> io::Result<File>;

    /// The Tiger tree of one of its files, if it is at hand. May block.
    fn tree(&self, file: FileView<'_>) -> Option<HashTree> {
        HashTree::of_one_block(file.size, file.tiger?)
    }

    /// A file was not what the index says: look again.
    fn outdated(&self);
}

/// How we present ourselves.
#[derive(Clone, Debug)]
pub(crate) struct Face {
    /// Where we listen; an unspecified address is replaced by that of each socket.
    pub(crate) listen: SocketAddr,
    /// Servent id.
    pub(crate) servent: ServentId,
    /// Name for people, may be empty.
    pub(crate) name: String,
}

/// What happened, for the node and those who watch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Whether all slots are taken; said when it changes.
    Busy(bool),
    /// A file went out, or ranges of it, as many as one connection asked for in a row.
    Uploaded {
        /// To whom.
        to: SocketAddr,
        /// Shown name of the folder, `/`, path below it.
        name: String,
        /// Bytes of it sent.
        bytes: u64,
    },
    /// Who else is known at first hand to have a file, on one net; hits for it are to say so.
    Elsewhere {
        /// The net.
        net: Net,
        /// The file.
        file: Sha1,
        /// All of them.
        all: Vec<Open>,
    },
}

/// Figures for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadFigures {
    /// Uploads running.
    pub active: usize,
    /// Slots there are.
    pub slots: usize,
    /// Persons that wait for one.
    pub waiting: usize,
    /// Uploads that went out whole.
    pub done: u64,
    /// Bytes of files sent.
    pub bytes: u64,
}

/// All that serving shares between connections.
pub(crate) struct Serving {
    pub(super) files: Arc<dyn Files>,
    pub(super) face: Face,
    pub(super) partials: Partials,
    mesh: Mesh,
    pace: Pace,
    /// For those whom the limit is not for.
    free: Pace,
    pub(super) clock: Clock,
    uploads: Mutex<Uploads>,
    hosts: Mutex<BTreeMap<IpAddr, usize>>,
    /// Calls under way.
    calls: AtomicUsize,
    done: AtomicU64,
    bytes: AtomicU64,
    told: Box<dyn Fn(Told) + Send + Sync>,
    /// The overlays in which pushes are passed on to neighbours; `None`: files are all there is.
    overlays: Option<Overlays>,
    /// `None`: whoever asks for TLS is answered in clear.
    tls: Option<Tls>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("face", &self.face)
            .finish_non_exhaustive()
    }
}

impl Serving {
    /// Serves `files`. `limit_up`: bytes of files a second over all uploads together. `told` is called from
    /// any task and must not wait.
    pub(crate) fn new(
        files: Arc<dyn Files>,
        face: Face,
        limits: UploadLimits,
        limit_up: Option<u64>,
        told: impl Fn(Told) + Send + Sync + 'static,
    ) -> Self {
        let clock = Clock::start();
        Self {
            files,
            face,
            partials: Partials::default(),
            mesh: Mesh::new([Net::Lan]),
            pace: Pace::new(clock, limit_up),
            free: Pace::new(clock, None),
            clock,
            uploads: Mutex::new(Uploads::new(limits)),
            hosts: Mutex::default(),
            calls: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            told: Box::new(told),
            overlays: None,
            tls: None,
        }
    }

    /// Bytes of files a second from now on, over all uploads together; `None`: no limit.
    pub(crate) fn set_limit(&self, limit_up: Option<u64>) {
        self.pace.set(limit_up);
    }

    /// Encrypts for whoever asks.
    pub(crate) fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// What is said of it in `X-Features`.
    pub(super) fn encryption(&self) -> Encryption {
        match self.tls {
            Some(_) => Encryption::Accepted,
            None => Encryption::Never,
        }
    }

    /// Serves on these nets; without, on that of a LAN.
    pub(crate) fn on(self, nets: impl IntoIterator<Item = Net>) -> Self {
        Self {
            mesh: Mesh::new(nets),
            ..self
        }
    }

    /// The unfinished files that are served too.
    pub(crate) fn partials(&self) -> &Partials {
        &self.partials
    }

    /// Serves as the push proxy of this node's neighbours too.
    pub(crate) fn passing_pushes(self, overlays: Overlays) -> Self {
        Self {
            overlays: Some(overlays),
            ..self
        }
    }

    /// Figures of now.
    pub(crate) fn figures(&self) -> UploadFigures {
        let uploads = self.uploads();
        UploadFigures {
            active: uploads.active(),
            slots: uploads.slots(),
            waiting: uploads.waiting(),
            done: self.done.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Verified bytes came from there: whoever gives waits less.
    pub(super) fn gave(&self, from: SocketAddr, bytes: u64) {
        self.uploads().gave(Person::of(from, None), bytes);
    }

    /// Takes in what a request says of other sources of a file that we have, and returns what the answer says of them.
    pub(super) fn hear(
        &self,
        file: Sha1,
        peer: SocketAddr,
        said: &Said,
    ) -> Vec<(&'static str, String)> {
        let exchanged = self.mesh.exchange(self.clock.now(), file, peer, said);
        self.tell_elsewhere(file, exchanged.in_hits);
        exchanged.headers
    }

    /// Right bytes of a file came from there: others may be sent there too.
    pub(super) fn proved(&self, file: Sha1, from: Open) {
        let in_hits = self.mesh.gave(self.clock.now(), file, from);
        self.tell_elsewhere(file, in_hits);
    }

    fn tell_elsewhere(&self, file: Sha1, in_hits: Option<(Net, Vec<Open>)>) {
        if let Some((net, all)) = in_hits {
            (self.told)(Told::Elsewhere { net, file, all });
        }
    }

    /// A slot is free: whoever is next is called, if it can be.
    fn call_next(self: &Arc<Self>) {
        if self.calls.load(Ordering::Relaxed) >= CALLS_MAX {
            return;
        }
        let Some(call) = self.uploads().call(self.clock.now()) else {
            return;
        };
        self.calls.fetch_add(1, Ordering::Relaxed);
        let serving = Arc::clone(self);
        // Detached: it ends by the deadlines of connections.
        rt::spawn(async move {
            let listen = serving.face.listen;
            let stream = call_back::turn(call.addr, call.id, listen).await;
            serving.calls.fetch_sub(1, Ordering::Relaxed);
            if let Some(stream) = stream {
                serve_boxed(stream, call.addr, serving).await;
            }
        });
    }

    /// Whether all slots are taken.
    pub(super) fn busy(&self) -> bool {
        self.uploads().all_taken()
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads
            .lock()
            .expect("no code panics while it holds this lock")
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.hosts
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// Counts a connection; `None`: there are enough of them.
    fn enter(self: &Arc<Self>, host: IpAddr) -> Option<Visit> {
        let host = host.to_canonical();
        let mut hosts = self.hosts();
        if hosts.values().sum::<usize>() >= CONNECTIONS_MAX {
            return None;
        }
        let count = hosts.entry(host).or_default();
        if *count >= CONNECTIONS_PER_HOST_MAX {
            return None;
        }
        *count += 1;
        Some(Visit {
            serving: self.clone(),
            host,
            slot: None,
            sent: None,
        })
    }
}

/// One connection of one host, with the slot it holds. Gives both back when dropped.
#[derive(Debug)]
struct Visit {
    serving: Arc<Serving>,
    host: IpAddr,
    slot: Option<SlotId>,
    /// What of one file went out and was not told yet: to whom, its shown name, bytes.
    sent: Option<(SocketAddr, String, u64)>,
}

impl Visit {
    /// Bytes of a file went out whole: told once for all its ranges.
    fn note_sent(&mut self, to: SocketAddr, name: String, bytes: u64) {
        match &mut self.sent {
            Some((_, same, sum)) if *same == name => *sum += bytes,
            _ => {
                self.tell_sent();
                self.sent = Some((to, name, bytes));
            }
        }
    }

    fn tell_sent(&mut self) {
        if let Some((to, name, bytes)) = self.sent.take() {
            (self.serving.told)(Told::Uploaded { to, name, bytes });
        }
    }

    /// Takes a slot for this person and file, or keeps the one it has unless its turn is over. `Err`: what it is told
    /// instead.
    fn take_slot(&mut self, person: Person, file: u64) -> Result<(), Answer> {
        let now = self.serving.clock.now();
        if let Some(slot) = self.slot {
            if self.serving.uploads().goes_on(now, slot) {
                return Ok(());
            }
            self.give_slot_back();
        }
        let (answer, busy) = {
            let mut uploads = self.serving.uploads();
            (uploads.ask(now, person, file), uploads.all_taken())
        };
        match answer {
            Answer::Start(slot) => self.slot = Some(slot),
            Answer::Wait(_) | Answer::Full { .. } => return Err(answer),
        }
        if busy {
            (self.serving.told)(Told::Busy(true));
        }
        Ok(())
    }

    fn give_slot_back(&mut self) {
        self.tell_sent();
        let Some(slot) = self.slot.take() else { return };
        let was_busy = {
            let mut uploads = self.serving.uploads();
            let was_busy = uploads.all_taken();
            uploads.end(self.serving.clock.now(), slot);
            was_busy && !uploads.all_taken()
        };
        self.serving.call_next();
        if was_busy {
            (self.serving.told)(Told::Busy(false));
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.give_slot_back();
        let mut hosts = self.serving.hosts();
        if let Some(count) = hosts.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                hosts.remove(&self.host);
            }
        }
    }
}

/// Why a connection ends.
enum End {
    /// The client is gone or broke off; nothing more to say.
    Gone,
    /// Our answer was the last one.
    Closed,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// As [`serve`], for a connection that we opened; a call may bring the next one.
fn serve_boxed(
    stream: Stream,
    remote: SocketAddr,
    serving: Arc<Serving>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(serve(stream, remote, Vec::new(), serving))
}

/// Serves one connection until either side has enough. `first`: what was already read from it.
pub(crate) async fn serve(
    stream: Stream,
    remote: SocketAddr,
    first: Vec<u8>,
    serving: Arc<Serving>,
) {
    let Some(visit) = serving.enter(remote.ip()) else {
        let reply =
            upload_reply::error(503, "too many connections from your address").retry_after(60);
        let _ = write(&stream, &reply.head(false, rt::unix_s())).await;
        return;
    };
    let outlet = Outlet::new(&stream);
    let mut session = Session {
        stream,
        remote,
        visit,
        outlet,
        unread: first,
        answered: 0,
        idle: IDLE_MAX,
        standing: Standing::default(),
    };
    let end = loop {
        if let Err(end) = session.exchange().await {
            break end;
        }
    };
    let stream = session.stream.clone();
    drop(session);
    match end {
        End::Closed => linger(&stream).await,
        End::Gone => {}
    }
}

struct Session {
    stream: Stream,
    remote: SocketAddr,
    visit: Visit,
    outlet: io::Result<Outlet>,
    /// Bytes read beyond the last head: the start of the next request.
    unread: Vec<u8>,
    answered: u64,
    /// Silence before the next request that is waited out.
    idle: Duration,
    /// What earlier requests said.
    standing: Standing,
}

impl Session {
    /// One request and its answer.
    async fn exchange(&mut self) -> Result<(), End> {
        let (reply, keep, head_only) = match self.next_head().await? {
            Ok(head) => match Request::of(&head, self.remote) {
                Ok(mut request) => {
                    self.upgrade(&request).await?;
                    request.said.add(&mut self.standing);
                    let (keep, head_only) = (request.keep_alive, request.head_only);
                    (self.reply(request).await, keep, head_only)
                }
                Err(refused) => {
                    let keep = refused.may_go_on && upload_reply::keeps_alive(&head);
                    (
                        refused,
                        keep,
                        head.request_line()
                            .is_some_and(|line| line.method == "HEAD"),
                    )
                }
            },
            Err(refused) => (refused, false, false),
        };
        self.send(reply, keep, head_only).await?;
        self.answered += 1;
        if keep { Ok(()) } else { Err(End::Closed) }
    }

    /// Goes on with TLS, if the client asks for it and we have it. What was asked is answered inside (RFC 2817).
    async fn upgrade(&mut self, request: &Request) -> Result<(), End> {
        let Some(tls) = self.visit.serving.tls.as_ref().filter(|_| request.upgrade) else {
            return Ok(());
        };
        let Stream::Plain(socket) = &self.stream else {
            return Ok(());
        };
        write(&self.stream, &upload_reply::switching()).await?;
        let unread = std::mem::take(&mut self.unread);
        let upgraded = tls.accept(socket.clone(), unread).await;
        self.stream = upgraded.inspect_err(|error| log::debug!("{}: TLS: {error}", self.remote))?;
        self.outlet = Outlet::new(&self.stream);
        Ok(())
    }

    /// Reads the next head, or says why there is none. The slot is given back when the client takes long.
    async fn next_head(&mut self) -> Result<Result<Head, Reply>, End> {
        let mut reader = HeadReader::new();
        if self.unread.is_empty() {
            if let Ok(read) = rt::timeout(SLOT_IDLE_MAX, self.read_more()).await {
                read?;
            } else {
                self.visit.give_slot_back();
                let idle = rt::timeout(self.idle, self.read_more()).await;
                idle.map_err(|_| End::Closed)??;
            }
        }
        let complete = async {
            loop {
                match reader.push(&std::mem::take(&mut self.unread)) {
                    Ok(Some((head, rest))) => {
                        self.unread = rest;
                        return Ok(Ok(head));
                    }
                    Ok(None) => self.read_more().await?,
                    Err(HeadError::TooLarge) => {
                        return Ok(Err(upload_reply::error(
                            413,
                            "the request head is too long",
                        )));
                    }
                    Err(HeadError::Malformed(what)) => {
                        return Ok(Err(upload_reply::error(
                            400,
                            format!("the {what} is malformed"),
                        )));
                    }
                }
            }
        };
        match rt::timeout(HEAD_TIME_MAX, complete).await {
            Ok(head) => head,
            Err(_) => Ok(Err(upload_reply::error(408, "the request took too long"))),
        }
    }

    async fn read_more(&mut self) -> Result<(), End> {
        let mut buffer = [0; READ_BYTES];
        let mut stream = &self.stream;
        match stream.read(&mut buffer).await? {
            0 => Err(End::Gone),
            read => {
                self.unread.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }

    async fn reply(&mut self, request: Request) -> Reply {
        let (serving, local) = (self.visit.serving.clone(), self.stream.local_addr().ok());
        if let Some(((wanted, node), overlays)) = request.push().zip(serving.overlays.as_ref()) {
            return push_proxy::answer(wanted, node, self.remote, overlays).await;
        }
        let (head_only, queueing) = (request.head_only, request.queueing);
        // Files are opened and pages are made on a thread that may wait.
        let reply =
            rt::spawn_blocking(move || upload_reply::reply(&request, &serving, local)).await;
        let Body::File(file) = &reply.body else {
            return reply;
        };
        if head_only {
            return reply;
        }
        self.idle = IDLE_MAX;
        let person = Person::of(self.remote, self.standing.node);
        match self.visit.take_slot(person, file_key(&file.shown)) {
            Ok(()) | Err(Answer::Start(_)) => reply,
            Err(Answer::Wait(place)) => {
                let own = |node: &SocketAddr| Net::Lan.believes_of(*node, self.remote);
                let node = self.standing.node.filter(own);
                if let Some(node) = node.filter(|_| queueing == Queueing::Parq) {
                    let mut uploads = self.visit.serving.uploads();
                    uploads.may_be_called(person, node);
                }
                if queueing == Queueing::Kept {
                    // Its place is asked for on this connection.
                    let lifetime = Duration::from_secs(place.lifetime_s.into());
                    self.idle = IDLE_MAX.max(lifetime);
                }
                upload_reply::queued(&place, queueing)
            }
            Err(Answer::Full { retry_after_s }) => {
                let text = format!(
                    "all upload slots are taken, and the queue is full; come back in {retry_after_s} seconds"
                );
                upload_reply::error(503, text).retry_after(retry_after_s)
            }
        }
    }

    async fn send(&mut self, reply: Reply, keep: bool, head_only: bool) -> Result<(), End> {
        let reply = if self.answered == 0 {
            reply.introduced(&self.visit.serving)
        } else {
            reply
        };
        let mut head = reply.head(keep, rt::unix_s());
        match reply.body {
            Body::Text(text) => {
                if !head_only {
                    head.extend_from_slice(text.as_bytes());
                }
                write(&self.stream, &head).await?;
            }
            Body::Tree(tree) => {
                if !head_only {
                    head.extend_from_slice(&tree);
                }
                write(&self.stream, &head).await?;
            }
            Body::File(_) | Body::Frames { .. } if head_only => write(&self.stream, &head).await?,
            Body::Frames { frames, chunked } => {
                write(&self.stream, &head).await?;
                browse::send(&self.stream, frames, chunked, WRITE_TIME_MAX).await?;
                if !chunked {
                    return Err(End::Closed);
                }
            }
            Body::File(file) => {
                let serving = self.visit.serving.clone();
                let outlet = self.outlet.as_ref().map_err(|_| End::Gone)?;
                let (name, len) = (file.shown.clone(), file.end - file.start);
                let mut sent = 0;
                let pace = if Person::of(self.remote, None).uses_the_line() {
                    &serving.pace
                } else {
                    &serving.free
                };
                let outcome = upload_body::send(outlet, head, file, pace, &mut sent).await;
                serving.bytes.fetch_add(sent, Ordering::Relaxed);
                if let Err(error) = outcome {
                    log::debug!(
                        "{}: upload of {name:?} broke off after {sent} bytes: {error}",
                        self.remote
                    );
                    if error.kind() == io::ErrorKind::InvalidData {
                        serving.files.outdated();
                    }
                    return Err(End::Gone);
                }
                serving.done.fetch_add(1, Ordering::Relaxed);
                if let Some(slot) = self.visit.slot {
                    serving.uploads().rests(serving.clock.now(), slot);
                }
                self.visit.note_sent(self.remote, name, len);
            }
        }
        Ok(())
    }
}

/// Tells requests for one file from those for another.
fn file_key(shown: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    shown.hash(&mut hasher);
    hasher.finish()
}

/// Writes all of it in time.
pub(super) async fn write(stream: &Stream, bytes: &[u8]) -> io::Result<()> {
    match rt::timeout(WRITE_TIME_MAX, stream.send(bytes)).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Ends our side and takes in, for a moment, what the client still sends: a close with bytes unread resets
/// the connection, and the client might lose our answer.
async fn linger(stream: &Stream) {
    let drain = async {
        stream.end().await;
        let (mut buffer, mut seen, mut stream) = ([0; READ_BYTES], 0, stream);
        while seen < LINGER_BYTES_MAX {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => seen += read,
            }
        }
    };
    let _ = rt::timeout(LINGER_TIME_MAX, drain).await;
}
