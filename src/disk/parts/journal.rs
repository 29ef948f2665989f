//! The journal of a partial file: which bytes are there, written after they are.
//!
//! Records of 24 bytes: kind, three zeros, CRC-32 of the rest (little-endian), first byte and byte after the last
//! (u64, little-endian). What follows a torn or wrong record is not read. Only ever appended to; written anew, and put
//! into place in one step, when it has grown long.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::{LOG_END, LOG_NEW_END};
use crate::disk::folder::Folder;
use crate::node::swarm::Ranges;

const RECORD_BYTES: usize = 24;
/// Bytes after which a journal is written anew; a file of 4 GiB in pieces of 256 KiB stays below.
const JOURNAL_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a journal that are read at all.
const JOURNAL_BYTES_READ_MAX: u64 = 4 * JOURNAL_BYTES_MAX;
/// Who writes a file by other means than us does it later than this after our last record.
const CHANGED_AFTER: Duration = Duration::from_secs(2);

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// These bytes are there.
    Arrived = 1,
    /// They are what a tree says.
    Verified = 2,
    /// They are not there any more.
    Forgotten = 3,
    /// All before this record was forced to disk.
    Synced = 4,
}

/// Which bytes are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) arrived: Ranges,
    pub(super) verified: Ranges,
}

impl State {
    fn take_in(&mut self, kind: Kind, range: Range<u64>) {
        match kind {
            Kind::Arrived => self.arrived.insert(range),
            Kind::Verified => self.verified.insert(range),
            Kind::Forgotten => {
                self.arrived.remove(range.clone());
                self.verified.remove(range);
            }
            Kind::Synced => {}
        }
    }
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    len: u64,
    pub(super) state: State,
    /// What was forced to disk.
    synced: State,
    records: Vec<u8>,
}

/// Reads a journal. `all`: also what was not forced to disk. `None`: there is none.
pub(super) fn read(folder: &Folder, name: &str, all: bool) -> Option<(State, SystemTime)> {
    let file = folder.open_read(&format!("{name}{LOG_END}")).ok()?;
    let written = file.metadata().ok()?.modified().ok()?;
    let mut bytes = Vec::new();
    file.take(JOURNAL_BYTES_READ_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    let (mut state, mut synced) = (State::default(), State::default());
    for record in bytes.chunks_exact(RECORD_BYTES) {
        let Some((kind, range)) = decode(record) else {
            break;
        };
        state.take_in(kind, range);
        if kind == Kind::Synced {
            synced = state.clone();
        }
    }
    Some((if all { state } else { synced }, written))
}

/// Was a file that was last written at `written` changed by others since its journal was?
pub(super) fn is_changed(written: SystemTime, journal: SystemTime) -> bool {
    written
        .duration_since(journal)
        .is_ok_and(|later| later > CHANGED_AFTER)
}

impl Journal {
    /// Starts a journal that says `state`, all of which was forced to disk.
    pub(super) fn start(folder: &Folder, name: &str, state: State) -> io::Result<Self> {
        let mut journal = Self {
            file: create(folder, name)?,
            len: 0,
            synced: state.clone(),
            state,
            records: Vec::new(),
        };
        journal.fill(folder, name)?;
        Ok(journal)
    }

    /// Writes all that is known into a new file and puts it into place.
    fn fill(&mut self, folder: &Folder, name: &str) -> io::Result<()> {
        self.records.clear();
        let (synced, state) = (self.synced.clone(), self.state.clone());
        self.put_all(&synced);
        self.put(Kind::Synced, 0..0);
        self.put_all(&state);
        for gone in state_minus(&synced, &state) {
            self.put(Kind::Forgotten, gone);
        }
        self.len = 0;
        self.flush()?;
        self.file.sync_data()?;
        folder.rename_over(&format!("{name}{LOG_NEW_END}"), &format!("{name}{LOG_END}"))
    }

    fn put_all(&mut self, state: &State) {
        for range in state.arrived.iter() {
            self.put(Kind::Arrived, range.clone());
        }
        for range in state.verified.iter() {
            self.put(Kind::Verified, range.clone());
        }
    }

    fn put(&mut self, kind: Kind, range: Range<u64>) {
        self.records.extend_from_slice(&encode(kind, &range));
    }

    fn note(&mut self, kind: Kind, range: Range<u64>) {
        self.put(kind, range.clone());
        self.state.take_in(kind, range);
    }

    /// These bytes are there; said when [`flush`](Self::flush) is called.
    pub(super) fn arrived(&mut self, range: Range<u64>) {
        self.note(Kind::Arrived, range);
    }

    /// They are what a tree says.
    pub(super) fn verified(&mut self, range: Range<u64>) {
        self.note(Kind::Verified, range);
    }

    /// They are not there any more.
    pub(super) fn forgotten(&mut self, range: Range<u64>) {
        self.note(Kind::Forgotten, range);
    }

    /// Hands what was noted to the system: from then on a death of this process does not lose it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.records.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.records)?;
        self.len += self.records.len() as u64;
        self.records.clear();
        Ok(())
    }

    /// What was flushed when the bytes themselves were forced to disk, `state`, is there even after a crash of the machine.
    pub(super) fn synced(&mut self, folder: &Folder, name: &str) -> io::Result<()> {
        self.put(Kind::Synced, 0..0);
        self.synced = self.state.clone();
        self.flush()?;
        if self.len > JOURNAL_BYTES_MAX {
            self.file = create(folder, name)?;
            return self.fill(folder, name);
        }
        self.file.sync_data()
    }

    /// Is it longer than it should be?
    pub(super) fn is_long(&self) -> bool {
        self.len > JOURNAL_BYTES_MAX
    }
}

