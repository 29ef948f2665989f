//! Which network: asked for, said, and kept apart. Nodes of this machine under the live network's rules.

use crate::world::{World, path_text};

const LIVE: [&str; 3] = ["--net", "gnutella", "--allow-private"];

#[test]
fn leaves_find_and_fetch_through_an_ultrapeer_and_are_told_whom_they_reach() {
    let world = World::new();
    let ultrapeer = [&LIVE[..], &["--role", "ultrapeer"]].concat();
    let hub = world.node("hub", &ultrapeer, &[]);
    let folder = world.folder("files", &[("hazelnut spread.txt", b"sweet")]);
    let args = [&LIVE[..], &[path_text(&folder)]].concat();
    let mut sharer = world.node("sharer", &args, &[&hub]);
    let ready = sharer.wait_for("ready", |_| true);
    assert_eq!(
        (&ready["net"], &ready["role"]),
        (&"rehearsal".into(), &"leaf".into())
    );
    sharer.wait_for("library", |line| line["hashed_files"] == 1);
    sharer.wait_linked(hub.listen);

    // The hub gives queries to the sharer once its routing table is there: ask until then.
    let hub = hub.address();
    let search = [
        &[
            "search", "hazelnut", "--json", "--idle", "2s", "--peer", &hub,
        ],
        &LIVE[..],
    ];
    let found = (0..10)
        .map(|_| world.run("asker", &search.concat()))
        .find(|run| run.code == Some(0))
        .expect("found in time");
    assert!(found.err.contains("asking nodes that try"), "{}", found.err);
    let id = found.json_of("hit")[0]["id"].as_str().unwrap().to_owned();
    let out = world.path("out");
    world
        .run("asker", &["get", &id, "-o", path_text(&out)])
        .expect(0);
    assert_eq!(
        std::fs::read(out.join("hazelnut spread.txt")).unwrap(),
        b"sweet"
    );
}

#[test]
fn a_running_node_is_asked_only_for_the_net_it_is_on() {
    let world = World::new();
    let lan = world.node("lan", &[], &[]);
    let status = world.run("lan", &["status", "--json"]).expect(0);
    assert_eq!(status.json_of("status")[0]["net"], "lan");
    let refused = world
        .run("lan", &["search", "fox", "--net", "gnutella"])
        .expect(2);
    assert!(refused.err.contains("leave --net out"), "{}", refused.err);
    drop(lan);
}

#[test]
fn a_role_left_to_the_network_begins_as_a_leaf_and_says_what_it_waits_for() {
    let world = World::new();
    let _node = world.node("one", &[&LIVE[..], &["--role", "auto"]].concat(), &[]);
    let status = world.run("one", &["status", "--json"]).expect(0);
    let status = &status.json_of("status")[0];
    assert_eq!(status["role"], "leaf");
    assert_eq!(status["nets"][0]["auto"]["hindrance"], "unreachable");
    let screen = world.run("one", &["status"]).expect(0).out;
    assert!(
        screen.contains("as a leaf (auto; no ultrapeer yet: nobody was seen to connect"),
        "{screen}"
    );
}

#[test]
fn a_list_of_hostile_addresses_is_read_and_a_line_that_is_none_is_named() {
    let world = World::new();
    let folder = world.folder(
        "lists",
        &[
            ("good.txt", b"# us\n127.0.0.0/8\n"),
            ("bad.txt", b"1.1.1.1\n1.2.3\n"),
        ],
    );
    let hub = world.node("hub", &[&LIVE[..], &["--role", "ultrapeer"]].concat(), &[]);
    let bad = folder.join("bad.txt");
    let args = [&["search", "fox", "--hostile", path_text(&bad)], &LIVE[..]].concat();
    let refused = world.run("asker", &args).expect(2);
    assert!(
        refused
            .err
            .contains("bad.txt cannot be used: line 2: \"1.2.3\""),
        "{}",
        refused.err
    );
    let good = folder.join("good.txt");
    let hub = hub.address();
    let args = [
        &[
            "search",
            "fox",
            "--peer",
            &hub,
            "--hostile",
            path_text(&good),
        ],
        &LIVE[..],
    ]
    .concat();
    world.run("asker", &args).expect(3);
}

#[test]
fn a_running_share_ends_links_to_those_that_its_list_of_hostile_addresses_comes_to_name() {
    let world = World::new();
    let list = world.path("hostile.txt");
    std::fs::write(&list, "192.0.2.1\n").unwrap();
    let role = ["--role", "ultrapeer", "--hostile", path_text(&list)];
    let mut hub = world.node("hub", &[&LIVE[..], &role].concat(), &[]);
    let _leaf = world.node("leaf", &LIVE, &[&hub]);
    let up = hub.wait_for("link-up", |_| true);
    std::fs::write(&list, "127.0.0.0/8\n").unwrap();
    let down = hub.wait_for("link-down", |_| true);
    assert_eq!(down["link"], up["link"]);
}

