//! The page of several runs: the page of one, with other data.

use serde_json::{Value, json};

use super::figures::{Difference, Unit, same_questions};
use super::read::Run;
use crate::cli::lab::record::page::fill;

/// Points of one curve: more than a screen shows.
const POINTS_MAX: usize = 200;
/// Pairs of queries that are drawn.
const PAIRS_MAX: usize = 1_000;

/// The page.
pub(super) fn page(runs: &[Run], differences: &[Difference]) -> String {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let curve = |values: Vec<f64>| {
        curve(values)
            .into_iter()
            .map(Value::from)
            .collect::<Vec<_>>()
    };
    let told: Vec<Value> = runs
        .iter()
        .map(|run| {
            let times = run.asked.iter().filter_map(|query| query.first_hit_ms);
            let messages = run.asked.iter().map(|query| super::read::real(query.messages));
            json!({
                "name": run.name,
                "about": super::about(run),
                "curves": { "first_hit_ms": curve(times.collect()), "messages": curve(messages.collect()) },
            })
        })
        .collect();
    let pairs: Vec<Value> = match runs {
        [first, second] if same_questions(first, second) => {
            let pairs = first.asked.iter().zip(&second.asked).take(PAIRS_MAX);
            pairs
                .map(|(one, other)| {
                    json!({
                        "from": one.from, "query": one.words,
                        "messages": [one.messages, other.messages], "first_hit_ms": [one.first_hit_ms, other.first_hit_ms],
                    })
                })
                .collect()
        }
        _ => Vec::new(),
    };
    let differ: Vec<Value> = differences
        .iter()
        .map(|one| {
            let (mark, scale) = match one.named().unit {
                Unit::Share => (", %", 100),
                Unit::Millis => (", ms", 1),
                Unit::Count => ("", 1),
            };
            json!({
                "what": format!("{}{mark}", one.what(&runs[0])), "scale": scale,
                "first": one.first, "second": one.second, "difference": one.change, "percent": one.percent,
            })
        })
        .collect();
    fill(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": names.join(", "),
        "about": super::about_all(runs),
        "again": format!("filbert lab report {}", runs.iter().map(|run| run.dir.display().to_string()).collect::<Vec<_>>().join(" ")),
        "runs": told,
        "pairs": pairs,
        "differences": differ,
        "report": { "rows": super::rows(runs) },
    }))
}

/// What share of the values is no higher than each of them: points of a step curve.
fn curve(mut values: Vec<f64>) -> Vec<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let stride = count.div_ceil(POINTS_MAX).max(1);
    let share = |at: usize| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "queries of a run are far below 2^53"
        )]
        let share = (at + 1) as f64 / count as f64;
        share
    };
    let last = count.checked_sub(1);
    let kept = (0..count).filter(|at| at % stride == 0 || Some(*at) == last);
    kept.map(|at| [values[at], share(at)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_at_the_highest_value_with_all_of_them() {
        assert_eq!(curve(vec![3.0, 1.0]), [[1.0, 0.5], [3.0, 1.0]]);
        let many = curve((0..1_000).map(f64::from).collect());
        assert!(many.len() <= POINTS_MAX + 1);
        assert_eq!(many.last(), Some(&[999.0, 1.0]));
        assert!(curve(Vec::new()).is_empty());
    }
}
