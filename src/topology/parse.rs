//! JSON text -> [`Topology`]. Unknown keys are errors that name the nearest right one: a typo must not ruin an
//! experiment in silence.

use super::at::{At, Document, Object};
use super::events::{EVENTS_MAX, event};
use super::shapes::Kind;
use super::types::{
    Amount, Arrival, Asker, Behaviour, Content, Copies, Defaults, File, Fill, Generate, Link,
    LinkTraits, NodeSpec, Search, Topology, Workload,
};
use super::{FORMAT, ID_BYTES_MAX, Import, NODES_MAX, ROLES, TopologyError, is_id};
use crate::node::event::Role;

pub(super) type Result<T> = std::result::Result<T, TopologyError>;

/// Queries of one workload.
const QUERIES_MAX: usize = 10_000_000;
/// Frames a second that a node can handle, at most: one a nanosecond.
const CAPACITY_MAX: u32 = 1_000_000_000;
/// Words of one search, in bytes; what fits into a query frame with room to spare.
const QUERY_BYTES_MAX: usize = 200;

/// Reads a topology file. The text alone is read, not what it names: see [`Network::new`](super::Network::new).
///
/// # Errors
/// What is wrong, where, and for a mistyped key or word the nearest right one.
pub fn parse(text: &str) -> Result<Topology> {
    let Document(value) = serde_json::from_str(text)
        .map_err(|error| TopologyError::new("", format!("not a topology file: {error}")))?;
    let root = At::root(&value);
    let object = root.object(&[
        "filbert",
        "name",
        "about",
        "seed",
        "defaults",
        "generate",
        "import",
        "nodes",
        "links",
        "content",
        "workload",
        "behaviours",
        "capacities",
        "searches",
        "events",
    ])?;
    let format = object.need("filbert")?;
    if format.text()? != FORMAT {
        return Err(format.fault(format!("this program reads {FORMAT:?} only")));
    }
    Ok(Topology {
        name: object
            .read("name", super::at::At::text)?
            .unwrap_or_default()
            .to_owned(),
        about: object
            .read("about", super::at::At::text)?
            .unwrap_or_default()
            .to_owned(),
        seed: object
            .read("seed", |at| at.whole(0, u64::MAX))?
            .unwrap_or(0),
        defaults: object.read("defaults", defaults)?.unwrap_or_default(),
        generate: object.each("generate", generate)?,
        import: object.each("import", import)?,
        nodes: object.each("nodes", node)?,
        links: object.each("links", link)?,
        content: object.read("content", content)?,
        workload: object.read("workload", workload)?,
        behaviours: object.read("behaviours", behaviours)?.unwrap_or_default(),
        capacities: object.each("capacities", capacity_share)?,
        searches: object.each("searches", |at| {
            search(&at.object(&["from", "query", "ttl", "hits"])?)
        })?,
        events: match object.get("events") {
            Some(at) if at.list()?.len() > EVENTS_MAX => {
                return Err(at.fault(format!("must have {EVENTS_MAX} items at most")));
            }
            _ => object.each("events", event)?,
        },
    })
}

fn ttl(at: &At<'_>) -> Result<u8> {
    Ok(u8::try_from(at.whole(1, 255)?).expect("it is at most 255"))
}

fn id(at: &At<'_>) -> Result<String> {
    let text = at.text()?;
    if !is_id(text) {
        return Err(at.fault(format!(
            "{text:?} cannot be an id: letters, digits, '-', '_' and '.', a letter or digit first, at most {ID_BYTES_MAX}"
        )));
    }
    Ok(text.to_owned())
}

fn defaults(at: &At<'_>) -> Result<Defaults> {
    let object = at.object(&[
        "ttl",
        "max_peers",
        "seen_cache",
        "ext_probes",
        "slots",
        "role",
        "capacity",
        "delay",
        "jitter",
        "drop",
        "rate",
    ])?;
    Ok(Defaults {
        ttl: object.read("ttl", ttl)?,
        max_peers: object.read("max_peers", |at| at.count(1, NODES_MAX))?,
        seen_cache: object.read("seen_cache", seen_cache)?,
        ext_probes: object.read("ext_probes", super::at::At::flag)?,
        slots: object.read("slots", |at| at.count(0, 10_000))?,
        role: object.read("role", role)?,
        capacity: object.read("capacity", capacity)?,
        link: link_traits(&object)?,
    })
}

fn seen_cache(at: &At<'_>) -> Result<usize> {
    at.count(1, 1 << 30)
}

pub(super) fn link_traits(object: &Object<'_>) -> Result<LinkTraits> {
    Ok(LinkTraits {
        delay: object.read("delay", super::at::At::duration)?,
        jitter: object.read("jitter", super::at::At::duration)?,
        drop: object.read("drop", |at| at.real(0.0, 1.0))?,
        rate: object.read("rate", rate)?,
    })
}

