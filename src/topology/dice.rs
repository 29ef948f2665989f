//! Random choices that come out the same on every machine and with every release.
//!
//! The convenience methods of `rand` may change the values they yield between its releases; what a seed means
//! must not. So only the raw output of `ChaCha8` is used, through these few functions.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// A source of randomness for one purpose of one seed: different `purpose`s never share a stream.
pub fn seeded(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose);
    rng
}

/// A number from 0 to `n - 1`, all alike.
///
/// # Panics
/// When `n` is 0.
pub fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    assert!(n > 0, "there is no number below 0");
    // Lemire's multiply and shift with rejection: one draw nearly always.
    let reject_below = n.wrapping_neg() % n;
    loop {
        let wide = u128::from(rng.next_u64()) * u128::from(n);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the two halves of the product"
        )]
        let (high, low) = ((wide >> 64) as u64, wide as u64);
        if low >= reject_below {
            return high;
        }
    }
}

/// A position in something of `len` parts.
///
/// # Panics
/// When `len` is 0.
pub fn pick(rng: &mut ChaCha8Rng, len: usize) -> usize {
    usize::try_from(below(rng, len as u64)).expect("below a usize")
}

/// A node from 0 to `n - 1`.
pub(crate) fn node(rng: &mut ChaCha8Rng, n: u32) -> u32 {
    u32::try_from(below(rng, u64::from(n))).expect("below a u32")
}

/// A number from 0 up to but without 1, in steps of 2^-53.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0
}

/// True with this chance.
pub fn chance(rng: &mut ChaCha8Rng, p: f64) -> bool {
    unit(rng) < p
}

/// Puts `items` in an order drawn from `rng`, all orders alike (Fisher and Yates).
pub fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        let j = pick(rng, i + 1);
        items.swap(i, j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = seeded(7, 1);
        let drawn: Vec<u64> = (0..6).map(|_| below(&mut rng, 1000)).collect();
        assert_eq!(drawn, DRAWN);
    }

    #[test]
    fn every_number_below_comes_up() {
        let mut rng = seeded(1, 1);
        let mut seen = [0_u32; 5];
        for _ in 0..5000 {
            seen[pick(&mut rng, 5)] += 1;
        }
        assert!(
            seen.iter().all(|count| (900..1100).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn purposes_do_not_share_a_stream() {
        assert_ne!(seeded(7, 1).next_u64(), seeded(7, 2).next_u64());
    }

    const DRAWN: [u64; 6] = [992, 9, 721, 528, 58, 595];
}
