//! The laboratory as a person uses it: the real program, with its networks in a folder of the test's own.
#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing here takes seconds on an idle machine; on a busy one it may.
const SOON: Duration = Duration::from_secs(60);
/// A look again.
const AGAIN: Duration = Duration::from_millis(20);

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_filbert");

/// A folder for networks. Whatever is still up in it ends with it.
pub(crate) struct Lab {
    dir: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Where things of the test may lie.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of networks.
    pub(crate) fn nets(&self) -> PathBuf {
        self.path().join("nets")
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `filbert lab WORDS --dir ..`, ports as they come.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(PROGRAM);
        let verb = words[0].as_ref();
        command.arg("lab").args(words).arg("--dir").arg(self.nets());
        if verb == "up" || verb == "run" {
            command.args(["--base-port", "0"]);
        }
        command.env_remove("FILBERT_HOME").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Standard output of a command that must end with 0.
    pub(crate) fn good<S: AsRef<OsStr>>(&self, words: &[S]) -> String {
        let output = self.run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON lines of a command that must end with 0.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, words: &[S]) -> Vec<Value> {
        let mut words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        words.push(OsStr::new("--json"));
        lines(&self.good(&words))
    }

    /// What a network says about itself, once it does.
    pub(crate) fn state(&self, net: &str) -> Value {
        let path = self.nets().join(net).join("state.json");
        until("the network to be up", || {
            serde_json::from_slice(&fs::read(&path).ok()?).ok()
        })
    }

    /// The networks in the folder, by name.
    pub(crate) fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.nets()) else {
            return Vec::new();
        };
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        entries.map(|entry| name(entry).unwrap()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["down", "--all"]);
    }
}

/// JSON lines.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The processes of the nodes of a network.
pub(crate) fn pids(state: &Value) -> Vec<u32> {
    let pid = |node: &Value| u32::try_from(node["process"]["pid"].as_u64().unwrap()).unwrap();
    state["nodes"].as_array().unwrap().iter().map(pid).collect()
}

/// The process that holds a network.
pub(crate) fn keeper(state: &Value) -> u32 {
    u32::try_from(state["keeper"]["pid"].as_u64().unwrap()).unwrap()
}

/// Is it running? A process that has ended and that nobody has asked about is not.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<_> = after_name.split_ascii_whitespace().collect();
    // A process that was killed is a zombie while some of its threads still end, and until they have its locks are held.
    match (fields.first(), fields.get(17)) {
        (Some(&("Z" | "X")), threads) => {
            threads.is_some_and(|threads| !matches!(*threads, "0" | "1"))
        }
        (state, _) => state.is_some(),
    }
}

/// Waits until none of them is running.
pub(crate) fn until_ended(pids: &[u32]) {
    until("processes to end", || {
        pids.iter().all(|pid| !is_running(*pid)).then_some(())
    });
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until `look` has something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < SOON, "waited too long for {what}");
        std::thread::sleep(AGAIN);
    }
}
