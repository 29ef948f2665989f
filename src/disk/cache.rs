//! Known hashes on disk: path -> which version, its SHA-1 and its Tiger tree. So a restart reads no file again.
//!
//! Kept in an embedded store whose transactions are atomic, so that a kill at any moment leaves the state
//! before or after one. A store that is damaged all the same is set aside and begun anew: hashes can always
//! be computed again, so nothing here ever keeps a node from running.

use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition, TableError,
};

use super::beneath::Stamp;
use super::tree::HashTree;
use crate::node::library::Content;
use crate::wire::Sha1;
use crate::wire::thex::NODE_BYTES;
use crate::wire::urn::TigerRoot;

/// Bytes of the store held in memory. Look-ups come in the order of the paths, so little is needed.
const MEMORY_BYTES: usize = 4 << 20;
/// Entries removed at a time. Our estimate: a tenth of a second.
const PRUNE_MAX: usize = 10_000;
/// Entries above which those of folders that are not listed now go too: twice what one node shares.
const ENTRIES_MAX: u64 = 8_000_000;
/// Size, time of change, inode, each 8 bytes, little-endian.
const STAMP_BYTES: usize = 24;
/// The version; SHA-1; Tiger root.
const VALUE_BYTES: usize = STAMP_BYTES + 20 + NODE_BYTES;
/// Value before there were trees: the version and the SHA-1.
const OLD_VALUE_BYTES: usize = STAMP_BYTES + 20;

/// Absolute path -> version and hashes.
const CONTENTS: TableDefinition<'_, &[u8], &[u8; VALUE_BYTES]> =
    TableDefinition::new("bitprint-by-path");
/// Absolute path -> version, and the level of its tree that is served, node by node. For files of several blocks.
const LEVELS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree-level-by-path");
/// What an earlier version kept: read, and removed as the trees of its files become known.
const OLD_HASHES: TableDefinition<'_, &[u8], &[u8; OLD_VALUE_BYTES]> =
    TableDefinition::new("sha1-by-path");

/// What a path, in one version, hashes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Absolute path.
    pub path: PathBuf,
    /// The version that was hashed.
    pub stamp: Stamp,
    /// Its SHA-1.
    pub sha1: Sha1,
    /// Its tree.
    pub tree: HashTree,
}

/// One store for those who learn hashes and those who serve trees.
#[derive(Clone, Debug)]
pub struct SharedCache(Arc<Mutex<HashCache>>);

impl SharedCache {
    /// Shares this one.
    pub fn new(cache: HashCache) -> Self {
        Self(Arc::new(Mutex::new(cache)))
    }

    /// The store. Whoever has it keeps the others waiting.
    pub fn locked(&self) -> MutexGuard<'_, HashCache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    /// The hashes of each path, if that version of it is known. A root may be missing where the SHA-1 is known.
    pub fn look_up<'a>(
        &mut self,
        wanted: impl Iterator<Item = (PathBuf, &'a Stamp)>,
    ) -> Vec<Option<Content>> {
        let wanted: Vec<_> = wanted.collect();
        let found = self.with(|db| {
            let read = db.begin_read()?;
            let contents = if_there(read.open_table(CONTENTS))?;
            let old = if_there(read.open_table(OLD_HASHES))?;
            wanted
                .iter()
                .map(|(path, stamp)| {
                    let path = path.as_os_str().as_bytes();
                    if let Some(table) = &contents
                        && let Some(value) = table.get(path)?
                        && let Some(known) = decode(value.value(), stamp)
                    {
                        return Ok(Some(known));
                    }
                    let Some(table) = &old else { return Ok(None) };
                    let value = table.get(path)?;
                    Ok(value.and_then(|value| decode_old(value.value(), stamp)))
                })
                .collect()
        });
        found.unwrap_or_else(|| vec![None; wanted.len()])
    }

    /// The tree of that version of a file of several blocks, if it is known and leads to `root`.
    pub fn tree(&mut self, path: &Path, stamp: &Stamp, root: &TigerRoot) -> Option<HashTree> {
        let level = self.with(|db| {
            let Some(table) = if_there(db.begin_read()?.open_table(LEVELS))? else {
                return Ok(None);
            };
            let value = table.get(path.as_os_str().as_bytes())?;
            Ok(value.and_then(|value| {
                let nodes = value.value().strip_prefix(&stamp_bytes(stamp))?;
                Some(nodes.as_chunks::<NODE_BYTES>().0.to_vec())
            }))
        });
        HashTree::from_level(stamp.size, root, level??).ok()
    }