#[test]
fn what_a_net_cannot_be_is_refused_before_anything_starts() {
    let world = World::new();
    for (args, way_out) in [
        (&["--role", "leaf"][..], "--net gnutella"),
        (&["--role", "auto"], "--net gnutella"),
        (
            &["--net", "gnutella", "--role", "auto", "--max-links", "40"],
            "choose a role",
        ),
        (
            &["--net", "lan,gnutella", "--max-links", "20"],
            "leave them out",
        ),
        (&["--net", "gnutella", "--ttl", "7"], "4 or less"),
        (&["--hostile", "none.txt"], "--net gnutella"),
        (
            &["--net", "gnutella", "--hostile", "none.txt"],
            "none.txt cannot be read",
        ),
        (&["--max-leaves", "9"], "--role ultrapeer"),
        (
            &["--net", "gnutella", "--max-leaves", "9"],
            "--role ultrapeer",
        ),
        (&["--map-port"], "--net gnutella only"),
        (
            &["--net", "gnutella", "--map-port", "--listen", "127.0.0.1:1"],
            "--listen 0.0.0.0:1",
        ),
        (
            &["--net", "gnutella", "--peer", "192.168.1.20"],
            "--net lan",
        ),
        (
            &[
                "--net",
                "gnutella",
                "--role",
                "ultrapeer",
                "--max-links",
                "12",
            ],
            "16",
        ),
    ] {
        let run = world.run("one", &[&["share"], args].concat()).expect(2);
        assert!(run.err.contains(way_out), "{args:?}: {}", run.err);
    }
}

#[test]
fn the_router_opens_a_port_only_when_asked_and_for_strangers_only() {
    let world = World::new();
    let router = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = router.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut asked = [0; 64];
        while let Ok((_, from)) = router.recv_from(&mut asked) {
            let mut answer = vec![0, 128 + asked[1], 0, 0, 0, 0, 0, 1];
            answer.extend(&asked[4..12]);
            let _ = router.send_to(&answer, from);
        }
    });
    let asks = [&LIVE[..], &["--map-port", "--router", &addr]].concat();
    let mut node = world.node("asks", &asks, &[]);
    let told = node.wait_for("port-mapping", |_| true);
    assert_eq!(
        (&told["state"], &told["by"]),
        (&"open".into(), &"NAT-PMP".into())
    );
    let said = format!("router   opened port {} (NAT-PMP)", node.listen.port());
    let status = world.run("asks", &["status"]).expect(0);
    assert!(status.out.contains(&said), "{}", status.out);

    let _quiet = world.node("quiet", &LIVE, &[]);
    let status = world.run("quiet", &["status", "--json"]).expect(0);
    assert!(status.json_of("status")[0]["mapping"].is_null());
}

#[test]
fn addresses_of_one_net_are_not_called_on_the_other() {
    let world = World::new();
    let ultrapeer = [&LIVE[..], &["--role", "ultrapeer"]].concat();
    let hub = world.node("hub", &ultrapeer, &[]);
    let hub = hub.address();
    let search = [
        &["search", "fox", "--idle", "100ms", "--peer", &hub],
        &LIVE[..],
    ]
    .concat();
    world.run("asker", &search).expect(1);
    // It is remembered there ...
    let again = [&["search", "fox", "--idle", "100ms"], &LIVE[..]].concat();
    world.run("asker", &again).expect(1);
    // ... and unknown here.
    world
        .run(
            "asker",
            &["search", "fox", "--idle", "100ms", "--no-discovery"],
        )
        .expect(3);
}

#[test]
fn one_node_on_both_nets_searches_both_and_says_of_each_hit_where_it_is() {
    let world = World::new();
    let ultrapeer = [&LIVE[..], &["--role", "ultrapeer"]].concat();
    let hub = world.node("hub", &ultrapeer, &[]);
    let far = world.folder("far", &[("hazelnut far.txt", b"far")]);
    let near = world.folder("near", &[("hazelnut near.txt", b"near")]);
    let mut stranger = world.node(
        "stranger",
        &[&LIVE[..], &[path_text(&far)]].concat(),
        &[&hub],
    );
    stranger.wait_for("library", |line| line["hashed_files"] == 1);
    stranger.wait_linked(hub.listen);
    let mut neighbour = world.node("neighbour", &[path_text(&near)], &[]);
    neighbour.wait_for("library", |line| line["hashed_files"] == 1);

    let mut both = world.node(
        "both",
        &["--net", "lan,gnutella", "--allow-private"],
        &[&neighbour],
    );
    let ready = both.wait_for("ready", |_| true);
    assert_eq!(ready["nets"], serde_json::json!(["lan", "rehearsal"]));
    assert_eq!(ready["role"], "leaf");
    both.wait_linked(neighbour.listen);
    world
        .run(
            "both",
            &["peers", "add", &hub.address(), "--net", "gnutella"],
        )
        .expect(0);
    let peers = world.run("both", &["peers", "--json"]).expect(0);
    let mut nets: Vec<_> = peers
        .json_of("peer")
        .iter()
        .map(|peer| peer["net"].clone())
        .collect();
    nets.sort_by_key(ToString::to_string);
    assert_eq!(nets, ["lan", "rehearsal"]);
    let status = world.run("both", &["status"]).expect(0);
    assert!(
        status
            .out
            .contains("reaches  nodes of this network   1 link"),
        "{}",
        status.out
    );
    assert!(status.out.contains("as a leaf   1 link"), "{}", status.out);

    // The hub gives queries to the stranger once its routing table is there: ask until then.
    let search = ["search", "hazelnut", "--json", "--idle", "1s"];
    let found = (0..10)
        .map(|_| world.run("both", &search).expect(0))
        .find(|run| run.json_of("hit").len() == 2)
        .expect("both in time");
    assert!(
        found
            .err
            .contains("nodes of this network, and nodes that try"),
        "{}",
        found.err
    );
    for hit in found.json_of("hit") {
        let (name, net) = (hit["name"].as_str().unwrap(), hit["net"].as_str().unwrap());
        assert!(
            matches!(
                (name, net),
                ("hazelnut near.txt", "lan") | ("hazelnut far.txt", "rehearsal")
            ),
            "{hit}"
        );
    }
    // One net alone, when that is asked.
    let one = world
        .run("both", &[&search[..], &["--net", "lan"]].concat())
        .expect(0);
    let hits = one.json_of("hit");
    assert_eq!((hits.len(), &hits[0]["net"]), (1, &"lan".into()));
}

