//! The report of experiments: one page of Markdown with its plots.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{Run, word};
use crate::cli::exit::{Exit, Failure};
use crate::sim::experiment::Measurement;

/// The page.
const PAGE: &str = "experiments.md";
/// The folder of its plots.
const PLOTS: &str = "experiments";

/// Writes the page and its plots into a folder.
///
/// # Errors
/// Something cannot be written.
pub(super) fn write(dir: &Path, runs: &[Run]) -> Result<(), Failure> {
    let plots = dir.join(PLOTS);
    fs::create_dir_all(&plots).map_err(|error| disk(&plots, &error))?;
    let mut page = format!(
        "# Experiments\n\n\
         Known results, reproduced in virtual time by filbert {}. Written by `scripts/experiments`, which fails when a figure is \
         out of tolerance; do not edit. Targets and tolerances stand in `topology-configs/experiments/`; they were set before the \
         figures were measured; where something was changed or fitted afterwards, the experiment says so.\n\n\
         *In the core* are queries that the routing core that ships was asked; where there are fewer of those than values, a search \
         through the graph stands for the rest, and each query in the core cost exactly what that search says. After ± behind a \
         measured figure: half its 95 % interval over askers (and seeds).\n\n\
         | | shows | figures | in tolerance | verdict |\n|---|---|---|---|---|\n",
        env!("CARGO_PKG_VERSION")
    );
    let put = |page: &mut String, text: std::fmt::Arguments<'_>| {
        page.write_fmt(text).expect("a string takes all");
    };
    for run in runs {
        let good = run.verdicts.iter().filter(|verdict| verdict.ok).count();
        put(
            &mut page,
            format_args!(
                "| [{id}](#{anchor}) | {} | {} | {good} | {} |\n",
                run.experiment.title,
                run.verdicts.len(),
                word(run.ok()),
                id = run.experiment.id,
                anchor = run.experiment.id.to_lowercase(),
            ),
        );
    }
    for run in runs {
        let experiment = &run.experiment;
        put(
            &mut page,
            format_args!(
                "\n## {}\n\n**{}.** {}\n\n| figure | target | measured | values | evidence | verdict |\n|---|---|---|---|---|---|\n",
                experiment.id, experiment.title, experiment.about
            ),
        );
        for verdict in &run.verdicts {
            let target = &verdict.target;
            put(
                &mut page,
                format_args!(
                    "| {} | {} | {} | {} | {} | {} |\n",
                    target.figure,
                    target.must,
                    measured(verdict.measured),
                    verdict.measured.n,
                    target.evidence.word(),
                    word(verdict.ok)
                ),
            );
        }
        let notes = run.verdicts.iter().filter_map(|verdict| {
            let note = verdict.target.note.as_ref()?;
            Some(format!("- {}: {note}\n", verdict.target.figure))
        });
        let notes: String = notes.collect();
        if !notes.is_empty() {
            put(&mut page, format_args!("\n{notes}"));
        }
        put(&mut page, format_args!("\n{}.\n", core(run)));
        for difference in &run.outcome.differed {
            put(&mut page, format_args!("- {difference}\n"));
        }
        for (number, plot) in (1..).zip(&run.outcome.plots) {
            let name = format!("{}-{number}.svg", experiment.id);
            let file = plots.join(&name);
            fs::write(&file, plot.svg()).map_err(|error| disk(&file, &error))?;
            put(
                &mut page,
                format_args!("\n![{}]({PLOTS}/{name})\n", plot.title),
            );
        }
        put(
            &mut page,
            format_args!("\nSources: {}\n", experiment.sources.join(" · ")),
        );
    }
    let file = dir.join(PAGE);
    fs::write(&file, page).map_err(|error| disk(&file, &error))
}

/// A figure with its interval, to the digits that it is good for.
pub(super) fn measured(measured: Measurement) -> String {
    let digits = |value: f64| match value.abs() {
        size if value.fract() == 0.0 && size < 1e15 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 3,
        _ => 5,
    };
    let value = measured.value;
    match measured.ci95.filter(|ci95| *ci95 > 0.0) {
        Some(ci95) => format!(
            "{value:.0$} ± {ci95:.0$}",
            digits(value).max(digits(ci95).min(4))
        ),
        None => format!("{value:.0$}", digits(value)),
    }
}

/// How much of it the routing core did.
pub(super) fn core(run: &Run) -> String {
    let compared = run.outcome.compared;
    match run.outcome.differed.len() {
        _ if compared == 0 => "Nothing was compared with a calculation".to_owned(),
        0 => format!("{compared} queries in the core cost what the calculation says"),
        differed => {
            format!("{differed} of {compared} queries in the core DIFFER from the calculation")
        }
    }
}

fn disk(path: &Path, error: &std::io::Error) -> Failure {
    let text = format!("{} cannot be written: {error}", path.display());
    Failure::new(Exit::Disk, text)
}
