//! `lab search`: one query on a network that is up, measured beside predicted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::real::ask::{NodeClient, for_all};
use super::real::asking::rest_time;
use super::real::keep;
use super::real::measure::{self, Outcome, Question};
use super::real::place::State;
use super::{source, up};
use crate::cli::args::lab::LabSearchArgs;
use crate::cli::args::values::Span;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::table::{self, Side};
use crate::cli::output::{Format, Output, units};
use crate::control::{Hit, Trace};
use crate::sim::predict;
use crate::sim::report::QueryReport;
use crate::topology::nearest;
use crate::topology::plan::{Ask, LAB_TTL};

/// Names shown of the nodes at one distance; more are counted.
const NAMES_SHOWN: usize = 16;

/// One file of a hit.
#[derive(Serialize)]
struct HitLine<'a> {
    node: &'a str,
    name: &'a str,
    size: u64,
    urn: Option<&'a str>,
    /// Links from the asker to the node.
    hops: u32,
}

/// What one node knows of the query.
#[derive(Serialize)]
struct TraceLine<'a> {
    node: &'a str,
    /// The neighbour it first came from; `None` at the asker.
    from: Option<&'a str>,
    hops: u8,
    duplicates: u64,
    forwarded: u64,
}

/// Asks, measures and shows.
///
/// # Errors
/// No such network or node; a node does not answer; the network does not come to rest.
pub(super) fn run(args: &LabSearchArgs, out: &Output) -> Result<Exit, Failure> {
    let (found, state) = up::find(&args.which)?;
    let source = source::load(&found.dir.join(keep::TOPOLOGY).to_string_lossy(), None)?;
    let network = &source.network;
    let asker = asker(&state, &args.from)?;
    let interrupt = Interrupt::watch();
    let clients = living(&state, out)?;
    let Some(from) = clients.iter().position(|client| client.name == args.from) else {
        return Err(Failure::new(
            Exit::NoNetwork,
            format!("node {} has ended; ask from another", args.from),
        ));
    };
    let text = args.words.join(" ");
    let ttl = args.ttl.or(network.defaults.ttl).unwrap_or(LAB_TTL);
    let question = Question {
        from,
        text: &text,
        ttl,
        limit: args
            .timeout
            .map_or_else(|| Some(rest_time(network)), Span::limit),
    };
    let outcome = measure::ask(&clients, question, &|| interrupt.asked())?;
    if let Some(why) = &outcome.measured.refused {
        return Err(Failure::new(Exit::Usage, why.clone()));
    }
    show_hits(&outcome.hits, &state, out)?;
    if let (true, Some(guid)) = (args.trace, &outcome.guid) {
        show_traces(&clients, &measure::traces(&clients, guid)?, &state, out)?;
    }
    let hits = outcome.measured.hits;
    let ask = Ask {
        from: asker,
        query: text.clone(),
        ttl,
        at: None,
        expect: None,
        anyone: false,
    };
    show_figures(network, &ask, outcome, out)?;
    Ok(if hits > 0 { Exit::Good } else { Exit::Nothing })
}

/// The nodes that live, to ask; those that do not are named.
pub(super) fn living(state: &State, out: &Output) -> Result<Vec<NodeClient>, Failure> {
    let alive = for_all(&state.nodes, |node| Ok(NodeClient::connect(node).ok()))?;
    let ended: Vec<&str> = state
        .nodes
        .iter()
        .zip(&alive)
        .filter(|(_, client)| client.is_none())
        .map(|(node, _)| node.name.as_str())
        .collect();
    if !ended.is_empty() {
        out.say(&format!(
            "{} dead: {}; predictions count them",
            ended.len(),
            some_names(&ended)
        ));
    }
    Ok(alive.into_iter().flatten().collect())
}

/// The number of the node of that name.
pub(super) fn asker(state: &State, name: &str) -> Result<u32, Failure> {
    let names = || state.nodes.iter().map(|node| node.name.as_str());
    let at = names().position(|known| known == name).ok_or_else(|| {
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => "`filbert lab ps` lists them".to_owned(),
        };
        Failure::new(
            Exit::Usage,
            format!("there is no node {name:?} in {}; {hint}", state.name),
        )
    })?;
    Ok(u32::try_from(at).expect("nodes are counted in 32 bits"))
}

