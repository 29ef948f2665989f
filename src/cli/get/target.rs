//! What a person or a pipe names for `get` -> what to fetch and who has it.

use std::net::SocketAddr;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::cli::args::values::Address;
use crate::cli::exit::{Exit, Failure};
use crate::disk::results::{Copy, Lookup, Results, is_id};
use crate::wire::Sha1;
use crate::wire::magnet::Magnet;

/// One file to fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How it is called in JSON lines: a result id when there is one, else what was typed.
    pub id: String,
    /// The hash it must have, if known.
    pub sha1: Option<Sha1>,
    /// A name, data of a stranger.
    pub name: Option<String>,
    /// Size in bytes, as somebody told.
    pub size: Option<u64>,
    /// Who is said to have it, best first.
    pub sources: Vec<Source>,
}

/// Where a file is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The server.
    pub addr: SocketAddr,
    /// What to ask it for, beginning with `/`.
    pub path: Path,
}

/// What to ask a server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// `/uri-res/N2R?urn:sha1:...`
    Content(Sha1),
    /// `/get/<index>/<name>`
    Index(u32, String),
    /// As it was typed, percent-encoded.
    Raw(String),
}

/// A JSON line of `search` or `browse`; other lines have no id.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    urn: Option<String>,
    name: Option<String>,
    size: Option<u64>,
    host: Option<SocketAddr>,
    index: Option<u32>,
}

impl Source {
    /// The source of a copy.
    pub fn of(copy: &Copy) -> Self {
        let path = match copy.sha1() {
            Some(sha1) => Path::Content(sha1),
            None => Path::Index(copy.index, copy.name.clone()),
        };
        Self {
            addr: copy.addr,
            path,
        }
    }
}

impl Wanted {
    /// Adds the sources of copies, those that can be connected to first.
    pub fn add_copies(&mut self, copies: &[Copy]) {
        let (push, open): (Vec<&Copy>, Vec<&Copy>) = copies.iter().partition(|copy| copy.push);
        for copy in open.into_iter().chain(push) {
            let source = Source::of(copy);
            if !self.sources.contains(&source) {
                self.sources.push(source);
            }
        }
    }

    /// The file of these copies; at least one.
    fn of_copies(copies: &[Copy]) -> Self {
        let mut wanted = Self {
            id: copies[0].key().id(),
            sha1: copies[0].sha1(),
            name: Some(copies[0].name.clone()),
            size: Some(copies[0].size),
            sources: Vec::new(),
        };
        wanted.add_copies(copies);
        wanted
    }