/// An ultrapeer of another make that takes every link and all that is said on it, and says nothing.
fn silent_ultrapeer() -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut greeting = Vec::new();
                let mut byte = [0];
                while !greeting.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    greeting.push(byte[0]);
                }
                let answer = b"GNUTELLA/0.6 200 OK\r\nUser-Agent: other/1.0\r\nX-Ultrapeer: True\r\n\
                    X-Query-Routing: 0.1\r\nX-Dynamic-Querying: 0.1\r\nX-Degree: 32\r\nX-Max-TTL: 4\r\n\r\n";
                let _ = stream.write_all(answer);
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    addr
}

#[test]
fn a_search_repeated_too_soon_says_since_when_and_until_when() {
    let world = World::new();
    let ultrapeer = silent_ultrapeer();
    let address = ultrapeer.to_string();
    let live = ["--net", "gnutella", "--allow-private"];
    let args = [&live[..], &["--peer", &address]].concat();
    let mut leaf = world.node("leaf", &args, &[]);
    leaf.wait_linked(ultrapeer);
    let search = |words: &str| {
        let args = ["search", words, "--json", "--idle", "100ms"];
        world.run("leaf", &[&args[..], &live].concat()).expect(1)
    };
    let first = search("hazelnut spread");
    assert_eq!(first.json_of("end")[0]["reason"], "idle");
    let again = search("Hazelnut  Spread");
    let end = &again.json_of("end")[0];
    assert_eq!(
        (&end["reason"], &end["hits"]),
        (&"too-soon".into(), &0.into())
    );
    assert!(
        again.err.contains("had the same search ") && again.err.contains("repeat it in 28 min"),
        "{}",
        again.err
    );
    // Other words are another search.
    assert_eq!(search("walnut").json_of("end")[0]["reason"], "idle");
}

#[test]
fn status_says_what_reaches_a_node_and_whether_its_searches_say_where_it_is() {
    let world = World::new();
    let ultrapeer = [&LIVE[..], &["--role", "ultrapeer"]].concat();
    let hub = world.node("hub", &ultrapeer, &[]);
    let mut open = world.node("open", &LIVE, &[&hub]);
    open.wait_linked(hub.listen);
    let by_datagram = |home: &str| {
        let status = world.run(home, &["status", "--json"]).expect(0);
        let on = status.json_of("status")[0]["nets"][0].clone();
        (on["reach"]["datagrams"].clone(), on["direct_hits"].clone())
    };
    let known = (0..300)
        .map(|_| by_datagram("open"))
        .find(|(reached, _)| *reached == "yes");
    assert_eq!(known.expect("a ping in time").1, true);
    let status = world.run("open", &["status"]).expect(0);
    let line = "by datagrams (UDP): yes";
    assert!(status.out.contains(line), "{}", status.out);
    let search = ["search", "fox", "--no-direct-hits", "--idle", "100ms"];
    let refused = world.run("open", &search).expect(2);
    let said = "start it with --no-direct-hits";
    assert!(refused.err.contains(said), "{}", refused.err);

    let closed = [&LIVE[..], &["--no-direct-hits"]].concat();
    let mut shy = world.node("shy", &closed, &[&hub]);
    shy.wait_linked(hub.listen);
    assert_eq!(by_datagram("shy").1, false);
    world.run("shy", &search).expect(1);

    let _lan = world.node("lan", &[], &[]);
    let status = world.run("lan", &["status", "--json"]).expect(0);
    let on = &status.json_of("status")[0]["nets"][0];
    assert_eq!(
        (&on["reach"], &on["direct_hits"]),
        (&serde_json::Value::Null, &false.into())
    );
    let status = world.run("lan", &["status"]).expect(0);
    assert!(!status.out.contains("reached"), "{}", status.out);
}
