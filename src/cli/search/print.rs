//! Results on paper: columns, tab-separated lines, JSON lines.

use std::net::SocketAddr;
use std::time::Duration;

use console::{Term, measure_text_width, style, truncate_str};
use serde::Serialize;

use super::filter::ending;
use super::found::{File, Found, News, Offer};
use super::order::Sort;
use crate::cli::args::search::PrintArgs;
use crate::cli::exit::Failure;
use crate::cli::output::escape::shown;
use crate::cli::output::{Format, Output, units};
use crate::wire::Sha1;
use crate::wire::magnet::Magnet;

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Copies,
    Size,
    Name,
    From,
    Urn,
    Magnet,
    Ext,
    Hops,
    Host,
    Node,
    Spam,
    Path,
}

impl Field {
    /// Word of `--fields`, and columns on a terminal; 0 takes what the others leave.
    const ALL: [(Self, &'static str, usize); 13] = [
        (Self::Id, "id", 6),
        (Self::Copies, "copies", 6),
        (Self::Size, "size", 8),
        (Self::Name, "name", 0),
        (Self::From, "from", 24),
        (Self::Urn, "urn", 41),
        (Self::Magnet, "magnet", 60),
        (Self::Ext, "ext", 5),
        (Self::Hops, "hops", 4),
        (Self::Host, "host", 21),
        (Self::Node, "node", 16),
        (Self::Spam, "spam", 4),
        (Self::Path, "path", 40),
    ];
    const DEFAULT: [Self; 5] = [Self::Id, Self::Copies, Self::Size, Self::Name, Self::From];

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, of, _)| *of == name)
            .map(|(field, ..)| *field)
    }

    fn title(self) -> (&'static str, usize) {
        Self::ALL
            .iter()
            .find(|(field, ..)| *field == self)
            .map_or(("", 0), |&(_, name, columns)| (name, columns))
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Copies | Self::Size | Self::Hops | Self::Spam)
    }
}

/// Fewest columns for a name.
const NAME_COLUMNS_MIN: usize = 20;
/// Blanks between columns.
const GAP: usize = 2;

/// One line: a file with its copies, or one copy.
#[derive(Clone, Copy, Debug)]
struct Row<'a> {
    /// The file with all its copies, when one line stands for them.
    file: Option<&'a File>,
    offer: &'a Offer,
    spam: f64,
}

impl Row<'_> {
    fn cell(&self, field: Field, format: Format, folders: bool) -> String {
        let copy = &self.offer.copy;
        match field {
            Field::Name if folders && format == Format::People => self.offer.path_and_name(),
            Field::Id => copy.key().id(),
            Field::Copies => self.file.map_or(1, |file| file.copies).to_string(),
            Field::Size if format == Format::People => units::size(copy.size),
            Field::Size => copy.size.to_string(),
            Field::Name => copy.name.clone(),
            Field::From => self.file.map_or_else(|| self.offer.from(), File::from),
            Field::Urn => copy.urn.clone().unwrap_or_default(),
            Field::Magnet => copy
                .sha1()
                .map(|sha1| magnet(sha1, &copy.name, copy.size))
                .unwrap_or_default(),
            Field::Ext => ending(&copy.name),
            Field::Hops => links(self.file.map_or(self.offer.hops, File::hops)).to_string(),
            Field::Host => copy.addr.to_string(),
            Field::Node => self.offer.node.clone().unwrap_or_default(),
            Field::Spam => format!("{:.2}", self.spam),
            Field::Path => self.offer.path.clone().unwrap_or_default(),
        }
    }
}

/// A magnet link.
fn magnet(sha1: Sha1, name: &str, size: u64) -> String {
    Magnet {
        sha1s: vec![sha1],
        name: Some(name.to_owned()),
        size: Some(size),
        ..Magnet::default()
    }
    .to_string()
}

/// Links between the responder and us: 1 for a neighbour.
pub fn links(hops: u8) -> u16 {
    u16::from(hops) + 1
}

/// One copy as a JSON line.
#[derive(Serialize)]
struct HitLine<'a> {
    t: f64,
    id: String,
    urn: Option<&'a str>,
    name: &'a str,
    size: u64,
    ext: String,
    host: String,
    node: Option<&'a str>,
    hops: u16,
    slots_free: Option<u8>,
    push: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    push_proxies: &'a [SocketAddr],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    alternates: &'a [SocketAddr],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    alternates_tls: &'a [SocketAddr],
    partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tiger: Option<&'a str>,
    tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<&'a str>,
    servent: &'a str,
    index: u32,
    spam: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

