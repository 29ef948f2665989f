//! Results so far: copies grouped by content, ranked.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::filter::{Filter, words};
use super::judge::Judge;
use crate::control::{self, Record};
use crate::disk::results::{Copy, Key};
use crate::node::spam::Verdict;

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
    /// The folders it lies in there, if told; data of a stranger.
    pub path: Option<String>,
}

impl Offer {
    /// One file of a hit.
    pub fn new(hit: &control::Hit, record: &Record) -> Self {
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
            alternates_tls: record.alternates_tls.clone(),
            partial: record.partial,
            tiger: record.tiger.clone(),
            tls: hit.tls,
            net: hit.net.map(|net| net.name().to_owned()),
        };
        Self {
            copy,
            node: hit.nick.clone(),
            hops: hit.hops,
            free_slot: hit.free_slot,
            path: record.path.clone(),
        }
    }

    /// Where it lies there, its name last; the name alone where no folder is told.
    pub fn path_and_name(&self) -> String {
        let name = &self.copy.name;
        match &self.path {
            Some(path) => format!("{}/{name}", path.trim_end_matches('/')),
            None => name.clone(),
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
    /// How much it looks like a fake.
    pub verdict: Verdict,
    /// Too much to be shown.
    pub hidden: bool,
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

/// What a hit brought.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Copies not seen before.
    pub offers: Vec<Offer>,
    /// Positions in [`Found::files`] of files not shown before.
    pub files: Vec<usize>,
    /// Copies of files that are hidden, not seen before.
    pub hidden: Vec<Offer>,
}

/// All results of one search.
#[derive(Clone, Debug)]
pub struct Found {
    filter: Filter,
    /// Words searched for.
    pub(super) wanted: Vec<String>,
    files: Vec<File>,
    by_key: BTreeMap<Key, usize>,
    judge: Option<Judge>,
    /// What was news is printed and cannot be taken back.
    for_good: bool,
    /// Files that are not hidden.
    shown: usize,
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
            judge: None,
            for_good: false,
            shown: 0,
            files_max: files_max.unwrap_or(FILES_MAX).min(FILES_MAX),
        }
    }

    /// Hides what looks like a fake. `for_good`: what was told as news stays, whatever comes later.
    #[must_use]
    pub fn judged_by(self, judge: Judge, for_good: bool) -> Self {
        Self {
            judge: Some(judge),
            for_good,
            ..self
        }
    }

    /// Takes in one hit that came so long after the query. A copy that came before (the same file from the same
    /// address) is not news.
    pub fn add(&mut self, hit: &control::Hit, after: Duration) -> News {
        let mut news = News::default();
        if let Some(judge) = &mut self.judge {
            judge.hear(hit);
        }
        for record in &hit.records {
            if !self.filter.admits(record) {
                continue;
            }
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
                        verdict: Verdict::default(),
                        // Until it is judged.
                        hidden: true,
                    });
                    self.by_key.insert(key, self.files.len() - 1);
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
            if file.offers.len() < COPIES_MAX {
                file.offers.push(offer.clone());
            }
            let (was_hidden, listed) = (file.hidden, file.offers.len());
            if let Some(judge) = &mut self.judge {
                judge.offer(at, &offer, hit, after);
            }
            self.judge_anew(at, &mut news);
            let file = &self.files[at];
            if file.hidden {
                news.hidden.push(offer);
            } else if !was_hidden && file.copies == listed {
                news.offers.push(offer);
            }
        }
        news
    }

    /// Judges file `at` and whatever else the last copy sheds light on.
    fn judge_anew(&mut self, at: usize, news: &mut News) {
        let mut changed = BTreeSet::from([at]);
        if let Some(judge) = &mut self.judge {
            changed.extend(judge.changed());
        }
        for at in changed {
            let file = &mut self.files[at];
            let hides = self.judge.as_ref().is_some_and(|judge| {
                file.verdict = judge.verdict(at);
                judge.hides(&file.verdict)
            });
            match (file.hidden, hides) {
                (true, false) => {
                    file.hidden = false;
                    self.shown += 1;
                    news.files.push(at);
                    news.offers.extend(file.offers.iter().cloned());
                }
                (false, true) if !self.for_good => {
                    file.hidden = true;
                    self.shown -= 1;
                }
                _ => {}
            }
        }
    }

    /// No more files are taken.
    pub fn is_full(&self) -> bool {
        self.shown >= self.files_max || self.files.len() >= FILES_MAX
    }

    /// The files that are not hidden, as they came.
    pub fn shown(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| !file.hidden)
    }

    /// How many are not hidden.
    pub fn shown_count(&self) -> usize {
        self.shown
    }

    /// How many are hidden as likely fakes; `None` where nothing is judged.
    pub fn hidden_count(&self) -> Option<usize> {
        self.judge.as_ref().map(|_| self.files.len() - self.shown)
    }

    /// The files as they came, hidden ones too.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Copies of all files that are shown.
    pub fn copies(&self) -> u64 {
        self.shown().map(|file| file.copies as u64).sum()
    }

    /// Nodes that gave a result that counts.
    pub fn answered(&self) -> usize {
        let offers = self.shown().flat_map(|file| &file.offers);
        let responders: BTreeSet<&str> = offers.map(|offer| offer.copy.servent.as_str()).collect();
        responders.len()
    }

    /// Addresses of all copies that are shown.
    pub fn addresses(&self) -> BTreeSet<SocketAddr> {
        let offers = self.shown().flat_map(|file| &file.offers);
        offers.map(|offer| offer.copy.addr).collect()
    }

    /// How much the file of this copy looks like a fake.
    pub fn spam_of(&self, offer: &Offer) -> f64 {
        let file = self.by_key.get(&offer.copy.key());
        file.map_or(0.0, |&at| self.files[at].verdict.score)
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::Sort;
    use super::*;
    use crate::cli::args::search::FilterArgs;
    use crate::wire::Sha1;

    impl Found {
        fn take(&mut self, hit: &control::Hit) -> News {
            self.add(hit, Duration::ZERO)
        }
    }

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
                .take(&hit(1, 0, true, vec![record("moby.txt", 5, Some(1))]))
                .files,
            [0]
        );
        let news = found.take(&hit(
            2,
            1,
            true,
            vec![record("whale.txt", 5, Some(1)), record("moby", 5, None)],
        ));
        assert_eq!((news.files, news.offers.len()), (vec![1], 2));
        let again = found.take(&hit(1, 0, true, vec![record("moby.txt", 5, Some(1))]));
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
        found.take(&hit(1, 0, true, vec![record("no hash moby dick", 1, None)]));
        found.take(&hit(2, 0, true, vec![record("folder match", 1, Some(2))]));
        found.take(&hit(
            3,
            0,
            false,
            vec![record("moby dick busy", 1, Some(3))],
        ));
        found.take(&hit(4, 2, true, vec![record("moby dick far", 1, Some(4))]));
        found.take(&hit(5, 1, true, vec![record("moby dick near", 1, Some(5))]));
        found.take(&hit(
            6,
            6,
            true,
            vec![record("moby dick twice", 1, Some(6))],
        ));
        found.take(&hit(
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
        found.take(&hit(
            1,
            3,
            true,
            vec![record("B", 2, Some(1)), record("a", 1, Some(2))],
        ));
        found.take(&hit(
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
        found.take(&hit(
            1,
            0,
            true,
            vec![record("a", 1, Some(1)), record("b", 1, Some(2))],
        ));
        assert!(found.is_full());
        assert_eq!(found.files().len(), 1);
        found.take(&hit(2, 0, true, vec![record("a", 1, Some(1))]));
        assert_eq!(
            found.copies(),
            2,
            "copies of files already taken still count"
        );
    }
}
