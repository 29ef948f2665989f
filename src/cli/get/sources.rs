//! Who else has a file: a search by its hash.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cli::Context;
use crate::cli::args::net::NetArgs;
use crate::cli::args::search::FilterArgs;
use crate::cli::args::values::Address;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::LOOK;
use crate::cli::net::{Patience, patience};
use crate::cli::node::{Linked, NodeHandle};
use crate::control::{self, Reply, Request};
use crate::disk::results::Copy;
use crate::net::download::Requery;
use crate::net::{Asker, Discovery, Pusher};
use crate::node::address::Net;
use crate::wire::Sha1;

use super::sealed;
use super::target::Wanted;
use crate::cli::search::filter::Filter;
use crate::cli::search::found::Found;

/// A search for sources ends when so many are known: a fetch asks one at a time.
const ENOUGH: u64 = 8;

/// A search beside a fetch takes no longer. Our choice.
const REQUERY_TIME_MAX: Duration = Duration::from_secs(120);

/// The node that is asked for sources, opened when first needed.
#[derive(Debug)]
pub struct Finder {
    node: Mutex<Option<NodeHandle>>,
    net: NetArgs,
    discovery: Discovery,
    pusher: Mutex<Option<Pusher>>,
}

impl Finder {
    /// Nothing is opened yet; a node of our own will look for others there.
    pub fn new(net: NetArgs, discovery: Discovery) -> Self {
        Self {
            node: Mutex::default(),
            net,
            discovery,
            pusher: Mutex::default(),
        }
    }

    /// Who has sources connect to us that cannot be connected to: the node that was asked for sources, the running
    /// one, or, when it `must` be, one hosted for this.
    pub fn pusher(&self, context: &Context, peers: &[Address], must: bool) -> Option<Pusher> {
        let mut pusher = self.pusher.lock().unwrap_or_else(PoisonError::into_inner);
        if pusher.is_none() {
            let mut node = self.node();
            if must && node.is_none() {
                // Nobody to begin with: then the sources are taken for what they are.
                *node = NodeHandle::open(context, peers, &self.net, self.discovery).ok();
            }
            *pusher = match &*node {
                Some(node) => Some(node.pusher()),
                None => NodeHandle::running(context).map(|node| node.pusher()),
            };
        }
        pusher.clone()
    }

    /// Looks for copies of this content. None, when nobody answered.
    ///
    /// # Errors
    /// Exit 3: no neighbour to ask; exit 130: interrupted.
    pub fn find(
        &self,
        context: &Context,
        peers: &[Address],
        sha1: Sha1,
    ) -> Result<Vec<Copy>, Failure> {
        let interrupted = || Failure::new(Exit::Interrupted, "");
        let (asker, nets, patience) = {
            let mut node = self.node();
            let node = match &mut *node {
                Some(node) => node,
                none => none.insert(NodeHandle::open(context, peers, &self.net, self.discovery)?),
            };
            let patience = patience(&node.nets()?);
            if node.wait_for_neighbour(context, patience.neighbour)? == Linked::Interrupted {
                return Err(interrupted());
            }
            (node.asker(), node.asked_nets(), patience)
        };
        // Several files may look for sources at a time.
        let stop = || context.interrupt.asked();
        copies(&asker, nets, &patience, sha1, &stop)?.ok_or_else(interrupted)
    }

    /// Asks the node that was asked for sources before, or the running one, again while a file is fetched. `None`:
    /// there is none, and none is opened for that.
    pub fn requery(&self, context: &Context, tls: Option<String>) -> Option<Requery> {
        let (own, running) = (self.node(), NodeHandle::running(context));
        let node = own.as_ref().or(running.as_ref())?;
        let (asker, nets) = (node.asker(), node.asked_nets());
        let patience = patience(&node.nets().ok()?);
        let results = context.results();
        let search = move |sha1| {
            let ended = Stopwatch::start();
            let stop = || ended.elapsed() >= REQUERY_TIME_MAX;
            let copies = match copies(&asker, nets.clone(), &patience, sha1, &stop) {
                Ok(copies) => copies.unwrap_or_default(),
                Err(failure) => {
                    log::info!("looking for more sources: {}", failure.message);
                    Vec::new()
                }
            };
            let _ = results.add(&copies);
            let mut wanted = Wanted::default();
            wanted.add_copies(&copies);
            let sources = wanted.sources.into_iter();
            sources
                .map(|source| sealed(source, tls.as_deref()))
                .collect()
        };
        Some(Requery::new(search).meanwhile())
    }

    /// The nets that sources may name others of: those asked for, or those of the running node, else the LAN.
    pub fn nets(&self, context: &Context) -> Vec<Net> {
        let asked = crate::cli::net::asked(&self.net);
        if !asked.is_empty() {
            return asked;
        }
        let running = NodeHandle::running(context);
        let running = running.and_then(|node| node.nets().ok());
        running.unwrap_or_else(|| vec![Net::Lan])
    }

    /// Takes leave.
    pub fn close(self, context: &Context) {
        let node = self.node.into_inner();
        if let Some(node) = node.unwrap_or_else(PoisonError::into_inner) {
            node.close(context);
        }
    }

    fn node(&self) -> MutexGuard<'_, Option<NodeHandle>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Searches by hash. `None`: `stop` said so.
fn copies(
    asker: &Asker,
    nets: Vec<control::Net>,
    patience: &Patience,
    sha1: Sha1,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Vec<Copy>>, Failure> {
    let request = Request::search_by_hash(sha1.to_string(), nets);
    let mut replies = asker.request(&request).map_err(|error| {
        Failure::new(
            Exit::NoNetwork,
            format!("the running node does not answer: {error}; try again"),
        )
    })?;
    let mut found = Found::new(Filter::new(&FilterArgs::default(), Some(sha1)), "", None);
    let clock = Stopwatch::start();
    let mut quiet = Stopwatch::start();
    while clock.elapsed() < patience.search
        && quiet.elapsed() < patience.idle
        && found.copies() < ENOUGH
    {
        if stop() {
            return Ok(None);
        }
        match replies.next(LOOK) {
            Some(Reply::Hit(hit)) if !found.add(&hit, clock.elapsed()).offers.is_empty() => {
                quiet = Stopwatch::start();
            }
            Some(Reply::Error { message }) => return Err(Failure::new(Exit::Usage, message)),
            Some(Reply::Done) => break,
            Some(_) | None => {}
        }
    }
    let copies = found
        .files()
        .iter()
        .flat_map(|file| &file.offers)
        .map(|offer| offer.copy.clone())
        .collect();
    Ok(Some(copies))
}
