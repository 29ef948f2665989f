//! Tiger trees: made while the bytes of a file pass, kept down to a level, and held against blocks that arrive.
//!
//! ```
//! use filbert::disk::tree::{BlockHasher, HashTree, TreeHasher};
//! # let file = vec![7u8; 300_000];
//! // Whoever has the file makes its tree, from bytes in pieces of any length:
//! let mut hasher = TreeHasher::for_file(file.len() as u64);
//! file.chunks(1000).for_each(|piece| hasher.update(piece));
//! let tree = hasher.finish();
//! // Whoever fetches it knows size and root, and is handed the tree by a stranger:
//! let body = tree.to_dime();
//! let told = HashTree::from_dime(&body, file.len() as u64, &tree.root())?;
//! // and then each block, by itself and in any order:
//! let at = told.block_at(299_999);
//! let mut block = BlockHasher::new();
//! # let as_usize = |range: std::ops::Range<u64>| range.start as usize..range.end as usize;
//! block.update(&file[as_usize(told.range(at))]);
//! assert!(told.verify_block(at, &block.finish()));
//! # Ok::<(), filbert::disk::tree::TreeError>(())
//! ```
//!
//! A leaf is the hash of a zero byte and up to 1024 bytes, a node that of a one byte and its two children; a node
//! without a neighbour moves up as it is. Source: "Tree Hash Exchange format". Rows of whole leaves are hashed by
//! `leaves`, all else by the crate `tiger`.

mod leaves;

use std::ops::Range;

use tiger::{Digest, Tiger};

use crate::wire::WireError;
use crate::wire::thex::{LEAF_BYTES, Thex, depth, nodes_at};
use crate::wire::urn::TigerRoot;

/// [`LEAF_BYTES`] as a length in memory; that they agree is tested.
const LEAF: usize = 1024;
/// Deepest level that is kept and served: 2048 blocks, 48 KiB of hashes. gtk-gnutella.
const DEPTH_MAX: u32 = 11;

/// Levels below the root that are kept and served of the tree over a file of `size` bytes: what gtk-gnutella
/// serves. A block is then 128 KiB to 512 KiB up to 1 GiB, and above that the 2048th part or a little more.
pub fn served_depth(size: u64) -> u32 {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const BELOW: [(u64, u32); 11] = [
        (256 * KIB, 0),
        (512 * KIB, 1),
        (MIB, 2),
        (2 * MIB, 3),
        (4 * MIB, 4),
        (8 * MIB, 5),
        (16 * MIB, 6),
        (32 * MIB, 7),
        (64 * MIB, 8),
        (256 * MIB, 9),
        (1024 * MIB, 10),
    ];
    let found = BELOW.iter().find(|(below, _)| size < *below);
    found.map_or(DEPTH_MAX, |(_, depth)| *depth)
}

/// Height above the leaves of the level that is kept: the lowest one with at most 2^[`served_depth`] nodes.
fn served_height(size: u64) -> u32 {
    depth(size).saturating_sub(served_depth(size))
}

/// Why a tree is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// It cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It is over a file of another size.
    #[error("the hash tree is over a file of another size")]
    OtherSize,
    /// Its root is another one than the file's.
    #[error("the hash tree has another root")]
    OtherRoot,
    /// Its nodes are no whole levels.
    #[error("the hash tree is not complete")]
    Incomplete,
    /// A node is not the hash of those below it.
    #[error("the hash tree contradicts itself")]
    Contradiction,
}

/// The part of a tree from its root down to a level, whose nodes each stand for one block of the file. Every node
/// was computed or verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashTree {
    size: u64,
    height: u32,
    root: TigerRoot,
    level: Vec<TigerRoot>,
}

impl HashTree {
    /// From a level that was kept: the nodes of [`level`](Self::level) of a tree over `size` bytes.
    ///
    /// # Errors
    /// `Incomplete` when a tree over so many bytes has no such level, `OtherRoot` when it does not lead to `root`.
    pub fn from_level(
        size: u64,
        root: &TigerRoot,
        level: Vec<TigerRoot>,
    ) -> Result<Self, TreeError> {
        let height = (0..=depth(size))
            .find(|&height| nodes_at(size, height) == level.len() as u64)
            .ok_or(TreeError::Incomplete)?;
        let tree = Self {
            size,
            height,
            root: root_of(level.clone()),
            level,
        };
        if tree.root == *root {
            Ok(tree)
        } else {
            Err(TreeError::OtherRoot)
        }
    }

