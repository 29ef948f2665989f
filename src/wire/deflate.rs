//! zlib streams (RFC 1950): compressed links and query routing tables. Bytes in, bytes out, never more of them
//! than the caller allows.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::WireError;

/// Most bytes one call makes room for at a time.
const STEP_BYTES: usize = 16 * 1024;

/// Bytes that went before and that a packed piece may refer to ...
const HISTORY_BYTES: usize = 2 * 1024;
/// ... and bytes packed in one piece, so that no reference reaches further back than both together, 8 KiB: the window
/// that [`STREAM_HEAD`] announces, and all that a reader need keep.
const PIECE_BYTES: usize = 6 * 1024;
/// Window of 2^13 bytes, fastest method, no dictionary (RFC 1950, 2.2).
const STREAM_HEAD: [u8; 2] = [0x58, 0x09];
/// Pieces shorter than this are not even tried: one query alone packs to no less than it is. Measured.
const PACKED_MIN_BYTES: usize = 64;
/// Bytes a block costs that is not packed.
const STORED_HEAD_BYTES: usize = 5;

/// One direction of a compressed link, our end.
///
/// An ultrapeer has hundreds, most of them idle, and the state of a compressor takes a quarter of a mebibyte. So a link
/// keeps only its youngest bytes; the threads that write share one compressor each, which is shown those first.
#[derive(Debug, Default)]
pub struct Deflater {
    /// The youngest bytes of the stream, [`HISTORY_BYTES`] at most.
    history: Vec<u8>,
    begun: bool,
}

impl Deflater {
    /// Compresses `input` to the end of `out`, whole: the reader can have all of it (as after `Z_SYNC_FLUSH`).
    pub fn deflate(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(&STREAM_HEAD);
        }
        for piece in input.chunks(PIECE_BYTES) {
            let start = out.len();
            if piece.len() >= PACKED_MIN_BYTES {
                PACKER.with_borrow_mut(|packer| packer.pack(&self.history, piece, out));
            }
            if out.len() == start || out.len() - start > piece.len() + STORED_HEAD_BYTES {
                out.truncate(start);
                store(piece, out);
            }
            self.remember(piece);
        }
    }

    fn remember(&mut self, piece: &[u8]) {
        if self.history.capacity() == 0 {
            self.history.reserve_exact(HISTORY_BYTES);
        }
        let piece = &piece[piece.len().saturating_sub(HISTORY_BYTES)..];
        let excess = (self.history.len() + piece.len()).saturating_sub(HISTORY_BYTES);
        self.history.drain(..excess);
        self.history.extend_from_slice(piece);
    }
}

/// A block as it is (RFC 1951, 3.2.4). What went before ended at a byte.
fn store(piece: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(piece.len()).expect("at most PIECE_BYTES");
    out.push(0);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(piece);
}

thread_local! {
    static PACKER: RefCell<Packer> = RefCell::new(Packer {
        // Queries are short and alike: the fastest level already finds what there is.
        state: Compress::new(Compression::fast(), false),
        scrap: Vec::new(),
    });
}

/// What links take turns with.
struct Packer {
    state: Compress,
    /// Takes what the history would pack to.
    scrap: Vec<u8>,
}

impl Packer {
    /// Blocks for `piece` that may refer to `history`.
    fn pack(&mut self, history: &[u8], piece: &[u8], out: &mut Vec<u8>) {
        self.state.reset();
        if !history.is_empty() {
            self.scrap.clear();
            run(&mut self.state, history, &mut self.scrap);
        }
        run(&mut self.state, piece, out);
    }
}

fn run(state: &mut Compress, mut input: &[u8], out: &mut Vec<u8>) {
    loop {
        out.reserve(STEP_BYTES.min(input.len() + 64));
        let (before_in, room) = (state.total_in(), out.capacity() - out.len());
        let before_out = out.len();
        let status = state
            .compress_vec(input, out, FlushCompress::Sync)
            .expect("deflating cannot fail: the state is ours");
        let used = usize::try_from(state.total_in() - before_in).expect("no more than was given");
        input = &input[used..];
        let filled = out.len() - before_out == room;
        if input.is_empty() && (!filled || status == Status::BufError) {
            return;
        }
    }
}

/// Compresses all of `input` as one zlib stream, as small as it gets.
pub fn deflate_whole(input: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::best(), true);
    let mut out = Vec::with_capacity(input.len() / 8 + 64);
    loop {
        let used = usize::try_from(state.total_in()).expect("no more than was given");
        let status = state
            .compress_vec(&input[used..], &mut out, FlushCompress::Finish)
            .expect("deflating cannot fail: the state is ours");
        if status == Status::StreamEnd {
            return out;
        }
        out.reserve(STEP_BYTES);
    }
}

/// What became of the input of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inflated {
    /// All input is used up; the stream goes on.
    All,
    /// The stream has ended; so many bytes of the input were part of it.
    End(usize),
    /// The limit of output is reached; so many bytes of the input are used.
    Full(usize),
}

