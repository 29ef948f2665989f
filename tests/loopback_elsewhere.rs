//! Hits that say who else has a file: from a request over HTTP to the search of another node, on 127.0.0.1.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use filbert::control::{Record, Reply, Request};
use filbert::disk::store::Home;
use filbert::net::{Listen, Settings};
use filbert::node::Config;
use filbert::wire::Sha1;
use nodes::{Node, SOON};

/// Asks for the file and says this too; the answer's head.
fn ask(node: &Node, urn: Sha1, lines: &str) -> String {
    let mut stream = TcpStream::connect(node.addr()).unwrap();
    let request = format!(
        "GET /uri-res/N2R?{urn} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The one file that a search for this hash finds.
fn found(node: &Node, urn: Sha1) -> Record {
    let mut replies = node
        .servent
        .request(Request::search_by_hash(urn.to_string(), Vec::new()));
    loop {
        match replies.next(SOON).unwrap() {
            Reply::Hit(mut hit) => return hit.records.remove(0),
            Reply::Searching { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_fetches_a_file_is_named_in_hits_for_it() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    std::fs::write(dirs[0].path().join("moby.txt"), "call me ishmael").unwrap();
    let node = Node::with(Settings {
        config: Config::default(),
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        home: Some(Home::at(dirs[1].path()).unwrap()),
        shares: vec![dirs[0].path().to_path_buf().into()],
        ..Settings::default()
    });
    assert!(node.servent.wait_hashed(SOON));
    let asker = Node::beside(&node);
    let urn: Sha1 = {
        let search = asker.ask(Request::Shares { files: false });
        assert!(search.is_empty(), "it shares nothing itself");
        let shares = node.ask(Request::Shares { files: true });
        let of = |reply: &Reply| match reply {
            Reply::File(file) => file.urn.as_ref()?.parse().ok(),
            _ => None,
        };
        shares.iter().find_map(of).unwrap()
    };
    let bare = found(&asker, urn);
    assert_eq!((bare.alternates, bare.alternates_tls), (vec![], vec![]));

    let addr = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    // Hearsay, and one that has nothing yet, are no sources for strangers.
    ask(
        &node,
        urn,
        "X-Alt: 127.0.0.1:7001\r\nX-Node: 127.0.0.1:7002",
    );
    assert_eq!(found(&asker, urn).alternates, []);
    let parts = "X-Available-Ranges: bytes 0-4";
    let features = "X-Features: fwalt/0.1, tls/1.0";
    ask(&node, urn, &format!("X-Node: 127.0.0.1:7003\r\n{parts}"));
    let answer = ask(
        &node,
        urn,
        &format!("X-Node: 127.0.0.1:7004\r\n{parts}\r\n{features}"),
    );
    let told = answer.lines().find(|line| line.starts_with("X-Alt: "));
    assert_eq!(
        told,
        Some("X-Alt: 127.0.0.1:7003, 127.0.0.1:7001"),
        "no TLS"
    );
    let hit = found(&asker, urn);
    assert_eq!(hit.alternates, [addr(7003), addr(7004)]);
    assert_eq!(hit.alternates_tls, [addr(7004)]);
    let answer = ask(&node, urn, "");
    let told = answer.lines().find(|line| line.starts_with("X-Alt: "));
    let list = "X-Alt: tls=80, 127.0.0.1:7004, 127.0.0.1:7003, 127.0.0.1:7001";
    assert_eq!(told, Some(list));

    // One that turns out to be of no use goes from hits too; here its own host says so.
    ask(&node, urn, "X-NAlt: 127.0.0.1:7004");
    assert_eq!(found(&asker, urn).alternates, [addr(7003)]);
}
