//! Where a node keeps what outlives it: servent id, known hosts, hashes, partial files; its lock and socket.
//!
//! With a home (`--home`, `FILBERT_HOME`) everything lies in that one folder, so that many nodes live side by
//! side; else in the XDG folders (PRODUCT.md 6.6):
//!
//! | what | with a home | without |
//! |---|---|---|
//! | servent id, hosts, lists of host caches, hash cache | `HOME/` | `$XDG_DATA_HOME/filbert/` |
//! | partial files, search results, lock | `HOME/` | `$XDG_STATE_HOME/filbert/` |
//! | control socket | `HOME/filbert.sock` | `$XDG_RUNTIME_DIR/filbert/filbert.sock` |

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::TryRng;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha1::Digest;

use super::lists::List;
use super::save::{at, load, save};
use crate::node::address::Net;
use crate::node::hosts::Remembered;
use crate::node::limits::HOSTS_MAX;
use crate::wire::ServentId;

/// Bytes of a socket's path, its end mark not counted: `sun_path` has 108 on Linux, 104 elsewhere.
const SOCKET_PATH_MAX: usize = 103;
/// Bytes of the hosts file that are read at all: [`HOSTS_MAX`] addresses of the longest kind take half.
const HOSTS_BYTES_MAX: u64 = 256 * 1024;
/// Bytes of the file with the servent id, and of the lock file, that are read at all.
const NOTE_BYTES_MAX: u64 = 256;

/// The list of host caches that everybody begins with: those that gtk-gnutella 1.2.3 asks. Who keeps them is unknown to
/// us, and some may be gone; so the list is a file.
const HOST_CACHES: &str = "\
# UDP host caches of the public Gnutella network: they are asked for addresses while no known node answers.
# One HOST:PORT a line. Edit as you like; `--host-cache HOST:PORT` adds to it. With all lines removed none is asked.
1.uhc.gtk-gnutella.nl:19104
uhc.gtk-gnutella.nl:15749
useast.gnutella.dyslexicfish.net:3558
uswest.gnutella.dyslexicfish.net:3558
uk.gnutella.dyslexicfish.net:3558
";

/// The list of web caches that everybody begins with: none is known to us that lives and serves this network.
const WEB_CACHES: &str = "\
# Web caches (GWebCache 1 and 2, or a plain list of IP:PORT) of the public Gnutella network: asked once an hour at most,
# and only when no host cache helps. One http:// address a line; `--web-cache URL` adds to it.
";

/// The places of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    data: PathBuf,
    state: PathBuf,
    socket: PathBuf,
    socket_note: Option<String>,
}

/// A home that this process holds alone, until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

/// Why a home cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another node runs there (exit code 8).
    #[error(
        "a node is already running in {home}: process {pid}, since {since}; stop it, or give this one a home of its own with --home DIR"
    )]
    Held {
        /// The folder.
        home: String,
        /// Who holds it, if that could be read; else "unknown".
        pid: String,
        /// Since when, for people: `2026-01-31 12:00:00 UTC`, or "unknown".
        since: String,
    },
    /// The disk says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What of the environment decides about places.
#[derive(Clone, Debug, Default)]
struct Env {
    filbert_home: Option<OsString>,
    home: Option<OsString>,
    data: Option<OsString>,
    state: Option<OsString>,
    runtime: Option<OsString>,
    uid: u32,
}

impl Home {
    /// The home that was asked for on the command line, else `FILBERT_HOME`, else the XDG folders. Looks at
    /// the environment, touches nothing on disk but to resolve links.
    ///
    /// # Errors
    /// When there is no home folder to derive the places from.
    pub fn resolve(flag: Option<&Path>) -> io::Result<Self> {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let env = Env {
            filbert_home: var("FILBERT_HOME"),
            home: var("HOME"),
            data: var("XDG_DATA_HOME"),
            state: var("XDG_STATE_HOME"),
            runtime: var("XDG_RUNTIME_DIR"),
            uid: rustix::process::geteuid().as_raw(),
        };
        Self::from_env(flag, &env)
    }

