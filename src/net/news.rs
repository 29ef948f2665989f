//! News of a running node, for whoever watches it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

pub use crate::control::News;

/// News that wait for their reader; more are dropped, since no reader may hold up the node.
const NEWS_MAX: usize = 1024;

/// Where news are published. Without a reader, publishing costs a look at an `Option`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Newsroom {
    reader: Option<SyncSender<News>>,
}

impl Newsroom {
    /// A newsroom with a reader.
    pub(crate) fn with_reader() -> (Self, Receiver<News>) {
        let (reader, news) = sync_channel(NEWS_MAX);
        (
            Self {
                reader: Some(reader),
            },
            news,
        )
    }

    /// Publishes; `news` is not called when nobody reads.
    pub(crate) fn publish(&self, news: impl FnOnce() -> News) {
        if let Some(reader) = &self.reader {
            // Full: the reader is behind and misses this one. Closed: it has gone.
            let _ = reader.try_send(news());
        }
    }
}
