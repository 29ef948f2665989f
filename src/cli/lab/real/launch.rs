//! Starting the nodes of a network as processes, linking them as the file says, and ending them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use super::ask::{NodeClient, for_all};
use super::children::{Children, wait_for_all};
use super::files;
use super::place::{NodeState, disk};
use super::process::Process;
use super::tiers;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::topology::{self, Behaviour, FILES_FOLDER, Network, NodeSpec};

/// First port tried when none is named: above the usual servers, rarely used by anybody.
const BASE_PORT: u16 = 41_000;
/// Links have so long to come up at their other ends, and files to be hashed.
const SETTLE_TIME: Duration = Duration::from_secs(60);
/// How often nodes are asked while something settles.
pub(super) const LOOK: Duration = Duration::from_millis(10);
/// The home of a node, in its folder.
pub(in crate::cli::lab) const HOME: &str = "home";
/// Real nodes in one network: each has a process, a port and four open files here.
const NODES_MAX: usize = 2_000;

/// What is to be started.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::lab) struct Order<'a> {
    /// The nodes and links.
    pub network: &'a Network,
    /// Made-up files of each node that has any.
    pub files: &'a BTreeMap<u32, Vec<topology::File>>,
    /// The folder that `share` paths are relative to.
    pub base: &'a Path,
    /// First port; `Some(0)`: any that are free; `None`: the first free range.
    pub base_port: Option<u16>,
    /// Where the nodes live.
    pub dir: &'a Path,
}

/// Nodes that are up and linked. Dropping this ends them.
#[derive(Debug)]
pub(in crate::cli::lab) struct Running {
    pub(super) children: Children,
    /// What each node says about itself, in the order of the topology.
    pub nodes: Vec<NodeState>,
    /// The same nodes, to ask.
    pub clients: Vec<NodeClient>,
    /// From the first process to the last link.
    pub took: Duration,
}

impl Running {
    /// Ends all nodes: each takes leave; one that does not is killed. Returns how many were killed.
    pub(in crate::cli::lab) fn stop(mut self) -> usize {
        self.children.stop()
    }
}

