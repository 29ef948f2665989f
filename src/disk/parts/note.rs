//! The note beside a partial file: of which file it is.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::{NOTE_END, NOTE_NEW_END, Wanted};
use crate::disk::folder::Folder;

/// Format of notes whose bytes a journal tells.
const WITH_JOURNAL: u32 = 2;
/// Format of notes of partial files that grew from their start.
const FROM_THE_START: u32 = 1;
/// Bytes of a note that are read at all; ours are below 3 KiB.
const NOTE_BYTES_MAX: u64 = 64 * 1024;

/// What a note says.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Format of the note.
    v: u32,
    name: String,
    urn: Option<String>,
    size: Option<u64>,
    origin: Option<String>,
    /// Bytes from the start that were forced to disk, where there is no journal.
    synced: u64,
    /// Which run of the machine wrote it, where the system tells.
    boot: Option<String>,
}

/// What a note says of the bytes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Believed {
    /// They are of another file.
    Other,
    /// What the journal says; `same_boot`: all of it, not only what was forced to disk.
    Journal { same_boot: bool },
    /// So many from the start.
    Prefix(u64),
}

pub(super) fn note_name(wanted: &Wanted) -> String {
    format!("{}{NOTE_END}", wanted.name)
}

/// What may be believed of a partial file of `len` bytes.
pub(super) fn believed(folder: &Folder, wanted: &Wanted, len: u64) -> Believed {
    let Some(note) = read(folder, wanted) else {
        return Believed::Other;
    };
    let same_file = match wanted.urn {
        Some(urn) => note.urn == Some(urn.to_string()),
        None => note.urn.is_none() && note.origin == wanted.origin,
    };
    let same_size = match (note.size, wanted.size) {
        (Some(then), Some(now)) => then == now,
        (Some(size), None) | (None, Some(size)) => len <= size,
        (None, None) => true,
    };
    if !same_file || !same_size {
        return Believed::Other;
    }
    // The machine still runs since the note was written: what a process wrote is there, however it ended.
    let same_boot = note.boot.is_some() && note.boot == boot();
    match note.v {
        WITH_JOURNAL => Believed::Journal { same_boot },
        FROM_THE_START => {
            let size = wanted.size.or(note.size);
            let done = if same_boot { len } else { len.min(note.synced) };
            Believed::Prefix(if size.is_none_or(|size| done <= size) {
                done
            } else {
                0
            })
        }
        _ => Believed::Other,
    }
}

fn read(folder: &Folder, wanted: &Wanted) -> Option<Note> {
    let mut text = Vec::new();
    let file = folder.open_read(&note_name(wanted)).ok()?;
    file.take(NOTE_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Replaces the note in one step; a note is never seen half written.
pub(super) fn write(folder: &Folder, wanted: &Wanted) -> io::Result<()> {
    let note = Note {
        v: WITH_JOURNAL,
        name: wanted.name.clone(),
        urn: wanted.urn.map(|urn| urn.to_string()),
        size: wanted.size,
        origin: wanted.origin.clone(),
        synced: 0,
        boot: boot(),
    };
    let text = serde_json::to_vec(&note).expect("a note is plain data");
    let (new, name) = (format!("{}{NOTE_NEW_END}", wanted.name), note_name(wanted));
    folder.remove(&new)?;
    let mut file = folder.create(&new)?;
    file.write_all(&text)?;
    file.sync_data()?;
    folder.rename_over(&new, &name)
}

/// Which run of the machine this is, where the system tells.
pub(super) fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}
