//! Known hashes on disk: path -> which version, and its SHA-1. So a restart reads no file again.
//!
//! Kept in an embedded store whose transactions are atomic, so that a kill at any moment leaves the state
//! before or after one. A store that is damaged all the same is set aside and begun anew: hashes can always
//! be computed again, so nothing here ever keeps a node from running.

use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError,
};

use super::beneath::Stamp;
use crate::wire::Sha1;

/// Bytes of the store held in memory. Look-ups come in the order of the paths, so little is needed.
const MEMORY_BYTES: usize = 4 << 20;
/// Entries removed at a time. Our estimate: a tenth of a second.
const PRUNE_MAX: usize = 10_000;
/// Entries above which those of folders that are not listed now go too: twice what one node shares.
const ENTRIES_MAX: u64 = 8_000_000;
/// Size, time of change, inode, each 8 bytes, little-endian; then the hash.
const VALUE_BYTES: usize = 44;

/// Absolute path -> version and hash.
const HASHES: TableDefinition<'_, &[u8], &[u8; VALUE_BYTES]> = TableDefinition::new("sha1-by-path");

/// What a path, in one version, hashes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Absolute path.
    pub path: PathBuf,
    /// The version that was hashed.
    pub stamp: Stamp,
    /// Its hash.
    pub sha1: Sha1,
}

/// The store. Opened when first used; closed by [`rest`](Self::rest).
#[derive(Debug)]
pub struct HashCache {
    path: PathBuf,
    db: Option<Database>,
    /// It was opened in this run, and so is known to be whole.
    checked: bool,
    /// It cannot be used in this run; that was said.
    given_up: bool,
}

impl HashCache {
    /// A store at that place; touches nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            db: None,
            checked: false,
            given_up: false,
        }
    }

    /// The hash of each path, if that version of it is known.
    pub fn look_up<'a>(
        &mut self,
        wanted: impl Iterator<Item = (PathBuf, &'a Stamp)>,
    ) -> Vec<Option<Sha1>> {
        let wanted: Vec<_> = wanted.collect();
        let found = self.with(|db| {
            let table = match db.begin_read()?.open_table(HASHES) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(vec![None; wanted.len()]),
                table => table?,
            };
            wanted
                .iter()
                .map(|(path, stamp)| {
                    let value = table.get(path.as_os_str().as_bytes())?;
                    Ok(value.and_then(|value| decode(value.value(), stamp)))
                })
                .collect()
        });
        found.unwrap_or_else(|| vec![None; wanted.len()])
    }

    /// Remembers hashes, all of them or none; on disk when this returns.
    pub fn store(&mut self, known: &[Known]) {
        if known.is_empty() {
            return;
        }
        self.with(|db| {
            let write = db.begin_write()?;
            let mut table = write.open_table(HASHES)?;
            for Known { path, stamp, sha1 } in known {
                table.insert(path.as_os_str().as_bytes(), &encode(stamp, sha1))?;
            }
            drop(table);
            Ok(write.commit()?)
        });
    }

    /// Forgets up to [`PRUNE_MAX`] paths below `folders` that are not `alive` any more, when there are more
    /// entries than `live` files at all.
    pub fn prune(&mut self, folders: &[PathBuf], live: usize, alive: impl Fn(&Path) -> bool) {
        self.with(|db| {
            let table = match db.begin_read()?.open_table(HASHES) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(()),
                table => table?,
            };
            let entries = table.len()?;
            if entries <= live as u64 {
                return Ok(());
            }
            let mut stale: Vec<Vec<u8>> = Vec::new();
            for entry in table.iter()? {
                if stale.len() >= PRUNE_MAX {
                    break;
                }
                let (key, _) = entry?;
                let path = Path::new(std::ffi::OsStr::from_bytes(key.value()));
                let concerned =
                    entries > ENTRIES_MAX || folders.iter().any(|folder| path.starts_with(folder));
                if concerned && !alive(path) {
                    stale.push(key.value().to_owned());
                }
            }
            drop(table);
            let write = db.begin_write()?;
            let mut table = write.open_table(HASHES)?;
            for key in &stale {
                table.remove(key.as_slice())?;
            }
            drop(table);
            Ok(write.commit()?)
        });
    }

    /// Closes the store until it is needed again.
    pub fn rest(&mut self) {
        // Dropping may write, and so may find damage.
        let db = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
    }

    /// Does something with the store; `None` when it cannot be used.
    fn with<T>(&mut self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Option<T> {
        if self.given_up {
            return None;
        }
        if self.db.is_none() {
            self.db = Some(self.open()?);
        }
        let db = self.db.as_ref()?;
        // The store says of itself that it may panic over a file that was damaged from outside.
        match catch_unwind(AssertUnwindSafe(|| work(db))) {
            Ok(Ok(done)) => Some(done),
            Ok(Err(error @ redb::Error::Corrupted(_))) => {
                self.damaged(&error.to_string());
                None
            }
            Ok(Err(error)) => {
                self.give_up(&error.to_string());
                None
            }
            Err(_) => {
                self.damaged("unreadable");
                None
            }
        }
    }

    fn open(&mut self) -> Option<Database> {
        for attempt in 0..2 {
            let mut builder = Builder::new();
            builder
                .set_cache_size(MEMORY_BYTES)
                .set_check_integrity_on_open(!self.checked);
            match catch_unwind(AssertUnwindSafe(|| builder.create(&self.path))) {
                Ok(Ok(db)) => {
                    self.checked = true;
                    return Some(db);
                }
                Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
                    self.give_up("another process uses it");
                    return None;
                }
                Ok(Err(DatabaseError::Storage(redb::StorageError::Io(error))))
                    if error.kind() != std::io::ErrorKind::InvalidData
                        && error.kind() != std::io::ErrorKind::UnexpectedEof =>
                {
                    self.give_up(&error.to_string());
                    return None;
                }
                Ok(Err(error)) if attempt == 0 => self.damaged(&error.to_string()),
                Err(_) if attempt == 0 => self.damaged("unreadable"),
                Ok(Err(error)) => self.give_up(&error.to_string()),
                Err(_) => self.give_up("unreadable"),
            }
        }
        None
    }

    fn damaged(&mut self, what: &str) {
        self.rest();
        self.checked = false;
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(".damaged");
        match std::fs::rename(&self.path, &aside) {
            Ok(()) => log::warn!(
                "{} is damaged ({what}); set aside as {}, all files are hashed again",
                self.path.display(),
                Path::new(&aside).display()
            ),
            Err(error) => self.give_up(&format!(
                "damaged ({what}), and cannot be set aside: {error}"
            )),
        }
    }

    fn give_up(&mut self, why: &str) {
        self.rest();
        self.given_up = true;
        log::warn!(
            "{} cannot be used: {why}; hashes are not remembered in this run",
            self.path.display()
        );
    }
}

