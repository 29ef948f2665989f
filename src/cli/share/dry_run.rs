//! `share --dry-run`: what would be shared, what is left out and why; no network, nothing written.

use crate::cli::Context;
use crate::cli::args::share::ShareArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::escape::shown;
use crate::cli::output::{Format, units};
use crate::cli::shares::LeftOut;
use crate::disk::rules::Breadth;
use crate::disk::shares::{Preview, ShareFolder, SharesError, preview};

/// How widely folders may be listed.
pub(super) fn breadth(args: &ShareArgs) -> Breadth {
    if args.allow_broad {
        Breadth::Any
    } else {
        Breadth::Ordinary
    }
}

/// The listed folders as the disk wants them.
pub(super) fn folders(args: &ShareArgs) -> Vec<ShareFolder> {
    args.dirs.iter().cloned().map(ShareFolder::from).collect()
}

/// What folders cannot be shared for.
pub(super) fn refused(error: &SharesError) -> Failure {
    Failure::new(Exit::Usage, error.to_string())
}

/// Scans the folders once and prints what that finds.
pub(super) fn run(context: &Context, args: &ShareArgs) -> Result<Exit, Failure> {
    let previews =
        preview(&context.home, &folders(args), breadth(args)).map_err(|error| refused(&error))?;
    let out = &context.out;
    if previews.is_empty() {
        out.say("Nothing would be shared: no folder is named. Name some: filbert share DIR...");
    }
    let mut left_out = LeftOut::new(true);
    let mut unnamed = 0;
    for preview in &previews {
        head(context, preview)?;
        for one in &preview.left_out.some {
            left_out.add(out, &preview.name, &one.path, &one.why.to_string())?;
        }
        unnamed += preview
            .left_out
            .count
            .saturating_sub(preview.left_out.some.len() as u64);
    }
    if unnamed > 0 {
        out.say(&format!("and {} more are left out", units::count(unnamed)));
    }
    out.say("Nothing was shared: this was a dry run.");
    Ok(Exit::Good)
}

fn head(context: &Context, preview: &Preview) -> Result<(), Failure> {
    let path = preview.path.display().to_string();
    match context.out.format() {
        Format::Json => {
            let line = serde_json::json!({
                "name": preview.name,
                "path": path,
                "files": preview.files,
                "bytes": preview.bytes,
                "left_out": preview.left_out.count,
            });
            context.out.json("would-share", &line)
        }
        Format::Tabs => context.out.line(&format!(
            "share\t{}\t{}\t{}\t{}",
            shown(&preview.name),
            preview.files,
            preview.bytes,
            shown(&path)
        )),
        Format::People => {
            let files = units::counted(preview.files, "file", "files");
            let size = units::size(preview.bytes);
            let left_out = units::count(preview.left_out.count);
            let line = format!(
                "Would share  {}   {files}   {size}   {path}   ({left_out} left out)",
                preview.name
            );
            context.out.line(&shown(&line))
        }
    }
}
