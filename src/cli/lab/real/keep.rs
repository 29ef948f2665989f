//! Holding the nodes of `lab up`: a process that outlives the command and ends with its nodes.
//!
//! `lab up` takes the folder of the network and hands its lock on as the keeper's standard input, so that the
//! folder is held without a gap. The keeper starts the nodes, says one line about it, and waits for SIGTERM.
//! However it ends, the system releases the lock, and each node ends with its standard input.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use super::launch::{Order, Running, launch};
use super::place::{Held, State, disk};
use super::process::Process;
use crate::cli::args::lab::KeepArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::{Interrupt, LOOK};
use crate::cli::lab::source::{self, Source};
use crate::topology::Network;
use crate::topology::plan::{Plan, Wish, plan};

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
    fs::write(&path, source.topology.to_json())
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
            let exit = Exit::WORST_FIRST
                .into_iter()
                .find(|known| known.code() == exit)
                .unwrap_or(Exit::Usage);
            Err(Failure::new(exit, message))
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
    match start_nodes(args, &held, &interrupt) {
        Ok((running, state)) => {
            // An error: whoever started us was killed meanwhile, and nobody knows of this network.
            if say(&Word::Up(Box::new(state))).is_ok() {
                while !interrupt.asked() {
                    std::thread::sleep(LOOK);
                }
            }
            running.stop();
            held.remove()?;
            Ok(Exit::Good)
        }
        Err(failure) => {
            held.remove()?;
            let _ = say(&Word::Failed {
                exit: failure.exit.code(),
                message: failure.message,
            });
            Ok(failure.exit)
        }
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

fn start_nodes(
    args: &KeepArgs,
    held: &Held,
    interrupt: &Interrupt,
) -> Result<(Running, State), Failure> {
    let path = args.dir.join(TOPOLOGY);
    let source = source::load(&path.to_string_lossy(), None)?;
    let plan = plan(&source.network, Wish::default());
    start_held(
        held,
        &source.network,
        &plan,
        &args.base,
        args.base_port,
        interrupt,
    )
}

/// Starts the nodes of a network in a folder that this process holds, and writes what there is to know of them.
///
/// # Errors
/// As [`launch`].
pub(in crate::cli::lab) fn start_held(
    held: &Held,
    network: &Network,
    plan: &Plan,
    base: &Path,
    base_port: Option<u16>,
    interrupt: &Interrupt,
) -> Result<(Running, State), Failure> {
    let files: &BTreeMap<_, _> = &plan.files;
    let order = Order {
        network,
        files,
        base,
        base_port,
        dir: held.dir(),
    };
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
        links: network.edges.len(),
        took_ms: u64::try_from(running.took.as_millis()).unwrap_or(u64::MAX),
    };
    held.write_state(&state)?;
    Ok((running, state))
}
