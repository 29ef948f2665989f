//! Walkers: queries that go to one neighbour at a time, and ask their asker now and then whether to go on.
//!
//! A walker may come where it was before, and may go back over the link it came from: that is what makes it a random
//! walk. It is answered at its first visit, straight to the asker (`offers`). Each arrival is sent on once at most, so a
//! walker cannot multiply. Source: Lv and others, 2002, "random
//! walks" with "checking"; the mark on the wire is ours (`wire::walk`).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::ops::Range;

use rand::RngExt;

use crate::wire::query::Query;
use crate::wire::vendor::{OutOfBand, QUERY_STOP, Vendor};
use crate::wire::walk::WalkMark;
use crate::wire::{Frame, Guid, Header, Kind, WireError};

use super::answer::Way;
use super::event::{LinkId, Outbox};
use super::offers::Asker;
use super::relay::Taken;
use super::routes::{Novelty, Origin};
use super::strategy::Walk;
use super::tiers::Tier;
use super::{Drop, Node, Time, limits};

/// A walker that waits for its asker's word.
#[derive(Debug)]
struct Waiting {
    /// As it goes on.
    frame: Frame,
    asker: SocketAddrV4,
    /// The asker was asked.
    asked: bool,
    /// When it is asked, or has not answered.
    until: Time,
}

/// The walkers that wait here, oldest first; at most [`limits::WALKERS_HELD_MAX`].
#[derive(Debug, Default)]
pub(super) struct Held {
    waiting: VecDeque<Waiting>,
}

impl Held {
    /// When the next has waited long enough.
    pub(super) fn due(&self) -> Option<Time> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// A walker of this query for which this asker may speak.
    fn take(&mut self, guid: Guid, asker: SocketAddr) -> Option<Frame> {
        let its = |waiting: &Waiting| {
            waiting.frame.header.guid == guid && SocketAddr::V4(waiting.asker) == asker
        };
        let at = self.waiting.iter().position(its)?;
        self.waiting.remove(at).map(|waiting| waiting.frame)
    }
}

