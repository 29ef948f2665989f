//! The work on one file, shared: who reads it takes the SHA-1, which goes from the first byte to the last, and leaves
//! pieces of its Tiger tree to threads that have no file of their own.

use std::collections::BTreeMap;
use std::sync::mpsc;

use super::{Queue, READ_BYTES};
use crate::disk::tree::{BlockHasher, HashTree, TreeHasher};
use crate::wire::urn::TigerRoot;

/// Files below this size are not worth handing their bytes around. Measured.
const SHARED_BYTES_MIN: u64 = 4 << 20;
/// Pieces that wait for each thread without a file: one to work on, one to go on with.
pub(super) const WAITING_EACH: usize = 2;
/// Nodes that may be ready before an earlier one is.
const READY_MAX: usize = 1024;

/// A piece of a file, on its way to whoever hashes it.
#[derive(Debug)]
pub(super) struct Piece {
    /// The reader of its file, among those at work.
    reader: usize,
    number: u64,
    /// Its bytes, at the start of this.
    buffer: Vec<u8>,
    len: usize,
    done: mpsc::Sender<Done>,
}

/// A piece that was hashed, and its buffer for the next.
struct Done {
    number: u64,
    node: TigerRoot,
    buffer: Vec<u8>,
}

impl Piece {
    /// Whether it is of the file of that reader.
    pub(super) fn is_of(&self, reader: usize) -> bool {
        self.reader == reader
    }

    /// Hashes it, and tells the reader of its file.
    pub(super) fn hash(self) {
        // Whoever gave up its file does not listen any more.
        let _ = self.done.send(Done {
            number: self.number,
            node: node_of(&self.buffer[..self.len]),
            buffer: self.buffer,
        });
    }
}

fn node_of(piece: &[u8]) -> TigerRoot {
    let mut hasher = BlockHasher::new();
    hasher.update(piece);
    hasher.finish()
}

/// The tree of one file, from its pieces in order.
pub(super) struct Pieces<'a> {
    queue: &'a Queue,
    reader: usize,
    tree: TreeHasher,
    piece_bytes: usize,
    shared: bool,
    /// Pieces that came.
    taken: u64,
    /// Pieces whose nodes are in the tree.
    added: u64,
    /// Nodes that wait for an earlier one.
    ready: BTreeMap<u64, TigerRoot>,
    done: mpsc::Sender<Done>,
    told: mpsc::Receiver<Done>,
}

impl<'a> Pieces<'a> {
    /// Of a file of `size` bytes, read by the thread with that number.
    pub(super) fn of(queue: &'a Queue, reader: usize, size: u64) -> Self {
        let tree = TreeHasher::for_file(size);
        let block = usize::try_from(tree.block_bytes()).unwrap_or(usize::MAX);
        let (done, told) = mpsc::channel();
        Self {
            queue,
            reader,
            tree,
            piece_bytes: block.min(READ_BYTES),
            shared: size >= SHARED_BYTES_MIN,
            taken: 0,
            added: 0,
            ready: BTreeMap::new(),
            done,
            told,
        }
    }

    /// Bytes of each piece but the last.
    pub(super) fn piece_bytes(&self) -> usize {
        self.piece_bytes
    }

    /// Takes the first `len` bytes of `buffer` as the next piece; may put another buffer of its length in its place.
    pub(super) fn take(&mut self, buffer: &mut Vec<u8>, len: usize) {
        let whole = len == self.piece_bytes && self.shared;
        if whole && self.queue.wants_piece() {
            let spare = self.hear().unwrap_or_else(|| vec![0; buffer.len()]);
            self.queue.add_piece(Piece {
                reader: self.reader,
                number: self.taken,
                buffer: std::mem::replace(buffer, spare),
                len,
                done: self.done.clone(),
            });
        } else if whole && self.taken > self.added {
            self.ready.insert(self.taken, node_of(&buffer[..len]));
        } else {
            self.settle();
            self.tree.update(&buffer[..len]);
            self.added += 1;
        }
        self.taken += 1;
        if self.ready.len() > READY_MAX {
            self.settle();
        }
    }

    /// The tree over all that came.
    pub(super) fn finish(mut self) -> HashTree {
        self.settle();
        std::mem::replace(&mut self.tree, TreeHasher::for_file(0)).finish()
    }

    /// Puts into the tree what was hashed elsewhere; a buffer that came back.
    fn hear(&mut self) -> Option<Vec<u8>> {
        let done = self.told.try_recv().ok()?;
        Some(self.add(done))
    }

    fn add(&mut self, done: Done) -> Vec<u8> {
        self.ready.insert(done.number, done.node);
        while let Some(node) = self.ready.remove(&self.added) {
            self.tree.add_subtree(self.piece_bytes as u64, node);
            self.added += 1;
        }
        done.buffer
    }

