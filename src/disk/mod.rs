//! Shared folders, hashes, state and partial files: everything that outlives the process.
//!
//! Blocking calls only; shells run them on threads of their own. Knows no protocol.

pub mod beneath;
pub mod cache;
pub mod folder;
pub mod hash;
pub mod hostile;
pub mod jobs;
pub mod liars;
pub mod lists;
pub mod names;
pub mod parts;
pub mod rankings;
pub mod results;
pub mod rules;
pub mod save;
pub mod scan;
pub mod scratch;
pub mod shares;
pub mod store;
pub mod tree;
#[cfg(feature = "watch")]
pub mod watch;
pub mod web_caches;
