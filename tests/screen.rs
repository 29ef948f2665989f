//! What a person sees, held to snapshots: help texts, usage errors, completions.
//!
//! After a wanted change: `TRYCMD=overwrite cargo test --test screen`, then read the difference.

#[test]
fn help_and_usage_errors_are_as_in_the_snapshots() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

#[test]
fn the_exercises_print_what_their_pages_show() {
    trycmd::TestCases::new().case("docs/lab/*.md");
}
