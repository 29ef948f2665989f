//! The folders a user lists -> the folders that are shared, each once, each with a name to be shown.

use std::path::{Path, PathBuf};

use crate::disk::rules::{self, Breadth};

/// Folders that can be listed. Files carry the number of theirs in 16 bits; a person lists a few.
pub const SHARES_MAX: usize = 1_000;

/// A folder as a user lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareFolder {
    /// Where it lies; links in this path are followed, once, at the start.
    pub path: PathBuf,
    /// Name shown to others instead of the folder's own.
    pub name: Option<String>,
}

impl From<PathBuf> for ShareFolder {
    fn from(path: PathBuf) -> Self {
        Self { path, name: None }
    }
}

/// Why folders cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum SharesError {
    /// No such folder, or not readable.
    #[error("{path} cannot be shared: {error}", path = .path.display())]
    Folder {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A rule is against it; the text names the way out.
    #[error("{0}")]
    Refused(String),
    /// More than [`SHARES_MAX`].
    #[error("{0} folders are listed, {SHARES_MAX} can be; list a folder that holds them")]
    TooMany(usize),
    /// The system gave no thread.
    #[error("shared folders cannot be watched over: {0}")]
    Thread(std::io::Error),
}

/// A folder that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) name: String,
}

/// Checks the folders, drops those listed twice, and gives each a name of its own.
pub(super) fn check(
    folders: &[ShareFolder],
    home: Option<&Path>,
    breadth: Breadth,
) -> Result<Vec<Listed>, SharesError> {
    if folders.len() > SHARES_MAX {
        return Err(SharesError::TooMany(folders.len()));
    }
    let mut listed: Vec<Listed> = Vec::new();
    for folder in folders {
        let unusable = |error| SharesError::Folder {
            path: folder.path.clone(),
            error,
        };
        let path = folder.path.canonicalize().map_err(unusable)?;
        rules::judge_listed(&path, home, breadth).map_err(SharesError::Refused)?;
        std::fs::read_dir(&path).map_err(unusable)?;
        if listed.iter().any(|other| other.path == path) {
            continue;
        }
        let wanted = folder.name.clone().unwrap_or_else(|| shown_name(&path));
        let mut name = wanted.clone();
        let mut number = 2;
        while listed.iter().any(|other| other.name == name) {
            name = format!("{wanted} ({number})");
            number += 1;
        }
        listed.push(Listed { path, name });
    }
    Ok(listed)
}

fn shown_name(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name: String = name
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    if name.is_empty() {
        "disk".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn folders_are_listed_once_and_named_apart() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("a/Music")).unwrap();
        fs::create_dir_all(base.join("b/Music")).unwrap();
        std::os::unix::fs::symlink(base.join("a/Music"), base.join("link")).unwrap();
        let folders: Vec<ShareFolder> = ["a/Music", "b/../b/Music", "link", "b/Music"]
            .iter()
            .map(|path| base.join(path).into())
            .collect();
        let listed = check(&folders, None, Breadth::Ordinary).unwrap();
        let shown: Vec<_> = listed
            .iter()
            .map(|one| (one.name.as_str(), one.path.clone()))
            .collect();
        assert_eq!(
            shown,
            [
                ("Music", base.join("a/Music")),
                ("Music (2)", base.join("b/Music"))
            ]
        );
    }

    #[test]
    fn what_cannot_be_listed_is_said_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::write(base.join("file"), "x").unwrap();
        for name in ["none", "file"] {
            let error = check(&[base.join(name).into()], None, Breadth::Ordinary).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = check(&[PathBuf::from("/").into()], None, Breadth::Ordinary).unwrap_err();
        assert!(error.to_string().contains("--allow-broad"), "{error}");
        let error = check(&[base.clone().into()], Some(&base), Breadth::Ordinary).unwrap_err();
        assert!(error.to_string().contains("home folder"), "{error}");
    }
}
