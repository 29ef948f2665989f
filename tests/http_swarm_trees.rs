//! Fetching with hash trees, over real sockets: wrong bytes are found by their block, and wrong trees do no harm.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use filbert::disk::tree::{HashTree, TreeHasher};
use filbert::net::download::{Cancel, FetchError, Fetched, Job, Progress, fetch};
use filbert::wire::urn::{TigerRoot, tiger_to_base32};

#[path = "common/http.rs"]
mod http;

use http::{Seen, Server, content, job, partial, urn_of};

const SIZE: usize = 16_000_000;

fn tree_of(data: &[u8]) -> HashTree {
    let mut hasher = TreeHasher::for_file(data.len() as u64);
    hasher.update(data);
    hasher.finish()
}

/// Opens once.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let shut = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(shut, |open| !*open).unwrap());
    }
}

/// What a server says of a tree.
#[derive(Clone, Default)]
struct Tree {
    root: Option<TigerRoot>,
    answer: Vec<u8>,
}

impl Tree {
    fn of(data: &[u8]) -> Self {
        let tree = tree_of(data);
        let body = tree.to_dime();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        Self {
            root: Some(tree.root()),
            answer: [head.as_bytes(), &body].concat(),
        }
    }
}

/// A server that gives ranges of `data`.
struct Giver {
    server: Server,
    /// Bytes of the file that it gave.
    gave: Arc<AtomicUsize>,
    trees: Arc<AtomicUsize>,
}

fn giver(data: &[u8], tree: Tree) -> Giver {
    gated(data, tree, &Gate::default(), |_| {})
}

/// Gates that servers open for each other, so that what they do comes in one order on any machine.
#[derive(Clone, Default)]
struct Gates {
    /// A tree was asked for.
    asked: Gate,
    /// The one that waited for that has answered.
    late: Gate,
}

impl Gates {
    /// Opens the first gate when its tree is asked for; gives one range, and more once the late one has answered.
    fn early(&self, data: &[u8], tree: Tree) -> Giver {
        let late = self.late.clone();
        gated(data, tree, &self.asked, move |number| {
            if number > 0 {
                late.wait();
            }
        })
    }

    /// Answers when a tree has been asked for, whoever was asked.
    fn late(&self, data: &[u8]) -> Giver {
        let gates = self.clone();
        gated(data, Tree::default(), &Gate::default(), move |_| {
            gates.asked.wait();
            gates.late.open();
        })
    }
}

