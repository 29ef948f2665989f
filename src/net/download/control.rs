//! Handles on a fetch that runs: more sources, pauses, limits, an end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Source;
use crate::net::rt::{self, Clock};
use crate::node::Time;
use crate::node::uploads::Person;
use crate::wire::Sha1;

/// Orders that wait for a fetch to look at them; more are refused.
const ORDERS_MAX: usize = 64;

/// Ends a fetch from elsewhere, such as from a signal. Clones end the same one.
#[derive(Clone, Debug)]
pub struct Cancel {
    open: rt::Sender<()>,
    closed: rt::Receiver<()>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    /// Not cancelled yet.
    pub fn new() -> Self {
        let (open, closed) = rt::bounded(1);
        Self { open, closed }
    }

    /// Ends the fetch soon; what has arrived is kept.
    pub fn cancel(&self) {
        self.open.close();
    }

    /// Whether it was.
    pub fn is_cancelled(&self) -> bool {
        self.open.is_closed()
    }

    pub(super) async fn wait(&self) {
        // Nothing is ever sent: this ends when the channel is closed.
        let _ = self.closed.recv().await;
    }
}

/// What a fetch is told while it runs.
#[derive(Debug)]
pub(super) enum Order {
    Add(Vec<Source>),
    Pause,
    Resume,
    Connections(usize),
}

/// Steers a fetch while it runs. Clones steer the same one; a new one steers a fetch once it is in its job.
#[derive(Clone, Debug)]
pub struct Control {
    orders: rt::Sender<Order>,
    pub(super) taken: rt::Receiver<Order>,
    pub(super) limit: Limit,
}

impl Default for Control {
    fn default() -> Self {
        let (orders, taken) = rt::bounded(ORDERS_MAX);
        Self {
            orders,
            taken,
            limit: Limit::default(),
        }
    }
}

impl Control {
    /// More sources for the file. `false`: too many orders wait; try again later.
    pub fn add_sources(&self, sources: Vec<Source>) -> bool {
        self.orders.try_send(Order::Add(sources)).is_ok()
    }

    /// Asks nobody until [`resume`](Self::resume); connections are closed. `false` as above.
    pub fn pause(&self) -> bool {
        self.orders.try_send(Order::Pause).is_ok()
    }

    /// Goes on. `false` as above.
    pub fn resume(&self) -> bool {
        self.orders.try_send(Order::Resume).is_ok()
    }

    /// Sources asked at a time. `false` as above.
    pub fn set_connections(&self, connections: usize) -> bool {
        self.orders
            .try_send(Order::Connections(connections))
            .is_ok()
    }

    /// Bytes a second from now on, all sources together; `None`: as fast as they come.
    pub fn set_limit(&self, bytes_per_s: Option<u64>) {
        self.limit.set(bytes_per_s);
    }
}

/// Holds readers back so that all of them together are no faster than they may be. Clones are the same limit, which
/// several fetches may share.
#[derive(Clone, Debug)]
pub struct Limit(Arc<Throttle>);

#[derive(Debug)]
struct Throttle {
    /// It does not count what comes from this network.
    line_only: bool,
    /// Bytes a second; 0: no limit.
    rate: AtomicU64,
    /// When the bytes read so far should have been there.
    due: Mutex<Time>,
    clock: Clock,
}

impl Default for Limit {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Limit {
    /// So many bytes a second; `None`: as fast as they come.
    pub fn new(bytes_per_s: Option<u64>) -> Self {
        let limit = Self::of(false);
        limit.set(bytes_per_s);
        limit
    }

    /// None yet, and never one on what comes from machines of this network
    /// ([`Person::uses_the_line`](crate::node::uploads::Person::uses_the_line)).
    pub(in crate::net) fn for_the_line() -> Self {
        Self::of(true)
    }

    fn of(line_only: bool) -> Self {
        Self(Arc::new(Throttle {
            line_only,
            rate: AtomicU64::new(0),
            due: Mutex::default(),
            clock: Clock::start(),
        }))
    }

