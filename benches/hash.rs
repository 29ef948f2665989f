//! What hashing costs: SHA-1, Tiger trees leaf by leaf and in rows, and one big file by one thread and by two.
//!
//! `cargo bench --bench hash [-- MIB]` prints JSON lines: megabytes (10^6) a second of wall time, medians of turns taken by
//! turns. The file was just written: it is read from memory, not from the disk.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench reports on its output, and fails by a panic; megabytes are few"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use filbert::disk::shares::{Options, Shares};
use filbert::disk::store::Home;
use filbert::disk::tree::TreeHasher;
use sha1::Digest;

const MIB: usize = 1 << 20;
/// Size of the big file.
const FILE_MIB: usize = 1024;
/// Bytes hashed in memory in one turn.
const MEMORY_BYTES: usize = 64 * MIB;
/// Turns of which the median is told.
const TURNS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes that do not repeat.
fn bytes(len: usize) -> Vec<u8> {
    use rand::{Rng, SeedableRng};
    let mut bytes = vec![0; len];
    rand::rngs::ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut bytes);
    bytes
}

/// Megabytes a second that `work` takes of `bytes`.
fn rate(bytes: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    bytes as f64 / start.elapsed().as_secs_f64() / 1e6
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// One big file, from its start to its hashes.
fn file(base: &Path, threads: usize, mib: usize) -> f64 {
    let dir = tempfile::tempdir_in(base).unwrap();
    let home = Home::at(&dir.path().join("home")).unwrap();
    home.create().unwrap();
    let options = Options {
        hash_threads: Some(threads),
        ..Options::default()
    };
    rate(mib * MIB, || {
        let folder = base.join("big").into();
        let shares = Shares::start_with(&home, &[folder], &options, Box::new(|_| {})).unwrap();
        assert!(shares.wait_hashed(PATIENCE));
        assert_eq!(shares.hash_bytes_read(), (mib * MIB) as u64);
    })
}

fn main() {
    let mib = std::env::args().find_map(|arg| arg.parse().ok());
    let mib = mib.unwrap_or(FILE_MIB);
    let data = bytes(MEMORY_BYTES);
    // A tree is made leaf by leaf when each comes alone, and in rows when many come at once.
    let tree = |piece: usize| {
        let mut hasher = TreeHasher::for_file(data.len() as u64);
        data.chunks(piece).for_each(|piece| hasher.update(piece));
        black_box(hasher.finish());
    };
    let (mut sha1, mut leaves, mut rows) = (vec![], vec![], vec![]);
    for _ in 0..TURNS {
        sha1.push(rate(data.len(), || {
            black_box(sha1::Sha1::digest(&data));
        }));
        leaves.push(rate(data.len(), || tree(1024)));
        rows.push(rate(data.len(), || tree(256 * 1024)));
    }
    let (leaves, rows) = (median(leaves), median(rows));
    println!(
        r#"{{"bench":"hash","what":"sha1","mb_per_s":{:.0}}}"#,
        median(sha1)
    );
    println!(
        r#"{{"bench":"hash","what":"tree","by_leaf_mb_per_s":{leaves:.0},"by_row_mb_per_s":{rows:.0},"ratio":{:.2}}}"#,
        rows / leaves
    );
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    fs::create_dir_all(base.join("big")).unwrap();
    fs::write(base.join("big/big.bin"), bytes(mib * MIB)).unwrap();
    let (mut one, mut two) = (vec![], vec![]);
    for _ in 0..TURNS {
        one.push(file(&base, 1, mib));
        two.push(file(&base, 2, mib));
    }
    let (one, two) = (median(one), median(two));
    println!(
        r#"{{"bench":"hash","what":"one file","mib":{mib},"one_thread_mb_per_s":{one:.0},"two_threads_mb_per_s":{two:.0},"ratio":{:.2}}}"#,
        two / one
    );
}
