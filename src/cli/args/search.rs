//! `search` and `browse`: which files, when to stop, how to print.

use std::path::PathBuf;

use structopt::StructOpt;

use super::net::NetArgs;
use super::values::{self, Address, Size, Span};
use crate::node::strategy::Strategy;

/// Find files.
#[derive(Clone, Debug, StructOpt)]
#[structopt(
    usage = "filbert search [OPTIONS] WORDS...",
    after_help = "EXAMPLES:
    filbert search moby dick --ext epub,pdf           all words count, in any order
    filbert search --urn sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB   every copy of one file
    filbert search -q \"ubuntu iso\" && echo found      exit 0 found, 1 nothing, 3 no neighbour
    filbert search --json moby | filbert get -        fetch all that is found
    filbert search --explain k7m2qd                   why that result stood where it did

Into a pipe a file is printed when first seen, with the copies known by then; --sort waits for the end."
)]
pub struct SearchArgs {
    /// Words of the name and folders looked for
    #[structopt(value_name = "WORDS", required_unless_one = &["urn", "explain"])]
    pub words: Vec<String>,
    /// Look for one exact file: urn:sha1:... or sha1:...
    #[structopt(long, value_name = "URN", parse(try_from_str = values::urn))]
    pub urn: Option<crate::wire::Sha1>,
    /// Which results count.
    #[structopt(flatten)]
    pub filter: FilterArgs,
    /// How results are printed.
    #[structopt(flatten)]
    pub print: PrintArgs,
    /// Show likely fakes too, after all others
    #[structopt(long)]
    pub show_spam: bool,
    /// Known fakes: a SHA-1 a line, or gtk-gnutella's spam.txt; may be given often
    #[structopt(
        long = "spam-list",
        value_name = "FILE",
        number_of_values = 1,
        parse(from_os_str)
    )]
    pub spam_lists: Vec<PathBuf>,
    /// Say how a result of an earlier search was ranked, and what made it look like a fake
    #[structopt(long, value_name = "ID", conflicts_with = "urn")]
    pub explain: Option<String>,
    /// Stop after so long; 0: never [default: 10s; 60s on gnutella]
    #[structopt(long, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// Stop when nothing new came for so long; 0: never [default: 3s; 20s on gnutella]
    #[structopt(long, value_name = "TIME")]
    pub idle: Option<Span>,
    /// Stop after so many files
    #[structopt(long, value_name = "N", parse(try_from_str = values::at_least_one))]
    pub max: Option<usize>,
    /// Stop after the first file
    #[structopt(long, conflicts_with = "max")]
    pub first: bool,
    /// Hops the query travels
    #[structopt(long, value_name = "HOPS", parse(try_from_str = values::ttl))]
    pub ttl: Option<u8>,
    /// How it spreads on a LAN: flood, ring:1/2/4/7, walk:k=16 or dynamic [default: flood]
    #[structopt(long, value_name = "STRATEGY", parse(try_from_str = values::strategy))]
    pub strategy: Option<Strategy>,
    /// A node to link to first, port 6346 unless named; may be given often
    #[structopt(long = "peer", value_name = "HOST:PORT", number_of_values = 1)]
    pub peers: Vec<Address>,
    /// Which network.
    #[structopt(flatten)]
    pub net: NetArgs,
    /// Look for no nodes on this network; also with FILBERT_NO_DISCOVERY set
    #[structopt(long)]
    pub no_discovery: bool,
}

/// List what one node shares.
#[derive(Clone, Debug, StructOpt)]
#[structopt(
    usage = "filbert browse [OPTIONS] HOST[:PORT]",
    after_help = "EXAMPLES:
    filbert browse 192.168.1.20
    filbert browse desk:6347 --type image --sort size

A node that a search showed and that cannot be connected to is asked to connect to us, like a source of `get`."
)]
pub struct BrowseArgs {
    /// The node, port 6346 unless named
    #[structopt(value_name = "HOST:PORT")]
    pub host: Address,
    /// Which files count.
    #[structopt(flatten)]
    pub filter: FilterArgs,
    /// How files are printed.
    #[structopt(flatten)]
    pub print: PrintArgs,
    /// Give up after so long; 0: never [default: 30s; 60s when it must connect to us]
    #[structopt(long, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// Stop after so many files
    #[structopt(long, value_name = "N", parse(try_from_str = values::at_least_one))]
    pub max: Option<usize>,
    /// A node to link to first when this one must be asked to connect to us; may be given often
    #[structopt(long = "peer", value_name = "HOST:PORT", number_of_values = 1)]
    pub peers: Vec<Address>,
    /// Which network.
    #[structopt(flatten)]
    pub net: NetArgs,
    /// Look for no nodes on this network; also with FILBERT_NO_DISCOVERY set
    #[structopt(long)]
    pub no_discovery: bool,
}

/// Which results count.
#[derive(Clone, Debug, Default, StructOpt)]
pub struct FilterArgs {
    /// Only names with one of these endings, such as pdf,epub
    #[structopt(long, value_name = "LIST", use_delimiter = true, number_of_values = 1)]
    pub ext: Vec<String>,
    /// Only one kind of file
    #[structopt(long = "type", value_name = "KIND", possible_values = KINDS)]
    pub kind: Option<String>,
    /// Only files of at least this size, such as 1MB
    #[structopt(long, value_name = "SIZE")]
    pub min_size: Option<Size>,
    /// Only files of at most this size, such as 2GB
    #[structopt(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Leave out names with this word; may be given often
    #[structopt(long = "not", value_name = "WORD", number_of_values = 1)]
    pub without: Vec<String>,
}

const KINDS: &[&str] = &["audio", "video", "image", "text", "archive", "program"];

/// How results are printed.
#[derive(Clone, Debug, Default, StructOpt)]
pub struct PrintArgs {
    /// Tab-separated lines without a header, sizes in bytes; the default into a pipe
    #[structopt(long)]
    pub tsv: bool,
    /// Columns in this order, such as id,size,name
    #[structopt(long, value_name = "LIST", use_delimiter = true, number_of_values = 1, possible_values = FIELDS)]
    pub fields: Vec<String>,
    /// Order, at the end
    #[structopt(long, value_name = "KEY", possible_values = SORTS)]
    pub sort: Option<String>,
    /// One line for each copy instead of each file
    #[structopt(long)]
    pub ungroup: bool,
}

const FIELDS: &[&str] = &[
    "id", "copies", "size", "name", "from", "urn", "magnet", "ext", "hops", "host", "node", "spam",
    "path",
];
const SORTS: &[&str] = &["best", "copies", "size", "name", "hops"];
