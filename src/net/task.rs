//! The node task: the only owner of a [`Node`]. It takes events from its inbox, lets the node decide, and
//! performs what it decides. It awaits nothing but its inbox and its alarm, so one slow neighbour stops
//! nobody.
//!
//! Knows no protocol. The one frame it makes itself is the Bye that the core (or garbage on a link) asks for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::call_back;
use super::dial;
use super::discovery::udp::Outgoing;
use super::figures::Figures;
use super::greeting::Greeting;
use super::inbox::{Ask, Handle, Inbox};
use super::lane::{Fate, Lane, Shapes};
use super::link::{Connected, Link};
use super::news::{News, Newsroom};
use super::rt::{self, Clock, Receiver, Sender};
use super::tls::Tls;
use super::upload::Serving;
use crate::control;
use crate::node::event::{Direction, Gone, Peer, Verdict};
use crate::node::limits::SEND_QUEUE_BYTES;
use crate::node::{Action, Command, Event, LinkId, Node, Notice, Outbox, Ticket, Time, event};
use crate::wire::{Frame, Guid, Header, Kind, bye};

/// How long the task lets links catch up that are behind, before it takes in more. It is an alarm that every
/// link can put off but none for long: at 64 KiB a read this leaves 32 MB/s whatever a neighbour does.
const CATCH_UP: Duration = Duration::from_millis(2);

/// Bytes staged for one link that are handed over before more is decided. A flood stages about as much as
/// was read.
const STAGED_MUCH_BYTES: usize = SEND_QUEUE_BYTES / 4;

/// The last word on a link whose bytes are no frames.
const GARBAGE: event::Bye = event::Bye {
    code: 400,
    text: "Not a Gnutella stream",
};
/// On one whose compressed stream is broken.
const DAMAGED: event::Bye = event::Bye {
    code: 400,
    text: "Damaged compressed stream",
};
/// On one whose compressed stream would fill our memory.
const BOMB: event::Bye = event::Bye {
    code: 412,
    text: "Compressed stream grows too fast",
};

/// The node and all it acts on.
#[derive(Debug)]
pub(crate) struct NodeTask {
    node: Node,
    clock: Clock,
    inbox: Receiver<Inbox>,
    handle: Handle,
    greeting: Arc<Greeting>,
    news: Newsroom,
    /// Sorted by id.
    links: Vec<Link>,
    /// What files are served with; `None` in tests.
    serving: Option<Arc<Serving>>,
    /// Where datagrams leave; `None`: the core makes none.
    outgoing: Option<Outgoing>,
    /// Datagrams that found no room there.
    unsent_datagrams: u64,
    offers: BTreeMap<LinkId, Sender<Verdict>>,
    askers: BTreeMap<Ticket, Sender<Notice>>,
    out: Outbox,
    /// Some link has more than [`STAGED_MUCH_BYTES`] staged.
    staged_much: bool,
    /// What a laboratory has links do to frames.
    shapes: Shapes,
    /// Frames lost that way, by kind.
    lost: BTreeMap<Kind, u64>,
    /// Notices dropped because their asker did not read.
    unread_notices: u64,
    garbage_links: u64,
    damaged_links: u64,
    bomb_links: u64,
    /// What the last Bye received said, until its link is closed.
    last_word: Option<(LinkId, String)>,
    /// Rung by the writers of links that were behind.
    relief: Sender<()>,
    caught_up: Receiver<()>,
    /// Held by every link, and by this task: see [`Inbox::Stop`].
    alive: Option<Sender<()>>,
    /// The last link is gone when this closes.
    all_gone: Receiver<()>,
}

impl NodeTask {
    /// A task for `node`; [`run`](Self::run) it.
    pub(crate) fn new(
        node: Node,
        clock: Clock,
        (handle, inbox): (Handle, Receiver<Inbox>),
        greeting: Arc<Greeting>,
        news: Newsroom,
    ) -> Self {
        let (alive, all_gone) = rt::bounded(1);
        let (relief, caught_up) = rt::bounded(1);
        Self {
            node,
            clock,
            inbox,
            handle,
            greeting,
            news,
            links: Vec::new(),
            serving: None,
            outgoing: None,
            unsent_datagrams: 0,
            offers: BTreeMap::new(),
            askers: BTreeMap::new(),
            out: Outbox::new(),
            staged_much: false,
            shapes: Shapes::default(),
            lost: BTreeMap::new(),
            unread_notices: 0,
            garbage_links: 0,
            damaged_links: 0,
            bomb_links: 0,
            last_word: None,
            relief,
            caught_up,
            alive: Some(alive),
            all_gone,
        }
    }

