//! Calls of servers in whose queue our turn has come.

use std::net::IpAddr;
use std::sync::Arc;

use super::Source;
use crate::net::awaited::{Awaited, Wait};
use crate::net::conn::Stream;

/// A place in a queue: its id, and where whoever gave it must call from. Ids may be short and guessed.
type Place = (String, IpAddr);

/// Where servers call when our turn has come in their queue, and who waits for which of them. Clones are the same.
#[derive(Clone, Debug)]
pub struct Turns {
    port: u16,
    awaited: Arc<Awaited<Place>>,
}

impl Turns {
    /// Those of a node that listens at this port.
    pub(in crate::net) fn new(port: u16) -> Self {
        Self {
            port,
            awaited: Arc::default(),
        }
    }

    /// Where we can be called.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Somebody calls: whoever waits for it gets the connection. `false`: nobody does.
    pub(in crate::net) fn called(&self, id: String, from: IpAddr, stream: Stream) -> bool {
        self.awaited.arrived(&(id, from.to_canonical()), stream)
    }

    /// Begins to wait for a call of this source about that place; `None`: too many wait, or its address is not known.
    pub(super) fn wait_for(&self, id: String, source: &Source) -> Option<Wait<Place>> {
        let from: IpAddr = source.place().0.parse().ok()?;
        self.awaited.wait_for((id, from.to_canonical()))
    }
}
