//! `lab export --to compose|k8s`: the nodes of a topology as containers, for those who outgrow one machine.
//!
//! Each container runs `filbert lab node`, which draws from the topology what it shares and whom it links to, and finds
//! the others by their names in the orchestrator's DNS. So a manifest is the topology, a name for each node, and what a
//! container may do: no root, no writable image, nothing that listens outside, so much memory and processor.
//!
//! `compose`, `kubernetes`: one format each; `yaml`: how it is written.

mod compose;
mod kubernetes;
mod yaml;

use super::real::launch;
use super::source::{self, Source};
use super::up;
use crate::cli::args::lab::ExportArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::output::units::counted;
use crate::topology::plan::{Wish, plan};

/// What `--to` may be for containers.
pub(super) const FORMATS: [&str; 2] = ["compose", "k8s"];

/// Letters of the name of a network: names of pods and of their revisions are longer, and labels end at 63 (RFC 1123).
const NAME_MAX: usize = 40;
/// Who the nodes run as: nobody known to the machine. Our choice, that of distroless images too.
const USER: u64 = 65_532;
/// Memory that a node of some links and files is sure to get, in MiB. An idle one needs less (docs/PERFORMANCE.md).
const MEMORY_SURE_MIB: u64 = 16;
/// Memory that it may take, in MiB.
const MEMORY_MAX_MIB: u64 = 64;
/// What it may write beside its made-up files, in MiB: state and hashes, and what is fetched into it.
const DATA_MIB: u64 = 64;
/// Threads of a node, with those of commands that are run beside it.
const THREADS_MAX: u64 = 128;
/// Where the topology is in a container.
const TOPOLOGY: &str = "/lab/topology.json";
/// Where a node keeps its things.
const DATA: &str = "/data";

/// What both formats are made from.
struct Plan<'a> {
    source: &'a Source,
    /// Name of the network, fit for a label.
    name: String,
    image: &'a str,
    /// The topology, which needs no other file.
    topology: String,
    /// What a node may write, in MiB.
    data_mib: u64,
}

impl Plan<'_> {
    fn nodes(&self) -> u64 {
        self.source.network.names.len() as u64
    }

    /// Variables of every node: where commands find it, that it asks nobody around, and one thread for tasks.
    fn environment() -> [(&'static str, String); 3] {
        [
            ("ASYNC_STD_THREAD_COUNT", "1".to_owned()),
            ("FILBERT_HOME", format!("{DATA}/home")),
            ("FILBERT_NO_DISCOVERY", "1".to_owned()),
        ]
    }
}

/// Prints the manifest.
///
/// # Errors
/// It is no topology; real nodes cannot do what it says, or containers of this kind cannot.
pub(super) fn export(args: &ExportArgs, output: &Output) -> Result<Exit, Failure> {
    let source = source::load(&args.topology, args.seed)?;
    launch::check(&source.network)?;
    let files = plan(&source.network, Wish::default()).files;
    let bytes = |files: &Vec<crate::topology::File>| files.iter().map(|file| file.size).sum();
    let largest: u64 = files.values().map(bytes).max().unwrap_or(0);
    let plan = Plan {
        name: label(&up::name_of(&args.topology, &source.topology.name)),
        image: &args.image,
        topology: source.standing_alone().to_json(),
        data_mib: DATA_MIB + largest.div_ceil(1 << 20),
        source: &source,
    };
    let text = if args.to == FORMATS[0] {
        compose::manifest(&plan)?
    } else {
        kubernetes::manifest(&plan)?
    };
    let events = source.network.events.len() as u64;
    if events > 0 {
        let left = counted(events, "event is", "events are");
        output.say(&format!(
            "{left} left out: no orchestrator does them; nodes that join later are there from the start"
        ));
    }
    output.bytes(text.as_bytes())?;
    Ok(Exit::Good)
}

/// A name for DNS and labels: small letters, digits and `-`, a letter first (RFC 1035, 2.3.1).
fn label(text: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9') => c,
        _ => '-',
    };
    let text: String = text.chars().map(plain).collect();
    let text = text.trim_matches('-');
    let named = if text.starts_with(|c: char| c.is_ascii_lowercase()) {
        text.to_owned()
    } else {
        format!("lab-{text}")
    };
    named[..named.len().min(NAME_MAX)]
        .trim_end_matches('-')
        .to_owned()
}

fn cannot(text: String) -> Failure {
    Failure::new(Exit::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_a_label() {
        for (name, wanted) in [
            ("ring-12", "ring-12"),
            ("Two Islands!", "two-islands"),
            ("2 islands", "lab-2-islands"),
            ("", "lab"),
            ("ü", "lab"),
        ] {
            assert_eq!(label(name), wanted);
        }
        let long = label(&"a-".repeat(60));
        assert!(long.len() <= NAME_MAX && !long.ends_with('-'), "{long}");
    }
}
