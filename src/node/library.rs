//! The share index: immutable, built off to the side, swapped in whole. Words -> files, hash -> file.

use crate::wire::Sha1;

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
}

impl<'a> FileView<'a> {
    /// The base name.
    pub fn name(&self) -> &'a str {
        self.path.rsplit('/').next().unwrap_or(self.path)
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
}

/// An immutable index of shared files.
#[derive(Debug, Default)]
pub struct Library {
    _todo: (),
}

impl Library {
    /// Builds the index. `share_names` are the names under which the listed folders are shown; their words
    /// match too.
    pub fn build(_share_names: &[String], _entries: Vec<Entry>) -> Self {
        todo!()
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// No files?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sum of all sizes in bytes.
    pub fn total_bytes(&self) -> u64 {
        todo!()
    }

    /// Names of the listed folders.
    pub fn share_names(&self) -> &[String] {
        todo!()
    }

    /// The file with that id.
    pub fn file(&self, _id: FileId) -> Option<FileView<'_>> {
        todo!()
    }

    /// All files in order.
    pub fn files(&self) -> impl Iterator<Item = FileView<'_>> {
        std::iter::empty()
    }

    /// The file with that announced index.
    pub fn by_index(&self, _index: u32) -> Option<FileId> {
        todo!()
    }

    /// A file with that hash.
    pub fn by_sha1(&self, _sha1: &Sha1) -> Option<FileId> {
        todo!()
    }

    /// Appends to `out` up to `max` files that have **all** words of `text` in the words of their name and
    /// folders (see [`words`](super::words)). Text without any word matches nothing. The cost grows with the
    /// shortest list of matching files, never with the size of the library.
    pub fn search(&self, _text: &str, _max: usize, _out: &mut Vec<FileId>) {
        todo!()
    }
}
