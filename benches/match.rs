//! How fast a library finds names, and what it costs to hold and to build.
//!
//! `cargo bench --bench match`. Before the timings it prints one JSON line per library: build time and bytes
//! held per file.

#![expect(clippy::print_stdout, reason = "a bench reports on its output")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use filbert::node::library::{Entry, FileId, Library};
use filbert::wire::Sha1;

/// Hits asked for, as a node does for one query.
const HITS_MAX: usize = 150;
/// Files per folder; a folder stands for an album or a series.
const FOLDER_FILES: u32 = 12;

/// The next number of a fixed pseudo-random row (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A word of a vocabulary of 50,000, low ranks far more often than high ones, as in real names.
fn word(state: &mut u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let uniform = (next(state) >> 11) as f64 / (1u64 << 53) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 50,000"
    )]
    let rank = 50_000f64.powf(uniform) as u64;
    spell(rank)
}

fn spell(rank: u64) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "co", "di", "fu", "ge", "ha", "jo", "ki", "lu", "me", "na", "po", "ri", "su", "te",
        "vo",
    ];
    let mut rest = rank;
    let mut text = String::new();
    loop {
        text.push_str(SYLLABLES[usize::try_from(rest % 16).expect("below 16")]);
        rest /= 16;
        if rest == 0 {
            return text;
        }
    }
}

fn entries(count: u32) -> Vec<Entry> {
    let mut state = 1;
    let mut folder = String::new();
    (0..count)
        .map(|index| {
            if index % FOLDER_FILES == 0 {
                folder = format!(
                    "{} {}/{} {}",
                    word(&mut state),
                    word(&mut state),
                    word(&mut state),
                    word(&mut state)
                );
            }
            let (a, b, c) = (word(&mut state), word(&mut state), word(&mut state));
            let mut sha1 = [0; 20];
            for chunk in sha1.chunks_mut(4) {
                chunk.copy_from_slice(&next(&mut state).to_be_bytes()[..4]);
            }
            Entry {
                index: index + 1,
                share: 0,
                path: format!("{folder}/{:02} - {a} {b} {c}.ogg", index % FOLDER_FILES + 1),
                size: next(&mut state) % 10_000_000,
                mtime: 1_700_000_000 + u64::from(index),
                sha1: Some(Sha1(sha1)),
                tiger: None,
            }
        })
        .collect()
}

fn matching(criterion: &mut Criterion) {
    for count in [20_000u32, 1_000_000] {
        let entries = entries(count);
        let path_bytes: usize = entries.iter().map(|entry| entry.path.len()).sum();
        let learned: Vec<_> = (0..1_000)
            .map(|file| (FileId(file), Sha1([file.to_be_bytes()[3]; 20])))
            .collect();
        let start = Instant::now();
        let library = Library::build(&["Music".to_owned()], entries);
        let build = start.elapsed();
        let start = Instant::now();
        black_box(library.with_hashes(&learned));
        let rehash = start.elapsed();
        println!(
            r#"{{"bench":"match","files":{count},"build_ms":{},"with_1000_hashes_ms":{:.2},"bytes_per_file":{},"path_bytes_per_file":{}}}"#,
            build.as_millis(),
            rehash.as_secs_f64() * 1e3,
            library.heap_bytes() / library.len(),
            path_bytes / library.len(),
        );
        run(criterion, count, &library);
    }
}

fn run(criterion: &mut Criterion, count: u32, library: &Library) {
    let mut group = criterion.benchmark_group(format!("match-{count}"));
    // Words of the file in the middle: a rank like any other's. Three words of one name always match.
    let middle = library.file(FileId(count / 2)).expect("there are so many");
    let of_name: Vec<&str> = middle
        .name()
        .split([' ', '.', '-'])
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()) && *word != "ogg")
        .collect();
    let three = of_name.join(" ");
    let common = format!("{} {} ogg", spell(2), spell(3));
    for (label, text) in [
        ("one-word", of_name[2]),
        ("three-words", three.as_str()),
        ("three-common-words", common.as_str()),
        ("none", "kubernetes operator handbook"),
        ("none-but-one", "music ogg handbook"),
    ] {
        let mut out = Vec::new();
        library.search(text, HITS_MAX, &mut out);
        println!("{label}: \"{text}\" {} hits", out.len());
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                out.clear();
                library.search(black_box(text), HITS_MAX, &mut out);
                out.len()
            });
        });
    }
    let mut state = 9;
    let mut queries: Vec<String> = Vec::new();
    while queries.len() < 1_000 {
        queries.push(format!(
            "{} {} {}",
            word(&mut state),
            word(&mut state),
            word(&mut state)
        ));
    }
    let mut at = 0;
    let mut out = Vec::new();
    group.bench_function("three-random-words", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % queries.len();
            out.clear();
            library.search(&queries[at], HITS_MAX, &mut out);
            out.len()
        });
    });
    let hashes: Vec<Sha1> = library
        .files()
        .step_by(97)
        .filter_map(|file| file.sha1)
        .collect();
    group.bench_function("by-sha1", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % hashes.len();
            library.by_sha1(&hashes[at])
        });
    });
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);
