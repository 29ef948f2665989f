//! Fetching from many servers at once, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, Mutex};

use filbert::net::download::{Cancel, Control, Doing, Job, Progress, Source, fetch};

#[path = "common/http.rs"]
mod http;

use http::{Seen, Server, content, job, partial, run, urn_of, whole};

/// The range of a request, its end not included.
fn range(seen: &Seen, size: usize) -> (usize, usize) {
    let line = seen
        .head
        .lines()
        .find_map(|line| line.strip_prefix("Range: bytes="));
    let (first, last) = line.unwrap().split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    (first, size.min(last + 1))
}

/// Gives all ranges of `data`.
fn honest(data: &[u8]) -> Server {
    let data = data.to_vec();
    Server::start(move |seen| {
        let (start, end) = range(&seen, data.len());
        (partial(&data, start, end), true)
    })
}

#[test]
fn all_sources_are_asked_at_once_each_for_its_part() {
    let data = content(6_000_000);
    // Nobody answers the first request before all three have one.
    let (barrier, asked) = (Arc::new(Barrier::new(3)), Arc::new(Mutex::new(Vec::new())));
    let servers: Vec<_> = (0..3)
        .map(|_| {
            let (data, barrier, asked) = (data.clone(), barrier.clone(), asked.clone());
            Server::start(move |seen: Seen| {
                if seen.number == 0 {
                    barrier.wait();
                }
                let (start, end) = range(&seen, data.len());
                asked.lock().unwrap().push((start, end));
                (partial(&data, start, end), true)
            })
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let urn = urn_of(&data);
    let sources = servers.iter().map(|server| server.source(urn)).collect();
    let fetched = run(&job(dir.path(), &data, sources)).unwrap();
    assert!(fetched.verified && std::fs::read(fetched.path).unwrap() == data);
    let asked: BTreeSet<_> = asked.lock().unwrap().iter().copied().collect();
    assert!(asked.len() >= 3, "{asked:?}");
}

#[test]
fn a_source_that_falls_silent_holds_nothing_back() {
    let data = content(3_000_000);
    let silent = {
        let data = data.clone();
        // Promises its range, sends a little, and keeps the connection.
        Server::start(move |seen| {
            let (start, end) = range(&seen, data.len());
            let answer = partial(&data, start, end);
            let cut = answer.len() - (end - start) + 1000;
            (answer[..cut].to_vec(), true)
        })
    };
    let good = honest(&data);
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let sources = vec![silent.source(urn), good.source(urn)];
    // Its deadline is a third of the silence that ends a connection.
    assert!(run(&job(dir.path(), &data, sources)).unwrap().verified);
}

#[test]
fn a_liar_among_several_is_found_by_what_it_gives_alone() {
    let data = content(4_000_000);
    let wrong: Vec<u8> = data.iter().map(|byte| byte ^ 1).collect();
    let (good, liar, other) = (honest(&data), honest(&wrong), honest(&data));
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let sources = vec![liar.source(urn), good.source(urn), other.source(urn)];
    let fetched = run(&job(dir.path(), &data, sources)).unwrap();
    assert!(fetched.verified && std::fs::read(fetched.path).unwrap() == data);
}

#[test]
fn only_liars_end_in_an_honest_failure() {
    let data = content(2_000_000);
    let wrong: Vec<u8> = data.iter().map(|byte| byte ^ 1).collect();
    let (one, two) = (honest(&wrong), honest(&wrong));
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let sources = vec![one.source(urn), two.source(urn)];
    let error = run(&job(dir.path(), &data, sources)).unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(!dir.path().join("moby.txt").exists());
}

#[test]
fn a_wrong_size_of_the_first_source_does_not_cost_the_others() {
    let data = content(1_000_000);
    let longer = content(1_200_000);
    let (liar, good) = (honest(&longer), honest(&data));
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let sources = vec![liar.source(urn), good.source(urn)];
    let job = Job {
        size: None,
        ..job(dir.path(), &data, sources)
    };
    assert!(run(&job).unwrap().verified);
}

/// gtk-gnutella answered so for a copy it had finished a minute before.
#[test]
fn a_copy_that_says_it_is_empty_is_not_taken_for_the_file() {
    let data = content(1_000_000);
    let empty = || {
        Server::start(|seen: Seen| {
            let no = match seen.number {
                0 => "416 No\r\nContent-Range: bytes */0\r\nRetry-After: 1",
                _ => "404 Gone",
            };
            let no = format!("HTTP/1.1 {no}\r\nContent-Length: 0\r\n\r\n");
            (no.into_bytes(), true)
        })
    };
    let urn = urn_of(&data);
    for size in [Some(1_000_000), None] {
        let (alone, dir) = (empty(), tempfile::tempdir().unwrap());
        let known = |sources| Job {
            size,
            ..job(dir.path(), &data, sources)
        };
        let error = run(&known(vec![alone.source(urn)])).unwrap_err();
        assert_ne!(error.exit_code(), 5, "{error}");
        let mut left = std::fs::read_dir(dir.path()).unwrap();
        assert!(left.all(|entry| {
            let name = entry.unwrap().file_name();
            !name.to_string_lossy().ends_with(".filbert-bad")
        }));
        let (one, good) = (empty(), honest(&data));
        let sources = vec![one.source(urn), good.source(urn)];
        assert!(run(&known(sources)).unwrap().verified);
    }
    // The one content of which it is true.
    let (nothing, dir) = (empty(), tempfile::tempdir().unwrap());
    let job = Job {
        size: None,
        ..job(dir.path(), b"", vec![nothing.source(urn_of(b""))])
    };
    assert!(run(&job).unwrap().verified);
}

#[test]
fn a_partial_source_is_asked_for_what_it_has() {
    let data = content(3_000_000);
    let part = {
        let data = data.clone();
        Server::start(move |seen| {
            let (start, end) = range(&seen, data.len());
            let head = "X-Available-Ranges: bytes 1000000-1999999\r\n";
            if start < 1_000_000 || end > 2_000_000 {
                let no = format!("HTTP/1.1 416 No\r\n{head}Content-Length: 0\r\n\r\n");
                return (no.into_bytes(), true);
            }
            let answer = partial(&data, start, end);
            let line = b"HTTP/1.1 206 Partial Content\r\n";
            (
                [line, head.as_bytes(), &answer[line.len()..]].concat(),
                true,
            )
        })
    };
    // Gives what the other has not, and nothing else.
    let rest = {
        let data = data.clone();
        Server::start(move |seen| {
            let (start, end) = range(&seen, data.len());
            let end = if start < 1_000_000 {
                end.min(1_000_000)
            } else {
                end
            };
            if (1_000_000..2_000_000).contains(&start) {
                let no = "HTTP/1.1 416 No\r\nX-Available-Ranges: bytes 0-999999,2000000-2999999\r\nContent-Length: 0\r\n\r\n";
                return (no.as_bytes().to_vec(), true);
            }
            (partial(&data, start, end), true)
        })
    };
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let sources = vec![part.source(urn), rest.source(urn)];
    assert!(run(&job(dir.path(), &data, sources)).unwrap().verified);
}

#[test]
fn a_queue_is_polled_with_its_id_and_not_too_early_while_others_work() {
    let data = content(100_000);
    let queue = {
        let data = data.clone();
        Server::start(move |seen| {
            if seen.number == 0 {
                let busy = "HTTP/1.1 503 Queued\r\nX-Queued: ID=a1; position=2; length=5; ETA=60\r\n\
                    Retry-After: 1\r\nContent-Length: 0\r\n\r\n";
                return (busy.as_bytes().to_vec(), true);
            }
            assert!(
                seen.head.contains("X-Queued: position=2; ID=a1\r\n"),
                "{}",
                seen.head
            );
            (whole(&data), true)
        })
    };
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let job = job(dir.path(), &data, vec![queue.source(urn)]);
    let mut places = Vec::new();
    let started = std::time::Instant::now();
    let news = |news| {
        if let Progress::Queued {
            position,
            length,
            eta_s,
            ..
        } = news
        {
            places.push((position, length, eta_s));
        }
    };
    fetch(&job, news, &Cancel::new()).unwrap();
    assert_eq!(places, [(Some(2), Some(5), Some(60))]);
    assert!(started.elapsed().as_millis() >= 1000);
    assert_eq!(queue.requests.load(Ordering::SeqCst), 2);
}

#[test]
fn sources_that_others_name_are_asked_too() {
    let data = content(2_000_000);
    let other = honest(&data);
    let first = {
        let (data, other) = (data.clone(), other.addr);
        Server::start(move |seen| match seen.number {
            0 => {
                let (start, _) = range(&seen, data.len());
                let answer = partial(&data, start, start + 100_000);
                let line = b"HTTP/1.1 206 Partial Content\r\n";
                let alt = format!("X-Alt: {other}, 192.0.2.1:0, nonsense\r\n");
                ([line, alt.as_bytes(), &answer[line.len()..]].concat(), true)
            }
            _ => (
                b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n".to_vec(),
                true,
            ),
        })
    };
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let mut job = job(dir.path(), &data, vec![first.source(urn)]);
    // Without a network nobody is believed.
    assert_eq!(run(&job).unwrap_err().exit_code(), 1);
    assert_eq!(other.requests.load(Ordering::SeqCst), 0);
    let first = {
        let other = other.addr;
        Server::start(move |_| {
            let gone = format!("HTTP/1.1 404 Gone\r\nX-Alt: {other}\r\nContent-Length: 0\r\n\r\n");
            (gone.into_bytes(), true)
        })
    };
    job.sources = vec![first.source(urn)];
    job.nets = vec![filbert::node::address::Net::Rehearsal];
    assert!(run(&job).unwrap().verified);
}

#[test]
fn a_fetch_is_steered_while_it_runs() {
    let data = content(2_000_000);
    let control = Control::default();
    // Holds its answer back until the download was paused and goes on.
    let good = honest(&data);
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let idle = Server::start(|_| (Vec::new(), true));
    let job = Job {
        control: control.clone(),
        ..job(dir.path(), &data, vec![idle.source(urn)])
    };
    let (mut paused, mut seen) = (false, false);
    let fetched = fetch(
        &job,
        |news| match news {
            Progress::Asking { .. } if !paused => assert!(control.pause()),
            Progress::Paused => {
                paused = true;
                let source: Source = good.source(urn);
                assert!(control.add_sources(vec![source]) && control.resume());
            }
            Progress::Sources(sources) => {
                seen |= sources.iter().any(|source| source.doing == Doing::Busy);
            }
            _ => {}
        },
        &Cancel::new(),
    );
    assert!(fetched.unwrap().verified && paused);
    let _ = seen;
}

#[test]
fn more_bytes_than_asked_for_are_not_read() {
    let data = content(1_000_000);
    let generous = {
        let data = data.clone();
        Server::start(move |seen| {
            let (start, _) = range(&seen, data.len());
            (partial(&data, start, data.len()), true)
        })
    };
    let (dir, urn) = (tempfile::tempdir().unwrap(), urn_of(&data));
    let sources = vec![generous.source(urn), honest(&data).source(urn)];
    assert!(run(&job(dir.path(), &data, sources)).unwrap().verified);
}
