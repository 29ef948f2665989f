//! Pongs remembered for answers, so that pings need never be broadcast (overlay, "Ping and Pong").

use std::net::SocketAddr;

use bytes::Bytes;

use super::Time;
use super::event::LinkId;
use super::hostile::Hostile;
use super::limits;

/// One pong as it came.
#[derive(Clone, Debug)]
pub(super) struct CachedPong {
    pub(super) addr: SocketAddr,
    /// Its payload, copied out of the read buffer it came in.
    pub(super) payload: Bytes,
    /// Hops it has travelled to us.
    pub(super) hops: u8,
    pub(super) link: LinkId,
    pub(super) at: Time,
}

/// The youngest [`limits::PONGS_MAX`] pongs, one for each address.
#[derive(Debug, Default)]
pub(super) struct PongCache {
    pongs: Vec<CachedPong>,
}

impl PongCache {
    pub(super) fn learn(&mut self, pong: CachedPong) {
        self.pongs.retain(|old| old.addr != pong.addr);
        if self.pongs.len() >= limits::PONGS_MAX {
            self.pongs.remove(0);
        }
        self.pongs.push(pong);
    }

    /// Pongs young enough to pass on to `link`: none of those it gave us; the youngest first.
    pub(super) fn for_link(&self, link: LinkId, now: Time) -> impl Iterator<Item = &CachedPong> {
        self.pongs
            .iter()
            .rev()
            .filter(move |pong| pong.link != link && now.since(pong.at) <= limits::PONG_LIFE)
            .take(limits::PONGS_PER_PING)
    }

    /// All that are young enough to tell of, the youngest first.
    pub(super) fn young(&self, now: Time) -> impl Iterator<Item = &CachedPong> {
        let young = move |pong: &&CachedPong| now.since(pong.at) <= limits::PONG_LIFE;
        self.pongs.iter().rev().filter(young)
    }

    /// Forgets those of addresses on this list.
    pub(super) fn shun(&mut self, hostile: &Hostile) {
        self.pongs.retain(|pong| !hostile.lists(pong.addr.ip()));
    }

    /// Forgets what a link that is gone said about itself.
    pub(super) fn link_gone(&mut self, link: LinkId) {
        self.pongs.retain(|pong| pong.link != link || pong.hops > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pong(port: u16, link: u32) -> CachedPong {
        CachedPong {
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            payload: Bytes::new(),
            hops: 0,
            link: LinkId(link),
            at: Time::ZERO,
        }
    }

    #[test]
    fn the_cache_is_bounded_holds_an_address_once_and_never_tells_a_link_its_own_pongs() {
        let mut cache = PongCache::default();
        for port in 1..=1_000 {
            cache.learn(pong(port, u32::from(port % 2)));
            cache.learn(pong(port, u32::from(port % 2)));
        }
        assert_eq!(cache.pongs.len(), limits::PONGS_MAX);
        let told: Vec<_> = cache.for_link(LinkId(0), Time::ZERO).collect();
        assert_eq!(told.len(), limits::PONGS_PER_PING);
        assert!(told.iter().all(|pong| pong.link == LinkId(1)));
        let late = Time::ZERO
            .plus(limits::PONG_LIFE)
            .plus(std::time::Duration::from_secs(1));
        assert_eq!(cache.for_link(LinkId(0), late).count(), 0);
    }
}