/// The node that listens on a port of this machine, by name.
fn node_at(state: &State, port: u16) -> Option<&str> {
    state
        .nodes
        .iter()
        .find(|node| node.port == port)
        .map(|node| node.name.as_str())
}

fn show_hits(hits: &[Hit], state: &State, out: &Output) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for hit in hits {
        let node = node_at(state, hit.addr.port())
            .or(hit.nick.as_deref())
            .unwrap_or("?");
        for record in &hit.records {
            let hops = u32::from(hit.hops) + 1;
            let urn = record.urn.as_deref();
            out.json(
                "hit",
                &HitLine {
                    node,
                    name: &record.name,
                    size: record.size,
                    urn,
                    hops,
                },
            )?;
            let size = if out.format() == Format::Tabs {
                record.size.to_string()
            } else {
                units::size(record.size)
            };
            rows.push([node.to_owned(), hops.to_string(), size, record.name.clone()]);
        }
    }
    match out.format() {
        Format::Json => Ok(()),
        _ if rows.is_empty() => Ok(()),
        Format::Tabs => rows.iter().try_for_each(|row| {
            let cells = row
                .each_ref()
                .map(|cell| crate::cli::output::escape::shown(cell));
            out.line(&cells.join("\t"))
        }),
        Format::People => {
            let header = [
                ("NODE", Side::Left),
                ("HOPS", Side::Right),
                ("SIZE", Side::Right),
                ("NAME", Side::Left),
            ];
            out.line(&table::plain(header, rows))
        }
    }
}

fn show_traces(
    clients: &[NodeClient],
    traces: &[Option<Trace>],
    state: &State,
    out: &Output,
) -> Result<(), Failure> {
    let known = || {
        clients
            .iter()
            .zip(traces)
            .filter_map(|(client, trace)| Some((client, trace.as_ref()?)))
    };
    for (client, trace) in known() {
        let from = trace.from.and_then(|addr| node_at(state, addr.port()));
        let Trace {
            hops,
            duplicates,
            forwarded,
            ..
        } = *trace;
        out.json(
            "trace",
            &TraceLine {
                node: &client.name,
                from,
                hops,
                duplicates,
                forwarded,
            },
        )?;
    }
    if out.format() == Format::Json {
        return Ok(());
    }
    let mut by_hops: BTreeMap<u8, Vec<&str>> = BTreeMap::new();
    for (client, trace) in known() {
        by_hops.entry(trace.hops).or_default().push(&client.name);
    }
    out.line(
        &by_hops
            .into_values()
            .map(|names| some_names(&names))
            .collect::<Vec<_>>()
            .join(" -> "),
    )
}

fn some_names(names: &[&str]) -> String {
    let mut text = names[..names.len().min(NAMES_SHOWN)].join(" ");
    if names.len() > NAMES_SHOWN {
        let _ = write!(text, " (and {} more)", names.len() - NAMES_SHOWN);
    }
    text
}

fn show_figures(
    network: &crate::topology::Network,
    ask: &Ask,
    outcome: Outcome,
    out: &Output,
) -> Result<(), Failure> {
    let predicted = predict(&network.graph(), ask.from, ask.ttl, &BTreeMap::new());
    let measured = outcome.measured;
    let mut line = format!(
        "{}, {}, {} (predicted {}, {}, {})",
        units::counted(measured.messages, "message", "messages"),
        units::counted(measured.reached, "node", "nodes"),
        units::counted(measured.duplicates, "duplicate", "duplicates"),
        units::count(predicted.messages),
        units::count(predicted.reached),
        units::count(predicted.duplicates),
    );
    if measured.lost > 0 {
        let _ = write!(
            line,
            ", {} shed by full queues",
            units::count(measured.lost)
        );
    }
    match out.format() {
        // Which files should be found is not looked into here: `lab run` does.
        Format::Json => out.json(
            "measured",
            &QueryReport::new(network, ask, measured, predicted, false),
        ),
        Format::People | Format::Tabs => out.line(&line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        let names = vec!["n"; NAMES_SHOWN + 3];
        assert!(some_names(&names).ends_with("n (and 3 more)"));
        assert_eq!(some_names(&names[..2]), "n n");
    }
}