    /// Waits until all pieces are in the tree. Those that nobody has begun are hashed here: whoever might have done it
    /// may have got a file of its own.
    fn settle(&mut self) {
        while self.taken > self.added {
            if let Some(piece) = self.queue.take_piece_of(self.reader) {
                piece.hash();
            }
            let done = self.told.recv().expect("a sender is held here");
            self.add(done);
        }
    }
}

/// What nobody has begun of a file that was given up is forgotten.
impl Drop for Pieces<'_> {
    fn drop(&mut self) {
        while self.queue.take_piece_of(self.reader).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
    use sha1::Digest;

    use super::super::{Batch, Hashed, Hasher, Job, Report};
    use super::*;
    use crate::disk::beneath::Root;
    use crate::wire::Sha1;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[derive(Debug)]
    struct Files(Vec<Job>);

    impl Batch for Files {
        fn job(&self, number: u32) -> Option<Job> {
            self.0.get(number as usize).cloned()
        }
    }

    /// Files of so many bytes, and what they hash to when one thread does all of it.
    fn world(sizes: &[usize]) -> (tempfile::TempDir, Files, Vec<Hashed>) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::look(&dir.path().canonicalize().unwrap()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (mut jobs, mut wanted) = (vec![], vec![]);
        for (number, size) in sizes.iter().enumerate() {
            let mut bytes = vec![0; *size];
            rng.fill(&mut bytes[..]);
            let path = format!("{number}.bin");
            std::fs::write(dir.path().join(&path), &bytes).unwrap();
            let (_, stamp) = root.open_file(&path).unwrap();
            jobs.push(Job {
                share: 0,
                root: root.clone(),
                path,
                stamp,
            });
            let mut tree = TreeHasher::for_file(*size as u64);
            tree.update(&bytes);
            wanted.push(Hashed {
                sha1: Sha1(sha1::Sha1::digest(&bytes).into()),
                tree: tree.finish(),
            });
        }
        (dir, Files(jobs), wanted)
    }

    fn start(threads: usize, rate: Option<u64>, files: Files) -> (Hasher, mpsc::Receiver<Report>) {
        let (told, reports) = mpsc::channel();
        let hasher = Hasher::start(threads, rate, move |report| told.send(report).is_ok());
        let hasher = hasher.unwrap();
        let numbers = 0..u32::try_from(files.0.len()).unwrap();
        hasher.set(Arc::new(files), numbers.collect());
        (hasher, reports)
    }

    #[test]
    fn however_many_threads_share_a_file_its_hashes_are_the_same() {
        // The last is larger than what waits for all helpers, with an end that is no whole piece, and none begins a file.
        let sizes = [0, 1, 4 << 20, (5 << 20) + 1, (9 << 20) + 77_777];
        for threads in [1, 2, 5] {
            let (_dir, files, wanted) = world(&sizes);
            let (hasher, reports) = start(threads, None, files);
            for _ in &sizes {
                let report = reports.recv_timeout(PATIENCE).unwrap();
                let number: usize = report
                    .job
                    .path
                    .strip_suffix(".bin")
                    .unwrap()
                    .parse()
                    .unwrap();
                assert_eq!(report.result.unwrap(), wanted[number], "{threads} threads");
            }
            let size: usize = sizes.iter().sum();
            assert_eq!(hasher.bytes_read(), size as u64);
            assert!(hasher.queue.locked().pieces.is_empty());
        }
    }

    #[test]
    fn a_file_that_is_given_up_leaves_none_of_its_pieces_and_all_of_the_others() {
        let queue = Queue::of(3, None);
        let of = |reader| Pieces::of(&queue, reader, 64 << 20);
        let (mut given_up, mut other) = (of(0), of(1));
        let mut alone = TreeHasher::for_file(64 << 20);
        let len = other.piece_bytes();
        // Nobody works here: three threads without a file have room for six, and the rest is hashed at once.
        for byte in 0..4 {
            given_up.take(&mut vec![byte; READ_BYTES], len);
        }
        for byte in 0..4 {
            other.take(&mut vec![byte; READ_BYTES], len);
            alone.update(&vec![byte; len]);
        }
        assert_eq!(queue.locked().pieces.len(), 6);
        drop(given_up);
        assert_eq!(queue.locked().pieces.len(), 2);
        assert_eq!(other.finish(), alone.finish());
        assert!(queue.locked().pieces.is_empty());
    }

    #[test]
    fn threads_stop_in_the_middle_of_a_shared_file() {
        let (_dir, files, _) = world(&[64 << 20]);
        let (hasher, reports) = start(3, Some(16 << 20), files);
        drop(hasher);
        assert!(reports.recv_timeout(PATIENCE).is_err());
    }
}
