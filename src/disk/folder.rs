//! One folder, held open: files in it are named by base name alone and never reached through a link.
//!
//! Everything goes through the folder's descriptor, so that a folder moved or replaced by a link
//! meanwhile cannot lead a write elsewhere.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};

/// A folder of this machine.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens an existing folder. Links in `path` itself are followed: the user named it.
    ///
    /// # Errors
    /// When it does not exist, is no folder or may not be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// A folder in this one, made if it is not there; never through a link.
    ///
    /// # Errors
    /// `NotADirectory` when something else has the name, a link included; whatever else the system says.
    pub fn below(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.fd, check(name)?, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            // How a link is told depends on the system.
            Err(rustix::io::Errno::LOOP) => Err(rustix::io::Errno::NOTDIR),
            other => other,
        }?;
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    /// Where it lies, for people. Never for opening.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where `name` lies, for people. Never for opening.
    pub fn shown(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens an existing plain file to read and write.
    ///
    /// # Errors
    /// `NotFound`; [`io::ErrorKind::InvalidInput`] for a link, a device, a folder or a file that has a
    /// second name elsewhere, since writing to it would write there.
    pub(crate) fn open_plain(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let odd = || io::Error::new(io::ErrorKind::InvalidInput, "not a plain file of its own");
        let file = match rustix::fs::openat(&self.fd, check(name)?, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::ISDIR | rustix::io::Errno::NXIO) => {
                return Err(odd());
            }
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        let plain = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
        if plain && stat.st_nlink == 1 {
            Ok(file)
        } else {
            Err(odd())
        }
    }

    /// Opens a plain file to read, not through a link.
    ///
    /// # Errors
    /// As the system says; `InvalidInput` for anything but a plain file.
    pub(crate) fn open_read(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(
            &self.fd,
            check(name)?,
            flags,
            Mode::empty(),
        )?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// Creates a file that was not there.
    ///
    /// # Errors
    /// `AlreadyExists` for whatever has that name, also a link that leads nowhere.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, check(name)?, flags, Mode::from_raw_mode(0o666))?;
        Ok(File::from(fd))
    }

    /// Whether anything has that name, a link included.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn holds(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.fd, check(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes of whatever has that name; 0 when that cannot be told.
    pub(crate) fn size_of(&self, name: &str) -> u64 {
        let stat =
            check(name).map(|name| rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW));
        stat.ok()
            .and_then(Result::ok)
            .map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Whether `name` is still a name of this open file.
    pub(crate) fn names(&self, name: &str, file: &File) -> bool {
        let Ok(name) = check(name) else { return false };
        let there = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        matches!((there, rustix::fs::fstat(file)), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// Renames, but never over anything.
    ///
    /// # Errors
    /// `AlreadyExists` when something has the new name.
    pub(crate) fn rename_free(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (check(from)?, check(to)?);
        match rename_noreplace(&self.fd, from, to) {
            // A file system without that flag: a second name, which is never given twice, then drop the first.
            Err(
                rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP,
            ) => {
                rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
                Ok(rustix::fs::unlinkat(&self.fd, from, AtFlags::empty())?)
            }
            other => Ok(other?),
        }
    }

    /// Renames over whatever file or link has the new name.
    ///
    /// # Errors
    /// As the system says, such as for a folder of that name.
    pub(crate) fn rename_over(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(
            &self.fd,
            check(from)?,
            &self.fd,
            check(to)?,
        )?)
    }

    /// Removes a file; fine if there is none.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, check(name)?, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes renames last across a power cut.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_noreplace(folder: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_noreplace(_: &OwnedFd, _: &str, _: &str) -> rustix::io::Result<()> {
    Err(rustix::io::Errno::NOSYS)
}

/// A base name; anything that could lead out of the folder is our own fault, and refused all the same.
fn check(name: &str) -> io::Result<&str> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a base name",
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_below_is_made_once_and_never_reached_through_a_link() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let outside = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(dir.path()).expect("it is there");
        for _ in 0..2 {
            let deep = folder.below("a").and_then(|a| a.below("b")).expect("made");
            assert_eq!(deep.path(), dir.path().join("a/b"));
        }
        assert!(dir.path().join("a/b").is_dir());
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).expect("made");
        std::os::unix::fs::symlink("a", dir.path().join("in")).expect("made");
        std::fs::write(dir.path().join("file"), "x").expect("written");
        for name in ["link", "in", "file"] {
            let error = folder.below(name).expect_err(name);
            assert_eq!(
                error.kind(),
                io::ErrorKind::NotADirectory,
                "{name}: {error}"
            );
        }
        for name in ["..", ".", "", "a/b", "/"] {
            assert!(folder.below(name).is_err(), "{name:?}");
        }
        assert_eq!(outside.path().read_dir().expect("read").count(), 0);
    }
}
