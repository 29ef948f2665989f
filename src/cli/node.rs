//! The node a command asks: the running one of the same home, or one hosted for as long as the command runs.
//! Nothing else knows which: the same requests, replies, output and exit codes.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cli::Context;
use crate::cli::args::net::NetArgs;
use crate::cli::args::values::Address;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::find::{self, Caches};
use crate::cli::interrupt::LOOK;
use crate::cli::net;
use crate::cli::output::units;
use crate::control::{self, Reply, Request, Status};
use crate::net::control::Client;
use crate::net::servent::{Also, Servent, Settings};
use crate::net::{Asker, Discovery, Listen, Pusher, Replies};
use crate::node::Config;
use crate::node::address::Net;

/// A node has so long for one reply to a question that needs no network.
const REPLY_WAIT: Duration = Duration::from_secs(10);
/// A dial is given up by then.
const DIAL_WAIT: Duration = Duration::from_secs(60);
/// How often a hosted node is asked for its links while a command waits for the first.
const LINK_LOOK: Duration = Duration::from_millis(20);
/// How long further links may take after the first, before the query goes out. Dials on one machine or LAN
/// end well within it. Our estimate.
const SETTLE: Duration = Duration::from_millis(250);
/// Without a link and without a dial under way for so long, none will come.
const HOPELESS: Duration = Duration::from_secs(1);
/// The same while nodes of this network may still answer: it is asked twice in this time.
const HOPELESS_LAN: Duration = Duration::from_secs(2);

/// A node to ask.
#[derive(Debug)]
pub enum NodeHandle {
    /// The running node of this home, and the nets to ask there; none named: all that it is on.
    Running(Client, Vec<Net>),
    /// A node of our own, ended with the command.
    Hosted(Box<Servent>, Own),
}

/// What a node of our own is about.
#[derive(Clone, Debug)]
pub struct Own {
    /// Where it looks for others.
    discovery: Discovery,
    nets: Vec<Net>,
}

/// What came of waiting for a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// There is one.
    Yes,
    /// The wait was interrupted.
    Interrupted,
}

/// Exit 3, with what was heard and what to do next.
fn no_neighbour(discovery: Discovery, heard: usize) -> Failure {
    let why = match (discovery, heard) {
        (_, 1..) => format!(
            "{} heard, but no link came about",
            units::counted(heard as u64, "node", "nodes")
        ),
        (Discovery::Lan, 0) => {
            "nobody answers on this network, and no known node can be reached".to_owned()
        }
        (Discovery::Off, 0) => "no known node can be reached".to_owned(),
    };
    Failure::new(
        Exit::NoNetwork,
        format!(
            "no neighbour to ask: {why}\n\
             name one with --peer HOST:PORT, or run `filbert share DIR --peer HOST:PORT` and try again"
        ),
    )
}

/// Where a node of a command looks for others: on this network, unless it was asked not to. The variable is for
/// machines where no command may ever ask (empty: not set).
pub fn discovery(off: bool) -> Discovery {
    let barred = std::env::var_os("FILBERT_NO_DISCOVERY").is_some_and(|value| !value.is_empty());
    if off || barred {
        Discovery::Off
    } else {
        Discovery::Lan
    }
}

impl NodeHandle {
    /// The running node, if there is one.
    pub fn running(context: &Context) -> Option<Self> {
        Client::connect(context.home.socket())
            .ok()
            .map(|client| Self::Running(client, Vec::new()))
    }

    /// The running node.
    ///
    /// # Errors
    /// Exit 3: none is running here.
    pub fn expect_running(context: &Context) -> Result<Self, Failure> {
        Self::running(context).ok_or_else(|| {
            Failure::new(
                Exit::NoNetwork,
                format!(
                    "no node is running on {}\nstart one: filbert share DIR, or name another place with --home",
                    context.home.state().display()
                ),
            )
        })
    }

