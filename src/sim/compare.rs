//! Runs side by side: what each strategy or setting costs and finds, over several seeds, with confidence intervals.
//!
//! Each seed draws its own graph (where one is drawn), copies and queries, and every variant is run on the same ones: a
//! difference between two rows of one seed is due to what differs between them.

use serde::{Deserialize, Serialize};

use super::report::Report;

/// A mean over seeds, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Mean over the seeds.
    pub mean: f64,
    /// Half of the 95 % confidence interval (Student's t); absent for one seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95: Option<f64>,
}

/// One variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What sets it apart, such as `walk:k=16` or `flood ttl=4`.
    pub name: String,
    /// Runs, one for each seed.
    pub seeds: usize,
    /// Queries with a hit, as a share of all.
    pub success: Figure,
    /// Messages of a query.
    pub messages: Figure,
    /// 95 % of the queries took no more messages.
    pub messages_p95: Figure,
    /// Duplicates, as a share of messages.
    pub duplicate_share: Figure,
    /// Nodes reached, the asker not counted.
    pub reached: Figure,
    /// Bytes of a query, its hits included.
    pub bytes: Figure,
    /// Hops to the first hit, of queries with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<Figure>,
    /// Milliseconds to the first hit that half of the queries with one took at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_hit_ms_p50: Option<Figure>,
    /// The same for 95 % of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_hit_ms_p95: Option<Figure>,
    /// Messages of a query that the busiest node got.
    pub load_max: Figure,
}

/// Student's t for a two-sided 95 % interval with 1 to 30 degrees of freedom; beyond, the normal's 1.96 is near
/// enough. Source: any table of the distribution.
const T95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

impl Figure {
    /// The mean of these values; `None`: there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "seeds of a run are few")]
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let ci95 = (values.len() > 1).then(|| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let t = T95.get(values.len() - 2).copied().unwrap_or(1.96);
            t * (squares / (n - 1.0)).sqrt() / n.sqrt()
        });
        Some(Self { mean, ci95 })
    }
}

impl Row {
    /// One variant, by the reports of its runs; `None`: there are none, or none asked anything.
    pub fn of(name: impl Into<String>, reports: &[Report]) -> Option<Self> {
        let each = |figure: &dyn Fn(&Report) -> Option<f64>| {
            let values: Vec<f64> = reports.iter().filter_map(figure).collect();
            Figure::of(&values)
        };
        let summary = |figure: fn(&super::report::Summary) -> f64| {
            each(&move |report: &Report| report.summary.as_ref().map(figure))
        };
        Some(Self {
            name: name.into(),
            seeds: reports.len(),
            #[expect(clippy::cast_precision_loss, reason = "queries are far below 2^53")]
            success: summary(|all| all.answered as f64 / all.queries as f64)?,
            messages: summary(|all| all.messages_mean)?,
            #[expect(clippy::cast_precision_loss, reason = "messages are far below 2^53")]
            messages_p95: summary(|all| all.messages_p95 as f64)?,
            duplicate_share: summary(|all| all.duplicate_share)?,
            reached: summary(|all| all.reached_mean)?,
            bytes: each(&|report| bytes_mean(report))?,
            hops: each(&|report| report.summary.as_ref()?.first_hit_hops_mean),
            first_hit_ms_p50: each(&|report| percentile(report, 50)),
            first_hit_ms_p95: each(&|report| percentile(report, 95)),
            load_max: each(&|report| report.load_max)?,
        })
    }
}

fn bytes_mean(report: &Report) -> Option<f64> {
    let bytes: u64 = report.queries.iter().map(|query| query.bytes).sum();
    #[expect(
        clippy::cast_precision_loss,
        reason = "bytes of a run are far below 2^53"
    )]
    (!report.queries.is_empty()).then(|| bytes as f64 / report.queries.len() as f64)
}

/// Time to the first hit that so many of a hundred queries with one took at most.
fn percentile(report: &Report, percent: usize) -> Option<f64> {
    let mut times: Vec<f64> = report
        .queries
        .iter()
        .filter_map(|query| query.first_hit_ms)
        .collect();
    times.sort_by(f64::total_cmp);
    let at = (times.len() * percent).div_ceil(100).checked_sub(1)?;
    times.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_a_mean_with_its_interval() {
        assert_eq!(Figure::of(&[]), None);
        let one = Figure::of(&[3.0]).unwrap();
        assert_eq!((one.mean, one.ci95), (3.0, None));
        // n = 4, standard deviation 2: 3.182 * 2 / 2.
        let four = Figure::of(&[1.0, 3.0, 3.0, 5.0]).unwrap();
        assert!((four.mean - 3.0).abs() < 1e-12);
        let spread = (8.0_f64 / 3.0).sqrt();
        assert!((four.ci95.unwrap() - 3.182 * spread / 2.0).abs() < 1e-9);
    }
}
