//! Reading a file from its beginning while the rest is still fetched.
//!
//! Bytes are let out once a block of the hash tree says that they are right. Where no tree is known, only the hash of the
//! whole can say so: a short file is kept back until then, a long one comes as it arrives, and the reader is told.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Cancel;
use crate::disk::parts::Part;

/// Bytes of the beginning kept back while no block of a tree was checked: twice the largest block of the trees that
/// are served (gtk-gnutella: 2 MiB below 4 GiB), so that where there is a tree nothing goes out unchecked; a shorter
/// file goes out after the whole was checked. Our choice.
const HELD_MAX: u64 = 8 * 1024 * 1024;
/// Bytes read at a time.
const PIECE_BYTES: u64 = 256 * 1024;

/// The way out of one download, from the first byte on. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Tap(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
    cancel: Cancel,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<File>>,
    /// Bytes from the start on that are there, and those of them that were checked.
    arrived: u64,
    checked: u64,
    by: By,
    /// Nothing more will come.
    ended: bool,
    taken: u64,
    /// What was taken was not what it should be.
    spoilt: bool,
}

/// What says whether bytes are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum By {
    /// Nothing so far.
    #[default]
    Nobody,
    /// A tree, block by block.
    Tree,
    /// The hash of the whole: all of it is there and what it should be.
    Whole,
}

impl State {
    /// Bytes from the start on that may be taken.
    fn free(&self) -> u64 {
        match self.by {
            By::Whole => self.arrived,
            By::Tree => self.checked,
            By::Nobody if self.taken > 0 || self.arrived >= HELD_MAX => self.arrived,
            By::Nobody => 0,
        }
    }
}

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes.
    Bytes {
        /// They.
        bytes: Vec<u8>,
        /// A tree or the hash of the whole has said that they are right.
        checked: bool,
    },
    /// Bytes that came out before turn out to be wrong; nothing more will come.
    Spoilt,
    /// All of it came out, or no more will.
    End,
}

impl Tap {
    /// Nothing has come yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the download behind it.
    pub fn cancel(&self) -> Cancel {
        self.0.cancel.clone()
    }

    /// The next bytes; waits for them.
    ///
    /// # Errors
    /// The partial file cannot be read.
    pub fn next(&self) -> io::Result<Piece> {
        let mut state = self.state();
        let (file, at, len, checked) = loop {
            if state.spoilt {
                return Ok(Piece::Spoilt);
            }
            let free = state.free();
            if let Some(file) = state.file.clone().filter(|_| free > state.taken) {
                let len = (free - state.taken).min(PIECE_BYTES);
                let checked = state.by == By::Whole || state.checked >= state.taken + len;
                break (file, state.taken, len, checked);
            }
            if state.ended {
                return Ok(Piece::End);
            }
            state = self
                .0
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        };
        // Whatever is taken back from now on was taken.
        state.taken += len;
        drop(state);
        let mut bytes = vec![0; usize::try_from(len).expect("a piece fits in memory")];
        file.read_exact_at(&mut bytes, at)?;
        Ok(Piece::Bytes { bytes, checked })
    }

    /// No more will come: whoever waits is told.
    pub fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// How far the partial file is.
    pub(super) fn follow(&self, part: &Part) {
        let (arrived, checked) = (part.arrived().prefix(), part.verified_ranges().prefix());
        self.change(|state| {
            if state.file.is_none() {
                // Without a descriptor it ends with nothing taken, and says so.
                state.file = part.reader().ok().map(Arc::new);
            }
            (state.arrived, state.checked) = (arrived, checked);
        });
    }

    /// A tree is there: from now on only what it says is right is let out.
    pub(super) fn has_tree(&self) {
        self.change(|state| state.by = By::Tree);
    }

    /// The tree was of another file: what came out may be wrong after all, and the hash of the whole will tell.
    pub(super) fn has_no_tree(&self) {
        self.change(|state| state.by = By::Nobody);
    }

    /// These bytes were worth nothing.
    pub(super) fn forgotten(&self, range: &Range<u64>) {
        self.change(|state| state.spoilt |= range.start < state.taken);
    }

    /// All of it is there and what it should be.
    pub(super) fn whole(&self, size: u64) {
        self.change(|state| (state.by, state.arrived) = (By::Whole, size));
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.state());
        self.0.moved.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tap on a file of so many bytes, all of them the low byte of their place.
    fn tap(bytes: u64) -> Tap {
        use std::io::Write;
        let mut file = tempfile::tempfile().expect("a file");
        let all: Vec<u8> = (0..bytes).map(|at| at.to_le_bytes()[0]).collect();
        file.write_all(&all).expect("written");
        let tap = Tap::new();
        tap.change(|state| state.file = Some(Arc::new(file)));
        tap
    }

    fn came(tap: &Tap, arrived: u64, checked: u64) {
        tap.change(|state| (state.arrived, state.checked) = (arrived, checked));
    }

    /// Takes all that may be taken now: how much, and whether all of it was checked. What is left then is as if the
    /// download had ended.
    fn taken(tap: &Tap) -> (u64, bool) {
        tap.end();
        let (mut sum, mut all) = (0, true);
        while let Piece::Bytes { bytes, checked } = tap.next().expect("read") {
            assert_eq!(bytes[0], (sum as u64).to_le_bytes()[0]);
            (sum, all) = (sum + bytes.len(), all && checked);
        }
        (sum as u64, all)
    }

    #[test]
    fn with_a_tree_only_checked_bytes_come_out() {
        let tap = tap(HELD_MAX + 9);
        tap.has_tree();
        came(&tap, HELD_MAX + 9, 70_000);
        assert_eq!(taken(&tap), (70_000, true));
    }

    #[test]
    fn without_one_a_short_file_waits_for_the_whole_and_a_long_one_does_not() {
        let short = tap(HELD_MAX - 1);
        came(&short, HELD_MAX - 1, 0);
        assert_eq!(taken(&short), (0, true));
        short.whole(HELD_MAX - 1);
        assert_eq!(taken(&short), (HELD_MAX - 1, true));
        let long = tap(HELD_MAX);
        came(&long, HELD_MAX, 0);
        assert_eq!(taken(&long), (HELD_MAX, false));
    }

    #[test]
    fn what_was_taken_and_is_forgotten_spoils_it_and_what_was_not_does_not() {
        let tap = tap(HELD_MAX);
        came(&tap, HELD_MAX, 0);
        assert!(matches!(
            tap.next().expect("read"),
            Piece::Bytes { checked: false, .. }
        ));
        tap.forgotten(&(PIECE_BYTES..HELD_MAX));
        assert!(matches!(tap.next().expect("read"), Piece::Bytes { .. }));
        tap.forgotten(&(0..5));
        assert_eq!(tap.next().expect("read"), Piece::Spoilt);
    }
}