/// Bytes a second; 0 for `none`.
fn rate(at: &At<'_>) -> Result<u64> {
    if at.is_text() && at.text()? == "none" {
        return Ok(0);
    }
    at.rate()
}

fn generate(at: &At<'_>) -> Result<Generate> {
    let words: Vec<(&'static str, Kind)> = Kind::words().collect();
    let any: Vec<&str> = ["kind", "prefix", "role"]
        .into_iter()
        .chain(Kind::all_keys())
        .collect();
    let kind = at.object(&any)?.need("kind")?.one_of(&words)?;
    let keys: Vec<&str> = ["kind", "prefix"]
        .into_iter()
        .chain((!kind.has_roles()).then_some("role"))
        .chain(kind.keys().iter().copied())
        .collect();
    let object = at.object(&keys)?;
    let mut values = Vec::new();
    for key in kind.keys() {
        values.push(match kind.fallback(key) {
            Some(fallback) if object.get(key).is_none() => fallback,
            _ => object.need(key)?.real(0.0, 1e9)?,
        });
    }
    let shape = kind.shape(&values).map_err(|message| at.fault(message))?;
    let prefix = match object.get("prefix") {
        Some(prefix) => id(&prefix)?,
        None => "n".to_owned(),
    };
    Ok(Generate {
        shape,
        prefix,
        role: object.read("role", role)?,
    })
}

fn import(at: &At<'_>) -> Result<Import> {
    let object = at.object(&["file", "prefix", "largest"])?;
    Ok(Import {
        file: folder(&object.need("file")?)?,
        prefix: object.read("prefix", id)?.unwrap_or_else(|| "n".to_owned()),
        largest: object.read("largest", At::flag)?.unwrap_or(false),
        links: None,
    })
}

fn node(at: &At<'_>) -> Result<NodeSpec> {
    let object = at.object(&[
        "id",
        "files",
        "share",
        "slots",
        "max_peers",
        "seen_cache",
        "role",
        "behaviour",
        "capacity",
    ])?;
    Ok(NodeSpec {
        id: id(&object.need("id")?)?,
        files: object.each("files", file)?,
        share: object.each("share", folder)?,
        slots: object.read("slots", |at| at.count(0, 10_000))?,
        max_peers: object.read("max_peers", |at| at.count(1, NODES_MAX))?,
        seen_cache: object.read("seen_cache", seen_cache)?,
        role: object.read("role", role)?,
        behaviour: object.read("behaviour", behaviour)?,
        capacity: object.read("capacity", capacity)?,
    })
}

fn role(at: &At<'_>) -> Result<Role> {
    at.one_of(&ROLES)
}

fn behaviour(at: &At<'_>) -> Result<Behaviour> {
    at.one_of(&Behaviour::ALL.map(|kind| (kind.word(), kind)))
}

/// Shares by behaviour.
fn behaviours(at: &At<'_>) -> Result<Vec<(Behaviour, f64)>> {
    let object = at.object(&Behaviour::ALL.map(Behaviour::word))?;
    let mut shares = Vec::new();
    for kind in Behaviour::ALL {
        if let Some(share) = object.read(kind.word(), |at| at.real(0.0, 1.0))? {
            shares.push((kind, share));
        }
    }
    Ok(shares)
}

/// Frames a second.
fn capacity(at: &At<'_>) -> Result<u32> {
    let number = at.text()?.strip_suffix("/s");
    let number = number.and_then(|n| n.trim().parse::<u32>().ok());
    number
        .filter(|per_s| (1..=CAPACITY_MAX).contains(per_s))
        .ok_or_else(|| {
            at.fault(format!(
                "must be frames a second, 1 to {CAPACITY_MAX}, such as \"50/s\""
            ))
        })
}

fn capacity_share(at: &At<'_>) -> Result<(u32, f64)> {
    let object = at.object(&["share", "capacity"])?;
    let share = object.need("share")?;
    let part = share.real(0.0, 1e9)?;
    if part <= 0.0 {
        return Err(share.fault("must be above 0"));
    }
    Ok((capacity(&object.need("capacity")?)?, part))
}

fn file(at: &At<'_>) -> Result<File> {
    let object = at.object(&["name", "size", "fill"])?;
    let name = object.need("name")?;
    let path = name.text()?;
    let part_is_bad = |part: &str| {
        part.is_empty()
            || part.starts_with('.')
            || part.len() > 255
            || part.contains(|c: char| c.is_control() || c == '\\')
    };
    if path.split('/').any(part_is_bad) {
        return Err(name.fault(format!(
            "{path:?} cannot be a file name: parts with '/' between them, none empty or with '.' first"
        )));
    }
    Ok(File {
        name: path.to_owned(),
        size: object.read("size", super::at::At::size)?.unwrap_or(1_000),
        fill: object
            .read("fill", |at| {
                at.one_of(&[("seeded", Fill::Seeded), ("zero", Fill::Zero)])
            })?
            .unwrap_or_default(),
    })
}

fn folder(at: &At<'_>) -> Result<String> {
    let path = at.text()?;
    if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(at.fault(format!(
            "{path:?} must be below the folder this file lies in"
        )));
    }
    Ok(path.to_owned())
}

