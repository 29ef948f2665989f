//! `get --detach`: hands downloads to the running node and does not stay.

use std::time::Duration;

use serde::Serialize;

use super::target::Wanted;
use super::{Run, failure};
use crate::cli::exit::{Exit, Failure};
use crate::cli::node::NodeHandle;
use crate::cli::output::Format;
use crate::control::{OnExist, Reply, Request, TransferSpec};
use crate::disk::results::Key;
use crate::net::download::folder;
use crate::wire::urn::tiger_to_base32;

/// Taking one on needs the disk of the node, and no network.
const REPLY_WAIT: Duration = Duration::from_secs(30);
/// Sources handed over; the node finds others. Keeps a request below what the control socket takes.
const SOURCES_MAX: usize = 16;

/// The node has it on its list.
#[derive(Debug, Serialize)]
struct DetachedLine<'a> {
    id: &'a str,
    name: &'a str,
    size: Option<u64>,
    into: &'a str,
    state: &'a str,
}

impl Run<'_> {
    /// Flags that are about staying are of no use here.
    pub(super) fn check_detach(&self) -> Result<(), Failure> {
        let args = self.args;
        if args.retry > 0 || args.timeout.limit().is_some() {
            return Err(Failure::new(
                Exit::Usage,
                "with --detach the node tries again by itself, until `filbert transfers cancel`; leave --retry and --timeout out",
            ));
        }
        NodeHandle::expect_running(self.context).map(drop)
    }

    /// Hands one over.
    pub(super) fn detach(&self, wanted: &Wanted) -> Result<(), Failure> {
        self.check_hash(wanted)?;
        let node = NodeHandle::expect_running(self.context)?;
        let disk = |error| Failure::new(Exit::Disk, format!("the download folder: {error}"));
        let into = std::path::absolute(&self.folder).map_err(disk)?;
        let into = folder(&into, &wanted.folders).map_err(|error| failure(&error.into()))?;
        let into = into.path();
        let Some(into) = into.to_str() else {
            let into = into.display();
            let text = format!(
                "the path {into} is not UTF-8, as --detach needs it; choose another with -o"
            );
            return Err(Failure::new(Exit::Usage, text));
        };
        let sources = wanted.sources.iter().take(SOURCES_MAX);
        let sources = sources.map(|source| self.sealed(source).offer());
        let spec = TransferSpec {
            key: key(wanted),
            urn: wanted.sha1.map(|sha1| sha1.to_string()),
            tiger: wanted.tiger.map(|root| tiger_to_base32(&root)),
            name: self.name_of(wanted),
            size: wanted.size,
            sources: sources.collect(),
            into: into.to_owned(),
            on_exist: match self.args.on_exist.as_deref() {
                Some("skip") => OnExist::Skip,
                Some("rename") => OnExist::Rename,
                Some("overwrite") => OnExist::Overwrite,
                _ => OnExist::Fail,
            },
            unchecked: self.args.verify == "off",
            connections: self.args.sources,
            limit: self.args.limit.0,
        };
        let transfer = Box::new(spec);
        let replies = node
            .ask(&Request::TransferAdd { transfer })?
            .all(REPLY_WAIT);
        let replies = replies.map_err(|message| Failure::new(Exit::Usage, message))?;
        let out = &self.context.out;
        for reply in replies {
            let Reply::Transfer(one) = reply else {
                continue;
            };
            let line = DetachedLine {
                id: &one.id,
                name: &one.name,
                size: one.size,
                into: &one.into,
                state: one.state.name(),
            };
            out.json("detached", &line)?;
            if out.format() != Format::Json {
                out.say(&format!(
                    "{}: {} (watch it: filbert transfers watch {})",
                    one.name,
                    one.state.name(),
                    one.id
                ));
                out.line(&one.id)?;
            }
        }
        Ok(())
    }
}

/// What tells the download from others: the content, or else where it is.
fn key(wanted: &Wanted) -> String {
    match (wanted.sha1, wanted.sources.first()) {
        (Some(sha1), _) => Key::of_content(sha1).text(),
        (None, Some(source)) => Key::of_offer("", 0, &source.url(), 0).text(),
        (None, None) => Key::of_offer("", 0, &wanted.id, 0).text(),
    }
}
