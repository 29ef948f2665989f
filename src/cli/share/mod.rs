//! `share`: a node that stays until it is told to end.

mod dry_run;
mod screen;

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::args::limit::timetable;
use crate::cli::args::share::ShareArgs;
use crate::cli::args::values::PORT;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::find::{self, Caches};
use crate::cli::get::place;
use crate::cli::interrupt::LOOK;
use crate::cli::net;
use crate::cli::node::{discovery, resolve, strict};
use crate::cli::output::escape;
use crate::cli::output::progress::{Progress, Unit};
use crate::cli::output::units::counted;
use crate::cli::output::{Format, Output};
use crate::control::{self, Mapping, MappingState, Reply, Request, Share};
use crate::disk::shares::Options;
use crate::disk::store::LockError;
use crate::net::control::{Client, ControlError};
use crate::net::servent::{Also, Servent, Settings, StartError};
use crate::net::{Discovery, Listen, MapPort, News};
use crate::node::Config;
use crate::node::address::Net;
use crate::node::event::Role;
use crate::node::limits::TTL_MAX;
use crate::node::uploads::{SLOTS, UploadLimits};

/// How long the start screen waits for the first scan; a longer one goes on behind it.
const SCAN_WAIT: Duration = Duration::from_secs(3);
/// A node answers about itself within this.
const REPLY_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a name others see (`node::limits`: at most 32).
const NAME_BYTES_MAX: usize = 32;

/// The first JSON line: others can link and fetch from now on.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    listen: Option<SocketAddr>,
    name: &'a str,
    net: control::Net,
    nets: Vec<control::Net>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<control::Role>,
    servent: String,
    pid: u32,
    home: String,
}

/// Runs `share`.
///
/// # Errors
/// Exit 8: a node runs on this home; exit 2: a folder or address that cannot be used; exit 6: the disk.
pub fn run(context: &Context, args: &ShareArgs) -> Result<Exit, Failure> {
    if args.dry_run {
        return dry_run::run(context, args);
    }
    if let Some(note) = context.home.socket_note() {
        context.out.say(note);
    }
    let settings = settings(context, args)?;
    let name = settings.config.name.clone();
    let also = settings.also.iter().map(|also| &also.config);
    let on: Vec<_> = [&settings.config]
        .into_iter()
        .chain(also)
        .map(|config| (config.net, config.net.is_two_tier().then_some(config.role)))
        .collect();
    let mut servent = Servent::start(settings).map_err(|error| refused(&error))?;
    if let Some(folder) = &args.downloads {
        place::remember(&context.home, folder).map_err(|error| {
            Failure::new(Exit::Disk, format!("cannot remember --downloads: {error}"))
        })?;
    }
    let listen = servent.listen_addr();
    if let Some(addr) = listen.filter(|addr| args.listen.is_none() && addr.port() != PORT) {
        context.out.say(&format!(
            "port {PORT} is taken; listening on {} instead (choose with --listen)",
            addr.port()
        ));
    }
    context.out.say(&exposed(&on));
    if args.role.as_deref() == Some("auto") {
        context.out.say(
            "The role is left to the network: an ultrapeer once it is up for an hour and others were seen to connect.",
        );
    }
    let ready = Ready {
        listen,
        name: &name,
        net: on[0].0.into(),
        nets: on.iter().map(|(net, _)| (*net).into()).collect(),
        role: on.iter().find_map(|(_, role)| *role).map(Into::into),
        servent: servent.id().to_string(),
        pid: std::process::id(),
        home: context.home.state().display().to_string(),
    };
    context.out.json("ready", &ready)?;
    let news = servent.news();
    if context.out.format() != Format::Json && !context.out.is_quiet() {
        let shares = wait_for_scan(context, &servent)?;
        screen::start(context, &shares, &name, listen)?;
    }
    let watcher = news.map(|news| watch(context.out.clone(), news));
    // A signal that came before `wait` watches for it would be lost.
    let socket = context.home.socket().to_owned();
    context.interrupt.on_asked(move || {
        thread::spawn(move || stop(&socket));
    });
    if args.stop_with_stdin {
        stop_with_stdin(context.home.socket().to_owned());
    }
    servent
        .wait()
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot watch for signals: {error}")))?;
    context.out.say("Leaving.");
    servent.stop();
    if let Some(watcher) = watcher {
        // A panic of it was printed where it happened.
        let _ = watcher.join();
    }
    context
        .out
        .json("stopped", &serde_json::json!({ "pid": std::process::id() }))?;
    context.out.say("Stopped. Nothing is shared any more.");
    Ok(Exit::Good)
}

