//! The trace of a run: every frame delivered, as one number or as JSON lines.
//!
//! Each node has a digest of what was delivered to it, in order; that of a world is made of all of them. So it does
//! not depend on the order among nodes, which means nothing where frames take time.

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

/// The lines of a trace, when somebody wants them.
#[derive(Default)]
pub(super) struct Trace {
    sink: Option<Sink>,
    failed: Option<std::io::Error>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sink.as_ref().map_or("no trace", |_| "a trace"))
    }
}

impl Trace {
    pub(super) fn new(sink: Option<Sink>) -> Self {
        Self { sink, failed: None }
    }

    /// Somebody wants its lines.
    pub(super) fn is_wanted(&self) -> bool {
        self.sink.is_some()
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

/// All of a frame as one number.
pub(super) fn words(frame: &Frame) -> u64 {
    let len = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
    let head = frame.header.to_bytes(len);
    let mut digest = 0;
    for part in [&head[..], &frame.payload] {
        for word in part.chunks(8) {
            let mut eight = [0; 8];
            eight[..word.len()].copy_from_slice(word);
            digest = mix(digest, u64::from_le_bytes(eight));
        }
    }
    digest
}

/// The digest of a node after a frame was delivered to it, given as its [`words`].
pub(super) fn heard(digest: u64, at_ns: u64, link: u32, words: u64) -> u64 {
    mix(mix(mix(digest, at_ns), u64::from(link)), words)
}

/// One digest of those of all nodes, given with their numbers in any order.
pub(super) fn of_all(digests: impl Iterator<Item = (u32, u64)>) -> u64 {
    digests.fold(0, |sum, (node, digest)| {
        sum.wrapping_add(mix(mix(digest, u64::from(node)), 0))
    })
}

/// One step of the digest: rotate, exclusive or, multiply by an odd number without pattern (2^64 divided by the
/// golden ratio). No protection against malice; none is needed.
pub(super) fn mix(digest: u64, word: u64) -> u64 {
    (digest.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
