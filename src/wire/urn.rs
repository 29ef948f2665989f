//! Content identity as text: SHA-1, base32, `urn:` and `magnet:`.

use std::fmt;
use std::str::FromStr;

use super::WireError;

/// SHA-1 of a whole file: 20 bytes, in text 32 base32 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha1(pub [u8; 20]);

impl Sha1 {
    /// Parses 32 base32 characters of either case (no `urn:` in front).
    ///
    /// # Errors
    /// [`WireError::Malformed`] for another length or alphabet.
    pub fn from_base32(text: &str) -> Result<Self, WireError> {
        data_encoding::BASE32_NOPAD
            .decode(text.to_ascii_uppercase().as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(WireError::Malformed("urn:sha1"))
    }

    /// 32 upper-case base32 characters.
    pub fn to_base32(&self) -> String {
        data_encoding::BASE32_NOPAD.encode(&self.0)
    }
}

/// `urn:sha1:<32>`.
impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "urn:sha1:{}", self.to_base32())
    }
}

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Reads `urn:sha1:<32>`, `urn:bitprint:<32>.<39>` or `sha1:<32>`, in any case.
impl FromStr for Sha1 {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let lower = text.to_ascii_lowercase();
        let rest = lower.strip_prefix("urn:").unwrap_or(&lower);
        if let Some(hash) = rest.strip_prefix("sha1:") {
            return Self::from_base32(hash);
        }
        match rest
            .strip_prefix("bitprint:")
            .and_then(|both| both.split_once('.'))
        {
            Some((hash, _)) => Self::from_base32(hash),
            None => Err(WireError::Malformed("urn")),
        }
    }
}
