//! What people type and see.

pub mod args;
pub mod exit;
pub mod lab;
pub mod output;

use args::{Args, Command};
use exit::Exit;

/// Does what was typed; says on stderr what went wrong.
pub fn run(args: Args) -> Exit {
    match args.command {
        Command::Completions(completions) => {
            use std::io::Write;
            let _ = std::io::stdout().write_all(&completions.script());
            Exit::Good
        }
        Command::Lab(lab) => {
            let output = output::Output::new(args.global.json, args.global.quiet);
            lab::run(&lab, &output).unwrap_or_else(|failure| {
                if !failure.message.is_empty() {
                    output.error(&failure.message);
                }
                failure.exit
            })
        }
        other => {
            eprintln!("not yet: {other:?}");
            Exit::Usage
        }
    }
}
