//! The law of the rooms: data flows one way, and each confined crate stays where it is. Reads the sources.
//!
//! A failure names the file, the line and the law it broke.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms, and the rooms and crates that each may not name.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "wire",
        &[
            "crate::node",
            "crate::disk",
            "crate::net",
            "crate::sim",
            "crate::cli",
            "crate::topology",
            "crate::control",
        ],
    ),
    (
        "node",
        &[
            "crate::disk",
            "crate::net",
            "crate::sim",
            "crate::cli",
            "crate::topology",
            "crate::control",
        ],
    ),
    (
        "topology",
        &["crate::disk", "crate::net", "crate::sim", "crate::cli"],
    ),
    (
        "control",
        &[
            "crate::disk",
            "crate::net",
            "crate::sim",
            "crate::cli",
            "crate::topology",
        ],
    ),
    ("sim", &["crate::disk", "crate::net", "crate::cli"]),
    (
        "disk",
        &["crate::net", "crate::sim", "crate::cli", "crate::topology"],
    ),
    ("net", &["crate::sim", "crate::cli"]),
    ("cli", &[]),
];

/// What rooms without a clock, a log, input and output may not name.
const PURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::thread",
    "std::env",
    "log::",
    "println!",
    "TcpStream",
    "UdpSocket",
    "async ",
    "rand::rng()",
    "OsRng",
    "SysRng",
];
const PURE_ROOMS: &[&str] = &["wire", "node", "topology", "sim"];

/// Crates, and the only files (or folders) that may name them.
const CONFINED: &[(&str, &[&str])] = &[
    ("async_std", &["net/rt.rs", "net/rt"]),
    ("async_io", &["net/rt.rs", "net/rt"]),
    (
        "std::thread",
        &["sim/parallel.rs", "sim/windows.rs", "net", "disk", "cli"],
    ),
    ("structopt", &["cli/args.rs", "cli/args"]),
    ("futures_rustls", &["net/tls.rs"]),
    ("rustls", &["net/tls.rs"]),
    ("rcgen", &["net/tls.rs"]),
    ("env_logger", &["cli", "main.rs"]),
    ("lru", &["node/routes.rs"]),
    ("jiff", &["net/local_time.rs"]),
    ("mdns_sd", &["net/discovery/dns_sd.rs"]),
    ("redb", &["disk"]),
    ("tiger::", &["disk/tree.rs"]),
    ("notify", &["disk"]),
    ("indicatif", &["cli"]),
    ("comfy_table", &["cli"]),
    (
        "serde_json",
        &[
            "cli",
            "net/control.rs",
            "net/control",
            "disk",
            "topology",
            "topology.rs",
            "sim",
            "control.rs",
        ],
    ),
];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|end| end == "rs") {
            out.push(path);
        }
    }
}

/// Lines of code with their numbers: no comments, nothing after `#[cfg(test)]`.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap()))
}

fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let open_ended = !word.ends_with(char::is_alphanumeric);
        !part(before) && (open_ended || !part(after))
    })
}

/// Whether a word that pure rooms may not name may stand in this very file.
fn is_confined_to(word: &str, place: &Path) -> bool {
    let homes = CONFINED.iter().find(|(confined, _)| *confined == word);
    homes.is_some_and(|(_, homes)| homes.iter().any(|home| place == Path::new(home)))
}

#[test]
fn every_room_keeps_the_law() {
    let sources_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&sources_root, &mut files);
    assert!(files.len() > 20, "the sources are found");
    let mut breaches = Vec::new();
    for file in &files {
        let place = file.strip_prefix(&sources_root).unwrap();
        let room = place
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        let text = fs::read_to_string(file).unwrap();
        let barred = ROOMS
            .iter()
            .find(|(name, _)| *name == room)
            .map_or(&[][..], |(_, words)| words);
        for (number, line) in code(&text) {
            let mut fail =
                |law: String| breaches.push(format!("src/{}:{number}: {law}", place.display()));
            for word in barred {
                if names(line, word) {
                    fail(format!("room `{room}` may not name `{word}`"));
                }
            }
            if PURE_ROOMS.contains(&room) {
                for word in PURE {
                    if names(line, word) && !is_confined_to(word, place) {
                        fail(format!(
                            "room `{room}` has no clock, log, order of hashes, input or output: `{word}`"
                        ));
                    }
                }
            }
            for (krate, homes) in CONFINED {
                if names(line, krate) && !homes.iter().any(|home| place.starts_with(home)) {
                    fail(format!("`{krate}` may only be named in {homes:?}"));
                }
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "{} breaches:\n{}",
        breaches.len(),
        breaches.join("\n")
    );
}

#[test]
fn the_law_would_notice_a_breach() {
    assert!(names("use crate::net::rt;", "crate::net"));
    assert!(!names("use crate::network;", "crate::net"));
    assert!(names("let map = HashMap::new();", "HashMap"));
    assert!(!names("let blog::x = 1", "log::"));
    assert_eq!(
        code("a // HashMap\n#[cfg(test)]\nHashMap")
            .map(|(_, line)| line)
            .collect::<Vec<_>>(),
        ["a "]
    );
}
