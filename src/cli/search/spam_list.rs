//! Lists of known fakes: files of hashes, one a line, or the database of gtk-gnutella (`spam.txt`), in any mixture.
//!
//! Our own form is a SHA-1 a line, as `urn:sha1:...`, `sha1:...` or its 32 characters alone. The other has entries of
//! lines `SHA1 hash` or `NAME pattern` with `SIZE bytes` or `SIZE least-most`, then `ADDED date`, ended by `END`.
//! `#` begins a comment in both.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;

use regex::{Regex, RegexBuilder};

use crate::cli::exit::Failure;
use crate::cli::lists;
use crate::wire::Sha1;

/// MiB of one list: a million hashes. Our choice.
const LIST_MIB_MAX: u64 = 64;
const WHAT: &str = "spam list";
/// Patterns of all lists; each is tried on each result of a size that fits. gtk-gnutella's list has some hundreds.
const PATTERNS_MAX: usize = 10_000;
/// Bytes of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Known fakes.
#[derive(Clone, Debug, Default)]
pub struct SpamList {
    sha1s: BTreeSet<Sha1>,
    names: Vec<(Regex, RangeInclusive<u64>)>,
}

/// An entry of the database while it is read.
#[derive(Default)]
struct Entry {
    sha1: Option<Sha1>,
    name: Option<Regex>,
    size: Option<RangeInclusive<u64>>,
    bad: bool,
}

impl SpamList {
    /// Reads these lists. What cannot be understood of them is told by `say`, a line for each list.
    ///
    /// # Errors
    /// Exit 2: a list cannot be read, is too long, or holds nothing that could be understood.
    pub fn read(paths: &[impl AsRef<Path>], say: impl Fn(&str)) -> Result<Self, Failure> {
        let mut list = Self::default();
        for path in paths {
            let path = path.as_ref();
            let text = lists::read(path, WHAT, LIST_MIB_MAX)?;
            let before = list.len();
            let bad = list.add(&text);
            if let Some(&first) = bad.first() {
                let what = format!(
                    "line {first} is neither a hash nor an entry of gtk-gnutella's spam.txt"
                );
                if list.len() == before {
                    return Err(lists::unusable(path, WHAT, &format!("is none: {what}")));
                }
                let (path, count) = (path.display(), bad.len());
                say(&format!(
                    "{path}: {count} lines or entries passed over; {what}"
                ));
            }
        }
        Ok(list)
    }

    /// Hashes and patterns.
    pub fn len(&self) -> usize {
        self.sha1s.len() + self.names.len()
    }

    /// Does it hold nothing?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Is this file a known fake?
    pub fn lists(&self, sha1: Option<Sha1>, name: &str, size: u64) -> bool {
        sha1.is_some_and(|sha1| self.sha1s.contains(&sha1))
            || self
                .names
                .iter()
                .any(|(pattern, sizes)| sizes.contains(&size) && pattern.is_match(name))
    }

    /// Takes in a list; the numbers of lines that mean nothing.
    fn add(&mut self, text: &str) -> Vec<usize> {
        let mut bad = Vec::new();
        let mut entry = Entry::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (tag, value) = line.split_once(' ').unwrap_or((line, ""));
            let understood = match tag {
                "SHA1" => {
                    entry.sha1 = Sha1::from_base32(value.trim()).ok();
                    entry.sha1.is_some()
                }
                "NAME" => {
                    entry.name = RegexBuilder::new(value)
                        .size_limit(PATTERN_BYTES_MAX)
                        .build()
                        .ok();
                    entry.name.is_some()
                }
                "SIZE" => {
                    entry.size = sizes(value.trim());
                    entry.size.is_some()
                }
                "ADDED" => true,
                "END" => {
                    let entry = std::mem::take(&mut entry);
                    if !entry.bad {
                        self.take(entry);
                    }
                    true
                }
                _ => line
                    .parse::<Sha1>()
                    .or_else(|_| Sha1::from_base32(line))
                    .is_ok_and(|sha1| {
                        self.sha1s.insert(sha1);
                        true
                    }),
            };
            if !understood {
                // Half an entry would catch too much: a name without its sizes.
                entry.bad = true;
                bad.push(number);
            }
        }
        bad
    }

    fn take(&mut self, entry: Entry) {
        self.sha1s.extend(entry.sha1);
        if let Some(name) = entry.name
            && self.names.len() < PATTERNS_MAX
        {
            self.names.push((name, entry.size.unwrap_or(0..=u64::MAX)));
        }
    }
}

/// `bytes` or `least-most`.
fn sizes(text: &str) -> Option<RangeInclusive<u64>> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    let range = least.parse().ok()?..=most.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    const FOX: &str = "PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";

    fn list(text: &str) -> (SpamList, Vec<usize>) {
        let mut list = SpamList::default();
        let bad = list.add(text);
        (list, bad)
    }

    #[test]
    fn hashes_are_read_in_all_their_forms() {
        let fox = Sha1::from_base32(FOX).ok();
        for text in [
            FOX.to_owned(),
            FOX.to_lowercase(),
            format!("urn:sha1:{FOX}"),
            format!("# a fake\n\n  sha1:{FOX}  \r\n"),
            format!("SHA1 {FOX}\nADDED 2007-02-05 12:00:00\nEND\n"),
        ] {
            let (list, bad) = list(&text);
            assert_eq!((list.len(), bad.len()), (1, 0), "{text}");
            assert!(list.lists(fox, "any", 1) && !list.lists(Some(Sha1([1; 20])), "any", 1));
            assert!(!list.lists(None, "any", 1));
        }
    }

    #[test]
    fn names_of_the_database_of_gtk_gnutella_are_patterns_with_sizes() {
        let text = "NAME ^setup[[:digit:]]*\\.exe$\nSIZE 100-200\nADDED 2007-02-05\nEND\n\
                    NAME \\.wma$\nADDED 2007-02-05\nEND\nNAME x\nSIZE 7\nADDED 2007\nEND\n";
        let (list, bad) = list(text);
        assert_eq!((list.len(), bad), (3, vec![]));
        for (name, size, listed) in [
            ("setup12.exe", 150, true),
            ("setup12.exe", 201, false),
            ("my setup.exe", 150, false),
            ("song.wma", 5, true),
            ("x", 7, true),
            ("x", 8, false),
        ] {
            assert_eq!(list.lists(None, name, size), listed, "{name} {size}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_and_catches_nothing() {
        let text =
            format!("NAME a(\nEND\nNAME .\nSIZE 9-1\nEND\nhello world\n{FOX}\nSHA1 short\nEND\n");
        let (list, bad) = list(&text);
        assert_eq!((list.len(), bad), (1, vec![1, 4, 6, 8]));
        let huge = format!("NAME {}\nEND\n", "(a{1,99}){1,99}");
        assert_eq!(
            super::tests::list(&huge).0.len(),
            0,
            "a pattern that takes too much memory"
        );
    }

    #[test]
    fn a_file_that_is_no_list_is_told_with_its_name() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
        std::fs::write(&good, format!("{FOX}\nnonsense\n")).expect("written");
        std::fs::write(&bad, "<html>\n").expect("written");
        let said = std::cell::RefCell::new(String::new());
        let list = SpamList::read(&[&good], |text| said.borrow_mut().push_str(text)).expect("read");
        assert_eq!(list.len(), 1);
        assert!(said.borrow().contains("line 2"), "{}", said.borrow());
        for path in [&bad, &dir.path().join("none")] {
            let failure = SpamList::read(&[path], |_| {}).expect_err("no list");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(
                failure.message.contains(&*path.to_string_lossy()),
                "{failure}"
            );
        }
    }
}
