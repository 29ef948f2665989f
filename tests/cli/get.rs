//! Fetching: ids, pipes, names, interruptions.

use std::time::Duration;

use crate::world::{Running, World, path_text, run_with};

const WHALE: &[u8] = b"Call me Ishmael. Some years ago - never mind how long precisely.";

fn found(world: &World, words: &[&str]) -> Vec<serde_json::Value> {
    let all = [&["search", "--json", "--idle", "700ms"], words].concat();
    world.run("me", &all).expect(0).json_of("hit")
}

#[test]
fn an_id_of_one_run_is_fetched_in_another_and_then_again_without_a_network() {
    let world = World::new();
    let mut node = world.sharing("one", &[("moby dick.txt", WHALE)], &[]);
    let id = found(&world, &["moby", "--peer", &node.address()])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let run = world.run("me", &["get", &id]).expect(0);
    let path = world.path("me").join("downloads/moby dick.txt");
    assert_eq!(run.out, format!("{}\n", path.display()));
    assert!(run.err.contains("sha1 verified"), "{}", run.err);
    assert_eq!(std::fs::read(&path).unwrap(), WHALE);
    node.signal(rustix::process::Signal::TERM);
    node.ended();
    let again = world.run("me", &["get", "-q", &id]).expect(0);
    assert_eq!((again.out, again.err.as_str()), (run.out, ""));
}

#[test]
fn a_search_is_piped_into_get() {
    let world = World::new();
    let one = world.sharing(
        "one",
        &[("lecture 1.txt", b"one"), ("lecture 2.txt", b"two")],
        &[],
    );
    let two = world.sharing(
        "two",
        &[
            ("copy of lecture 2.txt", b"two"),
            ("lecture 3.txt", b"three"),
        ],
        &[&one],
    );
    for form in ["--json", "--tsv"] {
        let words = [
            "search",
            "lecture",
            form,
            "--idle",
            "700ms",
            "--peer",
            &two.address(),
        ];
        let search = world.run("me", &words).expect(0);
        let folder = world.path(&format!("papers{form}"));
        let get = world.command("me", &["get", "--json", "-o", path_text(&folder), "-"]);
        let run = run_with(get, search.out.as_bytes()).expect(0);
        let end = run.json().pop().unwrap();
        assert_eq!(
            (&end["ok"], &end["failed"]),
            (&3.into(), &0.into()),
            "{}",
            run.out
        );
        assert_eq!(run.json_of("start").len(), 3);
        for done in run.json_of("done") {
            assert_eq!(done["verified"], "sha1", "{done}");
        }
        let mut all: Vec<Vec<u8>> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        all.sort();
        assert_eq!(all, [&b"one"[..], b"three", b"two"]);
    }
}

#[test]
fn every_kind_of_target_leads_to_the_file() {
    let world = World::new();
    let node = world.sharing("one", &[("moby.txt", WHALE)], &[]);
    let hit = found(&world, &["moby", "--peer", &node.address()]).remove(0);
    let urn = hit["urn"].as_str().unwrap();
    let host = node.address();
    let index = hit["index"].to_string();
    for (number, target) in [
        urn.to_owned(),
        urn.replace("urn:", "").to_lowercase(),
        format!("magnet:?xt={urn}&dn=moby.txt"),
        format!("http://{host}/uri-res/N2R?{urn}"),
        format!("{host}/uri-res/N2R?{urn}"),
        format!("http://{host}/get/{index}/moby.txt"),
        hit["id"].as_str().unwrap().to_uppercase(),
    ]
    .iter()
    .enumerate()
    {
        let folder = world.path(&format!("into-{number}"));
        let run = world
            .run("me", &["get", target, "-o", path_text(&folder)])
            .expect(0);
        assert_eq!(
            run.out,
            format!("{}\n", folder.join("moby.txt").display()),
            "{target}"
        );
        assert_eq!(
            std::fs::read(folder.join("moby.txt")).unwrap(),
            WHALE,
            "{target}"
        );
    }
    // Another machine knows no id: the hash is looked for in the network.
    let folder = world.path("elsewhere");
    let words = ["get", urn, "-o", path_text(&folder), "--peer", &host];
    let run = world.run("stranger", &words).expect(0);
    assert_eq!(run.out, format!("{}\n", folder.join("moby.txt").display()));
}

