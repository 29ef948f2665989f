//! Who is asked for nodes on the public network: what was named on the command line, and the lists in the home. And
//! what is said to people while they wait for it.

use std::io;

use crate::cli::Context;
use crate::cli::args::find::FindArgs;
use crate::cli::args::values::Address;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::units::counted;
use crate::control::Finding;
use crate::disk::lists::List;
use crate::disk::web_caches::forgive;
use crate::net::{Url, WebCacheSettings};
use crate::node::address::Net;

/// Those who are asked for nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caches {
    /// UDP host caches, `HOST:PORT` each.
    pub host_caches: Vec<String>,
    /// Web caches.
    pub web_caches: WebCacheSettings,
}

impl Caches {
    /// Nobody?
    pub fn is_empty(&self) -> bool {
        self.host_caches.is_empty() && self.web_caches.urls.is_empty()
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
            "caches are asked for nodes of the public network only; leave --host-cache and --web-cache out, or add --net gnutella",
        ));
    }
    let disk = |error: io::Error| Failure::new(Exit::Disk, error.to_string());
    let host_caches = args.host_caches.iter().map(ToString::to_string).collect();
    let urls: Vec<String> = args.web_caches.iter().map(ToString::to_string).collect();
    let kept = context.home.web_caches_asked();
    if looks || !args.is_empty() {
        context.home.create().map_err(disk)?;
        forgive(&kept, &urls).map_err(disk)?;
    }
    let (host_list, web_list) = (context.home.host_caches(net), context.home.web_caches(net));
    Ok(Caches {
        host_caches: listed(context, &host_list, host_caches, host_cache, looks).map_err(disk)?,
        web_caches: WebCacheSettings {
            urls: listed(context, &web_list, urls, web_cache, looks).map_err(disk)?,
            kept: Some(kept),
        },
    })
}

/// Those named, which are added to the list, then, if we look for nodes by ourselves, those of the list.
fn listed(
    context: &Context,
    list: &List,
    mut named: Vec<String>,
    check: impl Fn(&str) -> Result<String, String>,
    looks: bool,
) -> io::Result<Vec<String>> {
    if looks || !named.is_empty() {
        list.add(&named)?;
    }
    if looks {
        let read = list.read(check)?;
        for fault in &read.faults {
            context.out.say(fault);
        }
        let new = read.entries.into_iter();
        named.extend(
            new.filter(|entry| !named.contains(entry))
                .collect::<Vec<_>>(),
        );
    }
    Ok(named)
}

/// A line of the list of web caches.
fn web_cache(text: &str) -> Result<String, String> {
    text.parse::<Url>().map(|url| url.to_string())
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
    let asked = [
        (finding.host_caches_asked, "host cache", "host caches"),
        (finding.web_caches_asked, "web cache", "web caches"),
    ];
    let asked: Vec<String> = asked
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| counted(count, one, many))
        .collect();
    let asked = asked.join(" and ");
    if finding.addresses > 0 {
        format!(
            "{asked} asked, {} heard of, but no link came about",
            counted(finding.addresses, "address", "addresses"),
        )
    } else if asked.is_empty() {
        "no known node can be reached".to_owned()
    } else if finding.host_caches_answered > 0 {
        format!("no known node can be reached, and of {asked} none knows any")
    } else {
        format!("no known node can be reached, and of {asked} none answered with any")
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
        let (who, count) = if finding.web_caches_asked > said.web_caches_asked {
            ("web cache", 1)
        } else if finding.host_caches_asked > 0 && said.host_caches_asked == 0 {
            ("host cache", finding.host_caches as u64)
        } else {
            return None;
        };
        let caches = counted(count, who, &format!("{who}s"));
        Some(format!("no known node answers; asking {caches} for others"))
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
        assert!(why_nobody(&told).contains("4 host caches asked, 12 addresses heard of"));
        let web = Finding {
            web_caches_asked: 1,
            ..asked.clone()
        };
        assert!(why_nobody(&web).contains("of 4 host caches and 1 web cache none answered"));
        let mut progress = Progress::default();
        assert_eq!(progress.news(&Finding::default()), None);
        assert!(progress.news(&asked).unwrap().contains("5 host caches"));
        assert_eq!(progress.news(&asked), None);
        assert!(progress.news(&web).unwrap().contains("asking 1 web cache"));
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
