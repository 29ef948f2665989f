//! `get --stdout`: a file in order, into a pipe.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use crate::world::{Guard, World, path_text};

/// More than is kept back until it was checked.
const LONG: usize = 20 * 1024 * 1024;

fn long() -> Vec<u8> {
    (0..LONG / 4)
        .flat_map(|n| {
            u32::try_from(n)
                .unwrap()
                .wrapping_mul(2_654_435_761)
                .to_le_bytes()
        })
        .collect()
}

/// Standard output as bytes, the exit code, and what was said.
fn bytes_of(mut command: Command) -> (Vec<u8>, Option<i32>, String) {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Guard(child.expect("the program starts"));
    let (mut out, mut err) = (Vec::new(), String::new());
    let mut said = child.0.stderr.take().unwrap();
    let talk = std::thread::spawn(move || {
        let _ = said.read_to_string(&mut err);
        err
    });
    child
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    let code = child.0.wait().expect("it ends").code();
    (out, code, talk.join().unwrap())
}

fn leftovers(world: &World) -> Vec<std::path::PathBuf> {
    let streams = world.path("me").join("streams");
    let all = std::fs::read_dir(streams).expect("a folder");
    let all = all.map(|entry| entry.unwrap().path());
    all.filter(|path| path.is_dir()).collect()
}

#[test]
fn a_file_goes_into_a_pipe_whole_and_in_order_and_nothing_is_left() {
    let world = World::new();
    let body = long();
    let files: [(&str, &[u8]); 2] = [("moby.bin", &body), ("short.txt", b"Call me Ishmael.")];
    let one = world.sharing("one", &files, &[]);
    let two = world.sharing("two", &files, &[&one]);
    let search = ["--peer", &two.address(), "moby"];
    world.hit("me", &search);
    let hit = world.hit("me", &search);
    let id = hit["id"].as_str().unwrap();
    let (out, code, said) = bytes_of(world.command("me", &["get", "--stdout", id]));
    assert_eq!(code, Some(0), "{said}");
    assert!(out == body, "{} bytes came", out.len());
    assert!(said.contains("sha1 verified"), "{said}");
    assert_eq!(leftovers(&world), Vec::<std::path::PathBuf>::new());
    assert!(!world.path("me").join("downloads").exists());
}

/// Answers whoever asks for anything with this, at once.
fn liar(body: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let body = body.clone();
            std::thread::spawn(move || {
                let (mut stream, mut head) = (stream, [0; 4096]);
                let _ = stream.read(&mut head);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&body));
            });
        }
    });
    address
}

#[test]
fn what_cannot_be_checked_before_the_end_is_said_and_ends_with_5_when_it_was_wrong() {
    let world = World::new();
    let target =
        |address| format!("http://{address}/uri-res/N2R?urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB");
    // Short: not a byte goes out.
    let short = target(liar(b"lies".to_vec()));
    let (out, code, said) = bytes_of(world.command("me", &["get", "--stdout", &short]));
    assert_eq!((out.len(), code), (0, Some(5)), "{said}");
    let long = target(liar(long()));
    let (out, code, said) = bytes_of(world.command("me", &["get", "--stdout", &long]));
    assert_eq!(code, Some(5), "{said}");
    assert!(
        !out.is_empty() && said.contains("checked at the end only"),
        "{said}"
    );
    assert_eq!(leftovers(&world), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_reader_that_has_enough_ends_it_well() {
    let world = World::new();
    let body = long();
    let one = world.sharing("one", &[("moby.bin", &body)], &[]);
    let search = ["--peer", &one.address(), "moby"];
    let hit = world.hit("me", &search);
    let get = ["get", "-q", "--stdout", hit["id"].as_str().unwrap()];
    let child = world
        .command("me", &get)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Guard(child.expect("the program starts"));
    let mut first = [0; 64];
    child
        .0
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    assert_eq!(first, body[..64]);
    assert_eq!(child.0.wait().expect("it ends").code(), Some(0));
    assert_eq!(leftovers(&world), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_does_not_go_with_it_is_refused() {
    let world = World::new();
    let folder = world.path("into");
    for more in [
        &["k7m2qd"][..],
        &["--json"],
        &["-o", path_text(&folder)],
        &["--as", "x"],
    ] {
        let words = [&["get", "--stdout", "f0s8tt"], more].concat();
        let run = world.run("me", &words).expect(2);
        assert!(
            run.out.is_empty() && run.err.contains("--stdout"),
            "{}",
            run.err
        );
    }
    world.run("me", &["get", "--stdout", "-"]).expect(2);
}
