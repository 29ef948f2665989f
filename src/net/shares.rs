//! What this node shares, for those who serve it, list it and search it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::inbox::Inbox;
use super::news::{News, Newsroom};
use super::overlays::Overlays;
use super::rt;
use super::upload::Files;
use crate::control;
use crate::disk::shares::{OnLibrary, Options, ShareFolder, Shares, SharesError};
use crate::disk::store::Home;
use crate::disk::tree::HashTree;
use crate::node::Event;
use crate::node::library::{FileView, Library};
use crate::wire::Sha1;
use crate::wire::magnet::Magnet;

/// The shared folders of a node.
#[derive(Debug)]
pub(crate) enum Shelf {
    /// None at all.
    Empty(Arc<Library>),
    /// Some, scanned and hashed in the background.
    Folders(Shares),
}

impl Shelf {
    /// A node that shares nothing.
    pub(crate) fn empty() -> Self {
        Self::Empty(Arc::default())
    }

    /// Starts to scan; each overlay is handed each new library.
    ///
    /// # Errors
    /// A folder cannot or must not be listed.
    pub(crate) fn scan(
        home: &Home,
        folders: &[ShareFolder],
        options: &Options,
        overlays: Overlays,
        news: Newsroom,
    ) -> Result<Self, SharesError> {
        let on_library: OnLibrary = Box::new(move |library| {
            news.publish(|| published(&library));
            // Waits while the inbox is full, so that libraries arrive in order. An error: the node has ended.
            for overlay in overlays.all() {
                let changed = Event::Library(library.clone());
                let _ = rt::block_on(overlay.handle.send(Inbox::Event(changed)));
            }
        });
        Shares::start_with(home, folders, options, on_library).map(Self::Folders)
    }

    /// The listed folders.
    pub(crate) fn list(&self) -> Vec<control::Share> {
        match self {
            Self::Empty(_) => Vec::new(),
            Self::Folders(shares) => shares.status(),
        }
    }

    /// All files, with what one needs to tell others of them.
    pub(crate) fn files(&self) -> Vec<control::File> {
        let library = self.library();
        let shown = |file: FileView<'_>| control::File {
            name: library.shown_path(&file),
            size: file.size,
            urn: file.sha1.map(|sha1| sha1.to_string()),
            magnet: file.sha1.map(|sha1| magnet(sha1, &file)),
        };
        library.files().map(shown).collect()
    }

    /// Scans now; blocks until the names are known.
    pub(crate) fn rescan(&self) {
        match self {
            Self::Empty(_) => {}
            Self::Folders(shares) => shares.rescan(),
        }
    }

    /// What is not shared, and why.
    pub(crate) fn left_out(&self) -> Vec<control::Reply> {
        let Self::Folders(shares) = self else {
            return Vec::new();
        };
        let of_share = shares.left_out().into_iter();
        of_share
            .flat_map(|left_out| {
                let share = left_out.share;
                left_out
                    .some
                    .into_iter()
                    .map(move |left_out| control::Reply::LeftOut {
                        share: share.clone(),
                        path: left_out.path,
                        why: left_out.why.to_string(),
                    })
            })
            .collect()
    }

    /// Would a file be shared that lay there? The path is absolute and without links.
    pub(crate) fn would_share(&self, path: &Path) -> bool {
        match self {
            Self::Empty(_) => false,
            Self::Folders(shares) => shares.would_share(path),
        }
    }

    /// Waits until all folders were scanned once; `false`: not in that time.
    pub(crate) fn wait_scanned(&self, patience: Duration) -> bool {
        match self {
            Self::Empty(_) => true,
            Self::Folders(shares) => shares.wait_scanned(patience),
        }
    }

    /// Waits until all hashes are known; `false`: not in that time.
    pub(crate) fn wait_hashed(&self, patience: Duration) -> bool {
        match self {
            Self::Empty(_) => true,
            Self::Folders(shares) => shares.wait_hashed(patience),
        }
    }

    /// Ends scans and hashing; blocks until they have.
    pub(crate) fn stop(&self) {
        match self {
            Self::Empty(_) => {}
            Self::Folders(shares) => shares.stop(),
        }
    }
}

fn published(library: &Library) -> News {
    let hashed = library.files().filter(|file| file.sha1.is_some()).count();
    News::Library {
        files: library.len() as u64,
        bytes: library.total_bytes(),
        hashed_files: hashed as u64,
    }
}

fn magnet(sha1: Sha1, file: &FileView<'_>) -> String {
    let link = Magnet {
        sha1s: vec![sha1],
        name: Some(file.name().to_owned()),
        size: Some(file.size),
        ..Magnet::default()
    };
    link.to_string()
}

impl Files for Shelf {
    fn library(&self) -> Arc<Library> {
        match self {
            Self::Empty(library) => library.clone(),
            Self::Folders(shares) => shares.library(),
        }
    }

    fn open(&self, file: FileView<'_>) -> io::Result<File> {
        match self {
            Self::Empty(_) => Err(io::ErrorKind::NotFound.into()),
            Self::Folders(shares) => shares.open(file.index).map(|(open, _)| open),
        }
    }

    fn tree(&self, file: FileView<'_>) -> Option<HashTree> {
        match self {
            Self::Empty(_) => None,
            Self::Folders(shares) => shares.tree(file.index),
        }
    }

    fn outdated(&self) {
        // A failed `Shares::open` has its folder looked at again; a file cut short while it was sent is
        // noticed by the next event or sweep.
    }
}
