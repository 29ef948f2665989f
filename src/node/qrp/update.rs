//! Our end of QRP: the updates that bring a neighbour's copy of our table from one state to the next.

use crate::wire::deflate::deflate_whole;
use crate::wire::qrp::{Packing, Qrp};

use super::QueryTable;

/// What stands for "absent" (gtk-gnutella); present is one less.
const INFINITY: u8 = 2;
/// Delta that makes an entry present, as 4 bits: 1 - INFINITY.
const PRESENT: u8 = 0xF;
/// Delta that makes an entry absent, as 4 bits: INFINITY - 1.
const ABSENT: u8 = 0x1;
/// Bits of an entry: the one form that everybody reads.
const ENTRY_BITS: u8 = 4;
/// Bytes of one piece, unless that would make more than 255 of them.
const PIECE_BYTES: usize = 2_048;

/// The payloads of a RESET and one PATCH sequence that give a neighbour all of `table`.
pub fn whole(table: &QueryTable) -> Vec<Vec<u8>> {
    let mut payloads = vec![
        Qrp::Reset {
            entries: table.entries(),
            infinity: INFINITY,
        }
        .build(),
    ];
    payloads.extend(patches(None, table));
    payloads
}

/// The payloads that bring a neighbour from `old` to `new`: by difference when the sizes are equal, else whole.
/// Empty when nothing has changed.
pub fn difference(old: &QueryTable, new: &QueryTable) -> Vec<Vec<u8>> {
    if old == new {
        Vec::new()
    } else if old.entries() == new.entries() {
        patches(Some(old), new)
    } else {
        whole(new)
    }
}

fn patches(old: Option<&QueryTable>, new: &QueryTable) -> Vec<Vec<u8>> {
    let delta = |at: usize| match (old.is_some_and(|old| old.entry(at)), new.entry(at)) {
        (false, true) => PRESENT,
        (true, false) => ABSENT,
        (false, false) | (true, true) => 0,
    };
    let entries = new.entries() as usize;
    let raw: Vec<u8> = (0..entries)
        .step_by(2)
        .map(|at| delta(at) << 4 | if at + 1 < entries { delta(at + 1) } else { 0 })
        .collect();
    let packed = deflate_whole(&raw);
    let piece = PIECE_BYTES.max(packed.len().div_ceil(255));
    let pieces: Vec<_> = packed.chunks(piece).collect();
    let of = u8::try_from(pieces.len()).expect("pieces are cut so that 255 are enough");
    (1..=of)
        .zip(pieces)
        .map(|(number, data)| {
            Qrp::Patch {
                number,
                of,
                packing: Packing::Deflated,
                entry_bits: ENTRY_BITS,
                data,
            }
            .build()
        })
        .collect()
}
