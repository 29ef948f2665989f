//! Which network a node is on: the only place that makes `--net` and `--role` settings of the core, and that says
//! what a search or a share on it reaches. Nobody is on the public network without having asked for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::net::NetArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::hostile;
use crate::node::Config;
use crate::node::address::Net;
use crate::node::event::Role;
use crate::node::greet::Encryption;

/// Leaves of the live network leave ultrapeers that say that they have fewer links (`X-Degree`).
const ULTRAPEER_LINKS_LEAST: usize = 16;

/// How long a command waits for a network, unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a first neighbour.
    pub neighbour: Duration,
    /// For a whole search.
    pub search: Duration,
    /// For something new during a search.
    pub idle: Duration,
}

/// The settings of a node on each net asked for, in the role asked for; all else is as usual there. At least one.
///
/// # Errors
/// Exit 2: flags that do not go together.
pub fn configs(args: &NetArgs, role: Option<&str>) -> Result<Vec<Config>, Failure> {
    let usage = |text: &str| Failure::new(Exit::Usage, text);
    let mut nets = asked(args);
    if nets.is_empty() {
        nets.push(Net::Lan);
    }
    if !nets.iter().any(|net| net.is_two_tier()) {
        if args.allow_private {
            return Err(usage(
                "--allow-private is for tests of --net gnutella; leave it out",
            ));
        }
        if !args.hostile.is_empty() {
            return Err(usage(
                "--hostile is about strangers: leave it out, or add --net gnutella",
            ));
        }
        if role.is_some() {
            return Err(usage(
                "on a LAN all nodes are equal: leave --role out, or add --net gnutella",
            ));
        }
    }
    let hostile = Arc::new(hostile::read(&args.hostile)?);
    let live = match role {
        None | Some("leaf") => Config::live(Role::Leaf),
        Some("ultrapeer") => Config::live(Role::Ultrapeer),
        Some(_) => Config::live_auto(),
    };
    let config = |net: Net| {
        let encryption = encryption(args, net)?;
        Ok(match net {
            Net::Lan => Config {
                encryption,
                ..Config::default()
            },
            Net::Gnutella | Net::Rehearsal => Config {
                net,
                encryption,
                hostile: hostile.clone(),
                direct_hits: !args.no_direct_hits,
                ..live.clone()
            },
        })
    };
    nets.into_iter().map(config).collect()
}

/// What is done about TLS there. On a LAN the other side is known and TLS would only cost: a node gives it to whoever
/// asks, and asks nobody. Among strangers it keeps a network's owner from reading along.
///
/// # Errors
/// Exit 2: it is asked for, and this program was built without.
fn encryption(args: &NetArgs, net: Net) -> Result<Encryption, Failure> {
    match args.tls.as_deref() {
        Some("off") => Ok(Encryption::Never),
        Some("on") if cfg!(feature = "tls") => Ok(Encryption::Offered),
        Some("on") => Err(Failure::new(
            Exit::Usage,
            "this filbert was built without TLS; leave --tls out, or build it with --features tls",
        )),
        _ if net.is_two_tier() => Ok(Encryption::Offered),
        _ => Ok(Encryption::Accepted),
    }
}

/// The nets asked for, each once, the LAN first; none when nothing was said.
pub fn asked(args: &NetArgs) -> Vec<Net> {
    let live = if args.allow_private {
        Net::Rehearsal
    } else {
        Net::Gnutella
    };
    let named = |name: &str| args.nets.iter().any(|net| net == name);
    [(Net::Lan, "lan"), (live, "gnutella")]
        .into_iter()
        .filter_map(|(net, name)| named(name).then_some(net))
        .collect()
}

/// The peers of each of some nets: an address is of the net that claims it, of the only one there is, or of the first
/// where addresses do not tell.
///
/// # Errors
/// Exit 2 with the first address that its net cannot have.
pub fn peers_of_each(nets: &[Net], peers: &[SocketAddr]) -> Result<Vec<Vec<SocketAddr>>, Failure> {
    let mut each = vec![Vec::new(); nets.len()];
    for addr in peers {
        let claims = |net: &Net| nets.len() == 1 || net.claims(addr.ip());
        let at = nets.iter().position(claims).unwrap_or_default();
        check_peers(nets[at], &[*addr])?;
        each[at].push(*addr);
    }
    Ok(each)
}

/// Links that an ultrapeer must accept, or leaves stay away.
///
/// # Errors
/// Exit 2.
pub fn check_links(config: &Config) -> Result<(), Failure> {
    let ultrapeer = config.net == Net::Gnutella && config.role == Role::Ultrapeer;
    if ultrapeer && config.max_links < ULTRAPEER_LINKS_LEAST {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "leaves stay away from an ultrapeer with --max-links {}; give at least {ULTRAPEER_LINKS_LEAST}, or \
                 be a leaf",
                config.max_links
            ),
        ));
    }
    Ok(())
}

/// Addresses that this net can have at all.
///
/// # Errors
/// Exit 2 with the first that it cannot.
fn check_peers(net: Net, peers: &[SocketAddr]) -> Result<(), Failure> {
    match peers.iter().find(|addr| !net.admits(addr.ip())) {
        None => Ok(()),
        Some(addr) => Err(Failure::new(
            Exit::Usage,
            format!(
                "{addr} is a private address, and --net gnutella has public ones only; reach it with --net lan"
            ),
        )),
    }
}