/// Refuses what a file may say and real nodes cannot do, rather than leave it out in silence.
///
/// # Errors
/// Exit 2: what, and the way out.
pub(in crate::cli::lab) fn check(network: &Network) -> Result<(), Failure> {
    let cannot = |what: String| {
        Err(Failure::new(
            Exit::Usage,
            format!("real nodes cannot {what}; use --engine sim, or leave it out of the file"),
        ))
    };
    if network.names.len() > NODES_MAX {
        let count = network.names.len();
        let text = format!(
            "{count} nodes are more than the {NODES_MAX} that run as processes; use --engine sim"
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    let mut misbehaving = network.misbehaving().into_iter();
    if let Some((behaviour, _)) = misbehaving.find(|(kind, _)| *kind != Behaviour::FreeRider) {
        return cannot(format!("misbehave as {:?} ones do", behaviour.word()));
    }
    if network.has_capacities() {
        return cannot("be kept to a \"capacity\"".to_owned());
    }
    Ok(())
}

/// Starts all nodes, waits until each is ready, and makes the links of the file, exactly.
///
/// # Errors
/// A node does not start or a link does not come up; all nodes that were started are ended. `interrupted` is
/// asked now and then; when it says so, the same with exit 130.
pub(in crate::cli::lab) fn launch(
    order: Order<'_>,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Running, Failure> {
    check(order.network)?;
    raise_file_limit();
    let clock = Stopwatch::start();
    let count = order.network.names.len();
    let ports = ports(count, order.base_port)?;
    let degrees = tiers::links_accepted(order.network);
    let (ready, is_ready) = mpsc::channel();
    let mut children = Children::default();
    let mut nodes = Vec::with_capacity(count);
    for (node, port) in (0..).zip(ports) {
        let name = order.network.names.name(node).into_owned();
        let dir = order.dir.join(&name);
        let home = dir.join(HOME);
        fs::create_dir_all(&home).map_err(|error| disk(&home, "cannot be made", &error))?;
        let mut command = command(order, node, &dir, port, degrees[node as usize])?;
        let child = children.spawn(&mut command, &name, &dir, nodes.len(), &ready)?;
        nodes.push(NodeState {
            name,
            port,
            process: Process::of(child),
            home,
        });
    }
    drop(ready);
    wait_for_all(&is_ready, count, &mut nodes, order.dir, interrupted)?;
    let clients = nodes
        .iter()
        .map(NodeClient::connect)
        .collect::<Result<Vec<_>, _>>()?;
    stop_if(interrupted)?;
    tiers::prove_reach(order.network, &nodes)?;
    let sharing: Vec<&NodeClient> = (0..)
        .zip(&clients)
        .filter(|(node, _)| shares_anything(order, *node))
        .map(|(_, client)| client)
        .collect();
    for_all(&sharing, |client| client.rescan())?;
    let mut ends: Vec<(&NodeClient, usize)> = clients.iter().map(|client| (client, 0)).collect();
    for edges in tiers::stages(order.network) {
        for_all(&edges, |edge| {
            let port = nodes[edge.b as usize].port;
            clients[edge.a as usize].link_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        })?;
        for edge in &edges {
            ends[edge.a as usize].1 += 1;
            ends[edge.b as usize].1 += 1;
        }
        settle(interrupted, || links_are_up(&ends))?;
        tiers::tables_have_travelled(order.network, &clients, SETTLE_TIME, interrupted)?;
    }
    settle(interrupted, || {
        let all = for_all(&sharing, |client| client.files_and_hashed())?;
        Ok(all
            .iter()
            .find(|(files, hashed)| hashed < files)
            .map(|(files, hashed)| format!("a node has hashed {hashed} of its {files} files")))
    })?;
    Ok(Running {
        children,
        nodes,
        clients,
        took: clock.elapsed(),
    })
}

pub(super) fn stop_if(interrupted: &dyn Fn() -> bool) -> Result<(), Failure> {
    if interrupted() {
        Err(Failure::new(
            Exit::Interrupted,
            "interrupted; all nodes are stopped",
        ))
    } else {
        Ok(())
    }
}

/// Waits until `missing` finds nothing missing.
pub(super) fn settle(
    interrupted: &dyn Fn() -> bool,
    missing: impl Fn() -> Result<Option<String>, Failure>,
) -> Result<(), Failure> {
    let clock = Stopwatch::start();
    while let Some(what) = missing()? {
        stop_if(interrupted)?;
        if clock.passed(Some(SETTLE_TIME)) {
            let seconds = SETTLE_TIME.as_secs();
            return Err(Failure::new(
                Exit::NoNetwork,
                format!("after {seconds} s {what}; is this machine overloaded?"),
            ));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn links_are_up(ends: &[(&NodeClient, usize)]) -> Result<Option<String>, Failure> {
    let have = for_all(ends, |(client, _)| client.links())?;
    Ok(ends
        .iter()
        .zip(have)
        .find(|((_, want), have)| want != have)
        .map(|((client, want), have)| {
            format!("node {} has {have} links instead of {want}", client.name)
        }))
}

fn spec_of(order: Order<'_>, node: u32) -> Option<&NodeSpec> {
    order.network.nodes.get(&node)
}

pub(super) fn shares_anything(order: Order<'_>, node: u32) -> bool {
    let folders = spec_of(order, node).is_some_and(|spec| !spec.share.is_empty());
    order.network.gives(node) && (folders || order.files.contains_key(&node))
}

/// The folders a node shares: that of its made-up files, which are written now, then its real ones.
fn folders(order: Order<'_>, node: u32, dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = Vec::new();
    if !order.network.gives(node) {
        return Ok(folders);
    }
    if let Some(made_up) = order.files.get(&node) {
        let folder = dir.join(FILES_FOLDER);
        files::write(&folder, made_up, order.network.seed)?;
        folders.push(folder);
    }
    for share in spec_of(order, node).iter().flat_map(|spec| &spec.share) {
        let folder = order.base.join(share);
        let absolute = folder.canonicalize().ok().filter(|path| path.is_dir());
        folders.push(absolute.ok_or_else(|| {
            let (name, shown) = (order.network.names.name(node), folder.display());
            let text = format!(
                "node {name} shares {shown}, which is no folder; make it, or mend the file"
            );
            Failure::new(Exit::Usage, text)
        })?);
    }
    Ok(folders)
}

/// What a node is told to do: `share` and the rest of its command line. Its made-up files are written now.
///
/// # Errors
/// The disk; a shared folder that is none.
pub(in crate::cli::lab) fn words(
    order: Order<'_>,
    node: u32,
    dir: &Path,
    listen: SocketAddr,
    links: usize,
) -> Result<Vec<OsString>, Failure> {
    let network = order.network;
    let mut words = vec![OsString::from("share")];
    words.extend(folders(order, node, dir)?.into_iter().map(PathBuf::into));
    let mut flag = |name: &str, value: &str| words.extend([name.into(), value.into()]);
    flag("--listen", &listen.to_string());
    flag("--name", &network.names.name(node));
    flag("--min-links", "0");
    flag("--max-links", &links.to_string());
    flag("--limit-search", "none");
    let role = network.roles.of(node);
    if role.is_none() {
        // Each search says its own TTL; this lifts the cap on those of others.
        flag("--ttl", "255");
    }
    if let Some(seen) = network.seen_cache(node) {
        flag("--seen-cache", &seen.to_string());
    }
    if let Some(slots) = spec_of(order, node)
        .and_then(|spec| spec.slots)
        .or(network.defaults.slots)
    {
        flag("--slots", &slots.max(1).to_string());
    }
    words.extend(["--home".into(), dir.join(HOME).into()]);
    words.extend(["--downloads".into(), dir.join("downloads").into()]);
    let tiers = role.map_or_else(Vec::new, |role| tiers::flags(role, network.names.len()));
    words.extend(tiers.into_iter().map(OsString::from));
    if network.ext_probes() {
        words.push("--ext-probes".into());
    }
    Ok(words)
}

/// The process of one node, on loopback.
pub(super) fn command(
    order: Order<'_>,
    node: u32,
    dir: &Path,
    port: u16,
    links: usize,
) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("cannot find this program again: {error}"),
        )
    })?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut command = Command::new(program);
    command.args(words(order, node, dir, listen, links)?);
    command.args(["--json", "--stop-with-stdin"]);
    // Many nodes share few cores: one thread for tasks each.
    command.env("ASYNC_STD_THREAD_COUNT", "1");
    command
        .env_remove("FILBERT_HOME")
        .env_remove("FILBERT_NAME")
        .env("FILBERT_NO_DISCOVERY", "1");
    // Ctrl-C is for the holder, which ends its nodes in good order.
    command.process_group(0);
    Ok(command)
}

/// A port for each node: `base` and those after it, all free a moment ago.
fn ports(count: usize, base: Option<u16>) -> Result<Vec<u16>, Failure> {
    let range = |base: u16| -> Option<Vec<u16>> {
        let last = usize::from(base) + count - 1;
        u16::try_from(last)
            .is_ok()
            .then(|| (base..=u16::MAX).take(count).collect())
    };
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    match base {
        Some(0) => Ok(vec![0; count]),
        Some(base) => {
            let ports = range(base).ok_or_else(|| {
                let text = format!(
                    "{count} nodes do not fit above port {base}; choose a lower --base-port"
                );
                Failure::new(Exit::Usage, text)
            })?;
            match ports.iter().find(|port| !is_free(port)) {
                None => Ok(ports),
                Some(taken) => Err(Failure::new(
                    Exit::Usage,
                    format!("port {taken} is taken; choose another --base-port, or leave it out"),
                )),
            }
        }
        None => {
            let mut base = BASE_PORT;
            while let Some(ports) = range(base) {
                match ports.iter().rfind(|port| !is_free(port)) {
                    None => return Ok(ports),
                    // No range that holds a taken port can do.
                    Some(taken) => base = taken.saturating_add(1),
                }
            }
            let text = format!(
                "no {count} free ports in a row above {BASE_PORT}; let any do with --base-port 0"
            );
            Err(Failure::new(Exit::Usage, text))
        }
    }
}

/// Lets this process hold as many open files as it may.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::info!("the limit on open files stays: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse;

    #[test]
    fn ports_are_free_and_in_a_row() {
        let found = ports(3, None).unwrap();
        assert!(
            found[0] >= BASE_PORT && found[2] == found[0] + 2,
            "{found:?}"
        );
        assert_eq!(ports(2, Some(0)).unwrap(), [0, 0]);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let failure = ports(1, Some(port)).unwrap_err();
        assert!(failure.message.contains(&port.to_string()), "{failure}");
        assert!(ports(10, Some(65_530)).is_err());
    }

    #[test]
    fn what_real_nodes_cannot_do_is_refused() {
        let with = |node: &str, more: &str| {
            let text = format!(
                r#"{{"filbert":"topology/1","nodes":[{{"id":"a"{node}}},{{"id":"b"}}],{more}}}"#
            );
            check(&Network::new(&parse(&text).unwrap()).unwrap())
        };
        assert!(with("", r#""links":[["a","b"]]"#).is_ok());
        assert!(with("", r#""links":[{"from":"a","to":"b","drop":0.5}]"#).is_ok());
        assert!(with("", r#""events":[{"at":"1s","do":"kill","node":"a"}]"#).is_ok());
        let failure = with(r#","behaviour":"silent""#, r#""links":[]"#).unwrap_err();
        assert!(failure.message.contains("--engine sim"), "{failure}");
    }
}