    /// Reads a target: result id, `urn:sha1:...`, `magnet:?...`, `http://HOST:PORT/PATH` or `HOST:PORT/PATH`.
    ///
    /// # Errors
    /// Exit 2 with what can be named instead; exit 1 for an id that no search showed; exit 6 when the results
    /// cannot be read.
    pub fn parse(text: &str, results: &Results) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Exit::Usage, message);
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("magnet:") {
            return text
                .parse::<Magnet>()
                .ok()
                .and_then(|magnet| Self::of_magnet(text, magnet))
                .ok_or_else(|| {
                    usage(format!(
                        "`{text}` names no SHA-1; give a magnet link with xt=urn:sha1:..."
                    ))
                });
        }
        if lower.starts_with("urn:") || lower.starts_with("sha1:") {
            let sha1: Sha1 = text.parse().map_err(|_| {
                usage(format!("`{text}` is no hash; give urn:sha1: and 32 letters and digits, as `filbert search` shows"))
            })?;
            let known = known_copies(sha1, results);
            let mut wanted = match known.first() {
                Some(_) => Self::of_copies(&known),
                None => Self::default(),
            };
            wanted.id = crate::disk::results::Key::of_content(sha1).id();
            wanted.sha1 = Some(sha1);
            return Ok(wanted);
        }
        if let Some(rest) = lower
            .starts_with("http://")
            .then(|| &text["http://".len()..])
        {
            return Self::of_place(text, rest);
        }
        if is_id(text) {
            return Self::of_id(text, results);
        }
        if text.contains('/') {
            return Self::of_place(text, text);
        }
        Err(usage(format!(
            "`{text}` is nothing to fetch; give a result id such as k7m2qd, urn:sha1:..., a magnet link or http://HOST:PORT/..."
        )))
    }

    fn of_magnet(text: &str, magnet: Magnet) -> Option<Self> {
        let sha1 = *magnet.sha1s.first()?;
        let links = magnet.sources.iter().chain(&magnet.alternates);
        let sources = links.filter_map(|link| {
            Some(
                Self::of_place(text, link.strip_prefix("http://")?)
                    .ok()?
                    .sources
                    .remove(0),
            )
        });
        Some(Self {
            id: crate::disk::results::Key::of_content(sha1).id(),
            sha1: Some(sha1),
            sources: sources.collect(),
            name: magnet.name,
            size: magnet.size,
        })
    }

    fn of_id(id: &str, results: &Results) -> Result<Self, Failure> {
        let found = results
            .find(id)
            .map_err(|error| Failure::new(Exit::Disk, error.to_string()))?;
        match found {
            Lookup::One(saved) => Ok(Self::of_copies(&saved.copies)),
            Lookup::Unknown => Err(Failure::new(
                Exit::Nothing,
                format!("no search showed the id {id}; search again, or give its urn:sha1:..."),
            )),
            Lookup::Ambiguous(files) => {
                let list: Vec<String> = files
                    .iter()
                    .map(|file| format!("  {}  {}", file.key.text(), file.copies[0].name))
                    .collect();
                let message = format!(
                    "several results begin with {id}; give more of the right one:\n{}",
                    list.join("\n")
                );
                Err(Failure::new(Exit::Usage, message))
            }
        }
    }

    /// `HOST:PORT/PATH`; an N2R path tells the hash.
    fn of_place(text: &str, rest: &str) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Exit::Usage, message);
        let bad = || {
            usage(format!(
                "`{text}` is no link; give http://HOST:PORT/uri-res/N2R?urn:sha1:..."
            ))
        };
        let (host, path) = rest.split_once('/').ok_or_else(bad)?;
        let address: Address = host.parse().map_err(|error| usage(format!("{error}")))?;
        let plain = |c: char| c.is_ascii_graphic() && c != '#';
        if path.is_empty() || !path.chars().all(plain) {
            return Err(bad());
        }
        let addr = address.resolve().map_err(usage)?;
        let sha1 = path
            .strip_prefix("uri-res/N2R?")
            .and_then(|urn| urn.parse::<Sha1>().ok());
        let name = path
            .split('?')
            .next()
            .and_then(|path| path.rsplit('/').next());
        let name = name.map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned());
        Ok(Self {
            id: sha1.map_or_else(
                || text.to_owned(),
                |sha1| crate::disk::results::Key::of_content(sha1).id(),
            ),
            sha1,
            name: name.filter(|_| sha1.is_none()),
            size: None,
            sources: vec![Source {
                addr,
                path: sha1.map_or_else(|| Path::Raw(format!("/{path}")), Path::Content),
            }],
        })
    }

    /// Reads a line of standard input: a target, a tab-separated line that begins with one, or a JSON line of
    /// `search`. `None`: a line that names nothing, such as the last of a search.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_line(line: &str, results: &Results) -> Result<Option<Self>, Failure> {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.trim().is_empty() {
            return Ok(None);
        }
        if !line.starts_with('{') {
            let target = line.split('\t').next().unwrap_or(line).trim();
            return Self::parse(target, results).map(Some);
        }
        let json: Line = serde_json::from_str(line).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("a line of standard input is no result: {error}"),
            )
        })?;
        if json.kind != "hit" && json.kind != "file" {
            return Ok(None);
        }
        // The store knows more copies than the line; a line from another machine knows enough by itself.
        if let Some(Ok(Lookup::One(saved))) = json.id.as_deref().map(|id| results.find(id)) {
            return Ok(Some(Self::of_copies(&saved.copies)));
        }
        let sha1 = json.urn.as_deref().and_then(|urn| urn.parse::<Sha1>().ok());
        let path = match (sha1, json.index, &json.name) {
            (Some(sha1), ..) => Path::Content(sha1),
            (None, Some(index), Some(name)) => Path::Index(index, name.clone()),
            _ => {
                return Err(Failure::new(
                    Exit::Usage,
                    "a line of standard input names neither urn nor index",
                ));
            }
        };
        Ok(Some(Self {
            id: json.id.or(json.urn).unwrap_or_default(),
            sha1,
            name: json.name,
            size: json.size,
            sources: json
                .host
                .map(|addr| Source { addr, path })
                .into_iter()
                .collect(),
        }))
    }
}

