//! Every bound and interval of the core, with its unit and origin, and the settings of a node.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::address::Net;
use super::event::Role;
use super::greet::Encryption;
use super::hostile::Hostile;
use super::strategy::Forward;

const fn nonzero(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("not zero")
}

/// Links a node looks for by itself. Issue default; at 4 a random graph of any size we may meet is connected.
pub const MIN_LINKS: usize = 4;
/// Links a node accepts.
pub const MAX_LINKS: usize = 16;
/// Leaves an ultrapeer accepts (LimeWire: 30).
pub const LEAVES_MAX: usize = 30;
/// Ultrapeers a leaf looks for (gtk-gnutella 4, LimeWire 3).
pub const LEAF_MIN_LINKS: usize = 3;
/// Ultrapeers a leaf accepts.
pub const LEAF_MAX_LINKS: usize = 4;
/// Ultrapeers that an ultrapeer looks for.
pub const ULTRAPEER_MIN_LINKS: usize = 10;
/// Ultrapeers that an ultrapeer accepts: what it says in `X-Degree`.
pub const ULTRAPEER_MAX_LINKS: usize = 32;
/// A leaf whose role is left to the network has been up for so long when it becomes an ultrapeer (gtk-gnutella).
pub const PROMOTION_UPTIME: Duration = Duration::from_mins(60);
/// From one change of role to the next (gtk-gnutella).
pub const ROLE_GAP: Duration = Duration::from_mins(30);
/// An ultrapeer whose role is left to the network becomes a leaf when it had no leaves for so long (gtk-gnutella).
pub const LEAFLESS_MAX: Duration = Duration::from_mins(60);
/// Of its places for ultrapeers, the share in percent from which on an ultrapeer asks those that come to be leaves, as
/// long as it has places for leaves. Our estimate: the rest is for those that cannot be.
pub const GUIDE_ABOVE_PERCENT: usize = 75;
/// Bytes a second that an ultrapeer must be allowed to send, where there is a limit. Our estimate: 30 leaves and 32
/// ultrapeers at half a kilobyte each.
pub const ULTRAPEER_UPLOAD_MIN: u64 = 32 * 1024;
/// Highest hops + TTL on the live network, and the TTL of our queries there.
pub const LIVE_TTL_MAX: u8 = 4;
/// TTL of our own queries. gtk-gnutella sends 4; with 4 links it covers some 160 nodes.
pub const TTL: u8 = 4;
/// Highest hops + TTL a relayed query may keep; more is trimmed. The old documents' 7.
pub const TTL_MAX: u8 = 7;
/// TTL + hops above which a query is dropped outright (gtk-gnutella's hard limit).
pub const TTL_HARD_MAX: u8 = 15;
/// Message ids remembered, with their way back. At 5 queries/s from each of 16 links this covers 800 s,
/// longer than any hit takes. Our estimate.
pub const SEEN_CACHE: NonZeroUsize = nonzero(65_536);
/// How long the way back of a query is kept (overlay routing tables: 10 minutes).
pub const ROUTE_LIFE: Duration = Duration::from_mins(10);
/// Servent ids remembered as way for pushes.
pub const PUSH_ROUTES_MAX: NonZeroUsize = nonzero(8_192);
/// Addresses in the book: the places of both its tables.
pub const HOSTS_MAX: NonZeroUsize = nonzero(2_560);
/// Addresses taken from one `X-Try` list.
pub const TRY_PEERS_MAX: usize = 20;
/// New addresses taken from the pongs of one neighbour of the live network in [`PONG_ADDRESSES_SPAN`]
/// (bootstrap.md section 7).
pub const PONG_ADDRESSES_MAX: u16 = 100;
/// See [`PONG_ADDRESSES_MAX`].
pub const PONG_ADDRESSES_SPAN: Duration = Duration::from_mins(60);
/// Addresses taken from one answer of a cache. Ours: as many as from the pongs of a neighbour in an hour.
pub const TOLD_MAX: usize = 100;
/// From one feeler to the next while links are enough (bootstrap.md section 7: 2 to 5 minutes).
pub const FEELER_GAP: Duration = Duration::from_secs(180);
/// From one change of a link that we opened to the next, at least; up to half as long again by chance (bootstrap.md
/// section 7: every few hours).
pub const ROTATION_GAP: Duration = Duration::from_mins(180);
/// A link that we opened is not given up for another before. Ours: a third of the time above.
pub const ROTATION_AGE: Duration = Duration::from_mins(60);
/// From one link that gives way to a newcomer of its role to the next. Ours: whoever can force that can force this much.
pub const EVICTION_GAP: Duration = Duration::from_secs(60);
/// One in so many places is spared for each merit when a link must give way (Bitcoin Core: 4 to 8 of 125; ours are few).
pub const SPARED_SHARE: usize = 8;
/// A link that brought no hit in this time may give way to one that is no better ...
pub const EVICTION_IDLE: Duration = Duration::from_mins(60);
/// ... and one of those in this time. Ours: 30 leaves that bring nothing are exchanged within 15 hours at the soonest.
pub const EVICTION_IDLE_GAP: Duration = Duration::from_mins(30);
/// One in so many accepted links may be of one network (bootstrap.md section 7: 25 %).
pub const GROUP_SHARE: usize = 4;
/// Addresses given in `X-Try-Ultrapeers` (gtk-gnutella gives up to 10).
pub const TRY_PEERS_GIVEN: usize = 10;
/// Pongs kept for answers.
pub const PONGS_MAX: usize = 64;
/// Pongs in answer to one ping (overlay: at most 10).
pub const PONGS_PER_PING: usize = 10;
/// A pong is believed this long.
pub const PONG_LIFE: Duration = Duration::from_mins(2);
/// A ping of TTL 2 and more from one link is answered at most this often (gtk-gnutella: 3 s from ultrapeers).
pub const PING_INTERVAL_MIN: Duration = Duration::from_secs(3);
/// How often each link gets a ping of ours, a second below the 15 s that a neighbour may count on
/// (gtk-gnutella counts silences of 20 s and forgets none of them).
pub const KEEPALIVE: Duration = Duration::from_secs(14);
/// A link that said nothing for so long is closed (Bye 405): four of its keep-alives.
pub const SILENCE_MAX: Duration = Duration::from_secs(65);
/// A link whose send queue was never empty enough for so long is closed (Bye 405): nothing it asks is answered
/// (gtk-gnutella: 180 s).
pub const PRESSED_MAX: Duration = Duration::from_secs(180);
/// Dials under way at a time.
pub const DIALS_MAX: usize = 8;
/// Calls a second on the live network, with a burst of [`DIALS_MAX`] (bootstrap.md section 8): a book full of addresses
/// that refuse at once is no means to have us knock at hundreds of doors.
pub const DIAL_RATE: u64 = 4;
/// First wait before a failed address is tried again; doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_secs(5);
/// First wait before an address is called again that answered the last call, whether with a link or a refusal:
/// gtk-gnutella bans an address for five minutes at its third connection within one. Doubles like the other.
pub const CALL_GAP: Duration = Duration::from_secs(30);
/// Wait before an address of the live network is called again that refused us with 403 (bootstrap.md section 8).
pub const FORBIDDEN_GAP: Duration = Duration::from_mins(60);
/// Longest wait before a failed address is tried again, but for that one.
pub const BACKOFF_MAX: Duration = Duration::from_mins(10);
/// Hits of our own answered to one query (gtk-gnutella: 150 at most; it shows 50).
pub const HITS_PER_QUERY: usize = 150;
/// Files looked at for one query that wants some kinds only. Our estimate: what an index yields in a millisecond.
pub const LOOKED_AT_PER_QUERY: usize = 2_000;
/// Hops from which on we answer a query of the live network with half as many results for each hop more.
pub const HOPS_NEAR: u8 = 2;
/// Records in one hit frame (gtk-gnutella: 10).
pub const RECORDS_PER_HIT: usize = 10;
/// Payload bytes of one hit frame of ours (gtk-gnutella flushes at 2016).
pub const HIT_BYTES: usize = 2_016;
/// Hit frames passed on for one query; more are dropped.
pub const HIT_FRAMES_PER_QUERY: u16 = 2_000;
/// Searches of ours at a time.
pub const SEARCHES_MAX: usize = 64;
/// Offences of one kind (malformed, TTL 0...) after which a link is closed. Half are forgiven with each keep-alive.
pub const OFFENCES_MAX: u32 = 100;
/// The same for TTLs above the hard limit on frames from nearby (gtk-gnutella: 10).
pub const TTL_HIGH_OFFENCES_MAX: u32 = 10;
/// Ids that one neighbour may send again without a higher TTL (gtk-gnutella: 5) ...
pub const REPEATS_MIN: u64 = 5;
/// ... or one in so many of its frames, when that is more (gtk-gnutella: 1.5 %).
pub const REPEATS_ONE_IN: u64 = 66;
/// Rounds of one search by rings.
pub const RING_ROUNDS_MAX: usize = 16;
/// Wait for the answers of a ring, for each hop of its TTL, on the live network (Fisk: 2.4 s) ...
pub const RING_WAIT_PER_HOP: Duration = Duration::from_millis(2_400);
/// ... and among equals, whose links are those of one network or of a laboratory. Our estimate.
pub const RING_WAIT_PER_HOP_FLAT: Duration = Duration::from_millis(300);
/// Results after which rings and walkers stop unless told otherwise: on a LAN people see them all at once.
pub const WANTED: u16 = 50;
/// The same for an ultrapeer's own searches (Fisk: 150).
pub const WANTED_LIVE: u16 = 150;
/// Walkers of one search (Lv and others: 16 to 64 are enough).
pub const WALKERS_MAX: u8 = 64;
/// Steps after which a walker of somebody else ends, unless the cap on TTLs is lifted (the lab).
pub const WALK_STEPS_MAX: u8 = 128;
/// Walkers that wait here for their asker's word.
pub const WALKERS_HELD_MAX: usize = 256;
/// How long a walker waits before it asks for that word: what its last steps found is told to the asker meanwhile,
/// so that nobody walks on in vain. Some round trips among equals.
pub const WALKER_PAUSE: Duration = Duration::from_millis(50);
/// How long a walker waits for the word, then it ends.
pub const WALKER_PATIENCE: Duration = Duration::from_secs(10);
/// Hits that wait here until their asker says by datagram that it wants them; the oldest go first. With 10 records of
/// a quarter of a kilobyte each this is at most 640 KiB.
pub const OFFERS_MAX: usize = 256;
/// Of those, for one query of the live network: all that is answered to one, ten at a time.
pub const OFFERS_PER_QUERY: usize = HITS_PER_QUERY / RECORDS_PER_HIT;
/// Of those, for one host of the live network: four such queries. The hits of more go the way that the query came.
pub const OFFERS_PER_ASKER: usize = 4 * OFFERS_PER_QUERY;
/// Hops of a query of the live network from which on its asker gets our hits straight: a neighbour has us at hand
/// (gtk-gnutella).
pub const OUT_OF_BAND_HOPS_MIN: u8 = 1;
/// Bytes of a hit that goes so on the live network (overlay, "Size policy": 500 to 1,200).
pub const OUT_OF_BAND_BYTES: usize = 1_200;
/// How long they wait (gtk-gnutella: 80 s).
pub const OFFER_LIFE: Duration = Duration::from_secs(80);
/// Hits that others announced to us by datagram and were asked for. Our estimate: as many nodes as a search may find.
pub const EXPECTED_MAX: usize = 512;
/// How long they are taken: gtk-gnutella sends a small one every 5 s, up to 50.
pub const EXPECTED_LIFE: Duration = Duration::from_mins(5);
/// Of those, by one host of the live network. Our estimate: a few nodes behind one address, with a few searches of ours.
pub const EXPECTED_PER_PARTY: usize = 16;
/// Bytes a second by datagram to an address that somebody else named, in questions about walkers and in announcements
/// of hits: some 250 of them, which 64 walkers at one node come to.
pub const SPOKEN_TO_RATE: u64 = 8 * 1024;
/// The same on the live network, where there are no walkers: some ten announcements, with a burst of four seconds.
pub const SPOKEN_TO_RATE_LIVE: u64 = 512;
/// Such addresses at a time.
pub const SPOKEN_TO_MAX: usize = 1024;
/// Push proxies of one servent that a push goes to by datagram (LimeWire names 4).
pub const PROXIES_TOLD_MAX: usize = 4;
/// Steps between two questions to their asker up to which walkers are answered by datagram: one that asks no sooner
/// would lead many nodes to an address that may be forged. Its hits go back the way it came.
pub const WALK_CHECK_MAX: u8 = 8;
/// Bytes queued for one link before frames are shed.
pub const SEND_QUEUE_BYTES: usize = 256 * 1024;
/// A link with more queued than this is pressed: its queries are not taken in, as their answers could not be sent
/// (gtk-gnutella: half of the queue) ...
pub const QUEUE_HIGH_BYTES: usize = SEND_QUEUE_BYTES / 2;
/// ... until no more than this is queued (gtk-gnutella: a quarter).
pub const QUEUE_LOW_BYTES: usize = SEND_QUEUE_BYTES / 4;
/// Default for `--limit-search`: bytes a second on one link, each way, hits and routing tables aside.
pub const SEARCH_RATE: u64 = 64 * 1024;

