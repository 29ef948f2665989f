//! `get --from HOST PATH...`: files of one node by where they lie there, whole folders with all below them.
//!
//! Paths are data of a stranger: matched as they are told, recreated only as far as they stay below the target.

use std::ops::ControlFlow;

use super::Run;
use super::target::{Wanted, source_of};
use crate::cli::args::values::{Address, Span};
use crate::cli::browse::{Listed, Whom, list};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::units;
use crate::cli::search::found::Offer;
use crate::disk::names::safe_folders;

/// A node that could not be reached for so many files in a row is not asked for the others. Our choice.
const UNREACHED_MAX: u32 = 3;

impl Run<'_> {
    /// Fetches all that lies at the paths asked for.
    pub(super) fn listed_on(&mut self, host: &Address) -> Result<(), Failure> {
        let targets = &self.args.targets;
        let mut found: Vec<Vec<Wanted>> = vec![Vec::new(); targets.len()];
        let (mut files, mut tells) = (0_u64, false);
        let whom = Whom {
            host,
            net: &self.args.net,
            peers: &self.args.peers,
        };
        // `--timeout` is about a file; a list has a limit of its own.
        let unlimited = Some(Span::default());
        let listed = list(self.context, whom, &mut self.finder, unlimited, |hit| {
            for record in &hit.records {
                let offer = Offer::new(hit, record);
                (files, tells) = (files + 1, tells || offer.path.is_some());
                let path = offer.path_and_name();
                let at = targets
                    .iter()
                    .position(|asked| below(asked, &path).is_some());
                if let Some(at) = at {
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
            let nothing = found.iter().all(Vec::is_empty);
            self.one(&host.to_string(), Err(failure))?;
            if nothing {
                return Ok(());
            }
        } else {
            for (asked, _) in targets.iter().zip(&found).filter(|(_, of)| of.is_empty()) {
                let failure = Failure::new(Exit::Nothing, nothing_at(host, files, tells));
                self.one(asked, Err(failure))?;
            }
        }
        let mut all: Vec<(&String, Wanted)> = targets
            .iter()
            .zip(found)
            .flat_map(|(asked, of)| of.into_iter().map(move |wanted| (asked, wanted)))
            .collect();
        all.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        self.say_how_much(host, &all);
        self.fetch_all(host, all)
    }

    fn fetch_all(&mut self, host: &Address, all: Vec<(&String, Wanted)>) -> Result<(), Failure> {
        let (count, mut unreached) = (all.len() as u64, 0);
        for (asked, mut wanted) in all {
            let path = wanted.path.clone().unwrap_or_default();
            let relative = below(asked, &path).unwrap_or(&path);
            let folders = relative.rsplit_once('/').map_or("", |(folders, _)| folders);
            let target = match safe_folders(folders) {
                _ if unreached >= UNREACHED_MAX => {
                    let text = format!("{host} cannot be reached any more; it was not asked");
                    Err(Failure::new(Exit::NoNetwork, text))
                }
                Some(folders) => {
                    wanted.folders = folders;
                    Ok(Some(wanted))
                }
                None => {
                    let text = "no file is put where its path leads; fetch it by its id, as \
                                `filbert browse` shows";
                    Err(Failure::new(Exit::Disk, text))
                }
            };
            match self.one(&path, target)? {
                Some(Exit::NoNetwork) => unreached += 1,
                Some(_) => unreached = 0,
                None => {}
            }
        }
        let ok = self.codes.get(&0).copied().unwrap_or(0);
        if count > 1 && !self.args.detach {
            let files = units::counted(count, "file", "files");
            let rest = if ok < count {
                "; what came of the others is kept, and the same command goes on from there"
            } else {
                ""
            };
            let text = format!("{} of {files} are there{rest}", units::count(ok));
            self.context.out.say(&text);
        }
        Ok(())
    }

    fn say_how_much(&self, host: &Address, all: &[(&String, Wanted)]) {
        if all.len() < 2 {
            return;
        }
        let bytes = all.iter().filter_map(|(_, wanted)| wanted.size).sum();
        let files = units::counted(all.len() as u64, "file", "files");
        let text = format!("{files}, {}, from {host}", units::size(bytes));
        self.context.out.say(&text);
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
