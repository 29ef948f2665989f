//! Connections that others asked us to open: to offer a file (GIV), to say that a turn has come (QUEUE), or to knock at a
//! door.
//!
//! Where to, and how often, the core has decided.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::conn::Stream;
use super::rt::{self, TcpStream};
use super::tls::Tls;
use super::upload::{self, Serving};
use crate::node::uploads;
use crate::wire::ServentId;
use crate::wire::giv::Giv;
use crate::wire::queue::Queue;

/// Time for a connection that somebody else wants.
const CONNECT_TIME: Duration = Duration::from_secs(10);

async fn connect(addr: SocketAddr, first: &[u8], tls: Option<&Tls>) -> Option<Stream> {
    let open = async {
        let socket = TcpStream::connect(addr).await.ok()?;
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(tls) => match tls.connect(socket).await {
                Ok(stream) => stream,
                Err(error) => {
                    log::debug!("{addr}: TLS: {error}; once more without");
                    Stream::Plain(TcpStream::connect(addr).await.ok()?)
                }
            },
        };
        stream.send(first).await.ok()?;
        Some(stream)
    };
    let stream = rt::timeout(CONNECT_TIME, open).await.ok().flatten();
    if stream.is_none() {
        log::debug!("{addr} asked to be called back, but cannot be reached");
    }
    stream
}

/// Connects to somebody who sent a push, says who is there, and serves what is asked on this connection. `tls`: the
/// asker said that it takes TLS there.
pub(crate) async fn give(
    addr: SocketAddr,
    index: u32,
    tls: Option<Tls>,
    id: ServentId,
    serving: Arc<Serving>,
) {
    let giv = Giv { index, servent: id }.to_string();
    if let Some(stream) = connect(addr, giv.as_bytes(), tls.as_ref()).await {
        upload::serve(stream, addr, Vec::new(), serving).await;
    }
}

/// Connects to somebody whose turn has come in our queue, and says so. `None`: it cannot be reached.
pub(crate) async fn turn(addr: SocketAddr, id: u64, listen: SocketAddr) -> Option<Stream> {
    let open = async {
        let stream = Stream::Plain(TcpStream::connect(addr).await.ok()?);
        let mut server = listen;
        if server.ip().is_unspecified() {
            server.set_ip(stream.local_addr().ok()?.ip().to_canonical());
        }
        let id = uploads::shown_id(id);
        stream
            .send(Queue { id, server }.to_string().as_bytes())
            .await
            .ok()?;
        Some(stream)
    };
    let stream = rt::timeout(CONNECT_TIME, open).await.ok().flatten();
    if stream.is_none() {
        log::debug!("{addr} waits in our queue, but cannot be reached");
    }
    stream
}

/// Lets a neighbour know that it can be reached: two line feeds, and gone.
pub(crate) async fn knock(addr: SocketAddr) {
    connect(addr, b"\n\n", None).await;
}
