//! SHELL 2: SOCKETS. The core on real sockets: tasks, deadlines and bytes, no protocol decisions.
//!
//! - `rt`: the runtime and the clock, in one file;
//! - `task`: the node task, the only owner of a [`Node`](crate::node::Node);
//! - `link`: reader and writer of one link; `greeting`, `dial`, `listen`: how a socket becomes one;
//! - [`servent`]: a whole node for commands and other programs; [`control`]: the same for other processes;
//! - `requests`, `figures`, `news`: what people are told.

pub mod control;
mod dial;
mod figures;
mod greeting;
pub(crate) mod http;
mod link;
mod listen;
mod news;
mod replies;
mod requests;
pub(crate) mod rt;
pub mod servent;
mod shares;
mod task;

pub use listen::Listen;
pub use news::News;
pub use replies::Replies;
pub use servent::{Servent, Settings, StartError};
