//! A topology as a Compose file: a service for each node, named as the node is.
//!
//! Source: the Compose Specification, with inline `configs` (Docker Compose from 2.23.1 on). The network is internal:
//! its containers reach each other and nothing else, and nothing outside reaches them.

use super::yaml::{Yaml, list, map, words};
use super::{DATA, MEMORY_MAX_MIB, MEMORY_SURE_MIB, Plan, THREADS_MAX, TOPOLOGY, USER, cannot};
use crate::cli::exit::Failure;
use crate::cli::lab::real::keep;

/// Nodes of one Compose file: a bridge of Linux has 1,023 ports, one of which is the machine's.
const NODES_MAX: u64 = 1_000;
/// Letters of one part of a name in DNS (RFC 1035, 2.3.4).
const DNS_LABEL_MAX: usize = 63;

/// The Compose file.
///
/// # Errors
/// Too many nodes; ids that are no names in DNS, or the same there; a shared folder that is none.
pub(super) fn manifest(plan: &Plan<'_>) -> Result<String, Failure> {
    if plan.nodes() > NODES_MAX {
        let text = format!(
            "{} nodes are more than the {NODES_MAX} that one machine's bridge can link; use --to k8s, or a smaller topology",
            plan.nodes()
        );
        return Err(cannot(text));
    }
    let names = &plan.source.network.names;
    let mut services = Vec::new();
    let mut known = std::collections::BTreeMap::new();
    for node in names.in_natural_order() {
        let id = names.name(node).into_owned();
        check(&id)?;
        if let Some(other) = known.insert(id.to_ascii_lowercase(), id.clone()) {
            let text = format!("{other:?} and {id:?} are the same name in DNS; rename a node");
            return Err(cannot(text));
        }
        let service = service(plan, node, &id)?;
        services.push((id, service));
    }
    let name = &plan.name;
    let head = format!(
        "# {} for Docker Compose from 2.23.1 on, written by filbert {}.\n\
         #   docker compose -f FILE up -d\n\
         #   docker compose -f FILE exec {} filbert search WORDS\n\
         #   docker compose -f FILE down\n",
        name,
        env!("CARGO_PKG_VERSION"),
        services[0].0,
    );
    let file = map([
        ("name", name.as_str().into()),
        ("x-node", Yaml::Anchor("node", template(plan))),
        ("services", Yaml::Map(services)),
        (
            "networks",
            map([("overlay", map([("internal", true.into())]))]),
        ),
        (
            "configs",
            map([(
                "topology",
                map([("content", Yaml::Lines(literal(&plan.topology)))]),
            )]),
        ),
    ]);
    Ok(format!("{head}{}", file.document()))
}

/// Compose puts values in place of `$NAME` in every text.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// What all nodes have in common.
fn template(plan: &Plan<'_>) -> Vec<(String, Yaml)> {
    let environment = Plan::environment().map(|(key, value)| (key.to_owned(), value.into()));
    let (user, data) = (format!("{USER}:{USER}"), plan.data_mib);
    let writable = format!("{DATA}:mode=0700,uid={USER},gid={USER},size={data}m");
    let mebibytes = |count: u64| Yaml::from(format!("{count}M"));
    let limits = map([
        ("cpus", "1.0".into()),
        // What is written lies in memory, and counts.
        ("memory", mebibytes(MEMORY_MAX_MIB + data)),
        ("pids", THREADS_MAX.into()),
    ]);
    let sure = map([("memory", mebibytes(MEMORY_SURE_MIB))]);
    let topology = map([("source", "topology".into()), ("target", TOPOLOGY.into())]);
    let log = map([("max-size", "1m".into()), ("max-file", "2".into())]);
    let pairs = [
        ("image", literal(plan.image).into()),
        ("entrypoint", words(&["filbert"])),
        ("user", user.into()),
        ("read_only", true.into()),
        ("cap_drop", words(&["ALL"])),
        ("security_opt", words(&["no-new-privileges:true"])),
        ("restart", "unless-stopped".into()),
        ("stop_grace_period", "10s".into()),
        ("environment", Yaml::Map(environment.into())),
        ("tmpfs", list([writable.into()])),
        ("configs", list([topology])),
        ("networks", words(&["overlay"])),
        (
            "deploy",
            map([(
                "resources",
                map([("limits", limits), ("reservations", sure)]),
            )]),
        ),
        (
            "logging",
            map([("driver", "json-file".into()), ("options", log)]),
        ),
    ];
    pairs
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
}

fn service(plan: &Plan<'_>, node: u32, id: &str) -> Result<Yaml, Failure> {
    let command = [
        "lab",
        "node",
        id,
        "--topology",
        TOPOLOGY,
        "--data",
        DATA,
        "--json",
    ];
    let mut pairs = vec![
        ("<<".to_owned(), Yaml::Alias("node")),
        ("command".to_owned(), words(&command)),
    ];
    let folders = plan.source.network.nodes.get(&node);
    let folders = folders.map_or(&[][..], |spec| &spec.share);
    if !folders.is_empty() {
        let mounts: Result<Vec<Yaml>, Failure> =
            folders.iter().map(|share| mount(plan, id, share)).collect();
        pairs.push(("volumes".to_owned(), Yaml::List(mounts?)));
    }
    Ok(Yaml::Map(pairs))
}

/// A real folder, where the topology in the container has it.
fn mount(plan: &Plan<'_>, id: &str, share: &str) -> Result<Yaml, Failure> {
    let folder = keep::base(plan.source).join(share);
    let found = folder.canonicalize().ok().filter(|path| path.is_dir());
    let found = found.ok_or_else(|| {
        let shown = folder.display();
        cannot(format!(
            "node {id} shares {shown}, which is no folder; make it, or mend the file"
        ))
    })?;
    Ok(map([
        ("type", "bind".into()),
        ("source", literal(&found.to_string_lossy()).into()),
        ("target", literal(&format!("/lab/{share}")).into()),
        ("read_only", true.into()),
        ("bind", map([("create_host_path", false.into())])),
    ]))
}

/// An id that is a name in DNS.
fn check(id: &str) -> Result<(), Failure> {
    match id
        .split('.')
        .find(|part| part.is_empty() || part.len() > DNS_LABEL_MAX)
    {
        None => Ok(()),
        Some(_) => Err(cannot(format!(
            "{id:?} is no name in DNS: parts of 1 to {DNS_LABEL_MAX} letters; rename the node, or use --to k8s, which counts \
             the nodes"
        ))),
    }
}
