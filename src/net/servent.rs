//! A whole node: port, node task, shares, control socket. For commands, and for other programs.
//!
//! Blocking on the outside, tasks within. See `examples/embed.rs`.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use rand::rngs::{ChaCha8Rng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

use super::asker::{self, Asker};
use super::awaited::Awaited;
use super::control::{self, ControlError};
use super::discovery::finding::Shown;
use super::discovery::mapping::{self, MapPort, Opened};
use super::discovery::udp::{self, Datagrams};
use super::discovery::{self, Discovery, WebCacheSettings};
use super::greeting::Greeting;
use super::http::AGENT;
use super::inbox::{Ask, Handle, Inbox};
use super::listen::{self, Hall, Listen};
use super::news::{News, Newsroom};
use super::overlays::{Overlay, Overlays};
use super::partials::Partials;
use super::pusher::Pusher;
use super::replies::Replies;
use super::requests::Desk;
use super::rt::{self, Clock, Receiver, Sender};
use super::shares::Shelf;
use super::task::NodeTask;
use super::tls::Tls;
use super::transfers::Transfers;
use super::upload::{Face, Serving, Told};
use crate::control::Request;
use crate::disk::shares::{Options, ShareFolder, SharesError};
use crate::disk::store::{Home, HomeLock, LockError};
use crate::node::address::Net;
use crate::node::greet::{Encryption, Me};
use crate::node::hosts::Remembered;
use crate::node::limits::ULTRAPEER_MAX_LINKS;
use crate::node::uploads::UploadLimits;
use crate::node::{Config, Event, Node};
use crate::wire::ServentId;

/// How often the address book is saved.
const HOSTS_SAVED_EVERY: Duration = Duration::from_secs(300);
/// Leaving takes so long at most: each link's last word has its own deadlines below this.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// What a node is to be.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The core's settings; `listen` is filled in.
    pub config: Config,
    /// Where to listen.
    pub listen: Listen,
    /// Addresses of nodes to begin with.
    pub peers: Vec<SocketAddr>,
    /// Further overlays to take part in, each on a net of its own. They share port, shares and upload slots with the
    /// first and learn none of its addresses.
    pub also: Vec<Also>,
    /// What an earlier run knew, for a node without a home.
    pub remembered: Remembered,
    /// Where it looks for others by itself.
    pub discovery: Discovery,
    /// Host caches of the live network, `HOST:PORT` each, asked while nobody else is known.
    pub host_caches: Vec<String>,
    /// Web caches of the live network, asked when host caches are of no use.
    pub web_caches: WebCacheSettings,
    /// Who is asked to pass connections from elsewhere on to us.
    pub map_port: MapPort,
    /// How many uploads run at a time.
    pub uploads: UploadLimits,
    /// Bytes a second for all uploads together; `None`: no limit.
    pub limit_up: Option<u64>,
    /// Where it keeps its id, hosts and hashes, and where commands find it. `None`: in memory, and nowhere.
    pub home: Option<Home>,
    /// Folders to share; these need a home.
    pub shares: Vec<ShareFolder>,
    /// How they are scanned.
    pub share_options: Options,
}

