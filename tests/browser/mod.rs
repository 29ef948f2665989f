//! Pages as a browser sees them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::process::Command;

/// What a browser makes of a page.
pub(crate) fn in_browser(page: &str) -> String {
    let browser = std::env::var_os("FILBERT_BROWSER").unwrap_or_else(|| "chromium".into());
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(&browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .args(["--virtual-time-budget=5000", page])
        .arg(format!("--user-data-dir={}", home.path().display()))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; install Chromium", browser.display()));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
