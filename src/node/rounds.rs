//! Searches in rounds: a flood of a small TTL first, and a wider one when it did not bring enough.
//!
//! Each round is a query of its own, with a new message id, so that every neighbour passes it on. Source: Lv and
//! others, 2002, "expanding ring".

use std::time::Duration;

use super::event::Outbox;
use super::strategy::Strategy;
use super::tiers::Tier;
use super::{Node, Time, limits};

impl Node {
    /// How long a round of this TTL is given.
    pub(super) fn ring_wait(&self, ttl: u8) -> Duration {
        let hop = match self.tier() {
            Tier::Flat => limits::RING_WAIT_PER_HOP_FLAT,
            Tier::Leaf | Tier::Ultrapeer => limits::RING_WAIT_PER_HOP,
        };
        hop * u32::from(ttl)
    }

    /// Begins every round that is due.
    pub(super) fn rounds_tick(&mut self, now: Time, out: &mut Outbox) {
        while let Some(ticket) = self.searches.due_by(now) {
            let guid = self.new_guid();
            let Some((ttl, last)) = self.searches.begin_round(ticket, guid) else {
                continue;
            };
            let due = (!last).then(|| now.plus(self.ring_wait(ttl)));
            let Some(query) = self.searches.set_due(ticket, due) else {
                continue;
            };
            let (left_out, _) = self.all_too_soon(now, &query);
            self.send_out(now, &query, &Strategy::Flood, out);
            self.tell_searching(ticket, &query, left_out, out);
        }
    }
}
