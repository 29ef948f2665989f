//! When each web cache was asked and how often it failed, so that a restart asks none too soon.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::save;
use crate::node::web_caches::WebCache;

/// Bytes of the file that are read at all: more than [`ENTRIES_MAX`](super::lists::ENTRIES_MAX) long addresses take.
const BYTES_MAX: u64 = 128 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    v: u32,
    caches: Vec<Cache>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Cache {
    url: String,
    /// Seconds since 1970.
    asked: Option<u64>,
    failures: u8,
}

/// What is remembered; nothing when the file is missing or damaged.
pub fn load(path: &Path) -> Vec<WebCache> {
    let read = save::load(path, BYTES_MAX).and_then(|bytes| match bytes {
        Some(bytes) => Ok(serde_json::from_slice::<Kept>(&bytes)?.caches),
        None => Ok(Vec::new()),
    });
    let caches = read.unwrap_or_else(|error| {
        log::warn!("{}: {error}; starting without it", path.display());
        Vec::new()
    });
    let known = |cache: Cache| WebCache {
        url: cache.url,
        asked_s: cache.asked,
        failures: cache.failures,
    };
    caches.into_iter().map(known).collect()
}

/// Remembers.
///
/// # Errors
/// What the system says, with the path.
pub fn save(path: &Path, caches: &[WebCache]) -> io::Result<()> {
    let caches = caches.iter().map(|cache| Cache {
        url: cache.url.clone(),
        asked: cache.asked_s,
        failures: cache.failures,
    });
    let kept = Kept {
        v: 1,
        caches: caches.collect(),
    };
    save::save(path, &serde_json::to_vec(&kept)?)
}

/// Forgets failures of these: their owner wants them asked again.
///
/// # Errors
/// As [`save()`].
pub fn forgive(path: &Path, urls: &[String]) -> io::Result<()> {
    let mut caches = load(path);
    let mut changed = false;
    for cache in &mut caches {
        if urls.contains(&cache.url) && cache.failures > 0 {
            cache.failures = 0;
            changed = true;
        }
    }
    if changed { save(path, &caches) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_damage_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-caches.json");
        assert!(load(&path).is_empty());
        let caches = [WebCache {
            url: "http://a/".into(),
            asked_s: Some(7),
            failures: 3,
        }];
        save(&path, &caches).unwrap();
        assert_eq!(load(&path), caches);
        forgive(&path, &["http://a/".into()]).unwrap();
        assert_eq!(
            (load(&path)[0].failures, load(&path)[0].asked_s),
            (0, Some(7))
        );
        std::fs::write(&path, b"{").unwrap();
        assert!(load(&path).is_empty());
    }
}
