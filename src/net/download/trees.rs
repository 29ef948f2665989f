//! What is known of the tree of a file, and how far it is believed.
//!
//! The root decides. One that came with the order is right, and so is one that two sources of different places name
//! while nobody names another. Any other tree is a hint: blocks that are what it says count as verified, and of the
//! others it tells which may be wrong once the hash of the whole says that some are.

use std::sync::Arc;

use crate::disk::tree::HashTree;
use crate::node::swarm::{RequestId, SourceId};
use crate::wire::urn::{TigerRoot, tiger_from_base32};

/// Times a tree is asked for, over all sources: after that the file goes without. Our choice.
const TRIES_MAX: u32 = 6;
/// Places whose word on the root is kept. Our choice.
const VOTES_MAX: usize = 32;
/// Roots that turned out to be of another file; after so many no tree is asked for. Our choice.
const REFUSED_MAX: usize = 4;

/// A tree to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Path on the host of the source.
    pub(super) uri: String,
    pub(super) root: TigerRoot,
    /// Bytes of the file.
    pub(super) size: u64,
}

/// How far the tree is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// None is there.
    None,
    /// A block that is what it says is right; of any other block nothing follows before the whole is wrong.
    Hint,
    /// What it says of a block is so.
    Sure,
}

/// All that is known of the tree.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// Said with the order.
    given: Option<TigerRoot>,
    /// Places, and the root each names.
    votes: Vec<(String, TigerRoot)>,
    asked: Option<RequestId>,
    tries: u32,
    /// Sources that were asked and gave none.
    failed: Vec<SourceId>,
    asked_source: Option<SourceId>,
    tree: Option<Arc<HashTree>>,
    used: bool,
    /// Whoever gave what it does not say is dropped.
    convicts: bool,
    refused: Vec<TigerRoot>,
}

impl Trees {
    pub(super) fn new(given: Option<TigerRoot>) -> Self {
        Self {
            given,
            ..Self::default()
        }
    }

    /// A place names a root, in whatever way.
    pub(super) fn vote(&mut self, place: &str, root: TigerRoot) {
        let known = self.votes.iter().any(|(known, _)| known == place);
        if !known && self.votes.len() < VOTES_MAX {
            self.votes.push((place.to_owned(), root));
        }
    }

    /// A source names a root; returns the tree to ask it for. `running`: is that request still under way?
    #[expect(clippy::too_many_arguments, reason = "one answer, taken apart")]
    pub(super) fn heard(
        &mut self,
        request: RequestId,
        source: SourceId,
        place: &str,
        uri: &str,
        root: &str,
        size: u64,
        running: impl Fn(RequestId) -> bool,
    ) -> Option<Wish> {
        let root = tiger_from_base32(root).ok()?;
        self.vote(place, root);
        let asks = self.asked.is_some_and(running);
        let no = self.tree.is_some()
            || asks
            || self.tries >= TRIES_MAX
            || self.refused.len() >= REFUSED_MAX
            || self.refused.contains(&root)
            || self.failed.contains(&source)
            || self.given.is_some_and(|given| given != root);
        if no {
            return None;
        }
        self.tries += 1;
        (self.asked, self.asked_source) = (Some(request), Some(source));
        let uri = uri.to_owned();
        Some(Wish { uri, root, size })
    }

    /// The tree that was asked for is there, verified against its root.
    pub(super) fn came(&mut self, request: RequestId, tree: Arc<HashTree>) {
        if self.asked == Some(request) {
            self.asked = None;
            self.tree = Some(tree);
        }
    }

    /// There is none.
    pub(super) fn failed(&mut self, request: RequestId) {
        if self.asked == Some(request) {
            self.asked = None;
            self.failed.extend(self.asked_source.take());
        }
    }

    pub(super) fn trust(&self) -> Trust {
        let Some(tree) = &self.tree else {
            return Trust::None;
        };
        let root = tree.root();
        let agreed = self.votes.len() > 1 && self.votes.iter().all(|(_, named)| *named == root);
        if self.given == Some(root) || agreed {
            Trust::Sure
        } else {
            Trust::Hint
        }
    }

