//! Partial files on a real disk.
#![expect(clippy::single_range_in_vec_init, reason = "sets of one range")]

use std::ops::Range;

use super::*;
use crate::node::swarm::Ranges;

const TEXT: &[u8] = b"call me ishmael";

fn urn_of(bytes: &[u8]) -> Sha1 {
    Sha1(sha1::Sha1::digest(bytes).into())
}

fn wanted(bytes: &[u8]) -> Wanted {
    let size = Some(bytes.len() as u64);
    Wanted {
        name: "moby.txt".to_owned(),
        urn: Some(urn_of(bytes)),
        size,
        origin: None,
    }
}

fn open(dir: &tempfile::TempDir, wanted: Wanted) -> Part {
    Part::open(Folder::open(dir.path()).unwrap(), wanted).unwrap()
}

fn append(part: &mut Part, bytes: &[u8]) {
    part.write(part.done(), bytes).unwrap();
    part.flush().unwrap();
}

fn finish(mut part: Part, on_exist: OnExist) -> Result<Placed, PartError> {
    let sha1 = part.hash().unwrap();
    part.finish(on_exist, sha1, None)
}

fn names(dir: &tempfile::TempDir) -> Vec<String> {
    let names = std::fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_verified_file_gets_its_name_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, &TEXT[..4]);
    assert_eq!(
        names(&dir),
        [
            "moby.txt.filbert-part",
            "moby.txt.filbert-part.json",
            "moby.txt.filbert-part.log"
        ]
    );
    append(&mut part, &TEXT[4..]);
    let placed = finish(part, OnExist::Fail).unwrap();
    assert_eq!((placed.size, placed.sha1), (15, urn_of(TEXT)));
    assert_eq!(std::fs::read(placed.path).unwrap(), TEXT);
    assert_eq!(names(&dir), ["moby.txt"]);
}

#[test]
fn what_was_written_is_there_after_an_interruption() {
    let dir = tempfile::tempdir().unwrap();
    append(&mut open(&dir, wanted(TEXT)), &TEXT[..7]);
    let mut part = open(&dir, wanted(TEXT));
    assert_eq!(part.done(), 7);
    append(&mut part, &TEXT[7..]);
    assert!(finish(part, OnExist::Fail).is_ok());
}

#[test]
fn after_a_crash_of_the_machine_only_synced_bytes_are_believed() {
    let dir = tempfile::tempdir().unwrap();
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, &TEXT[..3]);
    part.checkpoint().unwrap();
    append(&mut part, &TEXT[3..9]);
    drop(part);
    let path = dir.path().join("moby.txt.filbert-part.json");
    let note = std::fs::read_to_string(&path).unwrap();
    let boot = note::boot().expect("this test needs a boot id");
    std::fs::write(&path, note.replace(&boot, "an earlier run")).unwrap();
    assert_eq!(open(&dir, wanted(TEXT)).done(), 3);
}

#[test]
fn wrong_content_is_set_aside_and_never_gets_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, b"call me ahab...");
    let error = finish(part, OnExist::Overwrite).unwrap_err();
    assert!(matches!(error, PartError::WrongHash { got, .. } if got == urn_of(b"call me ahab...")));
    assert_eq!(names(&dir), ["moby.txt.filbert-bad"]);
}

#[test]
fn a_partial_file_of_other_content_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    append(&mut open(&dir, wanted(b"another book")), b"anoth");
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, TEXT);
    assert_eq!(
        finish(part, OnExist::Fail).unwrap().path,
        dir.path().join("moby (1).txt")
    );
    assert_eq!(open(&dir, wanted(b"another book")).done(), 5);
}

