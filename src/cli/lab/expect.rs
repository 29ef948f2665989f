//! `lab expect`: a search that must find so much in time, for scripts: the exit code says whether it did.

use serde::Serialize;

use super::real::keep;
use super::real::measure::{self, Question};
use super::search::{asker, living};
use super::{source, up};
use crate::cli::args::lab::ExpectArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{Format, Output, units};
use crate::topology::plan::LAB_TTL;

/// What `--json` prints.
#[derive(Serialize)]
struct ExpectLine<'a> {
    net: &'a str,
    from: &'a str,
    query: &'a str,
    ttl: u8,
    /// The condition.
    hits: String,
    got: u64,
    /// Nodes that the query has come to by then, the asker not counted.
    reached: u64,
    after_ms: u64,
    ok: bool,
}

/// Asks and waits until the condition is certain to hold or to fail, at most as long as was said.
///
/// # Errors
/// No such network or node; a node does not answer.
pub(super) fn run(args: &ExpectArgs, out: &Output) -> Result<Exit, Failure> {
    let (found, state) = up::find(&args.which)?;
    let source = source::load(&found.dir.join(keep::TOPOLOGY).to_string_lossy(), None)?;
    asker(&state, &args.from)?;
    let interrupt = Interrupt::watch();
    let clients = living(&state, out)?;
    let from = clients.iter().position(|client| client.name == args.from);
    let Some(from) = from else {
        let text = format!("node {} is dead; expect from another", args.from);
        return Err(Failure::new(Exit::NoNetwork, text));
    };
    let text = args.words.join(" ");
    let ttl = args.ttl.or(source.network.defaults.ttl).unwrap_or(LAB_TTL);
    let question = Question {
        from,
        text: &text,
        ttl,
        limit: Some(args.within.0),
    };
    let seen = measure::expect(&clients, question, args.hits.0, &|| interrupt.asked())?;
    let line = ExpectLine {
        net: &state.name,
        from: &args.from,
        query: &text,
        ttl,
        hits: args.hits.0.to_string(),
        got: seen.hits,
        reached: seen.reached,
        after_ms: u64::try_from(seen.after.as_millis()).unwrap_or(u64::MAX),
        ok: args.hits.0.holds(seen.hits),
    };
    if out.format() == Format::Json {
        out.json("expect", &line)?;
    } else {
        let verdict = if line.ok { "found" } else { "expected" };
        let text = format!(
            "{verdict} {} hits for {text:?} from {} within {}: got {} after {}, {} reached",
            line.hits,
            args.from,
            units::short_time(args.within.0),
            seen.hits,
            units::short_time(seen.after),
            units::counted(seen.reached, "node", "nodes"),
        );
        out.line(&text)?;
    }
    Ok(if line.ok { Exit::Good } else { Exit::Nothing })
}