    /// The tree that blocks are held against.
    pub(super) fn in_use(&self) -> Option<Arc<HashTree>> {
        self.tree.clone().filter(|_| self.used)
    }

    /// Blocks are to be held against the tree from now on; `None`: there is none, or they are already.
    pub(super) fn begin_use(&mut self) -> Option<Arc<HashTree>> {
        if std::mem::replace(&mut self.used, self.tree.is_some()) {
            return None;
        }
        self.tree.clone()
    }

    /// From now on a block that is not what the tree says convicts; `false`: it does already, or there is no tree.
    pub(super) fn begin_convicting(&mut self) -> bool {
        self.used && !std::mem::replace(&mut self.convicts, true)
    }

    pub(super) fn convicts(&self) -> bool {
        self.convicts
    }

    /// The tree in use is of another file. Was there one?
    pub(super) fn refuse(&mut self) -> bool {
        if !std::mem::take(&mut self.used) {
            return false;
        }
        self.convicts = false;
        let Some(tree) = self.tree.take() else {
            return false;
        };
        self.refused.push(tree.root());
        self.votes.retain(|(_, root)| *root != tree.root());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tree::TreeHasher;
    use crate::node::Time;
    use crate::node::swarm::{Ranges, Step, Swarm};
    use crate::wire::urn::tiger_to_base32;

    fn tree(fill: u8) -> Arc<HashTree> {
        let mut hasher = TreeHasher::for_file(600_000);
        hasher.update(&vec![fill; 600_000]);
        Arc::new(hasher.finish())
    }

    fn request() -> RequestId {
        let mut swarm = Swarm::new(1, Some(1), Ranges::new(), Ranges::new());
        swarm.add_source("a");
        match swarm.next(Time::ZERO) {
            Step::Ask(ask) => ask.request,
            step => panic!("{step:?}"),
        }
    }

    fn hear(trees: &mut Trees, source: usize, place: &str, tree: &HashTree) -> bool {
        let root = tiger_to_base32(&tree.root());
        let wish = trees.heard(
            request(),
            SourceId(source),
            place,
            "/x",
            &root,
            tree.size(),
            |_| true,
        );
        wish.is_some()
    }

    #[test]
    fn two_places_that_agree_make_a_tree_sure_and_one_that_differs_a_hint() {
        let (right, other) = (tree(1), tree(2));
        let mut trees = Trees::new(None);
        assert!(hear(&mut trees, 0, "a", &right));
        assert!(!hear(&mut trees, 1, "a", &right), "it is asked for");
        trees.came(request(), right.clone());
        assert_eq!(trees.trust(), Trust::Hint, "one place, two sources");
        assert!(!hear(&mut trees, 2, "b", &right));
        assert_eq!(trees.trust(), Trust::Sure);
        hear(&mut trees, 3, "c", &other);
        assert_eq!(trees.trust(), Trust::Hint);
    }

    #[test]
    fn a_root_that_came_with_the_order_is_the_only_one() {
        let (right, other) = (tree(1), tree(2));
        let mut trees = Trees::new(Some(right.root()));
        assert!(!hear(&mut trees, 0, "a", &other));
        assert!(hear(&mut trees, 1, "b", &right));
        trees.came(request(), right.clone());
        assert_eq!(trees.trust(), Trust::Sure);
    }

    #[test]
    fn a_refused_root_is_not_asked_for_again_and_tries_end() {
        let mut trees = Trees::new(None);
        assert!(hear(&mut trees, 0, "a", &tree(1)));
        trees.came(request(), tree(1));
        assert!(!trees.refuse(), "it was not used");
        assert!(!trees.begin_convicting(), "nor may it be");
        assert!(trees.begin_use().is_some() && trees.begin_use().is_none());
        assert!(trees.begin_convicting() && trees.convicts());
        assert!(trees.refuse() && trees.in_use().is_none());
        assert!(!hear(&mut trees, 1, "b", &tree(1)));
        let mut tries = 1;
        for source in 2..20 {
            if hear(&mut trees, source, &format!("p{source}"), &tree(2)) {
                tries += 1;
                trees.failed(request());
            }
        }
        assert_eq!(tries, TRIES_MAX);
    }
}
