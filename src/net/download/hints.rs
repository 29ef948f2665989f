//! What an answer says beside its body: queues, other sources, ranges, trees.
//!
//! All of it is hearsay of a stranger: bounded here, judged by whoever uses it.

use std::net::SocketAddr;

use crate::net::http;
use crate::net::partials::available_of;
use crate::node::swarm::Ranges;
use crate::wire::alt::{self, Walled};
use crate::wire::heads::Head;

/// Other sources taken from one answer; gtk-gnutella names 20 at most.
const ALTS_MAX: usize = 20;
/// Push proxies of one source that it names itself.
const PROXIES_MAX: usize = 8;
/// Bytes of a queue's id; gtk-gnutella's has 32 characters.
const QUEUE_ID_MAX: usize = 256;
/// Bytes of the path of a tree.
const THEX_URI_MAX: usize = 1_000;

/// A place in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// What to show when asking again.
    pub(super) id: Option<String>,
    /// From 1.
    pub(super) position: Option<u32>,
    /// Clients in the queue.
    pub(super) length: Option<u32>,
    /// Seconds until it is our turn, as it thinks.
    pub(super) eta_s: Option<u32>,
    /// Seconds before which it must not be asked again.
    pub(super) poll_after_s: Option<u32>,
}

/// All that an answer says beside its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) queue: Option<Place>,
    pub(super) retry_after_s: Option<u32>,
    pub(super) alts: Vec<alt::Open>,
    pub(super) walled_alts: Vec<Walled>,
    pub(super) available: Option<Ranges>,
    pub(super) push_proxies: Vec<SocketAddr>,
    /// When its copy was last changed, in seconds since 1970.
    pub(super) modified_s: Option<u64>,
    /// Where its tree can be had, and the root it names.
    pub(super) thex: Option<(String, Option<String>)>,
}

impl Hints {
    /// Reads a head.
    pub(super) fn of(head: &Head) -> Self {
        let proxies = ["X-Push-Proxy", "X-Push-Proxies", "X-Pushproxies"];
        let proxies = proxies.into_iter().flat_map(|name| head.list(name));
        Self {
            queue: queue(head),
            retry_after_s: seconds(head.get("Retry-After")),
            alts: alt::open_all(head.list("X-Alt")).take(ALTS_MAX).collect(),
            walled_alts: head
                .list("X-FAlt")
                .filter_map(Walled::parse)
                .take(ALTS_MAX)
                .collect(),
            available: available_of(head),
            push_proxies: proxies.filter_map(alt::open).take(PROXIES_MAX).collect(),
            modified_s: head.get("Last-Modified").and_then(http::date_read),
            thex: head.get("X-Thex-URI").and_then(thex),
        }
    }
}

fn seconds(text: Option<&str>) -> Option<u32> {
    text?.trim().parse().ok()
}

/// PARQ (`X-Queued: ID=..; position=N; ...`) or the older kind (`X-Queue: position=N, pollMin=S, ...`).
fn queue(head: &Head) -> Option<Place> {
    let mut place = Place::default();
    let text = head.get("X-Queued").or_else(|| head.get("X-Queue"))?;
    for part in text.split([';', ',']) {
        let Some((key, value)) = part.split_once('=') else {
            continue;
        };
        let value = value.trim();
        let number = || value.parse().ok();
        match key.trim().to_ascii_lowercase().as_str() {
            "id" if value.len() <= QUEUE_ID_MAX => place.id = Some(value.to_owned()),
            "position" => place.position = number(),
            "length" => place.length = number(),
            "eta" => place.eta_s = number(),
            "pollmin" => place.poll_after_s = number(),
            _ => {}
        }
    }
    // A version alone is no place.
    if place.id.is_none() && place.position.is_none() {
        return None;
    }
    place.poll_after_s = seconds(head.get("Retry-After")).or(place.poll_after_s);
    Some(place)
}

/// `/uri-res/N2X?urn:sha1:..;ROOT`: a path of the same host.
fn thex(text: &str) -> Option<(String, Option<String>)> {
    let (uri, root) = match text.rsplit_once(';') {
        Some((uri, root)) => (uri.trim(), Some(root.trim().to_owned())),
        None => (text.trim(), None),
    };
    let fits = uri.starts_with('/') && !uri.starts_with("//") && uri.len() <= THEX_URI_MAX;
    (fits && !uri.contains(char::is_whitespace)).then(|| (uri.to_owned(), root))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(lines: &str) -> Hints {
        let head = format!("HTTP/1.1 503 Busy\r\n{lines}\r\n\r\n");
        Hints::of(&Head::parse(head.as_bytes()).unwrap())
    }

    #[test]
    fn both_kinds_of_queues_are_read() {
        let parq = hints(
            "X-Queued: ID=ab12; position=3; lifetime=120; length=9; ETA=700\r\nRetry-After: 63",
        );
        let place = Place {
            id: Some("ab12".into()),
            position: Some(3),
            length: Some(9),
            eta_s: Some(700),
            poll_after_s: Some(63),
        };
        assert_eq!(parq.queue, Some(place));
        let old = hints("X-Queue: position=2,length=5,limit=4,pollMin=45,pollMax=120")
            .queue
            .unwrap();
        assert_eq!(
            (old.position, old.poll_after_s, old.id),
            (Some(2), Some(45), None)
        );
        assert_eq!(hints("X-Queue: 1.1").queue, None);
        assert_eq!(hints("X-Queued: nonsense").queue, None);
    }

    #[test]
    fn other_sources_are_read_and_bounded() {
        let read = hints("X-Alt: tls=80, 192.0.2.1, 192.0.2.2:77,nonsense, [2001:db8::1]:5");
        let alts: Vec<_> = read.alts.iter().map(|alt| alt.addr.to_string()).collect();
        assert_eq!(alts, ["192.0.2.1:6346", "192.0.2.2:77", "[2001:db8::1]:5"]);
        let tls: Vec<_> = read.alts.iter().map(|alt| alt.tls).collect();
        assert_eq!(tls, [true, false, false]);
        let many = format!("X-Alt: {}", "192.0.2.1:1,".repeat(500));
        assert_eq!(hints(&many).alts.len(), ALTS_MAX);
        let hex = "0f0e0d0c0b0a09080706050403020100";
        let read = hints(&format!(
            "X-FAlt: {hex};fwt/1;80:192.0.2.9;192.0.2.3:7, short;192.0.2.3:7"
        ));
        assert_eq!(read.walled_alts.len(), 1);
        assert_eq!(
            read.walled_alts[0].proxies,
            ["192.0.2.3:7".parse().unwrap()]
        );
    }

    #[test]
    fn ranges_and_trees_are_read() {
        let read = hints(
            "X-Available-Ranges: bytes 0-9,20-29, 5-2,x-y, 18446744073709551615-18446744073709551615",
        );
        let ranges: Vec<_> = read.available.unwrap().iter().cloned().collect();
        assert_eq!(ranges, [0..10, 20..30]);
        assert!(
            hints("X-Available-Ranges: bytes")
                .available
                .unwrap()
                .is_empty()
        );
        let thex = hints("X-Thex-URI: /uri-res/N2X?urn:sha1:AAAA;BBBB").thex;
        assert_eq!(
            thex,
            Some(("/uri-res/N2X?urn:sha1:AAAA".into(), Some("BBBB".into())))
        );
        for bad in ["http://192.0.2.1/x;A", "//192.0.2.1/x;A", "/a b;A"] {
            assert_eq!(hints(&format!("X-Thex-URI: {bad}")).thex, None, "{bad}");
        }
    }
}
