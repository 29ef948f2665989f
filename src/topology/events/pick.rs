//! Which nodes and links are meant by what a file or a command names.

use super::{Act, Between, Who};
use crate::topology::{Names, Network, TopologyError, dice};

/// Purpose of the randomness that draws a share of the nodes; the number of the event is added.
const SHARE_PURPOSE: u64 = 7 << 32;

impl Names {
    /// The nodes that one text means: an id, `a*` for all ids that begin so, `n0..n5` for those from one to another in
    /// the order of counting. A text that is the id of a node means that one. Never empty.
    ///
    /// # Errors
    /// Nothing is called so, with a guess; a range that runs backwards.
    pub fn pick(&self, text: &str) -> Result<Vec<u32>, String> {
        let one = |name: &str| {
            self.find(name).ok_or_else(|| match self.nearest(name) {
                Some(near) => format!("there is no node {name:?}; did you mean {near:?}?"),
                None => format!("there is no node {name:?}"),
            })
        };
        if let Some(node) = self.find(text) {
            return Ok(vec![node]);
        }
        if let Some(prefix) = text.strip_suffix('*') {
            let mut all = self.in_natural_order();
            all.retain(|node| self.name(*node).starts_with(prefix));
            return if all.is_empty() {
                Err(format!("no node begins with {prefix:?}"))
            } else {
                Ok(all)
            };
        }
        let Some((first, last)) = text.split_once("..") else {
            return one(text).map(|node| vec![node]);
        };
        let (first, last) = (one(first)?, one(last)?);
        let all = self.in_natural_order();
        let place = |node: u32| all.iter().position(|known| *known == node);
        let range = place(first).zip(place(last));
        let range = range.and_then(|(from, to)| all.get(from..=to));
        range
            .map(<[u32]>::to_vec)
            .ok_or_else(|| format!("{text}: the second node comes before the first"))
    }
}

impl Network {
    /// The nodes of these names (see [`Names::pick`]), each once, in rising order.
    ///
    /// # Errors
    /// As [`Names::pick`].
    pub fn named(&self, names: &[String]) -> Result<Vec<u32>, String> {
        let mut nodes = Vec::new();
        for name in names {
            nodes.extend(self.names.pick(name)?);
        }
        nodes.sort_unstable();
        nodes.dedup();
        Ok(nodes)
    }

