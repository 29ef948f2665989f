//! [`Topology`] -> JSON text that [`parse`](super::parse()) reads back: one node, link or search a line.

use serde_json::{Value, json};

use super::types::{
    Arrival, Asker, Behaviour, Content, Copies, Defaults, File, Fill, Generate, Link, LinkTraits,
    NodeSpec, Search, Topology, Workload,
};
use super::units::show_duration;
use super::{FORMAT, Import, ROLES, events};
use crate::node::event::Role;

/// Keys and values in the order in which they are written.
#[derive(Default)]
pub(super) struct Line(Vec<(&'static str, String)>);

impl Line {
    pub(super) fn put(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((key, value.into().to_string()));
        self
    }

    pub(super) fn maybe<T: Into<Value>>(self, key: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    fn object(mut self, key: &'static str, line: &Line) -> Self {
        self.0.push((key, line.text()));
        self
    }

    pub(super) fn list(mut self, key: &'static str, items: impl Iterator<Item = String>) -> Self {
        let items: Vec<String> = items.collect();
        if !items.is_empty() {
            self.0.push((key, format!("[{}]", items.join(", "))));
        }
        self
    }

    pub(super) fn traits(self, traits: &LinkTraits) -> Self {
        self.maybe("delay", traits.delay.map(show_duration))
            .maybe("jitter", traits.jitter.map(show_duration))
            .maybe("drop", traits.drop)
            .maybe("rate", traits.rate.map(rate))
    }

    pub(super) fn text(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("\"{key}\": {value}"))
            .collect();
        if pairs.is_empty() {
            "{}".to_owned()
        } else {
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

impl Topology {
    /// This topology as a file.
    pub fn to_json(&self) -> String {
        let mut parts: Vec<String> = vec![format!("\"filbert\": \"{FORMAT}\"")];
        for (key, text) in [("name", &self.name), ("about", &self.about)] {
            if !text.is_empty() {
                parts.push(format!("\"{key}\": {}", Value::from(text.as_str())));
            }
        }
        parts.push(format!("\"seed\": {}", self.seed));
        if self.defaults != Defaults::default() {
            parts.push(format!("\"defaults\": {}", defaults(&self.defaults).text()));
        }
        lines(&mut parts, "generate", &self.generate, generate);
        lines(&mut parts, "import", &self.import, import);
        lines(&mut parts, "nodes", &self.nodes, |spec| node(spec).text());
        lines(&mut parts, "links", &self.links, link);
        if let Some(content) = &self.content {
            parts.push(format!("\"content\": {}", self::content(content).text()));
        }
        if let Some(workload) = &self.workload {
            parts.push(format!("\"workload\": {}", self::workload(workload).text()));
        }
        if !self.behaviours.is_empty() {
            let shares = self.behaviours.iter();
            let line = shares.fold(Line::default(), |line, (kind, share)| {
                line.put(kind.word(), *share)
            });
            parts.push(format!("\"behaviours\": {}", line.text()));
        }
        lines(
            &mut parts,
            "capacities",
            &self.capacities,
            |(per_s, share)| {
                let line = Line::default().put("share", *share);
                line.put("capacity", capacity(*per_s)).text()
            },
        );
        lines(&mut parts, "searches", &self.searches, |search| {
            self::search(Line::default(), search).text()
        });
        lines(&mut parts, "events", &self.events, |step| {
            events::written(step).text()
        });
        format!("{{\n  {}\n}}\n", parts.join(",\n  "))
    }
}

/// Adds an array with one item a line; nothing when it is empty.
fn lines<T>(parts: &mut Vec<String>, key: &str, items: &[T], show: impl Fn(&T) -> String) {
    if !items.is_empty() {
        let items: Vec<String> = items.iter().map(show).collect();
        parts.push(format!("\"{key}\": [\n    {}\n  ]", items.join(",\n    ")));
    }
}

fn capacity(per_s: u32) -> String {
    format!("{per_s}/s")
}

fn rate(rate: u64) -> String {
    match rate {
        0 => "none".to_owned(),
        rate => format!("{rate}B/s"),
    }
}

fn defaults(defaults: &Defaults) -> Line {
    Line::default()
        .maybe("ttl", defaults.ttl)
        .maybe("max_peers", defaults.max_peers)
        .maybe("seen_cache", defaults.seen_cache)
        .maybe("ext_probes", defaults.ext_probes)
        .maybe("slots", defaults.slots)
        .maybe("role", defaults.role.map(role))
        .maybe("capacity", defaults.capacity.map(capacity))
        .traits(&defaults.link)
}

fn generate(generate: &Generate) -> String {
    let mut line = Line::default().put("kind", generate.shape.name());
    for (key, value) in generate.shape.values() {
        // A whole number is written without its point.
        let text = if value.fract() == 0.0 {
            format!("{value:.0}")
        } else {
            json!(value).to_string()
        };
        line.0.push((key, text));
    }
    line.put("prefix", generate.prefix.as_str())
        .maybe("role", generate.role.map(role))
        .text()
}

fn import(import: &Import) -> String {
    let line = Line::default()
        .put("file", import.file.as_str())
        .put("prefix", import.prefix.as_str());
    line.maybe("largest", import.largest.then_some(true)).text()
}

fn role(role: Role) -> &'static str {
    let word = ROLES.iter().find(|(_, known)| *known == role);
    word.expect("every role has a word").0
}

fn node(spec: &NodeSpec) -> Line {
    Line::default()
        .put("id", spec.id.as_str())
        .list("files", spec.files.iter().map(file))
        .list(
            "share",
            spec.share
                .iter()
                .map(|path| Value::from(path.as_str()).to_string()),
        )
        .maybe("slots", spec.slots)
        .maybe("max_peers", spec.max_peers)
        .maybe("seen_cache", spec.seen_cache)
        .maybe("role", spec.role.map(role))
        .maybe("behaviour", spec.behaviour.map(Behaviour::word))
        .maybe("capacity", spec.capacity.map(capacity))
}

fn file(file: &File) -> String {
    let content = match file.fill {
        Fill::Seeded => "seeded",
        Fill::Zero => "zero",
    };
    Line::default()
        .put("name", file.name.as_str())
        .put("size", file.size)
        .put("fill", content)
        .text()
}

fn link(link: &Link) -> String {
    if link.traits == LinkTraits::default() {
        return format!(
            "[{}, {}]",
            Value::from(link.from.as_str()),
            Value::from(link.to.as_str())
        );
    }
    Line::default()
        .put("from", link.from.as_str())
        .put("to", link.to.as_str())
        .traits(&link.traits)
        .text()
}

fn content(content: &Content) -> Line {
    let copies = match content.copies {
        Copies::Fixed(n) => Line::default().put("fixed", n),
        Copies::Uniform(share) => Line::default().put("uniform", share),
        Copies::Proportional(share) => Line::default().put("proportional", share),
        Copies::SquareRoot(share) => Line::default().put("square-root", share),
    };
    Line::default()
        .put("files", content.files)
        .object("popularity", &Line::default().put("zipf", content.zipf))
        .object("copies", &copies)
        .put("size", content.size)
}

fn workload(workload: &Workload) -> Line {
    let line = Line::default().put("queries", workload.queries);
    let line = match workload.arrival {
        Arrival::Sequential => line.put("arrival", "sequential"),
        Arrival::Every(span) => line.object(
            "arrival",
            &Line::default().put("every", show_duration(span)),
        ),
        Arrival::Poisson(per_s) => line.object(
            "arrival",
            &Line::default().put("poisson", format!("{per_s}/s")),
        ),
    };
    line.put("from", workload.from.as_deref().unwrap_or("any"))
        .put("strategy", "flood")
        .maybe("ttl", workload.ttl)
}

pub(super) fn search(line: Line, search: &Search) -> Line {
    let from = match &search.from {
        Asker::Each => "each",
        Asker::Node(name) => name,
    };
    line.put("from", from)
        .put("query", search.query.as_str())
        .maybe("ttl", search.ttl)
        .maybe("hits", search.hits.map(|hits| hits.to_string()))
}
