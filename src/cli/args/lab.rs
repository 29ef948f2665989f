//! `lab`: the laboratory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use structopt::StructOpt;

use super::values::{self, BadValue, Listen, Span};
use crate::node::strategy::{Approach, BadStrategy};
use crate::sim::yardstick::{BadYardstick, Yardstick};
use crate::topology::Amount;

/// Many nodes from one file.
#[derive(Clone, Debug, StructOpt)]
#[structopt(setting = structopt::clap::AppSettings::DisableHelpSubcommand, after_help = "EXAMPLES:
    filbert lab gen ring:12 > ring.json
    filbert lab run ring.json --queries 100            in virtual time
    filbert lab run ring.json --engine real            as real processes on loopback ports
    filbert lab up ring:12                             keep real nodes running
    filbert lab search --from n0 moby --ttl 4 --trace
    filbert lab fault partition n0..n5 / n6..n11       kill, leave, cut, delay, drop, rate, churn
    filbert lab expect --from n0 moby --within 2s      exit code 1 if nothing is found
    filbert lab down
    filbert lab import crawl.txt --largest > crawl.json   a graph of another program, and back:
    filbert lab export crawl.json --to graphml > crawl.graphml
    filbert lab export ring.json --to compose > compose.yaml   each node in a container")]
pub struct LabArgs {
    /// What to do.
    #[structopt(subcommand)]
    pub verb: LabVerb,
}

impl LabArgs {
    /// The same, with the networks in `home` unless another folder was named.
    #[must_use]
    pub fn in_home(mut self, home: Option<&Path>) -> Self {
        let dir = match &mut self.verb {
            LabVerb::Run(RunArgs { place, .. }) | LabVerb::Up(UpArgs { place, .. }) => {
                &mut place.dir
            }
            LabVerb::Ps(PsArgs { which })
            | LabVerb::Search(LabSearchArgs { which, .. })
            | LabVerb::Expect(ExpectArgs { which, .. })
            | LabVerb::Fault(FaultArgs { which, .. })
            | LabVerb::Down(DownArgs { which, .. }) => &mut which.dir,
            LabVerb::Gen(_)
            | LabVerb::Import(_)
            | LabVerb::Export(_)
            | LabVerb::Node(_)
            | LabVerb::Experiment(_)
            | LabVerb::Report(_)
            | LabVerb::Keep(_) => {
                return self;
            }
        };
        if dir.is_none() {
            *dir = home.map(|home| home.join("lab"));
        }
        self
    }
}

/// The verbs of the laboratory.
#[derive(Clone, Debug, StructOpt)]
pub enum LabVerb {
    /// Print the topology that a short text means
    Gen(GenArgs),
    /// Print a graph of another program as a topology
    Import(ImportArgs),
    /// Print a topology for another program, or for containers
    Export(ExportArgs),
    /// Run the searches of a topology once and report
    Run(RunArgs),
    /// Show runs that `lab run --out` kept, side by side, and how two of them differ
    Report(ReportArgs),
    /// Reproduce known results, and say whether they came out
    Experiment(ExperimentArgs),
    /// Start the nodes of a topology and keep them running
    Up(UpArgs),
    /// List the networks that are up, and their nodes
    Ps(PsArgs),
    /// Search from a node of a network that is up, and measure
    Search(LabSearchArgs),
    /// Search from a node and say by the exit code whether it found as much as it must
    Expect(ExpectArgs),
    /// Kill nodes, cut, part, slow down or lose: do something to a network that is up
    Fault(FaultArgs),
    /// Stop a network and remove its files
    Down(DownArgs),
    /// Run one node of a topology whose others run elsewhere, as in the containers of `lab export`
    Node(NodeArgs),
    /// Hold the nodes of a network; started by `lab up`
    #[structopt(setting = structopt::clap::AppSettings::Hidden)]
    Keep(KeepArgs),
}

/// `lab gen`.
#[derive(Clone, Debug, StructOpt)]
pub struct GenArgs {
    /// Shape, such as ring:12, grid:8x8, tree:b=3,d=4, rr:n=64,k=4, ba:n=64,m=2, ws:n=64,k=4,p=0.1
    #[structopt(value_name = "SPEC")]
    pub spec: String,
    /// What every random choice is drawn from
    #[structopt(long, value_name = "N", default_value = "1")]
    pub seed: u64,
}

