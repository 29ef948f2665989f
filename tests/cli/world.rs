//! A world for one test: temporary homes, real nodes, commands with deadlines. Nothing outlives it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Whatever is waited for comes within this, or the test fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// Everything of one test lies here.
pub struct World {
    dir: tempfile::TempDir,
}

/// A process that is killed when this is dropped, also by a panic.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Run {
    /// Standard output as JSON lines; each must be one, with version and type.
    pub fn json(&self) -> Vec<Value> {
        self.out.lines().map(parsed).collect()
    }

    /// JSON lines of one type.
    pub fn json_of(&self, kind: &str) -> Vec<Value> {
        self.json()
            .into_iter()
            .filter(|line| line["type"] == kind)
            .collect()
    }

    /// Fails with all that was said when the code is another.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.out,
            self.err
        );
        self
    }
}

pub fn parsed(line: &str) -> Value {
    let value: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}: {line:?}"));
    assert_eq!(value["v"], 1, "{line}");
    assert!(value["type"].is_string(), "{line}");
    value
}

/// A command of the program, without anything of the environment that would change what it does.
pub fn filbert<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("FILBERT_")
            || text.starts_with("XDG_")
            || text.starts_with("CLICOLOR")
            || text == "NO_COLOR"
        {
            command.env_remove(&name);
        }
    }
    // Tests speak to this machine only.
    command.env("FILBERT_NO_DISCOVERY", "1");
    command
}

/// Runs a command to its end; killed when it takes longer than the deadline.
pub fn run(command: Command) -> Run {
    run_with(command, b"")
}

/// As [`run`], with standard output going elsewhere.
pub fn run_into(mut command: Command, stdout: impl Into<Stdio>) -> Run {
    let child = command.stdout(stdout).stderr(Stdio::piped()).spawn();
    drop(command);
    Running::new(child.expect("the program starts")).finish(b"")
}

/// As [`run`], with standard input.
pub fn run_with(mut command: Command, input: &[u8]) -> Run {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let running = Running::new(child.expect("the program starts"));
    running.finish(input)
}

/// A command that runs.
pub struct Running {
    child: Guard,
    /// Lines of standard output, as they come.
    out: Receiver<String>,
    taken: Mutex<String>,
    err: Receiver<String>,
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (line, lines) = channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while matches!(stream.read_until(b'\n', &mut bytes), Ok(1..)) {
            let _ = line.send(String::from_utf8_lossy(&std::mem::take(&mut bytes)).into_owned());
        }
    });
    lines
}

fn all_of(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (done, all) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    all
}

impl Running {
    fn new(mut child: Child) -> Self {
        let (_, nothing) = channel();
        let out = child.stdout.take().map_or(nothing, lines_of);
        let err = all_of(child.stderr.take().expect("piped"));
        Self {
            child: Guard(child),
            out,
            taken: Mutex::default(),
            err,
        }
    }

    /// Starts a command without waiting for it.
    pub fn start(mut command: Command) -> Self {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self::new(child.expect("the program starts"))
    }

    /// The next line of standard output.
    pub fn line(&self) -> String {
        let line = self.out.recv_timeout(DEADLINE).expect("a line in time");
        self.taken.lock().unwrap().push_str(&line);
        line
    }

    /// Asks it to end as Ctrl-C does.
    pub fn interrupt(&self) {
        signal(&self.child.0, rustix::process::Signal::INT);
    }

