//! Pings by datagram: who is answered, and with how much.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Dropped, datagram};
use crate::node::Time;
use crate::node::address::{Net, SERVICE_PORTS};
use crate::node::allowance::party;
use crate::wire::ping::{Ping, Pong};
use crate::wire::{Frame, Guid, Kind};

/// Bytes of an answer to a proved address (bootstrap.md section 2: below 512).
pub const ANSWER_BYTES_MAX: usize = 511;
/// Bytes of an answer for each byte of the question of an address that nothing proves (overlay.md section 12).
pub const AMPLIFICATION: usize = 3;
/// Addresses in one answer (gtk-gnutella: 30).
pub const HOSTS_GIVEN: usize = 30;
/// An address is answered once in this time (bootstrap.md section 2).
const ANSWER_GAP: Duration = Duration::from_secs(60);
/// Addresses answered in that time. With 512 bytes each this is at most 35 KB a second, whoever asks.
pub(super) const ANSWERED_MAX: usize = 4_096;
/// Flag of `SCP`: the asker looks for ultrapeer slots.
pub(super) const WANTS_ULTRAPEER_SLOTS: u8 = 1;

/// A ping that is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it came from, as far as that can be believed.
    pub from: SocketAddr,
    /// What it wants besides us.
    pub wants: Wants,
    /// Its id.
    pub guid: Guid,
    /// Nothing was sent there lately, so that it proves that datagrams of strangers reach us.
    pub unasked: bool,
    pub(super) bytes: usize,
}

/// What a ping by datagram asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Are we there?
    Nothing,
    /// Ultrapeers with free leaf slots.
    LeafSlots,
    /// Ultrapeers with free ultrapeer slots.
    UltrapeerSlots,
}

/// What the node says about itself and others to one who asks by datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Itself.
    pub own: Pong,
    /// Ultrapeers with the wanted slots, at most [`HOSTS_GIVEN`].
    pub hosts: Vec<SocketAddr>,
    /// A neighbour has the address of the asker.
    pub proved: bool,
}

/// Who was answered lately.
#[derive(Debug)]
pub(super) struct Answered {
    net: Net,
    pub(super) parties: BTreeMap<SocketAddr, Time>,
}

impl Answered {
    pub(super) fn new(net: Net) -> Self {
        Self {
            net,
            parties: BTreeMap::new(),
        }
    }

    /// A ping came in: is it to be answered?
    pub(super) fn question(
        &mut self,
        now: Time,
        from: SocketAddr,
        ping: &Frame,
    ) -> Result<Question, Dropped> {
        let header = ping.header;
        if header.hops != 0 || header.ttl == 0 {
            return Err(Dropped::Relayed);
        }
        // An answer to port 53 and its like would be an attack on who is there, with our name on it.
        if SERVICE_PORTS.contains(&from.port()) {
            return Err(Dropped::Service);
        }
        let ping_read = Ping::parse(&ping.payload).map_err(|_| Dropped::Malformed)?;
        let wants = match ping_read.wants_hosts {
            None => Wants::Nothing,
            Some(flags) if flags & WANTS_ULTRAPEER_SLOTS != 0 => Wants::UltrapeerSlots,
            Some(_) => Wants::LeafSlots,
        };
        let party = party(self.net, from);
        if let Some(at) = self.parties.get(&party)
            && now.since(*at) < ANSWER_GAP
        {
            return Err(Dropped::PingTooSoon);
        }
        if self.parties.len() >= ANSWERED_MAX {
            self.parties.retain(|_, at| now.since(*at) < ANSWER_GAP);
        }
        if self.parties.len() >= ANSWERED_MAX {
            return Err(Dropped::PingCrowd);
        }
        self.parties.insert(party, now);
        Ok(Question {
            from,
            wants,
            guid: header.guid,
            unasked: true,
            bytes: ping.wire_len(),
        })
    }
}

/// The answer: as many addresses as it may carry, and without our vendor where that is too long. `None`: even so it
/// would be too long for who asks.
pub fn answer(question: &Question, introduction: &Introduction) -> Option<Vec<u8>> {
    let most = if introduction.proved {
        ANSWER_BYTES_MAX
    } else {
        ANSWER_BYTES_MAX.min(AMPLIFICATION * question.bytes)
    };
    let mut hosts: &[SocketAddr] = match question.wants {
        Wants::Nothing => &[],
        Wants::LeafSlots | Wants::UltrapeerSlots => &introduction.hosts,
    };
    hosts = &hosts[..hosts.len().min(HOSTS_GIVEN)];
    loop {
        let pong = introduction.own.build_with(hosts);
        let datagram = datagram(question.guid, Kind::Pong, pong);
        if datagram.len() <= most {
            return Some(datagram);
        }
        let Some((_, fewer)) = hosts.split_last() else {
            break;
        };
        hosts = fewer;
    }
    let short = datagram(question.guid, Kind::Pong, introduction.own.build_short());
    (short.len() <= most).then_some(short)
}
