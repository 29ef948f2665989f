//! The files of hostile addresses that a user names: read as one list, and again when one of them has changed.

use std::path::{Path, PathBuf};

use super::beneath::Stamp;
use super::lists;
use crate::node::hostile::Hostile;

/// MiB of one file: the most entries a list may have, with remarks. Our choice.
const MIB_MAX: u64 = 16;

/// Some files, and how they were when they were last read.
#[derive(Debug)]
pub struct HostileFiles {
    paths: Vec<PathBuf>,
    /// How they were when they were last read, whatever came of it.
    read: Option<Vec<Option<Stamp>>>,
    /// How they were at the last look.
    seen: Option<Vec<Option<Stamp>>>,
}

impl HostileFiles {
    /// These files, not read yet.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            read: None,
            seen: None,
        }
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// All that they list.
    ///
    /// # Errors
    /// For people: which file cannot be used, with its line, and the way out.
    pub fn read(&mut self) -> Result<Hostile, String> {
        // Before they are read: what changes meanwhile is noticed by the next look.
        self.read = Some(self.stamps());
        let mut all = Hostile::default();
        for path in &self.paths {
            let text = lists::text(path, MIB_MAX).map_err(|why| unusable(path, &why))?;
            let list = Hostile::parse(&text)
                .map_err(|why| unusable(path, &format!("cannot be used: {why}")))?;
            all = all.and(list);
        }
        Ok(all)
    }

    /// Looks at the files, and reads them again if one has changed and no longer changes: it is the same as at the last
    /// look. `None`: there is nothing to read.
    pub fn look(&mut self) -> Option<Result<Hostile, String>> {
        let now = Some(self.stamps());
        let still = self.seen == now;
        self.seen.clone_from(&now);
        (still && self.read != now).then(|| self.read())
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let stamp = |path: &PathBuf| rustix::fs::stat(path).ok().map(|stat| Stamp::of(&stat));
        self.paths.iter().map(stamp).collect()
    }
}

fn unusable(path: &Path, why: &impl std::fmt::Display) -> String {
    format!("the list of hostile addresses {} {why}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_read_again_when_they_have_changed_and_lie_still() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a.txt", "b.txt"].map(|name| dir.path().join(name));
        fs::write(&paths[0], "192.0.2.1\n").unwrap();
        fs::write(&paths[1], "192.0.2.2\n").unwrap();
        let mut files = HostileFiles::new(paths.to_vec());
        let lists = |read: &Hostile, last: u8| read.lists([192, 0, 2, last].into());
        let all = files.read().unwrap();
        assert!(lists(&all, 1) && lists(&all, 2) && !lists(&all, 33));
        for _ in 0..3 {
            assert!(files.look().is_none(), "nothing has changed");
        }
        fs::write(&paths[1], "192.0.2.33").unwrap();
        assert!(files.look().is_none(), "it may not be written to its end");
        fs::write(&paths[1], "192.0.2.33\n192.0.2.4\n").unwrap();
        assert!(files.look().is_none());
        let all = files.look().unwrap().unwrap();
        assert!(lists(&all, 1) && !lists(&all, 2) && lists(&all, 33) && lists(&all, 4));
        assert!(files.look().is_none());
    }

    #[test]
    fn what_cannot_be_used_is_named_once_and_read_again_when_it_was_mended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        fs::write(&path, "192.0.2.1\n").unwrap();
        let mut files = HostileFiles::new(vec![path.clone()]);
        files.read().unwrap();
        fs::write(&path, "# the list\nnonsense\n").unwrap();
        assert!(files.look().is_none());
        let why = files.look().unwrap().unwrap_err();
        assert!(why.contains("list.txt cannot be used: line 2"), "{why}");
        assert!(files.look().is_none(), "said once");
        fs::remove_file(&path).unwrap();
        assert!(files.look().is_none());
        let why = files.look().unwrap().unwrap_err();
        assert!(why.contains("list.txt cannot be read"), "{why}");
        assert!(files.look().is_none(), "said once");
        fs::write(&path, "192.0.2.7\n").unwrap();
        assert!(files.look().is_none());
        assert!(files.look().unwrap().unwrap().lists([192, 0, 2, 7].into()));
    }
}
