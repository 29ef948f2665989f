//! Agreements between two neighbours: vendor messages. What we read is what we announce, no more. What they say of who
//! reaches us is kept in `reach`.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::wire::vendor::{self, Feature, Vendor, VendorId};
use crate::wire::{Frame, Guid, ServentId};

use super::event::{Action, LinkId, Outbox, Role};
use super::relay::Taken;
use super::tiers::Tier;
use super::{Drop, Node, Time};

/// What we read, as *Messages Supported* says it: the last only where we have the socket for it.
const READ: [VendorId; 8] = [
    vendor::FEATURES_SUPPORTED,
    vendor::HOPS_FLOW,
    vendor::TCP_CONNECT_BACK,
    vendor::QUERY_STATUS_REQUEST,
    vendor::QUERY_STATUS_RESPONSE,
    vendor::PUSH_PROXY_REQUEST,
    vendor::PUSH_PROXY_ACK,
    vendor::UDP_CONNECT_BACK,
];
/// In *Features Supported*: our listener takes TLS from the first byte.
const TLS: Feature = Feature {
    name: *b"TLS!",
    version: 1,
};
/// A neighbour is called back at most this often: whoever asks more wants somebody knocked at.
const KNOCK_INTERVAL: Duration = Duration::from_secs(60);
/// Push proxies we ask for, and name in hits (LimeWire: 4).
pub(super) const PROXIES_MAX: usize = 4;
/// Neighbours asked to call us back before we know whether others reach us.
const CALL_BACKS_MAX: u8 = 3;

impl Node {
    /// What we tell a new neighbour that reads vendor messages.
    pub(super) fn introduce(&mut self, id: LinkId, out: &mut Outbox) {
        let Some(link) = self.links.get(id).filter(|link| link.peer.vendor_messages) else {
            return;
        };
        if self.tier() == Tier::Flat {
            return;
        }
        let ultrapeer = link.peer.role == Role::Ultrapeer;
        let guid = self.new_guid();
        let read = &READ[..READ.len() - usize::from(!self.config.datagrams)];
        self.send_vendor(id, guid, &Vendor::MessagesSupported(read.to_vec()), out);
        if self.config.says_tls() {
            let guid = self.new_guid();
            self.send_vendor(id, guid, &Vendor::FeaturesSupported(vec![TLS]), out);
        }
        if !self.firewalled() || !ultrapeer {
            return;
        }
        if self.reach.asked < CALL_BACKS_MAX
            && let Some(listen) = self.config.listen
        {
            self.reach.asked += 1;
            let guid = self.new_guid();
            self.send_vendor(id, guid, &Vendor::TcpConnectBack(listen.port()), out);
        }
        if self.reach.proxies.len() < PROXIES_MAX {
            // The message id of this one is our servent id.
            self.send_vendor(id, Guid(self.id.0), &Vendor::PushProxyRequest, out);
        }
    }

    /// A vendor message came in.
    pub(super) fn vendor_in(
        &mut self,
        now: Time,
        from: LinkId,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Taken {
        let header = frame.header;
        if header.hops != 0 || header.ttl > 1 {
            return Err(Drop::NotOneHop);
        }
        let message = Vendor::parse(&frame.payload).map_err(|_| Drop::Malformed)?;
        if let Vendor::TreeLink(chosen) = message {
            let link = self.links.get_mut(from).ok_or(Drop::LinkGone)?;
            link.child = chosen;
            return Ok(());
        }
        if self.tier() == Tier::Flat {
            return Err(Drop::Unused);
        }
        let own = self.own_addr(from);
        let link = self.links.get_mut(from).ok_or(Drop::LinkGone)?;
        match message {
            Vendor::HopsFlow(hops) => link.hops_flow = hops,
            Vendor::TcpConnectBack(port) => {
                let addr = SocketAddr::new(link.peer.remote.ip(), port);
                if now < link.knock_again || !self.config.net.believes_of(addr, link.peer.remote) {
                    return Err(Drop::Unused);
                }
                link.knock_again = now.plus(KNOCK_INTERVAL);
                out.push(Action::Knock(addr));
            }
            Vendor::QueryStatusRequest => {
                let Some(kept) = self.searches.results(&header.guid) else {
                    return Err(Drop::Unasked);
                };
                self.send_vendor(from, header.guid, &Vendor::QueryStatusResponse(kept), out);
            }
            Vendor::QueryStatusResponse(kept) => self.asking.guide(&header.guid, from, kept),
            Vendor::PushProxyRequest => {
                let SocketAddr::V4(addr) = own else {
                    return Err(Drop::Unused);
                };
                // Believed only of the one who asks: its hits and its greeting carry the same id, and nobody else here.
                let taken = ServentId(header.guid.0) == self.id
                    || self
                        .links
                        .by_servent(ServentId(header.guid.0))
                        .is_some_and(|other| other != from);
                let link = self.links.get_mut(from).ok_or(Drop::LinkGone)?;
                if taken
                    || addr.port() == 0
                    || link
                        .peer
                        .servent
                        .is_some_and(|servent| servent.0 != header.guid.0)
                {
                    return Err(Drop::FalseServent);
                }
                link.peer.servent = Some(ServentId(header.guid.0));
                self.send_vendor(from, header.guid, &Vendor::PushProxyAck(addr), out);
            }
            Vendor::PushProxyAck(addr) => self.proxy_found(from, addr, header.guid)?,
            Vendor::UdpConnectBack { port, id } => {
                return self.ping_back(now, from, port, id.unwrap_or(header.guid), out);
            }
            Vendor::MessagesSupported(reads) => {
                self.reads(from, &reads);
                self.ask_for_ping(now, from, out);
            }
            Vendor::PushProxyCancel | Vendor::TreeLink(_) | Vendor::FeaturesSupported(_) => {}
            Vendor::HitsReady { .. } | Vendor::HitsWanted { .. } | Vendor::Other(..) => {
                return Err(Drop::Unused);
            }
        }
        Ok(())
    }

    /// A neighbour says that it passes pushes on to us.
    fn proxy_found(&mut self, from: LinkId, addr: SocketAddrV4, guid: Guid) -> Taken {
        let addr = SocketAddr::V4(addr);
        let remote = self.links.get(from).ok_or(Drop::LinkGone)?.peer.remote;
        // Its own address and no other: else our hits would send others' pushes to a stranger.
        if guid.0 != self.id.0
            || addr.ip() != remote.ip()
            || !self.config.net.believes_of(addr, remote)
        {
            return Err(Drop::FalseServent);
        }
        let (IpAddr::V4(ip), port) = (addr.ip(), addr.port()) else {
            return Err(Drop::Unused);
        };
        if self.firewalled() && self.reach.proxies.len() < PROXIES_MAX {
            self.reach.proxies.retain(|(link, _)| *link != from);
            self.reach.proxies.push((from, SocketAddrV4::new(ip, port)));
        }
        Ok(())
    }
}
