//! Which network a command is about.

use std::path::PathBuf;

use structopt::StructOpt;

use super::find::FindArgs;

/// Which network, for every command that takes part in one.
#[derive(Clone, Debug, Default, StructOpt)]
pub struct NetArgs {
    /// lan: this network's machines; gnutella: strangers on the public Gnutella network; lan,gnutella: both
    /// [default: lan]
    #[structopt(
        long = "net",
        value_name = "NET",
        number_of_values = 1,
        use_delimiter = true,
        possible_values = NETS
    )]
    pub nets: Vec<String>,
    /// Take private addresses on --net gnutella, for tests: nodes of one machine under the live network's rules
    #[structopt(long, hidden = true)]
    pub allow_private: bool,
    /// Have nothing to do with the addresses listed in this file, one address, network or range a line, on
    /// --net gnutella; may be given often
    #[structopt(long, value_name = "FILE", number_of_values = 1, parse(from_os_str))]
    pub hostile: Vec<PathBuf>,
    /// Encrypt connections where the other side can, without proof of who that is: auto (on --net gnutella), on, off
    #[structopt(long, value_name = "WHEN", number_of_values = 1, possible_values = TLS)]
    pub tls: Option<String>,
    /// Have hits of searches on --net gnutella come over links alone, so that no query says where this node is
    #[structopt(long)]
    pub no_direct_hits: bool,
    /// Who is asked for nodes there.
    #[structopt(flatten)]
    pub find: FindArgs,
}

const TLS: &[&str] = &["auto", "on", "off"];
/// What `--net` may be.
pub(super) const NETS: &[&str] = &["lan", "gnutella"];
/// What `--role` may be.
pub(super) const ROLES: &[&str] = &["leaf", "ultrapeer", "auto"];
