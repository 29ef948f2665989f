//! `transfers`: the downloads of the running node, listed, watched and steered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::args::transfers::TransfersVerb;
use crate::cli::exit::{Exit, Failure};
use crate::cli::get::show::{asked_again, place};
use crate::cli::interrupt::LOOK;
use crate::cli::node::NodeHandle;
use crate::cli::output::escape::shown;
use crate::cli::output::progress::{Progress, Unit};
use crate::cli::output::table::{Side, plain};
use crate::cli::output::{Format, units};
use crate::control::{Reply, Request, Transfer, TransferAct, TransferState};

/// What is asked needs the disk of the node, and no network.
const REPLY_WAIT: Duration = Duration::from_secs(30);

/// A download that is not on the list any more.
#[derive(Debug, Serialize)]
struct GoneLine<'a> {
    id: &'a str,
}

/// Runs `transfers`.
///
/// # Errors
/// Exit 3: no node is running here; exit 1: no such download.
pub fn run(context: &Context, verb: Option<&TransfersVerb>) -> Result<Exit, Failure> {
    let node = NodeHandle::expect_running(context)?;
    match verb {
        None | Some(TransfersVerb::List) => list(context, &node),
        Some(TransfersVerb::Watch { ids }) => watch(context, &node, ids),
        Some(TransfersVerb::Pause(ids)) => act(context, &node, &ids.ids, TransferAct::Pause),
        Some(TransfersVerb::Resume(ids)) => act(context, &node, &ids.ids, TransferAct::Resume),
        Some(TransfersVerb::Retry(ids)) => act(context, &node, &ids.ids, TransferAct::Retry),
        Some(TransfersVerb::Cancel { ids, keep }) => {
            let how = if *keep {
                TransferAct::Forget
            } else {
                TransferAct::Cancel
            };
            act(context, &node, ids, how)
        }
    }
}

/// All downloads of a node, in the order they were taken on.
///
/// # Errors
/// It does not answer.
pub(super) fn all(node: &NodeHandle) -> Result<Vec<Transfer>, Failure> {
    let replies = node.all(&Request::Transfers { watch: false }, REPLY_WAIT)?;
    let transfer = |reply| match reply {
        Reply::Transfer(transfer) => Some(*transfer),
        _ => None,
    };
    Ok(replies.into_iter().filter_map(transfer).collect())
}

fn list(context: &Context, node: &NodeHandle) -> Result<Exit, Failure> {
    let all = all(node)?;
    let out = &context.out;
    match out.format() {
        Format::Json => all.iter().try_for_each(|one| out.json("transfer", one))?,
        Format::Tabs => {
            for one in &all {
                let size = one.size.map_or(String::new(), |size| size.to_string());
                let [done, rate] = [one.done, one.rate].map(|n| n.to_string());
                let cells = [&*one.id, one.state.name(), &done, &size, &rate, &one.name];
                out.line(&cells.map(|cell| shown(cell).into_owned()).join("\t"))?;
            }
        }
        Format::People if all.is_empty() => {
            out.say("No downloads. Hand one over: filbert get --detach ID");
        }
        Format::People => {
            let header = [
                ("ID", Side::Left),
                ("STATE", Side::Left),
                ("DONE", Side::Right),
                ("SIZE", Side::Right),
                ("SPEED", Side::Right),
                ("LEFT", Side::Right),
                ("NAME", Side::Left),
            ];
            out.line(&plain(header, all.iter().map(cells)))?;
            for one in &all {
                if let Some(why) = plan(one) {
                    out.say(&format!("{}  {why}", one.id));
                }
            }
        }
    }
    Ok(Exit::Good)
}