/// `lab import`.
#[derive(Clone, Debug, StructOpt)]
pub struct ImportArgs {
    /// The graph; - for standard input; may be packed with gzip
    #[structopt(value_name = "FILE")]
    pub file: String,
    /// Its format [default: what the name of the file says, else edges]
    #[structopt(long, value_name = "FORMAT", possible_values = GRAPHS_READ)]
    pub format: Option<String>,
    /// Keep the largest connected piece only
    #[structopt(long)]
    pub largest: bool,
}

/// `lab export`.
#[derive(Clone, Debug, StructOpt)]
pub struct ExportArgs {
    /// Topology file, or a shape such as ring:12
    #[structopt(value_name = "FILE|SPEC")]
    pub topology: String,
    /// What to write: a graph; or compose, k8s: what runs each node in a container
    #[structopt(long, value_name = "FORMAT", possible_values = WRITTEN)]
    pub to: String,
    /// Image of the containers, with this program in it
    #[structopt(long, value_name = "IMAGE", default_value = "filbert:latest", parse(try_from_str = values::image))]
    pub image: String,
    /// What every random choice is drawn from [default: the file's]
    #[structopt(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Graphs that are read.
const GRAPHS_READ: &[&str] = &["edges", "csv", "graphml", "dot"];
/// What a topology is written as.
const WRITTEN: &[&str] = &[
    "edges", "csv", "graphml", "dot", "mermaid", "packed", "compose", "k8s",
];

/// Who runs the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One process, virtual time.
    Sim,
    /// A process for each node, on loopback ports.
    Real,
}

impl FromStr for Engine {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "real" => Ok(Self::Real),
            // The parser lets nothing else through.
            _ => Ok(Self::Sim),
        }
    }
}

/// One of `--compare`.
#[derive(Clone, Debug, PartialEq)]
pub enum Contender {
    /// A way to search that nodes know.
    Approach(Approach),
    /// An index to hold it against.
    Yardstick(Yardstick),
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("central") || text.starts_with("chord") {
            let parsed = text.parse().map(Self::Yardstick);
            return parsed.map_err(|error: BadYardstick| error.to_string());
        }
        let parsed = text.parse().map(Self::Approach);
        parsed.map_err(|error: BadStrategy| format!("{error}; indexes: central, chord"))
    }
}

impl std::fmt::Display for Contender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Approach(approach) => approach.fmt(f),
            Self::Yardstick(yardstick) => yardstick.fmt(f),
        }
    }
}

/// What `--compare` lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Contenders(pub Vec<Contender>);

impl FromStr for Contenders {
    type Err = String;

    /// Commas stand between strategies, and within `walk:k=16,check=4`: what has a `=` and no `:` belongs to the one
    /// before.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut texts: Vec<String> = Vec::new();
        for part in text.split(',') {
            match texts.last_mut() {
                Some(last) if part.contains('=') && !part.contains(':') => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => texts.push(part.to_owned()),
            }
        }
        let all = texts.iter().map(|text| text.trim().parse());
        all.collect::<Result<_, _>>().map(Self)
    }
}

/// What `--sweep` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepKey {
    /// TTL of all queries.
    Ttl,
    /// Message ids that nodes remember.
    SeenCache,
    /// How copies follow popularity.
    Replication,
}

impl SweepKey {
    const ALL: [Self; 3] = [Self::Ttl, Self::SeenCache, Self::Replication];

    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::SeenCache => "seen_cache",
            Self::Replication => "replication",
        }
    }
}

/// `--sweep`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// What changes.
    pub key: SweepKey,
    /// Its values, as typed.
    pub values: Vec<String>,
}

/// Values of one sweep.
const SWEEP_VALUES_MAX: usize = 256;

impl FromStr for Sweep {
    type Err = BadValue;

