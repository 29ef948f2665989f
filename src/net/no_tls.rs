//! Stands for `tls` in a program built without the feature: nobody is offered TLS, and nobody gets it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::conn::Stream;
use super::rt::{Read, TcpStream, Write};

/// First byte of a connection that begins with TLS: a record of the handshake.
pub(super) const FIRST_BYTE: u8 = 0x16;

/// There is none.
#[derive(Debug)]
pub(crate) enum Session {}

impl Read for Session {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }
}

impl Write for Session {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

/// There is nothing to read.
pub(super) fn poll_read(
    session: &mut Session,
    _: &mut Context<'_>,
    _: &mut [u8],
) -> Poll<io::Result<usize>> {
    match *session {}
}

/// There is none.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Infallible);

impl Tls {
    /// `None`: this program was built without.
    ///
    /// # Errors
    /// None.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a build with the feature can fail"
    )]
    pub(crate) fn new() -> io::Result<Option<Self>> {
        Ok(None)
    }

    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(super) async fn accept(&self, _: TcpStream, _: Vec<u8>) -> io::Result<Stream> {
        match self.0 {}
    }

    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(super) async fn connect(&self, _: TcpStream) -> io::Result<Stream> {
        match self.0 {}
    }

    /// The same, with a count of failures of its own.
    pub(super) fn counting_apart(&self) -> Self {
        match self.0 {}
    }

    /// Handshakes that failed.
    pub(crate) fn counted(&self) -> (String, u64) {
        match self.0 {}
    }
}

/// There is none.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Infallible);

impl Caller {
    /// `None`: this program was built without.
    pub(super) fn shared() -> Option<&'static Self> {
        None
    }

    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(super) async fn connect(&self, _: TcpStream) -> io::Result<Stream> {
        match self.0 {}
    }
}
