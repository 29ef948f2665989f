//! Answers requests of people, whether they came over the control socket or from this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::{FutureExt, future};

use super::awaited::Awaited;
use super::discovery::finding::Shown;
use super::discovery::mapping::Opened;
use super::inbox::{Ask, Ended, Notices};
use super::overlays::{Overlay, Overlays};
use super::rt::{self, Clock, Sender};
use super::transfers::Transfers;
use super::upload::Serving;
use crate::control::{self, Reply, Request};
use crate::node::Time;
use crate::node::address::Net;
use crate::node::event::{Command, Notice, SearchSpec};
use crate::node::media::Kind;
use crate::node::strategy::{BadStrategy, Strategy};
use crate::wire::hit::QueryHit;
use crate::wire::urn::tiger_to_base32;
use crate::wire::{Guid, ServentId, Sha1};

/// How long we wait for the core to answer a command: a dial's deadlines and some.
const COMMAND_TIME: Duration = Duration::from_secs(45);

/// Changes of downloads are told no faster than this.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// All that answers need.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) overlays: Overlays,
    pub(crate) id: ServentId,
    /// Where it listens, if it does.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) clock: Clock,
    pub(crate) serving: Arc<Serving>,
    pub(crate) shares: Arc<super::shares::Shelf>,
    pub(crate) awaited: Arc<Awaited>,
    /// Where servers call when our turn has come in their queue; `None`: it listens nowhere.
    pub(crate) turns: Option<super::download::Turns>,
    /// What came of asking caches, where they are asked.
    pub(crate) finding: Option<Shown>,
    /// What came of asking the router to open our port.
    pub(crate) opened: Option<Opened>,
    pub(crate) transfers: Transfers,
    /// Bytes a second of its files.
    pub(crate) limits: Arc<super::limits::Limits>,
    /// Rung when somebody asks the node to stop.
    pub(crate) stop: Sender<()>,
}

/// Whoever asked has gone.
struct HungUp;

/// Where the replies to one request go.
struct Replies(Sender<Reply>);

impl Replies {
    async fn send(&self, reply: Reply) -> Result<(), HungUp> {
        self.0.send(reply).await.map_err(|_| HungUp)
    }
}

/// Why a request was not answered to its end.
enum Failed {
    HungUp,
    Message(String),
}

impl From<HungUp> for Failed {
    fn from(_: HungUp) -> Self {
        Self::HungUp
    }
}

