//! The folder of a network: who holds it, what it says about its nodes, and what is left when it was killed.
//!
//! ```text
//! ROOT/NAME/lock            locked as long as somebody holds the network, however that ends
//! ROOT/NAME/state.json      the nodes, once they are up
//! ROOT/NAME/topology.json   what they were started from
//! ROOT/NAME/keeper.log      what the keeper had to say
//! ROOT/NAME/NODE/           one node: home, files, log
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::cli::exit::{Exit, Failure};

/// Letters of a network's name.
const NAME_MAX: usize = 40;

/// What a network says about itself once it is up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::cli::lab) struct State {
    /// Version of this file.
    pub v: u32,
    /// Name of the network.
    pub name: String,
    /// Who holds it.
    pub keeper: Process,
    /// The nodes, in the order of the topology.
    pub nodes: Vec<NodeState>,
    /// Links between them.
    pub links: usize,
    /// How long it took from the first process to the last link, in milliseconds.
    pub took_ms: u64,
}

/// One node of a network that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli::lab) struct NodeState {
    /// Its id in the topology.
    pub name: String,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Its process.
    pub process: Process,
    /// Its `--home`.
    pub home: PathBuf,
}

/// The folder of a network, held by this process (or handed to the keeper).
#[derive(Debug)]
pub(in crate::cli::lab) struct Held {
    dir: PathBuf,
    lock: File,
}

/// A network found in the root folder.
#[derive(Debug)]
pub(in crate::cli::lab) struct Found {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Somebody holds it.
    pub held: bool,
    /// What it says about itself; `None` while it starts, or when it never came up.
    pub state: Option<State>,
}

/// The folder of all networks: `given`, else one for temporary files of this user.
pub(in crate::cli::lab) fn root(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let temporary = || std::env::temp_dir().join(format!("filbert-lab-{}", geteuid().as_raw()));
    let root = given.map_or_else(temporary, Path::to_owned);
    std::path::absolute(&root).map_err(|error| disk(&root, "cannot be found", &error))
}

/// Makes the root folder, for this user alone.
fn make_root(root: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|error| disk(root, "cannot be made", &error))?;
    // In a folder for temporary files somebody else may have been here first.
    let meta = fs::symlink_metadata(root).map_err(|error| disk(root, "cannot be used", &error))?;
    let ours = meta.is_dir() && meta.uid() == geteuid().as_raw();
    if !ours || meta.permissions().mode() & 0o022 != 0 {
        let shown = root.display();
        return Err(Failure::new(
            Exit::Disk,
            format!(
                "{shown} is open to other users; remove it, or choose another folder with --dir DIR"
            ),
        ));
    }
    Ok(())
}

/// A name fit for a folder: small letters, digits, `-`, `_` and `.`.
pub(in crate::cli::lab) fn folder_name(text: &str) -> String {
    let plain = |c: char| match c {
        'a'..='z' | '0'..='9' | '-' | '_' | '.' => c,
        'A'..='Z' => c.to_ascii_lowercase(),
        _ => '-',
    };
    let name: String = text.chars().take(NAME_MAX).map(plain).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() {
        "net".to_owned()
    } else {
        name.to_owned()
    }
}

impl Held {
    /// Takes the folder of a network; what a killed one left in it is removed first.
    ///
    /// # Errors
    /// Exit 8: a network of that name is up. Exit 6: the disk.
    pub(in crate::cli::lab) fn take(root: &Path, name: &str) -> Result<Self, Failure> {
        make_root(root)?;
        let dir = root.join(name);
        loop {
            make_dir(&dir)?;
            let Some(lock) = try_lock(&dir)? else {
                let since = read_state(&dir).map_or_else(String::new, |state| {
                    format!(", held by process {}", state.keeper.pid)
                });
                return Err(Failure::new(
                    Exit::Running,
                    format!(
                        "the network {name} is up already{since}; stop it with `filbert lab down --net {name}`, or choose \
                         another name with --name"
                    ),
                ));
            };
            // Whoever held it before may have removed the folder after we opened the lock.
            if !is_same(&lock, &dir.join("lock")) {
                continue;
            }
            let held = Self { dir, lock };
            held.clear()?;
            return Ok(held);
        }
    }

    /// The lock that came as the standard input of this process, of a folder that the parent has taken.
    ///
    /// # Errors
    /// It is not that lock.
    pub(in crate::cli::lab) fn inherit(dir: &Path, stdin: File) -> Result<Self, Failure> {
        if is_same(&stdin, &dir.join("lock")) {
            return Ok(Self {
                dir: dir.to_owned(),
                lock: stdin,
            });
        }
        Err(Failure::new(
            Exit::Usage,
            "`lab keep` is started by `filbert lab up` alone; use that",
        ))
    }

    /// The folder.
    pub(in crate::cli::lab) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lock, to be handed on as somebody's standard input: it is held as long as either has it.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub(in crate::cli::lab) fn share_lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Writes what the network says about itself, in one piece.
    ///
    /// # Errors
    /// Exit 6: the disk.
    pub(in crate::cli::lab) fn write_state(&self, state: &State) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(state).expect("plain data is JSON");
        let (path, new) = (self.dir.join("state.json"), self.dir.join("state.json.new"));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| disk(&path, "cannot be written", &error))
    }

    /// Ends what a killed network left running, and removes its files.
    fn clear(&self) -> Result<(), Failure> {
        if let Some(state) = read_state(&self.dir) {
            // They end by themselves when their holder does; one that was stopped or hangs does not.
            for node in &state.nodes {
                node.process.kill();
            }
        }
        let entries =
            fs::read_dir(&self.dir).map_err(|error| disk(&self.dir, "cannot be read", &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| disk(&self.dir, "cannot be read", &error))?;
            let path = entry.path();
            if entry.file_name() == "lock" {
                continue;
            }
            let gone = match entry.file_type() {
                Ok(kind) if kind.is_dir() => remove_folder(&path),
                _ => fs::remove_file(&path),
            };
            gone.map_err(|error| disk(&path, "cannot be removed", &error))?;
        }
        Ok(())
    }

    /// Removes the folder with all that is in it and lets go of it.
    ///
    /// # Errors
    /// Exit 6: the disk.
    pub(in crate::cli::lab) fn remove(self) -> Result<(), Failure> {
        self.clear()?;
        fs::remove_file(self.dir.join("lock"))
            .and_then(|()| fs::remove_dir(&self.dir))
            .map_err(|error| disk(&self.dir, "cannot be removed", &error))
    }
}

