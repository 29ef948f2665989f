//! `get --stdout`: the bytes of one file to standard output, in order, while the rest is fetched.

use std::io::{self, IsTerminal, Write};
use std::thread;

use crate::cli::Context;
use crate::cli::args::get::GetArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Format;
use crate::disk::scratch::Scratch;
use crate::net::download::{Piece, Tap};

/// Where the partial file lies meanwhile.
///
/// # Errors
/// Exit 2: flags that do not go together, or a terminal, which must not obey what strangers wrote; exit 6: no room.
pub(super) fn begin(context: &Context, args: &GetArgs) -> Result<Scratch, Failure> {
    let wrong = |text: &str| Err(Failure::new(Exit::Usage, text));
    if args.targets.len() > 1 || args.targets[0] == "-" {
        return wrong("--stdout writes one file; give one target with it");
    }
    if context.out.format() == Format::Json {
        return wrong("--stdout fills standard output with the file; leave --json out");
    }
    if io::stdout().is_terminal() {
        return wrong(
            "--stdout would write the file to the terminal; pipe it to a program, or leave --stdout out",
        );
    }
    let all = context.home.state().join("streams");
    Scratch::new(&all).map_err(|error| {
        let all = all.display();
        let text = format!("cannot make a folder in {all}: {error}; choose another --home");
        Failure::new(Exit::Disk, text)
    })
}

/// Runs a fetch while what comes out of `tap` goes to standard output.
///
/// # Errors
/// Those of the fetch; exit 5 when bytes that went out turn out to be wrong; a reader that has gone ends it with
/// code 0.
pub(super) fn pass_on(
    context: &Context,
    tap: &Tap,
    fetch: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    thread::scope(|scope| {
        let copy = scope.spawn(|| {
            let copied = copy(context, tap);
            if copied.is_err() {
                tap.cancel().cancel();
            }
            copied
        });
        let fetched = fetch();
        tap.end();
        // A panic was printed where it happened; what it copied is not to be trusted.
        let copied = copy
            .join()
            .unwrap_or_else(|_| Err(Failure::new(Exit::Usage, "")));
        copied.and(fetched)
    })
}

fn copy(context: &Context, tap: &Tap) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let mut sent = 0;
    let mut warned = false;
    loop {
        let read = |error: io::Error| {
            Failure::new(Exit::Disk, format!("cannot read what was fetched: {error}"))
        };
        match tap.next().map_err(read)? {
            Piece::Bytes { bytes, checked } => {
                if !checked && !warned {
                    warned = true;
                    context.out.say(
                        "no source has a hash tree of this file: it is checked at the end only, and wrong bytes may go out \
                         before; exit code 5 says so",
                    );
                }
                stdout
                    .write_all(&bytes)
                    .and_then(|()| stdout.flush())
                    .map_err(|error| match error.kind() {
                        io::ErrorKind::BrokenPipe => Failure::new(Exit::Good, ""),
                        _ => Failure::new(
                            Exit::Disk,
                            format!("cannot write to standard output: {error}"),
                        ),
                    })?;
                sent += bytes.len();
            }
            Piece::Spoilt => {
                return Err(Failure::new(
                    Exit::Mismatch,
                    format!(
                        "bytes among the first {sent} that went out are not those of its hash; throw them away and run this \
                         again, or without --stdout, which waits until all is checked"
                    ),
                ));
            }
            Piece::End => return Ok(()),
        }
    }
}
