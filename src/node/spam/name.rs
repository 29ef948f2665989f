//! What a name says, compared with the words that were searched for.

use crate::node::media::{Kind, ending};
use crate::node::words::each_word;

/// Words that fakes put around the words searched for; beside these a name still says nothing of its own.
const DECORATIONS: [&str; 16] = [
    "crack",
    "cracked",
    "download",
    "exclusive",
    "free",
    "full",
    "hot",
    "install",
    "installer",
    "keygen",
    "new",
    "patch",
    "serial",
    "setup",
    "version",
    "working",
];
/// Endings that a double click runs, whatever the name says before them.
const RUN_BY_A_CLICK: [&str; 10] = [
    "bat", "cmd", "com", "exe", "hta", "lnk", "msi", "pif", "scr", "vbs",
];

/// A name as far as it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Folded words, the ending left out.
    pub(super) words: Vec<String>,
    /// The words without their digits: alike for all parts of a series.
    pub(super) shape: String,
    /// What kind of file the ending promises.
    pub(super) kind: Option<Kind>,
    /// All query words and nothing else but decorations.
    pub(super) is_echo: bool,
    /// It can be run.
    pub(super) is_program: bool,
    /// It can be run and looks as if it could not.
    pub(super) is_disguised: bool,
}

/// The folded words of a text.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(text, |word| words.push(word.to_owned()));
    words
}

impl Name {
    pub(super) fn of(name: &str, asked: &[String]) -> Self {
        let ending = ending(name);
        let stem = match name.rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => name,
        };
        let words = words(stem);
        let kind = Kind::of_ending(&ending);
        let is_program = kind == Some(Kind::Program) || RUN_BY_A_CLICK.contains(&ending.as_str());
        let inner = Kind::of_ending(&self::ending(stem.trim_end()));
        let promises_no_program = matches!(
            inner,
            Some(Kind::Audio | Kind::Video | Kind::Image | Kind::Text)
        );
        let is_disguised = RUN_BY_A_CLICK.contains(&ending.as_str())
            && (promises_no_program || name.contains(turns_text));
        Self {
            shape: shape(&words),
            is_echo: is_echo(&words, asked, &ending),
            words,
            kind,
            is_program,
            is_disguised,
        }
    }
}

/// Does the character change the direction in which others are shown?
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Who types the ending means the ending; the rest must be there, and no word of the name's own.
fn is_echo(words: &[String], asked: &[String], ending: &str) -> bool {
    let mut rest = asked.iter().filter(|word| *word != ending).peekable();
    rest.peek().is_some()
        && rest.all(|word| words.contains(word))
        && words
            .iter()
            .all(|word| asked.contains(word) || DECORATIONS.contains(&word.as_str()))
}

fn shape(words: &[String]) -> String {
    let mut shape = String::new();
    for word in words {
        let bare = word.chars().filter(|c| !c.is_numeric());
        let before = shape.len();
        shape.extend(bare);
        if shape.len() > before {
            shape.push(' ');
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, asked: &str) -> Name {
        Name::of(name, &words(asked))
    }

    #[test]
    fn an_echo_has_no_word_of_its_own() {
        for (file, asked, echo) in [
            ("moby dick.exe", "Moby Dick", true),
            ("Dick_Moby.zip", "moby dick", true),
            ("moby dick (FULL) crack.zip", "moby dick", true),
            ("Moby Dick - Melville.epub", "moby dick", false),
            ("moby dick 2.zip", "moby dick", false),
            ("moby.epub", "moby dick", false),
            ("ubuntu.iso", "ubuntu iso", true),
            ("a.iso", "iso", false),
            ("Café.txt", "cafe", true),
        ] {
            assert_eq!(name(file, asked).is_echo, echo, "{file}");
        }
    }

    #[test]
    fn a_series_has_one_shape() {
        let shape = |file| name(file, "").shape;
        assert_eq!(shape("movie.part01.rar"), shape("movie.part2.rar"));
        assert_eq!(shape("IMG_2041.jpg"), shape("IMG_2042.jpg"));
        assert_ne!(shape("moby dick.zip"), shape("moby whale.zip"));
    }

    #[test]
    fn a_program_in_disguise_is_told_from_an_honest_one() {
        for (file, program, disguised) in [
            ("setup-1.2.exe", true, false),
            ("Moby Dick.pdf.exe", true, true),
            ("photo.jpg            .scr", true, true),
            ("photo\u{202e}gpj.exe", true, true),
            ("build.json.sh", true, false),
            ("notes.txt", false, false),
            ("exe", false, false),
        ] {
            let name = name(file, "");
            assert_eq!(
                (name.is_program, name.is_disguised),
                (program, disguised),
                "{file}"
            );
        }
    }
}
