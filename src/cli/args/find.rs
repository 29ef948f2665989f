//! Who is asked for nodes on the public network.

use structopt::StructOpt;

use super::values::Address;
use crate::net::Url;

/// Who is asked for nodes, for every command that takes part in the public network.
#[derive(Clone, Debug, Default, StructOpt)]
pub struct FindArgs {
    /// Ask this UDP host cache of --net gnutella for nodes, and remember it; may be given often
    #[structopt(long = "host-cache", value_name = "HOST:PORT", number_of_values = 1)]
    pub host_caches: Vec<Address>,
    /// Ask this web cache when no host cache helps, and remember it; may be given often
    #[structopt(long = "web-cache", value_name = "URL", number_of_values = 1)]
    pub web_caches: Vec<Url>,
}

impl FindArgs {
    /// Was nothing named?
    pub fn is_empty(&self) -> bool {
        self.host_caches.is_empty() && self.web_caches.is_empty()
    }
}
