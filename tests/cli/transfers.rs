//! Downloads handed to a node: they go on without the command, across pauses, kills and restarts.

use serde_json::Value;

use crate::world::{Node, Running, World, parsed, path_text};

const SPEED: &str = "300kB/s";

fn body() -> Vec<u8> {
    (0..1_500_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect()
}

fn slow_seeder(world: &World) -> Node {
    let folder = world.folder("one-files", &[("moby.bin", &body())]);
    let mut node = world.node("one", &[path_text(&folder), "--limit-up", SPEED], &[]);
    node.wait_for("library", |line| line["hashed_files"] == 1);
    node
}

fn list(world: &World) -> Vec<Value> {
    let list = world.run("me", &["transfers", "list", "--json"]);
    list.expect(0).json_of("transfer")
}

/// Waits until the only download is as it should be.
fn until(world: &World, fits: impl Fn(&Value) -> bool) -> Value {
    let watch = Running::start(world.command("me", &["transfers", "watch", "--json"]));
    loop {
        let one = parsed(&watch.line());
        if one["type"] == "transfer" && fits(&one) {
            return one;
        }
    }
}

fn has_some(one: &Value) -> bool {
    one["done"].as_u64() > Some(0)
}

#[test]
fn a_download_goes_on_by_itself_through_a_pause_and_two_kills() {
    let world = World::new();
    let seeder = slow_seeder(&world);
    let mut me = world.node("me", &[], &[&seeder]);
    me.wait_linked(seeder.listen);
    let id = world.hit("me", &["moby"])["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let run = world.run("me", &["get", "--detach", &id]).expect(0);
    assert_eq!(run.out, format!("{id}\n"));
    assert!(
        run.err.contains(&format!("filbert transfers watch {id}")),
        "{}",
        run.err
    );
    until(&world, |one| one["state"] == "running" && has_some(one));
    // A kill while it runs: the next start goes on with it.
    me.signal(rustix::process::Signal::KILL);
    me.ended();
    let mut me = world.node("me", &[], &[&seeder]);
    let before = until(&world, |one| one["state"] == "running" && has_some(one));
    world.run("me", &["transfers", "pause", &id[..4]]).expect(0);
    let paused = until(&world, |one| one["state"] == "paused");
    assert!(
        paused["done"].as_u64() >= before["done"].as_u64(),
        "{paused}"
    );
    me.signal(rustix::process::Signal::KILL);
    me.ended();
    let _me = world.node("me", &[], &[&seeder]);
    let paused = until(&world, |_| true);
    assert_eq!(
        (paused["state"].as_str(), has_some(&paused)),
        (Some("paused"), true)
    );
    let resumed = world
        .run("me", &["transfers", "resume", &id, "--json"])
        .expect(0);
    assert_eq!(resumed.json_of("transfer").len(), 1, "{}", resumed.out);
    let watch = world
        .run("me", &["transfers", "watch", "--json", &id])
        .expect(0);
    let last = watch.json_of("transfer").pop().unwrap();
    assert_eq!(
        (&last["state"], &last["verified"]),
        (&"done".into(), &true.into()),
        "{last}"
    );
    let path = last["path"].as_str().unwrap();
    assert!(std::fs::read(path).unwrap() == body());
    // Nothing else lies there, and it is not shared by that.
    let folder = std::path::Path::new(path).parent().unwrap();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    let table = world.run("me", &["transfers"]).expect(0).out;
    assert!(
        table.starts_with(&format!("{id}\tdone\t1500000\t1500000\t0\tmoby.bin")),
        "{table}"
    );
}

#[test]
fn the_node_looks_for_sources_by_itself_and_a_cancel_leaves_nothing_behind() {
    let world = World::new();
    let seeder = slow_seeder(&world);
    let urn = world.hit("other", &["moby", "--peer", &seeder.address()])["urn"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut me = world.node("me", &[], &[&seeder]);
    me.wait_linked(seeder.listen);
    let folder = world.path("into");
    let get = [
        "get",
        "--json",
        "--detach",
        &urn,
        "-o",
        path_text(&folder),
        "--as",
        "whale.bin",
    ];
    let detached = world
        .run("me", &get)
        .expect(0)
        .json_of("detached")
        .remove(0);
    assert_eq!(detached["name"], "whale.bin", "{detached}");
    let id = detached["id"].as_str().unwrap();
    until(&world, has_some);
    let files = || std::fs::read_dir(&folder).unwrap().count();
    assert!(files() > 0);
    // Twice is once; elsewhere is a mistake.
    world.run("me", &get).expect(0);
    assert_eq!(list(&world).len(), 1);
    let elsewhere = world.run("me", &["get", "--detach", &urn]).expect(2);
    assert!(
        elsewhere.err.contains("filbert transfers cancel"),
        "{}",
        elsewhere.err
    );
    world
        .run("me", &["transfers", "cancel", "--keep", id])
        .expect(0);
    assert!(list(&world).is_empty() && files() > 0);
    // `get` of the same goes on with what was kept, and so does the node.
    world.run("me", &get).expect(0);
    until(&world, has_some);
    let gone = world
        .run("me", &["transfers", "cancel", "--json", id])
        .expect(0);
    assert_eq!(gone.json_of("transfer-gone").len(), 1, "{}", gone.out);
    assert_eq!(files(), 0, "it is gone when that is said");
}

#[test]
fn one_that_no_source_gives_waits_and_says_why_and_when() {
    let world = World::new();
    let _me = world.node("me", &[], &[]);
    let refusing = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{refusing}/moby.txt");
    world.run("me", &["get", "-q", "--detach", &url]).expect(0);
    let one = until(&world, |one| one["state"] == "waiting");
    assert_eq!(
        (&one["code"], one["retry_in_s"].as_u64() > Some(30)),
        (&3.into(), true),
        "{one}"
    );
    let id = one["id"].as_str().unwrap();
    let said = one["message"].as_str().unwrap();
    assert!(said.contains(&refusing.to_string()), "{said}");
    world.run("me", &["transfers", "retry", id]).expect(0);
    until(&world, |one| one["state"] == "waiting");
    world.run("me", &["transfers", "pause", id]).expect(0);
    let run = world.run("me", &["transfers", "watch"]).expect(4);
    assert!(run.err.contains("filbert transfers resume"), "{}", run.err);
}

#[test]
fn wrong_use_says_what_to_do() {
    let world = World::new();
    let none = world.run("me", &["transfers"]).expect(3);
    assert!(none.err.contains("filbert share"), "{}", none.err);
    world
        .run("me", &["get", "--detach", "http://127.0.0.1:1/a"])
        .expect(3);
    let _me = world.node("me", &[], &[]);
    for words in [
        &["pause", "k7m2qd"][..],
        &["watch", "k7m2qd"],
        &["cancel", "k7"],
    ] {
        let run = world.run("me", &[&["transfers"], words].concat()).expect(1);
        assert!(run.err.contains("filbert transfers list"), "{}", run.err);
    }
    let run = world.run(
        "me",
        &["get", "--detach", "--retry", "3", "http://127.0.0.1:1/a"],
    );
    assert!(run.expect(2).err.contains("--retry"));
    // A list that is none is not thrown away.
    let other = world.path("other");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("transfers.json"), "nonsense").unwrap();
    let run = world
        .run("other", &["share", "--listen", "127.0.0.1:0"])
        .expect(6);
    assert!(run.err.contains("transfers.json"), "{}", run.err);
}