/// One more overlay beside the first.
#[derive(Clone, Debug, Default)]
pub struct Also {
    /// The core's settings there; `listen` is filled in.
    pub config: Config,
    /// Addresses of nodes to begin with.
    pub peers: Vec<SocketAddr>,
    /// What an earlier run knew, for a node without a home.
    pub remembered: Remembered,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error("{addr} is taken by another program; choose another with --listen")]
    AddressInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Nobody may listen there, or not we.
    #[error("cannot listen on {addr}: {source}; choose another address with --listen")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No free port between 6346 and those tried after it.
    #[error("no free port from 6346 on: {0}; choose one with --listen IP:PORT")]
    NoPort(io::Error),
    /// Another node runs in this home, or it cannot be had.
    #[error(transparent)]
    Home(#[from] LockError),
    /// A folder cannot or must not be shared.
    #[error(transparent)]
    Share(#[from] SharesError),
    /// Folders to share, but no place for their hashes.
    #[error("a node without a home shares nothing; give it one")]
    ShareWithoutHome,
    /// Two overlays on one net.
    #[error("a node is on each net once")]
    NetTwice,
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The list of downloads.
    #[error(transparent)]
    Transfers(io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// A running node. Dropping it ends the node at once; [`stop`](Self::stop) takes leave first.
#[derive(Debug)]
pub struct Servent {
    desk: Arc<Desk>,
    listen: Option<SocketAddr>,
    news: Option<mpsc::Receiver<News>>,
    stop_asked: Receiver<()>,
    home: Option<(Home, HomeLock)>,
    /// Closing this ends the accept loops.
    open: Option<Sender<()>>,
    hall: Hall,
    closed: Receiver<()>,
    pusher: OnceLock<Pusher>,
    /// Ready when the router was told that its port may close.
    unmapped: Option<Receiver<()>>,
}

impl Servent {
    /// Starts a node. When this returns, its port and its control socket are open.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(mut settings: Settings) -> Result<Self, StartError> {
        let home = settings.home.take().map(hold).transpose()?;
        let listen = settings.listen;
        let listener = listen::bind(listen).map_err(|source| bind_error(listen, source))?;
        let addr = listener
            .as_ref()
            .and_then(|listener| listener.local_addr().ok());
        let tls = tls(&mut settings)?;

        let mut rng = system_rng()?;
        let id = match &home {
            Some((home, _)) => home.servent_id().map_err(LockError::Io)?,
            None => random_servent(&mut rng),
        };
        let clock = Clock::start();
        let socket = open_datagrams(&settings, addr);
        let heard = socket.as_ref().is_some_and(|socket| socket.heard);
        let (overlays, inboxes) = overlays(&settings, tls.as_ref(), addr, heard, id)?;
        let (newsroom, news) = Newsroom::with_reader();
        let shares = share(&settings, home.as_ref(), &overlays, &newsroom)?;
        let serving = serve(&settings, tls, id, addr, &shares, &overlays, &newsroom);
        let kept = home.as_ref().map(|(home, _)| home);
        let transfers = Transfers::open(kept).map_err(StartError::Transfers)?;
        // Last, as it is the only thing that a start that fails would leave behind.
        let control = home
            .as_ref()
            .map(|(home, _)| control::bind(home.socket()))
            .transpose()?;

        let (stop, stop_asked) = rt::bounded(1);
        let (open, closed) = rt::bounded::<()>(1);
        let awaited = Arc::<Awaited>::default();
        let hall = Hall {
            overlays: overlays.clone(),
            serving: serving.clone(),
            door: Arc::default(),
            awaited: awaited.clone(),
        };
        // All detached: the node tasks end with `Inbox::Stop`, the others when `open` closes.
        let outgoing = socket.as_ref().map(udp::write);
        for (overlay, inbox) in overlays.all().zip(inboxes) {
            let node = Node::new(overlay.config.clone(), id, ChaCha8Rng::from_rng(&mut rng));
            let channel = (overlay.handle.clone(), inbox);
            let (greeting, newsroom) = (overlay.greeting.clone(), newsroom.clone());
            let task =
                NodeTask::new(node, clock, channel, greeting, newsroom).serving(serving.clone());
            rt::spawn(task.speaking(outgoing.clone()).run());
            look_around(&settings, overlay, id, &mut rng, clock, &closed);
            if let Some((home, _)) = &home {
                let keep = keep_hosts(home.clone(), overlay.net(), overlay.handle.clone());
                rt::spawn(rt::unless(until_closed(closed.clone()), keep));
            }
        }
        let datagrams = Datagrams::of(&settings, &overlays, &mut rng, clock);
        let finding = Some(datagrams.finding.clone()).filter(|_| socket.is_some());
        if let Some(socket) = socket {
            let speak = udp::run(datagrams, socket);
            rt::spawn(rt::unless(until_closed(closed.clone()), speak));
        }
        if let Some(listener) = listener {
            rt::spawn(listen::accept(
                listener.into(),
                hall.clone(),
                until_closed(closed.clone()),
            ));
        }
        let (opened, unmapped) = map_port(settings.map_port, addr, &newsroom, &closed).unzip();
        let desk = Arc::new(Desk {
            awaited,
            finding,
            opened,
            overlays,
            id,
            listen: addr,
            clock,
            serving,
            shares,
            transfers,
            stop,
        });
        desk.transfers.begin(&desk);
        if let Some(listener) = control {
            rt::spawn(control::serve(
                listener,
                desk.clone(),
                until_closed(closed.clone()),
            ));
        }
        let servent = Self {
            desk,
            listen: addr,
            news: Some(news),
            stop_asked,
            home,
            open: Some(open),
            hall,
            closed,
            pusher: OnceLock::new(),
            unmapped,
        };
        servent.remember(settings);
        Ok(servent)
    }

    /// Hands each overlay the addresses it begins with: those given and those remembered of its net.
    fn remember(&self, settings: Settings) {
        let also = settings.also.into_iter();
        let also = also.map(|also| (also.peers, also.remembered));
        let first = (settings.peers, settings.remembered);
        let overlays = self.desk.overlays.all();
        for (overlay, (known, given)) in overlays.zip([first].into_iter().chain(also)) {
            let remembered = match &self.home {
                Some((home, _)) => home.load_hosts(overlay.net()),
                None => given,
            };
            tell(overlay, Inbox::Event(Event::Heard(known)));
            let remembered = Event::Remembered(Box::new(remembered));
            tell(overlay, Inbox::Event(remembered));
        }
    }

    /// Where it listens, with the port it got.
    pub fn listen_addr(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Servent id.
    pub fn id(&self) -> ServentId {
        self.desk.id
    }

    /// Asks the node. Dropping the replies ends a search.
    pub fn request(&self, request: Request) -> Replies {
        asker::ask(self.desk.clone(), request)
    }

    /// For asking from other threads.
    pub fn asker(&self) -> Asker {
        Asker::here(self.desk.clone())
    }

    /// The unfinished files that this node offers: say there what is being fetched.
    pub fn partials(&self) -> Partials {
        self.desk.serving.partials().clone()
    }

    /// Has servents connect to this node that cannot be connected to. A node that listens nowhere opens a port for
    /// that, which it tells to nobody else.
    pub fn pusher(&self) -> Pusher {
        let new = || Pusher::here(self.desk.clone(), self.port_for_pushes());
        self.pusher.get_or_init(new).clone()
    }

    fn port_for_pushes(&self) -> Option<NonZeroU16> {
        if self.listen.is_some() {
            return None;
        }
        // The customary port first: it is the one that may be open to others.
        let opened = listen::bind(Listen::Default).and_then(|listener| {
            let listener = listener.ok_or(io::ErrorKind::Unsupported)?;
            Ok((listener.local_addr()?.port(), listener))
        });
        match opened {
            Ok((port, listener)) => {
                let closed = until_closed(self.closed.clone());
                // Detached: it ends when `open` closes.
                rt::spawn(listen::accept(listener.into(), self.hall.clone(), closed));
                NonZeroU16::new(port)
            }
            Err(error) => {
                log::warn!("no port for those who cannot be connected to: {error}");
                None
            }
        }
    }

    /// News of this node, for the first who asks. When it is not read, news are dropped.
    pub fn news(&mut self) -> Option<mpsc::Receiver<News>> {
        self.news.take()
    }

    /// Waits until the process is asked to end (SIGINT, SIGTERM) or somebody asks the node to stop.
    ///
    /// # Errors
    /// The system refuses to watch for signals.
    pub fn wait(&self) -> io::Result<()> {
        let asked = async {
            // Closed: impossible while `self.desk` holds the sender.
            let _ = self.stop_asked.recv().await;
            Ok(())
        };
        rt::block_on(futures_lite::future::or(asked, rt::asked_to_end()))
    }

    /// Takes leave: says Bye to all links, flushes, closes the port.
    pub fn stop(mut self) {
        self.leave(LEAVE_TIME);
    }

    fn leave(&mut self, wait: Duration) {
        if self.open.take().is_none() {
            return;
        }
        if let Some((home, _)) = &self.home {
            // A socket that stays behind is recognised as stale by the next node.
            let _ = std::fs::remove_file(home.socket());
            for overlay in self.desk.overlays.all() {
                save_hosts(home, overlay.net(), &remembered(overlay));
            }
        }
        self.desk.transfers.stop(wait);
        let (done, finished) = rt::bounded::<()>(1);
        for overlay in self.desk.overlays.all() {
            tell(overlay, Inbox::Stop(done.clone()));
        }
        drop(done);
        // Later than that: links end by their own deadlines, without us.
        let _ = rt::wait_for(wait, finished.recv());
        if let Some(unmapped) = &self.unmapped {
            let _ = rt::wait_for(
                wait.min(mapping::END_TIME + Duration::from_secs(1)),
                unmapped.recv(),
            );
        }
        self.desk.shares.stop();
    }

    /// Waits until all shared folders were scanned once, so that names can be found; `false`: not in that
    /// time.
    pub fn wait_scanned(&self, patience: Duration) -> bool {
        self.desk.shares.wait_scanned(patience)
    }

    /// Waits until the hashes of all shared files are known; `false`: not in that time.
    pub fn wait_hashed(&self, patience: Duration) -> bool {
        self.desk.shares.wait_hashed(patience)
    }

    /// Addresses known on the net of its (first) overlay, best first.
    pub fn known_hosts(&self) -> Vec<SocketAddr> {
        self.remembered().all().collect()
    }

    /// Addresses known of each net it is on, best first.
    pub fn remembered_by_net(&self) -> Vec<(Net, Remembered)> {
        let all = self.desk.overlays.all();
        all.map(|overlay| (overlay.net(), remembered(overlay)))
            .collect()
    }

    /// What is known of others on the net of its (first) overlay, for the next run.
    pub fn remembered(&self) -> Remembered {
        remembered(self.desk.overlays.first())
    }
}

fn remembered(overlay: &Overlay) -> Remembered {
    rt::block_on(overlay.handle.ask(Ask::Hosts)).unwrap_or_default()
}

fn tell(overlay: &Overlay, message: Inbox) {
    // An error: the node task has ended, which only `leave` makes it do.
    let _ = rt::block_on(overlay.handle.send(message));
}

impl Drop for Servent {
    fn drop(&mut self) {
        self.leave(Duration::ZERO);
    }
}

/// The overlays of a node that is to listen at `addr`, and the inbox of each.
fn overlays(
    settings: &Settings,
    tls: Option<&Tls>,
    addr: Option<SocketAddr>,
    heard: bool,
    id: ServentId,
) -> Result<(Overlays, Vec<Receiver<Inbox>>), StartError> {
    let (mut all, mut inboxes): (Vec<Overlay>, Vec<_>) = (Vec::new(), Vec::new());
    let configs = [&settings.config]
        .into_iter()
        .chain(settings.also.iter().map(|also| &also.config));
    for config in configs {
        if all.iter().any(|overlay| overlay.net() == config.net) {
            return Err(StartError::NetTwice);
        }
        let config = Arc::new(Config {
            listen: addr,
            datagrams: heard,
            ..config.clone()
        });
        let (handle, inbox) = match all.first() {
            None => Handle::new(),
            Some(first) => first.handle.another(),
        };
        // Those who call before they belong anywhere are counted by the first.
        let tls = match config.encryption {
            Encryption::Never => None,
            Encryption::Accepted | Encryption::Offered if all.is_empty() => tls.cloned(),
            Encryption::Accepted | Encryption::Offered => tls.map(Tls::counting_apart),
        };
        inboxes.push(inbox);
        all.push(Overlay {
            greeting: Arc::new(Greeting::new(me(&config, id)).with_tls(tls)),
            config,
            handle,
        });
    }
    Ok((Overlays::new(all), inboxes))
}

/// What we say about ourselves in greetings.
fn me(config: &Config, id: ServentId) -> Me {
    Me {
        net: config.net,
        role: config.role,
        agent: AGENT.to_owned(),
        servent: id,
        listen: config.listen,
        max_ttl: config.ttl_max,
        degree: if config.auto_role {
            ULTRAPEER_MAX_LINKS
        } else {
            config.max_links
        },
        ext_probes: config.ext_probes,
        encryption: config.encryption,
    }
}

/// What encrypts, and the settings true to it: nothing is offered that cannot be kept.
fn tls(settings: &mut Settings) -> Result<Option<Tls>, StartError> {
    let also = settings.also.iter_mut().map(|also| &mut also.config);
    let mut configs: Vec<_> = [&mut settings.config].into_iter().chain(also).collect();
    let wanted = configs
        .iter()
        .any(|config| config.encryption != Encryption::Never);
    let tls = if wanted {
        Tls::new().map_err(|error| StartError::Random(error.to_string()))?
    } else {
        None
    };
    if tls.is_none() {
        for config in &mut configs {
            config.encryption = Encryption::Never;
        }
    }
    Ok(tls)
}

/// Starts to share the folders.
fn share(
    settings: &Settings,
    home: Option<&(Home, HomeLock)>,
    overlays: &Overlays,
    newsroom: &Newsroom,
) -> Result<Arc<Shelf>, StartError> {
    let Settings {
        shares,
        share_options,
        ..
    } = settings;
    if shares.is_empty() {
        return Ok(Arc::new(Shelf::empty()));
    }
    let (home, _) = home.ok_or(StartError::ShareWithoutHome)?;
    let shelf = Shelf::scan(
        home,
        shares,
        share_options,
        overlays.clone(),
        newsroom.clone(),
    )?;
    Ok(Arc::new(shelf))
}

/// Makes what HTTP connections share.
fn serve(
    settings: &Settings,
    tls: Option<Tls>,
    id: ServentId,
    listen: Option<SocketAddr>,
    shares: &Arc<Shelf>,
    overlays: &Overlays,
    newsroom: &Newsroom,
) -> Arc<Serving> {
    let face = Face {
        listen: listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
        servent: id,
        name: overlays.shown_name().to_owned(),
    };
    let told = told(overlays.clone(), newsroom.clone());
    let serving = Serving::new(
        shares.clone(),
        face,
        settings.uploads,
        settings.limit_up,
        told,
    );
    // What strangers of the live network tell and are told keeps to its rules, whatever other net there is.
    let nets = || overlays.all().map(Overlay::net);
    let net = nets().find(|net| *net == Net::Gnutella);
    let net = net.or_else(|| nets().next()).unwrap_or(Net::Lan);
    let serving = serving.on(net).passing_pushes(overlays.clone());
    Arc::new(serving.with_tls(tls))
}

/// Passes on what happens to uploads, without waiting.
fn told(overlays: Overlays, newsroom: Newsroom) -> impl Fn(Told) + Send + Sync {
    move |told| match told {
        Told::Busy(busy) => {
            for overlay in overlays.all() {
                overlay.handle.post(Inbox::Event(Event::Busy(busy)));
            }
        }
        Told::Uploaded { to, name, bytes } => {
            newsroom.publish(|| News::Uploaded { to, name, bytes });
        }
    }
}

/// Takes a home for this node alone.
fn hold(home: Home) -> Result<(Home, HomeLock), LockError> {
    home.create()?;
    let lock = home.lock()?;
    if let Some(note) = home.socket_note() {
        log::info!("{note}");
    }
    Ok((home, lock))
}

/// Keeps the address book for the next start.
fn save_hosts(home: &Home, net: Net, hosts: &Remembered) {
    if !hosts.is_empty()
        && let Err(error) = home.save_hosts(net, hosts)
    {
        log::warn!("the addresses of other nodes are not remembered: {error}");
    }
}

/// Saves the address book now and then, so that a node that is killed remembers it too.
async fn keep_hosts(home: Home, net: Net, handle: Handle) {
    loop {
        rt::sleep(HOSTS_SAVED_EVERY).await;
        let Ok(hosts) = handle.ask(Ask::Hosts).await else {
            return;
        };
        let home = home.clone();
        rt::spawn_blocking(move || save_hosts(&home, net, &hosts)).await;
    }
}

async fn until_closed(closed: Receiver<()>) {
    // Nothing is ever sent: this is ready when the sender is dropped.
    let _ = closed.recv().await;
}

/// Has the router open the port we listen on, if that is wanted: what comes of it, and what is ready when it was closed
/// again.
fn map_port(
    whom: MapPort,
    listen: Option<SocketAddr>,
    newsroom: &Newsroom,
    closed: &Receiver<()>,
) -> Option<(Opened, Receiver<()>)> {
    let listen = listen.filter(|_| whom != MapPort::Off)?;
    let opened = Opened::new(listen.port());
    let (done, unmapped) = rt::bounded::<()>(1);
    let keep = mapping::run(
        whom,
        opened.clone(),
        newsroom.clone(),
        until_closed(closed.clone()),
    );
    rt::spawn(async move {
        keep.await;
        drop(done);
    });
    Some((opened, unmapped))
}

/// Starts what looks for nodes of an overlay on this network. All detached: they end when `closed` is.
fn look_around(
    settings: &Settings,
    overlay: &Overlay,
    id: ServentId,
    rng: &mut ChaCha8Rng,
    clock: Clock,
    closed: &Receiver<()>,
) {
    if looks_on_lan(settings, overlay) {
        let look = discovery::lan::run(discovery::lan::Search {
            handle: overlay.handle.clone(),
            listen: overlay.config.listen,
            max_links: overlay.config.max_links,
            rng: ChaCha8Rng::from_rng(rng),
            clock,
        });
        rt::spawn(rt::unless(until_closed(closed.clone()), look));
        let announce = discovery::dns_sd::run(discovery::dns_sd::Settings {
            handle: overlay.handle.clone(),
            listen: overlay.config.listen,
            name: overlay.config.name.clone(),
            id,
        });
        rt::spawn(rt::unless(until_closed(closed.clone()), announce));
    }
}

/// Who listens on loopback only cannot be reached from elsewhere: looking would find no neighbours, and tell others
/// of one that they cannot have.
fn looks_on_lan(settings: &Settings, overlay: &Overlay) -> bool {
    settings.discovery == Discovery::Lan
        && overlay.net() == Net::Lan
        && !overlay
            .config
            .listen
            .is_some_and(|addr| addr.ip().is_loopback())
}

/// The datagram socket. A node of a LAN that listens nowhere needs none, and links work without one.
fn open_datagrams(settings: &Settings, listen: Option<SocketAddr>) -> Option<udp::Socket> {
    let configs = settings.also.iter().map(|also| &also.config);
    let mut configs = [&settings.config].into_iter().chain(configs);
    let live = configs.any(|config| config.net.is_two_tier());
    if listen.is_none() && !live {
        return None;
    }
    let opened = udp::open(listen).inspect_err(|error| log::warn!("no datagrams: UDP: {error}"));
    opened.ok()
}

impl Datagrams {
    /// What the socket of a node with these overlays needs: nodes are looked for on the live network, where there is one.
    fn of(settings: &Settings, overlays: &Overlays, rng: &mut ChaCha8Rng, clock: Clock) -> Self {
        let live = overlays.all().find(|overlay| overlay.net().is_two_tier());
        let overlay = live.unwrap_or(overlays.first());
        let caches = live.map(|_| settings.host_caches.clone());
        let web = live.map(|_| settings.web_caches.clone());
        Self {
            handle: overlay.handle.clone(),
            overlays: overlays.clone(),
            rng: ChaCha8Rng::from_rng(rng),
            clock,
            net: overlay.net(),
            caches: caches.unwrap_or_default(),
            web: web.unwrap_or_default(),
            finding: Shown::default(),
            greeting: overlay.greeting.clone(),
        }
    }
}

fn bind_error(listen: Listen, source: io::Error) -> StartError {
    match listen {
        Listen::Fixed(addr) if source.kind() == io::ErrorKind::AddrInUse => {
            StartError::AddressInUse { addr }
        }
        Listen::Fixed(addr) => StartError::Listen { addr, source },
        Listen::Default | Listen::Nowhere => StartError::NoPort(source),
    }
}

fn system_rng() -> Result<ChaCha8Rng, StartError> {
    let mut seed = [0; 32];
    SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| StartError::Random(error.to_string()))?;
    Ok(ChaCha8Rng::from_seed(seed))
}

fn random_servent(rng: &mut ChaCha8Rng) -> ServentId {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    ServentId::from_random(bytes)
}
