//! Graphs of other programs: read into a [`Topology`], written from a [`Network`].
//!
//! One file a format; what is common to all stands here: names made fit, links between a node and itself or
//! twice between the same two left out and counted, the largest piece kept. Text in, text out: files are the
//! caller's business.

mod csv;
mod dot;
mod edges;
mod graphml;
mod mermaid;
pub mod packed;

use std::collections::BTreeMap;

use super::types::{Link, LinkTraits, NodeSpec, Topology};
use super::{Edge, Graph, LINKS_MAX, Links, NODES_MAX, Network, TopologyError};

/// A format that graphs come in, or go out in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Two names a line, `#` before comments: the edge lists of SNAP.
    Edges,
    /// Two columns of names, with a header or without.
    Csv,
    /// GraphML, as `NetworkX`, igraph, Gephi and yEd write it.
    GraphMl,
    /// The language of Graphviz.
    Dot,
    /// A Mermaid flowchart, for a page of documentation; written only.
    Mermaid,
}

impl Format {
    /// The formats that are read, by name.
    pub const READ: [(&'static str, Self); 4] = [
        ("edges", Self::Edges),
        ("csv", Self::Csv),
        ("graphml", Self::GraphMl),
        ("dot", Self::Dot),
    ];
    /// The formats that are written, by name.
    pub const WRITTEN: [(&'static str, Self); 5] = [
        ("edges", Self::Edges),
        ("csv", Self::Csv),
        ("graphml", Self::GraphMl),
        ("dot", Self::Dot),
        ("mermaid", Self::Mermaid),
    ];

    /// The format that a file of this name most likely has; `None`: the name says nothing.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        let (_, end) = name.rsplit_once('.')?;
        match end.to_ascii_lowercase().as_str() {
            "txt" | "edges" | "edgelist" | "el" => Some(Self::Edges),
            "csv" | "tsv" => Some(Self::Csv),
            "graphml" | "xml" => Some(Self::GraphMl),
            "dot" | "gv" => Some(Self::Dot),
            _ => None,
        }
    }
}

/// Tells the place that is being read, for an error: finding it may be slow.
type Place<'a> = &'a dyn Fn() -> String;

/// A graph as somebody else wrote it: names as they stand there, links as they come.
#[derive(Debug, Default)]
struct Drawing {
    names: Vec<String>,
    by_name: BTreeMap<String, u32>,
    links: Vec<(u32, u32)>,
}

impl Drawing {
    /// The node of that name, new or known.
    ///
    /// # Errors
    /// There are [`NODES_MAX`] already.
    fn node(&mut self, name: &str, place: Place<'_>) -> Result<u32, TopologyError> {
        if let Some(node) = self.by_name.get(name) {
            return Ok(*node);
        }
        if self.names.len() >= NODES_MAX {
            let message = format!("there are more than {NODES_MAX} nodes");
            return Err(TopologyError::new(place(), message));
        }
        let node = u32::try_from(self.names.len()).expect("NODES_MAX fits");
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), node);
        Ok(node)
    }

    /// Links two nodes, which may be new.
    ///
    /// # Errors
    /// There are too many nodes or links.
    fn link(&mut self, from: &str, to: &str, place: Place<'_>) -> Result<(), TopologyError> {
        let (from, to) = (self.node(from, place)?, self.node(to, place)?);
        self.join(from, to, place)
    }

    fn join(&mut self, from: u32, to: u32, place: Place<'_>) -> Result<(), TopologyError> {
        if self.links.len() >= LINKS_MAX {
            let message = format!("there are more than {LINKS_MAX} links");
            return Err(TopologyError::new(place(), message));
        }
        self.links.push((from, to));
        Ok(())
    }
}

/// What of a graph is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Piece {
    /// All of it.
    #[default]
    Whole,
    /// Its largest connected piece.
    Largest,
}

