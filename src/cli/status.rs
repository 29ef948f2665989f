//! `status` and `down`: one screen about the running node, and its end.

use std::time::Duration;

use crate::cli::Context;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::find;
use crate::cli::interrupt::LOOK;
use crate::cli::net;
use crate::cli::node::NodeHandle;
use crate::cli::output::{Format, units};
use crate::cli::share;
use crate::cli::transfers;
use crate::control::{
    AutoRole, Downloads, Hindrance, Limit, OnNet, Reach, Reached, Request, Role, Status, Transfer,
};

/// A node that takes leave is gone by then: its links have shorter deadlines.
const STOP_WAIT: Duration = Duration::from_secs(15);

/// Downloads of which a line is shown. Our choice.
const TRANSFERS_SHOWN: usize = 5;

/// Runs `status`.
///
/// # Errors
/// Exit 3: no node is running here.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    let node = NodeHandle::expect_running(context)?;
    let status = node.status()?;
    let out = &context.out;
    match out.format() {
        Format::Json => out.json("status", &status)?,
        Format::People | Format::Tabs => {
            let transfers = match status.downloads.unfinished() {
                0 => Vec::new(),
                _ => transfers::all(&node)?,
            };
            let lines = screen(&status, &transfers);
            lines.iter().try_for_each(|line| out.line(line))?;
        }
    }
    Ok(Exit::Good)
}

/// The screen, harmless for a terminal.
fn screen(status: &Status, transfers: &[Transfer]) -> Vec<String> {
    let name = if status.name.is_empty() {
        "this node"
    } else {
        &status.name
    };
    let listen = status.listen.map_or("not listening".to_owned(), |addr| {
        format!("listening on {addr}")
    });
    let files: u64 = status.shares.iter().map(|share| share.files).sum();
    let bytes: u64 = status.shares.iter().map(|share| share.bytes).sum();
    let hashed: u64 = status.shares.iter().map(|share| share.hashed_bytes).sum();
    let folders = units::counted(status.shares.len() as u64, "folder", "folders");
    let mut lines = vec![
        format!(
            "{name}   up {}   {listen}   process {}",
            units::time(Duration::from_secs(status.uptime_s)),
            status.pid
        ),
        format!(
            "links    {} up, {} dialling   {} known, {} heard lately",
            status.links,
            status.dialling,
            units::counted(status.hosts_known as u64, "address", "addresses"),
            units::counted(status.nodes_heard as u64, "node", "nodes"),
        ),
        format!(
            "sharing  {folders}, {}, {}",
            units::counted(files, "file", "files"),
            units::size(bytes)
        ),
    ];
    if hashed < bytes {
        lines.push(format!(
            "hashing  {} of {}",
            units::size(hashed),
            units::size(bytes)
        ));
    }
    lines.extend(status.nets.iter().find_map(|on| on.reach).map(reached));
    if let Some(mapping) = &status.mapping {
        lines.push(format!("router   {}", share::mapping(mapping)));
    }
    if let Some(finding) = status.finding.as_ref().filter(|_| status.links == 0) {
        let more = if finding.pending {
            "; still trying"
        } else {
            ""
        };
        lines.push(format!("finding  {}{more}", find::why_nobody(finding)));
    }
    let reaches = reaches(status);
    lines.splice(1..1, reaches);
    lines.push(format!(
        "uploads  {} of {} running, {} waiting   {} done, {} sent",
        status.uploads_active,
        units::counted(status.upload_slots as u64, "slot", "slots"),
        units::count(status.uploads_waiting as u64),
        units::count(status.uploads_done),
        units::size(status.uploaded_bytes),
    ));
    lines.extend(downloads(&status.downloads));
    lines.extend(transfers::in_short(transfers, TRANSFERS_SHOWN));
    let limits = [("up", &status.limits.up), ("down", &status.limits.down)];
    let limits: Vec<String> = limits
        .into_iter()
        .filter_map(|(way, limit)| Some(format!("{way} {}", limit_now(limit)?)))
        .collect();
    if !limits.is_empty() {
        lines.push(format!("limits   {}", limits.join("   ")));
    }
    for share in &status.shares {
        if let Some(problem) = &share.problem {
            lines.push(format!("problem  {} {problem}", share.name));
        }
    }
    lines
        .iter()
        .map(|line| crate::cli::output::escape::shown(line).into_owned())
        .collect()
}

/// How many downloads are in each state; `None`: there are none.
fn downloads(all: &Downloads) -> Option<String> {
    let states = [
        (all.running, "running"),
        (all.queued, "queued"),
        (all.waiting, "waiting"),
        (all.paused, "paused"),
        (all.failed, "failed"),
        (all.done, "done"),
    ];
    let counts: Vec<String> = states
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{} {state}", units::count(count as u64)))
        .collect();
    let rate = match all.rate {
        0 => String::new(),
        rate => format!("   {}/s", units::size(rate)),
    };
    (!counts.is_empty()).then(|| format!("fetching {}{rate}", counts.join(", ")))
}

/// `200 kB/s until Mon 18:00, then no limit`; `None`: there is never one.
fn limit_now(limit: &Limit) -> Option<String> {
    let rate = |rate: Option<u64>| {
        rate.map_or("no limit".to_owned(), |rate| {
            format!("{}/s", units::size(rate))
        })
    };
    let now = rate(limit.rate);
    match &limit.next {
        Some(next) => Some(format!("{now} until {}, then {}", next.at, rate(next.rate))),
        None => limit.rate.map(|_| now),
    }
}

