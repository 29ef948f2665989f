//! Calls a peer: connect with a deadline, greet.

use std::net::SocketAddr;
use std::time::Duration;

use super::greeting::{self, Greeting};
use super::link::Connected;
use super::rt::{self, TcpStream};
use crate::node::event::{DialError, Peer};

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
    let stream = rt::timeout(CONNECT_TIME, TcpStream::connect(addr))
        .await
        .map_err(|_| DialError::Unreachable)?
        .map_err(|_| DialError::Unreachable)?;
    // Queries and hits are small and should not wait for each other. Refused: it is only slower.
    let _ = stream.set_nodelay(true);
    greeting::call(stream, addr, greeting).await
}
