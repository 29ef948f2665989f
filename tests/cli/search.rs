//! Searching: what is found, how it is printed, when it ends.

use serde_json::Value;

use crate::world::{Running, World, run_into};

const WHALE: &[u8] = b"Call me Ishmael. Some years ago - never mind how long precisely.";
/// Shorter than what people wait for; hits on loopback come within milliseconds.
const IDLE: [&str; 2] = ["--idle", "700ms"];

fn search<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["search"], more, &IDLE].concat()
}

#[test]
fn copies_of_one_file_are_one_result_with_two_sources() {
    let world = World::new();
    let one = world.sharing("one", &[("moby dick.txt", WHALE), ("other.txt", b"x")], &[]);
    let two = world.sharing("two", &[("sea/whale moby.txt", WHALE)], &[&one]);
    let run = world
        .run(
            "me",
            &[
                &search(&["moby", "--json"])[..],
                &["--peer", &two.address()],
            ]
            .concat(),
        )
        .expect(0);
    let hits = run.json_of("hit");
    assert_eq!(hits.len(), 2, "{}", run.out);
    assert_eq!(hits[0]["id"], hits[1]["id"]);
    let end = run.json().pop().unwrap();
    assert_eq!(end["type"], "end");
    assert_eq!(
        (&end["files"], &end["hits"], &end["answered"]),
        (&1.into(), &2.into(), &2.into()),
        "{end}"
    );
    assert_eq!(
        (&end["reason"], &end["reached_est"]),
        (&"idle".into(), &true.into())
    );
    assert!(end["reached"].as_u64() >= Some(2), "{end}");
    let rows = world
        .run("me", &search(&["moby", "--tsv", "--sort", "best"]))
        .expect(0);
    let row: Vec<&str> = rows.out.trim_end().split('\t').collect();
    assert_eq!(
        row[..3],
        [hits[0]["id"].as_str().unwrap(), "2", "64"],
        "{}",
        rows.out
    );
    assert!(
        row[4].contains("one") && row[4].contains("two"),
        "{}",
        rows.out
    );
    let each = world
        .run("me", &search(&["moby", "--ungroup", "--fields", "id,host"]))
        .expect(0);
    assert_eq!(each.out.lines().count(), 2, "{}", each.out);
}

#[test]
fn the_running_node_and_a_hosted_one_find_the_same() {
    let world = World::new();
    let one = world.sharing("one", &[("moby.txt", WHALE)], &[]);
    let two = world.sharing("two", &[("moby.pdf", b"%PDF")], &[&one]);
    let mut me = world.node("me", &[], &[&two]);
    me.wait_linked(two.listen);
    me.wait_linked(one.listen);
    let plain = |run: &crate::world::Run| {
        let mut hits: Vec<Value> = run.json_of("hit");
        for hit in &mut hits {
            hit.as_object_mut()
                .unwrap()
                .retain(|name, _| name != "t" && name != "hops");
        }
        hits.sort_by_key(ToString::to_string);
        hits
    };
    let hosted = world
        .run(
            "guest",
            &[
                &search(&["moby", "--json"])[..],
                &["--peer", &two.address()],
            ]
            .concat(),
        )
        .expect(0);
    let running = world.run("me", &search(&["moby", "--json"])).expect(0);
    assert_eq!(plain(&hosted), plain(&running));
    assert_eq!(plain(&running).len(), 2);
    assert!(
        running.err.contains("running node \"me\""),
        "{}",
        running.err
    );
}

#[test]
fn filters_limits_and_the_reasons_for_an_end() {
    let world = World::new();
    let files: Vec<(String, Vec<u8>)> = (0..20)
        .map(|n| (format!("song {n}.mp3"), vec![n; usize::from(n) + 1]))
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    let node = world.sharing("one", &[&files[..], &[("song.txt", b"la")]].concat(), &[]);
    let address = node.address();
    let cases: [(&[&str], usize, &str); 9] = [
        (&["song"], 21, "idle"),
        (&["song", "--ext", "txt"], 1, "idle"),
        (&["song", "--type", "audio"], 20, "idle"),
        (
            &["song", "--min-size", "11B", "--type", "audio"],
            10,
            "idle",
        ),
        (&["song", "--max-size", "5B", "--ext", "mp3"], 5, "idle"),
        (&["song", "--not", "7", "--not", "txt"], 19, "idle"),
        (&["song", "--max", "3"], 3, "max"),
        (&["song", "--first"], 1, "max"),
        (
            &["song", "--idle", "0", "--timeout", "1500ms"],
            21,
            "timeout",
        ),
    ];
    for (flags, files, reason) in cases {
        let idle: &[&str] = if reason == "timeout" { &[] } else { &IDLE };
        let words = [&["search", "--json", "--peer", &address], flags, idle].concat();
        let end = world.run("me", &words).expect(0).json().pop().unwrap();
        assert_eq!(
            (&end["files"], &end["reason"]),
            (&files.into(), &reason.into()),
            "{flags:?}: {end}"
        );
    }
}

