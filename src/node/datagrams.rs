//! Datagrams that concern searches, or prove an address: what becomes of each, and what we send to whom.

use std::net::SocketAddr;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use crate::wire::vendor::{Proof, Vendor};
use crate::wire::{Frame, Kind};

use super::allowance::{Refused, party};
use super::event::{Action, Outbox};
use super::relay::Taken;
use super::{Drop, Node, Time};

impl Node {
    /// A datagram about a search came in, a hit of one, or a pong that no host cache was asked for.
    pub(super) fn datagram_in(
        &mut self,
        now: Time,
        from: SocketAddr,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let guid = frame.header.guid;
        let taken = match (frame.header.kind, Vendor::parse(&frame.payload)) {
            (Kind::QueryHit, _) => self.hit_by_datagram(now, from, frame, out),
            (Kind::Pong, _) => self.proved(now, from, guid, out),
            (Kind::Vendor, Ok(Vendor::QueryStatusRequest)) => {
                self.say_whether_wanted(from, guid, out)
            }
            (Kind::Vendor, Ok(Vendor::QueryStatusResponse(kept))) => {
                self.let_go_on(now, from, frame, kept, out)
            }
            (
                Kind::Vendor,
                Ok(Vendor::HitsReady {
                    version,
                    results,
                    proof,
                    ..
                }),
            ) => self.want(now, from, guid, (version, results, proof), out),
            (
                Kind::Vendor,
                Ok(Vendor::HitsWanted {
                    results,
                    token,
                    proof,
                }),
            ) => self.wanted(now, from, guid, (results, token, proof), out),
            (Kind::Vendor, Err(_)) => Err(Drop::Malformed),
            _ => Err(Drop::Unused),
        };
        if let Err(reason) = taken {
            self.stats.count_drop(reason);
        }
    }

    /// Sends a datagram to where somebody else says that an asker is: little, for it may be a victim's address.
    pub(super) fn speak_to(
        &mut self,
        now: Time,
        to: SocketAddr,
        frame: Frame,
        out: &mut Outbox,
    ) -> Taken {
        let party = party(self.config.net, to);
        let spoken = self.spoken_to.take(now, party, frame.wire_len());
        spoken.map_err(|refused| match refused {
            Refused::TooMuch => Drop::RateLimited,
            Refused::Crowd => Drop::DatagramCrowd,
        })?;
        self.open_hole(now, to);
        out.push(Action::Datagram(to, frame));
        Ok(())
    }

    /// Bytes that nobody can guess. They take nothing from the numbers that the node draws for its decisions.
    pub(super) fn new_secret(&mut self) -> Proof {
        self.tokens += 1;
        let mut secret = ChaCha8Rng::from_seed(self.rng.get_seed());
        secret.set_stream(self.tokens);
        let mut bytes = Proof::default();
        secret.fill_bytes(&mut bytes);
        bytes
    }
}
