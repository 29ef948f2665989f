//! Finding nodes of the live network without being told of one: a host cache of the test, in plain sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::world::{Node, World, path_text};

const LIVE: [&str; 3] = ["--net", "gnutella", "--allow-private"];

/// A UDP host cache: answers pings that carry GGEP `SCP` with these addresses, and tells what it was asked.
fn host_cache(addrs: &[SocketAddr]) -> (String, Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = socket.local_addr().unwrap().to_string();
    let packed: Vec<u8> = addrs.iter().flat_map(|addr| packed(*addr)).collect();
    let (asked, questions) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            let ping = &bytes[..len];
            let wanted = ping[23..].windows(3).any(|three| three == b"SCP");
            // Header: id, kind 0x00, TTL, hops, length.
            if ping[16] == 0 && wanted && asked.send(ping.to_vec()).is_ok() {
                let mut payload = vec![0; 14];
                // GGEP: magic; last extension, name of 3 bytes; length; addresses.
                payload.extend([0xC3, 0x83]);
                payload.extend(b"IPP");
                payload.push(0x40 | u8::try_from(packed.len()).unwrap());
                payload.extend(&packed);
                let mut pong = ping[..16].to_vec();
                pong.extend([1, 1, 0]);
                pong.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
                pong.extend(payload);
                socket.send_to(&pong, from).unwrap();
            }
        }
    });
    (name, questions)
}

/// Address, then port, least byte first.
fn packed(addr: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(addr) = addr else {
        panic!("IPv4 only");
    };
    let mut bytes = addr.ip().octets().to_vec();
    bytes.extend(addr.port().to_le_bytes());
    bytes
}

/// An ultrapeer that is full, and tells whom to try instead.
fn full_ultrapeer(instead: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut greeting = Vec::new();
            let mut byte = [0];
            while !greeting.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                greeting.push(byte[0]);
            }
            let answer = format!(
                "GNUTELLA/0.6 503 Full\r\nX-Ultrapeer: True\r\nX-Try-Ultrapeers: {instead}\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    addr
}

/// A web cache that answers so, and the first lines of the questions.
fn web_cache(answer: String) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/gwc.php", listener.local_addr().unwrap());
    let (asked, questions) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                request.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&request);
            let _ = asked.send(text.lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, questions)
}

/// An ultrapeer with a leaf that shares a file.
fn small_network(world: &World) -> (Node, Node) {
    let ultrapeer = [&LIVE[..], &["--role", "ultrapeer"]].concat();
    let hub = world.node("hub", &ultrapeer, &[]);
    let folder = world.folder("files", &[("hazelnut spread.txt", b"sweet")]);
    let args = [&LIVE[..], &[path_text(&folder)]].concat();
    let mut sharer = world.node("sharer", &args, &[&hub]);
    sharer.wait_for("library", |line| line["hashed_files"] == 1);
    sharer.wait_linked(hub.listen);
    (hub, sharer)
}

fn search<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let search = ["search", "hazelnut", "--json", "--first", "--idle", "2s"];
    [&search[..], &LIVE, more].concat()
}

#[test]
fn a_host_cache_and_a_full_ultrapeer_lead_a_search_to_the_network() {
    let world = World::new();
    let (hub, _sharer) = small_network(&world);
    let (cache, questions) = host_cache(&[full_ultrapeer(hub.listen)]);
    let found = (0..10)
        .map(|_| world.run("asker", &search(&["--host-cache", &cache])))
        .find(|run| run.code == Some(0))
        .expect("found in time");
    assert_eq!(found.json_of("hit")[0]["name"], "hazelnut spread.txt");
    let question = questions.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(question.len(), 30, "SCP and nothing else");

    // The cache is remembered in a list for people, and so are the nodes.
    let list = world.path("asker").join("host-caches-rehearsal.txt");
    assert_eq!(std::fs::read_to_string(list).unwrap(), format!("{cache}\n"));
    let again = (0..10)
        .map(|_| world.run("asker", &search(&[])))
        .find(|run| run.code == Some(0));
    assert!(again.is_some());
}

