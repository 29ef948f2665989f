//! The bytes of a link on their way: as they are, or as one zlib stream for each direction.
//!
//! A stream of a stranger may claim to be gigabytes: what comes out is handed on piece by piece, and a link whose
//! stream grows faster than any honest one is given up. What goes in comes out whole, so that compression delays no
//! frame for the sake of a better ratio. Source: overlay.md section 2.6.

use bytes::Bytes;

use crate::node::event::Gone;
use crate::node::greet::Coding;
use crate::wire::deflate::{Deflater, Inflated};
use crate::wire::window::Inflater;

/// Bytes asked for in one read of a plain stream: some 1,500 queries. Larger reads gained nothing
/// (`benches/relay`).
const READ_BYTES: usize = 64 * 1024;
/// The same of a compressed one: it comes to about as much when inflated.
const DEFLATED_READ_BYTES: usize = 16 * 1024;
/// Inflated bytes handed on at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// A stream may grow by so much for each of its bytes, in the long run. Queries and hits come to 2 to 10; zlib's
/// limit is 1032. Our choice.
const GROWTH_MAX: usize = 64;
/// And by so much at once: an empty query routing table of 2 Mi entries that was not packed by itself.
const BURST_BYTES: usize = 1024 * 1024;
/// Compressed bytes that a write starts with at the latest, however many frames keep coming ...
const PACK_BYTES: usize = 64 * 1024;
/// ... and bytes of frames in them: some milliseconds of work, far below the 200 ms a frame may be delayed by.
const PACK_INPUT_BYTES: usize = 512 * 1024;

/// What a peer sends.
#[derive(Debug)]
pub(super) enum Inflow {
    Plain,
    Deflated {
        inflater: Inflater,
        /// Bytes that may still come out of what has come in.
        allowance: usize,
        /// More may come out without anything going in.
        pending: bool,
    },
}

impl Inflow {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Plain => Self::Plain,
            Coding::Deflated => Self::Deflated {
                inflater: Inflater::default(),
                allowance: BURST_BYTES,
                pending: false,
            },
        }
    }

    /// A buffer for reads of the socket.
    pub(super) fn read_buffer(&self) -> Vec<u8> {
        match self {
            Self::Plain => vec![0; READ_BYTES],
            Self::Deflated { .. } => vec![0; DEFLATED_READ_BYTES],
        }
    }

    /// So many bytes were read.
    pub(super) fn has_read(&mut self, len: usize) {
        if let Self::Deflated { allowance, .. } = self {
            *allowance = BURST_BYTES.min(*allowance + len * GROWTH_MAX);
        }
    }

    /// The next piece of what was read, [`PIECE_BYTES`] at most of a compressed stream; `None` when `input` is used
    /// up.
    ///
    /// # Errors
    /// Why the link must go: its stream has ended, is damaged, or grows too fast.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, Gone> {
        let (inflater, allowance, pending) = match self {
            Self::Plain if input.is_empty() => return Ok(None),
            // One copy of 64 KiB costs less than a fresh buffer for each read, and what a frame keeps alive is then
            // as large as what was read.
            Self::Plain => return Ok(Some(Bytes::copy_from_slice(std::mem::take(input)))),
            Self::Deflated { pending, .. } if input.is_empty() && !*pending => return Ok(None),
            Self::Deflated {
                inflater,
                allowance,
                pending,
            } => (inflater, allowance, pending),
        };
        let mut out = Vec::new();
        let outcome = inflater.inflate(input, &mut out, PIECE_BYTES);
        *allowance = allowance.checked_sub(out.len()).ok_or(Gone::Bomb)?;
        match outcome {
            Ok(Inflated::All) => {
                *input = &[];
                *pending = false;
            }
            Ok(Inflated::Full(used)) => {
                *input = &input[used..];
                *pending = true;
            }
            // What came before the end, or the damage, is handed on; the next call says what follows.
            Ok(Inflated::End(_)) | Err(_) if !out.is_empty() => *pending = true,
            Ok(Inflated::End(_)) => return Err(Gone::Closed),
            Err(_) => return Err(Gone::Damaged),
        }
        out.shrink_to_fit();
        Ok(Some(Bytes::from(out)))
    }
}

/// What we send.
#[derive(Debug)]
pub(super) enum Outflow {
    Plain,
    Deflated { deflater: Deflater, packed: Vec<u8> },
}