    /// Serves files with this to those who ask to be called back.
    pub(crate) fn serving(self, serving: Arc<Serving>) -> Self {
        Self {
            serving: Some(serving),
            ..self
        }
    }

    /// Sends datagrams this way.
    pub(crate) fn speaking(self, outgoing: Option<Outgoing>) -> Self {
        Self { outgoing, ..self }
    }

    /// Runs until [`Inbox::Stop`].
    pub(crate) async fn run(mut self) {
        loop {
            let message = match self.inbox.try_recv() {
                Ok(message) => Some(message),
                Err(_) => self.wait().await,
            };
            match message {
                Some(Inbox::Stop(done)) => return self.leave(done),
                Some(Inbox::Frames(link, frames)) => self.take_frames(link, frames).await,
                Some(message) => self.take(message),
                None => {}
            }
            let now = self.clock.now();
            if self.node.next_wakeup().is_some_and(|due| due <= now) {
                self.step(Event::Wake);
            }
            self.release(now);
            self.hand_over().await;
        }
    }

    /// The next message; `None` when the alarm of the node goes off first.
    async fn wait(&self) -> Option<Inbox> {
        let held = self.links.iter().filter_map(|link| link.lane.due());
        let Some(due) = held.chain(self.node.next_wakeup()).min() else {
            return self.inbox.recv().await.ok();
        };
        let wait = due.since(self.clock.now());
        rt::timeout(wait, self.inbox.recv()).await.ok()?.ok()
    }

    async fn take_frames(&mut self, link: LinkId, frames: Vec<Frame>) {
        let now = self.clock.now();
        if let Some(at) = self.find(link) {
            self.links[at].lane.came(&frames);
        }
        for frame in frames {
            if frame.header.kind == Kind::Bye {
                let said = bye::Bye::parse(&frame.payload);
                let why = format!("the peer said Bye {} {}", said.code, said.text);
                self.last_word = Some((link, why.trim_end().to_owned()));
            }
            self.node
                .handle(now, Event::Received(link, frame), &mut self.out);
            self.perform();
            // One read of queries may bring more answers than a send queue holds.
            if self.staged_much {
                self.hand_over().await;
            }
        }
    }

    /// Hands what is staged to the writers, and lets those catch up that are behind.
    async fn hand_over(&mut self) {
        self.staged_much = false;
        if self.flush(self.clock.now()) {
            let _ = rt::timeout(CATCH_UP, self.caught_up.recv()).await;
        }
    }

    fn take(&mut self, message: Inbox) {
        match message {
            Inbox::Event(event) => self.step(event),
            Inbox::Offer(link, peer, verdict) => {
                self.offers.insert(link, verdict);
                self.step(Event::Offer(link, peer));
            }
            Inbox::Up(link, peer, connected) => self.up(link, peer, connected),
            Inbox::Down(link, gone) => self.down(link, gone),
            Inbox::Relieved(link) => {
                // It may have been pressed again since.
                if self
                    .find(link)
                    .is_some_and(|at| !self.links[at].is_pressed())
                {
                    self.step(Event::Pressed(link, false));
                }
            }
            Inbox::Command(ticket, command, tell) => {
                self.askers.insert(ticket, tell);
                self.step(Event::Command(ticket, command));
            }
            Inbox::Cancel(ticket) => {
                if self.askers.remove(&ticket).is_some() {
                    self.step(Event::Command(ticket, Command::Cancel));
                }
            }
            Inbox::Ask(ask) => self.answer(ask),
            Inbox::Frames(..) | Inbox::Stop(_) => unreachable!("the loop takes them out"),
        }
    }

