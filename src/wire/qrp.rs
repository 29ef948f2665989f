//! Query routing table updates (0x30): RESET and PATCH, framed. Tables are kept elsewhere.

use super::WireError;

/// Entries of a table; a larger one is refused (gtk-gnutella's largest).
pub const ENTRIES_MAX: u32 = 1 << 21;

/// A decoded update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qrp<'a> {
    /// Start over with this many entries, all absent.
    Reset {
        /// A power of two, at most [`ENTRIES_MAX`].
        entries: u32,
        /// What stands for absent, not 0.
        infinity: u8,
    },
    /// One piece of one delta for every entry.
    Patch {
        /// Number of this piece, 1 to `of`.
        number: u8,
        /// Pieces of the sequence.
        of: u8,
        /// How the joined pieces are packed.
        packing: Packing,
        /// Bits of an entry: 1, 2, 4 or 8.
        entry_bits: u8,
        /// Bytes of this piece.
        data: &'a [u8],
    },
}

/// How the joined pieces of a sequence are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// One zlib stream.
    Deflated,
}

impl<'a> Qrp<'a> {
    /// Decodes the payload of an update.
    ///
    /// # Errors
    /// [`WireError::Truncated`] for a wrong length or an unknown variant: drop it. [`WireError::Malformed`] or
    /// [`WireError::Limit`] for values that break the sequence: Bye 413.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        match *payload {
            [0, e0, e1, e2, e3, infinity] => {
                let entries = u32::from_le_bytes([e0, e1, e2, e3]);
                if !entries.is_power_of_two() || infinity == 0 {
                    return Err(WireError::Malformed("QRP reset"));
                }
                if entries > ENTRIES_MAX {
                    return Err(WireError::Limit("QRP reset"));
                }
                Ok(Self::Reset { entries, infinity })
            }
            [1, number, of, packing, entry_bits, ref data @ ..] if !data.is_empty() => {
                let packing = match packing {
                    0 => Packing::Plain,
                    1 => Packing::Deflated,
                    _ => return Err(WireError::Malformed("QRP patch")),
                };
                if number == 0 || number > of || !matches!(entry_bits, 1 | 2 | 4 | 8) {
                    return Err(WireError::Malformed("QRP patch"));
                }
                Ok(Self::Patch {
                    number,
                    of,
                    packing,
                    entry_bits,
                    data,
                })
            }
            _ => Err(WireError::Truncated("QRP update")),
        }
    }

    /// Encodes the payload.
    pub fn build(&self) -> Vec<u8> {
        match *self {
            Self::Reset { entries, infinity } => {
                let [e0, e1, e2, e3] = entries.to_le_bytes();
                vec![0, e0, e1, e2, e3, infinity]
            }
            Self::Patch {
                number,
                of,
                packing,
                entry_bits,
                data,
            } => {
                let packing = match packing {
                    Packing::Plain => 0,
                    Packing::Deflated => 1,
                };
                [&[1, number, of, packing, entry_bits], data].concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER
            .decode(text.replace(' ', "").as_bytes())
            .unwrap()
    }

    #[test]
    fn examples_of_the_reference_read_and_write() {
        let patch = |packing, entry_bits, data| Qrp::Patch {
            number: 1,
            of: 1,
            packing,
            entry_bits,
            data,
        };
        let plain = hex("0f0000000000000f");
        let deflated = hex("78dae36700037e00008f001f");
        for (payload, told) in [
            (
                "00 10000000 02",
                Qrp::Reset {
                    entries: 16,
                    infinity: 2,
                },
            ),
            (
                "00 00000100 02",
                Qrp::Reset {
                    entries: 65_536,
                    infinity: 2,
                },
            ),
            (
                "01 01 01 00 04 0f0000000000000f",
                patch(Packing::Plain, 4, &plain),
            ),
            (
                "01 01 01 01 04 78dae36700037e00008f001f",
                patch(Packing::Deflated, 4, &deflated),
            ),
        ] {
            let payload = hex(payload);
            assert_eq!(Qrp::parse(&payload), Ok(told));
            assert_eq!(told.build(), payload);
        }
    }

    #[test]
    fn what_breaks_a_sequence_is_told_from_what_is_dropped() {
        for dropped in [
            "",
            "00",
            "00 10000000",
            "00 10000000 02 00",
            "01 01 01 00 04",
            "02 10000000 02",
        ] {
            assert!(
                matches!(Qrp::parse(&hex(dropped)), Err(WireError::Truncated(_))),
                "{dropped}"
            );
        }
        for fatal in [
            "00 00000000 02",
            "00 11000000 02",
            "00 10000000 00",
            "00 00004000 02",
            "01 00 01 00 04 00",
            "01 02 01 00 04 00",
            "01 01 01 02 04 00",
            "01 01 01 00 03 00",
        ] {
            let error = Qrp::parse(&hex(fatal)).unwrap_err();
            assert!(
                matches!(error, WireError::Malformed(_) | WireError::Limit(_)),
                "{fatal}"
            );
        }
    }
}
