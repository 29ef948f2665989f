//! Downloads that the node makes by itself, for commands that do not stay: a list, a few of which run at a time.
//!
//! The list outlives the process; what runs when it ends goes on at the next start. Bytes that came are in partial files as
//! those of any other download, so that nothing is fetched twice.
//!
//! - `entry`: one download and its states; `work`: the thread of one that runs, and what becomes of it.

mod entry;
mod work;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::download::Limit;
use super::requests::Desk;
use super::rt::{self, Clock};
use crate::control::{Downloads, Transfer, TransferAct, TransferSpec, TransferState};
use crate::disk::jobs::Jobs;
use crate::disk::liars::Liars;
use crate::disk::store::Home;
use crate::node::Time;

use entry::{Entry, Kept};

/// Downloads that run at a time; each asks several sources. Our choice.
const RUNNING_MAX: usize = 3;
/// One that is cancelled while it runs is gone within this: it ends at its next wait, of which none is long.
const GONE_WAIT: Duration = Duration::from_secs(5);
/// Downloads on the list that are not done; more are refused. Our choice.
const UNFINISHED_MAX: usize = 1_000;
/// Finished ones that are remembered; the oldest are forgotten. Our choice.
const FINISHED_KEPT: usize = 100;
/// Letters of a key that are enough to name a download, if no other begins like that.
const PREFIX_MIN: usize = 4;

/// The downloads of one node. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Transfers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where the list is kept; `None`: nowhere, and nothing is taken on.
    jobs: Option<Jobs>,
    /// Nodes that gave wrong bytes; `None`: nobody is remembered.
    liars: Option<Liars>,
    /// Of all of them together.
    limit: Limit,
    table: Mutex<Table>,
    /// The node, once it is made.
    desk: OnceLock<Weak<Desk>>,
    /// Rung when a download has stopped running.
    rested: Condvar,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    stopping: bool,
    watchers: Vec<rt::Sender<()>>,
}

impl Table {
    fn of_key(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.kept.spec.key == key)
    }

    /// All that stay on the list, for people.
    fn all_shown(&self, now: Time) -> impl Iterator<Item = Transfer> {
        let stay = self.entries.iter().filter(|entry| entry.removing.is_none());
        stay.scan(0, move |queued, entry| {
            let shown = entry.shown(now, *queued);
            *queued += usize::from(entry.may_start());
            Some(shown)
        })
    }

    /// One of them; `None`: it is not there, or goes.
    fn shown(&self, key: &str, now: Time) -> Option<Transfer> {
        let at = self.entries.iter().filter(|entry| entry.removing.is_none());
        let at = at
            .map(|entry| entry.kept.spec.key.as_str())
            .position(|of| of == key)?;
        self.all_shown(now).nth(at)
    }

    /// Something has changed.
    fn tell(&mut self) {
        // Full: it will look anyway. Closed: it has gone.
        self.watchers
            .retain(|watcher| !matches!(watcher.try_send(()), Err(error) if error.is_closed()));
    }

    fn running(&self) -> usize {
        let all = self.entries.iter();
        all.filter(|entry| entry.running.is_some()).count()
    }
}

impl Transfers {
    /// Those of a home, which begin with [`begin`](Self::begin); without one, none. `limit`: bytes a second of all.
    ///
    /// # Errors
    /// The list cannot be read; the message says which file and what to do.
    pub(crate) fn open(home: Option<&Home>, limit: Limit) -> io::Result<Self> {
        let jobs = home.map(|home| Jobs::new(&home.transfers()));
        let kept: Vec<Kept> = match &jobs {
            Some(jobs) => jobs.load()?,
            None => Vec::new(),
        };
        let table = Table {
            entries: kept.into_iter().map(Entry::again).collect(),
            ..Table::default()
        };
        Ok(Self(Arc::new(Inner {
            jobs,
            liars: home.map(|home| Liars::new(&home.liars())),
            limit,
            table: Mutex::new(table),
            desk: OnceLock::new(),
            rested: Condvar::new(),
            clock: Clock::start(),
        })))
    }

