//! A list that outlives the process: written anew as a whole at each change, so that a kill leaves the old or the new one.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::save;

/// Bytes of a list that is read at all; some 10,000 downloads with many sources each. Our estimate.
const BYTES_MAX: u64 = 64 << 20;
/// What the file says it is.
const FORMAT: &str = "filbert-jobs/1";

/// The list in one file.
#[derive(Clone, Debug)]
pub struct Jobs {
    path: PathBuf,
}

#[derive(Deserialize)]
struct Read<T> {
    format: String,
    jobs: Vec<T>,
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: &'static str,
    jobs: &'a [T],
}

impl Jobs {
    /// The list in the file `path`, which need not exist; its folder must.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// What was saved last; nothing when nothing was.
    ///
    /// # Errors
    /// The file cannot be read, or is no such list; the message names it and the way out.
    pub fn load<T: DeserializeOwned>(&self) -> io::Result<Vec<T>> {
        let Some(bytes) = save::load(&self.path, BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        let odd = |why: String| {
            let path = self.path.display();
            let text =
                format!("{path} is no list of downloads ({why}); move it away and start again");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let read: Read<T> =
            serde_json::from_slice(&bytes).map_err(|error| odd(error.to_string()))?;
        if read.format != FORMAT {
            return Err(odd(format!("its format is {:?}", read.format)));
        }
        Ok(read.jobs)
    }

    /// Puts this list in the place of the last.
    ///
    /// # Errors
    /// It cannot be written; the last one is untouched.
    pub fn save<T: Serialize>(&self, jobs: &[T]) -> io::Result<()> {
        let format = FORMAT;
        let bytes = serde_json::to_vec_pretty(&Written { format, jobs })?;
        save::save(&self.path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_and_a_strange_file_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("transfers.json");
        let jobs = Jobs::new(&path);
        assert_eq!(jobs.load::<String>().expect("none"), Vec::<String>::new());
        jobs.save(&["a".to_owned(), "b".to_owned()]).expect("saved");
        assert_eq!(jobs.load::<String>().expect("read"), ["a", "b"]);
        for odd in ["", "{", "[]", r#"{"format":"other/1","jobs":[]}"#] {
            std::fs::write(&path, odd).expect("written");
            let error = jobs.load::<String>().expect_err(odd).to_string();
            assert!(
                error.contains("transfers.json") && error.contains("move it away"),
                "{error}"
            );
        }
    }
}
