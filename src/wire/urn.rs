//! Content identity as text: SHA-1, base32, `urn:`.

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
        Hashes::of_urn(text)?
            .sha1
            .ok_or(WireError::Malformed("urn:sha1"))
    }
}

/// Root of a Tiger tree over a file: 24 bytes, in text 39 base32 characters.
pub type TigerRoot = [u8; 24];

/// Parses 39 base32 characters of either case.
///
/// # Errors
/// [`WireError::Malformed`] for another length or alphabet.
pub fn tiger_from_base32(text: &str) -> Result<TigerRoot, WireError> {
    data_encoding::BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(WireError::Malformed("Tiger root"))
}

/// 39 upper-case base32 characters.
pub fn tiger_to_base32(root: &TigerRoot) -> String {
    data_encoding::BASE32_NOPAD.encode(root)
}

/// What a URN or a GGEP `H` says about content; one of both at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-1 of the whole file.
    pub sha1: Option<Sha1>,
    /// Tiger tree root.
    pub tiger: Option<TigerRoot>,
}

impl Hashes {
    /// As [`parse`](Self::parse), with `urn:` in front or without.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of_urn(text: &str) -> Result<Self, WireError> {
        Self::parse(strip_urn(text))
    }

    /// Parses `sha1:<32>`, `bitprint:<32>.<39>`, `tree:tiger:<39>`, `tree:tiger/:<39>` or `ttroot:<39>` (a URN
    /// less its `urn:`), in any case.
    ///
    /// # Errors
    /// [`WireError::Malformed`] with `urn:sha1` for a wrong SHA-1, with another name for anything else.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let (kind, value) = text
            .rsplit_once(':')
            .ok_or(WireError::Malformed("urn kind"))?;
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        if is("sha1") {
            return Ok(Self {
                sha1: Some(Sha1::from_base32(value)?),
                tiger: None,
            });
        }
        if is("bitprint") {
            let bad = WireError::Malformed("urn:bitprint");
            let (sha1, tiger) = value.split_once('.').ok_or(bad)?;
            let sha1 = Sha1::from_base32(sha1).map_err(|_| bad)?;
            return Ok(Self {
                sha1: Some(sha1),
                tiger: Some(tiger_from_base32(tiger)?),
            });
        }
        if is("tree:tiger") || is("tree:tiger/") || is("ttroot") {
            return Ok(Self {
                sha1: None,
                tiger: Some(tiger_from_base32(value)?),
            });
        }
        Err(WireError::Malformed("urn kind"))
    }

    /// The value of a GGEP `H`; `None` without a SHA-1, which it cannot do without.
    pub fn to_ggep(self) -> Option<Vec<u8>> {
        let Sha1(sha1) = self.sha1?;
        Some(match self.tiger {
            None => [&[1][..], &sha1].concat(),
            Some(tiger) => [&[2][..], &sha1, &tiger].concat(),
        })
    }

    /// Reads the value of a GGEP `H`: type 1 with a SHA-1, or 2 with a SHA-1 and a Tiger root.
    pub fn from_ggep(value: &[u8]) -> Option<Self> {
        let (&kind, digest) = value.split_first()?;
        let (sha1, rest) = digest.split_first_chunk::<20>()?;
        let tiger = match (kind, rest.len()) {
            (1, 0) => None,
            (2, 24) => Some(rest.try_into().ok()?),
            _ => return None,
        };
        Some(Self {
            sha1: Some(Sha1(*sha1)),
            tiger,
        })
    }
}

pub(super) fn strip_urn(text: &str) -> &str {
    match text.split_at_checked(4) {
        Some((urn, rest)) if urn.eq_ignore_ascii_case("urn:") => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOX: &str = "PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";

    #[test]
    fn a_sha1_reads_in_all_its_forms_and_cases() {
        let fox = Sha1::from_base32(FOX).unwrap();
        let tiger = tiger_to_base32(&[7; 24]);
        assert_eq!(tiger.len(), 39);
        for text in [
            format!("urn:sha1:{FOX}"),
            format!("URN:SHA1:{}", FOX.to_lowercase()),
            format!("sha1:{FOX}"),
            format!("urn:bitprint:{FOX}.{tiger}"),
        ] {
            assert_eq!(text.parse(), Ok(fox), "{text}");
        }
        assert_eq!(fox.to_string(), format!("urn:sha1:{FOX}"));
        let both = Hashes::parse(&format!("bitprint:{FOX}.{tiger}")).unwrap();
        assert_eq!(
            both,
            Hashes {
                sha1: Some(fox),
                tiger: Some([7; 24])
            }
        );
    }

    #[test]
    fn a_tiger_root_reads_in_all_its_forms() {
        let told = Hashes {
            sha1: None,
            tiger: Some([7; 24]),
        };
        let root = tiger_to_base32(&[7; 24]);
        for kind in ["tree:tiger:", "tree:tiger/:", "TTROOT:"] {
            assert_eq!(Hashes::parse(&format!("{kind}{root}")), Ok(told), "{kind}");
            assert!(format!("urn:{kind}{root}").parse::<Sha1>().is_err());
        }
        let uneven = format!("{}B", &root[..38]);
        assert!(
            tiger_from_base32(&uneven).is_err(),
            "bits beyond the last byte"
        );
    }

    #[test]
    fn what_is_no_sha1_is_refused() {
        let long = format!("urn:sha1:{FOX}A");
        for text in [
            "",
            "urn:",
            "urn:sha1:",
            "urn:sha1:0",
            "urn:md5:abc",
            "urn:bitprint:x",
            &long,
            "é",
        ] {
            assert!(text.parse::<Sha1>().is_err(), "{text}");
        }
    }
}
