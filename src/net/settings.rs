//! What a node is to be, and why it does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::control::ControlError;
use super::discovery::mapping::MapPort;
use super::discovery::{Discovery, WebCacheSettings};
use super::listen::Listen;
use super::local_time::WallClock;
use crate::disk::shares::{Options, ShareFolder, SharesError};
use crate::disk::store::{Home, LockError};
use crate::node::Config;
use crate::node::hosts::Remembered;
use crate::node::timetable::Timetable;
use crate::node::uploads::UploadLimits;

/// What a node is to be.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The core's settings; `listen` is filled in.
    pub config: Config,
    /// Where to listen.
    pub listen: Listen,
    /// Addresses of nodes to begin with.
    pub peers: Vec<SocketAddr>,
    /// Further overlays to take part in, each on a net of its own. They share port, shares and upload slots with the
    /// first and learn none of its addresses.
    pub also: Vec<Also>,
    /// What an earlier run knew, for a node without a home.
    pub remembered: Remembered,
    /// Files of hostile addresses: read again when they change, in place of those that the settings of the live network
    /// begin with.
    pub hostile_files: Vec<PathBuf>,
    /// Where it looks for others by itself.
    pub discovery: Discovery,
    /// Host caches of the live network, `HOST:PORT` each, asked while nobody else is known.
    pub host_caches: Vec<String>,
    /// Web caches of the live network, asked when host caches are of no use.
    pub web_caches: WebCacheSettings,
    /// Who is asked to pass connections from elsewhere on to us.
    pub map_port: MapPort,
    /// How many uploads run at a time.
    pub uploads: UploadLimits,
    /// Bytes a second for all uploads together, those to machines of this network aside.
    pub limit_up: Timetable,
    /// The same for all downloads that the node makes by itself.
    pub limit_down: Timetable,
    /// By which these change.
    pub wall_clock: WallClock,
    /// Where it keeps its id, hosts and hashes, and where commands find it. `None`: in memory, and nowhere.
    pub home: Option<Home>,
    /// Folders to share; these need a home.
    pub shares: Vec<ShareFolder>,
    /// How they are scanned.
    pub share_options: Options,
}

/// One more overlay beside the first.
#[derive(Clone, Debug, Default)]
pub struct Also {
    /// The core's settings there; `listen` is filled in.
    pub config: Config,
    /// Addresses of nodes to begin with.
    pub peers: Vec<SocketAddr>,
    /// What an earlier run knew, for a node without a home.
    pub remembered: Remembered,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error("{addr} is taken by another program; choose another with --listen")]
    AddressInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Nobody may listen there, or not we.
    #[error("cannot listen on {addr}: {source}; choose another address with --listen")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No free port between 6346 and those tried after it.
    #[error("no free port from 6346 on: {0}; choose one with --listen IP:PORT")]
    NoPort(io::Error),
    /// Another node runs in this home, or it cannot be had.
    #[error(transparent)]
    Home(#[from] LockError),
    /// A folder cannot or must not be shared.
    #[error(transparent)]
    Share(#[from] SharesError),
    /// Folders to share, but no place for their hashes.
    #[error("a node without a home shares nothing; give it one")]
    ShareWithoutHome,
    /// Two overlays on one net.
    #[error("a node is on each net once")]
    NetTwice,
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The list of downloads.
    #[error(transparent)]
    Transfers(io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}
