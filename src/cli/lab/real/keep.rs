//! Holding the nodes of `lab up`: a process that outlives the command and ends with its nodes.
//!
//! `lab up` takes the folder of the network and hands its lock on as the keeper's standard input, so that the
//! folder is held without a gap. The keeper starts the nodes, says one line about it, and waits for SIGTERM.
//! However it ends, the system releases the lock, and each node ends with its standard input.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::churn::Churn;
use super::deed::{Came, Deed, Done};
use super::desk::Desk;
use super::fleet::Fleet;
use super::launch::{Order, launch};
use super::place::{Held, State, disk};
use super::process::Process;
use crate::cli::args::lab::KeepArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::{Interrupt, LOOK};
use crate::cli::lab::source::{self, Source};
use crate::cli::output::units;
use crate::topology::plan::{Wish, plan};

/// The topology of a network, as its nodes were started from it.
pub(in crate::cli::lab) const TOPOLOGY: &str = "topology.json";
/// Version of the state file.
const STATE_VERSION: u32 = 1;

/// The one line a keeper says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Word {
    Up(Box<State>),
    Failed { exit: u8, message: String },
}

/// Starts a keeper for a network and waits until its nodes are up.
///
/// # Errors
/// What went wrong; nothing is left running and the folder is removed.
pub(in crate::cli::lab) fn start(
    held: Held,
    source: &Source,
    base_port: Option<u16>,
    interrupt: &Interrupt,
) -> Result<State, Failure> {
    let dir = held.dir().to_owned();
    let path = dir.join(TOPOLOGY);
    // The keeper reads what stands here and nothing beside it: graphs of other files are written out.
    fs::write(&path, source.standing_alone().to_json())
        .map_err(|error| disk(&path, "cannot be written", &error))?;
    let mut keeper = spawn(&held, source, base_port).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("cannot start the keeper of the network: {error}"),
        )
    })?;
    let process = Process::of(keeper.id());
    let stdout = BufReader::new(keeper.stdout.take().expect("it was piped"));
    let (said, word) = mpsc::channel();
    // Detached: it ends with the keeper's first line, or with the keeper.
    std::thread::spawn(move || {
        let _ = said.send(read_word(stdout));
    });
    let mut asked = false;
    let word = loop {
        match word.recv_timeout(LOOK) {
            Ok(word) => break word,
            Err(mpsc::RecvTimeoutError::Disconnected) => break None,
            Err(mpsc::RecvTimeoutError::Timeout) if interrupt.asked() && !asked => {
                asked = true;
                process.ask_to_end();
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    };
    match word {
        Some(Word::Up(state)) => Ok(*state),
        Some(Word::Failed { exit, message }) => {
            let _ = keeper.wait();
            Err(Failure::new(Exit::of_code(exit), message))
        }
        None => {
            let _ = keeper.wait();
            let log = fs::read_to_string(dir.join("keeper.log")).unwrap_or_default();
            held.remove()?;
            Err(Failure::new(
                Exit::Usage,
                format!(
                    "the keeper of the network ended at once\n{}",
                    log.trim_end()
                ),
            ))
        }
    }
}

fn spawn(held: &Held, source: &Source, base_port: Option<u16>) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["lab", "keep"]).arg(held.dir());
    command
        .arg("--base")
        .arg(std::path::absolute(base(source))?);
    if let Some(port) = base_port {
        command.arg("--base-port").arg(port.to_string());
    }
    command
        .stdin(held.share_lock()?)
        .stdout(Stdio::piped())
        .stderr(File::create(held.dir().join("keeper.log"))?);
    command.spawn()
}

/// The folder that `share` paths are relative to, never empty.
pub(in crate::cli::lab) fn base(source: &Source) -> &Path {
    if source.base.as_os_str().is_empty() {
        Path::new(".")
    } else {
        &source.base
    }
}

fn read_word(mut from: impl BufRead) -> Option<Word> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// `lab keep`: what the keeper does.
///
/// # Errors
/// What went wrong, when nobody was told.
pub(in crate::cli::lab) fn keep(args: &KeepArgs) -> Result<Exit, Failure> {
    // Its own session: the end of a terminal, or Ctrl-C in it, is not for the keeper. An error: it leads one.
    let _ = rustix::process::setsid();
    let interrupt = Interrupt::watch();
    let stdin = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(anyhow::Error::from)?;
    let held = Held::inherit(&args.dir, File::from(stdin))?;
    match hold(args, &held, &interrupt) {
        Ok(()) => {
            held.remove()?;
            Ok(Exit::Good)
        }
        Err(failure) => {
            held.remove()?;
            // Nobody listens any more once the nodes were up.
            let _ = say(&Word::Failed {
                exit: failure.exit.code(),
                message: failure.message,
            });
            Ok(failure.exit)
        }
    }
}