/// A zlib stream that ends. Those of links: [`super::window::Inflater`].
#[derive(Debug)]
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Inflater {
    /// Inflates `input` to the end of `out`, until `out` holds `limit` bytes: a few bytes of a stranger may
    /// claim to be gigabytes.
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
        loop {
            let room = limit.saturating_sub(out.len()).min(STEP_BYTES);
            if room == 0 {
                return Ok(Inflated::Full(used));
            }
            let (start, in_before, out_before) = (out.len(), self.0.total_in(), self.0.total_out());
            out.resize(start + room, 0);
            let status =
                self.0
                    .decompress(&input[used..], &mut out[start..], FlushDecompress::None);
            let made = usize::try_from(self.0.total_out() - out_before)
                .expect("no more than there was room for");
            out.truncate(start + made);
            let status = status.map_err(|_| WireError::Malformed("deflated stream"))?;
            used += usize::try_from(self.0.total_in() - in_before).expect("no more than was given");
            if status == Status::StreamEnd {
                return Ok(Inflated::End(used));
            }
            if made < room && (used == input.len() || status == Status::BufError) {
                return Ok(Inflated::All);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deflated_and_flushed_can_be_inflated_at_once() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        for n in 0..200_usize {
            let message = vec![u8::try_from(n % 251).unwrap(); n * 97 % 5_000];
            let (mut packed, mut got) = (Vec::new(), Vec::new());
            deflater.deflate(&message, &mut packed);
            assert_eq!(
                inflater.inflate(&packed, &mut got, 1 << 20).unwrap(),
                Inflated::All
            );
            assert_eq!(got, message, "message {n}");
        }
    }

    #[test]
    fn links_that_share_a_compressor_do_not_mix_and_keep_little_of_what_they_sent() {
        let mut links: [(Deflater, Inflater); 3] = Default::default();
        let mut noise = 1_u32;
        for round in 0..60_usize {
            for (link, (deflater, inflater)) in links.iter_mut().enumerate() {
                // Words of each link's own, now and then with noise that nothing packs, from nothing to 20 pieces.
                let len = ((round * 3_331 + link * 77) % 120_000) >> (round % 12);
                let message: Vec<u8> = (0..len)
                    .map(|at| {
                        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        if round % 5 == 0 {
                            noise.to_le_bytes()[3]
                        } else {
                            b"abcdefg"[at * (link + 1) % 7]
                        }
                    })
                    .collect();
                let (mut packed, mut got) = (Vec::new(), Vec::new());
                deflater.deflate(&message, &mut packed);
                let outcome = inflater.inflate(&packed, &mut got, 1 << 20);
                assert_eq!(outcome, Ok(Inflated::All), "round {round}, link {link}");
                assert!(got == message, "round {round}, link {link}");
                let blocks = len.div_ceil(PIECE_BYTES);
                let most = len + blocks * STORED_HEAD_BYTES + STREAM_HEAD.len();
                assert!(packed.len() <= most, "{len} became {}", packed.len());
                assert!(deflater.history.capacity() <= HISTORY_BYTES);
            }
        }
    }

    #[test]
    fn a_message_like_the_one_before_packs_to_little() {
        let mut deflater = Deflater::default();
        let message =
            "GTKG GGEP H CT LF 0123456789 urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB red fox.txt";
        let mut len = [0; 2];
        for len in &mut len {
            let mut packed = Vec::new();
            deflater.deflate(message.as_bytes(), &mut packed);
            *len = packed.len();
        }
        assert!(len[1] < len[0] / 4, "{len:?}");
    }

    #[test]
    fn a_bomb_stops_at_the_limit_and_goes_on_from_there() {
        let bomb = deflate_whole(&vec![0; 10_000_000]);
        assert!(bomb.len() < 20_000);
        let (mut inflater, mut rest, mut total) = (Inflater::default(), &bomb[..], 0);
        loop {
            let mut out = Vec::new();
            let outcome = inflater.inflate(rest, &mut out, 100_000).unwrap();
            assert!(out.len() <= 100_000 && out.capacity() <= 200_000);
            total += out.len();
            match outcome {
                Inflated::Full(used) => rest = &rest[used..],
                Inflated::End(used) => break assert_eq!(used, rest.len()),
                Inflated::All => panic!("the end is there"),
            }
        }
        assert_eq!(total, 10_000_000);
    }

    #[test]
    fn garbage_is_an_error() {
        let mut out = Vec::new();
        let error = Inflater::default().inflate(b"GNUTELLA/0.6 200 OK", &mut out, 1_000);
        assert_eq!(error, Err(WireError::Malformed("deflated stream")));
    }

    #[test]
    fn one_byte_at_a_time_is_enough() {
        let packed = deflate_whole(b"red fox, red fox, red fox");
        let (mut inflater, mut out) = (Inflater::default(), Vec::new());
        for byte in &packed {
            inflater
                .inflate(std::slice::from_ref(byte), &mut out, 1_000)
                .unwrap();
        }
        assert_eq!(out, b"red fox, red fox, red fox");
    }
}
