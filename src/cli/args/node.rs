//! `peers` and `shares`: looking at the running node and steering it.

use structopt::StructOpt;

use super::values::Address;

/// The neighbours of the running node.
#[derive(Clone, Debug, StructOpt)]
pub struct PeersArgs {
    /// List them unless told otherwise.
    #[structopt(subcommand)]
    pub verb: Option<PeersVerb>,
}

/// What to do about neighbours.
#[derive(Clone, Debug, StructOpt)]
pub enum PeersVerb {
    /// List them
    List,
    /// Link to a node
    #[structopt(usage = "filbert peers add HOST[:PORT]")]
    Add {
        /// The node, port 6346 unless named
        #[structopt(value_name = "HOST:PORT")]
        host: Address,
        /// On which network, when this node is on both [default: the one that the address belongs to]
        #[structopt(long, value_name = "NET", possible_values = super::net::NETS)]
        net: Option<String>,
    },
    /// Close the link to a node
    #[structopt(usage = "filbert peers drop HOST[:PORT]")]
    Drop {
        /// The node, port 6346 unless named
        #[structopt(value_name = "HOST:PORT")]
        host: Address,
    },
}

/// The shared folders of the running node.
#[derive(Clone, Debug, StructOpt)]
pub struct SharesArgs {
    /// List them unless told otherwise.
    #[structopt(subcommand)]
    pub verb: Option<SharesVerb>,
}

/// What to do about shared folders.
#[derive(Clone, Debug, StructOpt)]
pub enum SharesVerb {
    /// List the folders; with --json also each file with size, urn and magnet
    List,
    /// Look for changed files now
    Rescan,
    /// Say how much is left out of the shared folders
    Check {
        /// List each file or folder left out, with the reason
        #[structopt(long)]
        why: bool,
    },
}
