//! A listed folder, and opening what lies below it so that nothing outside can come out.
//!
//! A name is checked by the [`rules`](mod@super::rules) and then opened by the kernel with the promise to follow
//! no link and never to leave the folder (`openat2`); where there is no such call, part by part without
//! following links. Whatever was renamed, replaced or linked since the scan, the bytes come from an ordinary
//! file below the folder that was scanned, or not at all.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::rules;

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970; before it, 0.
    pub mtime_ns: u64,
    /// Number of the file in its file system.
    pub inode: u64,
}

impl Stamp {
    #[expect(
        clippy::useless_conversion,
        reason = "the fields are of other types on other systems"
    )]
    pub(super) fn of(stat: &Stat) -> Self {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        let nanos = u64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: seconds.saturating_mul(1_000_000_000).saturating_add(nanos),
            inode: stat.st_ino,
        }
    }

    /// Last change in seconds since 1970.
    pub fn mtime(&self) -> u64 {
        self.mtime_ns / 1_000_000_000
    }
}

/// A listed folder as it was when it was last scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    path: PathBuf,
    dev: u64,
    inode: u64,
}

impl Root {
    /// Looks at a folder and remembers which one it is. `path` should have no links in it (canonical).
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, or whatever else keeps it from being read.
    pub fn look(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&open_root(path)?)?;
        Ok(Self {
            path: path.to_owned(),
            dev: stat.st_dev,
            inode: stat.st_ino,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file below the folder for reading: by the rules, an ordinary file, through no link.
    ///
    /// # Errors
    /// `PermissionDenied` when the rules or a link forbid it, `NotFound` when it or the folder is gone.
    pub fn open_file(&self, path: &str) -> io::Result<(File, Stamp)> {
        rules::judge_path(path)
            .map_err(|why| io::Error::new(io::ErrorKind::PermissionDenied, why.to_string()))?;
        // NONBLOCK: opening a pipe that somebody put there must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = beneath(self.open()?.as_fd(), path, flags)?;
        let stat = rustix::fs::fstat(&file)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "not an ordinary file",
            ));
        }
        Ok((File::from(file), Stamp::of(&stat)))
    }

    /// Opens a folder below this one for listing; the empty path is this one itself.
    pub(super) fn open_folder(&self, path: &str) -> io::Result<OwnedFd> {
        let root = self.open()?;
        if path.is_empty() {
            return Ok(root);
        }
        beneath(
            root.as_fd(),
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        )
    }

    /// Not kept open between uses, so that a disk can be unmounted while its folder is listed.
    fn open(&self) -> io::Result<OwnedFd> {
        let root = open_root(&self.path)?;
        let stat = rustix::fs::fstat(&root)?;
        if (stat.st_dev, stat.st_ino) == (self.dev, self.inode) {
            Ok(root)
        } else {
            Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is another folder now", self.path.display()),
            ))
        }
    }
}

fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// What lies at a name in an open folder, links not followed.
pub(super) fn stat_at(folder: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<Stat> {
    Ok(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(target_os = "linux")]
fn beneath(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(file) => Ok(file),
        // A kernel before 5.6, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => part_by_part(root, path, flags),
        Err(error) => Err(explain(error)),
    }
}

#[cfg(not(target_os = "linux"))]
fn beneath(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    part_by_part(root, path, flags)
}

/// Opens each folder of the path in the one before it, following no link.
fn part_by_part(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let step = |folder: BorrowedFd<'_>, name: &str, flags| {
        if name.is_empty() || name == "." || name == ".." {
            return Err(explain(Errno::XDEV));
        }
        rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(explain)
    };
    let Some((folders, name)) = path.rsplit_once('/') else {
        return step(root, path, flags);
    };
    let through = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folders = folders.split('/');
    let first = step(root, folders.next().unwrap_or_default(), through)?;
    let last = folders.try_fold(first, |folder, name| step(folder.as_fd(), name, through))?;
    step(last.as_fd(), name, flags)
}

/// Leaving the folder and meeting a link are refusals, not faults of the disk.
fn explain(error: Errno) -> io::Error {
    match error {
        Errno::XDEV => io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the path leads out of the shared folder",
        ),
        Errno::LOOP => io::Error::new(
            io::ErrorKind::PermissionDenied,
            "a link; links are not followed",
        ),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    /// A share with one file and traps, beside a secret.
    fn world() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let share = base.join("share");
        fs::create_dir_all(share.join("sub")).unwrap();
        fs::create_dir_all(base.join("outside")).unwrap();
        fs::write(base.join("outside/secret.txt"), "secret").unwrap();
        fs::write(share.join("sub/open.txt"), "open").unwrap();
        symlink(base.join("outside"), share.join("out")).unwrap();
        symlink("sub", share.join("in")).unwrap();
        symlink(base.join("outside/secret.txt"), share.join("leak.txt")).unwrap();
        symlink("../../outside/secret.txt", share.join("sub/leak.txt")).unwrap();
        (dir, Root::look(&share).unwrap())
    }

    const TRAPS: &[&str] = &["out/secret.txt", "leak.txt", "sub/leak.txt", "in/open.txt"];

    #[test]
    fn ordinary_files_open_and_links_do_not() {
        let (_dir, root) = world();
        let (mut file, stamp) = root.open_file("sub/open.txt").unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), stamp.size), ("open", 4));
        for trap in TRAPS {
            assert_eq!(
                root.open_file(trap).unwrap_err().kind(),
                io::ErrorKind::PermissionDenied,
                "{trap}"
            );
        }
        assert_eq!(
            root.open_file("sub").unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        assert_eq!(
            root.open_file("sub/none.txt").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn the_way_without_openat2_refuses_the_same() {
        let (_dir, root) = world();
        let fd = root.open().unwrap();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        assert!(part_by_part(fd.as_fd(), "sub/open.txt", flags).is_ok());
        for trap in TRAPS.iter().chain(&[
            "../outside/secret.txt",
            "sub/../sub/open.txt",
            "/etc/passwd",
            "sub//open.txt",
        ]) {
            assert!(part_by_part(fd.as_fd(), trap, flags).is_err(), "{trap}");
            assert!(
                beneath(fd.as_fd(), trap, flags).is_err()
                    || *trap == "sub/../sub/open.txt"
                    || *trap == "sub//open.txt"
            );
        }
    }

    #[test]
    fn a_folder_that_was_replaced_serves_nothing() {
        let (dir, root) = world();
        let base = dir.path().canonicalize().unwrap();
        fs::rename(base.join("share"), base.join("moved")).unwrap();
        assert_eq!(
            root.open_file("sub/open.txt").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        symlink(base.join("moved"), base.join("share")).unwrap();
        assert!(root.open_file("sub/open.txt").is_err());
        fs::remove_file(base.join("share")).unwrap();
        fs::create_dir_all(base.join("share/sub")).unwrap();
        fs::write(base.join("share/sub/open.txt"), "other").unwrap();
        assert!(root.open_file("sub/open.txt").is_err());
    }

    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let (_dir, root) = world();
        let pipe = root.path().join("pipe.txt");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(
            root.open_file("pipe.txt").unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
    }
}
