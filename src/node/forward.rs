//! How floods are passed on by choice of this node alone: to all, to a few drawn at random, or along a tree.
//!
//! The tree of `LightFlood`: each node picks its neighbour of most links and tells it so; the links picked by either
//! end are the tree. While a query has travelled few hops duplicates are rare, and it goes to all; later it goes along
//! the tree. Source: Jiang and others, 2003 and 2008.

use crate::wire::vendor::Vendor;

use super::Node;
use super::event::{LinkId, Outbox};
use super::strategy::Forward;

/// Our place in the tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The neighbour we picked.
    parent: Option<LinkId>,
}

impl Node {
    /// The links but `except` that a query goes to which has travelled `hops`.
    pub(super) fn chosen(&mut self, hops: u8, except: Option<LinkId>) -> Vec<LinkId> {
        let others = self.links.ids().iter().copied();
        let others = others.filter(|id| Some(*id) != except);
        match self.config.forward {
            Forward::Flood => others.collect(),
            Forward::Normalised(most) => {
                let mut all: Vec<LinkId> = others.collect();
                let most = usize::from(most).min(all.len());
                for at in 0..most {
                    let other = self.draw(at..all.len());
                    all.swap(at, other);
                }
                all.truncate(most);
                all
            }
            Forward::Light(flooded) if hops < flooded => others.collect(),
            Forward::Light(_) => {
                let parent = self.tree.parent;
                let is_child = |id: &LinkId| self.links.get(*id).is_some_and(|link| link.child);
                let in_tree = others.filter(|id| Some(*id) == parent || is_child(id));
                in_tree.collect()
            }
        }
    }

    /// Our neighbours have changed: picks the one of most links, the oldest of equals, and says so.
    pub(super) fn grow_tree(&mut self, out: &mut Outbox) {
        if !matches!(self.config.forward, Forward::Light(_)) {
            return;
        }
        let mut best: Option<(u16, LinkId)> = None;
        for (id, link) in self.links.iter() {
            if best.is_none_or(|(degree, _)| link.peer.degree > degree) {
                best = Some((link.peer.degree, id));
            }
        }
        let picked = best.map(|(_, id)| id);
        let before = std::mem::replace(&mut self.tree.parent, picked);
        if before == picked {
            return;
        }
        for (link, chosen) in [(before, false), (picked, true)] {
            let reads = |id: &LinkId| {
                self.links
                    .get(*id)
                    .is_some_and(|link| link.peer.vendor_messages)
            };
            if let Some(link) = link.filter(reads) {
                let guid = self.new_guid();
                self.send_vendor(link, guid, &Vendor::TreeLink(chosen), out);
            }
        }
    }
}
