//! Finding nodes without being told. Each way in a file of its own, its decisions in [`crate::node`]:
//!
//! - `lan`: the multicast group of this network;
//! - `udp`: datagrams of the live network, and host caches;
//! - `web`: web caches, asked with `http`;
//! - `dns_sd`: on a LAN, by DNS-SD; `mapping`: ports of the router, opened where asked;
//! - `finding`: how far that has got, for people.

pub(super) mod dns_sd;
pub(super) mod finding;
pub(super) mod http;
pub(super) mod lan;
pub(super) mod mapping;
pub(super) mod udp;
pub(super) mod web;

pub use http::Url;
pub use mapping::MapPort;
pub use web::WebCacheSettings;

/// Where a node looks for others by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// Nowhere: it knows those it is told of, and whom these tell of.
    #[default]
    Off,
    /// On the networks of this machine; never when it listens on loopback only.
    Lan,
}