/// What became of a graph on its way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Links of a node to itself.
    pub loops: usize,
    /// Links between two nodes that had one: the direction of a link means nothing here.
    pub doubles: usize,
    /// Nodes outside the largest piece.
    pub nodes: usize,
    /// Nodes whose names had to be changed.
    pub renamed: usize,
}

/// Reads a graph. Directions, weights and drawing hints of the other program are passed over.
///
/// # Errors
/// What is wrong, and in which line.
pub fn read(
    format: Format,
    text: &str,
    piece: Piece,
) -> Result<(Topology, LeftOut), TopologyError> {
    Ok(drawing(format, text)?.into_topology(piece))
}

fn drawing(format: Format, text: &str) -> Result<Drawing, TopologyError> {
    let drawing = match format {
        Format::Edges => edges::read(text)?,
        Format::Csv => csv::read(text)?,
        Format::GraphMl => graphml::read(text)?,
        Format::Dot => dot::read(text)?,
        Format::Mermaid => {
            return Err(TopologyError::new(
                "",
                "Mermaid is written only; give an edge list, CSV, GraphML or DOT",
            ));
        }
    };
    if drawing.names.is_empty() {
        return Err(TopologyError::new("", "there are no nodes in it"));
    }
    Ok(drawing)
}

/// Reads a graph as bare links: nodes by number, in the order in which the text names them.
///
/// # Errors
/// What is wrong, and in which line.
pub fn read_links(format: Format, text: &str) -> Result<Links, TopologyError> {
    let drawing = drawing(format, text)?;
    Ok(Links {
        nodes: u32::try_from(drawing.names.len()).expect("NODES_MAX fits"),
        pairs: plain(&drawing.links, &mut LeftOut::default()),
    })
}

/// Writes a graph.
pub fn write(format: Format, network: &Network) -> String {
    match format {
        Format::Edges => edges::write(network),
        Format::Csv => csv::write(network),
        Format::GraphMl => graphml::write(network),
        Format::Dot => dot::write(network),
        Format::Mermaid => mermaid::write(network),
    }
}

impl Drawing {
    fn into_topology(self, piece: Piece) -> (Topology, LeftOut) {
        let mut left = LeftOut::default();
        let links = plain(&self.links, &mut left);
        let keep = match piece {
            Piece::Whole => vec![true; self.names.len()],
            Piece::Largest => largest(self.names.len(), &links),
        };
        left.nodes = keep.iter().filter(|keep| !**keep).count();
        let names = fit(&self.names, &mut left);
        let id = |node: u32| names[node as usize].clone();
        let nodes = names.iter().zip(&keep).filter(|(_, keep)| **keep);
        let nodes = nodes.map(|(name, _)| NodeSpec {
            id: name.clone(),
            ..NodeSpec::default()
        });
        // Of a link, both ends are in one piece.
        let links = links.iter().filter(|(from, _)| keep[*from as usize]);
        let links = links.map(|&(from, to)| Link {
            from: id(from),
            to: id(to),
            traits: LinkTraits::default(),
        });
        let topology = Topology {
            nodes: nodes.collect(),
            links: links.collect(),
            ..Topology::default()
        };
        (topology, left)
    }
}

/// Each pair of nodes once, in the order in which they come.
fn plain(links: &[(u32, u32)], left: &mut LeftOut) -> Vec<(u32, u32)> {
    let key = |(a, b): (u32, u32)| (a.min(b), a.max(b));
    let mut order: Vec<usize> = (0..links.len()).collect();
    order.sort_by_key(|&at| (key(links[at]), at));
    let mut wanted = vec![true; links.len()];
    for (position, &at) in order.iter().enumerate() {
        if links[at].0 == links[at].1 {
            wanted[at] = false;
            left.loops += 1;
        } else if position > 0 && key(links[order[position - 1]]) == key(links[at]) {
            wanted[at] = false;
            left.doubles += 1;
        }
    }
    let wanted = links.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    wanted.map(|(link, _)| *link).collect()
}

