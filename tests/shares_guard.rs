//! Nothing outside the listed folders comes out, whatever happens on disk and whatever name is asked for.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use filbert::disk::beneath::Root;
use filbert::disk::scan::{Skip, scan};
use filbert::disk::shares::{Options, Shares};
use filbert::disk::store::Home;
use proptest::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};

const PATIENCE: Duration = Duration::from_secs(30);
/// What every file outside the share, and every file that must not be shared, contains.
const SECRET: &str = "TOP SECRET";
/// Names files and folders have in these tests; some are never shared.
const NAMES: &[&str] = &["a", "b", "A", "é", "e\u{301}", ".h", "id_rsa", "con"];

/// A share, and beside it a folder of secrets with the same names.
struct World {
    _dir: tempfile::TempDir,
    base: PathBuf,
    share: PathBuf,
    outside: PathBuf,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (share, outside) = (base.join("share"), base.join("outside"));
        for folder in [&share, &outside] {
            fs::create_dir(folder).unwrap();
        }
        for one in NAMES {
            fs::write(outside.join(format!("{one}.txt")), SECRET).unwrap();
            fs::create_dir(outside.join(one)).unwrap();
            for two in NAMES {
                fs::write(outside.join(one).join(format!("{two}.txt")), SECRET).unwrap();
            }
        }
        Self {
            _dir: dir,
            base,
            share,
            outside,
        }
    }
}

/// What happens on disk between two requests.
#[derive(Clone, Debug)]
enum Step {
    Folder(String),
    File(String),
    /// A link to the folder of secrets, or to something in it; absolute or relative.
    Link {
        at: String,
        to: Option<String>,
        absolute: bool,
    },
    /// A second name, inside the share, for what lies inside.
    LinkInside {
        at: String,
        to: String,
    },
    Rename(String, String),
    Remove(String),
    Rescan,
}

fn path() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(NAMES);
    prop_oneof![
        name().prop_map(str::to_owned),
        name().prop_map(|name| format!("{name}.txt")),
        (name(), name()).prop_map(|(a, b)| format!("{a}/{b}.txt")),
        (name(), name()).prop_map(|(a, b)| format!("{a}/{b}")),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => path().prop_map(Step::Folder),
        4 => path().prop_map(Step::File),
        3 => (path(), prop::option::of(path()), any::<bool>())
            .prop_map(|(at, to, absolute)| Step::Link { at, to, absolute }),
        1 => (path(), path()).prop_map(|(at, to)| Step::LinkInside { at, to }),
        2 => (path(), path()).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => path().prop_map(Step::Remove),
        2 => Just(Step::Rescan),
    ]
}

/// Names a request may use.
fn request() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(NAMES).prop_map(str::to_owned),
        4 => prop::sample::select(NAMES).prop_map(|name| format!("{name}.txt")),
        2 => Just("..".to_owned()),
        1 => prop::sample::select(&[".", "", "/", "\0", "~", "..\\..", "%2e%2e", "\u{2024}.", "．．", "NUL", "/dev/zero", "proc/self/fd/0"][..])
            .prop_map(str::to_owned),
        1 => Just("outside".to_owned()),
        1 => "\\PC{0,6}",
    ];
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.join("/"))
}

/// Does it, as far as it can be done; never outside the share.
fn perform(world: &World, step: &Step) {
    let at = |path: &str| world.share.join(path);
    // Links already made must not lead a step outside.
    let inside = |path: &str| {
        let parent = at(path).parent().map(Path::to_owned).unwrap();
        parent
            .canonicalize()
            .is_ok_and(|parent| parent.starts_with(&world.share))
    };
    let plain = |path: &str| inside(path) && !at(path).is_symlink();
    match step {
        Step::Folder(path) if plain(path) => drop(fs::create_dir(at(path))),
        Step::File(path) if plain(path) => {
            // What is never shared holds the secret too.
            let never = path
                .split('/')
                .any(|part| part.starts_with('.') || part.starts_with("id_rsa"));
            drop(fs::write(at(path), if never { SECRET } else { "open" }));
        }
        Step::Link {
            at: from,
            to,
            absolute,
        } if inside(from) => {
            let depth = from.matches('/').count() + 1;
            let outside = if *absolute {
                world.outside.clone()
            } else {
                PathBuf::from("../".repeat(depth)).join("outside")
            };
            drop(symlink(
                to.as_ref().map_or(outside.clone(), |to| outside.join(to)),
                at(from),
            ));
        }
        Step::LinkInside { at: from, to } if inside(from) => drop(symlink(at(to), at(from))),
        Step::Rename(from, to) if inside(from) && inside(to) => drop(fs::rename(at(from), at(to))),
        Step::Remove(path) if inside(path) => {
            let path = at(path);
            drop(fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)));
        }
        _ => {}
    }
}

fn check(mut file: impl Read, what: &str) -> Result<(), TestCaseError> {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    prop_assert!(!text.contains(SECRET), "{} gave a secret", what);
    Ok(())
}

