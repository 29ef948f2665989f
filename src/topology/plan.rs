//! Who has which made-up file and who asks what: drawn from the seed, the same for every engine.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;

use super::events::{Act, Step};
use super::types::{Amount, Arrival, Asker, Content, Copies, File, Fill};
use super::{Network, dice};

/// TTL of lab queries when nothing says otherwise: the classic one of the protocol.
pub const LAB_TTL: u8 = 7;
/// Queries asked when neither file nor flag says how many.
const QUERIES: usize = 20;
/// Different files spread when the file has none: as many as default queries.
const FILES: usize = 20;
/// Copies of each of those.
const COPIES: usize = 2;
/// Purposes of randomness.
const PLACE_PURPOSE: u64 = 4 << 32;
const ASK_PURPOSE: u64 = 5 << 32;

/// What the command line may say instead of the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Queries of the workload.
    pub queries: Option<usize>,
    /// TTL of all queries.
    pub ttl: Option<u8>,
}

/// One query to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Who.
    pub from: u32,
    /// Words.
    pub query: String,
    /// TTL.
    pub ttl: u8,
    /// When, since the start of the workload; `None`: when the one before is over.
    pub at: Option<Duration>,
    /// What it must find.
    pub expect: Option<Amount>,
    /// The asker was drawn: when it is away another may ask in its place.
    pub anyone: bool,
}

/// All made-up files and all queries of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Made-up files of each node that has any; they lie in a folder [`FILES_FOLDER`](super::FILES_FOLDER).
    pub files: BTreeMap<u32, Vec<File>>,
    /// Queries: first the searches of the file, then the workload.
    pub asks: Vec<Ask>,
}

/// Draws files and queries.
pub fn plan(network: &Network, wish: Wish) -> Plan {
    let mut plan = Plan::default();
    for (node, spec) in &network.nodes {
        if !spec.files.is_empty() && network.gives(*node) {
            plan.files.insert(*node, spec.files.clone());
        }
    }
    let shares = network.nodes.values().any(|spec| !spec.share.is_empty());
    let asks = |step: &Step| matches!(step.act, Act::Search(_) | Act::Expect { .. });
    let nothing_said = network.searches.is_empty()
        && network.workload.is_none()
        && !network.events.iter().any(asks);
    let queries = wish
        .queries
        .or(network.workload.as_ref().map(|workload| workload.queries))
        .or_else(|| nothing_said.then_some(QUERIES))
        .unwrap_or(0);
    let fallback = Content {
        files: FILES,
        zipf: 0.0,
        copies: Copies::Fixed(COPIES),
        size: 1_000,
    };
    let content = match &network.content {
        Some(content) => Some(content),
        None if queries > 0 && plan.files.is_empty() && !shares => Some(&fallback),
        None => None,
    };
    let ttl = |own: Option<u8>| wish.ttl.or(own).or(network.defaults.ttl).unwrap_or(LAB_TTL);
    for search in &network.searches {
        let askers = match &search.from {
            Asker::Each => network.names.in_natural_order(),
            Asker::Node(name) => network.names.find(name).into_iter().collect(),
        };
        plan.asks.extend(askers.into_iter().map(|from| Ask {
            from,
            query: search.query.clone(),
            ttl: ttl(search.ttl),
            at: None,
            expect: search.hits,
            anyone: false,
        }));
    }
    let subjects = match content {
        Some(content) => {
            place(network, content, &mut plan.files);
            Subjects::Content(popularity(content))
        }
        None => Subjects::Names(
            plan.files
                .values()
                .flatten()
                .map(|file| file.name.clone())
                .collect(),
        ),
    };
    if let Subjects::Names(names) = &subjects
        && names.is_empty()
    {
        return plan;
    }
    ask(
        network,
        queries,
        ttl(network.workload.as_ref().and_then(|workload| workload.ttl)),
        &subjects,
        &mut plan.asks,
    );
    plan
}

/// What the workload asks for.
enum Subjects {
    /// Spread files, by cumulated popularity.
    Content(Vec<f64>),
    /// The files that the topology names, all alike.
    Names(Vec<String>),
}

