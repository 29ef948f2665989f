//! The other end of QRP: a neighbour's updates become its table, or cost it the link (Bye 413).
//!
//! Pieces are applied as they come; what is held besides the table is one inflater and one small buffer.

use crate::wire::WireError;
use crate::wire::deflate::{Inflated, Inflater};
use crate::wire::qrp::{Packing, Qrp};

use super::QueryTable;

/// Inflated bytes applied at a time.
const STEP_BYTES: usize = 8 * 1024;

/// What makes a neighbour's updates unusable: Bye 413.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QrpError {
    /// A PATCH without a RESET before it.
    #[error("patch before any reset")]
    NoReset,
    /// A piece that is not the next one, or changes size or form within its sequence.
    #[error("patch out of sequence")]
    OutOfSequence,
    /// The stream of a sequence is damaged, or ends before its last piece.
    #[error("damaged patch")]
    Damaged,
    /// More or fewer deltas than entries.
    #[error("patch of the wrong length")]
    WrongLength,
    /// A field with an impossible value.
    #[error("malformed update")]
    Malformed,
}

/// A sequence under way.
#[derive(Debug)]
struct Sequence {
    next: u8,
    of: u8,
    entry_bits: u8,
    /// `None`: not packed.
    inflater: Option<Box<Inflater>>,
    ended: bool,
    /// Deltas applied so far.
    applied: usize,
}

/// A neighbour's table as far as it has come.
#[derive(Debug, Default)]
pub struct TableReceiver {
    table: Option<QueryTable>,
    sequence: Option<Sequence>,
    complete: bool,
}

impl TableReceiver {
    /// Takes in the payload of one update. `Ok(true)`: a sequence is complete, the table is new.
    ///
    /// # Errors
    /// [`QrpError`]: send Bye 413 and close. Updates of an unknown variant or size are skipped.
    pub fn take(&mut self, payload: &[u8]) -> Result<bool, QrpError> {
        match Qrp::parse(payload) {
            Ok(Qrp::Reset { entries, .. }) => {
                *self = Self {
                    table: Some(QueryTable::new(entries)),
                    sequence: None,
                    complete: false,
                };
                Ok(false)
            }
            Ok(Qrp::Patch {
                number,
                of,
                packing,
                entry_bits,
                data,
            }) => self.patch(number, of, packing, entry_bits, data),
            Err(WireError::Truncated(_)) => Ok(false),
            Err(_) => Err(QrpError::Malformed),
        }
    }

    /// What taking in this payload costs at most, in units of a byte read or an entry touched: a RESET of a few bytes
    /// makes a table of any size, and so may a packed sequence change one.
    pub fn cost(&self, payload: &[u8]) -> u64 {
        let touched = match Qrp::parse(payload) {
            Ok(Qrp::Reset { entries, .. }) => entries,
            Ok(Qrp::Patch { .. }) if self.sequence.is_none() => {
                self.table.as_ref().map_or(0, QueryTable::entries)
            }
            Ok(Qrp::Patch { .. }) | Err(_) => 0,
        };
        payload.len() as u64 + u64::from(touched)
    }

    /// The table, once its first sequence is complete.
    pub fn table(&self) -> Option<&QueryTable> {
        self.table.as_ref().filter(|_| self.complete)
    }

    fn patch(
        &mut self,
        number: u8,
        of: u8,
        packing: Packing,
        entry_bits: u8,
        data: &[u8],
    ) -> Result<bool, QrpError> {
        let table = self.table.as_mut().ok_or(QrpError::NoReset)?;
        let mut sequence = match self.sequence.take() {
            Some(sequence) => sequence,
            None => Sequence {
                next: 1,
                of,
                entry_bits,
                inflater: (packing == Packing::Deflated).then(Box::default),
                ended: false,
                applied: 0,
            },
        };
        let same_form = sequence.inflater.is_some() == (packing == Packing::Deflated);
        if number != sequence.next
            || of != sequence.of
            || entry_bits != sequence.entry_bits
            || !same_form
        {
            return Err(QrpError::OutOfSequence);
        }
        sequence.take_data(data, table)?;
        if number < of {
            sequence.next += 1;
            self.sequence = Some(sequence);
            return Ok(false);
        }
        if sequence.applied != table.entries() as usize {
            return Err(QrpError::WrongLength);
        }
        self.complete = true;
        Ok(true)
    }
}

