//! Lists that people may edit: one entry a line, `#` before a remark. The program adds to its own and never takes away;
//! those that people name to it, it only reads.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::save::{load, save};

/// Bytes of a list that are read at all: some thousand entries.
const LIST_BYTES_MAX: u64 = 64 * 1024;
/// Entries of a list that count.
pub const ENTRIES_MAX: usize = 64;

const MIB: u64 = 1 << 20;

/// Why a list that somebody named is not read, for people, to go behind its name.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The system says so.
    #[error("cannot be read: {0}; leave it out or mend its path")]
    Unreadable(#[from] io::Error),
    /// It has more than so many MiB.
    #[error("has more than {0} MiB; split it or leave it out")]
    TooLong(u64),
}

/// The text of a list of at most `mib` MiB; bytes that are no UTF-8 are replaced.
///
/// # Errors
/// [`TextError`].
pub fn text(path: &Path, mib: u64) -> Result<String, TextError> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(mib * MIB + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > mib * MIB {
        return Err(TextError::TooLong(mib));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A list and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    path: PathBuf,
    /// What it begins with when there is none yet.
    template: &'static str,
}

/// The entries of a list, and the lines that are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// At most [`ENTRIES_MAX`], each once, in their order.
    pub entries: Vec<String>,
    /// For people: each names the file, the line and the way out.
    pub faults: Vec<String>,
}

impl List {
    pub(super) fn new(path: PathBuf, template: &'static str) -> Self {
        Self { path, template }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it. `check` gives an entry as it is to be used, or says what would be one. A list that is missing counts
    /// as its template.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn read(&self, check: impl Fn(&str) -> Result<String, String>) -> io::Result<Entries> {
        let text = self.text()?;
        let mut read = Entries::default();
        for (number, line) in text.lines().enumerate() {
            let entry = entry(line);
            if entry.is_empty() {
                continue;
            }
            match check(entry) {
                Ok(entry) if read.entries.contains(&entry) => {}
                Ok(_) if read.entries.len() >= ENTRIES_MAX => {
                    read.faults.push(format!(
                        "{}: only the first {ENTRIES_MAX} entries count; remove those that do not work",
                        self.path.display()
                    ));
                    break;
                }
                Ok(entry) => read.entries.push(entry),
                Err(why) => read.faults.push(format!(
                    "{}, line {}: {why}; mend or remove the line",
                    self.path.display(),
                    number + 1
                )),
            }
        }
        Ok(read)
    }

    /// Adds entries that are not there yet, at the end; writes the template when there is no list.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn add(&self, entries: &[String]) -> io::Result<()> {
        let missing = load(&self.path, LIST_BYTES_MAX)?.is_none();
        let mut text = self.text()?;
        let mut changed = missing;
        for new in entries {
            if text.lines().any(|line| entry(line) == new) {
                continue;
            }
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(new);
            text.push('\n');
            changed = true;
        }
        if changed {
            save(&self.path, text.as_bytes())?;
        }
        Ok(())
    }

    fn text(&self) -> io::Result<String> {
        Ok(match load(&self.path, LIST_BYTES_MAX)? {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None => self.template.to_owned(),
        })
    }
}

/// A line without its remark.
fn entry(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(dir: &Path) -> List {
        List::new(dir.join("list.txt"), "# Remark\nfirst:1\n")
    }

    fn check(text: &str) -> Result<String, String> {
        if text.contains(':') {
            Ok(text.to_owned())
        } else {
            Err(format!("`{text}` has no port"))
        }
    }

    #[test]
    fn what_people_wrote_stays_and_what_is_wrong_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let list = list(dir.path());
        assert_eq!(list.read(check).unwrap().entries, ["first:1"]);
        assert!(!list.path().exists(), "reading writes nothing");
        std::fs::write(list.path(), "mine:2 # works\nwrong\n\n  mine:2\nlast:3").unwrap();
        list.add(&["mine:2".into(), "new:4".into()]).unwrap();
        let text = std::fs::read_to_string(list.path()).unwrap();
        assert_eq!(text, "mine:2 # works\nwrong\n\n  mine:2\nlast:3\nnew:4\n");
        let read = list.read(check).unwrap();
        assert_eq!(read.entries, ["mine:2", "last:3", "new:4"]);
        assert_eq!(read.faults.len(), 1);
        assert!(
            read.faults[0].contains("line 2") && read.faults[0].contains("`wrong` has no port"),
            "{:?}",
            read.faults
        );
    }

    #[test]
    fn a_list_emptied_by_its_owner_stays_empty_and_a_long_one_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let list = list(dir.path());
        list.add(&[]).unwrap();
        assert_eq!(list.read(check).unwrap().entries, ["first:1"]);
        std::fs::write(list.path(), "# none\n").unwrap();
        assert!(list.read(check).unwrap().entries.is_empty());
        let many: Vec<String> = (0..100).map(|n| format!("h{n}:1")).collect();
        list.add(&many).unwrap();
        let read = list.read(check).unwrap();
        assert_eq!((read.entries.len(), read.faults.len()), (ENTRIES_MAX, 1));
        std::fs::write(list.path(), vec![b'x'; 100_000]).unwrap();
        assert!(list.read(check).is_err());
    }
}
