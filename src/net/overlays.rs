//! The overlays that one node takes part in: a node task each, and one port, library and set of upload slots for all.
//!
//! No address passes from one to another. What comes in is handed to the overlay that its remote address belongs to
//! ([`Net::claims`]).

use std::net::IpAddr;
use std::sync::Arc;

use super::greeting::Greeting;
use super::hostile::Shunned;
use super::inbox::Handle;
use crate::node::Config;
use crate::node::address::Net;

/// One overlay.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Its settings.
    pub(crate) config: Arc<Config>,
    /// The way to its node task.
    pub(crate) handle: Handle,
    /// How it greets.
    pub(crate) greeting: Arc<Greeting>,
    /// Addresses it has nothing to do with; those of its settings at first.
    pub(crate) shunned: Shunned,
}

impl Overlay {
    pub(crate) fn net(&self) -> Net {
        self.config.net
    }
}

/// All overlays of a node; at least one, each on a net of its own.
#[derive(Clone, Debug)]
pub(crate) struct Overlays(Arc<[Overlay]>);

impl Overlays {
    pub(crate) fn new(all: Vec<Overlay>) -> Self {
        assert!(!all.is_empty(), "a node is on some net");
        Self(all.into())
    }

    /// The one that was named first.
    pub(crate) fn first(&self) -> &Overlay {
        &self.0[0]
    }

    /// All of them, as they were named.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Overlay> {
        self.0.iter()
    }

    /// Those on these nets; all when none is named.
    pub(crate) fn on(&self, nets: &[Net]) -> impl Iterator<Item = &Overlay> {
        let all = self.all();
        all.filter(move |overlay| nets.is_empty() || nets.contains(&overlay.net()))
    }

    /// Those that somebody at this address can belong to: one, but in a rehearsal, where all addresses are private.
    pub(crate) fn of(&self, remote: IpAddr) -> impl Iterator<Item = &Overlay> {
        let only = self.0.len() == 1;
        let all = self.all();
        all.filter(move |overlay| only || overlay.net().claims(remote))
    }

    /// Is this an address that none of them has anything to do with?
    pub(crate) fn shun(&self, remote: IpAddr) -> bool {
        let mut possible = self.of(remote).peekable();
        possible.peek().is_some() && possible.all(|overlay| overlay.shunned.lists(remote))
    }

    /// The name that whoever connects may be shown: that for strangers, where strangers come.
    pub(crate) fn shown_name(&self) -> &str {
        let strict = self.all().find(|overlay| overlay.net().is_two_tier());
        &strict.unwrap_or(self.first()).config.name
    }
}
