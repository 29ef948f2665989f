//! `get`: what to fetch and where to put it.

use std::path::PathBuf;

use structopt::StructOpt;

use super::net::NetArgs;
use super::values::{Address, Rate, Span, connections};

/// Fetch files.
#[derive(Clone, Debug, StructOpt)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[structopt(
    usage = "filbert get [OPTIONS] TARGET...",
    after_help = "EXAMPLES:
    filbert get k7m2qd                                        an id of a search, today or next week
    filbert get urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB -o ~/Books
    filbert get 'http://192.168.1.20:6346/uri-res/N2R?urn:sha1:PLST...'
    filbert search --json lecture | filbert get -o papers -   ids, links or JSON lines, one a line
    filbert get --from desk Wedding/ -o ~/Pictures            a folder of one node and all below
    filbert get --stdout k7m2qd | mpv -                       the bytes in order, as they come

Prints the path of each file. What was interrupted goes on where it stopped."
)]
pub struct GetArgs {
    /// Result id, urn:sha1:..., magnet:..., http://HOST:PORT/..., or - for lines of them on standard input; with --from
    /// a path there
    #[structopt(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,
    /// Fetch from this node: each TARGET is a folder there, with all below it, or a file; / is all it shares
    #[structopt(long, value_name = "HOST:PORT", conflicts_with_all = &["name", "stdout"])]
    pub from: Option<Address>,
    /// Folder for the files [default: the download folder]
    #[structopt(short, value_name = "DIR", parse(from_os_str))]
    pub output: Option<PathBuf>,
    /// Name for the file; one target only
    #[structopt(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Write the file to standard output, in order, and keep nothing; one target only
    #[structopt(long, conflicts_with_all = &["output", "name", "on-exist"])]
    pub stdout: bool,
    /// Hand it to the running node and do not stay; `filbert transfers` shows how it goes
    #[structopt(long, conflicts_with = "stdout")]
    pub detach: bool,
    /// Also take lines of standard input that are likely fakes
    #[structopt(long)]
    pub show_spam: bool,
    /// What to do when another file has the name [default: fail with exit code 6]
    #[structopt(long, value_name = "HOW", possible_values = &["skip", "rename", "overwrite"])]
    pub on_exist: Option<String>,
    /// Sources of one file asked at a time, 1 to 32 [default: 6]
    #[structopt(long, value_name = "N", parse(try_from_str = connections))]
    pub sources: Option<usize>,
    /// Bytes taken a second, such as 2MB/s
    #[structopt(long, value_name = "RATE|none", default_value = "none")]
    pub limit: Rate,
    /// Hashes: strict takes no file whose hash is not known, if-known checks those that are, off checks none
    #[structopt(long, value_name = "HOW", default_value = "if-known", possible_values = &["strict", "if-known", "off"])]
    pub verify: String,
    /// When no source gives a file, try so often again, 2 s later and each time twice as late
    #[structopt(long, value_name = "N", default_value = "0")]
    pub retry: u32,
    /// Give up on a file after so long; 0: never
    #[structopt(long, value_name = "TIME", default_value = "0")]
    pub timeout: Span,
    /// A node to link to first when sources must be looked for; may be given often
    #[structopt(long = "peer", value_name = "HOST:PORT", number_of_values = 1)]
    pub peers: Vec<Address>,
    /// Which network other sources are looked for on.
    #[structopt(flatten)]
    pub net: NetArgs,
    /// Look for no nodes on this network; also with FILBERT_NO_DISCOVERY set
    #[structopt(long)]
    pub no_discovery: bool,
}
