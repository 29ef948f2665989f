//! Nodes that gave wrong bytes: remembered for some days, so that the next fetch asks others first.
//!
//! A word on a node is only that: addresses change hands, and whoever passed on what a liar gave it is no liar itself.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::save;

/// Nodes remembered; of more the oldest are forgotten. Our choice.
pub const LIARS_MAX: usize = 500;
/// Seconds after which a node is forgotten: many addresses have another owner by then. Our choice.
pub const LIFE_S: u64 = 3 * 24 * 3600;
/// Bytes of one node's name that are kept: longer than any host and port.
const NODE_BYTES_MAX: usize = 300;
/// Bytes of the file that are read at all: more than the nodes take.
const BYTES_MAX: u64 = 256 * 1024;

/// The list in one file. Of two commands that write at once the later one counts.
#[derive(Clone, Debug)]
pub struct Liars {
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    v: u32,
    liars: Vec<Liar>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Liar {
    node: String,
    /// Seconds since 1970.
    at: u64,
}

impl Liars {
    /// The list in that file.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Those not forgotten at `now_s` seconds since 1970; none when the file is missing or damaged.
    pub fn load(&self, now_s: u64) -> Vec<String> {
        self.read(now_s).into_iter().map(|liar| liar.node).collect()
    }

    /// Remembers these.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn add(&self, now_s: u64, nodes: &[String]) -> io::Result<()> {
        if nodes.is_empty() {
            return Ok(());
        }
        let mut liars = self.read(now_s);
        liars.retain(|liar| !nodes.contains(&liar.node));
        let new = nodes.iter().filter(|node| node.len() <= NODE_BYTES_MAX);
        liars.extend(new.map(|node| Liar {
            node: node.clone(),
            at: now_s,
        }));
        let over = liars.len().saturating_sub(LIARS_MAX);
        liars.drain(..over);
        save::save(&self.path, &serde_json::to_vec(&Kept { v: 1, liars })?)
    }

    /// Oldest first.
    fn read(&self, now_s: u64) -> Vec<Liar> {
        let read = save::load(&self.path, BYTES_MAX).and_then(|bytes| match bytes {
            Some(bytes) => Ok(serde_json::from_slice::<Kept>(&bytes)?.liars),
            None => Ok(Vec::new()),
        });
        let mut liars = read.unwrap_or_else(|error| {
            log::warn!("{}: {error}; starting without it", self.path.display());
            Vec::new()
        });
        // Also those of a clock that was set back by more than that.
        liars.retain(|liar| liar.at.abs_diff(now_s) < LIFE_S);
        liars.truncate(LIARS_MAX);
        liars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn liars() -> (tempfile::TempDir, Liars) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let liars = Liars::new(&dir.path().join("liars.json"));
        (dir, liars)
    }

    #[test]
    fn liars_are_remembered_for_some_days() {
        let (_dir, liars) = liars();
        assert!(liars.load(9).is_empty());
        liars
            .add(1_000, &["a:1".into(), "b:2".into()])
            .expect("kept");
        liars
            .add(1_000 + LIFE_S - 1, &["a:1".into()])
            .expect("kept");
        assert_eq!(liars.load(1_000 + LIFE_S - 1), ["b:2", "a:1"]);
        assert_eq!(liars.load(1_000 + LIFE_S), ["a:1"]);
        assert!(liars.load(1_000 + 2 * LIFE_S).is_empty());
        assert_eq!(liars.load(0), ["b:2"], "the clock was set back");
    }

    #[test]
    fn they_are_bounded_and_damage_counts_as_none() {
        let (dir, liars) = liars();
        let many: Vec<_> = (0..LIARS_MAX + 7).map(|n| format!("a:{n}")).collect();
        liars.add(5, &many).expect("kept");
        assert_eq!(liars.load(5), many[7..]);
        liars
            .add(5, &["x".repeat(NODE_BYTES_MAX + 1)])
            .expect("kept");
        assert_eq!(liars.load(5).len(), LIARS_MAX);
        std::fs::write(dir.path().join("liars.json"), b"{").expect("written");
        assert!(liars.load(5).is_empty());
    }
}