/// Starts the nodes and holds them until somebody asks for the end, doing meanwhile what is asked for.
fn hold(args: &KeepArgs, held: &Held, interrupt: &Interrupt) -> Result<(), Failure> {
    let source = source::load(&args.dir.join(TOPOLOGY).to_string_lossy(), None)?;
    let plan = plan(&source.network, Wish::default());
    let order = Order {
        network: &source.network,
        files: &plan.files,
        base: &args.base,
        base_port: args.base_port,
        dir: held.dir(),
    };
    let (mut fleet, mut state) = start_held(held, order, interrupt)?;
    let desk = Desk::open(held.dir())?;
    let mut churn = None;
    // An error: whoever started us was killed meanwhile, and nobody knows of this network.
    if say(&Word::Up(Box::new(state.clone()))).is_ok() {
        while !interrupt.asked() {
            let asked = desk.next(LOOK);
            let (deed, answer) = match asked {
                Some((deed, answer)) => (Some(deed), Some(answer)),
                None => (
                    churn
                        .as_mut()
                        .and_then(|churn: &mut Churn| churn.next(&fleet)),
                    None,
                ),
            };
            let Some(deed) = deed else { continue };
            let came = do_deed(
                &deed,
                &mut fleet,
                &mut churn,
                source.network.seed,
                interrupt,
            );
            if fleet.running().nodes != state.nodes {
                state.nodes.clone_from(&fleet.running().nodes);
                held.write_state(&state)?;
            }
            match (answer, came) {
                // An error: whoever asked has gone.
                (Some(answer), Ok(done)) => drop(answer.send(Came::Done(done))),
                (Some(answer), Err(failure)) => drop(answer.send(Came::Failed {
                    exit: failure.exit.code(),
                    message: failure.message,
                })),
                (None, Ok(_)) => {}
                (None, Err(failure)) => log::warn!("churn: {failure}"),
            }
        }
    }
    fleet.stop();
    Ok(())
}

fn do_deed(
    deed: &Deed,
    fleet: &mut Fleet<'_>,
    churn: &mut Option<Churn>,
    seed: u64,
    interrupt: &Interrupt,
) -> Result<Done, Failure> {
    match deed {
        Deed::Churn {
            nodes,
            up_ms,
            down_ms,
        } => {
            let all: Vec<u32>;
            let nodes = if nodes.is_empty() {
                all = (0..)
                    .zip(&fleet.running().nodes)
                    .map(|(at, _)| at)
                    .collect();
                &all
            } else {
                nodes
            };
            let (up, down) = (
                Duration::from_millis(*up_ms),
                Duration::from_millis(*down_ms),
            );
            *churn = Some(Churn::new(nodes, up, down, seed));
            Ok(Done {
                said: format!(
                    "{} from now on: up for {} and down for {} on average",
                    units::counted(
                        nodes.len() as u64,
                        "node comes and goes",
                        "nodes come and go"
                    ),
                    units::short_time(up),
                    units::short_time(down)
                ),
                ..Done::default()
            })
        }
        Deed::Calm => {
            let nodes = churn
                .take()
                .map_or_else(Vec::new, |churn| churn.down(fleet));
            if nodes.is_empty() {
                return Ok(Done {
                    said: "no churn; no node of it was down".to_owned(),
                    ..Done::default()
                });
            }
            fleet.do_deed(&Deed::Restart { nodes }, &|| interrupt.asked())
        }
        other => fleet.do_deed(other, &|| interrupt.asked()),
    }
}

fn say(word: &Word) -> std::io::Result<()> {
    let mut line = serde_json::to_string(word).expect("plain data is JSON");
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
}

/// Starts the nodes of a network in a folder that this process holds, and writes what there is to know of them.
///
/// # Errors
/// As [`launch`].
pub(in crate::cli::lab) fn start_held<'a>(
    held: &Held,
    order: Order<'a>,
    interrupt: &Interrupt,
) -> Result<(Fleet<'a>, State), Failure> {
    let running = launch(order, &|| interrupt.asked())?;
    let name = held
        .dir()
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let state = State {
        v: STATE_VERSION,
        name,
        keeper: Process::of(std::process::id()),
        nodes: running.nodes.clone(),
        links: order.network.edges.len(),
        took_ms: u64::try_from(running.took.as_millis()).unwrap_or(u64::MAX),
    };
    held.write_state(&state)?;
    Ok((Fleet::new(order, running)?, state))
}
