//! Numbers for people: sizes, counts, times.

use std::time::Duration;

/// `4.1 MB`: three digits at most, powers of 1000.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `1,279`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `1,279 files`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `0.4 s`, `41 s`, `9 min`, `3 h 5 min`, `2 d 1 h`.
pub fn time(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// The same, with milliseconds below one second: `0 ms`, `62.5 ms`.
pub fn short_time(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        let tenths = span.as_micros() / 100;
        match tenths % 10 {
            0 => format!("{} ms", tenths / 10),
            tenth => format!("{}.{tenth} ms", tenths / 10),
        }
    } else {
        time(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_not_all_nothing() {
        for (micros, text) in [
            (0, "0 ms"),
            (62_540, "62.5 ms"),
            (60_000, "60 ms"),
            (1_500_000, "1.5 s"),
        ] {
            assert_eq!(short_time(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn numbers_read_well() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (99_949, "99.9 kB"),
            (410_000_000, "410 MB"),
            (999_999, "1.0 MB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "18.4 EB");
        assert_eq!(
            (count(7), count(1_279), count(1_000_000)),
            ("7".into(), "1,279".into(), "1,000,000".into())
        );
        assert_eq!(
            (counted(1, "file", "files"), counted(0, "file", "files")),
            ("1 file".into(), "0 files".into())
        );
        for (ms, text) in [
            (420, "0.4 s"),
            (41_000, "41 s"),
            (540_000, "9 min"),
            (11_100_000, "3 h 5 min"),
            (176_400_000, "2 d 1 h"),
        ] {
            assert_eq!(time(Duration::from_millis(ms)), text);
        }
    }
}
