//! A Gnutella 0.6 node: share folders, search them, fetch from them, and study the overlay they make.
//!
//! Rooms, in reading order; data flows one way, and `tests/layering.rs` holds them to it:
//!
//! - [`wire`]: bytes <-> values;
//! - [`node`]: decisions. The routing core, without clock, input or output;
//! - [`topology`] and [`control`]: plain data shared by the shells;
//! - [`disk`]: shared folders, hashes, state and partial files;
//! - [`sim`]: the core in virtual time;
//! - [`net`]: the core on sockets;
//! - [`cli`]: what people type and see.

pub mod cli;
pub mod control;
pub mod disk;
pub mod net;
pub mod node;
pub mod sim;
pub mod topology;
pub mod wire;
