//! Tiger over many leaves at once. The rounds of one hash wait for each other, those of different leaves do not: with
//! three in flight a core hashes about twice the bytes of one after the other (`scripts/bench hash`; two gain less, and
//! four need more registers than there are).
//!
//! Source: Anderson and Biham, "Tiger: A Fast New Hash Function" (1996), and the generator of its S-boxes, which is
//! run here instead of a copy of the 8 KiB that it makes. That the hashes are those of the crate `tiger`, which does all
//! that is not a row of whole leaves, is a test.

#![expect(
    clippy::inline_always,
    reason = "rounds that are called, not laid one into the other, take all of the gain away"
)]

use std::sync::LazyLock;

use super::LEAF;
use crate::wire::urn::TigerRoot;

/// Leaves hashed at once.
pub(super) const LANES: usize = 3;

/// A value of each of `N` hashes.
type Row<const N: usize> = [u64; N];
/// The four S-boxes.
type Boxes = [[u64; 256]; 4];

const BLOCK: usize = 64;
const START: [u64; 3] = [
    0x0123_4567_89AB_CDEF,
    0xFEDC_BA98_7654_3210,
    0xF096_A5B4_C3B2_E187,
];

static BOXES: LazyLock<Box<Boxes>> = LazyLock::new(generate);

/// The hashes of [`LANES`] leaves that lie one behind the other.
pub(super) fn hash(leaves: &[[u8; LEAF]; LANES]) -> [TigerRoot; LANES] {
    // What is hashed of a leaf is a zero byte, the leaf, a one byte for its end and its length in bits.
    const LENGTH_BITS: u64 = (1 + LEAF as u64) * 8;
    let boxes = &**BOXES;
    let mut state = START.map(|word| [word; LANES]);
    let mut block = [[0; LANES]; 8];
    for at in 0..=LEAF / BLOCK {
        for (lane, leaf) in leaves.iter().enumerate() {
            let mut bytes = [0; BLOCK];
            if at == 0 {
                bytes[1..].copy_from_slice(&leaf[..BLOCK - 1]);
            } else if at < LEAF / BLOCK {
                bytes.copy_from_slice(&leaf[at * BLOCK - 1..][..BLOCK]);
            } else {
                bytes[0] = leaf[LEAF - 1];
                bytes[1] = 1;
                bytes[BLOCK - 8..].copy_from_slice(&LENGTH_BITS.to_le_bytes());
            }
            for (word, bytes) in block.iter_mut().zip(bytes.as_chunks().0) {
                word[lane] = u64::from_le_bytes(*bytes);
            }
        }
        compress(boxes, &mut state, &mut block);
    }
    let mut roots = [TigerRoot::default(); LANES];
    for (lane, root) in roots.iter_mut().enumerate() {
        for (bytes, word) in root.as_chunks_mut().0.iter_mut().zip(&state) {
            *bytes = word[lane].to_le_bytes();
        }
    }
    roots
}

/// The number of the entry that byte `byte` of `word` chooses.
#[inline(always)]
fn byte(word: u64, byte: usize) -> usize {
    usize::from(word.to_le_bytes()[byte])
}

#[inline(always)]
fn round<const N: usize>(
    boxes: &Boxes,
    (a, b, c): (&mut Row<N>, &mut Row<N>, &mut Row<N>),
    word: &Row<N>,
    factor: u64,
) {
    for lane in 0..N {
        c[lane] ^= word[lane];
        let of = |number| byte(c[lane], number);
        let even = boxes[0][of(0)] ^ boxes[1][of(2)] ^ boxes[2][of(4)] ^ boxes[3][of(6)];
        let odd = boxes[3][of(1)] ^ boxes[2][of(3)] ^ boxes[1][of(5)] ^ boxes[0][of(7)];
        a[lane] = a[lane].wrapping_sub(even);
        b[lane] = b[lane].wrapping_add(odd).wrapping_mul(factor);
    }
}