/// Bytes a second of our own hits on one link, as a multiple of the search rate: one query of some 30 bytes
/// may rightly be answered with kilobytes.
pub const HIT_RATE_FACTOR: u64 = 16;

/// The settings of one node.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch, on its own"
)]
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is part of.
    pub net: Net,
    /// Its place on the live network; on a LAN all are equal.
    pub role: Role,
    /// That place is left to the network: `role` is where it begins.
    pub auto_role: bool,
    /// Leaves an ultrapeer accepts.
    pub max_leaves: usize,
    /// Where we say that we listen. With an unspecified address each link is told its own socket's address.
    /// `None`: we accept nothing (a short-lived client).
    pub listen: Option<SocketAddr>,
    /// Name shown to people in hits, at most 32 bytes; empty for none.
    pub name: String,
    /// Bytes a second this node may send in all, as far as that is known. Only read to choose a role.
    pub upload: Option<u64>,
    /// Addresses that nothing is had to do with.
    pub hostile: Arc<Hostile>,
    /// Addresses that a link is kept to, before any others and even when `min_links` is 0.
    pub keep: Vec<SocketAddr>,
    /// Links looked for; 0: none but those asked for.
    pub min_links: usize,
    /// Links accepted.
    pub max_links: usize,
    /// TTL of our own queries.
    pub ttl: u8,
    /// Highest hops + TTL; 255 lifts the cap (the lab).
    pub ttl_max: u8,
    /// Message ids remembered.
    pub seen_cache: NonZeroUsize,
    /// Let a repeat of an id with a higher TTL than any seen pass again (`X-Ext-Probes`).
    pub ext_probes: bool,
    /// How floods are passed on.
    pub forward: Forward,
    /// Bytes a second on one link, each way, hits and routing tables aside; `None`: no limit.
    pub limit_search: Option<u64>,
    /// The shell sends and receives datagrams at the listening port: walkers can be asked about.
    pub datagrams: bool,
    /// Searches on the live network may say where this node is, so that hits come straight.
    pub direct_hits: bool,
    /// Keep links alive and watch for silence. Off only in simulations of pure routing.
    pub keepalive: bool,
    /// What is done about TLS. Offered on the live network; on a LAN only given to who asks.
    pub encryption: Encryption,
}