#[test]
fn a_quiet_search_answers_by_its_exit_code_alone() {
    let world = World::new();
    let node = world.sharing("one", &[("moby.txt", WHALE)], &[]);
    for (word, code) in [("moby", 0), ("ahab", 1)] {
        let run = world
            .run("me", &search(&["-q", word, "--peer", &node.address()]))
            .expect(code);
        assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""), "{word}");
    }
}

#[test]
fn an_exact_file_is_found_by_its_hash() {
    let world = World::new();
    let node = world.sharing("one", &[("moby.txt", WHALE), ("other.txt", b"other")], &[]);
    let list = world.run("one", &["shares", "list", "--json"]).expect(0);
    let file = list
        .json_of("file")
        .into_iter()
        .find(|file| file["name"] == "one-files/moby.txt")
        .unwrap();
    let urn = file["urn"].as_str().unwrap();
    assert!(
        file["magnet"]
            .as_str()
            .unwrap()
            .starts_with(&format!("magnet:?xt={urn}")),
        "{file}"
    );
    let run = world
        .run(
            "me",
            &search(&["--urn", urn, "--json", "--peer", &node.address()]),
        )
        .expect(0);
    let hits = run.json_of("hit");
    assert_eq!(
        (hits.len(), hits[0]["name"].as_str()),
        (1, Some("moby.txt")),
        "{}",
        run.out
    );
}

#[test]
fn no_neighbour_is_not_mistaken_for_no_result() {
    let world = World::new();
    let dead = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    for peer in [&[][..], &["--peer", &dead]] {
        let run = world
            .run("me", &[&["search", "moby"], peer].concat())
            .expect(3);
        assert!(run.err.contains("--peer HOST:PORT"), "{}", run.err);
        assert_eq!(run.out, "");
    }
    // The same when the node that runs here has nobody to ask.
    let _alone = world.node("alone", &["--min-links", "0"], &[]);
    world.run("alone", &["search", "moby"]).expect(3);
}

#[test]
fn a_reader_that_hangs_up_ends_the_search_quietly() {
    let world = World::new();
    let node = world.sharing("one", &[("moby.txt", WHALE)], &[]);
    let words = [
        "search",
        "moby",
        "--idle",
        "0",
        "--timeout",
        "20s",
        "--peer",
        &node.address(),
    ];
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = run_into(world.command("me", &words), writer);
    assert_eq!(
        (run.code, run.err.contains("panic")),
        (Some(0), false),
        "{}",
        run.err
    );
}

#[test]
fn ctrl_c_ends_a_search_with_130_and_its_summary() {
    let world = World::new();
    let node = world.sharing("one", &[("moby.txt", WHALE)], &[]);
    let mut guest = world.node("me", &[], &[&node]);
    guest.wait_linked(node.listen);
    let running = Running::start(world.command(
        "me",
        &["search", "moby", "--json", "--idle", "0", "--timeout", "0"],
    ));
    let first = running.line();
    assert!(first.contains("\"hit\""), "{first}");
    running.interrupt();
    let run = running.finish(b"").expect(130);
    assert_eq!(
        run.json().pop().unwrap()["reason"],
        "interrupted",
        "{}",
        run.out
    );
}

#[test]
fn colour_never_reaches_a_pipe() {
    let world = World::new();
    let node = world.sharing("one", &[("moby.txt", WHALE)], &[]);
    for (name, value) in [("NO_COLOR", "1"), ("CLICOLOR", "1")] {
        let mut command = world.command("me", &search(&["moby", "--peer", &node.address()]));
        command.env(name, value);
        let run = crate::world::run(command).expect(0);
        assert!(
            !run.out.contains('\x1b') && !run.err.contains('\x1b'),
            "{}{}",
            run.out,
            run.err
        );
    }
}

/// The hash of a file of a node that runs in this home.
fn urn_of(world: &World, home: &str, name: &str) -> String {
    let list = world.run(home, &["shares", "list", "--json"]).expect(0);
    let files = list.json_of("file");
    let file = files
        .iter()
        .find(|file| file["name"].as_str().unwrap().ends_with(name));
    file.unwrap()["urn"].as_str().unwrap().to_owned()
}

