//! Keeping the links of one node whose neighbours run elsewhere and are found by name: `lab node`.
//!
//! Names may be unknown yet, and mean another address after a restart. So a link that is missing is looked up anew, its
//! ends treat frames as the topology says, and the end that dials in the topology dials again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::ask::{NodeClient, for_all};
use super::fleet::{as_the_file_says, seeded};
use super::place::NodeState;
use super::process::Process;
use super::tiers;
use crate::cli::args::values::Address;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Output, units};
use crate::control::Shape;
use crate::topology::Network;

/// Stands for the number of a node in the name of its host.
const NUMBER: &str = "{}";
/// Stands for its id.
const ID: &str = "{id}";
/// How often a node is asked for its links while some are missing.
const LOOK: Duration = Duration::from_secs(1);
/// The same while all are up: a keep-alive notices lost ones in some 15 s.
const LOOK_IN_PEACE: Duration = Duration::from_secs(5);
/// How often it is tried to reach our own node while it starts.
const START_LOOK: Duration = Duration::from_millis(50);

/// The links of one node.
#[derive(Debug)]
pub(in crate::cli::lab) struct Tender {
    name: String,
    two_tiers: bool,
    ties: Vec<Tie>,
}

/// One link.
#[derive(Debug)]
struct Tie {
    host: Address,
    shape: Option<Shape>,
    /// This end dials.
    dials: bool,
    /// Where the other was last.
    at: Option<SocketAddr>,
}

/// What `--json` says once all links are up.
#[derive(Serialize)]
struct LinksUp<'a> {
    node: &'a str,
    links: usize,
}

impl Tender {
    /// The links of node number `node`, whose neighbours are found at `hosts`, a name with a place for number or id.
    ///
    /// # Errors
    /// `hosts` has no such place, or makes names that are none.
    pub(in crate::cli::lab) fn new(
        network: &Network,
        node: u32,
        hosts: &str,
    ) -> Result<Self, Failure> {
        if !hosts.contains(NUMBER) && !hosts.contains(ID) {
            let text = format!(
                "--hosts {hosts}: the same for all nodes; put {ID} or {NUMBER} where their ids or numbers belong, such as lab-{NUMBER}.lab"
            );
            return Err(Failure::new(Exit::Usage, text));
        }
        let host = |other: u32| {
            let id = network.names.name(other);
            let text = hosts.replace(ID, &id).replace(NUMBER, &other.to_string());
            text.parse::<Address>()
                .map_err(|error| Failure::new(Exit::Usage, format!("--hosts {hosts}: {error}")))
        };
        let mut ties = Vec::new();
        for (at, edge) in network.edges.iter().enumerate() {
            let (end, other) = match node {
                node if node == edge.a => (0, edge.b),
                node if node == edge.b => (1, edge.a),
                _ => continue,
            };
            let shape = as_the_file_says(&network.traits[edge.traits as usize]);
            ties.push(Tie {
                host: host(other)?,
                shape: seeded(network.seed, at, end, shape),
                dials: end == 0,
                at: None,
            });
        }
        Ok(Self {
            name: network.names.name(node).into_owned(),
            two_tiers: network.roles.are_two_tiers(),
            ties,
        })
    }

    /// Tends the links of the node of this process from now on, which will listen there and live in `home`.
    pub(in crate::cli::lab) fn start(mut self, out: Output, home: PathBuf, listen: SocketAddr) {
        let state = NodeState {
            name: self.name.clone(),
            port: listen.port(),
            process: Process::of(std::process::id()),
            home,
        };
        // Detached: it ends with the process.
        std::thread::spawn(move || {
            let client = loop {
                match NodeClient::connect(&state) {
                    Ok(client) => break client,
                    Err(_) => std::thread::sleep(START_LOOK),
                }
            };
            if self.two_tiers
                && let Err(error) = tiers::knock(reachable(listen))
            {
                log::warn!("this node cannot be connected to at {listen}: {error}");
            }
            let mut told = false;
            loop {
                let up = self.round(&client).unwrap_or_else(|failure| {
                    log::warn!("links: {failure}");
                    false
                });
                if up && !told {
                    told = true;
                    self.tell(&out);
                }
                std::thread::sleep(if up { LOOK_IN_PEACE } else { LOOK });
            }
        });
    }

    fn tell(&self, out: &Output) {
        let (node, links) = (self.name.as_str(), self.ties.len());
        // An error: nobody reads what this node says.
        let _ = out.json("links-up", &LinksUp { node, links });
        let counted = units::counted(links as u64, "link is", "links are");
        out.say(&format!("{node}: {counted} up"));
    }

    /// Looks once, and does what it can about links that are missing. `true`: none is.
    fn round(&mut self, client: &NodeClient) -> Result<bool, Failure> {
        let peers = client.peers()?;
        let is_up = |tie: &Tie| tie.at.is_some_and(|at| peers.contains(&at));
        let missing: Vec<usize> = (0..self.ties.len())
            .filter(|at| !is_up(&self.ties[*at]))
            .collect();
        let found = for_all(&missing, |at| Ok(self.ties[*at].host.resolve()))?;
        let mut dials = Vec::new();
        for (at, found) in missing.iter().zip(found) {
            let tie = &mut self.ties[*at];
            match found {
                Ok(addr) => {
                    if tie.at.replace(addr) != Some(addr) {
                        client.shape(addr, tie.shape)?;
                    }
                    if tie.dials && !peers.contains(&addr) {
                        dials.push(addr);
                    }
                }
                // It has not started yet, or is gone for a while.
                Err(why) => log::info!("{why}"),
            }
        }
        for_all(&dials, |addr| {
            if let Err(failure) = client.link_to(*addr) {
                log::info!("{failure}");
            }
            Ok(())
        })?;
        let peers = client.peers()?;
        Ok(self
            .ties
            .iter()
            .all(|tie| tie.at.is_some_and(|at| peers.contains(&at))))
    }
}

/// Where something that listens there can be connected to from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse;

    fn network() -> Network {
        let text = r#"{"filbert": "topology/1", "seed": 3, "nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
            "links": [["a", "b"], {"from": "c", "to": "b", "delay": "5ms"}]}"#;
        Network::new(&parse(text).unwrap()).unwrap()
    }

    #[test]
    fn neighbours_are_found_by_id_or_number() {
        let b = Tender::new(&network(), 1, "{id}.lab:77").unwrap();
        let hosts: Vec<String> = b.ties.iter().map(|tie| tie.host.to_string()).collect();
        assert_eq!(hosts, ["a.lab:77", "c.lab:77"]);
        assert!(
            b.ties.iter().all(|tie| !tie.dials),
            "the first of a pair dials"
        );
        assert_eq!(b.ties[0].shape, None);
        let c = Tender::new(&network(), 2, "lab-{}").unwrap();
        assert_eq!(c.ties[0].host.to_string(), "lab-1:6346");
        assert!(c.ties[0].dials);
        let (of_b, of_c) = (b.ties[1].shape.unwrap(), c.ties[0].shape.unwrap());
        assert_eq!((of_b.delay_us, of_c.delay_us), (5_000, 5_000));
        assert_ne!(of_b.seed, of_c.seed, "each end draws for itself");
        for wrong in ["lab", "lab {id}", "{id}:x"] {
            let failure = Tender::new(&network(), 1, wrong).unwrap_err();
            assert!(failure.message.contains("--hosts"), "{failure}");
        }
    }
}
