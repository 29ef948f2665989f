//! Names of nodes: kept small for a million generated ones, sorted as people count, and guessed when mistyped.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The ids of all nodes of a network: runs of a prefix and a number, and single names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// (first node, number of nodes, prefix), in rising order of nodes.
    runs: Vec<(u32, u32, String)>,
    /// Names of the nodes behind the runs.
    single: Vec<String>,
    by_name: BTreeMap<String, u32>,
}

impl Names {
    /// Number of names.
    pub fn len(&self) -> usize {
        self.run_end() as usize + self.single.len()
    }

    /// No names?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn run_end(&self) -> u32 {
        self.runs
            .last()
            .map_or(0, |(first, count, _)| first + count)
    }

    /// Adds `prefix0` to `prefix{count - 1}` and returns the first one's number. Runs come before single names.
    pub(super) fn add_run(&mut self, prefix: &str, count: u32) -> u32 {
        debug_assert!(self.single.is_empty(), "runs come first");
        let first = self.run_end();
        self.runs.push((first, count, prefix.to_owned()));
        first
    }

    /// Adds one name and returns its number.
    pub(super) fn add(&mut self, name: &str) -> u32 {
        let node = u32::try_from(self.len()).expect("nodes are counted in 32 bits");
        self.single.push(name.to_owned());
        self.by_name.insert(name.to_owned(), node);
        node
    }

    /// The name of a node.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn name(&self, node: u32) -> Cow<'_, str> {
        if node >= self.run_end() {
            return Cow::Borrowed(&self.single[(node - self.run_end()) as usize]);
        }
        let run = self
            .runs
            .partition_point(|(first, count, _)| first + count <= node);
        let (first, _, prefix) = &self.runs[run];
        Cow::Owned(format!("{prefix}{}", node - first))
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<u32> {
        let in_run = |(first, count, prefix): &(u32, u32, String)| {
            let digits = name.strip_prefix(prefix.as_str())?;
            let plain = digits == "0"
                || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
            let number: u32 = digits.parse().ok().filter(|_| plain)?;
            (number < *count).then(|| first + number)
        };
        self.runs
            .iter()
            .find_map(in_run)
            .or_else(|| self.by_name.get(name).copied())
    }

    /// All nodes, sorted by name as people count: `n2` before `n10`.
    pub fn in_natural_order(&self) -> Vec<u32> {
        let mut nodes: Vec<u32> =
            (0..u32::try_from(self.len()).expect("nodes are counted in 32 bits")).collect();
        if self.runs.len() + self.single.len() > 1 {
            nodes.sort_by(|a, b| natural(&self.name(*a), &self.name(*b)));
        }
        nodes
    }

    /// The name nearest to a mistyped one, if any is near. Looks at a bounded number of names.
    pub fn nearest(&self, name: &str) -> Option<String> {
        const LOOKED_AT_MAX: u32 = 10_000;
        let looked_at =
            u32::try_from(self.len()).map_or(LOOKED_AT_MAX, |len| len.min(LOOKED_AT_MAX));
        let names: Vec<Cow<'_, str>> = (0..looked_at).map(|node| self.name(node)).collect();
        nearest(name, names.iter().map(AsRef::as_ref)).map(str::to_owned)
    }
}

/// Compares names as people count: runs of digits by their value, the rest by letter.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    while let (Some(x), Some(y)) = (a_rest.chars().next(), b_rest.chars().next()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (x, y) = (take_digits(&mut a_rest), take_digits(&mut b_rest));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            a_rest = &a_rest[x.len_utf8()..];
            b_rest = &b_rest[y.len_utf8()..];
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a_rest.len().cmp(&b_rest.len()).then_with(|| a.cmp(b))
}

/// Takes the digits at the front of `text` off and returns them without leading zeros.
fn take_digits<'a>(text: &mut &'a str) -> &'a str {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.trim_start_matches('0')
}

/// Letters of a word that a guess is made for; longer ones were not mistyped.
const WORD_MAX: usize = 64;

/// The candidate that a mistyped word most likely means: at most a third of its letters wrong, one at least.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &str| 1.max(word.chars().count().max(candidate.chars().count()) / 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= near(candidate) && word.len() <= WORD_MAX)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to add, leave out, change or swap with the next to make one word of the other (optimal string
/// alignment), upper or lower case alike.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| {
        text.chars()
            .take(WORD_MAX)
            .flat_map(char::to_lowercase)
            .collect::<Vec<char>>()
    };
    let (a, b) = (letters(a), letters(b));
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_to_each_other() {
        let mut names = Names::default();
        names.add_run("a", 3);
        names.add_run("b", 2);
        names.add("hub");
        assert_eq!(names.len(), 6);
        for (node, name) in (0..).zip(["a0", "a1", "a2", "b0", "b1", "hub"]) {
            assert_eq!(
                (names.name(node).as_ref(), names.find(name)),
                (name, Some(node))
            );
        }
        for unknown in ["a3", "a00", "a+1", "b", "", "huc"] {
            assert_eq!(names.find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn names_sort_as_people_count() {
        let mut names = ["n10", "n2", "n1", "m3", "n02", "n2b"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["m3", "n1", "n02", "n2", "n2b", "n10"]);
    }

    #[test]
    fn a_mistyped_word_is_guessed_and_a_strange_one_is_not() {
        let keys = ["files", "share", "slots", "id"];
        assert_eq!(nearest("fles", keys), Some("files"));
        assert_eq!(nearest("shaer", keys), Some("share"));
        assert_eq!(nearest("ID", keys), Some("id"));
        assert_eq!(nearest("colour", keys), None);
    }
}
