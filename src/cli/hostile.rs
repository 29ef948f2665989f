//! Reading lists of hostile addresses.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::cli::exit::{Exit, Failure};
use crate::node::hostile::Hostile;

/// Bytes of one list: the most entries a list may have, with remarks. Our choice.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// All that these files list.
///
/// # Errors
/// Exit 2: one cannot be read, is too long, or has a line that is none, with file and line.
pub fn read(paths: &[PathBuf]) -> Result<Hostile, Failure> {
    let mut all = Hostile::default();
    for path in paths {
        let fail = |why: String| {
            let path = path.display();
            Failure::new(
                Exit::Usage,
                format!("the list of hostile addresses {path} {why}"),
            )
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| {
                fail(format!(
                    "cannot be read: {error}; leave it out or mend its path"
                ))
            })?;
        if bytes.len() as u64 > LIST_BYTES_MAX {
            return Err(fail(
                "has more than 16 MiB; split it or leave it out".to_owned(),
            ));
        }
        let text = String::from_utf8_lossy(&bytes);
        let list =
            Hostile::parse(&text).map_err(|error| fail(format!("cannot be used: {error}")))?;
        all = all.and(list);
    }
    Ok(all)
}