    /// `ttl=1..7` (both ends), `ttl=1,3,5`.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wrong = || {
            BadValue::new(format!(
                "{text:?} is no sweep: give ttl=1..7, seen_cache=16,64,256 or replication=uniform,square-root"
            ))
        };
        let (key, values) = text.split_once('=').ok_or_else(wrong)?;
        let key = SweepKey::ALL.into_iter().find(|known| known.name() == key);
        let key = key.ok_or_else(wrong)?;
        let values: Vec<String> = match values.split_once("..") {
            Some((from, to)) => {
                let from: usize = from.trim().parse().map_err(|_| wrong())?;
                let to: usize = to.trim().parse().map_err(|_| wrong())?;
                let range = from..=to;
                if range.is_empty() || to - from >= SWEEP_VALUES_MAX {
                    return Err(wrong());
                }
                range.map(|value| value.to_string()).collect()
            }
            None => values
                .split(',')
                .map(|value| value.trim().to_owned())
                .collect(),
        };
        if values.len() > SWEEP_VALUES_MAX || values.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self { key, values })
    }
}

/// `lab run`.
#[derive(Clone, Debug, StructOpt)]
pub struct RunArgs {
    /// Topology file, or a shape such as ring:12
    #[structopt(value_name = "FILE|SPEC")]
    pub topology: String,
    /// In virtual time, or as real processes
    #[structopt(long, value_name = "ENGINE", default_value = "sim", possible_values = &["sim", "real"])]
    pub engine: Engine,
    /// What every random choice is drawn from [default: the file's]
    #[structopt(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Queries to make [default: the file's]
    #[structopt(long, value_name = "N", parse(try_from_str = values::at_least_one))]
    pub queries: Option<usize>,
    /// Hops queries travel, up to 255 [default: the file's]
    #[structopt(long, value_name = "HOPS", parse(try_from_str = values::ttl))]
    pub ttl: Option<u8>,
    /// How searches spread: flood, ring:1/2/4/7, walk:k=16, dynamic, normalised:4, light:4+3 [default: flood]
    #[structopt(long, value_name = "STRATEGY")]
    pub strategy: Option<Approach>,
    /// Several strategies side by side, such as flood,ring:1/2/4/7,walk:k=16; central and chord hold an index against them
    #[structopt(long, value_name = "LIST", conflicts_with = "strategy")]
    pub compare: Option<Contenders>,
    /// Several values of ttl, seen_cache or replication side by side, such as ttl=1..7
    #[structopt(long, value_name = "KEY=VALUES")]
    pub sweep: Option<Sweep>,
    /// Seeds to run --compare and --sweep with, from --seed on [default: 5]
    #[structopt(long, value_name = "N", parse(try_from_str = values::seeds))]
    pub seeds: Option<u64>,
    /// Threads of one run in virtual time; what comes out is the same with any number [default: the cores of this machine]
    #[structopt(long, value_name = "N", parse(try_from_str = values::threads))]
    pub threads: Option<usize>,
    /// New folder for report.html, tables, trace and what is needed to run the same again
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub out: Option<PathBuf>,
    /// With real nodes: ask those that `lab up` has started from this topology, if they are up
    #[structopt(long)]
    pub attach: bool,
    /// Where real nodes live and listen.
    #[structopt(flatten)]
    pub place: PlaceArgs,
}

impl RunArgs {
    /// The options that a topology file does not hold, as typed after it to run the same again.
    pub fn again(&self) -> String {
        let mut text = String::new();
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(text, " --{name} {value}");
            }
        };
        let real = (self.engine == Engine::Real).then(|| "real".to_owned());
        option("engine", real);
        option("queries", self.queries.map(|count| count.to_string()));
        option("ttl", self.ttl.map(|ttl| ttl.to_string()));
        option("strategy", self.strategy.as_ref().map(Approach::to_string));
        let list = |all: &Contenders| {
            let names: Vec<String> = all.0.iter().map(Contender::to_string).collect();
            names.join(",")
        };
        option("compare", self.compare.as_ref().map(list));
        let sweep = |sweep: &Sweep| format!("{}={}", sweep.key.name(), sweep.values.join(","));
        option("sweep", self.sweep.as_ref().map(sweep));
        option("seeds", self.seeds.map(|seeds| seeds.to_string()));
        text
    }
}

