//! What a person or a pipe names for `get` -> what to fetch and who has it.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::cli::args::values::Address;
use crate::cli::exit::{Exit, Failure};
use crate::control;
use crate::disk::results::{Copy, Key, Lookup, Results, Saved, is_id};
use crate::net::Walled;
use crate::net::download::{BadUrl, Seal, Source};
use crate::node::address::Net;
use crate::node::spam::HIDE_ABOVE;
use crate::wire::magnet::Magnet;
use crate::wire::urn::{Hashes, TigerRoot, tiger_from_base32};
use crate::wire::{ServentId, Sha1};

/// One file to fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How it is called in JSON lines: a result id when there is one, else what was typed.
    pub id: String,
    /// The hash it must have, if known.
    pub sha1: Option<Sha1>,
    /// Root of its Tiger tree, as the order names it.
    pub tiger: Option<TigerRoot>,
    /// A name, data of a stranger.
    pub name: Option<String>,
    /// Size in bytes, as somebody told.
    pub size: Option<u64>,
    /// Who is said to have it, best first.
    pub sources: Vec<Source>,
    /// Folders that it goes to below the target, made safe.
    pub folders: Vec<String>,
    /// Where it lies on the node that it is fetched from, when it was named by that; data of a stranger.
    pub path: Option<String>,
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
    servent: Option<String>,
    #[serde(default)]
    push: bool,
    #[serde(default)]
    push_proxies: Vec<SocketAddr>,
    #[serde(default)]
    alternates: Vec<SocketAddr>,
    #[serde(default)]
    alternates_tls: Vec<SocketAddr>,
    #[serde(default)]
    partial: bool,
    #[serde(default)]
    tiger: Option<String>,
    #[serde(default)]
    tls: bool,
    #[serde(default)]
    net: Option<String>,
    /// How much it looks like a fake, 0 to 1.
    #[serde(default)]
    spam: f64,
}

/// Sources taken from what the copies of one file say of others: hearsay, each a call to a stranger. Our choice.
const ALTERNATES_MAX: usize = 16;

/// Whoever offers a copy, as somebody who may have to be asked to connect; `None` when it told no servent id.
pub fn walled_of(copy: &Copy) -> Option<Walled> {
    let net = copy.net.as_deref().and_then(control::Net::of_name);
    Some(Walled {
        servent: ServentId::from_hex(&copy.servent)?,
        index: copy.index,
        proxies: copy.push_proxies.clone(),
        net: net.map(Net::from),
    })
}

/// The source of a copy.
pub fn source_of(copy: &Copy) -> Source {
    let source = match copy.sha1() {
        Some(sha1) => Source::by_urn(copy.addr, sha1),
        None => Source::by_index(copy.addr, copy.index, &copy.name),
    };
    let net = copy.net.as_deref().and_then(control::Net::of_name);
    let source = source.sealed(Seal::told(copy.tls, net.map(Net::from)));
    let root = copy.tiger.as_deref();
    let source = source.with_root(root.and_then(|root| tiger_from_base32(root).ok()));
    match walled_of(copy) {
        Some(walled) => source.or_push(walled, copy.push),
        None => source,
    }
}

impl Wanted {
    /// What tells it from other targets of one command: its id, and for one of a folder also its place on the node and
    /// where it is had there, for a node may have several files of one name or not tell their folders.
    pub fn what(&self) -> String {
        let (Some(path), Some(source)) = (&self.path, self.sources.first()) else {
            return self.id.clone();
        };
        format!("{path}\n{}", source.url())
    }

