//! Who is asked for nodes on the public network.

use structopt::StructOpt;

use super::values::Address;

/// Who is asked for nodes, for every command that takes part in the public network.
#[derive(Clone, Debug, Default, StructOpt)]
pub struct FindArgs {
    /// Ask this UDP host cache of --net gnutella for nodes, and remember it; may be given often
    #[structopt(long = "host-cache", value_name = "HOST:PORT", number_of_values = 1)]
    pub host_caches: Vec<Address>,
}

impl FindArgs {
    /// Was anything named?
    pub fn is_empty(&self) -> bool {
        self.host_caches.is_empty()
    }
}