    /// The tree over a file so small that its root is all that is served; `None` for others.
    pub fn of_one_block(size: u64, root: TigerRoot) -> Option<Self> {
        (served_depth(size) == 0).then(|| Self {
            size,
            height: served_height(size),
            root,
            level: vec![root],
        })
    }

    /// Reads and verifies what a stranger serves as the tree of the file with that size and root.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn from_dime(body: &[u8], size: u64, root: &TigerRoot) -> Result<Self, TreeError> {
        Self::from_thex(Thex::decode(body)?, size, root)
    }

    /// As [`from_dime`](Self::from_dime), from a tree that was read.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn from_thex(thex: Thex, size: u64, root: &TigerRoot) -> Result<Self, TreeError> {
        if thex.size != size {
            return Err(TreeError::OtherSize);
        }
        if thex.nodes.first() != Some(root) {
            return Err(TreeError::OtherRoot);
        }
        let below = thex.levels_below_root().ok_or(TreeError::Incomplete)?;
        let height = depth(size) - below;
        let mut nodes = thex.nodes;
        let lowest = usize::try_from(nodes_at(size, height)).map_err(|_| TreeError::Incomplete)?;
        let level = nodes.split_off(nodes.len() - lowest);
        let mut children = level.clone();
        while children.len() > 1 {
            let parents = parents(&children);
            if nodes.split_off(nodes.len() - parents.len()) != parents {
                return Err(TreeError::Contradiction);
            }
            children = parents;
        }
        Ok(Self {
            size,
            height,
            root: *root,
            level,
        })
    }

    /// The root: what names the content in a bitprint.
    pub fn root(&self) -> TigerRoot {
        self.root
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of each block but the last: 1024 times a power of two, perhaps above the file's size.
    pub fn block_bytes(&self) -> u64 {
        LEAF_BYTES << self.height
    }

    /// Number of blocks, at least one (an empty file has one empty block).
    pub fn blocks(&self) -> usize {
        self.level.len()
    }

    /// The block that holds the byte at `offset`; one of [`blocks`](Self::blocks) if the offset is in the file.
    pub fn block_at(&self, offset: u64) -> usize {
        usize::try_from(offset / self.block_bytes()).unwrap_or(usize::MAX)
    }

    /// The bytes of a block, from first to behind the last; empty for a block that is not there.
    pub fn range(&self, block: usize) -> Range<u64> {
        let from = (block as u64).saturating_mul(self.block_bytes());
        from.min(self.size)..from.saturating_add(self.block_bytes()).min(self.size)
    }

    /// Whether `hash` (of [`BlockHasher`]) is that of the right bytes of this block.
    pub fn verify_block(&self, block: usize, hash: &TigerRoot) -> bool {
        self.level.get(block) == Some(hash)
    }

    /// The hashes of the blocks: what to keep, for [`from_level`](Self::from_level).
    pub fn level(&self) -> &[TigerRoot] {
        &self.level
    }

    /// All nodes from the root down, in the order of THEX.
    pub fn to_thex(&self) -> Thex {
        let mut levels = vec![self.level.clone()];
        while let Some(children) = levels.last().filter(|level| level.len() > 1) {
            levels.push(parents(children));
        }
        levels.reverse();
        Thex {
            size: self.size,
            nodes: levels.concat(),
        }
    }

    /// The body that is served. Its inner id is made of the root.
    pub fn to_dime(&self) -> Vec<u8> {
        let id = self.root.first_chunk().expect("a root has 24 bytes");
        self.to_thex().encode(*id)
    }
}

/// Makes a tree from bytes in pieces of any length, in order. Holds the level to be kept and one node for each level
/// below it.
#[derive(Clone, Debug)]
pub struct TreeHasher {
    /// Height of the level that is kept.
    height: u32,
    /// A leaf that is not full yet, begun with its zero byte.
    leaf: Tiger,
    leaf_bytes: usize,
    size: u64,
    /// Nodes that wait for their neighbour, the highest first, each lower than the one before.
    waiting: Vec<(u32, TigerRoot)>,
    level: Vec<TigerRoot>,
}

impl TreeHasher {
    /// For a file of that size, down to the level that is served of it. Another number of bytes may come; then the
    /// tree is right, but has more or larger blocks.
    pub fn for_file(size: u64) -> Self {
        Self::at(served_height(size))
    }

