//! Results of searches, kept so that an id shown today can be fetched next week.
//!
//! A file of JSON lines, one for each copy seen, appended to under a lock by however many commands run at a
//! time. Above [`BYTES_MAX`] it is written anew with the newest lines. Readers take no lock: a file that is
//! replaced stays readable, and a line half written is skipped.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha1::Digest;

use crate::wire::Sha1;

/// Bytes of the file above which it is written anew; some 20,000 copies. Our estimate.
const BYTES_MAX: u64 = 4 << 20;
/// Copies kept when the file is written anew.
const COPIES_KEPT: usize = 10_000;
/// Copies kept of one file: enough sources for any fetch.
const SOURCES_MAX: usize = 32;
/// Bytes kept of a name; no file system takes longer ones.
const NAME_BYTES_MAX: usize = 1_024;
/// Characters of an id as shown: 30 bits, so a store of 10,000 files has two alike with a chance of 5 %, and
/// a clash is told, not guessed.
const ID_CHARS: usize = 6;
/// Characters of the shortest prefix taken for an id.
const PREFIX_CHARS_MIN: usize = 4;

/// Identity of a result: the SHA-1 of the content, or, without one, a hash over who offers what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Sha1);

impl Key {
    /// The key of content with a known hash.
    pub fn of_content(sha1: Sha1) -> Self {
        Self(sha1)
    }

    /// The key of a file whose hash nobody told: hash over responder, its number for the file, name and size.
    pub fn of_offer(servent: &str, index: u32, name: &str, size: u64) -> Self {
        let mut hash = sha1::Sha1::new();
        for part in [
            servent.as_bytes(),
            &index.to_be_bytes(),
            &size.to_be_bytes(),
            name.as_bytes(),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(Sha1(hash.finalize().into()))
    }

    /// The id as shown: the first six characters of the key in lower-case base32.
    pub fn id(&self) -> String {
        let mut text = self.text();
        text.truncate(ID_CHARS);
        text
    }

    /// All 32 characters, which are an id as well.
    pub fn text(&self) -> String {
        self.0.to_base32().to_ascii_lowercase()
    }
}

/// One copy of a file, as a hit told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// `urn:sha1:...`, if told.
    pub urn: Option<String>,
    /// Name, data of a stranger.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Where it is served.
    pub addr: SocketAddr,
    /// Servent id of the responder, 32 hexadecimal digits.
    pub servent: String,
    /// Its number for `/get/<index>/<name>`.
    pub index: u32,
    /// It wants a push.
    pub push: bool,
    /// Who passes pushes on to it, as it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push_proxies: Vec<SocketAddr>,
    /// Who else has it, as the responder says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternates: Vec<SocketAddr>,
    /// Those of them that take TLS, as the responder says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternates_tls: Vec<SocketAddr>,
    /// It has only parts of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Root of its Tiger tree, 39 base32 characters, as the responder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiger: Option<String>,
    /// Its listener accepts TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// The net that it was heard on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<String>,
}

impl Copy {
    /// What the copy is a copy of.
    pub fn key(&self) -> Key {
        match self.sha1() {
            Some(sha1) => Key::of_content(sha1),
            None => Key::of_offer(&self.servent, self.index, &self.name, self.size),
        }
    }

    /// Its hash, if told.
    pub fn sha1(&self) -> Option<Sha1> {
        self.urn.as_deref()?.parse().ok()
    }
}

/// A file that was seen, with its copies, newest first; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its identity.
    pub key: Key,
    /// Who has it.
    pub copies: Vec<Copy>,
}

/// What an id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing that was seen.
    Unknown,
    /// One file.
    One(Saved),
    /// Several begin like this.
    Ambiguous(Vec<Saved>),
}

/// The store in one file.
#[derive(Clone, Debug)]
pub struct Results {
    path: PathBuf,
}