#[test]
fn a_name_that_is_taken_is_never_overwritten_unless_asked() {
    let world = World::new();
    let node = world.sharing("one", &[("moby.txt", WHALE)], &[]);
    let id = found(&world, &["moby", "--peer", &node.address()])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let into = world.folder("into", &[("moby.txt", b"mine")]);
    let get = |flags: &[&str]| {
        world.run(
            "me",
            &[&["get", &id, "-o", path_text(&into)], flags].concat(),
        )
    };
    let run = get(&[]).expect(6);
    assert!(
        run.err.contains("--on-exist") && run.out.is_empty(),
        "{}",
        run.err
    );
    get(&["--on-exist", "skip"]).expect(0);
    assert_eq!(std::fs::read(into.join("moby.txt")).unwrap(), b"mine");
    let renamed = get(&["--on-exist", "rename"]).expect(0).out;
    assert_ne!(renamed.trim_end(), path_text(&into.join("moby.txt")));
    assert_eq!(std::fs::read(renamed.trim_end()).unwrap(), WHALE);
    let named = get(&["--as", "../../whale.txt"]).expect(0).out;
    assert_eq!(
        named.trim_end(),
        path_text(&into.join("whale.txt")),
        "a name is no path"
    );
    get(&["--on-exist", "overwrite"]).expect(0);
    assert_eq!(std::fs::read(into.join("moby.txt")).unwrap(), WHALE);
}

#[test]
fn what_ctrl_c_interrupts_goes_on_where_it_stopped() {
    let world = World::new();
    // Slow enough to be interrupted, whatever the machine: some ten seconds.
    let big: Vec<u8> = (0..2_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    let folder = world.folder("big", &[("moby.bin", &big)]);
    let mut node = world.node("one", &[path_text(&folder), "--limit-up", "200kB/s"], &[]);
    node.wait_for("library", |line| line["hashed_files"] == 1);
    let id = found(&world, &["moby", "--peer", &node.address()])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let running = Running::start(world.command("me", &["get", "--json", &id]));
    let mut lines = vec![];
    while !lines
        .last()
        .is_some_and(|line: &String| line.contains("\"progress\""))
    {
        lines.push(running.line());
    }
    running.interrupt();
    let run = running.finish(b"").expect(130);
    assert!(
        run.err.contains(&format!("filbert get {id}")),
        "{}",
        run.err
    );
    node.signal(rustix::process::Signal::TERM);
    node.ended();
    let mut fast = world.node("two", &[path_text(&folder)], &[]);
    fast.wait_for("library", |line| line["hashed_files"] == 1);
    let words = ["get", "--json", &id, "--peer", &fast.address()];
    let run = world.run("me", &words).expect(0);
    let done = run.json_of("done").remove(0);
    assert!(done["resumed_from"].as_u64() > Some(0), "{done}");
    assert_eq!(std::fs::read(done["path"].as_str().unwrap()).unwrap(), big);
    assert!(
        Duration::from_secs_f64(done["elapsed"].as_f64().unwrap()) < Duration::from_secs(30),
        "{done}"
    );
}

#[test]
fn the_node_says_where_downloads_go() {
    let world = World::new();
    let one = world.sharing("one", &[("moby.txt", WHALE)], &[]);
    let inbox = world.path("inbox");
    let mut me = world.node("me", &["--downloads", path_text(&inbox)], &[&one]);
    me.wait_linked(one.listen);
    let id = found(&world, &["moby"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let run = world.run("me", &["get", "-q", &id]).expect(0);
    assert_eq!(run.out, format!("{}\n", inbox.join("moby.txt").display()));
}

/// Serves one file to whoever asks for anything, without a word of its hash.
fn plain_server(listener: std::net::TcpListener, body: &'static [u8]) {
    use std::io::{BufRead, BufReader, Write};
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let lines = BufReader::new(&stream).lines();
                let head: Vec<String> = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                assert!(head[0].starts_with("GET "), "{head:?}");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = (&stream).write_all(&[head.as_bytes(), body].concat());
            });
        }
    });
}

