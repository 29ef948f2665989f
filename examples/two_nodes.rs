//! Two cores wired by hand: no socket, no clock, no thread. The best first read of the routing core.
//!
//! `cargo run --example two_nodes`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use filbert::node::event::{Direction, Peer, SearchSpec};
use filbert::node::library::{Entry, Library};
use filbert::node::{Action, Command, Config, Event, LinkId, Node, Notice, Outbox, Ticket, Time};
use filbert::wire::{Frame, ServentId};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

const LINK: LinkId = LinkId(0);

/// A core, and what its greeting tells the other one.
fn node(n: u8) -> (Node, Box<Peer>) {
    let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6346 + u16::from(n));
    let config = Config {
        listen: Some(addr),
        min_links: 0,
        ..Config::default()
    };
    let id = ServentId([n + 1; 16]);
    let as_seen = Peer {
        listen: Some(addr),
        servent: Some(id),
        agent: "two-nodes".into(),
        bye: true,
        ..Peer::bare(Direction::Accepted, addr, addr.ip())
    };
    (
        Node::new(
            Arc::new(config),
            id,
            ChaCha8Rng::seed_from_u64(u64::from(n)),
        ),
        Box::new(as_seen),
    )
}

/// Hands one event to a core, says what it decides, and returns the frames it wants sent.
fn step(node: &mut Node, event: Event) -> Vec<Frame> {
    let mut out = Outbox::new();
    node.handle(Time::ZERO, event, &mut out);
    let mut frames = Vec::new();
    for action in out.actions() {
        match action {
            Action::Send(_, frame) | Action::Spread(frame, _) => frames.push(frame.clone()),
            Action::Tell(_, Notice::Hit { hit, .. }) => {
                say(&format!("found {} at {}", hit.records[0].name, hit.addr));
            }
            other => say(&format!("{other:?}")),
        }
    }
    frames
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn say(line: &str) {
    println!("{line}");
}

fn main() {
    let ((mut asker, asker_seen), (mut holder, holder_seen)) = (node(0), node(1));
    let path = "stories/moby dick.txt".to_owned();
    let entry = Entry {
        index: 1,
        share: 0,
        path,
        size: 1_257_341,
        mtime: 0,
        sha1: None,
        tiger: None,
    };
    step(
        &mut holder,
        Event::Library(Arc::new(Library::build(&["books".to_owned()], vec![entry]))),
    );
    step(&mut asker, Event::LinkUp(LINK, holder_seen));
    step(&mut holder, Event::LinkUp(LINK, asker_seen));

    let spec = SearchSpec {
        text: "Moby books".to_owned(),
        sha1: None,
        ttl: None,
        media: None,
        ..SearchSpec::default()
    };
    for query in step(&mut asker, Event::Command(Ticket(1), Command::Search(spec))) {
        for hit in step(&mut holder, Event::Received(LINK, query)) {
            step(&mut asker, Event::Received(LINK, hit));
        }
    }
}