    /// The running node, told to link to `peers`; else a hosted one that begins with them, as a leaf on the public
    /// network. Says whom it reaches.
    ///
    /// # Errors
    /// A name of a peer is unknown; a hosted node cannot start; the running node is on another net than the one
    /// asked for.
    pub fn open(
        context: &Context,
        peers: &[Address],
        net: &NetArgs,
        discovery: Discovery,
    ) -> Result<Self, Failure> {
        let (asked, configs) = (net::asked(net), net::configs(net, None)?);
        let peers = resolve(peers)?;
        let Some(node) = Self::running(context) else {
            let looks = discovery != Discovery::Off;
            let caches = find::caches(context, &net.find, strict(&configs), looks)?;
            return Self::host(context, configs, &peers, discovery, caches);
        };
        let status = node.status()?;
        let on = nets_of(&status);
        if asked.iter().any(|asked| !on.contains(asked)) {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "the running node \"{}\" reaches {}; leave --net out to ask there, or ask another one with --home",
                    status.name,
                    net::all_whom(&on)
                ),
            ));
        }
        if net.no_direct_hits && status.nets.iter().any(|on| on.direct_hits) {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "the searches of the running node \"{}\" may say where it is; start it with --no-direct-hits, or ask \
                     another one with --home",
                    status.name
                ),
            ));
        }
        net::peers_of_each(&on, &peers)?;
        if !net.find.is_empty() {
            let strict = on.iter().find(|net| net.is_two_tier());
            find::caches(
                context,
                &net.find,
                strict.copied().unwrap_or_default(),
                false,
            )?;
            context
                .out
                .say("the running node has its own host caches; those named are remembered for its next start");
        }
        let node = match node {
            Self::Running(client, _) => Self::Running(client, asked.clone()),
            hosted @ Self::Hosted(..) => hosted,
        };
        context.out.say(&format!(
            "via the running node \"{}\", asking {}",
            status.name,
            net::all_whom(if asked.is_empty() { &on } else { &asked })
        ));
        for addr in peers {
            if let Err(message) = node.ask(&Request::peer_add(addr))?.all(DIAL_WAIT) {
                context.out.say(&format!("{addr}: {message}"));
            }
        }
        Ok(node)
    }

    fn host(
        context: &Context,
        configs: Vec<Config>,
        peers: &[SocketAddr],
        mut discovery: Discovery,
        caches: Caches,
    ) -> Result<Self, Failure> {
        let nets: Vec<Net> = configs.iter().map(|config| config.net).collect();
        let each = net::peers_of_each(&nets, peers)?;
        // Whoever names nodes of this machine only means to stay on it.
        let stays = !peers.is_empty() && peers.iter().all(|addr| addr.ip().is_loopback());
        if stays || !nets.contains(&Net::Lan) {
            discovery = Discovery::Off;
        }
        let mut all = Vec::new();
        for (config, keep) in configs.into_iter().zip(each) {
            let remembered = context.home.load_hosts(config.net);
            all.push(Also {
                config: Config { keep, ..config },
                remembered,
                ..Also::default()
            });
        }
        let nobody = all
            .iter()
            .all(|also| also.config.keep.is_empty() && also.remembered.is_empty());
        if nobody && caches.is_empty() && discovery == Discovery::Off {
            return Err(match nets.iter().find(|net| net.is_two_tier()) {
                Some(net) => find::nobody_to_ask(context, *net),
                None => Failure::new(
                    Exit::NoNetwork,
                    "no neighbour to ask: no node is running here and no address is known\n\
                     name a node with --peer HOST:PORT, or run `filbert share DIR --peer HOST:PORT` and try again",
                ),
            });
        }
        let first = all.remove(0);
        let settings = Settings {
            config: first.config,
            also: all,
            listen: Listen::Nowhere,
            remembered: first.remembered,
            discovery,
            host_caches: caches.host_caches,
            web_caches: caches.web_caches,
            ..Settings::default()
        };
        let servent = Servent::start(settings)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        context.out.say(&format!("asking {}", net::all_whom(&nets)));
        Ok(Self::Hosted(Box::new(servent), Own { discovery, nets }))
    }

    /// The nets it is asked on.
    ///
    /// # Errors
    /// As [`all`](Self::all).
    pub fn nets(&self) -> Result<Vec<Net>, Failure> {
        match self {
            Self::Running(_, asked) if asked.is_empty() => Ok(nets_of(&self.status()?)),
            Self::Running(_, asked) => Ok(asked.clone()),
            Self::Hosted(_, own) => Ok(own.nets.clone()),
        }
    }

    /// The nets to name in a search: none for all.
    pub fn asked_nets(&self) -> Vec<control::Net> {
        match self {
            Self::Running(_, asked) => asked.iter().map(|net| (*net).into()).collect(),
            Self::Hosted(..) => Vec::new(),
        }
    }

    /// For asking from other threads.
    pub fn asker(&self) -> Asker {
        match self {
            Self::Running(client, _) => client.asker(),
            Self::Hosted(servent, _) => servent.asker(),
        }
    }

    /// Has sources connect that cannot be connected to.
    pub fn pusher(&self) -> Pusher {
        match self {
            Self::Running(client, _) => client.pusher(),
            Self::Hosted(servent, _) => servent.pusher(),
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// Exit 3: the running node has ended.
    pub fn ask(&self, request: &Request) -> Result<Replies, Failure> {
        match self {
            Self::Running(client, _) => client.request(request).map_err(|error| {
                Failure::new(
                    Exit::NoNetwork,
                    format!("the running node does not answer: {error}; try again"),
                )
            }),
            Self::Hosted(servent, _) => Ok(servent.request(request.clone())),
        }
    }

    /// Asks, and waits for all replies.
    ///
    /// # Errors
    /// What the node says went wrong, or that it does not answer, with exit 3.
    pub fn all(&self, request: &Request, wait: Duration) -> Result<Vec<Reply>, Failure> {
        self.ask(request)?
            .all(wait)
            .map_err(|message| Failure::new(Exit::NoNetwork, message))
    }

    /// The status of the node.
    ///
    /// # Errors
    /// As [`all`](Self::all).
    pub fn status(&self) -> Result<Status, Failure> {
        self.all(&Request::Status, REPLY_WAIT)?
            .into_iter()
            .find_map(|reply| {
                if let Reply::Status(status) = reply {
                    Some(*status)
                } else {
                    None
                }
            })
            .ok_or_else(|| {
                Failure::new(
                    Exit::Usage,
                    "the node gave no status; is it another version?",
                )
            })
    }

    /// Where this node looks for others, as far as it is our business.
    fn discovery(&self) -> Discovery {
        match self {
            Self::Running(..) => Discovery::Off,
            Self::Hosted(_, own) => own.discovery,
        }
    }

    /// Exit 3: there is nobody to ask, with how many were heard.
    pub fn no_neighbour(&self) -> Failure {
        let status = self.status().ok();
        if let Some(finding) = status.as_ref().and_then(|status| status.finding.as_ref()) {
            return Failure::new(
                Exit::NoNetwork,
                format!(
                    "no neighbour to ask: {}\n\
                     name a node with --peer HOST:PORT or another host cache with --host-cache HOST:PORT, or try again \
                     later",
                    find::why_nobody(finding)
                ),
            );
        }
        let heard = status.map_or(0, |status| status.nodes_heard);
        no_neighbour(self.discovery(), heard)
    }

    /// Waits until a query would reach somebody.
    ///
    /// # Errors
    /// Exit 3: nobody within `wait`, or nobody left to try.
    pub fn wait_for_neighbour(&self, context: &Context, wait: Duration) -> Result<Linked, Failure> {
        let clock = Stopwatch::start();
        let hopeless = match self.discovery() {
            Discovery::Lan => HOPELESS_LAN,
            Discovery::Off => HOPELESS,
        };
        let mut linked: Option<Stopwatch> = None;
        let mut idle: Option<Stopwatch> = None;
        let mut progress = find::Progress::default();
        loop {
            if context.interrupt.asked() {
                return Ok(Linked::Interrupted);
            }
            let status = self.status()?;
            let settled = match self {
                Self::Running(..) => true,
                Self::Hosted(..) => {
                    status.dialling == 0
                        || linked.get_or_insert_with(Stopwatch::start).elapsed() >= SETTLE
                }
            };
            if status.links > 0 && settled {
                return Ok(Linked::Yes);
            }
            let finding = status.finding.as_ref();
            if let Some(news) = finding.and_then(|finding| progress.news(finding)) {
                context.out.say(&news);
            }
            let pending = finding.is_some_and(|finding| finding.pending);
            if status.links > 0 || status.dialling > 0 || pending {
                idle = None;
            } else if idle.get_or_insert_with(Stopwatch::start).elapsed() >= hopeless {
                return Err(self.no_neighbour());
            }
            if clock.elapsed() >= wait && status.links == 0 {
                return Err(self.no_neighbour());
            }
            std::thread::sleep(LINK_LOOK.min(LOOK));
        }
    }

    /// Takes leave: a hosted node says Bye, and the addresses it learned are remembered for the next.
    pub fn close(self, context: &Context) {
        match self {
            Self::Running(..) => {}
            Self::Hosted(servent, _) => {
                for (net, hosts) in servent.remembered_by_net() {
                    if !hosts.is_empty()
                        && let Err(error) = context.home.save_hosts(net, &hosts)
                    {
                        log::warn!("cannot remember addresses: {error}");
                    }
                }
                servent.stop();
            }
        }
    }
}

/// The nets of a node. One of an earlier version says none: it is on one.
pub fn nets_of(status: &Status) -> Vec<Net> {
    let all: Vec<Net> = status.nets.iter().map(|on| on.net.into()).collect();
    if all.is_empty() {
        vec![status.net.into()]
    } else {
        all
    }
}

/// The public network, if it is among these.
pub fn strict(configs: &[Config]) -> Net {
    let mut nets = configs.iter().map(|config| config.net);
    nets.find(|net| net.is_two_tier()).unwrap_or_default()
}

/// Looks up the addresses of peers.
///
/// # Errors
/// Exit 2 with the name that is unknown.
pub fn resolve(peers: &[Address]) -> Result<Vec<SocketAddr>, Failure> {
    peers
        .iter()
        .map(|peer| {
            peer.resolve()
                .map_err(|message| Failure::new(Exit::Usage, message))
        })
        .collect()
}
