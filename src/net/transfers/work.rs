//! The thread of a download that runs, and what becomes of it.

use std::sync::Weak;
use std::thread;
use std::time::Duration;

use super::Transfers;
use crate::control::{self, Reply, Request, TransferSpec};
use crate::disk::names::safe_name;
use crate::disk::parts;
use crate::net::download::offer::root_of;
use crate::net::download::{
    self, Cancel, Control, FetchError, Job, Progress, Requery, Source, fetch,
};
use crate::net::inbox::Ask;
use crate::net::overlays::Overlay;
use crate::net::pusher::Pusher;
use crate::net::requests::{self, Desk};
use crate::net::rt::{self, Clock};
use crate::net::sharing::{self, Sharing};
use crate::node::Time;
use crate::node::swarm::{CONNECTIONS, CONNECTIONS_MAX};
use crate::wire::Sha1;

/// A search for sources takes so long at most. Our estimate: a query has crossed any network by then.
const SEARCH_TIME: Duration = Duration::from_secs(20);
/// It ends when nobody new answered for so long.
const SEARCH_QUIET: Duration = Duration::from_secs(5);
/// It ends when so many are known: more are rarely asked at a time.
const SEARCH_ENOUGH: usize = 16;
/// A node says how it is within this, or it is busy with better things. Our estimate.
const FIGURES_TIME: Duration = Duration::from_secs(5);
/// Replies that wait to be read.
const REPLIES: usize = 64;

/// Starts the thread of a download.
pub(super) fn start(transfers: Transfers, desk: Weak<Desk>, spec: TransferSpec, cancel: Cancel) {
    let key = spec.key.clone();
    // Detached: it ends when the download does, which `cancel` brings about.
    thread::spawn(move || {
        let mut job = job_of(&spec);
        let at = desk.clone();
        if let Some(desk) = desk.upgrade() {
            job.nets = desk.overlays.all().map(Overlay::net).collect();
            job.sharing = sharing(&desk, &job);
            job.turns = desk.turns.clone().filter(|_| can_be_called(&desk));
            job.pusher = Some(Pusher::here(desk, None));
        }
        job.limits.push(transfers.0.limit.clone());
        job.requery = Some(Requery::new(move |urn| search(&desk, urn)));
        let liars = transfers.0.liars.clone();
        if let Some(liars) = &liars {
            job.liars = liars.load(rt::unix_s());
        }
        let mut gave = Vec::new();
        let news = |news| {
            if let (Progress::Lied { node, .. }, Some(liars)) = (&news, &liars)
                && let Err(error) = liars.add(rt::unix_s(), std::slice::from_ref(node))
            {
                log::warn!("that {node} gave wrong bytes is not remembered: {error}");
            }
            if let Progress::Sources(sources) = &news {
                gave = sources
                    .iter()
                    .map(|one| (one.source.clone(), one.bytes))
                    .collect();
            }
            let (mut table, now) = (transfers.table(), transfers.0.clock.now());
            if let Some(entry) = table.of_key(&key) {
                entry.news(now, news);
                table.tell();
            }
        };
        let how = fetch(&job, news, &cancel);
        if let (Ok(fetched), Some(desk)) = (&how, at.upgrade())
            && fetched.verified
        {
            // Names are not looked up again for this: nodes are known by address.
            let of = |(source, bytes): (String, u64)| Some((source.parse().ok()?, bytes));
            for (source, bytes) in gave.into_iter().filter_map(of) {
                desk.serving.gave(source, bytes);
            }
        }
        // It holds the node, which may be ending.
        drop(job);
        transfers.ended(&spec, how);
    });
}

impl Transfers {
    fn ended(&self, spec: &TransferSpec, how: Result<download::Fetched, FetchError>) {
        let mut table = self.table();
        if let Some(entry) = table.of_key(&spec.key) {
            let finished = how.is_ok();
            let again = entry.ended(self.0.clock.now(), how);
            if let Some(discard) = entry.removing {
                table
                    .entries
                    .retain(|entry| entry.kept.spec.key != spec.key);
                if discard && !finished {
                    self::discard(spec);
                }
            }
            if let Some(span) = again {
                self.start_later(spec.key.clone(), span);
            }
        }
        if let Err(error) = self.save(&mut table) {
            log::warn!("what became of a download is not remembered: {error}");
        }
        self.start_next(&mut table);
        self.0.rested.notify_all();
    }
}

