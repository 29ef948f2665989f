//! Seeds for tests that draw their cases: a few fixed ones, and those that ever failed (`tests/seeds.txt`).

/// Runs `case` on `count` seeds and on all remembered ones of this test; `SEED=n` runs that one alone. A failure
/// prints the command that replays it and the line that remembers it.
pub(crate) fn each_seed(
    binary: &str,
    test: &str,
    count: u64,
    case: impl Fn(u64) + std::panic::RefUnwindSafe,
) {
    let seeds: Vec<u64> = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a whole number")],
        Err(_) => remembered(test).into_iter().chain(1..=count).collect(),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| case(seed)) {
            eprintln!("replay with   SEED={seed} cargo test --test {binary} {test}");
            eprintln!("remember with a line `{test} {seed}` in tests/seeds.txt");
            std::panic::resume_unwind(panic);
        }
    }
}

fn remembered(test: &str) -> Vec<u64> {
    include_str!("../seeds.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| *name == test)
        .map(|(_, seed)| {
            seed.trim()
                .parse()
                .expect("a line of tests/seeds.txt is a test and a seed")
        })
        .collect()
}
