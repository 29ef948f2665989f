//! Whether a download is offered to others while it runs, and after it until the shared folder has it.
//!
//! The rule: the node listens, and the finished file will be shared, since it goes into a folder that the node shares
//! and has a name that is shared. All else that is fetched leaves the machine never.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::partials::{Offer, Partial};
use super::rt::{self, Clock};
use super::upload::Serving;
use crate::disk::tree::HashTree;
use crate::node::Time;
use crate::node::greet::Encryption;
use crate::node::library::Content;
use crate::wire::Sha1;
use crate::wire::alt::Open;

/// A finished download is offered so long at most while its folder is looked at and hashed. Our choice.
const SETTLES_WITHIN: Duration = Duration::from_secs(600);
/// How often it is looked whether the folder has it.
const LOOK: Duration = Duration::from_secs(1);

/// Where a download is offered.
#[derive(Clone, Debug)]
pub struct Sharing {
    serving: Arc<Serving>,
    listen: SocketAddr,
}

impl Sharing {
    /// On a server that listens there. Whoever calls this keeps the rule.
    pub(super) fn new(serving: Arc<Serving>, listen: SocketAddr) -> Self {
        Self { serving, listen }
    }

    /// Right bytes of a file came from there: those who ask us may be sent there too.
    pub(super) fn proved(&self, file: Sha1, from: Open) {
        self.serving.proved(file, from);
    }

    /// What a request for the file says of our TLS.
    pub(super) fn encryption(&self) -> Encryption {
        self.serving.encryption()
    }

    /// The port where it can be had, for `X-Node`.
    pub(super) fn port(&self) -> u16 {
        self.listen.port()
    }

    /// Begins to offer a file of which nothing is verified yet; `None`: it is not possible just now.
    pub(super) fn offer(
        &self,
        content: Content,
        name: String,
        file: File,
        tree: &HashTree,
    ) -> Option<Offer> {
        self.serving.partials().offer(Partial {
            content,
            size: tree.size(),
            name,
            file,
            tree: Some(tree.clone()),
        })
    }

    /// The file is complete and has its name: others go on with it until the folder is known to hold it.
    pub(super) fn complete(&self, offer: Offer) {
        offer.verified(0..u64::MAX);
        let files = self.serving.files.clone();
        let clock = Clock::start();
        // Detached: it ends by itself, and holds nothing but an open file.
        rt::spawn(async move {
            while clock.now().since(Time::ZERO) < SETTLES_WITHIN
                && files.library().by_sha1(&offer.sha1()).is_none()
            {
                rt::sleep(LOOK).await;
            }
        });
    }
}

/// Would a file of this name in this folder be shared, `shares` being the listed folders?
pub(super) fn is_shared(shares: &super::shares::Shelf, folder: &Path, name: &str) -> bool {
    // Without links, as the listed folders are known.
    folder
        .canonicalize()
        .is_ok_and(|folder| shares.would_share(&folder.join(name)))
}
