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

mod hosts;
mod lock;

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::TryRng;
use sha1::Digest;

use super::lists::List;
use super::save::{at, load, save};
use crate::node::address::Net;
use crate::wire::ServentId;

pub use lock::{HomeLock, LockError};

/// Bytes of a socket's path, its end mark not counted: `sun_path` has 108 on Linux, 104 elsewhere.
const SOCKET_PATH_MAX: usize = 103;
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn home() -> (tempfile::TempDir, Home) {
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
    fn the_servent_id_stays_and_a_damaged_one_is_replaced() {
        let (_dir, home) = home();
        let id = home.servent_id().unwrap();
        assert_eq!(home.servent_id().unwrap(), id);
        fs::write(home.data().join("servent"), b"\xff\xffnonsense").unwrap();
        let fresh = home.servent_id().unwrap();
        assert_ne!(fresh, id);
        assert_eq!(home.servent_id().unwrap(), fresh);
    }
}