    /// Everything under `folder`.
    ///
    /// # Errors
    /// When the working folder is needed and gone.
    pub fn at(folder: &Path) -> io::Result<Self> {
        Self::resolve(Some(folder))
    }

    fn from_env(flag: Option<&Path>, env: &Env) -> io::Result<Self> {
        if let Some(folder) = flag.or(env.filbert_home.as_deref().map(Path::new)) {
            let folder = std::path::absolute(folder)?;
            // The same home must give the same socket, by whatever way it was named.
            let folder = folder.canonicalize().unwrap_or(folder);
            let (socket, socket_note) = short_enough(folder.join("filbert.sock"), env);
            return Ok(Self {
                data: folder.clone(),
                state: folder,
                socket,
                socket_note,
            });
        }
        // The XDG rules: relative paths are ignored.
        let xdg = |value: &Option<OsString>, below_home: &str| {
            let given = value
                .as_ref()
                .map(PathBuf::from)
                .filter(|path| path.is_absolute());
            let home = env
                .home
                .as_ref()
                .map(PathBuf::from)
                .filter(|path| path.is_absolute());
            given.or_else(|| Some(home?.join(below_home))).map(|path| path.join("filbert")).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    "no place for this node's files: HOME is not set; set it, or choose a folder with --home DIR",
                )
            })
        };
        let data = xdg(&env.data, ".local/share")?;
        let state = xdg(&env.state, ".local/state")?;
        let runtime = env
            .runtime
            .as_ref()
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let socket = runtime
            .map_or_else(|| state.clone(), |path| path.join("filbert"))
            .join("filbert.sock");
        let (socket, socket_note) = short_enough(socket, env);
        Ok(Self {
            data,
            state,
            socket,
            socket_note,
        })
    }

    /// Makes the folders that are missing, for this user alone (mode 0700).
    ///
    /// # Errors
    /// What the system says, with the path; also when the socket would lie in a folder of somebody else.
    pub fn create(&self) -> io::Result<()> {
        for folder in [
            Some(self.data.as_path()),
            Some(&self.state),
            self.socket.parent(),
        ]
        .into_iter()
        .flatten()
        {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| at(folder, "cannot be made", &error))?;
        }
        if self.socket_note.is_some()
            && let Some(folder) = self.socket.parent()
        {
            let meta = fs::symlink_metadata(folder)
                .map_err(|error| at(folder, "cannot be used", &error))?;
            let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw();
            if !ours || meta.permissions().mode() & 0o077 != 0 {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!(
                        "{} does not belong to this user alone; remove it, or choose a shorter --home DIR",
                        folder.display()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Folder of what is kept for good.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Folder of what is kept while it lasts.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Path of the control socket; short enough to be bound.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A sentence for people when the socket is not where they would look for it.
    pub fn socket_note(&self) -> Option<&str> {
        self.socket_note.as_deref()
    }

    /// The store of known hashes.
    pub fn hash_cache(&self) -> PathBuf {
        self.data.join("hashes.redb")
    }

    /// How results of searches were ranked.
    pub fn rankings(&self) -> PathBuf {
        self.state.join("rankings.jsonl")
    }

    /// A list of known fakes that every search goes by, if it is there.
    pub fn spam_list(&self) -> PathBuf {
        self.data.join("spam.txt")
    }

    /// Downloads that the node makes by itself.
    pub fn transfers(&self) -> PathBuf {
        self.state.join("transfers.json")
    }

    /// Nodes that gave wrong bytes.
    pub fn liars(&self) -> PathBuf {
        self.state.join("liars.json")
    }

    /// The store of search results.
    pub fn results(&self) -> PathBuf {
        self.state.join("results.jsonl")
    }

    /// Folders that are this node's own and never shared.
    pub fn own_folders(&self) -> Vec<PathBuf> {
        vec![self.data.clone(), self.state.clone()]
    }

    /// Takes the home for this process. Call [`create`](Self::create) first.
    ///
    /// # Errors
    /// [`LockError::Held`] names who runs there already.
    pub fn lock(&self) -> Result<HomeLock, LockError> {
        let path = self.state.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| at(&path, "cannot be opened", &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(self.held(&mut file)),
            Err(error) => return Err(at(&path, "cannot be locked", &error.into()).into()),
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let note = format!("{} {now}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(|error| at(&path, "cannot be written", &error))?;
        Ok(HomeLock { _file: file })
    }

    fn held(&self, file: &mut File) -> LockError {
        let mut note = String::new();
        let _ = file.take(NOTE_BYTES_MAX).read_to_string(&mut note);
        let mut parts = note.split_ascii_whitespace();
        let pid = parts
            .next()
            .filter(|pid| pid.parse::<u32>().is_ok())
            .unwrap_or("unknown")
            .to_owned();
        let since = parts
            .next()
            .and_then(|since| since.parse().ok())
            .map_or_else(|| "unknown".to_owned(), utc);
        LockError::Held {
            home: self.state.display().to_string(),
            pid,
            since,
        }
    }

    /// The id of this node: made up once, then always the same.
    ///
    /// # Errors
    /// What the system says, with the path. A damaged file is replaced.
    pub fn servent_id(&self) -> io::Result<ServentId> {
        let path = self.data.join("servent");
        let known = load(&path, NOTE_BYTES_MAX)?;
        let known = known
            .as_deref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        if let Some(id) = known.and_then(|text| ServentId::from_hex(text.trim())) {
            return Ok(id);
        }
        if known.is_some() {
            log::warn!(
                "{} holds no servent id; making up a new one",
                path.display()
            );
        }
        let mut bytes = [0; 16];
        rand::rngs::SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(io::Error::other)?;
        let id = ServentId::from_random(bytes);
        save(&path, format!("{id}\n").as_bytes())?;
        Ok(id)
    }

    /// What is remembered of the last run on this net, at most [`HOSTS_MAX`] addresses. A file that is damaged counts as
    /// none; nothing is lost that the network does not tell again.
    pub fn load_hosts(&self, net: Net) -> Remembered {
        let path = self.hosts(net);
        let read = load(&path, HOSTS_BYTES_MAX).and_then(|bytes| match bytes {
            Some(bytes) => Ok(Some(serde_json::from_slice::<Book>(&bytes)?)),
            None => Ok(None),
        });
        match read {
            Ok(hosts) => hosts.map(Book::remembered).unwrap_or_default(),
            Err(error) => {
                log::warn!(
                    "{}: {error}; starting without remembered hosts",
                    path.display()
                );
                Remembered::default()
            }
        }
    }

    /// Remembers addresses; those above [`HOSTS_MAX`] are left out, the worst first.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn save_hosts(&self, net: Net, hosts: &Remembered) -> io::Result<()> {
        save(
            &self.hosts(net),
            &serde_json::to_vec(&Book::new(hosts.clone()))?,
        )
    }

    /// The list of host caches of this net, for people to edit.
    pub fn host_caches(&self, net: Net) -> List {
        let (name, template) = match net {
            Net::Gnutella => ("host-caches.txt", HOST_CACHES),
            Net::Lan | Net::Rehearsal => ("host-caches-rehearsal.txt", ""),
        };
        List::new(self.data.join(name), template)
    }

    /// The list of web caches of this net, for people to edit.
    pub fn web_caches(&self, net: Net) -> List {
        let (name, template) = match net {
            Net::Gnutella => ("web-caches.txt", WEB_CACHES),
            Net::Lan | Net::Rehearsal => ("web-caches-rehearsal.txt", ""),
        };
        List::new(self.data.join(name), template)
    }

    /// The file that remembers when each web cache was asked.
    pub fn web_caches_asked(&self) -> PathBuf {
        self.data.join("web-caches-asked.json")
    }

    /// One file for each net: nobody shall call strangers, or be told to them, who once was on both.
    fn hosts(&self, net: Net) -> PathBuf {
        self.data.join(match net {
            Net::Lan => "hosts.json",
            Net::Gnutella => "hosts-gnutella.json",
            Net::Rehearsal => "hosts-rehearsal.json",
        })
    }
}

/// The hosts file.
#[derive(Debug, Serialize, Deserialize)]
struct Book {
    v: u32,
    #[serde(default)]
    anchors: Vec<SocketAddr>,
    #[serde(default)]
    tried: Vec<SocketAddr>,
    hosts: Vec<SocketAddr>,
}

impl Book {
    fn new(hosts: Remembered) -> Self {
        let Remembered {
            anchors,
            tried,
            heard_of,
        } = hosts;
        let mut kept = Self {
            v: 1,
            anchors,
            tried,
            hosts: heard_of,
        };
        let mut left = HOSTS_MAX.get();
        for list in [&mut kept.anchors, &mut kept.tried, &mut kept.hosts] {
            list.truncate(left);
            left -= list.len();
        }
        kept
    }

    fn remembered(self) -> Remembered {
        let Self {
            anchors,
            tried,
            hosts: heard_of,
            ..
        } = Self::new(Remembered {
            anchors: self.anchors,
            tried: self.tried,
            heard_of: self.hosts,
        });
        Remembered {
            anchors,
            tried,
            heard_of,
        }
    }
}

/// The socket's path, or, where that is too long to be bound, a short one that only this home gives.
fn short_enough(socket: PathBuf, env: &Env) -> (PathBuf, Option<String>) {
    let bytes = socket.as_os_str().as_bytes();
    if bytes.len() <= SOCKET_PATH_MAX {
        return (socket, None);
    }
    let hash = sha1::Sha1::digest(bytes);
    let name = format!(
        "{}.sock",
        data_encoding::BASE32_NOPAD
            .encode(&hash[..10])
            .to_ascii_lowercase()
    );
    let runtime = env
        .runtime
        .as_ref()
        .map(|path| Path::new(path).join("filbert").join(&name));
    let short = runtime
        .filter(|path| path.is_absolute() && path.as_os_str().len() <= SOCKET_PATH_MAX)
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/filbert-{}", env.uid)).join(&name));
    let note = format!(
        "{} is too long for a socket; the control socket is {}",
        socket.display(),
        short.display()
    );
    (short, Some(note))
}

/// Seconds since 1970 as `2026-01-31 12:00:00 UTC`.
fn utc(seconds: u64) -> String {
    let (days, rest) = (
        seconds / 86_400,
        Duration::from_secs(seconds % 86_400).as_secs(),
    );
    // Civil date from days, counting years from March: Howard Hinnant, "chrono-compatible low-level date
    // algorithms", civil_from_days.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::from_env(Some(&dir.path().join("node")), &Env::default()).unwrap();
        home.create().unwrap();
        (dir, home)
    }

    #[test]
    fn a_home_holds_everything_and_belongs_to_its_user_alone() {
        let (dir, home) = home();
        let folder = dir.path().join("node");
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
        for path in [
            home.data(),
            home.state(),
            home.socket(),
            &home.hash_cache(),
            &home.results(),
        ] {
            assert!(path.starts_with(&folder), "{}", path.display());
        }
    }

    #[test]
    fn without_a_home_the_xdg_folders_are_used() {
        let env = Env {
            home: Some("/home/u".into()),
            data: Some("/data".into()),
            state: Some("relative, so ignored".into()),
            runtime: Some("/run/user/1".into()),
            ..Env::default()
        };
        let home = Home::from_env(None, &env).unwrap();
        assert_eq!(home.data(), Path::new("/data/filbert"));
        assert_eq!(home.state(), Path::new("/home/u/.local/state/filbert"));
        assert_eq!(home.socket(), Path::new("/run/user/1/filbert/filbert.sock"));
        let error = Home::from_env(None, &Env::default()).unwrap_err();
        assert!(error.to_string().contains("--home"), "{error}");
    }

    #[test]
    fn the_flag_goes_before_the_variable() {
        let env = Env {
            filbert_home: Some("/a".into()),
            ..Env::default()
        };
        assert_eq!(Home::from_env(None, &env).unwrap().data(), Path::new("/a"));
        assert_eq!(
            Home::from_env(Some(Path::new("/b")), &env).unwrap().data(),
            Path::new("/b")
        );
    }

    #[test]
    fn a_socket_path_too_long_is_replaced_and_said() {
        let long = PathBuf::from("/").join("x".repeat(120));
        let env = Env {
            uid: 7,
            ..Env::default()
        };
        let home = Home::from_env(Some(&long), &env).unwrap();
        assert!(home.socket().starts_with("/tmp/filbert-7/"));
        assert!(home.socket().as_os_str().len() <= SOCKET_PATH_MAX);
        assert!(home.socket_note().unwrap().contains("too long"));
        assert_eq!(home, Home::from_env(Some(&long), &env).unwrap());
        let other = Home::from_env(Some(&long.with_extension("y")), &env).unwrap();
        assert_ne!(home.socket(), other.socket());
        let env = Env {
            runtime: Some("/run/user/1".into()),
            ..env
        };
        assert!(
            Home::from_env(Some(&long), &env)
                .unwrap()
                .socket()
                .starts_with("/run/user/1/filbert")
        );
    }

    #[test]
    fn a_second_node_is_told_who_holds_the_home() {
        let (_dir, home) = home();
        let lock = home.lock().unwrap();
        let error = home.lock().unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        assert!(text.contains("UTC") && text.contains("--home"), "{text}");
        drop(lock);
        home.lock().unwrap();
    }

    #[test]
    fn the_servent_id_stays_and_a_damaged_one_is_replaced() {
        let (_dir, home) = home();
        let id = home.servent_id().unwrap();
        assert_eq!(home.servent_id().unwrap(), id);
        fs::write(home.data().join("servent"), b"\xff\xffnonsense").unwrap();
        let fresh = home.servent_id().unwrap();
        assert_ne!(fresh, id);
        assert_eq!(home.servent_id().unwrap(), fresh);
    }

    #[test]
    fn hosts_are_remembered_within_bounds_and_damage_counts_as_none() {
        let (_dir, home) = home();
        assert!(home.load_hosts(Net::Lan).is_empty());
        let many = |c: u8| -> Vec<SocketAddr> {
            (1..=1_500u16)
                .map(|port| SocketAddr::from(([10, 0, c, 1], port)))
                .collect()
        };
        let hosts = Remembered {
            anchors: many(1)[..2].to_vec(),
            tried: many(2),
            heard_of: many(3),
        };
        home.save_hosts(Net::Lan, &hosts).unwrap();
        let back = home.load_hosts(Net::Lan);
        let most: Vec<_> = hosts.all().take(HOSTS_MAX.get()).collect();
        assert_eq!(back.all().collect::<Vec<_>>(), most);
        assert_eq!((back.anchors, back.tried), (hosts.anchors, hosts.tried));
        assert!(
            home.load_hosts(Net::Gnutella).is_empty(),
            "nets know nothing of each other"
        );
        let older = b"{\"v\":1,\"hosts\":[\"10.0.0.1:1\"]}";
        fs::write(home.hosts(Net::Lan), older).unwrap();
        assert_eq!(home.load_hosts(Net::Lan).heard_of.len(), 1);
        fs::write(home.hosts(Net::Lan), b"{\"v\":1,\"hosts\":[").unwrap();
        assert!(home.load_hosts(Net::Lan).is_empty());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_827_696), "2000-02-29 12:34:56 UTC");
        assert_eq!(utc(1_767_225_599), "2025-12-31 23:59:59 UTC");
    }
}