/// Opens a gate when its tree is asked for, and does `before` each answer, which is told the number of those given.
fn gated(
    data: &[u8],
    tree: Tree,
    opens: &Gate,
    before: impl Fn(usize) + Send + Sync + 'static,
) -> Giver {
    let (gave, trees) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (data, count, asked) = (data.to_vec(), gave.clone(), trees.clone());
    let (gate, answers) = (opens.clone(), AtomicUsize::new(0));
    let server = Server::start(move |seen: Seen| {
        if seen.head.starts_with("GET /tree ") {
            asked.fetch_add(1, Ordering::SeqCst);
            gate.open();
            return (tree.answer.clone(), true);
        }
        before(answers.fetch_add(1, Ordering::SeqCst));
        let line = seen
            .head
            .lines()
            .find_map(|line| line.strip_prefix("Range: bytes="));
        let (first, last) = line.unwrap().split_once('-').unwrap();
        let (start, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let end = data.len().min(last + 1);
        count.fetch_add(end - start, Ordering::SeqCst);
        let answer = partial(&data, start, end);
        let line = b"HTTP/1.1 206 Partial Content\r\n";
        let thex = tree.root.as_ref().map_or_else(String::new, |root| {
            format!("X-Thex-URI: /tree;{}\r\n", tiger_to_base32(root))
        });
        (
            [line, thex.as_bytes(), &answer[line.len()..]].concat(),
            true,
        )
    });
    Giver {
        server,
        gave,
        trees,
    }
}

impl Giver {
    fn gave(&self) -> usize {
        self.gave.load(Ordering::SeqCst)
    }
}

fn wrong(data: &[u8]) -> Vec<u8> {
    data.iter().map(|byte| byte ^ 1).collect()
}

#[derive(Default)]
struct Told {
    /// A tree came into use, and was it sure at last?
    tree: Option<bool>,
    no_tree: Vec<String>,
    lied: Vec<String>,
    failed: Vec<String>,
}

fn run(job: &Job) -> (Result<Fetched, FetchError>, Told) {
    let mut told = Told::default();
    let fetched = fetch(
        job,
        |news| match news {
            Progress::Tree { sure, .. } => told.tree = Some(sure),
            Progress::NoTree { why, .. } => told.no_tree.push(why),
            Progress::Lied { source, .. } => told.lied.push(source),
            Progress::Failed { source, .. } => told.failed.push(source),
            _ => {}
        },
        &Cancel::new(),
    );
    (fetched, told)
}

fn job_of(into: &std::path::Path, data: &[u8], givers: &[&Giver]) -> Job {
    let urn = urn_of(data);
    let sources = givers
        .iter()
        .map(|giver| giver.server.source(urn))
        .collect();
    job(into, data, sources)
}

fn is_right(fetched: &Result<Fetched, FetchError>, data: &[u8]) {
    let fetched = fetched.as_ref().unwrap();
    assert!(fetched.verified && std::fs::read(&fetched.path).unwrap() == data);
}

#[test]
fn only_the_blocks_of_a_liar_come_twice() {
    let data = content(SIZE);
    let gates = Gates::default();
    let one = gates.early(&data, Tree::of(&data));
    let liar = gates.late(&wrong(&data));
    let dir = tempfile::tempdir().unwrap();
    let job = Job {
        tiger: Some(tree_of(&data).root()),
        ..job_of(dir.path(), &data, &[&one, &liar])
    };
    let (fetched, told) = run(&job);
    is_right(&fetched, &data);
    assert_eq!(told.tree, Some(true));
    assert_eq!(told.lied, [liar.server.addr.to_string()]);
    assert_eq!(told.failed, told.lied, "nobody else is blamed");
    // All right bytes came once, but for races, of which a loaded machine sees more.
    assert!(one.gave() <= SIZE + SIZE / 2, "{} of {SIZE}", one.gave());
    let times = liar.server.requests.load(Ordering::SeqCst);
    assert!(times <= 3, "a liar was asked {times} times");
    assert_eq!(one.trees.load(Ordering::SeqCst), 1);
}

#[test]
fn two_that_agree_on_a_tree_convict_a_third() {
    let data = content(SIZE);
    let gates = Gates::default();
    let (one, two) = (
        gates.early(&data, Tree::of(&data)),
        gates.early(&data, Tree::of(&data)),
    );
    let liar = gates.late(&wrong(&data));
    let dir = tempfile::tempdir().unwrap();
    let (fetched, told) = run(&job_of(dir.path(), &data, &[&one, &two, &liar]));
    is_right(&fetched, &data);
    assert_eq!((told.tree, told.lied.len()), (Some(true), 1));
    let gave = one.gave() + two.gave();
    assert!(gave <= SIZE + SIZE / 2, "{gave} of {SIZE}");
}

#[test]
fn a_tree_of_one_voice_tells_which_blocks_were_wrong() {
    let data = content(SIZE);
    let one = giver(&data, Tree::of(&data));
    let liar = giver(&wrong(&data), Tree::default());
    let dir = tempfile::tempdir().unwrap();
    let (fetched, told) = run(&job_of(dir.path(), &data, &[&one, &liar]));
    is_right(&fetched, &data);
    assert_eq!((told.tree, told.lied.len()), (Some(false), 1));
    // What it gave the first time was not fetched again.
    assert!(one.gave() <= SIZE + SIZE / 2, "{} of {SIZE}", one.gave());
    assert!(liar.gave() > 0);
}

#[test]
fn who_wants_nothing_checked_fetches_no_tree() {
    let data = content(SIZE / 4);
    let one = giver(&data, Tree::of(&data));
    let dir = tempfile::tempdir().unwrap();
    let job = Job {
        urn: None,
        trees: false,
        ..job_of(dir.path(), &data, &[&one])
    };
    let (fetched, told) = run(&job);
    assert!(!fetched.unwrap().verified);
    assert_eq!(told.tree, None);
}

#[test]
fn a_lying_tree_does_not_cost_good_sources() {
    let data = content(SIZE / 4);
    let other = wrong(&data);
    // One says the tree of another content while all give right bytes.
    let (one, two) = (
        giver(&data, Tree::of(&other)),
        giver(&data, Tree::default()),
    );
    let dir = tempfile::tempdir().unwrap();
    let (fetched, told) = run(&job_of(dir.path(), &data, &[&one, &two]));
    is_right(&fetched, &data);
    assert_eq!(
        (told.tree, told.failed.len()),
        (Some(false), 0),
        "the hash of the whole was right"
    );
    assert!(one.gave() + two.gave() <= SIZE / 4 + SIZE / 8);
}

#[test]
fn two_that_agree_on_a_lie_do_not_cost_the_honest_one() {
    let data = content(SIZE / 4);
    let other = wrong(&data);
    // Both give that content; the honest one names no tree, and comes when the lying one is there.
    let gates = Gates::default();
    let (one, two) = (
        gates.early(&other, Tree::of(&other)),
        gates.early(&other, Tree::of(&other)),
    );
    let honest = gates.late(&data);
    let dir = tempfile::tempdir().unwrap();
    let (fetched, told) = run(&job_of(dir.path(), &data, &[&one, &two, &honest]));
    is_right(&fetched, &data);
    assert!(!told.lied.contains(&honest.server.addr.to_string()));
}

#[test]
fn trees_that_do_not_match_or_do_not_end_are_done_without() {
    let data = content(SIZE / 4);
    let right = Tree::of(&data);
    let forged = Tree {
        answer: Tree::of(&wrong(&data)).answer,
        ..right.clone()
    };
    let long = vec![b'x'; 1_500_000];
    let endless = |head: &str| Tree {
        answer: [head.as_bytes(), &long].concat(),
        ..right.clone()
    };
    for (tree, why) in [
        (forged, "the hash tree has another root"),
        (
            endless("HTTP/1.1 200 OK\r\n\r\n"),
            "its hash tree is too long",
        ),
        (
            endless("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
            "its hash tree is too long",
        ),
        (
            endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"),
            "it sends more than it promised",
        ),
        (
            endless("HTTP/1.1 404 None\r\nContent-Length: 1500000\r\n\r\n"),
            "it answers 404 for its hash tree",
        ),
        (
            endless("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            "DIME record",
        ),
    ] {
        let one = giver(&data, tree);
        let dir = tempfile::tempdir().unwrap();
        let job = Job {
            tiger: right.root,
            ..job_of(dir.path(), &data, &[&one])
        };
        let (fetched, told) = run(&job);
        is_right(&fetched, &data);
        assert_eq!(told.tree, None);
        assert!(
            told.no_tree.len() == 1 && told.no_tree[0].contains(why),
            "{why}: {:?}",
            told.no_tree
        );
        assert_eq!(one.trees.load(Ordering::SeqCst), 1, "once is enough");
    }
}

#[test]
fn who_lied_lately_is_asked_when_nobody_else_is_left() {
    let data = content(SIZE / 4);
    let (one, two) = (giver(&data, Tree::of(&data)), giver(&data, Tree::of(&data)));
    let dir = tempfile::tempdir().unwrap();
    let job = Job {
        liars: vec![one.server.addr.to_string()],
        ..job_of(dir.path(), &data, &[&one, &two])
    };
    let (fetched, _) = run(&job);
    is_right(&fetched, &data);
    assert_eq!(one.server.requests.load(Ordering::SeqCst), 0);
    let dir = tempfile::tempdir().unwrap();
    let job = Job {
        into: dir.path().to_owned(),
        sources: job.sources[..1].to_vec(),
        ..job
    };
    let (fetched, _) = run(&job);
    is_right(&fetched, &data);
}

#[test]
fn roots_of_hits_count_like_those_of_answers() {
    let data = content(SIZE / 4);
    let (one, two) = (giver(&data, Tree::of(&data)), giver(&data, Tree::default()));
    let dir = tempfile::tempdir().unwrap();
    let mut job = job_of(dir.path(), &data, &[&one, &two]);
    let said = job.sources.pop().unwrap().with_root(Tree::of(&data).root);
    job.sources.push(said);
    let (fetched, told) = run(&job);
    is_right(&fetched, &data);
    assert_eq!(told.tree, Some(true));
}

#[test]
fn a_source_without_a_tree_is_asked_on_over_the_same_connection() {
    let data = content(3_000_000);
    let root = tiger_to_base32(&tree_of(&data).root());
    let urn = urn_of(&data);
    for (answer, calls) in [
        ("404 No\r\nContent-Length: 4\r\n\r\nnone", 1),
        (
            "503 Soon\r\nRetry-After: 15\r\nContent-Length: 0\r\n\r\n",
            1,
        ),
        // Nobody knows where that ends.
        ("404 No\r\nConnection: close\r\n\r\nnone", 2),
    ] {
        let uri = format!("X-Thex-URI: /uri-res/N2X?{urn};{root}\r\n");
        let (bytes, asked) = (data.clone(), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        let server = Server::start(move |seen: Seen| {
            if seen.head.contains("/uri-res/N2X?") {
                count.fetch_add(1, Ordering::SeqCst);
                return (format!("HTTP/1.1 {answer}").into_bytes(), calls == 1);
            }
            let (start, end) = seen.range(bytes.len());
            let whole = partial(&bytes, start, end);
            let line = b"HTTP/1.1 206 Partial Content\r\n";
            ([line, uri.as_bytes(), &whole[line.len()..]].concat(), true)
        });
        let dir = tempfile::tempdir().unwrap();
        let mut connections = 0;
        let job = job(dir.path(), &data, vec![server.source(urn)]);
        let news = |news| connections += usize::from(matches!(news, Progress::Asking { .. }));
        assert!(fetch(&job, news, &Cancel::new()).unwrap().verified);
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{answer}");
        assert_eq!(connections, calls, "{answer}");
    }
}