#[inline(always)]
fn pass<const N: usize>(
    boxes: &Boxes,
    (a, b, c): (&mut Row<N>, &mut Row<N>, &mut Row<N>),
    block: &[Row<N>; 8],
    factor: u64,
) {
    round(boxes, (a, b, c), &block[0], factor);
    round(boxes, (b, c, a), &block[1], factor);
    round(boxes, (c, a, b), &block[2], factor);
    round(boxes, (a, b, c), &block[3], factor);
    round(boxes, (b, c, a), &block[4], factor);
    round(boxes, (c, a, b), &block[5], factor);
    round(boxes, (a, b, c), &block[6], factor);
    round(boxes, (b, c, a), &block[7], factor);
}

#[inline(always)]
fn schedule<const N: usize>(block: &mut [Row<N>; 8]) {
    for lane in 0..N {
        let mut x = [0; 8];
        for (word, row) in x.iter_mut().zip(&*block) {
            *word = row[lane];
        }
        x[0] = x[0].wrapping_sub(x[7] ^ 0xA5A5_A5A5_A5A5_A5A5);
        x[1] ^= x[0];
        x[2] = x[2].wrapping_add(x[1]);
        x[3] = x[3].wrapping_sub(x[2] ^ (!x[1] << 19));
        x[4] ^= x[3];
        x[5] = x[5].wrapping_add(x[4]);
        x[6] = x[6].wrapping_sub(x[5] ^ (!x[4] >> 23));
        x[7] ^= x[6];
        x[0] = x[0].wrapping_add(x[7]);
        x[1] = x[1].wrapping_sub(x[0] ^ (!x[7] << 19));
        x[2] ^= x[1];
        x[3] = x[3].wrapping_add(x[2]);
        x[4] = x[4].wrapping_sub(x[3] ^ (!x[2] >> 23));
        x[5] ^= x[4];
        x[6] = x[6].wrapping_add(x[5]);
        x[7] = x[7].wrapping_sub(x[6] ^ 0x0123_4567_89AB_CDEF);
        for (row, word) in block.iter_mut().zip(x) {
            row[lane] = word;
        }
    }
}

/// Takes a block of 64 bytes of each hash into its state; leaves the last key schedule in `block`.
#[inline(always)]
fn compress<const N: usize>(boxes: &Boxes, state: &mut [Row<N>; 3], block: &mut [Row<N>; 8]) {
    let [mut a, mut b, mut c] = *state;
    pass(boxes, (&mut a, &mut b, &mut c), block, 5);
    schedule(block);
    pass(boxes, (&mut c, &mut a, &mut b), block, 7);
    schedule(block);
    pass(boxes, (&mut b, &mut c, &mut a), block, 9);
    for lane in 0..N {
        state[0][lane] ^= a[lane];
        state[1][lane] = b[lane].wrapping_sub(state[1][lane]);
        state[2][lane] = c[lane].wrapping_add(state[2][lane]);
    }
}

/// Makes the S-boxes: each column of each box is a permutation, shuffled by what the hash itself, with the boxes as far
/// as they are, makes of a sentence.
fn generate() -> Box<Boxes> {
    const SENTENCE: &[u8; BLOCK] =
        b"Tiger - A Fast New Hash Function, by Ross Anderson and Eli Biham";
    const PASSES: usize = 5;
    let mut boxes = Box::new([[0; 256]; 4]);
    for table in boxes.iter_mut() {
        for (entry, number) in table.iter_mut().zip(0_u64..) {
            *entry = number * 0x0101_0101_0101_0101;
        }
    }
    let mut words = [[0]; 8];
    for (word, bytes) in words.iter_mut().zip(SENTENCE.as_chunks().0) {
        *word = [u64::from_le_bytes(*bytes)];
    }
    let mut state = START.map(|word| [word]);
    let mut used = state.len();
    for _ in 0..PASSES {
        for entry in 0..256 {
            for table in 0..boxes.len() {
                if used == state.len() {
                    used = 0;
                    compress(&boxes, &mut state, &mut words.clone());
                }
                for column in 0..8 {
                    let other = byte(state[used][0], column);
                    let mask = 255 << (8 * column);
                    let differ = (boxes[table][entry] ^ boxes[table][other]) & mask;
                    boxes[table][entry] ^= differ;
                    boxes[table][other] ^= differ;
                }
                used += 1;
            }
        }
    }
    boxes
}