/// Removes what came of a download.
pub(super) fn discard(spec: &TransferSpec) {
    if let Err(error) = download::discard(&job_of(spec)) {
        log::warn!("what came of {} is not removed: {error}", spec.name);
    }
}

fn job_of(spec: &TransferSpec) -> Job {
    let urn = spec.urn.as_ref().and_then(|urn| urn.parse::<Sha1>().ok());
    let control = Control::default();
    control.set_limit(spec.limit);
    Job {
        urn: urn.filter(|_| !spec.unchecked),
        tiger: root_of(spec.tiger.as_deref()).filter(|_| !spec.unchecked),
        trees: !spec.unchecked,
        // With a hash, a size told by a stranger decides nothing.
        size: spec.size.filter(|_| urn.is_none()),
        sources: spec
            .sources
            .iter()
            .filter_map(|offer| Source::of_offer(offer).ok())
            .collect(),
        on_exist: match spec.on_exist {
            control::OnExist::Fail => parts::OnExist::Fail,
            control::OnExist::Skip => parts::OnExist::Skip,
            control::OnExist::Rename => parts::OnExist::Rename,
            control::OnExist::Overwrite => parts::OnExist::Overwrite,
        },
        connections: spec
            .connections
            .unwrap_or(CONNECTIONS)
            .clamp(1, CONNECTIONS_MAX),
        control,
        ..Job::new(spec.name.clone(), &spec.into)
    }
}

/// Whether servers can call: on a LAN they can, on the public network if somebody did.
fn can_be_called(desk: &Desk) -> bool {
    let public = desk
        .overlays
        .all()
        .filter(|overlay| overlay.net().is_two_tier());
    let mut reached = public.map(|overlay| {
        let figures = rt::wait_for(FIGURES_TIME, overlay.handle.ask(Ask::Figures));
        let reach = figures
            .and_then(Result::ok)
            .and_then(|figures| figures.reach);
        reach.is_some_and(|reach| reach.connections == control::Reached::Yes)
    });
    reached.all(|yes| yes)
}

/// Where a download is offered to others: only where the finished file will be shared.
fn sharing(desk: &Desk, job: &Job) -> Option<Sharing> {
    let listen = desk.listen?;
    let shared = sharing::is_shared(&desk.shares, &job.into, &safe_name(&job.name));
    shared.then(|| Sharing::new(desk.serving.clone(), listen))
}

/// Asks all nets who has this.
fn search(desk: &Weak<Desk>, urn: Sha1) -> Vec<Source> {
    let Some(desk) = desk.upgrade() else {
        return Vec::new();
    };
    let request = Request::search_by_hash(urn.to_string(), Vec::new());
    let (replies, answers) = rt::bounded(REPLIES);
    let (hold, let_go) = rt::bounded::<()>(1);
    // Detached: it ends when `hold` is dropped.
    rt::spawn(async move {
        let until = async {
            let _ = let_go.recv().await;
        };
        rt::unless(until, requests::answer(request, &desk, replies)).await;
    });
    let (clock, mut found) = (Clock::start(), Vec::new());
    loop {
        let left = SEARCH_TIME.saturating_sub(clock.now().since(Time::ZERO));
        let reply = rt::wait_for(left.min(SEARCH_QUIET), answers.recv());
        match reply {
            Some(Ok(Reply::Hit(hit))) => {
                for source in Source::all_of_hit(&hit, urn) {
                    if !found.iter().any(|known: &Source| known.is_same(&source)) {
                        found.push(source);
                    }
                }
            }
            Some(Ok(Reply::Error { .. } | Reply::Done) | Err(_)) | None => break,
            Some(Ok(_)) => {}
        }
        if found.len() >= SEARCH_ENOUGH {
            break;
        }
    }
    drop(hold);
    found
}