fn link(at: &At<'_>) -> Result<Link> {
    if !at.is_object() {
        let mut ends = at.list()?;
        let (Some(from), Some(to), None) = (ends.next(), ends.next(), ends.next()) else {
            return Err(at.fault("must name two nodes, such as [\"n0\", \"n1\"]"));
        };
        return Ok(Link {
            from: id(&from)?,
            to: id(&to)?,
            traits: LinkTraits::default(),
        });
    }
    let object = at.object(&["from", "to", "delay", "jitter", "drop", "rate"])?;
    Ok(Link {
        from: id(&object.need("from")?)?,
        to: id(&object.need("to")?)?,
        traits: link_traits(&object)?,
    })
}

fn content(at: &At<'_>) -> Result<Content> {
    let object = at.object(&["files", "popularity", "copies", "size"])?;
    let zipf = |at: &At<'_>| at.object(&["zipf"])?.need("zipf")?.real(0.0, 10.0);
    Ok(Content {
        files: object.need("files")?.count(1, QUERIES_MAX)?,
        zipf: object.read("popularity", zipf)?.unwrap_or(0.0),
        copies: object.read("copies", copies)?.unwrap_or(Copies::Fixed(1)),
        size: object.read("size", super::at::At::size)?.unwrap_or(1_000),
    })
}

fn copies(at: &At<'_>) -> Result<Copies> {
    let object = at.object(&["fixed", "uniform", "proportional", "square-root"])?;
    let mut keys = object.keys();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(at.fault("must have one key: fixed, uniform, proportional or square-root"));
    };
    let value = object.need(key)?;
    Ok(match key {
        "fixed" => Copies::Fixed(value.count(1, NODES_MAX)?),
        "uniform" => Copies::Uniform(value.real(0.0, 1.0)?),
        "proportional" => Copies::Proportional(value.real(0.0, 1.0)?),
        _ => Copies::SquareRoot(value.real(0.0, 1.0)?),
    })
}

fn workload(at: &At<'_>) -> Result<Workload> {
    let object = at.object(&["queries", "arrival", "from", "strategy", "ttl"])?;
    object.read("strategy", |at| at.one_of(&[("flood", ())]))?;
    let from = object.read("from", id)?.filter(|from| from != "any");
    Ok(Workload {
        queries: object.need("queries")?.count(1, QUERIES_MAX)?,
        arrival: object.read("arrival", arrival)?.unwrap_or_default(),
        from,
        ttl: object.read("ttl", ttl)?,
    })
}

fn arrival(at: &At<'_>) -> Result<Arrival> {
    if at.is_text() {
        return at.one_of(&[("sequential", Arrival::Sequential)]);
    }
    let object = at.object(&["every", "poisson"])?;
    match (object.get("every"), object.get("poisson")) {
        (Some(every), None) => Ok(Arrival::Every(every.duration()?)),
        (None, Some(poisson)) => {
            let per_s = poisson
                .text()?
                .strip_suffix("/s")
                .and_then(|n| n.trim().parse::<f64>().ok());
            let per_s = per_s.filter(|n| n.is_finite() && *n > 0.0);
            per_s
                .map(Arrival::Poisson)
                .ok_or_else(|| poisson.fault("must be so many a second, such as \"20/s\""))
        }
        _ => Err(at.fault("must be \"sequential\" or have one key: every or poisson")),
    }
}

pub(super) fn search(object: &Object<'_>) -> Result<Search> {
    let query = object.need("query")?;
    let words = query.text()?;
    if words.trim().is_empty() || words.len() > QUERY_BYTES_MAX || words.contains('\0') {
        return Err(query.fault(format!(
            "must hold words to look for, at most {QUERY_BYTES_MAX} bytes"
        )));
    }
    let from = id(&object.need("from")?)?;
    Ok(Search {
        from: if from == "each" {
            Asker::Each
        } else {
            Asker::Node(from)
        },
        query: words.to_owned(),
        ttl: object.read("ttl", ttl)?,
        hits: object.read("hits", amount)?,
    })
}

fn amount(at: &At<'_>) -> Result<Amount> {
    if !at.is_text() {
        let n = at.whole(0, u64::MAX)?;
        return Ok(Amount { min: n, max: n });
    }
    Amount::parse(at.text()?)
        .ok_or_else(|| at.fault("must be a number of hits, such as \">=1\", \"=3\" or \"<5\""))
}
