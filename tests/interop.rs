//! What a running gtk-gnutella taught us, replayed: each test is a fact of docs/interop.md.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use common::{Wired, addr, peer};
use filbert::node::event::{Direction, Role};
use filbert::node::greet::{Dialer, Me, Step};
use filbert::node::{Action, Config, Event, LinkId, Outbox};
use filbert::wire::ServentId;

fn captured(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/gtk-gnutella");
    std::fs::read(folder.join(name)).unwrap()
}

/// Its answer to a call names no listening address. Unless the one we dialled is kept as such, the address
/// book offers it again, and the third call within a minute brings a ban.
#[test]
fn who_answers_a_call_listens_where_we_called() {
    let at: SocketAddr = "127.0.0.1:6346".parse().unwrap();
    let me = Me {
        agent: "filbert/test".to_owned(),
        servent: ServentId([1; 16]),
        listen: None,
        max_ttl: 4,
        degree: 16,
        ext_probes: false,
    };
    let (mut dialer, _) = Dialer::new(me, at, at.ip());
    let step = dialer.read(&captured("01-probe-ultra-to-ultra.recv.bin"));
    let Ok(Step::Done { peer, rest, .. }) = step else {
        panic!("{step:?}")
    };
    assert_eq!((peer.listen, peer.role), (Some(at), Role::Ultrapeer));
    assert!(!rest.is_empty(), "its frames follow at once");
}

#[test]
fn a_neighbour_is_not_called_again_whatever_address_it_names() {
    for named in [None, Some(addr(7))] {
        let config = Config {
            min_links: 4,
            ..Config::default()
        };
        let mut net = Wired::new(1, &config);
        let mut said = peer(1, Direction::Dialled(addr(1)));
        said.listen = named;
        let mut out = Outbox::new();
        let node = &mut net.nodes[0];
        node.handle(net.now, Event::Heard(vec![addr(1)]), &mut out);
        assert_eq!(out.actions(), [Action::Dial(addr(1))]);
        out.clear();
        node.handle(net.now, Event::LinkUp(LinkId(1), Box::new(said)), &mut out);
        for _ in 0..50 {
            net.now = net.now.plus(Duration::from_secs(1));
            node.handle(net.now, Event::Wake, &mut out);
        }
        let calls = |action: &&Action| matches!(action, Action::Dial(to) if *to == addr(1));
        assert_eq!(out.actions().iter().filter(calls).count(), 0, "{named:?}");
    }
}
