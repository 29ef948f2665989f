//! When a fetched file was last changed: as its source says, if that may be true.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::world::{World, path_text};

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

/// A server of a file of four bytes, with this line in its answer.
fn server(line: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            thread::spawn(move || {
                let mut asked = String::new();
                while stream.read_line(&mut asked).unwrap_or(0) > 0 {
                    if asked.ends_with("\r\n\r\n") {
                        let answer =
                            format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{line}\r\nfile");
                        let _ = stream.get_mut().write_all(answer.as_bytes());
                        asked.clear();
                    }
                }
            });
        }
    });
    addr
}

#[test]
fn a_file_keeps_the_date_that_its_source_tells() {
    let world = World::new();
    let folder = world.folder("one-files", &[("old.txt", b"an old file")]);
    let file = std::fs::File::options()
        .write(true)
        .open(folder.join("old.txt"))
        .unwrap();
    let date = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(date).unwrap();
    let mut node = world.node("one", &[path_text(&folder)], &[]);
    node.wait_for("library", |line| line["hashed_files"] == 1);
    let into = world.path("into");
    let words = [
        "get",
        "--from",
        &node.address(),
        "one-files/old.txt",
        "-o",
        path_text(&into),
    ];
    world.run("me", &words).expect(0);
    assert_eq!(modified(&into.join("old.txt")), date);
}

#[test]
fn a_date_that_cannot_be_true_is_not_taken() {
    let world = World::new();
    let begin = SystemTime::now() - Duration::from_secs(60);
    for (number, line) in [
        "",
        "Last-Modified: yesterday\r\n",
        "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
        "Last-Modified: Thu, 01 Jan 2099 00:00:00 GMT\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let into = world.path(&format!("into-{number}"));
        let url = format!("http://{}/get/1/a.txt", server(line));
        world
            .run("me", &["get", &url, "-o", path_text(&into)])
            .expect(0);
        let date = modified(&into.join("a.txt"));
        let end = SystemTime::now() + Duration::from_secs(60);
        assert!((begin..end).contains(&date), "{line}: {date:?}");
    }
}