    /// Goes on with what an earlier run left; from now on this is a node.
    pub(crate) fn begin(&self, desk: &Arc<Desk>) {
        // Set before: it is the same node.
        let _ = self.0.desk.set(Arc::downgrade(desk));
        self.start_next(&mut self.table());
    }

    /// Takes a download on. One that is on the list already stays as it is, but for new sources. May block.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(crate) fn add(&self, spec: TransferSpec) -> Result<Transfer, String> {
        if self.0.jobs.is_none() {
            return Err(
                "a node without a home keeps no downloads; give it one with --home".to_owned(),
            );
        }
        check(&spec)?;
        let mut table = self.table();
        if table.stopping {
            return Err("the node is stopping; try again when it is started anew".to_owned());
        }
        let key = spec.key.clone();
        if let Some(entry) = table.of_key(&key) {
            entry.meet(spec)?;
        } else {
            let unfinished = |entry: &&Entry| entry.kept.state != TransferState::Done;
            if table.entries.iter().filter(unfinished).count() >= UNFINISHED_MAX {
                return Err(format!(
                    "{UNFINISHED_MAX} downloads are on the list; cancel some with `filbert transfers cancel ID`"
                ));
            }
            table.entries.push(Entry::new(spec));
        }
        if let Err(error) = self.save(&mut table) {
            // Whoever asked was not promised anything yet.
            table
                .entries
                .retain(|entry| entry.kept.spec.key != key || entry.running.is_some());
            return Err(error.to_string());
        }
        self.start_next(&mut table);
        let now = self.0.clock.now();
        Ok(table.shown(&key, now).expect("it was added"))
    }

    /// All of them, in the order they were taken on.
    pub(crate) fn list(&self) -> Vec<Transfer> {
        let now = self.0.clock.now();
        self.table().all_shown(now).collect()
    }

    /// How many are in each state.
    pub(crate) fn in_short(&self) -> Downloads {
        let mut all = Downloads::default();
        let table = self.table();
        let entries = table.entries.iter();
        for entry in entries.filter(|entry| entry.removing.is_none()) {
            all.count(entry.kept.state, entry.rate());
        }
        all
    }

    /// Rings at each change; closed when the node stops.
    pub(crate) fn watch(&self) -> rt::Receiver<()> {
        let (ring, rung) = rt::bounded(1);
        let mut table = self.table();
        if !table.stopping {
            table.watchers.push(ring);
        }
        rung
    }

    /// Does something about a download, named by as much of its key as tells it from others. `None`: it is gone. May
    /// block.
    ///
    /// # Errors
    /// There is no such download, or nothing of that kind can be done about it.
    pub(crate) fn act(&self, id: &str, act: TransferAct) -> Result<Option<Transfer>, String> {
        let mut table = self.table();
        let key = named(&table, id)?;
        let entry = table.of_key(&key).expect("it was found");
        let discard = entry.act(act)?;
        if let Some(discard) = discard
            && entry.running.is_none()
        {
            let spec = entry.kept.spec.clone();
            let unfinished = entry.kept.state != TransferState::Done;
            table.entries.retain(|entry| entry.kept.spec.key != key);
            if discard && unfinished {
                work::discard(&spec);
            }
        }
        self.save(&mut table).map_err(|error| error.to_string())?;
        self.start_next(&mut table);
        // Whoever is told that it is gone finds nothing of it any more.
        let leaves = |table: &mut Table| {
            let entry = table.of_key(&key);
            entry.is_some_and(|entry| entry.removing.is_some())
        };
        let left = self.0.rested.wait_timeout_while(table, GONE_WAIT, leaves);
        let table = left.unwrap_or_else(PoisonError::into_inner).0;
        Ok(table.shown(&key, self.0.clock.now()))
    }

    /// Ends all that runs; it goes on when the node is started anew. Waits for it so long at most.
    pub(crate) fn stop(&self, wait: Duration) {
        let mut table = self.table();
        table.stopping = true;
        table.watchers.clear();
        for running in table
            .entries
            .iter()
            .filter_map(|entry| entry.running.as_ref())
        {
            running.cancel();
        }
        let busy = |table: &mut Table| table.running() > 0;
        // Later than that: partial files are safe at any instant.
        let _ = self.0.rested.wait_timeout_while(table, wait, busy);
    }

    /// Starts as many as may run.
    fn start_next(&self, table: &mut Table) {
        let Some(desk) = self.0.desk.get() else {
            return;
        };
        while !table.stopping && table.running() < RUNNING_MAX {
            // Two of one name would be one partial file.
            let running = table.entries.iter().filter(|entry| entry.running.is_some());
            let places: BTreeSet<_> = running.map(Entry::place).collect();
            let mut waits = table.entries.iter_mut();
            let fits = |entry: &&mut Entry| entry.may_start() && !places.contains(&entry.place());
            let Some(entry) = waits.find(fits) else {
                break;
            };
            let cancel = entry.start();
            work::start(self.clone(), desk.clone(), entry.kept.spec.clone(), cancel);
        }
        table.tell();
    }

    /// Starts one again later, unless somebody did something about it meanwhile.
    fn start_later(&self, key: String, span: Duration) {
        let weak = Arc::downgrade(&self.0);
        // Detached: it ends by itself, and holds nothing.
        rt::spawn(async move {
            rt::sleep(span).await;
            let Some(inner) = weak.upgrade() else { return };
            let transfers = Self(inner);
            let mut table = transfers.table();
            let now = transfers.0.clock.now();
            if table.of_key(&key).is_some_and(|entry| entry.is_due(now)) {
                transfers.start_next(&mut table);
            }
        });
    }

    fn save(&self, table: &mut Table) -> io::Result<()> {
        let finished = |entry: &Entry| entry.kept.state == TransferState::Done;
        let count = table.entries.iter().filter(|entry| finished(entry)).count();
        let mut extra = count.saturating_sub(FINISHED_KEPT);
        table.entries.retain(|entry| {
            let drop = extra > 0 && finished(entry);
            extra -= usize::from(drop);
            !drop
        });
        let Some(jobs) = &self.0.jobs else {
            return Ok(());
        };
        let stays = table
            .entries
            .iter()
            .filter(|entry| entry.removing.is_none());
        let kept: Vec<&Kept> = stays.map(|entry| &entry.kept).collect();
        jobs.save(&kept)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(spec: &TransferSpec) -> Result<(), String> {
    let letters = |key: &str| {
        key.bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
    };
    if spec.key.len() != 32 || !letters(&spec.key) {
        return Err("the key of a download has 32 lower-case letters and digits 2 to 7".to_owned());
    }
    if !Path::new(&spec.into).is_absolute() {
        return Err(format!("{:?} is no absolute path of a folder", spec.into));
    }
    if spec.urn.is_none() && spec.sources.is_empty() {
        return Err("neither a hash nor a source is known; search again".to_owned());
    }
    Ok(())
}

/// The key of the one download that `id` begins.
fn named(table: &Table, id: &str) -> Result<String, String> {
    let id = id.to_ascii_lowercase();
    let mut found = table
        .entries
        .iter()
        .filter(|entry| entry.removing.is_none())
        .map(|entry| &entry.kept.spec.key)
        .filter(|key| id.len() >= PREFIX_MIN && key.starts_with(&id));
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key.clone()),
        (Some(one), Some(other)) => Err(format!(
            "several downloads begin with {id}, such as {one} and {other}; give more of the right one"
        )),
        (None, _) => Err(format!(
            "no download has the id {id}; `filbert transfers list` shows them"
        )),
    }
}
