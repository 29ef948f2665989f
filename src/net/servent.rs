//! A whole node: port, node task, shares, control socket. For commands, and for other programs.
//!
//! Blocking on the outside, tasks within. See `examples/embed.rs`.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::asker::{self, Asker};
use super::awaited::Awaited;
use super::control;
use super::discovery::mapping;
use super::discovery::udp::{self, Datagrams};
use super::download::Turns;
use super::inbox::{Ask, Inbox};
use super::listen::{self, Door, Hall, Listen};
use super::news::{News, Newsroom};
use super::overlays::Overlay;
use super::partials::Partials;
use super::pusher::Pusher;
use super::replies::Replies;
use super::requests::Desk;
use super::rt::{self, Clock, Receiver, Sender};
use super::start::{
    bind_error, hold, keep_hosts, limits, look_around, map_port, open_datagrams, overlays,
    random_servent, save_hosts, serve, share, system_rng, tls, until_closed, watch_hostile,
};
use super::task::NodeTask;
use super::transfers::Transfers;
use crate::control::Request;
use crate::disk::store::{Home, HomeLock, LockError};
use crate::node::address::Net;
use crate::node::hosts::Remembered;
use crate::node::{Event, Node};
use crate::wire::ServentId;

pub use super::settings::{Also, Settings, StartError};

/// Leaving takes so long at most: each link's last word has its own deadlines below this.
const LEAVE_TIME: Duration = Duration::from_secs(5);

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

/// Answers commands at the control socket, if there is one, until `closed`.
fn hear_commands(control: Option<rt::UnixListener>, desk: &Arc<Desk>, closed: &Receiver<()>) {
    if let Some(listener) = control {
        let until = until_closed(closed.clone());
        // Detached: it ends when `closed` does.
        rt::spawn(control::serve(listener, desk.clone(), until));
    }
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
        let (open, closed) = rt::bounded::<()>(1);
        let limits = limits(&settings, &serving, &closed);
        let transfers = Transfers::open(kept, limits.downloads()).map_err(StartError::Transfers)?;
        // Last, as it is the only thing that a start that fails would leave behind.
        let control = home
            .as_ref()
            .map(|(home, _)| control::bind(home.socket()))
            .transpose()?;

        let (stop, stop_asked) = rt::bounded(1);
        let awaited = Arc::<Awaited>::default();
        let turns = addr.map(|addr| Turns::new(addr.port()));
        let hall = Hall {
            overlays: overlays.clone(),
            serving: serving.clone(),
            door: Arc::new(Door::new(clock)),
            awaited: awaited.clone(),
            turns: turns.clone(),
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
        watch_hostile(&settings, &overlays, &closed);
        let (opened, unmapped) = map_port(settings.map_port, addr, &newsroom, &closed).unzip();
        let desk = Arc::new(Desk {
            awaited,
            turns,
            finding,
            opened,
            limits,
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
        hear_commands(control, &desk, &closed);
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