/// `lab report`.
#[derive(Clone, Debug, StructOpt)]
pub struct ReportArgs {
    /// Folders of runs
    #[structopt(value_name = "DIR", required = true, parse(from_os_str))]
    pub dirs: Vec<PathBuf>,
    /// Write a page with plots, which loads nothing from anywhere
    #[structopt(long, value_name = "FILE", parse(from_os_str))]
    pub html: Option<PathBuf>,
}

/// `lab experiment`.
#[derive(Clone, Debug, StructOpt)]
pub struct ExperimentArgs {
    /// Experiments, such as E3, or files of your own (.json) [default: list them]
    #[structopt(value_name = "NAME")]
    pub names: Vec<String>,
    /// Run all that come with the program
    #[structopt(long, conflicts_with = "names")]
    pub all: bool,
    /// Threads of each experiment; what comes out is the same with any number [default: the cores of this machine, shared
    /// by the experiments that run at once]
    #[structopt(long, value_name = "N", parse(try_from_str = values::threads))]
    pub threads: Option<usize>,
    /// Write a page with plots, experiments.md, into this folder
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub report: Option<PathBuf>,
}

/// `lab up`.
#[derive(Clone, Debug, StructOpt)]
pub struct UpArgs {
    /// Topology file, or a shape such as ring:12
    #[structopt(value_name = "FILE|SPEC")]
    pub topology: String,
    /// What every random choice is drawn from [default: the file's]
    #[structopt(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Name for ps, search and down [default: that of the topology]
    #[structopt(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where the nodes live and listen.
    #[structopt(flatten)]
    pub place: PlaceArgs,
}

/// Where real nodes live and listen.
#[derive(Clone, Debug, Default, StructOpt)]
pub struct PlaceArgs {
    /// Folder for all networks [default: lab in --home, else one for temporary files of this user]
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub dir: Option<PathBuf>,
    /// First of the ports on 127.0.0.1; 0: any that are free [default: the first free range from 41000]
    #[structopt(long, value_name = "PORT")]
    pub base_port: Option<u16>,
}

/// Which of the networks that are up.
#[derive(Clone, Debug, Default, StructOpt)]
pub struct WhichArgs {
    /// The network, as `lab ps` names it [default: the only one that is up]
    #[structopt(long, value_name = "NAME")]
    pub net: Option<String>,
    /// Folder for all networks [default: lab in --home, else one for temporary files of this user]
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub dir: Option<PathBuf>,
}

/// `lab ps`.
#[derive(Clone, Debug, StructOpt)]
pub struct PsArgs {
    /// Which network.
    #[structopt(flatten)]
    pub which: WhichArgs,
}

/// `lab search`.
#[derive(Clone, Debug, StructOpt)]
pub struct LabSearchArgs {
    /// Words looked for
    #[structopt(value_name = "WORDS", required = true)]
    pub words: Vec<String>,
    /// The node that asks
    #[structopt(long, value_name = "NODE")]
    pub from: String,
    /// Hops the query travels, up to 255 [default: the topology's]
    #[structopt(long, value_name = "HOPS", parse(try_from_str = values::ttl))]
    pub ttl: Option<u8>,
    /// Show which nodes the query reached, hop by hop
    #[structopt(long)]
    pub trace: bool,
    /// Give up when the network has not come to rest after so long; 0: never [default: 2m, in two tiers 5m]
    #[structopt(long, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// Which network.
    #[structopt(flatten)]
    pub which: WhichArgs,
}

/// `lab expect`.
#[derive(Clone, Debug, StructOpt)]
pub struct ExpectArgs {
    /// Words looked for
    #[structopt(value_name = "WORDS", required = true)]
    pub words: Vec<String>,
    /// The node that asks
    #[structopt(long, value_name = "NODE")]
    pub from: String,
    /// Files that must be found: 3, ">=1", "=0", "<5"
    #[structopt(long, value_name = "N", default_value = ">=1")]
    pub hits: Count,
    /// Time it has; sooner if nothing more can come
    #[structopt(long, value_name = "TIME", default_value = "5s")]
    pub within: Span,
    /// Hops the query travels, up to 255 [default: the topology's]
    #[structopt(long, value_name = "HOPS", parse(try_from_str = values::ttl))]
    pub ttl: Option<u8>,
    /// Which network.
    #[structopt(flatten)]
    pub which: WhichArgs,
}