    /// Remembers hashes, all of them or none; on disk when this returns.
    pub fn store(&mut self, known: &[Known]) {
        if known.is_empty() {
            return;
        }
        self.with(|db| {
            let write = db.begin_write()?;
            let mut contents = write.open_table(CONTENTS)?;
            let mut levels = write.open_table(LEVELS)?;
            let mut old = write.open_table(OLD_HASHES)?;
            for known in known {
                let path = known.path.as_os_str().as_bytes();
                contents.insert(path, &encode(known))?;
                if known.tree.blocks() > 1 {
                    let mut value = stamp_bytes(&known.stamp).to_vec();
                    value.extend_from_slice(known.tree.level().as_flattened());
                    levels.insert(path, value.as_slice())?;
                } else {
                    levels.remove(path)?;
                }
                old.remove(path)?;
            }
            drop((contents, levels, old));
            Ok(write.commit()?)
        });
    }

    /// Forgets up to [`PRUNE_MAX`] paths below `folders` that are not `alive` any more, when there are more
    /// entries than `live` files at all.
    pub fn prune(&mut self, folders: &[PathBuf], live: usize, alive: impl Fn(&Path) -> bool) {
        self.with(|db| {
            let read = db.begin_read()?;
            let contents = if_there(read.open_table(CONTENTS))?;
            let old = if_there(read.open_table(OLD_HASHES))?;
            let mut entries = 0;
            for len in [
                contents.as_ref().map(ReadableTableMetadata::len),
                old.as_ref().map(ReadableTableMetadata::len),
            ] {
                entries += len.transpose()?.unwrap_or(0);
            }
            if entries <= live as u64 {
                return Ok(());
            }
            let stale = |path: &[u8]| {
                let path = Path::new(std::ffi::OsStr::from_bytes(path));
                let concerned =
                    entries > ENTRIES_MAX || folders.iter().any(|folder| path.starts_with(folder));
                concerned && !alive(path)
            };
            let mut gone: Vec<Vec<u8>> = Vec::new();
            if let Some(table) = &contents {
                collect(table, &stale, &mut gone)?;
            }
            if let Some(table) = &old {
                collect(table, &stale, &mut gone)?;
            }
            drop((contents, old, read));
            let write = db.begin_write()?;
            let mut contents = write.open_table(CONTENTS)?;
            let mut levels = write.open_table(LEVELS)?;
            let mut old = write.open_table(OLD_HASHES)?;
            for path in gone.iter().map(Vec::as_slice) {
                contents.remove(path)?;
                levels.remove(path)?;
                old.remove(path)?;
            }
            drop((contents, levels, old));
            Ok(write.commit()?)
        });
    }

    /// Closes the store until it is needed again.
    pub fn rest(&mut self) {
        // Dropping may write, and so may find damage.
        let db = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
    }

