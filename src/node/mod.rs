//! DECISIONS. The routing core of a node: no clock, no randomness but its own seeded one, no input or output.
//!
//! [`Node::handle`] takes in one [`Event`] at a point in [`Time`] and leaves [`Action`]s in an [`Outbox`].
//! `net` drives it with sockets, `sim` in virtual time; the contract of both stands in [`event`].
//!
//! - `routes`: seen before, and the way back; `relay`: who else gets a frame;
//! - `peering`, `admission`, `keepalive`, `hosts`, `links`, `greet`: who our neighbours are; `eclipse`, `rotation`, `eviction`: so that
//!   nobody chooses them for us; `lan`: who else is on this network;
//! - `udp`, `caches`, `web_caches`: datagrams of the live network, and when caches are asked for nodes;
//! - `datagrams`, `expected`, `offers`, `proofs`: hits that come and go straight; `reach`: whether others reach us;
//! - `answer`, `pongs`, `library`, `words`, `elsewhere`: what we answer; `searches`: what we ask;
//! - `sendq`, `rate`, `limits`: how much of anything; `offences`: what costs a neighbour its link; `stats`: what was done and dropped.

pub mod address;
mod admission;
mod agreements;
mod allowance;
pub mod alternates;
pub(crate) mod answer;
mod asking;
pub mod caches;
mod datagrams;
pub mod dynamic;
mod eclipse;
mod elsewhere;
pub mod event;
mod eviction;
mod expected;
mod forward;
pub mod greet;
pub mod hammering;
pub mod hostile;
pub mod hosts;
mod introduce;
mod keepalive;
pub mod lan;
pub mod library;
pub mod limits;
mod links;
pub mod media;
mod offences;
mod offers;
mod peering;
mod pongs;
mod proofs;
mod pushes;
pub mod qrp;
mod rate;
pub mod reach;
mod relay;
pub mod repeats;
pub mod roles;
mod rotation;
mod rounds;
pub mod routes;
mod searches;
pub mod sendq;
pub mod spam;
pub mod stats;
pub mod strategy;
pub mod swarm;
mod tables;
mod tiers;
pub mod time;
pub mod timetable;
pub mod udp;
pub mod uploads;
mod walkers;
pub mod web_caches;
pub mod words;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::ChaCha8Rng;

use crate::wire::query::{Query, QueryFlags};
use crate::wire::vendor::{QUERY_STOP, Vendor};
use crate::wire::{Frame, Guid, Kind, ServentId, frame::drop_above};

pub use event::{Action, Command, Event, LinkId, Notice, Outbox, Ticket};
pub use limits::Config;
pub use stats::{Drop, Stats};
pub use time::Time;

use asking::Asker;
use event::SearchSpec;
use hosts::Source;
use library::{FileId, Library};
use qrp::QueryWords;
use routes::{Novelty, Origin, PushRoutes, RouteTable};
use searches::Search;
use strategy::Strategy;
use tiers::Tier;

