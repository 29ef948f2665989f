//! Fetching from good, poor and hostile servers, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use filbert::disk::parts::OnExist;
use filbert::net::download::{Cancel, Job, Progress, Source, fetch};

#[path = "common/http.rs"]
mod http;

use http::{DEADLINE, Seen, Server, content, job, partial, run, urn_of, whole};

/// Fetches `data` from servers with these scripts and checks that it arrived whole.
fn arrives(data: &[u8], script: impl Fn(Seen) -> (Vec<u8>, bool) + Send + Sync + 'static) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(script);
    let fetched = run(&job(dir.path(), data, vec![server.source(urn_of(data))])).unwrap();
    assert!(fetched.verified);
    assert_eq!(std::fs::read(&fetched.path).unwrap(), data);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    server.requests.load(Ordering::SeqCst)
}

/// Fetches from one server and expects this exit code, within the deadline.
fn fails(code: u8, script: impl Fn(Seen) -> (Vec<u8>, bool) + Send + Sync + 'static) -> String {
    let (dir, data) = (tempfile::tempdir().unwrap(), content(1000));
    let server = Server::start(script);
    let error = run(&job(dir.path(), &data, vec![server.source(urn_of(&data))])).unwrap_err();
    assert_eq!(error.exit_code(), code, "{error}");
    assert!(!dir.path().join("moby.txt").exists());
    error.to_string()
}

#[test]
fn whole_answers_arrive_in_every_dress() {
    let data = content(300_000);
    let chunked = {
        let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in data.chunks(70_001) {
            out.extend(format!("{:X};x=y\r\n", chunk.len()).bytes());
            out.extend(chunk);
            out.extend(b"\r\n");
        }
        [out, b"0\r\nTrailer: x\r\n\r\n".to_vec()].concat()
    };
    for answer in [
        whole(&data),
        chunked,
        [b"HTTP/1.0 200 OK\r\n\r\n".as_slice(), &data].concat(),
        [b"HTTP/1.1 200\nserver: x\n\n".as_slice(), &data].concat(),
        [b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), &whole(&data)].concat(),
        partial(&data, 0, data.len()),
    ] {
        assert_eq!(arrives(&data.clone(), move |_| (answer.clone(), false)), 1);
    }
}

#[test]
fn answers_shorter_than_asked_are_followed_up_on_the_same_connection() {
    let data = content(1_000_000);
    let script = {
        let data = data.clone();
        move |seen: Seen| {
            let from = seen.from();
            (partial(&data, from, data.len().min(from + 300_000)), true)
        }
    };
    assert_eq!(arrives(&data, script), 4);
}

#[test]
fn a_range_answered_with_the_whole_or_from_earlier_on_is_cut_to_fit() {
    let data = content(500_000);
    for early in [usize::MAX, 1000] {
        let script = {
            let data = data.clone();
            move |seen: Seen| match seen.from() {
                // The first answer breaks off.
                0 => (whole(&data)[..200_000].to_vec(), false),
                _ if early == usize::MAX => (whole(&data), false),
                from => (partial(&data, from - early, data.len()), false),
            }
        };
        assert_eq!(arrives(&data, script), 2);
    }
}

#[test]
fn a_move_within_the_host_is_followed_once() {
    let data = content(1000);
    let script = {
        let data = data.clone();
        move |seen: Seen| {
            if seen.head.starts_with("GET /new ") {
                (whole(&data), false)
            } else {
                (
                    b"HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".to_vec(),
                    true,
                )
            }
        }
    };
    assert_eq!(arrives(&data, script), 2);
    let circle = |_| {
        (
            b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_vec(),
            true,
        )
    };
    fails(1, circle);
    let away = |_| {
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
                .to_vec(),
            true,
        )
    };
    fails(1, away);
}

#[test]
fn each_refusal_ends_with_its_exit_code_and_says_why() {
    for (status, code) in [
        ("400 Bad Request", 1),
        ("401 Unauthorized", 7),
        ("403 Forbidden", 7),
        ("404 Not Found", 1),
        ("410 Gone", 1),
        ("406 Not Acceptable", 1),
        ("413 Too Large", 1),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
        let said = fails(code, move |_| (answer.clone().into_bytes(), true));
        assert!(said.contains(status), "{said}");
    }
}

