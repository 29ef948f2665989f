//! One process at a time for each home, and who it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

use super::{Home, NOTE_BYTES_MAX};
use crate::disk::save::at;

/// A home that this process holds alone, until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

/// Why a home cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another node runs there (exit code 8).
    #[error(
        "a node is already running in {home}: process {pid}, since {since}; stop it, or give this one a home of its own with --home DIR"
    )]
    Held {
        /// The folder.
        home: String,
        /// Who holds it, if that could be read; else "unknown".
        pid: String,
        /// Since when, for people: `2026-01-31 12:00:00 UTC`, or "unknown".
        since: String,
    },
    /// The disk says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Home {
    /// Takes the home for this process. Call [`create`](Self::create) first.
    ///
    /// # Errors
    /// [`LockError::Held`] names who runs there already.
    pub fn lock(&self) -> Result<HomeLock, LockError> {
        let path = self.state.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| at(&path, "cannot be opened", &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(self.held(&mut file)),
            Err(error) => return Err(at(&path, "cannot be locked", &error.into()).into()),
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let note = format!("{} {now}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(|error| at(&path, "cannot be written", &error))?;
        Ok(HomeLock { _file: file })
    }

    fn held(&self, file: &mut File) -> LockError {
        let mut note = String::new();
        let _ = file.take(NOTE_BYTES_MAX).read_to_string(&mut note);
        let mut parts = note.split_ascii_whitespace();
        let pid = parts
            .next()
            .filter(|pid| pid.parse::<u32>().is_ok())
            .unwrap_or("unknown")
            .to_owned();
        let since = parts
            .next()
            .and_then(|since| since.parse().ok())
            .map_or_else(|| "unknown".to_owned(), utc);
        LockError::Held {
            home: self.state.display().to_string(),
            pid,
            since,
        }
    }
}

/// Seconds since 1970 as `2026-01-31 12:00:00 UTC`.
fn utc(seconds: u64) -> String {
    let (days, rest) = (
        seconds / 86_400,
        Duration::from_secs(seconds % 86_400).as_secs(),
    );
    // Civil date from days, counting years from March: Howard Hinnant, "chrono-compatible low-level date
    // algorithms", civil_from_days.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_node_is_told_who_holds_the_home() {
        let (_dir, home) = crate::disk::store::tests::home();
        let lock = home.lock().unwrap();
        let error = home.lock().unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        assert!(text.contains("UTC") && text.contains("--home"), "{text}");
        drop(lock);
        home.lock().unwrap();
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_827_696), "2000-02-29 12:34:56 UTC");
        assert_eq!(utc(1_767_225_599), "2025-12-31 23:59:59 UTC");
    }
}
