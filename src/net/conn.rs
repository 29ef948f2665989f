//! A connection: a socket as it is, or with TLS on it. Whoever reads and writes need not know which.
//!
//! Both sides of a link read and write at once from two tasks, so that a session stands behind a lock; it is held for
//! one poll, never across an await. What is written to a session is only certain to leave once it was flushed:
//! [`Stream::send`] does both.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt;

use super::rt::{Read, TcpStream, Write, WriteExt};
use super::tls::{self, Session};

/// Silence between what was agreed in clear and our first byte of TLS. gtk-gnutella 1.2.3 begins the handshake when it
/// has read or written the last of that, and closes the connection if the handshake can then be had whole in one go,
/// as happens on machines a fraction of a millisecond apart. Nothing tells that it is there, so it gets a moment.
pub(super) const UPGRADE_PAUSE: Duration = Duration::from_millis(100);

/// An open connection. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Encrypted.
    Encrypted(Arc<Encrypted>),
}

/// A socket and the TLS session on it.
#[derive(Debug)]
pub(crate) struct Encrypted {
    socket: TcpStream,
    session: Mutex<Session>,
}

impl Stream {
    #[cfg_attr(
        not(feature = "tls"),
        expect(dead_code, reason = "never made in a build without TLS")
    )]
    pub(super) fn encrypted(socket: TcpStream, session: Session) -> Self {
        let session = Mutex::new(session);
        Self::Encrypted(Arc::new(Encrypted { socket, session }))
    }

    /// Is it encrypted?
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Encrypted(_))
    }

    /// The socket beneath: for its addresses and options, not to read or write.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Encrypted(encrypted) => &encrypted.socket,
        }
    }

    /// Our end.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()
    }

    /// The other end.
    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket().peer_addr()
    }

    /// Small messages do not wait for each other. Refused, it is only slower.
    pub(super) fn set_nodelay(&self) {
        let _ = self.socket().set_nodelay(true);
    }

    /// The kernel takes in no more than about `bytes` that were not sent yet: more would be out of the reach of our
    /// send queue, which knows what is urgent. Refused, it takes what it likes.
    pub(super) fn hold_at_most(&self, bytes: usize) {
        let _ = sockopt::set_socket_send_buffer_size(self.socket(), bytes);
    }

    /// Writes all of it, and sees it on its way.
    pub(super) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self;
        stream.write_all(bytes).await?;
        stream.flush().await
    }

    /// Ends our side, with the goodbye of TLS if there is some.
    pub(super) async fn end(&self) {
        let mut stream = self;
        // Gone already: just as well.
        let _ = futures_lite::AsyncWriteExt::close(&mut stream).await;
    }

    /// Ends both sides at once.
    pub(super) fn shut(&self) {
        // Gone already: just as well.
        let _ = self.socket().shutdown(Shutdown::Both);
    }
}

impl Encrypted {
    /// Lends the session for one poll.
    fn with<T>(&self, poll: impl FnOnce(&mut Session) -> T) -> T {
        // A session that panicked within a call says an error or ends; none of its states is unsafe to call.
        poll(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Read for &Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match *self.get_mut() {
            Stream::Plain(socket) => Pin::new(&mut &*socket).poll_read(cx, buffer),
            Stream::Encrypted(it) => it.with(|session| tls::poll_read(session, cx, buffer)),
        }
    }
}

impl Write for &Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match *self.get_mut() {
            Stream::Plain(socket) => Pin::new(&mut &*socket).poll_write(cx, bytes),
            Stream::Encrypted(it) => it.with(|session| Pin::new(session).poll_write(cx, bytes)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self.get_mut() {
            Stream::Plain(socket) => Pin::new(&mut &*socket).poll_flush(cx),
            Stream::Encrypted(it) => it.with(|session| Pin::new(session).poll_flush(cx)),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self.get_mut() {
            Stream::Plain(socket) => Poll::Ready(socket.shutdown(Shutdown::Write)),
            Stream::Encrypted(it) => {
                ready!(it.with(|session| Pin::new(session).poll_close(cx)))?;
                Poll::Ready(it.socket.shutdown(Shutdown::Write))
            }
        }
    }
}
