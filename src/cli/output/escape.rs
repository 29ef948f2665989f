//! Names of strangers, made harmless: what a terminal would obey is shown as an escape.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters that a terminal obeys or that make text look like other text: controls (C0, DEL, C1), those
/// that turn the writing direction, separators of lines, marks without width, and the tag block.
/// Source: Unicode TR 36 "Bidirectional text spoofing"; categories Cc, and Cf but for the joiners that emoji
/// and several scripts need.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

/// Text for a terminal or a table: hostile characters as `\n`, `\t`, `\x1b` or `\u{202e}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hostile(c) && (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_hostile(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// As [`shown`], but line breaks stay: for our own messages, which may quote a stranger.
pub fn shown_lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// JSON with hostile characters as `\uXXXX`: they occur in strings only, where that is the same value.
pub fn json(line: String) -> String {
    if !line.contains(is_hostile) {
        return line;
    }
    let mut out = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\x1b[2J\u{9b}1m\u{202e}fdp.exe\n\t\u{e0041}\u{7f}";

    #[test]
    fn a_terminal_gets_nothing_to_obey() {
        assert_eq!(
            shown(HOSTILE),
            "a\\x1b[2J\\x9b1m\\u{202e}fdp.exe\\n\\t\\u{e0041}\\x7f"
        );
        assert!(
            matches!(shown("Ünïcödé 日本 👩‍🚀.txt"), Cow::Borrowed(_)),
            "joiners of emoji stay"
        );
        assert_eq!(shown_lines("one\ntwo\x1b"), "one\ntwo\\x1b");
    }

    #[test]
    fn json_keeps_the_value_and_holds_no_control() {
        let line = json(serde_json::to_string(HOSTILE).expect("a string is JSON"));
        assert!(!line.contains(is_hostile));
        assert_eq!(
            serde_json::from_str::<String>(&line).expect("still JSON"),
            HOSTILE
        );
    }
}
