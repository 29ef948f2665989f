//! Whether the bytes are right: block by block once a tree is known, and the whole at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Run, TELL};
use crate::disk::names::safe_name;
use crate::disk::tree::HashTree;
use crate::net::download::trees::{Trust, Wish};
use crate::net::download::writer::Work;
use crate::net::download::{FetchError, Progress};
use crate::net::rt;
use crate::node::library::Content;
use crate::node::swarm::{RequestId, SourceId, Verdict};
use crate::wire::Sha1;

impl Run<'_> {
    /// What an answer says of the file's tree; returns what to ask its source for when the answer is over.
    pub(super) fn hear_of_tree(
        &mut self,
        request: RequestId,
        source: SourceId,
        said: Option<&(String, Option<String>)>,
    ) -> Option<Wish> {
        if !self.job.trees {
            return None;
        }
        let size = self.swarm.size()?;
        let (uri, root) = said?;
        // Then the hash of the whole says it as soon, and the connection is free for the next file.
        if self.swarm.would_complete(request) {
            return None;
        }
        let host = self.entries[source.0].source.group();
        let running = |asked| self.tasks.iter().any(|task| task.request == asked);
        let wish = self
            .trees
            .heard(request, source, &host, uri, root.as_deref()?, size, running);
        self.use_tree();
        wish
    }

    /// A tree came, or did not.
    pub(super) fn tree_came(&mut self, request: RequestId, tree: Result<HashTree, String>) {
        let source = self.swarm.source_of(request);
        let source = source.map(|source| self.entries[source.0].source.to_string());
        match tree {
            Ok(tree) => {
                self.trees.came(request, Arc::new(tree));
                self.use_tree();
            }
            Err(why) => {
                self.trees.failed(request);
                if let Some(source) = source {
                    (self.progress)(Progress::NoTree { source, why });
                }
            }
        }
    }

    /// From now on each block is checked as soon as it is there. What follows from a wrong one depends on the trust.
    fn use_tree(&mut self) {
        let sure = self.trees.trust() == Trust::Sure;
        let begins = self.trees.begin_use();
        if let Some(tree) = &begins {
            self.swarm.set_blocks(tree.block_bytes());
        }
        if let Some(tree) = &begins {
            self.begin_offer(tree);
        }
        if sure && self.convict() || begins.is_some() {
            let block = self.swarm.block().unwrap_or_default();
            (self.progress)(Progress::Tree { block, sure });
        }
    }

    /// Offers what is verified to others, if this download is to be offered.
    fn begin_offer(&mut self, tree: &HashTree) {
        let (Some(sharing), Some(urn), Some(reader)) =
            (&self.job.sharing, self.job.urn, &self.reader)
        else {
            return;
        };
        let content = Content {
            sha1: urn,
            tiger: Some(tree.root()),
        };
        // Without a descriptor it goes on unoffered.
        let Ok(file) = reader.try_clone() else { return };
        self.offer = sharing.offer(content, safe_name(&self.job.name), file, tree);
        if let Some(offer) = &self.offer {
            for range in self.swarm.verified().iter() {
                offer.verified(range.clone());
            }
        }
    }

    /// From now on whoever gave what the tree does not say is dropped, for earlier blocks too. `false`: it is so
    /// already, or there is no tree.
    fn convict(&mut self) -> bool {
        if !self.trees.begin_convicting() {
            return false;
        }
        let Some(block) = self.swarm.block() else {
            return false;
        };
        // Those that were not verified are checked again.
        self.swarm.set_blocks(block);
        true
    }

    /// Has blocks checked that are complete, as many at a time as there are processors to do it.
    pub(super) async fn check_blocks(&mut self) {
        let Some(tree) = self.trees.in_use() else {
            return;
        };
        if self.swarm.size() != Some(tree.size()) {
            self.drop_tree().await;
            return;
        }
        while self.checks < self.checks_max {
            let Some(range) = self.swarm.next_check() else {
                return;
            };
            self.checks += 1;
            let work = Work::Check {
                block: tree.block_at(range.start),
                range,
                tree: tree.clone(),
                events: self.events.clone(),
            };
            self.tell_writer(work).await;
        }
    }

    /// A block was checked; `None`: it could not be read.
    pub(super) async fn checked(
        &mut self,
        range: std::ops::Range<u64>,
        tree: &Arc<HashTree>,
        good: Option<bool>,
    ) {
        self.checks -= 1;
        // A verdict of a tree that is not believed any more is none.
        if !self
            .trees
            .in_use()
            .is_some_and(|used| Arc::ptr_eq(&used, tree))
        {
            return;
        }
        let good = good.filter(|good| *good || self.trees.convicts());
        let Some(good) = good else {
            return self.swarm.unchecked(&range);
        };
        let bad = self.swarm.checked(&range, good);
        if good {
            if let Some(offer) = &self.offer {
                offer.verified(range.clone());
            }
            for giver in self.swarm.givers(&range) {
                self.proved(giver);
            }
            return self.tell_writer(Work::Verified(range)).await;
        }
        for request in bad.drop {
            self.tasks.retain(|task| task.request != request);
            self.swarm.dropped(request);
        }
        for liar in bad.liars {
            let why = format!("its bytes {}-{} are wrong", range.start, range.end - 1);
            self.blame(liar, why);
        }
        self.tell_writer(Work::Forget(std::iter::once(range).collect()))
            .await;
    }

    fn blame(&mut self, liar: SourceId, why: String) {
        let entry = &mut self.entries[liar.0];
        entry.conn = None;
        entry.said = Some(why.clone());
        (self.progress)(Progress::Failed {
            source: entry.source.to_string(),
            why,
        });
    }

    /// The tree is not that of the wanted file: what it said is taken back. Was there one, and was anybody dropped
    /// for its sake?
    pub(super) async fn drop_tree(&mut self) -> bool {
        if !self.trees.refuse() {
            return false;
        }
        self.offer = None;
        let verified = self.swarm.verified().clone();
        self.tell_writer(Work::Doubt(verified)).await;
        let acquitted = self.swarm.drop_tree();
        for source in &acquitted {
            self.entries[source.0].said = None;
        }
        !acquitted.is_empty()
    }

    /// The hash of all that is there; `None`: the disk failed.
    pub(super) async fn hash(&mut self, hashed: &AtomicU64) -> Result<Option<Sha1>, FetchError> {
        let (answer, hash) = rt::bounded(1);
        self.tell_writer(Work::Hash(answer)).await;
        let of = self.swarm.done();
        loop {
            let told = rt::timeout(TELL, hash.recv());
            if let Ok(hash) = self.unless_stopped(told).await? {
                return Ok(hash.ok());
            }
            (self.progress)(Progress::Checking {
                read: hashed.load(Ordering::Relaxed),
                of,
            });
        }
    }

    /// Is it what was wanted? Else whoever may have lied is dropped, and it goes on.
    pub(super) async fn judge(&mut self, sha1: Sha1) -> Option<Sha1> {
        let good = self.job.urn.is_none_or(|urn| urn == sha1);
        if good {
            for giver in self.swarm.givers(&(0..self.swarm.done())) {
                self.proved(giver);
            }
            let liars: Vec<_> = self.swarm.liars().collect();
            for liar in liars {
                let source = &self.entries[liar.0].source;
                (self.progress)(Progress::Lied {
                    source: source.to_string(),
                    node: source.node(),
                });
            }
        } else if self.convict() {
            // One place says what the blocks should be. If that is so it tells which of them are wrong.
            return None;
        } else {
            self.drop_tree().await;
        }
        match self.swarm.whole(good) {
            // A failure is said by the name that the file does not get.
            Verdict::Good | Verdict::Failed => Some(sha1),
            Verdict::Again { forget, liars } => {
                for liar in liars {
                    self.blame(liar, "its content is not what was asked for".to_owned());
                }
                self.tell_writer(Work::Forget(forget)).await;
                None
            }
        }
    }
}
