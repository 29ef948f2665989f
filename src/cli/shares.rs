//! `shares`: the shared folders of the running node.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::Context;
use crate::cli::args::node::SharesVerb;
use crate::cli::exit::{Exit, Failure};
use crate::cli::node::NodeHandle;
use crate::cli::output::escape::shown;
use crate::cli::output::table::{Side, plain};
use crate::cli::output::{Format, Output, units};
use crate::control::{File, Reply, Request, Share};

/// A list or a scan of millions of files takes a while between two answers.
const SCAN_WAIT: Duration = Duration::from_hours(1);

/// Runs `shares`.
///
/// # Errors
/// Exit 3: no node is running here.
pub fn run(context: &Context, verb: Option<&SharesVerb>) -> Result<Exit, Failure> {
    let node = NodeHandle::expect_running(context)?;
    match verb {
        None | Some(SharesVerb::List) => list(&context.out, &node),
        Some(SharesVerb::Rescan) => {
            node.all(&Request::Rescan, SCAN_WAIT)?;
            list(&context.out, &node)
        }
        Some(SharesVerb::Check { why }) => {
            let mut left_out = LeftOut::new(*why);
            for reply in node.all(&Request::Check, SCAN_WAIT)? {
                if let Reply::LeftOut { share, path, why } = reply {
                    left_out.add(&context.out, &share, &path, &why)?;
                }
            }
            left_out.end(&context.out)
        }
    }
}

fn list(out: &Output, node: &NodeHandle) -> Result<Exit, Failure> {
    let (mut shares, mut files) = (Vec::new(), Vec::new());
    for reply in node.all(
        &Request::Shares {
            files: out.format() == Format::Json,
        },
        SCAN_WAIT,
    )? {
        match reply {
            Reply::Share(share) => shares.push(share),
            Reply::File(file) => files.push(file),
            _ => {}
        }
    }
    print(out, &shares, &files)?;
    Ok(Exit::Good)
}

/// Prints listed folders; as JSON, also their files.
///
/// # Errors
/// Those of [`Output::line`].
pub(super) fn print(out: &Output, shares: &[Share], files: &[File]) -> Result<(), Failure> {
    match out.format() {
        Format::Json => {
            shares
                .iter()
                .try_for_each(|share| out.json("share", share))?;
            files.iter().try_for_each(|file| out.json("file", file))
        }
        Format::Tabs => shares.iter().try_for_each(|share| {
            let numbers = [share.files, share.bytes, share.hashed_files, share.left_out]
                .map(|n| n.to_string());
            out.line(&format!(
                "{}\t{}\t{}",
                shown(&share.name),
                numbers.join("\t"),
                shown(&share.path)
            ))
        }),
        Format::People if shares.is_empty() => {
            out.say("Nothing is shared: this node was started without folders.");
            Ok(())
        }
        Format::People => {
            let header = [
                ("NAME", Side::Left),
                ("FILES", Side::Right),
                ("SIZE", Side::Right),
                ("HASHED", Side::Right),
                ("LEFT OUT", Side::Right),
                ("STATE", Side::Left),
                ("FOLDER", Side::Left),
            ];
            out.line(&plain(header, shares.iter().map(cells)))
        }
    }
}

fn cells(share: &Share) -> [String; 7] {
    let state = match (&share.problem, share.scanning) {
        (Some(problem), _) => problem.clone(),
        (None, true) => "scanning".to_owned(),
        (None, false) if share.hashed_files < share.files => "hashing".to_owned(),
        (None, false) => "ready".to_owned(),
    };
    [
        share.name.clone(),
        units::count(share.files),
        units::size(share.bytes),
        units::size(share.hashed_bytes),
        units::count(share.left_out),
        state,
        share.path.clone(),
    ]
}

/// What is left out: each thing, or how many for each reason.
#[derive(Debug)]
pub(super) struct LeftOut {
    each: bool,
    reasons: BTreeMap<String, u64>,
}

impl LeftOut {
    /// `each`: name every file and folder.
    pub(super) fn new(each: bool) -> Self {
        Self {
            each,
            reasons: BTreeMap::new(),
        }
    }

    /// One file or folder.
    ///
    /// # Errors
    /// Those of [`Output::line`].
    pub(super) fn add(
        &mut self,
        out: &Output,
        share: &str,
        path: &str,
        why: &str,
    ) -> Result<(), Failure> {
        *self.reasons.entry(why.to_owned()).or_default() += 1;
        if !self.each {
            return Ok(());
        }
        match out.format() {
            Format::Json => out.json(
                "left-out",
                &serde_json::json!({ "share": share, "path": path, "why": why }),
            ),
            Format::Tabs => out.line(&format!(
                "left out\t{}/{}\t{}",
                shown(share),
                shown(path),
                shown(why)
            )),
            Format::People => out.line(&format!(
                "{:<28} {}/{}",
                shown(why),
                shown(share),
                shown(path)
            )),
        }
    }

    /// Things left out.
    pub(super) fn count(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// `5 files and folders (hidden 3, a link 2)`.
    pub(super) fn summary(&self) -> String {
        let reasons: Vec<String> = self
            .reasons
            .iter()
            .map(|(why, n)| format!("{} {}", brief(why), units::count(*n)))
            .collect();
        let things = units::counted(self.count(), "file or folder", "files and folders");
        if reasons.is_empty() {
            "nothing".to_owned()
        } else {
            format!("{things} ({})", reasons.join(", "))
        }
    }

    fn end(&self, out: &Output) -> Result<Exit, Failure> {
        if !self.each {
            match out.format() {
                Format::Json => {
                    out.json(
                        "left-out-count",
                        &serde_json::json!({ "count": self.count(), "reasons": self.reasons }),
                    )?;
                }
                Format::Tabs => {
                    self.reasons
                        .iter()
                        .try_for_each(|(why, n)| out.line(&format!("{n}\t{}", shown(why))))?;
                }
                Format::People => out.line(&shown(&format!("Left out  {}", self.summary())))?,
            }
        }
        if out.format() == Format::People {
            out.say(if self.each {
                "These are never sent to anyone."
            } else {
                "Each by name: filbert shares check --why"
            });
        }
        Ok(Exit::Good)
    }
}

/// A reason without its explanation: what stands before a bracket, semicolon or colon.
fn brief(why: &str) -> &str {
    why.split(['(', ';', ':']).next().unwrap_or(why).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_by_reason() {
        let out = Output::new(false, true);
        let mut left_out = LeftOut::new(false);
        for why in [
            "hidden (its name starts with a dot)",
            "a link; links are not followed",
            "hidden (its name starts with a dot)",
        ] {
            left_out
                .add(&out, "Books", "x", why)
                .expect("nothing is printed");
        }
        assert_eq!(
            left_out.summary(),
            "3 files and folders (a link 1, hidden 2)"
        );
        assert_eq!(LeftOut::new(true).summary(), "nothing");
    }
}
