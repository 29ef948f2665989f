//! Text of strangers, made fit to keep: bounded, and nothing in it that moves a cursor.

/// The text without control and direction-changing characters, at most `chars_max` characters. Bytes that
/// are not UTF-8 become U+FFFD.
pub fn clean(bytes: &[u8], chars_max: usize) -> String {
    // No character is longer than 4 bytes; removed ones are few in honest text.
    let enough = &bytes[..bytes.len().min(chars_max.saturating_mul(8))];
    String::from_utf8_lossy(enough)
        .chars()
        .filter(|&c| !moves_cursor(c))
        .take(chars_max)
        .collect()
}

/// As [`clean`], cut to `bytes_max` bytes at a character's end.
pub fn clean_bytes(bytes: &[u8], bytes_max: usize) -> String {
    let mut text = clean(bytes, bytes_max);
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

fn moves_cursor(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_marks_are_gone() {
        assert_eq!(
            clean("a\x1b[31mb\r\n\u{9b}c\u{202e}d".as_bytes(), 64),
            "a[31mbcd"
        );
        assert_eq!(clean(b"\xff\xfe", 64), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn limits_hold_at_character_ends() {
        assert_eq!(clean("ééé".as_bytes(), 2), "éé");
        assert_eq!(clean_bytes("ééé".as_bytes(), 5), "éé");
    }
}
