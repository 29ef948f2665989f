//! The examples do what they say.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;

use std::fs;
use std::process::{Command, Output};

use filbert::net::{Listen, Settings};
use nodes::{Node, SOON};

/// Builds and runs an example: `cargo test --test` alone builds none.
fn run(name: &str, args: &[&str]) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    let built = cargo.args(["build", "--quiet", "--offline", "--example", name]);
    assert!(built.status().unwrap().success());
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().with_file_name("examples").join(name);
    let output = Command::new(&program).args(args).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

#[test]
fn a_program_that_embeds_a_node_finds_and_fetches_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let [shared, fetched] = ["shared", "fetched"].map(|name| dir.path().join(name));
    fs::create_dir_all(&shared).unwrap();
    fs::create_dir(&fetched).unwrap();
    fs::write(shared.join("Moby Dick.txt"), "Call me Ishmael.").unwrap();
    let node = Node::with(Settings {
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        home: Some(filbert::disk::store::Home::at(&dir.path().join("home")).unwrap()),
        shares: vec![shared.into()],
        ..Settings::default()
    });
    assert!(node.servent.wait_hashed(SOON));

    let into = fetched.to_str().unwrap();
    let output = run("embed", &[&node.addr().to_string(), into, "dick", "moby"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        fs::read_to_string(fetched.join("Moby Dick.txt")).unwrap(),
        "Call me Ishmael."
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("(16 bytes)"));
}

#[test]
fn two_cores_wired_by_hand_find_each_others_files() {
    let output = run("two_nodes", &[]);
    assert!(output.status.success(), "{output:?}");
}
