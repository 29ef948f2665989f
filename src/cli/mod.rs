//! What people type and see.
//!
//! - `args`: every word and flag; `exit`: every exit code; `output`: the two streams;
//! - `net`: which network; `node`: the node a command asks, running or hosted; nothing else knows which;
//! - one file or folder for each command: `share`, `search`, `get`, `browse`, `status`, `transfers`, `peers`, `shares`,
//!   `lab`.

pub mod args;
pub mod browse;
pub mod clock;
pub mod exit;
pub mod find;
pub mod get;
pub mod hostile;
pub mod interrupt;
pub mod lab;
mod lists;
pub mod net;
pub mod node;
pub mod output;
pub mod peers;
pub mod search;
pub mod share;
pub mod shares;
pub mod status;
pub mod transfers;

use crate::disk::rankings::Rankings;
use crate::disk::results::Results;
use crate::disk::store::Home;

use args::{Args, Command, Global};
use exit::{Exit, Failure};
use interrupt::Interrupt;
use output::Output;

/// What every command has at hand.
#[derive(Debug)]
pub struct Context {
    /// The two streams.
    pub out: Output,
    /// Where this node keeps its things.
    pub home: Home,
    /// Whether somebody asked us to end.
    pub interrupt: Interrupt,
}

impl Context {
    fn new(global: &Global, out: Output) -> Result<Self, Failure> {
        let disk = |error: std::io::Error| Failure::new(Exit::Disk, error.to_string());
        let home = Home::resolve(global.home.as_deref()).map_err(disk)?;
        home.create().map_err(disk)?;
        Ok(Self {
            out,
            home,
            interrupt: Interrupt::watch(),
        })
    }

    /// How results of searches were ranked.
    pub fn rankings(&self) -> Rankings {
        Rankings::new(&self.home.rankings())
    }

    /// The results of searches.
    pub fn results(&self) -> Results {
        Results::new(&self.home.results())
    }
}

/// Does what was typed; says on stderr what went wrong.
pub fn run(args: &Args) -> Exit {
    let out = Output::new(args.global.json, args.global.quiet);
    start_log(&args.global);
    dispatch(args, out).unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            Output::new(false, false).error(&failure.message);
        }
        failure.exit
    })
}

fn dispatch(args: &Args, out: Output) -> Result<Exit, Failure> {
    let global = &args.global;
    match &args.command {
        Command::Completions(completions) => out.bytes(&completions.script()).map(|()| Exit::Good),
        Command::Lab(lab) => lab::run(&lab.clone().in_home(global.home.as_deref()), &out),
        Command::Search(args) => {
            search::check(&out, &args.print)?;
            search::run(&mut Context::new(global, out)?, args)
        }
        Command::Status => status::run(&Context::new(global, out)?),
        Command::Peers(peers) => peers::run(&Context::new(global, out)?, peers.verb.as_ref()),
        Command::Shares(shares) => shares::run(&Context::new(global, out)?, shares.verb.as_ref()),
        Command::Transfers(args) => transfers::run(&Context::new(global, out)?, args.verb.as_ref()),
        Command::Down => status::down(&Context::new(global, out)?),
        Command::Share(args) => share::run(&Context::new(global, out)?, args),
        Command::Get(args) => get::run(&Context::new(global, out)?, args),
        Command::Browse(args) => {
            search::check(&out, &args.print)?;
            browse::run(&mut Context::new(global, out)?, args)
        }
    }
}

/// The log goes to stderr: warnings, or what `--log`, `FILBERT_LOG` or `-v` ask for.
fn start_log(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, 0) => "error",
        (false, 0) => "warn",
        (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    let mut builder = env_logger::Builder::new();
    builder
        .parse_filters(global.log.as_deref().unwrap_or(level))
        .format_timestamp_millis();
    // An error: a log is there already, which only a test does.
    let _ = builder.try_init();
}
