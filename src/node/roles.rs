//! A role left to the network: a leaf that has the means becomes an ultrapeer, and back when nobody needs it.
//!
//! Who is refused, and why, is for `peering`; this part only decides what we are. Every neighbour has been told our
//! role in its greeting and goes by it, so that a change ends all links: they are told so (Bye 203) and made anew.
//! Times: gtk-gnutella.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Bye, Direction, Outbox, Peer, Role};
use super::tiers::Tier;
use super::{Node, Time, limits};

/// How often a node looks whether its role still fits.
const LOOK_EVERY: Duration = Duration::from_secs(60);

const CHANGED: Bye = Bye {
    code: 203,
    text: "Changing peer mode",
};
const CHANGED_MEANWHILE: Bye = Bye {
    code: 504,
    text: "Peer mode changed during the greeting",
};

/// Why a leaf does not become an ultrapeer yet: the first reason that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Nobody is known to have connected to us who was not asked to.
    Unreachable,
    /// The upload limit is below [`limits::ULTRAPEER_UPLOAD_MIN`].
    LittleUpload,
    /// Half of the links or more cannot be written to as fast as needed.
    Congested,
    /// Not up for [`limits::PROMOTION_UPTIME`] yet.
    UpTooShort,
    /// The role changed less than [`limits::ROLE_GAP`] ago.
    ChangedLately,
    /// Searches of ours are under way, which would lose their links.
    Searching,
}

/// What a node keeps whose role is left to the network.
#[derive(Debug, Default)]
pub(super) struct Roles {
    started: Option<Time>,
    changed: Option<Time>,
    /// Since when an ultrapeer has no leaves.
    leafless: Option<Time>,
    pub(super) due: Option<Time>,
}

impl Node {
    /// Starts to watch the role, if it is ours to choose.
    pub(super) fn watch_role(&mut self, now: Time) {
        if self.config.auto_role && self.roles.started.is_none() {
            self.roles.started = Some(now);
            self.roles.due = Some(now.plus(LOOK_EVERY));
        }
    }

    /// Looks whether the role fits, when it is time.
    pub(super) fn roles_tick(&mut self, now: Time, out: &mut Outbox) {
        if self.roles.due.is_none_or(|due| due > now) {
            return;
        }
        self.roles.due = Some(now.plus(LOOK_EVERY));
        match self.config.role {
            Role::Leaf => {
                if self.hindrance(now).is_none() {
                    self.become_role(now, Role::Ultrapeer, out);
                }
            }
            Role::Ultrapeer => {
                if self.links.count(Role::Leaf) > 0 {
                    self.roles.leafless = None;
                    return;
                }
                let since = *self.roles.leafless.get_or_insert(now);
                let idle = now.since(since) >= limits::LEAFLESS_MAX;
                if idle && self.may_change(now) && self.searches.iter().next().is_none() {
                    self.become_role(now, Role::Leaf, out);
                }
            }
        }
    }

    /// Why this node is no ultrapeer yet, if its role is left to the network and it is a leaf.
    pub fn hindrance(&self, now: Time) -> Option<Hindrance> {
        if !self.config.auto_role || self.config.role == Role::Ultrapeer {
            return None;
        }
        let up = self
            .roles
            .started
            .map_or(Duration::ZERO, |at| now.since(at));
        let pressed = self
            .links
            .with_traffic()
            .filter(|(.., traffic)| traffic.pressed().is_some())
            .count();
        let least = limits::ULTRAPEER_UPLOAD_MIN;
        let known = [self.config.upload, self.config.limit_search];
        let reasons = [
            (
                !self.reach.proved || self.config.listen.is_none(),
                Hindrance::Unreachable,
            ),
            (
                known.into_iter().flatten().any(|rate| rate < least),
                Hindrance::LittleUpload,
            ),
            (
                pressed > 0 && 2 * pressed >= self.links.len(),
                Hindrance::Congested,
            ),
            (up < limits::PROMOTION_UPTIME, Hindrance::UpTooShort),
            (!self.may_change(now), Hindrance::ChangedLately),
            (self.searches.iter().next().is_some(), Hindrance::Searching),
        ];
        reasons
            .into_iter()
            .find_map(|(holds, reason)| holds.then_some(reason))
    }

    fn may_change(&self, now: Time) -> bool {
        let gap = limits::ROLE_GAP;
        !self.peering.leaving && self.roles.changed.is_none_or(|at| now.since(at) >= gap)
    }

    /// Takes another role and tells all who were told the old one.
    fn become_role(&mut self, now: Time, role: Role, out: &mut Outbox) {
        let config = Arc::make_mut(&mut self.config);
        config.role = role;
        let (min_links, max_links) = limits::links_of(role);
        // Who looks for nobody goes on doing so.
        if config.min_links > 0 {
            config.min_links = min_links;
        }
        config.max_links = max_links;
        self.roles.changed = Some(now);
        self.roles.leafless = None;
        // First the links: what they end is of the old role.
        for id in self.links.ids().to_vec() {
            self.close(id, CHANGED, out);
        }
        // An ultrapeer's table holds those of its leaves.
        self.table_is_another();
    }

    /// Would this node become a leaf now if an ultrapeer asked it to? Not with leaves of its own, nor sooner than roles
    /// may change.
    pub fn may_step_down(&self, now: Time) -> bool {
        self.config.auto_role
            && self.tier() == Tier::Ultrapeer
            && self.links.count(Role::Leaf) == 0
            && self.may_change(now)
            && self.searches.iter().next().is_none()
    }

    /// Becomes a leaf if it promised that in this greeting, and nothing has come between.
    pub(super) fn follow(&mut self, now: Time, peer: &Peer, out: &mut Outbox) {
        let promised = (peer.ours, peer.guides_to) == (Role::Leaf, Some(Role::Leaf));
        let felt = matches!(peer.direction, Direction::Dialled(addr) if self.peering.feeling == Some(addr));
        if promised && !felt && self.may_step_down(now) {
            self.become_role(now, Role::Leaf, out);
        }
    }

    /// Shall an ultrapeer that asks to link do so as a leaf? `have`: links to ultrapeers, with those to come.
    pub(super) fn would_guide(&self, peer: &Peer, have: usize) -> bool {
        let from = self.config.max_links * limits::GUIDE_ABOVE_PERCENT / 100;
        (self.tier(), peer.role) == (Tier::Ultrapeer, Role::Ultrapeer)
            && have >= from.max(1)
            && self.links.count(Role::Leaf) < self.config.max_leaves
    }

    /// Was this peer told another role in its greeting than we have now?
    pub(super) fn greeted_otherwise(&self, peer: &Peer) -> Option<Bye> {
        let other = self.config.auto_role && peer.ours != self.config.role;
        other.then_some(CHANGED_MEANWHILE)
    }
}
