//! A folder for the time of one command; what a killed command left is removed by the next.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// File in each folder that is locked as long as its command runs.
const LOCK: &str = ".lock";

/// A folder of our own below a common one. Removed, with all in it, when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes a folder in `all`, which is made too, and removes those in it that nobody uses any more.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn new(all: &Path) -> io::Result<Self> {
        fs::create_dir_all(all)?;
        // Until this one is locked it looks like a leftover.
        let guard = File::create(all.join(LOCK))?;
        guard.lock()?;
        sweep(all)?;
        let mut path = all.join(std::process::id().to_string());
        // One process may want several.
        let mut number = 0;
        while let Err(error) = fs::create_dir(&path) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            number += 1;
            path = all.join(format!("{}-{number}", std::process::id()));
        }
        let lock = File::create(path.join(LOCK))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            log::warn!("{} is left over: {error}", self.path.display());
        }
    }
}

fn sweep(all: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all)?.flatten() {
        let lock = File::open(entry.path().join(LOCK));
        // Without a lock it is being made, or not ours.
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_owner_and_leftovers_go_with_the_next() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let all = dir.path().join("streams");
        let first = Scratch::new(&all).expect("made");
        let second = Scratch::new(&all).expect("made");
        assert_ne!(first.path(), second.path());
        assert!(first.path().is_dir(), "it is in use");
        let gone = second.path().to_owned();
        drop(second);
        assert!(!gone.exists());
        // As after a kill: the folder is there, and nobody holds its lock.
        let killed = all.join("7");
        fs::create_dir(&killed).expect("made");
        fs::write(killed.join(LOCK), "").expect("written");
        fs::write(killed.join("part"), "bytes").expect("written");
        drop(Scratch::new(&all).expect("made"));
        assert!(!killed.exists() && first.path().is_dir());
    }
}