/// A node of the overlay: the one that decides.
#[derive(Debug)]
pub struct Node {
    config: Arc<Config>,
    id: ServentId,
    rng: ChaCha8Rng,
    links: links::Links,
    routes: RouteTable,
    push_routes: PushRoutes,
    peering: peering::Peering,
    hosts: hosts::Hosts,
    pongs: pongs::PongCache,
    searches: searches::Searches,
    repeats: repeats::Repeats,
    asking: asking::AllAsking,
    walkers: walkers::Held,
    offers: offers::Offers,
    expected: expected::Expected,
    proofs: proofs::Proofs,
    spoken_to: allowance::Allowances,
    /// Secret tokens made so far.
    tokens: u64,
    tree: forward::Tree,
    table: tables::OwnTable,
    reach: reach::Reach,
    roles: roles::Roles,
    push_targets: pushes::PushTargets,
    passed_pushes: pushes::PassedPushes,
    library: Arc<Library>,
    elsewhere: elsewhere::Elsewhere,
    busy: bool,
    stats: Stats,
    /// Results of the query being answered; kept to reuse its memory.
    found: Vec<FileId>,
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
    pub fn new(config: Arc<Config>, id: ServentId, mut rng: ChaCha8Rng) -> Self {
        let hosts = hosts::Hosts::new(config.net, rng.next_u64(), config.hostile.clone());
        let spoken_to =
            allowance::Allowances::new(limits::spoken_to_rate(config.net), limits::SPOKEN_TO_MAX);
        Self {
            routes: RouteTable::new(config.seen_cache),
            peering: peering::Peering::new(&config),
            config,
            id,
            rng,
            links: links::Links::default(),
            push_routes: PushRoutes::default(),
            hosts,
            pongs: pongs::PongCache::default(),
            searches: searches::Searches::default(),
            repeats: repeats::Repeats::default(),
            asking: asking::AllAsking::default(),
            walkers: walkers::Held::default(),
            offers: offers::Offers::default(),
            expected: expected::Expected::default(),
            proofs: proofs::Proofs::default(),
            spoken_to,
            tokens: 0,
            tree: forward::Tree::default(),
            table: tables::OwnTable::default(),
            reach: reach::Reach::default(),
            roles: roles::Roles::default(),
            push_targets: pushes::PushTargets::default(),
            passed_pushes: pushes::PassedPushes::default(),
            library: Arc::default(),
            elsewhere: elsewhere::Elsewhere::default(),
            busy: false,
            stats: Stats::default(),
            found: Vec::new(),
        }
    }

