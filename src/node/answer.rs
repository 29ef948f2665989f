//! Answers of our own: pings -> pongs, queries -> hits from the library.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;

use crate::wire::header::HEADER_BYTES;
use crate::wire::hit::{HashForm, QueryHit, Record};
use crate::wire::ping::Pong;
use crate::wire::query::Query;
use crate::wire::{Frame, Header, Kind, VENDOR};

use super::event::{LinkId, Outbox, Role};
use super::hosts::Source;
use super::library::{FileId, FileView};
use super::offers::{Asker, Offer, TOKEN_BYTES};
use super::pongs::CachedPong;
use super::relay::Taken;
use super::tiers::Tier;
use super::udp::DATAGRAM_BYTES_MAX;
use super::{Drop, Node, Time, limits, media};

/// Speed we claim in hits, in kbit/s: nobody measures it, and nobody believes it.
pub(crate) const SPEED_KBPS: u32 = 1_000;
/// Port in the hits of a node that listens nowhere and waits for pushes: readers take 0 for a fault. The customary one,
/// which nobody will try who reads the push flag.
const UNHEARD_PORT: u16 = 6346;
/// Bytes of a hit besides its records: head, trailer, name of the node.
const HIT_EXTRA_BYTES: usize = 96;

impl Node {
    /// The address a link's peer can reach us at; port 0 when we accept nothing.
    ///
    /// Where our own address is one that nobody believes (behind a router), it is the one that the peer says it sees
    /// us at: it could write any address in what we send over it anyway.
    pub(super) fn own_addr(&self, link: LinkId) -> SocketAddr {
        let peer = self.links.get(link).map(|link| &link.peer);
        let local = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.local_ip);
        let listen = self.config.listen;
        let own = match listen.map(|listen| listen.ip()) {
            Some(ip) if !ip.is_unspecified() => ip,
            _ => local,
        };
        let seen = peer.and_then(|peer| peer.sees_us_at);
        let ip = seen.filter(|seen| self.is_public(*seen) && !self.is_public(own));
        SocketAddr::new(ip.unwrap_or(own), listen.map_or(0, |listen| listen.port()))
    }

    /// The address that most neighbours see us at, if it is one that others believe.
    pub fn seen_ip(&self) -> Option<IpAddr> {
        let seen: Vec<IpAddr> = self
            .links
            .iter()
            .filter_map(|(_, link)| link.peer.sees_us_at)
            .filter(|ip| self.is_public(*ip))
            .collect();
        let votes = |ip: &&IpAddr| seen.iter().filter(|other| other == ip).count();
        seen.iter().max_by_key(votes).copied()
    }

    /// Our address for those we have no link to; `None`: none is known that they would believe.
    pub(super) fn ip_for_strangers(&self) -> Option<IpAddr> {
        let listen = self.config.listen.map(|listen| listen.ip());
        let specified = listen.filter(|ip| !ip.is_unspecified());
        let believed = |ip: &IpAddr| self.is_public(*ip);
        let locals = self.links.iter().map(|(_, link)| link.peer.local_ip);
        specified
            .filter(believed)
            .or_else(|| self.seen_ip())
            .or_else(|| locals.into_iter().find(believed))
    }

    fn is_public(&self, ip: IpAddr) -> bool {
        self.config.net.believes(SocketAddr::new(ip, UNHEARD_PORT))
    }

    /// A ping came in.
    pub(super) fn ping_in(
        &mut self,
        now: Time,
        from: LinkId,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Taken {
        let header = frame.header;
        if header.ttl == 0 {
            return Err(Drop::TtlZero);
        }
        if header.hops != 0 {
            return Err(Drop::NotOneHop);
        }
        if header.ttl > 1 {
            let link = self.links.get_mut(from).ok_or(Drop::LinkGone)?;
            if now < link.ping_again {
                return Err(Drop::PingTooSoon);
            }
            link.ping_again = now.plus(limits::PING_INTERVAL_MIN);
        }
        // A ping of TTL 2 is a crawler's: it wants our neighbours, not us (overlay, kinds of ping).
        if header.ttl != 2 {
            let pong = self.own_pong(from);
            self.send_pong(from, header, 0, Bytes::from(pong.build()), out);
        }
        // A leaf speaks for itself alone: whatever of it has travelled counts as relayed, and ends the link.
        if self.tier() == Tier::Leaf {
            return Ok(());
        }
        let mut told = 0;
        if header.ttl > 2 {
            let cached: Vec<_> = self
                .pongs
                .for_link(from, now)
                .map(|pong| (pong.hops, pong.payload.clone()))
                .collect();
            told = cached.len();
            for (hops, payload) in cached {
                self.send_pong(from, header, hops.saturating_add(1), payload, out);
            }
        }
        // In a young network no pongs have come yet, but our neighbours are known all the same.
        if header.ttl == 2 || told < limits::PONGS_PER_PING / 2 {
            let neighbours: Vec<_> = self
                .links
                .iter()
                .filter(|(id, link)| *id != from && link.peer.role == Role::Ultrapeer)
                .filter_map(|(_, link)| link.peer.listen)
                .filter(|addr| header.ttl > 1 && self.config.net.believes(*addr))
                .take(limits::PONGS_PER_PING - told)
                .collect();
            for addr in neighbours {
                let pong = Pong {
                    addr,
                    files: 0,
                    kilobytes: 0,
                    ultrapeer: Some((0, 0)),
                    tls: false,
                };
                self.send_pong(from, header, 1, Bytes::from(pong.build()), out);
            }
        }
        Ok(())
    }

    fn own_pong(&self, link: LinkId) -> Pong {
        self.pong_at(self.own_addr(link))
    }

    /// A pong about us, at this address.
    pub(super) fn pong_at(&self, addr: SocketAddr) -> Pong {
        let free = |most: usize, role| {
            let free = most.saturating_sub(self.links.count(role));
            u8::try_from(free).unwrap_or(u8::MAX)
        };
        let ultrapeers = || free(self.config.max_links, Role::Ultrapeer);
        Pong {
            addr,
            files: u32::try_from(self.library.len()).unwrap_or(u32::MAX),
            kilobytes: u32::try_from(self.library.total_bytes() / 1024).unwrap_or(u32::MAX),
            ultrapeer: match self.tier() {
                Tier::Flat => Some((0, ultrapeers())),
                Tier::Leaf => None,
                Tier::Ultrapeer => Some((free(self.config.max_leaves, Role::Leaf), ultrapeers())),
            },
            tls: self.config.says_tls(),
        }
    }

    fn send_pong(&mut self, to: LinkId, ping: Header, hops: u8, payload: Bytes, out: &mut Outbox) {
        let header = Header {
            guid: ping.guid,
            kind: Kind::Pong,
            ttl: 1,
            hops,
        };
        self.send(to, Frame { header, payload }, out);
    }

    /// A pong came in: an address, and proof that somebody is there.
    pub(super) fn pong_in(&mut self, now: Time, from: LinkId, frame: &Frame) -> Taken {
        let link = self.links.get_mut(from).ok_or(Drop::LinkGone)?;
        if !link.pings.contains(&frame.header.guid) || link.pongs_left == 0 {
            return Err(Drop::Unasked);
        }
        link.pongs_left -= 1;
        if frame.header.guid == link.pings[0] && frame.header.hops == 0 {
            let rtt = now.since(link.pinged).as_micros();
            link.rtt_us = link.rtt_us.min(u32::try_from(rtt).unwrap_or(u32::MAX));
        }
        let pong = Pong::parse(&frame.payload).map_err(|_| Drop::Malformed)?;
        let teller = link.peer.remote;
        if self.config.hostile.lists(pong.addr.ip()) {
            return Err(Drop::Hostile);
        }
        // Nobody who asks for addresses can link to a leaf, and what else it tells of it may not.
        if link.peer.role == Role::Leaf {
            return Ok(());
        }
        if self.config.net.is_two_tier() && self.hosts.is_new(pong.addr) {
            // One that tells of everybody wants us to call whom it likes, or to forget the others.
            if link.addresses_again <= now {
                link.addresses_again = now.plus(limits::PONG_ADDRESSES_SPAN);
                link.addresses_left = limits::PONG_ADDRESSES_MAX;
            }
            link.addresses_left = link
                .addresses_left
                .checked_sub(1)
                .ok_or(Drop::AddressFlood)?;
        }
        if self.config.net.believes(pong.addr) && Some(pong.addr) != self.config.listen {
            self.hosts.learn(pong.addr, Source::Peer(teller), Some(now));
            self.pongs.learn(CachedPong {
                addr: pong.addr,
                payload: Bytes::copy_from_slice(&frame.payload),
                hops: frame.header.hops,
                link: from,
                at: now,
            });
        }
        Ok(())
    }

    /// Answers a query from the library: hits go back over the link it came on, or straight to the asker.
    pub(super) fn answer_query(
        &mut self,
        now: Time,
        way: Way,
        header: Header,
        query: &Query<'_>,
        out: &mut Outbox,
    ) {
        // On a flat overlay everybody who shares listens; elsewhere a push brings who does not.
        let silent = self.config.listen.is_none() && self.tier() == Tier::Flat;
        // Neither could connect to the other.
        let apart = query.flags.firewalled() && self.firewalled();
        if self.library.is_empty() || silent || apart {
            return;
        }
        let max = self.results_max(header.hops, query);
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        for sha1 in &query.sha1s {
            found.extend(self.library.by_sha1(sha1));
        }
        if found.is_empty() && !query.text.is_empty() {
            // Some of those found may be of kinds that are not wanted.
            let look_at = query.media.map_or(max, |_| limits::LOOKED_AT_PER_QUERY);
            self.library.search(&query.text, look_at, &mut found);
            if let Some(media) = query.media {
                let library = &self.library;
                let name = |id: &FileId| library.file(*id).map(|file| file.name());
                found.retain(|id| name(id).is_some_and(|name| media::wants(media, name)));
                found.truncate(max);
            }
        }
        if !found.is_empty() {
            let form = if query.flags.reads_ggep_h() {
                HashForm::GgepH
            } else {
                HashForm::Urn
            };
            self.send_hits(now, way, header, form, &found, out);
            if let Some(asker) = way.asker {
                self.announce(now, asker, header, way.link, out);
            }
        }
        self.found = found;
    }

    /// Results for one query: no more than it wants, and on the live network fewer from far away, where many
    /// others answer too.
    fn results_max(&self, hops: u8, query: &Query<'_>) -> usize {
        let far = match self.tier() {
            Tier::Flat => 0,
            Tier::Leaf | Tier::Ultrapeer => hops.saturating_sub(limits::HOPS_NEAR),
        };
        let room = limits::HITS_PER_QUERY >> far.min(7);
        let wanted = query.flags.results_max();
        wanted.map_or(room, |wanted| room.min(wanted.into())).max(1)
    }

    fn send_hits(
        &mut self,
        now: Time,
        way: Way,
        query: Header,
        form: HashForm,
        found: &[FileId],
        out: &mut Outbox,
    ) {
        let library = std::sync::Arc::clone(&self.library);
        let to = way.link;
        let mut addr = self.own_addr(to);
        if addr.port() == 0 {
            addr.set_port(UNHEARD_PORT);
        }
        let header = hit_header(query);
        // On a LAN nothing on the way is small, and what does not fit goes over the links.
        let most = match (way.asker, self.tier()) {
            (None, _) | (_, Tier::Flat) => limits::HIT_BYTES,
            (Some(_), _) => limits::OUT_OF_BAND_BYTES - HEADER_BYTES - TOKEN_BYTES,
        };
        let mut files = found.iter().filter_map(|id| library.file(*id)).peekable();
        while files.peek().is_some() {
            let mut records = Vec::new();
            let mut bytes = HIT_EXTRA_BYTES;
            while let Some(mut next) = files.peek().map(record) {
                if let Some(sha1) = &next.sha1 {
                    let (others, hostile) = (self.elsewhere.of(now, sha1), &self.config.hostile);
                    next.alternates = others
                        .filter(|one| one.addr != addr && !hostile.lists(one.addr.ip()))
                        .collect();
                }
                let full =
                    records.len() == limits::RECORDS_PER_HIT || bytes + next.bytes_max() > most;
                if full && !records.is_empty() {
                    break;
                }
                bytes += next.bytes_max();
                records.push(next);
                files.next();
            }
            let hit = self.hit(addr, records);
            let payload = Bytes::from(hit.build_in(form));
            if let Some(rate) = self.config.limit_search {
                let link = self.links.get_mut(to);
                let fits = |bucket: &mut super::rate::Bucket| {
                    bucket.take(now, payload.len(), rate * limits::HIT_RATE_FACTOR)
                };
                if !link.is_some_and(|link| fits(&mut link.rate_hits)) {
                    self.stats.count_drop(Drop::RateLimited);
                    return;
                }
            }
            let frame = Frame { header, payload };
            match way.asker {
                Some(asker) if frame.wire_len() + TOKEN_BYTES <= DATAGRAM_BYTES_MAX => {
                    // It passes nobody who would count the hops. On the live network it says so: others take one that
                    // has travelled for a relayed one, which nobody proved to be wanted.
                    let header = Header {
                        ttl: 1,
                        hops: match self.tier() {
                            Tier::Flat => query.hops,
                            Tier::Leaf | Tier::Ultrapeer => 0,
                        },
                        ..header
                    };
                    self.offers.add(
                        now,
                        Offer {
                            asker: asker.addr,
                            header,
                            hit,
                            form,
                        },
                    );
                }
                _ => self.send(to, frame, out),
            }
        }
    }

    /// A hit of ours with these records.
    fn hit(&self, addr: SocketAddr, records: Vec<Record>) -> QueryHit {
        QueryHit {
            speed_kbps: SPEED_KBPS,
            vendor: VENDOR,
            push: Some(self.firewalled()),
            push_proxies: self.push_proxies(),
            busy: Some(self.busy),
            browse: true,
            tls: self.config.says_tls(),
            nick: (!self.config.name.is_empty()).then(|| self.config.name.clone()),
            ..QueryHit::new(addr, self.id, records)
        }
    }
}

/// The way of a hit of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The link that the query came on.
    pub(super) link: LinkId,
    /// Where the asker takes datagrams, if the query says so and may be believed.
    pub(super) asker: Option<Asker>,
}

/// A file of ours as others see it.
pub(crate) fn record(file: &FileView<'_>) -> Record {
    Record {
        index: file.index,
        size: file.size,
        name: file.name().to_owned(),
        sha1: file.sha1,
        tiger: file.tiger,
        created: (file.mtime > 0).then_some(file.mtime),
        ..Record::default()
    }
}
/// The header of a hit that goes back the way its query came.
pub(super) fn hit_header(query: Header) -> Header {
    Header {
        guid: query.guid,
        kind: Kind::QueryHit,
        // As far as the query came and some more, for ways that have changed (gtk-gnutella: hops + 5).
        ttl: query.hops.saturating_add(5),
        hops: 0,
    }
}
