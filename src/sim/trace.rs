//! The trace of a run: every frame delivered, in order, as one number or as JSON lines.

use std::io::Write;

use serde_json::json;

use crate::topology::Names;
use crate::wire::Frame;

/// One frame, delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery<'a> {
    pub(super) at_ns: u64,
    pub(super) from: u32,
    pub(super) to: u32,
    /// Link of `to` that it came on.
    pub(super) link: u32,
    pub(super) frame: &'a Frame,
}

/// Where the lines of a trace go.
pub type Sink = Box<dyn Write + Send>;

/// A running digest of all deliveries, and their lines when somebody wants them.
#[derive(Default)]
pub(super) struct Trace {
    digest: u64,
    sink: Option<Sink>,
    failed: Option<std::io::Error>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trace({:016x})", self.digest)
    }
}

impl Trace {
    pub(super) fn new(sink: Option<Sink>) -> Self {
        Self {
            digest: 0,
            sink,
            failed: None,
        }
    }

    /// One number that differs when anything delivered differs in time, order, place or bytes.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// Ends the trace; the first error of its sink, if there was one.
    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.sink.as_mut().map_or(Ok(()), Write::flush)
    }

    pub(super) fn add(&mut self, delivery: Delivery<'_>, names: &Names) {
        let header = delivery.frame.header;
        let bytes =
            header.to_bytes(u32::try_from(delivery.frame.payload.len()).unwrap_or(u32::MAX));
        let place = u64::from(delivery.to) << 32 | u64::from(delivery.link);
        let mut digest = mix(mix(self.digest, delivery.at_ns), place);
        for part in [&bytes[..], &delivery.frame.payload] {
            for word in part.chunks(8) {
                let mut eight = [0; 8];
                eight[..word.len()].copy_from_slice(word);
                digest = mix(digest, u64::from_le_bytes(eight));
            }
        }
        self.digest = digest;
        if let Some(sink) = &mut self.sink
            && self.failed.is_none()
        {
            let line = json!({
                "t_ns": delivery.at_ns, "from": names.name(delivery.from), "to": names.name(delivery.to),
                "link": delivery.link, "kind": header.kind.name(), "guid": header.guid.to_string(),
                "ttl": header.ttl, "hops": header.hops, "bytes": delivery.frame.wire_len(),
            });
            self.failed = writeln!(sink, "{line}").err();
        }
    }
}

/// One step of the digest: rotate, exclusive or, multiply by an odd number without pattern (2^64 divided by the
/// golden ratio). No protection against malice; none is needed.
pub(super) fn mix(digest: u64, word: u64) -> u64 {
    (digest.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