#[test]
fn a_taken_name_is_handled_as_asked() {
    for (on_exist, old, new) in [
        (OnExist::Fail, "old", None),
        (OnExist::Skip, "old", None),
        (OnExist::Rename, "old", Some("moby (1).txt")),
        (OnExist::Overwrite, "call me ishmael", Some("moby.txt")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("moby.txt"), "old").unwrap();
        let mut part = open(&dir, wanted(TEXT));
        append(&mut part, TEXT);
        let placed = finish(part, on_exist).ok().map(|placed| placed.path);
        assert_eq!(placed, new.map(|name| dir.path().join(name)));
        assert_eq!(
            std::fs::read_to_string(dir.path().join("moby.txt")).unwrap(),
            old
        );
        assert_eq!(
            open(&dir, wanted(TEXT)).done(),
            if new.is_some() { 0 } else { 15 }
        );
    }
}

#[test]
fn traps_in_the_folder_are_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let trap = dir.path().join("moby.txt.filbert-part");
    let set: [&dyn Fn(); 4] = [
        &|| std::os::unix::fs::symlink(&victim, &trap).unwrap(),
        &|| std::os::unix::fs::symlink(outside.path().join("new"), &trap).unwrap(),
        &|| std::fs::hard_link(&victim, &trap).unwrap(),
        &|| std::fs::create_dir(&trap).unwrap(),
    ];
    for set in set {
        set();
        let error = Part::open(Folder::open(dir.path()).unwrap(), wanted(TEXT)).unwrap_err();
        assert!(matches!(error, PartError::Disk { .. }), "{error}");
        std::fs::remove_file(&trap)
            .or_else(|_| std::fs::remove_dir(&trap))
            .unwrap();
    }
    // A link under the final name is replaced, not followed.
    std::os::unix::fs::symlink(&victim, dir.path().join("moby.txt")).unwrap();
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, TEXT);
    finish(part, OnExist::Overwrite).unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn two_processes_do_not_write_one_partial_file() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir, wanted(TEXT));
    let second = Part::open(Folder::open(dir.path()).unwrap(), wanted(TEXT));
    assert!(matches!(second, Err(PartError::Locked { .. })));
    drop(first);
    open(&dir, wanted(TEXT));
}

#[test]
fn a_vanished_folder_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, &TEXT[..4]);
    std::fs::remove_dir_all(dir.path()).unwrap();
    let error = part.checkpoint().unwrap_err().to_string();
    assert!(error.contains("folder is gone"), "{error}");
}

#[test]
fn a_file_already_there_is_recognised_by_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    assert_eq!(holds_already(&folder, &wanted(TEXT)), None);
    std::fs::write(dir.path().join("moby.txt"), TEXT).unwrap();
    assert_eq!(holds_already(&folder, &wanted(TEXT)).unwrap().size, 15);
    assert_eq!(holds_already(&folder, &wanted(b"call me ahab...")), None);
}

fn state(arrived: &[Range<u64>]) -> Ranges {
    arrived.iter().cloned().collect()
}

#[test]
fn holes_are_kept_and_what_was_verified_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut part = open(&dir, wanted(TEXT));
    part.write(10, &TEXT[10..]).unwrap();
    part.write(0, &TEXT[..3]).unwrap();
    part.verified(10..15);
    part.flush().unwrap();
    drop(part);
    let mut part = open(&dir, wanted(TEXT));
    assert_eq!(*part.arrived(), state(&[0..3, 10..15]));
    assert_eq!(*part.verified_ranges(), state(&[10..15]));
    part.write(3, &TEXT[3..10]).unwrap();
    assert_eq!(finish(part, OnExist::Fail).unwrap().sha1, urn_of(TEXT));
}

#[test]
fn forgotten_bytes_are_hashed_again_when_they_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, b"CALL me ishmael");
    assert_ne!(part.hash().unwrap(), urn_of(TEXT));
    part.forget(0..4);
    part.write(0, &TEXT[..4]).unwrap();
    assert_eq!(part.hash().unwrap(), urn_of(TEXT));
}

