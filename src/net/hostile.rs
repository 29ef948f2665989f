//! The addresses that a running node has nothing to do with: one list for its door and its core, read again when a file
//! of it changes.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::inbox::Inbox;
use super::overlays::Overlays;
use super::rt;
use crate::disk::hostile::HostileFiles;
use crate::node::Event;
use crate::node::hostile::Hostile;

/// From one look at the files to the next: one system call each. Our choice.
const LOOK: Duration = Duration::from_secs(2);

/// The list as it is now, for those who let in.
#[derive(Clone, Debug)]
pub(crate) struct Shunned(Arc<RwLock<Arc<Hostile>>>);

impl Shunned {
    pub(crate) fn new(list: Arc<Hostile>) -> Self {
        Self(Arc::new(RwLock::new(list)))
    }

    /// Is this address on it?
    pub(crate) fn lists(&self, ip: IpAddr) -> bool {
        self.now().lists(ip)
    }

    fn now(&self) -> Arc<Hostile> {
        // A pointer is whole, whoever panicked.
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, list: Arc<Hostile>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = list;
    }
}

/// Keeps the list of all overlays of strangers as it stands in these files. Ends with the node.
pub(crate) async fn keep(mut files: HostileFiles, overlays: Overlays) {
    loop {
        rt::sleep(LOOK).await;
        let looked = rt::spawn_blocking(move || {
            let news = files.look();
            (files, news)
        });
        let news;
        (files, news) = looked.await;
        let list = match news {
            None => continue,
            Some(Ok(list)) => Arc::new(list),
            Some(Err(why)) => {
                log::warn!("{why}; the list of before goes on to hold");
                continue;
            }
        };
        for overlay in overlays.all().filter(|one| one.net().is_two_tier()) {
            if *overlay.shunned.now() == *list {
                continue;
            }
            log::info!("hostile addresses were read again: {} ranges", list.len());
            // First the door, so that whoever loses its link does not come back through it.
            overlay.shunned.set(list.clone());
            let event = Event::Hostile(list.clone());
            if overlay.handle.send(Inbox::Event(event)).await.is_err() {
                return;
            }
        }
    }
}