    /// So many from now on.
    pub fn set(&self, bytes_per_s: Option<u64>) {
        let rate = bytes_per_s.map_or(0, |rate| rate.max(1));
        if self.0.rate.swap(rate, Ordering::Relaxed) != rate {
            // What was to be waited for at another rate is waited for by those who read it, and by nobody else.
            let mut due = self.0.due.lock().unwrap_or_else(PoisonError::into_inner);
            *due = self.0.clock.now().min(*due);
        }
    }

    fn is_on(&self) -> bool {
        self.0.rate.load(Ordering::Relaxed) > 0
    }

    /// How long to wait after `bytes` were read.
    fn took(&self, bytes: usize) -> Duration {
        let rate = self.0.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(rate);
        let span = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let now = self.0.clock.now();
        let mut due = self.0.due.lock().unwrap_or_else(PoisonError::into_inner);
        *due = now.max(*due).plus(span);
        due.since(now)
    }
}

/// All limits that hold for one fetch.
#[derive(Clone, Debug)]
pub(super) struct Limits(Vec<Limit>);

impl Limits {
    pub(super) fn new(all: impl IntoIterator<Item = Limit>) -> Self {
        Self(all.into_iter().collect())
    }

    /// Those that count what comes from there.
    pub(super) fn from(&self, peer: Option<SocketAddr>) -> Self {
        let near = peer.is_some_and(|peer| !Person::of(peer, None).uses_the_line());
        Self::new(
            self.0
                .iter()
                .filter(|limit| !(near && limit.0.line_only))
                .cloned(),
        )
    }

    pub(super) fn are_on(&self) -> bool {
        self.0.iter().any(Limit::is_on)
    }

    /// Waits until `bytes` that were read may be followed by others.
    pub(super) async fn took(&self, bytes: usize) {
        let wait = self.0.iter().map(|limit| limit.took(bytes)).max();
        let wait = wait.filter(|wait| !wait.is_zero());
        if let Some(wait) = wait {
            rt::sleep(wait).await;
        }
    }
}

/// Looks for more sources of a file; called on a thread that may wait, not more often than
/// [`REQUERY_WAIT`](super::REQUERY_WAIT), one call at a time.
#[derive(Clone)]
pub struct Requery {
    search: Arc<dyn Fn(Sha1) -> Vec<Source> + Send + Sync>,
    /// Also when nobody is left.
    pub(super) at_the_end: bool,
}

impl Requery {
    /// Calls `search`.
    pub fn new(search: impl Fn(Sha1) -> Vec<Source> + Send + Sync + 'static) -> Self {
        Self {
            search: Arc::new(search),
            at_the_end: true,
        }
    }

    /// Calls it only while sources are there: whoever fetches looks for others when none is left.
    #[must_use]
    pub fn meanwhile(self) -> Self {
        Self {
            at_the_end: false,
            ..self
        }
    }

    pub(super) fn search(&self, urn: Sha1) -> Vec<Source> {
        (self.search)(urn)
    }
}

impl fmt::Debug for Requery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requery")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_shares_a_limit_waits_for_the_bytes_of_all() {
        let limit = Limit::new(Some(1_000));
        let first = limit.took(1_000);
        let second = limit.clone().took(1_000);
        assert!(first <= Duration::from_secs(1), "{first:?}");
        // What passed meanwhile is taken off.
        let both = Duration::from_secs(2);
        assert!(second > first && second <= both, "{second:?}");
        limit.set(None);
        assert_eq!(limit.took(1_000_000), Duration::ZERO);
        // Nobody waits now for what others read at night.
        limit.set(Some(1));
        assert!(limit.took(100_000) > Duration::from_secs(90_000));
        limit.set(Some(1_000_000));
        assert!(limit.took(1_000) <= Duration::from_secs(1));
    }

    #[test]
    fn a_limit_of_the_line_does_not_count_this_network() {
        let line = Limit::for_the_line();
        line.set(Some(1_000));
        let all = Limits::new([line]);
        for (peer, counts) in [
            ("192.168.1.7:6346", false),
            ("[fe80::1]:6346", false),
            ("127.0.0.1:6346", true),
            ("203.0.113.7:6346", true),
        ] {
            let peer = peer.parse().ok();
            assert_eq!(all.from(peer).are_on(), counts, "{peer:?}");
        }
        let own = Limits::new([Limit::new(Some(1_000))]);
        assert!(own.from("192.168.1.7:6346".parse().ok()).are_on());
    }
}
