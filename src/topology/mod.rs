//! The topology format: a graph of nodes, what they share and what is asked, as one JSON file or one short
//! text such as `rr:n=64,k=4`.
//!
//! [`Topology`] is the file as written ([`parse()`], [`Topology::to_json`]); [`Network`] is what it means, with
//! every shape drawn and every name resolved. Knows no node, no clock and no files: reading is the caller's.
//! The format is documented for people in `topology-configs/README.md` and for machines in
//! `topology-configs/topology.schema.json`; the tests hold the three together.

mod at;
pub mod dice;
pub mod events;
pub mod foreign;
pub mod graph;
mod imports;
pub mod names;
mod natures;
mod network;
mod parse;
pub mod plan;
mod print;
mod random;
mod roles;
mod shapes;
mod spec;
mod types;
mod units;

use crate::node::event::Role;

pub use graph::Graph;
pub use imports::{Import, Links};
pub use names::{Names, nearest};
pub use natures::SLOW_PER_S;
pub use network::{Edge, Network, Traits};
pub use parse::parse;
pub use roles::Roles;
pub use shapes::Shape;
pub use spec::parse_spec;
pub use types::{
    Amount, Arrival, Asker, Behaviour, Content, Copies, Defaults, File, Fill, Generate, Link,
    LinkTraits, NodeSpec, Search, Topology, Workload,
};
pub use units::{parse_duration, parse_rate, parse_size};

/// Value of the key `filbert` in every topology file.
pub const FORMAT: &str = "topology/1";
/// Nodes in one topology: what the simulator holds in some 8 GB. Our estimate.
pub const NODES_MAX: usize = 4_000_000;
/// Links in one topology; their ends are counted in 32 bits.
pub const LINKS_MAX: usize = 64_000_000;
/// Bytes of an id of a node; it may become the name of a folder.
pub(crate) const ID_BYTES_MAX: usize = 64;
/// Name of the one folder that the `files` of a node lie in. Its word matches queries, as any folder's does.
pub const FILES_FOLDER: &str = "files";

/// The places in two tiers, as files have them.
pub(crate) const ROLES: [(&str, Role); 2] = [("leaf", Role::Leaf), ("ultrapeer", Role::Ultrapeer)];

/// What is wrong with a topology, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", path, if path.is_empty() { "" } else { ": " })]
pub struct TopologyError {
    /// Place in the file, such as `nodes[3].fles`; empty when it is about the whole.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl TopologyError {
    /// An error at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// Can this be the id of a node: letters, digits, `-`, `_` and `.`, a letter or digit first?
pub(crate) fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= ID_BYTES_MAX
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}