/// Hidden names and keys are refused by name alone, at any depth; so a file moved into such a folder, or out
/// of it, is judged by the name it has now. A rename can therefore carry a secret to an innocent name: those
/// are written anew before the check.
fn scrub(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let never = name.starts_with('.') || name.starts_with("id_rsa");
        if kind.is_dir() && !never {
            scrub(&entry.path());
        } else if kind.is_file() && !never {
            fs::write(entry.path(), "open").unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_outside_the_listed_folders_is_served(
        steps in prop::collection::vec(step(), 1..40),
        requests in prop::collection::vec(request(), 40),
    ) {
        let world = World::new();
        let home = Home::at(&world.base.join("home")).unwrap();
        home.create().unwrap();
        let options = Options { watch: false, ..Options::default() };
        let shares = Shares::start_with(&home, &[world.share.clone().into()], &options, Box::new(|_| {})).unwrap();
        prop_assert!(shares.wait_scanned(PATIENCE));
        let root = Root::look(&world.share).unwrap();
        for step in steps.iter().chain([&Step::Rescan]) {
            perform(&world, step);
            if matches!(step, Step::Rename(..)) {
                scrub(&world.share);
            }
            if matches!(step, Step::Rescan) {
                shares.rescan();
            }
            // Every number ever announced, in whatever state the disk is now.
            for index in 0..40 {
                if let Ok((file, meta)) = shares.open(index) {
                    check(file, &meta.path)?;
                }
            }
        }
        let library = shares.library();
        for file in library.files() {
            let path = world.share.join(file.path);
            prop_assert_eq!(path.canonicalize().unwrap(), path, "listed through a link");
        }
        for name in &requests {
            if let Ok((file, _)) = root.open_file(name) {
                check(file, name)?;
            }
        }
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A folder and a link to the secrets change places without pause, while files are opened and scanned.
#[test]
fn a_link_put_in_place_of_a_folder_leads_nowhere() {
    let world = World::new();
    let folder = world.share.join("a");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.txt"), "open").unwrap();
    symlink(&world.outside, world.share.join("link")).unwrap();
    let root = Root::look(&world.share).unwrap();
    let (stop, never) = (AtomicBool::new(false), AtomicBool::new(false));
    let (mut served, mut refused) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(
                    CWD,
                    &folder,
                    CWD,
                    world.share.join("link"),
                    RenameFlags::EXCHANGE,
                )
                .unwrap();
            }
        });
        // Also when the test fails: else it would wait for the other thread for ever.
        let _stop = StopAtEnd(&stop);
        while served < 1_000 || refused < 1_000 {
            match root.open_file("a/a.txt") {
                Ok((mut file, _)) => {
                    let mut text = String::new();
                    file.read_to_string(&mut text).unwrap();
                    assert_eq!(text, "open");
                    served += 1;
                }
                Err(_) => refused += 1,
            }
        }
        for _ in 0..200 {
            let scanned = scan(&root, &Skip::default(), 1_000, &never).unwrap();
            // Outside there is a.txt in folders a, b...; inside there is a/a.txt, under one name or the other.
            for file in scanned.files {
                assert!(
                    ["a/a.txt", "link/a.txt"].contains(&file.path.as_str()),
                    "{}",
                    file.path
                );
            }
        }
    });
}

/// Neither of these may be opened, not even for an instant: reading a pipe would wait for ever.
#[test]
fn pipes_sockets_and_devices_are_not_shared() {
    let world = World::new();
    let pipe = world.share.join("pipe.txt");
    rustix::fs::mknodat(
        CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.share.join("socket.txt")).unwrap();
    let root = Root::look(&world.share).unwrap();
    let scanned = scan(&root, &Skip::default(), 10, &AtomicBool::new(false)).unwrap();
    assert_eq!((scanned.files.len(), scanned.left_out_count), (0, 2));
    for name in ["pipe.txt", "socket.txt"] {
        assert!(root.open_file(name).is_err());
    }
}

/// Names that are not UTF-8 or hold control characters could not be asked for, or would be obeyed by terminals.
#[test]
fn names_that_cannot_be_told_are_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    for name in [
        &b"caf\xe9.txt"[..],
        b"bell\x07.txt",
        b"line\nbreak.txt",
        b"\x1b[2J.txt",
        b"c1\xc2\x9b.txt",
        b"good.txt",
    ] {
        fs::write(world.share.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    let root = Root::look(&world.share).unwrap();
    let scanned = scan(&root, &Skip::default(), 10, &AtomicBool::new(false)).unwrap();
    let names: Vec<_> = scanned
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!((names, scanned.left_out_count), (vec!["good.txt"], 5));
}

/// More files than are taken: the rest is left out with a reason.
#[test]
fn a_share_is_bounded() {
    let world = World::new();
    for n in 0..20 {
        fs::write(world.share.join(format!("{n}.txt")), "x").unwrap();
    }
    let root = Root::look(&world.share).unwrap();
    let scanned = scan(&root, &Skip::default(), 5, &AtomicBool::new(false)).unwrap();
    assert_eq!((scanned.files.len(), scanned.left_out_count), (5, 15));
}
