//! All that can be typed. The only place that names structopt.

pub mod find;
pub mod get;
pub mod lab;
pub mod limit;
pub mod net;
pub mod node;
pub mod search;
pub mod share;
pub mod transfers;
pub mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use structopt::StructOpt;
use structopt::clap::{App, AppSettings, ErrorKind, Shell};

/// Columns of a help text. Fixed, so that help looks the same everywhere and can be held to a snapshot.
const HELP_COLUMNS: usize = 100;

const ABOUT: &str = "Share folders, search them, fetch from them: a Gnutella 0.6 node.";

/// A whole command line.
#[derive(Clone, Debug, StructOpt)]
#[structopt(
    name = "filbert",
    set_term_width = HELP_COLUMNS,
    global_setting = AppSettings::VersionlessSubcommands,
    global_setting = AppSettings::UnifiedHelpMessage,
    global_setting = AppSettings::DeriveDisplayOrder,
    global_setting = AppSettings::ColorNever,
    setting = AppSettings::SubcommandRequired,
    setting = AppSettings::DisableHelpSubcommand,
    after_help = EXAMPLES,
)]
pub struct Args {
    /// Flags of every command.
    #[structopt(flatten)]
    pub global: Global,
    /// What to do.
    #[structopt(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "EXAMPLES:
    filbert share ~/Photos/Wedding               others find it until Ctrl-C
    filbert search wedding --type image          results appear as they arrive
    filbert get k7m2qd                           fetch by the id a search shows

EXIT CODES:
    0 done or found     1 nothing found     2 wrong use or unexpected error     3 no neighbour
    4 time limit        5 content does not match its hash     6 local disk     7 refused
    8 already running   130 interrupted";

/// Flags that stand before or after the command.
#[derive(Clone, Debug, StructOpt)]
pub struct Global {
    /// One JSON object a line on standard output
    #[structopt(long, global = true)]
    pub json: bool,
    /// Print results only; `search -q` prints nothing and stops at the first hit
    #[structopt(short, long, global = true)]
    pub quiet: bool,
    /// Log more: -v info, -vv debug, -vvv trace
    #[structopt(short, parse(from_occurrences), global = true)]
    pub verbose: u8,
    /// Keep everything of this node under one folder [default: the XDG folders]
    #[structopt(
        long,
        value_name = "DIR",
        env = "FILBERT_HOME",
        hide_env_values = true,
        global = true,
        parse(from_os_str)
    )]
    pub home: Option<PathBuf>,
    /// Log filter, such as `info` or `filbert::net=debug` [default: warn]
    #[structopt(
        long,
        value_name = "FILTER",
        env = "FILBERT_LOG",
        hide_env_values = true,
        global = true
    )]
    pub log: Option<String>,
}

