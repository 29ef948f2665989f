//! Networks of real node processes on loopback ports.
//!
//! - `place`: the folder of a network, who holds it, and what is left of one that was killed;
//! - `files`: made-up files; `launch`: processes, links, and their end; `ask`: questions to nodes;
//! - `measure`: what a query costs on a network at rest;
//! - `children`: processes; `fleet`: nodes that die and come back, links that change; `live`: the same with `churn`;
//! - `events`: what a file says happens, `parts`: and between one and the next; `asking`: searches beside their predictions;
//! - `tiers`: leaves and ultrapeers;
//! - `tend`: the links of one node whose neighbours run elsewhere;
//! - `run`: a whole topology once; `keep`: the process that holds the nodes of `lab up`.
//!
//! Nothing outlives its holder: each node reads its standard input, and ends when that does. Nothing is killed
//! or removed that was not made here: folders by their lock, processes by their start time.

pub(super) mod ask;
pub(super) mod asking;
mod children;
mod churn;
pub(super) mod deed;
pub(super) mod desk;
mod events;
mod files;
pub(super) mod fleet;
pub(super) mod keep;
pub(super) mod launch;
mod live;
pub(super) mod measure;
mod parts;
pub(super) mod place;
mod process;
pub(super) mod run;
pub(super) mod tend;
pub(super) mod tiers;