#[test]
fn a_partial_file_of_the_former_kind_goes_on() {
    for (synced, here, done) in [(3, true, 9), (3, false, 3), (0, false, 0)] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("moby.txt.filbert-part"), &TEXT[..9]).unwrap();
        let boot = if here {
            note::boot().expect("this test needs a boot id")
        } else {
            "another".to_owned()
        };
        let urn = urn_of(TEXT);
        let note = format!(
            r#"{{"v":1,"name":"moby.txt","urn":"{urn}","size":15,"origin":null,"synced":{synced},"boot":"{boot}"}}"#
        );
        std::fs::write(dir.path().join("moby.txt.filbert-part.json"), note).unwrap();
        let mut part = open(&dir, wanted(TEXT));
        assert_eq!(part.done(), done);
        let rest = usize::try_from(done).unwrap();
        append(&mut part, &TEXT[rest..]);
        assert!(finish(part, OnExist::Fail).is_ok());
    }
}

#[test]
fn a_partial_file_that_others_wrote_is_checked_again_and_a_shorter_one_believed_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, &TEXT[..12]);
    part.verified(0..12);
    part.flush().unwrap();
    drop(part);
    let path = dir.path().join("moby.txt.filbert-part");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let later = file.metadata().unwrap().modified().unwrap() + std::time::Duration::from_secs(60);
    file.set_modified(later).unwrap();
    let part = open(&dir, wanted(TEXT));
    assert!(part.was_changed());
    assert_eq!((part.done(), part.verified_ranges().total()), (12, 0));
    drop(part);
    file.set_len(5).unwrap();
    let part = open(&dir, wanted(TEXT));
    assert!(part.was_changed());
    assert_eq!(part.done(), 5);
}

/// Dates all that lies in the folder.
fn date_all(dir: &tempfile::TempDir, end: &str, at: std::time::SystemTime) {
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(end) {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(at).unwrap();
        }
    }
}

#[test]
fn a_clock_that_is_set_a_year_back_or_forth_loses_nothing() {
    let year = std::time::Duration::from_hours(365 * 24);
    // The clock of files, which needs no other.
    let now = {
        let dir = tempfile::tempdir().unwrap();
        std::fs::metadata(dir.path()).unwrap().modified().unwrap()
    };
    // Between two runs all dates are off; within one the journal may be older than the bytes, or younger.
    for (bytes, journal, changed) in [
        (now + year, now + year, false),
        (now - year, now - year, false),
        (now + year, now, true),
        (now, now + year, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut part = open(&dir, wanted(TEXT));
        part.write(0, &TEXT[..10]).unwrap();
        part.verified(0..10);
        part.flush().unwrap();
        drop(part);
        date_all(&dir, PART_END, bytes);
        date_all(&dir, LOG_END, journal);
        let part = open(&dir, wanted(TEXT));
        assert_eq!(*part.arrived(), state(&[0..10]), "nothing is lost");
        assert_eq!(part.was_changed(), changed);
        drop(part);
        // What is checked again is so once.
        let mut part = open(&dir, wanted(TEXT));
        assert!(!part.was_changed());
        part.write(10, &TEXT[10..]).unwrap();
        assert!(finish(part, OnExist::Fail).is_ok());
    }
}

#[test]
fn a_finished_file_has_the_date_it_is_given_or_that_of_now() {
    let dir = tempfile::tempdir().unwrap();
    let modified = |name: &str| {
        let meta = std::fs::metadata(dir.path().join(name)).unwrap();
        meta.modified().unwrap()
    };
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, TEXT);
    let sha1 = part.hash().unwrap();
    part.finish(OnExist::Fail, sha1, Some(1_000_000_000))
        .unwrap();
    let since = modified("moby.txt").duration_since(std::time::UNIX_EPOCH);
    assert_eq!(since.unwrap().as_secs(), 1_000_000_000);
    let mut part = open(&dir, wanted(TEXT));
    append(&mut part, TEXT);
    date_all(&dir, PART_END, std::time::UNIX_EPOCH);
    finish(part, OnExist::Overwrite).unwrap();
    std::fs::write(dir.path().join("now"), "").unwrap();
    let apart = modified("now")
        .duration_since(modified("moby.txt"))
        .unwrap();
    assert!(apart < std::time::Duration::from_secs(60), "{apart:?}");
}