    /// Waits for its end.
    pub fn finish(mut self, input: &[u8]) -> Run {
        if let Some(mut stdin) = self.child.0.stdin.take() {
            // It may end without reading.
            let _ = stdin.write_all(input);
        }
        let code = wait(&mut self.child.0);
        let mut out = self.taken.into_inner().unwrap();
        loop {
            match self.out.recv_timeout(DEADLINE) {
                Ok(line) => out.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("streams end with the process"),
            }
        }
        let err = self
            .err
            .recv_timeout(DEADLINE)
            .expect("streams end with the process");
        Run { code, out, err }
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("the process lives");
}

/// The exit code; `None` after a signal. Panics at the deadline.
fn wait(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return status.code();
        }
        assert!(start.elapsed() < DEADLINE, "the command does not end");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A real node.
pub struct Node {
    child: Guard,
    pub home: PathBuf,
    pub listen: SocketAddr,
    lines: Receiver<Value>,
    pub seen: Vec<Value>,
}

impl World {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes files below a folder and gives the folder.
    pub fn folder(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (name, bytes) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("below a folder")).expect("a folder");
            std::fs::write(path, bytes).expect("written");
        }
        folder
    }

    /// A command with a home of that name in this world.
    pub fn command(&self, home: &str, args: &[&str]) -> Command {
        let mut command = filbert(args);
        command
            .env("FILBERT_HOME", self.path(home))
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path());
        command
    }

    /// Runs a command with a home of that name to its end.
    pub fn run(&self, home: &str, args: &[&str]) -> Run {
        run(self.command(home, args))
    }

    /// The first hit of a search by a command with a home of that name.
    pub fn hit(&self, home: &str, words: &[&str]) -> Value {
        let all = [&["search", "--json", "--idle", "700ms"], words].concat();
        self.run(home, &all).expect(0).json_of("hit").remove(0)
    }

    /// Starts a node on a free port of loopback and waits until it is ready.
    pub fn node(&self, name: &str, args: &[&str], peers: &[&Node]) -> Node {
        self.start_node("127.0.0.1:0", name, args, peers, |_| {})
    }

    /// As [`node`](Self::node), listening there.
    pub fn node_at(&self, listen: &str, name: &str, args: &[&str], peers: &[&Node]) -> Node {
        self.start_node(listen, name, args, peers, |_| {})
    }

    /// As [`node`](Self::node), for a node that may look for others by itself.
    pub fn open_node(&self, name: &str, args: &[&str], peers: &[&Node]) -> Node {
        self.start_node("127.0.0.1:0", name, args, peers, |command| {
            command.env_remove("FILBERT_NO_DISCOVERY");
        })
    }

    fn start_node(
        &self,
        listen: &str,
        name: &str,
        args: &[&str],
        peers: &[&Node],
        change: impl Fn(&mut Command),
    ) -> Node {
        let mut all = vec!["share", "--json", "--listen", listen, "--name", name];
        all.extend(args);
        let peers: Vec<String> = peers.iter().map(|peer| peer.listen.to_string()).collect();
        all.extend(peers.iter().flat_map(|peer| ["--peer", peer.as_str()]));
        let mut command = self.command(name, &all);
        change(&mut command);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = Guard(child.expect("the program starts"));
        let stdout = BufReader::new(child.0.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(parsed(&line)).is_err() {
                    return;
                }
            }
        });
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut node = Node {
            child,
            home: self.path(name),
            listen,
            lines,
            seen: Vec::new(),
        };
        let ready = node.wait_for("ready", |_| true);
        node.listen = ready["listen"]
            .as_str()
            .expect("an address")
            .parse()
            .expect("an address");
        node
    }

    /// Starts a node that shares these files, and waits until they are hashed and every peer is linked.
    pub fn sharing(&self, name: &str, files: &[(&str, &[u8])], peers: &[&Node]) -> Node {
        let folder = self.folder(&format!("{name}-files"), files);
        let mut node = self.node(name, &[path_text(&folder)], peers);
        let count = files.len() as u64;
        node.wait_for("library", |line| line["hashed_files"] == count);
        for peer in peers {
            node.wait_linked(peer.listen);
        }
        node
    }
}

pub fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

impl Node {
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    pub fn address(&self) -> String {
        self.listen.to_string()
    }

    /// The first event of a type that fits, past or to come.
    pub fn wait_for(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let wanted = |line: &Value| line["type"] == kind && fits(line);
        if let Some(line) = self.seen.iter().find(|line| wanted(line)) {
            return line.clone();
        }
        let start = Instant::now();
        loop {
            match self
                .lines
                .recv_timeout(DEADLINE.saturating_sub(start.elapsed()))
            {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no `{kind}` in time; seen: {:#?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the node ended; seen: {:#?}", self.seen)
                }
            }
        }
    }

    /// The first line that its control socket answers with.
    pub fn ask(&self, request: &str) -> Value {
        let mut stream = UnixStream::connect(self.home.join("filbert.sock")).expect("a socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        writeln!(stream, "{request}").expect("asked");
        let mut line = String::new();
        BufReader::new(stream)
            .read_line(&mut line)
            .expect("answered");
        serde_json::from_str(&line).expect("JSON")
    }

    pub fn wait_linked(&mut self, peer: SocketAddr) {
        self.wait_for("link-up", |line| {
            line["addr"] == peer.to_string() || line["listen"] == peer.to_string()
        });
    }

    pub fn signal(&self, which: rustix::process::Signal) {
        signal(&self.child.0, which);
    }

    /// Waits for the end of the process; its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        wait(&mut self.child.0)
    }
}