impl Config {
    /// Does the node tell of its TLS where it tells of its address? On a LAN nobody would make use of it.
    pub(crate) fn says_tls(&self) -> bool {
        match self.encryption {
            Encryption::Never => false,
            Encryption::Accepted => self.net.is_two_tier(),
            Encryption::Offered => true,
        }
    }

    /// The settings for the live network when the place there is left to it: a leaf at first.
    pub fn live_auto() -> Self {
        Self {
            auto_role: true,
            ..Self::live(Role::Leaf)
        }
    }

    /// The settings for a place on the live network.
    pub fn live(role: Role) -> Self {
        let (min_links, max_links) = links_of(role);
        Self {
            net: Net::Gnutella,
            role,
            min_links,
            max_links,
            ttl: LIVE_TTL_MAX,
            ttl_max: LIVE_TTL_MAX,
            ext_probes: true,
            encryption: Encryption::Offered,
            ..Self::default()
        }
    }
}

/// Bytes a second by datagram to an address that somebody else named.
pub(super) fn spoken_to_rate(net: Net) -> u64 {
    match net {
        Net::Gnutella => SPOKEN_TO_RATE_LIVE,
        Net::Lan | Net::Rehearsal => SPOKEN_TO_RATE,
    }
}

/// Links that a node of the live network looks for, and accepts from ultrapeers.
pub(super) fn links_of(role: Role) -> (usize, usize) {
    match role {
        Role::Leaf => (LEAF_MIN_LINKS, LEAF_MAX_LINKS),
        Role::Ultrapeer => (ULTRAPEER_MIN_LINKS, ULTRAPEER_MAX_LINKS),
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            net: Net::Lan,
            role: Role::Ultrapeer,
            auto_role: false,
            upload: None,
            hostile: Arc::default(),
            max_leaves: LEAVES_MAX,
            listen: None,
            name: String::new(),
            keep: Vec::new(),
            min_links: MIN_LINKS,
            max_links: MAX_LINKS,
            ttl: TTL,
            ttl_max: TTL_MAX,
            seen_cache: SEEN_CACHE,
            ext_probes: false,
            forward: Forward::Flood,
            limit_search: Some(SEARCH_RATE),
            datagrams: false,
            direct_hits: true,
            keepalive: true,
            encryption: Encryption::Accepted,
        }
    }
}