#[test]
fn answers_that_do_not_add_up_cost_the_source() {
    let data = content(1000);
    let urn = urn_of(b"something else");
    for answer in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Gnutella-Content-URN: {urn}\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Length: 7\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Encoding: gzip\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n".to_owned(),
        "HTTP/1.1 206 Partial\r\nContent-Length: 10\r\n\r\n0123456789".to_owned(),
        "HTTP/1.1 206 Partial\r\nContent-Length: 10\r\nContent-Range: bytes 5-14/1000\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 206 Partial\r\nContent-Length: 9\r\nContent-Range: bytes 0-9/1000\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 206 Partial\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/1001\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 206 Partial\r\nContent-Length: 10\r\nContent-Range: bytes 9-0/1000\r\n\r\n"
            .to_owned(),
        "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        "HTTP/1.1 999999 x\r\n\r\n".to_owned(),
        "x".repeat(20_000),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(50),
    ] {
        let (dir, bad) = (
            tempfile::tempdir().unwrap(),
            Server::start(move |_| (answer.clone().into(), true)),
        );
        let good = Server::start({
            let data = data.clone();
            move |_| (whole(&data), true)
        });
        let urn = urn_of(&data);
        let job = job(dir.path(), &data, vec![bad.source(urn), good.source(urn)]);
        assert!(run(&job).unwrap().verified);
        assert_eq!(
            bad.requests.load(Ordering::SeqCst),
            1,
            "a liar is asked once"
        );
    }
}

#[test]
fn a_source_that_breaks_off_is_taken_up_where_it_stopped() {
    let data = content(100_000);
    let script = {
        let data = data.clone();
        move |seen: Seen| {
            let from = seen.from();
            let answer = partial(&data, from, data.len());
            let cut = answer.len() - (data.len() - from) + (data.len() - from).min(40_000);
            (answer[..cut].to_vec(), false)
        }
    };
    assert_eq!(arrives(&data, script), 3);
}

#[test]
fn a_busy_source_is_asked_again_when_it_said() {
    let data = content(1000);
    let script = {
        let data = data.clone();
        move |seen: Seen| match seen.number {
            0 => (
                b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy".to_vec(),
                true,
            ),
            _ => (whole(&data), true),
        }
    };
    assert_eq!(arrives(&data, script), 2);
}

#[test]
fn a_dead_address_is_said_to_be_unreachable() {
    let (dir, data) = (tempfile::tempdir().unwrap(), content(10));
    let addr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = run(&job(
        dir.path(),
        &data,
        vec![Source::by_urn(addr, urn_of(&data))],
    ))
    .unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    assert!(error.to_string().contains(&addr.to_string()));
    assert_eq!(
        run(&job(dir.path(), &data, vec![]))
            .unwrap_err()
            .exit_code(),
        1
    );
}

#[test]
fn wrong_bytes_are_set_aside_and_the_name_stays_free() {
    let dir = tempfile::tempdir().unwrap();
    let (data, bad) = (content(1000), vec![7; 1000]);
    let server = Server::start(move |_| (whole(&bad), true));
    let error = run(&job(dir.path(), &data, vec![server.source(urn_of(&data))])).unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["moby.txt.filbert-bad"]);
}

#[test]
fn wrong_bytes_of_one_source_are_made_good_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let (data, bad) = (content(1000), vec![7; 1000]);
    let liar = Server::start(move |_| (whole(&bad)[..600].to_vec(), false));
    let good = Server::start({
        let data = data.clone();
        move |seen: Seen| match seen.from() {
            0 => (whole(&data), true),
            from => (partial(&data, from, data.len()), true),
        }
    });
    let (first, urn) = (liar.addr, urn_of(&data));
    let third = Server::start({
        let data = data.clone();
        move |_| (whole(&data), true)
    });
    let sources = vec![
        Source::by_urn(first, urn),
        good.source(urn),
        third.source(urn),
    ];
    assert!(run(&job(dir.path(), &data, sources)).unwrap().verified);
}

