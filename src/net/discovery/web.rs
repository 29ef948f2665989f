//! Asks web caches, one at a time, and keeps what becomes of each for the next start. Decides nothing.

use std::path::PathBuf;

use super::http::{self, HttpError, Url, WEB_CACHE};
use crate::disk::web_caches::{load, save};
use crate::net::rt::{self, Receiver};
use crate::node::address::Net;
use crate::node::web_caches::{WebCaches, hosts, question};
use crate::wire::VENDOR;

/// Web caches, and where what is known of them is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebCacheSettings {
    /// Their `http://` addresses.
    pub urls: Vec<String>,
    /// The file that remembers when each was asked; `None`: forgotten at the end.
    pub kept: Option<PathBuf>,
}

/// What came of one.
#[derive(Debug)]
pub(crate) struct Told {
    /// Addresses, with whoever told of them.
    pub(crate) hosts: Option<(std::net::SocketAddr, Vec<std::net::SocketAddr>)>,
}

/// The caches, and the one that is being asked.
#[derive(Debug)]
pub(crate) struct Web {
    caches: WebCaches,
    kept: Option<PathBuf>,
    net: Net,
    running: Option<(String, Receiver<Result<http::Answer, HttpError>>)>,
}

impl Web {
    /// Reads what is remembered.
    pub(crate) async fn new(settings: WebCacheSettings, net: Net) -> Self {
        let kept = settings.kept.clone();
        let remembered = rt::spawn_blocking(move || kept.as_deref().map(load)).await;
        Self {
            caches: WebCaches::new(settings.urls, &remembered.unwrap_or_default()),
            kept: settings.kept,
            net,
            running: None,
        }
    }

    /// Those that are still asked.
    pub(crate) fn len(&self) -> usize {
        self.caches.len()
    }

    /// Begins to ask one; `false`: none may be asked now.
    pub(crate) async fn ask(&mut self) -> bool {
        let Some(cache) = self.caches.next(rt::unix_s()) else {
            return false;
        };
        // Before it is asked: a crash must not make us ask again.
        self.keep().await;
        let asked = question(&cache, VENDOR, env!("CARGO_PKG_VERSION"));
        let (net, (answer, answered)) = (self.net, rt::bounded(1));
        // Detached: it ends by its own deadline.
        rt::spawn(async move {
            let got = match asked.parse::<Url>() {
                Ok(url) => http::get(&url, WEB_CACHE, |addr| net.admits(addr.ip())).await,
                Err(text) => Err(std::io::Error::other(text).into()),
            };
            let _ = answer.send(got).await;
        });
        self.running = Some((cache, answered));
        true
    }

    /// What came of the one that was asked, once.
    pub(crate) async fn poll(&mut self) -> Option<Told> {
        let answer = self.running.as_ref()?.1.try_recv().ok()?;
        let (cache, _) = self.running.take()?;
        let (told, why) = match answer {
            Ok(answer) => {
                let hosts = hosts(&answer.body);
                let why = if hosts.is_empty() {
                    "it tells of nobody".to_owned()
                } else {
                    String::new()
                };
                (Some((answer.by, hosts)), why)
            }
            Err(error) => (None, error.to_string()),
        };
        let told = told.filter(|(_, hosts)| !hosts.is_empty());
        if told.is_none() {
            log::warn!("web cache {cache}: {why}");
        }
        if self.caches.done(&cache, told.is_some()) {
            log::warn!(
                "web cache {cache} is of no use and not asked any more; give it again with --web-cache when it works"
            );
        }
        self.keep().await;
        Some(Told { hosts: told })
    }

    async fn keep(&self) {
        let Some(path) = self.kept.clone() else {
            return;
        };
        let all = self.caches.all().to_vec();
        let saved = rt::spawn_blocking(move || save(&path, &all)).await;
        if let Err(error) = saved {
            log::warn!("when web caches were asked is not remembered: {error}");
        }
    }
}