    /// Takes in one event and appends what is to be done to `out`. `now` never goes back.
    pub fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        // The road of nearly every event: it cannot change who our neighbours should be, unless it costs the link.
        if let Event::Received(link, frame) = event {
            return self.received(now, link, Cow::Owned(frame), out);
        }
        out.stir();
        match event {
            Event::Received(..) => {}
            Event::Library(library) => return self.library_changed(now, library),
            Event::Datagram(from, frame) => return self.datagram_in(now, from, &frame, out),
            Event::Pinged(from, guid) => return self.pinged(now, from, guid),
            Event::Elsewhere(file, all) => return self.elsewhere.learn(now, file, all),
            Event::Busy(busy) => return self.busy = busy,
            Event::Pressed(link, pressed) => return self.pressed(now, link, pressed, out),
            Event::Reached => return self.reached(),
            Event::Offer(link, peer) => self.offer(now, link, &peer, out),
            Event::LinkUp(link, peer) => self.link_up(now, link, peer, out),
            Event::LinkDown(link, _) => {
                self.link_down(link);
                self.grow_tree(out);
            }
            Event::DialFailed(addr, error) => self.dial_failed(now, addr, &error, out),
            Event::Wake => self.tick(now, out),
            Event::Heard(addrs) => addrs
                .into_iter()
                .for_each(|addr| self.hosts.learn(addr, Source::Ours, None)),
            Event::Remembered(remembered) => self.recall(&remembered),
            Event::Answered(addr) => self.hosts.learn(addr, Source::Peer(addr), Some(now)),
            Event::Told(by, addrs) => addrs
                .into_iter()
                .take(limits::TOLD_MAX)
                .for_each(|addr| self.hosts.learn(addr, Source::Peer(by), None)),
            Event::Hostile(list) => self.shun(list, out),
            Event::Command(ticket, command) => self.command(now, ticket, command, out),
        }
        self.watch_role(now);
        self.seek(now, out);
    }

    /// The same as [`handle`](Self::handle) with [`Event::Received`], for shells that keep the frame.
    pub fn receive(&mut self, now: Time, link: LinkId, frame: &Frame, out: &mut Outbox) {
        self.received(now, link, Cow::Borrowed(frame), out);
    }

    /// When to hand in [`Event::Wake`] at the latest; `None`: nothing to wait for. A needless wake does nothing.
    pub fn next_wakeup(&self) -> Option<Time> {
        [
            self.peering.keepalive,
            self.peering.again,
            self.peering.feeler,
            self.peering.rotation.due,
            self.asking.due(),
            self.searches.due(),
            self.walkers.due(),
            self.table.due,
            self.roles.due,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn received(&mut self, now: Time, from: LinkId, frame: Cow<'_, Frame>, out: &mut Outbox) {
        let header = frame.header;
        let kind = header.kind;
        self.stats.count_received(kind);
        let Some(traffic) = self.links.traffic_mut(from) else {
            return self.stats.count_drop(Drop::LinkGone);
        };
        traffic.heard = now;
        traffic.received += 1;
        let taken = if self.is_too_much(now, from, &frame) {
            Err(Drop::RateLimited)
        } else if frame.payload.len() > drop_above(kind) {
            Err(Drop::TooLarge)
        } else {
            self.dispatch(now, from, frame, out)
        };
        // To pass a query on and to answer it moves no alarm on a flat overlay; walkers, which may wait, see to themselves.
        let is_flat_query = kind == Kind::Query && self.tier() == Tier::Flat;
        if !is_flat_query && taken != Err(Drop::Duplicate) {
            out.stir();
        }
        if let Err(reason) = taken {
            self.dropped(now, from, header, reason, out);
        }
    }

    /// More bytes a second than a link may have. Hits and routing tables have bounds of their own.
    fn is_too_much(&mut self, now: Time, from: LinkId, frame: &Frame) -> bool {
        let Some(rate) = self.config.limit_search else {
            return false;
        };
        !matches!(frame.header.kind, Kind::QueryHit | Kind::Qrp)
            && self
                .links
                .get_mut(from)
                .is_some_and(|link| !link.rate_in.take(now, frame.wire_len(), rate))
    }

    fn dispatch(
        &mut self,
        now: Time,
        from: LinkId,
        frame: Cow<'_, Frame>,
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        match frame.header.kind {
            Kind::Query => self.query_in(now, from, frame, out),
            Kind::QueryHit => self.hit_in(now, from, &frame, out),
            Kind::Ping => self.ping_in(now, from, &frame, out),
            Kind::Pong => self.pong_in(now, from, &frame),
            Kind::Push => self.push_in(now, from, &frame, out),
            Kind::Bye => {
                self.bye_in(now, from, &frame, out);
                Ok(())
            }
            Kind::Qrp => self.qrp_in(now, from, &frame, out),
            Kind::Vendor | Kind::StandardVendor => self.vendor_in(now, from, &frame, out),
            Kind::Unknown(_) => Err(Drop::UnknownKind),
        }
    }

    fn command(&mut self, now: Time, ticket: Ticket, command: Command, out: &mut Outbox) {
        match command {
            Command::Search(spec) => self.search(now, ticket, &spec, out),
            Command::Cancel => self.end_search(ticket, out),
            Command::Push(spec) => self.push_to(now, ticket, spec, out),
            Command::PushByProxies(spec, proxies) => {
                self.push_by_proxies(now, ticket, spec, &proxies, out);
            }
            Command::PassPush(push) => self.pass_push(now, ticket, &push, out),
            Command::AddPeer(addr) => self.add_peer(ticket, addr, out),
            Command::DropPeer(addr) => self.drop_peer(now, ticket, addr, out),
            Command::Leave => self.leave(ticket, out),
        }
    }

    fn search(&mut self, now: Time, ticket: Ticket, spec: &SearchSpec, out: &mut Outbox) {
        let fail = |text: String| Action::Tell(ticket, Notice::Done(Err(text)));
        if self.searches.is_full() {
            let text = format!(
                "{} searches are running already; end one first",
                limits::SEARCHES_MAX
            );
            return out.push(fail(text));
        }
        if let Err(text) = spec.strategy.fits(self.config.net) {
            return out.push(fail(text));
        }
        let aside = self.asks_aside();
        let guid = self.new_guid();
        let guid = aside.map_or(guid, |asker| guid.carrying(asker));
        let ttl_most = self.config.ttl_max.max(1);
        let ttl = spec.ttl.unwrap_or(self.config.ttl).clamp(1, ttl_most);
        let mut flags = QueryFlags::OURS;
        if self.tier() == Tier::Leaf {
            flags = flags.and_guided();
        }
        if self.called_in_vain() {
            flags = flags.and_firewalled();
        }
        if aside.is_some() {
            flags = flags.and_out_of_band();
        }
        let spec = SearchSpec {
            media: spec.media.filter(|_| self.tier() != Tier::Flat),
            ..spec.clone()
        };
        let query = match searches::query_frame(&spec, guid, ttl, flags) {
            Ok(query) => query,
            Err(text) => return out.push(fail(text)),
        };
        let mut search = Search::new(ticket, query, spec.wanted.unwrap_or(self.usual_wanted()));
        search.datagrams = aside.is_some();
        match &spec.strategy {
            Strategy::Ring(ttls) => {
                let first = ttls.first().copied().unwrap_or(ttl).min(ttl_most);
                search.query.header.ttl = first;
                let later = ttls.iter().skip(1).map(|ttl| (*ttl).min(ttl_most));
                search.rounds = later.collect();
                search.due = (!search.rounds.is_empty()).then(|| now.plus(self.ring_wait(first)));
            }
            Strategy::Walk(walk) => {
                if let Err(text) = self.may_walk() {
                    return out.push(fail(text));
                }
                // Others end what goes on for longer.
                let most = limits::WALK_STEPS_MAX.max(self.config.ttl_max);
                search.query.header.ttl = walk.steps.min(most);
                search.datagrams = true;
                search.walks = true;
            }
            Strategy::Usual | Strategy::Flood | Strategy::Dynamic => {}
        }
        let query = search.query.clone();
        let (left_out, too_soon) = self.all_too_soon(now, &query);
        if let Some(too_soon) = too_soon {
            return out.push(Action::Tell(ticket, Notice::TooSoon(too_soon)));
        }
        self.searches.start(search);
        self.send_out(now, &query, &spec.strategy, out);
        self.tell_searching(ticket, &query, left_out, out);
    }

    /// Lets a query of ours out for the first time.
    fn send_out(&mut self, now: Time, query: &Frame, strategy: &Strategy, out: &mut Outbox) {
        let guid = query.header.guid;
        let novelty = self.routes.learn(guid, Origin::Ours, u8::MAX, 0, now);
        debug_assert_eq!(novelty, Novelty::Fresh, "128 random bits");
        match (strategy, self.tier()) {
            (Strategy::Walk(walk), _) => self.walk_out(now, query, *walk, out),
            (Strategy::Dynamic | Strategy::Usual, Tier::Ultrapeer)
            | (Strategy::Dynamic, Tier::Flat) => self.search_as_ultrapeer(now, query, out),
            (Strategy::Flood | Strategy::Ring(_), _)
            | (Strategy::Usual | Strategy::Dynamic, Tier::Leaf)
            | (Strategy::Usual, Tier::Flat) => {
                let chosen = self.chosen(0, None);
                self.routes.forwarded(&guid, chosen.len());
                for id in chosen {
                    self.send_query(now, id, query.clone(), out);
                }
            }
        }
    }

    /// Results after which a search of ours is content by itself.
    fn usual_wanted(&self) -> u16 {
        match self.tier() {
            Tier::Flat | Tier::Leaf => limits::WANTED,
            Tier::Ultrapeer => limits::WANTED_LIVE,
        }
    }

    /// A query went out to all neighbours but `left_out` of them.
    fn tell_searching(&self, ticket: Ticket, query: &Frame, left_out: usize, out: &mut Outbox) {
        let notice = Notice::Searching {
            guid: query.header.guid,
            neighbours: self.links.len().saturating_sub(left_out),
            ttl: query.header.ttl,
        };
        out.push(Action::Tell(ticket, notice));
    }

    /// Our own leaves by table first, then link by link.
    fn search_as_ultrapeer(&mut self, now: Time, query: &Frame, out: &mut Outbox) {
        let Ok(parsed) = Query::parse(&query.payload) else {
            return;
        };
        if self.tier() == Tier::Ultrapeer {
            let words = QueryWords::of(&parsed.text);
            self.give_to_leaves(now, None, &words, query.header, &query.payload, out);
        }
        self.ask(now, Asker::Us, query.clone(), &parsed, out);
    }

    /// A search ends; ultrapeers that ask on our behalf are told to stop.
    fn end_search(&mut self, ticket: Ticket, out: &mut Outbox) {
        let Some(guid) = self.searches.cancel(ticket) else {
            return;
        };
        self.asking.end(&guid);
        if self.tier() == Tier::Leaf {
            for id in self.links.ids().to_vec() {
                self.send_vendor(id, guid, &Vendor::QueryStatusResponse(QUERY_STOP), out);
            }
        }
    }

    /// A random message id.
    fn new_guid(&mut self) -> Guid {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        Guid::from_random(bytes)
    }

    /// The send queue of a link is too full, or has room again: its queries are not taken in meanwhile, and it is
    /// told so.
    fn pressed(&mut self, now: Time, id: LinkId, pressed: bool, out: &mut Outbox) {
        let two_tier = self.tier() != Tier::Flat;
        let Some(traffic) = self.links.traffic_mut(id) else {
            return;
        };
        // On a flat overlay the send queue sheds and TCP slows the peer; a flood must not depend on more.
        if !two_tier || traffic.pressed().is_some() == pressed {
            return;
        }
        traffic.press(pressed.then_some(now));
        let link = self.links.get(id);
        if link.is_some_and(|link| link.peer.vendor_messages) {
            let hops = if pressed { 0 } else { u8::MAX };
            let guid = self.new_guid();
            self.send_vendor(id, guid, &Vendor::HopsFlow(hops), out);
        }
    }

    /// Sends a query of ours, no further than the neighbour wants fresh queries to go (`X-Max-TTL`), and not if it had
    /// the same too lately to take it.
    fn send_query(&mut self, now: Time, to: LinkId, mut query: Frame, out: &mut Outbox) {
        if self.too_soon(now, to, &query).is_some() {
            return;
        }
        self.note_asked(now, to, &query);
        if let Some(link) = self.links.get_mut(to) {
            query.header.ttl = query.header.ttl.min(link.peer.max_ttl.max(1));
        }
        self.send(to, query, out);
    }

    /// Reads the parts of this node that a frame will need, and changes nothing: for shells that drive many
    /// nodes and want them in the processor's cache. The value means nothing; use it, or the reading is left
    /// out.
    pub fn look(&self) -> usize {
        self.links.len()
            ^ self.routes.len()
            ^ self.stats.look()
            ^ Arc::as_ptr(&self.library) as usize
    }

    /// As [`look`](Self::look), for what a frame on this link will need.
    pub fn look_at(&self, link: LinkId) -> usize {
        self.links.look(link)
    }

    /// As [`look`](Self::look), for what a frame with this id will need; and whether it would be the first.
    pub fn look_up(&self, guid: &Guid) -> (usize, bool) {
        let (looked, is_new) = self.routes.look(guid);
        let first = is_new.then(|| self.links.ids().first()).flatten();
        (looked ^ first.map_or(0, |id| id.0 as usize), is_new)
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

    /// Counts frames that a send queue of the shell shed.
    pub fn count_shed(&mut self, frames: u64) {
        self.stats.count_drops(Drop::QueueFull, frames);
    }

    /// The links that are up, oldest first.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo<'_>> {
        self.links
            .with_traffic()
            .map(|(id, link, traffic)| LinkInfo {
                link: id,
                peer: &link.peer,
                since: link.since,
                received: traffic.received,
                dropped: traffic.dropped,
            })
    }

    /// Number of links that are up.
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Links to leaves.
    pub fn leaf_count(&self) -> usize {
        self.links.count(event::Role::Leaf)
    }

    /// What is known of a message id.
    pub fn trace(&self, guid: &Guid) -> Option<Trace> {
        let route = self.routes.trace(guid)?;
        let (from, hops) = match route.origin {
            Origin::Ours => (None, 0),
            Origin::Link(link) => (Some(link), route.hops.saturating_add(1)),
        };
        Some(Trace {
            from,
            hops,
            duplicates: route.duplicates,
            forwarded: route.forwarded,
        })
    }

    /// Message ids remembered; never more than `seen_cache`.
    pub fn seen(&self) -> usize {
        self.routes.len()
    }

    /// Addresses in the book, best first, for remembering across restarts.
    pub fn known_hosts(&self) -> Vec<SocketAddr> {
        self.hosts.all()
    }

    /// Dials under way.
    pub fn dialling(&self) -> usize {
        self.peering.dialling()
    }

    /// Distinct addresses seen alive lately (neighbours, pongs, responders): a floor for the nodes in reach.
    pub fn nodes_heard(&self, now: Time) -> usize {
        self.hosts.heard(now).max(self.links.len())
    }
}
