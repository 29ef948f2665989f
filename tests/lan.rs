//! Nodes of one network find each other without being told: on two machines, as far as the system lets the test make
//! them (network namespaces joined by a cable), else as two state machines that pass each other datagrams.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod machines;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Output};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use filbert::node::Time;
use filbert::node::lan::{Heard, Lan, Network};
use filbert::wire::Guid;

use machines::Machines;

/// Nothing here takes longer, or the test fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// A node that is killed when this is dropped.
struct Sharing(Child);

impl Sharing {
    /// Starts a node and waits until others can link to it.
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let sharing = Self(child);
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            for text in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        let ready = lines.recv_timeout(DEADLINE).expect("the node starts");
        assert!(ready.contains("\"ready\""), "{ready}");
        // Names are searchable once they are scanned.
        while let Ok(text) = lines.recv_timeout(DEADLINE) {
            if text.contains("\"library\"") {
                break;
            }
        }
        sharing
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn told(output: &Output) -> String {
    format!(
        "{:?}\n{}\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_search_on_one_machine_finds_the_files_of_another_without_being_told_of_it() {
    let machines = match Machines::new("lan") {
        Ok(machines) => machines,
        Err(why) => {
            eprintln!("no two machines here ({why}); two state machines instead");
            return two_state_machines_find_each_other();
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("Nuts");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("hazelnut spread.txt"), "roast, grind, sweeten").unwrap();
    let search = |home: &str, args: &[&str]| {
        let mut command = machines.filbert(1, &dir.path().join(home), &["search"]);
        command.args(args).output().unwrap()
    };

    let nobody = search("nobody", &["hazelnut"]);
    assert_eq!(nobody.status.code(), Some(3), "{}", told(&nobody));
    assert!(
        told(&nobody).contains("nobody answers on this network"),
        "{}",
        told(&nobody)
    );

    let shared = shared.to_str().unwrap();
    let share = ["share", shared, "--json", "--name", "nas"];
    let node = Sharing::start(machines.filbert(0, &dir.path().join("nas"), &share));

    let found = search("found", &["hazelnut", "--tsv", "--first"]);
    assert_eq!(found.status.code(), Some(0), "{}", told(&found));
    assert!(
        told(&found).contains("hazelnut spread.txt"),
        "{}",
        told(&found)
    );

    let nothing = search("nothing", &["walnut", "--idle", "1s"]);
    assert_eq!(nothing.status.code(), Some(1), "{}", told(&nothing));
    assert!(
        told(&nothing).contains("nothing found, about 1 node reached"),
        "{}",
        told(&nothing)
    );

    let barred = search("barred", &["hazelnut", "--no-discovery"]);
    assert_eq!(barred.status.code(), Some(3), "{}", told(&barred));
    drop(node);
}

fn two_state_machines_find_each_other() {
    let network = |last| Network {
        own: Ipv4Addr::new(10, 77, 0, last),
        mask: Ipv4Addr::new(255, 255, 255, 0),
    };
    let mut sharing = Lan::new(Some(6346));
    sharing.ask(Time::ZERO, Guid([1; 16]), vec![network(1)]);
    let mut asking = Lan::new(None);
    let ping = asking.ask(Time::ZERO, Guid([2; 16]), vec![network(2)]);
    let asker = SocketAddr::from(([10, 77, 0, 2], 5000));
    let Some(Heard::Question(question)) = sharing.hear(Time::ZERO, asker, &ping) else {
        panic!("no answer");
    };
    let pong = sharing.pong(&question, 16);
    let voice = SocketAddr::from(([10, 77, 0, 1], 40_000));
    let heard = asking.hear(Time::ZERO, voice, &pong);
    let node = SocketAddr::from(([10, 77, 0, 1], 6346));
    assert_eq!(heard, Some(Heard::Node(node)));
}

#[test]
fn the_two_state_machines_stand_in_for_machines() {
    two_state_machines_find_each_other();
}