/// A condition on a number of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub Amount);

impl FromStr for Count {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        Amount::parse(text).map(Self).ok_or_else(|| {
            BadValue::new(format!(
                "`{text}` is no number of files; give 3, or a condition such as \">=1\", \"=0\" or \"<5\""
            ))
        })
    }
}

/// `lab fault`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(after_help = "EXAMPLES:
    filbert lab fault kill n3 n7..n9             they die at once, without taking leave
    filbert lab fault leave n4                   they say Bye to their neighbours first
    filbert lab fault restart n3                 with its port, files and links
    filbert lab fault cut n0-n1                  the link is closed and stays so
    filbert lab fault partition n0..n5 / n6..n11 no frame passes between the groups
    filbert lab fault partition n0 to n6..n11    the same one way
    filbert lab fault delay 40ms+10ms n0-n1      each frame waits 40 to 50 ms; no link named: on all
    filbert lab fault drop 5%                    so many Gnutella messages are lost, not packets
    filbert lab fault rate 100kB/s               bytes a second each way; none: as many as it can
    filbert lab fault heal                       links are again as the file says; dead nodes stay dead
    filbert lab fault churn 30s 10s n4..n11      up for 30 s and down for 10 s on average, until `churn off`
    filbert lab fault churn usual x60            as measured on the real network, sixty times faster")]
pub struct FaultArgs {
    /// What to do
    #[structopt(value_name = "WHAT", possible_values = FAULTS)]
    pub what: String,
    /// How much, and to which nodes (n0, n0..n5, a*) or links (n0-n1)
    #[structopt(value_name = "ARGS")]
    pub words: Vec<String>,
    /// Which network.
    #[structopt(flatten)]
    pub which: WhichArgs,
}

/// What `lab fault` can do.
const FAULTS: &[&str] = &[
    "kill",
    "leave",
    "restart",
    "cut",
    "partition",
    "delay",
    "drop",
    "rate",
    "heal",
    "churn",
];

/// `lab node`.
#[derive(Clone, Debug, StructOpt)]
pub struct NodeArgs {
    /// Its id in the topology
    #[structopt(value_name = "NODE", required_unless = "number")]
    pub node: Option<String>,
    /// Its number in the topology, from 0, in place of the id
    #[structopt(long, value_name = "N", conflicts_with = "node")]
    pub number: Option<u32>,
    /// Topology file, or a shape such as ring:12: the same for all nodes
    #[structopt(long, value_name = "FILE|SPEC")]
    pub topology: String,
    /// What every random choice is drawn from: the same for all nodes [default: the file's]
    #[structopt(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where the others are: {id} stands for their ids, {} for their numbers, and a port may follow
    #[structopt(long, value_name = "HOST", default_value = "{id}")]
    pub hosts: String,
    /// Listen here
    #[structopt(long, value_name = "IP:PORT", default_value = "0.0.0.0:6346")]
    pub listen: Listen,
    /// Folder for its home and its made-up files
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub data: PathBuf,
}

/// `lab down`.
#[derive(Clone, Debug, StructOpt)]
pub struct DownArgs {
    /// Stop every network in the folder
    #[structopt(long, conflicts_with = "net")]
    pub all: bool,
    /// Which network.
    #[structopt(flatten)]
    pub which: WhichArgs,
}

/// `lab keep`: what `lab up` tells the process that holds the nodes.
#[derive(Clone, Debug, StructOpt)]
pub struct KeepArgs {
    /// The folder of the network, with its topology
    #[structopt(value_name = "DIR", parse(from_os_str))]
    pub dir: PathBuf,
    /// The folder that `share` paths of the topology are relative to
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub base: PathBuf,
    /// First port
    #[structopt(long, value_name = "PORT")]
    pub base_port: Option<u16>,
}