#[test]
fn cancel_and_time_limit_keep_what_arrived() {
    let data = content(100_000);
    // Sends half and then nothing, without closing.
    let stall = |data: Vec<u8>| {
        Server::start(move |seen: Seen| match seen.number {
            0 => (whole(&data)[..50_000].to_vec(), true),
            _ => (Vec::new(), true),
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let server = stall(data.clone());
    let mut limited = job(dir.path(), &data, vec![server.source(urn_of(&data))]);
    limited.timeout = Some(Duration::from_millis(300));
    assert_eq!(run(&limited).unwrap_err().exit_code(), 4);
    let kept = std::fs::metadata(dir.path().join("moby.txt.filbert-part"))
        .unwrap()
        .len();
    assert!(kept > 40_000, "{kept}");

    let cancel = Cancel::new();
    let other = stall(data.clone());
    let cancelling = |progress: Progress| {
        if matches!(progress, Progress::Asking { .. }) {
            cancel.cancel();
        }
    };
    let error = fetch(
        &job(dir.path(), &data, vec![other.source(urn_of(&data))]),
        cancelling,
        &cancel,
    );
    assert_eq!(error.unwrap_err().exit_code(), 130);
    assert_eq!(
        std::fs::metadata(dir.path().join("moby.txt.filbert-part"))
            .unwrap()
            .len(),
        kept
    );
}

#[test]
fn hostile_names_stay_in_the_folder() {
    let data = content(10);
    for (name, safe) in [
        ("../../x", "x"),
        ("/etc/passwd", "passwd"),
        ("\x1b]0;..", "]0;"),
        ("CON", "_CON"),
        ("a\0b", "b"),
        ("..", "unnamed"),
        ("\u{202E}txt.exe", "txt.exe"),
        (&"x".repeat(5000), &"x".repeat(223)),
    ] {
        let root = tempfile::tempdir().unwrap();
        let into = root.path().join("a/b");
        std::fs::create_dir_all(&into).unwrap();
        let server = Server::start({
            let data = data.clone();
            move |_| (whole(&data), true)
        });
        let mut job = job(&into, &data, vec![server.source(urn_of(&data))]);
        name.clone_into(&mut job.name);
        assert_eq!(run(&job).unwrap().path, into.join(safe));
        assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }
}

#[test]
fn taken_names_are_handled_as_asked_and_known_content_is_not_fetched_again() {
    let data = content(1000);
    for (on_exist, there, outcome, requests) in [
        (OnExist::Fail, "other", Err(6), 0),
        (OnExist::Skip, "other", Ok("moby.txt"), 0),
        (OnExist::Rename, "other", Ok("moby (1).txt"), 1),
        (OnExist::Overwrite, "other", Ok("moby.txt"), 1),
        (OnExist::Fail, "same", Ok("moby.txt"), 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let old = if there == "same" {
            data.clone()
        } else {
            b"old".to_vec()
        };
        std::fs::write(dir.path().join("moby.txt"), &old).unwrap();
        let server = Server::start({
            let data = data.clone();
            move |_| (whole(&data), true)
        });
        let mut job = job(dir.path(), &data, vec![server.source(urn_of(&data))]);
        job.on_exist = on_exist;
        let result = run(&job)
            .map(|fetched| fetched.path)
            .map_err(|error| error.exit_code());
        assert_eq!(
            result,
            outcome.map(|name| dir.path().join(name)),
            "{on_exist:?} {there}"
        );
        assert_eq!(server.requests.load(Ordering::SeqCst), requests);
        let now = std::fs::read(dir.path().join("moby.txt")).unwrap();
        assert_eq!(
            now,
            if on_exist == OnExist::Overwrite {
                &data
            } else {
                &old
            }
            .as_slice()
        );
    }
}

#[test]
fn a_missing_or_forbidden_folder_is_said_before_anything_is_asked() {
    let data = content(10);
    let server = Server::start(|_| panic!("nothing may be asked"));
    let missing = tempfile::tempdir().unwrap().path().join("gone");
    let error = run(&job(&missing, &data, vec![server.source(urn_of(&data))])).unwrap_err();
    assert_eq!(error.exit_code(), 6);
    assert!(error.to_string().contains("gone"), "{error}");
}

#[test]
fn a_folder_that_vanishes_under_way_is_a_clear_error() {
    let (root, data) = (tempfile::tempdir().unwrap(), content(100_000));
    let into = root.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let server = Server::start({
        let (data, into) = (data.clone(), into.clone());
        move |_| {
            std::fs::remove_dir_all(&into).unwrap();
            (whole(&data), true)
        }
    });
    let error = run(&job(&into, &data, vec![server.source(urn_of(&data))])).unwrap_err();
    assert_eq!(error.exit_code(), 6, "{error}");
    assert!(error.to_string().contains("folder is gone"), "{error}");
}

#[test]
fn a_file_without_a_known_hash_is_accepted_but_not_called_verified() {
    let (dir, data) = (tempfile::tempdir().unwrap(), content(1000));
    let server = Server::start({
        let data = data.clone();
        move |_| (whole(&data), true)
    });
    let source = Source::from_url(&format!("http://{}/some/file.bin", server.addr)).unwrap();
    let job = Job {
        timeout: Some(DEADLINE),
        sources: vec![source.clone()],
        ..Job::new(source.name(), dir.path())
    };
    let fetched = run(&job).unwrap();
    assert_eq!((fetched.verified, fetched.size), (false, 1000));
    assert_eq!(fetched.path, dir.path().join("file.bin"));
}

#[test]
fn an_empty_file_needs_no_source() {
    let dir = tempfile::tempdir().unwrap();
    let fetched = run(&job(dir.path(), b"", vec![])).unwrap();
    assert_eq!((fetched.size, fetched.verified), (0, true));
}

/// What a child process of this test does: fetch, as the variables say.
#[test]
fn child_process_of_the_tests_below() {
    let (Ok(url), Ok(into)) = (std::env::var("FETCH_URL"), std::env::var("FETCH_INTO")) else {
        return;
    };
    let source = Source::from_url(&url).unwrap();
    let job = Job {
        urn: source.urn(),
        sources: vec![source],
        timeout: Some(DEADLINE),
        ..Job::new("moby.txt", into)
    };
    let code = match run(&job) {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("{error}");
            i32::from(error.exit_code())
        }
    };
    std::process::exit(code);
}

fn child(wrapper: &str, url: &str, into: &Path) -> std::process::Command {
    let mut command = std::process::Command::new("sh");
    let this = std::env::current_exe().unwrap();
    command.arg("-c").arg(format!(
        "{wrapper} exec \"$0\" --exact child_process_of_the_tests_below --nocapture"
    ));
    command
        .arg(this)
        .env("FETCH_URL", url)
        .env("FETCH_INTO", into);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    command
}

#[test]
fn a_killed_download_goes_on_where_it_was() {
    let (dir, data) = (tempfile::tempdir().unwrap(), content(3_000_000));
    let part = dir.path().join("moby.txt.filbert-part");
    let (resumed_at, seen) = std::sync::mpsc::channel();
    let server = Server::start({
        let data = data.clone();
        move |seen: Seen| {
            if seen.number == 0 {
                // The first process gets a part and then nothing: it is killed there.
                return (whole(&data)[..1_500_000].to_vec(), true);
            }
            resumed_at.send(seen.from()).unwrap();
            (partial(&data, seen.from(), data.len()), true)
        }
    });
    let url = server.source(urn_of(&data)).url();
    let mut first = child("", &url, dir.path()).spawn().unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    while std::fs::metadata(&part).map_or(0, |meta| meta.len()) < 1_000_000 {
        assert!(
            std::time::Instant::now() < deadline,
            "the child fetches nothing"
        );
        std::thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!dir.path().join("moby.txt").exists());
    let there = usize::try_from(std::fs::metadata(&part).unwrap().len()).unwrap();
    let fetched = run(&job(dir.path(), &data, vec![server.source(urn_of(&data))])).unwrap();
    let from = seen.recv_timeout(DEADLINE).unwrap();
    assert_eq!(u64::try_from(from).unwrap(), fetched.resumed_from);
    // The buffer that was being written when it was killed comes again, and nothing else.
    assert!(
        from <= there && there - from <= 256 * 1024,
        "{from} of {there}"
    );
    assert_eq!(std::fs::read(fetched.path).unwrap(), data);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_full_disk_is_a_clear_error_and_keeps_what_fits() {
    let (dir, data) = (tempfile::tempdir().unwrap(), content(3_000_000));
    let server = Server::start({
        let data = data.clone();
        move |seen: Seen| match seen.from() {
            0 => (whole(&data), true),
            from => (partial(&data, from, data.len()), true),
        }
    });
    let url = server.source(urn_of(&data)).url();
    // No file above 2048 blocks of 512 bytes; the signal that goes with it is ignored, as by a shell user.
    let child = child("trap '' XFSZ; ulimit -f 2048;", &url, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.code(), Some(6), "{said}");
    assert!(
        said.contains("moby.txt.filbert-part") && said.contains("what arrived is kept"),
        "{said}"
    );
    let kept = std::fs::metadata(dir.path().join("moby.txt.filbert-part"))
        .unwrap()
        .len();
    assert!((500_000..=2_097_152).contains(&kept), "{kept}");
    let fetched = run(&job(dir.path(), &data, vec![server.source(urn_of(&data))])).unwrap();
    assert_eq!(fetched.resumed_from, kept);
}
