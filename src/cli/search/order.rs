//! The order of results.

use std::cmp::Reverse;

use super::filter::words;
use super::found::{File, Found, Offer};
use crate::node::spam::DOUBT_ABOVE;

/// The order of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// No doubt, then a known hash, words in the name itself, a free slot, copies, fewer hops ([`Merits`]).
    Best,
    /// Most copies first.
    Copies,
    /// Biggest first.
    Size,
    /// By name.
    Name,
    /// Nearest first.
    Hops,
}

impl Sort {
    /// The order of that name.
    pub fn named(name: &str) -> Self {
        match name {
            "copies" => Self::Copies,
            "size" => Self::Size,
            "name" => Self::Name,
            "hops" => Self::Hops,
            _ => Self::Best,
        }
    }
}

/// What a result has to say for itself, in the order in which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merits {
    /// It looks rather like a fake: after all that do not.
    pub doubted: bool,
    /// Its content can be checked.
    pub hashed: bool,
    /// Words searched for that are in its name, not only in its folders.
    pub words: usize,
    /// Words searched for.
    pub words_of: usize,
    /// A copy has a free upload slot; `None`: nobody said.
    pub free_slot: Option<bool>,
    /// Copies.
    pub copies: usize,
    /// Fewest hops of a copy's responder; 0 is a neighbour.
    pub hops: u8,
}

impl Found {
    /// The files that are shown, in order; equals stay as they came.
    pub fn sorted(&self, sort: Sort) -> Vec<&File> {
        let mut files: Vec<&File> = self.shown().collect();
        match sort {
            Sort::Best => files.sort_by_cached_key(|file| self.rank(file)),
            Sort::Copies => files.sort_by_key(|file| Reverse(file.copies)),
            Sort::Size => files.sort_by_key(|file| Reverse(file.first().copy.size)),
            Sort::Name => files.sort_by_cached_key(|file| file.first().copy.name.to_lowercase()),
            Sort::Hops => files.sort_by_key(|file| file.hops()),
        }
        files
    }

    /// What the order `best` goes by.
    pub fn merits(&self, file: &File) -> Merits {
        let first = file.first();
        let in_name = words(&first.copy.name);
        let matching = |word: &&String| in_name.contains(word);
        let free = |wanted| {
            let said = |offer: &Offer| offer.free_slot == Some(wanted);
            file.offers.iter().any(said)
        };
        Merits {
            doubted: file.verdict.score > DOUBT_ABOVE,
            hashed: first.copy.urn.is_some(),
            words: self.wanted.iter().filter(matching).count(),
            words_of: self.wanted.len(),
            free_slot: if free(true) {
                Some(true)
            } else {
                free(false).then_some(false)
            },
            copies: file.copies,
            hops: file.hops(),
        }
    }

    /// Smaller is better.
    fn rank(&self, file: &File) -> impl Ord + use<> {
        let merits = self.merits(file);
        (
            merits.doubted,
            !merits.hashed,
            Reverse(merits.words),
            merits.free_slot != Some(true),
            Reverse(merits.copies),
            merits.hops,
            file.first().copy.name.to_lowercase(),
        )
    }
}
