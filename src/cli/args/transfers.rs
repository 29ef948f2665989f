//! `transfers`: the downloads of the running node.

use structopt::StructOpt;

/// The downloads of the running node.
#[derive(Clone, Debug, StructOpt)]
#[structopt(after_help = "EXAMPLES:
    filbert get --detach k7m2qd                  hand a download to the running node
    filbert transfers watch k7m2qd               until it is there; the exit code is that of `get`
    filbert transfers pause k7m2qd               what came is kept, across restarts too

Downloads without a source are tried again by themselves, later each time.")]
pub struct TransfersArgs {
    /// List them unless told otherwise.
    #[structopt(subcommand)]
    pub verb: Option<TransfersVerb>,
}

/// What to do about downloads.
#[derive(Clone, Debug, StructOpt)]
pub enum TransfersVerb {
    /// List them
    List,
    /// Show how they go until none of them goes on by itself
    Watch {
        /// These only
        #[structopt(value_name = "ID")]
        ids: Vec<String>,
    },
    /// Ask nobody until they are resumed; what came is kept
    Pause(Ids),
    /// Go on with paused ones
    Resume(Ids),
    /// Take them off the list, and what came of unfinished ones off the disk
    Cancel {
        /// Ids as `transfers list` shows them, or what tells them from others
        #[structopt(value_name = "ID", required = true)]
        ids: Vec<String>,
        /// Leave what came on the disk, for `get` to go on with
        #[structopt(long)]
        keep: bool,
    },
    /// Try failed and waiting ones again now
    Retry(Ids),
}

/// Which downloads.
#[derive(Clone, Debug, StructOpt)]
pub struct Ids {
    /// Ids as `transfers list` shows them, or what tells them from others
    #[structopt(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}
