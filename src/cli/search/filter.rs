//! Which results count: by ending, kind, size, words left out, hash.

use crate::cli::args::search::FilterArgs;
use crate::control::Record;
use crate::node::media::Kind;
pub use crate::node::media::ending;
use crate::node::words::each_word;
use crate::wire::Sha1;

/// A filter over the files of hits; all its conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    endings: Vec<String>,
    kind: Option<Kind>,
    bytes_min: u64,
    bytes_max: Option<u64>,
    /// Folded words of each `--not`; a name with all words of one is out.
    without: Vec<Vec<String>>,
    sha1: Option<Sha1>,
}

/// The folded words of a text.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(text, |word| words.push(word.to_owned()));
    words
}

impl Filter {
    /// The filter that was typed; `sha1`: only this content.
    pub fn new(args: &FilterArgs, sha1: Option<Sha1>) -> Self {
        Self {
            endings: args
                .ext
                .iter()
                .map(|ext| ext.trim_start_matches('.').to_lowercase())
                .collect(),
            kind: args.kind.as_deref().and_then(Kind::named),
            bytes_min: args.min_size.map_or(0, |size| size.0),
            bytes_max: args.max_size.map(|size| size.0),
            without: args
                .without
                .iter()
                .map(|text| words(text))
                .filter(|words| !words.is_empty())
                .collect(),
            sha1,
        }
    }

    /// Does this file count?
    pub fn admits(&self, record: &Record) -> bool {
        let ending = ending(&record.name);
        let in_name = words(&record.name);
        let hash_fits = |sha1: Sha1| {
            record
                .urn
                .as_deref()
                .and_then(|urn| urn.parse::<Sha1>().ok())
                == Some(sha1)
        };
        (self.endings.is_empty() || self.endings.contains(&ending))
            && self
                .kind
                .is_none_or(|kind| Kind::of_ending(&ending) == Some(kind))
            && record.size >= self.bytes_min
            && self.bytes_max.is_none_or(|max| record.size <= max)
            && !self
                .without
                .iter()
                .any(|out| out.iter().all(|word| in_name.contains(word)))
            && self.sha1.is_none_or(hash_fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::values::Size;

    fn record(name: &str, size: u64) -> Record {
        Record {
            index: 1,
            size,
            name: name.to_owned(),
            urn: Some(Sha1([1; 20]).to_string()),
            ..Record::default()
        }
    }

    #[test]
    fn each_condition_must_hold() {
        let all = FilterArgs {
            ext: vec!["PDF".into(), ".epub".into()],
            kind: Some("text".into()),
            min_size: Some(Size(10)),
            max_size: Some(Size(20)),
            without: vec!["draft".into()],
        };
        let filter = Filter::new(&all, Some(Sha1([1; 20])));
        assert!(filter.admits(&record("Notes.pdf", 10)) && filter.admits(&record("a.EPUB", 20)));
        for (name, size) in [
            ("Notes.txt", 15),
            ("Notes.pdf", 9),
            ("Notes.pdf", 21),
            ("My DRAFT.pdf", 15),
            ("pdf", 15),
        ] {
            assert!(!filter.admits(&record(name, size)), "{name} {size}");
        }
        assert!(!Filter::new(&all, Some(Sha1([2; 20]))).admits(&record("a.pdf", 15)));
        assert!(Filter::new(&FilterArgs::default(), None).admits(&record("", 0)));
    }

    #[test]
    fn kinds_are_those_of_the_flag() {
        for (kind, name) in [
            ("audio", "a.mp3"),
            ("video", "a.mkv"),
            ("image", "a.JPG"),
            ("archive", "a.tar.gz"),
            ("program", "a.exe"),
        ] {
            let filter = Filter::new(
                &FilterArgs {
                    kind: Some(kind.into()),
                    ..FilterArgs::default()
                },
                None,
            );
            assert!(
                filter.admits(&record(name, 1)) && !filter.admits(&record("a.txt", 1)),
                "{kind}"
            );
        }
    }
}
