//! The topology that a file or a short text means.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::graphs;
use crate::cli::exit::{Exit, Failure};
use crate::topology::events::Act;
use crate::topology::plan::Wish;
use crate::topology::{Network, Topology, parse, parse_spec};

/// Seed of a shape that is given without one.
const SEED: u64 = 1;

/// A topology, drawn and resolved, and where its relative paths begin.
#[derive(Clone, Debug)]
pub struct Source {
    /// As written.
    pub topology: Topology,
    /// What it means.
    pub network: Network,
    /// The folder that `share` paths are relative to.
    pub base: PathBuf,
}

impl Source {
    /// Has the searches of events obey the command line as others do.
    pub fn obey(&mut self, wish: Wish) {
        let Some(ttl) = wish.ttl else { return };
        for step in &mut self.network.events {
            match &mut step.act {
                Act::Search(search) | Act::Expect { search, .. } => search.ttl = Some(ttl),
                _ => {}
            }
        }
    }

    /// The topology as it needs no other graph: those of other files are written out.
    pub fn standing_alone(&self) -> Topology {
        if self.topology.import.is_empty() {
            self.topology.clone()
        } else {
            self.network.spelled_out(&self.topology)
        }
    }
}

/// Reads `text` as a file if there is one of that name, or as a shape such as `ring:12`; `-` is standard
/// input. A `seed` takes the place of the file's.
///
/// # Errors
/// It is neither, or says something wrong: with the place in the file and the way out.
pub fn load(text: &str, seed: Option<u64>) -> Result<Source, Failure> {
    let path = Path::new(text);
    let is_file = text == "-" || path.exists() || path.extension().is_some_and(|end| end == "json");
    if !is_file {
        return shape(text, seed);
    }
    let mut topology = read(text)?;
    topology.seed = seed.unwrap_or(topology.seed);
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    for import in &mut topology.import {
        let file = base.join(&import.file);
        let read = graphs::links(&file).map_err(|error| {
            let place = format!("import: {}: {error}", file.display());
            wrong(text, &place)
        })?;
        import.links = Some(Arc::new(if import.largest { read.largest() } else { read }));
    }
    draw(text, topology, base)
}

/// A shape such as `ring:12`, drawn.
///
/// # Errors
/// What is wrong with it, with examples.
pub fn shape(text: &str, seed: Option<u64>) -> Result<Source, Failure> {
    draw(text, spec(text, seed)?, PathBuf::new())
}

fn draw(text: &str, topology: Topology, base: PathBuf) -> Result<Source, Failure> {
    let network = Network::new(&topology).map_err(|error| wrong(text, &error.to_string()))?;
    Ok(Source {
        topology,
        network,
        base,
    })
}

/// A shape from a short text.
///
/// # Errors
/// What is wrong with it, with examples.
pub fn spec(text: &str, seed: Option<u64>) -> Result<Topology, Failure> {
    parse_spec(text, seed.unwrap_or(SEED))
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

fn read(name: &str) -> Result<Topology, Failure> {
    let text = if name == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(name)
    };
    let text = text.map_err(|error| {
        let hint = "name a topology file, or a shape such as ring:12";
        Failure::new(Exit::Usage, format!("cannot read {name}: {error}; {hint}"))
    })?;
    parse(&text).map_err(|error| wrong(name, &error.to_string()))
}

fn wrong(name: &str, message: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{name}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_and_a_file_mean_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rr.json");
        let drawn = load("rr:n=8,k=3", Some(7)).unwrap();
        std::fs::write(&path, drawn.topology.to_json()).unwrap();
        let read = load(path.to_str().unwrap(), None).unwrap();
        assert_eq!(read.network.edges, drawn.network.edges);
        assert_eq!(read.base, dir.path());
        let other = load(path.to_str().unwrap(), Some(8)).unwrap();
        assert_ne!(other.network.edges, drawn.network.edges);
    }

    #[test]
    fn what_is_neither_file_nor_shape_is_an_error_that_names_it() {
        for (text, part) in [
            ("nowhere.json", "nowhere.json"),
            ("rng:12", "ring"),
            ("ring:x", "number"),
        ] {
            let failure = load(text, None).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(part), "{text}: {failure}");
        }
    }
}
