//! `lab experiment`: experiments with a known outcome, in virtual time; `page`: the report of all that were run.

mod page;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde::Serialize;

use super::{graphs, sim};
use crate::cli::args::lab::ExperimentArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table::{self, Side};
use crate::cli::output::{Format, Output, escape};
use crate::sim::experiment::{Experiment, Outcome, Verdict};
use crate::topology::Links;

/// The experiments that come with the program, in order.
const KNOWN: &[&str] = &[
    include_str!("../../../../topology-configs/experiments/E0.json"),
    include_str!("../../../../topology-configs/experiments/E1.json"),
    include_str!("../../../../topology-configs/experiments/E2.json"),
    include_str!("../../../../topology-configs/experiments/E3.json"),
    include_str!("../../../../topology-configs/experiments/E4.json"),
    include_str!("../../../../topology-configs/experiments/E5.json"),
    include_str!("../../../../topology-configs/experiments/E6.json"),
    include_str!("../../../../topology-configs/experiments/E7.json"),
    include_str!("../../../../topology-configs/experiments/E8.json"),
    include_str!("../../../../topology-configs/experiments/E9.json"),
    include_str!("../../../../topology-configs/experiments/E11.json"),
    include_str!("../../../../topology-configs/experiments/E13.json"),
];

/// The graphs that they name.
const GRAPHS: &[(&str, &[u8])] = &[
    (
        "gnutella-2002-08-04.links",
        include_bytes!("../../../../topology-configs/experiments/gnutella-2002-08-04.links"),
    ),
    (
        "gnutella-2002-08-31.links",
        include_bytes!("../../../../topology-configs/experiments/gnutella-2002-08-31.links"),
    ),
];

/// Experiments run at once: each may hold a world of some gigabytes.
const AT_ONCE_MAX: usize = 2;

/// What `--json` prints for each experiment that was run.
#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u32,
    r#type: &'static str,
    version: &'static str,
    id: &'a str,
    title: &'a str,
    ok: bool,
    targets: &'a [Verdict],
    compared: u64,
    differed: &'a [String],
    seconds: f64,
}

/// What `--json` prints for each experiment in the list.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    v: u32,
    r#type: &'static str,
    id: &'a str,
    title: &'a str,
    targets: usize,
}

/// An experiment that was run.
struct Run {
    experiment: Experiment,
    outcome: Outcome,
    verdicts: Vec<Verdict>,
    seconds: f64,
}

impl Run {
    fn ok(&self) -> bool {
        self.outcome.differed.is_empty() && self.verdicts.iter().all(|verdict| verdict.ok)
    }
}

/// Lists the experiments, or runs those that are named.
///
/// # Errors
/// There is none of that name; a file that is none; a report that cannot be written.
pub(super) fn run(args: &ExperimentArgs, output: &Output) -> Result<Exit, Failure> {
    if args.names.is_empty() && !args.all {
        return list(output);
    }
    let mut wanted = Vec::new();
    if args.all {
        for text in KNOWN {
            wanted.push((known(text), None));
        }
    }
    for name in &args.names {
        wanted.push(find(name)?);
    }
    let at_once = sim::cores().min(AT_ONCE_MAX).min(wanted.len());
    let threads = args.threads.unwrap_or(sim::cores() / at_once);
    let runs = run_all(&wanted, (at_once, threads), output)?;
    if let Some(dir) = &args.report {
        page::write(dir, &runs)?;
    }
    Ok(if runs.iter().all(Run::ok) {
        Exit::Good
    } else {
        Exit::Nothing
    })
}

fn known(text: &str) -> Experiment {
    Experiment::parse(text).expect("the tests read every experiment that comes with the program")
}

/// The experiment of a name, or of a file with the folder of its graphs.
fn find(name: &str) -> Result<Wanted, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    if Path::new(name).extension().is_some_and(|end| end == "json") {
        let text = fs::read_to_string(name)
            .map_err(|error| usage(format!("cannot read {name}: {error}")))?;
        let experiment =
            Experiment::parse(&text).map_err(|error| usage(format!("{name}: {error}")))?;
        let base = Path::new(name).parent().unwrap_or(Path::new(""));
        return Ok((experiment, Some(base.to_owned())));
    }
    let mut all = KNOWN.iter().map(|text| known(text));
    let found = all.find(|experiment| experiment.id.eq_ignore_ascii_case(name));
    found.map(|experiment| (experiment, None)).ok_or_else(|| {
        usage(format!(
            "there is no experiment {name:?}; `filbert lab experiment` lists them, and a file ends in .json"
        ))
    })
}

/// An experiment, and the folder of its graphs if it is a file.
type Wanted = (Experiment, Option<PathBuf>);

/// What threads tell: what is being done, and what came out.
enum Told {
    Doing(String),
    Done(usize, Box<Result<Run, Failure>>),
}

