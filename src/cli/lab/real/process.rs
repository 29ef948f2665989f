//! Processes by number and start time: a number alone may have gone to somebody else since.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process, as it can be recognised later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli::lab) struct Process {
    /// Process id.
    pub pid: u32,
    /// Clock ticks from the start of the system to that of the process; `None` where the system does not say.
    pub start: Option<u64>,
}

impl Process {
    /// The process of that number.
    pub(in crate::cli::lab) fn of(pid: u32) -> Self {
        Self {
            pid,
            start: start_of(pid),
        }
    }

    /// It is still there, and the same. Where the system does not say when it started: no.
    pub(in crate::cli::lab) fn is_alive(self) -> bool {
        self.start.is_some() && start_of(self.pid) == self.start
    }

    /// Asks it to end.
    pub(in crate::cli::lab) fn ask_to_end(self) {
        self.signal(Signal::TERM);
    }

    /// Ends it without asking.
    pub(in crate::cli::lab) fn kill(self) {
        self.signal(Signal::KILL);
    }

    fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // An error: it has ended since.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Field 22 of `/proc/PID/stat` (proc(5)); none of a zombie, which has ended but for its parent.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets that may itself hold brackets and blanks.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_known_by_its_start_and_not_by_its_number_alone() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::of(child.id());
        assert!(process.is_alive());
        let recycled = Process {
            start: process.start.map(|start| start - 1),
            ..process
        };
        assert!(!recycled.is_alive());
        recycled.kill();
        assert!(process.is_alive(), "somebody else's process is left alone");
        process.kill();
        child.wait().unwrap();
        assert!(!process.is_alive());
    }
}
