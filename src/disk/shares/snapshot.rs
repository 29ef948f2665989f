//! One state of all listed folders: the library that is searched, and what is needed to open its files.
//!
//! Files lie in the order of their folder, then their path, so two states are compared in one pass.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::beneath::{Root, Stamp};
use crate::disk::hash::{Batch, Job};
use crate::disk::scan::Found;
use crate::node::library::{Content, Entry, FileId, FileView, Library};

/// The first number given to a file; gtk-gnutella too counts from 1.
pub(super) const INDEX_FIRST: u32 = 1;
/// A number that old programs take for "push" in requests; never given to a file.
const INDEX_RESERVED: u32 = 0x7FFF_FFFD;

/// Never changed once published.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) library: Arc<Library>,
    /// By [`FileId`].
    stamps: Arc<Vec<Stamp>>,
    /// By listed folder; `None`: it is gone.
    roots: Arc<Vec<Option<Root>>>,
    /// By listed folder: its files.
    ranges: Arc<Vec<Range<u32>>>,
}

impl Snapshot {
    /// The state after some folders were scanned. `scans[share]`: `None` for one that was not scanned now, and
    /// keeps its files. Files keep their number, and those of the same version their hash. `None`: nothing
    /// changed at all.
    pub(super) fn next(
        &self,
        names: &[String],
        roots: Vec<Option<Root>>,
        scans: Vec<Option<Vec<Found>>>,
        next_index: &mut Option<u32>,
    ) -> Option<Self> {
        let mut entries = Vec::new();
        let mut stamps = Vec::new();
        let mut ranges = Vec::new();
        let mut changed = *self.roots != roots || self.library.share_names() != names;
        for (share, scan) in (0u16..).zip(scans) {
            let from = entries.len();
            let old = self.ranges.get(usize::from(share)).cloned().unwrap_or(0..0);
            match scan {
                None => old.for_each(|at| {
                    entries.push(entry(self.row(at).0));
                    stamps.push(self.row(at).1);
                }),
                Some(found) => {
                    changed |= found.len() != old.len();
                    let mut old = old.peekable();
                    for Found { path, stamp } in found {
                        while old
                            .next_if(|&at| self.row(at).0.path < path.as_str())
                            .is_some()
                        {}
                        let known =
                            old.next_if(|&at| self.row(at).0.path.cmp(&path) == Ordering::Equal);
                        let known = known.map(|at| self.row(at));
                        let same = known.filter(|(_, old)| *old == stamp);
                        changed |= same.is_none();
                        let Some(index) = known
                            .map(|(file, _)| file.index)
                            .or_else(|| take_index(next_index))
                        else {
                            continue;
                        };
                        let same = same.map(|(file, _)| file);
                        entries.push(Entry {
                            index,
                            share,
                            path,
                            size: stamp.size,
                            mtime: stamp.mtime(),
                            sha1: same.and_then(|file| file.sha1),
                            tiger: same.and_then(|file| file.tiger),
                        });
                        stamps.push(stamp);
                    }
                }
            }
            ranges.push(id(from)..id(entries.len()));
        }
        changed.then(|| Self {
            library: Arc::new(Library::build(names, entries)),
            stamps: Arc::new(stamps),
            roots: Arc::new(roots),
            ranges: Arc::new(ranges),
        })
    }

    /// The same files with more hashes known.
    pub(super) fn with_hashes<C: Into<Content> + Copy>(&self, learned: &[(FileId, C)]) -> Self {
        Self {
            library: Arc::new(self.library.with_hashes(learned)),
            ..self.clone()
        }
    }

    /// A file by its number in the library.
    pub(super) fn job_of(&self, FileId(at): FileId) -> Option<Job> {
        let file = self.library.file(FileId(at))?;
        let root = self.roots.get(usize::from(file.share))?.clone()?;
        let stamp = *self.stamps.get(at as usize)?;
        Some(Job {
            share: file.share,
            root,
            path: file.path.to_owned(),
            stamp,
        })
    }

