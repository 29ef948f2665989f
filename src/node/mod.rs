//! DECISIONS. The routing core: no clock, no input or output.

pub mod event;
pub mod library;
pub mod limits;
pub mod sendq;
pub mod stats;
pub mod time;
pub mod words;

use std::net::SocketAddr;
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;

use crate::wire::{Guid, ServentId};

pub use event::{Action, Command, Event, LinkId, Notice, Outbox, Ticket};
pub use limits::Config;
pub use stats::{Drop, Stats};
pub use time::Time;

/// A node of the overlay: the one that decides.
#[derive(Debug)]
pub struct Node {
    config: Arc<Config>,
    id: ServentId,
    _rng: ChaCha8Rng,
    stats: Stats,
}

/// What a node knows of one message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The link it first came from; `None` when this node sent it first.
    pub from: Option<LinkId>,
    /// Hops it had travelled, counting the link to this node; 0 for the sender.
    pub hops: u8,
    /// Copies received after the first.
    pub duplicates: u16,
    /// Links it was given to.
    pub forwarded: u16,
}

/// One link, as shown to people.
#[derive(Clone, Debug)]
pub struct LinkInfo<'a> {
    /// Its id.
    pub link: LinkId,
    /// What the greeting told.
    pub peer: &'a event::Peer,
    /// When it came up.
    pub since: Time,
    /// Frames received on it.
    pub received: u64,
    /// Frames of those that were dropped.
    pub dropped: u64,
}

impl Node {
    /// A node without links or shares.
    pub fn new(config: Arc<Config>, id: ServentId, rng: ChaCha8Rng) -> Self {
        Self { config, id, _rng: rng, stats: Stats::default() }
    }

    /// Takes in one event and appends what is to be done to `out`. `now` never goes back.
    pub fn handle(&mut self, _now: Time, _event: Event, _out: &mut Outbox) {
        todo!()
    }

    /// When to hand in [`Event::Wake`] at the latest; `None`: nothing to wait for. A needless wake does nothing.
    pub fn next_wakeup(&self) -> Option<Time> {
        todo!()
    }

    /// Servent id.
    pub fn id(&self) -> ServentId {
        self.id
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Counts a frame that a send queue of the shell shed.
    pub fn count_shed(&mut self, frames: u64) {
        let _ = frames;
    }

    /// The links that are up, oldest first.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo<'_>> {
        std::iter::empty()
    }

    /// Number of links that are up.
    pub fn link_count(&self) -> usize {
        todo!()
    }

    /// What is known of a message id.
    pub fn trace(&self, _guid: &Guid) -> Option<Trace> {
        todo!()
    }

    /// Addresses in the book, best first, for remembering across restarts.
    pub fn known_hosts(&self) -> Vec<SocketAddr> {
        todo!()
    }

    /// Dials under way.
    pub fn dialling(&self) -> usize {
        todo!()
    }

    /// Distinct addresses heard from lately (neighbours, pongs, responders).
    pub fn nodes_heard(&self) -> usize {
        todo!()
    }
}
