//! What a person or a script sees: results on stdout, all talk on stderr.
//!
//! - `--json`: one object a line, each with `"v":1` and `"type"`; fields are only ever added (docs/cli-json.md).
//! - stdout that is no terminal: tab-separated lines, untruncated, no header, no colour.
//! - `-q`: stderr says errors only.
//! - A reader that hangs up (`| head -1`) ends the command quietly: it has seen enough.

pub mod escape;
pub mod progress;
pub mod table;
pub mod units;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::exit::{Exit, Failure};

/// Version of the JSON lines.
const JSON_VERSION: u8 = 1;

/// How much is said, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tables and sentences, for a terminal.
    People,
    /// Tab-separated lines.
    Tabs,
    /// JSON lines.
    Json,
}

/// The two streams of a command.
#[derive(Clone, Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
    stderr_is_terminal: bool,
}

/// One JSON line.
#[derive(Serialize)]
struct Line<'a, T> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// One JSON line whose body says its type.
#[derive(Serialize)]
struct Tagged<'a, T> {
    v: u8,
    #[serde(flatten)]
    body: &'a T,
}

impl Output {
    /// Looks where the streams lead.
    pub fn new(json: bool, quiet: bool) -> Self {
        let format = match (json, io::stdout().is_terminal()) {
            (true, _) => Format::Json,
            (false, true) => Format::People,
            (false, false) => Format::Tabs,
        };
        Self {
            format,
            quiet,
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// The form of results.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Tab-separated lines even on a terminal.
    pub fn use_tabs(&mut self) {
        if self.format == Format::People {
            self.format = Format::Tabs;
        }
    }

    /// `-q` was given.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Stderr shows progress as it happens.
    pub fn shows_progress(&self) -> bool {
        self.stderr_is_terminal && !self.quiet
    }

    /// One line of results. The text must have been made harmless ([`escape`]).
    ///
    /// # Errors
    /// A reader that has gone ends the command with code 0; any other failure is one of the disk.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Bytes for stdout as they are.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Failure::new(Exit::Good, ""),
                _ => Failure::new(
                    Exit::Disk,
                    format!("cannot write results: {error}; make room or send them elsewhere"),
                ),
            })
    }

    /// One JSON line of results, when that is the form; else nothing.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn json(&self, kind: &str, body: &impl Serialize) -> Result<(), Failure> {
        if self.format == Format::Json {
            let line = serde_json::to_string(&Line {
                v: JSON_VERSION,
                kind,
                body,
            });
            self.line(&escape::json(line.expect("our own types are JSON")))?;
        }
        Ok(())
    }

    /// As [`json`](Self::json), for a body that has a `type` of its own.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn json_tagged(&self, body: &impl Serialize) -> Result<(), Failure> {
        if self.format == Format::Json {
            let line = serde_json::to_string(&Tagged {
                v: JSON_VERSION,
                body,
            });
            self.line(&escape::json(line.expect("our own types are JSON")))?;
        }
        Ok(())
    }

    /// Talk for stderr; silent with `-q`.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.error(text);
        }
    }

    /// What went wrong, for stderr, also with `-q`.
    pub fn error(&self, text: &str) {
        // Nobody is left to hear that stderr cannot be written.
        let _ = writeln!(io::stderr(), "{}", escape::shown_lines(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_starts_with_version_and_type() {
        let body = serde_json::json!({"id": "k7m2qd"});
        let line = serde_json::to_string(&Line {
            v: JSON_VERSION,
            kind: "hit",
            body: &body,
        });
        assert_eq!(line.expect("JSON"), r#"{"v":1,"type":"hit","id":"k7m2qd"}"#);
    }
}