impl Sequence {
    fn take_data(&mut self, data: &[u8], table: &mut QueryTable) -> Result<(), QrpError> {
        let Some(mut inflater) = self.inflater.take() else {
            return self.apply(data, table);
        };
        let (mut rest, mut raw) = (data, Vec::new());
        loop {
            raw.clear();
            if self.ended {
                return Err(QrpError::Damaged);
            }
            let outcome = inflater
                .inflate(rest, &mut raw, STEP_BYTES)
                .map_err(|_| QrpError::Damaged)?;
            self.apply(&raw, table)?;
            match outcome {
                Inflated::Full(used) => rest = &rest[used..],
                Inflated::All => break,
                Inflated::End(_) => {
                    self.ended = true;
                    break;
                }
            }
        }
        if self.ended && self.next < self.of {
            return Err(QrpError::Damaged);
        }
        self.inflater = Some(inflater);
        Ok(())
    }

    /// Applies deltas, most significant bits first. Only the sign of a delta matters to anyone; of 1 bit it is
    /// "flip".
    fn apply(&mut self, raw: &[u8], table: &mut QueryTable) -> Result<(), QrpError> {
        let bits = u32::from(self.entry_bits);
        let entries = table.entries() as usize;
        let per_byte = 8 / bits as usize;
        for byte in raw {
            // Most of a sequence changes nothing.
            if *byte == 0 && self.applied + per_byte <= entries {
                self.applied += per_byte;
                continue;
            }
            for part in 0..8 / bits {
                if self.applied == entries {
                    // The last byte of a tiny table may have room to spare; a whole byte too many is a lie.
                    if part == 0 {
                        return Err(QrpError::WrongLength);
                    }
                    break;
                }
                let delta = u32::from(*byte) << (24 + part * bits) >> (32 - bits);
                if bits == 1 {
                    if delta == 1 {
                        table.set_entry(self.applied, !table.entry(self.applied));
                    }
                } else if delta != 0 {
                    table.set_entry(self.applied, delta >> (bits - 1) == 1);
                }
                self.applied += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{QueryWords, update};
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER
            .decode(text.replace(' ', "").as_bytes())
            .unwrap()
    }

    fn present(receiver: &TableReceiver) -> Vec<usize> {
        let table = receiver.table().expect("complete");
        (0..table.entries() as usize)
            .filter(|at| table.entry(*at))
            .collect()
    }

    #[test]
    fn the_reference_examples_give_red_and_fox() {
        for patch in [
            "01 01 01 00 04 0f00000000 00000f",
            "01 01 01 00 08 00ff 00000000000000000000000000 ff",
            "01 01 01 01 04 78dae36700037e00008f001f",
            "01 01 01 00 01 4001",
        ] {
            let mut receiver = TableReceiver::default();
            assert_eq!(receiver.take(&hex("00 10000000 02")), Ok(false));
            assert!(
                receiver.table().is_none(),
                "nothing is known before the first sequence is complete"
            );
            assert_eq!(receiver.take(&hex(patch)), Ok(true), "{patch}");
            assert_eq!(present(&receiver), [1, 15], "{patch}");
        }
        let mut receiver = TableReceiver::default();
        for update in [
            "00 10000000 02",
            "01 01 01 00 04 0f00000000 00000f",
            "01 01 01 00 04 0000000000000001",
        ] {
            receiver.take(&hex(update)).unwrap();
        }
        assert_eq!(present(&receiver), [1], "red is removed");
    }

    #[test]
    fn lies_and_disorder_are_errors() {
        let reset = "00 10000000 02";
        for (updates, error) in [
            (vec!["01 01 01 00 04 0f"], QrpError::NoReset),
            (vec!["00 00000000 02"], QrpError::Malformed),
            (vec!["00 0f000000 02"], QrpError::Malformed),
            (vec!["00 10000000 00"], QrpError::Malformed),
            (vec!["00 00000080 02"], QrpError::Malformed),
            (vec![reset, "01 02 02 00 04 0f"], QrpError::OutOfSequence),
            (
                vec![reset, "01 01 02 00 04 0f", "01 01 02 00 04 0f"],
                QrpError::OutOfSequence,
            ),
            (
                vec![reset, "01 01 02 00 04 0f", "01 02 03 00 04 0f"],
                QrpError::OutOfSequence,
            ),
            (
                vec![reset, "01 01 02 00 04 0f", "01 02 02 00 08 0f"],
                QrpError::OutOfSequence,
            ),
            (vec![reset, "01 01 01 00 04 0f"], QrpError::WrongLength),
            (
                vec![reset, "01 01 01 00 04 000000000000000000"],
                QrpError::WrongLength,
            ),
            (vec![reset, "01 01 01 01 04 ffffff"], QrpError::Damaged),
            (
                vec![reset, "01 01 02 01 04 78dae36700037e00008f001f"],
                QrpError::Damaged,
            ),
            (vec![reset, "01 01 01 00 03 00"], QrpError::Malformed),
        ] {
            let mut receiver = TableReceiver::default();
            let outcome: Result<Vec<_>, _> = updates
                .iter()
                .map(|update| receiver.take(&hex(update)))
                .collect();
            assert_eq!(outcome, Err(error), "{updates:?}");
        }
    }

    #[test]
    fn a_deflate_bomb_ends_at_the_size_of_the_table() {
        let bomb = crate::wire::deflate::deflate_whole(&vec![0; 50_000_000]);
        let mut receiver = TableReceiver::default();
        receiver.take(&hex("00 00000100 02")).unwrap();
        let piece = [&[1, 1, 1, 1, 4][..], &bomb].concat();
        assert_eq!(receiver.take(&piece), Err(QrpError::WrongLength));
    }

    #[test]
    fn a_published_65536_table_of_two_words_deflates_to_a_few_bytes() {
        let mut table = QueryTable::new(65_536);
        ["red", "fox"]
            .iter()
            .for_each(|word| table.set(super::super::hash(word)));
        let payloads = update::whole(&table);
        assert_eq!(payloads[0], hex("00 00000100 02"));
        assert_eq!(payloads.len(), 2);
        assert!(payloads[1].len() < 100, "{} bytes", payloads[1].len());
    }

    proptest! {
        #[test]
        fn what_one_end_sends_the_other_end_holds(
            first in proptest::collection::vec("[a-z]{1,12}", 0..300),
            second in proptest::collection::vec("[a-z]{1,12}", 0..300),
            log2 in 3_u32..18,
        ) {
            let table = |words: &[String]| {
                let mut table = QueryTable::new(1 << log2);
                words.iter().for_each(|word| table.set(super::super::hash(word)));
                table
            };
            let (old, new) = (table(&first), table(&second));
            let mut receiver = TableReceiver::default();
            for payload in update::whole(&old) {
                receiver.take(&payload).unwrap();
            }
            prop_assert_eq!(receiver.table(), Some(&old));
            for payload in update::difference(&old, &new) {
                receiver.take(&payload).unwrap();
            }
            prop_assert_eq!(receiver.table(), Some(&new));
            for word in second.iter().filter(|word| word.len() >= 3) {
                prop_assert!(receiver.table().unwrap().matches(&QueryWords::of(word)));
            }
        }

        #[test]
        fn no_bytes_panic(updates in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20)) {
            let mut receiver = TableReceiver::default();
            receiver.take(&hex("00 10000000 02")).unwrap();
            for mut update in updates {
                if let Some(variant) = update.first_mut() {
                    *variant &= 1;
                }
                let _ = receiver.take(&update);
            }
        }
    }
}
