//! Limits of a node by the hour, on the clock on its wall: it obeys them, and says so.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filbert::control::{Limits, Offer, Reply, Request, Seal, Status, TransferSpec, TransferState};
use filbert::disk::store::Home;
use filbert::net::local_time::WallClock;
use filbert::net::{Listen, Settings};
use filbert::node::Config;
use filbert::node::timetable::{Days, Period, Timetable};

#[path = "nodes/mod.rs"]
mod nodes;

use nodes::{Node, SOON};

/// Monday 6 January 2025, 08:00 UTC.
const EIGHT: u64 = 1_736_150_400;

/// So many bytes a second until eight in the morning, then none.
fn mornings(rate: u64) -> Timetable {
    Timetable {
        usual: None,
        periods: vec![Period {
            days: Days::ALL,
            from: 0,
            to: 8 * 60,
            rate: Some(rate),
        }],
    }
}

/// A clock on the wall that a test sets.
#[derive(Clone)]
struct Wall(Arc<AtomicU64>);

impl Wall {
    fn at(unix_s: u64) -> Self {
        Self(Arc::new(AtomicU64::new(unix_s)))
    }

    fn set(&self, unix_s: u64) {
        self.0.store(unix_s, Ordering::SeqCst);
    }

    fn clock(&self) -> WallClock {
        let shown = Arc::clone(&self.0);
        WallClock::given(move || shown.load(Ordering::SeqCst), "UTC0").unwrap()
    }
}

fn body(seed: u32, bytes: usize) -> Vec<u8> {
    (0..u32::try_from(bytes / 4).unwrap())
        .flat_map(|n| (n ^ seed << 24).wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

/// A node that shares one file, and the folders it needs.
fn sharer(content: &[u8], change: impl FnOnce(&mut Settings)) -> (Node, [tempfile::TempDir; 2]) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    std::fs::write(dirs[0].path().join("moby.bin"), content).unwrap();
    let mut settings = Settings {
        config: Config {
            min_links: 0,
            ..Config::default()
        },
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        home: Some(Home::at(dirs[1].path()).unwrap()),
        shares: vec![dirs[0].path().to_path_buf().into()],
        ..Settings::default()
    };
    change(&mut settings);
    let node = Node::with(settings);
    assert!(node.servent.wait_hashed(SOON));
    (node, dirs)
}

fn urn(node: &Node) -> String {
    let files = node.ask(Request::Shares { files: true });
    let mut urns = files.into_iter().filter_map(|reply| match reply {
        Reply::File(file) => file.urn,
        _ => None,
    });
    urns.next().unwrap()
}

fn limits(node: &Node) -> Limits {
    let status = node
        .ask(Request::Status)
        .into_iter()
        .find_map(|reply| match reply {
            Reply::Status(status) => Some(*status),
            _ => None,
        });
    let status: Status = status.unwrap();
    status.limits
}

/// A node that may not send much until eight, three seconds before; then the clock is set to `then`.
fn sends_freely_after(then: u64, until: &str) {
    let data = body(1, 1_000_000);
    let wall = Wall::at(EIGHT - 3);
    let (node, _dirs) = sharer(&data, |settings| {
        settings.limit_up = mornings(50_000);
        settings.wall_clock = wall.clock();
    });
    let now = limits(&node).up;
    let next = now.next.unwrap();
    assert_eq!((now.rate, next.in_s, next.rate), (Some(50_000), 3, None));
    assert_eq!((&*next.at, limits(&node).down.rate), ("Mon 08:00", None));

    let mut stream = TcpStream::connect(node.addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let urn = urn(&node);
    write!(
        stream,
        "GET /uri-res/N2R?{urn} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let (start, mut came, mut buffer) = (Instant::now(), Vec::new(), vec![0; 8 * 1024]);
    while came.len() < 100_000 {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "it ends after {}", came.len());
        came.extend_from_slice(&buffer[..read]);
    }
    assert!(
        start.elapsed() > Duration::from_millis(1_500),
        "{:?}",
        start.elapsed()
    );
    wall.set(then);
    stream.read_to_end(&mut came).unwrap();
    // At the old pace it would take 20 s.
    assert!(
        start.elapsed() < Duration::from_secs(12),
        "{:?}",
        start.elapsed()
    );
    assert!(came.ends_with(&data));
    let now = limits(&node).up;
    assert_eq!((now.rate, &*now.next.unwrap().at), (None, until));
}

#[test]
fn uploads_keep_to_the_limit_of_the_hour_and_no_longer() {
    sends_freely_after(EIGHT, "Tue 00:00");
}

#[test]
fn a_clock_that_is_set_a_year_ahead_is_followed() {
    sends_freely_after(EIGHT + 365 * 86_400, "Wed 00:00");
}

#[test]
fn a_clock_that_is_set_a_year_back_is_followed() {
    sends_freely_after(EIGHT - 365 * 86_400, "Mon 00:00");
}

#[test]
fn all_downloads_of_a_node_share_one_limit() {
    let one = sharer(&body(1, 600_000), |_| {});
    let two = sharer(&body(2, 600_000), |_| {});
    let wall = Wall::at(EIGHT - 3_600);
    let (node, _dirs) = sharer(b"its own", |settings| {
        settings.limit_down = mornings(400_000);
        settings.wall_clock = wall.clock();
    });
    assert_eq!(limits(&node).down.rate, Some(400_000));
    let into = tempfile::tempdir().unwrap();
    let start = Instant::now();
    for (key, from) in ["a", "b"].into_iter().zip([&one.0, &two.0]) {
        let urn = urn(from);
        let spec = TransferSpec {
            key: key.repeat(32),
            name: format!("{key}.bin"),
            sources: vec![Offer {
                url: format!("http://{}/uri-res/N2R?{urn}", from.addr()),
                servent: None,
                push: false,
                push_proxies: Vec::new(),
                net: None,
                tls: Seal::Never,
                tiger: None,
            }],
            urn: Some(urn),
            into: into.path().to_str().unwrap().to_owned(),
            ..TransferSpec::default()
        };
        let transfer = Box::new(spec);
        node.ask(Request::TransferAdd { transfer });
    }
    node.until("two files", |node| {
        let all = node.ask(Request::Transfers { watch: false });
        let done = all.iter().filter(
            |reply| matches!(reply, Reply::Transfer(one) if one.state == TransferState::Done),
        );
        (done.count() == 2).then_some(())
    });
    // 3 s, less what a reader takes before it first waits. Each with a limit of its own would take half of that.
    assert!(
        start.elapsed() > Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}