fn ask(network: &Network, queries: usize, ttl: u8, subjects: &Subjects, asks: &mut Vec<Ask>) {
    let mut rng = dice::seeded(network.seed, ASK_PURPOSE);
    let workload = network.workload.as_ref();
    let asker = workload
        .and_then(|workload| workload.from.as_ref())
        .and_then(|name| network.names.find(name));
    let nodes = u32::try_from(network.names.len()).expect("nodes are counted in 32 bits");
    let mut clock = Duration::ZERO;
    for _ in 0..queries {
        let at = match workload
            .map(|workload| workload.arrival)
            .unwrap_or_default()
        {
            Arrival::Sequential => None,
            Arrival::Every(span) => {
                clock += span;
                Some(clock)
            }
            Arrival::Poisson(per_s) => {
                clock +=
                    Duration::from_secs_f64((-(1.0 - dice::unit(&mut rng)).ln() / per_s).min(1e6));
                Some(clock)
            }
        };
        let query = match subjects {
            Subjects::Content(cumulated) => {
                let total = cumulated.last().copied().unwrap_or(0.0);
                let drawn = dice::unit(&mut rng) * total;
                let rank = cumulated
                    .partition_point(|sum| *sum <= drawn)
                    .min(cumulated.len() - 1);
                title(rank)
            }
            Subjects::Names(names) => words(&names[dice::pick(&mut rng, names.len())]),
        };
        let from = asker.unwrap_or_else(|| dice::node(&mut rng, nodes));
        asks.push(Ask {
            from,
            query,
            ttl,
            at,
            expect: None,
            anyone: asker.is_none(),
        });
    }
}

/// The words of a file's base name without its extension.
fn words(path: &str) -> String {
    let base = path.rsplit('/').next().unwrap_or(path);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    stem.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Popularity of each file, cumulated: rank r has weight r^-zipf.
fn popularity(content: &Content) -> Vec<f64> {
    let mut sum = 0.0;
    (1..=content.files)
        .map(|rank| {
            #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^53")]
            let weight = (rank as f64).powf(-content.zipf);
            sum += weight;
            sum
        })
        .collect()
}

/// Gives copies of each file to nodes drawn at random.
fn place(network: &Network, content: &Content, files: &mut BTreeMap<u32, Vec<File>>) {
    let mut rng: ChaCha8Rng = dice::seeded(network.seed, PLACE_PURPOSE);
    let mut givers: Vec<u32> = (0..u32::try_from(network.names.len()).expect("counted in 32 bits"))
        .filter(|node| network.gives(*node))
        .collect();
    if givers.is_empty() {
        return;
    }
    for (rank, copies) in copies(content, network.names.len()).into_iter().enumerate() {
        let file = File {
            name: format!("{}.dat", title(rank)),
            size: content.size,
            fill: Fill::Seeded,
        };
        for first in 0..copies.min(givers.len()) {
            // The first steps of a shuffle: nodes drawn without a second turn for any.
            let drawn = first + dice::pick(&mut rng, givers.len() - first);
            givers.swap(first, drawn);
            files.entry(givers[first]).or_default().push(file.clone());
        }
    }
}

/// Copies of each file.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "far below 2^53"
)]
fn copies(content: &Content, nodes: usize) -> Vec<usize> {
    let shared_out = |mean_share: f64, power: f64| {
        let weights: Vec<f64> = (1..=content.files)
            .map(|rank| (rank as f64).powf(-content.zipf * power))
            .collect();
        let (sum, all) = (
            weights.iter().sum::<f64>(),
            mean_share * nodes as f64 * content.files as f64,
        );
        weights
            .iter()
            .map(|weight| ((all * weight / sum).round() as usize).clamp(1, nodes))
            .collect()
    };
    match content.copies {
        Copies::Fixed(copies) => vec![copies.min(nodes); content.files],
        Copies::Uniform(share) => shared_out(share, 0.0),
        Copies::Proportional(share) => shared_out(share, 1.0),
        Copies::SquareRoot(share) => shared_out(share, 0.5),
    }
}

