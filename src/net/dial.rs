//! Calls a peer: connect with a deadline, greet.

use std::net::SocketAddr;
use std::time::Duration;

use super::greeting::{self, CallError, Greeting};
use super::link::Connected;
use super::rt::{self, TcpStream};
use crate::node::event::{DialError, Peer};
use crate::node::greet::{Encryption, Me};

/// A connection that takes longer is given up. Our choice: three SYNs of Linux take 7 s.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Dials and greets.
///
/// # Errors
/// Why there is no link; the core decides what that means for the address.
pub(crate) async fn dial(
    addr: SocketAddr,
    greeting: &Greeting,
) -> Result<(Box<Peer>, Connected), DialError> {
    match once(addr, greeting.me(), greeting).await {
        Ok(link) => Ok(link),
        Err(CallError::Dial(error)) => Err(error),
        // Some agree to TLS and have none that is still thought safe: better a link in clear than none. Whoever could
        // force this could as well strike the offer out.
        Err(CallError::Upgrade(error)) => {
            log::debug!("{addr}: TLS: {error}; once more without");
            let me = Me {
                encryption: Encryption::Never,
                ..greeting.me()
            };
            let again = once(addr, me, greeting).await;
            again.map_err(|error| match error {
                CallError::Dial(error) => error,
                CallError::Upgrade(_) => DialError::NotGnutella,
            })
        }
    }
}

async fn once(
    addr: SocketAddr,
    me: Me,
    greeting: &Greeting,
) -> Result<(Box<Peer>, Connected), CallError> {
    let socket = rt::timeout(CONNECT_TIME, TcpStream::connect(addr))
        .await
        .map_err(|_| DialError::Unreachable)?
        .map_err(|_| DialError::Unreachable)?;
    // Queries and hits are small and should not wait for each other. Refused: it is only slower.
    let _ = socket.set_nodelay(true);
    greeting::call(
        socket,
        addr,
        me,
        greeting.steps_down(),
        greeting.tls.as_ref(),
    )
    .await
}