impl Drop for HashCache {
    fn drop(&mut self) {
        self.rest();
    }
}

fn encode(stamp: &Stamp, sha1: &Sha1) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..8].copy_from_slice(&stamp.size.to_le_bytes());
    value[8..16].copy_from_slice(&stamp.mtime_ns.to_le_bytes());
    value[16..24].copy_from_slice(&stamp.inode.to_le_bytes());
    value[24..].copy_from_slice(&sha1.0);
    value
}

fn decode(value: &[u8; VALUE_BYTES], stamp: &Stamp) -> Option<Sha1> {
    let sha1 = Sha1(value[24..].try_into().ok()?);
    (encode(stamp, &sha1) == *value).then_some(sha1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(path: &str, n: u8) -> Known {
        let stamp = Stamp {
            size: 1,
            mtime_ns: u64::from(n),
            inode: 3,
        };
        Known {
            path: path.into(),
            stamp,
            sha1: Sha1([n; 20]),
        }
    }

    fn get(cache: &mut HashCache, known: &Known) -> Option<Sha1> {
        cache.look_up([(known.path.clone(), &known.stamp)].into_iter())[0]
    }

    #[test]
    fn a_hash_is_known_for_its_version_alone_and_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hashes");
        let mut cache = HashCache::new(path.clone());
        assert_eq!(get(&mut cache, &known("/a", 1)), None);
        cache.store(&[known("/a", 1), known("/b", 2)]);
        drop(cache);
        let mut cache = HashCache::new(path);
        assert_eq!(get(&mut cache, &known("/a", 1)), Some(Sha1([1; 20])));
        assert_eq!(get(&mut cache, &known("/a", 2)), None);
        cache.rest();
        cache.store(&[known("/a", 2)]);
        assert_eq!(get(&mut cache, &known("/a", 2)), Some(Sha1([2; 20])));
        assert_eq!(get(&mut cache, &known("/b", 2)), Some(Sha1([2; 20])));
    }

    #[test]
    fn a_damaged_store_is_set_aside_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hashes");
        let many: Vec<_> = (0..200).map(|n| known(&format!("/{n}"), n)).collect();
        let mut cache = HashCache::new(path.clone());
        cache.store(&many);
        drop(cache);
        let whole = std::fs::read(&path).unwrap();
        // Noise; a header alone; the start overwritten; the pages overwritten; the end cut off.
        let mut pages = whole.clone();
        pages[4096..]
            .iter_mut()
            .step_by(3)
            .for_each(|byte| *byte ^= 0x5a);
        let mut start = whole.clone();
        start[..64].fill(7);
        for damaged in [
            b"not a database".to_vec(),
            whole[..100].to_vec(),
            start,
            pages,
            whole[..whole.len() / 2].to_vec(),
        ] {
            std::fs::write(&path, &damaged).unwrap();
            let mut cache = HashCache::new(path.clone());
            let _ = get(&mut cache, &many[0]);
            cache.store(&[known("/new", 9)]);
            assert_eq!(get(&mut cache, &known("/new", 9)), Some(Sha1([9; 20])));
            drop(cache);
            assert!(dir.path().join("hashes.damaged").exists());
            std::fs::remove_file(dir.path().join("hashes.damaged")).unwrap();
        }
    }

    #[test]
    fn a_store_that_cannot_be_written_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = HashCache::new(dir.path().join("none/hashes"));
        cache.store(&[known("/a", 1)]);
        assert_eq!(get(&mut cache, &known("/a", 1)), None);
        let path = dir.path().join("hashes");
        let mut first = HashCache::new(path.clone());
        first.store(&[known("/a", 1)]);
        let mut second = HashCache::new(path);
        assert_eq!(get(&mut second, &known("/a", 1)), None);
        assert_eq!(get(&mut first, &known("/a", 1)), Some(Sha1([1; 20])));
    }

    #[test]
    fn paths_that_are_gone_are_forgotten_below_the_listed_folders_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = HashCache::new(dir.path().join("hashes"));
        let all = [known("/s/a", 1), known("/s/b", 2), known("/s2/a", 3)];
        cache.store(&all);
        cache.prune(&["/s".into()], 3, |_| false);
        assert_eq!(get(&mut cache, &all[0]), Some(Sha1([1; 20])));
        cache.prune(&["/s".into()], 1, |path| path == Path::new("/s/b"));
        let left: Vec<_> = all
            .iter()
            .map(|known| get(&mut cache, known).is_some())
            .collect();
        assert_eq!(left, [false, true, true]);
    }
}