impl Node {
    /// Can walkers of ours be asked about?
    pub(super) fn may_walk(&self) -> Result<(), String> {
        if self.tier() != Tier::Flat {
            return Err(
                "walkers go among equals only: on the public network use the strategy dynamic"
                    .to_owned(),
            );
        }
        if self.config.listen.is_none() {
            return Err(
                "walkers ask the node that sent them out whether to go on, and this one listens nowhere: run \
                 `filbert share` and search again, or use the strategy flood or ring"
                    .to_owned(),
            );
        }
        if !self.config.datagrams {
            return Err(
                "walkers ask by datagram whether to go on, and another program has the UDP port of this node: choose \
                 another port with --listen, or use the strategy flood or ring"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Sends the walkers of a search of ours out, each to a neighbour drawn for it.
    pub(super) fn walk_out(&mut self, now: Time, query: &Frame, walk: Walk, out: &mut Outbox) {
        let guid = query.header.guid;
        let mut sent = 0;
        for _ in 0..walk.walkers {
            let Some(link) = self.any_link() else { break };
            let IpAddr::V4(ip) = self.own_addr(link).ip() else {
                continue;
            };
            let port = self.config.listen.map_or(0, |listen| listen.port());
            let mark = WalkMark {
                check: walk.check,
                asker: SocketAddrV4::new(ip, port),
            };
            let mut payload = query.payload.to_vec();
            mark.put(&mut payload);
            let walker = Frame {
                header: query.header,
                payload: payload.into(),
            };
            sent += usize::from(self.step(now, link, walker, out));
        }
        self.routes.forwarded(&guid, sent);
        self.searches
            .set_waiting(&guid, Some(walk).filter(|_| sent == 0));
    }

    /// A walker came in.
    pub(super) fn walker_in(
        &mut self,
        now: Time,
        from: LinkId,
        frame: &Frame,
        mark: WalkMark,
        out: &mut Outbox,
    ) -> Taken {
        let header = frame.header;
        let steps = u16::from(header.ttl) + u16::from(header.hops);
        let most = limits::WALK_STEPS_MAX.max(self.config.ttl_max);
        if header.ttl == 0 {
            return Err(Drop::TtlZero);
        }
        if header.hops == u8::MAX || steps > u16::from(most) {
            return Err(Drop::TtlTooHigh);
        }
        self.check_asker(from, header.hops, out)?;
        let novelty = self.routes.learn(
            header.guid,
            Origin::Link(from),
            header.ttl,
            header.hops,
            now,
        );
        let query = Query::parse(&frame.payload).map_err(|error| match error {
            WireError::Empty(_) => Drop::EmptyQuery,
            _ => Drop::Malformed,
        })?;
        if novelty == Novelty::Fresh {
            let asker = Asker {
                addr: SocketAddr::V4(mark.asker),
                version: OutOfBand::V3,
            };
            let way = Way {
                link: from,
                asker: Some(asker).filter(|asker| {
                    self.config.datagrams
                        && (1..=limits::WALK_CHECK_MAX).contains(&mark.check)
                        && self.config.net.believes(asker.addr)
                }),
            };
            self.answer_query(now, way, header, &query, out);
        }
        if self.tier() != Tier::Flat {
            return Err(Drop::WalkerStuck);
        }
        let Some(next) = header.relayed() else {
            self.stats.count_drop(Drop::TtlSpent);
            return Ok(());
        };
        let walker = Frame {
            header: next,
            payload: frame.payload.clone(),
        };
        if mark.check > 0 && next.hops.is_multiple_of(mark.check) {
            return self.hold(now, mark, walker);
        }
        self.step_on(now, walker, out)
    }

    /// Holds a walker until its asker says whether it is still wanted.
    fn hold(&mut self, now: Time, mark: WalkMark, walker: Frame) -> Taken {
        let asker = SocketAddr::V4(mark.asker);
        if !self.config.datagrams
            || self.walkers.waiting.len() >= limits::WALKERS_HELD_MAX
            || !self.config.net.believes(asker)
        {
            return Err(Drop::WalkerStuck);
        }
        self.walkers.waiting.push_back(Waiting {
            frame: walker,
            asker: mark.asker,
            asked: false,
            until: now.plus(limits::WALKER_PAUSE),
        });
        Ok(())
    }

    /// The asker of a walker says whether it is to go on.
    pub(super) fn let_go_on(
        &mut self,
        now: Time,
        from: SocketAddr,
        frame: &Frame,
        kept: u16,
        out: &mut Outbox,
    ) -> Taken {
        let walker = self
            .walkers
            .take(frame.header.guid, from)
            .ok_or(Drop::Unasked)?;
        if kept == QUERY_STOP {
            return Err(Drop::WalkerEnded);
        }
        self.step_on(now, walker, out)
    }

    /// Asks the askers of walkers that have waited, and ends the walkers of those who said nothing.
    pub(super) fn walkers_tick(&mut self, now: Time, out: &mut Outbox) {
        let mut ended = 0;
        let mut questions = Vec::new();
        self.walkers.waiting.retain_mut(|waiting| {
            if waiting.until > now {
                return true;
            }
            if waiting.asked {
                ended += 1;
                return false;
            }
            waiting.asked = true;
            waiting.until = now.plus(limits::WALKER_PATIENCE);
            let question = word(waiting.frame.header.guid, &Vendor::QueryStatusRequest);
            questions.push((SocketAddr::V4(waiting.asker), question));
            true
        });
        for (asker, question) in questions {
            // One that is not asked for ends like one that nobody answers for.
            if let Err(reason) = self.speak_to(now, asker, question, out) {
                self.stats.count_drop(reason);
            }
        }
        self.stats.count_drops(Drop::WalkerEnded, ended);
    }

    fn step_on(&mut self, now: Time, walker: Frame, out: &mut Outbox) -> Taken {
        let link = self.any_link().ok_or(Drop::WalkerStuck)?;
        let guid = walker.header.guid;
        if !self.step(now, link, walker, out) {
            return Err(Drop::RateLimited);
        }
        self.routes.forwarded(&guid, 1);
        Ok(())
    }

    fn step(&mut self, now: Time, to: LinkId, walker: Frame, out: &mut Outbox) -> bool {
        if let (Some(rate), Some(link)) = (self.config.limit_search, self.links.get_mut(to))
            && !link.rate_out.take(now, walker.wire_len(), rate)
        {
            return false;
        }
        self.send(to, walker, out);
        true
    }

    /// A neighbour drawn at random.
    fn any_link(&mut self) -> Option<LinkId> {
        let count = self.links.len();
        (count > 0).then(|| {
            let at = self.draw(0..count);
            self.links.ids()[at]
        })
    }

    /// A number drawn from a range that is not empty.
    pub(super) fn draw(&mut self, range: Range<usize>) -> usize {
        self.rng.random_range(range)
    }
}

/// A word about a query, as a datagram has it.
pub(super) fn word(guid: Guid, message: &Vendor<'_>) -> Frame {
    let header = Header {
        guid,
        kind: Kind::Vendor,
        ttl: 1,
        hops: 0,
    };
    Frame {
        header,
        payload: message.build().into(),
    }
}
