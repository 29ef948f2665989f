//! The share index: immutable, built off to the side, swapped in whole. Words -> files, hash -> file.
//!
//! Kept in columns, some 130 bytes a file for names of ordinary length (`cargo bench --bench match` prints
//! the figure). Names and words are shared between a library and those made of it by
//! [`Library::with_hashes`].

mod hashes;
mod postings;
mod table;

use std::hash::{DefaultHasher, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::words::{each_word, try_each_word};
use crate::wire::Sha1;
use crate::wire::urn::TigerRoot;
pub use hashes::Content;
use hashes::Hashes;
use postings::Postings;
use table::WordTable;

/// Position of a file in a [`Library`]; valid for that library only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// What is known of one shared file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileView<'a> {
    /// Number announced in hits and used in `/get/<index>/<name>`; stable as long as the node runs.
    pub index: u32,
    /// Number of the listed folder, in the order given.
    pub share: u16,
    /// Path below the listed folder, `/` between parts, without the folder's own name.
    pub path: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// Last change, seconds since 1970.
    pub mtime: u64,
    /// Hash, once known.
    pub sha1: Option<Sha1>,
    /// Root of its Tiger tree, once known.
    pub tiger: Option<TigerRoot>,
}

impl<'a> FileView<'a> {
    /// The base name.
    pub fn name(&self) -> &'a str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// What names its content, once known.
    pub fn content(&self) -> Option<Content> {
        let tiger = self.tiger;
        self.sha1.map(|sha1| Content { sha1, tiger })
    }
}

/// One file to index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As [`FileView::index`].
    pub index: u32,
    /// As [`FileView::share`].
    pub share: u16,
    /// As [`FileView::path`].
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Hash, once known.
    pub sha1: Option<Sha1>,
    /// Root of its Tiger tree, once known; of no use without the hash.
    pub tiger: Option<TigerRoot>,
}

/// An immutable index of shared files.
#[derive(Debug, Default)]
pub struct Library {
    columns: Arc<Columns>,
    hashes: Hashes,
}

/// All but the hashes; one column for each fact, one row for each file.
#[derive(Debug, Default)]
struct Columns {
    share_names: Vec<String>,
    /// All paths, end to end.
    paths: String,
    path_ends: Vec<u64>,
    sizes: Vec<u64>,
    mtimes: Vec<u64>,
    indexes: Vec<u32>,
    shares: Vec<u16>,
    /// Files by announced index; empty when they already lie in that order.
    by_index: Vec<u32>,
    total_bytes: u64,
    table: WordTable,
    postings: Postings,
}

impl Library {
    /// Builds the index. `share_names` are the names under which the listed folders are shown; their words
    /// match too. The files keep the order given. Takes about a second for 500,000 files.
    pub fn build(share_names: &[String], entries: Vec<Entry>) -> Self {
        let hashes = Hashes::new(
            entries
                .iter()
                .map(|entry| {
                    let sha1 = entry.sha1?;
                    Some(Content {
                        sha1,
                        tiger: entry.tiger,
                    })
                })
                .collect(),
        );
        Self {
            columns: Arc::new(Columns::build(share_names, entries)),
            hashes,
        }
    }

    /// The same files with more hashes known. Shares the names with this library, so it costs a copy of
    /// the hash columns (46 bytes a file), not a new index. Files that are not in this library are ignored.
    #[must_use]
    pub fn with_hashes<C: Into<Content> + Copy>(&self, learned: &[(FileId, C)]) -> Self {
        let learned: Vec<_> = learned
            .iter()
            .map(|&(FileId(file), content)| (file, content.into()))
            .collect();
        Self {
            columns: Arc::clone(&self.columns),
            hashes: self.hashes.with(&learned),
        }
    }

