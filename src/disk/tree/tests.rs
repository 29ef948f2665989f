//! Tiger trees against published and independently computed hashes, and against a plain computation.

use super::*;
use crate::wire::urn::{tiger_from_base32, tiger_to_base32};
use proptest::prelude::*;

/// The byte string i mod 251.
fn pattern(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn tree_of(bytes: &[u8], hasher: TreeHasher) -> HashTree {
    let mut hasher = hasher;
    hasher.update(bytes);
    hasher.finish()
}

fn served(bytes: &[u8]) -> HashTree {
    tree_of(bytes, TreeHasher::for_file(bytes.len() as u64))
}

fn root(text: &str) -> TigerRoot {
    tiger_from_base32(text).unwrap()
}

/// The five levels of the tree over `pattern(5120)`, computed by a program that shares nothing with this one.
const NODES_5120: [&str; 11] = [
    "6ADATZPOBWTCOLDIG2JRNE4S6VPEE3CFRGXFC2I",
    "RC4QKODFFV7ZJD5BLFC4LJOBJGUVM56QX3RVAMY",
    "7V7IKSDJ3P6QV2IQNZU5HVZNQAE7LZOZQWKLCPI",
    "GGBYIH5B3CLZHRIKZLCKVUM4XY2HM3IB75UWF2A",
    "TXHHM6H4KJQBUD3ND4TJUJOKYQGPE5LURZQ3YQI",
    "7V7IKSDJ3P6QV2IQNZU5HVZNQAE7LZOZQWKLCPI",
    "QPOOKITS2MUF3KGK7BS7SEUIUJ5PZ3CESIFDKDY",
    "XOFP6CUEGGSJQH4YAP2MICUQPPKQVK46XOX3YHI",
    "IQVNMRPDBVTKZ25ABDW6JCEMFB5RPRTFVG5YPKI",
    "MXIGNHHQIYWCBIFQZRNAU47KBNFCUMCOI5V4YGI",
    "7V7IKSDJ3P6QV2IQNZU5HVZNQAE7LZOZQWKLCPI",
];

#[test]
fn a_leaf_is_a_leaf() {
    assert_eq!(LEAF as u64, LEAF_BYTES);
}

#[test]
fn roots_are_those_published_and_computed_elsewhere() {
    for (bytes, wanted) in [
        (vec![], "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ"),
        (vec![0], "VK54ZIEEVTWNAUI5D5RDFIL37LX2IQNSTAXFKSA"),
        (vec![b'A'; 1024], "L66Q4YVNAFWVS23X2HJIRA5ZJ7WXR3F26RSASFA"),
        (vec![b'A'; 1025], "PZMRYHGY6LTBEH63ZWAHDORHSYTLO4LEFUIKHWY"),
        (pattern(1023), "VS326NRMMAYDAH2CEFPCOETM7FW5RJIBSR6K6UA"),
        (pattern(1024), "QPOOKITS2MUF3KGK7BS7SEUIUJ5PZ3CESIFDKDY"),
        (pattern(1025), "KABC77EGGA7QFIMLBOKU7ZSPE2LP3PUDJ5QVNTA"),
        (pattern(2048), "GGBYIH5B3CLZHRIKZLCKVUM4XY2HM3IB75UWF2A"),
        (pattern(2049), "O6BUWQ465PMTARFHOEGNMGDYGTCYBPLDMODI2WQ"),
        (pattern(3072), "VU6O7TC3BS2GI3DY34M5A4CVMJMM43TBFCXX5DI"),
        (pattern(5120), NODES_5120[0]),
        (pattern(65_536), "GJGDVJUOMAUXNRERFTOJ7SDKUQNO3IQ3AFA5T3A"),
        (pattern(262_145), "LKARE4PTZGZKNE5BJUYYUHG46BZVZYPEMIPITYQ"),
        (
            pattern(1_048_577),
            "BZST4GXAQFBUQTGES4JOGH5DOPXVGL7T73HMHMY",
        ),
    ] {
        let tree = served(&bytes);
        assert_eq!(
            tiger_to_base32(&tree.root()),
            wanted,
            "{} bytes",
            bytes.len()
        );
        assert_eq!(tree.size(), bytes.len() as u64);
    }
}

#[test]
fn a_serialized_tree_holds_each_level_with_the_lonely_node_on_all() {
    let nodes = NODES_5120.map(root);
    let bytes = pattern(5120);
    for (height, count) in [(3, 1), (2, 3), (1, 6), (0, 11)] {
        let tree = tree_of(&bytes, TreeHasher::at(height));
        assert_eq!(tree.to_thex().nodes, nodes[..count]);
        assert_eq!(
            HashTree::from_dime(&tree.to_dime(), 5120, &nodes[0]),
            Ok(tree)
        );
    }
}

#[test]
fn the_depth_served_is_that_of_gtk_gnutella() {
    let depths = [
        0,
        (256 << 10) - 1,
        256 << 10,
        512 << 10,
        1 << 20,
        (4 << 20) - 1,
        4 << 20,
        64 << 20,
        (256 << 20) - 1,
        256 << 20,
        1 << 30,
        u64::MAX,
    ]
    .map(served_depth);
    assert_eq!(depths, [0, 0, 1, 2, 3, 4, 5, 9, 9, 10, 11, 11]);
    for size in (18..41).flat_map(|power| [1 << power, (1 << power) + 1, (3 << power) / 2]) {
        let blocks = nodes_at(size, served_height(size));
        assert!(blocks <= 1 << served_depth(size), "{size}: {blocks} blocks");
        assert!(
            LEAF_BYTES << served_height(size) >= 128 << 10,
            "{size}: small blocks"
        );
    }
}

#[test]
fn a_tree_that_is_not_the_files_is_not_believed() {
    let bytes = pattern(5120);
    let tree = tree_of(&bytes, TreeHasher::at(0));
    let good = tree.to_thex();
    let root = tree.root();
    let read = |change: &dyn Fn(&mut Thex)| {
        let mut thex = good.clone();
        change(&mut thex);
        HashTree::from_thex(thex, 5120, &root)
    };
    assert_eq!(read(&|_| {}), Ok(tree.clone()));
    assert_eq!(read(&|thex| thex.size = 5119), Err(TreeError::OtherSize));
    assert_eq!(
        read(&|thex| thex.nodes[0][0] ^= 1),
        Err(TreeError::OtherRoot)
    );
    assert_eq!(read(&|thex| thex.nodes.clear()), Err(TreeError::OtherRoot));
    assert_eq!(
        read(&|thex| thex.nodes.truncate(10)),
        Err(TreeError::Incomplete)
    );
    for at in 1..good.nodes.len() {
        let bent = read(&|thex| thex.nodes[at][23] ^= 1);
        assert_eq!(bent, Err(TreeError::Contradiction), "node {at}");
    }
    let level = tree.level().to_vec();
    assert_eq!(
        HashTree::from_level(5120, &root, level.clone()),
        Ok(tree.clone())
    );
    assert_eq!(
        HashTree::from_level(5120, &root, level[1..].to_vec()),
        Err(TreeError::Incomplete)
    );
    let other = vec![[1; 24]; 5];
    assert_eq!(
        HashTree::from_level(5120, &root, other),
        Err(TreeError::OtherRoot)
    );
    assert_eq!(
        HashTree::from_dime(b"junk", 5120, &root),
        Err(TreeError::Wire(WireError::Truncated("DIME record")))
    );
}

#[test]
fn blocks_cover_the_file_and_an_empty_file_has_one() {
    let tree = served(&pattern(300_000));
    assert_eq!((tree.blocks(), tree.block_bytes()), (2, 262_144));
    assert_eq!(tree.range(0), 0..262_144);
    assert_eq!(tree.range(1), 262_144..300_000);
    assert!(tree.range(2).is_empty() && tree.range(usize::MAX).is_empty());
    assert_eq!((tree.block_at(262_143), tree.block_at(262_144)), (0, 1));
    assert!(!tree.verify_block(2, &tree.root()));
    let empty = served(&[]);
    assert_eq!((empty.blocks(), empty.range(0)), (1, 0..0));
    assert!(empty.verify_block(0, &BlockHasher::new().finish()));
}

/// All leaves, then level by level: the definition.
fn plain_level(bytes: &[u8], height: u32) -> Vec<TigerRoot> {
    let leaf = |leaf: &[u8]| new_leaf().chain_update(leaf).finalize().into();
    let mut level: Vec<TigerRoot> = bytes.chunks(LEAF).map(leaf).collect();
    if level.is_empty() {
        level.push(leaf(b""));
    }
    for _ in 0..height {
        level = parents(&level);
    }
    level
}

proptest! {
    #[test]
    fn bytes_in_any_chunking_make_the_tree_of_the_definition(
        len in 0usize..40_000,
        cuts in prop::collection::vec(1usize..5_000, 1..20),
        height in 0u32..8,
    ) {
        let bytes = pattern(len);
        let mut hasher = TreeHasher::at(height);
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            hasher.update(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let tree = hasher.finish();
        prop_assert_eq!(tree.level(), plain_level(&bytes, height));
        prop_assert_eq!(tree.root(), plain_level(&bytes, 63)[0]);
    }

    #[test]
    fn each_block_verifies_by_itself_and_no_other_in_its_place(
        len in 1usize..40_000,
        height in 0u32..6,
        bent in any::<prop::sample::Index>(),
    ) {
        let mut bytes = pattern(len);
        let tree = tree_of(&bytes, TreeHasher::at(height));
        let range = |block| {
            let range = tree.range(block);
            usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
        };
        let hash = |bytes: &[u8]| {
            let mut hasher = BlockHasher::new();
            bytes.chunks(700).for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        for block in 0..tree.blocks() {
            prop_assert!(tree.verify_block(block, &hash(&bytes[range(block)])));
        }
        let bent = bent.index(len);
        bytes[bent] ^= 1;
        let block = tree.block_at(bent as u64);
        prop_assert!(!tree.verify_block(block, &hash(&bytes[range(block)])));
    }

    #[test]
    fn nodes_computed_elsewhere_fit_in(pieces in 0usize..9, rest in 0usize..5_000, height in 2u32..6) {
        let bytes = pattern(pieces * 4096 + rest);
        let mut hasher = TreeHasher::at(height);
        for piece in bytes.chunks(4096) {
            if piece.len() == 4096 {
                let mut block = BlockHasher::new();
                block.update(piece);
                hasher.add_subtree(4096, block.finish());
            } else {
                hasher.update(piece);
            }
        }
        prop_assert_eq!(hasher.finish(), tree_of(&bytes, TreeHasher::at(height)));
    }

    #[test]
    fn a_level_read_back_is_the_same_tree(len in 0usize..40_000, height in 0u32..8) {
        let tree = tree_of(&pattern(len), TreeHasher::at(height));
        let size = tree.size();
        let read = HashTree::from_level(size, &tree.root(), tree.level().to_vec()).unwrap();
        prop_assert_eq!(read.level(), tree.level());
        prop_assert_eq!(read.root(), tree.root());
        for block in 0..tree.blocks() {
            prop_assert_eq!(read.range(block), tree.range(block));
        }
        prop_assert_eq!(HashTree::from_dime(&tree.to_dime(), size, &tree.root()), Ok(read));
    }
}

proptest! {
    #[test]
    fn leaves_in_a_row_have_the_hashes_that_each_has_alone(seed in any::<u64>()) {
        use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
        let mut row = [[0; LEAF]; leaves::LANES];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        row.iter_mut().for_each(|leaf| rng.fill(leaf));
        let alone: [TigerRoot; leaves::LANES] = row.map(|leaf| new_leaf().chain_update(leaf).finalize().into());
        prop_assert_eq!(leaves::hash(&row), alone);
    }
}
