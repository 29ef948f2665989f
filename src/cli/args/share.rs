//! `share`: what is shared, with whom, how much.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use structopt::StructOpt;

use super::limit::LimitWord;
use super::net::{NetArgs, ROLES};
use super::values::{self, Address, Listen, Rate};

/// Share folders until Ctrl-C.
#[derive(Clone, Debug, StructOpt)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[structopt(after_help = "EXAMPLES:
    filbert share ~/Photos/Wedding
    filbert share ~/Books ~/Papers --peer 192.168.1.20 --name desk
    filbert share ~/Books --dry-run              what would be shared, what is left out and why
    filbert share ~/Music --net gnutella         with strangers everywhere

Hidden files, links that leave the folder, keys, mail and unfinished downloads are never shared.")]
pub struct ShareArgs {
    /// Folders to share, with all below them; none: relay for others, share nothing
    #[structopt(value_name = "DIR", parse(from_os_str))]
    pub dirs: Vec<PathBuf>,
    /// Listen here and nowhere else [default: port 6346, or the next free one]
    #[structopt(long, value_name = "IP:PORT")]
    pub listen: Option<Listen>,
    /// A node to link to, port 6346 unless named; may be given often
    #[structopt(long = "peer", value_name = "HOST:PORT", number_of_values = 1)]
    pub peers: Vec<Address>,
    /// Look for no nodes on this network; also with FILBERT_NO_DISCOVERY set
    #[structopt(long)]
    pub no_discovery: bool,
    /// Which network.
    #[structopt(flatten)]
    pub net: NetArgs,
    /// Place on --net gnutella: a leaf hangs on ultrapeers, which carry the traffic; auto: a leaf that becomes one when
    /// it can [default: leaf]
    #[structopt(long, value_name = "ROLE", possible_values = ROLES)]
    pub role: Option<String>,
    /// Have the router pass connections on to this node (NAT-PMP, UPnP), so that strangers can fetch from it
    #[structopt(long)]
    pub map_port: bool,
    /// The router to ask instead of that of this network, for tests
    #[structopt(long, hidden = true, value_name = "IP:PORT")]
    pub router: Option<Listen>,
    /// Name shown to others [default: the name of this machine; none on --net gnutella]
    #[structopt(long, env = "FILBERT_NAME", hide_env_values = true)]
    pub name: Option<String>,
    /// Where `get` puts files; never shared unless listed [default: the download folder]
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub downloads: Option<PathBuf>,
    /// Neighbours looked for; 0: only those of --peer [default: 4; a leaf 3, an ultrapeer 10]
    #[structopt(long, value_name = "N")]
    pub min_links: Option<usize>,
    /// Neighbours accepted [default: 16; a leaf 4, an ultrapeer 32 and its leaves]
    #[structopt(long, value_name = "N", parse(try_from_str = values::at_least_one))]
    pub max_links: Option<usize>,
    /// Leaves accepted with --role ultrapeer [default: 30]
    #[structopt(long, value_name = "N")]
    pub max_leaves: Option<usize>,
    /// Hops own queries travel, 4 at most on --net gnutella; above 7 also lifts the cap on those of others
    /// [default: 4]
    #[structopt(long, value_name = "HOPS", parse(try_from_str = values::ttl))]
    pub ttl: Option<u8>,
    /// Message ids remembered [default: 65536]
    #[structopt(long, value_name = "N")]
    pub seen_cache: Option<NonZeroUsize>,
    /// Let a query pass again when it comes with a higher TTL than before
    #[structopt(long)]
    pub ext_probes: bool,
    /// Files sent at a time [default: 4]
    #[structopt(long, value_name = "N", parse(try_from_str = values::at_least_one))]
    pub slots: Option<usize>,
    /// Bytes of files sent a second, such as 5MB/s; machines of this network do not count. With hours it holds then, the
    /// first that fits: 22:00-07:00=off, mon-fri,08:00-18:00=200kB/s; may be given often [default: none]
    #[structopt(long, value_name = "LIMIT", number_of_values = 1)]
    pub limit_up: Vec<LimitWord>,
    /// The same for what this node fetches by itself, all downloads together (`get --detach`) [default: none]
    #[structopt(long, value_name = "LIMIT", number_of_values = 1)]
    pub limit_down: Vec<LimitWord>,
    /// Bytes of queries a second on one link, each way [default: 64KiB/s]
    #[structopt(long, value_name = "RATE|none")]
    pub limit_search: Option<Rate>,
    /// Say what would be shared and what is left out, then end; no network
    #[structopt(long)]
    pub dry_run: bool,
    /// Allow / or the home folder itself to be shared
    #[structopt(long)]
    pub allow_broad: bool,
    /// End when standard input ends: a node that must not outlive whoever started it
    #[structopt(long, hidden = true)]
    pub stop_with_stdin: bool,
}
