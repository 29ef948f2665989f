//! The way of datagrams between nodes wired by hand: through the judge of each socket, as a shell has it.

use std::net::SocketAddr;

use filbert::node::event::PassedPush;
use filbert::node::udp::{Dropped, Heard, Udp, answer};
use filbert::node::{Command, Event, Ticket};
use filbert::wire::Frame;

use super::{Wired, addr};

/// Nobody listens to it.
const NOBODY: Ticket = Ticket(u64::MAX);

impl Wired {
    /// A datagram of node `from`: noted, and brought to the node that is there, if any.
    pub(super) fn datagram(&mut self, from: usize, to: SocketAddr, frame: &Frame) {
        self.datagrams.push((from, to, frame.clone()));
        self.bring(from, to, &frame.to_vec());
    }

    fn bring(&mut self, from: usize, to: SocketAddr, bytes: &[u8]) {
        let node = (0..self.nodes.len()).find(|node| addr(*node) == to);
        if let Some(node) = node.filter(|node| !self.deaf.contains(node)) {
            let _ = self.hear(node, addr(from), bytes);
        }
    }

    /// Node `at` hears a datagram from there. What the socket answers by itself is given, if anything; what the core
    /// makes of it follows with the next [`give`](Wired::give).
    pub fn hear(
        &mut self,
        at: usize,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, Dropped> {
        while self.sockets.len() < self.nodes.len() {
            let net = self.nodes[self.sockets.len()].config().net;
            self.sockets.push(Udp::new(net));
        }
        match self.sockets[at].hear(self.now, from, bytes)? {
            Heard::Question(question) => {
                if question.unasked {
                    self.queue_datagram(at, Event::Pinged(from, question.guid));
                }
                let introduction = self.nodes[at].introduction(self.now, from, question.wants);
                let Some(told) = answer(&question, &introduction) else {
                    return Err(Dropped::AnswerTooLarge);
                };
                let frame = Frame::from_datagram(&told).unwrap();
                self.datagrams.push((at, from, frame));
                self.bring(at, from, &told);
                Ok(Some(told))
            }
            Heard::Push(push) => {
                self.queue_datagram(at, passed(push));
                Ok(None)
            }
            Heard::Search(from, frame) => {
                self.queue_datagram(at, Event::Datagram(from, frame));
                Ok(None)
            }
            Heard::Hosts(by, packed) => {
                self.queue_datagram(at, Event::Told(by, packed.hosts));
                Ok(None)
            }
        }
    }

    fn queue_datagram(&mut self, at: usize, event: Event) {
        self.queue.push_back((at, event));
    }
}

fn passed(push: PassedPush) -> Event {
    Event::Command(NOBODY, Command::PassPush(push))
}