/// Who can find and fetch what is shared, with the place there on the public network.
fn exposed(on: &[(Net, Option<Role>)]) -> String {
    let place = |role: Option<Role>| {
        role.map_or(String::new(), |role| {
            format!(", as {}", net::role_name(role))
        })
    };
    let whom: Vec<_> = on
        .iter()
        .map(|(net, role)| format!("{}{}", net::whom(*net), place(*role)))
        .collect();
    let all = if on.len() > 1 {
        " All listed folders are exposed on both."
    } else {
        ""
    };
    format!("Sharing with {}.{all}", whom.join(", and with "))
}

fn refused(error: &StartError) -> Failure {
    let exit = match error {
        StartError::Control(ControlError::InUse(_)) | StartError::Home(LockError::Held { .. }) => {
            Exit::Running
        }
        StartError::Home(LockError::Io(_)) | StartError::Transfers(_) => Exit::Disk,
        _ => Exit::Usage,
    };
    Failure::new(exit, error.to_string())
}

fn settings(context: &Context, args: &ShareArgs) -> Result<Settings, Failure> {
    let defaults = net::configs(&args.net, args.role.as_deref())?;
    let nets: Vec<Net> = defaults.iter().map(|config| config.net).collect();
    if nets.len() > 1 && (args.min_links.is_some() || args.max_links.is_some()) {
        return Err(Failure::new(
            Exit::Usage,
            "--min-links and --max-links are about one network, and this node would be on two; leave them out",
        ));
    }
    if defaults.iter().any(|config| config.auto_role)
        && (args.min_links.is_some_and(|links| links > 0) || args.max_links.is_some())
    {
        return Err(Failure::new(
            Exit::Usage,
            "with --role auto the role says how many links there are: leave --min-links and --max-links out, or choose \
             a role",
        ));
    }
    let keep = net::peers_of_each(&nets, &resolve(&args.peers)?)?;
    let strict = strict(&defaults);
    let mut all = Vec::new();
    for (defaults, keep) in defaults.iter().zip(keep) {
        all.push(Also {
            config: config(args, defaults, keep)?,
            ..Also::default()
        });
    }
    let discovery = discovery(args.no_discovery);
    let looks = discovery != Discovery::Off;
    let caches = find::caches(context, &args.net.find, strict, looks)?;
    for also in all.iter().filter(|also| also.config.net.is_two_tier()) {
        say_who_is_asked(context, &also.config, &caches);
    }
    let live = all.iter().any(|also| also.config.net.is_two_tier());
    let map_port = map_port(args, live)?;
    let first = all.remove(0);
    Ok(Settings {
        config: first.config,
        also: all,
        map_port,
        listen: args
            .listen
            .map_or(Listen::Default, |listen| Listen::Fixed(listen.0)),
        hostile_files: args.net.hostile.clone(),
        discovery,
        host_caches: caches.host_caches,
        web_caches: caches.web_caches,
        home: Some(context.home.clone()),
        shares: dry_run::folders(args),
        share_options: Options {
            breadth: dry_run::breadth(args),
            ..Options::default()
        },
        uploads: UploadLimits {
            slots: args.slots.unwrap_or(SLOTS),
            ..UploadLimits::default()
        },
        limit_up: timetable("--limit-up", &args.limit_up)?,
        limit_down: timetable("--limit-down", &args.limit_down)?,
        ..Settings::default()
    })
}