    /// Are names and files those of `other`? Only hashes may differ. Told without reading them: `false` may be said
    /// of two libraries built alike.
    pub fn same_names(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.columns, &other.columns)
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.columns.sizes.len()
    }

    /// No files?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of files whose hash is known.
    pub fn hashed(&self) -> usize {
        self.hashes.known()
    }

    /// Number of files whose Tiger root is known.
    pub fn with_root(&self) -> usize {
        self.hashes.roots_known()
    }

    /// Sum of all sizes in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.columns.total_bytes
    }

    /// Names of the listed folders.
    pub fn share_names(&self) -> &[String] {
        &self.columns.share_names
    }

    /// The file with that id.
    pub fn file(&self, id: FileId) -> Option<FileView<'_>> {
        let at = id.0 as usize;
        (at < self.len()).then(|| self.view(at))
    }

    /// All files in order.
    pub fn files(&self) -> impl Iterator<Item = FileView<'_>> {
        (0..self.len()).map(|at| self.view(at))
    }

    /// The file with that announced index.
    pub fn by_index(&self, index: u32) -> Option<FileId> {
        let Columns {
            indexes, by_index, ..
        } = &*self.columns;
        if by_index.is_empty() {
            let at = indexes.binary_search(&index).ok()?;
            return u32::try_from(at).ok().map(FileId);
        }
        let at = by_index
            .binary_search_by_key(&index, |&file| indexes[file as usize])
            .ok()?;
        Some(FileId(by_index[at]))
    }

    /// A file with that hash: the first.
    pub fn by_sha1(&self, sha1: &Sha1) -> Option<FileId> {
        self.hashes.find(sha1).map(FileId)
    }

    /// A file with that Tiger root: the first.
    pub fn by_tiger(&self, root: &TigerRoot) -> Option<FileId> {
        self.hashes.find_tiger(root).map(FileId)
    }

    /// Where a file of this library lies as others see it: the shown name of its share, then the path below that.
    /// Nothing of where the share lies on this machine.
    pub fn shown_path(&self, file: &FileView<'_>) -> String {
        let share = self.share_names().get(usize::from(file.share));
        format!("{}/{}", share.map_or("", String::as_str), file.path)
    }

    /// The folders of [`shown_path`](Self::shown_path).
    pub fn shown_folder(&self, file: &FileView<'_>) -> String {
        let mut path = self.shown_path(file);
        path.truncate(path.rfind('/').unwrap_or(0));
        path
    }

    /// Appends to `out` up to `max` files that have **all** words of `text` in the words of their name and
    /// folders (see [`words`](super::words)). Text without any word matches nothing. The cost grows with the
    /// shortest list of matching files, never with the size of the library.
    pub fn search(&self, text: &str, max: usize, out: &mut Vec<FileId>) {
        let Columns {
            table, postings, ..
        } = &*self.columns;
        let mut words = Vec::new();
        let all_known = try_each_word(text, |word| match table.find(word) {
            Some(known) => {
                words.push(known);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        });
        if all_known.is_continue() {
            postings.intersect(&mut words, max, |file| out.push(FileId(file)));
        }
    }

    /// Bytes of memory held, shared ones included.
    pub fn heap_bytes(&self) -> usize {
        self.columns.heap_bytes() + self.hashes.heap_bytes()
    }

    fn view(&self, at: usize) -> FileView<'_> {
        let columns = &*self.columns;
        FileView {
            index: columns.indexes[at],
            share: columns.shares[at],
            path: columns.path(at),
            size: columns.sizes[at],
            mtime: columns.mtimes[at],
            sha1: self.hashes.of(at),
            tiger: self.hashes.tiger_of(at),
        }
    }
}