/// A word for the spread file of that rank: no two files share one, and it can be said aloud.
fn title(rank: usize) -> String {
    const HEADS: [&str; 16] = [
        "b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z",
    ];
    const TAILS: [&str; 5] = ["a", "e", "i", "o", "u"];
    let (mut rest, mut word) = (rank, String::new());
    for at_least in (0..3).rev() {
        word.push_str(HEADS[rest % HEADS.len()]);
        rest /= HEADS.len();
        word.push_str(TAILS[rest % TAILS.len()]);
        rest /= TAILS.len();
        while at_least == 0 && rest > 0 {
            word.push_str(HEADS[rest % HEADS.len()]);
            rest /= HEADS.len();
            word.push_str(TAILS[rest % TAILS.len()]);
            rest /= TAILS.len();
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{parse, parse_spec};
    use std::collections::BTreeSet;

    fn network(text: &str) -> Network {
        Network::new(&parse(&format!(r#"{{"filbert": "topology/1", {text}}}"#)).unwrap()).unwrap()
    }

    #[test]
    fn no_two_files_share_a_title() {
        let titles: BTreeSet<String> = (0..600_000).map(title).collect();
        assert_eq!(titles.len(), 600_000);
    }

    #[test]
    fn copies_follow_popularity() {
        let content = |copies| Content {
            files: 100,
            zipf: 1.0,
            copies,
            size: 1,
        };
        let total = |copies| super::copies(&content(copies), 1000).iter().sum::<usize>();
        assert_eq!(total(Copies::Fixed(3)), 300);
        assert_eq!(total(Copies::Uniform(0.02)), 2000);
        let proportional = super::copies(&content(Copies::Proportional(0.02)), 1000);
        let root = super::copies(&content(Copies::SquareRoot(0.02)), 1000);
        assert!((1900..2100).contains(&proportional.iter().sum::<usize>()));
        assert!((1900..2100).contains(&root.iter().sum::<usize>()));
        assert!(proportional[0] > root[0] && proportional[99] < root[99]);
    }

    #[test]
    fn copies_lie_on_different_nodes_and_free_riders_have_none() {
        let network = network(
            r#""generate": [{"kind": "ring", "n": 6}], "nodes": [{"id": "n2", "behaviour": "free-rider"}],
               "content": {"files": 4, "copies": {"fixed": 9}}, "workload": {"queries": 3}"#,
        );
        let plan = plan(&network, Wish::default());
        assert_eq!(
            plan.files.keys().copied().collect::<Vec<_>>(),
            [0, 1, 3, 4, 5]
        );
        assert!(plan.files.values().all(|files| files.len() == 4));
        assert_eq!(plan.asks.len(), 3);
    }

    #[test]
    fn searches_come_first_and_the_command_line_has_the_last_word() {
        let network = network(
            r#""generate": [{"kind": "ring", "n": 12}], "defaults": {"ttl": 3},
               "nodes": [{"id": "n5", "files": [{"name": "a/Moby_Dick (2).txt"}]}],
               "searches": [{"from": "each", "query": "moby", "hits": ">=1", "ttl": 9}],
               "workload": {"queries": 2, "from": "n10", "arrival": {"every": "1s"}}"#,
        );
        let asks = plan(&network, Wish::default()).asks;
        assert_eq!(
            asks.iter().map(|ask| ask.from).collect::<Vec<_>>(),
            (0..12).chain([10, 10]).collect::<Vec<_>>()
        );
        assert_eq!((asks[0].ttl, asks[12].ttl), (9, 3));
        assert_eq!(
            (asks[13].query.as_str(), asks[13].at),
            ("Moby Dick 2", Some(Duration::from_secs(2)))
        );
        let asks = plan(
            &network,
            Wish {
                queries: Some(1),
                ttl: Some(255),
            },
        )
        .asks;
        assert_eq!(asks.len(), 13);
        assert!(asks.iter().all(|ask| ask.ttl == 255));
    }

    #[test]
    fn a_bare_graph_gets_files_and_queries_that_find_them() {
        let network = Network::new(&parse_spec("rr:n=64,k=4", 7).unwrap()).unwrap();
        let plan = plan(&network, Wish::default());
        assert_eq!(plan.files.values().map(Vec::len).sum::<usize>(), 40);
        let names: BTreeSet<String> = plan
            .files
            .values()
            .flatten()
            .map(|file| words(&file.name))
            .collect();
        assert!(plan.asks.len() == 20 && plan.asks.iter().all(|ask| names.contains(&ask.query)));
    }
}
