//! Shared folders as others see them: what is found, hashed, left out and served.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use filbert::disk::rules::Why;
use filbert::disk::shares::{Options, Shares};
use filbert::disk::store::Home;
use filbert::node::library::{FileId, Library};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    _dir: tempfile::TempDir,
    base: PathBuf,
    home: Home,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let home = Home::at(&base.join("home")).unwrap();
        home.create().unwrap();
        let world = Self {
            _dir: dir,
            base,
            home,
        };
        for (path, text) in files {
            world.write(path, text);
        }
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn start(&self, folders: &[&str]) -> Shares {
        let folders: Vec<_> = folders
            .iter()
            .map(|folder| self.path(folder).into())
            .collect();
        let options = Options {
            watch: false,
            ..Options::default()
        };
        let shares = Shares::start_with(&self.home, &folders, &options, Box::new(|_| {})).unwrap();
        assert!(shares.wait_hashed(PATIENCE));
        shares
    }
}

fn paths(library: &Library) -> Vec<String> {
    library.files().map(|file| file.path.to_owned()).collect()
}

fn search(library: &Library, text: &str) -> Vec<FileId> {
    let mut out = Vec::new();
    library.search(text, 100, &mut out);
    out
}

fn read(shares: &Shares, index: u32) -> std::io::Result<String> {
    let (mut file, _) = shares.open(index)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn files_are_found_hashed_and_served() {
    let world = World::new(&[
        ("Books/Melville/Moby-Dick.txt", "Call me Ishmael."),
        ("Books/a.txt", "abc"),
    ]);
    let shares = world.start(&["Books"]);
    let library = shares.library();
    assert_eq!(paths(&library), ["Melville/Moby-Dick.txt", "a.txt"]);
    let found = search(&library, "ISHMAEL");
    assert_eq!(found, []);
    let found = search(&library, "moby books");
    assert_eq!(found, [FileId(0)]);
    let file = library.file(found[0]).unwrap();
    assert_eq!(read(&shares, file.index).unwrap(), "Call me Ishmael.");
    // From FIPS 180: the hash of "abc".
    let abc = library
        .files()
        .find(|file| file.path == "a.txt")
        .unwrap()
        .sha1
        .unwrap();
    assert_eq!(abc.to_string(), "urn:sha1:VGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5");
    assert_eq!(library.by_sha1(&abc), Some(FileId(1)));
    let status = &shares.status()[0];
    assert_eq!(
        (
            status.files,
            status.bytes,
            status.hashed_files,
            status.scanning
        ),
        (2, 19, 2, false)
    );
    assert_eq!(
        shares.open(77).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

#[test]
fn what_is_left_out_is_counted_with_its_reason() {
    let world = World::new(&[
        ("s/ok.txt", "x"),
        ("s/.hidden", "x"),
        ("s/.git/config", "x"),
        ("s/id_rsa", "x"),
        ("s/film.part", "x"),
        ("s/empty", ""),
        ("s/Mail/cur/1", "x"),
        ("s/Mail/new/2", "x"),
        ("s/Mail/tmp/3", "x"),
    ]);
    std::os::unix::fs::symlink("ok.txt", world.path("s/link")).unwrap();
    let shares = world.start(&["s"]);
    assert_eq!(paths(&shares.library()), ["ok.txt"]);
    let left_out = &shares.left_out()[0];
    let why: Vec<_> = left_out
        .some
        .iter()
        .map(|one| (one.path.as_str(), one.why.clone()))
        .collect();
    assert_eq!(
        why,
        [
            (".git", Why::Hidden),
            (".hidden", Why::Hidden),
            ("Mail", Why::Mail),
            ("empty", Why::Empty),
            ("film.part", Why::Partial),
            ("id_rsa", Why::Secret),
            ("link", Why::Link),
        ]
    );
    assert_eq!((left_out.count, shares.status()[0].left_out), (7, 7));
}

#[test]
fn overlapping_folders_share_each_file_once_and_the_home_never() {
    let world = World::new(&[("s/a.txt", "1"), ("s/in/b.txt", "2"), ("s/in/c/d.txt", "3")]);
    let home = Home::at(&world.path("s/node")).unwrap();
    home.create().unwrap();
    fs::write(world.path("s/node/x.txt"), "x").unwrap();
    let folders = [
        world.path("s").into(),
        world.path("s/in").into(),
        world.path("s/in/../in").into(),
    ];
    let shares =
        Shares::start_with(&home, &folders, &Options::default(), Box::new(|_| {})).unwrap();
    assert!(shares.wait_hashed(PATIENCE));
    let library = shares.library();
    assert_eq!(library.share_names(), ["s", "in"]);
    let files: Vec<_> = library
        .files()
        .map(|file| (file.share, file.path))
        .collect();
    assert_eq!(files, [(0, "a.txt"), (1, "b.txt"), (1, "c/d.txt")]);
}

#[test]
fn a_rescan_takes_up_changes_and_numbers_stay() {
    let world = World::new(&[("s/b.txt", "1"), ("s/c.txt", "2")]);
    let shares = world.start(&["s"]);
    let before: Vec<_> = shares
        .library()
        .files()
        .map(|file| (file.path.to_owned(), file.index))
        .collect();
    world.write("s/a.txt", "0");
    world.write("s/c.txt", "longer");
    shares.rescan();
    assert!(shares.wait_hashed(PATIENCE));
    let library = shares.library();
    assert_eq!(paths(&library), ["a.txt", "b.txt", "c.txt"]);
    for (path, index) in before {
        let file = library.file(library.by_index(index).unwrap()).unwrap();
        assert_eq!(file.path, path);
        assert!(file.sha1.is_some());
    }
    fs::remove_file(world.path("s/b.txt")).unwrap();
    shares.rescan();
    assert_eq!(paths(&shares.library()), ["a.txt", "c.txt"]);
}

#[test]
fn a_file_that_changed_since_it_was_announced_is_not_served() {
    let world = World::new(&[("s/a.txt", "first")]);
    let shares = world.start(&["s"]);
    let index = shares.library().files().next().unwrap().index;
    assert_eq!(read(&shares, index).unwrap(), "first");
    world.write("s/a.txt", "other");
    assert_eq!(
        shares.open(index).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

#[test]
fn a_folder_that_vanishes_is_unshared_and_taken_up_again() {
    let world = World::new(&[("s/a.txt", "x"), ("t/b.txt", "y")]);
    let shares = world.start(&["s", "t"]);
    fs::rename(world.path("s"), world.path("away")).unwrap();
    shares.rescan();
    assert_eq!(paths(&shares.library()), ["b.txt"]);
    assert_eq!(shares.status()[0].problem.as_deref(), Some("is gone"));
    fs::rename(world.path("away"), world.path("s")).unwrap();
    shares.rescan();
    assert!(shares.wait_hashed(PATIENCE));
    assert_eq!(paths(&shares.library()), ["a.txt", "b.txt"]);
    assert_eq!(shares.status()[0].problem, None);
}

#[test]
fn a_folder_that_must_not_be_listed_is_refused_with_the_way_out() {
    let world = World::new(&[]);
    let refused = |path: &Path| {
        let folders = [path.to_owned().into()];
        Shares::start(&world.home, &folders, Box::new(|_| {}))
            .unwrap_err()
            .to_string()
    };
    assert!(refused(Path::new("/")).contains("--allow-broad"));
    assert!(refused(&world.path("none")).contains("none"));
}