impl Columns {
    fn build(share_names: &[String], entries: Vec<Entry>) -> Self {
        let count = entries.len();
        let mut columns = Self {
            share_names: share_names.to_vec(),
            paths: String::with_capacity(entries.iter().map(|entry| entry.path.len()).sum()),
            path_ends: Vec::with_capacity(count),
            sizes: Vec::with_capacity(count),
            mtimes: Vec::with_capacity(count),
            indexes: Vec::with_capacity(count),
            shares: Vec::with_capacity(count),
            table: WordTable::new(seed(&entries)),
            ..Self::default()
        };
        let mut words = WordLists::new(share_names, &mut columns.table);
        for entry in entries {
            words.push(entry.share, &entry.path, &mut columns.table);
            columns.paths.push_str(&entry.path);
            columns.path_ends.push(columns.paths.len() as u64);
            columns.sizes.push(entry.size);
            columns.mtimes.push(entry.mtime);
            columns.indexes.push(entry.index);
            columns.shares.push(entry.share);
            columns.total_bytes = columns.total_bytes.saturating_add(entry.size);
        }
        columns.table.shrink();
        columns.postings = Postings::build(columns.table.len(), &words.flat, &words.ends);
        if !columns.indexes.is_sorted() {
            columns.by_index =
                (0..u32::try_from(count).expect("file numbers are 32 bits wide")).collect();
            let Self {
                by_index, indexes, ..
            } = &mut columns;
            by_index.sort_by_key(|&file| indexes[file as usize]);
        }
        columns
    }

    fn path(&self, at: usize) -> &str {
        let from = if at == 0 { 0 } else { self.path_ends[at - 1] };
        let offset = |at| usize::try_from(at).expect("an offset into memory that exists");
        &self.paths[offset(from)..offset(self.path_ends[at])]
    }

    fn heap_bytes(&self) -> usize {
        self.paths.capacity()
            + 8 * (self.path_ends.capacity() + self.sizes.capacity() + self.mtimes.capacity())
            + 4 * (self.indexes.capacity() + self.by_index.capacity())
            + 2 * self.shares.capacity()
            + self.table.heap_bytes()
            + self.postings.heap_bytes()
    }
}

/// The distinct word numbers of each file, end to end, while an index is built.
struct WordLists {
    flat: Vec<u32>,
    ends: Vec<usize>,
    of_share: Vec<Vec<u32>>,
    /// The folder of the file before: mostly that of the next one too.
    folder: String,
    of_folder: Vec<u32>,
}

impl WordLists {
    fn new(share_names: &[String], table: &mut WordTable) -> Self {
        let of_share = share_names
            .iter()
            .map(|name| {
                let mut words = Vec::new();
                each_word(name, |word| words.push(table.intern(word)));
                words
            })
            .collect();
        Self {
            flat: Vec::new(),
            ends: Vec::new(),
            of_share,
            folder: String::new(),
            of_folder: Vec::new(),
        }
    }

    fn push(&mut self, share: u16, path: &str, table: &mut WordTable) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if self.folder != folder {
            self.folder.clear();
            self.folder.push_str(folder);
            self.of_folder.clear();
            each_word(folder, |word| self.of_folder.push(table.intern(word)));
        }
        let from = self.flat.len();
        each_word(name, |word| self.flat.push(table.intern(word)));
        self.flat.extend_from_slice(&self.of_folder);
        if let Some(words) = self.of_share.get(usize::from(share)) {
            self.flat.extend_from_slice(words);
        }
        let words = &mut self.flat[from..];
        words.sort_unstable();
        let mut kept = 0;
        for at in 0..words.len() {
            if at == 0 || words[at] != words[kept - 1] {
                words[kept] = words[at];
                kept += 1;
            }
        }
        self.flat.truncate(from + kept);
        self.ends.push(self.flat.len());
    }
}

