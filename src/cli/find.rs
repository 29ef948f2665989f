//! Who is asked for nodes on the public network: what was named on the command line, and the lists in the home. And
//! what is said to people while they wait for it.

use crate::cli::Context;
use crate::cli::args::find::FindArgs;
use crate::cli::args::values::Address;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::units::counted;
use crate::control::Finding;
use crate::node::address::Net;

/// Those who are asked for nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caches {
    /// UDP host caches, `HOST:PORT` each.
    pub host_caches: Vec<String>,
}

impl Caches {
    /// Nobody?
    pub fn is_empty(&self) -> bool {
        self.host_caches.is_empty()
    }
}

/// Those named, which are remembered, then those of the lists unless we are not to look for nodes by ourselves
/// (`looks`).
///
/// # Errors
/// Exit 2: caches for a LAN; exit 6: the lists cannot be read or written.
pub fn caches(
    context: &Context,
    args: &FindArgs,
    net: Net,
    looks: bool,
) -> Result<Caches, Failure> {
    if !net.is_two_tier() {
        if args.is_empty() {
            return Ok(Caches::default());
        }
        return Err(Failure::new(
            Exit::Usage,
            "caches are asked for nodes of the public network only; leave --host-cache out, or add --net gnutella",
        ));
    }
    let disk = |error: std::io::Error| Failure::new(Exit::Disk, error.to_string());
    let mut host_caches: Vec<String> = args.host_caches.iter().map(ToString::to_string).collect();
    let list = context.home.host_caches(net);
    if looks || !host_caches.is_empty() {
        context.home.create().map_err(disk)?;
        list.add(&host_caches).map_err(disk)?;
    }
    if looks {
        let entries = list.read(host_cache).map_err(disk)?;
        for fault in &entries.faults {
            context.out.say(fault);
        }
        host_caches.extend(entries.entries);
    }
    Ok(Caches { host_caches })
}

/// A line of the list of host caches.
fn host_cache(text: &str) -> Result<String, String> {
    let address = text.parse::<Address>();
    address
        .map(|address| address.to_string())
        .map_err(|error| error.to_string())
}

/// Nobody is known and nobody can be asked; exit 3.
pub fn nobody_to_ask(context: &Context, net: Net) -> Failure {
    Failure::new(
        Exit::NoNetwork,
        format!(
            "no neighbour to ask: no node is running here, no address is known, and no host cache either\n\
             give a host cache with --host-cache HOST:PORT (they are remembered in {}), or a node with \
             --peer HOST:PORT",
            context.home.host_caches(net).path().display()
        ),
    )
}

/// Why there is no neighbour on the public network although caches may have been asked.
pub fn why_nobody(finding: &Finding) -> String {
    match finding {
        _ if finding.addresses > 0 => format!(
            "{} told of {}, but no link came about",
            counted(finding.host_caches_answered, "host cache", "host caches"),
            counted(finding.addresses, "address", "addresses"),
        ),
        _ if finding.host_caches_asked == 0 => "no known node can be reached".to_owned(),
        _ if finding.host_caches_answered > 0 => "the host caches know nobody".to_owned(),
        _ => format!(
            "no known node can be reached, and of {} none answered",
            counted(finding.host_caches_asked, "host cache", "host caches")
        ),
    }
}

/// Says what is waited for, once for each thing.
#[derive(Debug, Default)]
pub struct Progress {
    said: Finding,
}

impl Progress {
    /// The line to say now, if anything is new.
    pub fn news(&mut self, finding: &Finding) -> Option<String> {
        let said = std::mem::replace(&mut self.said, finding.clone());
        if finding.addresses > said.addresses {
            return Some(format!(
                "{} heard of; calling them",
                counted(finding.addresses, "address", "addresses")
            ));
        }
        (finding.host_caches_asked > 0 && said.host_caches_asked == 0).then(|| {
            format!(
                "no known node answers; asking {} for others",
                counted(finding.host_caches as u64, "host cache", "host caches")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_the_caches_is_said_as_it_was() {
        let asked = Finding {
            host_caches: 5,
            host_caches_asked: 4,
            ..Finding::default()
        };
        let told = Finding {
            host_caches_answered: 1,
            addresses: 12,
            ..asked.clone()
        };
        assert!(why_nobody(&Finding::default()).contains("no known node"));
        assert!(why_nobody(&asked).contains("of 4 host caches none answered"));
        assert!(why_nobody(&told).contains("1 host cache told of 12 addresses"));
        let mut progress = Progress::default();
        assert_eq!(progress.news(&Finding::default()), None);
        assert!(progress.news(&asked).unwrap().contains("5 host caches"));
        assert_eq!(progress.news(&asked), None);
        assert!(progress.news(&told).unwrap().contains("12 addresses"));
        assert_eq!(progress.news(&told), None);
    }

    #[test]
    fn a_line_is_a_host_with_a_port_or_the_usual_one() {
        assert_eq!(host_cache("desk").unwrap(), "desk:6346");
        assert_eq!(host_cache("::1").unwrap(), "[::1]:6346");
        assert!(host_cache("a b").unwrap_err().contains("not an address"));
    }
}