/// What `before` has and `after` has not.
fn state_minus(before: &State, after: &State) -> Vec<Range<u64>> {
    let mut gone = Vec::new();
    for range in before.arrived.iter() {
        gone.extend(after.arrived.gaps(range.clone()));
    }
    gone
}

fn create(folder: &Folder, name: &str) -> io::Result<File> {
    let new = format!("{name}{LOG_NEW_END}");
    folder.remove(&new)?;
    folder.create(&new)
}

fn encode(kind: Kind, range: &Range<u64>) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[0] = kind as u8;
    record[8..16].copy_from_slice(&range.start.to_le_bytes());
    record[16..24].copy_from_slice(&range.end.to_le_bytes());
    let sum = sum(&record);
    record[4..8].copy_from_slice(&sum.to_le_bytes());
    record
}

fn decode(record: &[u8]) -> Option<(Kind, Range<u64>)> {
    let record: &[u8; RECORD_BYTES] = record.try_into().ok()?;
    let kind = match record[0] {
        1 => Kind::Arrived,
        2 => Kind::Verified,
        3 => Kind::Forgotten,
        4 => Kind::Synced,
        _ => return None,
    };
    let word = |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().expect("eight bytes"));
    let range = word(8)..word(16);
    let told = u32::from_le_bytes(record[4..8].try_into().expect("four bytes"));
    (told == sum(record) && range.start <= range.end).then_some((kind, range))
}

/// CRC-32 of a record without its own sum.
fn sum(record: &[u8; RECORD_BYTES]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(&record[..4]);
    crc.update(&record[8..]);
    crc.sum()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::single_range_in_vec_init, reason = "sets of one range")]

    use super::*;

    fn state(arrived: &[Range<u64>], verified: &[Range<u64>]) -> State {
        State {
            arrived: arrived.iter().cloned().collect(),
            verified: verified.iter().cloned().collect(),
        }
    }

    #[test]
    fn a_journal_says_what_was_noted_up_to_a_torn_record() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut journal = Journal::start(&folder, "x", state(&[0..10], &[])).unwrap();
        journal.arrived(20..30);
        journal.verified(20..30);
        journal.synced(&folder, "x").unwrap();
        journal.forgotten(5..25);
        journal.flush().unwrap();
        journal.arrived(40..50);
        journal.flush().unwrap();
        let all = state(&[0..5, 25..30, 40..50], &[25..30]);
        assert_eq!(read(&folder, "x", true).unwrap().0, all);
        let synced = state(&[0..10, 20..30], &[20..30]);
        assert_eq!(read(&folder, "x", false).unwrap().0, synced);
        // The last record cut short at each length, and with each bit of a byte turned.
        let path = dir.path().join("x.filbert-part.log");
        let bytes = std::fs::read(&path).unwrap();
        let before = state(&[0..5, 25..30], &[25..30]);
        for cut in 1..=RECORD_BYTES {
            std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            assert_eq!(read(&folder, "x", true).unwrap().0, before);
        }
        for at in 1..=RECORD_BYTES {
            let mut bad = bytes.clone();
            let last = bad.len() - at;
            bad[last] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(read(&folder, "x", true).unwrap().0, before, "{at}");
        }
    }

    #[test]
    fn a_long_journal_is_written_anew_and_says_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut journal = Journal::start(&folder, "x", State::default()).unwrap();
        for at in 0..50_000 {
            journal.arrived(at * 10..at * 10 + 10);
        }
        journal.flush().unwrap();
        assert!(journal.is_long());
        journal.synced(&folder, "x").unwrap();
        assert!(!journal.is_long());
        journal.arrived(900_000..900_001);
        journal.flush().unwrap();
        let now = state(&[0..500_000, 900_000..900_001], &[]);
        assert_eq!(read(&folder, "x", true).unwrap().0, now);
    }
}