impl From<Ended> for Failed {
    fn from(_: Ended) -> Self {
        Self::Message("the node is stopping".to_owned())
    }
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

/// Answers one request; the last reply is `Done` or `Error`. A search goes on until this is dropped.
pub(crate) async fn answer(request: Request, desk: &Desk, replies: Sender<Reply>) {
    let replies = Replies(replies);
    let last = match answer_in_full(request, desk, &replies).await {
        Ok(()) => Reply::Done,
        Err(Failed::Message(message)) => Reply::Error { message },
        Err(Failed::HungUp) => return,
    };
    // An error: nobody is left to read it.
    let _ = replies.send(last).await;
}

async fn answer_in_full(request: Request, desk: &Desk, to: &Replies) -> Result<(), Failed> {
    match request {
        Request::Status => {
            to.send(Reply::Status(Box::new(status(desk).await?)))
                .await?;
        }
        Request::Search {
            text,
            urn,
            ttl,
            strategy,
            kind,
            nets,
        } => {
            let strategy = strategy.map(|text| text.parse().map_err(|error| no_strategy(&error)));
            let spec = SearchSpec {
                strategy: strategy.transpose()?.unwrap_or_default(),
                ..spec(text, urn.as_deref(), ttl, kind.as_deref())?
            };
            search(spec, &nets, desk, to).await?;
        }
        Request::Peers => {
            for overlay in desk.overlays.all() {
                for mut peer in overlay.handle.ask(Ask::Peers).await? {
                    peer.net = overlay.net().into();
                    to.send(Reply::Peer(peer)).await?;
                }
            }
        }
        Request::PeerAdd { addr, net } => {
            command(Command::AddPeer(addr), overlay_of(addr, net, desk)?).await?;
        }
        Request::PeerDrop { addr } => drop_peer(addr, desk).await?,
        Request::Shares { files } => {
            for share in desk.shares.list() {
                to.send(Reply::Share(share)).await?;
            }
            if files {
                for file in desk.shares.files() {
                    to.send(Reply::File(file)).await?;
                }
            }
        }
        Request::Rescan => {
            let shares = desk.shares.clone();
            rt::spawn_blocking(move || shares.rescan()).await;
        }
        Request::Check => {
            let shares = desk.shares.clone();
            for left_out in rt::spawn_blocking(move || shares.left_out()).await {
                to.send(left_out).await?;
            }
        }
        Request::Counters => {
            let mut sum = control::Counters::default();
            for overlay in desk.overlays.all() {
                sum.add(overlay.handle.ask(Ask::Counters).await?);
            }
            if let Some(finding) = &desk.finding {
                sum.dropped.extend(finding.counted());
            }
            to.send(Reply::Counters(sum)).await?;
        }
        Request::Trace { guid } => {
            let id = Guid(ServentId::from_hex(&guid).ok_or_else(|| no_guid(&guid))?.0);
            let mut known = None;
            for overlay in desk.overlays.all() {
                let trace = overlay.handle.ask(|answer| Ask::Trace(id, answer)).await?;
                known = known.or(trace);
            }
            to.send(Reply::Trace(known)).await?;
        }
        Request::Shape { addr, shape } => shape_links(addr, shape, desk).await?,
        Request::Push { .. } => {
            let text = "a connection can only be handed over on the control socket";
            return Err(Failed::Message(text.to_owned()));
        }
        Request::TransferAdd { transfer } => {
            let transfers = desk.transfers.clone();
            let added = rt::spawn_blocking(move || transfers.add(*transfer)).await?;
            to.send(Reply::Transfer(Box::new(added))).await?;
        }
        Request::Transfers { watch } => transfers(desk, watch, to).await?,
        Request::TransferAct { id, act } => {
            let (transfers, asked) = (desk.transfers.clone(), id.clone());
            let left = rt::spawn_blocking(move || transfers.act(&asked, act)).await?;
            let reply = match left {
                Some(transfer) => Reply::Transfer(Box::new(transfer)),
                None => Reply::TransferGone { id },
            };
            to.send(reply).await?;
        }
        Request::Stop => {
            // Full: it was asked before.
            let _ = desk.stop.try_send(());
        }
    }
    Ok(())
}

/// All downloads, and then each change.
async fn transfers(desk: &Desk, watch: bool, to: &Replies) -> Result<(), Failed> {
    let rung = watch.then(|| desk.transfers.watch());
    let mut told: Vec<control::Transfer> = Vec::new();
    loop {
        let now = desk.transfers.list();
        for transfer in now.iter().filter(|transfer| !told.contains(transfer)) {
            to.send(Reply::Transfer(Box::new(transfer.clone()))).await?;
        }
        for gone in told {
            if now.iter().all(|transfer| transfer.id != gone.id) {
                to.send(Reply::TransferGone { id: gone.id }).await?;
            }
        }
        told = now;
        let Some(rung) = &rung else { return Ok(()) };
        rt::sleep(WATCH_PAUSE).await;
        rung.recv().await.map_err(|_| Failed::from(Ended))?;
    }
}

fn no_guid(text: &str) -> String {
    format!("{text:?} is no message id: 32 hexadecimal digits, as `searching` gives them")
}

fn no_strategy(error: &BadStrategy) -> String {
    error.for_searches()
}

/// The overlay on this net; unnamed, the one that an address belongs to.
fn overlay_of(
    addr: SocketAddr,
    net: Option<control::Net>,
    desk: &Desk,
) -> Result<&Overlay, String> {
    let found = match net {
        Some(net) => desk.overlays.on(&[net.into()]).next(),
        None => desk.overlays.of(addr.ip()).next(),
    };
    found.ok_or_else(|| "this node is not on that network; start it with --net for it".to_owned())
}

/// Has frames to a peer treated so.
async fn shape_links(
    addr: SocketAddr,
    shape: Option<control::Shape>,
    desk: &Desk,
) -> Result<(), Failed> {
    let overlay = overlay_of(addr, None, desk)?;
    let set = |set| Ask::Shape(addr, shape, set);
    Ok(overlay.handle.ask(set).await??)
}

/// The link may be on any net.
async fn drop_peer(addr: SocketAddr, desk: &Desk) -> Result<(), Failed> {
    let mut last = Ok(());
    for overlay in desk.overlays.all() {
        last = command(Command::DropPeer(addr), overlay).await;
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn status(desk: &Desk) -> Result<control::Status, Ended> {
    let mut nets = Vec::new();
    for overlay in desk.overlays.all() {
        nets.push(on_net(overlay).await?);
    }
    let uploads = desk.serving.figures();
    let live = desk
        .overlays
        .all()
        .any(|overlay| overlay.net().is_two_tier());
    let sum = |figure: fn(&control::OnNet) -> usize| nets.iter().map(figure).sum();
    Ok(control::Status {
        name: desk.overlays.first().config.name.clone(),
        net: desk.overlays.first().net().into(),
        role: nets.iter().find_map(|on| on.role),
        servent: desk.id.to_string(),
        listen: desk.listen,
        pid: std::process::id(),
        uptime_s: desk.clock.now().since(Time::ZERO).as_secs(),
        links: sum(|on| on.links),
        dialling: sum(|on| on.dialling),
        hosts_known: sum(|on| on.hosts_known),
        shares: desk.shares.list(),
        uploads_active: uploads.active,
        upload_slots: uploads.slots,
        uploads_waiting: uploads.waiting,
        uploads_done: uploads.done,
        uploaded_bytes: uploads.bytes,
        nodes_heard: sum(|on| on.nodes_heard),
        finding: desk.finding.as_ref().filter(|_| live).map(Shown::get),
        mapping: desk.opened.as_ref().map(Opened::get),
        limits: desk.limits.shown(),
        downloads: desk.transfers.in_short(),
        nets,
    })
}

async fn on_net(overlay: &Overlay) -> Result<control::OnNet, Ended> {
    let figures = overlay.handle.ask(Ask::Figures).await?;
    let two_tier = overlay.net().is_two_tier();
    Ok(control::OnNet {
        net: overlay.net().into(),
        role: two_tier.then_some(figures.role.into()),
        auto: figures.auto,
        links: figures.links,
        leaves: figures.leaves,
        dialling: figures.dialling,
        hosts_known: figures.hosts_known,
        nodes_heard: figures.nodes_heard,
        reach: figures.reach,
        direct_hits: overlay.config.direct_hits && overlay.net().is_two_tier(),
    })
}

/// One search on one net.
struct OneNet {
    net: Net,
    notices: Notices,
}

fn spec(
    text: String,
    urn: Option<&str>,
    ttl: Option<u8>,
    kind: Option<&str>,
) -> Result<SearchSpec, String> {
    let sha1 = urn.map(|urn| {
        urn.parse::<Sha1>()
            .map_err(|_| format!("{urn:?} is no urn:sha1:… of 32 characters"))
    });
    let kind = kind.map(|name| {
        Kind::named(name).ok_or_else(|| {
            format!("{name:?} is no kind of file: audio, video, image, text, archive or program")
        })
    });
    Ok(SearchSpec {
        strategy: Strategy::Usual,
        wanted: None,
        text,
        sha1: sha1.transpose()?,
        ttl,
        media: kind.transpose()?.and_then(Kind::asked),
    })
}

async fn search(
    spec: SearchSpec,
    nets: &[control::Net],
    desk: &Desk,
    to: &Replies,
) -> Result<(), Failed> {
    let nets: Vec<Net> = nets.iter().map(|net| Net::from(*net)).collect();
    let mut searches = Vec::new();
    for overlay in desk.overlays.on(&nets) {
        let search = Command::Search(spec.clone());
        searches.push(OneNet {
            net: overlay.net(),
            notices: overlay.handle.command(search).await?,
        });
    }
    // A net that fails ends its part; the last one that fails ends the search.
    let mut last = Err("this node is not on that network".to_owned().into());
    let mut turn = 0;
    while !searches.is_empty() {
        turn += 1;
        let (at, notice) = next_of(&searches, turn).await;
        let net = searches[at].net;
        match notice {
            Some(Notice::Searching {
                guid,
                neighbours,
                ttl,
            }) => {
                to.send(Reply::Searching {
                    guid: guid.to_string(),
                    neighbours,
                    ttl,
                    net: net.into(),
                })
                .await?;
            }
            Some(Notice::Hit { hops, hit }) => {
                to.send(Reply::Hit(Box::new(hit_of(Some(net), hops, *hit))))
                    .await?;
            }
            Some(Notice::TooSoon(soon)) => {
                searches.remove(at);
                to.send(Reply::TooSoon {
                    net: net.into(),
                    ago_s: soon.ago.as_secs(),
                    // Whoever asks again then is not too soon by a part of a second.
                    again_s: soon.again.as_secs() + 1,
                })
                .await?;
                last = Ok(());
            }
            Some(Notice::Pushed(_) | Notice::Passed(_)) => {}
            Some(Notice::Done(result)) => {
                searches.remove(at);
                if let (Err(message), false) = (&result, searches.is_empty()) {
                    let message = message.clone();
                    to.send(Reply::Failed {
                        net: net.into(),
                        message,
                    })
                    .await?;
                }
                last = result.map_err(Failed::Message);
            }
            None => {
                searches.remove(at);
                last = Err(Ended.into());
            }
        }
    }
    last
}

/// The next notice of any of some searches, at least one, and of which. The search `turn` is looked at first, so that
/// a busy net does not silence another.
async fn next_of(searches: &[OneNet], turn: usize) -> (usize, Option<Notice>) {
    let next = |at: usize| async move { (at, searches[at].notices.next().await) };
    let last = turn % searches.len();
    let mut any = next(last).boxed();
    for more in 1..searches.len() {
        any = future::or(next((last + more) % searches.len()), any).boxed();
    }
    any.await
}

/// Gives a command and waits for its end.
async fn command(command: Command, overlay: &Overlay) -> Result<(), Failed> {
    let notices = overlay.handle.command(command).await?;
    let end = async {
        loop {
            match notices.next().await {
                Some(Notice::Done(result)) => return result.map_err(Failed::Message),
                Some(_) => {}
                None => return Err(Ended.into()),
            }
        }
    };
    rt::timeout(COMMAND_TIME, end)
        .await
        .unwrap_or_else(|_| Err(Failed::Message("no answer in time; try again".to_owned())))
}

/// A hit as commands see it.
pub(crate) fn hit_of(net: Option<Net>, hops: u8, hit: QueryHit) -> control::Hit {
    control::Hit {
        net: net.map(Into::into),
        hops,
        addr: hit.addr,
        nick: hit.nick,
        vendor: hit.vendor.escape_ascii().to_string(),
        servent: hit.servent.to_string(),
        push: hit.push == Some(true),
        push_proxies: hit.push_proxies,
        free_slot: hit.busy.map(|busy| !busy),
        browse: hit.browse,
        tls: hit.tls,
        records: hit
            .records
            .into_iter()
            .map(|record| control::Record {
                index: record.index,
                size: record.size,
                name: record.name,
                urn: record.sha1.map(|sha1| sha1.to_string()),
                created: record.created,
                tiger: record.tiger.map(|root| tiger_to_base32(&root)),
                partial: record.partial,
                alternates: record.alternates.iter().map(|one| one.addr).collect(),
                path: record.path,
                alternates_tls: record
                    .alternates
                    .iter()
                    .filter(|one| one.tls)
                    .map(|one| one.addr)
                    .collect(),
            })
            .collect(),
    }
}