/// The settings on one net.
fn config(args: &ShareArgs, defaults: &Config, keep: Vec<SocketAddr>) -> Result<Config, Failure> {
    let live = defaults.net.is_two_tier();
    let ttl = args.ttl.unwrap_or(defaults.ttl);
    if live && ttl > defaults.ttl_max {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "--ttl {ttl} is more than --net gnutella carries; give {} or less",
                defaults.ttl_max
            ),
        ));
    }
    let min_links = args.min_links.unwrap_or(defaults.min_links);
    let max_links = args.max_links.unwrap_or(defaults.max_links.max(min_links));
    if min_links > max_links {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "--min-links {min_links} is above --max-links {max_links}; raise --max-links to {min_links}"
            ),
        ));
    }
    let config = Config {
        name: match &args.name {
            // Strangers everywhere need not know what this machine is called.
            None if live => String::new(),
            asked => name(asked.as_deref()),
        },
        keep,
        min_links,
        max_links,
        max_leaves: max_leaves(args, defaults)?,
        ttl,
        ttl_max: if live {
            defaults.ttl_max
        } else {
            ttl.max(TTL_MAX)
        },
        upload: timetable("--limit-up", &args.limit_up)?.least(),
        seen_cache: args.seen_cache.unwrap_or(defaults.seen_cache),
        ext_probes: args.ext_probes || defaults.ext_probes,
        limit_search: args
            .limit_search
            .map_or(defaults.limit_search, |rate| rate.0),
        ..defaults.clone()
    };
    net::check_links(&config)?;
    Ok(config)
}

/// Leaves that are accepted: a number has no meaning where there are none.
fn max_leaves(args: &ShareArgs, defaults: &Config) -> Result<usize, Failure> {
    match args.max_leaves {
        Some(_) if args.role.as_deref() != Some("ultrapeer") => Err(Failure::new(
            Exit::Usage,
            "only ultrapeers have leaves: leave --max-leaves out, or add --net gnutella --role ultrapeer",
        )),
        asked => Ok(asked.unwrap_or(defaults.max_leaves)),
    }
}

/// Whether the router is to be asked: to let strangers in where there are none would be a mistake.
fn map_port(args: &ShareArgs, live: bool) -> Result<MapPort, Failure> {
    if !args.map_port {
        return Ok(MapPort::Off);
    }
    if !live {
        let text = "--map-port lets in whoever is on the internet; it is for --net gnutella only";
        return Err(Failure::new(Exit::Usage, text.to_owned()));
    }
    if let Some(router) = args.router {
        return Ok(MapPort::At(router.0));
    }
    match args.listen {
        Some(listen) if listen.0.ip().is_loopback() => Err(Failure::new(
            Exit::Usage,
            format!(
                "--map-port is of no use with --listen {0}, where only this machine can connect; give --listen 0.0.0.0:{1}",
                listen.0,
                listen.0.port()
            ),
        )),
        _ => Ok(MapPort::Router),
    }
}

/// What is said about the port of the router.
pub(crate) fn mapping(mapping: &Mapping) -> String {
    let Mapping {
        port,
        state,
        by,
        problem,
    } = mapping;
    match state {
        MappingState::Asking => format!("is asked to open port {port}"),
        MappingState::Open => format!("opened port {port} ({})", by.as_deref().unwrap_or("?")),
        MappingState::Failed => format!(
            "port {port} is not open: {}",
            problem.as_deref().unwrap_or("?")
        ),
    }
}

/// Where a node of the public network has its neighbours from.
fn say_who_is_asked(context: &Context, config: &Config, caches: &Caches) {
    let known = context.home.load_hosts(config.net);
    if !config.keep.is_empty() || !known.is_empty() {
        return;
    }
    let list = context.home.host_caches(config.net);
    let list = list.path().display();
    let hosts = counted(caches.host_caches.len() as u64, "host cache", "host caches");
    let webs = counted(
        caches.web_caches.urls.len() as u64,
        "web cache",
        "web caches",
    );
    context.out.say(&if caches.is_empty() {
        format!(
            "No node is known, and no host cache to ask for some: waiting for others to link.\n\
             Give a host cache with --host-cache HOST:PORT (they are remembered in {list}), or a node with \
             --peer HOST:PORT or `filbert peers add HOST:PORT`."
        )
    } else {
        format!("No node is known yet: asking {hosts} for some (listed in {list}), then {webs}.")
    });
}

