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

use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::deed::Came;
use super::desk::Desk;
use super::events::{Events, Happened};
use super::fleet::Fleet;
use super::launch::{Order, launch};
use super::live::Live;
use super::place::{Held, State, disk};
use super::process::Process;
use crate::cli::args::lab::KeepArgs;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::{Interrupt, LOOK};
use crate::cli::lab::source::{self, Source};
use crate::topology::plan::{Wish, plan};

/// The topology of a network, as its nodes were started from it.
pub(in crate::cli::lab) const TOPOLOGY: &str = "topology.json";
/// What came of the events of its topology so far, a JSON object a line.
pub(in crate::cli::lab) const EVENTS: &str = "events.jsonl";
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
    let (fleet, mut state) = start_held(held, order, interrupt)?;
    let interrupted = || interrupt.asked();
    let asking = if source.network.events.is_empty() {
        None
    } else {
        Some(Asking::new(&source.network, &fleet.running().clients)?)
    };
    let mut live = Live::new(order, fleet, &interrupted)?;
    let desk = Desk::open(held.dir())?;
    let (mut events, clock) = (Events::new(&source.network), Stopwatch::start());
    // An error: whoever started us was killed meanwhile, and nobody knows of this network.
    if say(&Word::Up(Box::new(state.clone()))).is_ok() {
        while !interrupt.asked() {
            while let Some(asking) = &asking {
                let now = clock.elapsed();
                let came = events.next(now, clock, &mut live, asking, &interrupted);
                remember(&mut state, &live, held)?;
                if !note(came, held.dir(), &interrupted)? {
                    break;
                }
            }
            if let Some(deed) = live.churned()
                && let Err(failure) = live.do_deed(&deed, &interrupted)
            {
                log::warn!("churn: {failure}");
            }
            if let Some((deed, answer)) = desk.next(LOOK) {
                let came = match live.do_deed(&deed, &interrupted) {
                    Ok(done) => Came::Done(done),
                    Err(failure) => Came::Failed {
                        exit: failure.exit.code(),
                        message: failure.message,
                    },
                };
                remember(&mut state, &live, held)?;
                // An error: whoever asked has gone.
                let _ = answer.send(came);
            }
            remember(&mut state, &live, held)?;
        }
    }
    live.stop();
    Ok(())
}

/// Writes down who is who now, where that has changed.
fn remember(state: &mut State, live: &Live<'_>, held: &Held) -> Result<(), Failure> {
    let nodes = &live.fleet().running().nodes;
    if *nodes != state.nodes {
        state.nodes.clone_from(nodes);
        held.write_state(state)?;
    }
    Ok(())
}

/// Keeps what came of an event; one that failed is kept too, and the next ones go on. `false`: nothing was due.
fn note(
    came: Result<Option<Happened>, Failure>,
    dir: &Path,
    interrupted: &dyn Fn() -> bool,
) -> Result<bool, Failure> {
    let line = match came {
        Ok(None) => return Ok(false),
        Ok(Some(happened)) => serde_json::to_string(&happened.report),
        Err(failure) if interrupted() => return Err(failure),
        Err(failure) => serde_json::to_string(&serde_json::json!({ "failed": failure.message })),
    };
    let line = line.expect("plain data is JSON") + "\n";
    let path = dir.join(EVENTS);
    let file = File::options().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(|error| disk(&path, "cannot be written", &error))?;
    Ok(true)
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
