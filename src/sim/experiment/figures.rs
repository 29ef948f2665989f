//! What an experiment measured, what it should have measured, and whether that is near enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A mean of many values, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// The mean.
    pub value: f64,
    /// Half of its 95 % confidence interval, taking the values as independent; absent for what is no mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95: Option<f64>,
    /// Values it is the mean of.
    pub n: u64,
}

/// Sums of one figure.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    n: f64,
    sum: f64,
    squares: f64,
}

/// Figures by name.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    sums: BTreeMap<String, Sums>,
    plain: BTreeMap<String, Measurement>,
}

impl Figures {
    /// One value more of a figure that is a mean.
    pub(super) fn add(&mut self, name: impl Into<String>, value: f64) {
        let sums = self.sums.entry(name.into()).or_default();
        sums.n += 1.0;
        sums.sum += value;
        sums.squares += value * value;
    }

    /// A figure that is no mean, of so many values.
    pub(super) fn set(&mut self, name: impl Into<String>, value: f64, n: u64) {
        let ci95 = None;
        self.plain
            .insert(name.into(), Measurement { value, ci95, n });
    }

    /// A figure.
    pub fn get(&self, name: &str) -> Option<Measurement> {
        let mean = |sums: &Sums| {
            let value = sums.sum / sums.n;
            let ci95 = (sums.n > 1.0).then(|| {
                let spread = (sums.squares - sums.n * value * value).max(0.0) / (sums.n - 1.0);
                // Hundreds of values: the normal's factor is near enough.
                1.96 * (spread / sums.n).sqrt()
            });
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count"
            )]
            let n = sums.n as u64;
            Measurement { value, ci95, n }
        };
        self.plain
            .get(name)
            .copied()
            .or_else(|| self.sums.get(name).map(mean))
    }

    /// The mean of a figure that is known to be there.
    pub(super) fn mean(&self, name: &str) -> f64 {
        self.get(name).map_or(f64::NAN, |measured| measured.value)
    }

    /// The names of all figures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plain
            .keys()
            .chain(self.sums.keys())
            .map(String::as_str)
    }
}

/// Where a target is from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Follows from the definition.
    Exact,
    /// In the text of the source itself.
    Published,
    /// Told by others about the source.
    SecondHand,
    /// From an independent calculation on the same graph.
    Calculated,
    /// Remembered, not looked up; never the only one for what it is about.
    Memory,
}

impl Evidence {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Published => "published",
            Self::SecondHand => "second-hand",
            Self::Calculated => "calculated",
            Self::Memory => "from memory",
        }
    }
}

/// What is near enough.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Bound {
    /// The first, give or take the second.
    Is(f64, f64),
    /// The first, give or take so many percent of it.
    IsPercent(f64, f64),
    /// No less.
    AtLeast(f64),
    /// Between both.
    Between(f64, f64),
}

impl Bound {
    /// The least and the most that will do.
    pub fn range(self) -> (f64, f64) {
        match self {
            Self::Is(target, within) => (target - within, target + within),
            Self::IsPercent(target, percent) => {
                let within = target.abs() * percent / 100.0;
                (target - within, target + within)
            }
            Self::AtLeast(least) => (least, f64::INFINITY),
            Self::Between(least, most) => (least, most),
        }
    }

    /// The target itself, if it is one number.
    pub fn target(self) -> Option<f64> {
        match self {
            Self::Is(target, _) | Self::IsPercent(target, _) => Some(target),
            Self::AtLeast(_) | Self::Between(..) => None,
        }
    }
}

/// As tables show it.
impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(target, within) if *within <= 0.0 => write!(f, "{target}"),
            Self::Is(target, within) => write!(f, "{target} ± {within}"),
            Self::IsPercent(target, percent) => write!(f, "{target} ± {percent} %"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::Between(least, most) => write!(f, "{least} … {most}"),
        }
    }
}

/// A figure that must come out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name.
    pub figure: String,
    /// What it must be.
    pub must: Bound,
    /// Where that is from.
    pub evidence: Evidence,
    /// What a reader must know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A target beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The target.
    #[serde(flatten)]
    pub target: Target,
    /// What was measured.
    pub measured: Measurement,
    /// Within the tolerance?
    pub ok: bool,
}

impl Verdict {
    pub(super) fn new(target: &Target, measured: Measurement) -> Self {
        let (least, most) = target.must.range();
        // A last digit of binary fractions is no difference.
        let slack = f64::EPSILON * 4.0 * least.abs().max(measured.value.abs());
        Self {
            target: target.clone(),
            measured,
            ok: measured.value >= least - slack && measured.value <= most + slack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(must: Bound, value: f64) -> bool {
        let target = Target {
            figure: "x".to_owned(),
            must,
            evidence: Evidence::Exact,
            note: None,
        };
        let (ci95, n) = (None, 1);
        Verdict::new(&target, Measurement { value, ci95, n }).ok
    }

    #[test]
    fn a_verdict_is_within_its_bounds_and_never_beyond() {
        assert!(verdict(Bound::Is(5.0, 0.0), 5.0) && !verdict(Bound::Is(5.0, 0.0), 5.000_001));
        assert!(verdict(Bound::Is(5.0, 0.5), 5.5) && !verdict(Bound::Is(5.0, 0.5), 4.49));
        assert!(verdict(Bound::IsPercent(200.0, 5.0), 190.0));
        assert!(!verdict(Bound::IsPercent(200.0, 5.0), 189.0));
        assert!(verdict(Bound::AtLeast(80.0), 303.0) && !verdict(Bound::AtLeast(80.0), 79.0));
        assert!(verdict(Bound::Between(1.0, 2.0), 1.5) && !verdict(Bound::Between(1.0, 2.0), 2.5));
        assert!(
            !verdict(Bound::Is(5.0, 0.5), f64::NAN),
            "no figure is no success"
        );
    }

    #[test]
    fn a_mean_has_an_interval() {
        let mut figures = Figures::default();
        for value in [1.0, 3.0, 3.0, 5.0] {
            figures.add("x", value);
        }
        figures.set("y", 7.0, 4);
        let measured = figures.get("x").unwrap();
        assert!((measured.value - 3.0).abs() < 1e-12 && measured.n == 4);
        let spread = (8.0_f64 / 3.0).sqrt() / 2.0;
        assert!((measured.ci95.unwrap() - 1.96 * spread).abs() < 1e-9);
        assert_eq!(figures.get("y").unwrap().ci95, None);
        assert_eq!(figures.get("z"), None);
    }
}