/// The networks in the root folder, by name. What a folder holds that is no network of ours is left alone.
///
/// # Errors
/// Exit 6: the disk.
pub(in crate::cli::lab) fn list(root: &Path) -> Result<Vec<Found>, Failure> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(disk(root, "cannot be read", &error)),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let dir = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !dir.join("lock").is_file() || folder_name(&name) != name {
            continue;
        }
        let held = try_lock(&dir)?.is_none();
        let state = read_state(&dir);
        found.push(Found {
            name,
            dir,
            held,
            state,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Waits until nobody holds a network any more; `false`: that did not happen in time.
pub(in crate::cli::lab) fn wait_until_free(dir: &Path, wait: Duration) -> bool {
    let Ok(lock) = open_lock(dir) else {
        // The folder is gone, which is the last thing its holder does.
        return true;
    };
    let (free, is_free) = mpsc::channel();
    // Detached: it ends with the lock's holder or with this process, which is short-lived.
    std::thread::spawn(move || {
        let _ = free.send(flock(&lock, FlockOperation::LockShared));
    });
    is_free.recv_timeout(wait).is_ok()
}

fn make_dir(dir: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| disk(dir, "cannot be made", &error))
}

fn open_lock(dir: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(dir.join("lock"))
}

/// The lock; `None`: somebody has it.
fn try_lock(dir: &Path) -> Result<Option<File>, Failure> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| disk(&path, "cannot be opened", &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(disk(&path, "cannot be locked", &error.into())),
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let ids = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ids(ours) == ids(there),
        _ => false,
    }
}

fn read_state(dir: &Path) -> Option<State> {
    let text = fs::read(dir.join("state.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Tries of [`remove_folder`]: a node that is just ending may still write into its home.
const REMOVE_TRIES: usize = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(50);

fn remove_folder(path: &Path) -> io::Result<()> {
    for _ in 1..REMOVE_TRIES {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(REMOVE_PAUSE);
            }
            result => return result,
        }
    }
    fs::remove_dir_all(path)
}

/// The disk said no.
pub(super) fn disk(path: &Path, what: &str, error: &io::Error) -> Failure {
    let shown = path.display();
    Failure::new(
        Exit::Disk,
        format!(
            "{shown} {what}: {error}; make room or rights, or choose another folder with --dir DIR"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_holder_and_a_killed_one_leaves_no_debris() {
        let root = tempfile::tempdir().unwrap();
        let held = Held::take(root.path(), "ring").unwrap();
        let failure = Held::take(root.path(), "ring").unwrap_err();
        assert_eq!(failure.exit, Exit::Running);
        fs::create_dir_all(held.dir().join("n0/home")).unwrap();
        fs::write(held.dir().join("n0/home/x"), "x").unwrap();
        assert!(list(root.path()).unwrap()[0].held);
        drop(held);
        assert!(!list(root.path()).unwrap()[0].held);
        let held = Held::take(root.path(), "ring").unwrap();
        assert!(!held.dir().join("n0").exists());
        held.remove().unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_node_that_outlived_its_holder_is_ended_and_nobody_else_is() {
        use std::process::{Command, Stdio};
        let root = tempfile::tempdir().unwrap();
        let start = || Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (mut ours, mut other) = (start(), start());
        let theirs = Process::of(other.id());
        // What a recycled number looks like: the same, with another start.
        let recycled = Process {
            start: theirs.start.map(|start| start + 1),
            ..theirs
        };
        let node = |process| NodeState {
            name: "n".to_owned(),
            port: 1,
            process,
            home: PathBuf::new(),
        };
        let held = Held::take(root.path(), "ring").unwrap();
        let state = State {
            v: 1,
            name: "ring".to_owned(),
            keeper: Process::of(1),
            nodes: vec![node(Process::of(ours.id())), node(recycled)],
            links: 0,
            took_ms: 0,
        };
        held.write_state(&state).unwrap();
        drop(held);
        Held::take(root.path(), "ring").unwrap();
        assert!(!ours.wait().unwrap().success());
        assert!(theirs.is_alive());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn what_is_no_network_of_ours_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("precious")).unwrap();
        assert!(list(root.path()).unwrap().is_empty());
        assert!(list(&root.path().join("nowhere")).unwrap().is_empty());
    }

    #[test]
    fn waiting_for_a_holder_ends_when_it_lets_go() {
        let root = tempfile::tempdir().unwrap();
        let held = Held::take(root.path(), "ring").unwrap();
        let dir = held.dir().to_owned();
        assert!(!wait_until_free(&dir, Duration::from_millis(20)));
        let waiting = std::thread::spawn(move || wait_until_free(&dir, Duration::from_secs(10)));
        held.remove().unwrap();
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn names_are_fit_for_folders() {
        for (text, name) in [
            ("ring:12", "ring-12"),
            ("Two Islands", "two-islands"),
            ("../..", "net"),
            ("", "net"),
        ] {
            assert_eq!(folder_name(text), name);
        }
    }
}
