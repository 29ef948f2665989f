//! `lab report`: runs that were kept, side by side; two of them with what differs.
//!
//! `read`: the folder of a run; `figures`: what is compared; `page`: the page.

mod figures;
mod page;
mod read;

use std::path::Path;

use serde::Serialize;

use super::compare::{millis, number, percent};
use crate::cli::args::lab::ReportArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table::{self, Side};
use crate::cli::output::{Format, Output, escape};
use crate::sim::compare::Figure;

use figures::{ALL, Difference, Named, Unit, differences, same_questions};
use read::{Row, Run};

/// What `--json` prints.
#[derive(Serialize)]
struct Runs<'a> {
    runs: &'a [Run],
    /// Of two runs: what differs.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    differences: &'a [Difference],
}

/// Reads, shows and, if asked to, writes a page.
///
/// # Errors
/// A folder that holds no run; a page that cannot be written.
pub(super) fn run(args: &ReportArgs, output: &Output) -> Result<Exit, Failure> {
    let mut runs = Vec::with_capacity(args.dirs.len());
    for dir in &args.dirs {
        runs.push(read::read(dir)?);
    }
    name(&mut runs);
    let differ = match runs.as_slice() {
        [first, second] => differences(first, second),
        _ => Vec::new(),
    };
    if let Some(file) = &args.html {
        write(file, &page::page(&runs, &differ))?;
        output.say(&format!("Page     {}", file.display()));
    }
    if output.format() == Format::Json {
        let line = Runs {
            runs: &runs,
            differences: &differ,
        };
        output.json("lab-runs", &line)?;
        return Ok(Exit::Good);
    }
    show(&runs, &differ, output)?;
    Ok(Exit::Good)
}

fn write(file: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(file, page).map_err(|error| {
        let shown = file.display();
        let text = format!("{shown} cannot be written: {error}; name another file with --html");
        Failure::new(Exit::Disk, text)
    })
}

/// Names runs by what their folders do not have in common, and rows by their run where there are several.
fn name(runs: &mut [Run]) {
    let parts = |run: &Run| -> Vec<String> {
        let parts = run.dir.components();
        parts
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let all: Vec<Vec<String>> = runs.iter().map(parts).collect();
    let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
    let common = (0..shortest.saturating_sub(1))
        .take_while(|at| all.iter().all(|parts| parts[*at] == all[0][*at]))
        .count();
    for (run, parts) in runs.iter_mut().zip(&all) {
        run.name = parts[common..].join("/");
        if run.seeds.is_none() {
            for row in &mut run.rows {
                row.name.clone_from(&run.name);
            }
        }
    }
}

/// The rows of all runs; those of comparisons with their run before them where there are several.
fn rows(runs: &[Run]) -> Vec<Row> {
    let named = |run: &Run, row: &Row| Row {
        name: if runs.len() > 1 && run.seeds.is_some() {
            format!("{}: {}", run.name, row.name)
        } else {
            row.name.clone()
        },
        ..row.clone()
    };
    runs.iter()
        .flat_map(|run| run.rows.iter().map(|row| named(run, row)))
        .collect()
}

/// What a run was, in a line.
fn about(run: &Run) -> String {
    let seeds = match run.seeds {
        None => format!("seed {}, {} queries", run.seed, run.queries),
        Some(seeds) => format!(
            "seeds {} to {}, {} queries each",
            run.seed,
            run.seed.wrapping_add(seeds.saturating_sub(1)),
            run.queries
        ),
    };
    let Run {
        graph,
        engine,
        version,
        ..
    } = run;
    let failed = match run.ok {
        Some(false) => "; something did not come out as expected",
        Some(true) | None => "",
    };
    format!("{graph}, {engine}, {seeds}, filbert {version}{failed}")
}

/// What the intervals of these runs mean.
fn about_all(runs: &[Run]) -> String {
    let single = runs.iter().any(|run| run.seeds.is_none());
    let compared = runs.iter().any(|run| run.seeds.is_some());
    let over = match (single, compared) {
        (true, false) => "the queries of a run",
        (false, _) => "the seeds of a comparison",
        (true, true) => "the queries of a run, or the seeds of a comparison",
    };
    format!("± is half of a 95 % confidence interval over {over}.")
}

fn show(runs: &[Run], differ: &[Difference], output: &Output) -> Result<(), Failure> {
    for run in runs {
        output.line(&escape::shown(&format!(
            "Run      {}: {}",
            run.name,
            about(run)
        )))?;
    }
    let mut header = [("RUN", Side::Left); ALL.len() + 1];
    for (slot, named) in header[1..].iter_mut().zip(&ALL) {
        *slot = (named.title, Side::Right);
    }
    let cells = rows(runs).into_iter().map(|row| {
        let mut cells: [String; ALL.len() + 1] = Default::default();
        for (cell, named) in cells[1..].iter_mut().zip(&ALL) {
            *cell = (named.of)(&row).map_or_else(|| "-".to_owned(), |figure| shown(*named, figure));
        }
        cells[0] = row.name;
        cells
    });
    output.line(&format!("\n{}", table::plain(header, cells)))?;
    output.line(&format!("\n{}", about_all(runs)))?;
    let [first, second] = runs else { return Ok(()) };
    if differ.is_empty() {
        return output.line("\nThe two have no variant in common.");
    }
    let lines = differ.iter().map(|difference| {
        let figure = |figure| shown(difference.named(), figure);
        let percent = difference.percent;
        [
            difference.what(first),
            figure(difference.first),
            figure(difference.second),
            figure(difference.change),
            percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:+.1} %")),
        ]
    });
    let header = [
        ("FIGURE", Side::Left),
        (first.name.as_str(), Side::Right),
        (second.name.as_str(), Side::Right),
        ("DIFFERENCE", Side::Right),
        ("", Side::Right),
    ];
    output.line(&format!("\n{}", table::plain(header, lines)))?;
    let text = if same_questions(first, second) {
        "Both asked the same questions: where a figure is a mean, ± is over the differences query by query."
    } else if first.seeds.is_none() {
        "The two asked different questions: differences are between means."
    } else {
        "Differences are between means."
    };
    output.line(&format!("\n{text}"))
}

fn shown(named: Named, figure: Figure) -> String {
    match named.unit {
        Unit::Share => percent(figure),
        Unit::Count => number(figure),
        Unit::Millis => millis(figure),
    }
}
