//! `lab fault`: what is typed, as a deed for the keeper of a network.

use std::time::Duration;

use serde::Serialize;

use super::real::deed::{Change, Deed};
use super::real::desk;
use super::real::fleet::parts_per_million;
use super::real::keep;
use super::{source, up};
use crate::cli::args::lab::FaultArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Format, Output};
use crate::topology::events::{NodeClass, Times};
use crate::topology::{Network, parse_duration, parse_rate};

/// Stands between those whose frames are lost and those whom they do not reach.
const ONE_WAY: &str = "to";
/// Names listed in an error; more are counted.
const NAMES_SHOWN: usize = 16;

/// What `--json` prints.
#[derive(Serialize)]
struct FaultLine<'a> {
    net: &'a str,
    #[serde(rename = "do")]
    what: &'a str,
    said: &'a str,
    nodes: &'a [String],
    links: usize,
}

/// Does something to a network that is up, and says what came of it.
///
/// # Errors
/// No such network, node or link; what makes no sense now.
pub(super) fn run(args: &FaultArgs, out: &Output) -> Result<Exit, Failure> {
    let (found, state) = up::find(&args.which)?;
    let source = source::load(&found.dir.join(keep::TOPOLOGY).to_string_lossy(), None)?;
    let deed = deed(&source.network, &args.what, &args.words)?;
    let done = desk::ask(&found.dir, &deed)?;
    if out.format() == Format::Json {
        let line = FaultLine {
            net: &state.name,
            what: &args.what,
            said: &done.said,
            nodes: &done.nodes,
            links: done.links,
        };
        out.json("fault", &line)?;
    } else {
        out.line(&format!("{}: {}", state.name, done.said))?;
    }
    Ok(Exit::Good)
}

/// The deed that is meant.
fn deed(network: &Network, what: &str, words: &[String]) -> Result<Deed, Failure> {
    let names = Named(network);
    match what {
        "kill" => Ok(Deed::Kill {
            nodes: names.some_nodes(what, words)?,
        }),
        "leave" => Ok(Deed::Leave {
            nodes: names.some_nodes(what, words)?,
        }),
        "restart" => Ok(Deed::Restart {
            nodes: names.some_nodes(what, words)?,
        }),
        "cut" if words.is_empty() => Err(usage("name the links to cut, such as n0-n1")),
        "cut" => Ok(Deed::Cut {
            links: names.links(words)?,
        }),
        "partition" => names.groups(words),
        "heal" if words.is_empty() => Ok(Deed::Heal { changes: true }),
        "heal" => Err(usage("heal is for the whole network: name no nodes")),
        "churn" => names.churn(words),
        "delay" | "drop" | "rate" => {
            let (value, links) = words
                .split_first()
                .ok_or_else(|| usage(format!("say how much: {}", example(what))))?;
            let to = change(what, value).ok_or_else(|| {
                usage(format!("{value:?} is no {what}; such as {}", example(what)))
            })?;
            Ok(Deed::Change {
                links: names.links(links)?,
                to,
            })
        }
        _ => unreachable!("the parser lets no others through"),
    }
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, text)
}

fn example(what: &str) -> &'static str {
    match what {
        "delay" => "delay 40ms, or delay 40ms+10ms n0-n1 with jitter",
        "drop" => "drop 0.05, or drop 5% n0-n1",
        _ => "rate 100kB/s, or rate none n0-n1",
    }
}

fn change(what: &str, value: &str) -> Option<Change> {
    let micros = |text: &str| u64::try_from(parse_duration(text)?.as_micros()).ok();
    let mut to = Change::default();
    match what {
        "delay" => {
            let (delay, jitter) = value.split_once('+').unwrap_or((value, "0ms"));
            (to.delay_us, to.jitter_us) = (Some(micros(delay)?), Some(micros(jitter)?));
        }
        "drop" => {
            let chance = match value.strip_suffix('%') {
                Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
                None => value.parse().ok()?,
            };
            if !(0.0..=1.0).contains(&chance) {
                return None;
            }
            to.drop_ppm = Some(parts_per_million(chance));
        }
        _ if value == "none" => to.rate = Some(0),
        _ => to.rate = Some(parse_rate(value).filter(|rate| *rate > 0)?),
    }
    Some(to)
}

