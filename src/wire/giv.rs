//! GIV: the line with which a firewalled servent begins a connection that a push asked for.
//!
//! `GIV <index>:<servent id, 32 hexadecimal digits>/<anything>`, two line ends; then HTTP requests come from the other
//! side. Source: Gnutella 0.6 draft, "Firewalled servents"; gtk-gnutella writes `/file` and reads as far as the slash.

use std::fmt;

use super::ServentId;

/// A decoded line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Giv {
    /// File index as the push had it; any number, of no meaning today.
    pub index: u32,
    /// Who connects.
    pub servent: ServentId,
}

impl Giv {
    /// Reads the first line of a connection, with or without its end. Behind the id anything may stand, or nothing.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.split(|&byte| byte == b'\n').next()?;
        let rest = line.strip_prefix(b"GIV ")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (index, rest) = rest.split_at(digits);
        let (id, rest) = rest.strip_prefix(b":")?.split_at_checked(32)?;
        if digits == 0 || !matches!(rest.first(), None | Some(b'/' | b'\r')) {
            return None;
        }
        Some(Self {
            index: str::from_utf8(index).ok()?.parse().unwrap_or(u32::MAX),
            servent: ServentId::from_hex(str::from_utf8(id).ok()?)?,
        })
    }
}

/// The line, with both line ends.
impl fmt::Display for Giv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GIV {}:{}/file\n\n", self.index, self.servent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "c91a310276cb2e32267fb076410e15ae";

    #[test]
    fn the_line_of_gtk_gnutella_reads_and_ours_reads_back() {
        let giv = Giv {
            index: 3,
            servent: ServentId::from_hex(ID).unwrap(),
        };
        assert_eq!(giv.to_string(), format!("GIV 3:{ID}/file\n\n"));
        for line in [
            giv.to_string(),
            format!("GIV 3:{}/\r\n\r\n", ID.to_uppercase()),
            format!("GIV 3:{ID}/a name of \u{ff} any kind/x"),
            format!("GIV 3:{ID}\r\n"),
        ] {
            assert_eq!(Giv::parse(line.as_bytes()), Some(giv), "{line:?}");
        }
        let big = format!("GIV 99999999999999999999:{ID}/");
        assert_eq!(Giv::parse(big.as_bytes()).unwrap().index, u32::MAX);
    }

    #[test]
    fn what_names_no_servent_is_none() {
        for line in [
            String::new(),
            "GIV ".into(),
            "GIV 3".into(),
            format!("GIV {ID}/x"),
            format!("GIV :{ID}/x"),
            format!("GIV -1:{ID}/x"),
            format!("GIV 3:{}/x", &ID[1..]),
            format!("GIV 3:{ID}0/x"),
            format!("GIV 3:{}g/x", &ID[1..]),
            format!("giv 3:{ID}/x"),
            format!("GIV 3:\n{ID}/x"),
        ] {
            assert_eq!(Giv::parse(line.as_bytes()), None, "{line:?}");
        }
    }
}
