//! News of changes in listed folders, by file-system events (feature `watch`).
//!
//! Only a hint that a scan is due: what changed is found by the scan, and a periodic sweep finds what no
//! event told. Changes of what is never shared (partial downloads, hidden files) are no news.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread;

use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::rules::{self, Kind};

/// Watches over folders on a thread of its own, since to begin may take long. Ends when dropped.
#[derive(Debug)]
pub struct Watch {
    orders: Sender<PathBuf>,
}

impl Watch {
    /// Starts. `told` is called with the position of the folder in `folders` that has news. `own`: folders
    /// whose changes are no news. Nothing is watched before [`begin`](Self::begin).
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        folders: Vec<PathBuf>,
        own: Vec<PathBuf>,
        told: impl Fn(usize) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<PathBuf>();
        let tell = move |event: notify::Result<Event>| match event {
            Ok(event) if event.need_rescan() => (0..folders.len()).for_each(&told),
            Ok(event) if event.kind.is_access() => {}
            Ok(event) => event
                .paths
                .iter()
                .filter_map(|path| concerned(&folders, &own, path))
                .for_each(&told),
            Err(error) => log::debug!("file-system events: {error}"),
        };
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let config = Config::default().with_follow_symlinks(false);
                let mut watcher = match RecommendedWatcher::new(tell, config) {
                    Ok(watcher) => watcher,
                    Err(error) => {
                        return log::warn!("{}", fewer(Path::new("shared folders"), &error));
                    }
                };
                for folder in inbox {
                    // It may be watched already, in its former life.
                    let _ = watcher.unwatch(&folder);
                    if let Err(error) = watcher.watch(&folder, RecursiveMode::Recursive) {
                        log::warn!("{}", fewer(&folder, &error));
                    }
                }
            })?;
        Ok(Self { orders })
    }

    /// Begins to watch a folder, or begins again after it was gone.
    pub fn begin(&self, folder: PathBuf) {
        // An error means that there are no events at all, which was said.
        let _ = self.orders.send(folder);
    }
}

fn fewer(folder: &Path, error: &notify::Error) -> String {
    format!(
        "not all changes in {} are noticed at once ({error}); the sweep finds them later",
        folder.display()
    )
}

/// The listed folder, the innermost, that a change concerns, if what changed can be shared at all.
fn concerned(folders: &[PathBuf], own: &[PathBuf], path: &Path) -> Option<usize> {
    if own.iter().any(|own| path.starts_with(own)) {
        return None;
    }
    let below = |folder: &PathBuf| path.strip_prefix(folder).ok();
    let (at, folder) = folders
        .iter()
        .enumerate()
        .filter(|(_, folder)| below(folder).is_some())
        .max_by_key(|(_, folder)| folder.components().count())?;
    let rest = below(folder)?;
    // Whether the last part names a file or a folder is not known: as a folder it is judged more mildly.
    let shared = rest.components().all(|part| {
        part.as_os_str().to_str().is_some_and(|name| {
            rules::judge(name, Kind::File).is_ok() || rules::judge(name, Kind::Folder).is_ok()
        })
    });
    shared.then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_shared_is_news() {
        let folders = [
            PathBuf::from("/s"),
            PathBuf::from("/s/in"),
            PathBuf::from("/t"),
        ];
        let own = [PathBuf::from("/s/node")];
        let news = |path: &str| concerned(&folders, &own, Path::new(path));
        assert_eq!(news("/s/a.txt"), Some(0));
        assert_eq!(news("/s/in/b/c.txt"), Some(1));
        assert_eq!(news("/t"), Some(2));
        for path in [
            "/s/node/hashes.redb",
            "/s/.git/index",
            "/s/a.filbert-part",
            "/u/a",
            "/s/b/.x.swp",
        ] {
            assert_eq!(news(path), None, "{path}");
        }
    }
}