/// Runs so many experiments side by side, on so many threads each, and shows each in its turn.
fn run_all(
    wanted: &[Wanted],
    (at_once, threads): (usize, usize),
    output: &Output,
) -> Result<Vec<Run>, Failure> {
    let next = AtomicUsize::new(0);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..at_once {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((experiment, base)) = wanted.get(at) else {
                        return;
                    };
                    let run = run_one(experiment, base.as_deref(), threads, &tell);
                    // Nobody listens any more when an experiment before has failed.
                    if tell.send(Told::Done(at, Box::new(run))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        let mut waiting: BTreeMap<usize, Run> = BTreeMap::new();
        let mut runs = Vec::new();
        for told in told {
            match told {
                Told::Doing(text) => {
                    if output.shows_progress() {
                        output.say(&text);
                    }
                }
                Told::Done(at, run) => {
                    waiting.insert(at, (*run)?);
                    while let Some(run) = waiting.remove(&runs.len()) {
                        show(&run, output)?;
                        runs.push(run);
                    }
                }
            }
        }
        Ok(runs)
    })
}

fn run_one(
    experiment: &Experiment,
    base: Option<&Path>,
    threads: usize,
    tell: &mpsc::Sender<Told>,
) -> Result<Run, Failure> {
    let start = Instant::now();
    let reader = |file: &str| graph(file, base);
    let say = |text: &str| {
        // Progress is of no use to somebody who has gone.
        let _ = tell.send(Told::Doing(format!("{}: {text}", experiment.id)));
    };
    let outcome = experiment.run(&reader, threads, &say).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("experiment {}: {error}", experiment.id),
        )
    })?;
    let verdicts = experiment.verdicts(&outcome);
    Ok(Run {
        experiment: experiment.clone(),
        outcome,
        verdicts,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// A graph that comes with the program, or of a file beside the experiment's.
fn graph(file: &str, base: Option<&Path>) -> Result<Links, String> {
    match (base, GRAPHS.iter().find(|(name, _)| *name == file)) {
        (Some(base), _) => graphs::links(&base.join(file)),
        (None, Some((name, bytes))) => graphs::links_of(name, bytes.to_vec()),
        (None, None) => Err("does not come with the program".to_owned()),
    }
}

fn list(output: &Output) -> Result<Exit, Failure> {
    let all: Vec<Experiment> = KNOWN.iter().map(|text| known(text)).collect();
    if output.format() == Format::Json {
        for experiment in &all {
            let line = Listed {
                v: 1,
                r#type: "experiment",
                id: &experiment.id,
                title: &experiment.title,
                targets: experiment.targets.len(),
            };
            output.line(&serde_json::to_string(&line).expect("plain data is JSON"))?;
        }
        return Ok(Exit::Good);
    }
    let rows = all.into_iter().map(|experiment| {
        let targets = experiment.targets.len().to_string();
        [experiment.id, experiment.title, targets]
    });
    let titles = [
        ("NAME", Side::Left),
        ("SHOWS", Side::Left),
        ("TARGETS", Side::Right),
    ];
    output.line(&table::plain(titles, rows.collect::<Vec<_>>()))?;
    output.say("run one with `filbert lab experiment NAME`, all with --all");
    Ok(Exit::Good)
}

fn show(run: &Run, output: &Output) -> Result<(), Failure> {
    let experiment = &run.experiment;
    if output.format() == Format::Json {
        let line = Line {
            v: 1,
            r#type: "experiment-result",
            version: env!("CARGO_PKG_VERSION"),
            id: &experiment.id,
            title: &experiment.title,
            ok: run.ok(),
            targets: &run.verdicts,
            compared: run.outcome.compared,
            differed: &run.outcome.differed,
            seconds: run.seconds,
        };
        let line = serde_json::to_string(&line).expect("plain data is JSON");
        return output.line(&escape::json(line));
    }
    output.line(&format!("{}  {}", experiment.id, experiment.title))?;
    let rows = run.verdicts.iter().map(|verdict| {
        let target = &verdict.target;
        [
            target.figure.clone(),
            target.must.to_string(),
            page::measured(verdict.measured),
            target.evidence.word().to_owned(),
            word(verdict.ok).to_owned(),
        ]
    });
    let titles = [
        ("FIGURE", Side::Left),
        ("TARGET", Side::Left),
        ("MEASURED", Side::Left),
        ("EVIDENCE", Side::Left),
        ("VERDICT", Side::Left),
    ];
    output.line(table::plain(titles, rows.collect::<Vec<_>>()).trim_end())?;
    output.line(&format!("{}\n", page::core(run)))
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "OUT" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_experiment_that_comes_along_is_read_and_has_a_name_of_its_own() {
        let mut ids = BTreeSet::new();
        for text in KNOWN {
            let experiment =
                Experiment::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(!experiment.sources.is_empty() && !experiment.about.is_empty());
            assert!(ids.insert(experiment.id.clone()), "{} twice", experiment.id);
        }
    }

    #[test]
    fn the_crawls_that_come_along_are_those_of_2002() {
        for (file, nodes, links) in [
            ("gnutella-2002-08-04.links", 10_876, 39_994),
            ("gnutella-2002-08-31.links", 62_561, 147_878),
        ] {
            let graph = graph(file, None).unwrap();
            assert_eq!((graph.nodes, graph.pairs.len()), (nodes, links), "{file}");
            assert_eq!(graph.largest(), graph, "{file} is in one piece");
        }
        assert!(graph("other.links", None).is_err());
    }
}