/// The name others see: as asked for, else that of this machine; at most [`NAME_BYTES_MAX`] bytes.
fn name(asked: Option<&str>) -> String {
    let machine = || {
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"))
    };
    let name = asked.map_or_else(|| machine().unwrap_or_default(), str::to_owned);
    let mut name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    name
}

/// The listed folders once they are scanned, or as they are after [`SCAN_WAIT`].
fn wait_for_scan(context: &Context, servent: &Servent) -> Result<Vec<Share>, Failure> {
    let clock = Stopwatch::start();
    loop {
        let replies = servent
            .request(Request::Shares { files: false })
            .all(REPLY_WAIT);
        let replies = replies.map_err(|message| Failure::new(Exit::Usage, message))?;
        let shares: Vec<Share> = replies
            .into_iter()
            .filter_map(|reply| {
                if let Reply::Share(share) = reply {
                    Some(share)
                } else {
                    None
                }
            })
            .collect();
        let scanning = shares.iter().any(|share| share.scanning);
        if !scanning || clock.elapsed() >= SCAN_WAIT || context.interrupt.asked() {
            return Ok(shares);
        }
        thread::sleep(LOOK);
    }
}

/// Prints news until the node ends: as JSON lines, else the progress of hashing.
fn watch(out: Output, news: Receiver<News>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut hashing: Option<Progress> = None;
        for item in news {
            // A reader that has gone does not end the node.
            let _ = out.json_tagged(&item);
            if let News::Role { role } = &item {
                out.say(match role {
                    control::Role::Leaf => "Now a leaf again.",
                    control::Role::Ultrapeer => "Now an ultrapeer.",
                });
            }
            if let News::PortMapping(now) = &item {
                out.say(&format!("Router: {}", escape::shown(&mapping(now))));
            }
            if let News::Library {
                files,
                hashed_files,
                ..
            } = item
                && out.format() != Format::Json
            {
                if hashed_files < files {
                    let progress = hashing
                        .get_or_insert_with(|| Progress::new(&out, "Hashing", Unit::Files, files));
                    progress.update(hashed_files, files);
                } else if let Some(progress) = hashing.take() {
                    progress.finish();
                    out.say("All files are hashed.");
                }
            }
        }
    })
}

/// Ends the node when standard input ends, so that it never outlives whoever started it.
fn stop_with_stdin(socket: PathBuf) {
    // Detached: it may wait for input for ever.
    thread::spawn(move || {
        let mut bytes = [0; 256];
        while matches!(std::io::stdin().read(&mut bytes), Ok(1..)) {}
        stop(&socket);
    });
}

/// Asks the node of this process to end, by its own control socket.
fn stop(socket: &Path) {
    let asked = Client::connect(socket).and_then(|client| client.request(&Request::Stop));
    if asked.map(|replies| replies.all(REPLY_WAIT)).is_err() {
        // The node is leaving already, or its socket was taken away: then nothing else would end it.
        thread::sleep(REPLY_WAIT);
        std::process::exit(Exit::Interrupted.code().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exposed_to_whom_is_said_of_each_net() {
        let lan = (Net::Lan, None);
        let leaf = (Net::Gnutella, Some(Role::Leaf));
        assert_eq!(exposed(&[lan]), "Sharing with nodes of this network.");
        assert_eq!(
            exposed(&[leaf]),
            "Sharing with strangers on the public Gnutella network, as a leaf."
        );
        assert_eq!(
            exposed(&[lan, leaf]),
            "Sharing with nodes of this network, and with strangers on the public Gnutella network, as a leaf. \
             All listed folders are exposed on both."
        );
    }

    #[test]
    fn a_name_fits_its_bound_at_a_character() {
        assert_eq!(name(Some(" desk\n")), "desk");
        let long = name(Some(&"é".repeat(40)));
        assert_eq!(long.len(), NAME_BYTES_MAX);
    }
}
