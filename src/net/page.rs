//! The shared files as one plain HTML page for a browser: no script, nothing from elsewhere.

use std::fmt::Write;

use super::http::encoded;
use crate::node::library::{FileId, FileView, Library};

/// Files on one page. Our estimate of what a person scrolls through.
const ROWS: usize = 200;
/// Files a search on the page finds at most.
const FOUND_MAX: usize = 10_000;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
    table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2em .5em;border-bottom:1px solid #8884}\
    td.size,th.size{text-align:right;white-space:nowrap}td{overflow-wrap:anywhere}\
    :root{color-scheme:light dark}";

/// Page `number` (from 0) of all files, or of those with all `words`.
pub(super) fn page(library: &Library, node: &str, words: &str, number: usize) -> String {
    let mut found = Vec::new();
    let total = if words.is_empty() {
        library.len()
    } else {
        library.search(words, FOUND_MAX, &mut found);
        found.len()
    };
    let number = number.min(total.saturating_sub(1) / ROWS);
    let (start, end) = (number * ROWS, total.min((number + 1) * ROWS));
    let id = |at: usize| {
        if words.is_empty() {
            u32::try_from(at).ok().map(FileId)
        } else {
            found.get(at).copied()
        }
    };
    let rows = (start..end).filter_map(|at| library.file(id(at)?));
    let name = if node.is_empty() {
        "Shared files".to_owned()
    } else {
        format!("Files of {}", shown(node))
    };
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
        <meta name=\"viewport\" content=\"width=device-width\">\n<title>{name}</title>\n<style>{STYLE}</style>\n\
        <h1>{name}</h1>\n<form action=\"/\" role=\"search\"><label>Words <input name=\"q\" value=\"{}\"></label> \
        <button>Search</button></form>\n",
        shown(words)
    );
    let count = if total == 0 {
        "No files.".to_owned()
    } else {
        format!("{}–{end} of {total}.", start + 1)
    };
    let _ = writeln!(html, "<p>{count}</p>");
    if total > 0 {
        html.push_str("<table>\n<tr><th>Name<th>Folder<th class=\"size\">Size\n");
        rows.for_each(|file| row(&mut html, library, &file));
        html.push_str("</table>\n");
    }
    html.push_str("<p>");
    if number > 0 {
        link(&mut html, words, number - 1, "Previous");
    }
    if end < total {
        link(&mut html, words, number + 1, "Next");
    }
    html.push_str("</p>\n");
    html
}

fn link(html: &mut String, words: &str, number: usize, text: &str) {
    let query = if words.is_empty() {
        String::new()
    } else {
        format!("q={}&amp;", encoded(words))
    };
    let _ = writeln!(html, "<a href=\"/?{query}page={number}\">{text}</a> ");
}

fn row(html: &mut String, library: &Library, file: &FileView<'_>) {
    let folder = library.shown_folder(file);
    let target = match file.sha1 {
        Some(sha1) => format!("/uri-res/N2R?{sha1}"),
        None => format!("/get/{}/{}", file.index, encoded(file.name())),
    };
    let _ = writeln!(
        html,
        "<tr><td><a href=\"{target}\"><bdi>{}</bdi></a><td><bdi>{}</bdi><td class=\"size\">{}",
        shown(file.name()),
        shown(&folder),
        size(file.size)
    );
}

/// Text that can neither end its element nor turn its surroundings about.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{061C}'
            | '\u{200E}'
            | '\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}' => {
                out.push('\u{FFFD}');
            }
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// Bytes with a decimal unit and one digit behind the point.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        (tenths, unit) = (tenths / 1000, unit + 1);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::library::Entry;
    use crate::wire::Sha1;

    fn library(names: impl Iterator<Item = (String, Option<Sha1>)>) -> Library {
        let entry = |(index, (path, sha1)): (usize, (String, Option<Sha1>))| Entry {
            index: u32::try_from(index).unwrap() + 1,
            share: 0,
            path,
            size: 1_234_567,
            mtime: 1,
            sha1,
            tiger: None,
        };
        Library::build(
            &["books".to_owned()],
            names.enumerate().map(entry).collect(),
        )
    }

    #[test]
    fn names_cannot_leave_their_cell() {
        let name = "<script>alert('x')<b>\"&\u{202E}\x1b[2J.txt";
        let html = page(
            &library([(name.to_owned(), None)].into_iter()),
            "<i>",
            "",
            0,
        );
        assert!(
            html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;"),
            "{html}"
        );
        assert!(html.contains("Files of &lt;i&gt;") && html.contains("1.2 MB"));
        assert!(html.contains("href=\"/get/1/%3Cscript%3Ealert%28%27x%27%29%3C"));
        assert!(!html.contains("<script") && !html.contains(['\u{202E}', '\x1b']));
    }

    #[test]
    fn big_libraries_come_in_pages_and_searches_find() {
        let hash = Some(Sha1([7; 20]));
        let library = library((0..450).map(|n| (format!("volume {n} of sea stories.txt"), hash)));
        let rows = |html: &str| html.matches("<tr><td>").count();
        let first = page(&library, "", "", 0);
        assert!(
            rows(&first) == 200 && first.contains("1–200 of 450") && first.contains("/?page=1")
        );
        assert!(first.contains(&format!("/uri-res/N2R?{}", Sha1([7; 20]))));
        let last = page(&library, "", "", usize::MAX);
        assert!(rows(&last) == 50 && last.contains("/?page=1") && !last.contains("Next"));
        let found = page(&library, "", "stories 17", 0);
        assert!(
            rows(&found) == 1 && found.contains("value=\"stories 17\""),
            "{found}"
        );
        assert!(page(&library, "", "whale", 0).contains("No files."));
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_999, "999.9 kB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
