//! Answers requests of people, whether they came over the control socket or from this process.

use std::sync::Arc;
use std::time::Duration;

use super::awaited::Awaited;
use super::discovery::finding::Shown;
use super::inbox::{Ask, Ended, Handle};
use super::rt::{self, Clock, Sender};
use super::upload::Serving;
use crate::control::{self, Reply, Request};
use crate::node::event::{Command, Notice, SearchSpec};
use crate::node::media::Kind;
use crate::node::{Config, Time};
use crate::wire::hit::QueryHit;
use crate::wire::urn::tiger_to_base32;
use crate::wire::{Guid, ServentId, Sha1};

/// How long we wait for the core to answer a command: a dial's deadlines and some.
const COMMAND_TIME: Duration = Duration::from_secs(45);

/// All that answers need.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) config: Arc<Config>,
    pub(crate) id: ServentId,
    pub(crate) clock: Clock,
    pub(crate) handle: Handle,
    pub(crate) serving: Arc<Serving>,
    pub(crate) shares: Arc<super::shares::Shelf>,
    pub(crate) awaited: Arc<Awaited>,
    /// What came of asking caches, where they are asked.
    pub(crate) finding: Option<Shown>,
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
            kind,
        } => {
            let spec = spec(text, urn.as_deref(), ttl, kind.as_deref())?;
            search(spec, desk, to).await?;
        }
        Request::Peers => {
            for peer in desk.handle.ask(Ask::Peers).await? {
                to.send(Reply::Peer(peer)).await?;
            }
        }
        Request::PeerAdd { addr } => command(Command::AddPeer(addr), desk).await?,
        Request::PeerDrop { addr } => command(Command::DropPeer(addr), desk).await?,
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
            to.send(Reply::Counters(desk.handle.ask(Ask::Counters).await?))
                .await?;
        }
        Request::Trace { guid } => {
            let id = Guid(ServentId::from_hex(&guid).ok_or_else(|| no_guid(&guid))?.0);
            to.send(Reply::Trace(
                desk.handle.ask(|answer| Ask::Trace(id, answer)).await?,
            ))
            .await?;
        }
        Request::Push { .. } => {
            let text = "a connection can only be handed over on the control socket";
            return Err(Failed::Message(text.to_owned()));
        }
        Request::Stop => {
            // Full: it was asked before.
            let _ = desk.stop.try_send(());
        }
    }
    Ok(())
}

fn no_guid(text: &str) -> String {
    format!("{text:?} is no message id: 32 hexadecimal digits, as `searching` gives them")
}

async fn status(desk: &Desk) -> Result<control::Status, Ended> {
    let figures = desk.handle.ask(Ask::Figures).await?;
    let uploads = desk.serving.figures();
    Ok(control::Status {
        name: desk.config.name.clone(),
        net: desk.config.net.into(),
        role: desk
            .config
            .net
            .is_two_tier()
            .then(|| desk.config.role.into()),
        servent: desk.id.to_string(),
        listen: desk.config.listen,
        pid: std::process::id(),
        uptime_s: desk.clock.now().since(Time::ZERO).as_secs(),
        links: figures.links,
        dialling: figures.dialling,
        hosts_known: figures.hosts_known,
        shares: desk.shares.list(),
        uploads_active: uploads.active,
        upload_slots: uploads.slots,
        uploads_done: uploads.done,
        uploaded_bytes: uploads.bytes,
        nodes_heard: figures.nodes_heard,
        finding: desk.finding.as_ref().map(Shown::get),
    })
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
        text,
        sha1: sha1.transpose()?,
        ttl,
        media: kind.transpose()?.and_then(Kind::asked),
    })
}

async fn search(spec: SearchSpec, desk: &Desk, to: &Replies) -> Result<(), Failed> {
    let notices = desk.handle.command(Command::Search(spec)).await?;
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Searching {
                guid,
                neighbours,
                ttl,
            } => {
                to.send(Reply::Searching {
                    guid: guid.to_string(),
                    neighbours,
                    ttl,
                })
                .await?;
            }
            Notice::Hit { hops, hit } => to.send(Reply::Hit(Box::new(hit_of(hops, *hit)))).await?,
            Notice::Pushed(_) | Notice::Passed(_) => {}
            Notice::Done(result) => return Ok(result?),
        }
    }
    Err(Ended.into())
}

/// Gives a command and waits for its end.
async fn command(command: Command, desk: &Desk) -> Result<(), Failed> {
    let notices = desk.handle.command(command).await?;
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
pub(crate) fn hit_of(hops: u8, hit: QueryHit) -> control::Hit {
    control::Hit {
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
            })
            .collect(),
    }
}
