//! One download while it runs: the task that asks the swarm what to do, and tells it what came of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;

use futures_lite::future;

mod blocks;
mod hear;
mod news;

use super::control::{Cancel, Limits, Order};
use super::exchange::{self, Event, Over, Reply, Request};
use super::hints::Place;
use super::idle::IDLE_MAX;
use super::trees::Trees;
use super::writer::{Buffers, Work, Writer};
use super::{FetchError, Job, Progress, Source};
use crate::disk::parts::Part;
use crate::net::http_conn::Conn;
use crate::net::partials::{Heard, Offer};
use crate::net::rt::{self, Clock};
use crate::net::sharing::Sharing;
use crate::node::Time;
use crate::node::swarm::{Ask, Ended, RequestId, SourceId, Step, Swarm};
use crate::wire::Sha1;

/// Events between the requests and the download; when they are used up, the readers wait.
const EVENTS: usize = 32;
/// How often progress is told at most.
const TELL: Duration = Duration::from_millis(100);
/// How often it is told of each source at most.
const TELL_SOURCES: Duration = Duration::from_secs(1);
/// No search for more sources sooner than this after the last one. gtk-gnutella repeats a search for one file every
/// 15 minutes at the soonest; ours are rarer as they are made only when nobody is left. Our estimate.
pub const REQUERY_WAIT: Duration = Duration::from_secs(300);
/// Blocks checked at a time, whatever the machine: each keeps a thread and a buffer.
const CHECKS_MAX: usize = 8;
/// Searches that bring nothing new, in a row, before the fetch ends.
const REQUERIES_MAX: u32 = 3;

/// Runs a download to its end: the file, and the hash of all that came.
pub(super) async fn run(
    job: &Job,
    part: Part,
    progress: &mut dyn FnMut(Progress),
    cancel: &Cancel,
) -> Result<(Part, Complete), FetchError> {
    let mut swarm = Swarm::new(
        job.connections,
        job.size,
        part.arrived().clone(),
        part.verified_ranges().clone(),
    );
    if let (Some(sharing), Some(urn)) = (&job.sharing, job.urn) {
        // Whoever fetches the same at the same time has other parts of it, so that each has something to give.
        let own = sharing.port();
        let seed = urn.0[..8].try_into().map_or(0, u64::from_le_bytes);
        swarm.spread(seed ^ u64::from(std::process::id()) << 16 ^ u64::from(own));
    }
    // Without a descriptor nothing is offered.
    let reader = job.sharing.as_ref().and_then(|_| part.reader().ok());
    let hashed = part.hasher().hashed();
    let buffers = Buffers::new();
    let (events, came) = rt::bounded(EVENTS);
    let clock = Clock::start();
    let mut run = Run {
        job,
        clock,
        swarm,
        entries: Vec::new(),
        held_back: Vec::new(),
        pardoned: false,
        tasks: Vec::new(),
        writer: Writer::start(part, buffers.clone(), job.tap.clone()),
        buffers,
        events,
        progress,
        cancel,
        told: clock.now(),
        told_sources: clock.now(),
        untold: false,
        waits: None,
        paused: false,
        searched: None,
        searches: 0,
        looks: hear::Looks::new(clock.now()),
        trees: Trees::new(job.tiger),
        reader,
        offer: None,
        modified_s: None,
        limits: Limits::new([&job.control.limit].into_iter().chain(&job.limits).cloned()),
        asked_by: 0,
        checks: 0,
        checks_max: std::thread::available_parallelism().map_or(1, |n| n.get().min(CHECKS_MAX)),
    };
    for source in &job.sources {
        run.add(source.clone());
    }
    let outcome = run.until_done(&came, &hashed).await;
    run.keep_connections();
    let Run {
        writer,
        tasks,
        offer,
        modified_s,
        ..
    } = run;
    drop(tasks);
    let (part, written) = writer.end().await;
    written?;
    let complete = |sha1| Complete {
        sha1,
        offer,
        modified_s,
    };
    outcome.map(|sha1| (part, complete(sha1)))
}