fn cells(one: &Transfer) -> [String; 7] {
    let percent = one.size.filter(|size| *size > 0).map(|size| {
        let percent = u128::from(one.done) * 100 / u128::from(size);
        format!("{percent}%")
    });
    let running = one.state == TransferState::Running;
    let left = one.size.filter(|_| one.rate > 0).map(|size| {
        let seconds = size.saturating_sub(one.done) / one.rate.max(1);
        units::time(Duration::from_secs(seconds))
    });
    [
        one.id.clone(),
        one.state.name().to_owned(),
        percent.unwrap_or_else(|| units::size(one.done)),
        one.size.map_or(String::new(), units::size),
        if running {
            format!("{}/s", units::size(one.rate))
        } else {
            String::new()
        },
        left.filter(|_| running).unwrap_or_default(),
        one.name.clone(),
    ]
}

/// What one waits for and what happens next, or why it failed.
fn plan(one: &Transfer) -> Option<String> {
    let mut parts = Vec::new();
    if one.rate == 0 {
        let mut queued: Vec<_> = one
            .sources
            .iter()
            .filter(|s| s.position.is_some())
            .collect();
        queued.sort_by_key(|source| source.position);
        let first = queued.first();
        parts.extend(
            first.map(|s| place(&s.source, s.position, s.length, s.eta_s) + &asked_again(s.next_s)),
        );
    }
    parts.extend(one.message.clone());
    let id = &one.id;
    match one.state {
        TransferState::Waiting => {
            let span = Duration::from_secs(one.retry_in_s.unwrap_or(0));
            let when = units::time(span);
            parts.push(format!(
                "tried again in {when}; now: filbert transfers retry {id}"
            ));
        }
        TransferState::Failed => parts.push(format!("again: filbert transfers retry {id}")),
        TransferState::Paused => parts.push(format!("go on: filbert transfers resume {id}")),
        TransferState::Queued => parts.push(match one.ahead {
            Some(ahead @ 1..) => {
                let others = units::counted(ahead as u64, "other", "others");
                format!("starts after {others} that wait")
            }
            _ => "starts when one that runs has ended".to_owned(),
        }),
        // Else it is asking for the first time.
        TransferState::Running if one.rate == 0 && parts.is_empty() => {
            parts.push("asking its sources".to_owned());
        }
        TransferState::Running | TransferState::Done => {}
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The downloads of a node that are not done, in short: what `status` shows. At most `max` lines, those first that run.
pub(super) fn in_short(all: &[Transfer], max: usize) -> Vec<String> {
    let unfinished = |one: &&Transfer| one.state != TransferState::Done;
    let mut rows: Vec<&Transfer> = all.iter().filter(unfinished).collect();
    rows.sort_by_key(|one| one.state != TransferState::Running);
    let count = rows.len();
    let shown = if count > max { max - 1 } else { count };
    let mut lines: Vec<String> = rows
        .into_iter()
        .take(shown)
        .map(|one| format!("         {}", row(one)))
        .collect();
    if count > shown {
        let more = count - shown;
        lines.push(format!("         and {more} more: filbert transfers"));
    }
    lines
}

/// One in a line: `moby.bin  52%  1.5 MB  300 kB/s  2 s left  running`, with its plan.
fn row(one: &Transfer) -> String {
    let [id, state, percent, size, rate, left, name] = cells(one);
    let left = if left.is_empty() {
        left
    } else {
        format!("{left} left")
    };
    let all = [
        id,
        name,
        percent,
        size,
        rate,
        left,
        state,
        plan(one).unwrap_or_default(),
    ];
    let said: Vec<String> = all.into_iter().filter(|part| !part.is_empty()).collect();
    said.join("  ")
}

/// Each is acted on; the worst exit code counts.
fn act(
    context: &Context,
    node: &NodeHandle,
    ids: &[String],
    act: TransferAct,
) -> Result<Exit, Failure> {
    let mut worst = Exit::Good;
    for id in ids {
        let request = Request::TransferAct {
            id: id.clone(),
            act,
        };
        match node.ask(&request)?.all(REPLY_WAIT) {
            Ok(replies) => {
                for reply in replies {
                    said(context, &reply)?;
                }
            }
            Err(message) => {
                context.out.error(&message);
                worst = worst.worst(Exit::Nothing);
            }
        }
    }
    Ok(worst)
}

fn said(context: &Context, reply: &Reply) -> Result<(), Failure> {
    let out = &context.out;
    match reply {
        Reply::Transfer(one) => {
            out.json("transfer", one)?;
            out.say(&format!("{}  {}  {}", one.id, one.state.name(), one.name));
        }
        Reply::TransferGone { id } => {
            out.json("transfer-gone", &GoneLine { id })?;
            out.say(&format!("{id}  is off the list"));
        }
        _ => {}
    }
    Ok(())
}

/// Shows changes until nothing of what is watched goes on by itself.
fn watch(context: &Context, node: &NodeHandle, ids: &[String]) -> Result<Exit, Failure> {
    let out = &context.out;
    let ids: Vec<String> = ids.iter().map(|id| id.to_ascii_lowercase()).collect();
    let wanted = |id: &str| ids.is_empty() || ids.iter().any(|asked| of(asked, id));
    let first = node.all(&Request::Transfers { watch: false }, REPLY_WAIT)?;
    for asked in &ids {
        let known = |reply: &Reply| matches!(reply, Reply::Transfer(one) if of(asked, &one.id));
        if !first.iter().any(known) {
            return Err(Failure::new(
                Exit::Nothing,
                format!("no download has the id {asked}; `filbert transfers list` shows them"),
            ));
        }
    }
    let mut replies = node.ask(&Request::Transfers { watch: true })?;
    let mut board = Board::default();
    let expected = first
        .iter()
        .filter(|reply| matches!(reply, Reply::Transfer(_)))
        .count();
    let mut came = 0;
    loop {
        if context.interrupt.asked() {
            board.finish();
            return Ok(Exit::Interrupted);
        }
        match replies.next(LOOK) {
            Some(Reply::Transfer(one)) => {
                came += 1;
                if wanted(&one.id) {
                    out.json("transfer", &*one)?;
                    board.take(context, *one);
                }
            }
            Some(Reply::TransferGone { id }) => {
                if board.all.remove(&id).is_some() {
                    out.json("transfer-gone", &GoneLine { id: &id })?;
                    board.gone = true;
                }
            }
            Some(Reply::Error { message }) => {
                board.finish();
                return Err(Failure::new(Exit::NoNetwork, message));
            }
            Some(_) => {}
            None => {
                board.show(context);
                // All that there was at the start has come.
                if came >= expected && !board.all.values().any(|one| one.state.goes_on()) {
                    break;
                }
            }
        }
    }
    let gone = board.gone;
    let all = board.finish();
    let mut worst = if gone { Exit::Nothing } else { Exit::Good };
    for one in all.values() {
        if let Some(why) = plan(one) {
            out.say(&format!("{}  {}: {why}", one.id, one.state.name()));
        }
        let exit = match one.state {
            TransferState::Done => Exit::Good,
            _ => exit_of(one.code),
        };
        worst = worst.worst(exit);
    }
    Ok(worst)
}

/// The id typed names this one: either may be the longer.
fn of(asked: &str, id: &str) -> bool {
    !asked.is_empty() && (id.starts_with(asked) || asked.starts_with(id))
}

fn exit_of(code: Option<u8>) -> Exit {
    let code = code.unwrap_or(Exit::TimeLimit.code());
    let mut all = Exit::WORST_FIRST.into_iter();
    all.find(|exit| exit.code() == code).unwrap_or(Exit::Usage)
}

/// What is watched, and the bar that shows it.
#[derive(Default)]
struct Board {
    all: BTreeMap<String, Transfer>,
    bar: Option<Progress>,
    gone: bool,
}

impl Board {
    fn take(&mut self, context: &Context, one: Transfer) {
        let before = self.all.get(&one.id).map(|before| before.state);
        // What is new is said once; how it goes, the bar shows.
        if before != Some(one.state) && (before.is_some() || !one.state.goes_on()) {
            let what = match &one.path {
                Some(path) => path.clone(),
                None => one.name.clone(),
            };
            let line = format!("{}  {}  {what}", one.id, one.state.name());
            match &self.bar {
                Some(bar) => bar.aside(|| context.out.say(&line)),
                None => context.out.say(&line),
            }
        }
        self.all.insert(one.id.clone(), one);
    }

    fn show(&mut self, context: &Context) {
        let out = &context.out;
        if out.format() == Format::Json {
            return;
        }
        let going = || self.all.values().filter(|one| one.state.goes_on());
        let (done, size) = going().fold((0, 0), |(done, size), one| {
            (done + one.done, size + one.size.unwrap_or(one.done))
        });
        let lines: Vec<String> = going().map(row).collect();
        let bar = self
            .bar
            .get_or_insert_with(|| Progress::new(out, "Downloads", Unit::Bytes, size));
        bar.below(&lines);
        bar.update(done, size);
    }

    fn finish(self) -> BTreeMap<String, Transfer> {
        if let Some(bar) = self.bar {
            bar.finish();
        }
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::SourceState;

    fn transfer(id: &str, state: TransferState) -> Transfer {
        Transfer {
            id: id.to_owned(),
            state,
            name: format!("{id}.bin"),
            urn: None,
            done: 520_000,
            size: Some(1_000_000),
            rate: 0,
            sources: Vec::new(),
            into: "/in".to_owned(),
            path: None,
            verified: false,
            message: None,
            code: None,
            retry_in_s: None,
            ahead: None,
        }
    }

    #[test]
    fn every_wait_says_what_it_is_for_and_what_comes_next() {
        let source = SourceState {
            source: "192.0.2.1:6346".to_owned(),
            state: "waits".to_owned(),
            bytes: 0,
            rate: None,
            position: Some(2),
            length: Some(9),
            eta_s: Some(240),
            next_s: Some(45),
        };
        let all = [
            Transfer {
                sources: vec![source],
                ..transfer("aaaa", TransferState::Running)
            },
            transfer("bbbb", TransferState::Running),
            transfer("cccc", TransferState::Queued),
            Transfer {
                ahead: Some(1),
                ..transfer("dddd", TransferState::Queued)
            },
            Transfer {
                message: Some("all sources were busy".to_owned()),
                retry_in_s: Some(120),
                ..transfer("eeee", TransferState::Waiting)
            },
            transfer("ffff", TransferState::Paused),
            transfer("gggg", TransferState::Done),
        ];
        let said: Vec<String> = all
            .iter()
            .map(|one| plan(one).unwrap_or_default())
            .collect();
        assert_eq!(
            said,
            [
                "waiting 192.0.2.1:6346, place 2 of 9, about 4 min; asked again in 45 s",
                "asking its sources",
                "starts when one that runs has ended",
                "starts after 1 other that wait",
                "all sources were busy; tried again in 2 min; now: filbert transfers retry eeee",
                "go on: filbert transfers resume ffff",
                "",
            ]
        );
    }

    #[test]
    fn in_short_the_running_ones_come_first_and_the_rest_is_counted() {
        let all = [
            transfer("aaaa", TransferState::Paused),
            transfer("bbbb", TransferState::Done),
            Transfer {
                rate: 240_000,
                ..transfer("cccc", TransferState::Running)
            },
            transfer("dddd", TransferState::Failed),
        ];
        let lines = in_short(&all, 2);
        assert_eq!(
            lines,
            [
                "         cccc  cccc.bin  52%  1.0 MB  240 kB/s  2.0 s left  running",
                "         and 2 more: filbert transfers",
            ]
        );
        assert_eq!(in_short(&all, 3).len(), 3);
    }
}
