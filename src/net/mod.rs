//! SHELL 2: SOCKETS. The core on real sockets: tasks, deadlines and bytes, no protocol decisions.
//!
//! - `rt`: the runtime and the clock, in one file;
//! - `task`: the node task, the only owner of a [`Node`](crate::node::Node); `overlays`: one for each net;
//! - `conn`: a socket, plain or with `tls` on it;
//! - `inbox`: the way to it; `link`: reader and writer of one link; `coding`: compressed or not; `greeting`,
//!   `dial`, `listen`: how a socket becomes one;
//! - [`servent`]: a whole node for commands and other programs, made by `start` of what `settings` say; [`control`]: the
//!   same for other processes;
//! - `upload` and kin: HTTP served, [`file_server`] without an overlay; `browse`, `page`: whole libraries;
//! - [`download`] and kin: files fetched; [`partials`]: what is served of them meanwhile, `sharing`: of which;
//! - `transfers`: downloads that a node makes by itself;
//! - `limits`: bytes a second of all uploads and downloads, by the hour; [`local_time`]: the clock on the wall;
//! - [`discovery`]: nodes found without being told;
//! - `pusher`, `awaited`, `push_proxy`, `call_back`: connections that one side asks the other to open;
//! - `hostile`: who is shunned, as the files of the user say; `requests`, `figures`, `news`: what people are told; `asker`: asking for it from any thread.

mod asker;
mod awaited;
pub mod browse;
mod call_back;
mod coding;
mod conn;
pub mod control;
mod dial;
pub mod discovery;
pub mod download;
mod figures;
pub mod file_server;
mod greeting;
mod hostile;
pub(crate) mod http;
mod http_conn;
mod inbox;
mod lane;
mod limits;
mod link;
mod listen;
pub mod local_time;
mod mesh;
mod news;
mod overlays;
mod own;
mod page;
pub mod partials;
mod push_proxy;
mod pusher;
mod replies;
mod requests;
pub(crate) mod rt;
pub mod servent;
mod settings;
mod shares;
mod sharing;
mod start;
mod task;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(feature = "tls")]
mod tls;
mod transfers;
pub(crate) mod upload;
mod upload_body;
mod upload_reply;

pub use asker::Asker;
pub use discovery::{Discovery, MapPort, Url, WebCacheSettings};
pub use listen::Listen;
pub use news::News;
pub use own::own_address;
pub use pusher::{Pusher, Walled};
pub use replies::{Hits, Replies};
pub(crate) use requests::hit_of as hit_for_people;
pub use servent::{Servent, Settings, StartError};
pub use sharing::Sharing;