impl Outflow {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Plain => Self::Plain,
            Coding::Deflated => Self::Deflated {
                deflater: Deflater::default(),
                packed: Vec::new(),
            },
        }
    }

    /// The bytes to write for those in `buffer`. A compressed stream also takes what `more` puts into `buffer`, as
    /// long as there is any and the whole is short: nothing waits inside it.
    pub(super) fn encode<'a>(
        &'a mut self,
        buffer: &'a mut Vec<u8>,
        mut more: impl FnMut(&mut Vec<u8>),
    ) -> &'a [u8] {
        match self {
            Self::Plain => buffer,
            Self::Deflated { deflater, packed } => {
                packed.clear();
                let mut taken = 0;
                while !buffer.is_empty() {
                    deflater.deflate(buffer, packed);
                    taken += buffer.len();
                    buffer.clear();
                    if packed.len() < PACK_BYTES && taken < PACK_INPUT_BYTES {
                        more(buffer);
                    }
                }
                packed
            }
        }
    }

    /// Gives memory back that a burst took.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        if let Self::Deflated { packed, .. } = self {
            packed.clear();
            packed.shrink_to(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deflate::deflate_whole;
    use rand::rngs::ChaCha8Rng;
    use rand::{Rng, SeedableRng};

    fn deflated() -> Inflow {
        Inflow::new(Coding::Deflated)
    }

    /// All that comes out of one read, or how the link ends.
    fn read(inflow: &mut Inflow, mut input: &[u8]) -> Result<Vec<u8>, Gone> {
        inflow.has_read(input.len());
        let mut all = Vec::new();
        while let Some(piece) = inflow.next(&mut input)? {
            assert!(piece.len() <= PIECE_BYTES || matches!(inflow, Inflow::Plain));
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[test]
    fn what_one_side_encodes_the_other_reads_at_once() {
        for coding in [Coding::Plain, Coding::Deflated] {
            let (mut outflow, mut inflow) = (Outflow::new(coding), Inflow::new(coding));
            for n in 0..100_usize {
                let message: Vec<u8> = (0..=250).cycle().take(n * n).collect();
                let mut buffer = message.clone();
                let bytes = outflow.encode(&mut buffer, |_| {}).to_vec();
                assert_eq!(
                    read(&mut inflow, &bytes).unwrap(),
                    message,
                    "{coding:?} {n}"
                );
            }
        }
    }

    #[test]
    fn frames_that_come_meanwhile_go_into_the_same_write_until_it_is_long() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut noise = |buffer: &mut Vec<u8>| {
            buffer.resize(1000, 0);
            rng.fill_bytes(buffer);
        };
        let mut same = |buffer: &mut Vec<u8>| buffer.resize(1000, 7);
        let noisy: &mut dyn FnMut(&mut Vec<u8>) = &mut noise;
        for (more, bound) in [(noisy, PACK_BYTES), (&mut same, PACK_INPUT_BYTES)] {
            let (mut outflow, mut inflow) = (Outflow::new(Coding::Deflated), deflated());
            let mut buffer = b"the first frame".to_vec();
            let bytes = outflow.encode(&mut buffer, more).to_vec();
            assert!(buffer.is_empty(), "nothing is left behind");
            assert!(bytes.len() < 2 * PACK_BYTES, "{}", bytes.len());
            let got = read(&mut inflow, &bytes).unwrap().len();
            assert!((bound - 2000..2 * bound).contains(&got), "{got}");
        }
    }

    #[test]
    fn a_bomb_is_given_up_early_in_one_read_or_in_many() {
        let bomb = deflate_whole(&vec![0; 100_000_000]);
        assert_eq!(read(&mut deflated(), &bomb), Err(Gone::Bomb));
        let mut inflow = deflated();
        let mut out = 0;
        let gone = bomb
            .chunks(64)
            .find_map(|chunk| match read(&mut inflow, chunk) {
                Ok(bytes) => {
                    out += bytes.len();
                    None
                }
                Err(gone) => Some(gone),
            });
        assert_eq!(gone, Some(Gone::Bomb));
        assert!(out <= 2 * BURST_BYTES, "{out}");
    }

    #[test]
    fn an_empty_routing_table_that_its_sender_did_not_pack_is_no_bomb() {
        let table = vec![0; BURST_BYTES - PIECE_BYTES];
        let (mut deflater, mut packed) = (Deflater::default(), Vec::new());
        deflater.deflate(&table, &mut packed);
        assert_eq!(read(&mut deflated(), &packed).unwrap().len(), table.len());
    }

    #[test]
    fn damage_and_the_end_of_a_stream_end_the_link() {
        assert_eq!(read(&mut deflated(), b"GNUTELLA"), Err(Gone::Damaged));
        let mut inflow = deflated();
        let whole = deflate_whole(b"the last words");
        let mut input = &whole[..];
        inflow.has_read(input.len());
        assert_eq!(inflow.next(&mut input).unwrap().unwrap(), "the last words");
        assert_eq!(inflow.next(&mut input), Err(Gone::Closed));
    }
}
