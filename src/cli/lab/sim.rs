//! `lab run --engine sim`: lists the real folders that nodes share, and lets the simulator run.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::source::Source;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::disk::beneath::Root;
use crate::disk::scan::{SHARED_FILES_MAX, Skip, scan};
use crate::node::strategy::Approach;
use crate::sim::report::Report;
use crate::sim::yardstick::{self, Yardstick};
use crate::sim::{self, Folder, OneThread, Options, Sink};
use crate::topology::plan::Plan;

/// Cores of this machine; 1 where it does not say.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Says so when threads were asked for that there is no use for.
pub(super) fn say_if_one_thread(
    source: &Source,
    trace: bool,
    threads: Option<usize>,
    output: &Output,
) {
    let reason = OneThread::reason(&source.network, trace, false);
    if let (Some(reason), Some(2..)) = (reason, threads) {
        output.say(&format!("runs on one thread: {reason}"));
    }
}

/// Runs a plan in virtual time; the lines of its trace go to `trace`.
///
/// # Errors
/// A folder that cannot be read; what the simulator cannot do.
pub(super) fn run(
    source: &Source,
    plan: &Plan,
    approach: &Approach,
    trace: Option<Sink>,
    threads: usize,
) -> Result<Report, Failure> {
    let options = Options {
        folders: folders(source)?,
        approach: approach.clone(),
        trace,
        threads,
        ..Options::default()
    };
    sim::run(&source.network, plan, options)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// The same plan on an index, and the messages that made it.
///
/// # Errors
/// As [`run`], and what an index cannot do.
pub(super) fn index(
    source: &Source,
    plan: &Plan,
    yardstick: Yardstick,
) -> Result<(Report, u64), Failure> {
    yardstick::run(&source.network, plan, &folders(source)?, yardstick)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// The files of all real folders, by the rules of every share.
fn folders(source: &Source) -> Result<BTreeMap<u32, Vec<Folder>>, Failure> {
    let mut folders: BTreeMap<u32, Vec<Folder>> = BTreeMap::new();
    let givers = source.network.nodes.iter();
    for (node, spec) in givers.filter(|(node, _)| source.network.gives(**node)) {
        for path in &spec.share {
            let folder = list(&source.base, path).map_err(|error| {
                let at = source.base.join(path);
                let text = format!(
                    "node {:?} shares {}, which cannot be read: {error}; paths are relative to the topology file",
                    spec.id,
                    at.display()
                );
                Failure::new(Exit::Usage, text)
            })?;
            folders.entry(*node).or_default().push(folder);
        }
    }
    Ok(folders)
}

fn list(base: &Path, path: &str) -> std::io::Result<Folder> {
    let at = base.join(path).canonicalize()?;
    let found = scan(
        &Root::look(&at)?,
        &Skip::default(),
        SHARED_FILES_MAX,
        &AtomicBool::new(false),
    )?;
    let name = at.file_name().unwrap_or_default().to_string_lossy();
    let files = found
        .files
        .into_iter()
        .map(|file| (file.path, file.stamp.size));
    Ok(Folder {
        name: name.into_owned(),
        files: files.collect(),
    })
}
