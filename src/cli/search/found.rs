//! Results so far: copies grouped by content, ranked.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::filter::{Filter, words};
use crate::control::{self, Record};
use crate::disk::results::{Copy, Key};

/// Files of one search; more are not taken, and the search ends. Our estimate of what a person can use.
pub const FILES_MAX: usize = 10_000;
/// Copies listed of one file; more are counted only.
const COPIES_MAX: usize = 200;

/// One copy, with what the hit told of its responder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The copy as it is kept.
    pub copy: Copy,
    /// Name of the responder, data of a stranger.
    pub node: Option<String>,
    /// Hops from the responder; 0 is a neighbour.
    pub hops: u8,
    /// It has a free upload slot, if told.
    pub free_slot: Option<bool>,
}

impl Offer {
    fn new(hit: &control::Hit, record: &Record) -> Self {
        let copy = Copy {
            urn: record.urn.clone(),
            name: record.name.clone(),
            size: record.size,
            addr: hit.addr,
            servent: hit.servent.clone(),
            index: record.index,
            push: hit.push,
            push_proxies: hit.push_proxies.clone(),
            alternates: record.alternates.clone(),
            partial: record.partial,
            tls: hit.tls,
            net: hit.net.map(|net| net.name().to_owned()),
        };
        Self {
            copy,
            node: hit.nick.clone(),
            hops: hit.hops,
            free_slot: hit.free_slot,
        }
    }

    /// The responder for people: its name, else its address.
    pub fn from(&self) -> String {
        self.node
            .clone()
            .unwrap_or_else(|| self.copy.addr.to_string())
    }
}

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// Identity.
    pub key: Key,
    /// Its copies as they came; at least one.
    pub offers: Vec<Offer>,
    /// Copies, those not listed included.
    pub copies: usize,
}

impl File {
    /// The copy that stands for all: the first that came.
    pub fn first(&self) -> &Offer {
        &self.offers[0]
    }

    /// Responders for people, each once, in the order they came.
    pub fn from(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for offer in &self.offers {
            let name = offer.from();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }

    /// Fewest hops of a copy.
    pub fn hops(&self) -> u8 {
        self.offers
            .iter()
            .map(|offer| offer.hops)
            .min()
            .unwrap_or(u8::MAX)
    }
}

/// The order of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Known hash, then words in the name itself, then a free slot, then copies, then fewer hops.
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

/// What a hit brought.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Copies not seen before.
    pub offers: Vec<Offer>,
    /// Positions in [`Found::files`] of files not seen before.
    pub files: Vec<usize>,
}

/// All results of one search.
#[derive(Clone, Debug)]
pub struct Found {
    filter: Filter,
    wanted: Vec<String>,
    files: Vec<File>,
    by_key: BTreeMap<Key, usize>,
    responders: BTreeSet<String>,
    copies: u64,
    files_max: usize,
}

impl Found {
    /// Nothing yet, of a search for `text`; at most `files_max` files and [`FILES_MAX`] will be taken.
    pub fn new(filter: Filter, text: &str, files_max: Option<usize>) -> Self {
        Self {
            filter,
            wanted: words(text),
            files: Vec::new(),
            by_key: BTreeMap::new(),
            responders: BTreeSet::new(),
            copies: 0,
            files_max: files_max.unwrap_or(FILES_MAX).min(FILES_MAX),
        }
    }

    /// Takes in one hit. A copy that came before (the same file from the same address) is not news.
    pub fn add(&mut self, hit: &control::Hit) -> News {
        let mut news = News::default();
        for record in hit
            .records
            .iter()
            .filter(|record| self.filter.admits(record))
        {
            let offer = Offer::new(hit, record);
            let key = offer.copy.key();
            let at = match self.by_key.get(&key) {
                Some(&at) => at,
                None if self.is_full() => continue,
                None => {
                    self.files.push(File {
                        key,
                        offers: Vec::new(),
                        copies: 0,
                    });
                    self.by_key.insert(key, self.files.len() - 1);
                    news.files.push(self.files.len() - 1);
                    self.files.len() - 1
                }
            };
            let file = &mut self.files[at];
            let same = |other: &Offer| {
                // Behind walls many nodes have one address.
                let walls = !offer.copy.push || other.copy.servent == offer.copy.servent;
                other.copy.addr == offer.copy.addr && other.copy.index == offer.copy.index && walls
            };
            if file.offers.iter().any(same) {
                continue;
            }
            file.copies += 1;
            self.copies += 1;
            if file.offers.len() < COPIES_MAX {
                file.offers.push(offer.clone());
                news.offers.push(offer);
            }
            self.responders.insert(hit.servent.clone());
        }
        news
    }

    /// No more files are taken.
    pub fn is_full(&self) -> bool {
        self.files.len() >= self.files_max
    }

    /// The files as they came.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Copies of all files.
    pub fn copies(&self) -> u64 {
        self.copies
    }

    /// Nodes that gave a result that counts.
    pub fn answered(&self) -> usize {
        self.responders.len()
    }

