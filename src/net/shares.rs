//! What this node shares, for those who serve it, list it and search it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::upload::Files;
use crate::control;
use crate::node::library::{FileView, Library};
use crate::wire::Sha1;
use crate::wire::magnet::Magnet;

/// The shared folders of a node.
#[derive(Debug)]
pub(crate) enum Shelf {
    /// None at all.
    Empty(Arc<Library>),
}

impl Shelf {
    pub(crate) fn list(&self) -> Vec<control::Share> {
        match self {
            Self::Empty(_) => Vec::new(),
        }
    }

    /// All files, with what one needs to tell others of them.
    pub(crate) fn files(&self) -> Vec<control::File> {
        let library = self.library();
        let names = library.share_names();
        let shown = |file: FileView<'_>| {
            let share = names
                .get(usize::from(file.share))
                .map_or("", String::as_str);
            control::File {
                name: format!("{share}/{}", file.path),
                size: file.size,
                urn: file.sha1.map(|sha1| sha1.to_string()),
                magnet: file.sha1.map(|sha1| magnet(sha1, &file)),
            }
        };
        library.files().map(shown).collect()
    }

    pub(crate) fn rescan(&self) {
        match self {
            Self::Empty(_) => {}
        }
    }

    pub(crate) fn left_out(&self) -> Vec<control::Reply> {
        match self {
            Self::Empty(_) => Vec::new(),
        }
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
        }
    }

    fn open(&self, _file: FileView<'_>) -> io::Result<File> {
        match self {
            Self::Empty(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn outdated(&self) {}
}