    /// One event, all its actions.
    fn step(&mut self, event: Event) {
        self.node.handle(self.clock.now(), event, &mut self.out);
        self.keep_role();
        self.perform();
    }

    /// Greets in the role that the core has by now, before anybody is greeted because of it.
    fn keep_role(&self) {
        let config = self.node.config();
        if !config.auto_role {
            return;
        }
        let (before, role) = (self.greeting.role(), config.role);
        let steps_down = self.node.may_step_down(self.clock.now());
        self.greeting.take_role(role, steps_down);
        if role != before {
            self.news.publish(|| News::Role { role: role.into() });
        }
    }

    fn perform(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        for action in out.actions() {
            match action {
                Action::Send(link, frame) => self.stage(*link, frame),
                Action::Spread(frame, span) => {
                    for link in out.links(*span) {
                        self.stage(*link, frame);
                    }
                }
                Action::Dial(addr) => self.dial(*addr),
                Action::Admit(link, verdict) => {
                    // No asker, or it has hung up: its greeting says so with `Down`.
                    if let Some(asker) = self.offers.remove(link) {
                        let _ = asker.try_send(verdict.clone());
                    }
                }
                Action::Close(link, bye) => {
                    if let Some(link) = self.remove(*link) {
                        let last_word = bye.map(|bye| bye_frame(bye, link.id));
                        let theirs = self.last_word.take().filter(|(from, _)| *from == link.id);
                        let why = match (bye, theirs) {
                            (Some(bye), _) => bye.text.to_owned(),
                            (None, Some((_, why))) => why,
                            (None, None) => "closed".to_owned(),
                        };
                        log::debug!("link {} down: {why}", link.id.0);
                        self.news.publish(|| News::LinkDown {
                            link: link.id.0,
                            why,
                        });
                        link.close(last_word.as_ref());
                    }
                }
                Action::Tell(ticket, notice) => self.tell(*ticket, notice),
                Action::Datagram(to, frame) => {
                    let outgoing = self.outgoing.as_ref();
                    let sent = outgoing.map(|outgoing| outgoing.try_send((*to, frame.clone())));
                    if !matches!(sent, Some(Ok(()))) {
                        self.unsent_datagrams += 1;
                    }
                }
                Action::CallBack { to, index, tls } => {
                    if let Some(serving) = &self.serving {
                        let (id, serving) = (self.node.id(), serving.clone());
                        let tls = self.greeting.tls.clone().filter(|_| *tls);
                        // Detached: it ends with the connection, and the core bounds how many there are.
                        rt::spawn(call_back::give(*to, *index, tls, id, serving));
                    }
                }
                // Detached: it ends by its own deadline.
                Action::Knock(addr) => {
                    rt::spawn(call_back::knock(*addr));
                }
            }
        }
        out.clear();
        self.out = out;
    }

    fn stage(&mut self, link: LinkId, frame: &Frame) {
        let Some(at) = self.find(link) else {
            return;
        };
        let clock = self.clock;
        let link = &mut self.links[at];
        match link.lane.give(|| clock.now(), frame) {
            Fate::Goes => self.staged_much |= link.stage(frame) > STAGED_MUCH_BYTES,
            Fate::Waits => {}
            Fate::Lost => *self.lost.entry(frame.header.kind).or_default() += 1,
            Fate::Shed => self.node.count_shed(1),
        }
    }

    /// Stages the frames that a shaped link held back until now.
    fn release(&mut self, now: Time) {
        for link in &mut self.links {
            while let Some(frame) = link.lane.release(now) {
                self.staged_much |= link.stage(&frame) > STAGED_MUCH_BYTES;
            }
        }
    }

    /// Shapes links to a peer, those that are up and those to come.
    fn shape(&mut self, peer: SocketAddr, shape: Option<control::Shape>) -> Result<(), String> {
        self.shapes.set(peer, shape)?;
        for link in &mut self.links {
            if link.lane.toward() == peer {
                link.lane.shape(shape);
            }
        }
        Ok(())
    }