fn loopback() -> (std::net::TcpListener, std::net::SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn verify_says_what_is_taken() {
    let world = World::new();
    let (listener, address) = loopback();
    plain_server(listener, WHALE);
    let url = format!("http://{address}/moby.txt");
    let run = world.run("me", &["get", &url, "--verify", "strict"]);
    let run = run.expect(5);
    assert!(
        run.out.is_empty() && run.err.contains("--verify strict"),
        "{}",
        run.err
    );
    assert!(!world.path("me").join("downloads/moby.txt").exists());
    let run = world.run("me", &["get", &url]).expect(0);
    assert!(run.err.contains("its hash was not known"), "{}", run.err);
    // Bytes that are not those of the hash.
    let lie = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    let url = format!("http://{address}/uri-res/N2R?{lie}");
    let get = |how| world.run("me", &["get", &url, "--as", "lie.txt", "--verify", how]);
    assert!(get("if-known").expect(5).out.is_empty());
    let run = get("off").expect(0);
    assert_eq!(std::fs::read(run.out.trim_end()).unwrap(), WHALE);
    assert!(
        run.err.contains("not verified, as asked for"),
        "{}",
        run.err
    );
}

#[test]
fn a_source_that_comes_late_is_found_by_a_retry() {
    let world = World::new();
    let (listener, address) = loopback();
    drop(listener);
    let url = format!("http://{address}/moby.txt");
    let get = ["get", "--json", "--retry", "9", &url];
    let running = Running::start(world.command("me", &get));
    while !running.line().contains("\"retry\"") {}
    plain_server(std::net::TcpListener::bind(address).unwrap(), WHALE);
    let run = running.finish(b"").expect(0);
    assert_eq!(run.json_of("retry")[0]["of"], 9, "{}", run.out);
    assert_eq!(run.json_of("done").len(), 1, "{}", run.out);
    let get = [
        "get",
        "--retry",
        "9",
        "--timeout",
        "1s",
        "http://127.0.0.1:1/a",
    ];
    world.run("me", &get).expect(4);
}

#[test]
fn a_limit_holds_and_each_source_is_told_of() {
    let world = World::new();
    let body = vec![7_u8; 600_000];
    let folder = world.folder("big", &[("moby.bin", &body)]);
    let mut nodes: Vec<_> = ["one", "two"]
        .iter()
        .map(|name| world.node(name, &[path_text(&folder)], &[]))
        .collect();
    for node in &mut nodes {
        node.wait_for("library", |line| line["hashed_files"] == 1);
    }
    let urn = found(&world, &["moby", "--peer", &nodes[0].address()])[0]["urn"].to_string();
    let urn = urn.trim_matches('"');
    let source = |node: &crate::world::Node| format!("http://{}/uri-res/N2R?{urn}", node.address());
    // The hash stands in the exact source alone; the other may have it.
    let magnet = format!("magnet:?xs={}&as={}", source(&nodes[0]), source(&nodes[1]));
    let get = [
        "get",
        "--json",
        "--limit",
        "200kB/s",
        "--sources",
        "2",
        &magnet,
    ];
    let run = world.run("stranger", &get).expect(0);
    let done = run.json_of("done").remove(0);
    assert_eq!(done["verified"], "sha1", "{done}");
    assert!(done["elapsed"].as_f64() > Some(2.0), "{done}");
    let told = run.json_of("sources");
    let told = told.last().expect("a second passed")["sources"]
        .as_array()
        .unwrap();
    let mut names: Vec<&str> = told
        .iter()
        .map(|one| one["source"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let mut nodes: Vec<String> = nodes.iter().map(crate::world::Node::address).collect();
    nodes.sort_unstable();
    assert_eq!(names, nodes);
    for bad in [
        ["--sources", "0"],
        ["--sources", "33"],
        ["--limit", "7"],
        ["--verify", "no"],
    ] {
        world
            .run("me", &[&["get", "k7m2qd"], &bad[..]].concat())
            .expect(2);
    }
}

#[test]
fn a_pipe_brings_no_likely_fake_and_a_name_does() {
    let world = World::new();
    let files: [(&str, &[u8]); 2] = [("moby one.txt", b"one"), ("moby two.txt", b"two")];
    let node = world.sharing("one", &files, &[]);
    let hits = found(&world, &["moby", "--peer", &node.address()]);
    let fake = hits
        .iter()
        .find(|hit| hit["name"] == "moby two.txt")
        .unwrap();
    let list = world.path("fakes");
    std::fs::write(&list, fake["urn"].as_str().unwrap()).unwrap();
    let list = path_text(&list);
    let words = [
        "moby",
        "--peer",
        &node.address(),
        "--spam-list",
        list,
        "--show-spam",
    ];
    let lines: Vec<String> = found(&world, &words)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(lines.len(), 2);
    let (folder, id) = (world.path("papers"), fake["id"].as_str().unwrap());
    let folder = path_text(&folder);
    let get = world.command("me", &["get", "-o", folder, "-"]);
    let run = run_with(get, lines.join("\n").as_bytes()).expect(0);
    assert_eq!(run.out.lines().count(), 1, "{}", run.out);
    assert!(run.out.contains("moby one.txt"), "{}", run.out);
    let said = format!("{id}: passed over as a likely fake (1.00)");
    assert!(run.err.contains(&said), "{}", run.err);
    // Hidden or not: who names it has it.
    let run = world.run("me", &["get", "-o", folder, id]).expect(0);
    assert!(run.out.contains("moby two.txt"), "{}", run.out);
    let get = world.command("me", &["get", "-o", folder, "--show-spam", "-"]);
    let run = run_with(get, lines.join("\n").as_bytes()).expect(0);
    assert_eq!(run.out.lines().count(), 2, "{}", run.out);
}
