//! `lab up`, `lab ps`, `lab down`: real networks that stay until told to go.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::real::ask::{NodeClient, for_all};
use super::real::place::{self, Found, Held, NodeState, State};
use super::real::{keep, launch};
use super::source;
use crate::cli::args::lab::{DownArgs, PsArgs, UpArgs, WhichArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::table::{self, Side};
use crate::cli::output::{Format, Output, units};

/// A keeper has so long to end its nodes and remove its files; then it is killed.
const DOWN_TIME: Duration = Duration::from_secs(20);

/// Starts a network and leaves it running.
///
/// # Errors
/// What went wrong; nothing is left running.
pub(super) fn up(args: &UpArgs, out: &Output) -> Result<Exit, Failure> {
    let source = source::load(&args.topology, args.seed)?;
    launch::check(&source.network)?;
    let root = place::root(args.place.dir.as_deref())?;
    let name = place::folder_name(
        args.name
            .as_deref()
            .unwrap_or(&name_of(&args.topology, &source.topology.name)),
    );
    let held = Held::take(&root, &name)?;
    let interrupt = Interrupt::watch();
    let file = held.dir().join(keep::EVENTS);
    let state = keep::start(held, &source, args.place.base_port, &interrupt)?;
    let events = source.network.events.len();
    if out.format() == Format::Json {
        let mut line = UpLine::of(&state);
        line.events = (events > 0).then_some(file.as_path());
        out.json("up", &line)?;
    } else {
        out.line(&up_line(&state))?;
    }
    if events > 0 {
        let count = units::counted(events as u64, "event follows", "events follow");
        out.say(&format!("{count}; what comes of them: {}", file.display()));
    }
    Ok(Exit::Good)
}

/// The topology's own name, else that of its file, else the shape.
pub(super) fn name_of(text: &str, name: &str) -> String {
    let path = Path::new(text);
    match path
        .file_stem()
        .filter(|_| path.extension().is_some_and(|end| end == "json"))
    {
        _ if !name.is_empty() => name.to_owned(),
        Some(stem) => stem.to_string_lossy().into_owned(),
        None => text.to_owned(),
    }
}

/// What `lab up` says to scripts.
#[derive(Serialize)]
struct UpLine<'a> {
    net: &'a str,
    nodes: usize,
    links: usize,
    ports: Vec<u16>,
    took_ms: u64,
    /// Where the keeper writes what comes of the events of the topology, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a Path>,
}

impl<'a> UpLine<'a> {
    fn of(state: &'a State) -> Self {
        Self {
            net: &state.name,
            nodes: state.nodes.len(),
            links: state.links,
            ports: state.nodes.iter().map(|node| node.port).collect(),
            took_ms: state.took_ms,
            events: None,
        }
    }
}

fn up_line(state: &State) -> String {
    let ports = || state.nodes.iter().map(|node| node.port);
    let (low, high) = (ports().min().unwrap_or(0), ports().max().unwrap_or(0));
    let ports = if low == high {
        format!("port {low}")
    } else {
        format!("ports {low}-{high}")
    };
    format!(
        "{}: {} up on 127.0.0.1 ({ports}), {}, {}.",
        state.name,
        units::counted(state.nodes.len() as u64, "node", "nodes"),
        units::counted(state.links as u64, "link", "links"),
        units::time(Duration::from_millis(state.took_ms)),
    )
}

/// One line of `lab ps`.
#[derive(Serialize)]
struct NodeLine<'a> {
    net: &'a str,
    node: &'a str,
    addr: String,
    pid: u32,
    /// `None`: the node has ended.
    links: Option<usize>,
    home: &'a Path,
}