impl Results {
    /// The store in the file `path`, which need not exist yet; its folder must.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Keeps these copies.
    ///
    /// # Errors
    /// The folder or file cannot be written; the message names it.
    pub fn add(&self, copies: &[Copy]) -> io::Result<()> {
        if copies.is_empty() {
            return Ok(());
        }
        // The line break in front ends a line that a full disk cut short.
        let mut lines = vec![b'\n'];
        for copy in copies {
            let mut copy = copy.clone();
            let end = (0..=NAME_BYTES_MAX.min(copy.name.len()))
                .rev()
                .find(|&at| copy.name.is_char_boundary(at));
            copy.name.truncate(end.unwrap_or(0));
            serde_json::to_writer(&mut lines, &copy)?;
            lines.push(b'\n');
        }
        self.append(&lines).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot keep results in {}: {error}", self.path.display()),
            )
        })
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        // Its own file: the store itself is replaced, and a lock on what was replaced guards nothing.
        let guard = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path.with_extension("lock"))?;
        guard.lock()?;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&self.path)?;
        file.write_all(lines)?;
        if file.metadata()?.len() > BYTES_MAX {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Writes the newest copies to a new file and puts it in the place of the old one. Under the lock.
    fn rewrite(&self) -> io::Result<()> {
        let copies = newest(read(&self.path)?, COPIES_KEPT);
        let new = self.path.with_extension("new");
        let mut out = io::BufWriter::new(File::create(&new)?);
        for copy in copies.iter().rev() {
            serde_json::to_writer(&mut out, copy)?;
            out.write_all(b"\n")?;
        }
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        fs::rename(&new, &self.path)
    }

    /// What was last seen of whoever serves at this address: its newest copy.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn at(&self, addr: SocketAddr) -> io::Result<Option<Copy>> {
        let mut copies = read(&self.path)?.into_iter().rev();
        Ok(copies.find(|copy| copy.addr == addr))
    }

    /// The file an id or a longer prefix of its key stands for. Case does not matter.
    ///
    /// # Errors
    /// The store is there and cannot be read.
    pub fn find(&self, id: &str) -> io::Result<Lookup> {
        let id = id.to_ascii_lowercase();
        if id.len() < PREFIX_CHARS_MIN {
            return Ok(Lookup::Unknown);
        }
        let mut found: BTreeMap<Key, Vec<Copy>> = BTreeMap::new();
        for copy in newest(read(&self.path)?, usize::MAX) {
            let key = copy.key();
            if key.text().starts_with(&id) {
                found.entry(key).or_default().push(copy);
            }
        }
        let mut found: Vec<_> = found
            .into_iter()
            .map(|(key, copies)| Saved { key, copies })
            .collect();
        Ok(match found.len() {
            0 => Lookup::Unknown,
            1 => Lookup::One(found.remove(0)),
            _ => Lookup::Ambiguous(found),
        })
    }
}

/// Does this text look like an id (and not like a link or an address)?
pub fn is_id(text: &str) -> bool {
    (PREFIX_CHARS_MIN..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(&byte))
}

/// All copies in the file, oldest first. A line that is none is skipped: it was cut short by a full disk.
fn read(path: &Path) -> io::Result<Vec<Copy>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(io::Error::new(
                error.kind(),
                format!("cannot read {}: {error}", path.display()),
            ));
        }
    };
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

