//! Nodes that cannot be connected to, as a person meets them: `get` and `browse` have them connect to us.
//!
//! Whoever listens on 127.0.0.2 and calls from 127.0.0.1 looks like that to its neighbours: they call back at the
//! address they see, where nobody listens. Other systems than Linux have no second loopback address unasked.
#![cfg(target_os = "linux")]

use crate::world::{Node, Run, World, path_text};

const LIVE: [&str; 3] = ["--net", "gnutella", "--allow-private"];
const UNHEARD: &str = "127.0.0.2:0";

fn ultrapeer(world: &World) -> Node {
    world.node("hub", &[&LIVE[..], &["--role", "ultrapeer"]].concat(), &[])
}

/// A leaf of the hub behind a wall, with one file.
fn walled_sharer(world: &World, hub: &Node) -> Node {
    let folder = world.folder("files", &[("hazelnut spread.txt", b"sweet")]);
    let args = [&LIVE[..], &[path_text(&folder)]].concat();
    let mut sharer = world.node_at(UNHEARD, "sharer", &args, &[hub]);
    sharer.wait_for("library", |line| line["hashed_files"] == 1);
    sharer.wait_linked(hub.listen);
    sharer
}

/// A leaf of the hub that others can connect to.
fn asker(world: &World, hub: &Node) -> Node {
    let mut asker = world.node("asker", &LIVE, &[hub]);
    asker.wait_linked(hub.listen);
    asker
}

/// A search that found the file. Asked until the hub has the routing table of the sharer.
fn found(world: &World) -> Run {
    (0..30)
        .map(|_| world.run("asker", &["search", "hazelnut", "--json", "--idle", "1s"]))
        .find(|run| run.code == Some(0))
        .expect("found in time")
}

fn pushes_sent(node: &Node) -> u64 {
    let counters = node.ask(r#"{"ask":"counters"}"#);
    counters["sent"]["push"].as_u64().expect("a count")
}

#[test]
fn files_of_a_node_behind_a_wall_are_listed_as_if_there_were_none() {
    let world = World::new();
    let hub = ultrapeer(&world);
    let sharer = walled_sharer(&world, &hub);
    let _asker = asker(&world, &hub);
    let hit = found(&world).json_of("hit").remove(0);
    assert_eq!(hit["push"], true, "{hit}");
    assert_eq!(hit["push_proxies"][0], hub.address(), "{hit}");

    // By the address that the search showed.
    let listed = world
        .run("asker", &["browse", &sharer.address(), "--json"])
        .expect(0);
    let listed = listed.json_of("hit").remove(0);
    assert_eq!(listed["name"], "hazelnut spread.txt");
    // What is fetched from this list later needs the same way.
    assert_eq!(listed["push"], true, "{listed}");
    assert_eq!(listed["push_proxies"][0], hub.address(), "{listed}");
    assert_eq!(pushes_sent(&hub), 1, "it was not connected to");
}

#[test]
fn a_file_of_a_node_behind_a_wall_is_fetched() {
    let world = World::new();
    let hub = ultrapeer(&world);
    let _sharer = walled_sharer(&world, &hub);
    let _asker = asker(&world, &hub);
    let hit = found(&world).json_of("hit").remove(0);
    let out = world.path("out");
    let id = hit["id"].as_str().unwrap();
    let got = world
        .run("asker", &["get", id, "-o", path_text(&out)])
        .expect(0);
    assert!(got.err.contains("sha1 verified"), "{}", got.err);
    let bytes = std::fs::read(out.join("hazelnut spread.txt")).unwrap();
    assert_eq!(bytes, b"sweet");
    assert_eq!(pushes_sent(&hub), 1, "it was not connected to");
}

#[test]
fn a_wall_that_nobody_helps_over_is_told_of_with_exit_3() {
    let world = World::new();
    let hub = ultrapeer(&world);
    let sharer = walled_sharer(&world, &hub);
    let mut asker = asker(&world, &hub);
    let hit = found(&world).json_of("hit").remove(0);
    let id = hit["id"].as_str().unwrap();
    // Nobody is left who could pass the push on.
    drop(hub);
    asker.wait_for("link-down", |_| true);
    let out = world.path("out");
    for command in [
        &["get", id, "-o", path_text(&out)][..],
        &["browse", &sharer.address()],
    ] {
        let run = world.run("asker", command).expect(3);
        assert!(run.err.contains("cannot be connected to"), "{}", run.err);
        assert!(run.err.contains("search for it again"), "{}", run.err);
    }
}