/// Lists the networks that are up, and their nodes.
///
/// # Errors
/// No network of that name is up; the disk.
pub(super) fn ps(args: &PsArgs, out: &Output) -> Result<Exit, Failure> {
    let root = place::root(args.which.dir.as_deref())?;
    let mut found = place::list(&root)?;
    if let Some(name) = &args.which.net {
        found.retain(|found| found.name == *name);
        if found.is_empty() {
            return Err(not_up(name, &place::list(&root)?));
        }
    }
    let mut rows = Vec::new();
    for Found {
        name,
        dir,
        held,
        state,
    } in &found
    {
        let Some(state) = state.as_ref().filter(|_| *held) else {
            let what = if *held {
                "is starting"
            } else {
                "was killed; `filbert lab down` removes what it left"
            };
            out.say(&format!("{name} {what}"));
            continue;
        };
        out.say(&format!(
            "{} in {}",
            up_line(state).trim_end_matches('.'),
            dir.display()
        ));
        let links = for_all(&state.nodes, |node| {
            // One that does not answer has ended.
            Ok(NodeClient::connect(node)
                .and_then(|client| client.links())
                .ok())
        })?;
        for (node, links) in state.nodes.iter().zip(links) {
            let NodeState {
                name: id,
                port,
                process,
                home,
            } = node;
            let line = NodeLine {
                net: name,
                node: id,
                addr: format!("127.0.0.1:{port}"),
                pid: process.pid,
                links,
                home,
            };
            out.json("node", &line)?;
            let links = links.map_or_else(|| "ended".to_owned(), |links| links.to_string());
            rows.push([
                name.clone(),
                id.clone(),
                line.addr.clone(),
                process.pid.to_string(),
                links,
            ]);
        }
    }
    match out.format() {
        Format::Json => {}
        Format::Tabs => rows.iter().try_for_each(|row| out.line(&row.join("\t")))?,
        Format::People if rows.is_empty() => {}
        Format::People => {
            let header = [
                ("NET", Side::Left),
                ("NODE", Side::Left),
                ("ADDRESS", Side::Left),
                ("PID", Side::Right),
                ("LINKS", Side::Right),
            ];
            out.line(&table::plain(header, rows.iter().cloned()))?;
        }
    }
    if rows.is_empty() {
        out.say("no network is up; start one: filbert lab up ring:12");
        return Ok(Exit::Nothing);
    }
    Ok(Exit::Good)
}

/// The network that is meant, with what it says about itself.
///
/// # Errors
/// Exit 3: none is up, or several are and none was named.
pub(super) fn find(which: &WhichArgs) -> Result<(Found, State), Failure> {
    let root = place::root(which.dir.as_deref())?;
    let mut found = choose(place::list(&root)?, which.net.as_deref())?;
    match (found.held, found.state.take()) {
        (true, Some(state)) => Ok((found, state)),
        (true, None) => Err(Failure::new(
            Exit::NoNetwork,
            format!("the network {} is starting; try again soon", found.name),
        )),
        (false, _) => Err(Failure::new(
            Exit::NoNetwork,
            format!(
                "the network {} was killed; start it again with `filbert lab up`",
                found.name
            ),
        )),
    }
}

/// The network of that name, or the only one: of several, the only one that is held.
fn choose(mut found: Vec<Found>, name: Option<&str>) -> Result<Found, Failure> {
    if let Some(name) = name {
        return match found.iter().position(|found| found.name == name) {
            Some(at) => Ok(found.swap_remove(at)),
            None => Err(not_up(name, &found)),
        };
    }
    if found.iter().any(|found| found.held) {
        found.retain(|found| found.held);
    }
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        let text = format!(
            "several networks are up: {}; choose one with --net",
            names.join(", ")
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    found.pop().ok_or_else(|| {
        Failure::new(
            Exit::NoNetwork,
            "no network is up; start one: filbert lab up ring:12",
        )
    })
}

fn not_up(name: &str, found: &[Found]) -> Failure {
    let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
    let hint = if names.is_empty() {
        format!("start it: filbert lab up SPEC --name {name}")
    } else {
        format!("those are: {}", names.join(", "))
    };
    Failure::new(
        Exit::NoNetwork,
        format!("no network {name:?} is up; {hint}"),
    )
}

/// Stops networks and removes their files, and those of networks that were killed.
///
/// # Errors
/// Exit 3: there is none; the disk.
pub(super) fn down(args: &DownArgs, out: &Output) -> Result<Exit, Failure> {
    let root = place::root(args.which.dir.as_deref())?;
    let found = place::list(&root)?;
    let chosen = if args.all {
        found
    } else {
        vec![choose(found, args.which.net.as_deref())?]
    };
    if chosen.is_empty() {
        out.say("no network is up");
    }
    for found in chosen {
        stop(&root, &found)?;
        let nodes = found.state.as_ref().map_or(0, |state| state.nodes.len()) as u64;
        let text = if found.held {
            format!(
                "{}: {} stopped, temporary files removed.",
                found.name,
                units::counted(nodes, "node", "nodes")
            )
        } else {
            format!("{}: had been killed; what it left is removed.", found.name)
        };
        if out.format() == Format::Json {
            out.json(
                "down",
                &serde_json::json!({"net": found.name, "nodes": nodes, "was_up": found.held}),
            )?;
        } else {
            out.line(&text)?;
        }
    }
    Ok(Exit::Good)
}

fn stop(root: &Path, found: &Found) -> Result<(), Failure> {
    if found.held {
        let Some(state) = &found.state else {
            let text = format!(
                "the network {} is starting; try again soon, or interrupt what starts it",
                found.name
            );
            return Err(Failure::new(Exit::Running, text));
        };
        state.keeper.ask_to_end();
        if !place::wait_until_free(&found.dir, DOWN_TIME) {
            state.keeper.kill();
            place::wait_until_free(&found.dir, DOWN_TIME);
        }
    }
    if found.dir.exists() {
        Held::take(root, &found.name)?.remove()?;
    }
    Ok(())
}
