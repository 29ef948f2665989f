//! Vendor messages (0x31, 0x32): small agreements between neighbours, never passed on.
//!
//! Those that concern us are values; all others stay bytes. Longer data than we know is legal: the known
//! beginning is read.

use super::WireError;

/// Entries read of one list of messages or features.
pub const ENTRIES_MAX: usize = 256;

/// A decoded vendor message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vendor<'a> {
    /// null/0 v0: the vendor messages that the sender reads. Once, after the greeting.
    MessagesSupported(Vec<VendorId>),
    /// null/10 v0: its features. Once, after the greeting.
    FeaturesSupported(Vec<Feature>),
    /// BEAR/4 v1: from now on only queries that travelled fewer hops; 0 none, 255 all.
    HopsFlow(u8),
    /// Any other.
    Other(VendorId, &'a [u8]),
}

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendorId {
    /// Who invented it; zeros for those of all.
    pub vendor: [u8; 4],
    /// Its number with that vendor.
    pub selector: u16,
    /// Its version.
    pub version: u16,
}

/// One feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Such as `TLS!`.
    pub name: [u8; 4],
    /// Its version.
    pub version: u16,
}

impl<'a> Vendor<'a> {
    /// Decodes the payload of a vendor message.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 8 bytes, or when a list is shorter than its count;
    /// [`WireError::Limit`] for more than [`ENTRIES_MAX`] entries.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let (id, data) = payload
            .split_first_chunk::<ID_BYTES>()
            .ok_or(WireError::Truncated("vendor message"))?;
        let id = VendorId::from_bytes(*id);
        Ok(match id {
            MESSAGES_SUPPORTED => Self::MessagesSupported(read_list(data, VendorId::from_bytes)?),
            FEATURES_SUPPORTED => Self::FeaturesSupported(read_list(data, Feature::from_bytes)?),
            HOPS_FLOW => Self::HopsFlow(*data.first().ok_or(WireError::Truncated("hops flow"))?),
            _ => Self::Other(id, data),
        })
    }

    /// Encodes the payload. Of a list the first [`ENTRIES_MAX`] entries go out.
    pub fn build(&self) -> Vec<u8> {
        let mut out = self.id().to_bytes().to_vec();
        match self {
            Self::MessagesSupported(all) => write_list(all, VendorId::to_bytes, &mut out),
            Self::FeaturesSupported(all) => write_list(all, Feature::to_bytes, &mut out),
            Self::HopsFlow(hops) => out.push(*hops),
            Self::Other(_, data) => out.extend_from_slice(data),
        }
        out
    }

    /// Which message it is.
    pub fn id(&self) -> VendorId {
        match self {
            Self::MessagesSupported(_) => MESSAGES_SUPPORTED,
            Self::FeaturesSupported(_) => FEATURES_SUPPORTED,
            Self::HopsFlow(_) => HOPS_FLOW,
            Self::Other(id, _) => *id,
        }
    }
}

/// null/0 v0.
pub const MESSAGES_SUPPORTED: VendorId = VendorId {
    vendor: [0; 4],
    selector: 0,
    version: 0,
};
/// null/10 v0.
pub const FEATURES_SUPPORTED: VendorId = VendorId {
    vendor: [0; 4],
    selector: 10,
    version: 0,
};
/// BEAR/4 v1.
pub const HOPS_FLOW: VendorId = VendorId {
    vendor: *b"BEAR",
    selector: 4,
    version: 1,
};

/// Bytes before the data.
const ID_BYTES: usize = 8;
/// Bytes of one feature.
const FEATURE_BYTES: usize = 6;

impl VendorId {
    fn from_bytes([a, b, c, d, s0, s1, v0, v1]: [u8; ID_BYTES]) -> Self {
        let (selector, version) = (u16::from_le_bytes([s0, s1]), u16::from_le_bytes([v0, v1]));
        Self {
            vendor: [a, b, c, d],
            selector,
            version,
        }
    }

    fn to_bytes(self) -> [u8; ID_BYTES] {
        let ([a, b, c, d], [s0, s1]) = (self.vendor, self.selector.to_le_bytes());
        let [v0, v1] = self.version.to_le_bytes();
        [a, b, c, d, s0, s1, v0, v1]
    }
}

impl Feature {
    fn from_bytes([a, b, c, d, v0, v1]: [u8; FEATURE_BYTES]) -> Self {
        Self {
            name: [a, b, c, d],
            version: u16::from_le_bytes([v0, v1]),
        }
    }

    fn to_bytes(self) -> [u8; FEATURE_BYTES] {
        let ([a, b, c, d], [v0, v1]) = (self.name, self.version.to_le_bytes());
        [a, b, c, d, v0, v1]
    }
}

fn read_list<T, const N: usize>(
    data: &[u8],
    entry: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, WireError> {
    let cut = WireError::Truncated("vendor message list");
    let (count, entries) = data.split_first_chunk::<2>().ok_or(cut)?;
    let count = usize::from(u16::from_le_bytes(*count));
    if count > ENTRIES_MAX {
        return Err(WireError::Limit("vendor message list"));
    }
    let entries = entries.get(..count * N).ok_or(cut)?;
    Ok(entries
        .as_chunks::<N>()
        .0
        .iter()
        .copied()
        .map(entry)
        .collect())
}

fn write_list<T: Copy, const N: usize>(all: &[T], entry: impl Fn(T) -> [u8; N], out: &mut Vec<u8>) {
    let sent = &all[..all.len().min(ENTRIES_MAX)];
    let count = u16::try_from(sent.len()).expect("at most ENTRIES_MAX");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend(sent.iter().flat_map(|&one| entry(one)));
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
        let push_proxy = VendorId {
            vendor: *b"LIME",
            selector: 21,
            version: 1,
        };
        for (payload, told) in [
            (
                "00000000 0000 0000 0200 42454152 0400 0100 4c494d45 1500 0100",
                Vendor::MessagesSupported(vec![HOPS_FLOW, push_proxy]),
            ),
            ("42454152 0400 0100 00", Vendor::HopsFlow(0)),
            (
                "00000000 0a00 0000 0100 544c5321 0100",
                Vendor::FeaturesSupported(vec![Feature {
                    name: *b"TLS!",
                    version: 1,
                }]),
            ),
            ("4c494d45 1500 0100", Vendor::Other(push_proxy, &[])),
        ] {
            let payload = hex(payload);
            assert_eq!(Vendor::parse(&payload), Ok(told.clone()));
            assert_eq!(told.build(), payload);
        }
    }

    #[test]
    fn more_data_than_known_is_passed_over_and_less_is_refused() {
        assert_eq!(
            Vendor::parse(&hex("42454152 0400 0100 03 ffff")),
            Ok(Vendor::HopsFlow(3))
        );
        for bad in [
            "42454152 0400 01",
            "42454152 0400 0100",
            "00000000 0000 0000 01",
            "00000000 0000 0000 0200 42454152 0400 0100",
            "00000000 0000 0000 ffff",
        ] {
            assert!(Vendor::parse(&hex(bad)).is_err(), "{bad}");
        }
    }
}