/// Nodes and links of a network by name.
struct Named<'a>(&'a Network);

impl Named<'_> {
    fn all(&self) -> Vec<u32> {
        self.0.names.in_natural_order()
    }

    fn list(&self, nodes: &[u32]) -> String {
        let shown = nodes.iter().take(NAMES_SHOWN);
        let names: Vec<_> = shown.map(|node| self.0.names.name(*node)).collect();
        let more = match nodes.len().saturating_sub(NAMES_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", names.join(" "))
    }

    fn node(&self, name: &str) -> Result<u32, Failure> {
        self.0.names.find(name).ok_or_else(|| {
            let near = self.0.names.nearest(name);
            let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
            let all = self.list(&self.all());
            usage(format!("there is no node {name:?}; {near}There are: {all}"))
        })
    }

    /// `n0`, `n0..n5`, `a*`, and several with commas between.
    fn nodes(&self, text: &str) -> Result<Vec<u32>, Failure> {
        let mut nodes = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let picked = self.0.names.pick(part);
            nodes.extend(picked.map_err(|why| {
                let all = self.list(&self.all());
                usage(format!("{why}; there are: {all}"))
            })?);
        }
        Ok(nodes)
    }

    fn some_nodes(&self, what: &str, words: &[String]) -> Result<Vec<u32>, Failure> {
        let mut nodes = Vec::new();
        for word in words {
            nodes.extend(self.nodes(word)?);
        }
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.is_empty() {
            let all = self.list(&self.all());
            return Err(usage(format!("name the nodes to {what}; there are: {all}")));
        }
        Ok(nodes)
    }

    /// Links such as `n0-n1`.
    fn links(&self, words: &[String]) -> Result<Vec<usize>, Failure> {
        words.iter().map(|word| self.link(word)).collect()
    }

    fn link(&self, word: &str) -> Result<usize, Failure> {
        // Names may have a dash themselves.
        let ends = word.match_indices('-').find_map(|(at, _)| {
            let find = |name: &str| self.0.names.find(name);
            find(&word[..at]).zip(find(&word[at + 1..]))
        });
        let Some((a, b)) = ends else {
            let (a, b) = word.split_once('-').ok_or_else(|| {
                usage(format!(
                    "{word:?} is no link: name both ends, such as n0-n1"
                ))
            })?;
            self.node(a)?;
            self.node(b)?;
            return Err(usage(format!("{word:?} is no link")));
        };
        let edges = self.0.edges.iter();
        let found = edges
            .clone()
            .position(|edge| [(a, b), (b, a)].contains(&(edge.a, edge.b)));
        found.ok_or_else(|| {
            let other = |edge: &crate::topology::Edge| match (edge.a == a, edge.b == a) {
                (true, _) => Some(edge.b),
                (_, true) => Some(edge.a),
                _ => None,
            };
            let neighbours: Vec<u32> = edges.filter_map(other).collect();
            let (a, b) = (self.0.names.name(a), self.0.names.name(b));
            let neighbours = self.list(&neighbours);
            usage(format!(
                "{a} and {b} are not linked; {a} is linked to: {neighbours}"
            ))
        })
    }

    /// `n0..n5 / n6..n11`; one group is parted from the rest.
    fn groups(&self, words: &[String]) -> Result<Deed, Failure> {
        if let Some(at) = words.iter().position(|word| word == ONE_WAY) {
            return self.one_way(&words[..at], &words[at + 1..]);
        }
        let text = words.join(",");
        let groups = text.split('/').map(|group| self.nodes(group));
        let groups: Vec<Vec<u32>> = groups.collect::<Result<_, _>>()?;
        if groups.iter().any(Vec::is_empty) {
            return Err(usage(
                "name the groups with / between, such as: partition n0..n5 / n6..n11",
            ));
        }
        let mut seen = vec![false; self.0.names.len()];
        for node in groups.iter().flatten() {
            if std::mem::replace(&mut seen[*node as usize], true) {
                let name = self.0.names.name(*node);
                return Err(usage(format!("{name} is in two groups, or twice in one")));
            }
        }
        Ok(Deed::Partition { groups })
    }

    /// `n0..n5 to n6..n11`: nothing passes that way.
    fn one_way(&self, from: &[String], to: &[String]) -> Result<Deed, Failure> {
        let (from, to) = (self.some_nodes("part", from)?, self.some_nodes("part", to)?);
        match from.iter().find(|node| to.contains(node)) {
            None => Ok(Deed::OneWay { from, to }),
            Some(both) => {
                let name = self.0.names.name(*both);
                Err(usage(format!("{name} is on both sides")))
            }
        }
    }

    fn churn(&self, words: &[String]) -> Result<Deed, Failure> {
        if let [off] = words
            && off == "off"
        {
            return Ok(Deed::Calm);
        }
        let how = "say for how long nodes are up and down on average, such as: churn 30s 10s, or churn 30s 10s n4..n9; as on \
                   real networks, sixty times faster: churn usual x60; or churn off";
        let time = |text: &String| {
            let span = parse_duration(text).filter(|span| !span.is_zero());
            span.ok_or_else(|| usage(format!("{text:?} is no time; {how}")))
        };
        let (times, nodes) = match words {
            [usual, nodes @ ..] if usual == "usual" => {
                let speed = nodes.first().and_then(|word| word.strip_prefix('x'));
                match speed.and_then(|speed| speed.parse().ok()) {
                    Some(speed) => (classes(speed).ok_or_else(|| usage(how))?, &nodes[1..]),
                    None => (Times::Classes(NodeClass::USUAL.to_vec()), nodes),
                }
            }
            [up, down, nodes @ ..] => {
                let (up, down) = (time(up)?, time(down)?);
                (Times::Memoryless { up, down }, nodes)
            }
            _ => return Err(usage(how)),
        };
        let nodes = if nodes.is_empty() {
            Vec::new()
        } else {
            self.some_nodes("churn", nodes)?
        };
        Ok(Deed::Churn {
            nodes,
            crash: 1.0,
            before: Duration::ZERO,
            times,
        })
    }
}