    /// Adds the sources of copies: whole ones that can be connected to, those behind walls, parts, and last whom
    /// they name beside themselves. What is said anew of a known source counts.
    pub fn add_copies(&mut self, copies: &[Copy]) {
        let mut in_order: Vec<&Copy> = copies.iter().collect();
        in_order.sort_by_key(|copy| (copy.partial, copy.push));
        for source in in_order.into_iter().map(source_of) {
            let known = self.sources.iter().position(|known| known.is_same(&source));
            match known {
                Some(at) => self.sources[at] = source,
                None => self.sources.push(source),
            }
        }
        let named = copies.iter().filter_map(|copy| {
            let sha1 = copy.sha1()?;
            let net = copy.net.as_deref().and_then(control::Net::of_name);
            let seal = move |addr| {
                let tls = copy.alternates_tls.contains(addr);
                Seal::told(tls, net.map(Net::from))
            };
            Some(
                copy.alternates
                    .iter()
                    .map(move |addr| Source::by_urn(*addr, sha1).sealed(seal(addr))),
            )
        });
        for source in named.flatten().take(ALTERNATES_MAX) {
            if !self.sources.iter().any(|known| known.is_same(&source)) {
                self.sources.push(source);
            }
        }
    }

    /// The file of these copies, newest first; at least one. It has the name most of them give it, and of
    /// equals the one seen first, which is the one a search shows.
    fn of_copies(copies: &[Copy]) -> Self {
        let like = |copy: &Copy| {
            copies
                .iter()
                .filter(|other| other.name == copy.name)
                .count()
        };
        let shown = copies
            .iter()
            .max_by_key(|copy| like(copy))
            .unwrap_or(&copies[0]);
        let mut wanted = Self {
            id: shown.key().id(),
            sha1: shown.sha1(),
            tiger: None,
            name: Some(shown.name.clone()),
            size: Some(shown.size),
            ..Self::default()
        };
        wanted.add_copies(copies);
        wanted
    }

    /// Content by its hash, with what searches showed of it.
    fn of_content(sha1: Sha1, results: &Results) -> Self {
        let key = Key::of_content(sha1);
        let mut wanted = match results.find(&key.text()) {
            Ok(Lookup::One(saved)) => Self::of_copies(&saved.copies),
            _ => Self::default(),
        };
        wanted.id = key.id();
        wanted.sha1 = Some(sha1);
        wanted
    }

    /// Reads a target: result id, `urn:sha1:...`, `magnet:?...`, `http://HOST:PORT/PATH` or `HOST:PORT/PATH`.
    ///
    /// # Errors
    /// Exit 2 with what can be named instead; exit 1 for an id that no search showed; exit 6 when the results
    /// cannot be read.
    pub fn parse(text: &str, results: &Results) -> Result<Self, Failure> {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("magnet:") {
            return Self::of_magnet(text, results);
        }
        if lower.starts_with("urn:") || lower.starts_with("sha1:") {
            // A bitprint says both, and the user vouches for both.
            let hashes = Hashes::of_urn(text).ok();
            let hashes = hashes.and_then(|hashes| Some((hashes.sha1?, hashes.tiger)));
            return match hashes {
                Some((sha1, tiger)) => Ok(Self {
                    tiger,
                    ..Self::of_content(sha1, results)
                }),
                None => Err(usage(format!(
                    "`{text}` is no hash; give urn:sha1: and 32 letters and digits, as `filbert search` shows"
                ))),
            };
        }
        if is_id(text) {
            return Self::of_id(text, results);
        }
        if lower.starts_with("http://") {
            return Self::of_source(text, Source::from_url(text), results);
        }
        if let Some((host, path)) = text
            .split_once('/')
            .filter(|(host, _)| host.contains(['.', ':']) && !text.contains("://"))
            && let Ok(address) = host.parse::<Address>()
        {
            return Self::of_source(
                text,
                Source::from_url(&format!("http://{address}/{path}")),
                results,
            );
        }
        Err(usage(format!(
            "`{text}` is nothing to fetch; give a result id such as k7m2qd, urn:sha1:..., a magnet link or \
             http://HOST:PORT/..."
        )))
    }