/// All bytes are there.
pub(super) struct Complete {
    /// The hash of all that came.
    pub(super) sha1: Sha1,
    /// Where it is offered.
    pub(super) offer: Option<Offer>,
    /// The oldest date that a source whose bytes were taken says its copy was changed last, in seconds since 1970, of
    /// those that may be true.
    pub(super) modified_s: Option<u64>,
}

/// What is kept of one source.
struct Entry {
    source: Source,
    /// What it said last.
    said: Option<String>,
    conn: Option<(Conn, Time)>,
    place: Option<Place>,
    /// Waits for its call; ends when this is dropped.
    turn: Option<(String, rt::Sender<()>)>,
    /// Other sources that it was told of, and whether as good ones; at most two for each source.
    told: BTreeSet<(SocketAddr, bool)>,
    /// When it was last said that right bytes came from it.
    proved: Option<Time>,
}

/// A request that runs; ends when this is dropped.
struct Task {
    request: RequestId,
    /// Closed when it is dropped.
    _halt: rt::Sender<()>,
}

struct Run<'a> {
    job: &'a Job,
    clock: Clock,
    swarm: Swarm,
    entries: Vec<Entry>,
    /// Sources that lied lately.
    held_back: Vec<Source>,
    /// They are no longer held back.
    pardoned: bool,
    tasks: Vec<Task>,
    writer: Writer,
    buffers: Buffers,
    events: rt::Sender<Event>,
    progress: &'a mut dyn FnMut(Progress),
    cancel: &'a Cancel,
    told: Time,
    told_sources: Time,
    /// Something changed since.
    untold: bool,
    /// Until when nobody may be asked, as was told.
    waits: Option<Time>,
    paused: bool,
    /// When more sources were looked for last.
    searched: Option<Time>,
    searches: u32,
    looks: hear::Looks,
    trees: Trees,
    /// The partial file, to be offered.
    reader: Option<File>,
    offer: Option<Offer>,
    modified_s: Option<u64>,
    limits: Limits,
    /// Sources that asked us before we knew them.
    asked_by: usize,
    /// Blocks being checked, and how many may be at a time.
    checks: usize,
    checks_max: usize,
}

/// A request whose bytes are all there hands back its connection within this; nothing but the scheduler is in its way.
const HAND_BACK: Duration = Duration::from_secs(1);

/// What comes while a download waits.
enum Came {
    Event(Box<Event>),
    Heard(Heard),
    Order(Order),
    Time,
}