/// Seconds with three digits.
pub fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1_000.0).round() / 1_000.0
}

/// A score with two digits.
pub fn score(spam: f64) -> f64 {
    (spam * 100.0).round() / 100.0
}

/// Prints results as they come, or in order at the end.
#[derive(Debug)]
pub struct Printer {
    fields: Vec<Field>,
    sort: Option<Sort>,
    ungroup: bool,
    silent: bool,
    /// Names stand with their folders, on a terminal.
    folders: bool,
    /// Lines on the terminal so far, the header included.
    lines: usize,
    columns: usize,
}

impl Printer {
    /// A printer as was typed. `silent`: nothing is printed (`search -q`).
    pub fn new(args: &PrintArgs, out: &mut Output, silent: bool) -> Self {
        if args.tsv {
            out.use_tabs();
        }
        let mut fields: Vec<Field> = args
            .fields
            .iter()
            .filter_map(|name| Field::named(name))
            .collect();
        if fields.is_empty() {
            fields.extend(Field::DEFAULT);
        }
        let (_, columns) = Term::stdout().size();
        Self {
            fields,
            sort: args.sort.as_deref().map(Sort::named),
            ungroup: args.ungroup,
            silent,
            folders: false,
            lines: 0,
            columns: usize::from(columns).saturating_sub(1),
        }
    }

    /// On a terminal, shows names with the folders they lie in, as far as these are told.
    #[must_use]
    pub fn with_folders(self) -> Self {
        Self {
            folders: true,
            ..self
        }
    }

    /// Will what is printed as it comes stay, or be put in order at the end?
    pub fn prints_for_good(&self, out: &Output) -> bool {
        self.sort.is_none() && out.format() != Format::People
    }

    /// Prints what a hit brought, unless all waits for the end.
    ///
    /// # Errors
    /// Those of [`Output::line`].
    pub fn news(
        &mut self,
        out: &Output,
        found: &Found,
        news: &News,
        t: Duration,
    ) -> Result<(), Failure> {
        if self.sort.is_some() || self.silent {
            return Ok(());
        }
        if out.format() == Format::Json {
            return news
                .offers
                .iter()
                .try_for_each(|offer| json(out, offer, found.spam_of(offer), t));
        }
        if self.ungroup {
            news.offers.iter().try_for_each(|offer| {
                let spam = found.spam_of(offer);
                let file = None;
                self.row(out, Row { file, offer, spam })
            })
        } else {
            let files = news.files.iter().map(|&at| &found.files()[at]);
            files.into_iter().try_for_each(|file| {
                self.row(
                    out,
                    Row {
                        file: Some(file),
                        offer: file.first(),
                        spam: file.verdict.score,
                    },
                )
            })
        }
    }

    /// Prints what waited for the end; on a terminal, puts what was printed in order if it still fits there.
    ///
    /// # Errors
    /// Those of [`Output::line`].
    pub fn end(&mut self, out: &Output, found: &Found, t: Duration) -> Result<(), Failure> {
        if self.silent {
            return Ok(());
        }
        if self.sort.is_none() {
            let term = Term::stdout();
            let fits = self.lines > 0 && self.lines < usize::from(term.size().0);
            if out.format() != Format::People || !fits || term.clear_last_lines(self.lines).is_err()
            {
                return Ok(());
            }
            self.lines = 0;
        }
        for file in found.sorted(self.sort.unwrap_or(Sort::Best)) {
            let spam = file.verdict.score;
            match (out.format(), self.ungroup) {
                (Format::Json, _) => file
                    .offers
                    .iter()
                    .try_for_each(|offer| json(out, offer, spam, t))?,
                (_, true) => file.offers.iter().try_for_each(|offer| {
                    let file = None;
                    self.row(out, Row { file, offer, spam })
                })?,
                (_, false) => self.row(
                    out,
                    Row {
                        file: Some(file),
                        offer: file.first(),
                        spam,
                    },
                )?,
            }
        }
        Ok(())
    }

    fn row(&mut self, out: &Output, row: Row<'_>) -> Result<(), Failure> {
        let format = out.format();
        let cells = self
            .fields
            .iter()
            .map(|&field| shown(&row.cell(field, format, self.folders)).into_owned());
        if format == Format::Tabs {
            return out.line(&cells.collect::<Vec<_>>().join("\t"));
        }
        let cells: Vec<String> = cells.collect();
        if self.lines == 0 {
            let titles: Vec<String> = self
                .fields
                .iter()
                .map(|field| field.title().0.to_uppercase())
                .collect();
            out.line(&style(self.aligned(&titles)).bold().to_string())?;
            self.lines += 1;
        }
        self.lines += 1;
        out.line(&self.aligned(&cells))
    }

