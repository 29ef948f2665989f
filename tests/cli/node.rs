//! Nodes: starting, looking, steering, ending.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::world::World;

#[test]
fn a_second_node_on_the_same_home_is_told_who_runs_there() {
    let world = World::new();
    let node = world.node("one", &[], &[]);
    let run = world
        .run("one", &["share", "--listen", "127.0.0.1:0"])
        .expect(8);
    assert!(run.err.contains(&node.pid().to_string()), "{}", run.err);
    assert!(run.err.contains("--home"), "{}", run.err);
    assert_eq!(run.out, "");
}

#[test]
fn the_control_socket_is_for_its_owner_alone() {
    let world = World::new();
    let node = world.node("one", &[], &[]);
    let socket = std::fs::read_dir(&node.home)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "sock"))
        .expect("a socket in the home");
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn sigint_and_sigterm_end_a_node_well() {
    let world = World::new();
    for signal in [Signal::INT, Signal::TERM] {
        let mut first = world.node("first", &[], &[]);
        let mut second = world.node("second", &[], &[&first]);
        second.wait_linked(first.listen);
        second.signal(signal);
        assert_eq!(second.ended(), Some(0), "{signal:?}");
        second.wait_for("stopped", |_| true);
        // Its neighbour was told: a Bye, not a broken link.
        let gone = first.wait_for("link-down", |_| true);
        assert!(!gone["why"].as_str().unwrap().is_empty(), "{gone}");
    }
}

#[test]
fn down_ends_the_running_node_and_its_home_is_free_again() {
    let world = World::new();
    let mut node = world.node("one", &[], &[]);
    let run = world.run("one", &["down", "--json"]).expect(0);
    assert_eq!(run.json_of("stopped").len(), 1);
    assert_eq!(node.ended(), Some(0));
    world.run("one", &["status"]).expect(3);
    world.node("one", &[], &[]);
}

#[test]
fn status_and_peers_tell_the_same_to_people_pipes_and_scripts() {
    let world = World::new();
    let first = world.node("first", &[], &[]);
    let mut second = world.node("second", &[], &[&first]);
    second.wait_linked(first.listen);
    let status = world
        .run("second", &["status", "--json"])
        .expect(0)
        .json_of("status")
        .remove(0);
    assert_eq!(
        (&status["name"], &status["pid"], &status["links"]),
        (&"second".into(), &second.pid().into(), &1.into())
    );
    let screen = world.run("second", &["status"]).expect(0).out;
    assert!(
        screen.contains("second") && screen.contains(&second.address()),
        "{screen}"
    );
    let peers = world
        .run("second", &["peers", "list", "--json"])
        .expect(0)
        .json_of("peer");
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0]["listen"], first.address());
    let rows = world.run("second", &["peers"]).expect(0).out;
    assert_eq!(
        rows.lines()
            .map(|row| row.split('\t').next().unwrap())
            .collect::<Vec<_>>(),
        [first.address()]
    );
}

#[test]
fn peers_are_added_and_dropped() {
    let world = World::new();
    let first = world.node("first", &["--min-links", "0"], &[]);
    let mut second = world.node("second", &["--min-links", "0"], &[]);
    world
        .run("second", &["peers", "add", &first.address()])
        .expect(0);
    second.wait_linked(first.listen);
    world
        .run("second", &["peers", "drop", &first.address()])
        .expect(0);
    second.wait_for("link-down", |_| true);
    assert_eq!(world.run("second", &["peers", "--json"]).expect(0).out, "");
    let run = world
        .run("second", &["peers", "drop", &first.address()])
        .expect(1);
    assert!(run.err.contains(&first.address()), "{}", run.err);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let run = world.run("second", &["peers", "add", &nobody]).expect(3);
    assert!(run.err.contains(&nobody), "{}", run.err);
}

#[test]
fn commands_about_a_node_say_how_to_start_one() {
    let world = World::new();
    for words in [
        &["status"][..],
        &["peers"],
        &["peers", "add", "127.0.0.1:1"],
        &["shares"],
        &["shares", "rescan"],
        &["down"],
    ] {
        let run = world.run("nobody", words).expect(3);
        assert!(
            run.err.contains("filbert share DIR"),
            "{words:?}: {}",
            run.err
        );
        assert_eq!(run.out, "", "{words:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_said_with_the_way_out() {
    let world = World::new();
    let node = world.node("one", &[], &[]);
    let run = world
        .run("two", &["share", "--listen", &node.address()])
        .expect(2);
    assert!(
        run.err.contains(&node.address()) && run.err.contains("--listen"),
        "{}",
        run.err
    );
}

#[test]
fn a_node_told_to_ends_with_its_standard_input() {
    let world = World::new();
    let command = world.command(
        "one",
        &[
            "share",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--stop-with-stdin",
        ],
    );
    let run = crate::world::run(command).expect(0);
    assert_eq!(run.json_of("ready").len(), 1);
    assert_eq!(run.json_of("stopped").len(), 1);
}