    /// Closes the store for good: another node may open it now.
    pub fn close(&mut self) {
        self.rest();
        self.given_up = true;
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

    /// Makes an empty store, if there is none. A kill while it is made leaves none: it gets its name when it is whole.
    fn make(&self) -> std::io::Result<()> {
        if self.path.try_exists()? {
            return Ok(());
        }
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(".new");
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let made = catch_unwind(AssertUnwindSafe(|| Builder::new().create(&aside).map(drop)));
        match made {
            Ok(Ok(())) => std::fs::rename(&aside, &self.path),
            Ok(Err(error)) => Err(std::io::Error::other(error.to_string())),
            Err(_) => Err(std::io::Error::other("the store could not be made")),
        }
    }

    fn open(&mut self) -> Option<Database> {
        for attempt in 0..2 {
            if let Err(error) = self.make() {
                self.give_up(&error.to_string());
                return None;
            }
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

/// A table, if there is one.
fn if_there<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(Some(table?)),
    }
}

/// Adds paths to `gone`, up to [`PRUNE_MAX`] together.
fn collect<V: redb::Value + 'static>(
    table: &ReadOnlyTable<&'static [u8], V>,
    stale: &impl Fn(&[u8]) -> bool,
    gone: &mut Vec<Vec<u8>>,
) -> Result<(), redb::Error> {
    for entry in table.iter()? {
        if gone.len() >= PRUNE_MAX {
            break;
        }
        let (path, _) = entry?;
        if stale(path.value()) {
            gone.push(path.value().to_owned());
        }
    }
    Ok(())
}

fn stamp_bytes(stamp: &Stamp) -> [u8; STAMP_BYTES] {
    let mut bytes = [0; STAMP_BYTES];
    bytes[..8].copy_from_slice(&stamp.size.to_le_bytes());
    bytes[8..16].copy_from_slice(&stamp.mtime_ns.to_le_bytes());
    bytes[16..].copy_from_slice(&stamp.inode.to_le_bytes());
    bytes
}

fn encode(known: &Known) -> [u8; VALUE_BYTES] {
    let mut value = [0; VALUE_BYTES];
    value[..STAMP_BYTES].copy_from_slice(&stamp_bytes(&known.stamp));
    value[STAMP_BYTES..OLD_VALUE_BYTES].copy_from_slice(&known.sha1.0);
    value[OLD_VALUE_BYTES..].copy_from_slice(&known.tree.root());
    value
}

fn decode(value: &[u8; VALUE_BYTES], stamp: &Stamp) -> Option<Content> {
    let (old, root) = value.split_first_chunk::<OLD_VALUE_BYTES>()?;
    Some(Content {
        tiger: Some(root.try_into().ok()?),
        ..decode_old(old, stamp)?
    })
}

fn decode_old(value: &[u8; OLD_VALUE_BYTES], stamp: &Stamp) -> Option<Content> {
    let sha1 = value.strip_prefix(&stamp_bytes(stamp))?;
    Some(Sha1(sha1.try_into().ok()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tree::TreeHasher;

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
            tree: HashTree::of_one_block(1, [n; 24]).unwrap(),
        }
    }

    fn content(cache: &mut HashCache, known: &Known) -> Option<Content> {
        cache.look_up([(known.path.clone(), &known.stamp)].into_iter())[0]
    }

    fn get(cache: &mut HashCache, known: &Known) -> Option<Sha1> {
        content(cache, known).map(|content| content.sha1)
    }

    #[test]
    fn a_tree_is_known_for_its_version_alone_and_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hashes");
        let mut hasher = TreeHasher::for_file(700_000);
        hasher.update(&vec![3; 700_000]);
        let big = Known {
            stamp: Stamp {
                size: 700_000,
                mtime_ns: 1,
                inode: 1,
            },
            tree: hasher.finish(),
            ..known("/big", 1)
        };
        let mut cache = HashCache::new(path.clone());
        let tree = |cache: &mut HashCache, root: &TigerRoot, mtime_ns| {
            let stamp = Stamp {
                mtime_ns,
                ..big.stamp
            };
            cache.tree(Path::new("/big"), &stamp, root)
        };
        let root = big.tree.root();
        assert_eq!(tree(&mut cache, &root, 1), None);
        cache.store(&[big.clone(), known("/small", 2)]);
        drop(cache);
        let mut cache = HashCache::new(path);
        assert_eq!(tree(&mut cache, &root, 1), Some(big.tree.clone()));
        assert_eq!(tree(&mut cache, &root, 2), None);
        assert_eq!(tree(&mut cache, &[0; 24], 1), None);
        assert_eq!(content(&mut cache, &big).unwrap().tiger, Some(root));
        // The file became small: what is kept of its tree goes.
        cache.store(&[known("/big", 1)]);
        assert_eq!(tree(&mut cache, &root, 1), None);
        cache.store(std::slice::from_ref(&big));
        cache.prune(&["/".into()], 0, |_| false);
        assert_eq!(tree(&mut cache, &root, 1), None);
    }

    #[test]
    fn what_an_earlier_version_kept_is_read_until_the_tree_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hashes");
        let db = Database::create(&path).unwrap();
        let write = db.begin_write().unwrap();
        let mut old = write.open_table(OLD_HASHES).unwrap();
        for file in [known("/a", 1), known("/b", 2)] {
            let value = *encode(&file).first_chunk().unwrap();
            old.insert(file.path.as_os_str().as_bytes(), &value)
                .unwrap();
        }
        drop(old);
        write.commit().unwrap();
        drop(db);
        let mut cache = HashCache::new(path.clone());
        let without = |n| Some(Content::from(Sha1([n; 20])));
        assert_eq!(content(&mut cache, &known("/a", 1)), without(1));
        assert_eq!(content(&mut cache, &known("/a", 2)), None);
        cache.store(&[known("/a", 1)]);
        let with = content(&mut cache, &known("/a", 1)).unwrap();
        assert_eq!((with.sha1, with.tiger), (Sha1([1; 20]), Some([1; 24])));
        assert_eq!(content(&mut cache, &known("/b", 2)), without(2));
        cache.prune(&["/".into()], 1, |path| path == Path::new("/a"));
        assert_eq!(content(&mut cache, &known("/b", 2)), None);
        assert!(content(&mut cache, &known("/a", 1)).is_some());
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
