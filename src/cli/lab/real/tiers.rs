//! Leaves and ultrapeers as real processes: the live network's rules among the nodes of this machine.
//!
//! The simulator begins with all links up, everybody known to be reachable and all routing tables delivered; so does
//! a network of processes, whatever order its nodes happen to start in. Tables go out whole when a link comes up and
//! again a minute after they have changed, so that leaves are linked first: then what ultrapeers tell each other has
//! the words of all their leaves in it, and nothing is waited for.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::ask::{NodeClient, for_all};
use super::measure::rest;
use super::place::NodeState;
use crate::cli::exit::{Exit, Failure};
use crate::node::event::Role;
use crate::topology::{Edge, Network};

/// A node of this machine has so long to take a connection and close it.
const KNOCK_TIME: Duration = Duration::from_secs(30);

/// Links in the order in which they come up, each list at once: all of a flat overlay; else those of leaves, then
/// those between ultrapeers.
pub(super) fn stages(network: &Network) -> Vec<Vec<Edge>> {
    let of_leaf = |edge: &Edge| network.roles.is_leaf(edge.a) || network.roles.is_leaf(edge.b);
    let (leaves, others): (Vec<_>, Vec<_>) = network.edges.iter().copied().partition(of_leaf);
    [leaves, others]
        .into_iter()
        .filter(|edges| !edges.is_empty())
        .collect()
}

/// Links that each node accepts: those it has, or what the file says; of an ultrapeer those to ultrapeers, which is
/// also what it says of itself.
pub(in crate::cli::lab) fn links_accepted(network: &Network) -> Vec<usize> {
    let mut degrees = vec![0_usize; network.names.len()];
    let tiers = network.roles.are_two_tiers();
    let counts = |other: u32| !tiers || network.roles.of(other) == Some(Role::Ultrapeer);
    for edge in &network.edges {
        degrees[edge.a as usize] += usize::from(counts(edge.b));
        degrees[edge.b as usize] += usize::from(counts(edge.a));
    }
    (0..)
        .zip(degrees)
        .map(|(node, degree)| network.max_peers(node).unwrap_or(0).max(degree).max(1))
        .collect()
}

/// What a node of two tiers is told besides. Private addresses are its normal case; strangers are not asked for nodes.
pub(super) fn flags(role: Role, nodes: usize) -> Vec<String> {
    // Encryption would only cost: whoever can listen on this machine can look into the processes.
    let text = "--net gnutella --allow-private --tls off --role";
    let mut flags: Vec<String> = text.split(' ').map(str::to_owned).collect();
    match role {
        Role::Leaf => flags.push("leaf".to_owned()),
        Role::Ultrapeer => {
            let more = ["ultrapeer", "--max-leaves", &nodes.to_string()];
            flags.extend(more.map(str::to_owned));
        }
    }
    flags
}

/// Has every node of two tiers know that it can be connected to: two that do not would not answer each other.
///
/// # Errors
/// A node cannot be connected to.
pub(super) fn prove_reach(network: &Network, nodes: &[NodeState]) -> Result<(), Failure> {
    if !network.roles.are_two_tiers() {
        return Ok(());
    }
    for_all(nodes, |node| {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, node.port));
        knock(addr).map_err(|error| {
            let text = format!("node {} cannot be connected to: {error}", node.name);
            Failure::new(Exit::NoNetwork, text)
        })
    })?;
    Ok(())
}

/// Connects and says nothing, which is how nodes try for each other whether they can be reached. The end of the
/// connection says that it was noticed.
pub(super) fn knock(addr: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, KNOCK_TIME)?;
    stream.set_read_timeout(Some(KNOCK_TIME))?;
    stream.write_all(b"\n\n")?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Waits until the routing tables that were sent have come.
///
/// # Errors
/// A node does not answer; too late; `interrupted`.
pub(super) fn tables_have_travelled(
    network: &Network,
    clients: &[NodeClient],
    limit: Duration,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<(), Failure> {
    if network.roles.are_two_tiers() {
        rest(clients, Some(limit), interrupted)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse_spec;

    #[test]
    fn leaves_are_linked_before_ultrapeers_and_all_of_a_flat_overlay_at_once() {
        let network = |text: &str| Network::new(&parse_spec(text, 1).unwrap()).unwrap();
        let tiers = network("two-tier:u=4,d=2,leaves=6");
        let stages = stages(&tiers);
        assert_eq!(
            stages.iter().map(Vec::len).sum::<usize>(),
            tiers.edges.len()
        );
        let leaf = |edge: &Edge| tiers.roles.is_leaf(edge.a) || tiers.roles.is_leaf(edge.b);
        assert!(stages[0].iter().all(leaf) && !stages[1].iter().any(leaf));
        assert_eq!(links_accepted(&tiers)[..4], [2; 4]);
        assert_eq!(super::stages(&network("ring:5")).len(), 1);
        assert_eq!(links_accepted(&network("star:4")), [3, 1, 1, 1]);
    }
}
