//! `peers`: the neighbours of the running node.

use std::time::Duration;

use crate::cli::Context;
use crate::cli::args::node::PeersVerb;
use crate::cli::exit::{Exit, Failure};
use crate::cli::node::NodeHandle;
use crate::cli::output::escape::shown;
use crate::cli::output::table::{Side, plain};
use crate::cli::output::{Format, units};
use crate::control::{self, Peer, Reply, Request};

/// The core gives up a dial before this.
const DIAL_WAIT: Duration = Duration::from_secs(60);

/// Runs `peers`.
///
/// # Errors
/// Exit 3: no node is running here, or the peer cannot be reached; exit 1: no link to drop.
pub fn run(context: &Context, verb: Option<&PeersVerb>) -> Result<Exit, Failure> {
    let node = NodeHandle::expect_running(context)?;
    let (host, exit) = match verb {
        None | Some(PeersVerb::List) => return list(context, &node),
        Some(PeersVerb::Add { host, .. }) => (host, Exit::NoNetwork),
        Some(PeersVerb::Drop { host }) => (host, Exit::Nothing),
    };
    let addr = host
        .resolve()
        .map_err(|message| Failure::new(Exit::Usage, message))?;
    let request = match verb {
        Some(PeersVerb::Add { net, .. }) => Request::PeerAdd {
            addr,
            net: net.as_deref().map(|net| named(net, &node)).transpose()?,
        },
        _ => Request::PeerDrop { addr },
    };
    let done = node.ask(&request)?.all(DIAL_WAIT);
    done.map_err(|message| Failure::new(exit, format!("{addr}: {message}")))?;
    let (word, kind) = if exit == Exit::NoNetwork {
        ("Linked to", "linked")
    } else {
        ("Dropped", "dropped")
    };
    context
        .out
        .json(kind, &serde_json::json!({ "addr": addr }))?;
    context.out.say(&format!("{word} {addr}."));
    Ok(Exit::Good)
}

/// The net of this name; nodes that rehearse have theirs in place of the public one.
fn named(name: &str, node: &NodeHandle) -> Result<control::Net, Failure> {
    let two_tier = name == "gnutella";
    let mut on = node.nets()?.into_iter();
    let found = on.find(|net| net.is_two_tier() == two_tier);
    let wrong = || {
        let text = format!(
            "the running node is not on --net {name}; leave --net out, or start it with that"
        );
        Failure::new(Exit::Usage, text)
    };
    found.map(Into::into).ok_or_else(wrong)
}

fn list(context: &Context, node: &NodeHandle) -> Result<Exit, Failure> {
    let peers: Vec<Peer> = node
        .all(&Request::Peers, DIAL_WAIT)?
        .into_iter()
        .filter_map(|reply| {
            if let Reply::Peer(peer) = reply {
                Some(peer)
            } else {
                None
            }
        })
        .collect();
    let out = &context.out;
    match out.format() {
        Format::Json => peers.iter().try_for_each(|peer| out.json("peer", peer))?,
        Format::Tabs => {
            for peer in &peers {
                out.line(&cells(peer).map(|cell| shown(&cell).into_owned()).join("\t"))?;
            }
        }
        Format::People if peers.is_empty() => {
            out.say("No neighbours yet. Name one: filbert peers add HOST:PORT");
        }
        Format::People => {
            let header = [
                ("ADDRESS", Side::Left),
                ("NET", Side::Left),
                ("AGENT", Side::Left),
                ("LINKED", Side::Left),
                ("UP", Side::Right),
                ("RECEIVED", Side::Right),
                ("DROPPED", Side::Right),
                ("QUEUED", Side::Right),
                ("SHED", Side::Right),
            ];
            out.line(&plain(header, peers.iter().map(cells)))?;
        }
    }
    Ok(Exit::Good)
}

fn cells(peer: &Peer) -> [String; 9] {
    [
        peer.listen.unwrap_or(peer.addr).to_string(),
        peer.net.name().to_owned(),
        peer.agent.clone(),
        [
            if peer.dialled { "by us" } else { "by them" },
            if peer.encrypted { ", TLS" } else { "" },
            match (peer.compressed_in, peer.compressed_out) {
                (true, true) => ", packed",
                (true, false) => ", packed in",
                (false, true) => ", packed out",
                (false, false) => "",
            },
        ]
        .concat(),
        units::time(Duration::from_secs(peer.age_s)),
        peer.received.to_string(),
        peer.dropped.to_string(),
        peer.queued.to_string(),
        peer.shed.to_string(),
    ]
}
