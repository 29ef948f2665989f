//! How the results of past searches were ranked and why some were hidden, for `search --explain`.
//!
//! A file of JSON lines beside the results, the newest last. Each search adds its lines under a lock and writes the
//! file anew without the oldest; readers take no lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Bytes of the file: some 10,000 results. Our estimate of what anybody asks about later.
const BYTES_MAX: usize = 4 << 20;
/// Results kept of one search; hidden ones first, for those are asked about.
pub const RANKINGS_MAX: usize = 1_000;
/// Bytes kept of a name or query.
const TEXT_BYTES_MAX: usize = 256;

/// How one result was ranked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Key of the result: 32 characters, whose first six are its id.
    pub key: String,
    /// Its name, data of a stranger.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Words that were searched for.
    pub query: String,
    /// `lan` or `gnutella`.
    pub net: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Its place in the order `best`, from 1 on; `None`: hidden.
    pub rank: Option<usize>,
    /// Results that were shown.
    pub of: usize,
    /// Its content can be checked.
    pub hashed: bool,
    /// Words searched for that are in its name.
    pub words: usize,
    /// Words searched for.
    pub words_of: usize,
    /// A copy has a free upload slot; `None`: nobody said.
    pub free_slot: Option<bool>,
    /// Copies.
    pub copies: usize,
    /// Links to the nearest copy.
    pub hops: u16,
    /// How much it looks like a fake, 0 to 1.
    pub spam: f64,
    /// What made it look so.
    pub signals: Vec<Doubt>,
}

/// One signal and what it weighs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// In one word.
    pub signal: String,
    /// 0 to 1.
    pub weight: f64,
    /// For people.
    pub why: String,
}

/// The store in one file.
#[derive(Clone, Debug)]
pub struct Rankings {
    path: PathBuf,
}

impl Rankings {
    /// The store in the file `path`, which need not exist yet; its folder must.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Keeps the rankings of one search, the first [`RANKINGS_MAX`].
    ///
    /// # Errors
    /// The folder or file cannot be written; the message names it.
    pub fn add(&self, rankings: Vec<Ranking>) -> io::Result<()> {
        if rankings.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for mut ranking in rankings.into_iter().take(RANKINGS_MAX) {
            for text in [&mut ranking.name, &mut ranking.query] {
                text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            }
            serde_json::to_writer(&mut lines, &ranking)?;
            lines.push(b'\n');
        }
        self.append(lines).map_err(|error| {
            let path = self.path.display();
            io::Error::new(
                error.kind(),
                format!("cannot keep how results were ranked in {path}: {error}"),
            )
        })
    }

    fn append(&self, lines: Vec<u8>) -> io::Result<()> {
        // Its own file: the store itself is replaced, and a lock on what was replaced guards nothing.
        let guard = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path.with_extension("lock"))?;
        guard.lock()?;
        let mut all = read(&self.path)?;
        all.extend(lines);
        let over = all.len().saturating_sub(BYTES_MAX);
        let from = all[over..].iter().position(|byte| *byte == b'\n');
        let kept = match from {
            Some(end) if over > 0 => &all[over + end + 1..],
            _ => &all[..],
        };
        let new = self.path.with_extension("new");
        File::create(&new)?.write_all(kept)?;
        fs::rename(&new, &self.path)
    }

    /// The newest ranking of each result whose key begins with `id`, in any case; newest first.
    ///
    /// # Errors
    /// The store is there and cannot be read.
    pub fn find(&self, id: &str) -> io::Result<Vec<Ranking>> {
        let id = id.to_ascii_lowercase();
        let mut found: Vec<Ranking> = Vec::new();
        let text = read(&self.path)?;
        for line in text.split(|byte| *byte == b'\n').rev() {
            let Ok(ranking) = serde_json::from_slice::<Ranking>(line) else {
                continue;
            };
            let known = |one: &Ranking| one.key == ranking.key;
            if ranking.key.starts_with(&id) && !found.iter().any(known) {
                found.push(ranking);
            }
        }
        Ok(found)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("cannot read {}: {error}", path.display()),
        )),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(key: &str, query: &str) -> Ranking {
        Ranking {
            key: key.to_owned(),
            name: "moby.txt".to_owned(),
            size: 7,
            query: query.to_owned(),
            net: "lan".to_owned(),
            at: 1_700_000_000,
            rank: Some(1),
            of: 2,
            hashed: true,
            words: 1,
            words_of: 1,
            free_slot: None,
            copies: 3,
            hops: 1,
            spam: 0.05,
            signals: vec![Doubt {
                signal: "echo".to_owned(),
                weight: 0.05,
                why: "because".to_owned(),
            }],
        }
    }

    #[test]
    fn the_newest_ranking_of_a_result_is_found_by_its_id() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Rankings::new(&dir.path().join("rankings.jsonl"));
        assert!(store.find("abcdef").expect("no store").is_empty());
        store
            .add(vec![ranking("abcdefgh", "one"), ranking("abcdefxx", "two")])
            .expect("kept");
        store.add(vec![ranking("abcdefgh", "three")]).expect("kept");
        let found = store.find("ABCDEF").expect("read");
        let queries: Vec<&str> = found.iter().map(|one| one.query.as_str()).collect();
        assert_eq!(queries, ["three", "two"]);
        assert_eq!(
            store.find("abcdefgh").expect("read"),
            [ranking("abcdefgh", "three")]
        );
    }

    #[test]
    fn the_store_stays_within_its_bound_and_keeps_the_newest() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("rankings.jsonl");
        let store = Rankings::new(&path);
        for round in 0..12 {
            let many = (0..RANKINGS_MAX + 5)
                .map(|n| {
                    let key = format!("{}{n:06}", char::from(b'a' + round));
                    ranking(&key, &"é".repeat(TEXT_BYTES_MAX))
                })
                .collect();
            store.add(many).expect("kept");
        }
        let bytes = fs::metadata(&path).expect("a file").len();
        assert!(
            bytes <= BYTES_MAX as u64 && bytes > BYTES_MAX as u64 / 2,
            "{bytes}"
        );
        assert!(store.find("a000000").expect("read").is_empty());
        assert_eq!(store.find("l").expect("read").len(), RANKINGS_MAX);
    }
}
