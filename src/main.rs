//! Arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use filbert::cli::args::{self, Refusal};
use filbert::cli::{self, exit::Exit};

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(Refusal::Shown(text)) => {
            // A reader that has gone (`filbert --help | head -1`) has seen enough.
            let _ = std::io::stdout().write_all((text.trim_end().to_owned() + "\n").as_bytes());
            return Exit::Good.into();
        }
        Err(Refusal::Usage(text)) => {
            eprintln!("{text}");
            return Exit::Usage.into();
        }
    };
    cli::run(&args).into()
}
