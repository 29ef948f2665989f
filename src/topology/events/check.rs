//! Whether the names in an event mean something.

use super::{Act, Between, Partition, Who};
use crate::topology::network::find;
use crate::topology::types::{Asker, Search};
use crate::topology::{Network, TopologyError};

/// Whether every name in an act means something in this network; `path` names the place of a key.
pub(super) fn act(
    act: &Act,
    network: &Network,
    path: impl Fn(&str) -> String,
) -> Result<(), TopologyError> {
    let at = |key: &str, checked: Result<(), String>| {
        checked.map_err(|message| TopologyError::new(path(key), message))
    };
    let named = |names: &[String]| network.named(names).map(|_| ());
    match act {
        Act::Search(search) | Act::Expect { search, .. } => at("from", asker(search, network)),
        Act::Kill(who) | Act::Leave(who) | Act::Restart(who) | Act::Join(who) => match who {
            Who::Named(names) => {
                let key = if names.len() == 1 { "node" } else { "nodes" };
                at(key, named(names))
            }
            Who::Share(_) => Ok(()),
        },
        Act::Partition(Partition::Groups(groups)) => {
            at("groups", network.grouped(groups).map(|_| ()))
        }
        Act::Partition(Partition::OneWay { from, to }) => {
            at("from", named(from))?;
            at("to", named(to))?;
            let both = |names: &[String]| network.named(names).unwrap_or_default();
            let (from, to) = (both(from), both(to));
            match from.iter().find(|node| to.binary_search(node).is_ok()) {
                Some(node) => at(
                    "to",
                    Err(format!("{} is on both sides", network.names.name(*node))),
                ),
                None => Ok(()),
            }
        }
        Act::Cut(span) | Act::Change { between: span, .. } => between(span, network, at),
        Act::Churn(churn) => at("nodes", named(&churn.nodes)),
        Act::Heal | Act::Calm => Ok(()),
    }
}

fn asker(search: &Search, network: &Network) -> Result<(), String> {
    match &search.from {
        Asker::Each => Ok(()),
        Asker::Node(name) => match find(&network.names, name, String::new()) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.message),
        },
    }
}

fn between(
    between: &Between,
    network: &Network,
    at: impl Fn(&str, Result<(), String>) -> Result<(), TopologyError>,
) -> Result<(), TopologyError> {
    let named = |names: &[String]| network.named(names).map(|_| ());
    at("from", named(&between.from))?;
    at("to", named(&between.to))?;
    let key = if between.from.is_empty() {
        "to"
    } else {
        "from"
    };
    at(key, network.between(between).map(|_| ()))
}