/// Which nodes are in the largest connected piece; of equal ones the first.
pub(super) fn largest(nodes: usize, links: &[(u32, u32)]) -> Vec<bool> {
    let edges: Vec<Edge> = links
        .iter()
        .map(|&(a, b)| Edge { a, b, traits: 0 })
        .collect();
    let (of, count) = Graph::new(nodes, &edges).components();
    let mut sizes = vec![0_usize; count as usize];
    for &component in &of {
        sizes[component as usize] += 1;
    }
    let most = sizes.iter().max().copied().unwrap_or(0);
    let first = sizes.iter().position(|size| *size == most);
    of.iter()
        .map(|component| Some(*component as usize) == first)
        .collect()
}

/// Names that a topology file takes: what they may not have becomes `_`, and what became equal gets a number.
fn fit(names: &[String], left: &mut LeftOut) -> Vec<String> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let fits = |name: &String| super::is_id(name).then(|| name.clone());
    for name in names.iter().filter_map(fits) {
        taken.insert(name, 0);
    }
    let mut fitted = Vec::with_capacity(names.len());
    for name in names {
        if super::is_id(name) {
            fitted.push(name.clone());
            continue;
        }
        left.renamed += 1;
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') {
                c
            } else {
                '_'
            }
        };
        // Room for a number behind it.
        let mut base: String = name
            .chars()
            .map(plain)
            .take(super::ID_BYTES_MAX - 12)
            .collect();
        if !super::is_id(&base) {
            base.insert(0, 'n');
        }
        let mut unique = base.clone();
        while taken.contains_key(&unique) {
            let number = taken.entry(base.clone()).or_default();
            *number += 1;
            unique = format!("{base}_{number}");
        }
        taken.insert(unique.clone(), 0);
        fitted.push(unique);
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_doubles_and_small_pieces_are_left_out_and_counted() {
        let text = "a b\nb a\na a\nb c\nx y\n";
        let (whole, left) = read(Format::Edges, text, Piece::Whole).unwrap();
        assert_eq!((whole.nodes.len(), whole.links.len()), (5, 3));
        assert_eq!((left.loops, left.doubles, left.nodes), (1, 1, 0));
        let (largest, left) = read(Format::Edges, text, Piece::Largest).unwrap();
        assert_eq!(
            (largest.nodes.len(), largest.links.len(), left.nodes),
            (3, 2, 2)
        );
        assert!(Network::new(&largest).is_ok());
    }

    #[test]
    fn names_are_made_fit_and_stay_distinct() {
        let text = "\"a b\",\"a/b\"\n\"a b\",a_b\n\"../x\",a_b\n\"\u{202e}\",a_b\n";
        let (topology, left) = read(Format::Csv, text, Piece::Whole).unwrap();
        let ids: Vec<&str> = topology.nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["a_b_1", "a_b_2", "a_b", "n.._x", "n_"]);
        assert_eq!(left.renamed, 4);
        assert!(Network::new(&topology).is_ok());
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_graph() {
        let network = Network::new(&super::super::parse_spec("ba:n=40,m=2", 7).unwrap()).unwrap();
        for (name, format) in Format::READ {
            let text = write(format, &network);
            let (topology, left) = read(format, &text, Piece::Whole).unwrap();
            assert_eq!(left, LeftOut::default(), "{name}");
            let back = Network::new(&topology).unwrap();
            let pairs = |network: &Network| {
                let mut pairs: Vec<_> = network
                    .edges
                    .iter()
                    .map(|edge| [edge.a, edge.b].map(|node| network.names.name(node).into_owned()))
                    .collect();
                pairs.sort();
                pairs
            };
            assert_eq!(pairs(&back), pairs(&network), "{name}");
        }
    }

    #[test]
    fn the_name_of_a_file_tells_its_format() {
        assert_eq!(Format::of_name("p2p-Gnutella04.txt"), Some(Format::Edges));
        assert_eq!(Format::of_name("a.b.GraphML.gz"), Some(Format::GraphMl));
        assert_eq!(Format::of_name("net.json"), None);
    }
}