/// The usual classes so many times faster.
fn classes(speed: f64) -> Option<Times> {
    let usable = speed.is_finite() && (1e-3..=1e6).contains(&speed);
    let faster = |class: NodeClass| NodeClass {
        up: class.up.div_f64(speed),
        down: class.down.div_f64(speed),
        ..class
    };
    usable.then(|| Times::Classes(NodeClass::USUAL.map(faster).to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse;

    fn network() -> Network {
        let text = r#"{"filbert": "topology/1", "generate": [{"kind": "ring", "n": 12}],
            "nodes": [{"id": "a-b"}, {"id": "a-c"}], "links": [["a-b", "a-c"], ["a-b", "n0"]]}"#;
        Network::new(&parse(text).unwrap()).unwrap()
    }

    fn typed(text: &str) -> Result<Deed, Failure> {
        let mut words = text.split(' ').map(str::to_owned);
        let what = words.next().unwrap();
        deed(&network(), &what, &words.collect::<Vec<_>>())
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
        for (text, meant) in [
            ("kill n3", Deed::Kill { nodes: vec![3] }),
            (
                "restart n9..n11,n2 n2",
                Deed::Restart {
                    nodes: vec![2, 9, 10, 11],
                },
            ),
            ("cut n1-n0 a-b-a-c", Deed::Cut { links: vec![0, 12] }),
            (
                "partition n0..n2 n5 / a*",
                Deed::Partition {
                    groups: vec![vec![0, 1, 2, 5], vec![12, 13]],
                },
            ),
            ("heal", Deed::Heal { changes: true }),
            (
                "delay 40ms+5ms n0-n1",
                Deed::Change {
                    links: vec![0],
                    to: Change {
                        delay_us: Some(40_000),
                        jitter_us: Some(5_000),
                        ..Change::default()
                    },
                },
            ),
            (
                "drop 5%",
                Deed::Change {
                    links: vec![],
                    to: Change {
                        drop_ppm: Some(50_000),
                        ..Change::default()
                    },
                },
            ),
            (
                "rate none",
                Deed::Change {
                    links: vec![],
                    to: Change {
                        rate: Some(0),
                        ..Change::default()
                    },
                },
            ),
            (
                "churn 30s 500ms n4",
                Deed::Churn {
                    nodes: vec![4],
                    crash: 1.0,
                    before: Duration::ZERO,
                    times: Times::Memoryless {
                        up: Duration::from_secs(30),
                        down: Duration::from_millis(500),
                    },
                },
            ),
            (
                "churn usual n4..n5",
                Deed::Churn {
                    nodes: vec![4, 5],
                    crash: 1.0,
                    before: Duration::ZERO,
                    times: Times::Classes(NodeClass::USUAL.to_vec()),
                },
            ),
            ("leave n3 n2", Deed::Leave { nodes: vec![2, 3] }),
            (
                "partition n0 n2..n3 to a*",
                Deed::OneWay {
                    from: vec![0, 2, 3],
                    to: vec![12, 13],
                },
            ),
            ("churn off", Deed::Calm),
        ] {
            assert_eq!(typed(text).unwrap(), meant, "{text}");
        }
    }

    #[test]
    fn usual_churn_comes_faster() {
        let Deed::Churn {
            times: Times::Classes(classes),
            nodes,
            ..
        } = typed("churn usual x60").unwrap()
        else {
            panic!("classes")
        };
        assert_eq!((classes.len(), nodes.len()), (2, 0));
        assert_eq!(classes[0].up, Duration::from_secs(30));
        assert_eq!(classes[1].shape.to_bits(), 0.4_f64.to_bits());
    }

    #[test]
    fn what_makes_no_sense_names_the_thing_and_the_choices() {
        for (text, parts) in [
            (
                "kill n30",
                &["\"n30\"", "did you mean \"n", "there are: a-b a-c n0 n1"][..],
            ),
            ("kill", &["name the nodes to kill", "n11"]),
            ("kill z*", &["\"z\"", "n0"]),
            ("restart n5..n3", &["n5..n3"]),
            ("cut", &["n0-n1"]),
            ("cut n0", &["both ends"]),
            ("cut n0-n5", &["n0 and n5 are not linked", "n1 n11 a-b"]),
            ("cut n0-m5", &["\"m5\""]),
            ("partition n0 /", &["/ between"]),
            ("partition n0 / n0", &["n0 is in two groups"]),
            ("heal n0", &["name no nodes"]),
            ("delay", &["40ms"]),
            ("delay fast", &["\"fast\"", "40ms"]),
            ("drop 1.5", &["0.05"]),
            ("rate 0B/s", &["100kB/s"]),
            ("churn 3s", &["churn 30s 10s"]),
            ("churn 3s 0s", &["\"0s\""]),
            ("churn usual x0", &["x60"]),
            ("churn usual x-3", &["x60"]),
            ("churn usual 60", &["\"60\""]),
            ("partition n0 to", &["name the nodes to part"]),
            ("partition n0..n3 to n3", &["n3 is on both sides"]),
        ] {
            let failure = typed(text).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text}");
            for part in parts {
                assert!(failure.message.contains(part), "{text}: {failure}");
            }
        }
    }
}