/// Whom it reaches: a line for each net, with the links there when there are several nets.
fn reaches(status: &Status) -> Vec<String> {
    let place = |role: Option<Role>, auto: Option<AutoRole>| {
        let role = match role {
            Some(Role::Leaf) => ", as a leaf",
            Some(Role::Ultrapeer) => ", as an ultrapeer",
            None => "",
        };
        let why = auto.map(|auto| auto.hindrance.map_or("", hindrance));
        match why {
            None => role.to_owned(),
            Some("") => format!("{role} (auto)"),
            Some(why) => format!("{role} (auto; no ultrapeer yet: {why})"),
        }
    };
    if status.nets.len() < 2 {
        let whom = net::whom(status.net.into());
        let auto = status.nets.first().and_then(|on| on.auto);
        return vec![format!("reaches  {whom}{}", place(status.role, auto))];
    }
    let line = |on: &OnNet| {
        let (whom, place) = (net::whom(on.net.into()), place(on.role, on.auto));
        let links = units::counted(on.links as u64, "link", "links");
        format!("reaches  {whom}{place}   {links}")
    };
    status.nets.iter().map(line).collect()
}

/// Whether strangers reach it.
fn reached(reach: Reach) -> String {
    let word = |reached: Reached| match reached {
        Reached::Yes => "yes",
        Reached::No => "no",
        Reached::Asked => "being tried",
        Reached::Unknown => "not known yet",
    };
    let (connections, datagrams) = (word(reach.connections), word(reach.datagrams));
    format!("reached  by connections: {connections}   by datagrams (UDP): {datagrams}")
}

/// Why a leaf is no ultrapeer yet.
fn hindrance(hindrance: Hindrance) -> &'static str {
    match hindrance {
        Hindrance::Unreachable => {
            "nobody was seen to connect to us; open the port, see share --map-port"
        }
        Hindrance::LittleUpload => "its limits let it send too little",
        Hindrance::Congested => "its links are too slow",
        Hindrance::UpTooShort => "not up for an hour",
        Hindrance::ChangedLately => "its role changed less than half an hour ago",
        Hindrance::Searching => "searches are running",
    }
}

/// Runs `down`: asks the running node to end and waits until it has.
///
/// # Errors
/// Exit 3: no node is running here; exit 4: it does not end.
pub fn down(context: &Context) -> Result<Exit, Failure> {
    let node = NodeHandle::expect_running(context)?;
    let pid = node.status()?.pid;
    node.all(&Request::Stop, STOP_WAIT)?;
    let clock = Stopwatch::start();
    while NodeHandle::running(context).is_some() {
        if clock.elapsed() > STOP_WAIT {
            return Err(Failure::new(
                Exit::TimeLimit,
                format!("process {pid} does not end; end it with kill {pid}"),
            ));
        }
        std::thread::sleep(LOOK);
    }
    context
        .out
        .json("stopped", &serde_json::json!({ "pid": pid }))?;
    context.out.say("Stopped. Nothing is shared any more.");
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Finding, LimitChange, Limits, Mapping, MappingState, Net, Share};

    #[test]
    fn the_screen_says_what_is_shared_and_what_is_wrong() {
        let share = Share {
            name: "Books\x1b".into(),
            path: "/home/a/Books".into(),
            files: 2_431,
            bytes: 31_000_000_000,
            hashed_files: 1,
            hashed_bytes: 1_000_000_000,
            left_out: 5,
            scanning: false,
            problem: Some("is gone".into()),
        };
        let status = Status {
            name: "desk".into(),
            net: Net::Gnutella,
            role: Some(Role::Leaf),
            servent: "00".repeat(16),
            listen: Some(([192, 168, 1, 12], 6346).into()),
            pid: 7,
            uptime_s: 540,
            links: 0,
            dialling: 1,
            hosts_known: 12,
            shares: vec![share],
            uploads_active: 1,
            upload_slots: 4,
            uploads_waiting: 3,
            uploads_done: 14,
            uploaded_bytes: 4_200_000,
            nodes_heard: 9,
            finding: Some(Finding {
                host_caches_asked: 2,
                pending: true,
                ..Finding::default()
            }),
            downloads: Downloads {
                running: 2,
                waiting: 1,
                done: 3,
                rate: 3_100_000,
                ..Downloads::default()
            },
            limits: Limits {
                up: Limit {
                    rate: Some(200_000),
                    next: Some(LimitChange {
                        in_s: 60,
                        at: "Mon 18:00".into(),
                        rate: None,
                    }),
                },
                down: Limit::default(),
            },
            mapping: Some(Mapping {
                port: 6346,
                state: MappingState::Open,
                by: Some("UPnP".into()),
                problem: None,
            }),
            nets: vec![OnNet {
                net: Net::Gnutella,
                role: Some(Role::Leaf),
                auto: Some(AutoRole {
                    hindrance: Some(Hindrance::UpTooShort),
                }),
                links: 0,
                leaves: 0,
                dialling: 1,
                hosts_known: 12,
                nodes_heard: 9,
                reach: Some(Reach {
                    connections: Reached::No,
                    datagrams: Reached::Asked,
                }),
                direct_hits: true,
            }],
        };
        let text = screen(&status, &[]).join("\n");
        for part in [
            "desk   up 9 min",
            "192.168.1.12:6346",
            "strangers on the public Gnutella network, as a leaf (auto; no ultrapeer yet: not up for an hour)",
            "0 up, 1 dialling",
            "reached  by connections: no   by datagrams (UDP): being tried",
            "router   opened port 6346 (UPnP)",
            "finding  no known node can be reached, and of 2 host caches none answered with any; still trying",
            "2,431 files, 31.0 GB",
            "1.0 GB of 31.0 GB",
            "1 of 4 slots running, 3 waiting",
            "fetching 2 running, 1 waiting, 3 done   3.1 MB/s",
            "limits   up 200 kB/s until Mon 18:00, then no limit",
            "14 done",
            "Books\\x1b is gone",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
