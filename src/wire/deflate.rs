//! zlib streams (RFC 1950): compressed links and query routing tables. Bytes in, bytes out, never more of them
//! than the caller allows.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::WireError;

/// Most bytes one call makes room for at a time.
const STEP_BYTES: usize = 16 * 1024;

/// One direction of a compressed link, our end.
#[derive(Debug)]
pub struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        // Queries are short and alike: the fastest level already finds what there is.
        Self(Compress::new(Compression::fast(), true))
    }
}

impl Deflater {
    /// Compresses `input` to the end of `out`. The tail may stay inside until [`flush`](Self::flush).
    pub fn deflate(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.run(input, out, FlushCompress::None);
    }

    /// Writes out all that is still inside, so that the reader can have it (`Z_SYNC_FLUSH`).
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.run(&[], out, FlushCompress::Sync);
    }

    fn run(&mut self, mut input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) {
        loop {
            out.reserve(STEP_BYTES.min(input.len() + 64));
            let (before_in, room) = (self.0.total_in(), out.capacity() - out.len());
            let before_out = out.len();
            let status = self
                .0
                .compress_vec(input, out, flush)
                .expect("deflating cannot fail: the state is ours");
            let used =
                usize::try_from(self.0.total_in() - before_in).expect("no more than was given");
            input = &input[used..];
            let filled = out.len() - before_out == room;
            if input.is_empty() && (!filled || status == Status::BufError) {
                return;
            }
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

/// A zlib stream of a peer.
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
            deflater.flush(&mut packed);
            assert_eq!(
                inflater.inflate(&packed, &mut got, 1 << 20).unwrap(),
                Inflated::All
            );
            assert_eq!(got, message, "message {n}");
        }
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
