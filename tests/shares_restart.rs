//! Shared folders across restarts, kills and other mishaps: nothing is hashed twice, nothing is damaged.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed unwrap fails the test; a child reports on its output"
)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use filbert::disk::rules::Why;
use filbert::disk::shares::{Options, Shares};
use filbert::disk::store::Home;
use filbert::wire::Sha1;
use sha1::Digest;

const PATIENCE: Duration = Duration::from_secs(30);
/// Tells a child of these tests where its world is.
const CHILD: &str = "FILBERT_TEST_WORLD";

struct World {
    _dir: tempfile::TempDir,
    base: PathBuf,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir(base.join("share")).unwrap();
        Self { _dir: dir, base }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.base.join("share").join(name), bytes).unwrap();
    }

    fn start(&self, options: &Options) -> Shares {
        start(&self.base, options, |_, _| {})
    }

    fn start_hashed(&self) -> Shares {
        let shares = self.start(&quiet());
        assert!(shares.wait_hashed(PATIENCE));
        shares
    }
}

fn start(base: &Path, options: &Options, told: impl Fn(usize, usize) + Send + 'static) -> Shares {
    let home = Home::at(&base.join("home")).unwrap();
    home.create().unwrap();
    let on_library: filbert::disk::shares::OnLibrary =
        Box::new(move |library| told(library.len(), library.hashed()));
    Shares::start_with(&home, &[base.join("share").into()], options, on_library).unwrap()
}

fn quiet() -> Options {
    Options {
        watch: false,
        publish: Duration::from_millis(20),
        ..Options::default()
    }
}

fn hashes(shares: &Shares) -> BTreeMap<String, Option<Sha1>> {
    shares
        .library()
        .files()
        .map(|file| (file.path.to_owned(), file.sha1))
        .collect()
}

/// Waits for an event that comes by itself.
fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_restart_hashes_nothing_again() {
    let world = World::new();
    for n in 0..50u8 {
        world.write(&format!("{n}.bin"), &vec![n; 1_000 + usize::from(n)]);
    }
    let first = world.start_hashed();
    let (known, read) = (hashes(&first), first.hash_bytes_read());
    assert_eq!(read, (0..50).map(|n| 1_000 + n).sum::<u64>());
    drop(first);
    let second = world.start_hashed();
    assert_eq!(second.hash_bytes_read(), 0);
    assert_eq!(hashes(&second), known);
    drop(second);
    // One file of the same size and another time; one new; one gone.
    world.write("7.bin", &[99; 1_007]);
    world.write("new.bin", &[1; 10]);
    fs::remove_file(world.base.join("share/3.bin")).unwrap();
    let third = world.start_hashed();
    assert_eq!(third.hash_bytes_read(), 1_007 + 10);
    let now = hashes(&third);
    assert_eq!(now.len(), 50);
    assert_ne!(now["7.bin"], known["7.bin"]);
    assert_eq!(now["8.bin"], known["8.bin"]);
}

#[test]
fn a_damaged_store_costs_hashing_and_nothing_else() {
    let world = World::new();
    world.write("a.bin", &[1; 5_000]);
    let known = hashes(&world.start_hashed());
    let store = world.base.join("home/hashes.redb");
    let mut bytes = fs::read(&store).unwrap();
    bytes.iter_mut().step_by(5).for_each(|byte| *byte ^= 0xA5);
    fs::write(&store, bytes).unwrap();
    let again = world.start_hashed();
    assert_eq!((again.hash_bytes_read(), hashes(&again)), (5_000, known));
    drop(again);
    assert_eq!(world.start_hashed().hash_bytes_read(), 0);
}

#[test]
fn a_file_that_grows_while_it_is_hashed_gets_the_hash_of_its_last_version() {
    let world = World::new();
    // At this rate the first read of 256 KiB overdraws, and the second waits for a while.
    world.write("grows.bin", &vec![1; 600_000]);
    let (told, heard) = mpsc::channel();
    let options = Options {
        hash_rate: Some(400_000),
        ..quiet()
    };
    let shares = start(&world.base, &options, move |files, _| {
        let _ = told.send(files);
    });
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), 1);
    let mut file = OpenOptions::new()
        .append(true)
        .open(world.base.join("share/grows.bin"))
        .unwrap();
    file.write_all(&[2; 10]).unwrap();
    drop(file);
    let mut whole = vec![1; 600_000];
    whole.extend([2; 10]);
    let expected = { Sha1(sha1::Sha1::digest(&whole).into()) };
    eventually("the hash of the grown file", || {
        let now = hashes(&shares)["grows.bin"];
        assert!(
            now.is_none_or(|now| now == expected),
            "a hash of something that never was"
        );
        now.is_some()
    });
}

/// Not a test of its own: the child of the next one, hashing slowly until it is killed.
#[test]
fn child_that_hashes() {
    let Some(base) = std::env::var_os(CHILD) else {
        return;
    };
    let options = Options {
        hash_rate: Some(8_000_000),
        ..quiet()
    };
    let _shares = start(Path::new(&base), &options, |files, hashed| {
        println!("\nlibrary {files} {hashed}");
    });
    loop {
        std::thread::park();
    }
}