/// Sizes and times of one's own files: the same for the same files, and unknown to whoever invents names.
fn seed(entries: &[Entry]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for entry in entries {
        hasher.write_u64(entry.size);
        hasher.write_u64(entry.mtime);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(index: u32, share: u16, path: &str) -> Entry {
        Entry {
            index,
            share,
            path: path.to_owned(),
            size: u64::from(index) * 10,
            mtime: 5,
            sha1: None,
            tiger: None,
        }
    }

    fn found(library: &Library, text: &str) -> Vec<u32> {
        let mut out = Vec::new();
        library.search(text, usize::MAX, &mut out);
        out.into_iter().map(|FileId(file)| file).collect()
    }

    fn books() -> Library {
        let shares = ["Books".to_owned(), "Café music".to_owned()];
        let entries = vec![
            entry(7, 0, "Melville/Moby-Dick.epub"),
            entry(3, 0, "Melville/Typee.epub"),
            entry(9, 1, "Moby/Play (1999)/moby - Porcelain.ogg"),
        ];
        Library::build(&shares, entries)
    }

    #[test]
    fn all_words_in_any_order_match_name_folder_and_share() {
        let library = books();
        assert_eq!(found(&library, "moby"), [0, 2]);
        assert_eq!(found(&library, "EPUB melville"), [0, 1]);
        assert_eq!(found(&library, "dick MOBY moby"), [0]);
        assert_eq!(found(&library, "books typee"), [1]);
        assert_eq!(found(&library, "cafe"), [2]);
        assert_eq!(found(&library, "mob"), [0u32; 0]);
        assert_eq!(found(&library, "moby whale"), [0u32; 0]);
        assert_eq!(found(&library, " - "), [0u32; 0]);
    }

    #[test]
    fn a_search_stops_at_its_maximum_and_appends() {
        let mut out = vec![FileId(77)];
        books().search("moby", 1, &mut out);
        assert_eq!(out, [FileId(77), FileId(0)]);
        books().search("moby", 0, &mut out);
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn files_are_found_by_id_index_and_hash() {
        let library =
            books().with_hashes(&[(FileId(2), Sha1([4; 20])), (FileId(99), Sha1([5; 20]))]);
        assert_eq!(
            (library.len(), library.total_bytes(), library.hashed()),
            (3, 190, 1)
        );
        assert_eq!(library.by_index(9), Some(FileId(2)));
        assert_eq!(library.by_index(4), None);
        assert_eq!(library.by_sha1(&Sha1([4; 20])), Some(FileId(2)));
        assert_eq!(library.by_sha1(&Sha1([5; 20])), None);
        assert_eq!(
            library
                .file(FileId(2))
                .map(|file| (file.name(), file.share)),
            Some(("moby - Porcelain.ogg", 1))
        );
        assert_eq!(library.file(FileId(3)), None);
        assert_eq!(library.files().filter_map(|file| file.sha1).count(), 1);
        assert_eq!(found(&library, "porcelain"), [2]);
    }

    #[test]
    fn an_empty_library_finds_nothing() {
        let library = Library::default();
        assert!(library.is_empty());
        assert_eq!(found(&library, "moby"), [0u32; 0]);
        assert_eq!(
            (library.by_index(0), library.by_sha1(&Sha1([0; 20]))),
            (None, None)
        );
    }

    fn naive(library: &Library, text: &str) -> Vec<u32> {
        let words = |text: &str| {
            let mut out = std::collections::BTreeSet::new();
            each_word(text, |word| {
                out.insert(word.to_owned());
            });
            out
        };
        let wanted = words(text);
        let has = |file: FileView<'_>| {
            let share = library
                .share_names()
                .get(usize::from(file.share))
                .map_or("", String::as_str);
            !wanted.is_empty() && words(&format!("{share}/{}", file.path)).is_superset(&wanted)
        };
        (0u32..)
            .zip(library.files())
            .filter(|(_, file)| has(*file))
            .map(|(at, _)| at)
            .collect()
    }

    proptest! {
        #[test]
        fn search_finds_what_a_scan_of_all_names_finds(
            shares in prop::collection::vec("[a-c]{0,2}[ -][a-é]", 1..3),
            paths in prop::collection::vec((0u16..3, "([a-cA-C]{1,2}[-/ _])?[a-dÀ-å]{1,2}[ ./][a-d]{1,3}"), 0..120),
            text in "[a-dA-D]{1,2}( [a-dÀ-å]{1,2}){0,2}",
        ) {
            let entries =
                (0u32..).zip(&paths).map(|(index, (share, path))| entry(index, *share, path)).collect();
            let library = Library::build(&shares, entries);
            prop_assert_eq!(found(&library, &text), naive(&library, &text));
            for (at, (share, path)) in (0u32..).zip(&paths) {
                let file = library.file(library.by_index(at).expect("it was entered")).expect("so it is there");
                prop_assert_eq!((file.share, file.path), (*share, path.as_str()));
            }
        }
    }
}
