//! Reading the lists of known things that people keep in files.

use std::path::Path;

use super::exit::{Exit, Failure};
use crate::disk;

/// The text of a list of at most `mib` MiB. `what` it is for people, such as `spam list`.
///
/// # Errors
/// Exit 2: it cannot be read, or is too long.
pub(super) fn read(path: &Path, what: &str, mib: u64) -> Result<String, Failure> {
    disk::lists::text(path, mib).map_err(|why| unusable(path, what, &why.to_string()))
}

/// A list that is of no use, and why.
pub(super) fn unusable(path: &Path, what: &str, why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("the {what} {} {why}", path.display()))
}