    /// Hands what is staged to the writers; `true`: some of them are behind.
    fn flush(&mut self, now: Time) -> bool {
        let (mut shed, mut behind, mut pressed) = (0, false, Vec::new());
        // On a flat overlay nobody is told to hold back.
        let tell = self.node.config().net.is_two_tier();
        for link in &mut self.links {
            let flushed = link.flush(now);
            shed += flushed.shed;
            behind |= flushed.behind;
            if flushed.high && tell && link.press() {
                pressed.push(link.id);
            }
        }
        if shed > 0 {
            self.node.count_shed(shed);
        }
        if pressed.is_empty() {
            return behind;
        }
        for link in pressed {
            self.step(Event::Pressed(link, true));
        }
        // What that staged goes out too; each link is pressed once.
        self.flush(now) || behind
    }

    fn dial(&self, addr: SocketAddr) {
        let (greeting, handle) = (self.greeting.clone(), self.handle.clone());
        if self.shapes.block(addr) {
            let failed = Event::DialFailed(addr, event::DialError::Unreachable);
            return handle.post(Inbox::Event(failed));
        }
        // Detached: it ends by its own deadline. The core bounds how many there are.
        rt::spawn(async move {
            let message = match dial::dial(addr, &greeting).await {
                Ok((peer, connected)) => Inbox::Up(handle.new_link(), peer, connected),
                Err(error) => {
                    log::debug!("dial {addr}: {error:?}");
                    Inbox::Event(Event::DialFailed(addr, error))
                }
            };
            let _ = handle.send(message).await;
        });
    }

    fn up(&mut self, id: LinkId, peer: Box<Peer>, mut connected: Connected) {
        let Some(alive) = self.alive.clone() else {
            return;
        };
        if self.node.config().net.is_two_tier() {
            connected.write_late();
        }
        let toward = match peer.direction {
            Direction::Dialled(addr) => addr,
            Direction::Accepted => peer.listen.unwrap_or(peer.remote),
        };
        let link = Link::start(
            id,
            Lane::new(toward, self.shapes.of(toward)),
            connected,
            self.handle.inbox.clone(),
            self.relief.clone(),
            alive,
        );
        let at = self.links.partition_point(|other| other.id < id);
        self.links.insert(at, link);
        log::debug!("link {} up: {} {:?}", id.0, peer.remote, peer.agent);
        self.news.publish(|| News::LinkUp {
            link: id.0,
            addr: peer.remote,
            listen: peer.listen,
            agent: peer.agent.to_string(),
        });
        self.step(Event::LinkUp(id, peer));
    }

    fn down(&mut self, id: LinkId, gone: Gone) {
        self.offers.remove(&id);
        if let Some(link) = self.remove(id) {
            log::debug!("link {} down: {gone:?}", id.0);
            self.news.publish(|| News::LinkDown {
                link: id.0,
                why: why(&gone),
            });
            let fault = match gone {
                Gone::Garbage => Some((&mut self.garbage_links, GARBAGE)),
                Gone::Damaged => Some((&mut self.damaged_links, DAMAGED)),
                Gone::Bomb => Some((&mut self.bomb_links, BOMB)),
                Gone::Closed | Gone::Broken | Gone::Bye(_) | Gone::ByUs => None,
            };
            if let Some((count, bye)) = fault {
                *count += 1;
                link.close(Some(&bye_frame(bye, id)));
            }
        }
        self.step(Event::LinkDown(id, gone));
    }

    fn tell(&mut self, ticket: Ticket, notice: &Notice) {
        let last = matches!(notice, Notice::Done(_) | Notice::TooSoon(_));
        let Some(asker) = self.askers.get(&ticket) else {
            return;
        };
        if let Err(rt::TrySendError::Full(_)) = asker.try_send(notice.clone()) {
            self.unread_notices += 1;
        }
        if last {
            self.askers.remove(&ticket);
        }
    }

    /// Says Bye to all and lets go of everything; the links see to the rest by themselves.
    fn leave(mut self, done: Sender<()>) {
        self.step(Event::Command(Ticket(u64::MAX), Command::Leave));
        for link in std::mem::take(&mut self.links) {
            link.close(None);
        }
        let (alive, all_gone) = (self.alive.take(), self.all_gone.clone());
        drop(alive);
        // Detached: links end by their own deadlines, and this with the last.
        rt::spawn(async move {
            let _ = all_gone.recv().await;
            drop(done);
        });
    }

