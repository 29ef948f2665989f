//! What is asked of a push proxy over HTTP: that it hand a push to a neighbour nobody can connect to.
//!
//! `GET /gnutella/push-proxy?ServerId=<26 base32>` or `/gnet/push-proxy?guid=<32 hex>`, with `X-Node` saying where the
//! neighbour is to connect. Whether that is done the core decides. Source: content, "Push proxy".

use std::net::SocketAddr;

use super::inbox::Handle;
use super::overlays::Overlays;
use super::upload_reply::{self, Reply};
use crate::node::event::{Command, Notice, Passed, PassedPush};
use crate::wire::ServentId;

/// Paths of such requests, as programs write them.
const PATHS: [&str; 4] = [
    "/gnutella/push-proxy",
    "/gnutella/pushproxy",
    "/gnet/push-proxy",
    "/gnet/pushproxy",
];

/// One request: who is to connect, which file it is to offer, and whether over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    servent: ServentId,
    index: u32,
    tls: bool,
}

/// Is this the path of such a request?
pub(super) fn is_path(path: &str) -> bool {
    PATHS.iter().any(|known| path.eq_ignore_ascii_case(known))
}

impl Wanted {
    /// Reads what follows the question mark. `None`: it names no servent.
    pub(super) fn of_query(query: &str) -> Option<Self> {
        let (mut servent, mut index, mut tls) = (None, 0, false);
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            if key.eq_ignore_ascii_case("ServerId") || key.eq_ignore_ascii_case("guid") {
                servent = ServentId::from_base32(value).or_else(|| ServentId::from_hex(value));
            } else if key.eq_ignore_ascii_case("file") {
                index = value.parse().unwrap_or(0);
            } else if key.eq_ignore_ascii_case("tls") {
                tls = value.eq_ignore_ascii_case("true");
            }
        }
        Some(Self {
            servent: servent?,
            index,
            tls,
        })
    }
}

/// Answers one request of `asker`. `node`: its `X-Node`.
pub(super) async fn answer(
    wanted: Wanted,
    node: Option<&str>,
    asker: SocketAddr,
    overlays: &Overlays,
) -> Reply {
    let refuse = |text: &str| upload_reply::error(400, text).may_go_on();
    let Some(to) = node.and_then(|node| node.trim().parse().ok()) else {
        return refuse("X-Node must say IP:PORT, where the connection is awaited");
    };
    let push = PassedPush {
        servent: wanted.servent,
        index: wanted.index,
        to,
        tls: wanted.tls,
        asker,
        id: None,
    };
    // Only to neighbours of the net that the asker is on.
    let mut outcome = None;
    for overlay in overlays.of(asker.ip()) {
        outcome = passed(push, &overlay.handle).await;
        if outcome != Some(Passed::Unknown) {
            break;
        }
    }
    match outcome {
        Some(Passed::Sent) => upload_reply::text(202, "the push was sent"),
        Some(Passed::Unknown) => {
            upload_reply::error(410, "no neighbour of this node has this id").may_go_on()
        }
        Some(Passed::NotYours) => refuse("X-Node must be your own address, and a port of a node"),
        Some(Passed::TooOften { again_s }) => {
            upload_reply::error(503, "too many pushes in a minute").retry_after(again_s)
        }
        None => upload_reply::error(503, "this node is stopping"),
    }
}

async fn passed(push: PassedPush, handle: &Handle) -> Option<Passed> {
    let notices = handle.command(Command::PassPush(push)).await.ok()?;
    while let Some(notice) = notices.next().await {
        if let Notice::Passed(passed) = notice {
            return Some(passed);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_programs_name_the_same_servent() {
        // The example of the reference.
        let servent = ServentId::from_hex("f0e1d2c3b4a5968778695a4b3c2d1e0f").unwrap();
        let bare = Wanted {
            servent,
            index: 0,
            tls: false,
        };
        assert_eq!(servent.to_base32(), "6DQ5FQ5UUWLIO6DJLJFTYLI6B4");
        for query in [
            "ServerId=6DQ5FQ5UUWLIO6DJLJFTYLI6B4",
            "serverid=6dq5fq5uuwlio6djljftyli6b4",
            "guid=F0E1D2C3B4A5968778695A4B3C2D1E0F&x&y=",
            "ServerId=f0e1d2c3b4a5968778695a4b3c2d1e0f",
        ] {
            assert_eq!(Wanted::of_query(query), Some(bare), "{query}");
        }
        let more = "ServerId=6DQ5FQ5UUWLIO6DJLJFTYLI6B4&file=7&tls=true";
        let full = Wanted {
            index: 7,
            tls: true,
            ..bare
        };
        assert_eq!(Wanted::of_query(more), Some(full));
        for query in [
            "",
            "ServerId",
            "ServerId=",
            "ServerId=6DQ5FQ5UUWLIO6DJLJFTYLI6B",
            "guid=f0e1d2c3b4a5968778695a4b3c2d1e0",
            "id=6DQ5FQ5UUWLIO6DJLJFTYLI6B4",
        ] {
            assert_eq!(Wanted::of_query(query), None, "{query}");
        }
        assert!(is_path("/gnutella/Push-Proxy") && !is_path("/gnutella/push-proxy/x"));
    }
}
