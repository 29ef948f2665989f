//! The way to the node task: what may be sent there, and how its answers come back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::figures::Figures;
use super::link::Connected;
use super::rt::{self, Receiver, Sender};
use crate::control;
use crate::node::event::{Gone, Peer, Verdict};
use crate::node::hosts::Remembered;
use crate::node::udp::{Introduction, Wants};
use crate::node::{Command, Event, LinkId, Notice, Ticket};
use crate::wire::{Frame, Guid};

/// Batches and requests that wait for the node task; whoever brings more waits. A batch is what one read
/// gave, so this bounds what waits to 2 MiB of frames.
pub(crate) const INBOX_MAX: usize = 32;
/// Notices that wait for one asker; more are dropped, and counted, until it reads on. At 2 KiB a hit, 2 MiB.
pub(crate) const NOTICES_MAX: usize = 1024;

/// What reaches the node task.
#[derive(Debug)]
pub(crate) enum Inbox {
    /// All complete frames of one read.
    Frames(LinkId, Vec<Frame>),
    /// Something for the core as it is.
    Event(Event),
    /// A peer asks to link; the verdict goes to its greeting.
    Offer(LinkId, Box<Peer>, Sender<Verdict>),
    /// A greeting is done.
    Up(LinkId, Box<Peer>, Connected),
    /// A link, or an admitted offer, is gone.
    Down(LinkId, Gone),
    /// The queue of a link that was pressed is at its low mark again.
    Relieved(LinkId),
    /// Somebody wants something and listens for notices.
    Command(Ticket, Command, Sender<Notice>),
    /// Whoever held this ticket has gone.
    Cancel(Ticket),
    /// A look at the node.
    Ask(Ask),
    /// Leave and end. The sender is dropped when all is said and done.
    Stop(Sender<()>),
}

/// A look at the node; each answer goes to its sender, which has room for it.
#[derive(Debug)]
pub(crate) enum Ask {
    /// For the status screen.
    Figures(Sender<Figures>),
    /// The links.
    Peers(Sender<Vec<control::Peer>>),
    /// Frames counted.
    Counters(Sender<control::Counters>),
    /// What is known of an id.
    Trace(Guid, Sender<Option<control::Trace>>),
    /// Shape links to the peer that listens there.
    Shape(
        SocketAddr,
        Option<control::Shape>,
        Sender<Result<(), String>>,
    ),
    /// The address book, as it is remembered.
    Hosts(Sender<Remembered>),
    /// What to tell one who asks by datagram from there.
    Introduction(SocketAddr, Wants, Sender<Introduction>),
    /// The address that neighbours see us at, if others would believe it.
    SeenIp(Sender<Option<IpAddr>>),
}

/// The way to the node task, for all other tasks.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(super) inbox: Sender<Inbox>,
    ids: Arc<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    links: AtomicU32,
    tickets: AtomicU64,
}

/// The node task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

impl Handle {
    /// A handle and the inbox behind it.
    pub(crate) fn new() -> (Self, Receiver<Inbox>) {
        let (inbox, received) = rt::bounded(INBOX_MAX);
        (
            Self {
                inbox,
                ids: Arc::default(),
            },
            received,
        )
    }

    /// Another inbox, of a second node task: no link and no ticket has a number that is used here.
    pub(crate) fn another(&self) -> (Self, Receiver<Inbox>) {
        let (inbox, received) = rt::bounded(INBOX_MAX);
        let ids = self.ids.clone();
        (Self { inbox, ids }, received)
    }

    /// Sends, and waits while the inbox is full.
    pub(crate) async fn send(&self, message: Inbox) -> Result<(), Ended> {
        self.inbox.send(message).await.map_err(|_| Ended)
    }

    /// Sends without waiting: while the inbox is full, a task waits in place of the caller.
    pub(crate) fn post(&self, message: Inbox) {
        post(&self.inbox, message);
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask<T>(&self, ask: impl FnOnce(Sender<T>) -> Ask) -> Result<T, Ended> {
        let (answer, answered) = rt::bounded(1);
        self.send(Inbox::Ask(ask(answer))).await?;
        answered.recv().await.map_err(|_| Ended)
    }

    /// Gives a command, and returns where its notices arrive. Dropping that cancels it.
    pub(crate) async fn command(&self, command: Command) -> Result<Notices, Ended> {
        let ticket = Ticket(self.ids.tickets.fetch_add(1, Ordering::Relaxed));
        let (tell, told) = rt::bounded(NOTICES_MAX);
        self.send(Inbox::Command(ticket, command, tell)).await?;
        Ok(Notices {
            ticket,
            told,
            handle: self.clone(),
        })
    }

    /// A link id, never used before.
    pub(crate) fn new_link(&self) -> LinkId {
        LinkId(self.ids.links.fetch_add(1, Ordering::Relaxed))
    }
}

/// Sends without waiting: while the inbox is full, a task waits in place of the caller.
pub(crate) fn post(inbox: &Sender<Inbox>, message: Inbox) {
    if let Err(rt::TrySendError::Full(message)) = inbox.try_send(message) {
        let inbox = inbox.clone();
        // Detached: it ends when the inbox has room or the node has ended.
        rt::spawn(async move {
            let _ = inbox.send(message).await;
        });
    }
}

/// What the node tells the holder of one ticket.
#[derive(Debug)]
pub(crate) struct Notices {
    ticket: Ticket,
    told: Receiver<Notice>,
    handle: Handle,
}

impl Notices {
    /// The next notice; `None` after the last.
    pub(crate) async fn next(&self) -> Option<Notice> {
        self.told.recv().await.ok()
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.handle.post(Inbox::Cancel(self.ticket));
    }
}
