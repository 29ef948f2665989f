//! The parts of a node, made from its settings; `servent` puts them together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::{ChaCha8Rng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

use super::discovery::finding::Shown;
use super::discovery::mapping::{self, MapPort, Opened};
use super::discovery::udp::{self, Datagrams};
use super::discovery::{self, Discovery};
use super::greeting::Greeting;
use super::hostile::{self, Shunned};
use super::http::AGENT;
use super::inbox::{Ask, Handle, Inbox};
use super::limits::Limits;
use super::listen::Listen;
use super::news::{News, Newsroom};
use super::overlays::{Overlay, Overlays};
use super::rt::{self, Clock, Receiver};
use super::settings::{Settings, StartError};
use super::shares::Shelf;
use super::tls::Tls;
use super::upload::{Face, Serving, Told};
use crate::disk::hostile::HostileFiles;
use crate::disk::store::{Home, HomeLock, LockError};
use crate::node::address::Net;
use crate::node::greet::{Encryption, Me};
use crate::node::hosts::Remembered;
use crate::node::limits::ULTRAPEER_MAX_LINKS;
use crate::node::{Config, Event};
use crate::wire::ServentId;

/// How often the address book is saved.
const HOSTS_SAVED_EVERY: Duration = Duration::from_secs(300);

/// The overlays of a node that is to listen at `addr`, and the inbox of each.
pub(super) fn overlays(
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
            shunned: Shunned::new(config.hostile.clone()),
            config,
            handle,
        });
    }
    Ok((Overlays::new(all), inboxes))
}

/// What we say about ourselves in greetings.
pub(super) fn me(config: &Config, id: ServentId) -> Me {
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
pub(super) fn tls(settings: &mut Settings) -> Result<Option<Tls>, StartError> {
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
pub(super) fn share(
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
pub(super) fn serve(
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
    let serving = Serving::new(shares.clone(), face, settings.uploads, None, told);
    let serving = serving.on(overlays.all().map(Overlay::net));
    let serving = serving.passing_pushes(overlays.clone());
    Arc::new(serving.with_tls(tls))
}

/// Keeps uploads and downloads to what is allowed at this hour, until `closed`.
pub(super) fn limits(
    settings: &Settings,
    serving: &Arc<Serving>,
    closed: &Receiver<()>,
) -> Arc<Limits> {
    let limits = Limits::new(
        settings.limit_up.clone(),
        settings.limit_down.clone(),
        settings.wall_clock.clone(),
        serving.clone(),
    );
    let limits = Arc::new(limits);
    // Detached: it ends when `closed` does.
    rt::spawn(rt::unless(
        until_closed(closed.clone()),
        limits.clone().keep(),
    ));
    limits
}

/// Passes on what happens to uploads, without waiting.
pub(super) fn told(overlays: Overlays, newsroom: Newsroom) -> impl Fn(Told) + Send + Sync {
    move |told| match told {
        Told::Busy(busy) => {
            for overlay in overlays.all() {
                overlay.handle.post(Inbox::Event(Event::Busy(busy)));
            }
        }
        Told::Uploaded { to, name, bytes } => {
            newsroom.publish(|| News::Uploaded { to, name, bytes });
        }
        Told::Elsewhere { net, file, all } => {
            for overlay in overlays.on(&[net]) {
                let event = Event::Elsewhere(file, all.clone());
                overlay.handle.post(Inbox::Event(event));
            }
        }
    }
}

/// Takes a home for this node alone.
pub(super) fn hold(home: Home) -> Result<(Home, HomeLock), LockError> {
    home.create()?;
    let lock = home.lock()?;
    if let Some(note) = home.socket_note() {
        log::info!("{note}");
    }
    Ok((home, lock))
}

/// Keeps the address book for the next start.
pub(super) fn save_hosts(home: &Home, net: Net, hosts: &Remembered) {
    if !hosts.is_empty()
        && let Err(error) = home.save_hosts(net, hosts)
    {
        log::warn!("the addresses of other nodes are not remembered: {error}");
    }
}

/// Saves the address book now and then, so that a node that is killed remembers it too.
pub(super) async fn keep_hosts(home: Home, net: Net, handle: Handle) {
    loop {
        rt::sleep(HOSTS_SAVED_EVERY).await;
        let Ok(hosts) = handle.ask(Ask::Hosts).await else {
            return;
        };
        let home = home.clone();
        rt::spawn_blocking(move || save_hosts(&home, net, &hosts)).await;
    }
}

pub(super) async fn until_closed(closed: Receiver<()>) {
    // Nothing is ever sent: this is ready when the sender is dropped.
    let _ = closed.recv().await;
}

/// Has the router open the port we listen on, if that is wanted: what comes of it, and what is ready when it was closed
/// again.
pub(super) fn map_port(
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

/// Has the files of hostile addresses read again when they change, if there are any. Detached: it ends when `closed` is.
pub(super) fn watch_hostile(settings: &Settings, overlays: &Overlays, closed: &Receiver<()>) {
    let files = HostileFiles::new(settings.hostile_files.clone());
    if !files.is_empty() {
        let keep = hostile::keep(files, overlays.clone());
        rt::spawn(rt::unless(until_closed(closed.clone()), keep));
    }
}

/// Starts what looks for nodes of an overlay on this network. All detached: they end when `closed` is.
pub(super) fn look_around(
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
pub(super) fn looks_on_lan(settings: &Settings, overlay: &Overlay) -> bool {
    settings.discovery == Discovery::Lan
        && overlay.net() == Net::Lan
        && !overlay
            .config
            .listen
            .is_some_and(|addr| addr.ip().is_loopback())
}

/// The datagram socket. A node of a LAN that listens nowhere needs none, and links work without one.
pub(super) fn open_datagrams(
    settings: &Settings,
    listen: Option<SocketAddr>,
) -> Option<udp::Socket> {
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
    pub(super) fn of(
        settings: &Settings,
        overlays: &Overlays,
        rng: &mut ChaCha8Rng,
        clock: Clock,
    ) -> Self {
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

pub(super) fn bind_error(listen: Listen, source: io::Error) -> StartError {
    match listen {
        Listen::Fixed(addr) if source.kind() == io::ErrorKind::AddrInUse => {
            StartError::AddressInUse { addr }
        }
        Listen::Fixed(addr) => StartError::Listen { addr, source },
        Listen::Default | Listen::Nowhere => StartError::NoPort(source),
    }
}

pub(super) fn system_rng() -> Result<ChaCha8Rng, StartError> {
    let mut seed = [0; 32];
    SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| StartError::Random(error.to_string()))?;
    Ok(ChaCha8Rng::from_seed(seed))
}

pub(super) fn random_servent(rng: &mut ChaCha8Rng) -> ServentId {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    ServentId::from_random(bytes)
}
