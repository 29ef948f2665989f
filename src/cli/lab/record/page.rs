//! The page of a run: one file with its data, its style and its script inside.

use serde_json::{Value, json};

use super::layout;
use super::replay::Replay;
use crate::topology::Network;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(super) fn page(network: &Network, report: &Value, replays: &[Replay], again: &str) -> String {
    let graph = network.graph();
    let picture = layout::places(&graph).map(|places| {
        let nodes: Vec<Value> = (0_u32..)
            .zip(places)
            .map(|(node, [x, y])| {
                let role = network.roles.of(node).map(|role| format!("{role:?}"));
                let rounded = |part: f64| (part * 1e4).round() / 1e4;
                json!({ "name": network.names.name(node), "x": rounded(x), "y": rounded(y), "role": role })
            })
            .collect();
        let links: Vec<_> = network.edges.iter().map(|edge| [edge.a, edge.b]).collect();
        json!({ "nodes": nodes, "links": links })
    });
    let data = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": network.name,
        "about": network.describe,
        "again": again,
        "graph": picture,
        "nodes": graph.nodes(),
        "links": graph.edges(),
        "replays": replays,
        "report": report,
    });
    fill(&data)
}

/// The page with this in it.
pub(in crate::cli::lab) fn fill(data: &Value) -> String {
    // Within a script element only `<` could end it.
    let data = data.to_string().replace('<', "\\u003c");
    HTML.replace("/*STYLE*/", STYLE)
        .replace("/*SCRIPT*/", SCRIPT)
        .replace("/*DATA*/", &data)
}
