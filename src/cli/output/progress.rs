//! Progress of long actions, on stderr only: a bar for each on a terminal, else one line every ten seconds about all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Output, escape, units};
use crate::cli::clock::Stopwatch;

/// How often a stderr that is no terminal hears of progress. Issue: at most one line per 10 s.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Lines below all bars together; each bar has its part. Our choice.
const LINES_BELOW: usize = 8;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files.
    Files,
}

impl Unit {
    fn text(self, n: u64) -> String {
        match self {
            Self::Bytes => units::size(n),
            Self::Files => units::counted(n, "file", "files"),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Bytes => {
                "{msg}  {decimal_total_bytes}  {bar:20}  {percent:>3}%  {decimal_bytes_per_sec}  {eta} left"
            }
            Self::Files => "{msg}  {pos} of {len} files  {bar:20}  {percent:>3}%  {eta} left",
        }
    }
}

/// The progress of all that one command does at a time. Clones are the same.
#[derive(Clone, Debug)]
pub struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    out: Output,
    /// `None`: no bars are drawn.
    bars: Option<MultiProgress>,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    rows: BTreeMap<u64, Row>,
    next_key: u64,
    clock: Stopwatch,
    /// When the next line is due.
    next_line: Duration,
}

/// One of them, as a line tells it.
#[derive(Clone, Debug)]
struct Row {
    label: String,
    unit: Unit,
    done: u64,
    total: u64,
    details: Vec<String>,
}

impl Row {
    fn text(&self) -> String {
        format!(
            "{}  {} of {}",
            self.label,
            self.unit.text(self.done),
            self.unit.text(self.total)
        )
    }
}

/// All rows in one line; one alone is told with its details.
fn line(rows: &BTreeMap<u64, Row>) -> String {
    let texts: Vec<String> = rows.values().map(Row::text).collect();
    match rows.values().next() {
        Some(row) if rows.len() == 1 && !row.details.is_empty() => {
            format!("{}  ({})", texts[0], row.details.join("; "))
        }
        _ => texts.join("; "),
    }
}

impl Board {
    /// Nothing to show yet.
    pub fn new(out: &Output) -> Self {
        let bars = out
            .shows_progress()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let table = Table {
            rows: BTreeMap::new(),
            next_key: 0,
            clock: Stopwatch::start(),
            next_line: LINE_INTERVAL,
        };
        Self(Arc::new(Inner {
            out: out.clone(),
            bars,
            table: Mutex::new(table),
        }))
    }