#[test]
fn a_kill_in_the_middle_of_a_hash_run_leaves_a_usable_store() {
    let world = World::new();
    let files = 400u32;
    for n in 0..files {
        world.write(&format!("{n}.bin"), &n.to_le_bytes().repeat(5_000));
    }
    let total = u64::from(files) * 20_000;
    let mut before = 0;
    // Killed when it has told of so many more states: while the store is made, while it is written...
    for states in [1, 2, 4, 7] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_hashes", "--nocapture"])
            .env(CHILD, &world.base)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let library = lines
            .filter(|line| line.starts_with("library "))
            .nth(states - 1)
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let hashed: u32 = library.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(
            hashed >= before,
            "{hashed} hashes known after {before} were kept"
        );
        before = hashed;
    }
    assert!(
        before > 0 && before < files,
        "{before} of {files} hashed when it was killed"
    );
    let shares = world.start_hashed();
    // What was told was kept: only the rest is read.
    assert!(shares.hash_bytes_read() <= total - u64::from(before) * 20_000);
    for (name, sha1) in hashes(&shares) {
        let n: u32 = name.trim_end_matches(".bin").parse().unwrap();
        let expected = sha1::Sha1::digest(n.to_le_bytes().repeat(5_000));
        assert_eq!(sha1.unwrap().0, <[u8; 20]>::from(expected), "{name}");
    }
    assert!(!world.base.join("home/hashes.redb.damaged").exists());
}

/// Not a test of its own: the child of the next one, as a user who may not read everything.
#[test]
fn child_that_may_not_read() {
    let Some(base) = std::env::var_os(CHILD) else {
        return;
    };
    let shares = start(Path::new(&base), &quiet(), |_, _| {});
    assert!(shares.wait_hashed(PATIENCE));
    let files: Vec<_> = hashes(&shares).into_keys().collect();
    assert_eq!(files, ["open.txt"]);
    let left_out = &shares.left_out()[0];
    let paths: Vec<_> = left_out.some.iter().map(|one| one.path.as_str()).collect();
    assert_eq!((paths, left_out.count), (vec!["closed", "closed.txt"], 2));
    assert!(
        left_out
            .some
            .iter()
            .all(|one| matches!(one.why, Why::Unreadable(_)))
    );
    println!("\nleft out as it should");
}

#[test]
fn what_cannot_be_read_is_left_out_with_its_reason() {
    let world = World::new();
    world.write("open.txt", b"x");
    world.write("closed.txt", b"x");
    let closed = world.base.join("share/closed");
    fs::create_dir(&closed).unwrap();
    for path in [closed.clone(), world.base.join("share/closed.txt")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    // Nothing is closed to root: the child then is nobody.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "child_that_may_not_read", "--nocapture"])
        .env(CHILD, &world.base);
    if rustix::process::geteuid().is_root() {
        let nobody = 65_534;
        let home = world.base.join("home");
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(nobody), Some(nobody)).unwrap();
        fs::set_permissions(&world.base, fs::Permissions::from_mode(0o755)).unwrap();
        // Where the test program lies may be closed to nobody; a copy is not.
        let copy = world.base.join("tests");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        child = Command::new(copy);
        child
            .args(["--exact", "child_that_may_not_read", "--nocapture"])
            .env(CHILD, &world.base);
        child.uid(nobody).gid(nobody).current_dir(&world.base);
    }
    let output = child.output().unwrap();
    fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("left out as it should"),
        "{text}"
    );
}

#[cfg(feature = "watch")]
#[test]
fn changes_are_noticed_without_being_asked_for() {
    let world = World::new();
    world.write("a.txt", b"x");
    let shares = world.start(&Options {
        watch: true,
        ..quiet()
    });
    assert!(shares.wait_hashed(PATIENCE));
    // The watch may begin a little after the scan: a change before that is made once more.
    let mut next = Instant::now();
    let mut n = 0u32;
    eventually("a new file", || {
        if Instant::now() >= next {
            n += 1;
            world.write("b.txt", &n.to_le_bytes());
            next = Instant::now() + Duration::from_secs(2);
        }
        hashes(&shares).contains_key("b.txt")
    });
    fs::create_dir(world.base.join("share/deep")).unwrap();
    world.write("deep/c.txt", b"y");
    eventually("a file in a new folder", || {
        hashes(&shares).contains_key("deep/c.txt")
    });
    fs::remove_file(world.base.join("share/a.txt")).unwrap();
    eventually("a removal", || !hashes(&shares).contains_key("a.txt"));
}

#[test]
fn a_folder_that_vanishes_and_returns_is_noticed_without_being_asked_for() {
    let world = World::new();
    world.write("a.txt", b"x");
    let shares = world.start_hashed();
    fs::rename(world.base.join("share"), world.base.join("away")).unwrap();
    eventually("the folder is missed", || shares.library().is_empty());
    assert_eq!(shares.status()[0].problem.as_deref(), Some("is gone"));
    fs::rename(world.base.join("away"), world.base.join("share")).unwrap();
    eventually("the folder is back", || {
        hashes(&shares).get("a.txt").is_some_and(Option::is_some)
    });
    assert_eq!(shares.status()[0].problem, None);
}
