//! File names of strangers, made safe to create and to show.
//!
//! A name in a hit or a header is data of whoever sent it: it may try to be a path, a device, a hidden
//! file, an escape sequence for the terminal or a text that reads backwards.

use unicode_normalization::UnicodeNormalization;

/// Name given when nothing of the original can be kept.
const UNNAMED: &str = "unnamed";
/// Bytes of a safe name: 255, the limit of common file systems, less what we may append (a number in
/// brackets and the longest suffix of a partial file).
pub const NAME_BYTES_MAX: usize = 255 - 32;
/// Bytes of an extension kept when a name is cut.
const EXTENSION_BYTES_MAX: usize = 16;
/// Ends of names that are ours alone: a stranger's file must never pass for a partial one.
const RESERVED_ENDS: [&str; 6] = [
    super::parts::PART_END,
    super::parts::NOTE_END,
    super::parts::NOTE_NEW_END,
    super::parts::LOG_END,
    super::parts::LOG_NEW_END,
    super::parts::BAD_END,
];
/// Names that Windows gives to devices, with any extension.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Folders one in the other that a stranger's path may ask for. Our choice: deeper than what people keep.
pub const FOLDERS_MAX: usize = 32;

/// A relative path of folders as a stranger tells it, its parts made safe by [`safe_name`].
///
/// `None`: nobody who means well tells such a path: it is absolute, climbs (`..`), has parts without a name, or is deeper
/// than [`FOLDERS_MAX`]. The empty path is no folder at all. Both slashes part folders, whatever the stranger's system is.
pub fn safe_folders(path: &str) -> Option<Vec<String>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let parts = path.split(['/', '\\']);
    let whole = |part: &str| !matches!(part.trim(), "" | "." | "..") && !part.contains('\0');
    (parts.clone().count() <= FOLDERS_MAX && parts.clone().all(whole))
        .then(|| parts.map(safe_name).collect())
}

/// A name that stays in its folder, on every common file system and on a terminal.
///
/// The last part of a path, in NFC, at most [`NAME_BYTES_MAX`] bytes cut at a character. Control,
/// direction and invisible characters are gone, leading dots too; device names get a `_` in front.
/// Never empty, `.` or `..`; never an end that marks our partial files. Safe names stay as they are.
pub fn safe_name(name: &str) -> String {
    let base = name
        .rsplit(['/', '\\', '\0'])
        .map(str::trim)
        .find(|part| part.chars().any(|c| c != '.'))
        .unwrap_or_default();
    let shown: String = base.chars().filter_map(keep).nfc().collect();
    let mut safe = cut(trim(&shown)).into_owned();
    if is_device(&safe) {
        safe.insert(0, '_');
    }
    let lower = safe.to_lowercase();
    if RESERVED_ENDS.iter().any(|end| lower.ends_with(end)) {
        safe.push('_');
    }
    if safe.is_empty() {
        UNNAMED.to_owned()
    } else {
        safe
    }
}

/// `name` with a number before its extension: `a.txt` and 2 give `a (2).txt`.
pub(crate) fn numbered(name: &str, number: u32) -> String {
    let (stem, extension) = split(name);
    format!("{stem} ({number}){extension}")
}

/// Stem and extension with its dot; the extension is empty when there is none worth keeping.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= EXTENSION_BYTES_MAX => name.split_at(at),
        _ => (name, ""),
    }
}