    /// Down to the level whose nodes stand for 1024 * 2^`height` bytes.
    fn at(height: u32) -> Self {
        Self {
            height,
            leaf: new_leaf(),
            leaf_bytes: 0,
            size: 0,
            waiting: Vec::new(),
            level: Vec::new(),
        }
    }

    /// Bytes of each block but the last.
    pub fn block_bytes(&self) -> u64 {
        LEAF_BYTES << self.height
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if self.leaf_bytes > 0 {
            let missing = (LEAF - self.leaf_bytes).min(bytes.len());
            let (now, rest) = bytes.split_at(missing);
            self.leaf.update(now);
            self.leaf_bytes += missing;
            if self.leaf_bytes < LEAF {
                return;
            }
            let leaf = std::mem::replace(&mut self.leaf, new_leaf());
            self.leaf_bytes = 0;
            self.add(0, leaf.finalize().into());
            bytes = rest;
        }
        let (leaves, rest) = bytes.as_chunks::<LEAF>();
        // Without optimisation the rows are slower than the crate, which is built with it always.
        let (rows, leaves) = if cfg!(debug_assertions) {
            (&[][..], leaves)
        } else {
            leaves.as_chunks()
        };
        for row in rows {
            for leaf in leaves::hash(row) {
                self.add(0, leaf);
            }
        }
        for leaf in leaves {
            self.add(0, new_leaf().chain_update(leaf).finalize().into());
        }
        self.leaf.update(rest);
        self.leaf_bytes = rest.len();
    }

    /// Takes a node that was computed elsewhere, of the next `bytes` bytes: 1024 times a power of two, which the
    /// bytes so far are a multiple of, and not more than a block. So threads can share the work on one file.
    pub fn add_subtree(&mut self, bytes: u64, node: TigerRoot) {
        assert!(
            bytes >= LEAF_BYTES && bytes.is_power_of_two() && self.size.is_multiple_of(bytes),
            "a subtree begins where it belongs"
        );
        self.size += bytes;
        self.add((bytes / LEAF_BYTES).trailing_zeros(), node);
    }

    fn add(&mut self, mut height: u32, mut node: TigerRoot) {
        while height < self.height {
            match self.waiting.pop() {
                Some((other, left)) if other == height => node = parent(&left, &node),
                other => {
                    self.waiting.extend(other);
                    self.waiting.push((height, node));
                    return;
                }
            }
            height += 1;
        }
        self.level.push(node);
    }

    /// The tree over all bytes that came.
    pub fn finish(mut self) -> HashTree {
        if self.leaf_bytes > 0 || self.size == 0 {
            let leaf = self.leaf.clone();
            self.add(0, leaf.finalize().into());
        }
        // What waits has no right neighbour at its own height any more, and moves up to that of the next.
        let last = self.waiting.iter().rev().map(|(_, node)| *node);
        let last = last.reduce(|right, left| parent(&left, &right));
        self.level.extend(last);
        HashTree {
            size: self.size,
            height: self.height,
            root: root_of(self.level.clone()),
            level: self.level,
        }
    }
}

/// Hashes one block of a file, from bytes in pieces of any length, in order.
#[derive(Clone, Debug)]
pub struct BlockHasher(TreeHasher);

impl BlockHasher {
    /// No bytes so far.
    pub fn new() -> Self {
        // No block reaches this height, so all nodes end in one.
        Self(TreeHasher::at(u64::BITS))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of the block, for [`HashTree::verify_block`].
    pub fn finish(self) -> TigerRoot {
        self.0.finish().root
    }
}

impl Default for BlockHasher {
    fn default() -> Self {
        Self::new()
    }
}

fn new_leaf() -> Tiger {
    Tiger::new_with_prefix([0])
}

fn parent(left: &TigerRoot, right: &TigerRoot) -> TigerRoot {
    let node = Tiger::new_with_prefix([1])
        .chain_update(left)
        .chain_update(right);
    node.finalize().into()
}

/// The level above.
fn parents(children: &[TigerRoot]) -> Vec<TigerRoot> {
    let pair = |pair: &[TigerRoot]| match pair {
        [left, right] => parent(left, right),
        alone => alone[0],
    };
    children.chunks(2).map(pair).collect()
}

/// The root above a level of one node at least.
fn root_of(mut level: Vec<TigerRoot>) -> TigerRoot {
    while level.len() > 1 {
        level = parents(&level);
    }
    level[0]
}

#[cfg(test)]
mod tests;
