//! Reading lists of hostile addresses.

use std::path::PathBuf;

use super::lists;
use crate::cli::exit::Failure;
use crate::node::hostile::Hostile;

/// MiB of one list: the most entries a list may have, with remarks. Our choice.
const LIST_MIB_MAX: u64 = 16;
const WHAT: &str = "list of hostile addresses";

/// All that these files list.
///
/// # Errors
/// Exit 2: one cannot be read, is too long, or has a line that is none, with file and line.
pub fn read(paths: &[PathBuf]) -> Result<Hostile, Failure> {
    let mut all = Hostile::default();
    for path in paths {
        let text = lists::read(path, WHAT, LIST_MIB_MAX)?;
        let list = Hostile::parse(&text)
            .map_err(|error| lists::unusable(path, WHAT, &format!("cannot be used: {error}")))?;
        all = all.and(list);
    }
    Ok(all)
}
