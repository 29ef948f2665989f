//! `get --from HOST PATH...`: files of one node by where they lie there, whole folders with all below them.
//!
//! Paths are data of a stranger: matched as they are told, recreated only as far as they stay below the target.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::Feed;
use super::show::Overall;
use super::target::{Wanted, source_of};
use crate::cli::args::values::{Address, Span};
use crate::cli::browse::{Listed, Whom, list};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Format, units};
use crate::cli::search::found::Offer;
use crate::disk::names::safe_folders;

impl<'scope> Feed<'_, 'scope, '_>
where
    Wanted: 'scope,
{
    /// Has all fetched that lies at the paths asked for.
    pub(super) fn listed_on(&mut self, host: &Address) {
        let run = self.run;
        let targets = &run.args.targets;
        let mut found: Vec<Vec<Wanted>> = vec![Vec::new(); targets.len()];
        let (mut files, mut tells) = (0_u64, false);
        let whom = Whom {
            host,
            net: &run.args.net,
            peers: &run.args.peers,
        };
        // `--timeout` is about a file; a list has a limit of its own.
        let unlimited = Some(Span::default());
        let listed = list(run.context, whom, &run.finder, unlimited, |hit| {
            for record in &hit.records {
                let offer = Offer::new(hit, record);
                (files, tells) = (files + 1, tells || offer.path.is_some());
                let path = offer.path_and_name();
                let fits = |asked: &String| below(asked, &path).is_some();
                if let Some(at) = targets.iter().position(fits) {
                    found[at].push(wanted(&offer, path));
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        let broken = match listed {
            Ok(Listed::Complete | Listed::Enough) => None,
            Ok(Listed::Interrupted) => Some(Failure::new(Exit::Interrupted, "interrupted")),
            Ok(Listed::Late) => Some(Failure::new(Exit::TimeLimit, "its list takes too long")),
            Ok(Listed::Broken(failure)) | Err(failure) => Some(failure),
        };
        if let Some(failure) = broken {
            // Whatever came of the list is good.
            run.ended(&host.to_string(), None, Err(failure));
        } else {
            for (asked, _) in targets.iter().zip(&found).filter(|(_, of)| of.is_empty()) {
                let failure = Failure::new(Exit::Nothing, nothing_at(host, files, tells));
                run.ended(asked, None, Err(failure));
            }
        }
        let with_target = |(asked, of): (&'_ String, Vec<Wanted>)| {
            let asked = asked.clone();
            of.into_iter().map(move |wanted| (asked.clone(), wanted))
        };
        let mut all: Vec<(String, Wanted)> =
            targets.iter().zip(found).flat_map(with_target).collect();
        all.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        // Lists may name one file twice.
        let mut known = BTreeSet::new();
        all.retain(|(_, wanted)| known.insert(wanted.what()));
        self.listed = all.len() as u64;
        self.begin(host, &all);
        for (asked, wanted) in all {
            if self.is_over() {
                return;
            }
            self.put_below(&asked, wanted);
        }
    }

    /// Says how much it is, and shows how far all of it is.
    fn begin(&self, host: &Address, all: &[(String, Wanted)]) {
        if self.listed < 2 || self.run.args.detach {
            return;
        }
        let sizes = all.iter().filter_map(|(_, wanted)| wanted.size);
        // Whatever a stranger says.
        let bytes = sizes.fold(0, u64::saturating_add);
        let files = units::counted(self.listed, "file", "files");
        let text = format!("{files}, {}, from {host}", units::size(bytes));
        self.run.say(&text);
        if self.run.context.out.format() != Format::Json {
            let overall = Overall::new(&self.run.board, &files, bytes);
            // Set once: there is one host.
            let _ = self.run.overall.set(overall);
        }
    }

    /// Has one file fetched to its folder, if that stays below the target.
    fn put_below(&mut self, asked: &str, wanted: Wanted) {
        let path = wanted.path.clone().unwrap_or_default();
        let relative = below(asked, &path).unwrap_or(&path);
        let folders = relative.rsplit_once('/').map_or("", |(folders, _)| folders);
        if let Some(folders) = safe_folders(folders) {
            self.hand_over(Wanted { folders, ..wanted });
        } else {
            let text = "no file is put where its path leads; fetch it by its id, as \
                        `filbert browse` shows";
            let failure = Failure::new(Exit::Disk, text);
            self.run.ended(&wanted.id, Some(&path), Err(failure));
        }
    }
}

/// Why there is nothing at a path.
fn nothing_at(host: &Address, files: u64, tells: bool) -> String {
    if files == 0 {
        format!("{host} shares nothing")
    } else if tells {
        format!("{host} shares nothing there; `filbert browse {host}` lists what it has")
    } else {
        format!(
            "{host} does not tell in which folders its files lie; name one by its base name, or `/` for all it shares"
        )
    }
}

fn wanted(offer: &Offer, path: String) -> Wanted {
    let copy = &offer.copy;
    Wanted {
        id: copy.key().id(),
        sha1: copy.sha1(),
        name: Some(copy.name.clone()),
        size: Some(copy.size),
        sources: vec![source_of(copy)],
        path: Some(path),
        ..Wanted::default()
    }
}

/// Whether a file lies at what was asked for or below it: then its path from the last part of that on. With a slash at
/// its end it names a folder; `/` alone is all there is.
fn below<'a>(asked: &str, path: &'a str) -> Option<&'a str> {
    let folder = asked.trim_matches('/');
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    let fits = rest.starts_with('/') || rest.is_empty() && !asked.ends_with('/');
    let from = folder.rfind('/').map_or(0, |at| at + 1);
    fits.then(|| &path[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file_or_all_below_a_folder() {
        let whole = "Photos/Ski/2024/a.jpg";
        for (asked, relative) in [
            ("/", Some(whole)),
            ("Photos", Some(whole)),
            ("Photos/", Some(whole)),
            ("/Photos/Ski/", Some("Ski/2024/a.jpg")),
            ("Photos/Ski/2024", Some("2024/a.jpg")),
            (whole, Some("a.jpg")),
            ("Photos/Ski/2024/a.jpg/", None),
            ("Photos/Sk", None),
            ("Ski", None),
            ("photos", None),
        ] {
            assert_eq!(below(asked, whole), relative, "{asked}");
        }
    }
}