impl Run<'_> {
    async fn until_done(
        &mut self,
        came: &rt::Receiver<Event>,
        hashed: &std::sync::atomic::AtomicU64,
    ) -> Result<Sha1, FetchError> {
        loop {
            if self.writer.work.is_closed() {
                // Its error takes the place of this one.
                return Err(FetchError::Cancelled {
                    done: self.swarm.done(),
                });
            }
            self.check_blocks().await;
            let look = self.look_for_more();
            let step = if self.paused {
                Step::Wait(None)
            } else {
                self.swarm.next(self.clock.now())
            };
            match step {
                Step::Ask(ask) => self.ask(ask),
                Step::Forget(ranges) => self.tell_writer(Work::Forget(ranges)).await,
                Step::Wait(until) => {
                    let span = until.map(|until| until.since(self.clock.now()));
                    let waits = until.filter(|_| self.tasks.is_empty());
                    if let Some(span) = span.filter(|_| waits.is_some() && waits != self.waits) {
                        (self.progress)(Progress::Waiting { span });
                    }
                    self.waits = waits;
                    let look = look.map(|look| look.since(self.clock.now()));
                    self.wait(came, span.into_iter().chain(look).min()).await?;
                }
                Step::Complete => {
                    self.take_back(came).await?;
                    // Those that race may be asked again if the whole turns out to be wrong.
                    for task in self.tasks.drain(..) {
                        self.swarm.dropped(task.request);
                    }
                    let sha1 = self.hash(hashed).await?;
                    let Some(sha1) = sha1 else { continue };
                    if let Some(sha1) = self.judge(sha1).await {
                        return Ok(sha1);
                    }
                }
                Step::GiveUp(why) => {
                    // Perhaps the tree lied, and not those who were dropped for its sake.
                    let acquitted = self.job.tiger.is_none() && self.drop_tree().await;
                    if !acquitted && !self.pardon() && !self.search(came).await? {
                        return Err(self.no_source(why));
                    }
                }
            }
        }
    }

    /// Waits for the connections of those who have given all they were asked for: a servent that was asked to connect to
    /// us does not do so again for half a minute, so that one lost here is missing for the next file.
    async fn take_back(&mut self, came: &rt::Receiver<Event>) -> Result<(), FetchError> {
        let end = self.clock.now().plus(HAND_BACK);
        while (self.job.pusher.is_some() || self.job.idle.is_some())
            && self
                .tasks
                .iter()
                .any(|task| self.swarm.is_read(task.request))
        {
            let left = end.since(self.clock.now());
            if left.is_zero() {
                break;
            }
            self.wait(came, Some(left)).await?;
        }
        Ok(())
    }

    /// Waits for whatever comes first, and takes it in.
    async fn wait(
        &mut self,
        came: &rt::Receiver<Event>,
        span: Option<Duration>,
    ) -> Result<(), FetchError> {
        let span = span.into_iter().chain(self.tells_in()).min();
        let orders = self.job.control.taken.clone();
        let heard = self.offer.as_ref().map(|offer| offer.heard.clone());
        let waiting = async {
            let event = async {
                match came.recv().await {
                    Ok(event) => Came::Event(Box::new(event)),
                    // We hold a sender ourselves.
                    Err(_) => future::pending().await,
                }
            };
            let order = async {
                match orders.recv().await {
                    Ok(order) => Came::Order(order),
                    Err(_) => future::pending().await,
                }
            };
            let time = async {
                match span {
                    Some(span) => rt::sleep(span).await,
                    None => future::pending().await,
                }
                Came::Time
            };
            let heard = async {
                match &heard {
                    Some(heard) => match heard.recv().await {
                        Ok(heard) => Came::Heard(heard),
                        Err(_) => future::pending().await,
                    },
                    None => future::pending().await,
                }
            };
            future::or(event, future::or(heard, future::or(order, time))).await
        };
        match self.unless_stopped(waiting).await? {
            Came::Event(event) => self.event(*event).await,
            Came::Heard(heard) => self.heard(heard),
            Came::Order(order) => self.order(order),
            Came::Time => {}
        }
        // Whatever else is there already.
        for _ in 0..EVENTS {
            let Ok(event) = came.try_recv() else { break };
            self.event(event).await;
        }
        self.tell();
        Ok(())
    }

    /// Ends `work` when the fetch is cancelled or its time is up.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, FetchError> {
        let done = self.swarm.done();
        let cancelled = async {
            self.cancel.wait().await;
            Err(FetchError::Cancelled { done })
        };
        let spent = self.clock.now().since(Time::ZERO);
        let late = async {
            match self.job.timeout {
                Some(timeout) => rt::sleep(timeout.saturating_sub(spent)).await,
                None => future::pending().await,
            }
            Err(FetchError::TimedOut { done })
        };
        future::or(cancelled, future::or(late, async { Ok(work.await) })).await
    }

    /// Starts a request.
    fn ask(&mut self, ask: Ask) {
        let now = self.clock.now();
        let (alternates, useless) = self.tell_of_others(ask.source);
        let tls = self.says_tls(ask.source);
        let entry = &mut self.entries[ask.source.0];
        let pusher = self.job.pusher.as_ref();
        let conn = entry.conn.take();
        let conn = conn.filter(|(_, since)| now.since(*since) < IDLE_MAX);
        let conn = conn
            .map(|(conn, _)| conn)
            .or_else(|| pusher?.take_idle(&entry.source))
            .or_else(|| self.job.idle.as_ref()?.take(&entry.source));
        if conn.is_none() {
            let source = entry.source.to_string();
            (self.progress)(if entry.source.wants_push() {
                Progress::Calling { source }
            } else {
                Progress::Asking { source }
            });
        }
        let request = Request {
            id: ask.request,
            source: entry.source.clone(),
            range: ask.range,
            urn: self.job.urn,
            alternates,
            useless,
            node_port: self
                .job
                .sharing
                .as_ref()
                .map(Sharing::port)
                .or_else(|| Some(self.job.turns.as_ref()?.port())),
            tls,
            has: self.offer.as_ref().and_then(Offer::available),
            place: entry.place.clone(),
            pusher: pusher.cloned(),
            events: self.events.clone(),
            buffers: self.buffers.clone(),
            limits: self.limits.clone(),
            clock: self.clock,
        };
        let (halt, halted) = rt::bounded::<()>(1);
        // Detached: it ends when its sender is dropped, and says so itself when it ends by its own.
        rt::spawn(async move {
            let until = async {
                let _ = halted.recv().await;
            };
            rt::unless(until, exchange::ask(request, conn)).await;
        });
        self.tasks.push(Task {
            request: ask.request,
            _halt: halt,
        });
    }

    async fn event(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Began {
                request,
                answer,
                hints,
                node,
                reply,
            } => {
                if let Some(node) = node {
                    self.swarm.known_as(&node.to_string());
                }
                let Some(source) = self.swarm.source_of(request) else {
                    return;
                };
                self.take_hints(source, &hints);
                self.entries[source.0].place.clone_from(&hints.queue);
                self.entries[source.0].turn = None;
                let wanted = self.swarm.answered(now, request, &answer);
                if let Some(at) = hints.modified_s.filter(|at| wanted && may_be_true(*at)) {
                    self.modified_s = Some(self.modified_s.map_or(at, |known| known.min(at)));
                }
                let tree = self.hear_of_tree(request, source, hints.thex.as_ref());
                // A task that is gone needs no answer.
                let _ = reply.try_send(Reply { wanted, tree });
            }
            Event::Bytes {
                request,
                buffer,
                len,
            } => self.bytes(now, request, buffer, len).await,
            Event::Called { source, stream } => {
                let entry = &mut self.entries[source.0];
                entry.turn = None;
                // It is asked at once, over this connection.
                if self.swarm.called(now, source) {
                    entry.conn = Some((Conn::given(stream, &entry.source), now));
                }
            }
            Event::Found(sources) => self.found(sources),
            Event::Tree { request, tree } => self.tree_came(request, tree),
            Event::Checked { range, tree, good } => self.checked(range, &tree, good).await,
            Event::Over { request, over } => self.over(now, request, over),
        }
    }

    async fn bytes(&mut self, now: Time, request: RequestId, buffer: Vec<u8>, len: usize) {
        let received = self.swarm.received(now, request, len as u64);
        let mut buffer = Some(buffer);
        let mut pieces = received.keep.into_iter().peekable();
        while let Some(piece) = pieces.next() {
            let from = usize::try_from(piece.start - received.start).expect("below a buffer");
            let to = usize::try_from(piece.end - received.start).expect("below a buffer");
            let buffer = if pieces.peek().is_some() {
                buffer.clone()
            } else {
                buffer.take()
            };
            let work = Work::Write {
                at: piece.start,
                buffer: buffer.expect("taken by the last piece only"),
                from,
                to,
            };
            self.tell_writer(work).await;
        }
        if let Some(buffer) = buffer {
            self.buffers.give_back(buffer);
        }
        if received.enough && received.rest > 0 {
            // What follows is there, or another brings it.
            self.tasks.retain(|task| task.request != request);
            self.swarm.ended(now, request, Ended::Served);
        }
    }

    fn over(&mut self, now: Time, request: RequestId, over: Over) {
        self.tasks.retain(|task| task.request != request);
        let Some(source) = self.swarm.source_of(request) else {
            return;
        };
        self.take_hints(source, &over.hints);
        let entry = &mut self.entries[source.0];
        entry.conn = over.conn.map(|conn| (conn, now));
        let shown = entry.source.to_string();
        if let (Ended::Queued { .. }, Some(place)) = (over.ended, over.hints.queue) {
            (self.progress)(Progress::Queued {
                source: shown,
                position: place.position,
                length: place.length,
                eta_s: place.eta_s,
                next_s: place.poll_after_s,
            });
            entry.said = Some(match place.position {
                Some(position) => format!("we are number {position} in its queue"),
                None => "it has us in its queue".to_owned(),
            });
            let id = place.id.clone();
            entry.place = Some(place);
            self.await_turn(source, id);
        } else if !over.why.is_empty() {
            (self.progress)(Progress::Failed {
                source: shown,
                why: over.why.clone(),
            });
            entry.said = Some(over.why);
        }
        // A range beyond the end of the file was asked for: an earlier run had it all, and only now we know.
        let ended = match over.end {
            Some(size) if self.swarm.learn_end(source, size) => Ended::Served,
            _ => over.ended,
        };
        self.swarm.ended(now, request, ended);
    }

    /// Waits for a call of a source that has us in its queue, beside asking it again when it wants that.
    fn await_turn(&mut self, source: SourceId, id: Option<String>) {
        let (Some(turns), Some(id)) = (&self.job.turns, id) else {
            return;
        };
        let entry = &mut self.entries[source.0];
        if entry.turn.as_ref().is_some_and(|(known, _)| *known == id) {
            return;
        }
        let Some(wait) = turns.wait_for(id.clone(), &entry.source) else {
            return;
        };
        let (halt, halted) = rt::bounded::<()>(1);
        let events = self.events.clone();
        // Detached: it ends when `halt` is dropped.
        rt::spawn(async move {
            let until = async {
                let _ = halted.recv().await;
            };
            let called = async {
                let stream = wait.connection().await;
                // A download that has ended needs no turn.
                let _ = events.send(Event::Called { source, stream }).await;
            };
            rt::unless(until, called).await;
        });
        entry.turn = Some((id, halt));
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Add(sources) => {
                for source in sources {
                    self.add(source);
                }
            }
            Order::Connections(connections) => self.swarm.set_connections(connections),
            Order::Pause => {
                self.paused = true;
                for task in self.tasks.drain(..) {
                    self.swarm.dropped(task.request);
                }
                self.entries.iter_mut().for_each(|entry| entry.conn = None);
                (self.progress)(Progress::Paused);
            }
            Order::Resume => self.paused = false,
        }
    }

    /// A full channel waits here; a closed one is seen by the loop.
    async fn tell_writer(&mut self, work: Work) {
        let _ = self.writer.work.send(work).await;
    }

    /// Connections are kept for the next file, those that sources opened before all.
    fn keep_connections(&mut self) {
        for entry in &mut self.entries {
            let Some((conn, _)) = entry.conn.take() else {
                continue;
            };
            match (&self.job.pusher, &self.job.idle) {
                (Some(pusher), _) if conn.brought() => pusher.keep(conn),
                (_, Some(idle)) => idle.keep(conn),
                (_, None) => {}
            }
        }
    }
}

/// A date before computers of one's own, or of tomorrow, is a clock that was never set.
fn may_be_true(modified_s: u64) -> bool {
    const YEAR_1980: u64 = 315_532_800;
    const DAY: u64 = 86_400;
    (YEAR_1980..=rt::unix_s().saturating_add(DAY)).contains(&modified_s)
}
