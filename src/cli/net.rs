//! Which network a node is on: the only place that makes `--net` and `--role` settings of the core, and that says
//! what a search or a share on it reaches. Nobody is on the public network without having asked for it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cli::args::net::NetArgs;
use crate::cli::exit::{Exit, Failure};
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

/// The settings of a node on the net and in the role asked for; all else is as usual there.
///
/// # Errors
/// Exit 2: flags that do not go together, or ask for what is not built.
pub fn config(args: &NetArgs, role: Option<&str>) -> Result<Config, Failure> {
    let usage = |text: &str| Failure::new(Exit::Usage, text);
    let net = asked(args)?.unwrap_or_default();
    if !net.is_two_tier() {
        if args.allow_private {
            return Err(usage(
                "--allow-private is for tests of --net gnutella; leave it out",
            ));
        }
        return match role {
            None => Ok(Config {
                encryption: encryption(args, net)?,
                ..Config::default()
            }),
            Some(_) => Err(usage(
                "on a LAN all nodes are equal: leave --role out, or add --net gnutella",
            )),
        };
    }
    let role = match role {
        None | Some("leaf") => Role::Leaf,
        Some("ultrapeer") => Role::Ultrapeer,
        Some(_) => {
            return Err(usage(
                "--role auto cannot be had yet; choose --role leaf, or --role ultrapeer for a machine that is on all \
                 day and whose port others can reach",
            ));
        }
    };
    Ok(Config {
        net,
        encryption: encryption(args, net)?,
        ..Config::live(role)
    })
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

/// The net asked for; `None` when nothing was said.
///
/// # Errors
/// Exit 2: two of them.
pub fn asked(args: &NetArgs) -> Result<Option<Net>, Failure> {
    let live = if args.allow_private {
        Net::Rehearsal
    } else {
        Net::Gnutella
    };
    match args.nets.as_slice() {
        [] => Ok(None),
        [net] if net == "gnutella" => Ok(Some(live)),
        [_] => Ok(Some(Net::Lan)),
        [..] => Err(Failure::new(
            Exit::Usage,
            "a node is on one network: give --net once, and start a second node with its own --home for the other",
        )),
    }
}

/// Links that an ultrapeer must accept, or leaves stay away.
///
/// # Errors
/// Exit 2.
pub fn check_links(config: &Config) -> Result<(), Failure> {
    let ultrapeer = config.net.is_two_tier() && config.role == Role::Ultrapeer;
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
pub fn check_peers(net: Net, peers: &[SocketAddr]) -> Result<(), Failure> {
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

/// A role, for people.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leaf => "a leaf",
        Role::Ultrapeer => "an ultrapeer",
    }
}

/// How long there. On the live network calls go round the world to hosts that may be gone, and an ultrapeer asks one
/// neighbour every few seconds for us.
pub fn patience(net: Net) -> Patience {
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
            assert_eq!(config(&args, None).unwrap().encryption, encryption);
        }
        let on = NetArgs {
            tls: Some("on".to_owned()),
            ..args(&["lan"], false)
        };
        let built = cfg!(feature = "tls");
        assert_eq!(config(&on, None).is_ok(), built);
    }

    #[test]
    fn nobody_is_on_the_public_network_without_asking() {
        assert_eq!(config(&args(&[], false), None).unwrap().net, Net::Lan);
        assert_eq!(config(&args(&["lan"], false), None).unwrap().net, Net::Lan);
    }

    #[test]
    fn who_asks_for_the_public_network_is_a_leaf_unless_told_otherwise() {
        for (role, is) in [
            (None, Role::Leaf),
            (Some("leaf"), Role::Leaf),
            (Some("ultrapeer"), Role::Ultrapeer),
        ] {
            let config = config(&args(&["gnutella"], false), role).unwrap();
            assert_eq!((config.net, config.role), (Net::Gnutella, is));
            assert!(config.ttl_max == 4 && config.ext_probes);
        }
        let test = config(&args(&["gnutella"], true), None).unwrap();
        assert_eq!(test.net, Net::Rehearsal);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_way_out() {
        for (nets, allow_private, role, way_out) in [
            (&["gnutella", "lan"][..], false, None, "--home"),
            (&["lan"], false, Some("leaf"), "--net gnutella"),
            (&[], false, Some("auto"), "--net gnutella"),
            (&["gnutella"], false, Some("auto"), "--role leaf"),
            (&[], true, None, "--net gnutella"),
        ] {
            let refused = config(&args(nets, allow_private), role).unwrap_err();
            assert_eq!(refused.exit, Exit::Usage);
            assert!(refused.message.contains(way_out), "{}", refused.message);
        }
        let private = ["192.168.1.20:6346".parse().unwrap()];
        assert!(check_peers(Net::Gnutella, &private).is_err());
        assert!(check_peers(Net::Lan, &private).is_ok());
        let few = Config {
            max_links: 8,
            ..Config::live(Role::Ultrapeer)
        };
        assert!(check_links(&few).is_err());
        assert!(check_links(&Config::live(Role::Leaf)).is_ok());
    }
}