fn keep(c: char) -> Option<char> {
    match c {
        // Left-to-right and right-to-left marks, embeddings, overrides and isolates; invisible ones (zero
        // width space, joiners of words, byte order mark, tags); ends of lines and paragraphs.
        '\u{061C}'
        | '\u{200B}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E0FFF}' => None,
        // Windows takes these for a stream, a pattern or a redirection.
        ':' | '<' | '>' | '"' | '|' | '?' | '*' if cfg!(windows) => Some('_'),
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// Without leading dots and without the trailing dots and spaces that Windows drops by itself.
fn trim(name: &str) -> &str {
    name.trim_start_matches(|c: char| c == '.' || c.is_whitespace())
        .trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

/// At most [`NAME_BYTES_MAX`] bytes, the extension kept.
fn cut(name: &str) -> std::borrow::Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX {
        return name.into();
    }
    let (stem, extension) = split(name);
    let end = stem.floor_char_boundary(NAME_BYTES_MAX - extension.len());
    format!("{}{extension}", trim(&stem[..end])).into()
}

fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or(name)
        .trim_end()
        .to_lowercase();
    let port = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|n| {
            matches!(
                n,
                "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
            )
        })
    };
    DEVICES.contains(&stem.as_str()) || port("com") || port("lpt")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in [
            "Moby-Dick; or, The Whale.epub",
            "a..b.tar.gz",
            "Ünïcödé 漢字 👩\u{200d}🚀.txt",
            "-rf",
            "con\u{ad}certo.mp3",
        ] {
            assert_eq!(safe_name(name), name);
        }
    }

    #[test]
    fn hostile_names_become_harmless() {
        for (hostile, safe) in [
            ("../../x", "x"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("..", "unnamed"),
            ("", "unnamed"),
            ("///", "unnamed"),
            ("./..", "unnamed"),
            (".bashrc", "bashrc"),
            (" . . x. . ", "x"),
            ("\x1b]0;gotcha\x07.txt", "]0;gotcha.txt"),
            ("\x1b]..", "]"),
            ("a\0b", "b"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("Com1.tar.gz", "_Com1.tar.gz"),
            ("LPT¹", "_LPT¹"),
            ("console", "console"),
            ("invoice\u{202E}fdp.exe", "invoicefdp.exe"),
            ("e\u{301}.txt", "é.txt"),
            ("x.FILBERT-part", "x.FILBERT-part_"),
            ("x.filbert-part.json", "x.filbert-part.json_"),
            ("line\nbreak\u{2028}.txt", "linebreak.txt"),
        ] {
            assert_eq!(safe_name(hostile), safe, "{hostile:?}");
        }
    }

    #[test]
    fn folders_of_strangers_stay_below_or_are_refused() {
        let safe = |path: &str| safe_folders(path).map(|parts| parts.join("/"));
        for (path, is) in [
            ("", ""),
            ("Wedding", "Wedding"),
            ("Wedding/2 Party/", "Wedding/2 Party"),
            ("a\\b", "a/b"),
            (".git/hooks", "git/hooks"),
            ("a/\x1b[2Jb/con", "a/[2Jb/_con"),
            ("C:/x", "C:/x"),
        ] {
            assert_eq!(safe(path).as_deref(), Some(is), "{path:?}");
        }
        for path in [
            "/",
            "/etc",
            "..",
            "a/../b",
            "a/..",
            "a\\..\\b",
            "a//b",
            "./a",
            "a/ .. /b",
            "a\0b",
            &"d/".repeat(FOLDERS_MAX + 1),
        ] {
            assert_eq!(safe(path), None, "{path:?}");
        }
        assert!(safe(&"d/".repeat(FOLDERS_MAX)).is_some());
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_their_extension() {
        let safe = safe_name(&format!("{}.flac", "ü".repeat(300)));
        assert!(
            safe.len() <= NAME_BYTES_MAX && safe.ends_with("ü.flac"),
            "{safe}"
        );
        assert_eq!(safe_name(&"x".repeat(1000)).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn numbers_go_before_the_extension() {
        assert_eq!(numbered("a.txt", 2), "a (2).txt");
        assert_eq!(numbered("README", 1), "README (1)");
    }

    proptest! {
        #[test]
        fn any_name_stays_in_its_folder(name in ".*") {
            let safe = safe_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= NAME_BYTES_MAX + 2);
            prop_assert!(!safe.starts_with('.') && !safe.contains(['/', '\\', '\0']));
            prop_assert!(!safe.chars().any(char::is_control));
            prop_assert_eq!(safe_name(&safe), safe);
        }

        #[test]
        fn any_folders_stay_below(path in "[a./\\\\\\PC]{0,40}") {
            for part in safe_folders(&path).unwrap_or_default() {
                prop_assert!(!part.is_empty() && !part.starts_with('.'), "{:?}", part);
                prop_assert!(!part.contains(['/', '\\', '\0']), "{:?}", part);
            }
        }
    }
}