    /// Addresses of all copies.
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.files
            .iter()
            .flat_map(|file| &file.offers)
            .map(|offer| offer.copy.addr)
            .collect()
    }

    /// The files in order; equals stay as they came.
    pub fn sorted(&self, sort: Sort) -> Vec<&File> {
        let mut files: Vec<&File> = self.files.iter().collect();
        match sort {
            Sort::Best => files.sort_by_cached_key(|file| self.rank(file)),
            Sort::Copies => files.sort_by_key(|file| Reverse(file.copies)),
            Sort::Size => files.sort_by_key(|file| Reverse(file.first().copy.size)),
            Sort::Name => files.sort_by_cached_key(|file| file.first().copy.name.to_lowercase()),
            Sort::Hops => files.sort_by_key(|file| file.hops()),
        }
        files
    }

    /// Smaller is better: PRODUCT order "hash, name, free slot, copies, hops".
    fn rank(&self, file: &File) -> impl Ord + use<> {
        let first = file.first();
        let in_name = words(&first.copy.name);
        let matching = self
            .wanted
            .iter()
            .filter(|word| in_name.contains(word))
            .count();
        let free = file
            .offers
            .iter()
            .any(|offer| offer.free_slot == Some(true));
        (
            first.copy.urn.is_none(),
            Reverse(matching),
            !free,
            Reverse(file.copies),
            file.hops(),
            first.copy.name.to_lowercase(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::search::FilterArgs;
    use crate::wire::Sha1;

    fn record(name: &str, size: u64, hash: Option<u8>) -> Record {
        Record {
            index: 1,
            size,
            name: name.to_owned(),
            urn: hash.map(|byte| Sha1([byte; 20]).to_string()),
            ..Record::default()
        }
    }

    fn hit(port: u16, hops: u8, free: bool, records: Vec<Record>) -> control::Hit {
        control::Hit {
            net: None,
            hops,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            nick: (port == 1).then(|| "nas".to_owned()),
            vendor: "TEST".into(),
            servent: format!("{port:032x}"),
            push: false,
            push_proxies: Vec::new(),
            free_slot: Some(free),
            browse: true,
            tls: false,
            records,
        }
    }

    fn found(text: &str, max: Option<usize>) -> Found {
        Found::new(Filter::new(&FilterArgs::default(), None), text, max)
    }

    fn names(files: &[&File]) -> Vec<String> {
        files
            .iter()
            .map(|file| file.first().copy.name.clone())
            .collect()
    }

    #[test]
    fn copies_of_one_content_are_one_file() {
        let mut found = found("moby", None);
        assert_eq!(
            found
                .add(&hit(1, 0, true, vec![record("moby.txt", 5, Some(1))]))
                .files,
            [0]
        );
        let news = found.add(&hit(
            2,
            1,
            true,
            vec![record("whale.txt", 5, Some(1)), record("moby", 5, None)],
        ));
        assert_eq!((news.files, news.offers.len()), (vec![1], 2));
        let again = found.add(&hit(1, 0, true, vec![record("moby.txt", 5, Some(1))]));
        assert!(
            again.offers.is_empty() && again.files.is_empty(),
            "the same copy twice is no news"
        );
        assert_eq!(
            (found.files().len(), found.copies(), found.answered()),
            (2, 3, 2)
        );
        assert_eq!(found.files()[0].from(), "nas, 127.0.0.1:2");
    }

    #[test]
    fn best_ranks_hash_then_name_then_slot_then_copies_then_hops() {
        let mut found = found("moby dick", None);
        found.add(&hit(1, 0, true, vec![record("no hash moby dick", 1, None)]));
        found.add(&hit(2, 0, true, vec![record("folder match", 1, Some(2))]));
        found.add(&hit(
            3,
            0,
            false,
            vec![record("moby dick busy", 1, Some(3))],
        ));
        found.add(&hit(4, 2, true, vec![record("moby dick far", 1, Some(4))]));
        found.add(&hit(5, 1, true, vec![record("moby dick near", 1, Some(5))]));
        found.add(&hit(
            6,
            6,
            true,
            vec![record("moby dick twice", 1, Some(6))],
        ));
        found.add(&hit(
            7,
            6,
            true,
            vec![record("moby dick twice", 1, Some(6))],
        ));
        let order = [
            "moby dick twice",
            "moby dick near",
            "moby dick far",
            "moby dick busy",
            "folder match",
            "no hash moby dick",
        ];
        assert_eq!(names(&found.sorted(Sort::Best)), order);
    }

    #[test]
    fn other_orders_are_what_their_names_say() {
        let mut found = found("a", None);
        found.add(&hit(
            1,
            3,
            true,
            vec![record("B", 2, Some(1)), record("a", 1, Some(2))],
        ));
        found.add(&hit(
            2,
            1,
            true,
            vec![record("c", 3, Some(3)), record("a", 1, Some(2))],
        ));
        assert_eq!(names(&found.sorted(Sort::Name)), ["a", "B", "c"]);
        assert_eq!(names(&found.sorted(Sort::Size)), ["c", "B", "a"]);
        assert_eq!(names(&found.sorted(Sort::Copies)), ["a", "B", "c"]);
        assert_eq!(names(&found.sorted(Sort::Hops)), ["a", "c", "B"]);
    }

    #[test]
    fn no_more_files_than_asked_for_are_taken() {
        let mut found = found("a", Some(1));
        found.add(&hit(
            1,
            0,
            true,
            vec![record("a", 1, Some(1)), record("b", 1, Some(2))],
        ));
        assert!(found.is_full());
        assert_eq!(found.files().len(), 1);
        found.add(&hit(2, 0, true, vec![record("a", 1, Some(1))]));
        assert_eq!(
            found.copies(),
            2,
            "copies of files already taken still count"
        );
    }
}
