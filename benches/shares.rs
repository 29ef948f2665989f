//! What it costs to share folders: scan and hash many small files, start again with all known.
//!
//! `cargo bench --bench shares [-- FILES]` prints JSON lines. Times are of whole runs on a real file system, so
//! they are measured once each. The files were just written: they are read from memory, not from the disk.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench reports on its output, and fails by a panic"
)]

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use filbert::disk::shares::{Options, Shares};
use filbert::disk::store::Home;

/// Files in one folder of the made share.
const FOLDER_FILES: u32 = 100;
/// Bytes of a small file.
const SMALL_BYTES: usize = 4_096;
const PATIENCE: Duration = Duration::from_secs(600);

fn make(share: &Path, files: u32) {
    for number in 0..files {
        let folder = share.join(format!("Album {:04}", number / FOLDER_FILES));
        if number % FOLDER_FILES == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        let mut bytes = vec![0; SMALL_BYTES];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        fs::write(
            folder.join(format!(
                "{number:06} - some artist - a song of some name.ogg"
            )),
            bytes,
        )
        .unwrap();
    }
}

/// Seconds until searchable, and until all hashes are known; bytes read for hashing.
fn run(base: &Path, share: &str) -> (f64, f64, u64) {
    let home = Home::at(&base.join("home")).unwrap();
    home.create().unwrap();
    let (told, heard) = mpsc::channel();
    let start = Instant::now();
    let on_library = Box::new(
        move |library: std::sync::Arc<filbert::node::library::Library>| {
            let _ = told.send(library.len());
        },
    );
    let options = Options::default();
    let shares =
        Shares::start_with(&home, &[base.join(share).into()], &options, on_library).unwrap();
    assert!(heard.recv_timeout(PATIENCE).unwrap() > 0);
    let searchable = start.elapsed().as_secs_f64();
    assert!(shares.wait_hashed(PATIENCE));
    let hashed = start.elapsed().as_secs_f64();
    (searchable, hashed, shares.hash_bytes_read())
}

fn main() {
    let files = std::env::args().filter_map(|arg| arg.parse().ok());
    let files: Vec<u32> = files.collect();
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    for count in if files.is_empty() {
        vec![20_000, 100_000]
    } else {
        files
    } {
        let base = base.join(count.to_string());
        make(&base.join("small"), count);
        for label in ["first", "again"] {
            let (searchable, hashed, read) = run(&base, "small");
            println!(
                r#"{{"bench":"shares","start":"{label}","files":{count},"searchable_s":{searchable:.3},"all_hashed_s":{hashed:.3},"hash_bytes_read":{read}}}"#
            );
        }
    }
}