/// Who is reached there, for people.
pub fn whom(net: Net) -> &'static str {
    match net {
        Net::Lan => "nodes of this network",
        Net::Gnutella => "strangers on the public Gnutella network",
        Net::Rehearsal => "nodes that try the public network's rules among private addresses",
    }
}

/// Who is reached on these nets, for people.
pub fn all_whom(nets: &[Net]) -> String {
    let all: Vec<_> = nets.iter().map(|net| whom(*net)).collect();
    all.join(", and ")
}

/// A role, for people.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leaf => "a leaf",
        Role::Ultrapeer => "an ultrapeer",
    }
}

/// How long on these nets: as long as the slowest needs.
pub fn patience(nets: &[Net]) -> Patience {
    let slowest = nets.iter().find(|net| net.is_two_tier());
    patience_on(slowest.copied().unwrap_or_default())
}

/// How long there. On the live network calls go round the world to hosts that may be gone, and an ultrapeer asks one
/// neighbour every few seconds for us.
fn patience_on(net: Net) -> Patience {
    let [neighbour, search, idle] = match net {
        Net::Lan => [6, 10, 3],
        Net::Gnutella | Net::Rehearsal => [30, 60, 20],
    };
    Patience {
        neighbour: Duration::from_secs(neighbour),
        search: Duration::from_secs(search),
        idle: Duration::from_secs(idle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(nets: &[&str], allow_private: bool) -> NetArgs {
        NetArgs {
            nets: nets.iter().map(ToString::to_string).collect(),
            allow_private,
            ..NetArgs::default()
        }
    }

    #[test]
    fn tls_is_asked_for_among_strangers_unless_told_otherwise() {
        for (net, tls, encryption) in [
            ("lan", None, Encryption::Accepted),
            ("lan", Some("auto"), Encryption::Accepted),
            ("lan", Some("off"), Encryption::Never),
            ("gnutella", None, Encryption::Offered),
            ("gnutella", Some("auto"), Encryption::Offered),
            ("gnutella", Some("off"), Encryption::Never),
        ] {
            let args = NetArgs {
                tls: tls.map(str::to_owned),
                ..args(&[net], false)
            };
            assert_eq!(configs(&args, None).unwrap()[0].encryption, encryption);
        }
        let on = NetArgs {
            tls: Some("on".to_owned()),
            ..args(&["lan"], false)
        };
        let built = cfg!(feature = "tls");
        assert_eq!(configs(&on, None).is_ok(), built);
    }

    #[test]
    fn nobody_is_on_the_public_network_without_asking() {
        for nets in [&[][..], &["lan"]] {
            let configs = configs(&args(nets, false), None).unwrap();
            assert_eq!((configs.len(), configs[0].net), (1, Net::Lan));
        }
    }

    #[test]
    fn who_asks_for_the_public_network_is_a_leaf_unless_told_otherwise() {
        for (role, is) in [
            (None, Role::Leaf),
            (Some("leaf"), Role::Leaf),
            (Some("ultrapeer"), Role::Ultrapeer),
            (Some("auto"), Role::Leaf),
        ] {
            let config = configs(&args(&["gnutella"], false), role)
                .unwrap()
                .remove(0);
            assert_eq!((config.net, config.role), (Net::Gnutella, is));
            assert!(config.ttl_max == 4 && config.ext_probes);
            assert_eq!(config.auto_role, role == Some("auto"));
        }
        let test = configs(&args(&["gnutella"], true), None).unwrap();
        assert_eq!(test[0].net, Net::Rehearsal);
    }

    #[test]
    fn both_nets_are_had_in_any_order_and_each_peer_is_of_its_own() {
        for nets in [&["lan", "gnutella"][..], &["gnutella", "lan", "lan"]] {
            let configs = configs(&args(nets, false), Some("ultrapeer")).unwrap();
            let got: Vec<_> = configs.iter().map(|config| config.net).collect();
            assert_eq!(got, [Net::Lan, Net::Gnutella]);
            assert_eq!(configs[1].role, Role::Ultrapeer);
            let peers = ["8.8.8.8:6346", "192.168.1.20:6346"].map(|addr| addr.parse().unwrap());
            let each = peers_of_each(&got, &peers).unwrap();
            assert_eq!(each, [vec![peers[1]], vec![peers[0]]]);
            let text = all_whom(&got);
            assert!(
                text.contains("this network") && text.contains("strangers"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_way_out() {
        for (nets, allow_private, role, way_out) in [
            (&["lan"][..], false, Some("leaf"), "--net gnutella"),
            (&[], false, Some("auto"), "--net gnutella"),
            (&[], true, None, "--net gnutella"),
        ] {
            let refused = configs(&args(nets, allow_private), role).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage);
            assert!(refused.message.contains(way_out), "{}", refused.message);
        }
        let private = ["192.168.1.20:6346".parse().unwrap()];
        assert!(peers_of_each(&[Net::Gnutella], &private).is_err());
        assert!(peers_of_each(&[Net::Lan], &private).is_ok());
        let few = Config {
            max_links: 8,
            ..Config::live(Role::Ultrapeer)
        };
        assert!(check_links(&few).is_err());
        assert!(check_links(&Config::live(Role::Leaf)).is_ok());
    }
}
