//! Who else has a file: a search by its hash.

use crate::cli::Context;
use crate::cli::args::net::NetArgs;
use crate::cli::args::search::FilterArgs;
use crate::cli::args::values::Address;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::LOOK;
use crate::cli::net::patience;
use crate::cli::node::{Linked, NodeHandle};
use crate::control::{Reply, Request};
use crate::disk::results::Copy;
use crate::net::{Discovery, Pusher};
use crate::wire::Sha1;

use crate::cli::search::filter::Filter;
use crate::cli::search::found::Found;

/// A search for sources ends when so many are known: a fetch asks one at a time.
const ENOUGH: u64 = 8;

/// The node that is asked for sources, opened when first needed.
#[derive(Debug)]
pub struct Finder {
    node: Option<NodeHandle>,
    net: NetArgs,
    discovery: Discovery,
    pusher: Option<Pusher>,
}

impl Finder {
    /// Nothing is opened yet; a node of our own will look for others there.
    pub fn new(net: NetArgs, discovery: Discovery) -> Self {
        Self {
            node: None,
            net,
            discovery,
            pusher: None,
        }
    }

    /// Who has sources connect to us that cannot be connected to: the node that was asked for sources, the running
    /// one, or, when it `must` be, one hosted for this.
    pub fn pusher(&mut self, context: &Context, peers: &[Address], must: bool) -> Option<Pusher> {
        if self.pusher.is_none() {
            if must && self.node.is_none() {
                // Nobody to begin with: then the sources are taken for what they are.
                self.node = NodeHandle::open(context, peers, &self.net, self.discovery).ok();
            }
            self.pusher = match &self.node {
                Some(node) => Some(node.pusher()),
                None => NodeHandle::running(context).map(|node| node.pusher()),
            };
        }
        self.pusher.clone()
    }

    /// Looks for copies of this content. None, when nobody answered.
    ///
    /// # Errors
    /// Exit 3: no neighbour to ask; exit 130: interrupted.
    pub fn find(
        &mut self,
        context: &Context,
        peers: &[Address],
        sha1: Sha1,
    ) -> Result<Vec<Copy>, Failure> {
        let node = if let Some(node) = &self.node {
            node
        } else {
            let node = NodeHandle::open(context, peers, &self.net, self.discovery)?;
            self.node.insert(node)
        };
        let interrupted = || Failure::new(Exit::Interrupted, "");
        let patience = patience(&node.nets()?);
        if node.wait_for_neighbour(context, patience.neighbour)? == Linked::Interrupted {
            return Err(interrupted());
        }
        let request = Request::Search {
            text: String::new(),
            urn: Some(sha1.to_string()),
            ttl: None,
            strategy: None,
            kind: None,
            nets: node.asked_nets(),
        };
        let mut replies = node.ask(&request)?;
        let mut found = Found::new(Filter::new(&FilterArgs::default(), Some(sha1)), "", None);
        let clock = Stopwatch::start();
        let mut quiet = Stopwatch::start();
        while clock.elapsed() < patience.search
            && quiet.elapsed() < patience.idle
            && found.copies() < ENOUGH
        {
            if context.interrupt.asked() {
                return Err(interrupted());
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
        Ok(copies)
    }

    /// Takes leave.
    pub fn close(self, context: &Context) {
        if let Some(node) = self.node {
            node.close(context);
        }
    }
}
