//! The processes of nodes: started, listened to, ended. None outlives whoever holds it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::launch::{LOOK, stop_if};
use super::place::{NodeState, disk};
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};

/// All nodes have so long to start. Hundreds of them on two cores need seconds; a node that says nothing for
/// so long hangs.
const START_TIME: Duration = Duration::from_mins(2);
/// Nodes have so long to take leave before they are killed.
const LEAVE_TIME: Duration = Duration::from_secs(8);
/// Stack of a thread that copies what a node says.
const READER_STACK_BYTES: usize = 128 * 1024;
/// Lines of a failed node's log that are shown.
const LOG_LINES: usize = 5;

/// What came of starting a node.
pub(super) enum Started {
    /// It listens there.
    Ready(u16),
    /// It ended, or said something else.
    Failed,
}

/// Waits until all nodes of which something is to come have said where they listen.
///
/// # Errors
/// One did not start, or none said anything for long; `interrupted`.
pub(super) fn wait_for_all(
    is_ready: &mpsc::Receiver<(usize, Started)>,
    mut missing: usize,
    nodes: &mut [NodeState],
    dir: &Path,
    interrupted: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let clock = Stopwatch::start();
    while missing > 0 {
        stop_if(interrupted)?;
        match is_ready.recv_timeout(Duration::from_millis(50)) {
            Ok((node, Started::Ready(port))) => {
                nodes[node].port = port;
                missing -= 1;
            }
            Ok((node, Started::Failed)) => {
                let name = &nodes[node].name;
                let log = last_lines(&dir.join(name).join("log"));
                return Err(Failure::new(
                    Exit::Usage,
                    format!("node {name} did not start{log}"),
                ));
            }
            Err(_) if clock.passed(Some(START_TIME)) => {
                let seconds = START_TIME.as_secs();
                let text = format!(
                    "{missing} nodes did not start within {seconds} s; is this machine overloaded?"
                );
                return Err(Failure::new(Exit::Usage, text));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// The end of a log, to follow a message.
fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let shown = &lines[lines.len().saturating_sub(LOG_LINES)..];
    if shown.is_empty() {
        " and did not say why".to_owned()
    } else {
        format!(":\n{}", shown.join("\n"))
    }
}

/// The processes. Each ends when its standard input does, so also when this process is killed.
#[derive(Debug, Default)]
pub(super) struct Children(Vec<(Child, Option<ChildStdin>)>);

impl Children {
    /// Starts node number `node`, in place of one that has ended if there was one, and a thread that keeps what it
    /// says. Returns its process id.
    ///
    /// # Errors
    /// The disk; the system has no room for one more.
    pub(super) fn spawn(
        &mut self,
        command: &mut Command,
        name: &str,
        dir: &Path,
        node: usize,
        ready: &mpsc::Sender<(usize, Started)>,
    ) -> Result<u32, Failure> {
        let create = |name: &str| {
            let path = dir.join(name);
            File::create(&path).map_err(|error| disk(&path, "cannot be made", &error))
        };
        let (log, events) = (create("log")?, create("events.jsonl")?);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let failed = |error| {
            Failure::new(
                Exit::Usage,
                format!("cannot start node {name}: {error}; try fewer nodes"),
            )
        };
        let mut child = command.spawn().map_err(failed)?;
        let (pid, stdin, stdout) = (child.id(), child.stdin.take(), child.stdout.take());
        match self.0.get_mut(node) {
            Some(ended) => *ended = (child, stdin),
            None => self.0.push((child, stdin)),
        }
        let ready = ready.clone();
        let stdout = stdout.expect("it was piped");
        // Detached: it ends with the node.
        std::thread::Builder::new()
            .stack_size(READER_STACK_BYTES)
            .spawn(move || keep_words(BufReader::with_capacity(1024, stdout), events, node, &ready))
            .map_err(failed)?;
        Ok(pid)
    }

    /// Kills a node, which has no chance to take leave.
    pub(super) fn kill(&mut self, node: usize) {
        let (child, _) = &mut self.0[node];
        // An error: it has ended since.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Has these nodes take leave and end. Returns how many had to be killed.
    pub(super) fn leave(&mut self, nodes: &[u32]) -> usize {
        for node in nodes {
            drop(self.0[*node as usize].1.take());
        }
        let clock = Stopwatch::start();
        let ends = nodes.iter().map(|node| {
            let (child, _) = &mut self.0[*node as usize];
            end(child, clock)
        });
        ends.filter(|how| *how == Ended::Killed).count()
    }

    /// Has all take leave. Returns how many had to be killed.
    pub(super) fn stop(&mut self) -> usize {
        for (_, stdin) in &mut self.0 {
            drop(stdin.take());
        }
        let clock = Stopwatch::start();
        let ends = self.0.iter_mut().map(|(child, _)| end(child, clock));
        let killed = ends.filter(|how| *how == Ended::Killed).count();
        self.0.clear();
        killed
    }
}

/// How a node ended that was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    ByItself,
    Killed,
}

/// Waits until a node ends that has been asked to since `asked` began; kills it when its time is over.
fn end(child: &mut Child, asked: Stopwatch) -> Ended {
    while let Ok(None) = child.try_wait() {
        if asked.passed(Some(LEAVE_TIME)) {
            // An error: it has ended since.
            let _ = child.kill();
            let _ = child.wait();
            return Ended::Killed;
        }
        std::thread::sleep(LOOK);
    }
    Ended::ByItself
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Says when a node is ready, and keeps what it says in a file.
fn keep_words(
    mut said: impl BufRead,
    mut events: File,
    node: usize,
    ready: &mpsc::Sender<(usize, Started)>,
) {
    let mut line = String::new();
    let mut waiting = true;
    while let Ok(1..) = said.read_line(&mut line) {
        // A full disk loses the record, not the network.
        let _ = events.write_all(line.as_bytes());
        if waiting && let Some(port) = port_of(&line) {
            waiting = false;
            let _ = ready.send((node, Started::Ready(port)));
        }
        line.clear();
    }
    if waiting {
        let _ = ready.send((node, Started::Failed));
    }
}

/// The port of a `ready` line.
fn port_of(line: &str) -> Option<u16> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    if value["type"] != "ready" {
        return None;
    }
    Some(value["listen"].as_str()?.parse::<SocketAddr>().ok()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_line_says_where_a_node_listens() {
        assert_eq!(
            port_of(r#"{"v":1,"type":"ready","listen":"127.0.0.1:41007"}"#),
            Some(41_007)
        );
        for other in [
            r#"{"v":1,"type":"link-up","listen":"127.0.0.1:1"}"#,
            "ready",
            "",
        ] {
            assert_eq!(port_of(other), None);
        }
    }
}