fn known_copies(sha1: Sha1, results: &Results) -> Vec<Copy> {
    match results.find(&crate::disk::results::Key::of_content(sha1).text()) {
        Ok(Lookup::One(saved)) => saved.copies,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";

    fn sha1() -> Sha1 {
        Sha1::from_base32(HASH).expect("a hash")
    }

    fn empty() -> (tempfile::TempDir, Results) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let results = Results::new(&dir.path().join("results.jsonl"));
        (dir, results)
    }

    fn copy(push: bool, port: u16) -> Copy {
        Copy {
            urn: Some(sha1().to_string()),
            name: "Moby.txt".into(),
            size: 7,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            servent: "00".repeat(16),
            index: 3,
            push,
        }
    }

    #[test]
    fn every_kind_of_target_leads_to_the_content() {
        let (_dir, results) = empty();
        for text in [
            format!("urn:sha1:{HASH}"),
            format!("sha1:{}", HASH.to_lowercase()),
            format!("magnet:?xt=urn:sha1:{HASH}&dn=a+b&xl=7"),
            format!("http://127.0.0.1:99/uri-res/N2R?urn:sha1:{HASH}"),
            format!("127.0.0.1/uri-res/N2R?urn:sha1:{HASH}"),
        ] {
            let wanted = Wanted::parse(&text, &results)
                .unwrap_or_else(|failure| panic!("{text}: {failure}"));
            assert_eq!(
                (wanted.sha1, wanted.id.as_str()),
                (Some(sha1()), "plsthi"),
                "{text}"
            );
        }
        let wanted =
            Wanted::parse("http://127.0.0.1:99/get/7/a%20b.txt", &results).expect("a link");
        assert_eq!(
            (wanted.sha1, wanted.name.as_deref()),
            (None, Some("a b.txt"))
        );
        assert_eq!(wanted.sources[0].path, Path::Raw("/get/7/a%20b.txt".into()));
        assert_eq!(wanted.sources[0].addr.port(), 99);
    }

    #[test]
    fn an_id_brings_its_sources_those_behind_walls_last() {
        let (_dir, results) = empty();
        results
            .add(&[copy(false, 1), copy(true, 2), copy(false, 3)])
            .expect("kept");
        let by_id = Wanted::parse("plsthi", &results).expect("known");
        assert_eq!(
            by_id
                .sources
                .iter()
                .map(|source| source.addr.port())
                .collect::<Vec<_>>(),
            [3, 1, 2]
        );
        assert_eq!(
            (by_id.name.as_deref(), by_id.size),
            (Some("Moby.txt"), Some(7))
        );
        let by_urn = Wanted::parse(&format!("urn:sha1:{HASH}"), &results).expect("known");
        assert_eq!(by_urn, by_id);
    }

    #[test]
    fn what_is_no_target_says_what_would_be_one() {
        let (_dir, results) = empty();
        for (text, exit, part) in [
            ("k7m2qd", Exit::Nothing, "search again"),
            ("moby dick", Exit::Usage, "result id such as"),
            ("urn:sha1:XYZ", Exit::Usage, "32 letters"),
            ("magnet:?dn=a", Exit::Usage, "xt=urn:sha1"),
            ("http://127.0.0.1", Exit::Usage, "http://HOST:PORT/"),
            ("http://127.0.0.1:1/a b\r\nX: y", Exit::Usage, "no link"),
            ("http://a:b/c", Exit::Usage, "address"),
        ] {
            let failure = Wanted::parse(text, &results).expect_err(text);
            assert_eq!(failure.exit, exit, "{text}: {failure}");
            assert!(failure.message.contains(part), "{text}: {failure}");
        }
    }

    #[test]
    fn lines_of_a_search_are_targets() {
        let (_dir, results) = empty();
        let line = |text: &str| {
            Wanted::parse_line(text, &results).map(|wanted| wanted.map(|wanted| wanted.id))
        };
        let hit = format!(
            r#"{{"v":1,"type":"hit","id":"plsthi","urn":"urn:sha1:{HASH}","host":"127.0.0.1:9","size":7}}"#
        );
        assert_eq!(line(&hit).expect("a hit"), Some("plsthi".into()));
        assert_eq!(
            line(&format!("urn:sha1:{HASH}\t1\tname")).expect("a row"),
            Some("plsthi".into())
        );
        assert_eq!(
            line(r#"{"v":1,"type":"end","reason":"idle"}"#).expect("no target"),
            None
        );
        assert_eq!(line("\r\n").expect("no target"), None);
        assert!(line("{broken").is_err() && line(r#"{"type":"hit"}"#).is_err());
        let bare =
            r#"{"type":"hit","id":"abcdef","name":"a","size":1,"host":"127.0.0.1:9","index":4}"#;
        let wanted = Wanted::parse_line(bare, &results)
            .expect("a hit")
            .expect("a target");
        assert_eq!(wanted.sources[0].path, Path::Index(4, "a".into()));
    }
}