    /// Cells in their columns, within the terminal.
    fn aligned(&self, cells: &[String]) -> String {
        let fixed: usize = self.fields.iter().map(|field| field.title().1 + GAP).sum();
        let mut line = String::new();
        for (at, (field, cell)) in self.fields.iter().zip(cells).enumerate() {
            let columns = match field.title().1 {
                0 => self.columns.saturating_sub(fixed).max(NAME_COLUMNS_MIN),
                columns => columns,
            };
            let cell = truncate_str(cell, columns, "…");
            let blanks = " ".repeat(columns - measure_text_width(&cell).min(columns));
            let (before, after) = if field.is_number() {
                (blanks.as_str(), "")
            } else {
                ("", blanks.as_str())
            };
            let gap = if at == 0 { "" } else { "  " };
            line = line + gap + before + &cell + after;
        }
        truncate_str(line.trim_end(), self.columns, "…").into_owned()
    }
}

fn json(out: &Output, offer: &Offer, spam: f64, t: Duration) -> Result<(), Failure> {
    let copy = &offer.copy;
    let line = HitLine {
        t: seconds(t),
        id: copy.key().id(),
        urn: copy.urn.as_deref(),
        name: &copy.name,
        size: copy.size,
        ext: ending(&copy.name),
        host: copy.addr.to_string(),
        node: offer.node.as_deref(),
        hops: links(offer.hops),
        slots_free: offer.free_slot.map(u8::from),
        push: copy.push,
        push_proxies: &copy.push_proxies,
        alternates: &copy.alternates,
        alternates_tls: &copy.alternates_tls,
        partial: copy.partial,
        tiger: copy.tiger.as_deref(),
        tls: copy.tls,
        net: copy.net.as_deref(),
        servent: &copy.servent,
        index: copy.index,
        spam: score(spam),
        path: offer.path.as_deref(),
    };
    out.json("hit", &line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::results::Copy;
    use std::net::SocketAddr;

    fn offer(name: &str) -> Offer {
        let copy = Copy {
            urn: Some(crate::wire::Sha1([7; 20]).to_string()),
            name: name.to_owned(),
            size: 1_234_567,
            addr: SocketAddr::from(([10, 0, 0, 1], 6346)),
            servent: "00".repeat(16),
            index: 1,
            push: false,
            push_proxies: Vec::new(),
            alternates: Vec::new(),
            alternates_tls: Vec::new(),
            partial: false,
            tiger: None,
            tls: false,
            net: None,
        };
        Offer {
            copy,
            node: None,
            hops: 0,
            free_slot: Some(true),
            path: Some("Books/a".into()),
        }
    }

    fn printer(fields: Vec<Field>, columns: usize) -> Printer {
        Printer {
            fields,
            sort: None,
            ungroup: false,
            silent: false,
            folders: false,
            lines: 0,
            columns,
        }
    }

    #[test]
    fn lines_fit_the_terminal_whatever_the_name() {
        let printer = printer(Field::DEFAULT.to_vec(), 80);
        for name in ["short", &"long ".repeat(50), &"日本".repeat(60)] {
            let offer = offer(name);
            let row = Row {
                file: None,
                offer: &offer,
                spam: 0.0,
            };
            let cells: Vec<String> = printer
                .fields
                .iter()
                .map(|&field| row.cell(field, Format::People, false))
                .collect();
            let line = printer.aligned(&cells);
            assert!(measure_text_width(&line) <= 80, "{line}");
            assert!(line.contains("1.2 MB"), "{line}");
        }
    }

    #[test]
    fn every_field_has_a_value() {
        let offer = offer("Moby.TXT");
        let row = Row {
            file: None,
            offer: &offer,
            spam: 0.123,
        };
        let cells: Vec<String> = Field::ALL
            .iter()
            .map(|&(field, ..)| row.cell(field, Format::Tabs, true))
            .collect();
        let id = offer.copy.key().id();
        assert_eq!(
            cells[..5],
            [id.as_str(), "1", "1234567", "Moby.TXT", "10.0.0.1:6346"]
        );
        assert!(cells[5].starts_with("urn:sha1:") && cells[6].starts_with("magnet:?xt=urn:sha1:"));
        assert_eq!(
            cells[7..],
            ["txt", "1", "10.0.0.1:6346", "", "0.12", "Books/a"]
        );
        let shown = |folders| row.cell(Field::Name, Format::People, folders);
        assert_eq!(
            [shown(false), shown(true)],
            ["Moby.TXT", "Books/a/Moby.TXT"]
        );
    }
}