    /// The links between these ends, as positions in [`edges`](Self::edges). Never empty.
    ///
    /// # Errors
    /// An end that is no node; no link between them.
    pub fn between(&self, between: &Between) -> Result<Vec<usize>, String> {
        let end = |names: &[String]| -> Result<Option<Vec<bool>>, String> {
            if names.is_empty() {
                return Ok(None);
            }
            let mut within = vec![false; self.names.len()];
            for node in self.named(names)? {
                within[node as usize] = true;
            }
            Ok(Some(within))
        };
        let (from, to) = (end(&between.from)?, end(&between.to)?);
        let within = |end: &Option<Vec<bool>>, node: u32| {
            end.as_ref().is_none_or(|within| within[node as usize])
        };
        let spans = |a: u32, b: u32| within(&from, a) && within(&to, b);
        let links: Vec<usize> = self
            .edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| spans(edge.a, edge.b) || spans(edge.b, edge.a))
            .map(|(at, _)| at)
            .collect();
        if links.is_empty() {
            let shown = |names: &[String]| match names {
                [] => "others".to_owned(),
                names => names.join(", "),
            };
            return Err(format!(
                "no link leads from {} to {}",
                shown(&between.from),
                shown(&between.to)
            ));
        }
        Ok(links)
    }

    /// For each node the number of its group; nodes of no group have one of their own, with the highest number.
    ///
    /// # Errors
    /// A group that names no node; a node in two groups.
    pub fn grouped(&self, groups: &[Vec<String>]) -> Result<Vec<u32>, String> {
        let rest = u32::try_from(groups.len()).map_err(|_| "too many groups".to_owned())?;
        let mut of = vec![rest; self.names.len()];
        for (number, names) in (0..).zip(groups) {
            for node in self.named(names)? {
                let group = &mut of[node as usize];
                if *group != rest {
                    return Err(format!("{} is in two groups", self.names.name(node)));
                }
                *group = number;
            }
        }
        Ok(of)
    }

    /// The nodes that are not there at the start, because they join later; in rising order.
    pub fn joining(&self) -> Vec<u32> {
        let mut nodes: Vec<u32> = self
            .events
            .iter()
            .filter_map(|step| match &step.act {
                Act::Join(Who::Named(names)) => self.named(names).ok(),
                _ => None,
            })
            .flatten()
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

impl Who {
    /// The nodes that event number `event` of a file happens to, of those that it can happen to (`candidates`, in
    /// rising order): the named ones among them, or a share of them, drawn from the network's seed. The same in every
    /// engine.
    ///
    /// # Errors
    /// As [`Names::pick`].
    pub fn drawn(
        &self,
        network: &Network,
        event: usize,
        candidates: &[u32],
    ) -> Result<Vec<u32>, String> {
        match self {
            Self::Named(names) => {
                let mut nodes = network.named(names)?;
                nodes.retain(|node| candidates.binary_search(node).is_ok());
                Ok(nodes)
            }
            Self::Share(share) => {
                let mut rng = dice::seeded(network.seed, SHARE_PURPOSE + event as u64);
                let mut nodes = candidates.to_vec();
                dice::shuffle(&mut rng, &mut nodes);
                nodes.truncate(count(*share, nodes.len()));
                nodes.sort_unstable();
                Ok(nodes)
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share, 0 to 1, of a number of nodes"
)]
fn count(share: f64, of: usize) -> usize {
    (share * of as f64).round() as usize
}

impl Act {
    /// Whether every name in it means something in this network.
    pub(in crate::topology) fn check(
        &self,
        network: &Network,
        path: impl Fn(&str) -> String,
    ) -> Result<(), TopologyError> {
        super::check::act(self, network, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse;

    fn network() -> Network {
        let text = r#"{"filbert": "topology/1", "seed": 3, "generate": [{"kind": "ring", "n": 12}],
            "nodes": [{"id": "hub"}, {"id": "x0..x1"}], "links": [["hub", "n0"], ["n6", "hub"]]}"#;
        Network::new(&parse(text).unwrap()).unwrap()
    }

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn ids_beginnings_and_ranges_mean_nodes() {
        let network = network();
        let named = |names: &[&str]| network.named(&owned(names));
        assert_eq!(named(&["n3"]).unwrap(), [3]);
        assert_eq!(named(&["n9..n11", "n2", "n10"]).unwrap(), [2, 9, 10, 11]);
        assert_eq!(named(&["h*"]).unwrap(), [12]);
        assert_eq!(named(&["*"]).unwrap().len(), 14);
        assert_eq!(named(&["x0..x1"]).unwrap(), [13], "an id comes first");
        for (names, parts) in [
            ("n30", &["\"n30\"", "did you mean \"n"][..]),
            ("z*", &["begins with \"z\""]),
            ("n5..n3", &["n5..n3", "before"]),
            ("n0..z", &["\"z\""]),
        ] {
            let error = named(&[names]).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn links_are_found_from_either_end() {
        let network = network();
        let between = |from: &[&str], to: &[&str]| {
            network.between(&Between {
                from: owned(from),
                to: owned(to),
            })
        };
        assert_eq!(between(&["n1"], &["n0"]).unwrap(), [0]);
        assert_eq!(between(&["n0"], &["n1"]).unwrap(), [0]);
        assert_eq!(between(&["hub"], &[]).unwrap(), [12, 13]);
        assert_eq!(between(&[], &["hub"]).unwrap(), [12, 13]);
        assert_eq!(between(&["n0..n5"], &["n6..n11"]).unwrap(), [5, 11]);
        assert_eq!(between(&[], &[]).unwrap().len(), 14);
        assert!(between(&["n0"], &["n5"]).unwrap_err().contains("n0 to n5"));
    }

    #[test]
    fn nodes_of_no_group_form_one_and_nobody_is_in_two() {
        let network = network();
        let groups = |groups: &[&[&str]]| {
            let groups: Vec<Vec<String>> = groups.iter().map(|names| owned(names)).collect();
            network.grouped(&groups)
        };
        assert_eq!(
            groups(&[&["n0..n2"], &["hub", "n3"]]).unwrap(),
            [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 2]
        );
        assert!(
            groups(&[&["n0"], &["n*"]])
                .unwrap_err()
                .contains("n0 is in")
        );
    }

    #[test]
    fn a_share_is_drawn_from_those_that_it_can_happen_to_and_always_the_same() {
        let network = network();
        let candidates: Vec<u32> = (0..14).filter(|node| node % 2 == 0).collect();
        let drawn = |share: f64, event: usize| {
            Who::Share(share)
                .drawn(&network, event, &candidates)
                .unwrap()
        };
        assert_eq!(drawn(0.5, 0).len(), 4, "half of seven, rounded");
        assert_eq!(drawn(0.5, 0), drawn(0.5, 0));
        assert_ne!(drawn(0.5, 0), drawn(0.5, 1), "each event draws for itself");
        assert!(drawn(0.5, 0).iter().all(|node| node % 2 == 0));
        assert_eq!(drawn(1.0, 3), candidates);
        let named = Who::Named(owned(&["n0..n3"]));
        assert_eq!(named.drawn(&network, 0, &candidates).unwrap(), [0, 2]);
    }
}
