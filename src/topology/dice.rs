//! Random choices that come out the same on every machine and with every release.
//!
//! The convenience methods of `rand` may change the values they yield between its releases; what a seed means
//! must not. So only the raw output of `ChaCha8` is used, through these few functions; and that of [`Thrifty`] where
//! a million sources are wanted.

use std::convert::Infallible;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng, TryRng};

/// A source of randomness for one purpose of one seed: different `purpose`s never share a stream.
pub fn seeded(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose);
    rng
}

/// A source of randomness of eight bytes, for what there are millions of, such as the ends of links: `SplitMix64`.
/// No secret may depend on it.
///
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014), with the constants of
/// Vigna's `splitmix64.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thrifty(u64);

impl Thrifty {
    /// Source number `number` of a family; families of other seeds have other ones.
    pub fn new(family: u64, number: u64) -> Self {
        let mut of = Self(family ^ Self(number).next_u64());
        Self(of.next_u64())
    }
}

impl TryRng for Thrifty {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64()
            .map(|drawn| u32::try_from(drawn >> 32).expect("half of the bits"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(mixed ^ (mixed >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(8) {
            let drawn = self.try_next_u64()?.to_le_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
        Ok(())
    }
}

/// A number from 0 to `n - 1`, all alike.
///
/// # Panics
/// When `n` is 0.
pub fn below<R: Rng + ?Sized>(rng: &mut R, n: u64) -> u64 {
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
pub fn pick<R: Rng + ?Sized>(rng: &mut R, len: usize) -> usize {
    usize::try_from(below(rng, len as u64)).expect("below a usize")
}

/// A node from 0 to `n - 1`.
pub(crate) fn node<R: Rng + ?Sized>(rng: &mut R, n: u32) -> u32 {
    u32::try_from(below(rng, u64::from(n))).expect("below a u32")
}

/// A number from 0 up to but without 1, in steps of 2^-53.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub fn unit<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    (rng.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0
}

/// True with this chance.
pub fn chance<R: Rng + ?Sized>(rng: &mut R, p: f64) -> bool {
    unit(rng) < p
}

/// Puts `items` in an order drawn from `rng`, all orders alike (Fisher and Yates).
pub fn shuffle<R: Rng + ?Sized, T>(rng: &mut R, items: &mut [T]) {
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

    #[test]
    fn a_thrifty_source_is_the_published_one_and_each_number_has_its_own() {
        // The first outputs of splitmix64.c from state 0.
        let mut zero = Thrifty(0);
        let drawn = [zero.next_u64(), zero.next_u64(), zero.next_u64()];
        assert_eq!(
            drawn,
            [
                0xE220_A839_7B1D_CDAF,
                0x6E78_9E6A_A1B9_65F4,
                0x06C4_5D18_8009_454F
            ]
        );
        let firsts: std::collections::BTreeSet<u64> = (0..1000)
            .map(|number| Thrifty::new(7, number).next_u64())
            .collect();
        assert_eq!(firsts.len(), 1000);
        assert_eq!(Thrifty::new(7, 3), Thrifty::new(7, 3));
        assert_ne!(Thrifty::new(8, 3), Thrifty::new(7, 3));
    }

    const DRAWN: [u64; 6] = [992, 9, 721, 528, 58, 595];
}