    /// Shows one more, at nothing of `total`; 0 while that is unknown.
    pub fn add(&self, label: &str, unit: Unit, total: u64) -> Progress {
        let label = escape::shown(label).into_owned();
        let bar = self.0.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(total));
            bar.set_style(
                ProgressStyle::with_template(unit.template()).expect("the template is well formed"),
            );
            bar.set_message(label.clone());
            bar
        });
        let mut table = self.table();
        let key = table.next_key;
        table.next_key += 1;
        let row = Row {
            label,
            unit,
            done: 0,
            total,
            details: Vec::new(),
        };
        table.rows.insert(key, row);
        Progress {
            board: self.clone(),
            key,
            bar,
            below: Vec::new(),
        }
    }

    /// Writes to a terminal without tearing the bars.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// A new figure; says so when a line is due.
    fn update(&self, key: u64, done: u64, total: u64) {
        if self.0.out.is_quiet() || self.0.bars.is_some() {
            return;
        }
        let mut table = self.table();
        if let Some(row) = table.rows.get_mut(&key) {
            (row.done, row.total) = (done, total);
        }
        let elapsed = table.clock.elapsed();
        if elapsed >= table.next_line {
            table.next_line = elapsed + LINE_INTERVAL;
            self.0.out.say(&line(&table.rows));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far one thing is. Its bar goes when this is dropped.
#[derive(Debug)]
pub struct Progress {
    board: Board,
    key: u64,
    bar: Option<ProgressBar>,
    below: Vec<ProgressBar>,
}

impl Progress {
    /// One alone, at nothing of `total`; 0 while that is unknown.
    pub fn new(out: &Output, label: &str, unit: Unit, total: u64) -> Self {
        Board::new(out).add(label, unit, total)
    }

    /// `done` of `total` are there.
    pub fn update(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
        self.board.update(self.key, done, total);
    }

    /// Lines shown below the bar in place of those before, fewer the more bars there are; behind the next line where
    /// there is no bar. The last one says how many were left out.
    pub fn below(&mut self, lines: &[String]) {
        let rows = {
            let mut table = self.board.table();
            let rows = table.rows.len();
            if let Some(row) = table.rows.get_mut(&self.key) {
                row.details = shortened(lines, LINES_BELOW);
            }
            rows
        };
        let (Some(bars), Some(bar)) = (&self.board.0.bars, &self.bar) else {
            return;
        };
        let lines = shortened(lines, (LINES_BELOW / rows.max(1)).max(2));
        for bar in self.below.drain(lines.len().min(self.below.len())..) {
            bar.finish_and_clear();
            bars.remove(&bar);
        }
        while self.below.len() < lines.len() {
            let line = bars.insert_after(self.below.last().unwrap_or(bar), ProgressBar::new(0));
            line.set_style(
                ProgressStyle::with_template("  {msg}").expect("the template is well formed"),
            );
            self.below.push(line);
        }
        for (bar, line) in self.below.iter().zip(&lines) {
            bar.set_message(escape::shown(line).into_owned());
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        drop(self);
    }

    /// As [`Board::aside`].
    pub fn aside(&self, write: impl FnOnce()) {
        self.board.aside(write);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.board.table().rows.remove(&self.key);
        let bars = self.board.0.bars.as_ref();
        for bar in self.below.iter().chain(&self.bar) {
            bar.finish_and_clear();
            if let Some(bars) = bars {
                bars.remove(bar);
            }
        }
    }
}

/// At most `max` lines, the last of which says how many more there are.
fn shortened(lines: &[String], max: usize) -> Vec<String> {
    if lines.len() <= max {
        return lines.to_vec();
    }
    let mut short = lines[..max - 1].to_vec();
    short.push(format!("and {} more", lines.len() - short.len()));
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, done: u64, details: &[&str]) -> Row {
        Row {
            label: label.to_owned(),
            unit: Unit::Bytes,
            done,
            total: 10_000_000,
            details: details.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    #[test]
    fn one_line_tells_of_all() {
        let one = BTreeMap::from([(0, row("a.bin", 5_000_000, &["192.0.2.1:6346 at 1 MB/s"]))]);
        assert_eq!(
            line(&one),
            "a.bin  5.0 MB of 10.0 MB  (192.0.2.1:6346 at 1 MB/s)"
        );
        let bare = BTreeMap::from([(0, row("a.bin", 0, &[]))]);
        assert_eq!(line(&bare), "a.bin  0 B of 10.0 MB");
        let two = BTreeMap::from([
            (3, row("a.bin", 5_000_000, &["x"])),
            (7, row("b.bin", 1_000_000, &[])),
        ]);
        assert_eq!(
            line(&two),
            "a.bin  5.0 MB of 10.0 MB; b.bin  1.0 MB of 10.0 MB"
        );
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let lines = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(shortened(&lines, 4), lines);
        assert_eq!(shortened(&lines, 3), ["a", "b", "and 2 more"]);
    }

    #[test]
    fn what_has_ended_is_told_no_more() {
        let board = Board::new(&Output::new(false, false));
        let (one, two) = (
            board.add("one", Unit::Files, 1),
            board.add("two", Unit::Files, 1),
        );
        drop(one);
        assert_eq!(line(&board.table().rows), "two  0 files of 1 file");
        drop(two);
        assert!(board.table().rows.is_empty());
    }
}
