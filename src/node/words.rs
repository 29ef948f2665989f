//! Words of names and queries: case and accents folded, Unicode-normalised.
//!
//! Names and queries are folded by the same code, so what a rule does to a letter matters less than that it
//! does so on both sides. Source: overlay.md section 5, "Search text rules".

use std::ops::ControlFlow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Calls `each` with every folded word of `text`, in order, repeats included.
///
/// Folding: compatibility decomposition (NFKD), combining marks removed, lower case (`ß` becomes `ss`, a
/// final sigma an ordinary one). Words are runs of alphanumeric characters. ASCII text takes a fast road
/// without normalisation.
pub fn each_word(text: &str, mut each: impl FnMut(&str)) {
    let _: ControlFlow<()> = try_each_word(text, |word| {
        each(word);
        ControlFlow::Continue(())
    });
}

/// As [`each_word`], until `each` breaks off; gives what it broke off with.
///
/// # Errors
/// None of its own; the result is a [`ControlFlow`], `Continue` when all words were seen.
pub fn try_each_word<B>(text: &str, each: impl FnMut(&str) -> ControlFlow<B>) -> ControlFlow<B> {
    if text.is_ascii() {
        ascii_words(text, each)
    } else {
        unicode_words(text, each)
    }
}

fn ascii_words<B>(text: &str, mut each: impl FnMut(&str) -> ControlFlow<B>) -> ControlFlow<B> {
    let mut lower = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        if word.is_empty() {
            continue;
        }
        if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower.clear();
            lower.push_str(word);
            lower.make_ascii_lowercase();
            each(&lower)?;
        } else {
            each(word)?;
        }
    }
    ControlFlow::Continue(())
}

fn unicode_words<B>(text: &str, mut each: impl FnMut(&str) -> ControlFlow<B>) -> ControlFlow<B> {
    let mut word = String::new();
    for c in text
        .nfkd()
        .filter(|&c| !is_combining_mark(c))
        .flat_map(char::to_lowercase)
    {
        match c {
            'ß' => word.push_str("ss"),
            'ς' => word.push('σ'),
            c if c.is_alphanumeric() => word.push(c),
            _ if word.is_empty() => {}
            _ => {
                each(&word)?;
                word.clear();
            }
        }
    }
    if word.is_empty() {
        ControlFlow::Continue(())
    } else {
        each(&word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        each_word(text, |word| out.push(word.to_owned()));
        out
    }

    #[test]
    fn punctuation_separates_and_case_is_folded() {
        assert_eq!(
            words("Moby-Dick; or, The_Whale.epub"),
            ["moby", "dick", "or", "the", "whale", "epub"]
        );
        assert_eq!(words(" .,-_ "), Vec::<String>::new());
    }

    #[test]
    fn accents_and_compatibility_forms_are_folded() {
        assert_eq!(words("Café"), words("CAFE\u{301}"));
        assert_eq!(words("Ångström"), ["angstrom"]);
        assert_eq!(words("ﬁne Ⅷ ｗｉｄｅ"), ["fine", "viii", "wide"]);
        assert_eq!(words("Straße"), words("STRASSE"));
        assert_eq!(words("ΟΔΟΣ"), words("οδος"));
        assert_eq!(words("Привет, мир"), ["привет", "мир"]);
    }

    #[test]
    fn breaking_off_ends_the_walk() {
        let mut seen = 0;
        let flow = try_each_word("one two three", |word| {
            seen += 1;
            if word == "two" {
                ControlFlow::Break(word.len())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!((flow, seen), (ControlFlow::Break(3), 2));
    }

    proptest! {
        #[test]
        fn ascii_road_and_unicode_road_agree(text in "[ -~]{0,60}") {
            let mut slow = Vec::new();
            let _: ControlFlow<()> = unicode_words(&text, |word| {
                slow.push(word.to_owned());
                ControlFlow::Continue(())
            });
            prop_assert_eq!(words(&text), slow);
        }

        #[test]
        fn folding_a_folded_word_changes_nothing(text in "\\PC{0,30}") {
            for word in words(&text) {
                prop_assert_eq!(words(&word), vec![word.clone()]);
            }
        }
    }
}
