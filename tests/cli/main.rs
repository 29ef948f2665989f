//! Drives the real program against real nodes on loopback: what a person and a script can rely on.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests")]

mod dates;
mod exits;
mod find;
mod folder;
mod get;
mod many;
mod net;
mod node;
mod search;
mod stdout;
mod transfers;
mod walled;
mod world;
