//! `search --explain ID`: how a result of an earlier search was ranked, and what made it look like a fake.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::found::{File, Found};
use super::order::Sort;
use super::print::{links, score};
use crate::cli::Context;
use crate::cli::args::search::SearchArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::escape::shown;
use crate::cli::output::{Format, units};
use crate::control;
use crate::disk::rankings::{Doubt, Ranking};
use crate::disk::results::is_id;
use crate::node::address::Net;
use crate::node::spam::HIDE_ABOVE;

/// Keeps how the results of a search were ranked. What cannot be kept costs nothing but the explanation.
pub(super) fn keep(context: &Context, found: &Found, query: &str, net: Net) {
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let of = found.shown_count();
    let ranking = |file: &File, rank: Option<usize>| {
        let merits = found.merits(file);
        let first = &file.first().copy;
        let signals = file.verdict.signals.iter();
        Ranking {
            key: file.key.text(),
            name: first.name.clone(),
            size: first.size,
            query: query.to_owned(),
            net: match &first.net {
                Some(net) => net.clone(),
                None => control::Net::from(net).name().to_owned(),
            },
            at,
            rank,
            of,
            hashed: merits.hashed,
            words: merits.words,
            words_of: merits.words_of,
            free_slot: merits.free_slot,
            copies: merits.copies,
            hops: links(merits.hops),
            spam: score(file.verdict.score),
            signals: signals
                .map(|&(signal, weight)| Doubt {
                    signal: signal.name().to_owned(),
                    weight,
                    why: signal.reason().to_owned(),
                })
                .collect(),
        }
    };
    let hidden = found.files().iter().filter(|file| file.hidden);
    let ranked = found.sorted(Sort::Best).into_iter().enumerate();
    let all = hidden
        .map(|file| ranking(file, None))
        .chain(ranked.map(|(at, file)| ranking(file, Some(at + 1))));
    if let Err(error) = context.rankings().add(all.collect()) {
        context
            .out
            .error(&format!("{error}; --explain will not know them"));
    }
}

/// One JSON line.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    hidden: bool,
    hide_above: f64,
    #[serde(flatten)]
    ranking: &'a Ranking,
}

/// Runs `search --explain`.
///
/// # Errors
/// Exit 2: not an id, one that several results have, or words besides; exit 1: no search showed it; exit 6: what was
/// kept cannot be read.
pub(super) fn run(context: &Context, args: &SearchArgs, id: &str) -> Result<Exit, Failure> {
    if !args.words.is_empty() {
        let text = "--explain is about an earlier search; leave out the words, or search first";
        return Err(Failure::new(Exit::Usage, text));
    }
    if !is_id(id) {
        let text =
            format!("`{id}` is no result id; give one such as k7m2qd, as `filbert search` shows");
        return Err(Failure::new(Exit::Usage, text));
    }
    let found = context
        .rankings()
        .find(id)
        .map_err(|error| Failure::new(Exit::Disk, error.to_string()))?;
    let ranking = match &found[..] {
        [] => {
            let text = format!("no search found the id {id} lately; search again, then ask");
            return Err(Failure::new(Exit::Nothing, text));
        }
        [one] => one,
        several => {
            let list: Vec<String> = several
                .iter()
                .map(|one| format!("  {}  {}", one.key, one.name))
                .collect();
            let list = list.join("\n");
            let text =
                format!("several results begin with {id}; give more of the right one:\n{list}");
            return Err(Failure::new(Exit::Usage, text));
        }
    };
    print(context, ranking)?;
    Ok(Exit::Good)
}

fn print(context: &Context, ranking: &Ranking) -> Result<(), Failure> {
    let out = &context.out;
    let id = &ranking.key[..ranking.key.len().min(6)];
    let hidden = ranking.rank.is_none();
    if out.format() == Format::Json {
        let line = Line {
            id,
            hidden,
            hide_above: HIDE_ABOVE,
            ranking,
        };
        return out.json("explain", &line);
    }
    let rows = rows(ranking);
    if out.format() == Format::People {
        out.line(&format!(
            "{id}  {}  {}",
            shown(&ranking.name),
            units::size(ranking.size)
        ))?;
        out.line(&format!(
            "searched for {} on {}; what counts, in this order:",
            shown(&ranking.query),
            ranking.net
        ))?;
    }
    for (name, value, why) in rows {
        out.line(&match out.format() {
            Format::People => format!("  {name:<14} {value:<9} {why}")
                .trim_end()
                .to_owned(),
            _ => format!("{name}\t{value}\t{why}"),
        })?;
    }
    Ok(())
}

/// What counted: name, value, and what to know about it.
fn rows(ranking: &Ranking) -> Vec<(String, String, String)> {
    let row = |name: &str, value: String, why: &str| (name.to_owned(), value, why.to_owned());
    let yes = |holds: bool| if holds { "yes" } else { "no" }.to_owned();
    let slot = ranking.free_slot.map_or("unknown".to_owned(), yes);
    let place = match ranking.rank {
        Some(rank) => format!("{rank} of {}", ranking.of),
        None => "hidden".to_owned(),
    };
    let fate = match ranking.rank {
        None => format!("above {HIDE_ABOVE} it is hidden; --show-spam shows it"),
        Some(_) => format!(
            "0 is beyond doubt; above {HIDE_ABOVE} a result is hidden, above 0.5 it comes last"
        ),
    };
    let mut rows = vec![
        row("rank", place, "in the order `best`"),
        row("spam", format!("{:.2}", ranking.spam), &fate),
        row("hash", yes(ranking.hashed), "what comes can be checked"),
        row(
            "words",
            format!("{} of {}", ranking.words, ranking.words_of),
            "searched for, and in the name itself",
        ),
        row("free slot", slot, "a copy can be had at once"),
        row("copies", ranking.copies.to_string(), "nodes that have it"),
        row(
            "hops",
            ranking.hops.to_string(),
            "links to the nearest of them",
        ),
    ];
    rows.extend(ranking.signals.iter().map(|doubt| {
        let name = format!("- {}", doubt.signal);
        (name, format!("{:.2}", doubt.weight), doubt.why.clone())
    }));
    rows
}