#[test]
fn a_listed_fake_is_hidden_counted_shown_on_request_and_explained() {
    let world = World::new();
    let files: [(&str, &[u8]); 2] = [("moby dick.txt", WHALE), ("moby dick.exe", b"MZ fake")];
    let node = world.sharing("one", &files, &[]);
    let urn = urn_of(&world, "one", ".exe");
    let list = world.path("fakes");
    std::fs::write(
        &list,
        format!("# of today\n{}\n", &urn["urn:sha1:".len()..]),
    )
    .unwrap();
    let address = node.address();
    let with = |more: &[&'static str]| {
        let mut all: Vec<String> = ["search", "--peer", &address, "--spam-list"]
            .map(str::to_owned)
            .to_vec();
        all.push(list.to_str().unwrap().to_owned());
        all.extend(IDLE.iter().chain(more).map(|&word| word.to_owned()));
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        world.run("me", &words)
    };
    let run = with(&["moby", "--json"]).expect(0);
    let end = run.json().pop().unwrap();
    assert_eq!(
        (&end["files"], &end["hits"], &end["hidden_spam"]),
        (&1.into(), &1.into(), &1.into()),
        "{end}"
    );
    let hit = &run.json_of("hit")[0];
    assert_eq!(hit["name"], "moby dick.txt");
    assert!(hit["spam"].as_f64().unwrap() < 0.1, "{hit}");
    let people = with(&["moby"]).expect(0);
    assert!(
        people.err.contains("; 1 likely fake hidden (--show-spam)"),
        "{}",
        people.err
    );
    // What is hidden is not found: not for the exit code, not for --first, not for -q.
    for more in [&["moby", "exe"][..], &["moby", "exe", "--first"]] {
        let run = with(more).expect(1);
        assert_eq!(run.out, "");
        assert!(run.err.contains("nothing found"), "{}", run.err);
    }
    with(&["moby", "exe", "-q"]).expect(1);
    let first = with(&["moby", "--first", "--json"]).expect(0);
    assert_eq!(first.json_of("hit")[0]["name"], "moby dick.txt");
    // On request it comes, after all others.
    let shown = with(&[
        "moby",
        "--show-spam",
        "--sort",
        "best",
        "--fields",
        "name,spam",
    ])
    .expect(0);
    let rows: Vec<&str> = shown.out.lines().collect();
    assert_eq!(rows.len(), 2, "{}", shown.out);
    assert_eq!(rows[1], "moby dick.exe\t1.00");
    assert!(!shown.err.contains("hidden"), "{}", shown.err);

    // The last search but one hid it; the id is that of its content.
    with(&["moby"]).expect(0);
    let hash = urn["urn:sha1:".len()..].to_lowercase();
    let explained = world
        .run("me", &["search", "--json", "--explain", &hash[..6]])
        .expect(0);
    let line = explained.json().remove(0);
    assert_eq!(
        (
            &line["type"],
            &line["hidden"],
            &line["spam"],
            &line["query"]
        ),
        (&"explain".into(), &true.into(), &1.0.into(), &"moby".into()),
        "{line}"
    );
    let signals: Vec<&str> = line["signals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["signal"].as_str().unwrap())
        .collect();
    assert_eq!(signals, ["listed", "program"]);
    let id = hit["id"].as_str().unwrap();
    let honest = world.run("me", &["search", "--explain", id]).expect(0);
    assert!(honest.out.contains("rank\t1 of 1\t"), "{}", honest.out);
    assert!(honest.out.contains("words\t1 of 1\t"), "{}", honest.out);
}

#[test]
fn questions_about_results_that_cannot_be_answered_say_what_can() {
    let world = World::new();
    for (words, code, part) in [
        (&["search", "--explain", "zzzzzz"][..], 1, "search again"),
        (&["search", "--explain", "a b"], 2, "no result id"),
        (
            &["search", "moby", "--explain", "zzzzzz"],
            2,
            "leave out the words",
        ),
        (
            &["search", "moby", "--spam-list", "none.txt"],
            2,
            "none.txt",
        ),
    ] {
        let run = world.run("me", words).expect(code);
        assert!(run.err.contains(part), "{words:?}: {}", run.err);
        assert_eq!(run.out, "");
    }
}

#[test]
fn names_made_up_for_the_query_are_hidden_on_the_live_network_and_not_on_a_lan() {
    let world = World::new();
    let files: [(&str, &[u8]); 4] = [
        ("moby dick.zip", b"PK one"),
        ("moby dick.mp3", b"ID3 two"),
        ("moby dick full.exe", b"MZ three"),
        ("Melville - Moby Dick.txt", WHALE),
    ];
    let live = ["--net", "gnutella", "--allow-private"];
    for (name, net, role, shown) in [
        ("lan", &[][..], &[][..], 4),
        ("live", &live, &["--role", "ultrapeer"], 1),
    ] {
        let folder = world.folder("files", &files);
        let args = [&[crate::world::path_text(&folder)][..], net, role].concat();
        let mut sharing = world.node(name, &args, &[]);
        sharing.wait_for("library", |line| line["hashed_files"] == 4);
        let address = sharing.address();
        let words = [
            "search", "moby", "dick", "--json", "--idle", "2s", "--peer", &address,
        ];
        let words = [&words[..], net].concat();
        let run = world.run(&format!("me-{name}"), &words).expect(0);
        let end = run.json().pop().unwrap();
        assert_eq!(
            (&end["files"], &end["hidden_spam"]),
            (&shown.into(), &(4 - shown).into()),
            "{name}: {}",
            run.out
        );
    }
}
