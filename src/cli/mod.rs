//! What people type and see.

pub mod args;
pub mod exit;
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
        other => {
            eprintln!("not yet: {other:?}");
            Exit::Usage
        }
    }
}
