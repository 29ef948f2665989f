//! Reading the lists of known things that people keep in files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::exit::{Exit, Failure};

const MIB: u64 = 1 << 20;

/// The text of a list of at most `mib` MiB. `what` it is for people, such as `spam list`.
///
/// # Errors
/// Exit 2: it cannot be read, or is too long.
pub(super) fn read(path: &Path, what: &str, mib: u64) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(mib * MIB + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let why = format!("cannot be read: {error}; leave it out or mend its path");
            unusable(path, what, &why)
        })?;
    if bytes.len() as u64 > mib * MIB {
        let why = format!("has more than {mib} MiB; split it or leave it out");
        return Err(unusable(path, what, &why));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A list that is of no use, and why.
pub(super) fn unusable(path: &Path, what: &str, why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("the {what} {} {why}", path.display()))
}