/// The newest `max` copies, newest first: one for each file and responder, [`SOURCES_MAX`] for each file.
fn newest(copies: Vec<Copy>, max: usize) -> Vec<Copy> {
    // Behind walls many nodes have one address.
    let mut seen: BTreeMap<Key, Vec<(SocketAddr, Option<String>)>> = BTreeMap::new();
    let mut kept = Vec::new();
    for copy in copies.into_iter().rev() {
        let sources = seen.entry(copy.key()).or_default();
        let who = (copy.addr, copy.push.then(|| copy.servent.clone()));
        if kept.len() < max && sources.len() < SOURCES_MAX && !sources.contains(&who) {
            sources.push(who);
            kept.push(copy);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(sha1: u8, port: u16) -> Copy {
        Copy {
            urn: Some(Sha1([sha1; 20]).to_string()),
            name: format!("file {sha1}"),
            size: 1,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            servent: "00".repeat(16),
            index: 1,
            push: false,
            push_proxies: Vec::new(),
            alternates: Vec::new(),
            alternates_tls: Vec::new(),
            partial: false,
            tiger: None,
            tls: false,
            net: None,
        }
    }

    fn results_in(dir: &tempfile::TempDir) -> Results {
        Results::new(&dir.path().join("results.jsonl"))
    }

    #[test]
    fn an_id_leads_back_to_all_copies_in_another_run() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        results_in(&dir)
            .add(&[copy(1, 1), copy(2, 2), copy(1, 3), copy(1, 1)])
            .expect("kept");
        let id = copy(1, 1).key().id();
        assert_eq!(id.len(), ID_CHARS);
        let Lookup::One(saved) = results_in(&dir)
            .find(&id.to_ascii_uppercase())
            .expect("read")
        else {
            panic!("one file");
        };
        assert_eq!(
            saved
                .copies
                .iter()
                .map(|copy| copy.addr.port())
                .collect::<Vec<_>>(),
            [1, 3]
        );
        assert_eq!(
            results_in(&dir).find("zzzzzz").expect("read"),
            Lookup::Unknown
        );
        assert_eq!(
            Results::new(&dir.path().join("none"))
                .find("zzzzzz")
                .expect("no store"),
            Lookup::Unknown
        );
    }

    #[test]
    fn without_a_hash_the_offer_itself_is_the_identity() {
        let bare = Copy {
            urn: None,
            ..copy(1, 1)
        };
        assert_eq!(
            bare.key(),
            Copy {
                addr: copy(1, 9).addr,
                ..bare.clone()
            }
            .key(),
            "an address may change"
        );
        assert_ne!(
            bare.key(),
            Copy {
                index: 2,
                ..bare.clone()
            }
            .key()
        );
        assert_ne!(bare.key(), copy(1, 1).key());
    }

    #[test]
    fn several_files_with_one_prefix_are_told_apart_by_a_longer_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut other = [1; 20];
        other[19] = 2;
        let twin = Copy {
            urn: Some(Sha1(other).to_string()),
            ..copy(1, 2)
        };
        let results = results_in(&dir);
        results.add(&[copy(1, 1), twin.clone()]).expect("kept");
        let Lookup::Ambiguous(both) = results.find(&twin.key().id()).expect("read") else {
            panic!("two files")
        };
        assert_eq!(both.len(), 2);
        let Lookup::One(one) = results.find(&twin.key().text()).expect("read") else {
            panic!("one file")
        };
        assert_eq!(one.key, twin.key());
    }

    #[test]
    fn many_writers_lose_nothing_and_the_file_stays_within_its_bound() {
        const WRITERS: u8 = 4;
        const ROUNDS: u16 = 150;
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let results = results_in(&dir);
                scope.spawn(move || {
                    for port in 1..=ROUNDS {
                        // Long names fill the file, so that it is written anew several times.
                        let name = "n".repeat(NAME_BYTES_MAX * 2);
                        let many = vec![
                            Copy {
                                name,
                                ..copy(writer, port)
                            };
                            10
                        ];
                        results.add(&many).expect("kept");
                    }
                });
            }
        });
        let bytes = fs::metadata(dir.path().join("results.jsonl"))
            .expect("a file")
            .len();
        assert!(bytes <= BYTES_MAX, "{bytes}");
        for writer in 0..WRITERS {
            let found = results_in(&dir)
                .find(&copy(writer, 1).key().id())
                .expect("read");
            let Lookup::One(saved) = found else {
                panic!("{found:?}")
            };
            assert_eq!(
                saved.copies[0].addr.port(),
                ROUNDS,
                "the newest copy is first"
            );
            assert_eq!(saved.copies.len(), SOURCES_MAX);
        }
    }

    #[test]
    fn a_line_cut_short_costs_that_line_only() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let results = results_in(&dir);
        results.add(&[copy(1, 1)]).expect("kept");
        let path = dir.path().join("results.jsonl");
        let mut text = fs::read_to_string(&path).expect("a file");
        text.push_str("{\"urn\":\"urn:sha1:AA");
        fs::write(&path, text).expect("written");
        results.add(&[copy(2, 1)]).expect("kept");
        for sha1 in [1, 2] {
            assert!(matches!(
                results.find(&copy(sha1, 1).key().id()),
                Ok(Lookup::One(_))
            ));
        }
    }

    #[test]
    fn an_id_is_told_from_links_and_addresses() {
        assert!(is_id("k7m2qd") && is_id("K7M2") && is_id(&copy(1, 1).key().text()));
        for text in [
            "urn:sha1:AA",
            "desk:80",
            "k7m",
            "k7m2q1",
            "-",
            "magnet:?xt=1",
            "http://a/b",
        ] {
            assert!(!is_id(text), "{text}");
        }
    }
}