/// The commands.
#[derive(Clone, Debug, StructOpt)]
pub enum Command {
    /// Share folders until Ctrl-C
    Share(share::ShareArgs),
    /// Find files; results appear as they arrive
    Search(search::SearchArgs),
    /// Fetch files by id, urn:sha1, magnet or URL
    Get(get::GetArgs),
    /// List what one node shares
    Browse(search::BrowseArgs),
    /// One screen about the running node
    Status,
    /// The neighbours of the running node
    Peers(node::PeersArgs),
    /// The shared folders of the running node
    Shares(node::SharesArgs),
    /// The downloads of the running node
    Transfers(transfers::TransfersArgs),
    /// Stop the running node
    Down,
    /// Many nodes from one file: generate, simulate, run
    Lab(lab::LabArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// `completions SHELL`.
#[derive(Clone, Debug, StructOpt)]
#[structopt(usage = "filbert completions SHELL > FILE")]
pub struct CompletionsArgs {
    /// Which shell
    #[structopt(possible_values = &Shell::variants(), value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsArgs {
    /// The completion script.
    pub fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        app().gen_completions_to("filbert", self.shell, &mut script);
        script
    }
}

/// Why no command came of what was typed.
#[derive(Debug)]
pub enum Refusal {
    /// Help or version was asked for: for stdout, exit 0.
    Shown(String),
    /// Wrong use: for stderr, exit 2.
    Usage(String),
}

/// The parser. The text about the program is set last: those of flattened parts would take its place.
fn app() -> App<'static, 'static> {
    Args::clap().about(ABOUT)
}

/// Reads the words and flags of a command line, the program's name first.
///
/// # Errors
/// Help, version, or what is wrong with the flag it names.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, Refusal> {
    match app().get_matches_from_safe(words) {
        Ok(matches) => Ok(Args::from_clap(&matches)),
        Err(error)
            if matches!(
                error.kind,
                ErrorKind::HelpDisplayed | ErrorKind::VersionDisplayed
            ) =>
        {
            Err(Refusal::Shown(error.message))
        }
        Err(error) => {
            // The parser proposes `filbert -- WORD` for an unknown command, which leads nowhere here.
            let useful = |line: &&str| !line.starts_with("If you believe");
            Err(Refusal::Usage(
                error
                    .message
                    .lines()
                    .filter(useful)
                    .collect::<Vec<_>>()
                    .join("\n"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Args {
        parse(line.split(' ').map(OsString::from))
            .unwrap_or_else(|refusal| panic!("{line}: {refusal:?}"))
    }

    fn refused(line: &str) -> String {
        match parse(line.split(' ').map(OsString::from)) {
            Err(Refusal::Usage(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [
            "filbert --json -q --home h search a",
            "filbert search a --json -q --home h",
            "filbert -q search --home h a --json",
        ] {
            let args = parsed(line);
            assert!(args.global.json && args.global.quiet, "{line}");
            assert_eq!(
                args.global.home.as_deref(),
                Some(std::path::Path::new("h")),
                "{line}"
            );
        }
        assert!(parsed("filbert shares list --json").global.json);
        assert_eq!(parsed("filbert -vv status").global.verbose, 2);
        assert_eq!(parsed("filbert status -vv").global.verbose, 2);
    }

    #[test]
    fn wrong_values_name_their_flag_and_an_example() {
        for (line, flag, example) in [
            ("filbert search a --timeout 10", "--timeout", "10s"),
            ("filbert search a --min-size 1", "--min-size", "1.5MB"),
            ("filbert share d --limit-up fast", "--limit-up", "5MB/s"),
            ("filbert share d --listen desk", "--listen", "0.0.0.0:6346"),
            ("filbert share d --peer a:b", "--peer", "192.168.1.12:6346"),
            ("filbert share d --ttl 0", "--ttl", "such as 4"),
        ] {
            let error = refused(line);
            assert!(
                error.contains(flag) && error.contains(example),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn every_word_of_the_surface_is_understood() {
        for line in [
            "filbert share d e --listen 127.0.0.1:0 --peer h --peer 10.0.0.1:99 --name desk --downloads x --home y --min-links 1 \
             --max-links 2 --ttl 7 --seen-cache 10 --slots 3 --limit-up 5MB/s --limit-up 22:00-07:00=off --limit-down none --limit-search none --dry-run --json",
            "filbert search moby dick --tsv --fields id,name --timeout 10s --idle 3s --max 9 --ttl 2 --ext pdf,epub --type audio \
             --min-size 1MB --max-size 2GB --not x --sort size --ungroup --peer h -q",
            "filbert search --urn sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB --first",
            "filbert get k7m2qd - -o dir --on-exist rename --json -q",
            "filbert get k7m2qd --as name --net lan",
            "filbert get --from desk:6347 Wedding/ Ski/a.jpg -o dir",
            "filbert share d --net gnutella --role ultrapeer --allow-private",
            "filbert search a --net gnutella --host-cache h:1 --host-cache [::1]:2",
            "filbert browse desk --ext pdf",
            "filbert peers",
            "filbert peers list",
            "filbert peers add desk",
            "filbert peers drop 10.0.0.1:1",
            "filbert shares",
            "filbert shares rescan",
            "filbert shares check --why",
            "filbert get k7m2qd --detach",
            "filbert transfers",
            "filbert transfers list --json",
            "filbert transfers watch k7m2qd",
            "filbert transfers pause k7m2qd f0s8tt",
            "filbert transfers cancel --keep k7m2qd",
            "filbert down",
            "filbert completions bash",
        ] {
            parsed(&line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }

    #[test]
    fn completions_name_the_commands() {
        let Command::Completions(args) = parsed("filbert completions bash").command else {
            unreachable!()
        };
        let script = String::from_utf8(args.script()).expect("a script is text");
        assert!(script.contains("search") && script.contains("--on-exist"));
    }
}
