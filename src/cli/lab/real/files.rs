//! Made-up files: the same name, size and seed always give the same bytes, so copies are copies.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rand::Rng;

use super::place::disk;
use crate::cli::exit::Failure;
use crate::topology::{self, Fill, dice};

/// Bytes written at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Writes files below `folder`.
///
/// # Errors
/// Exit 6: the disk.
pub(super) fn write(folder: &Path, files: &[topology::File], seed: u64) -> Result<(), Failure> {
    for file in files {
        let path = folder.join(&file.name);
        write_one(&path, file, seed).map_err(|error| disk(&path, "cannot be written", &error))?;
    }
    Ok(())
}

fn write_one(path: &Path, file: &topology::File, seed: u64) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let out = File::create(path)?;
    if file.fill == Fill::Zero {
        return out.set_len(file.size);
    }
    let mut rng = dice::seeded(seed, purpose(&file.name));
    let (mut out, mut chunk, mut left) = (BufWriter::new(out), vec![0; CHUNK_BYTES], file.size);
    while left > 0 {
        let len = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        // Whole chunks, so that a file is the beginning of a larger one of its name.
        rng.fill_bytes(&mut chunk);
        out.write_all(&chunk[..len])?;
        left -= len as u64;
    }
    out.flush()
}

/// A number for a name (FNV-1a, 64 bit): which stream of the seed fills its file.
fn purpose(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_copies_and_other_names_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, size, fill| topology::File {
            name: name.to_owned(),
            size,
            fill,
        };
        let written = |folder: &str, file: topology::File, seed| {
            let folder = dir.path().join(folder);
            write(&folder, std::slice::from_ref(&file), seed).unwrap();
            fs::read(folder.join(file.name)).unwrap()
        };
        let one = written("a", file("x/moby.txt", 100_000, Fill::Seeded), 7);
        assert_eq!(one.len(), 100_000);
        assert_eq!(
            one,
            written("b", file("x/moby.txt", 100_000, Fill::Seeded), 7)
        );
        assert_ne!(
            one,
            written("c", file("x/moby.txt", 100_000, Fill::Seeded), 8)
        );
        assert_ne!(
            one,
            written("d", file("x/dick.txt", 100_000, Fill::Seeded), 7)
        );
        assert_eq!(written("e", file("zero", 9, Fill::Zero), 7), [0; 9]);
    }
}
