//! Reading lists of hostile addresses.

use std::path::PathBuf;

use crate::cli::exit::{Exit, Failure};
use crate::disk::hostile::HostileFiles;
use crate::node::hostile::Hostile;

/// All that these files list.
///
/// # Errors
/// Exit 2: one cannot be read, is too long, or has a line that is none, with file and line.
pub fn read(paths: &[PathBuf]) -> Result<Hostile, Failure> {
    let list = HostileFiles::new(paths.to_vec()).read();
    list.map_err(|why| Failure::new(Exit::Usage, why))
}
