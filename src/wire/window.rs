//! The stream of a compressed link, as its reader has it: it goes on for days, and hardly ever are more than a few of its
//! last KiB referred to. The window grows with what came, up to what the sender said that it needs.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress_with_limit, inflate_flags};

use super::WireError;
use super::deflate::Inflated;

/// Bytes of the window to begin with. A leaf that keeps quiet needs no more.
const WINDOW_MIN_BYTES: usize = 1024;
/// Binary logarithm of the largest window there is (RFC 1950, 2.2).
const WINDOW_LOG2_MAX: u8 = 15;
/// Method of compression: deflate, the only one there is.
const METHOD: u8 = 8;
/// Says that a dictionary is to be known beforehand; nobody has agreed on one.
const DICTIONARY: u8 = 0x20;
const DAMAGED: WireError = WireError::Malformed("deflated stream");

/// One direction of a compressed link, the peer's end.
#[derive(Default)]
pub struct Inflater {
    state: Box<DecompressorOxide>,
    /// First byte of the stream, while the second is awaited.
    first: Option<u8>,
    /// The last bytes that came out, as a ring; empty before the head of the stream. A power of two.
    window: Vec<u8>,
    /// Where the next byte goes.
    at: usize,
    /// The window that the sender announced.
    window_max: usize,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

impl Inflater {
    /// Inflates `input` to the end of `out`, until `out` holds `limit` bytes.
    /// [`Inflated::End`] comes before the checksum that closes a stream.
    ///
    /// # Errors
    /// [`WireError::Malformed`] when the stream is damaged: it is lost, close the link.
    pub fn inflate(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<Inflated, WireError> {
        let mut used = 0;
        while self.window.is_empty() {
            let Some(&byte) = input.get(used) else {
                return Ok(Inflated::All);
            };
            used += 1;
            match self.first.take() {
                None => self.first = Some(byte),
                Some(first) => self.begin(first, byte)?,
            }
        }
        loop {
            if out.len() >= limit {
                return Ok(Inflated::Full(used));
            }
            self.make_room();
            let flags = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
            let (status, read, made) = decompress_with_limit(
                &mut self.state,
                &input[used..],
                &mut self.window,
                self.at,
                limit - out.len(),
                flags,
            );
            used += read;
            out.extend_from_slice(&self.window[self.at..self.at + made]);
            self.at += made;
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return Ok(Inflated::All),
                TINFLStatus::Done => return Ok(Inflated::End(used)),
                _ => return Err(DAMAGED),
            }
        }
    }

    /// The head of the stream.
    fn begin(&mut self, first: u8, second: u8) -> Result<(), WireError> {
        let log2 = (first >> 4) + 8;
        let whole = u16::from_be_bytes([first, second]).is_multiple_of(31);
        if first & 0xF != METHOD || log2 > WINDOW_LOG2_MAX || !whole || second & DICTIONARY != 0 {
            return Err(DAMAGED);
        }
        self.window_max = WINDOW_MIN_BYTES.max(1 << log2);
        self.window = vec![0; WINDOW_MIN_BYTES];
        Ok(())
    }

    /// At the end of the window: a larger one, or back to its start.
    fn make_room(&mut self) {
        if self.at < self.window.len() {
            return;
        }
        if self.window.len() < self.window_max {
            // Before the first time around nothing lies behind `at` and all that came is in its place.
            let larger = 2 * self.window.len();
            self.window.reserve_exact(self.at);
            self.window.resize(larger, 0);
        } else {
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::deflate::{Deflater, deflate_whole};
    use flate2::{Compress, Compression, FlushCompress};

    /// Text in which much recurs, at all distances.
    fn text(len: usize) -> Vec<u8> {
        let mut seed = 1_u32;
        let mut text = Vec::with_capacity(len);
        while text.len() < len {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let back = (seed >> 8) as usize % 32_768 + 1;
            if seed & 4 == 0 || back > text.len() {
                text.extend_from_slice(&seed.to_le_bytes());
            } else {
                let from = text.len() - back;
                text.extend_from_within(from..from + back.min(40));
            }
        }
        text.truncate(len);
        text
    }

    /// All that comes out of pieces of so many bytes, with so much allowed at once.
    fn inflated(packed: &[u8], step: usize, limit: usize) -> Result<Vec<u8>, WireError> {
        let (mut inflater, mut all) = (Inflater::default(), Vec::new());
        for mut piece in packed.chunks(step) {
            loop {
                let mut out = Vec::new();
                let outcome = inflater.inflate(piece, &mut out, limit)?;
                assert!(out.len() <= limit);
                all.extend_from_slice(&out);
                match outcome {
                    Inflated::Full(used) => piece = &piece[used..],
                    Inflated::All => break,
                    Inflated::End(_) => return Ok(all),
                }
            }
        }
        Ok(all)
    }

    #[test]
    fn any_stream_comes_out_as_it_went_in_whatever_pieces_it_comes_in() {
        for len in [0, 1, 1023, 1024, 1025, 5_000, 32_768, 200_000] {
            let text = text(len);
            let mut sent = Vec::new();
            let mut state = Compress::new(Compression::default(), true);
            sent.reserve(len + 1_000);
            let flush = FlushCompress::Sync;
            state.compress_vec(&text, &mut sent, flush).unwrap();
            let mut ours = Vec::new();
            Deflater::default().deflate(&text, &mut ours);
            for packed in [deflate_whole(&text), sent, ours] {
                for (step, limit) in [(1, 1), (7, 100_000), (3_000, 500), (usize::MAX, 65_536)] {
                    let got = inflated(&packed, step, limit).unwrap();
                    assert!(got == text, "{len} bytes by {step}, {limit}");
                }
            }
        }
    }

    #[test]
    fn the_window_is_as_large_as_what_came_and_what_was_announced_allow() {
        let mut inflater = Inflater::default();
        let mut deflater = Deflater::default();
        for (len, window) in [(900, 1024), (900, 2048), (100_000, 8192), (100_000, 8192)] {
            let (mut packed, mut out) = (Vec::new(), Vec::new());
            deflater.deflate(&text(len), &mut packed);
            inflater.inflate(&packed, &mut out, usize::MAX).unwrap();
            assert_eq!((out.len(), inflater.window.len()), (len, window));
            assert_eq!(inflater.window.capacity(), window);
        }
        let mut inflater = Inflater::default();
        let packed = deflate_whole(&text(100_000));
        let end = inflater.inflate(&packed, &mut Vec::new(), usize::MAX);
        assert_eq!(end, Ok(Inflated::End(packed.len() - 4)));
        assert_eq!(inflater.window.capacity(), 32_768);
    }

    #[test]
    fn what_is_no_stream_or_reaches_back_too_far_is_an_error() {
        for junk in [
            &b"GNUTELLA"[..],
            b"\x88\x1c",                     // a window of 64 KiB
            b"\x78\x02",                     // its check
            b"\x78\x20",                     // a dictionary
            b"\x79\x15",                     // another method
            b"\x78\x01\x07",                 // a block of no kind
            b"\x78\x01\x02\x16\x00\x00\x00", // three bytes from 1025 before the first
        ] {
            let outcome = Inflater::default().inflate(junk, &mut Vec::new(), 100);
            assert_eq!(outcome, Err(DAMAGED), "{}", junk.escape_ascii());
        }
    }
}