    /// Where a file lies, and in which version. It must be one of this snapshot.
    pub(super) fn place(&self, FileId(at): FileId) -> (PathBuf, &Stamp) {
        let (file, _) = self.row(at);
        let root = self.roots[usize::from(file.share)].as_ref();
        let folder = root.map_or(Path::new(""), Root::path);
        (folder.join(file.path), &self.stamps[at as usize])
    }

    /// The file at a path below a listed folder.
    pub(super) fn find(&self, share: u16, path: &str) -> Option<(FileId, Stamp)> {
        let range = self.ranges.get(usize::from(share))?.clone();
        let (mut from, mut to) = (range.start, range.end);
        while from < to {
            let middle = from + (to - from) / 2;
            let (file, stamp) = self.row(middle);
            match file.path.cmp(path) {
                Ordering::Equal => return Some((FileId(middle), stamp)),
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// Files of one listed folder.
    pub(super) fn of_share(&self, share: usize) -> impl Iterator<Item = (FileView<'_>, Stamp)> {
        let range = self.ranges.get(share).cloned().unwrap_or(0..0);
        range.map(|at| self.row(at))
    }

    fn row(&self, at: u32) -> (FileView<'_>, Stamp) {
        let file = self
            .library
            .file(FileId(at))
            .expect("ranges lie within the library");
        (file, self.stamps[at as usize])
    }
}

impl Batch for Snapshot {
    fn job(&self, number: u32) -> Option<Job> {
        self.job_of(FileId(number))
    }
}

fn entry(file: FileView<'_>) -> Entry {
    Entry {
        index: file.index,
        share: file.share,
        path: file.path.to_owned(),
        size: file.size,
        mtime: file.mtime,
        sha1: file.sha1,
        tiger: file.tiger,
    }
}

/// The next free number; `None` when all 2^32 were given in this run.
fn take_index(next: &mut Option<u32>) -> Option<u32> {
    let index = next
        .filter(|&index| index != INDEX_RESERVED)
        .or_else(|| Some((*next)? + 1))?;
    *next = index.checked_add(1);
    Some(index)
}

fn id(at: usize) -> u32 {
    u32::try_from(at).expect("SHARED_FILES_MAX is below 2^32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Sha1;

    fn found(path: &str, mtime_ns: u64) -> Found {
        Found {
            path: path.to_owned(),
            stamp: Stamp {
                size: 3,
                mtime_ns,
                inode: 1,
            },
        }
    }

    #[test]
    fn files_keep_number_and_hash_while_they_stay_the_same() {
        let names = ["a".to_owned(), "b".to_owned()];
        let mut next = Some(INDEX_FIRST);
        let none = vec![None, None];
        let scans = vec![
            Some(vec![found("x", 1), found("y", 1)]),
            Some(vec![found("x", 1)]),
        ];
        let first = Snapshot::default()
            .next(&names, none.clone(), scans, &mut next)
            .unwrap();
        let first = first.with_hashes(&[(FileId(0), Sha1([1; 20])), (FileId(1), Sha1([2; 20]))]);
        assert_eq!(first.find(1, "x").map(|(id, _)| id), Some(FileId(2)));
        assert_eq!(first.find(1, "y"), None);

        let same = vec![Some(vec![found("x", 1), found("y", 1)]), None];
        assert!(first.next(&names, none.clone(), same, &mut next).is_none());

        let scans = vec![
            Some(vec![found("w", 1), found("x", 1), found("y", 2)]),
            None,
        ];
        let second = first.next(&names, none, scans, &mut next).unwrap();
        let rows: Vec<_> = second
            .library
            .files()
            .map(|file| (file.path, file.index, file.sha1))
            .collect();
        assert_eq!(
            rows,
            [
                ("w", 4, None),
                ("x", 1, Some(Sha1([1; 20]))),
                ("y", 2, None),
                ("x", 3, None)
            ]
        );
    }

    #[test]
    fn the_reserved_number_is_never_given() {
        let mut next = Some(INDEX_RESERVED - 1);
        assert_eq!(take_index(&mut next), Some(INDEX_RESERVED - 1));
        assert_eq!(take_index(&mut next), Some(INDEX_RESERVED + 1));
        next = Some(u32::MAX);
        assert_eq!(take_index(&mut next), Some(u32::MAX));
        assert_eq!(take_index(&mut next), None);
    }
}