    /// As [`parse`](Self::parse), for what may name several files: a magnet link with several SHA-1s is as many. Each
    /// has the sources that say its hash; name and size are of the link as a whole, and so of none of them.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn all(text: &str, results: &Results) -> Result<Vec<Self>, Failure> {
        let magnet: Option<Magnet> = text.trim().parse().ok();
        let Some(magnet) = magnet.filter(|magnet| magnet.sha1s.len() > 1) else {
            return Ok(vec![Self::parse(text, results)?]);
        };
        let file = |sha1: &Sha1| {
            let mut wanted = Self::of_content(*sha1, results);
            let links = magnet.sources.iter().chain(&magnet.alternates);
            let sources = links.filter_map(|link| Source::from_link(link).ok());
            let mut sources: Vec<Source> = sources
                .filter(|source| source.urn() == Some(*sha1))
                .collect();
            sources.extend(std::mem::take(&mut wanted.sources));
            Self { sources, ..wanted }
        };
        Ok(magnet.sha1s.iter().map(file).collect())
    }

    fn of_magnet(text: &str, results: &Results) -> Result<Self, Failure> {
        let magnet: Option<Magnet> = text.parse().ok();
        // An exact source by hash says the hash too.
        let named = |magnet: &Magnet| {
            let exact = magnet.sources.iter();
            let mut exact = exact.filter_map(|link| Source::from_link(link).ok()?.urn());
            magnet.sha1s.first().copied().or_else(|| exact.next())
        };
        let Some(magnet) = magnet else {
            return Err(usage(format!(
                "`{text}` is no magnet link that names a file; give one with xt=urn:sha1:..."
            )));
        };
        let Some(sha1) = named(&magnet) else {
            return Self::of_hashless(text, magnet);
        };
        let mut wanted = Self::of_content(sha1, results);
        let links = magnet.sources.iter().chain(&magnet.alternates);
        let mut sources: Vec<Source> = links
            .filter_map(|link| Source::from_link(link).ok())
            .collect();
        sources.retain(|source| source.urn().is_none_or(|urn| urn == sha1));
        sources.extend(std::mem::take(&mut wanted.sources));
        Ok(Self {
            tiger: magnet.tiger,
            name: magnet.name.or(wanted.name),
            size: magnet.size.or(wanted.size),
            sources,
            ..wanted
        })
    }

    /// A magnet link without a SHA-1: the first of its sources is all there is, and what comes of it cannot be
    /// checked. Others may have something else.
    fn of_hashless(text: &str, magnet: Magnet) -> Result<Self, Failure> {
        let mut links = magnet.sources.iter().chain(&magnet.alternates);
        let Some(source) = links.find_map(|link| Source::from_link(link).ok()) else {
            let words = magnet.keywords.or(magnet.name);
            let search = words.map_or(String::new(), |words| {
                let words = words.replace('\'', " ");
                format!(", or look for it: filbert search '{words}'")
            });
            return Err(usage(format!(
                "`{text}` names no SHA-1 and no source that can be asked; give a magnet link with xt=urn:sha1:...{search}"
            )));
        };
        let name = magnet
            .name
            .or_else(|| Some(source.name()).filter(|name| !name.is_empty()));
        Ok(Self {
            id: text.to_owned(),
            name,
            size: magnet.size,
            sources: vec![source],
            ..Self::default()
        })
    }

    fn of_source(
        text: &str,
        source: Result<Source, BadUrl>,
        results: &Results,
    ) -> Result<Self, Failure> {
        let example = "give http://HOST:PORT/uri-res/N2R?urn:sha1:...";
        let source = source.map_err(|error| usage(format!("`{text}`: {error}; {example}")))?;
        let Some(sha1) = source.urn() else {
            if source.name().is_empty() {
                return Err(usage(format!("`{text}` names no file; {example}")));
            }
            let name = Some(source.name());
            return Ok(Self {
                id: text.to_owned(),
                name,
                sources: vec![source],
                ..Self::default()
            });
        };
        let mut wanted = Self::of_content(sha1, results);
        let known = wanted
            .sources
            .iter()
            .position(|known| known.is_same(&source));
        // What a search told of it is worth keeping.
        let source = known.map_or(source, |at| wanted.sources.remove(at));
        wanted.sources.insert(0, source);
        Ok(wanted)
    }

    fn of_id(id: &str, results: &Results) -> Result<Self, Failure> {
        match results
            .find(id)
            .map_err(|error| Failure::new(Exit::Disk, error.to_string()))?
        {
            Lookup::One(saved) => Ok(Self::of_copies(&saved.copies)),
            Lookup::Unknown => Err(Failure::new(
                Exit::Nothing,
                format!("no search showed the id {id}; search again, or give its urn:sha1:..."),
            )),
            Lookup::Ambiguous(files) => {
                let line = |file: &Saved| format!("  {}  {}", file.key.text(), file.copies[0].name);
                let list: Vec<String> = files.iter().map(line).collect();
                Err(usage(format!(
                    "several results begin with {id}; give more of the right one:\n{}",
                    list.join("\n")
                )))
            }
        }
    }

    /// The id and score of a JSON line that is a likely fake: whoever wants it names it.
    pub fn likely_fake(line: &str) -> Option<(String, f64)> {
        let json: Line = serde_json::from_str(line).ok()?;
        (json.kind == "hit" && json.spam > HIDE_ABOVE)
            .then(|| (json.id.or(json.name).unwrap_or_default(), json.spam))
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
        let copy = |addr: SocketAddr| {
            let named = json.index.is_some() && json.name.is_some();
            (sha1.is_some() || named).then(|| Copy {
                urn: sha1.map(|sha1| sha1.to_string()),
                name: json.name.clone().unwrap_or_default(),
                size: json.size.unwrap_or_default(),
                addr,
                servent: json.servent.clone().unwrap_or_default(),
                index: json.index.unwrap_or_default(),
                push: json.push,
                push_proxies: json.push_proxies.clone(),
                alternates: json.alternates.clone(),
                alternates_tls: json.alternates_tls.clone(),
                partial: json.partial,
                tiger: json.tiger.clone(),
                tls: json.tls,
                net: json.net.clone(),
            })
        };
        let mut wanted = Self::default();
        wanted.add_copies(json.host.and_then(copy).as_slice());
        if sha1.is_none() && wanted.sources.is_empty() {
            return Err(usage(
                "a line of standard input names neither urn nor host and index".to_owned(),
            ));
        }
        Ok(Some(Self {
            id: json.id.or(json.urn).unwrap_or_default(),
            sha1,
            name: json.name,
            size: json.size,
            ..wanted
        }))
    }
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
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
            push_proxies: Vec::new(),
            alternates: Vec::new(),
            alternates_tls: Vec::new(),
            partial: false,
            tiger: None,
            tls: false,
            net: None,
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
        assert_eq!(
            wanted.sources[0].url(),
            "http://127.0.0.1:99/get/7/a%20b.txt"
        );
    }

    #[test]
    fn a_magnet_of_several_files_is_as_many_targets() {
        let (_dir, results) = empty();
        let other = "UUHHSQPHQXN5X6EMYK6CD7IJ7BHZTE77";
        let source =
            |port: u16, hash: &str| format!("http://127.0.0.1:{port}/uri-res/N2R?urn:sha1:{hash}");
        let link = format!(
            "magnet:?xt.1=urn:sha1:{HASH}&xt.2=urn:sha1:{other}&dn=both&xl=7&xs={}&as={}&as=http://127.0.0.1:9/x",
            source(1, other),
            source(2, HASH)
        );
        let all = Wanted::all(&link, &results).expect("a link");
        let said: Vec<_> = all
            .iter()
            .map(|one| {
                (
                    one.sources.len(),
                    one.sources[0].to_string(),
                    one.name.clone(),
                    one.size,
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                (1, "127.0.0.1:2".to_owned(), None, None),
                (1, "127.0.0.1:1".to_owned(), None, None)
            ]
        );
        assert_eq!((all[0].sha1, all.len()), (Some(sha1()), 2));
        // One file with several sources stays one.
        let link = format!(
            "magnet:?xt=urn:sha1:{HASH}&dn=a&xs={}&as=http://127.0.0.1:9/x",
            source(1, HASH)
        );
        let one = Wanted::all(&link, &results).expect("a link");
        assert_eq!((one.len(), one[0].sources.len()), (1, 2));
        assert!(Wanted::all("magnet:?dn=a", &results).is_err());
    }

    #[test]
    fn a_magnet_without_a_hash_is_its_first_source() {
        let (_dir, results) = empty();
        let link =
            "magnet:?xs=ftp://a/b&as=http://127.0.0.1:7/a%2520b.txt&as=http://127.0.0.1:8/c&xl=9";
        let wanted = Wanted::parse(link, &results).expect("a link");
        assert_eq!((wanted.sha1, wanted.size), (None, Some(9)));
        assert_eq!(wanted.name.as_deref(), Some("a b.txt"));
        let urls: Vec<_> = wanted.sources.iter().map(Source::url).collect();
        assert_eq!(urls, ["http://127.0.0.1:7/a%20b.txt"]);
        // A push source says the hash, as any exact source may.
        let link = format!(
            "magnet:?xs=push://{}:10.0.0.1:6346/uri-res/N2R?urn:sha1:{HASH}",
            "0f".repeat(16)
        );
        let wanted = Wanted::parse(&link, &results).expect("a link");
        assert_eq!(wanted.sha1, Some(sha1()));
        assert!(wanted.sources[0].wants_push());
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
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["127.0.0.1:3", "127.0.0.1:1", "127.0.0.1:2"]
        );
        assert_eq!(
            (by_id.name.as_deref(), by_id.size),
            (Some("Moby.txt"), Some(7))
        );
        let by_urn = Wanted::parse(&format!("urn:sha1:{HASH}"), &results).expect("known");
        assert_eq!(by_urn, by_id);
    }

    #[test]
    fn whom_a_source_names_comes_after_all_that_spoke_for_themselves() {
        let (_dir, results) = empty();
        let addr = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let names = Copy {
            alternates: (1..60).map(addr).collect(),
            ..copy(false, 7)
        };
        let parts = Copy {
            partial: true,
            ..copy(false, 70)
        };
        results.add(&[names, copy(true, 80), parts]).expect("kept");
        let sources: Vec<String> = Wanted::parse("plsthi", &results)
            .expect("known")
            .sources
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            sources[..3],
            ["127.0.0.1:7", "127.0.0.1:80", "127.0.0.1:70"]
        );
        assert_eq!(sources[3], "127.0.0.1:1");
        assert_eq!(sources.len(), 3 + ALTERNATES_MAX - 1, "7 is known");
    }

    #[test]
    fn what_is_no_target_says_what_would_be_one() {
        let (_dir, results) = empty();
        for (text, exit, part) in [
            ("k7m2qd", Exit::Nothing, "search again"),
            ("moby dick", Exit::Usage, "result id such as"),
            ("urn:sha1:XYZ", Exit::Usage, "32 letters"),
            ("magnet:?dn=a", Exit::Usage, "xt=urn:sha1"),
            (
                "magnet:?dn=red+fox",
                Exit::Usage,
                "filbert search 'red fox'",
            ),
            ("magnet:?xl=5", Exit::Usage, "xt=urn:sha1"),
            (
                "magnet:?xs=push://00/uri-res/N2R?urn:sha1:X&dn=a",
                Exit::Usage,
                "no source that can be asked",
            ),
            ("http://127.0.0.1", Exit::Usage, "http://HOST:PORT/"),
            (
                "http://127.0.0.1:1/a b\r\nX: y",
                Exit::Usage,
                "control characters",
            ),
            ("http://a:b/c", Exit::Usage, "no host and port"),
            ("https://a/c", Exit::Usage, "http://HOST:PORT/"),
            ("papers/moby.pdf:x/y", Exit::Usage, "result id such as"),
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
        assert_eq!(wanted.sources[0].url(), "http://127.0.0.1:9/get/4/a");
        let elsewhere = format!(
            r#"{{"type":"hit","urn":"urn:sha1:{HASH}","host":"127.0.0.1:9","net":"gnutella",
            "alternates":["127.0.0.1:7","127.0.0.1:8"],"alternates_tls":["127.0.0.1:8"]}}"#
        );
        let wanted = Wanted::parse_line(&elsewhere.replace('\n', " "), &results)
            .expect("a hit")
            .expect("a target");
        let all: Vec<_> = wanted
            .sources
            .iter()
            .map(|one| (one.to_string(), one.seal()))
            .collect();
        assert_eq!(
            all,
            [
                ("127.0.0.1:9".to_owned(), Seal::Asked),
                ("127.0.0.1:7".to_owned(), Seal::Asked),
                ("127.0.0.1:8".to_owned(), Seal::FromTheStart)
            ]
        );
    }
}
