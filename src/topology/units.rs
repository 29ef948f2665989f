//! Amounts with units as people write them: `5ms`, `1.2MB`, `10MB/s`.

use std::time::Duration;

/// Splits `text` into a number that is not negative and the unit behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

/// `number` as whole units, if it fits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn whole(number: f64) -> Option<u64> {
    // 2^53: above, a float no longer tells neighbours apart.
    (0.0..9_007_199_254_740_992.0)
        .contains(&number)
        .then(|| number.round() as u64)
}

/// Reads a span of time: a number and `ns`, `us`, `ms`, `s`, `m` or `h`. `None` for anything else.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let nanos = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return None,
    };
    whole(number * nanos).map(Duration::from_nanos)
}

/// Writes a span of time so that [`parse_duration`] reads it back.
pub(super) fn show_duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    for (unit, name) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] {
        if nanos >= unit && nanos.is_multiple_of(unit) {
            return format!("{}{name}", nanos / unit);
        }
    }
    format!("{nanos}ns")
}

/// Reads an amount of bytes: a number and `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`, `GiB`,
/// `TiB` (powers of 1024), in any case. `None` for anything else.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    whole(number * bytes)
}

/// Reads bytes a second: an amount of bytes and `/s`. `None` for anything else and for 0, which would never
/// let anything pass.
pub fn parse_rate(text: &str) -> Option<u64> {
    parse_size(text.trim().strip_suffix("/s")?).filter(|rate| *rate > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_with_units_are_read() {
        assert_eq!(parse_duration("5ms"), Some(Duration::from_millis(5)));
        assert_eq!(parse_duration("1.5 s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_size("1.2MB"), Some(1_200_000));
        assert_eq!(parse_size("4KiB"), Some(4096));
        assert_eq!(parse_size("17"), Some(17));
        assert_eq!(parse_rate("10MB/s"), Some(10_000_000));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            "ms",
            "5",
            "-5ms",
            "5 lightyears",
            "1e9s",
            "999999999h",
            "NaNs",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for text in ["", "MB", "-1", "1.2.3MB", "1 XB", "99999999TB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        for text in ["10MB", "0B/s", "/s", "fast"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn a_written_span_reads_back() {
        for nanos in [0, 1, 999, 1_000, 5_000_000, 5_000_001, 60_000_000_000] {
            let span = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(&show_duration(span)), Some(span));
        }
    }
}