#[test]
fn a_node_that_stays_finds_the_network_by_its_list() {
    let world = World::new();
    let (hub, _sharer) = small_network(&world);
    let (cache, _questions) = host_cache(&[hub.listen]);
    let home = world.path("newcomer");
    std::fs::create_dir(&home).unwrap();
    let list = format!("# mine\nnot a cache\n{cache} # works\n");
    std::fs::write(home.join("host-caches-rehearsal.txt"), list).unwrap();
    // Without the variable that keeps the tests silent; on loopback nobody is looked for on the LAN.
    let mut newcomer = world.open_node("newcomer", &LIVE, &[]);
    newcomer.wait_linked(hub.listen);
    let status = world.run("newcomer", &["status", "--json"]).expect(0);
    let finding = &status.json_of("status")[0]["finding"];
    assert_eq!(
        (&finding["host_caches"], &finding["host_caches_answered"]),
        (&1.into(), &1.into())
    );
    let told = world.run(
        "newcomer",
        &[
            "search",
            "walnut",
            "--idle",
            "100ms",
            "--host-cache",
            "9.9.9.9:1",
        ],
    );
    assert!(
        told.err.contains("remembered for its next start"),
        "{}",
        told.err
    );

    // Whom it was linked with is called first after a restart, without any cache.
    world.run("newcomer", &["down"]).expect(0);
    let kept = std::fs::read_to_string(home.join("hosts-rehearsal.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["anchors"][0], hub.address());
    world.node("newcomer", &LIVE, &[]).wait_linked(hub.listen);
}

#[test]
fn who_knows_nobody_is_told_what_to_do() {
    let world = World::new();
    let nobody = world.run("asker", &search(&[])).expect(3);
    for words in [
        "no host cache",
        "--host-cache HOST:PORT",
        "--peer HOST:PORT",
        "host-caches",
    ] {
        assert!(nobody.err.contains(words), "{words}: {}", nobody.err);
    }

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_name = silent.local_addr().unwrap().to_string();
    let dead = world
        .run("asker", &search(&["--host-cache", &silent_name]))
        .expect(3);
    for words in ["asking 1 host cache", "of 1 host cache none answered"] {
        assert!(dead.err.contains(words), "{words}: {}", dead.err);
    }

    let closed = SocketAddr::V4(SocketAddrV4::new([127, 0, 0, 1].into(), 9));
    let (useless, _questions) = host_cache(&[closed]);
    let told = world
        .run("other", &search(&["--host-cache", &useless]))
        .expect(3);
    assert!(
        told.err.contains("1 host cache asked, 1 address heard of"),
        "{}",
        told.err
    );

    let lan = world
        .run("asker", &["search", "fox", "--host-cache", &useless])
        .expect(2);
    assert!(lan.err.contains("--net gnutella"), "{}", lan.err);
    let wrong = world
        .run("asker", &search(&["--host-cache", "a b"]))
        .expect(2);
    assert!(wrong.err.contains("--host-cache"), "{}", wrong.err);
}

#[test]
fn web_caches_of_both_versions_and_plain_lists_lead_to_the_network_once_an_hour() {
    let world = World::new();
    let (hub, _sharer) = small_network(&world);
    let addr = hub.listen;
    for (home, answer) in [
        ("first", format!("HTTP/1.0 200 OK\r\n\r\n{addr}\r\n")),
        (
            "second",
            format!("HTTP/1.1 200 OK\r\n\r\nI|pong|x\nH|{addr}|9\nU|http://a/|9\n"),
        ),
        (
            "plain",
            format!("HTTP/1.0 200 OK\r\n\r\n# hosts\n{addr}\n10.9.9.9:1\n"),
        ),
    ] {
        let (url, questions) = web_cache(answer);
        let run = world.run(home, &search(&["--web-cache", &url]));
        assert!(
            run.err.contains("asking 1 web cache"),
            "{home}: {}",
            run.err
        );
        assert!(matches!(run.code, Some(0 | 1)), "{home}: {}", run.err);
        let question = questions.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(
            question.starts_with("GET /gwc.php?get=1&hostfile=1&net=gnutella&client=FLBT&version="),
            "{question}"
        );
        // Whoever forgets all addresses must not ask again within the hour.
        std::fs::remove_file(world.path(home).join("hosts-rehearsal.json")).unwrap();
        let again = world.run(home, &search(&["--web-cache", &url])).expect(3);
        assert!(
            again.err.contains("no known node can be reached"),
            "{}",
            again.err
        );
        assert!(questions.try_recv().is_err(), "{home}");
    }
}

#[test]
fn after_a_host_cache_that_is_silent_and_a_web_cache_that_lies_the_next_one_helps() {
    let world = World::new();
    let (hub, _sharer) = small_network(&world);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_name = silent.local_addr().unwrap().to_string();
    let (garbage, asked) = web_cache("HTTP/1.0 200 OK\r\n\r\n<html>no addresses".to_owned());
    let (good, _asked) = web_cache(format!("HTTP/1.0 200 OK\r\n\r\n{}\n", hub.listen));
    let caches = [
        "--host-cache",
        &silent_name,
        "--web-cache",
        &garbage,
        "--web-cache",
        &good,
    ];
    let run = world.run("asker", &search(&caches));
    assert!(matches!(run.code, Some(0 | 1)), "{}", run.err);
    asked.recv_timeout(Duration::from_secs(5)).unwrap();
    let order = [
        "asking 1 host cache",
        "asking 1 web cache",
        "it tells of nobody",
        "asking 1 web cache",
    ];
    let mut rest = run.err.as_str();
    for words in order {
        let at = rest
            .find(words)
            .unwrap_or_else(|| panic!("{words}: {}", run.err));
        rest = &rest[at + words.len()..];
    }
    let list = std::fs::read_to_string(world.path("asker").join("web-caches-rehearsal.txt"));
    assert_eq!(list.unwrap(), format!("{garbage}\n{good}\n"));

    let https = world
        .run("asker", &search(&["--web-cache", "https://a.example/"]))
        .expect(2);
    assert!(https.err.contains("no http:// address"), "{}", https.err);
}