    fn answer(&mut self, ask: Ask) {
        // Whoever asked may have hung up since.
        match ask {
            Ask::Figures(to) => drop(to.try_send(Figures::of(&self.node, self.clock.now()))),
            Ask::Peers(to) => drop(to.try_send(self.peers())),
            Ask::Counters(to) => drop(to.try_send(self.counters())),
            Ask::Trace(guid, to) => drop(to.try_send(self.trace(&guid))),
            Ask::Shape(peer, shape, to) => drop(to.try_send(self.shape(peer, shape))),
            Ask::SeenIp(to) => drop(to.try_send(self.node.seen_ip())),
            Ask::Hosts(to) => drop(to.try_send(self.node.remembered())),
            Ask::Introduction(from, wants, to) => {
                let now = self.clock.now();
                drop(to.try_send(self.node.introduction(now, from, wants)));
            }
        }
    }

    fn peers(&self) -> Vec<control::Peer> {
        let now = self.clock.now();
        let link = |id| self.find(id).map(|at| &self.links[at]);
        self.node
            .links()
            .map(|info| super::figures::peer(&info, link(info.link), now))
            .collect()
    }

    fn counters(&self) -> control::Counters {
        let mut counters = super::figures::counters(self.node.stats());
        counters.asking = self.node.asking_on() as u64;
        let named = |(kind, count): (&Kind, &u64)| (kind.name().to_owned(), *count);
        counters.lost = self.lost.iter().map(named).collect();
        let tally = |link: &Link| link.lane.tally(link.totals().1);
        counters.links = self.links.iter().map(tally).collect();
        let dropped = &mut counters.dropped;
        dropped.insert("unread_notice".to_owned(), self.unread_notices);
        dropped.insert("unsent_datagram".to_owned(), self.unsent_datagrams);
        dropped.insert("garbage_link".to_owned(), self.garbage_links);
        dropped.insert("damaged_link".to_owned(), self.damaged_links);
        dropped.insert("bomb_link".to_owned(), self.bomb_links);
        dropped.extend(self.greeting.turned_away.counted());
        dropped.extend(self.greeting.tls.as_ref().map(Tls::counted));
        counters
    }

    fn trace(&self, guid: &Guid) -> Option<control::Trace> {
        let trace = self.node.trace(guid)?;
        let from = trace.from.and_then(|from| {
            let info = self.node.links().find(|info| info.link == from)?;
            Some(info.peer.listen.unwrap_or(info.peer.remote))
        });
        Some(control::Trace {
            from,
            hops: trace.hops,
            duplicates: trace.duplicates.into(),
            forwarded: trace.forwarded.into(),
        })
    }

    fn find(&self, id: LinkId) -> Option<usize> {
        self.links.binary_search_by_key(&id, |link| link.id).ok()
    }

    fn remove(&mut self, id: LinkId) -> Option<Link> {
        self.find(id).map(|at| self.links.remove(at))
    }
}

fn bye_frame(bye: event::Bye, link: LinkId) -> Frame {
    // A Bye is never relayed or answered, so its id need only differ from zero.
    let mut id = [0xFF; 16];
    id[..4].copy_from_slice(&link.0.to_be_bytes());
    Frame {
        header: Header {
            guid: Guid::from_random(id),
            kind: Kind::Bye,
            ttl: 1,
            hops: 0,
        },
        payload: Bytes::from(bye::Bye::build(bye.code, bye.text)),
    }
}

fn why(gone: &Gone) -> String {
    match gone {
        Gone::Closed => "closed by the peer".to_owned(),
        Gone::Broken => "the connection broke".to_owned(),
        Gone::Bye(code) => format!("the peer said Bye {code}"),
        Gone::ByUs => "closed by us".to_owned(),
        Gone::Garbage => "the peer sent garbage".to_owned(),
        Gone::Damaged => "the peer's compressed stream is damaged".to_owned(),
        Gone::Bomb => "the peer's compressed stream grows too fast".to_owned(),
    }
}

#[cfg(test)]
mod tests;
